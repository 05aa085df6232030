"""What the case table cannot show: keys that change while a token is looked at, and tokens that many keys fit."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import tracemalloc
import urllib.error
import urllib.request
from concurrent.futures import wait
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer
from jwtconnect_mw._strict import b64url_decode, json_object
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .cases import without_kid
from .kit import AUDIENCE, NOW, auth, b64, claims, jwks, key, policy, raw, token
from .remote import World


def reason_of(bearer_auth: BearerAuth, text: str) -> str | None:
    try:
        bearer_auth.authenticate("Bearer " + text)
    except AuthError as error:
        return error.reason
    return None


@pytest.mark.parametrize("drop_old", [False, True])
def test_keys_that_land_while_a_key_is_looked_for_are_looked_at(
    drop_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock)
        bearer_auth.prefetch()
        issuer.rotate(drop_old=drop_old)
        clock.advance(31)
        store = bearer_auth._store
        may_seek = store.may_seek

        def landing(now: float) -> bool:
            """Between the look-up and the verdict, another request's fetch lands."""
            flight = store.issuers[issuer.url].begin(now)
            if flight is not None:
                flight.result(5)
            return may_seek(now)

        monkeypatch.setattr(store, "may_seek", landing)
        assert reason_of(bearer_auth, issuer.token()) is None
        assert reason_of(bearer_auth, issuer.token(key=key("ES256", "evil"))) == "unknown_key"


def test_a_kid_that_moves_while_a_key_is_looked_for_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(policy(), TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock)
        bearer_auth.prefetch()
        kid = {"kid": issuer.keys[0].kid}
        issuer.published = [{**key("ES256", "new").public_jwk(), **kid}]
        clock.advance(31)
        store = bearer_auth._store
        may_seek = store.may_seek

        def landing(now: float) -> bool:
            flight = store.issuers[issuer.url].begin(now)
            if flight is not None:
                flight.result(5)
            return may_seek(now)

        monkeypatch.setattr(store, "may_seek", landing)
        assert reason_of(bearer_auth, issuer.token(key=key("ES256", "new"), header=kid)) is None


def sharing(count: int, kid: str | None) -> tuple[BearerAuth, list[str]]:
    """Many issuers whose keys the header does not tell apart, and a token of each."""
    signers = [key("ES256", f"shared-{number}") for number in range(count)]
    names = [f"https://as-{number}.example" for number in range(count)]
    sets = [{"keys": [{**without_kid(signer)["keys"][0], **({"kid": kid} if kid else {})}]} for signer in signers]
    policies = [TrustedIssuer(name, audience=AUDIENCE, keys=keys) for name, keys in zip(names, sets, strict=True)]
    header: dict[str, Any] = {"kid": kid or ...}
    texts = [token({"iss": name}, header, signer) for name, signer in zip(names, signers, strict=True)]
    return auth(*policies), texts


@pytest.mark.parametrize("kid", ["1", None])
@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_issuers_may_share_a_kid(count: int, kid: str | None) -> None:
    bearer_auth, texts = sharing(count, kid)
    assert [reason_of(bearer_auth, text) for text in texts] == [None] * count
    first, second = texts[0].rpartition("."), texts[1].rpartition(".")
    assert reason_of(bearer_auth, f"{first[0]}.{second[2]}") == "bad_signature"


@pytest.mark.parametrize("count", [2, 10])
def test_a_key_vouches_for_its_own_issuer_only(count: int) -> None:
    bearer_auth, _ = sharing(count, "1")
    forged = token({"iss": "https://as-1.example"}, {"kid": "1"}, key("ES256", "shared-0"))
    assert reason_of(bearer_auth, forged) in ("untrusted_issuer", "bad_signature")


DEAR: dict[str, Any] = {
    "members": [0] * 600,
    "escapes": "\u00e9" * 300,
    "brackets": [[]] * 600,
    "long": "x" * 6000,
}


