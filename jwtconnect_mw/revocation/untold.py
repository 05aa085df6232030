"""What a process put in its copy before the feed brought it: whether the list still has it is not known yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from .._fork import watch_forks
from .feed import Change


class Untold:
    """Safe for threads and fork. An entry is here until a read of the feed brings as much, or is found missing."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str], tuple[Change, int]] = {}
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def add(self, change: Change, reads: int) -> bool:
        """After the list was told. ``reads``: how many were begun by now. Whether that says more than is waited for."""
        with self._lock:
            waiting = self._waiting.get(change[:3])
            news = waiting is None or not covers(waiting[0], change)
            if news:
                self._waiting[change[:3]] = change, reads
            return news

    def told(self, entries: Iterable[Change]) -> None:
        """The feed brought them, or they are where it brings them."""
        if not self._waiting:
            return
        with self._lock:
            for entry in entries:
                waiting = self._waiting.get(entry[:3])
                if waiting is not None and covers(entry, waiting[0]):
                    del self._waiting[entry[:3]]

    def missing(self, read: int, limit: int) -> list[Change]:
        """What should have been brought by the time that the read of this number was over: all that was written before
        it began.
        """
        with self._lock:
            return [change for change, reads in self._waiting.values() if reads < read][:limit]


def covers(known: Change, change: Change) -> bool:
    """Of the same name: whether the one ends no sooner and takes in no less than the other."""
    return known.ends >= change.ends and known.bound >= change.bound
