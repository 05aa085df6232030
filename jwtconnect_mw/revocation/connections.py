"""Connections to one SQLite file for all threads of a process. None is ever used in a process that inherited it."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_IDLE = 8


class Connections:
    """As many as threads ask at once; a few of them are kept. Each commits to the disk before it says so.

    ``timeout``: seconds that each of two waits may last, for the writers of this process and for other processes.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._uri, self._timeout = uri, timeout
        self._idle: list[sqlite3.Connection] = []
        self._close = weakref.finalize(self, _close, self._idle)
        self.after_fork()  # nothing is idle yet: this makes the locks
        _all.add(self)

    def after_fork(self) -> None:
        """In the child: locks anew, and nothing of the parent's. What its threads were using is lost with them."""
        # Held through a fork, so that no idle connection is inherited; reentrant for a signal handler that forks.
        self.pool = threading.RLock()
        # SQLite's own way of waiting is to ask again now and then: one writer of each process is enough of that.
        self._writer = threading.Lock()
        # Servers that fork by themselves (uWSGI) run no hook before it. To close these would disturb the parent.
        _inherited.extend(self._idle)
        self._idle.clear()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        with self.pool:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        except BaseException:
            connection.close()  # whatever it was doing is undone
            raise
        with self.pool:
            if self._close.alive and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which nobody else's write comes between; kept when it ends without an exception."""
        if not self._writer.acquire(timeout=self._timeout):
            raise TimeoutError("other threads kept writing")
        try:
            with self.reading() as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close what is idle now, and the rest when its work is done. Nothing can be read or written any more."""
        with self.pool:
            self._close()

    def close_idle(self) -> None:
        """Before a fork. They are opened again where they are needed."""
        _close(self._idle)

    def _open(self) -> sqlite3.Connection:
        if not self._close.alive:
            raise sqlite3.ProgrammingError("the revocation list is closed")
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _close(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []
_forking = threading.RLock()
_held: list[Connections] = []


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_all):
        connections.pool.acquire()
        _held.append(connections)
        connections.close_idle()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().pool.release()
    _forking.release()


def _after_fork_in_child() -> None:
    for connections in list(_all):
        connections.after_fork()
    if _held:
        _held.clear()
        _forking.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