@pytest.mark.parametrize("dear", DEAR)
@pytest.mark.parametrize(
    ("count", "kid", "refused"), [(3, None, 0), (4, None, 1), (3, "1", 0), (4, "1", 0), (10, "1", 0)]
)
def test_where_more_keys_fit_than_are_tried_a_payload_that_is_dear_to_read_picks_only_among_named_ones(
    count: int, kid: str | None, refused: int, dear: str
) -> None:
    """Without kid three keys are tried, whosever they are; a kid is one key of each issuer, and each must be found."""
    bearer_auth, _ = sharing(count, kid)
    reasons = []
    for by in range(count):
        changes = {"iss": f"https://as-{by}.example", "x": DEAR[dear]}
        reasons.append(reason_of(bearer_auth, token(changes, {"kid": kid or ...}, key("ES256", f"shared-{by}"))))
    assert reasons == [None] * (count - refused) + ["bad_signature"] * refused


def test_a_dear_payload_that_picks_may_name_nobody() -> None:
    bearer_auth, texts = sharing(4, "1")
    assert (
        reason_of(bearer_auth, token({"iss": "https://evil.example", "x": "x" * 6000}, {"kid": "1"}))
        == "untrusted_issuer"
    )
    header, _, signature = texts[0].split(".")
    for payload, reason in (
        (b64(b'{"iss":' + b"[" * 100 + b"]" * 100 + b"}"), "untrusted_issuer"),
        (b64("x" * 6000) + "A", "malformed_token"),
    ):
        assert reason_of(bearer_auth, f"{header}.{payload}.{signature}") == reason


@pytest.mark.parametrize("form", [
    '"https://as-3.example/\\u00e9"', '"https://as-3.example/\u00e9"', r'"https:\/\/as-3.example\/\u00e9"',
    '"https:\\/\\/as-3.example\\/\u00e9"',
])  # fmt: skip
def test_a_dear_payload_picks_however_its_issuer_is_written(form: str) -> None:
    """In every way that writers of JSON have; the names of many issuers in it pick no more than three."""
    signers = [key("ES256", f"shared-{number}") for number in range(5)]
    names = [f"https://as-{number}.example/\u00e9" for number in range(5)]
    sets = [{"keys": [{**without_kid(signer)["keys"][0], "kid": "1"}]} for signer in signers]
    bearer_auth = auth(*(TrustedIssuer(n, audience=AUDIENCE, keys=k) for n, k in zip(names, sets, strict=True)))
    header = json.dumps({"alg": "ES256", "kid": "1", "typ": "at+jwt"})
    whole = json.dumps({**claims({"iss": ...}), "x": "y" * 6000})
    assert reason_of(bearer_auth, raw(header, f'{whole[:-1]},"iss":{form}}}', signers[3])) is None
    crowded = json.dumps({**claims({"iss": names[3]}), "x": [*names, "y" * 6000]})
    assert reason_of(bearer_auth, raw(header, crowded, signers[3])) == "bad_signature"
    assert reason_of(bearer_auth, raw(header, crowded, signers[2])) == "untrusted_issuer"


@pytest.mark.parametrize(
    ("names", "reason"),
    [("aaaa", "bad_signature"), ("abca", "bad_signature"), ("aabc", "bad_signature"), ("abcd", "untrusted_issuer")],
)
def test_only_where_more_keys_differ_than_are_tried_does_the_payload_pick(names: str, reason: str) -> None:
    """Four keys fit by their kid; equal ones count as one. Nothing of a payload is parsed before its signature is good
    else.
    """
    bearer_auth = auth(*one_kid(names))
    forged = token({"iss": "https://evil.example"}, {"kid": "1"}, key("ES256", "evil"))
    assert reason_of(bearer_auth, forged) == reason


@pytest.mark.parametrize("names", ["aaab", "aabac", "abbac"])
def test_a_key_that_several_issuers_share_is_tried_once(names: str) -> None:
    bearer_auth = auth(*one_kid(names))
    last = f"https://as-{len(names) - 1}.example"
    assert reason_of(bearer_auth, token({"iss": last}, {"kid": "1"}, key("ES256", names[-1]))) is None


