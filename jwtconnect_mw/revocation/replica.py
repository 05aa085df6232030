"""A revocation list that every process answers from its own memory, kept like an authoritative one by its feed."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, Protocol

from ..errors import ConfigurationError
from .entries import entry_end, subject_bound
from .feed import Change, ChangeFeed
from .follow import NEVER, Follower, Pace
from .local import LocalCopy
from .protocol import Family, RevocationList, Step
from .reader import Reader
from .untold import MOST_SKEW

MAX_STALENESS = 10.0
POLL = 0.05
_LONGEST = 3600.0
_MOST_WAIT, _MOST_PAUSE = 1.0, 2.0
_NEEDED = ("is_revoked", "advance", "current", "purge", "changes", "restore")

_log = logging.getLogger("jwtconnect_mw")

OnStale = Literal["refuse", "allow"]
# Of the clocks that nobody sets, the one that goes on while the machine sleeps, if there is such a one.
_TIMER: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class FedRevocationList(RevocationList, ChangeFeed, Protocol):
    """A list that a replica can follow."""


class StaleCopyError(Exception):
    """The copy is older than was allowed, so that nothing is known about what was revoked since."""

    def __init__(self) -> None:
        super().__init__("the local copy of the revocation list is too old")


class ReplicatedRevocationList:
    """Look-ups are local and never wait; everything else goes to ``backend``, a list with a feed, which is not closed.

    ``max_staleness``: seconds since the copy last was known to be complete, up to 3,600, within which whatever was
    revoked anywhere is honoured here. Beyond it, and before the first sync, ``on_stale`` counts: "refuse" raises
    StaleCopyError, which a middleware answers with 503; "allow" goes on with what is known, and says so loudly.
    ``poll``: seconds between two looks at a backend that cannot wait for news (SQLite); no bound, but the usual delay.
    ``clock``: seconds since the epoch. ``timer``: seconds of a clock that is never set, which ages are measured by.

    Each process has one thread, which is started at the first use in it. Safe for threads and fork.
    Raises ConfigurationError.
    """

    blocking = False

    def __init__(
        self,
        backend: FedRevocationList,
        *,
        max_staleness: float = MAX_STALENESS,
        on_stale: OnStale = "refuse",
        poll: float = POLL,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = _TIMER,
    ) -> None:
        if isinstance(backend, type) or not all(callable(getattr(backend, name, None)) for name in _NEEDED):
            raise ConfigurationError("backend", "a revocation list that tells its changes is needed, such as SQLite's")
        if isinstance(max_staleness, bool) or not 0 < max_staleness <= _LONGEST:
            raise ConfigurationError("max_staleness", f"more than 0 and up to {_LONGEST:g} seconds")
        if on_stale not in ("refuse", "allow"):
            raise ConfigurationError("on_stale", '"refuse" or "allow"')
        if isinstance(poll, bool) or not 0 < poll <= max_staleness / 2:
            raise ConfigurationError("poll", "more than 0 seconds, and at most half of max_staleness")
        self.authority = backend
        self._max_staleness, self._refuses = max_staleness, on_stale == "refuse"
        self._clock, self._timer = clock, timer
        self._copy = LocalCopy()
        self._find = self._copy.is_revoked
        pace = Pace(min(_MOST_WAIT, max_staleness / 4), poll, min(_MOST_PAUSE, max_staleness / 4), max_staleness)
        jitter = random.SystemRandom().random
        self._follower = Follower(backend, self._copy, pace, clock=clock, timer=timer, jitter=jitter)
        self._watch = _Watch(self._follower, max_staleness, timer)
        self._reader = Reader(self._follower, max_staleness, timer, self._watch.stepped)

    @property
    def shared(self) -> bool:
        """Whether other processes see what is revoked here: as the backend says."""
        return self.authority.shared

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. Local; takes no lock. Raises StaleCopyError."""
        if self._timer() >= self._reader.trusted_until:
            self._doubt()
        return self._find(issuer, token_id, session, subject, started, now)

    def _doubt(self) -> None:
        """The copy is old, or its thread is missing. Starts that; raises StaleCopyError if it was told to."""
        if not self._reader.is_current():
            self._watch.report(refuses=self._refuses)
            if self._refuses:
                raise StaleCopyError

    def sync(self, wait: float = 5.0) -> bool:
        """Wait up to ``wait`` seconds for the copy to hold all that was written before this call; whether it does."""
        return self._reader.sync(wait)

    def health(self) -> Mapping[str, Any]:
        """State: fresh, stale (old, and still answering) or missing (look-ups are refused, or nothing was read yet);
        age in seconds, entries, last_success, last_attempt.
        """
        current, last_success = self._reader.is_current(), self._follower.last_success
        return {
            "state": "fresh" if current else "missing" if self._refuses or last_success is None else "stale",
            "age": self._watch.age(),
            "last_success": last_success,
            "last_attempt": self._follower.last_attempt,
            "entries": len(self._copy),
        }

    def watch(self, callback: Callable[[float], object]) -> None:
        """Call ``callback`` with the age of the copy in seconds after each attempt to read, in the thread that reads;
        before the first sync, with the seconds since this list was made. One that raises is not called again.
        """
        self._watch.callbacks.append(callback)

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """See RevocationList."""
        now = self._clock()  # before, so that nothing ends later here than there
        self.authority.revoke_token(issuer, token_id, expires_at=expires_at)
        self._keep(Change("token", issuer, token_id, entry_end(expires_at, now)), now)

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """See RevocationList."""
        now = self._clock()
        self.authority.revoke_session(issuer, session, expires_at=expires_at)
        self._keep(Change("session", issuer, session, entry_end(expires_at, now)), now)

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """See RevocationList."""
        now = self._clock()
        known = self._copy.bound(issuer, subject, now)
        self.authority.revoke_subject(issuer, subject, before=before, expires_at=expires_at)
        self._reader.ensure()
        if before is None and self._follower.catch_up():  # the backend knows how far it reaches: by its own clock
            return
        bound = subject_bound(before, known, 0, now)
        change = Change("subject", issuer, subject, entry_end(expires_at, now), bound)
        # Nothing more than what the backend surely has is ever written back to it.
        sure = now - MOST_SKEW if before is None else subject_bound(before, None, 0, now)
        self._follower.keep((change._replace(bound=sure),), now)
        self._copy.put((change,), now)

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList."""
        now = self._clock()
        start = self.authority.start_family(issuer, subject, alone=alone, expires_at=expires_at)
        if alone:
            self._keep(Change("subject", issuer, subject, entry_end(expires_at, now), start), now)
        return start

    def advance(
        self,
        family: Family,
        presented: int,
        *,
        client_id: str,
        issued_at: int,
        expires_at: int,
        keep_until: float,
        now: float,
        grace: float,
    ) -> Step:
        """See RevocationList."""
        step = self.authority.advance(
            family,
            presented,
            client_id=client_id,
            issued_at=issued_at,
            expires_at=expires_at,
            keep_until=keep_until,
            now=now,
            grace=grace,
        )
        # "revoked": by another process, a moment ago. Who knows that already need not ask for it.
        known = self._find(family.issuer, None, family.session, family.subject, family.started, now)
        if step.answer in ("reuse", "revoked") and not known:
            change = Change("session", family.issuer, family.session, keep_until)
            if step.answer == "reuse":
                self._keep(change, now)
            else:  # by what is there already, perhaps of its subject
                self._copy.put((change,), now)
                self._reader.ensure()
            self._follower.catch_up()  # the backend may keep it longer, and know more: of the subject
        return step

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        return self.authority.current(family)

    def purge(self, now: float, limit: int = 1000) -> int:
        """See RevocationList. The copy drops by itself what ended, but a little of that is done here too."""
        self._follower.purge(now, limit)
        return self.authority.purge(now, limit)

    def close(self) -> None:
        """End the thread. From then on the copy is stale."""
        self._reader.close()

    def _keep(self, change: Change, now: float) -> None:
        """What was revoked here is honoured here at once; the thread that drops it later is started."""
        self._follower.keep((change,), now)
        self._reader.ensure()


class _Watch:
    """Says when the copy becomes too old and when it is good again, once each; tells its age to who wants it."""

    def __init__(self, follower: Follower, max_staleness: float, timer: Callable[[], float]) -> None:
        self._follower, self._max_staleness, self._timer = follower, max_staleness, timer
        self._made = timer()
        self._reported = False
        self.callbacks: list[Callable[[float], object]] = []

    def age(self) -> float | None:
        """Seconds; None before the first sync."""
        complete_at = self._follower.complete_at
        return None if complete_at == NEVER else max(0.0, self._timer() - complete_at)

    def report(self, *, refuses: bool) -> None:
        if self._reported:
            return
        self._reported = True
        going_on = "requests are refused" if refuses else "requests go on without what was revoked since"
        if self._follower.complete_at == NEVER:
            level = logging.WARNING if refuses else logging.ERROR
            _log.log(level, "the copy of the revocation list is not filled yet: %s", going_on)
        else:
            _log.error("the copy of the revocation list is older than %g s: %s", self._max_staleness, going_on)

    def stepped(self) -> None:
        age = self.age()
        if age is None:
            age = max(0.0, self._timer() - self._made)  # an alarm on it must ring where there never was a copy, too
        elif self._reported and age < self._max_staleness:
            self._reported = False
            _log.info("the copy of the revocation list is up to date again")
        for callback in list(self.callbacks):
            try:
                callback(age)
            except Exception:
                _log.exception("what watches the copy of the revocation list failed, and is not called again")
                self.callbacks.remove(callback)
