"""A revocation list in the memory of one process. It does not survive a restart and is not shared."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .._fork import watch_forks
from .entries import entry_end, family_start, subject_bound
from .protocol import Family, Step
from .rotation import Record, decide
from .table import Key, Table

_PURGED_PER_WRITE = 16
_TOKEN, _SESSION, _SUBJECT, _RECORD = range(4)


class _Entry(NamedTuple):
    """``bound`` counts for subjects: families that started before it are revoked."""

    ends: float
    bound: float = 0.0


class MemoryRevocationList:
    """Safe for threads and fork. Times are seconds since the epoch; each entry ends by itself.

    ``expires_at`` is the greatest ``exp`` that an entry can meet; where it is not known, 30 days from now are assumed.
    Refresh tokens of families that started before the list was made are unknown to it: it may have forgotten them.
    """

    blocking = False
    shared = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._birth = math.floor(clock())
        self._lock = threading.Lock()
        self._entries: tuple[Table[_Entry], ...] = (Table(), Table(), Table())
        self._records: Table[Record] = Table()
        # One item for each entry and record, at the end it had at first; it is put back when that was moved.
        self._ends: list[tuple[float, int, Key]] = []
        watch_forks(self)

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. Takes no lock."""
        if token_id is not None:
            entry = self._entries[_TOKEN].get(issuer, token_id)
            if entry is not None and entry.ends > now:
                return True
        if session is not None:
            entry = self._entries[_SESSION].get(issuer, session)
            if entry is not None and entry.ends > now:
                return True
        if subject is None:
            return False
        entry = self._entries[_SUBJECT].get(issuer, subject)
        return entry is not None and entry.ends > now and (started is None or started < entry.bound)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        with self._writing(now := self._clock()):
            self._put(_TOKEN, (issuer, token_id), entry_end(expires_at, now))

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        with self._writing(now := self._clock()):
            self._put(_SESSION, (issuer, session), entry_end(expires_at, now))

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """
        with self._writing(now := self._clock()):
            bound = subject_bound(before, self._bound(issuer, subject, now), self._birth, now)
            self._put(_SUBJECT, (issuer, subject), entry_end(expires_at, now), bound)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList."""
        with self._writing(now := self._clock()):
            start = family_start(self._bound(issuer, subject, now), self._birth, now, alone=alone)
            if alone:
                self._put(_SUBJECT, (issuer, subject), entry_end(expires_at, now), start)
            return start

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
        """See RevocationList."""
        issuer, session = family.issuer, family.session
        with self._writing(now):
            outcome = decide(
                self._records.get(issuer, session),
                family,
                presented,
                revoked=self.is_revoked(issuer, None, session, family.subject, family.started, now),
                birth=self._birth,
                client_id=client_id,
                issued_at=issued_at,
                expires_at=expires_at,
                keep_until=keep_until,
                now=now,
                grace=grace,
            )
            if outcome.record is not None:
                self._expect(_RECORD, (issuer, session), outcome.record.ends)
                self._records.put((issuer, session), outcome.record)
            if outcome.revoke_until is not None:
                self._put(_SESSION, (issuer, session), outcome.revoke_until)
            return outcome.step

    def current(self, family: Family) -> int | None:
        """See RevocationList. Takes no lock."""
        if family.started < self._birth:
            return None
        record = self._records.get(family.issuer, family.session)
        return 0 if record is None else record.sequence

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries whose end has come; how many were looked at."""
        with self._lock:
            return self._purge(now, limit)

    def __len__(self) -> int:
        """The number of entries and records held, ended ones included until they are purged."""
        return sum(len(held) for held in self._entries) + len(self._records)

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    @contextmanager
    def _writing(self, now: float) -> Iterator[None]:
        """Writes exclude each other, and each pays for a little purging."""
        with self._lock:
            self._purge(now, _PURGED_PER_WRITE)
            yield

    def _bound(self, issuer: str, subject: str, now: float) -> float | None:
        entry = self._entries[_SUBJECT].get(issuer, subject)
        return None if entry is None or entry.ends <= now else entry.bound

    def _put(self, kind: int, key: Key, ends: float, bound: float = 0.0) -> None:
        """Write an entry, which ends never sooner than it was to."""
        known = self._entries[kind].get(*key)
        self._expect(kind, key, ends)
        self._entries[kind].put(key, _Entry(ends if known is None else max(ends, known.ends), bound))

    def _expect(self, kind: int, key: Key, ends: float) -> None:
        """Before something is written, so that a fork in between leaves nothing behind that is never purged."""
        if self._held(kind).get(*key) is None:
            heapq.heappush(self._ends, (ends, kind, key))

    def _held(self, kind: int) -> Table[_Entry] | Table[Record]:
        return self._records if kind == _RECORD else self._entries[kind]

    def _purge(self, now: float, limit: int) -> int:
        looked_at = 0
        while looked_at < limit and self._ends and self._ends[0][0] <= now:
            _, kind, key = heapq.heappop(self._ends)
            looked_at += 1
            held = self._held(kind)
            entry = held.get(*key)
            if entry is not None and entry.ends > now:
                heapq.heappush(self._ends, (entry.ends, kind, key))
            elif entry is not None:
                held.drop(key)
        return looked_at