def one_kid(names: str) -> list[TrustedIssuer]:
    """An issuer for each of the named keys, which all publish under one kid."""
    return [
        TrustedIssuer(
            f"https://as-{number}.example",
            audience=AUDIENCE,
            keys={"keys": [{**key("ES256", name).public_jwk(), "kid": "1"}]},
        )
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("payload", ["bm90IGpzb24", "!"])
def test_many_keys_and_a_payload_that_names_no_issuer(payload: str) -> None:
    bearer_auth, texts = sharing(5, "1")
    header, _, signature = texts[0].split(".")
    assert reason_of(bearer_auth, f"{header}.{payload}.{signature}") in ("malformed_token", "malformed_credentials")
    for issuer in ("https://evil.example", ["https://as-1.example"], ...):
        assert reason_of(bearer_auth, token({"iss": issuer}, {"kid": "1"})) == "untrusted_issuer"


def test_of_many_keys_without_kid_three_are_tried() -> None:
    signers = [key("ES256", name) for name in "abcd"]
    bearer_auth = auth(policy(keys=without_kid(*signers)))
    outcomes = [reason_of(bearer_auth, token(header={"kid": ...}, by=signer)) for signer in signers]
    assert outcomes == [None, None, None, "bad_signature"]


def test_a_token_of_many_keys_is_judged_by_the_issuer_it_names_before_a_fetch() -> None:
    """Keys are missing, so the payload is read: what is wrong with any key is refused without a fetch."""
    with FakeIssuer() as issuer, FakeIssuer(alg="RS256") as other:
        strict = TrustedIssuer(issuer.url, audience=issuer.audience, algorithms=["ES256"], profile="rfc9068")
        bearer_auth = BearerAuth(strict, TrustedIssuer(other.url, audience=other.audience))
        foreign = {"alg": "RS256", "kid": "x"}
        assert reason_of(bearer_auth, issuer.token(key=key("RS256"), header=foreign)) == "algorithm_not_allowed"
        assert reason_of(bearer_auth, issuer.token(header={"typ": "JWT"})) == "wrong_token_type"
        assert reason_of(bearer_auth, issuer.token({"exp": 5, "iat": 1})) == "expired"
        assert reason_of(bearer_auth, issuer.token({"aud": "x"})) == "wrong_audience"
        assert reason_of(bearer_auth, issuer.token({"iss": "https://evil.example"})) == "untrusted_issuer"
        assert reason_of(bearer_auth, issuer.token({"iss": 5})) == "untrusted_issuer"
        assert reason_of(bearer_auth, issuer.token({"iss": [issuer.url]})) == "untrusted_issuer"
        assert issuer.requests == other.requests == []


def test_a_kid_of_a_key_that_does_not_fit_causes_no_fetch() -> None:
    clock = ManualClock()
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock)
        bearer_auth.prefetch()
        clock.advance(31)
        text = issuer.token(header={"alg": "ES384"})
        assert reason_of(bearer_auth, text) == "unusable_key"
        assert issuer.jwks_requests() == 1


def test_the_async_twin_waits_for_keys_too() -> None:
    with FakeIssuer() as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience))
        found = asyncio.run(bearer_auth.aauthenticate("Bearer " + issuer.token(), method="GET", path="/"))
        assert found is not None


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="later interpreters count the C stack apart: nothing to run out of"
)
def test_a_stack_that_is_nearly_full_refuses() -> None:
    text = json.dumps({"x": json.loads("[" * 60 + "]" * 60)}).encode()

    def from_depth(depth: int) -> Any:
        return from_depth(depth - 1) if depth else json_object.read(text)

    limit = sys.getrecursionlimit()
    room = limit - len(inspect.stack(0))
    with pytest.raises(ValueError):
        from_depth(room - 40)


