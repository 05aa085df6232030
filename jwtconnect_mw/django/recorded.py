"""Looks up what was issued: a token by its ``jti``, the sessions of a user, and whether a token is good now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.db import router
from django.db.models import Exists, OuterRef, Q, QuerySet

from ..issuer import Issuer
from ..issuer.hooks import ask_list
from ..revocation import Family
from .conf import wiring
from .models import JWTConnectAuthToken

_LONGEST = 255


@dataclass(frozen=True, repr=False)
class Recorded:
    """A token that was issued. ``issued_at``, ``expires_at``: seconds since the epoch, None where nobody knows."""

    row: JWTConnectAuthToken
    token_id: str
    kind: Literal["access", "refresh"]
    issued_at: int | None
    expires_at: int | None

    def to_dict(self) -> dict[str, Any]:
        """Its claims (RFC 7662 section 2.2), as far as they were recorded."""
        row = self.row
        says_when_it_began = row.sid is not None or row.auth_time != row.iat
        names = row.aud if self.kind == "access" else [row.issuer]  # which alone may read a refresh token
        audience: Any = names[0] if len(names) == 1 else names
        told = {
            "jti": self.token_id,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "sub": row.sub,
            "aud": audience,
            "client_id": row.client_id,
            "scope": row.scope if self.kind == "access" else row.granted_scope,
            "sid": row.sid,
            "auth_time": row.auth_time if says_when_it_began else None,
        }
        return {name: value for name, value in told.items() if value not in (None, "", [])}

    def is_live(self, issuer: Issuer) -> bool:
        """Whether it is good now; the keys and the revocation list are asked. Raises ServiceUnavailable.

        A refresh token is, while it is the last one of its session.
        """
        row, now = self.row, issuer.clock()
        if row.issuer != issuer.issuer:
            return False  # of another name, or of the older package, whose tokens are not taken any more
        if not self._is_signed(issuer) or not row.is_active or self.expires_at is None or now >= self.expires_at:
            return False
        identity = issuer.issuer, self.token_id, row.sid, row.sub, row.auth_time, now
        if ask_list(issuer.authority.is_revoked, *identity):
            return False
        if self.kind == "access":
            return True
        if row.sid is None or row.sub is None or row.auth_time is None:
            return False
        family = Family(issuer.issuer, row.sid, row.sub, row.client_id, row.auth_time)
        return bool(ask_list(issuer.revocations.current, family) == row.sequence)

    def _is_signed(self, issuer: Issuer) -> bool:
        """Whether what signed it still verifies. A secret that is shared has no kid, nor have its tokens."""
        if self.kind == "refresh":
            return self.row.refresh_kid in [secret.kid for secret in issuer.keys.refresh_secrets()]
        return self.row.access_kid in ([key["kid"] for key in issuer.key_set()["keys"]] or [""])


def find(jti: object) -> Recorded | None:
    """The token with this ``jti``. Rows are kept as long as a token of theirs is good, and for a day or so more."""
    if not isinstance(jti, str) or not jti or not is_storable(jti):
        return None
    # The first answer with a refresh token is the one that says when it was issued.
    rows = all_rows().filter(Q(access_jti=jti) | Q(refresh_jti=jti)).order_by("pk")
    # Compared once more: there are databases that take no account of case.
    return next((token for row in rows for token in _tokens(row) if token.token_id == jti), None)


def live(user: Any) -> QuerySet[JWTConnectAuthToken]:
    """Of each session of a user that can still be refreshed, as far as this table was told, the last pair; the newest
    session first.
    """
    later = all_rows().filter(sid=OuterRef("sid"), pk__gt=OuterRef("pk"))
    return unexpired(user).filter(~Exists(later), refresh_end__gt=wiring().clock())


def has_session(user: Any, issuer: Issuer) -> bool:
    """Whether a session of a user can be refreshed now, whatever this table was told. Raises ServiceUnavailable."""
    return any(_refresh_token(row).is_live(issuer) for row in live(user))


def unexpired(user: Any) -> QuerySet[JWTConnectAuthToken]:
    """The pairs of a user of which a token may be good yet, as far as this table was told, the newest session first."""
    return unended(user).filter(is_active=True)


def unended(user: Any) -> QuerySet[JWTConnectAuthToken]:
    """The same with those that were revoked. Access tokens may outlast a session that cannot be refreshed any more."""
    now, of_the_older_package = wiring().clock(), Q(client_id="")
    good = Q(refresh_end__gt=now) | Q(access_end__gt=now)
    rows = all_rows().filter(good, user_id=user.pk).exclude(of_the_older_package)
    return rows.order_by("-auth_time", "-pk")


def all_rows() -> QuerySet[JWTConnectAuthToken]:
    """Where they are written, because a replica of the database may not have the newest."""
    return JWTConnectAuthToken._base_manager.using(router.db_for_write(JWTConnectAuthToken))


def is_storable(name: str) -> bool:
    return len(name) <= _LONGEST and not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in name)


def _tokens(row: JWTConnectAuthToken) -> Iterator[Recorded]:
    yield Recorded(row, row.access_jti or "", "access", row.iat, row.access_exp)
    yield _refresh_token(row)


def _refresh_token(row: JWTConnectAuthToken) -> Recorded:
    return Recorded(row, row.refresh_jti or "", "refresh", row.iat, row.refresh_exp)
