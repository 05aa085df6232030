"""The one thread in each process that follows a feed: begun when it is first wanted, ended with its owner."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import ref

from .._fork import watch_forks
from .follow import NEVER, Follower

_LEAST_LIFE = 1.0
_PATIENCE = 10.0

_log = logging.getLogger("jwtconnect_mw")


class Reader:
    """``trusted_until``: the moment of ``timer`` up to which the copy may be used without asking anything here.

    ``on_step()`` is called by the thread after each step.
    """

    def __init__(
        self, follower: Follower, max_staleness: float, timer: Callable[[], float], on_step: Callable[[], object]
    ) -> None:
        self._follower, self._max_staleness, self._timer, self._on_step = follower, max_staleness, timer, on_step
        self._closed = self._reported = False
        self._renew()
        watch_forks(self)

    def _renew(self) -> None:
        self.trusted_until = NEVER
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._not_before = NEVER
        self._wake = threading.Event()
        self._stepped = threading.Condition()

    def after_fork(self) -> None:
        """In the child: there is no thread, but the copy is as good as it was."""
        self._follower.after_fork()
        self._renew()

    def is_current(self) -> bool:
        """Whether the copy may be used now. Starts the thread if it is missing; never waits for it."""
        self.ensure()
        return self._timer() < self._follower.complete_at + self._max_staleness

    def sync(self, wait: float) -> bool:
        """Whether, within ``wait`` seconds, the copy is made to hold everything that was written before this call."""
        asked = self._follower.begun
        self.ensure()
        self._follower.hurry = True
        self._wake.set()
        with self._stepped:
            self._stepped.wait_for(lambda: self._closed or self._follower.completed > asked, wait)
        return self._follower.completed > asked

    def close(self) -> None:
        """End the thread and wait for that; it is not started again."""
        self._closed = True
        self.trusted_until = NEVER
        thread = self._thread
        self._wake.set()
        self._tell()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def ensure(self) -> None:
        """Start the thread if it is missing, unless that was tried a moment ago. Never waits."""
        if self._runs() or self._closed or self._timer() < self._not_before:
            return
        if self._lock.acquire(blocking=False):  # else another thread is just doing it
            try:
                if not self._runs():
                    self._start()
            finally:
                self._lock.release()

    def _runs(self) -> bool:
        """A thread that is just being started does not yet, but then the lock is held."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _start(self) -> None:
        self._not_before = self._timer() + _LEAST_LIFE  # whatever ends it may end the next one too
        self._thread = thread = threading.Thread(
            target=_run, args=(ref(self), self._wake), name="jwtconnect_mw-feed", daemon=True
        )
        self.trusted_until = self._follower.complete_at + self._max_staleness
        try:
            thread.start()
        except RuntimeError:
            self._end("cannot be started")

    def step(self) -> float | None:
        """For the thread: seconds until the next step; None to end."""
        if self._closed:
            return None
        pause = self._follower.step()
        self._reported = False
        if not self._closed:
            self.trusted_until = self._follower.complete_at + self._max_staleness
        self._on_step()
        self._tell()
        return pause

    def died(self) -> None:
        """For the thread: something ended it that is not a failure of the feed."""
        self._end("died")
        self._tell()

    def _end(self, what: str) -> None:
        self.trusted_until = NEVER  # so that a look-up starts another
        self._thread = None
        if not self._reported:
            self._reported = True
            _log.error("the thread that reads the feed of the revocation list %s; it is tried again", what)

    def _tell(self) -> None:
        with self._stepped:
            self._stepped.notify_all()


def _run(owner: ref[Reader], wake: threading.Event) -> None:
    """Holds the owner only while it steps: who drops the list without closing it ends the thread."""
    pause: float | None = 0.0
    while pause is not None:
        wake.wait(pause)
        wake.clear()
        reader = owner()
        if reader is None:
            return
        try:
            pause = reader.step()
        except BaseException:
            reader.died()
            return
        del reader
