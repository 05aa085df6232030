"""A revocation list in the memory of one process. It does not survive a restart and is not shared."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from .protocol import FAMILY_LIFETIME, KEEP_AFTER

_Key = tuple[str, str]
_PURGED_PER_WRITE = 16


class MemoryRevocationList:
    """Safe for threads. Times are seconds since the epoch; each entry ends by itself (``expires_at`` plus a margin).

    ``expires_at`` is the greatest ``exp`` that the entry can meet; where it is not known, 30 days from now are assumed.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[_Key, float] = {}
        self._sessions: dict[_Key, float] = {}
        self._subjects: dict[_Key, tuple[float, float]] = {}
        self._ends: list[tuple[float, int, _Key]] = []

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        with self._lock:
            self._tokens[issuer, token_id] = self._end(0, (issuer, token_id), expires_at, self._tokens)

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``."""
        with self._lock:
            self._sessions[issuer, session] = self._end(1, (issuer, session), expires_at, self._sessions)

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """
        started = self._clock() if before is None else before
        bound = started + 1 if started == int(started) else started
        with self._lock:
            key = (issuer, subject)
            known = self._subjects.get(key, (bound, 0.0))
            end = self._end(2, key, expires_at, {key: known[1]})
            self._subjects[key] = (max(bound, known[0]), end)

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. Takes no lock."""
        if token_id is not None and self._tokens.get((issuer, token_id), now) > now:
            return True
        if session is not None and self._sessions.get((issuer, session), now) > now:
            return True
        if subject is None:
            return False
        entry = self._subjects.get((issuer, subject))
        return entry is not None and entry[1] > now and (started is None or started < entry[0])

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries whose end has come; how many were looked at."""
        with self._lock:
            return self._purge(now, limit)

    def __len__(self) -> int:
        """The number of entries held, ended ones included until they are purged."""
        return len(self._tokens) + len(self._sessions) + len(self._subjects)

    def _end(self, kind: int, key: _Key, expires_at: float | None, held: dict[_Key, float]) -> float:
        """When an entry ends: never sooner than it was to. Writes pay for a little purging."""
        now = self._clock()
        self._purge(now, _PURGED_PER_WRITE)
        last = now + FAMILY_LIFETIME if expires_at is None else expires_at
        end, known = last + KEEP_AFTER, held.get(key, 0.0)
        if end <= known:
            return known
        heapq.heappush(self._ends, (end, kind, key))
        return end

    def _purge(self, now: float, limit: int) -> int:
        looked_at = 0
        while looked_at < limit and self._ends and self._ends[0][0] <= now:
            _, kind, key = heapq.heappop(self._ends)
            looked_at += 1
            if kind == 2:
                entry = self._subjects.get(key)
                if entry is not None and entry[1] <= now:
                    del self._subjects[key]
            else:
                held = self._sessions if kind else self._tokens
                if held.get(key, now + 1.0) <= now:
                    del held[key]
        return looked_at
