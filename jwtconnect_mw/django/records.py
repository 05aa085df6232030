"""Writes down what was issued: one row for each session, kept up to date, for the admin and for look-ups by ``jti``.

``tokens_issued`` and ``tokens_refreshed`` are sent after a row was written, with ``row`` and ``tokens``; the sender is
the model.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.db import IntegrityError, router, transaction
from django.db.models import F, Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from .._strict import b64url_decode, json_object
from ..issuer import Issuer, Tokens
from ..issuer.hooks import ask_list
from ..revocation import Family
from .models import JWTConnectAuthToken
from .models.tokens import joined_names, moment

tokens_issued, tokens_refreshed = Signal(), Signal()

_LONGEST = 255
_KEPT = 30 * 86_400  # seconds that a row outlives its tokens, unless it is purged
_PURGED_PER_WRITE = 2

_log = logging.getLogger("jwtconnect_mw.django")


@dataclass(frozen=True)
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
        audience: Any = row.aud[0] if len(row.aud) == 1 else row.aud
        told = {
            "jti": self.token_id,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "sub": row.sub,
            "aud": audience,
            "client_id": row.client_id,
            "scope": row.scope,
            "sid": row.sid,
            "auth_time": row.auth_time,
        }
        return {name: value for name, value in told.items() if value not in (None, "", [])}

    def is_live(self, issuer: Issuer) -> bool:
        """Whether it is good now; the revocation list is asked. Raises ServiceUnavailable.

        A refresh token is, while it is the last one of its session.
        """
        row, now = self.row, issuer.clock()
        if not row.client_id:
            return False  # of the older package, whose tokens are not taken any more
        if not row.is_active or self.expires_at is None or now >= self.expires_at:
            return False
        revocations = issuer.revocations
        identity = issuer.issuer, self.token_id, row.sid, row.sub, row.auth_time, now
        if ask_list(revocations.is_revoked, *identity):
            return False
        if self.kind == "access":
            return True
        if row.sid is None or row.sub is None or row.auth_time is None:
            return False
        family = Family(issuer.issuer, row.sid, row.sub, row.client_id, row.auth_time)
        return bool(ask_list(revocations.current, family) == row.sequence)


def record(tokens: Tokens, *, user: Any = None, alone: bool = False) -> JWTConnectAuthToken | None:
    """Write down a pair that was just issued or refreshed. What is written are identifiers and times.

    ``user``: whose it is; None leaves it as it is known. ``alone``: other sessions of the user ended with this one.
    None, where the subject or another name is longer than 255 characters or holds NUL: such a pair works all the
    same, but is not found by ``jti``. Raises what the database raises.
    """
    found = _columns(tokens)
    if found is None:
        _log.warning("a token pair was not recorded: a name in it is too long, or holds NUL")
        return None
    if user is not None:
        found["user_id"] = user.pk
    row, is_new = _written(found)
    if alone:
        same = Q(user_id=row.user_id) if row.user_id is not None else Q(user=None, sub=row.sub)
        _rows().filter(same, is_active=True).exclude(pk=row.pk).update(is_active=False)
    if is_new:
        purge(limit=_PURGED_PER_WRITE, keep=_KEPT)
    signal = tokens_refreshed if found["sequence"] else tokens_issued
    signal.send(JWTConnectAuthToken, row=row, tokens=tokens)
    return row


def find(jti: object) -> Recorded | None:
    """The token with this ``jti``: the last access token or the last but one of a session, or its refresh token."""
    if not isinstance(jti, str) or not jti or not _is_storable(jti):
        return None
    rows = _rows().filter(Q(access_jti=jti) | Q(refresh_jti=jti) | Q(previous_jti=jti)).select_related("user")
    # Compared once more: there are databases that take no account of case.
    return next((token for row in rows for token in _tokens(row) if token.token_id == jti), None)


def live(user: Any) -> QuerySet[JWTConnectAuthToken]:
    """The sessions of a user that can still be refreshed, as far as this table was told; the newest first."""
    rows = _rows().filter(user_id=user.pk, is_active=True, refresh_expire_at__gt=timezone.now())
    return rows.order_by("-issued_at", "-pk")


def note(event: str, context: Mapping[str, Any]) -> None:
    """An ``on_event`` hook for Issuer: rows of what was revoked are no longer active."""
    session, subject = context.get("session"), context.get("subject")
    if event not in ("revoked", "reuse") or "token_id" in context:
        return  # one access token says nothing about the session
    if session is not None:
        _rows().filter(sid=session).update(is_active=False)
    elif isinstance(subject, str) and _is_storable(subject):
        _note_subject(subject)


def purge(*, limit: int = 1000, keep: float = 0.0) -> int:
    """Drop at most ``limit`` rows whose tokens have all expired, ``keep`` seconds ago or earlier; how many."""
    end = timezone.now() - datetime.timedelta(seconds=keep)
    rows = _rows().filter(
        Q(refresh_expire_at=None, created__lt=end) | Q(refresh_expire_at__lt=end),
        Q(access_expire_at=None) | Q(access_expire_at__lt=end),
        Q(previous_expire_at=None) | Q(previous_expire_at__lt=end),
    )
    keys = list(rows.values_list("pk", flat=True)[:limit])
    return _rows().filter(pk__in=keys).delete()[0] if keys else 0


def _tokens(row: JWTConnectAuthToken) -> Iterator[Recorded]:
    yield Recorded(row, row.access_jti or "", "access", row.iat, row.access_exp)
    yield Recorded(row, row.refresh_jti or "", "refresh", row.iat, row.refresh_exp)
    issued, expires = _seconds(row.previous_issued_at), _seconds(row.previous_expire_at)
    yield Recorded(row, row.previous_jti or "", "access", issued, expires)


def _rows() -> QuerySet[JWTConnectAuthToken]:
    return JWTConnectAuthToken._base_manager.using(router.db_for_write(JWTConnectAuthToken))


def _columns(tokens: Tokens) -> dict[str, Any] | None:
    """The texts are our own, so nothing is verified here."""
    access = _claims(tokens.access_token)
    refresh = {} if tokens.refresh_token is None else _claims(tokens.refresh_token)
    audience = access["aud"] if isinstance(access["aud"], list) else [access["aud"]]
    found = {
        "sub": access["sub"],
        "access_jti": access["jti"],
        "refresh_jti": refresh.get("jti"),
        "sid": tokens.session,
        "client_id": access.get("client_id", ""),
    }
    if not all(_is_storable(name) for name in (*found.values(), *audience) if name is not None):
        return None
    return {
        **found,
        "audience": joined_names(audience),
        "scope": refresh.get("scope", tokens.scope),
        "sequence": refresh.get("seq", 0),
        "auth_time": refresh.get("auth_time"),
        "issued_at": moment(access["iat"]),
        "access_expire_at": moment(access["exp"]),
        "refresh_expire_at": moment(refresh["exp"]) if refresh else None,
    }


def _claims(text: str) -> dict[str, Any]:
    return json_object.read(b64url_decode(text.split(".")[1].encode()))


def _is_storable(name: str) -> bool:
    return len(name) <= _LONGEST and "\0" not in name


def _written(found: dict[str, Any]) -> tuple[JWTConnectAuthToken, bool]:
    using = router.db_for_write(JWTConnectAuthToken)
    if found["sequence"] and (row := _updated(found, using)) is not None:
        return row, False
    row = JWTConnectAuthToken(**found)
    try:
        with transaction.atomic(using):
            row.save(using=using, force_insert=True)
    except IntegrityError:
        # Another thread has just recorded the same session.
        known = _updated(found, using)
        if known is None:
            raise
        return known, False
    return row, True


def _updated(found: dict[str, Any], using: str) -> JWTConnectAuthToken | None:
    if found["sid"] is None:
        return None
    rows = _rows().filter(sid=found["sid"])
    with transaction.atomic(using):
        # Locks the row. A transaction of SQLite that began with reading might not get to write.
        if not rows.update(sequence=F("sequence")):
            return None
        row: JWTConnectAuthToken = rows.get()
        if found["access_jti"] == row.access_jti:
            return row
        if found["sequence"] < row.sequence:  # refreshed once more meanwhile
            _set_previous(row, found["access_jti"], found["issued_at"], found["access_expire_at"])
        else:
            _set_previous(row, row.access_jti, row.issued_at, row.access_expire_at)
            for name, value in found.items():
                setattr(row, name, value)
        row.save(using=using)
        return row


def _set_previous(row: JWTConnectAuthToken, jti: str | None, issued: Any, expires: Any) -> None:
    row.previous_jti, row.previous_issued_at, row.previous_expire_at = jti, issued, expires


def _note_subject(subject: str) -> None:
    """How far back it was revoked, only the list knows."""
    from .conf import wiring

    wired = wiring()
    if wired.issuer is None:
        return
    revocations, now = wired.issuer.revocations, wired.issuer.clock()
    for row in _rows().filter(sub=subject, is_active=True).iterator(chunk_size=1000):
        if revocations.is_revoked(wired.issuer.issuer, row.access_jti, row.sid, subject, row.auth_time, now):
            _rows().filter(pk=row.pk).update(is_active=False)


def _seconds(time: datetime.datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
