"""What is in the tables of an SQLite file: looked up, written and dropped, in whatever transaction the caller is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal

from .cursors import MARKS_KEPT, Cursor, new_mark, resumed
from .entries import known_end
from .feed import Change, Changes
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
_ABOUT = "SELECT birth, epoch FROM about"
_MARK = "INSERT INTO marks VALUES (?, ?)"
_DROP_MARKS = "DELETE FROM marks WHERE serial <= ?"
_LAST_MARK = "SELECT coalesce((SELECT mark FROM marks ORDER BY serial DESC LIMIT 1), 0)"
_IS_MARK = "SELECT EXISTS (SELECT * FROM marks WHERE mark = ?)"
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
        serial = connection.execute(_PUT_ENTRY, (name, issuer, kind, ends, bound)).lastrowid or 0
        connection.execute(_MARK, (serial, new_mark()))
        connection.execute(_DROP_MARKS, (serial - MARKS_KEPT,))


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

    Serials are given inside transactions that exclude each other, so none becomes visible after a greater one. The
    caller is in a transaction, so that all is of one moment.
    """
    _, epoch = connection.execute(_ABOUT).fetchone()
    known = resumed(cursor, epoch, lambda mark: bool(connection.execute(_IS_MARK, (mark,)).fetchone()[0]))
    (seen,) = connection.execute(_LAST_MARK).fetchone()
    found = connection.execute(_LATER, (int(known.position), limit)).fetchall()
    entries = tuple(
        Change(KINDS[kind], issuer, name, ends, bound) for _, kind, issuer, name, ends, bound in found if ends > now
    )
    position = str(found[-1][0]) if found else known.position
    return Changes(epoch, entries, str(Cursor(epoch, position, str(seen))), len(found) == limit)


def restore(connection: sqlite3.Connection, entries: Iterable[Change], now: float) -> None:
    """See ChangeFeed. What ended is not written."""
    for kind, issuer, name, ends, bound in entries:
        if known_end(ends) > now:
            known = bound_of(connection, issuer, name, now) if kind == "subject" else None
            least = known_end(bound)
            put(connection, KINDS.index(kind), issuer, name, ends, least if known is None else max(least, known))
