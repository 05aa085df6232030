"""The text of refresh tokens: what they tell, and that nothing else is read as one."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer
from jwtconnect_mw.issuer.errors import (
    EarlyGrant,
    ExpiredGrant,
    GrantError,
    InvalidGrant,
    MalformedGrant,
    OtherIssuer,
    UnverifiedGrant,
)
from jwtconnect_mw.issuer.refresh import RefreshToken, RefreshTokens

from .issuer_kit import House, house, part, resigned, sealed
from .kit import AUDIENCE, ISSUER, NOW, b64


@pytest.fixture(scope="module")
def here() -> House:
    return house()


@pytest.fixture(scope="module")
def text(here: House) -> str:
    token = here.issuer.issue("alice", scope="read write", claims={"tenant": "a"}, client_id="spa").refresh_token
    assert token is not None
    return token


def test_what_it_tells(here: House, text: str) -> None:
    claims = part(text)
    sid = claims["sid"]
    assert len(sid) == 32
    assert claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "alice",
        "client_id": "spa",
        "sid": sid,
        "ttype": "R",
        "seq": 0,
        "jti": sha256(f"{sid}.0".encode()).hexdigest(),
        "iat": NOW,
        "exp": NOW + 3600,
        "scope": "read write",
        "auth_time": NOW,
        "family_exp": NOW + 30 * 86_400,
        "access_aud": [AUDIENCE],
        "claims": {"tenant": "a"},
    }
    secret = here.issuer.keys.refresh_secrets()[0]
    assert part(text, 0) == {"alg": "HS256", "kid": secret.kid, "typ": "refresh+jwt"}
    assert "claims" not in part(here.issuer.issue("alice").refresh_token or "")


def test_a_library_that_others_wrote_verifies_it_with_the_secret(here: House, text: str) -> None:
    secret = here.issuer.keys.refresh_secrets()[0].secret
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(text, secret, algorithms=["HS256"], audience=ISSUER, options=options) == part(text)


@pytest.mark.parametrize("profile", ["default", "rfc9068"])
def test_no_verifier_takes_it_for_an_access_token(here: House, text: str, profile: Any) -> None:
    auth = BearerAuth(
        TrustedIssuer(ISSUER, audience=[AUDIENCE, ISSUER], keys=here.issuer.key_set(), profile=profile),
        clock=here.clock,
    )
    with pytest.raises(AuthError):
        auth.authenticate(f"Bearer {text}")


def test_a_stock_verifier_on_the_key_set_refuses_it(here: House, text: str) -> None:
    keys = jwt.PyJWKSet.from_dict(here.issuer.key_set())
    algorithms = ["ES256", "RS256", "PS256", "EdDSA", "HS256"]
    for key in keys.keys:
        with pytest.raises(jwt.PyJWTError):
            jwt.decode(text, key, algorithms=algorithms, audience=ISSUER, options={"verify_exp": False})


def test_an_access_token_is_none(here: House) -> None:
    with pytest.raises(UnverifiedGrant):
        here.issuer.refresh(here.issuer.issue("alice").access_token)


def shapes(text: str) -> dict[str, Any]:
    head, payload, mac = text.split(".")
    return {
        "empty": "",
        "two segments": f"{head}.{payload}",
        "four segments": f"{text}.",
        "no text": None,
        "octets": text.encode(),
        "not ASCII": text + "é",
        "not ASCII at the start": "é" + text,
        "a lone surrogate": text + "\ud800",
        "padded": text + "=",
        "newline": text + "\n",
        "too long": text + "A" * 16_384,
        "odd signature": f"{head}.{payload}.{mac}AA",
    }


@pytest.mark.parametrize("name", shapes("a.b.c"))
def test_malformed(here: House, text: str, name: str) -> None:
    with pytest.raises(MalformedGrant):
        here.issuer.refresh(shapes(text)[name])


def unsigned(text: str) -> dict[str, str]:
    head, payload, mac = text.split(".")
    header = part(text, 0)
    return {
        "no signature": f"{head}.{payload}.",
        "short signature": f"{head}.{payload}.{mac[:40]}",
        "other signature": f"{head}.{payload}.{b64(bytes(32))}",
        "other payload": f"{head}.{b64(json.dumps({**part(text), 'sub': 'mallory'}))}.{mac}",
        "alg none": f"{b64(json.dumps({**header, 'alg': 'none'}))}.{payload}.",
        "other kid": f"{b64(json.dumps({**header, 'kid': 'x'}))}.{payload}.{mac}",
        "empty header": f".{payload}.{mac}",
        "empty": "..",
    }


@pytest.mark.parametrize("name", unsigned("e30.e30.AA"))
def test_unverified(here: House, text: str, name: str) -> None:
    with pytest.raises(UnverifiedGrant):
        here.issuer.refresh(unsigned(text)[name])


@pytest.mark.parametrize("change", [{"typ": "at+jwt"}, {"typ": "JWT"}, {"alg": "HS512"}, {"crit": []}, {"x": 1}])
def test_a_header_of_another_spelling_is_not_ours_even_if_signed(here: House, text: str, change: Any) -> None:
    with pytest.raises(UnverifiedGrant):
        here.issuer.refresh(resigned(here.issuer, text, {}, change))


CLAIMS: list[dict[str, Any]] = [
    *({name: ...} for name in ("iss", "aud", "sub", "client_id", "sid", "seq", "jti", "iat", "exp", "scope")),
    *({name: ...} for name in ("auth_time", "family_exp", "access_aud")),
    *({name: None} for name in ("iss", "aud", "sub", "sid", "scope", "claims", "access_aud")),
    *({name: -1} for name in ("seq", "iat", "exp", "auth_time", "family_exp")),
    *({name: True} for name in ("seq", "iat", "exp", "auth_time", "family_exp")),
    {"seq": 0.0},
    {"seq": "0"},
    {"seq": 1},  # jti is that of 0
    {"jti": "x"},
    {"sub": 5},
    {"access_aud": []},
    {"access_aud": [5]},
    {"access_aud": "x"},
    {"access_aud": 5},
    {"claims": []},
]


@pytest.mark.parametrize("changes", CLAIMS, ids=str)
def test_claims_that_we_do_not_write(here: House, text: str, changes: Any) -> None:
    with pytest.raises(MalformedGrant):
        here.issuer.refresh(resigned(here.issuer, text, changes))


PAYLOADS = [
    "",
    "[]",
    "null",
    '{"iss":"a","iss":"a"}',
    '{"exp":NaN}',
    "[" * 70 + "]" * 70,
    b"\xff",
    "{} x",
    '{"a":"\\ud800"}',
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_json_is_read_strictly_even_if_signed(here: House, text: str, payload: str | bytes) -> None:
    header = json.dumps(part(text, 0), separators=(",", ":"))
    with pytest.raises(MalformedGrant):
        here.issuer.refresh(sealed(here.issuer, header, payload))


@pytest.mark.parametrize("changes", [{"iss": "https://other.example"}, {"aud": AUDIENCE}])
def test_another_issuer_with_the_same_secret(here: House, text: str, changes: Any) -> None:
    with pytest.raises(OtherIssuer):
        here.issuer.refresh(resigned(here.issuer, text, changes))
    with pytest.raises(OtherIssuer):
        house("https://other.example").issuer.refresh(text)


def test_times(here: House, text: str) -> None:
    """Without leeway at the end; of another host's clock a minute at the start."""
    issuer = here.issuer
    for changes in ({"exp": NOW}, {"family_exp": NOW}, {"exp": NOW - 1}):
        with pytest.raises(ExpiredGrant):
            issuer.refresh(resigned(issuer, text, changes))
    with pytest.raises(EarlyGrant):
        issuer.refresh(resigned(issuer, text, {"iat": NOW + 61}))
    good = here.issuer.issue("alice").refresh_token or ""
    assert issuer.refresh(resigned(issuer, good, {"iat": NOW + 60})).access_token
    assert issuer.refresh(resigned(issuer, good, {"exp": NOW + 1})).access_token


