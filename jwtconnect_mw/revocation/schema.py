"""The file of a SQLiteRevocationList: made once, private, and recognised again."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigurationError

_APPLICATION, _VERSION = 0x6A77_636D, 3
# The serial of an entry that changes is new: who read up to one serial finds every later change above it.
# Of the last serials the marks; see cursors.py.
_TABLES = """
CREATE TABLE about (birth INTEGER NOT NULL, epoch TEXT NOT NULL);
CREATE TABLE entries (
  serial INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  issuer TEXT NOT NULL,
  name TEXT NOT NULL,
  ends REAL NOT NULL,
  bound REAL NOT NULL,
  UNIQUE (name, issuer, kind)
);
CREATE INDEX entries_by_end ON entries (ends);
CREATE TABLE marks (serial INTEGER PRIMARY KEY, mark INTEGER NOT NULL UNIQUE);
CREATE TABLE records (
  session TEXT NOT NULL,
  issuer TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  advanced_at REAL NOT NULL,
  ends REAL NOT NULL,
  PRIMARY KEY (session, issuer)
) WITHOUT ROWID;
CREATE INDEX records_by_end ON records (ends)
"""

_making = threading.Lock()


def checked_path(path: str | os.PathLike[str]) -> Path:
    """A name on disk, made absolute. Raises ConfigurationError for SQLite's names of what is not."""
    name = os.fspath(path)
    if not isinstance(name, str) or not name or name.startswith((":", "file:")) or "\0" in name:
        raise ConfigurationError("path", "a file name is needed; several processes and a restart must find the data")
    return Path(name).absolute()


def prepare(path: Path, timeout: float, now: int) -> None:
    """Make the file and its tables unless they are there; ``now`` becomes its birth, a random name its epoch.

    Raises ConfigurationError for a file that cannot be this list's, sqlite3.OperationalError when others keep it
    locked for ``timeout`` seconds.
    """
    try:
        _make_private(path)
        _patiently(path, timeout, now)
    except (OSError, sqlite3.DatabaseError) as error:
        if _is_locked(error):
            raise
        raise ConfigurationError("path", "the file cannot be opened and written as an SQLite database") from error


def _make_private(path: Path) -> None:
    """For the owner's eyes only; SQLite gives its other files the same mode.

    Under a lock, because closing a file that another thread has just begun to use would undo SQLite's locks on it.
    """
    with _making, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _patiently(path: Path, timeout: float, now: int) -> None:
    """The switch to WAL does not wait for other processes by itself."""
    deadline = time.monotonic() + timeout
    while True:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=timeout / 10, isolation_level=None)
        try:
            return _ready(connection, now)
        except sqlite3.OperationalError as error:
            if not _is_locked(error) or time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        time.sleep(0.01)


def _ready(connection: sqlite3.Connection, now: int) -> None:
    connection.execute("BEGIN")  # one look at it, between others' writes
    is_new = _is_new(connection)
    connection.execute("COMMIT")
    if is_new:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":  # pragma: no cover  # needs a file system without shared memory
            raise ConfigurationError("path", "this place cannot hold a database that several processes write (WAL)")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        if _is_new(connection):
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO about VALUES (?, ?)", (now, secrets.token_hex(8)))
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing is there yet. Raises ConfigurationError for what is not this version's."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != _APPLICATION:
        raise ConfigurationError("path", "the file is a database of something else")
    if version != _VERSION:
        raise ConfigurationError("path", f"the file is of version {version}; this is version {_VERSION}")
    return False


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
