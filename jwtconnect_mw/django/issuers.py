"""The issuer of a project: whose users may have tokens, what is told of them, and that a refresh is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InactiveUser
from ..issuer import Issuer, Tokens
from ..issuer.errors import InactiveSubject, InvalidRequest
from .users import Users

_log = logging.getLogger("jwtconnect_mw.django")

ClaimsHook = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ProjectIssuer(Issuer):
    """An Issuer whose refreshed pairs are recorded. ``allow_refresh``: False refuses them (JWTAUTH_ALLOW_REFRESH)."""

    allow_refresh = True

    def refresh(self, refresh_token: str, *, scope: str | None = None, client_id: str | None = None) -> Tokens:
        """As Issuer.refresh. Raises InvalidRequest where refreshing is off."""
        if not self.allow_refresh:
            raise InvalidRequest
        tokens = super().refresh(refresh_token, scope=scope, client_id=client_id)
        _record(tokens)
        return tokens


def project_issuer(
    settings: Mapping[str, Any], users: Users, revocations: Any, clock: Callable[[], float], *, legacy: bool
) -> ProjectIssuer:
    """``settings``: arguments of Issuer. Raises ConfigurationError, and TypeError where one is missing."""
    given = {**settings, "claims": _claims_hook(settings, users, legacy=legacy)}
    return ProjectIssuer(**given, revocations=revocations, clock=clock)


def _claims_hook(settings: Mapping[str, Any], users: Users, *, legacy: bool) -> ClaimsHook:
    """One query for a session: the user is there, is active, and says its claims. Where the project has its own
    ``is_active`` that has the verdict, and a subject need not be a user.
    """
    own: ClaimsHook | None = settings.get("claims")
    strict = settings.get("is_active") is None

    def claims(known: Mapping[str, Any]) -> Mapping[str, Any]:
        found: dict[str, Any] = {"ttype": "T"} if legacy else {}
        if "sid" in known:  # else a client asks for itself
            found.update(_of_user(users, known, strict=strict))
        return found if own is None else {**found, **own(known)}

    return claims


def _of_user(users: Users, known: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    if not users.can_find(known):
        return {}
    try:
        return users.claims(users.load(known))
    except InactiveUser:
        if strict:
            raise InactiveSubject from None
        return {}


def _record(tokens: Tokens) -> None:
    """A pair that was handed out stays so, whatever becomes of the record."""
    from . import records

    try:
        records.record(tokens)
    except Exception as error:
        _log.error("a refreshed pair could not be recorded: %s", type(error).__name__)
