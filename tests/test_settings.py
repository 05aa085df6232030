"""Bad configuration is refused when built, with a message that names the field."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from jwtconnect_mw import ANY_AUDIENCE, AuthError, BearerAuth, ConfigurationError, HttpFetch, TrustedIssuer
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.errors import InsufficientScope
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.token import Claims

from .cases import without_kid
from .kit import AUDIENCE, ISSUER, SECRET, b64, jwks, key, policy, token
from .kit import auth as make_auth


def pem(signer: SigningKey) -> str:
    public = signer._native.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(signer: SigningKey, password: bytes | None = None) -> str:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return signer._native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def certificate(signer: SigningKey) -> str:
    """A self-signed one; its dates are not looked at: a key is trusted because it was configured."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "as.example")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(datetime(2000, 1, 1)).not_valid_after(datetime(2001, 1, 1))
    signed = builder.public_key(signer._native.public_key()).sign(
        signer._native, None if signer.alg == "EdDSA" else hashes.SHA256()
    )
    return signed.public_bytes(Encoding.PEM).decode()


async def never_run(*_: object) -> str:
    raise AssertionError("it was run")


class NeverRun:
    async def __call__(self, *_: object) -> None:
        raise AssertionError("it was run")

    async def is_revoked(self, *_: object) -> bool:
        raise AssertionError("it was run")


