"""Access tokens: which claims may be added to those of the issuer, and their text (RFC 9068)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._http import MAX_TOKEN
from .._strict import json_object, json_text
from ..errors import ConfigurationError
from .signing import Signer as Signer

REGISTERED = frozenset(
    ("iss", "sub", "aud", "client_id", "jti", "iat", "exp", "nbf", "scope", "sid", "auth_time"),
)
"""The claims that the issuer alone decides."""
# What makes verifiers, ours too, take a token for one of another kind or for one that is bound to its sender.
_FOREIGN = frozenset(("cnf", "at_hash", "c_hash", "events", "typ"))


def signed(claims: Mapping[str, Any], key: Signer) -> str:
    """The text of an access token. Raises ConfigurationError if it is longer than verifiers read."""
    text = key.sign_access_token(claims)
    if len(text) > MAX_TOKEN:
        raise ConfigurationError("claims", f"the access token would be longer than {MAX_TOKEN} characters")
    return text


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
        # One level down, as in a refresh token: the levels are counted.
        read: dict[str, Any] = json_object.read(json_text({"claims": dict(claims)}).encode())["claims"]
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("claims", "not what every verifier reads as JSON") from None
    return read
