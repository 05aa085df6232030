"""A revocation list in one SQLite file: for several processes of one host, and over a restart or a crash."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError
from . import rows
from .connections import Connections
from .entries import entry_end, family_start, subject_bound
from .feed import Change, Changes
from .protocol import Family, Step
from .rotation import decide
from .schema import checked_path, prepare

_PURGED_PER_WRITE = 16
_MOST_TIMEOUT = 60.0
_RESTORED_PER_WRITE = 500


class SQLiteRevocationList:
    """Safe for threads, processes and fork. What was answered is on the disk: kill -9 and power loss undo nothing.

    ``path``: a file on a local disk, made with mode 0600 if it is not there; all processes name the same one.
    ``timeout``: seconds, up to 60, that a write waits for other threads, and then again for other processes.
    Refresh tokens of families that started before the file was made are unknown to it: an older one may be lost. A
    file that takes its place is noticed at the next use.

    Raises ConfigurationError when built; later what the operating system and sqlite3 raise, with nothing changed.
    """

    blocking = True
    shared = True

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time, timeout: float = 5.0
    ) -> None:
        if not 0 < timeout <= _MOST_TIMEOUT:
            raise ConfigurationError("timeout", f"more than 0 and up to {_MOST_TIMEOUT:g} seconds")
        file = checked_path(path)
        self._clock = clock
        self._connections = Connections(file, timeout)
        with self._connections.using():
            prepare(file, timeout, math.floor(clock()))

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
        with self._connections.reading() as connection:
            return rows.is_revoked(connection, issuer, token_id, session, subject, started, now)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        with self._writing(now := self._clock()) as connection:
            rows.put(connection, rows.TOKEN, issuer, token_id, entry_end(expires_at, now))

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        with self._writing(now := self._clock()) as connection:
            rows.put(connection, rows.SESSION, issuer, session, entry_end(expires_at, now))

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """
        with self._writing(now := self._clock()) as connection:
            known = rows.bound_of(connection, issuer, subject, now)
            bound = subject_bound(before, known, rows.birth_of(connection), now)
            rows.put(connection, rows.SUBJECT, issuer, subject, entry_end(expires_at, now), bound)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList."""
        now = self._clock()
        with self._writing(now) if alone else self._connections.reading() as connection:
            known = rows.bound_of(connection, issuer, subject, now)
            start = family_start(known, rows.birth_of(connection), now, alone=alone)
            if alone:
                rows.put(connection, rows.SUBJECT, issuer, subject, entry_end(expires_at, now), start)
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
        """See RevocationList. One transaction."""
        issuer, session = family.issuer, family.session
        with self._writing(now) as connection:
            outcome = decide(
                rows.record_of(connection, family),
                family,
                presented,
                revoked=rows.is_revoked(connection, issuer, None, session, family.subject, family.started, now),
                birth=rows.birth_of(connection),
                client_id=client_id,
                issued_at=issued_at,
                expires_at=expires_at,
                keep_until=keep_until,
                now=now,
                grace=grace,
            )
            if outcome.record is not None:
                rows.put_record(connection, session, issuer, outcome.record)
            if outcome.revoke_until is not None:
                rows.put(connection, rows.SESSION, issuer, session, outcome.revoke_until)
        return outcome.step

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        with self._connections.reading() as connection:
            if family.started < rows.birth_of(connection):
                return None
            record = rows.record_of(connection, family)
        return 0 if record is None else record.sequence

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries and records whose end has come; how many."""
        with self._connections.writing() as connection:
            return rows.purge(connection, now, limit)

    def changes(
        self,
        cursor: str | None,
        *,
        limit: int = 1000,
        wait: float = 0.0,  # noqa: ARG002  # a file wakes nobody: it has to be asked again
    ) -> Changes:
        """See ChangeFeed. Never waits: a few queries, which cost little where nothing is new.

        FeedGap: other data than the cursor's, also an older copy of the file; or 10,000 changes since.
        """
        with self._connections.reading() as connection:
            connection.execute("BEGIN")
            found = rows.read_changes(connection, cursor, limit, self._clock())
            connection.execute("COMMIT")
            return found

    def restore(self, entries: Collection[Change]) -> None:
        """See ChangeFeed. In transactions of a few hundred entries, so that others get to write in between."""
        todo = list(entries)
        for start in range(0, len(todo), _RESTORED_PER_WRITE):
            with self._writing(now := self._clock()) as connection:
                rows.restore(connection, todo[start : start + _RESTORED_PER_WRITE], now)

    def close(self) -> None:
        """Close the file. Whatever is asked of the list after that raises sqlite3.ProgrammingError."""
        self._connections.close()

    @contextmanager
    def _writing(self, now: float) -> Iterator[sqlite3.Connection]:
        """A transaction. Writes pay for a little purging."""
        with self._connections.writing() as connection:
            rows.purge(connection, now, _PURGED_PER_WRITE)
            yield connection
