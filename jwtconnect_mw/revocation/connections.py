"""Connections to one SQLite file for all threads of a process, and none of them open while the process forks.

SQLite keeps its locks on a file by process: a child that inherits an open connection takes the parent's locks for its
own, also for connections that it opens itself.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_IDLE = 8


class Connections:
    """As many as threads ask at once; a few of them are kept. Each commits to the disk before it says so.

    ``timeout``: seconds that each of two waits may last, for the writers of this process and for other processes. A
    fork waits for connections in use, as long at most; a child of one that waited in vain is refused all.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._uri, self._timeout = uri, timeout
        self._idle: list[sqlite3.Connection] = []
        self._close = weakref.finalize(self, _close, self._idle)
        self._in_use, self._forking, self._lost = 0, False, False
        self._renew_locks()
        _all.add(self)

    def _renew_locks(self) -> None:
        # Reentrant, for a signal handler that forks.
        self._pool = threading.Condition(threading.RLock())
        # SQLite's own way of waiting is to ask again now and then: one writer of each process is enough of that.
        self._writer = threading.Lock()

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection | None]:
        """The file is used, and the process not forked meanwhile. An idle connection, if there is one."""
        with self._pool:
            while self._forking:
                self._pool.wait()
            if self._lost:
                raise sqlite3.ProgrammingError("the process was forked while another thread used the revocation list")
            if not self._close.alive:
                raise sqlite3.ProgrammingError("the revocation list is closed")
            connection = self._idle.pop() if self._idle else None
            self._in_use += 1
        try:
            yield connection
        finally:
            with self._pool:
                self._in_use -= 1
                if self._forking:
                    self._pool.notify_all()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        with self.using() as idle:
            connection = idle or sqlite3.connect(
                self._uri, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
            )
            keep = False
            try:
                if idle is None:
                    connection.execute("PRAGMA synchronous = FULL")
                yield connection
                keep = True
            finally:
                self._give_back(connection, keep)

    def _give_back(self, connection: sqlite3.Connection, keep: bool) -> None:
        with self._pool:
            if keep and self._close.alive and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()  # whatever it was doing is undone

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which nobody else's write comes between; kept when it ends without an exception."""
        if not self._writer.acquire(timeout=self._timeout):
            raise TimeoutError("other threads kept writing")
        writer = self._writer
        try:
            with self.reading() as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        finally:
            writer.release()

    def close(self) -> None:
        """Close what is idle now, and the rest when its work is done. Nothing can be read or written any more."""
        with self._pool:
            self._close()

    def before_fork(self) -> None:
        """Keep everyone out, wait for those who are in, and close what is open."""
        self._pool.acquire()
        self._forking = True
        deadline = time.monotonic() + self._timeout
        while self._in_use and (left := deadline - time.monotonic()) > 0:
            self._pool.wait(left)
        _close(self._idle)

    def after_fork_in_parent(self) -> None:
        self._forking = False
        self._pool.notify_all()
        self._pool.release()

    def after_fork_in_child(self) -> None:
        """Also where nothing was called before, as servers that fork by themselves do (uWSGI): they have one thread."""
        self._lost = self._lost or self._in_use > 0
        self._in_use, self._forking = 0, False
        self._renew_locks()
        _close(self._idle)


def _close(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_one_fork = threading.RLock()
_held: list[Connections] = []


def _before_fork() -> None:
    _one_fork.acquire()
    for connections in list(_all):
        _held.append(connections)
        connections.before_fork()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().after_fork_in_parent()
    _one_fork.release()


def _after_fork_in_child() -> None:
    for connections in list(_all):
        connections.after_fork_in_child()
    if _held:
        _held.clear()
        _one_fork.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
