"""Access tokens made by other people's software: npm issuers over their own JWKS, Python libraries with given keys."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import httpx
import jwt as pyjwt
import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwk
from joserfc import jwt as joserfc_jwt

from jwtconnect_mw import ANY_AUDIENCE, AuthError, BearerAuth, TrustedIssuer, asgi, wsgi
from tests.real.issuers import RunningIssuer, Start, started

API, OTHER_API = "https://api.example", "https://other.example"

OIDC_PROVIDER = [
    ("oidc_provider.mjs", "RS256"),
    ("oidc_provider.mjs", "PS256", "/tenant-a"),
    ("oidc_provider.mjs", "ES256", "/tenants/b", "oauth"),
    ("oidc_provider.mjs", "EdDSA", "/tenants/b", "openid"),
]
MOCK_SERVER = [("mock_server.mjs", alg) for alg in ("RS256", "RS512", "PS384", "ES384", "ES512", "EdDSA", "Ed25519")]


def issuers(*commands: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", commands, ids=lambda command: " ".join(command).replace(".mjs", ""))


every_issuer = issuers(*OIDC_PROVIDER, *MOCK_SERVER)


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    with started() as start:
        yield start


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims, as PyJWT reads them."""
    return pyjwt.get_unverified_header(token), pyjwt.decode(token, options={"verify_signature": False})


def refusal(auth: BearerAuth, token: str) -> tuple[int, str | None, str]:
    with pytest.raises(AuthError) as caught:
        auth.authenticate(f"Bearer {token}")
    return caught.value.status, caught.value.error, caught.value.reason


# --- npm issuers, keys by discovery ---


@pytest.mark.node
@every_issuer
def test_a_token_is_accepted_over_the_discovered_keys(start: Start, command: tuple[str, ...]) -> None:
    issuer = start(*command)
    text = issuer.token(resource=API, scope="read")
    header, claims = unverified(text)
    auth = BearerAuth(TrustedIssuer(issuer.issuer, audience=API))

    token = auth.authenticate(f"Bearer {text}")

    assert header["alg"] == command[1]
    assert token is not None
    assert token.claims == claims
    assert (token.issuer, token.scopes) == (issuer.issuer, frozenset({"read"}))
    assert (token.subject, token.client_id) == (issuer.client_id, issuer.client_id)  # the mock server's have neither


@pytest.mark.node
@issuers(*OIDC_PROVIDER)
def test_oidc_provider_makes_rfc_9068_tokens(start: Start, command: tuple[str, ...]) -> None:
    issuer = start(*command)
    auth = BearerAuth(TrustedIssuer(issuer.issuer, audience=API, profile="rfc9068"))

    token = auth.authenticate(f"Bearer {issuer.token(resource=API)}")

    assert token is not None
    assert (token.subject, token.scopes) == (issuer.client_id, frozenset())


def tampered(token: str) -> str:
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def resigned(token: str, **header: str) -> str:
    """The same claims under the same header, but signed by a key of ours."""
    head, claims = unverified(token)
    alg = {"Ed25519": "EdDSA"}.get(head["alg"], head["alg"])
    return pyjwt.encode(claims, private_key(alg, 0), alg, {"typ": head["typ"], "kid": head["kid"], **header})


NOT_GOOD: dict[str, Callable[[RunningIssuer], str]] = {
    "wrong_audience": lambda issuer: issuer.token(resource=OTHER_API),
    "bad_signature": lambda issuer: tampered(issuer.token(resource=API)),
    "bad_signature (own key)": lambda issuer: resigned(issuer.token(resource=API)),
    "unknown_key": lambda issuer: resigned(issuer.token(resource=API), kid="ours"),
}


@pytest.mark.node
@every_issuer
@pytest.mark.parametrize("keys", ["cold", "warm"])
@pytest.mark.parametrize("case", NOT_GOOD)
def test_a_token_is_refused(start: Start, command: tuple[str, ...], keys: str, case: str) -> None:
    issuer = start(*command)
    auth = BearerAuth(TrustedIssuer(issuer.issuer, audience=API))
    if keys == "warm":
        auth.authenticate(f"Bearer {issuer.token(resource=API)}")

    assert refusal(auth, NOT_GOOD[case](issuer)) == (401, "invalid_token", case.partition(" ")[0])


@pytest.mark.node
@every_issuer
@pytest.mark.parametrize("keys", ["cold", "warm"])
@pytest.mark.parametrize(("passed", "reasons"), [(3700, {"expired"}), (-60, {"not_yet_valid", "issued_in_future"})])
def test_a_token_is_refused_at_another_time(
    start: Start, command: tuple[str, ...], keys: str, passed: int, reasons: set[str]
) -> None:
    issuer = start(*command)
    now = [0.0]
    auth = BearerAuth(TrustedIssuer(issuer.issuer, audience=API), clock=lambda: time.time() + now[0])
    text = issuer.token(resource=API)
    if keys == "warm":
        auth.authenticate(f"Bearer {text}")
    now[0] += passed

    assert refusal(auth, text)[2] in reasons


