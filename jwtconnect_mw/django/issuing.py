"""Token pairs for users: issued, recorded, and revoked again, with the issuer of the settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..errors import ConfigurationError
from ..issuer import Tokens
from . import records
from .conf import wiring
from .issuers import ProjectIssuer
from .models import JWTConnectAuthToken


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


def subjects(user: Any) -> set[str]:
    """What ``user`` is and was called in tokens that may still be good."""
    return {wiring().users.subject(user), *filter(None, records.live(user).values_list("sub", flat=True))}


def revoke_subjects(names: Collection[str]) -> None:
    """Every session that these subjects have. Raises ServiceUnavailable."""
    for name in names:
        issuer().revoke(subject=name)


def revoke_rows(rows: Iterable[JWTConnectAuthToken]) -> int:
    """The sessions of these rows, and of those that belong to none, the access tokens; how many.

    Raises ServiceUnavailable.
    """
    number = 0
    for row in list(rows):
        if row.sid is not None:
            issuer().revoke(session=row.sid)
        elif row.access_jti is not None:
            issuer().revocations.revoke_token(issuer().issuer, row.access_jti, expires_at=row.access_exp)
        JWTConnectAuthToken._base_manager.using(row._state.db).filter(pk=row.pk).update(is_active=False)
        number += 1
    return number
