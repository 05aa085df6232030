"""The keys of all trusted issuers: one immutable snapshot that requests read, without a lock and without I/O."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from typing import Any

from .._fork import watch_forks
from .._jose import KeyCache, VerificationKey
from ..errors import AuthError, Unavailable, UnknownKey
from .state import IssuerKeys

_AT_ONCE = 16
Keys = tuple[VerificationKey, ...]


class Snapshot:
    """Which keys fit a JOSE header, over all issuers, at one moment."""

    __slots__ = ("_by_kid", "_kidless", "_refused", "_sole", "kids", "mark")

    def __init__(self, issuers: Iterable[IssuerKeys]) -> None:
        self.mark = object()  # for whoever wants to know whether it is still the same, without keeping its keys alive
        by_kid: dict[tuple[str, str], Keys] = {}
        kidless: defaultdict[str, list[VerificationKey]] = defaultdict(list)
        sole: defaultdict[str, list[VerificationKey]] = defaultdict(list)
        refused: defaultdict[str | None, set[str]] = defaultdict(set)
        for issuer in issuers:
            if issuer.current is None:
                continue
            for key in issuer.current.keys:
                kidless[key.alg].append(key)
                if key.kid is not None:
                    by_kid[key.kid, key.alg] = (*by_kid.get((key.kid, key.alg), ()), key)
                elif issuer.current.count == 1:
                    sole[key.alg].append(key)
                    for kid, _ in issuer.current.refused:
                        refused[kid].add(issuer.issuer)
        self.kids = frozenset().union(*(issuer.current.kids for issuer in issuers if issuer.current is not None))
        self._by_kid = by_kid
        self._kidless = {alg: tuple(keys) for alg, keys in kidless.items()}
        self._sole = {alg: tuple(keys) for alg, keys in sole.items()}
        self._refused = dict(refused)

    def find(self, kid: str | None, alg: str) -> Keys:
        """The keys for a header: those of that kid, and an issuer's only usable key if that has none; without kid all
        that fit. The kid of a key that could not be loaded names that one alone.
        """
        if kid is None:
            return self._kidless.get(alg, ())
        named = self._by_kid.get((kid, alg), ())
        if not self._sole:
            return named
        sole = self._sole.get(alg, ())
        if kid in self._refused:
            sole = tuple(key for key in sole if key.issuer not in self._refused[kid])
        return named + sole


class KeyStore:
    """``snapshot`` is replaced by one assignment; whoever holds an older one sees it whole."""

    def __init__(self, issuers: Mapping[str, IssuerKeys]) -> None:
        self.issuers = issuers
        self.cache = KeyCache()
        self._lock = threading.Lock()
        self._quiet = float("inf"), float("-inf")
        self._remote = tuple(issuer for issuer in issuers.values() if not issuer.is_static)
        self._restless = next(iter(self._remote), next(iter(issuers.values())))
        for issuer in issuers.values():
            issuer.on_change = self._changed
        self._publish(issuers.values())
        watch_forks(self)

    def _changed(self, issuer: IssuerKeys) -> None:
        with self._lock:
            self._publish((issuer,))

    def _publish(self, changed: Iterable[IssuerKeys]) -> None:
        for issuer in changed:
            if issuer.current is not None:
                self.cache.replace(issuer.issuer, issuer.current)
        self.snapshot = Snapshot(self.issuers.values())

    def may_seek(self, now: float) -> bool:
        """Whether a fetch could be due, under way or missed at any issuer; if not, an unknown key stays unknown."""
        since, until = self._quiet
        if since <= now < until:
            return False
        since, until = float("-inf"), float("inf")
        for issuer in (self._restless, *self._remote):
            start, end = issuer.quiet()
            if not start <= now < end:
                self._restless = issuer  # asked first the next time
                return True
            since, until = max(since, start), min(until, end)
        self._quiet = since, until
        return False

    def prefetch(self, now: float) -> None:
        """Fetch what is missing, a few issuers at a time, and wait for it; failures are logged, not raised."""
        missing = [issuer for issuer in self.issuers.values() if issuer.current is None]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            flights = [issuer.begin(now) for issuer in some]
            wait([flight for flight in flights if flight is not None], max(issuer.deadline for issuer in some) + 1.0)

    def tend(self, now: float) -> AuthError:
        """Start the fetches that are due, a few at a time, as far as their cooldown lets them. What an unknown key
        comes to then: 503 where keys are missing or stale at any issuer.
        """
        verdict: AuthError = UnknownKey()
        begun = 0
        for issuer in self._remote:
            if not issuer.is_fresh(now) or now >= issuer.refresh_at:
                if begun < _AT_ONCE:
                    begun += 1
                    issuer.tend(now)
                found = issuer.verdict(now)
                verdict = found if isinstance(found, Unavailable) else verdict
        return verdict

    def health(self, now: float) -> dict[str, Any]:
        return {name: issuer.health(now) for name, issuer in self.issuers.items()}

    def after_fork(self) -> None:
        """In the child: locks anew, and what the parent's threads were just about to publish."""
        self._lock = threading.Lock()
        for issuer in self.issuers.values():
            issuer.after_fork()
        self._publish(self.issuers.values())
