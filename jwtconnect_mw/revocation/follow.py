"""Follows the feed of a revocation list, step by step: all entries first, then what is new; again after a gap."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import NamedTuple

from .feed import Change, ChangeFeed, FeedGap
from .local import LocalCopy
from .untold import Untold

NEVER = float("-inf")
_AT_ONCE = 1000  # entries of one read
_RESTORED_AT_ONCE = 500
_FIRST_PAUSE, _MOST_DOUBLINGS = 0.1, 10
_REST = 0.01
_SWEEP_EVERY = 1.0
_MOST_SET_BACK = 60.0  # seconds; entries are kept for longer after their end

_WRITTEN_BACK = "the revocation list had lost %d entries, which were written back to it"
_log = logging.getLogger("jwtconnect_mw")


class Pace(NamedTuple):
    """In seconds: how long one read may wait for news, the least time between reads that brought none, the longest
    pause after failures, and how long reads must succeed after them to be told as good again.
    """

    wait: float
    poll: float
    most_pause: float
    settling: float = 0.0


class Follower:
    """One thread at a time takes steps; everyone may read what is public here.

    ``complete_at``: everything that was written to the list before that moment of ``timer`` is in the copy.
    ``begun``: how many reads were begun; ``completed``: the number of the last one that made the copy complete.
    ``hurry``: set it where the next read is not to wait for news. ``last_success``, ``last_attempt``: of ``clock``.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        copy: LocalCopy,
        pace: Pace,
        *,
        clock: Callable[[], float],
        timer: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._feed, self._copy, self._pace = feed, copy, pace
        self._clock, self._timer, self._jitter = clock, timer, jitter
        self.complete_at = NEVER
        self.begun = self.completed = 0
        self.hurry = False
        self.last_success: float | None = None
        self.last_attempt: float | None = None
        self._cursor: str | None = None
        self._epoch = ""
        self._failures = self._gaps = self._restored = 0
        self._complained = False
        self._well_since: float | None = None
        self._ahead = NEVER  # the most that the clock was ahead of the timer
        # After a gap: what the list told since, and what is here and not there.
        self._told: LocalCopy | None = None
        self._lost: Iterator[Change] | None = None
        self._restores = False
        self._untold = Untold(copy)
        self._swept = NEVER

    def after_fork(self) -> None:
        """In the child: the parent's thread may have been inside the iterator."""
        self._lost = None

    def step(self) -> float:
        """Read once, or write some back. Seconds until the next step is due. Failures are logged, once each."""
        try:
            if self._was_set_back():
                # What had ended by it was dropped or left out, and may live.
                self.complete_at = NEVER
                pause = self._begin_again("the clock was set back: the revocation list is read from the beginning")
            else:
                pause = self._follow()
        except FeedGap:
            pause = self._begin_again("the feed of the revocation list has a gap: it is read from the beginning")
        except Exception as error:
            pause = self._failed(error)
        if not 0 <= self._timer() - self._swept < _SWEEP_EVERY:
            self._swept = self._timer()
            self._copy.sweep(self._clock())
            self._untold.drop_ended(self._clock())
        return pause

    def catch_up(self) -> bool:
        """Read now, in the thread of a writer that wants to see what it wrote; whether it is in the copy. If not, that
        is the next step's matter.
        """
        cursor = self._cursor
        if cursor is None:
            return False  # the first read will bring it
        try:
            changes = self._feed.changes(cursor)
        except Exception:
            _log.debug("what was just written will be read later")
            return False
        self.keep(changes.entries, self._clock())  # the cursor is the other thread's
        return changes.epoch == self._epoch and not changes.more

    def purge(self, now: float, limit: int) -> None:
        """Drop some of what ended, in any thread."""
        self._copy.purge(now, limit)
        self._untold.drop_ended(now)

    def keep(self, entries: Collection[Change], now: float) -> None:
        """Take in, in any thread, what the list has and the feed is yet to bring. If it does not, the list lost it by
        going back to an older state, and it is written back.
        """
        for entry in entries:
            self._untold.add(entry, self.begun)
        self._copy.put(entries, now)

    def _follow(self) -> float:
        started = self._timer()
        self.last_attempt = self._clock()
        self.begun += 1
        number = self.begun
        waits = self._cursor is not None and self._told is None and not self.hurry
        self.hurry = False
        changes = self._feed.changes(self._cursor, limit=_AT_ONCE, wait=self._pace.wait if waits else 0.0)
        if self._cursor is not None and changes.epoch != self._epoch:
            raise FeedGap
        now = self._clock()
        for copy in (self._copy, self._told):
            if copy is not None:
                copy.put(changes.entries, now)
        self._untold.told(changes.entries)
        self._cursor, self._epoch = changes.cursor, changes.epoch
        if not changes.more:
            self.complete_at, self.completed, self.last_success = started, number, now
            if self._told is not None:
                return self._write_back(self._told, now)
            if missing := self._untold.missing(number, now, _RESTORED_AT_ONCE):
                return self._write_again(missing)
        self._succeeded()
        if changes.more:
            return 0.0
        if changes.entries:
            return _REST
        return max(0.0, self._pace.poll - (self._timer() - started))

    def _write_back(self, told: LocalCopy, now: float) -> float:
        """What the list lost is here still. What another process has written back meanwhile is left out."""
        if self._lost is None:
            # All processes notice at about the same time. Each begins at a moment and a place of its own, and finds
            # much written back already.
            self._lost = self._copy.beyond(told, now, self._jitter())
            return self._pace.wait * self._jitter()
        some = list(islice(self._lost, _RESTORED_AT_ONCE))
        if some:
            self._restore(some)
            self._restored += len(some)
            return 0.0
        if self._restored:
            _log.error(_WRITTEN_BACK, self._restored)
        self._told = self._lost = None
        self._restored = self._gaps = 0
        return 0.0

    def _write_again(self, missing: list[Change]) -> float:
        """What this process wrote or read ahead, and the list does not have any more."""
        self._restore(missing)
        self._untold.restored(missing, self.begun)
        _log.error(_WRITTEN_BACK, len(missing))
        self._succeeded()
        return 0.0

    def _restore(self, entries: list[Change]) -> None:
        self._restores = True
        self._feed.restore(entries)
        self._restores = False

    def _was_set_back(self) -> bool:
        ahead = self._clock() - self._timer()
        falls = ahead < self._ahead - _MOST_SET_BACK
        self._ahead = ahead if falls else max(ahead, self._ahead)
        return falls

    def _begin_again(self, why: str) -> float:
        if self._told is None:
            _log.warning(why)
        self._gaps += 1
        self._cursor, self._lost = None, None
        self._told = LocalCopy()
        return 0.0 if self._gaps == 1 else self._pause(self._gaps)

    def _failed(self, error: Exception) -> float:
        self._well_since = None
        if not self._complained:
            self._complained = True
            # What it says may hold an address with a password.
            what = "cannot be written back to" if self._restores else "cannot be read"
            _log.warning("the feed of the revocation list %s: %s", what, type(error).__name__)
        self._failures += 1
        self._restores = False
        self._lost = None
        if self._restored:  # a server that took it may be gone, and another one has not seen it
            self._cursor, self._told = None, LocalCopy()
        return self._pause(self._failures)

    def _succeeded(self) -> None:
        self._failures = 0
        if not self._complained:
            return
        now = self._timer()
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since >= self._pace.settling:
            self._complained = False
            _log.info("the feed of the revocation list can be read again")

    def _pause(self, times: int) -> float:
        """Twice as long each time, and between half and all of that, so that processes do not come all at once."""
        longest = min(self._pace.most_pause, _FIRST_PAUSE * 2.0 ** min(times - 1, _MOST_DOUBLINGS))
        return longest * (0.5 + 0.5 * self._jitter())
