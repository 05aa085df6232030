"""What most tests need: keys that are made once, tokens under a standing clock, and a policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.testing import ManualClock

NOW = 4_000_000_000
ISSUER, AUDIENCE = "https://as.example", "https://api.example"
SECRET = b"an-hmac-secret-of-forty-eight-octets-or-even-more-than-sixty-four"


@cache
def key(alg: str = "ES256", name: str = "main") -> SigningKey:
    return SigningKey.generate(alg, kid=f"{name}-{alg}")


def jwks(*keys: SigningKey) -> dict[str, Any]:
    return {"keys": [one.public_jwk() for one in keys or (key(),)]}


def b64(data: bytes | str) -> str:
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def claims(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The claims of a good RFC 9068 token; ``...`` in the changes leaves a claim out."""
    content = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "client",
        "iat": NOW - 10,
        "exp": NOW + 300,
        "jti": "token-1",
        "scope": "read write",
        **(changes or {}),
    }
    return {name: value for name, value in content.items() if value is not ...}


def token(
    changes: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None, by: SigningKey | None = None
) -> str:
    """A signed token; ``header`` and ``changes`` add or replace, ``...`` leaves out."""
    full = {"alg": (by or key()).alg, "kid": (by or key()).kid, "typ": "at+jwt", **(header or {})}
    return raw(
        json.dumps({name: value for name, value in full.items() if value is not ...}),
        json.dumps(claims(changes)),
        by,
    )


def raw(header: bytes | str, payload: bytes | str, by: SigningKey | None = None) -> str:
    """A token over exactly these texts, truly signed."""
    return sealed(f"{b64(header)}.{b64(payload)}", by)


def sealed(signing_input: str, by: SigningKey | None = None) -> str:
    from cryptojwt.jws.jws import SIGNER_ALGS

    signer = by or key()
    return f"{signing_input}.{b64(SIGNER_ALGS[signer.alg].sign(signing_input.encode(), signer._native))}"


def policy(**settings: Any) -> TrustedIssuer:
    return TrustedIssuer(ISSUER, **{"audience": AUDIENCE, "keys": jwks(), **settings})


def auth(*policies: TrustedIssuer, **settings: Any) -> BearerAuth:
    return BearerAuth(*(policies or (policy(),)), **{"clock": ManualClock(NOW), **settings})
