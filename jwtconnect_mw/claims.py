"""What the claims of an access token must be (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8725)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ._seldom import Seldom
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
from .policy import TrustedIssuer
from .token import Claims

_log = logging.getLogger("jwtconnect_mw")
_seldom = Seldom(_log)
_LEAST_TIME, _MOST_TIME = -(10**18), 10**18
_ABSENT = _LEAST_TIME  # of a time that is not there: long ago
# Claims that only ID tokens, logout tokens and security events have.
_FOREIGN = ("at_hash", "c_hash", "events")
_FOREIGN_TYPES = frozenset({"id", "refresh", "logout"})
_REMEMBERED_SCOPE = 256


def check_claims(claims: Mapping[str, Any], policy: TrustedIssuer, now: float) -> tuple[float, float]:
    """Refuse claims that break a rule of the policy; ``now`` in seconds since the epoch.

    Returns the time span, leeway included, within which the token is good: from the first, before the second.
    Raises an InvalidToken.
    """
    get = claims.get
    issuer = get("iss")
    if type(issuer) is not str:
        raise MalformedClaim if "iss" in claims else MissingClaim
    if issuer != policy.issuer:
        raise UntrustedIssuer
    subject = get("sub", "-")
    if type(subject) is not str or not subject:
        raise MalformedClaim
    if type(get("jti", "")) is not str or type(get("client_id", "")) is not str:
        raise MalformedClaim
    if (  # written out, because this is asked for every token
        "cnf" in claims
        or "typ" in claims
        or "ttype" in claims
        or "at_hash" in claims
        or "c_hash" in claims
        or "events" in claims
    ):
        _check_kind(claims)
    for name in policy.required_claims:
        if get(name) is None:
            raise MalformedClaim if name in claims else MissingClaim
    if "aud" in claims:
        audience = claims["aud"]
        if type(audience) is not str or audience not in policy.audience:
            _check_other_audience(audience, policy)
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


def _check_other_audience(audience: object, policy: TrustedIssuer) -> None:
    """For what is not simply one name of ours."""
    if type(audience) is str:
        raise WrongAudience
    if type(audience) is not list or not audience:
        raise MalformedClaim
    for name in audience:
        if type(name) is not str:
            raise MalformedClaim
    if policy.audience.isdisjoint(audience):
        raise WrongAudience


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> tuple[float, float]:
    expires = claims["exp"]  # every profile requires it
    earliest, issued = claims.get("nbf", _ABSENT), claims.get("iat", _ABSENT)
    for time in (expires, earliest, issued):  # JSON numbers within bounds (RFC 7519 section 2, NumericDate)
        if (type(time) is not int and type(time) is not float) or not _LEAST_TIME <= time <= _MOST_TIME:
            raise MalformedClaim
    if issued > expires:
        raise MalformedClaim
    if now >= expires + leeway:
        raise Expired
    if now < earliest - leeway:
        raise NotYetValid
    if issued > now + leeway:
        raise IssuedInFuture
    return (earliest if earliest > issued else issued) - leeway, expires + leeway


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
    except Exception as error:
        _seldom.error("the scope_claim function failed: %s", type(error).__name__)  # its text may hold anything
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