@pytest.mark.node
@every_issuer
def test_policies_that_refuse(start: Start, command: tuple[str, ...]) -> None:
    issuer, stranger = start(*command), start(*OIDC_PROVIDER[command == OIDC_PROVIDER[0]])
    text = issuer.token(resource=API)
    for policy, reason in {
        TrustedIssuer(stranger.issuer, audience=API): "untrusted_issuer",
        TrustedIssuer(f"{issuer.issuer}/", audience=API): "untrusted_issuer",
        TrustedIssuer(issuer.issuer, audience=API, algorithms=("RS384",)): "algorithm_not_allowed",
        TrustedIssuer(issuer.issuer, audience=API, required_claims=("azp",)): "missing_claim",
    }.items():
        assert refusal(BearerAuth(policy), text) == (401, "invalid_token", reason)


@pytest.mark.node
@issuers(*MOCK_SERVER)
def test_the_mock_server_is_not_rfc_9068_and_may_send_no_audience(start: Start, command: tuple[str, ...]) -> None:
    issuer = start(*command)
    text = issuer.token(scope="read")
    assert "aud" not in unverified(text)[1]
    strict = TrustedIssuer(issuer.issuer, audience=API, profile="rfc9068")

    assert refusal(BearerAuth(strict), issuer.token(resource=API))[2] == "wrong_token_type"
    assert refusal(BearerAuth(TrustedIssuer(issuer.issuer, audience=API)), text)[2] == "missing_claim"
    token = BearerAuth(TrustedIssuer(issuer.issuer, audience=ANY_AUDIENCE)).authenticate(f"Bearer {text}")
    assert token is not None
    assert token.scopes == {"read"}


@pytest.mark.node
def test_all_issuers_are_trusted_by_one_auth(start: Start) -> None:
    running = [start(*command) for command in OIDC_PROVIDER + MOCK_SERVER]
    auth = BearerAuth(*(TrustedIssuer(issuer.issuer, audience=API) for issuer in running))
    for issuer in running:
        token = auth.authenticate(f"Bearer {issuer.token(resource=API)}")
        assert token is not None
        assert token.issuer == issuer.issuer


@pytest.mark.node
@issuers(OIDC_PROVIDER[0], MOCK_SERVER[0])
def test_an_issuer_that_is_gone(command: tuple[str, ...]) -> None:
    with started() as start:
        issuer = start(*command)
        cold, warm = (BearerAuth(TrustedIssuer(issuer.issuer, audience=API)) for _ in range(2))
        seen, text = issuer.token(resource=API), issuer.token(resource=API, scope="write")
        warm.authenticate(f"Bearer {seen}")

    assert refusal(cold, text) == (503, "temporarily_unavailable", "keys_unavailable")
    assert warm.authenticate(f"Bearer {text}") is not None


# --- the same through the middlewares ---

Ask = Callable[[BearerAuth, Mapping[str, str]], httpx.Response]


def ask_wsgi(auth: BearerAuth, headers: Mapping[str, str]) -> httpx.Response:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(environ["jwtconnect_mw.token"].claims).encode()]

    transport = httpx.WSGITransport(wsgi.BearerMiddleware(app, auth))
    with httpx.Client(transport=transport, base_url=API) as client:
        return client.get("/", headers=headers)


def ask_asgi(auth: BearerAuth, headers: Mapping[str, str]) -> httpx.Response:
    async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(scope["jwtconnect_mw.token"].claims).encode()})

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(asgi.BearerMiddleware(app, auth))
        async with httpx.AsyncClient(transport=transport, base_url=API) as client:
            return await client.get("/", headers=headers)

    return asyncio.run(ask())


@pytest.mark.node
@every_issuer
@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
def test_through_the_middleware(start: Start, command: tuple[str, ...], ask: Ask) -> None:
    issuer = start(*command)
    auth = BearerAuth(TrustedIssuer(issuer.issuer, audience=API), required_scopes={"write"})
    good = issuer.token(resource=API, scope="read write")
    answers = [
        ask(auth, headers)
        for headers in (
            {"Authorization": f"Bearer {good}"},
            {},
            {"Authorization": f"Bearer {issuer.token(resource=OTHER_API, scope='write')}"},
            {"Authorization": f"Bearer {issuer.token(resource=API, scope='read')}"},
        )
    ]

    assert [answer.status_code for answer in answers] == [200, 401, 401, 403]
    assert answers[0].json() == unverified(good)[1]
    challenges = [answer.headers["WWW-Authenticate"] for answer in answers[1:]]
    assert [challenge.split()[0] for challenge in challenges] == ["Bearer"] * 3
    assert "error" not in challenges[0]
    assert 'error="invalid_token"' in challenges[1]
    assert 'error="insufficient_scope"' in challenges[2]
    assert 'scope="write"' in challenges[2]


# --- Python libraries, given keys ---

ISSUER = "https://as.example"
PRIVATE_PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def private_key(alg: str, number: int) -> Any:
    """A key for ``alg``, made once; another ``number`` is another key."""
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    if alg in curves:
        return ec.generate_private_key(curves[alg])
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return secrets.token_bytes(32) if alg == "HS256" else rsa.generate_private_key(65537, 2048)