def test_a_session_never_lasts_longer_than_is_configured_now(text: str) -> None:
    now = house(family_lifetime=1800)
    tokens = now.issuer.issue("alice", client_id="spa")
    assert part(tokens.refresh_token or "")["exp"] == NOW + 1800
    now.clock.advance(1800)
    with pytest.raises(ExpiredGrant):
        now.issuer.refresh(text)  # it says 30 days


class Secret:
    def __init__(self, kid: str) -> None:
        self.kid, self.secret = kid, kid.encode() * 32


def lengthy(length: int) -> tuple[RefreshTokens, RefreshToken]:
    """A later token whose text has this length, and who writes it."""
    issued = house().issuer
    token = replace(issued._sessions._tokens.read(issued.issue("alice").refresh_token or ""), sequence=1)
    for kid in ("1", "12", "123"):
        tokens = RefreshTokens(ISSUER, lambda kid=kid: [Secret(kid)], 10**9)  # type: ignore[misc]  # mypy infers no lambda with a default
        for padding in range(length * 3 // 4 - 800, length * 3 // 4):
            longer = replace(token, grant=replace(token.grant, claims={"x": "y" * padding}))
            if len(tokens.write(longer)) == length:
                return tokens, longer
    raise AssertionError("no token of that length was made")


@pytest.mark.parametrize(("length", "good"), [(16_384 - 64, True), (16_384 - 63, False)])
def test_the_first_of_a_session_leaves_room_for_those_that_follow(length: int, good: bool) -> None:
    tokens, later = lengthy(length)
    first = replace(later, sequence=0)
    if good:
        assert len(tokens.write(first)) == length
    else:
        with pytest.raises(ValueError, match="too long"):
            tokens.write(first)


@pytest.mark.parametrize(("length", "good"), [(16_384, True), (16_385, False)])
def test_the_longest_that_is_read(length: int, good: bool) -> None:
    tokens, token = lengthy(length)
    if good:
        assert tokens.read(tokens.write(token)) == token
    else:
        with pytest.raises(MalformedGrant):
            tokens.read(tokens.write(token))


def test_every_secret_verifies_and_the_first_signs() -> None:
    one, two = Secret("1"), Secret("2")
    held = [one]
    tokens = RefreshTokens(ISSUER, lambda: held, 10**6)
    issued = house(keys=None).issuer
    first = tokens.write(issued._sessions._tokens.read(issued.issue("alice").refresh_token or ""))
    held[:] = [two, one]
    second = tokens.write(tokens.read(first))
    assert (part(first, 0)["kid"], part(second, 0)["kid"]) == ("1", "2")
    held[:] = [two]
    assert tokens.write(tokens.read(second)) == second
    with pytest.raises(UnverifiedGrant):
        tokens.read(first)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_only_grant_errors_come_of_mutated_tokens(here: House, text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    mutated = data.draw(
        st.sampled_from(
            [
                text[:at] + data.draw(st.characters()) + text[at + 1 :],
                text[:at] + text[at + 1 :],
                text[:at] + data.draw(st.text(max_size=5)) + text[at:],
                ".".join(data.draw(st.permutations(text.split(".")))),
            ]
        )
    )
    before = here.told()
    if mutated != text:
        with pytest.raises(InvalidGrant):
            here.issuer.refresh(mutated)
        for name in ("web", "spa"):
            client = here.client(name)
            assert here.issuer.introspect(mutated, caller=client) == {"active": False}
            here.issuer.revoke(token=mutated, caller=client)
        assert here.told() == before


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5),
    st.sampled_from(
        [
            "iss",
            "aud",
            "sub",
            "client_id",
            "sid",
            "seq",
            "jti",
            "iat",
            "exp",
            "scope",
            "auth_time",
            "family_exp",
            "access_aud",
            "confidential",
            "claims",
        ]
    ),
)
def test_only_grant_errors_come_of_signed_nonsense(value: Any, name: str) -> None:
    here = house()
    good = here.issuer.issue("alice").refresh_token or ""
    try:
        payload = json.dumps({**part(good), name: value}).encode()
        here.issuer.refresh(sealed(here.issuer, json.dumps(part(good, 0), separators=(",", ":")), payload))
    except GrantError:
        pass
