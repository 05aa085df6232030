"""Token pairs for users: issued, recorded, and revoked again, with the issuer of the settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ..errors import ConfigurationError
from ..issuer import Tokens
from ..issuer.hooks import ask_list
from .conf import wiring
from .issuers import ProjectIssuer
from .models import JWTConnectAuthToken
from .recorded import all_rows, unended


def issuer() -> ProjectIssuer:
    """That of the settings. Raises ConfigurationError where they name none."""
    found = wiring().issuer
    if found is None:
        raise ConfigurationError("issuer", "the settings name no issuer")
    return found


def issue(
    user: Any,
    *,
    audience: str | Collection[str] | None = None,
    scope: str = "",
    claims: Mapping[str, Any] | None = None,
    client_id: str | None = None,
) -> tuple[Tokens, JWTConnectAuthToken | None]:
    """Begin a session of ``user``: the tokens, and the row that was written of them. See Issuer.issue."""
    found = issuer()
    tokens = found.issue_for(user, audience=audience, scope=scope, claims=claims, client_id=client_id)
    return tokens, found.record(tokens, user=user)


def revoking(user: Any) -> Callable[[], None]:
    """What revokes all sessions of ``user``, who may be renamed or gone when it is called. Raises ServiceUnavailable.

    By what the user is called now, and by the record of sessions that began under another name: that may be the name
    of somebody else by now. Also of those that are recorded as revoked, for the record decides nothing.
    """
    subject = wiring().users.subject(user)
    rows = under_other_names(unended(user), subject)

    def revoke() -> None:
        issuer().revoke(subject=subject)
        revoke_rows(rows)

    return revoke


def under_other_names(rows: Iterable[JWTConnectAuthToken], subject: str) -> list[JWTConnectAuthToken]:
    """Compared here: there are databases that take no account of case."""
    return [row for row in rows if row.sub != subject]


def revoke_user(user: Any) -> None:
    """All sessions of ``user``. Raises ServiceUnavailable."""
    revoking(user)()


def revoke_access(token_id: str, expires_at: float | None) -> None:
    """One access token. Raises ServiceUnavailable."""
    found = issuer()
    ask_list(found.revocations.revoke_token, found.issuer, token_id, expires_at=expires_at)


def revoke_rows(rows: Iterable[JWTConnectAuthToken]) -> int:
    """The sessions of these rows, and of those that belong to none, the access tokens; how many.

    Raises ServiceUnavailable.
    """
    every = list(rows)
    sessions = {row.sid for row in every if row.sid is not None}
    alone = [row for row in every if row.sid is None]
    for sid in sessions:
        issuer().revoke(session=sid)  # which is noted in all its rows
    for row in alone:
        if row.access_jti is not None:
            revoke_access(row.access_jti, row.access_exp)
        all_rows().filter(pk=row.pk).update(is_active=False)
    return len(sessions) + len(alone)
