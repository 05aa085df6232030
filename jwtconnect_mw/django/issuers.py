"""The issuer of a project: whose users may have tokens, what is told of them, and what is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .._strict import b64url_decode, json_object
from ..errors import InactiveUser
from ..issuer import Issuer, Tokens
from ..issuer.clients import Client
from ..issuer.errors import InactiveSubject, InvalidRequest
from ..issuer.inspection import Caller
from ..token import AccessToken
from .claims_map import USER_PK
from .users import Users

_log = logging.getLogger("jwtconnect_mw.django")

ClaimsHook = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ProjectIssuer(Issuer):
    """An Issuer that records what it refreshes, and what it gives to clients.

    ``allow_refresh``: False refuses to refresh (JWTAUTH_ALLOW_REFRESH).
    """

    users: Users
    legacy = False
    allow_refresh = True
    single_session = False

    def refresh(self, refresh_token: str, *, scope: str | None = None, client_id: str | None = None) -> Tokens:
        """As Issuer.refresh. Raises InvalidRequest where refreshing is off."""
        if not self.allow_refresh:
            raise InvalidRequest
        return self._recorded(super().refresh(refresh_token, scope=scope, client_id=client_id))

    def client_credentials(
        self, client: Client, *, scope: str | None = None, audience: str | Collection[str] | None = None
    ) -> Tokens:
        """As Issuer.client_credentials."""
        return self._recorded(super().client_credentials(client, scope=scope, audience=audience))

    def _recorded(self, tokens: Tokens) -> Tokens:
        try:
            self.record(tokens)
        except Exception as error:  # what was handed out stays so, whatever becomes of the record
            _log.error("what was handed out could not be recorded: %s", type(error).__name__)
        return tokens

    def introspect(self, token: str, *, caller: Caller | str) -> dict[str, Any]:
        """As Issuer.introspect. Who has taken over a user name sees nothing of who had it before."""
        found = super().introspect(token, caller=caller)
        if found["active"] and isinstance(caller, AccessToken) and not is_same_user(caller, _user_of(token)):
            return {"active": False}
        return found

    def issue_for(
        self,
        user: Any,
        *,
        audience: str | Collection[str] | None = None,
        scope: str = "",
        claims: Mapping[str, Any] | None = None,
        client_id: str | None = None,
        access_lifetime: float | None = None,
    ) -> Tokens:
        """Begin a session of a user; see Issuer.issue. Nothing is recorded: see ``record``.

        The mapped claims are added by the hook, anew at each refresh; only what the user is found by is carried along.
        """
        return self.issue(
            self.users.subject(user),
            audience=self.audience_of(audience),
            scope=scope,
            claims={**(claims or {}), **self.users.naming(user)},
            client_id=client_id,
            access_lifetime=access_lifetime,
        )

    def audience_of(self, asked: str | Collection[str] | None) -> str | Collection[str] | None:
        """As asked; with the older settings also this project, which looked at no audience before."""
        if not asked or not self.legacy:
            return asked or None
        names = [asked] if isinstance(asked, str) else list(asked)
        return names if self.issuer in names else [*names, self.issuer]

    def record(self, tokens: Tokens, *, user: Any = None) -> Any:
        """Write down identifiers and times of a pair that was just issued: the row, see ``records``.

        Where sessions are to be alone, those that ``user`` began under another name end now: the list, which goes by
        subjects, knows nothing of them. Raises ServiceUnavailable then.
        """
        from . import issuing, records  # models are there once the applications are

        row = records.record(tokens, user=user, alone=self.single_session)
        if user is not None and self.single_session:
            subject = self.users.subject(user)
            issuing.revoke_rows(issuing.under_other_names(records.unexpired(user), subject))
        return row


def is_same_user(caller: AccessToken, user_pk: object) -> bool:
    """Of two that have the same subject; the primary key is not known of every token."""
    own = caller.claims.get(USER_PK)
    return own is None or user_pk is None or str(own) == str(user_pk)


def _user_of(text: str) -> object:
    """Of a token that was verified: the claim stands in access tokens, and among what refresh tokens carry."""
    claims = json_object.read(b64url_decode(text.split(".")[1].encode()))
    carried = claims.get("claims")
    return {**(carried if isinstance(carried, dict) else {}), **claims}.get(USER_PK)


def project_issuer(
    settings: Mapping[str, Any], users: Users, revocations: Any, clock: Callable[[], float], *, legacy: bool
) -> ProjectIssuer:
    """``settings``: arguments of Issuer. Raises ConfigurationError, and TypeError where one is missing."""
    given = {**settings, "claims": _claims_hook(settings, users, legacy=legacy), "on_event": _event_hook(settings)}
    issuer = ProjectIssuer(**given, revocations=revocations, clock=clock)
    issuer.users, issuer.legacy = users, legacy
    issuer.single_session = bool(settings.get("single_session"))
    return issuer


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


def _event_hook(settings: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], object]:
    """Records of what was revoked are no longer active; then the project's own hook is told."""
    own = settings.get("on_event")

    def on_event(event: str, context: Mapping[str, Any]) -> None:
        from . import records

        try:
            records.note(event, context)
        except Exception as error:  # the revocation list is what counts
            _log.error("what was revoked could not be recorded: %s", type(error).__name__)
        if own is not None:
            own(event, context)

    return on_event


def _of_user(users: Users, known: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    if not users.can_find(known):
        return {}
    try:
        return users.claims_map.of(users.load(known))
    except InactiveUser:
        if strict:
            raise InactiveSubject from None
        return {}
