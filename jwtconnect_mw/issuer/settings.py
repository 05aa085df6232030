"""The settings of an issuer, checked when it is built: every default and every bound of theirs stands here."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError

ACCESS_LIFETIME, REFRESH_LIFETIME = 1800, 3600
GRACE, MOST_GRACE = 10.0, 60
SKEW = 60
"""Seconds by which the clocks of an issuer's hosts may differ."""
_MOST_SECONDS = 10**10

_SCOPE = re.compile(r"[!#-\[\]-~]+(?: +[!#-\[\]-~]+)*")
# What follows from how the issuer is built and mounted, and so cannot be said otherwise.
_OWN_METADATA = frozenset(
    ("issuer", "jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"),
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """In whole seconds: of an access token, of a refresh token, of a session. ``grace``: seconds for a retry."""

    access: int
    refresh: int
    family: int
    grace: float


def lifetimes(access: object, refresh: object, family: object, grace: object) -> Lifetimes:
    """Raises ConfigurationError, naming the field."""
    found = Lifetimes(
        _whole("access_lifetime", access),
        _whole("refresh_lifetime", refresh),
        _whole("family_lifetime", family),
        _number("grace", grace, 0, MOST_GRACE),
    )
    if found.access > found.family:
        raise ConfigurationError("access_lifetime", "an access token may not outlive its session (family_lifetime)")
    return found


def _whole(field: str, value: object) -> int:
    return int(_number(field, value, 1, _MOST_SECONDS))


def _number(field: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:  # nor NaN
        raise ConfigurationError(field, f"a number of seconds from {least} to {most} is needed")
    return value


def moment(field: str, value: object) -> float:
    """A time in seconds since the epoch. Raises ConfigurationError."""
    return _number(field, value, -_MOST_SECONDS, 10 * _MOST_SECONDS)


def text(field: str, value: object) -> str:
    """A non-empty string that has a UTF-8 form. Raises ConfigurationError."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(field, "a non-empty string is needed")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(field, "a lone surrogate is no character") from None
    return value


def audiences(value: object) -> tuple[str, ...]:
    """One or several names of APIs, each once. Raises ConfigurationError."""
    if isinstance(value, str):
        return (text("audience", value),)
    if isinstance(value, bytes) or not isinstance(value, Collection) or not value:
        raise ConfigurationError("audience", "a non-empty string, or a collection of them, is needed")
    return tuple(dict.fromkeys(text("audience", name) for name in value))


def scopes(value: object) -> tuple[str, ...] | None:
    """The scope-tokens of a space-separated text, each once (RFC 6749 section 3.3); None where it is malformed."""
    if value == "":
        return ()
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        return None
    return tuple(scope for scope in dict.fromkeys(value.split(" ")) if scope)


def metadata(value: object) -> dict[str, Any]:
    """More members of the metadata document, copied. Raises ConfigurationError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError("metadata", "a mapping is needed")
    for name, member in value.items():
        if not isinstance(name, str) or name in _OWN_METADATA or member is None:
            raise ConfigurationError("metadata", f"{name!r} may not be set, or not to this")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("metadata", "not what JSON can say") from None
    return copied
