"""What a process put in its copy before the feed brought it: whether the list still has it is not known yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from .._fork import watch_forks
from .feed import Change
from .local import LocalCopy

_MOST_TRIES = 3
MOST_SKEW = 60.0
"""Seconds between clocks of hosts; entries are kept for longer after their end."""
_FOR_EVER = 1e300  # some lists know no greater end


class _Waiting(NamedTuple):
    """``reads``: how many were begun when it was written. ``tries``: how often it was written back since."""

    change: Change
    reads: int
    tries: int = 0


class Untold:
    """Safe for threads and fork. An entry is here until a read of the feed brings as much, or is found missing.

    ``copy``: takes in what the feed brings before this is told.
    """

    def __init__(self, copy: LocalCopy) -> None:
        self._copy = copy
        self._waiting: dict[tuple[str, str, str], _Waiting] = {}
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def add(self, change: Change, reads: int) -> None:
        """After the list was told, and before the copy is. ``reads``: how many were begun by now."""
        key = change[:3]
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None:
                if _covers(waiting.change, change):
                    return
                ends, bound = max(change.ends, waiting.change.ends), max(change.bound, waiting.change.bound)
                change = change._replace(ends=ends, bound=bound)
            if not self._copy.covers(_shorter(change)):  # else the feed was quicker
                self._waiting[key] = _Waiting(change, reads)

    def told(self, entries: Iterable[Change]) -> None:
        """The feed brought them."""
        with self._lock:
            for entry in entries if self._waiting else ():
                waiting = self._waiting.get(entry[:3])
                if waiting is not None and _covers(entry, waiting.change):
                    del self._waiting[entry[:3]]

    def missing(self, read: int, now: float, limit: int) -> list[Change]:
        """What should have been brought by the time that the read of this number was over: all that was written before
        it began. Not what has ended.
        """
        with self._lock:
            waiting = (change for change, reads, _ in self._waiting.values() if reads < read and change.ends > now)
            return list(islice(waiting, limit))

    def restored(self, changes: Iterable[Change], reads: int) -> None:
        """They were written back. That may be lost as well; but who does not keep them at all is not told for ever."""
        with self._lock:
            for change in changes:
                waiting = self._waiting.get(change[:3])
                if waiting is not None and waiting.change is change:
                    self._waiting[change[:3]] = _Waiting(change, reads, waiting.tries + 1)
                    if waiting.tries + 1 == _MOST_TRIES:
                        del self._waiting[change[:3]]

    def drop_ended(self, now: float) -> None:
        """Seconds since the epoch."""
        with self._lock:
            self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting.change.ends > now}


def _covers(known: Change, change: Change) -> bool:
    """Of the same name: whether the one ends no sooner and takes in no less, as far as clocks of hosts agree."""
    return known.ends >= _shorter(change).ends and known.bound >= change.bound


def _shorter(change: Change) -> Change:
    return change._replace(ends=min(change.ends, _FOR_EVER) - MOST_SKEW)
