"""The issuer as plain methods: its settings, what it issues, refreshes, and publishes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest

from jwtconnect_mw import AuthError, BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.errors import Revoked
from jwtconnect_mw.issuer import errors
from jwtconnect_mw.issuer.access import REGISTERED
from jwtconnect_mw.issuer.clients import Client
from jwtconnect_mw.issuer.errors import (
    GrantError,
    InactiveSubject,
    InvalidClient,
    InvalidScope,
    InvalidTarget,
    OtherClient,
    ReusedGrant,
    RevokedGrant,
    ServiceUnavailable,
    UnauthorizedClient,
    UnknownGrant,
)
from jwtconnect_mw.issuer.keys import SigningKeys
from jwtconnect_mw.issuer.service import Issuer
from jwtconnect_mw.revocation import Family, MemoryRevocationList, Step
from jwtconnect_mw.testing import ManualClock

from .issuer_kit import API_SECRET, CLIENTS, SECRET, House, house, part, private_keys, resigned
from .kit import AUDIENCE, ISSUER, NOW


def all_errors(kind: type[GrantError] = GrantError) -> list[type[GrantError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


def test_every_reason_is_unique_documented_and_well_formed() -> None:
    kinds = all_errors()
    assert len({kind.reason for kind in kinds}) == len(kinds)
    for kind in kinds[1:]:
        assert f"{kind.__name__} " in (errors.__doc__ or "")
        assert kind.reason in (errors.__doc__ or "")
        assert str(kind()) == kind.description
        assert kind.description.isascii()
        assert '"' not in kind.description
        assert "\\" not in kind.description  # RFC 6749 section 5.2


async def never_run(*_: object) -> Any:
    raise AssertionError("it was run")


class NeverTold(MemoryRevocationList):
    """As somebody might write a list who knows only asyncio."""

    revoke_session = never_run  # type: ignore[assignment]


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("issuer", {"name": ""}),
    ("issuer", {"name": None}),
    ("issuer", {"name": "https://\ud800"}),
    ("audience", {"audience": ""}),
    ("audience", {"audience": []}),
    ("audience", {"audience": [""]}),
    ("audience", {"audience": [5]}),
    ("audience", {"audience": None}),
    ("audience", {"audience": b"api"}),
    ("algorithm", {"algorithm": "HS256"}),
    ("algorithm", {"algorithm": "ES256", "keys": SigningKeys(private_keys())}),
    ("keys", {"keys": ""}),
    ("clients", {"clients": {"web": "short"}}),
    ("default_client_id", {"default_client_id": ""}),
    *((f"{which}_lifetime", {f"{which}_lifetime": 0}) for which in ("access", "refresh", "family")),
    ("access_lifetime", {"access_lifetime": True}),
    ("access_lifetime", {"access_lifetime": "1800"}),
    ("access_lifetime", {"access_lifetime": math.nan}),
    ("access_lifetime", {"access_lifetime": math.inf}),
    ("access_lifetime", {"access_lifetime": 1801, "family_lifetime": 1800}),
    ("grace", {"grace": -1}),
    ("grace", {"grace": 61}),
    ("grace", {"grace": None}),
    ("claims", {"claims": {"a": 1}}),
    ("is_active", {"is_active": True}),
    *[(name, {name: never_run}) for name in ("claims", "is_active", "on_event", "token_id")],
    ("token_id", {"token_id": 5}),
    ("single_session", {"single_session": "false"}),
    ("revocations", {"revocations": NeverTold()}),
    ("on_event", {"on_event": "log"}),
    ("revocations", {"revocations": object()}),
    ("metadata", {"metadata": ["a"]}),
    ("metadata", {"metadata": {"issuer": "x"}}),
    ("metadata", {"metadata": {"jwks_uri": "x"}}),
    ("metadata", {"metadata": {"a": None}}),
    ("metadata", {"metadata": {5: "x"}}),
    ("metadata", {"metadata": {"a": object()}}),
    ("metadata", {"metadata": {"a": math.nan}}),
]


@pytest.mark.parametrize(("field", "changes"), SETTINGS, ids=str)
def test_bad_settings_are_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        house(**changes)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_an_async_clock_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^clock: "):
        Issuer(ISSUER, audience=AUDIENCE, clock=never_run)  # type: ignore[arg-type]


def test_in_memory_is_for_one_process_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer(ISSUER, audience=AUDIENCE)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "revocation list" in caplog.text
    assert "signing keys" in caplog.text
    assert repr(issuer) == f"Issuer({ISSUER!r})"
    assert issuer.refresh(issuer.issue("alice").refresh_token or "").scope == ""


def test_what_an_access_token_tells() -> None:
    tokens = house().issuer.issue("alice", scope="read  write read", client_id="web")
    claims = part(tokens.access_token)
    assert part(tokens.access_token, 0) == {"alg": "ES256", "typ": "at+jwt", "kid": "main-ES256"}
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "web",
        "scope": "read write",
        "sid": tokens.session,
        "auth_time": NOW,
        "jti": claims["jti"],
        "iat": NOW,
        "exp": NOW + 1800,
    }
    assert len(claims["jti"]) == 32
    plain = house().issuer.issue("alice")
    assert "scope" not in part(plain.access_token)
    assert part(plain.access_token)["client_id"] == "first-party"


def test_audiences() -> None:
    several = house(audience=["a", "b", "a"]).issuer
    assert part(several.issue("alice").access_token)["aud"] == ["a", "b"]
    one = several.issue("alice", audience=["b"])
    assert part(one.access_token)["aud"] == "b"
    assert part(several.refresh(one.refresh_token or "").access_token)["aud"] == "b"
    assert part(several.issue("alice", audience="https://other.example").access_token)["aud"] == "https://other.example"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_what_is_issued_is_accepted(alg: str) -> None:
    here = house(keys=private_keys(alg))
    token = here.issuer.issue("alice", scope="read").access_token
    accepted = here.auth().authenticate(f"Bearer {token}")
    assert accepted is not None
    assert (accepted.subject, accepted.scopes) == ("alice", {"read"})
    keys = jwt.PyJWKSet.from_dict(here.issuer.key_set())
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, keys.keys[0], algorithms=[alg], audience=AUDIENCE, options=options)["sub"] == "alice"


def test_tokens_as_an_answer() -> None:
    tokens = house().issuer.issue("alice", scope="read")
    assert tokens.to_dict() == {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": 1800,
        "refresh_token": tokens.refresh_token,
        "scope": "read",
    }
    assert set(house().issuer.issue("alice").to_dict()) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert tokens.access_token[:20] not in repr(tokens)


ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("subject", {"subject": ""}),
    ("subject", {"subject": None}),
    ("subject", {"subject": "\ud800"}),
    ("subject", {"subject": "web"}),  # a client with a secret: its own tokens have this sub
    ("client_id", {"client_id": "nobody"}),
    ("client_id", {"client_id": ""}),
    ("audience", {"audience": ""}),
    ("audience", {"audience": []}),
    ("scope", {"scope": 'a"b'}),
    ("scope", {"scope": " a"}),
    ("scope", {"scope": None}),
    ("scope", {"scope": ["a"]}),
    ("claims", {"claims": "x"}),
    ("claims", {"claims": {5: "x"}}),
    ("claims", {"claims": {"a": object()}}),
    ("claims", {"claims": {"a": {1, 2}}}),
    ("claims", {"claims": {"a": math.nan}}),
    ("claims", {"claims": {"a": math.inf}}),
    ("claims", {"claims": {"a": "\ud800"}}),
    ("claims", {"claims": {"a": {"1": 1, 1: 2}}}),
    ("claims", {"claims": {"a": 10**4301}}),
    ("claims", {"claims": {"a": "x" * 13_000}}),
    ("claims", {"claims": {"a": "x" * 11_850}}),  # an access token would do, a refresh token not
    *(
        ("claims", {"claims": {name: "x"}})
        for name in (*sorted(REGISTERED), "cnf", "at_hash", "c_hash", "events", "typ", "ttype")
    ),
]


@pytest.mark.parametrize(("field", "changes"), ARGUMENTS)
def test_bad_arguments_are_refused(field: str, changes: dict[str, Any]) -> None:
    here = house()
    with pytest.raises(ConfigurationError) as caught:
        here.issuer.issue(**{"subject": "alice", **changes})
    assert caught.value.field == field
    for name in changes.get("claims") if isinstance(changes.get("claims"), Mapping) else ():
        assert isinstance(name, int) or name == "a" or repr(name) in str(caught.value)
    assert here.events == []


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def test_claims_that_are_nested_deeply() -> None:
    here = house()
    tokens = here.issuer.issue("alice", claims={"a": nested(62)})
    assert here.auth().authenticate(f"Bearer {here.issuer.refresh(tokens.refresh_token or '').access_token}")
    for levels in (63, 100_000):
        with pytest.raises(ConfigurationError):
            here.issuer.issue("alice", claims={"a": nested(levels)})


def test_claims_that_are_given_survive_a_refresh() -> None:
    here = house()
    given: dict[str, Any] = {"roles": ["a"], "ttype": "T", "tenant": "ü"}
    tokens = here.issuer.issue("alice", claims=MappingProxyType(given))
    given["roles"].append("b")
    for _ in range(3):
        claims = part(tokens.access_token)
        assert (claims["roles"], claims["ttype"], claims["tenant"]) == (["a"], "T", "ü")
        tokens = here.issuer.refresh(tokens.refresh_token or "")


def test_the_claims_hook_is_asked_each_time_and_cannot_change_what_is_carried() -> None:
    seen: list[Mapping[str, Any]] = []

    def hook(known: Mapping[str, Any]) -> Mapping[str, Any]:
        seen.append(dict(known))
        known["roles"].append("hacker")
        return {"count": len(seen), "tenant": "b"}

    here = house(claims=hook)
    tokens = here.issuer.issue("alice", scope="read write", claims={"roles": ["a"], "tenant": "a"})
    next_tokens = here.issuer.refresh(tokens.refresh_token or "", scope="read")
    assert [part(one.access_token)["count"] for one in (tokens, next_tokens)] == [1, 2]
    assert part(next_tokens.access_token)["roles"] == ["a"]
    assert part(next_tokens.access_token)["tenant"] == "b"  # the hook knows better than what was carried
    assert part(next_tokens.refresh_token or "")["claims"] == {"roles": ["a"], "tenant": "a"}
    assert (seen[0]["scope"], seen[1]["scope"]) == ("read write", "read")
    assert seen[1]["sub"] == "alice"
    assert seen[1]["sid"] == tokens.session


def test_the_claims_hook_sees_what_cannot_be_changed() -> None:
    here = house(claims=lambda known: known.update(sub="bob"))  # type: ignore[attr-defined]  # the point
    with pytest.raises(ServiceUnavailable):
        here.issuer.issue("alice")


def raising(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a text with a secret in it")


def test_hooks_that_fail_spend_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(NOW)
    shared = MemoryRevocationList(clock=clock)
    good = house(revocations=shared, clock=clock)
    text = good.issuer.issue("alice").refresh_token or ""
    for settings in (
        {"claims": raising},
        {"is_active": raising},
        {"claims": lambda _: {"sub": "bob"}},
        {"claims": lambda _: None},
        {"claims": lambda _: {"a": "x" * 20_000}},
    ):
        bad = house(revocations=shared, clock=clock, **settings)  # type: ignore[arg-type]
        with pytest.raises(ServiceUnavailable):
            bad.issuer.refresh(text)
        with pytest.raises((ServiceUnavailable, ConfigurationError)):
            bad.issuer.issue("alice")
    bad = house(claims=lambda _: {"sub": "bob"})
    with pytest.raises(ServiceUnavailable):
        bad.issuer.client_credentials(bad.client("web"))
    with pytest.raises(ConfigurationError, match="'sub' may not be set"):
        bad.issuer.issue("alice")
    with pytest.raises(InactiveSubject):
        house(revocations=shared, clock=clock, is_active=lambda _: None).issuer.refresh(text)
    assert good.issuer.refresh(text).access_token
    assert good.told() == ["issued", "refreshed"]
    assert "RuntimeError" in caplog.text
    assert "a text" not in caplog.text


def test_a_hook_that_listens_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    here = house(on_event=raising)
    assert here.issuer.refresh(here.issuer.issue("alice").refresh_token or "").access_token
    assert "on_event" in caplog.text
    assert "a text" not in caplog.text
    assert house(on_event=None).issuer.issue("alice").access_token


def test_disabled_subjects_get_nothing() -> None:
    disabled: set[str] = set()
    here = house(is_active=lambda subject: subject not in disabled)
    text = here.issuer.issue("alice").refresh_token or ""
    disabled.add("alice")
    with pytest.raises(InactiveSubject):
        here.issuer.issue("alice")
    with pytest.raises(InactiveSubject):
        here.issuer.refresh(text)
    disabled.clear()
    assert here.issuer.refresh(text).access_token  # nothing was spent


def test_one_session_for_each_subject() -> None:
    here = house(single_session=True)
    first, second = here.issuer.issue("alice"), here.issuer.issue("alice")
    other = here.issuer.issue("bob")
    with pytest.raises(Revoked):
        here.auth().authenticate(f"Bearer {first.access_token}")
    with pytest.raises(RevokedGrant):
        here.issuer.refresh(first.refresh_token or "")
    for tokens in (second, other):
        assert here.auth().authenticate(f"Bearer {tokens.access_token}")
        assert here.issuer.refresh(tokens.refresh_token or "").access_token


def test_several_sessions_unless_told() -> None:
    here = house()
    first, _ = here.issuer.issue("alice"), here.issuer.issue("alice")
    assert here.issuer.refresh(first.refresh_token or "").access_token


def test_a_login_in_the_second_of_a_revocation_is_good() -> None:
    here = house()
    before = here.issuer.issue("alice")
    here.issuer.revoke(subject="alice")
    after = here.issuer.issue("alice")
    assert here.auth().authenticate(f"Bearer {after.access_token}")
    with pytest.raises(AuthError):
        here.auth().authenticate(f"Bearer {before.access_token}")


def test_a_subject_that_is_revoked_for_some_time_to_come_cannot_log_in() -> None:
    here = house()
    here.issuer.revoke(subject="alice", before=NOW + 3600)
    with pytest.raises(InactiveSubject):
        here.issuer.issue("alice")


def test_refresh() -> None:
    here = house()
    first = here.issuer.issue("alice", scope="read write")
    here.clock.advance(100.5)
    second = here.issuer.refresh(first.refresh_token or "")
    old, new = part(first.refresh_token or ""), part(second.refresh_token or "")
    assert new == {**old, "seq": 1, "jti": new["jti"], "iat": NOW + 100, "exp": NOW + 100 + 3600}
    one, two = part(first.access_token), part(second.access_token)
    assert two == {**one, "jti": two["jti"], "iat": NOW + 100, "exp": NOW + 1900}
    assert one["jti"] != two["jti"]
    assert (second.session, second.scope, second.expires_in) == (first.session, "read write", 1800)
    assert here.told() == ["issued", "refreshed"]
    assert here.events[1][1] == {"subject": "alice", "client_id": "first-party", "session": first.session}


def test_a_retry_gets_the_same_successor_and_an_access_token_of_its_own() -> None:
    here = house()
    text = here.issuer.issue("alice", scope="read write").refresh_token or ""
    one = here.issuer.refresh(text)
    here.clock.advance(9.9)
    two = here.issuer.refresh(text, scope="read")
    assert one.refresh_token == two.refresh_token
    assert part(one.access_token)["jti"] != part(two.access_token)["jti"]
    assert (part(two.access_token)["scope"], two.scope) == ("read", "read")
    assert here.told() == ["issued", "refreshed", "again"]
    # An issuer that knows nothing but the keys and the list says the same.
    again = house(revocations=here.revocations, clock=here.clock).issuer.refresh(text)
    assert again.refresh_token == one.refresh_token


def test_reuse_ends_the_session() -> None:
    here = house()
    first = here.issuer.issue("alice")
    second = here.issuer.refresh(first.refresh_token or "")
    here.clock.advance(10.1)
    with pytest.raises(ReusedGrant):
        here.issuer.refresh(first.refresh_token or "")
    for text in (first.refresh_token, second.refresh_token):
        with pytest.raises(RevokedGrant):
            here.issuer.refresh(text or "")
    with pytest.raises(Revoked):
        here.auth().authenticate(f"Bearer {second.access_token}")
    assert here.told() == ["issued", "refreshed", "reuse"]


def test_a_retry_after_the_successor_was_used_is_reuse_also_in_the_window() -> None:
    here = house()
    first = here.issuer.issue("alice")
    here.issuer.refresh(here.issuer.refresh(first.refresh_token or "").refresh_token or "")
    with pytest.raises(ReusedGrant):
        here.issuer.refresh(first.refresh_token or "")


def test_a_number_from_the_future_and_lost_data_are_unknown() -> None:
    here = house()
    first = here.issuer.issue("alice")
    second = here.issuer.refresh(first.refresh_token or "")
    forgetful = house(clock=here.clock)
    with pytest.raises(UnknownGrant):
        forgetful.issuer.refresh(second.refresh_token or "")
    here.clock.advance(1)
    with pytest.raises(UnknownGrant):
        house(clock=here.clock).issuer.refresh(first.refresh_token or "")  # its list is younger than the session
    assert here.issuer.refresh(second.refresh_token or "").access_token


def test_a_scope_that_exceeds_the_granted_one_spends_nothing() -> None:
    here = house()
    text = here.issuer.issue("alice", scope="read write").refresh_token or ""
    for scope in ("admin", "read admin", " read", 'a"', "read\n", " "):
        with pytest.raises(InvalidScope):
            here.issuer.refresh(text, scope=scope)
    with pytest.raises(InvalidScope):
        here.issuer.refresh(here.issuer.issue("alice").refresh_token or "", scope="read")
    tokens = here.issuer.refresh(text, scope="read")
    assert here.told() == ["issued", "issued", "refreshed"]
    whole = here.issuer.refresh(tokens.refresh_token or "", scope="")  # RFC 6749 section 3.2: as if it were left out
    assert whole.scope == "read write"


def test_the_longest_tokens_can_be_refreshed() -> None:
    here = house(grace=0)
    length = 11_000
    tokens = here.issuer.issue("alice", claims={"a": "x" * length})
    for step in (512, 128, 32, 8, 1):
        while True:
            try:
                tokens = here.issuer.issue("alice", claims={"a": "x" * (length + step)})
            except ConfigurationError:
                break
            length += step
    claims = part(tokens.refresh_token or "")
    for number in (0, 9, 10**9):
        jti = sha256(f"{claims['sid']}.{number}".encode()).hexdigest()
        later = here.issuer._sessions._tokens.read(
            resigned(here.issuer, tokens.refresh_token or "", {"seq": number, "jti": jti})
        )
        assert here.issuer._sessions._tokens.read(here.issuer._sessions._tokens.write(later)).sequence == number


def test_no_token_outlives_its_session() -> None:
    here = house(family_lifetime=4000)
    tokens = here.issuer.issue("alice")
    for moved in (2500, 1000, 499):
        here.clock.advance(moved)
        tokens = here.issuer.refresh(tokens.refresh_token or "")
        for text in (tokens.access_token, tokens.refresh_token or ""):
            assert part(text)["exp"] <= NOW + 4000
    assert part(tokens.access_token)["exp"] == NOW + 4000
    assert tokens.expires_in == 1
    here.clock.advance(1)
    with pytest.raises(errors.ExpiredGrant):
        here.issuer.refresh(tokens.refresh_token or "")


def test_whose_token_it_is() -> None:
    here = house()
    public = here.issuer.issue("alice", client_id="spa").refresh_token or ""
    with pytest.raises(OtherClient):
        here.issuer.refresh(public, client_id="web")
    with pytest.raises(OtherClient):
        here.issuer.refresh(public, client_id="nobody")
    assert here.issuer.refresh(public, client_id="spa").access_token  # nothing was spent
    confidential = here.issuer.issue("alice", client_id="web").refresh_token or ""
    with pytest.raises(InvalidClient):
        here.issuer.refresh(confidential)
    with pytest.raises(OtherClient):
        here.issuer.refresh(confidential, client_id="spa")
    assert here.issuer.refresh(confidential, client_id="web").access_token


def test_a_spent_token_in_the_hands_of_another_client_ends_the_session() -> None:
    here = house()
    first = here.issuer.issue("alice", client_id="spa").refresh_token or ""
    second = here.issuer.refresh(first).refresh_token or ""
    with pytest.raises(ReusedGrant):
        here.issuer.refresh(first, client_id="web")  # inside the window
    with pytest.raises(RevokedGrant):
        here.issuer.refresh(second)


@pytest.mark.parametrize("later", [None, {}, {"web": {}}, {"api": API_SECRET}])
def test_a_token_of_a_client_with_a_secret_is_no_good_when_it_no_longer_has_one(later: Any) -> None:
    here = house()
    text = here.issuer.issue("alice", client_id="web").refresh_token or ""
    now = house(clients=later, revocations=here.revocations, clock=here.clock).issuer
    for client_id in (None, "web"):
        with pytest.raises(OtherClient):
            now.refresh(text, client_id=client_id)
    assert here.issuer.refresh(text, client_id="web").access_token


def test_a_public_client_that_got_a_secret_must_prove_it() -> None:
    here = house()
    text = here.issuer.issue("alice", client_id="spa").refresh_token or ""
    now = house(clients={"spa": SECRET}, revocations=here.revocations, clock=here.clock).issuer
    with pytest.raises(InvalidClient):
        now.refresh(text)
    assert now.refresh(text, client_id="spa").access_token


def test_client_credentials() -> None:
    here = house(audience=["a", "b"])
    tokens = here.issuer.client_credentials(here.client("web"))
    claims = part(tokens.access_token)
    assert claims == {
        "iss": ISSUER,
        "sub": "web",
        "aud": ["a", "b"],
        "client_id": "web",
        "scope": "read write",
        "jti": claims["jti"],
        "iat": NOW,
        "exp": NOW + 1800,
    }
    assert (tokens.refresh_token, tokens.session, tokens.scope) == (None, None, "read write")
    assert "refresh_token" not in tokens.to_dict()
    narrow = here.issuer.client_credentials(here.client("web"), scope="read", audience="b")
    assert (part(narrow.access_token)["aud"], narrow.scope) == ("b", "read")
    assert here.issuer.client_credentials(here.client("api"), audience=["a"]).scope == ""
    assert here.events[0] == ("issued", {"subject": "web", "client_id": "web", "session": None})


@pytest.mark.parametrize(
    ("kind", "client", "request_"),
    [
        (UnauthorizedClient, "spa", {}),
        (UnauthorizedClient, "first-party", {}),
        (InvalidScope, "web", {"scope": "admin"}),
        (InvalidScope, "api", {"scope": "read"}),
        (InvalidScope, "web", {"scope": "read\t"}),
        (InvalidTarget, "web", {"audience": "https://other.example"}),
        (InvalidTarget, "web", {"audience": [AUDIENCE, "https://other.example"]}),
        (InvalidTarget, "web", {"audience": ""}),
        (InvalidTarget, "web", {"audience": []}),
    ],
)
def test_client_credentials_refused(kind: type[GrantError], client: str, request_: dict[str, Any]) -> None:
    here = house()
    with pytest.raises(kind):
        here.issuer.client_credentials(here.client(client), **request_)
    assert here.events == []


class Broken(MemoryRevocationList):
    """Fails where it is told to."""

    def __init__(self, *names: str, **settings: Any) -> None:
        super().__init__(**settings)
        for name in names:
            setattr(self, name, raising)


CALLS: list[tuple[str, Callable[[House, str, str], object]]] = [
    ("start_family", lambda here, access, refresh: here.issuer.issue("alice")),
    ("advance", lambda here, access, refresh: here.issuer.refresh(refresh)),
    ("is_revoked", lambda here, access, refresh: here.issuer.introspect(access, caller=here.client("api"))),
    ("is_revoked", lambda here, access, refresh: here.issuer.introspect("garbage", caller=here.client("api"))),
    ("current", lambda here, access, refresh: here.issuer.introspect(refresh, caller=here.client("web"))),
    ("revoke_token", lambda here, access, refresh: here.issuer.revoke(token=access)),
    ("revoke_session", lambda here, access, refresh: here.issuer.revoke(token=refresh)),
    ("revoke_session", lambda here, access, refresh: here.issuer.revoke(session="x")),
    ("revoke_subject", lambda here, access, refresh: here.issuer.revoke(subject="x")),
]


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_when_the_list_is_down_nothing_is_decided(
    name: str, call: Callable[[House, str, str], object], caplog: pytest.LogCaptureFixture
) -> None:
    whole = house(clients={"web": SECRET, "api": CLIENTS["api"]})
    tokens = whole.issuer.issue("alice")
    owned = whole.issuer.issue("alice", client_id="web").refresh_token or ""
    here = house(clients=CLIENTS, revocations=Broken(name, clock=whole.clock), clock=whole.clock)
    with pytest.raises(ServiceUnavailable) as caught:
        call(here, tokens.access_token, owned if name == "current" else tokens.refresh_token or "")
    assert (caught.value.status, caught.value.error) == (503, "temporarily_unavailable")
    assert here.events == []
    assert "RuntimeError" in caplog.text
    assert "a text" not in caplog.text + str(caught.value)


def test_an_answer_that_no_list_should_give_is_refused() -> None:
    class Odd(MemoryRevocationList):
        def advance(self, *_: Any, **__: Any) -> Any:
            return Step("fine")  # type: ignore[arg-type]

    here = house(revocations=Odd(clock=ManualClock(NOW)))
    with pytest.raises(UnknownGrant):
        here.issuer.refresh(here.issuer.issue("alice").refresh_token or "")


class Generous(MemoryRevocationList):
    """Lets every client have every token."""

    def advance(self, family: Any, presented: int, *, client_id: str, **rest: Any) -> Any:
        return super().advance(family, presented, client_id=family.client_id, **rest)


def test_a_list_that_does_not_look_at_the_client_gives_it_nothing() -> None:
    here = house(revocations=Generous(clock=ManualClock(NOW)))
    with pytest.raises(OtherClient):
        here.issuer.refresh(here.issuer.issue("alice", client_id="spa").refresh_token or "", client_id="web")


def test_what_is_told_to_the_list() -> None:
    told: list[dict[str, Any]] = []

    class Spy(MemoryRevocationList):
        def advance(self, *arguments: Any, **named: Any) -> Any:
            told.append(named)
            return super().advance(*arguments, **named)

        def start_family(self, *arguments: Any, **named: Any) -> int:
            told.append(named)
            return super().start_family(*arguments, **named)

    clock = ManualClock(NOW)
    here = house(revocations=Spy(clock=clock), clock=clock, grace=5, single_session=True)
    tokens = here.issuer.issue("alice")
    clock.advance(7.5)
    here.issuer.refresh(tokens.refresh_token or "")
    start, advance = told
    assert start == {"alone": True, "expires_at": NOW + 60 + 30 * 86_400}
    assert advance == {
        "client_id": "first-party",
        "issued_at": NOW + 7,
        "expires_at": NOW + 7 + 3600,
        "keep_until": part(tokens.refresh_token or "")["family_exp"] + 360,
        "now": NOW + 7.5,
        "grace": 5,
    }


def test_metadata() -> None:
    urls = {name: f"{ISSUER}/{name}" for name in ("token", "introspection", "revocation", "jwks")}
    secret = ["client_secret_basic", "client_secret_post"]
    assert house().issuer.metadata(urls) == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "introspection_endpoint": f"{ISSUER}/introspection",
        "revocation_endpoint": f"{ISSUER}/revocation",
        "jwks_uri": f"{ISSUER}/jwks",
        "token_endpoint_auth_methods_supported": [*secret, "none"],
        "introspection_endpoint_auth_methods_supported": [*secret, "Bearer"],
        "revocation_endpoint_auth_methods_supported": [*secret, "none"],
        "grant_types_supported": ["refresh_token", "client_credentials"],
        "response_types_supported": ["none"],
        "scopes_supported": ["read", "write"],
    }
    more = {"authorization_endpoint": "https://login.example", "scopes_supported": ["x"]}
    assert house("http://127.0.0.1:8000/tenant", clients=None, metadata=more).issuer.metadata() == {
        "issuer": "http://127.0.0.1:8000/tenant",
        "grant_types_supported": ["refresh_token"],
        "response_types_supported": ["none"],
        **more,
    }
    only = house(clients={"first-party": SECRET}).issuer.metadata({"token": f"{ISSUER}/t"})
    assert only["token_endpoint_auth_methods_supported"] == secret
    assert "jwks_uri" not in only


@pytest.mark.parametrize(
    ("name", "endpoints"),
    [
        ("an issuer", {}),
        ("http://as.example", {}),
        ("https://as.example?a=b", {}),
        ("https://as.example?", {}),
        (ISSUER, {"token": "/token"}),
        (ISSUER, {"token": "http://as.example/token"}),
        (ISSUER, {"authorization": f"{ISSUER}/authorize"}),
    ],
)
def test_metadata_needs_urls(name: str, endpoints: dict[str, str]) -> None:
    here = house(name)
    assert here.issuer.issue("alice").access_token  # which any name does for
    with pytest.raises(ConfigurationError):
        here.issuer.metadata(endpoints)


def test_rotation_and_drop_are_seen_at_once(tmp_path: Path) -> None:
    here = house(keys=tmp_path / "keys.json")
    api = here.client("api")
    changes: list[int] = []
    here.issuer.watch(lambda: changes.append(1))
    old = here.issuer.issue("alice")
    first = part(old.access_token, 0)["kid"]
    here.issuer.keys.rotate(at_once=True)
    new = here.issuer.issue("alice")
    assert part(new.access_token, 0)["kid"] != first
    assert {key["kid"] for key in here.issuer.key_set()["keys"]} == {first, part(new.access_token, 0)["kid"]}
    assert here.issuer.introspect(old.access_token, caller=api)["active"]
    assert here.issuer.introspect(new.access_token, caller=api)["active"]
    here.issuer.keys.drop(first)
    assert not here.issuer.introspect(old.access_token, caller=api)["active"]
    assert here.issuer.introspect(new.access_token, caller=api)["active"]
    assert len(changes) == 2
    assert here.issuer.refresh(old.refresh_token or "").access_token
    secret = here.issuer.keys.refresh_secrets()[0]
    here.issuer.keys.drop(secret.kid)
    with pytest.raises(errors.UnverifiedGrant):
        here.issuer.refresh(new.refresh_token or "")


def test_a_change_by_another_process_is_seen(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    here = house(keys=tmp_path / "keys.json", clock=clock)
    other = house(keys=tmp_path / "keys.json", clock=clock, revocations=here.revocations)
    other.issuer.keys.rotate(at_once=True)
    token = other.issuer.issue("alice").access_token
    clock.advance(5)
    assert here.issuer.introspect(token, caller=here.client("api"))["active"]


def test_keys_may_be_shared() -> None:
    keys = SigningKeys(private_keys(), clock=ManualClock(NOW))
    one, two = house(keys=keys), house("https://two.example", keys=keys)
    assert one.issuer.keys is two.issuer.keys
    assert one.issuer.introspect(
        two.issuer.issue("a").access_token, caller=Client("api", True, frozenset({AUDIENCE}))
    ) == {"active": False}


def test_nothing_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """At DEBUG, on the root logger, with every library that is used."""
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG):
        here = house(keys=tmp_path / "keys.json", claims=lambda _: {"colour": "mauve"})
        issuer = here.issuer
        first = issuer.issue("alice-the-subject", scope="read", claims={"tenant": "acme-corp"}, client_id="spa")
        second = issuer.refresh(first.refresh_token or "")
        owned = issuer.client_credentials(here.client("web"))
        hidden = [SECRET, API_SECRET, "alice-the-subject", "acme-corp", "mauve"]
        hidden += [
            issuer.keys.refresh_secrets()[0].secret.decode("latin-1"),
            *(tmp_path / "keys.json").read_text().split('"'),
        ]
        hidden = [text for text in hidden if len(text) > 4 and text not in ("ES256", "P-256", "verify", "published_at")]
        hidden = [text for text in hidden if not text.startswith((":", ",", "sig", "jwtconnect", "signs"))]
        hidden = [
            text
            for text in hidden
            if text not in {key["kid"] for key in issuer.key_set()["keys"]} | {issuer.keys.refresh_secrets()[0].kid}
        ]
        for tokens in (first, second, owned):
            for text in (tokens.access_token, tokens.refresh_token or tokens.access_token):
                hidden += [text, *text.split(".")[1:]]
                seen.append(repr(tokens))
        broken = house(claims=raising, revocations=here.revocations, clock=here.clock, keys=tmp_path / "keys.json")
        here.clock.advance(11)
        attempts: list[Callable[[], object]] = [
            lambda: issuer.refresh(first.refresh_token or "", client_id="web"),
            lambda: issuer.refresh(second.refresh_token or ""),
            lambda: issuer.refresh(second.access_token),
            lambda: issuer.refresh(resigned(issuer, second.refresh_token or "", {"jti": "x"})),
            lambda: broken.issuer.refresh(second.refresh_token or "", client_id="spa"),
            lambda: issuer.clients.authenticate(client_id="web", client_secret=SECRET + "x"),
            lambda: issuer.introspect(second.access_token, caller=here.client("api")) and None,
            lambda: issuer.revoke(token=second.refresh_token),
            lambda: issuer.issue("alice-the-subject", claims={"sub": "acme-corp"}),
        ]
        for attempt in attempts:
            try:
                seen.append(repr(attempt()))
            except (GrantError, ConfigurationError) as error:
                seen += [repr(error), str(error)]
        seen += [repr(issuer), repr(issuer.clients), repr(issuer._sessions), repr(issuer._own), repr(issuer._mint)]
        token = issuer._sessions._tokens.read(first.refresh_token or "")
        seen += [repr(token), repr(token.grant)]
    text = "\n".join([caplog.text, *seen])
    for secret in hidden:
        assert secret not in text


def asynchronous(_: str) -> Any:
    """Not seen to be so before it is called."""

    async def answer() -> bool:
        return False

    return answer()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("hook", [asynchronous, lambda _: 1, lambda _: "no"])
def test_a_hook_that_says_neither_yes_nor_no_is_not_believed(hook: Any) -> None:
    made = house(is_active=hook)
    with pytest.raises(ServiceUnavailable):
        made.issuer.issue("alice")


@pytest.mark.parametrize("answer", [False, None, 0])
def test_a_hook_that_says_no(answer: Any) -> None:
    with pytest.raises(InactiveSubject):
        house(is_active=lambda _: answer).issuer.issue("alice")


def test_a_session_that_is_revoked_by_its_refresh_token_stays_so_whatever_lifetimes_become() -> None:
    revocations = MemoryRevocationList(clock=lambda: NOW)
    before = house(revocations=revocations, access_lifetime=86_400)
    tokens = before.issuer.issue("alice")
    after = house(revocations=revocations, clock=before.clock, family_lifetime=600, access_lifetime=600)
    before.clock.advance(300)
    after.issuer.revoke(token=tokens.refresh_token)
    before.clock.advance(80_000)
    with pytest.raises(AuthError, match="revoked"):
        BearerAuth(
            TrustedIssuer(ISSUER, audience=AUDIENCE, keys=before.issuer), revocations=revocations, clock=before.clock
        ).authenticate("Bearer " + tokens.access_token)


def test_keys_that_are_published_for_less_than_the_tokens_live_are_refused() -> None:
    keys = SigningKeys(private_keys(), access_lifetime=1800)
    with pytest.raises(ConfigurationError, match=r"^access_lifetime: "):
        house(keys=keys, access_lifetime=1801)
    assert house(keys=keys, access_lifetime=1800)


def test_a_client_gets_tokens_that_a_revocation_of_itself_does_not_take_in() -> None:
    made = house()
    made.issuer.revoke(subject="web")
    token = made.issuer.client_credentials(made.client("web")).access_token
    assert made.auth().authenticate("Bearer " + token)
    made.issuer.revoke(subject="web", before=NOW + 3600)
    with pytest.raises(InactiveSubject):
        made.issuer.client_credentials(made.client("web"))


def test_a_login_that_fails_ends_no_session() -> None:
    made = house(single_session=True)
    tokens = made.issuer.issue("alice")
    with pytest.raises(ConfigurationError, match=r"long"):
        made.issuer.issue("alice", claims={"x": "y" * 12_200})
    assert made.issuer.refresh(tokens.refresh_token)


def test_the_host_may_introspect_for_a_client_by_its_name() -> None:
    made = house()
    token = made.issuer.issue("alice", client_id="spa").access_token
    assert made.issuer.introspect(token, caller="spa")["active"] is True
    assert made.issuer.introspect(token, caller="api")["active"] is True  # by its audiences
    assert made.issuer.introspect(token, caller="web") == {"active": False}
    assert made.issuer.introspect(token, caller="nobody") == {"active": False}


def test_a_family_shows_nothing() -> None:
    assert "alice" not in repr(Family(ISSUER, "session", "alice", "client", NOW))