async def never_ending(*_: object) -> AsyncIterator[None]:
    raise AssertionError("it was run")
    yield


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("issuer", {"issuer": ""}),
    ("issuer", {"issuer": None}),
    ("issuer", {"issuer": b"https://as.example"}),
    ("audience", {"audience": None}),
    ("audience", {"audience": ""}),
    ("audience", {"audience": []}),
    ("audience", {"audience": [""]}),
    ("audience", {"audience": ["a", 1]}),
    ("audience", {"audience": 5}),
    ("audience", {"audience": b"x"}),
    ("algorithms", {"algorithms": []}),
    ("algorithms", {"algorithms": "RS256"}),
    ("algorithms", {"algorithms": ["none"]}),
    ("algorithms", {"algorithms": ["RS256", "RS1"]}),
    ("algorithms", {"algorithms": ["rs256"]}),
    ("algorithms", {"algorithms": ["HS256"]}),  # public keys
    ("algorithms", {"algorithms": ["HS256"], "keys": pem(key())}),
    ("algorithms", {"algorithms": ["HS256", "ES256"], "keys": pem(key())}),
    ("algorithms", {"algorithms": ["HS256"], "keys": None}),
    ("algorithms", {"algorithms": ["HS256"], "keys": "https://as.example/jwks"}),
    ("algorithms", {"keys": SECRET}),
    ("algorithms", {"keys": SECRET, "algorithms": ["ES256"]}),
    ("keys", {"algorithms": ["RS256"]}),  # an EC key
    ("keys", {"keys": b"", "algorithms": ["HS256"]}),
    ("keys", {"keys": b"x" * 31, "algorithms": ["HS256"]}),
    ("keys", {"keys": b"x" * 47, "algorithms": ["HS256", "HS384"]}),
    ("keys", {"keys": b"x" * 63, "algorithms": ["HS512"]}),
    ("keys", {"keys": pem(key()).encode(), "algorithms": ["HS256"]}),
    ("keys", {"keys": b"ssh-rsa " + b"A" * 64, "algorithms": ["HS256"]}),
    ("keys", {"keys": ""}),
    ("keys", {"keys": "a secret given as text, which is long enough"}),
    ("keys", {"keys": "/no/such/file"}),
    ("keys", {"keys": Path("/no/such/file")}),
    ("keys", {"keys": "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----"}),
    ("keys", {"keys": {"keys": []}}),
    ("keys", {"keys": {"keys": "x"}}),
    ("keys", {"keys": {"keys": [None]}}),
    ("keys", {"keys": {"kty": "EC"}}),
    ("keys", {"keys": {}}),
    ("keys", {"keys": 5}),
    ("keys", {"keys": x25519.X25519PrivateKey.generate()}),
    ("keys", {"keys": dsa.generate_private_key(1024)}),
    ("keys", {"keys": ec.generate_private_key(ec.SECP256K1())}),
    ("keys", {"keys": ec.generate_private_key(ec.BrainpoolP256R1())}),
    ("keys", {"keys": {**jwks()["keys"][0], "kid": 5}}),
    ("keys", {"keys": private_pem(key(), b"a password")}),
    ("keys", {"keys": "ftp://as.example/jwks"}),
    ("keys", {"keys": "http://as.example/jwks"}),
    ("keys", {"keys": "https://user:secret@as.example/jwks"}),
    ("keys", {"keys": "https://"}),
    ("issuer", {"issuer": "http://as.example", "keys": None}),
    ("issuer", {"issuer": "as.example", "keys": None}),
    ("issuer", {"issuer": "https://as.example?x=1", "keys": None}),
    ("issuer", {"issuer": "https://as.example#x", "keys": None}),
    ("issuer", {"issuer": "https://user@as.example", "keys": None}),
    ("leeway", {"leeway": -1}),
    ("leeway", {"leeway": 301}),
    ("leeway", {"leeway": "10"}),
    ("leeway", {"leeway": True}),
    ("leeway", {"leeway": float("nan")}),
    ("profile", {"profile": "strict"}),
    ("profile", {"profile": ["default"]}),
    ("required_claims", {"required_claims": "sub"}),
    ("required_claims", {"required_claims": [""]}),
    ("scope_claim", {"scope_claim": ""}),
    ("scope_claim", {"scope_claim": None}),
    ("scope_claim", {"scope_claim": never_run}),
    *[("trust_http", {"trust_http": value}) for value in ("false", 1, 0, None)],
    ("keys", {"keys": pem(key()) + pem(key("ES256", "second"))}),
    ("keys", {"keys": private_pem(key()) + pem(key("ES256", "second"))}),
    ("keys", {"keys": certificate(key()) + pem(key("ES256", "second"))}),
    ("keys", {"keys": private_pem(key("ES256", "second")) + certificate(key())}),
    ("algorithms", {"keys": {"kty": "oct", "k": b64(pem(key()).encode())}, "algorithms": ["HS256"]}),
    ("keys", {"keys": {"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" + bytes(56))}, "algorithms": ["Ed448"]}),
    ("keys", {"keys": {"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" + bytes(55) + b"\x80")}, "algorithms": ["Ed448"]}),
]


