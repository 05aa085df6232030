"""Writes down what was issued, for the admin and for look-ups by ``jti`` (see ``recorded``): one row for each pair, and
for each access token of a client itself.

Rows are inserted and never rewritten, but for ``is_active``, so that writers have nothing to agree on.
``tokens_issued`` and ``tokens_refreshed`` are sent after a row was written, with ``row`` and ``tokens``; the sender is
the model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Q
from django.dispatch import Signal

from .._strict import b64url_decode, json_object
from ..issuer import Tokens
from .conf import wiring
from .models import JWTConnectAuthToken
from .models.tokens import joined_names, moment
from .recorded import all_rows, is_storable
from .recorded import find as find
from .recorded import has_session as has_session
from .recorded import live as live
from .recorded import unexpired as unexpired

tokens_issued, tokens_refreshed = Signal(), Signal()

_KEPT = 86_400  # seconds that a row outlives its tokens, unless it is purged
_PURGED_PER_WRITE = 2

_log = logging.getLogger("jwtconnect_mw.django")


def record(tokens: Tokens, *, user: Any = None, alone: bool = False) -> JWTConnectAuthToken | None:
    """Write down a pair that was just issued or refreshed. What is written are identifiers and times.

    ``user``: whose it is; None for whoever the session is known to be of. ``alone``: the sessions of the subject that
    began before this one ended with it.
    None, where the subject or another name is longer than 255 characters or holds NUL: such a pair works all the
    same, but is not found by ``jti``. Raises what the database raises, which undoes nothing but this.
    """
    found = _columns(tokens)
    if found is None:
        _log.warning("a token pair was not recorded: a name in it is too long, or holds NUL")
        return None
    row = JWTConnectAuthToken(**found, **_of_session(tokens.session))
    if user is not None:
        row.user_id = user.pk
    using = router.db_for_write(JWTConnectAuthToken)
    with transaction.atomic(using):
        row.save(using=using, force_insert=True)
        if alone and row.sid is not None:
            _end_earlier(row)
        _purge(_PURGED_PER_WRITE, _KEPT)
    signal = tokens_refreshed if row.sequence else tokens_issued
    signal.send(JWTConnectAuthToken, row=row, tokens=tokens)
    return row


def note(event: str, context: Mapping[str, Any]) -> None:
    """An ``on_event`` hook for Issuer: rows of what was revoked are no longer active."""
    session, subject = context.get("session"), context.get("subject")
    if event not in ("revoked", "reuse") or "token_id" in context:
        return  # one access token says nothing about the session
    if session is not None:
        if is_storable(session):
            all_rows().filter(sid=session, is_active=True).update(is_active=False)
    elif isinstance(subject, str) and is_storable(subject):
        _note_subject(subject)


def purge(*, limit: int = 1000, keep: float = 0.0) -> int:
    """Drop at most ``limit`` rows whose tokens have all expired, ``keep`` seconds ago or earlier; how many."""
    using = router.db_for_write(JWTConnectAuthToken)
    # SQLite locks no rows, and a transaction that begins with reading might not get to write there.
    with transaction.atomic(using) if connections[using].features.has_select_for_update else nullcontext():
        return _purge(limit, keep)


def _purge(limit: int, keep: float) -> int:
    """Rows that somebody else has locked are left to the next time. By date and by second: old rows have no second."""
    second = wiring().clock() - keep
    end = moment(second)
    rows = all_rows()
    skip = connections[rows.db].features.has_select_for_update_skip_locked
    ended = rows.select_for_update(skip_locked=skip).filter(
        Q(refresh_expire_at__lt=end)
        | Q(refresh_expire_at=None, access_expire_at__lt=end)
        | Q(refresh_expire_at=None, access_expire_at=None, created__lt=end),
        Q(access_expire_at=None) | Q(access_expire_at__lt=end),
        Q(access_end=None) | Q(access_end__lt=second),
        Q(refresh_end=None) | Q(refresh_end__lt=second),
    )
    keys = list(ended.values_list("pk", flat=True)[:limit])
    return rows.filter(pk__in=keys).delete()[0] if keys else 0


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
        "issuer": access["iss"],
    }
    if not all(is_storable(name) for name in (*found.values(), *audience) if name is not None):
        return None
    return {
        **found,
        "access_kid": _header(tokens.access_token).get("kid", ""),
        "refresh_kid": "" if tokens.refresh_token is None else _header(tokens.refresh_token)["kid"],
        "audience": joined_names(audience),
        "scope": access.get("scope", ""),
        "granted_scope": refresh.get("scope", ""),
        "sequence": refresh.get("seq", 0),
        "auth_time": access.get("auth_time", access["iat"]),
        "iat": access["iat"],
        "access_exp": access["exp"],
        **({"refresh_exp": refresh["exp"]} if refresh else {}),
    }


def _claims(text: str) -> dict[str, Any]:
    return _part(text, 1)


def _header(text: str) -> dict[str, Any]:
    return _part(text, 0)


def _part(text: str, index: int) -> dict[str, Any]:
    return json_object.read(b64url_decode(text.split(".")[index].encode()))


def _of_session(sid: str | None) -> dict[str, Any]:
    """What is known already of a session that is refreshed: whose it is, and that it was revoked meanwhile."""
    rows = all_rows().filter(sid=sid).order_by("-pk").values("user_id", "is_active")
    return (rows.first() if sid is not None else None) or {}


def _end_earlier(row: JWTConnectAuthToken) -> None:
    """Each session that is to be alone begins later than all before it, by the revocation list: see its protocol. Only
    those of its own subject: the list ended no others.
    """
    began = Q(auth_time=None) | Q(auth_time__lt=row.auth_time)
    same = {"issuer": row.issuer, "sub": row.sub}
    all_rows().filter(began, **same, is_active=True).exclude(pk=row.pk).update(is_active=False)


def _note_subject(subject: str) -> None:
    """How far back it was revoked, only the list knows."""
    wired = wiring()
    if wired.issuer is None:
        return
    authority, now = wired.issuer.authority, wired.issuer.clock()
    rows = all_rows().filter(issuer=wired.issuer.issuer, sub=subject, is_active=True)
    for began in rows.values_list("auth_time", flat=True).order_by("auth_time").distinct():
        if authority.is_revoked(wired.issuer.issuer, None, None, subject, began, now):
            rows.filter(auth_time=began).update(is_active=False)
