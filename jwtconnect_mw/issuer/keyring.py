"""The keys of an issuer as a value: which one signs, which are published, what a rotation or a drop makes of them.

Everything here is a pure function of the ring and the time, so that all processes that read one file agree.
Times are seconds since the epoch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .._jose import SigningKey

PUBLISHED_AHEAD = 3600.0 + 300.0
"""Seconds from the publication of a key to its first signature: the longest that verifiers keep a key set as fresh,
and the max-age of ours."""
KEPT_AFTER = 300.0 + 60.0
"""Seconds that a key stays published after the last token it signed: the greatest leeway, and clocks that differ."""
MAX_KEYS = 32

State = Literal["next", "current", "retired", "published"]
"""``published``: of a loaded set, a key beside the one that signs."""


class KeyChangeError(RuntimeError):
    """The keys were not changed. The text says why; nothing of a key is in it."""


class RefreshSecret(NamedTuple):
    """A secret that signs refresh tokens (HS256), and its kid. ``repr`` shows the kid only."""

    kid: str
    secret: bytes

    def __repr__(self) -> str:
        return f"<RefreshSecret {self.kid!r}>"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key. ``stopped_at``: when the next one took or takes over; ``gone_at``: when it is no
    longer published. Times are None where they are not known.
    """

    kid: str
    alg: str
    state: State
    published_at: float | None = None
    signs_from: float | None = None
    stopped_at: float | None = None
    gone_at: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A key, when it was published and when it starts to sign: infinity where it never does."""

    key: SigningKey
    published_at: float
    signs_from: float


@dataclass(frozen=True, slots=True, repr=False)
class Ring:
    """``entries`` by ``signs_from``, oldest first. ``fixed``: loaded from what is not ours to write."""

    entries: tuple[Entry, ...]
    secrets: tuple[RefreshSecret, ...]
    fixed: bool = False

    def signer(self, now: float) -> SigningKey:
        return self.entries[self.current(now)].key

    def current(self, now: float) -> int:
        """The place of the last that may sign; the first of all where a clock was set back before them."""
        return max(0, bisect_right([entry.signs_from for entry in self.entries], now) - 1)

    def alive(self, now: float, lifetime: float) -> tuple[Entry, ...]:
        """Those to be published, oldest first: without the retired ones whose last token is gone.

        ``lifetime``: of access tokens, in seconds.
        """
        current = self.current(now)
        retired = (entry for place, entry in enumerate(self.entries[:current]) if now < self._gone_at(place, lifetime))
        return (*retired, *self.entries[current:])

    def span(self, now: float, lifetime: float) -> tuple[float, float]:
        """From when until when nothing of this changes by time alone."""
        events = [entry.signs_from for entry in self.entries]
        events += [self._gone_at(place, lifetime) for place in range(len(self.entries) - 1)]
        since = max((event for event in events if event <= now), default=-math.inf)
        return since, min((event for event in events if event > now), default=math.inf)

    def describe(self, now: float, lifetime: float) -> tuple[KeyInfo, ...]:
        """All that are published, oldest first."""
        alive = self.alive(now, lifetime)
        places = range(len(self.entries) - len(alive), len(self.entries))
        return tuple(self._describe(place, self.current(now), lifetime) for place in places)

    def _describe(self, place: int, current: int, lifetime: float) -> KeyInfo:
        entry = self.entries[place]
        state: State = "current" if place == current else "retired" if place < current else "next"
        if entry.signs_from == math.inf:
            state = "published"
        last = place == len(self.entries) - 1
        times = (
            entry.published_at,
            entry.signs_from,
            math.inf if last else self.entries[place + 1].signs_from,
            math.inf if last else self._gone_at(place, lifetime),
        )
        return KeyInfo(entry.key.kid, entry.key.alg, state, *(time if math.isfinite(time) else None for time in times))

    def _gone_at(self, place: int, lifetime: float) -> float:
        return self.entries[place + 1].signs_from + lifetime + KEPT_AFTER


def new_ring(key: SigningKey, secret: RefreshSecret, now: float) -> Ring:
    """One key that signs from now."""
    return Ring((Entry(key, now, now),), (secret,))


def pruned(ring: Ring, now: float, lifetime: float) -> Ring:
    """The ring without the retired keys whose last token is gone."""
    return replace(ring, entries=ring.alive(now, lifetime))


def rotated(ring: Ring, now: float, make: Callable[[], SigningKey], *, at_once: bool) -> tuple[Ring, str]:
    """The ring with a next key, and its kid. One that waits already stays the next; ``at_once`` lets it sign now.

    Raises KeyChangeError where there are too many keys.
    """
    current = ring.current(now)
    waiting = ring.entries[current + 1 :]
    if waiting:
        return _started(ring, current + 1, now) if at_once else ring, waiting[0].key.kid
    if len(ring.entries) >= MAX_KEYS:
        raise KeyChangeError(f"there are {MAX_KEYS} keys already: wait until the tokens of the oldest are gone")
    added = _added(ring, make(), now, now if at_once else now + PUBLISHED_AHEAD)
    return added, added.entries[-1].key.kid


def dropped(
    ring: Ring, kid: str, now: float, make: Callable[[], SigningKey], make_secret: Callable[[], RefreshSecret]
) -> Ring:
    """The ring without the key or refresh secret ``kid``; if it was the signer, the next one or a new one signs now.

    Raises KeyError if there is none of that kid.
    """
    secrets = tuple(secret for secret in ring.secrets if secret.kid != kid)
    if len(secrets) < len(ring.secrets):
        return replace(ring, secrets=secrets or (make_secret(),))
    rest = replace(ring, entries=tuple(entry for entry in ring.entries if entry.key.kid != kid))
    if len(rest.entries) == len(ring.entries):
        raise KeyError(kid)
    current = ring.current(now)
    if ring.entries[current].key.kid != kid:
        return rest
    # What waited has moved into the place of the signer. A retired key never signs again.
    return _started(rest, current, now) if current < len(rest.entries) else _added(rest, make(), now, now)


def _started(ring: Ring, place: int, now: float) -> Ring:
    """The key at ``place`` signs from now. None before it starts later, also after a clock was set back."""
    return replace(ring, entries=tuple(
        replace(entry, signs_from=min(entry.signs_from, now)) if index <= place else entry
        for index, entry in enumerate(ring.entries)))  # fmt: skip


def _added(ring: Ring, key: SigningKey, now: float, signs_from: float) -> Ring:
    settled = _started(ring, len(ring.entries) - 1, now)
    return replace(settled, entries=(*settled.entries, Entry(key, now, signs_from)))
