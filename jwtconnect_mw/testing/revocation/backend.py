"""The list under test, and the calls that most tests make."""

from __future__ import annotations

import math
import unittest
from collections.abc import Callable
from typing import Any

from ...revocation import Family, RevocationList, Step
from ...revocation.protocol import KEEP_AFTER
from ..clock import ManualClock

NOW = 4_000_000_000
ISSUER, OTHER_ISSUER = "https://as.example", "https://other.example"
FAMILY = Family(ISSUER, "session-1", "alice", "client", NOW)
LIFETIME = 3600
NAN = math.nan


class Backend:
    """What a user overrides. ``purges``: whether ``purge`` is what drops things; a server with an expiry of its own
    may leave it nothing to do.
    """

    purges = True

    def make(self, clock: Callable[[], float]) -> RevocationList:
        """A list that is empty and new, and takes the time from ``clock``."""
        raise TypeError("make() must be overridden")

    def reopen(self, clock: Callable[[], float]) -> RevocationList:
        """A list over what the last one of ``make`` left behind, as another process finds it after a crash."""
        raise unittest.SkipTest("the list does not outlive its process")

    def beside(self, clock: Callable[[], float]) -> RevocationList:
        """One more handle on the list that the last ``make`` made, as another process has it at the same time."""
        return self.reopen(clock)

    def fresh(self, now: float = NOW) -> tuple[RevocationList, ManualClock]:
        """A list made at ``now``, and its clock."""
        clock = ManualClock(now)
        return self.make(clock), clock


def present(
    revocations: RevocationList, number: int, now: float = NOW, family: Family = FAMILY, **changes: Any
) -> Step:
    """The refresh token ``number`` comes at ``now``, with a window of 10 seconds."""
    arguments: dict[str, Any] = {
        "client_id": family.client_id,
        "issued_at": int(now),
        "expires_at": int(now) + LIFETIME,
        "keep_until": now + LIFETIME + KEEP_AFTER,
        "now": now,
        "grace": 10.0,
        **changes,
    }
    return revocations.advance(family, number, **arguments)


def revoked(
    revocations: RevocationList,
    *,
    token: str | None = None,
    session: str | None = None,
    subject: str | None = None,
    started: float | None = NOW,
    now: float = NOW,
) -> bool:
    """Whether a token of ISSUER with these claims is revoked."""
    return revocations.is_revoked(ISSUER, token, session, subject, started, now)


def purge_all(revocations: RevocationList, now: float) -> None:
    while revocations.purge(now):
        pass


def refusal(call: Callable[[], object]) -> ValueError | None:
    """The ValueError that it raises."""
    raised = None
    try:
        call()
    except ValueError as error:
        raised = error
    return raised
