"""A secret that an issuer shares with all who verify its tokens (HS256): for hosts that began so.

Keys are better: whoever can verify a token of this kind can make one.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .._jwk import ALGORITHMS
from .._private import b64url
from .._strict import json_text
from ..errors import ConfigurationError
from .keyring import KeyChangeError, KeyInfo, RefreshSecret

SHARED_ALGORITHMS = tuple(name for name, needs in ALGORITHMS.items() if needs.kty == "oct")
_INFO = b"jwtconnect_mw refresh secret of a shared secret"
_KID = "shared"


class SharedSecret:
    """Stands in the place of SigningKeys; nothing is published. ``repr`` shows nothing of the secret.

    ``secret``: bytes, at least as many as the algorithm's digest has (RFC 7518 section 3.2): 32, 48 or 64.
    ``algorithm``: HS256, HS384 or HS512. Refresh tokens have a secret of their own, which is derived from it.
    Raises ConfigurationError.
    """

    longest_lifetime = math.inf
    shared = True

    def __init__(self, secret: bytes, *, algorithm: str = "HS256") -> None:
        if algorithm not in SHARED_ALGORITHMS:
            raise ConfigurationError("algorithm", f"one of {', '.join(SHARED_ALGORITHMS)} is needed")
        least = ALGORITHMS[algorithm].least
        if not isinstance(secret, bytes) or len(secret) < least:
            raise ConfigurationError("keys", f"a secret of {least} bytes or more is needed")
        self.algorithm = algorithm
        self._secret, self._digest = secret, f"sha{algorithm[2:]}"
        self._head = b64url(json_text({"alg": algorithm, "typ": "at+jwt"}).encode()) + b"."
        made = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(secret)
        self._refresh = (RefreshSecret(f"{_KID}.refresh", made),)

    def __repr__(self) -> str:
        return f"<SharedSecret {self.algorithm}>"

    def signer(self) -> SharedSecret:
        return self

    def sign_access_token(self, claims: Mapping[str, Any]) -> str:
        """A compact JWS (RFC 7515 section 7.1). Raises ValueError for claims that JSON cannot say."""
        signing_input = self._head + b64url(json_text(claims).encode())
        return (signing_input + b"." + b64url(hmac.digest(self._secret, signing_input, self._digest))).decode()

    def key_set(self) -> dict[str, Any]:
        """Empty: a secret is not published."""
        return {"keys": []}

    def trusted(self) -> dict[str, Any]:
        """What a TrustedIssuer needs in order to verify these tokens."""
        return {"keys": self._secret, "algorithms": (self.algorithm,)}

    def refresh_secrets(self) -> tuple[RefreshSecret, ...]:
        return self._refresh

    def list(self) -> tuple[KeyInfo, ...]:
        return (KeyInfo(_KID, self.algorithm, "current"),)

    def rotate(self, *, at_once: bool = False) -> NoReturn:  # noqa: ARG002  # as SigningKeys has it
        """Raises KeyChangeError."""
        raise KeyChangeError("a shared secret is changed where it is configured")

    def drop(self, kid: str) -> NoReturn:  # noqa: ARG002  # as SigningKeys has it
        """Raises KeyChangeError."""
        raise KeyChangeError("a shared secret is changed where it is configured")

    def watch(self, callback: Callable[[], object]) -> None:
        """It never changes."""
