"""Transactions that are over when they say so, whatever transaction the caller is in, and connections that get closed.

A revocation that a view's rollback undoes would be none: a thief needs only to make the view fail. So with
ATOMIC_REQUESTS, and inside any ``transaction.atomic()``, the work is done on a connection of its own, opened for it and
closed after it. SQLite cannot do that, because the caller's transaction may hold the one write lock there is: the work
is refused at once. Only the transactions that ``django.test.TestCase`` puts around a test are joined.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.signals import request_started
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

R = TypeVar("R")

_TRIES = 5
# PostgreSQL: serialization failure, deadlock. MySQL and MariaDB: deadlock, record changed since it was read.
_UNDONE = frozenset(("40001", "40P01", 1213, 1020))
_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


class InsideTransaction(transaction.TransactionManagementError):
    """The revocation list was to be written inside an open transaction of SQLite."""

    def __init__(self) -> None:
        super().__init__(
            "The revocation list cannot be written inside a transaction of SQLite, which may be rolled back. Leave the "
            "transaction first (transaction.non_atomic_requests, transaction.on_commit), give the list a database of "
            "its own, or use PostgreSQL."
        )


def in_one_transaction(using: str, begin: str, work: Callable[[], R]) -> R:
    """What ``work`` returns, committed. It may be called several times, each time after what it did was undone.

    ``begin``: a statement for SQLite that takes the write lock. A transaction that begins with reading cannot always
    write later; waiting for the lock only helps where it is asked for first.
    Raises InsideTransaction and what the database raises.
    """
    with tended(using) as connection:
        if not _in_transaction(connection):
            return _patiently(using, begin, work)
        if _of_a_test(connection):
            with transaction.atomic(using):
                return work()
        if connection.vendor == "sqlite":
            raise InsideTransaction
        with _another_connection(using):
            return _patiently(using, begin, work)


@contextmanager
def tended(using: str) -> Iterator[BaseDatabaseWrapper]:
    """The connection of this thread. If it was closed and no request will see to it, it is closed again.

    Django closes connections around the requests of a thread. Threads that serve none, such as those in which ASGI
    looks up revocations, would keep theirs for good.
    """
    connection = connections[using]
    found_open = connection.connection is not None
    try:
        yield connection
    finally:
        if not found_open and not _serves_requests():
            connection.close()


def _in_transaction(connection: BaseDatabaseWrapper) -> bool:
    return connection.in_atomic_block or not connection.get_autocommit()


def _of_a_test(connection: BaseDatabaseWrapper) -> bool:
    blocks: list[Any] = getattr(connection, "atomic_blocks", [])
    return bool(blocks) and bool(getattr(blocks[0], "_from_testcase", False))


@contextmanager
def _another_connection(using: str) -> Iterator[None]:
    """For this thread, ``using`` names a new connection for a while.

    Not one of a pool: callers who hold all there are would wait for each other.
    """
    before, other = connections[using], connections.create_connection(using)
    options = {name: value for name, value in other.settings_dict["OPTIONS"].items() if name != "pool"}
    other.settings_dict = {**other.settings_dict, "OPTIONS": options}
    connections[using] = other
    try:
        other.set_autocommit(True)
        yield
    finally:
        connections[using] = before
        other.close()


def _patiently(using: str, begin: str, work: Callable[[], R]) -> R:
    left, connection = _TRIES, connections[using]
    while True:
        left, done, used = left - 1, False, None
        try:
            with transaction.atomic(using):
                used = connection.connection
                _begin(connection, begin)
                result = work()
                done = True
        except Error as error:
            if not left or not (_is_undone(error) or (not done and _is_lost(connection, used))):
                raise
        else:
            return result


def _begin(connection: BaseDatabaseWrapper, begin: str) -> None:
    """Each statement must see what was committed before it: what is read after waiting for a lock is decided on."""
    with connection.cursor() as cursor:
        cursor.execute(begin if connection.vendor == "sqlite" else _READ_COMMITTED)


def _is_undone(error: Error) -> bool:
    """Whether the database gave the transaction up for a reason that passes. SQLite has waited for its lock already."""
    cause = error.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or next(iter(error.args), None)
    return code in _UNDONE


def _is_lost(connection: BaseDatabaseWrapper, used: object) -> bool:
    """Whether the server was restarted, or has closed what was idle. Not for a commit: nobody knows what became of it.

    Django has then opened another connection, or will.
    """
    return connection.vendor != "sqlite" and used is not None and connection.connection is not used


_thread = threading.local()


def _serves_requests() -> bool:
    return getattr(_thread, "serves", False) or threading.current_thread() is threading.main_thread()


def _note_request(**_: Any) -> None:
    _thread.serves = True


request_started.connect(_note_request, dispatch_uid="jwtconnect_mw.transactions")
