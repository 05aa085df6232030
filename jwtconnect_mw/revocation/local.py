"""Entries of a revocation list as a replica holds them: small, looked up without a lock, dropped a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from .._fork import watch_forks
from .feed import Change

_SHARDS = 256  # a power of two
_LAST = _SHARDS - 1
# Stands for a shard without entries, so that an issuer with few of them costs little.
_NO_ENDS: dict[str, float] = {}
_NO_SPANS: dict[str, tuple[float, float]] = {}
_NO_SPAN = float("-inf"), float("-inf")


class _Held:
    """The entries of one issuer by name: ends of tokens and sessions; end and bound of subjects.

    In many small dicts: one of them is soon copied, and reading from a large number of entries stays quick, because
    the index of a small dict is small.
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
        self._next = 0
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock. No write leaves anything half done."""
        self._lock = threading.Lock()

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup."""
        held = self._issuers.get(issuer)
        if held is None:
            return False
        if token_id is not None and held.tokens[hash(token_id) & _LAST].get(token_id, now) > now:
            return True
        if session is not None and held.sessions[hash(session) & _LAST].get(session, now) > now:
            return True
        if subject is None:
            return False
        span = held.subjects[hash(subject) & _LAST].get(subject)
        return span is not None and span[0] > now and (started is None or started < span[1])

    def put(self, entries: Iterable[Change], now: float) -> None:
        """Take entries in. None ends sooner or takes in less than it did; what has ended is left out."""
        with self._lock:
            for kind, issuer, name, ends, bound in entries:
                if not ends > now:
                    continue
                held = self._issuers.get(issuer)
                if held is None:
                    held = self._issuers[issuer] = _Held()
                if kind == "subject":
                    _put_span(held.subjects, name, (ends, bound), now)
                else:
                    _put_end(held.tokens if kind == "token" else held.sessions, name, ends)

    def bound(self, issuer: str, subject: str, now: float) -> float | None:
        """The bound of a subject's entry, if there is one that has not ended."""
        ends, bound = self._held(issuer).subjects[hash(subject) & _LAST].get(subject, _NO_SPAN)
        return bound if ends > now else None

    def purge(self, now: float, limit: int) -> None:
        """Look at about ``limit`` entries, and drop of them what ended."""
        for _ in range(min(_SHARDS, 1 + _SHARDS * limit // max(1, len(self)))):
            self.sweep(now)

    def sweep(self, now: float) -> None:
        """Drop what ended in the next small part of the copy; everything was looked at after 256 calls."""
        with self._lock:
            number, self._next = self._next, (self._next + 1) & _LAST
            for held in self._issuers.values():
                for ends in (held.tokens, held.sessions):
                    if any(end <= now for end in ends[number].values()):
                        left = {name: end for name, end in ends[number].items() if end > now}
                        ends[number] = left or _NO_ENDS
                if any(span[0] <= now for span in held.subjects[number].values()):
                    spans = {name: span for name, span in held.subjects[number].items() if span[0] > now}
                    held.subjects[number] = spans or _NO_SPANS

    def beyond(self, other: LocalCopy, now: float) -> Iterator[Change]:
        """What this copy holds that ``other`` does not, or not for as long, or not as much of; not what has ended.

        ``other`` is asked for each entry at its turn.
        """
        for issuer, held in list(self._issuers.items()):
            for number in range(_SHARDS):
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
        kinds = [kind for held in self._issuers.values() for kind in (held.tokens, held.sessions, held.subjects)]
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
