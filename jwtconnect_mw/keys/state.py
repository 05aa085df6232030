"""The keys of one issuer through time: fresh, due, stale, missing; one fetch in flight; the unknown-kid rule.

Times are of the injected clock, in seconds; only waiting is done in real time.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import sha256
from typing import Any, Literal

from cachetools import LRUCache

from .._jose import KeySet
from ..errors import AuthError, KeysUnavailable, UnknownKey
from ..fetch import DEADLINE, Fetch, HttpFetch
from .sources import COOLDOWN as COOLDOWN
from .sources import Loaded, Source, SourceError

STALE = 3600.0
REFRESH_AT, JITTER = 0.8, 0.1
MAX_WAITING, MAX_WAIT = 4, 2.0
MAX_UNKNOWN = 1024

_log = logging.getLogger("jwtconnect_mw.keys")

Flight = Future[None]


class IssuerKeys:
    """One issuer's keys. Reading ``current`` takes no lock; everything that changes state does."""

    def __init__(
        self, issuer: str, source: Source, fetch: Fetch, clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self.issuer = issuer
        self.current: KeySet | None = None
        self.good_from = self.refresh_at = self.fresh_until = self.usable_until = float("-inf")
        self.last_success: float | None = None
        self.last_attempt: float | None = None
        self.on_change: Callable[[IssuerKeys], None] = lambda _: None
        self.on_load: Callable[[IssuerKeys, bool], None] = lambda *_: None
        self._source, self._fetch, self._clock, self._jitter = source, fetch, clock, jitter
        self.is_static, self._cooldown = source.static, source.cooldown
        self.deadline = fetch.deadline if isinstance(fetch, HttpFetch) else DEADLINE
        self._failing = False
        self._begun = self._accepted = 0
        self._flight: Flight | None = None
        self._reported: frozenset[tuple[str | None, str]] = frozenset()
        self.after_fork()
        if not source.remote:
            self.reload()
        source.watch(self.reload)

    def after_fork(self) -> None:
        """Forget what only the parent process can finish: its lock, its flight, the requests that waited for it."""
        self._lock = threading.Lock()
        if self._flight is not None or self.current is None:
            self.last_attempt = None
        self._flight = None
        self._waiting = 0
        self._unknown: LRUCache[bytes, float] = LRUCache(MAX_UNKNOWN)

    def tend(self, now: float) -> bool:
        """Whether the current keys may be used. Where a refresh is due, also after a clock that was set back, it is
        started off the request.
        """
        if not self.good_from <= now < self.refresh_at:
            with self._lock:
                if now < self.good_from:  # the clock was set back: the age is not known, so it counts as stale from now
                    self.usable_until = min(self.usable_until, now + STALE)
                self._begin(now)
        return self.current is not None and now < self.usable_until

    def seek(self, kid: str | None, now: float) -> Flight:
        """The flight that may bring the unknown ``kid``, with a place to wait for it; give the place back by ``leave``.

        Raises UnknownKey or KeysUnavailable where no fetch is due, or too many wait already.
        """
        if self.is_static:
            raise UnknownKey
        with self._lock:
            if self._may_begin(now) and not (self.is_fresh(now) and self._is_known_unknown(kid, now)):
                self._begin(now)
            if self._flight is not None and self._waiting < MAX_WAITING:
                self._waiting += 1
                return self._flight
        raise self.verdict(now)

    def leave(self) -> None:
        """A request no longer waits."""
        with self._lock:
            self._waiting = max(0, self._waiting - 1)

    def verdict(self, now: float) -> AuthError:
        """What an unknown key comes to now: 401 beside fresh keys, else 503 until the next attempt may be made."""
        if self.is_fresh(now):
            return UnknownKey()
        if self._flight is not None or self.last_attempt is None:
            return KeysUnavailable(round(MAX_WAIT))
        return KeysUnavailable(math.ceil(min(max(self.last_attempt + self._cooldown - now, 1.0), self._cooldown)))

    def remember_unknown(self, kid: str | None, now: float) -> None:
        """If the last fetch was good and did not bring ``kid``: do not fetch for it again during one cooldown."""
        with self._lock:
            if self._flight is None and not self._failing and self.is_fresh(now):
                self._unknown[_mark(kid)] = now

    def quiet(self) -> tuple[float, float]:
        """From when until when no fetch can begin and the keys are fresh: nothing can be learnt of an unknown key."""
        if self.is_static:
            return float("-inf"), float("inf")
        if self.current is None or self._flight is not None or self.last_attempt is None:
            return float("inf"), float("-inf")
        return max(self.good_from, self.last_attempt), min(self.fresh_until, self.last_attempt + self._cooldown)

    def is_fresh(self, now: float) -> bool:
        return self.current is not None and self.good_from <= now < self.fresh_until

    def health(self, now: float) -> dict[str, Any]:
        """State for people and probes: age and times in seconds."""
        state: Literal["fresh", "stale", "missing"] = "missing"
        if self.current is not None and now < self.usable_until:
            state = "fresh" if self.is_fresh(now) else "stale"
        return {
            "state": state,
            "age": None if self.last_success is None or self.is_static else max(0.0, now - self.last_success),
            "last_success": None if self.is_static else self.last_success,
            "last_attempt": None if self.is_static else self.last_attempt,
            "keys": 0 if self.current is None else self.current.count,
        }

    def begin(self, now: float) -> Flight | None:
        """Start a fetch unless the cooldown forbids it; the flight under way, if any."""
        with self._lock:
            self._begin(now)
            return self._flight

    def reload(self) -> None:
        """Read the keys now, by the caller's thread: for sources that do no I/O to speak of."""
        self._load(self._clock())

    def _is_known_unknown(self, kid: str | None, now: float) -> bool:
        since = self._unknown.get(_mark(kid))
        return since is not None and 0 <= now - since < self._cooldown

    def _may_begin(self, now: float) -> bool:
        """The cooldown counts from attempts, so that neither failure nor success can be made to cost more fetches."""
        recently = self.last_attempt is not None and 0 <= now - self.last_attempt < self._cooldown
        return not (recently or self.is_static or self._flight is not None)

    def _begin(self, now: float) -> None:
        if not self._may_begin(now):
            return
        self.last_attempt = now
        flight: Flight = Future()
        self._flight = flight
        flight.set_running_or_notify_cancel()  # so that a waiter that gives up cannot cancel it for the others
        try:
            threading.Thread(target=self._fly, args=(flight, now), name="jwtconnect_mw-keys", daemon=True).start()
        except RuntimeError:  # no more threads: as a failed fetch
            self._flight = None
            flight.set_result(None)

    def _fly(self, flight: Flight, now: float) -> None:
        try:
            self._load(now)
        finally:
            with self._lock:
                self._flight = None
            flight.set_result(None)

    def _load(self, now: float) -> None:
        with self._lock:
            self._begun += 1
            turn = self._begun
        self.last_attempt = now
        loaded: Loaded | None = None
        problem = "unexpected failure"
        try:
            loaded = self._source.load(self._fetch, self.deadline, now)
        except SourceError as error:
            problem = str(error)
        except Exception:
            _log.exception("reading the keys of %r failed unexpectedly", self.issuer)
        if loaded is not None:
            self._accept(loaded, self._clock(), turn)
        else:
            self._fail(problem)
        self.on_load(self, loaded is not None)

    def _accept(self, loaded: Loaded, now: float, turn: int) -> None:
        with self._lock:
            if turn < self._accepted:  # what began later has been read already: this may be older
                return
            self._accepted = turn
            changed = self.current is None or _content(self.current) != _content(loaded.keys)
            if changed:
                self.current = loaded.keys
            self.last_success = now
            self.good_from = float("-inf") if self.is_static else now - COOLDOWN
            self.refresh_at = now + loaded.soft_age * (REFRESH_AT - JITTER * self._jitter())
            self.fresh_until = now + loaded.soft_age
            self.usable_until = self.fresh_until + STALE
            self._unknown.clear()
            recovered, self._failing = self._failing, False
        if changed:
            self.on_change(self)
        refused = frozenset(loaded.keys.refused)
        for kid, reason in refused - self._reported:
            _log.warning("a key of %r is not used (kid %.100r): %s", self.issuer, kid, reason)
        self._reported = refused
        if recovered:
            _log.info("the keys of %r can be had again", self.issuer)

    def _fail(self, problem: str) -> None:
        with self._lock:
            first, self._failing = not self._failing, True
        if first:
            _log.warning("the keys of %r cannot be had: %s", self.issuer, problem)


def _content(keys: KeySet) -> tuple[frozenset[object], frozenset[object]]:
    return frozenset(keys.keys), frozenset(keys.refused)


def _mark(kid: str | None) -> bytes:
    return b"" if kid is None else sha256(kid.encode()).digest()
