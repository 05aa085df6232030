"""The list itself: what is decided about entries and families, and in which transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from django.db import connections

from ...errors import ConfigurationError
from ...revocation.cursors import Cursor, resumed
from ...revocation.entries import entry_end, family_start, known_end, subject_bound
from ...revocation.feed import Change, Changes
from ...revocation.protocol import Family, Step
from ...revocation.rotation import Outcome, decide
from ..models import RevocationState
from ..transactions import tended
from .entries import Entries
from .families import Families
from .journal import Journal
from .rows import SESSION, SUBJECT, TOKEN

R = TypeVar("R")

_PURGED_PER_WRITE = 16
_RESTORED_AT_ONCE = 500
_POLLED_EVERY = 0.25  # seconds


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
        self._entries, self._families, self._journal = Entries(using), Families(using), Journal(using, clock)

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
            return self._entries.is_revoked(issuer, token_id, session, subject, started, now)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        ends = entry_end(expires_at, self._clock())
        self._writing(lambda state: self._entries.put(state.serial, TOKEN, issuer, token_id, ends))

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        ends = entry_end(expires_at, self._clock())
        self._writing(lambda state: self._entries.put(state.serial, SESSION, issuer, session, ends))

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """

        def write(state: RevocationState) -> None:
            now = self._clock()
            bound = subject_bound(before, self._entries.bound(issuer, subject, now), state.birth, now)
            self._entries.put(state.serial, SUBJECT, issuer, subject, entry_end(expires_at, now), bound)

        self._writing(write)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList. Without ``alone`` nothing is written, so it may be called in any transaction."""
        if not alone:
            with tended(self.using):
                now = self._clock()
                bound = self._entries.bound(issuer, subject, now)
                return family_start(bound, self._journal.state().birth, now, alone=False)

        def write(state: RevocationState) -> int:
            now = self._clock()
            start = family_start(self._entries.bound(issuer, subject, now), state.birth, now, alone=True)
            self._entries.put(state.serial, SUBJECT, issuer, subject, entry_end(expires_at, now), start)
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
        return self._journal.in_one_transaction(lambda: self._advance(family, decided, now))

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        with tended(self.using):
            if family.started < self._journal.state().birth:
                return None
            record = self._families.record(family)
            return 0 if record is None else record.sequence

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries and records whose end has come; how many."""

        def write(_: RevocationState) -> int:
            dropped = self._entries.purge(now, limit)
            return dropped + self._families.purge(now, limit - dropped)

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
            self._journal.in_one_transaction(partial(self._put_back, part))

    def _writing(self, write: Callable[[RevocationState], R], *, purging: bool = True) -> R:
        """One transaction for entries, after every other one. Writes pay for a little purging."""

        def work() -> R:
            result = write(self._journal.counted())
            if purging:
                self._entries.purge(self._clock(), _PURGED_PER_WRITE)
            return result

        return self._journal.in_one_transaction(work)

    def _advance(self, family: Family, decided: Callable[..., Outcome], now: float) -> Step:
        issuer, session = family.issuer, family.session
        record, is_new = self._families.locked(family, now)
        outcome = decided(
            record,
            revoked=self._entries.is_revoked(issuer, None, session, family.subject, family.started, now),
            birth=self._journal.birth(),
        )
        if outcome.record is not None:
            self._families.write(family, outcome.record)
        elif is_new:
            self._families.drop(family)
        if outcome.revoke_until is not None:
            self._entries.put(self._journal.counted().serial, SESSION, issuer, session, outcome.revoke_until)
        # The last step, because it takes locks: whoever holds them waits for nothing any more.
        if is_new:
            self._families.purge(now, _PURGED_PER_WRITE)
        return outcome.step

    def _put_back(self, entries: Collection[Change]) -> None:
        for entry in entries:  # a number for each: a reader's page may end between any two
            self._entries.put_back(self._journal.counted().serial, entry)

    def _changes(self, cursor: str | None, limit: int) -> Changes:
        journal, state = self._journal, self._journal.state()
        mark = journal.mark(state.serial)
        known = resumed(cursor, state.epoch, lambda seen: seen == mark or journal.has_mark(seen))
        after = int(known.position)
        found = self._entries.after(after, self._clock(), limit + 1)
        told = found[:limit]
        last = told[-1][0] if told else after
        if last > state.serial:  # written since the first query
            mark = journal.mark(last)
        changes = tuple(change for _, change in told)
        return Changes(state.epoch, changes, str(Cursor(state.epoch, str(last), str(mark))), len(found) > len(told))