def test_a_token_of_the_default_profile_may_be_plain_jwt_when_keys_are_missing() -> None:
    with FakeIssuer() as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience))
        assert reason_of(bearer_auth, issuer.token(header={"typ": "JWT"})) is None


@pytest.mark.parametrize("listed", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
def test_either_name_of_an_edwards_curve_is_allowed_also_when_keys_are_missing(listed: str, named: str) -> None:
    with FakeIssuer(alg="EdDSA") as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience, algorithms=[listed]))
        assert reason_of(bearer_auth, issuer.token(header={"alg": named})) is None


@pytest.mark.parametrize(("length", "reason"), [(16_384, None), (16_385, "token_too_large")])
def test_the_greatest_length(length: int, reason: str | None) -> None:
    for padding in range(11_900, 12_300):
        for more in range(3):
            text = token({"x": "y" * padding}, {"x": "z" * more})
            if len(text) == length:
                assert reason_of(auth(), text) == reason
                return
    pytest.fail("no token of that length was made")


@pytest.mark.parametrize(("length", "reason"), [(16_448, "token_too_large"), (16_449, "credentials_too_large")])
def test_the_greatest_header_value(length: int, reason: str) -> None:
    assert reason_of(auth(), "a" * (length - len("Bearer "))) == reason


def test_text_that_no_server_hands_on() -> None:
    for value in ("Bearer a\ud800", "Bearer \u0130", "Basic \ud800"):
        with pytest.raises(AuthError) as caught:
            auth().authenticate(value)
        assert caught.value.reason == "malformed_credentials"


def test_a_direct_caller_is_a_preflight_by_its_method() -> None:
    bearer_auth = auth(preflight=True)
    assert bearer_auth.authenticate(None, method="OPTIONS") is None
    for method, preflight in (("GET", None), ("OPTIONS", False)):
        with pytest.raises(AuthError):
            bearer_auth.authenticate(None, method=method, preflight=preflight)


def test_our_limit_of_digits_holds_where_the_interpreters_is_off() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert json_object.read(b'{"x": -%s}' % (b"1" * 4300))["x"] < 0
        for text in (b"1" * 4301, b"-" + b"1" * 4301):
            with pytest.raises(ValueError):
                json_object.read(b'{"x": %s}' % text)
    finally:
        sys.set_int_max_str_digits(limit)


