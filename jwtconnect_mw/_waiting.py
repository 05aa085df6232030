"""How ASGI waits: for what another thread will bring, and for what may block, in threads of ours that are bounded and
started when first needed, in each process. Imported by whoever does: asyncio is a large part of what imports cost.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from ._fork import watch_forks

T = TypeVar("T")


class Busy(Exception):
    """As many calls wait as may, it takes too long, or there can be no thread: the process is ending, the system has no
    more, or the loop is not asyncio's.
    """


async def landed(future: Future[None], seconds: float) -> None:
    """Wait for a future of another thread, at most so long. It is not cancelled, and what it holds is not looked at.

    Raises Busy under a loop that is not asyncio's.
    """
    _require_asyncio()
    view = asyncio.wrap_future(future)
    await asyncio.wait([view], timeout=seconds)
    view.cancel()


def _require_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise Busy from None


class _Pool:
    """Threads, one of which runs, and how many calls are with them: waiting or begun. Raises Busy."""

    def __init__(self, name: str, most: int) -> None:
        self.executor = ThreadPoolExecutor(most, thread_name_prefix=f"jwtconnect_mw-{name}")
        try:
            self.executor.submit(int)  # so that whatever is queued later has its turn
        except RuntimeError:
            raise Busy from None
        self.lock = threading.Lock()
        self.pending = 0

    def leave(self) -> None:
        with self.lock:
            self.pending -= 1


class Threads:
    """``most``: threads. ``waiting``: calls that wait for one. ``name``: for whoever looks at the threads."""

    def __init__(self, name: str, most: int, waiting: int) -> None:
        self._name, self._most, self._limit = name, most, most + waiting
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """The threads of the parent are not here, and a lock may have been held."""
        self._pool: _Pool | None = None

    async def run(self, function: Callable[[], T], within: float | None = None) -> T:
        """Call ``function`` in a thread, in a copy of this context; wait at most ``within`` seconds. Raises Busy.

        Where the caller is cancelled, a call that has not begun is dropped, when its turn comes: until then it counts,
        so that callers who go away cannot make the queue grow. One that has begun runs to its end.
        """
        _require_asyncio()
        pool = self._pool
        if pool is None:
            pool = self._pool = _Pool(self._name, self._most)
        with pool.lock:
            if pool.pending >= self._limit:
                raise Busy
            pool.pending += 1
        result: Future[T] = Future()
        try:
            pool.executor.submit(_call, pool, result, copy_context().run, function)
        except RuntimeError:
            # The executor queues a call before it finds that there can be no thread for it: one of the others drops it
            # in its turn, and until then it counts.
            if result.cancel():
                raise Busy from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), within)
        except asyncio.TimeoutError:
            raise Busy from None

    def close(self) -> None:
        """End the threads when what was begun is done. A later call starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.executor.shutdown()


def _call(pool: _Pool, result: Future[T], run: Callable[[Callable[[], T]], T], function: Callable[[], T]) -> None:
    try:
        if result.set_running_or_notify_cancel():
            result.set_result(run(function))
    except BaseException as error:
        result.set_exception(error)
    finally:
        pool.leave()
