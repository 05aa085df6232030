"""A revocation list in one SQLite file: for several processes of one host, and over a restart or a crash."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError
from .connections import Connections
from .entries import entry_end, family_start, subject_bound
from .protocol import Family, Step
from .rotation import Record, decide
from .schema import checked_path, prepare

_PURGED_PER_WRITE = 16
_TOKEN, _SESSION, _SUBJECT = range(3)
_MOST_TIMEOUT = 60.0

_ONE = "SELECT kind, ends, bound FROM entries WHERE name = ? AND issuer = ? AND kind = "
_LOOK_UP = f"{_ONE}{_TOKEN} UNION ALL {_ONE}{_SESSION} UNION ALL {_ONE}{_SUBJECT}"
_ENTRY = "SELECT ends, bound FROM entries WHERE name = ? AND issuer = ? AND kind = ?"
_PUT_ENTRY = "INSERT OR REPLACE INTO entries (name, issuer, kind, ends, bound) VALUES (?, ?, ?, ?, ?)"
_PURGE_ENTRIES = """
DELETE FROM entries WHERE serial IN (SELECT serial FROM entries WHERE ends <= ? ORDER BY ends LIMIT ?)
"""
_RECORD = """
SELECT sequence, issued_at, expires_at, advanced_at, ends FROM records WHERE session = ? AND issuer = ?
"""
_PUT_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_PURGE_RECORDS = """
DELETE FROM records WHERE (session, issuer) IN (
  SELECT session, issuer FROM records WHERE ends <= ? ORDER BY ends LIMIT ?
)
"""


class SQLiteRevocationList:
    """Safe for threads, processes and fork. What was answered is on the disk: kill -9 and power loss undo nothing.

    ``path``: a file on a local disk, made with mode 0600 if it is not there; all processes name the same one.
    ``timeout``: seconds, up to 60, that a write waits for other threads, and then again for other processes.
    Refresh tokens of families that started before the file was made are unknown to it: an older one may be lost.

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
        self._connections = Connections(f"{file.as_uri()}?mode=rw", timeout)
        with self._connections.using():
            self._birth = prepare(file, timeout, math.floor(clock()))

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
            return _is_revoked(connection, issuer, token_id, session, subject, started, now)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        with self._writing(now := self._clock()) as connection:
            _put(connection, _TOKEN, issuer, token_id, entry_end(expires_at, now))

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        with self._writing(now := self._clock()) as connection:
            _put(connection, _SESSION, issuer, session, entry_end(expires_at, now))

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """
        with self._writing(now := self._clock()) as connection:
            bound = subject_bound(before, _bound(connection, issuer, subject, now), self._birth, now)
            _put(connection, _SUBJECT, issuer, subject, entry_end(expires_at, now), bound)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList."""
        now = self._clock()
        with self._writing(now) if alone else self._connections.reading() as connection:
            start = family_start(_bound(connection, issuer, subject, now), self._birth, now, alone=alone)
            if alone:
                _put(connection, _SUBJECT, issuer, subject, entry_end(expires_at, now), start)
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
                _record(connection, family),
                family,
                presented,
                revoked=_is_revoked(connection, issuer, None, session, family.subject, family.started, now),
                birth=self._birth,
                client_id=client_id,
                issued_at=issued_at,
                expires_at=expires_at,
                keep_until=keep_until,
                now=now,
                grace=grace,
            )
            if outcome.record is not None:
                connection.execute(_PUT_RECORD, (session, issuer, *outcome.record))
            if outcome.revoke_until is not None:
                _put(connection, _SESSION, issuer, session, outcome.revoke_until)
        return outcome.step

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        if family.started < self._birth:
            return None
        with self._connections.reading() as connection:
            record = _record(connection, family)
        return 0 if record is None else record.sequence

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries and records whose end has come; how many."""
        with self._connections.writing() as connection:
            return _purge(connection, now, limit)

    def close(self) -> None:
        """Close the file. Whatever is asked of the list after that raises sqlite3.ProgrammingError."""
        self._connections.close()

    @contextmanager
    def _writing(self, now: float) -> Iterator[sqlite3.Connection]:
        """A transaction. Writes pay for a little purging."""
        with self._connections.writing() as connection:
            _purge(connection, now, _PURGED_PER_WRITE)
            yield connection


def _is_revoked(
    connection: sqlite3.Connection,
    issuer: str,
    token_id: str | None,
    session: str | None,
    subject: str | None,
    started: float | None,
    now: float,
) -> bool:
    # What is None is bound as NULL, which equals nothing. Times are compared here: SQLite's integers have an end.
    rows = connection.execute(_LOOK_UP, (token_id, issuer, session, issuer, subject, issuer)).fetchall()
    return any(ends > now and (kind != _SUBJECT or started is None or started < bound) for kind, ends, bound in rows)


def _bound(connection: sqlite3.Connection, issuer: str, subject: str, now: float) -> float | None:
    row = connection.execute(_ENTRY, (subject, issuer, _SUBJECT)).fetchone()
    return None if row is None or row[0] <= now else float(row[1])


def _record(connection: sqlite3.Connection, family: Family) -> Record | None:
    row = connection.execute(_RECORD, (family.session, family.issuer)).fetchone()
    return None if row is None else Record(*row)


def _put(connection: sqlite3.Connection, kind: int, issuer: str, name: str, ends: float, bound: float = 0.0) -> None:
    """Write an entry, which ends never sooner than it was to, unless it is there already."""
    known = connection.execute(_ENTRY, (name, issuer, kind)).fetchone()
    if known is not None:
        ends = max(ends, known[0])
    if known != (ends, bound):
        connection.execute(_PUT_ENTRY, (name, issuer, kind, ends, bound))


def _purge(connection: sqlite3.Connection, now: float, limit: int) -> int:
    dropped = connection.execute(_PURGE_ENTRIES, (now, limit)).rowcount
    return dropped + connection.execute(_PURGE_RECORDS, (now, limit - dropped)).rowcount
