"""Threads that do the same thing at the same time, under a clock that stands still."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ...revocation import RevocationList, Step
from .backend import FAMILY, ISSUER, NOW, Backend, present, revoked

R = TypeVar("R")
_LIMIT = 60.0
_OFTEN = 1e-6  # seconds; at the usual 5 ms most threads would be done before the next one runs


def together(works: Sequence[Callable[[], R]]) -> list[R]:
    """Each in a thread of its own, all let go at once; what they return, or what the first that failed raises."""
    start = threading.Barrier(len(works))
    results: dict[int, R] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(_LIMIT)
            results[number] = works[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_OFTEN)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_LIMIT)
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(works))]


class Races(Backend):
    """Half of the threads come through a second handle, as other processes do, where the list is shared by any."""

    threads = 50
    rounds = 3

    def handles(self) -> tuple[RevocationList, RevocationList]:
        """Two of one list; the same twice where it belongs to one process."""
        revocations, clock = self.fresh()
        return revocations, self.beside(clock) if revocations.shared else revocations

    def test_one_successor_however_many_ask_at_once(self) -> None:
        handles = self.handles()
        for number in range(self.rounds):
            ask = [
                partial(present, handles[asker % 2], number, issued_at=NOW + asker, expires_at=NOW + 2 * asker)
                for asker in range(self.threads)
            ]
            steps = together(ask)
            assert sorted(step.answer for step in steps) == ["advanced"] + ["again"] * (self.threads - 1)
            assert len({replace(step, answer="again") for step in steps}) == 1
            assert [revocations.current(FAMILY) for revocations in handles] == [number + 1] * 2

    def test_reuse_revokes_every_time(self) -> None:
        """Nobody who comes with a spent token, as often and as fast as may be, gets anything."""
        revocations, other = self.handles()
        for number in range(self.rounds):
            family = replace(FAMILY, session=f"session {number}")
            present(revocations, 0, family=family)
            present(other, 1, family=family)
            ask = [partial(present, handle, 0, family=family) for handle in (revocations, other)]
            steps = together(ask * (self.threads // 2))
            assert sorted(step.answer for step in steps) == ["reuse"] + ["revoked"] * (self.threads - 1)
            assert revoked(revocations, session=family.session)

    def test_a_successors_use_ends_the_window_whoever_is_first(self) -> None:
        revocations, other = self.handles()
        for number in range(self.rounds):
            family = replace(FAMILY, session=f"session {number}")
            present(revocations, 0, family=family)
            old, new = partial(present, revocations, 0, family=family), partial(present, other, 1, family=family)
            steps = together([old, new] * (self.threads // 2))
            assert {step.answer for step in steps[::2]} <= {"again", "reuse", "revoked"}
            assert {step.answer for step in steps[1::2]} <= {"advanced", "again", "revoked"}
            assert old().answer in ("reuse", "revoked")
            assert revoked(revocations, session=family.session)

    def test_a_revocation_wins(self) -> None:
        revocations, other = self.handles()
        for number in range(self.rounds):
            for kind in ("session", "subject"):
                family = replace(FAMILY, session=f"{kind} {number}", subject=f"{kind} {number}")
                revoke: Callable[[], object] = partial(_revoke, revocations, kind, f"{kind} {number}")
                ask: Callable[[], object] = partial(present, other, 0, family=family)
                together([revoke, *[ask] * (self.threads - 1)])
                assert [present(revocations, presented, family=family) for presented in (0, 1)] == [Step("revoked")] * 2
                assert revoked(revocations, session=family.session, subject=family.subject)

    def test_of_logins_at_once_one_is_good(self) -> None:
        revocations, other = self.handles()
        logins = [partial(handle.start_family, ISSUER, "alice", alone=True) for handle in (revocations, other)]
        starts = together(logins * 4)
        assert sorted(starts) == [NOW + number for number in range(8)]
        good = [start for start in starts if not revoked(revocations, subject="alice", started=start)]
        assert good == [max(starts)]

    def test_families_do_not_disturb_each_other(self) -> None:
        revocations, _ = self.fresh()

        def live(name: int) -> None:
            family = replace(FAMILY, session=f"session {name}")
            for number in range(self.rounds):
                assert present(revocations, number, family=family).answer == "advanced"
                revocations.revoke_token(ISSUER, f"{name} {number}", expires_at=NOW + number)
                assert revoked(revocations, token=f"{name} {number}")
            assert revocations.current(family) == self.rounds

        together([partial(live, name) for name in range(8)])


def _revoke(revocations: RevocationList, kind: str, name: str) -> None:
    if kind == "session":
        revocations.revoke_session(ISSUER, name)
    else:
        revocations.revoke_subject(ISSUER, name)
