"""The threads in which an ASGI application does what may block: bounded, started when first needed, in each process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """As many calls wait as may, or the process is ending."""


class _Process:
    """The pool of one process. A fork leaves the threads behind, and perhaps the lock held: the child makes its own."""

    def __init__(self, most: int) -> None:
        self.pid = os.getpid()
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="jwtconnect_mw-issuer")
        self.lock = threading.Lock()
        self.pending = 0


class Threads:
    """``most``: threads. ``waiting``: calls that wait for one."""

    def __init__(self, most: int, waiting: int) -> None:
        self._most, self._limit = most, most + waiting
        self._process: _Process | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread, in a copy of this context. Raises Busy.

        Where the caller is cancelled, a call that has not begun is dropped; one that has runs to its end.
        """
        process = self._process
        if process is None or process.pid != os.getpid():
            process = self._process = _Process(self._most)
        with process.lock:
            if process.pending >= self._limit:
                raise Busy
            process.pending += 1
        try:
            future: Future[T] = process.pool.submit(copy_context().run, function)
        except RuntimeError:  # closed a moment ago, or the interpreter ends
            _leave(process)
            raise Busy from None
        future.add_done_callback(lambda _: _leave(process))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads when what was begun is done. A later call starts new ones."""
        process, self._process = self._process, None
        if process is not None and process.pid == os.getpid():
            process.pool.shutdown()


def _leave(process: _Process) -> None:
    with process.lock:
        process.pending -= 1
