"""Entries of a revocation list as a replica holds them: small, looked up without a lock, dropped a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from .._fork import watch_forks
from .feed import Change
from .sieve import Sieve

_SHARDS = 32  # a power of two, and no more than the low bits that a sieve leaves out
_LAST = _SHARDS - 1
# Stands for a shard without entries, so that an issuer with few of them costs little.
_NO_ENDS: dict[str, float] = {}
_NO_SPANS: dict[str, tuple[float, float]] = {}
_NO_SPAN = float("-inf"), float("-inf")


class _Held:
    """The entries of one issuer by name: ends of tokens and sessions; end and bound of subjects.

    In several dicts, because one of them is soon copied: when it grows, and when what ended is dropped.
    """

    __slots__ = ("sessions", "subjects", "tokens")

    def __init__(self) -> None:
        self.tokens = [_NO_ENDS] * _SHARDS
        self.sessions = [_NO_ENDS] * _SHARDS
        self.subjects = [_NO_SPANS] * _SHARDS


_NOTHING = _Held()


class LocalCopy:
    """Writers exclude each other; look-ups take no lock. Times are in seconds since the epoch."""

    def __init__(self) -> None:
        self._issuers: dict[str, _Held] = {}
        self._sieve = Sieve(0)
        self._dropped = 0
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock. No write leaves anything half done, but a sieve
        that was being made is not complete.
        """
        self._lock = threading.Lock()
        self._next = 0
        self._coming: Sieve | None = None

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. Raises ValueError for a name that is not Unicode, as lists do that store texts: nobody
        could have revoked it.
        """
        sieve = self._sieve
        bits, mask = sieve.bits, sieve.mask
        if token_id is not None:
            if not token_id.isascii():
                token_id.encode()
            mark = hash(token_id)
            if bits[mark >> 8 & mask] >> (mark >> 5 & 7) & 1:
                ends = self._held(issuer).tokens[mark & _LAST].get(token_id)
                if ends is not None and ends > now:
                    return True
        if session is not None:
            if not session.isascii():
                session.encode()
            mark = hash(session)
            if bits[mark >> 8 & mask] >> (mark >> 5 & 7) & 1:
                ends = self._held(issuer).sessions[mark & _LAST].get(session)
                if ends is not None and ends > now:
                    return True
        if subject is not None:
            if not subject.isascii():
                subject.encode()
            mark = hash(subject)
            if bits[mark >> 8 & mask] >> (mark >> 5 & 7) & 1:
                ends, bound = self._held(issuer).subjects[mark & _LAST].get(subject, _NO_SPAN)
                return ends > now and (started is None or started < bound)
        return False

    def put(self, entries: Iterable[Change], now: float) -> None:
        """Take entries in. None ends sooner or takes in less than it did; what has ended is left out."""
        with self._lock:
            for kind, issuer, name, ends, bound in entries:
                if not ends > now:
                    continue
                held = self._issuers.get(issuer)
                if held is None:
                    held = self._issuers[issuer] = _Held()
                self._expect(name)
                if kind == "subject":
                    _put_span(held.subjects, name, (ends, bound), now)
                else:
                    _put_end(held.tokens if kind == "token" else held.sessions, name, ends)

    def _expect(self, name: str) -> None:
        """Before an entry is put, so that a fork in between loses nothing."""
        if self._sieve.room <= 0:
            self._renew_sieve()
        self._sieve.add(name)
        if self._coming is not None:
            self._coming.add(name)

    def _renew_sieve(self) -> None:
        """At once: there is more to hold than it was made for. A growing copy does that seldom."""
        sieve = Sieve(2 * len(self))
        for held in self._issuers.values():
            for shards in (held.tokens, held.sessions, held.subjects):
                for shard in shards:
                    for name in shard:
                        sieve.add(name)
        self._sieve, self._coming = sieve, None

    def bound(self, issuer: str, subject: str, now: float) -> float | None:
        """The bound of a subject's entry, if there is one that has not ended."""
        ends, bound = self._held(issuer).subjects[hash(subject) & _LAST].get(subject, _NO_SPAN)
        return bound if ends > now else None

    def covers(self, change: Change) -> bool:
        """Whether it is here, for as long and with as much."""
        kind, issuer, name, ends, bound = change
        held, number = self._held(issuer), hash(name) & _LAST
        if kind == "subject":
            known = held.subjects[number].get(name, _NO_SPAN)
            return known[0] >= ends and known[1] >= bound
        return (held.tokens if kind == "token" else held.sessions)[number].get(name, float("-inf")) >= ends

    def purge(self, now: float, limit: int) -> None:
        """Look at about ``limit`` entries, and drop of them what ended."""
        for _ in range(min(_SHARDS, 1 + _SHARDS * limit // max(1, len(self)))):
            self.sweep(now)

    def sweep(self, now: float) -> None:
        """Drop what ended in the next part of the copy; everything was looked at after 32 calls. Where much was dropped
        before, the sieve is made anew by the same calls.
        """
        with self._lock:
            number = self._next
            if number == 0 and self._dropped > len(self) // 2:
                self._coming, self._dropped = Sieve(len(self)), 0
            for held in self._issuers.values():
                held.tokens[number] = self._left(held.tokens[number], now)
                held.sessions[number] = self._left(held.sessions[number], now)
                spans = held.subjects[number]
                if any(span[0] <= now for span in spans.values()):
                    held.subjects[number] = {name: span for name, span in spans.items() if span[0] > now} or _NO_SPANS
                    self._dropped += len(spans) - len(held.subjects[number])
                if self._coming is not None:
                    for shard in (held.tokens[number], held.sessions[number], held.subjects[number]):
                        for name in shard:
                            self._coming.add(name)
            self._next = (number + 1) & _LAST
            if self._next == 0 and self._coming is not None:
                self._sieve, self._coming = self._coming, None

    def _left(self, shard: dict[str, float], now: float) -> dict[str, float]:
        if not any(end <= now for end in shard.values()):
            return shard
        left = {name: end for name, end in shard.items() if end > now}
        self._dropped += len(shard) - len(left)
        return left or _NO_ENDS

    def beyond(self, other: LocalCopy, now: float, start: float = 0.0) -> Iterator[Change]:
        """What this copy holds that ``other`` does not, or not for as long, or not as much of; not what has ended.

        ``other`` is asked for each entry at its turn. ``start``: from 0 to 1, where in the copy to begin.
        """
        first = int(start * _SHARDS)
        for turn in range(_SHARDS):
            number = first + turn & _LAST
            for issuer, held in list(self._issuers.items()):
                for name, ends in list(held.tokens[number].items()):
                    if ends > max(now, other._held(issuer).tokens[number].get(name, now)):
                        yield Change("token", issuer, name, ends)
                for name, ends in list(held.sessions[number].items()):
                    if ends > max(now, other._held(issuer).sessions[number].get(name, now)):
                        yield Change("session", issuer, name, ends)
                for name, (ends, bound) in list(held.subjects[number].items()):
                    known = other._held(issuer).subjects[number].get(name, _NO_SPAN)
                    if ends > now and (ends > known[0] or bound > known[1]):
                        yield Change("subject", issuer, name, ends, bound)

    def _held(self, issuer: str) -> _Held:
        return self._issuers.get(issuer, _NOTHING)

    def __len__(self) -> int:
        """The number of entries held, ended ones included until they are swept out."""
        issuers = list(self._issuers.values())  # no lock: others may come in meanwhile
        kinds = [kind for held in issuers for kind in (held.tokens, held.sessions, held.subjects)]
        return sum(len(shard) for kind in kinds for shard in kind)


def _put_end(shards: list[dict[str, float]], name: str, ends: float) -> None:
    number = hash(name) & _LAST
    if shards[number] is _NO_ENDS:
        shards[number] = {name: ends}
    elif ends > shards[number].get(name, float("-inf")):
        shards[number][name] = ends


def _put_span(shards: list[dict[str, tuple[float, float]]], name: str, span: tuple[float, float], now: float) -> None:
    number = hash(name) & _LAST
    if shards[number] is _NO_SPANS:
        shards[number] = {name: span}
        return
    known = shards[number].get(name)
    if known is not None and known[0] > now:
        span = max(span[0], known[0]), max(span[1], known[1])
    shards[number][name] = span