@cache
def as_jwk(alg: str, number: int) -> jwk.Key:
    key = private_key(alg, number)
    kty: Any = {"HS": "oct", "Ed": "OKP", "ES": "EC"}.get(alg[:2], "RSA")
    made: jwk.Key = jwk.import_key(key if kty == "oct" else key.private_bytes(*PRIVATE_PEM), kty)
    made.ensure_kid()
    return made


def claims_now() -> dict[str, Any]:
    now = int(time.time())
    mine = {"iss": ISSUER, "aud": [OTHER_API, API], "sub": "alice", "client_id": "cli", "jti": secrets.token_hex(8)}
    return {**mine, "iat": now, "exp": now + 60, "scope": "read write"}


def by_pyjwt(alg: str, number: int) -> str:
    return pyjwt.encode(claims_now(), private_key(alg, number), alg, {"typ": "at+jwt", "kid": as_jwk(alg, number).kid})


def by_joserfc(alg: str, number: int) -> str:
    alg_9864 = {"EdDSA": "Ed25519"}.get(alg, alg)  # joserfc warns of the name EdDSA (RFC 9864)
    key = as_jwk(alg, number)
    return joserfc_jwt.encode({"alg": alg_9864, "typ": "at+jwt", "kid": key.kid}, claims_now(), key, [alg_9864])


def by_authlib(alg: str, number: int) -> str:
    """The RFC 9068 generator of Authlib's authorization server; its tokens carry no kid."""

    class Generator(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib has no types
        def get_jwks(self) -> Any:
            return as_jwk(alg, number)

        def get_audiences(self, client: Any, user: Any, scope: str) -> list[str]:
            return [OTHER_API, API]

    client, user = SimpleNamespace(get_client_id=lambda: "cli"), SimpleNamespace(get_user_id=lambda: "alice")
    return str(Generator(ISSUER, alg).access_token_generator(client, "authorization_code", user, "read write"))


ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")
MADE = [(make, alg) for make in (by_pyjwt, by_joserfc) for alg in (*ASYMMETRIC, "HS256")]
MADE += [(by_authlib, alg) for alg in ("RS256", "ES256", "HS256")]  # the only ones its generator signs with
made = pytest.mark.parametrize(("make", "alg"), MADE, ids=lambda value: getattr(value, "__name__", value))


def given_keys(alg: str, form: str) -> Any:
    if form == "jwks":
        algs = ("HS256",) if alg == "HS256" else ASYMMETRIC
        return jwk.KeySet([as_jwk(name, 0) for name in algs]).as_dict(private=alg == "HS256")
    key = private_key(alg, 0)
    return (
        key
        if alg == "HS256"
        else key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )


def policy(alg: str, form: str, **changes: Any) -> TrustedIssuer:
    named = {"algorithms": ("HS256",)} if alg == "HS256" else {}
    return TrustedIssuer(ISSUER, **{"audience": API, "keys": given_keys(alg, form), **named, **changes})


@made
@pytest.mark.parametrize("form", ["jwks", "bare"])
@pytest.mark.parametrize("profile", ["default", "rfc9068"])
def test_a_library_token_is_accepted_with_given_keys(
    make: Callable[[str, int], str], alg: str, form: str, profile: str
) -> None:
    text = make(alg, 0)

    token = BearerAuth(policy(alg, form, profile=profile)).authenticate(f"Bearer {text}")

    assert token is not None
    assert token.to_dict() == unverified(text)[1]
    assert (token.issuer, token.subject, token.client_id) == (ISSUER, "alice", "cli")
    assert token.scopes == {"read", "write"}


@made
@pytest.mark.parametrize("form", ["jwks", "bare"])
def test_a_library_token_is_refused(make: Callable[[str, int], str], alg: str, form: str) -> None:
    text = make(alg, 0)
    later = BearerAuth(policy(alg, form), clock=lambda: time.time() + 30 * 86400)  # Authlib's live for ten days

    assert refusal(later, text) == (401, "invalid_token", "expired")
    for changes, reason in (
        ({"audience": "https://elsewhere.example"}, "wrong_audience"),
        ({"required_claims": ("azp",)}, "missing_claim"),
    ):
        assert refusal(BearerAuth(policy(alg, form, **changes)), text)[2] == reason
    assert refusal(BearerAuth(policy(alg, form)), tampered(text))[2] == "bad_signature"
    # A kid that nobody knows is refused before any key is tried; a key given bare, or a token without one, is tried.
    unknown = form == "jwks" and "kid" in unverified(text)[0]
    assert refusal(BearerAuth(policy(alg, form)), make(alg, 1))[2] == ("unknown_key" if unknown else "bad_signature")


@made
def test_an_algorithm_that_is_not_named_is_refused(make: Callable[[str, int], str], alg: str) -> None:
    others = [name for name in ASYMMETRIC if name != alg]
    auth = BearerAuth(policy("RS256", "jwks", algorithms=others))

    assert refusal(auth, make(alg, 0)) == (401, "invalid_token", "algorithm_not_allowed")