@pytest.mark.parametrize(("field", "settings"), REFUSED, ids=repr)
def test_a_bad_policy_is_refused(field: str, settings: dict[str, Any]) -> None:
    full = {"issuer": ISSUER, "audience": AUDIENCE, "keys": jwks(), **settings}
    with pytest.raises(ConfigurationError, match=rf"^{field}: \w") as caught:
        TrustedIssuer(full.pop("issuer"), **full)
    assert caught.value.field == field
    assert "secret" not in str(caught.value).replace("a secret", "").replace("the secret", "")


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("optional", {"optional": "yes"}),
        ("optional", {"optional": True}),
        ("required_scopes", {"required_scopes": "read"}),
        ("required_scopes", {"required_scopes": ["read write"]}),
        ("required_scopes", {"required_scopes": ['re"ad']}),
        ("required_scopes", {"required_scopes": [""]}),
        ("required_scopes", {"required_scopes": [1]}),
        ("public", {"public": "/health"}),
        ("public", {"public": ""}),
        ("public", {"public": ["health"]}),
        ("public", {"public": ["/"]}),
        ("public", {"public": ["/a/../b"]}),
        ("public", {"public": ["/a//b"]}),
        ("public", {"public": ["/%61"]}),
        ("public", {"public": [1]}),
        ("realm", {"realm": "a\r\nSet-Cookie: x"}),
        ("realm", {"realm": "é"}),
        ("realm", {"realm": 1}),
        ("resource_metadata", {"resource_metadata": "https://api.example/\n"}),
        ("required_scopes", {"required_scopes": None}),
        ("public", {"public": 5}),
        ("preflight", {"preflight": "no"}),
        ("remote_user", {"remote_user": 1}),
        ("remote_user", {"remote_user": "sub"}),
        ("on_refused", {"on_refused": "log"}),
        ("fetch", {"fetch": 5}),
        ("clock", {"clock": 5}),
        *[(name, {name: never_run}) for name in ("on_refused", "observer", "fetch", "clock", "remote_user")],
        *[(name, {name: NeverRun()}) for name in ("on_refused", "observer", "fetch", "clock", "remote_user")],
        ("on_refused", {"on_refused": partial(never_run, 1)}),
        *[("on_refused", {"on_refused": partial(one)}) for one in (NeverRun(), partial(never_run, 1), never_ending)],
        ("revocations", {"revocations": NeverRun()}),
        ("revocations", {"revocations": MemoryRevocationList}),
        ("revocations", {"revocations": ["a-jti"]}),
        ("cache_size", {"cache_size": -1}),
        ("cache_size", {"cache_size": 1.5}),
        ("cache_size", {"cache_size": True}),
    ],
    ids=repr,
)
def test_a_bad_setting_is_refused(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{field}: \w"):
        make_auth(**settings)


def spki(private: Any) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


PKCS8 = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
NO_SECRETS: dict[str, bytes] = {
    "DER of P-256": spki(ec.generate_private_key(ec.SECP256R1())),
    "DER of P-384": spki(ec.generate_private_key(ec.SECP384R1())),
    "DER of P-521": spki(ec.generate_private_key(ec.SECP521R1())),
    "DER of RSA": spki(rsa.generate_private_key(65537, 2048)),
    "DER of Ed25519": spki(ed25519.Ed25519PrivateKey.generate()),
    "DER of Ed448": spki(ed448.Ed448PrivateKey.generate()),
    "DER of a private key": ec.generate_private_key(ec.SECP256R1()).private_bytes(*PKCS8),
    "DER of a certificate": x509.load_pem_x509_certificate(certificate(key()).encode()).public_bytes(Encoding.DER),
    "PEM": pem(key()).encode(),
    "the base64 in a PEM": "".join(pem(key()).splitlines()[1:-1]).encode(),
    "the lines in a PEM": "\n".join(pem(key()).splitlines()[1:-1]).encode(),
    "urlsafe base64": base64.urlsafe_b64encode(spki(ec.generate_private_key(ec.SECP384R1()))).rstrip(b"="),
    "a JWK set": json.dumps(jwks()).encode(),
    "a JWK": json.dumps(key().public_jwk()).encode(),
}


@pytest.mark.parametrize("name", NO_SECRETS)
def test_what_everybody_may_read_is_no_secret(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^keys: bytes are a secret"):
        policy(keys=NO_SECRETS[name], algorithms=["HS256"])


@pytest.mark.parametrize("secret", [b"\x30\x59" + b"r" * 62, b"[1, 2]" + b" " * 40, b"A" * 64, bytes(range(64))])
def test_secrets_that_only_look_like_something(secret: bytes) -> None:
    assert policy(keys=secret, algorithms=["HS256"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithms": []}, "algorithms: at least one is needed"),
        ({"algorithms": ["RS256", "RS1", "none"]}, "algorithms: unknown: RS1, none"),
        ({"keys": "a secret given as text"}, "keys: neither a URL, nor PEM, nor an existing file"),
        ({"keys": {"keys": []}}, "keys: no usable key: the set is empty"),
        ({"keys": {"keys": [None, {}]}}, "keys: no usable key: not an object; unknown key type"),
    ],
    ids=repr,
)
def test_a_bad_policy_is_told_why(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        policy(**settings)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_bounds_are_within(algorithm: str, least: int) -> None:
    assert policy(keys=b"x" * least, algorithms=[algorithm], leeway=300).leeway == 300


def test_functions_of_every_kind() -> None:
    """What tests put in the place of a function as well."""

    def told(*_: object) -> None:
        pass

    for hook in (
        told,
        partial(told, 1),
        Mock(),
        Mock(spec=told),
        create_autospec(told),
        print,
        str,
        NeverRun,
        [].append,
    ):
        make_auth(on_refused=hook)


def test_scopes_may_come_from_anywhere_once() -> None:
    with pytest.raises(InsufficientScope) as caught:
        make_auth(required_scopes=(scope for scope in ("admin", "read"))).authenticate("Bearer " + token())  # type: ignore[arg-type]
    assert caught.value.scope == "admin read"


def test_a_scope_claim_that_fails_is_told_seldom_and_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    def roles(claims: Claims) -> list[str]:
        raise LookupError(claims["sub"])

    bearer_auth = make_auth(policy(scope_claim=roles), required_scopes=["read"])
    for number in range(3):
        with pytest.raises(AuthError, match="malformed"):
            bearer_auth.authenticate("Bearer " + token({"jti": str(number)}))
    assert caplog.messages == ["the scope_claim function failed: LookupError"]


def test_aud_can_be_required_of_whatever_audience() -> None:
    text = "Bearer " + token({"aud": ...})
    assert make_auth(policy(audience=ANY_AUDIENCE)).authenticate(text)
    with pytest.raises(AuthError, match="required claim"):
        make_auth(policy(audience=ANY_AUDIENCE, required_claims=["aud"])).authenticate(text)


def test_the_issuers_are_checked() -> None:
    for issuers in ((), (policy(), policy()), ("https://as.example",)):
        with pytest.raises(ConfigurationError, match=r"^issuers: "):
            BearerAuth(*issuers)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^remote_user: "):
        make_auth(policy(), TrustedIssuer("b", audience="b", keys=jwks()), remote_user=True)


BAD_FETCHES: list[dict[str, Any]] = [
    *({"deadline": value} for value in (0, 61, "5", None, True)),
    *({"ca_file": value} for value in ("/no/such/file", 5, b"ca.pem")),
    *({"max_body": value} for value in (0, -1, 1.5, True, None)),
]


def test_the_least_body_that_may_be_fetched() -> None:
    HttpFetch(max_body=1)


@pytest.mark.parametrize("settings", BAD_FETCHES, ids=repr)
def test_a_bad_fetch_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(settings))}: "):
        HttpFetch(**settings)


@pytest.mark.parametrize(
    "keys",
    [
        jwks(),
        jwks()["keys"][0],
        pem(key()),
        "\n" + private_pem(key()),
        certificate(key()),
        key()._native,
        key()._native.public_key(),
        without_kid(key()),
    ],
    ids=["set", "jwk", "pem", "private pem", "certificate", "private", "public", "no kid"],
)
def test_keys_can_be_given_in_several_forms(keys: object) -> None:
    assert make_auth(policy(keys=keys)).authenticate(f"Bearer {token()}")


def test_a_static_issuer_is_any_name() -> None:
    assert TrustedIssuer("urn:example:as", audience=["a", "b"], keys=jwks()).issuer == "urn:example:as"


def test_a_policy_is_immutable_and_shows_no_key() -> None:
    trusted = policy(keys=SECRET, algorithms=["HS256"])
    with pytest.raises(AttributeError):
        trusted.issuer = "x"
    assert repr(trusted) == f"TrustedIssuer({ISSUER!r})"
    assert repr(ANY_AUDIENCE) == "ANY_AUDIENCE"


def test_any_audience_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        policy(audience=ANY_AUDIENCE)
    assert "ANY_AUDIENCE" in caplog.text
