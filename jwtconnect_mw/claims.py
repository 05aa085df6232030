"""What the claims of an access token must be (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8725)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .errors import (
    Expired,
    IssuedInFuture,
    MalformedClaim,
    MissingClaim,
    NotYetValid,
    SenderConstrained,
    UntrustedIssuer,
    WrongAudience,
    WrongTokenType,
)
from .policy import AnyAudience, TrustedIssuer
from .token import Claims

_MOST_SECONDS = 10**18
# Claims that only ID tokens, logout tokens and security events have.
_FOREIGN = ("at_hash", "c_hash", "events")
_FOREIGN_TYPES = frozenset({"id", "refresh", "logout"})
_REMEMBERED_SCOPE = 256
_TEXTS = ("sub", "jti", "client_id")


def check_claims(claims: Mapping[str, Any], policy: TrustedIssuer, now: float) -> tuple[float, float]:
    """Refuse claims that break a rule of the policy; ``now`` in seconds since the epoch.

    Returns the time span, leeway included, within which the token is good: from the first, before the second.
    Raises an InvalidToken.
    """
    issuer = claims.get("iss")
    if type(issuer) is not str:
        raise MalformedClaim if "iss" in claims else MissingClaim
    if issuer != policy.issuer:
        raise UntrustedIssuer
    for name in _TEXTS:
        if name in claims and type(claims[name]) is not str:
            raise MalformedClaim
    if claims.get("sub") == "":
        raise MalformedClaim
    _check_kind(claims)
    for name in policy.required_claims:
        if claims.get(name) is None:
            raise MalformedClaim if name in claims else MissingClaim
    if "aud" in claims:
        _check_audience(claims["aud"], policy)
    return _check_times(claims, policy.leeway, now)


def _check_kind(claims: Mapping[str, Any]) -> None:
    for name in _FOREIGN:
        if name in claims:
            raise WrongTokenType
    if "typ" in claims:
        kind = claims["typ"]
        if type(kind) is str and kind.lower() in _FOREIGN_TYPES:
            raise WrongTokenType
    if "ttype" in claims and claims["ttype"] != "T":
        raise WrongTokenType
    if "cnf" in claims:
        raise SenderConstrained


def _check_audience(audience: object, policy: TrustedIssuer) -> None:
    ours = policy.audience
    if type(audience) is str:
        if not isinstance(ours, AnyAudience) and audience not in ours:
            raise WrongAudience
        return
    if type(audience) is not list or not audience:
        raise MalformedClaim
    for name in audience:
        if type(name) is not str:
            raise MalformedClaim
    if not isinstance(ours, AnyAudience) and ours.isdisjoint(audience):
        raise WrongAudience


def _number(value: object) -> Any:
    if (type(value) is not int and type(value) is not float) or not -_MOST_SECONDS <= value <= _MOST_SECONDS:
        raise MalformedClaim
    return value


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> tuple[float, float]:
    expires = _number(claims["exp"])  # every profile requires it
    starts = issued = float("-inf")
    if "nbf" in claims:
        starts = _number(claims["nbf"])
    if "iat" in claims:
        issued = _number(claims["iat"])
        if issued > expires:
            raise MalformedClaim
    if now >= expires + leeway:
        raise Expired
    if now < starts - leeway:
        raise NotYetValid
    if issued > now + leeway:
        raise IssuedInFuture
    return max(starts, issued) - leeway, expires + leeway


def scopes_of(claims: Claims, policy: TrustedIssuer) -> frozenset[str]:
    """The granted scopes: a space-separated string (RFC 8693 section 4.2) or a list of strings. Raises MalformedClaim.

    Takes the read-only claims, because they are handed to the function of the policy.
    """
    granted = _scopes(claims["scope"]) if "scope" in claims else frozenset()
    where = policy.scope_claim
    if where == "scope":
        return granted
    if isinstance(where, str):
        return _scopes(claims[where]) if where in claims else frozenset()
    try:
        found = where(claims)
        return _scopes(found if type(found) is str else tuple(found))  # type: ignore[arg-type]  # a foreign value
    except MalformedClaim:
        raise
    except Exception:
        raise MalformedClaim from None


@lru_cache(1024)  # the same few texts come again and again: one set each saves a tenth of a cached token's memory
def _split(value: str) -> frozenset[str]:
    return frozenset(value.split(" ")) - {""}


def _scopes(value: object) -> frozenset[str]:
    if type(value) is str:
        return _split(value) if len(value) <= _REMEMBERED_SCOPE else _split.__wrapped__(value)
    if isinstance(value, tuple) and all(type(scope) is str for scope in value):
        return frozenset(value)
    raise MalformedClaim
