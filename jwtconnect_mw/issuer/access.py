"""Access tokens: which claims may be added to them, and their text (RFC 9068, RFC 7515)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .._http import MAX_TOKEN
from .._jose import SigningKey
from .._strict import json_object
from ..errors import ConfigurationError

REGISTERED = frozenset(
    {"iss", "sub", "aud", "client_id", "jti", "iat", "exp", "nbf", "scope", "sid", "auth_time"}
)  # fmt: skip
"""The claims that the issuer alone decides."""
# What verifiers, ours too, take for a token of another kind or for one that is bound to its sender.
_FOREIGN = frozenset({"cnf", "at_hash", "c_hash", "events", "typ"})
_MOST_SIGNATURE = 2_048 * 4 // 3 + 2  # of the largest RSA key that verifiers load, and a dot

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Unsigned(NamedTuple):
    """An access token that lacks only its signature."""

    key: SigningKey
    signing_input: bytes


class AccessTokens:
    """Writes access tokens. ``signer``: gives the key that signs now."""

    def __init__(self, signer: Callable[[], SigningKey]) -> None:
        self._signer = signer
        self._prepared: tuple[SigningKey | None, bytes] = None, b""

    def prepare(self, claims: Mapping[str, Any]) -> Unsigned:
        """All that can fail. Raises ConfigurationError if the token would be longer than verifiers read."""
        key = self._signer()
        known, header = self._prepared
        if known is not key:
            header = _b64url(_encode({"alg": key.alg, "kid": key.kid, "typ": "at+jwt"}).encode()) + b"."
            self._prepared = key, header
        signing_input = header + _b64url(_encode(claims).encode())
        if len(signing_input) > MAX_TOKEN - _MOST_SIGNATURE:
            raise ConfigurationError("claims", f"an access token may have {MAX_TOKEN} characters, with its signature")
        return Unsigned(key, signing_input)

    def sign(self, token: Unsigned) -> str:
        """The text of the token."""
        key, signing_input = token
        return (signing_input + b"." + _b64url(key.signature(signing_input))).decode()


def checked_claims(claims: object) -> dict[str, Any]:
    """A copy of claims that may be added to an access token, as verifiers will read them.

    Raises ConfigurationError, naming the claim, for one that is the issuer's own or makes verifiers refuse the token,
    and for what is not strict JSON.
    """
    if not isinstance(claims, Mapping):
        raise ConfigurationError("claims", "a mapping is needed")
    for name in claims:
        if not isinstance(name, str):
            raise ConfigurationError("claims", "the name of a claim is a string")
        if name in REGISTERED or name in _FOREIGN or (name == "ttype" and claims[name] != "T"):
            raise ConfigurationError("claims", f"{name!r} may not be set")
    try:
        return json_object.read(_encode(dict(claims)).encode())
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("claims", "not what every verifier reads as JSON") from None


def _b64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
