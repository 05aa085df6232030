"""A revocation list in the project's database: for all its processes and hosts, over a restart or a crash."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Collection
from functools import partial
from hashlib import sha256
from typing import Any, Literal, TypeVar

from django.db import connections
from django.db.models import F, QuerySet

from ..errors import ConfigurationError
from ..revocation.cursors import MARKS_KEPT, Cursor, new_mark, resumed
from ..revocation.entries import entry_end, family_start, known_end, subject_bound
from ..revocation.feed import Change, Changes
from ..revocation.protocol import Family, Step
from ..revocation.rotation import Outcome, Record, decide
from .models import RefreshFamily, RevocationEntry, RevocationMark, RevocationState
from .transactions import in_one_transaction, tended

R = TypeVar("R")

_KINDS: tuple[Literal["token", "session", "subject"], ...] = ("token", "session", "subject")
_TOKEN, _SESSION, _SUBJECT = range(3)
_STATE = 1  # the key of the one row
_PURGED_PER_WRITE = 16
_RESTORED_AT_ONCE = 500
_FARTHEST = 1e300  # what every database can hold
_POLLED_EVERY = 0.25  # seconds
_MARKS_DROPPED_AT_ONCE = 100


class OrmRevocationList:
    """Safe for threads, processes and hosts. What was answered is committed, whatever transaction the caller is in.

    ``using``: a database of the settings. SQLite refuses writes inside a transaction of the caller; see
    ``transactions``. A look-up is one query on the caller's connection, so inside a transaction that is isolated more
    than READ COMMITTED it sees what that transaction sees. ``clock``: seconds since the epoch.

    Writes of entries wait for each other on one row, so that serial numbers are committed in their order: a reader that
    has seen one will never find a smaller one later. (Numbers of a sequence are handed out in order, but committed in
    any.) ``advance`` locks nothing but the row of its family, unless it finds a reuse.

    Raises ConfigurationError for ``using``, and later what the database raises, with nothing changed.
    """

    blocking = True
    shared = True

    def __init__(self, using: str = "default", *, clock: Callable[[], float] = time.time) -> None:
        if using not in connections:
            raise ConfigurationError("using", "not one of the DATABASES of the settings")
        self.using, self._clock = using, clock

    def __repr__(self) -> str:
        return f"OrmRevocationList({self.using!r})"

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. One query; never waits for a write."""
        with tended(self.using):
            return self._is_revoked(issuer, token_id, session, subject, started, now)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        ends = entry_end(expires_at, self._clock())
        self._writing(lambda state: self._put(state, _TOKEN, issuer, token_id, ends))

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        ends = entry_end(expires_at, self._clock())
        self._writing(lambda state: self._put(state, _SESSION, issuer, session, ends))

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """

        def write(state: RevocationState) -> None:
            now = self._clock()
            bound = subject_bound(before, self._bound(issuer, subject, now), state.birth, now)
            self._put(state, _SUBJECT, issuer, subject, entry_end(expires_at, now), bound)

        self._writing(write)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList. Without ``alone`` nothing is written, so it may be called in any transaction."""
        if not alone:
            with tended(self.using):
                now = self._clock()
                return family_start(self._bound(issuer, subject, now), self._state().birth, now, alone=False)

        def write(state: RevocationState) -> int:
            now = self._clock()
            start = family_start(self._bound(issuer, subject, now), state.birth, now, alone=True)
            self._put(state, _SUBJECT, issuer, subject, entry_end(expires_at, now), start)
            return start

        return self._writing(write)

    def advance(
        self,
        family: Family,
        presented: int,
        *,
        client_id: str,
        issued_at: int,
        expires_at: int,
        keep_until: float,
        now: float,
        grace: float,
    ) -> Step:
        """See RevocationList. One transaction."""
        decided = partial(
            decide,
            family=family,
            presented=presented,
            client_id=client_id,
            issued_at=issued_at,
            expires_at=expires_at,
            keep_until=known_end(keep_until),
            now=now,
            grace=grace,
        )
        return self._in_one_transaction(lambda: self._advance(family, decided, now))

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        with tended(self.using):
            if family.started < self._state().birth:
                return None
            record = _record(self._families.filter(key=_key(_SESSION, family.issuer, family.session)).first())
            return 0 if record is None else record.sequence

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries and records whose end has come; how many."""

        def write(_: RevocationState) -> int:
            dropped = self._purge(self._entries, now, limit)
            return dropped + self._purge(self._families, now, limit - dropped)

        return self._writing(write, purging=False)

    def changes(self, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> Changes:
        """See ChangeFeed. While it waits, it asks the database four times a second.

        FeedGap: other data than the cursor's, also a backup of the database that was put back; or 10,000 changes since.
        """
        end = time.monotonic() + wait
        while True:
            with tended(self.using):
                found = self._changes(cursor, limit)
            left = end - time.monotonic()
            if found.entries or left <= 0:
                return found
            time.sleep(min(left, _POLLED_EVERY))

    def restore(self, entries: Collection[Change]) -> None:
        """See ChangeFeed. A few hundred in one transaction."""
        left = list(entries)
        while left:
            part, left = left[:_RESTORED_AT_ONCE], left[_RESTORED_AT_ONCE:]
            self._in_one_transaction(partial(self._put_back, part))

    @property
    def _entries(self) -> QuerySet[RevocationEntry]:
        return RevocationEntry._base_manager.using(self.using)

    @property
    def _families(self) -> QuerySet[RefreshFamily]:
        return RefreshFamily._base_manager.using(self.using)

    @property
    def _marks(self) -> QuerySet[RevocationMark]:
        return RevocationMark._base_manager.using(self.using)

    @property
    def _states(self) -> QuerySet[RevocationState]:
        return RevocationState._base_manager.using(self.using).filter(pk=_STATE)

    def _in_one_transaction(self, work: Callable[[], R]) -> R:
        table = connections[self.using].ops.quote_name(RevocationState._meta.db_table)
        return in_one_transaction(self.using, f"UPDATE {table} SET serial = serial", work)  # noqa: S608  # our table

    def _writing(self, write: Callable[[RevocationState], R], *, purging: bool = True) -> R:
        """One transaction for entries, after every other one. Writes pay for a little purging."""

        def work() -> R:
            result = write(self._counted())
            if purging:
                self._purge(self._entries, self._clock(), _PURGED_PER_WRITE)
            return result

        return self._in_one_transaction(work)

    def _counted(self) -> RevocationState:
        """The state, locked until the transaction ends, with a new serial number."""
        if not self._states.update(serial=F("serial") + 1):
            self._make_state()
            self._states.update(serial=F("serial") + 1)
        state = self._existing()
        self._marks.create(serial=state.serial, mark=new_mark())
        if state.serial % _MARKS_DROPPED_AT_ONCE == 0:
            self._marks.filter(serial__lte=state.serial - MARKS_KEPT).delete()
        return state

    def _make_state(self) -> RevocationState:
        """Exactly one of many that try does it: the tables were emptied, which makes the list a new one."""
        new = RevocationState(pk=_STATE, epoch=secrets.token_hex(16), birth=math.floor(self._clock()))
        self._states.bulk_create([new], ignore_conflicts=True)
        state = self._existing()
        if state.epoch == new.epoch:
            self._marks.all().delete()
        return state

    def _existing(self) -> RevocationState:
        state: RevocationState = self._states.get()
        return state

    def _state(self) -> RevocationState:
        """Its birth is the second in which the data began; what was lost before that, nobody knows."""
        return self._states.first() or self._in_one_transaction(self._make_state)

    def _advance(self, family: Family, decided: Callable[..., Outcome], now: float) -> Step:
        issuer, session = family.issuer, family.session
        key = _key(_SESSION, issuer, session)
        row, is_new = self._locked(key, family, now)
        outcome = decided(
            _record(row),
            revoked=self._is_revoked(issuer, None, session, family.subject, family.started, now),
            birth=(self._states.first() or self._make_state()).birth,
        )
        if outcome.record is not None:
            self._families.filter(key=key).update(**_columns(outcome.record))
        elif is_new:
            self._families.filter(key=key).delete()
        if outcome.revoke_until is not None:
            self._put(self._counted(), _SESSION, issuer, session, outcome.revoke_until)
        # The last step, because it takes locks: whoever holds them waits for nothing any more.
        if is_new:
            self._purge(self._families, now, _PURGED_PER_WRITE)
        return outcome.step

    def _locked(self, key: str, family: Family, now: float) -> tuple[RefreshFamily, bool]:
        """The row of a family, locked until the transaction ends, and whether it says nothing yet.

        What is not there cannot be locked; a row that several insert at once makes all but one wait.
        """
        rows = self._families.select_for_update().filter(key=key)
        row = rows.first()
        if row is None:
            with_target = connections[self.using].features.supports_update_conflicts_with_target
            self._families.bulk_create(
                [RefreshFamily(key=key, what=_what(family.issuer, family.session), ends=now)],
                update_conflicts=True,
                update_fields=["what"],
                unique_fields=["key"] if with_target else None,
            )
            row = rows.get()
        return row, row.sequence == 0

    def _is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        names = ((_TOKEN, token_id), (_SESSION, session), (_SUBJECT, subject))
        keys = [_key(kind, issuer, name) for kind, name in names if name is not None]
        rows = self._entries.filter(key__in=keys).values_list("kind", "ends", "bound")
        return any(
            ends > now and (kind != _SUBJECT or started is None or started < bound) for kind, ends, bound in rows
        )

    def _bound(self, issuer: str, subject: str, now: float) -> float | None:
        row = self._entries.filter(key=_key(_SUBJECT, issuer, subject)).first()
        return None if row is None or row.ends <= now else row.bound

    def _put(self, state: RevocationState, kind: int, issuer: str, name: str, ends: float, bound: float = 0.0) -> None:
        """Write an entry, which ends never sooner than it was to, unless it is there already."""
        key, ends = _key(kind, issuer, name), _kept(ends)
        row = self._entries.filter(key=key).first()
        if row is None:
            what = _what(issuer, name)
            self._entries.create(key=key, kind=kind, what=what, ends=ends, bound=bound, serial=state.serial)
            return
        ends = max(ends, row.ends)
        if (ends, bound) != (row.ends, row.bound):
            self._entries.filter(key=key).update(ends=ends, bound=bound, serial=state.serial)

    def _put_back(self, entries: Collection[Change]) -> None:
        for entry in entries:
            kind = _KINDS.index(entry.kind)
            state = self._counted()  # a number for each: a reader's page may end between any two
            known = self._entries.filter(key=_key(kind, entry.issuer, entry.name)).first()
            bound = entry.bound if known is None else max(entry.bound, known.bound)
            self._put(state, kind, entry.issuer, entry.name, known_end(entry.ends), bound)

    def _purge(self, rows: QuerySet[Any], now: float, limit: int) -> int:
        """Rows that somebody else has locked are left to the next time."""
        skip = connections[self.using].features.has_select_for_update_skip_locked
        ended = rows.select_for_update(skip_locked=skip).filter(ends__lte=now).order_by("ends")
        keys = list(ended.values_list("key", flat=True)[:limit])
        return rows.filter(key__in=keys).delete()[0] if keys else 0

    def _changes(self, cursor: str | None, limit: int) -> Changes:
        state = self._state()
        mark = self._mark(state.serial)
        known = resumed(cursor, state.epoch, lambda seen: seen == mark or self._marks.filter(mark=seen).exists())
        after = int(known.position)
        rows = list(self._entries.filter(serial__gt=after, ends__gt=self._clock()).order_by("serial")[: limit + 1])
        told = rows[:limit]
        last = told[-1].serial if told else after
        if last > state.serial:  # written since the first query
            mark = self._mark(last)
        return Changes(
            state.epoch,
            tuple(map(_change, told)),
            str(Cursor(state.epoch, str(last), str(mark))),
            len(rows) > len(told),
        )

    def _mark(self, serial: int) -> int:
        row = self._marks.filter(serial=serial).first()
        return 0 if row is None else row.mark


def _change(row: RevocationEntry) -> Change:
    issuer, name = json.loads(row.what)
    return Change(_KINDS[row.kind], issuer, name, row.ends, row.bound)


def _record(row: RefreshFamily | None) -> Record | None:
    if row is None or row.sequence == 0:
        return None
    return Record(row.sequence, row.issued_at, row.expires_at, row.advanced_at, row.ends)


def _columns(record: Record) -> dict[str, float]:
    return {**record._asdict(), "ends": _kept(record.ends)}


def _kept(ends: float) -> float:
    return min(max(ends, -_FARTHEST), _FARTHEST)


def _what(issuer: str, name: str) -> str:
    return json.dumps([issuer, name])


def _key(kind: int, issuer: str, name: str) -> str:
    return sha256(f"{kind} {_what(issuer, name)}".encode()).hexdigest()
