"""The entries of the list: tokens, sessions and subjects that are revoked."""

from __future__ import annotations

import json
from typing import Literal

from django.db.models import QuerySet

from ...revocation.entries import known_end
from ...revocation.feed import Change
from ..models import RevocationEntry
from . import rows
from .rows import SESSION, SUBJECT, TOKEN, kept, key_of, what_of

_KINDS: tuple[Literal["token", "session", "subject"], ...] = ("token", "session", "subject")


class Entries:
    """``using``: a database of the settings. What writes is for inside a transaction that holds the journal."""

    def __init__(self, using: str) -> None:
        self._using = using

    @property
    def _rows(self) -> QuerySet[RevocationEntry]:
        return RevocationEntry._base_manager.using(self._using)

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. One query."""
        names = ((TOKEN, token_id), (SESSION, session), (SUBJECT, subject))
        keys = [key_of(kind, issuer, name) for kind, name in names if name is not None]
        found = self._rows.filter(key__in=keys).values_list("kind", "ends", "bound")
        return any(
            ends > now and (kind != SUBJECT or started is None or started < bound) for kind, ends, bound in found
        )

    def bound(self, issuer: str, subject: str, now: float) -> float | None:
        """Sessions of ``subject`` that began before that are revoked; None where none are."""
        row = self._rows.filter(key=key_of(SUBJECT, issuer, subject)).first()
        return None if row is None or row.ends <= now else row.bound

    def put(self, serial: int, kind: int, issuer: str, name: str, ends: float, bound: float = 0.0) -> None:
        """Write an entry, which ends never sooner than it was to, unless it is there already."""
        key, ends = key_of(kind, issuer, name), kept(ends)
        row = self._rows.filter(key=key).first()
        if row is None:
            what = what_of(issuer, name)
            self._rows.create(key=key, kind=kind, what=what, ends=ends, bound=bound, serial=serial)
            return
        ends = max(ends, row.ends)
        if (ends, bound) != (row.ends, row.bound):
            self._rows.filter(key=key).update(ends=ends, bound=bound, serial=serial)

    def put_back(self, serial: int, entry: Change) -> None:
        """Write what another list told of, unless more is known here."""
        kind = _KINDS.index(entry.kind)
        known = self._rows.filter(key=key_of(kind, entry.issuer, entry.name)).first()
        bound = entry.bound if known is None else max(entry.bound, known.bound)
        self.put(serial, kind, entry.issuer, entry.name, known_end(entry.ends), bound)

    def after(self, serial: int, now: float, limit: int) -> list[tuple[int, Change]]:
        """The first entries that were written later, each with its number."""
        later = self._rows.filter(serial__gt=serial, ends__gt=now).order_by("serial")[:limit]
        return [(row.serial, _change(row)) for row in later]

    def purge(self, now: float, limit: int) -> int:
        return rows.purge(self._rows, now, limit)


def _change(row: RevocationEntry) -> Change:
    issuer, name = json.loads(row.what)
    return Change(_KINDS[row.kind], issuer, name, row.ends, row.bound)
