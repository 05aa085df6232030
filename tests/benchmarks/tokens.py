"""Keys and tokens, made with PyJWT. The tokens are of the usual shape: about 900 bytes with RS256."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")
LIFE = 24 * 3600


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Signer:
    """One key of an issuer: `private` signs, `public` verifies (the same bytes for HS256)."""

    alg: str
    kid: str
    private: Any
    public: Any
    jwk: dict[str, Any] = field(repr=False)
    issuer: str = ISSUER

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    def token(self, changes: Mapping[str, Any] | None = None, *, kid: str | None = None) -> str:
        body = {**claims(self.issuer), **(changes or {})}
        headers = {"typ": "at+jwt", "kid": kid or self.kid}
        return jwt.encode(body, self.private, algorithm=self.alg, headers=headers)


@cache
def signer(alg: str, kid: str = "", issuer: str = ISSUER) -> Signer:
    kid = kid or f"2026-{alg.lower()}-1"
    if alg == "HS256":
        secret = secrets.token_bytes(32)
        return Signer(alg, kid, secret, secret, {"kty": "oct", "k": b64(secret), "kid": kid, "alg": alg}, issuer)
    private: Any
    if alg == "RS256":
        private = rsa.generate_private_key(65537, 2048)
    elif alg == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    return Signer(alg, kid, private, private.public_key(), public_jwk(alg, private.public_key(), kid), issuer)


def public_jwk(alg: str, public: Any, kid: str) -> dict[str, Any]:
    jwk = jwt.get_algorithm_by_name(alg).to_jwk(public, as_dict=True)
    kept = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    return {**kept, "kid": kid, "alg": alg, "use": "sig"}


def claims(issuer: str = ISSUER) -> dict[str, Any]:
    """What common issuers put into an access token; sub and jti differ in every token."""
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": secrets.token_hex(8),
        "aud": AUDIENCE,
        "exp": now + LIFE,
        "iat": now - 5,
        "nbf": now - 5,
        "jti": secrets.token_urlsafe(16),
        "client_id": "web-frontend",
        "scope": "openid profile read:orders write:orders",
        "sid": secrets.token_hex(16),
        "auth_time": now - 60,
        "name": "Ada Lovelace",
        "email_verified": True,
        "roles": ["buyer", "editor"],
    }


def many(source: Signer, count: int, changes: Mapping[str, Any] | None = None, *, kid: str | None = None) -> list[str]:
    return [source.token(changes, kid=kid) for _ in range(count)]


def expired(source: Signer, count: int) -> list[str]:
    now = int(time.time())
    return many(source, count, {"exp": now - 3600, "iat": now - 7200, "nbf": now - 7200, "auth_time": now - 7200})


def bad_signature(source: Signer, count: int) -> list[str]:
    """Good tokens, the signature taken from their neighbour: right length, right range, wrong text."""
    good = many(source, count + 1)
    return [f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}" for one, other in pairwise(good)]


def garbage(count: int) -> dict[str, list[str]]:
    """By kind: a word without dots, and three random segments of the length of a token."""
    return {
        "garbage, no dots": [secrets.token_urlsafe(32) for _ in range(count)],
        "garbage, three parts": [
            ".".join(secrets.token_urlsafe(size) for size in (51, 374, 256)) for _ in range(count)
        ],
    }


def join(header: str | bytes | Mapping[str, Any], payload: str | bytes, signature: str) -> str:
    if isinstance(header, Mapping):
        header = json.dumps(header, separators=(",", ":"))
    head, body = (b64(part.encode() if isinstance(part, str) else part) for part in (header, payload))
    return f"{head}.{body}.{signature}"
