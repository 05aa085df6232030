"""A clock that stands still until it is told."""

from __future__ import annotations

import time


class ManualClock:
    """Give it as ``clock=``. ``now`` is in seconds since the epoch."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on, or back by a negative number."""
        self.now += seconds