def test_keys_that_come_back_while_one_is_looked_for_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same keys as before: nothing changes but their age."""
    clock = ManualClock()
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock)
        bearer_auth.prefetch()
        clock.advance(10_000)
        store = bearer_auth._store
        may_seek = store.may_seek

        def landing(now: float) -> bool:
            flight = store.issuers[issuer.url].begin(now)
            if flight is not None:
                flight.result(5)
            return may_seek(now)

        monkeypatch.setattr(store, "may_seek", landing)
        assert reason_of(bearer_auth, issuer.token()) is None
        assert reason_of(bearer_auth, issuer.token(header={"alg": "ES384"})) == "unusable_key"


def test_an_unknown_key_of_a_static_issuer_beside_a_remote_one_causes_no_fetch() -> None:
    with FakeIssuer() as issuer:
        bearer_auth = auth(policy(), TrustedIssuer(issuer.url, audience=issuer.audience))
        assert reason_of(bearer_auth, token(header={"kid": "unknown"})) == "unknown_key"
        assert issuer.requests == []


def test_of_a_static_issuer_no_payload_is_read_for_an_unknown_key() -> None:
    clock = ManualClock(NOW)
    bearer_auth = auth(clock=clock)
    clock.advance(1000)
    assert reason_of(bearer_auth, token({"exp": 5, "iat": 1}, {"kid": "unknown"})) == "unknown_key"


def test_the_fake_issuer_answers_404_for_what_it_has_not() -> None:
    with FakeIssuer() as issuer, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{issuer.url}/nothing")
    assert caught.value.code == 404
    caught.value.close()


def test_tokens_too_long_to_be_read_unverified_still_get_their_keys() -> None:
    """Where nothing but such tokens comes, and no prefetch was made: 503 while the keys are fetched, then accepted."""
    clock = ManualClock()
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock)
        long = issuer.token({"x": "y" * 4000})
        assert reason_of(bearer_auth, long) == "keys_unavailable"
        flight = bearer_auth._store.issuers[issuer.url]._flight
        if flight is not None:
            flight.result(5)
        assert reason_of(bearer_auth, long) is None
        assert issuer.jwks_requests() == 1
        clock.advance(31)
        assert reason_of(bearer_auth, issuer.token({"x": "y" * 4000}, header={"kid": "unknown"})) == "unknown_key"
        assert issuer.jwks_requests() == 1


def test_a_key_of_one_issuer_that_fits_does_not_keep_another_issuers_keys_from_being_fetched() -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as issuer:
        bearer_auth = BearerAuth(
            policy(keys=without_kid(key())), TrustedIssuer(issuer.url, audience=issuer.audience), clock=clock
        )
        assert reason_of(bearer_auth, issuer.token()) is None
        forged = issuer.token(key=key("ES256", "evil"), header={"kid": issuer.keys[0].kid})
        assert reason_of(bearer_auth, forged) == "bad_signature"
        clock.advance(31)
        assert reason_of(bearer_auth, forged) == "bad_signature"
        assert issuer.jwks_requests() == 1


def test_a_key_that_was_tried_and_one_that_was_fetched_in_vain() -> None:
    """A third issuer, not asked yet, keeps the question open whether a fetch may be made."""
    with FakeIssuer() as issuer, FakeIssuer() as idle:
        remote = (TrustedIssuer(one.url, audience=one.audience) for one in (issuer, idle))
        bearer_auth = BearerAuth(policy(keys=without_kid(key())), *remote)
        forged = issuer.token(key=key("ES256", "evil"), header={"kid": "nobody's"})
        assert reason_of(bearer_auth, forged) == "bad_signature"
        assert issuer.jwks_requests() == 1
        assert idle.requests == []


def test_the_longest_payload_that_is_read_unverified() -> None:
    for octets, reason in ((4096, None), (4097, "keys_unavailable")):
        with FakeIssuer() as issuer:
            bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience))
            length = len(b64url_decode(issuer.token({"x": ""}).split(".")[1].encode()))
            assert reason_of(bearer_auth, issuer.token({"x": "y" * (octets - length)})) == reason


def test_a_shared_key_is_not_good_for_an_issuer_whose_own_keys_are_too_old() -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as one, FakeIssuer(clock=clock) as other:
        shared = one.keys[0]
        other.published = [shared.public_jwk()]
        remote = (TrustedIssuer(issuer.url, audience=issuer.audience) for issuer in (one, other))
        bearer_auth = BearerAuth(*remote, clock=clock)
        bearer_auth.prefetch()
        assert reason_of(bearer_auth, other.token(key=shared)) is None
        other.outage = "error"
        clock.advance(86_400)
        flight = bearer_auth._store.issuers[one.url].begin(clock.now)
        assert flight is not None
        flight.result(5)
        assert reason_of(bearer_auth, one.token(key=shared)) is None
        assert reason_of(bearer_auth, other.token(key=shared)) == "keys_unavailable"


@pytest.mark.parametrize("count", [2, 3, 10])
def test_issuers_may_share_key_material(count: int) -> None:
    """One key set for several tenants: a token is its own issuer's, with that issuer's policy."""
    names = [f"https://tenant-{number}.example" for number in range(count)]
    bearer_auth = auth(*(TrustedIssuer(name, audience=f"{name}/api", keys=jwks()) for name in names))
    for name in names:
        accepted = bearer_auth.authenticate("Bearer " + token({"iss": name, "aud": f"{name}/api"}))
        assert accepted is not None
        assert accepted.issuer == name
        assert reason_of(bearer_auth, token({"iss": name, "aud": f"{names[0]}/other"})) == "wrong_audience"
    assert reason_of(bearer_auth, token({"iss": "https://evil.example"})) == "untrusted_issuer"


def test_a_shared_key_that_one_issuer_withdrew_is_no_longer_good_for_its_tokens() -> None:
    clock = ManualClock()
    with FakeIssuer(clock=clock) as one, FakeIssuer(clock=clock) as other:
        shared = one.keys[0]
        other.published = [shared.public_jwk()]
        bearer_auth = BearerAuth(
            *(TrustedIssuer(issuer.url, audience=issuer.audience) for issuer in (one, other)), clock=clock
        )
        bearer_auth.prefetch()
        text = other.token(key=shared)
        assert reason_of(bearer_auth, text) is None
        other.published = [key().public_jwk()]
        clock.advance(290)
        for issuer in bearer_auth._store.issuers.values():
            flight = issuer.begin(clock.now)
            if flight is not None:
                flight.result(5)
        assert reason_of(bearer_auth, text) == "untrusted_issuer"
        assert reason_of(bearer_auth, one.token(key=shared)) is None


def test_a_header_may_be_long_but_not_longer_than_its_bound() -> None:
    bearer_auth = auth()

    def with_header_of(octets: int) -> str:
        length = len(json.dumps({"alg": "ES256", "kid": key().kid, "typ": "at+jwt", "x5c": [""]}))
        return token(header={"x5c": ["M" * (octets - length)]})

    assert reason_of(bearer_auth, with_header_of(6144)) is None  # 8192 characters
    assert reason_of(bearer_auth, with_header_of(6145)) == "malformed_token"


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"x": [1.5] * 50}, None),
        ({"x": 0.1234567890123456789012345678901}, None),
        ({"x": [0] * 58}, None),  # 64 commas and colons
        ({"x": [0] * 59}, "malformed_token"),
        ({"x": [[]] * 30}, None),
        ({"x": [[]] * 64}, "malformed_token"),
        ({"x": "\n" * 256}, None),
        ({"x": "\n" * 257}, "malformed_token"),
        ({"x": 10**4299}, None),
        ({"x": -(10**4299)}, None),
        ({"x": "\ud83d\ude00"}, None),
        ({"x": "\ud83d"}, "malformed_token"),
        ({"x": "\udc00a"}, "malformed_token"),
        ({"x": "\\ud800"}, None),  # a backslash and five letters
    ],
)
def test_what_a_header_may_cost(extra: dict[str, Any], reason: str | None) -> None:
    assert reason_of(auth(), token(header=extra)) == reason


@pytest.mark.parametrize("digits", [20, 21, 3900])
@pytest.mark.parametrize("sign", ["", "-"])
def test_long_integers_of_an_unverified_payload_are_judged_by_sign_and_size(sign: str, digits: int) -> None:
    number = sign + "1" + "0" * (digits - 1)
    with FakeIssuer() as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience))
        claims = json.dumps({"iss": issuer.url, "aud": issuer.audience, "exp": 0}).replace(
            '"exp": 0', f'"exp": {number}'
        )
        assert reason_of(bearer_auth, raw(json.dumps({"alg": "ES256", "kid": "new"}), claims)) == "malformed_claim"
        harmless = issuer.token({"big": int(number)})
        assert issuer.requests == []
        assert reason_of(bearer_auth, harmless) is None


def test_a_very_long_integer_of_an_unverified_text_is_refused() -> None:
    for text in ('{"a":' + "7" * 4301 + "}", '{"a":-' + "7" * 4301 + "}"):
        with pytest.raises(ValueError):
            json_object.read_unverified(text.encode(), 100, 100)


def test_a_very_long_integer_is_refused_also_where_the_interpreter_would_read_it() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        test_a_very_long_integer_of_an_unverified_text_is_refused()
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("9" * 20, 10**20 - 1),
        ("-" + "9" * 19, -(10**19) + 1),
        ("9" * 21, 10**20),
        ("-" + "9" * 20, -(10**20)),
        ("9" * 4300, 10**20),
        ("-" + "9" * 4300, -(10**20)),
    ],
)
def test_a_long_integer_of_an_unverified_text_is_estimated(text: str, read: int) -> None:
    assert json_object.read_unverified(b'{"a":%s}' % text.encode(), 2, 1) == {"a": read}


def test_brackets_of_an_unverified_payload() -> None:
    def read(text: str) -> object:
        return json_object.read_unverified(text.encode(), 512, 128)

    assert read('{"a":[' + ",".join(["[]"] * 126) + "]}")
    for text in ('{"a":[' + ",".join(["[]"] * 127) + "]}", '{"a":' + "[" * 70 + "]" * 70 + "}"):
        with pytest.raises(ValueError):
            read(text)


LARGE = {"long": {"x": "y" * 4100}, "dear": {"permissions": [f"r:{number}" for number in range(260)]}}


@pytest.mark.parametrize("large", LARGE)
def test_where_only_large_tokens_come_a_rotation_is_found_by_the_clock(large: str) -> None:
    """Their claims are not read before a key is known, but the age of the keys is looked at all the same."""
    clock = ManualClock()
    with FakeIssuer(clock=clock) as issuer:
        world = World(issuer, clock)

        def verdict() -> str:
            return world.settled(issuer.token(LARGE[large]))

        assert [verdict(), verdict()] == ["keys_unavailable", "accepted"]
        issuer.rotate(drop_old=True)
        clock.advance(60)
        assert verdict() == "unknown_key"
        assert world.fetches == 1
        clock.advance(200)  # nearly as old as they may be
        assert [verdict(), verdict()] == ["unknown_key", "accepted"]
        issuer.rotate(drop_old=True)
        issuer.outage = "error"
        clock.advance(310)
        assert [verdict(), verdict()] == ["keys_unavailable", "keys_unavailable"]
        issuer.outage = None
        clock.advance(31)
        assert [verdict(), verdict()] == ["keys_unavailable", "accepted"]


def test_a_large_token_meets_the_keys_that_are_missing_whoever_elses_are_there() -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as down, FakeIssuer(clock=clock) as due:
        down.outage = "error"
        bearer_auth = BearerAuth(*(TrustedIssuer(one.url, audience=one.audience) for one in (down, due)), clock=clock)
        bearer_auth.prefetch()
        clock.advance(250)
        assert reason_of(bearer_auth, due.token(LARGE["long"], header={"kid": "unknown"})) == "keys_unavailable"


def test_the_moments_at_which_a_large_token_starts_a_fetch() -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as issuer:
        world = World(issuer, clock)
        world.auth.prefetch()
        large = issuer.token(LARGE["long"], header={"kid": "unknown"})
        due = world.auth._store.issuers[issuer.url].refresh_at
        for moment, fetches in ((due - 0.001, 1), (due, 2)):
            clock.now = moment
            assert world.verdict(large) == "unknown_key"
            world.settle()
            assert world.fetches == fetches
        clock.advance(-100)  # then nobody knows how old they are
        assert world.verdict(large) == "keys_unavailable"


@pytest.mark.parametrize("large", LARGE)
def test_large_tokens_of_many_issuers_with_one_key(large: str) -> None:
    names = [f"https://tenant-{number}.example" for number in range(6)]
    bearer_auth = auth(*(TrustedIssuer(name, audience=AUDIENCE, keys=jwks()) for name in names))
    assert [reason_of(bearer_auth, token({"iss": name, **LARGE[large]})) for name in names] == [None] * 6


@pytest.mark.parametrize("large", LARGE)
def test_large_tokens_without_kid(large: str) -> None:
    signers = [key("ES256", name) for name in "abcd"]
    bearer_auth = auth(policy(keys=without_kid(*signers)))
    outcomes = [reason_of(bearer_auth, token(LARGE[large], {"kid": ...}, signer)) for signer in signers]
    assert outcomes == [None, None, None, "bad_signature"]


def test_deep_claims_do_not_depend_on_the_stack() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    bearer_auth = auth()
    text = token({"deep": deep})
    assert reason_of(bearer_auth, text) is None

    def at_depth(left: int) -> str | None:
        return at_depth(left - 1) if left else reason_of(auth(), text)

    room = sys.getrecursionlimit() - len(inspect.stack())
    found = {at_depth(room - spare) for spare in range(60, 300, 10)}
    assert found <= {None, "malformed_token"}
    assert "malformed_token" in found


@pytest.mark.parametrize("spelling", ["Bearer  {}", "bearer {}", "BEARER   {}", " Bearer {} "])
def test_one_token_has_one_place_in_the_cache_however_it_is_spelled(spelling: str) -> None:
    bearer_auth = auth()
    text = token()
    accepted = [bearer_auth.authenticate(value) for value in (spelling.format(text), f"Bearer {text}") for _ in "12"]
    assert accepted == [accepted[0]] * 4
    assert len(bearer_auth._verifier._tokens) == 1


@pytest.mark.parametrize("alphabet", ["a", "\u00e9", "\U0001f600"])
def test_the_cache_keeps_its_promise_of_memory_whatever_the_claims(alphabet: str) -> None:
    bearer_auth = auth()
    texts = [
        token({"jti": str(number), "name": "a" * 1900 + alphabet, "scope": scopes(number)}) for number in range(900)
    ]
    bearer_auth.authenticate("Bearer " + texts.pop())
    tracemalloc.start()
    for text in texts:
        assert bearer_auth.authenticate("Bearer " + text)
    measured = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    cache = bearer_auth._verifier._tokens
    assert measured <= 1.1 * (15_000_000 - cache._room)


def scopes(number: int) -> str:
    return " ".join(f"s{number}:{scope}" for scope in range(20))


@pytest.mark.parametrize("number", ["0.10000000000000000000001", "-1.0000000000000000000e5"])
def test_floats_of_a_header_may_be_this_long(number: str) -> None:
    def header(text: str) -> str:
        return json.dumps({"alg": "ES256", "kid": key().kid, "x": 0}).replace("0}", text + "}")

    assert len(number) <= 25
    assert reason_of(auth(), raw(header(number), json.dumps(claims()))) is None
    longer = number.replace("0", "0" * (27 - len(number)), 1)
    assert reason_of(auth(), raw(header(longer), json.dumps(claims()))) == "malformed_token"


def test_a_large_token_starts_a_few_fetches_at_a_time() -> None:
    asked: list[str] = []

    def fetch(url: str, *_: object) -> Fetched:
        asked.append(url)
        raise FetchError("nobody is there")

    names = [f"https://as-{number}.example" for number in range(20)]
    policies = [TrustedIssuer(name, audience=AUDIENCE, keys=f"{name}/jwks") for name in names]
    bearer_auth = auth(*policies, fetch=fetch)
    assert reason_of(bearer_auth, token(LARGE["long"])) == "keys_unavailable"
    wait([state._flight for state in bearer_auth._store.issuers.values() if state._flight is not None], 30)
    assert sorted(asked) == sorted(f"{name}/jwks" for name in names[:16])


def test_issuers_whose_keys_are_there_do_not_count_among_those_few() -> None:
    asked: list[str] = []

    def fetch(url: str, *_: object) -> Fetched:
        asked.append(url)
        return Fetched(200, {"content-type": "application/json"}, json.dumps(jwks()).encode())

    names = [f"https://as-{number}.example" for number in range(20)]
    policies = [TrustedIssuer(name, audience=AUDIENCE, keys=f"{name}/jwks") for name in names]
    bearer_auth = auth(*policies, fetch=fetch)
    for _ in range(2):
        assert reason_of(bearer_auth, token(LARGE["long"], {"kid": "unknown"})) == "keys_unavailable"
        wait([state._flight for state in bearer_auth._store.issuers.values() if state._flight is not None], 30)
    assert sorted(asked) == sorted(f"{name}/jwks" for name in names)
