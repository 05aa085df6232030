"""What is in the tables of an SQLite file: looked up, written and dropped, in whatever transaction the caller is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal

from .entries import known_end
from .feed import Change, Changes, FeedGap
from .protocol import Family
from .rotation import Record

KINDS: tuple[Literal["token", "session", "subject"], ...] = ("token", "session", "subject")
TOKEN, SESSION, SUBJECT = range(3)

_ONE = "SELECT kind, ends, bound FROM entries WHERE name = ? AND issuer = ? AND kind = "
_LOOK_UP = f"{_ONE}{TOKEN} UNION ALL {_ONE}{SESSION} UNION ALL {_ONE}{SUBJECT}"
_ENTRY = "SELECT ends, bound FROM entries WHERE name = ? AND issuer = ? AND kind = ?"
_PUT_ENTRY = "INSERT OR REPLACE INTO entries (name, issuer, kind, ends, bound) VALUES (?, ?, ?, ?, ?)"
_PURGE_ENTRIES = """
DELETE FROM entries WHERE serial IN (SELECT serial FROM entries WHERE ends <= ? ORDER BY ends LIMIT ?)
"""
_ABOUT = "SELECT birth, epoch, (SELECT seq FROM sqlite_sequence WHERE name = 'entries') FROM about"
_LATER = "SELECT serial, kind, issuer, name, ends, bound FROM entries WHERE serial > ? ORDER BY serial LIMIT ?"
_RECORD = """
SELECT sequence, issued_at, expires_at, advanced_at, ends FROM records WHERE session = ? AND issuer = ?
"""
_PUT_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_PURGE_RECORDS = """
DELETE FROM records WHERE (session, issuer) IN (
  SELECT session, issuer FROM records WHERE ends <= ? ORDER BY ends LIMIT ?
)
"""


def is_revoked(
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
    return any(ends > now and (kind != SUBJECT or started is None or started < bound) for kind, ends, bound in rows)


def bound_of(connection: sqlite3.Connection, issuer: str, subject: str, now: float) -> float | None:
    row = connection.execute(_ENTRY, (subject, issuer, SUBJECT)).fetchone()
    return None if row is None or row[0] <= now else float(row[1])


def record_of(connection: sqlite3.Connection, family: Family) -> Record | None:
    row = connection.execute(_RECORD, (family.session, family.issuer)).fetchone()
    return None if row is None else Record(*row)


def put(connection: sqlite3.Connection, kind: int, issuer: str, name: str, ends: float, bound: float = 0.0) -> None:
    """Write an entry, which ends never sooner than it was to, unless it is there already."""
    known = connection.execute(_ENTRY, (name, issuer, kind)).fetchone()
    if known is not None:
        ends = max(ends, known[0])
    if known != (ends, bound):
        connection.execute(_PUT_ENTRY, (name, issuer, kind, ends, bound))


def put_record(connection: sqlite3.Connection, session: str, issuer: str, record: Record) -> None:
    connection.execute(_PUT_RECORD, (session, issuer, *record))


def purge(connection: sqlite3.Connection, now: float, limit: int) -> int:
    dropped = connection.execute(_PURGE_ENTRIES, (now, limit)).rowcount
    return dropped + connection.execute(_PURGE_RECORDS, (now, limit - dropped)).rowcount


def birth_of(connection: sqlite3.Connection) -> int:
    """The second in which the file was made. Never remembered: another file may have taken its place."""
    return int(connection.execute(_ABOUT).fetchone()[0])


def read_changes(connection: sqlite3.Connection, cursor: str | None, limit: int, now: float) -> Changes:
    """See ChangeFeed. What ended is left out.

    Serials are given inside transactions that exclude each other, so none becomes visible after a greater one.
    """
    _, epoch, last = connection.execute(_ABOUT).fetchone()
    serial = 0 if cursor is None else _serial(cursor, epoch, last or 0)
    found = connection.execute(_LATER, (serial, limit)).fetchall()
    entries = tuple(
        Change(KINDS[kind], issuer, name, ends, bound) for _, kind, issuer, name, ends, bound in found if ends > now
    )
    return Changes(epoch, entries, f"{epoch} {found[-1][0] if found else serial}", len(found) == limit)


def _serial(cursor: str, epoch: str, last: int) -> int:
    """Raises FeedGap for a cursor of other data, and for one that is ahead: the file is an older copy of itself."""
    known, _, text = cursor.rpartition(" ")
    if known != epoch or not text.isdecimal() or int(text) > last:
        raise FeedGap
    return int(text)


def restore(connection: sqlite3.Connection, entries: Iterable[Change], now: float) -> None:
    """See ChangeFeed. What ended is not written."""
    for kind, issuer, name, ends, bound in entries:
        if known_end(ends) > now:
            known = bound_of(connection, issuer, name, now) if kind == "subject" else None
            least = known_end(bound)
            put(connection, KINDS.index(kind), issuer, name, ends, least if known is None else max(least, known))
