"""What tests of a replica need: a list in a file that fails, waits, counts and loses data when it is told."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jwtconnect_mw.revocation import Change, Changes, ReplicatedRevocationList, SQLiteRevocationList
from jwtconnect_mw.revocation.follow import Follower, Pace
from jwtconnect_mw.revocation.local import LocalCopy
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import revoked

from .kit import ISSUER, NOW
from .remote import LIMIT

PACE = Pace(wait=1.0, poll=0.5, most_pause=2.0)


class Backend(SQLiteRevocationList):
    """``error``: what is raised instead of telling and taking back. ``gate``: reads wait until it is open, and say that
    they ``entered``.

    ``calls``: the names of all methods that were called, in order.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        self.calls: list[str] = []
        self.error: BaseException | None = None
        self.restoring: BaseException | None = None
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()
        self.path = path
        super().__init__(path, **settings)

    def changes(self, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> Changes:
        self.calls.append("changes")
        if not self.gate.is_set():
            self.entered.set()
            assert self.gate.wait(LIMIT)
        if self.error is not None:
            raise self.error
        return super().changes(cursor, limit=limit, wait=wait)

    def restore(self, entries: Collection[Change]) -> None:
        self.calls.append("restore")
        if self.restoring is not None:
            raise self.restoring
        super().restore(entries)

    def is_revoked(self, *asked: Any) -> bool:
        self.calls.append("is_revoked")
        return super().is_revoked(*asked)

    def hang(self) -> None:
        """The thread that reads is in a read, and stays there."""
        self.entered.clear()
        self.gate.clear()
        assert self.entered.wait(LIMIT)

    def lose(self) -> None:
        """Another, empty file takes the place of this one."""
        new = self.path.with_name("new.db")
        SQLiteRevocationList(new, clock=self._clock).close()
        for more in ("-wal", "-shm"):
            self.path.with_name(self.path.name + more).unlink(missing_ok=True)
        new.replace(self.path)


class Steps:
    """A follower whose steps the test takes, under a clock and a timer that stand still."""

    def __init__(self, backend: Backend, clock: ManualClock, pace: Pace = PACE) -> None:
        self.clock, self.timer = clock, ManualClock(1000.0)
        self.copy = LocalCopy()
        self.jitter = 1.0
        self.follower = Follower(backend, self.copy, pace, clock=clock, timer=self.timer, jitter=lambda: self.jitter)

    def until(self, pause: float, most: int = 10_000) -> list[float]:
        """Take steps until one says that; what they said."""
        said = [self.follower.step()]
        while said[-1] != pause:
            assert len(said) < most, said[-10:]
            said.append(self.follower.step())
        return said


def replica(backend: SQLiteRevocationList, clock: ManualClock, **settings: Any) -> ReplicatedRevocationList:
    return ReplicatedRevocationList(backend, clock=clock, **{"max_staleness": LIMIT, **settings})


def honours(revocations: Any, *tokens: str, now: float = NOW) -> list[bool]:
    return [revoked(revocations, token=name, now=now) for name in tokens]


def fill(backend: SQLiteRevocationList, count: int, ends: float = NOW + 1_000_000) -> None:
    SQLiteRevocationList.restore(backend, [Change("token", ISSUER, f"{number}", ends) for number in range(count)])
