"""The threads in which an ASGI application does what may block: bounded, started when first needed, in each process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from .._fork import watch_forks

T = TypeVar("T")


class Busy(Exception):
    """As many calls wait as may, or the process is ending."""


class _Pool:
    """Threads, and how many calls are with them: waiting or begun."""

    def __init__(self, most: int) -> None:
        self.executor = ThreadPoolExecutor(most, thread_name_prefix="jwtconnect_mw-issuer")
        self.lock = threading.Lock()
        self.pending = 0


class Threads:
    """``most``: threads. ``waiting``: calls that wait for one."""

    def __init__(self, most: int, waiting: int) -> None:
        self._most, self._limit = most, most + waiting
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """The threads of the parent are not here, and a lock may have been held."""
        self._pool: _Pool | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread, in a copy of this context. Raises Busy.

        Where the caller is cancelled, a call that has not begun is dropped; one that has runs to its end.
        """
        pool = self._pool
        if pool is None:
            pool = self._pool = _Pool(self._most)
        with pool.lock:
            if pool.pending >= self._limit:
                raise Busy
            pool.pending += 1
        try:
            future: Future[T] = pool.executor.submit(copy_context().run, function)
        except RuntimeError:  # closed a moment ago, or the interpreter ends
            _leave(pool)
            raise Busy from None
        future.add_done_callback(lambda _: _leave(pool))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads when what was begun is done. A later call starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.executor.shutdown()


def _leave(pool: _Pool) -> None:
    with pool.lock:
        pool.pending -= 1
