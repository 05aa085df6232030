"""What outlives the process. Skipped for lists that do not."""

from __future__ import annotations

from dataclasses import replace

from ...revocation import Step
from ..clock import ManualClock
from .backend import FAMILY, ISSUER, LIFETIME, NOW, Backend, present, revoked


class Durability(Backend):
    def test_a_restart_forgets_nothing(self) -> None:
        revocations, clock = self.fresh()
        revocations.revoke_token(ISSUER, "token")
        revocations.revoke_session(ISSUER, "session")
        revocations.revoke_subject(ISSUER, "subject", before=NOW - 10)
        last = [revocations.start_family(ISSUER, "bob", alone=True) for _ in range(3)][-1]
        present(revocations, 0)
        reused = replace(FAMILY, session="reused")
        for number in (0, 1, 0):
            present(revocations, number, family=reused)
        clock.advance(5)
        again = self.reopen(clock)
        assert revoked(again, token="token")
        assert revoked(again, session="session")
        assert revoked(again, subject="subject", started=NOW - 10)
        assert not revoked(again, subject="subject", started=NOW - 9)
        assert [revoked(again, subject="bob", started=start) for start in (last - 1, last)] == [True, False]
        assert again.current(FAMILY) == 1
        assert present(again, 0, clock.now) == Step("again", 1, NOW, NOW + LIFETIME)
        assert present(again, 1, family=reused) == Step("revoked")

    def test_families_of_before_a_restart_are_known(self) -> None:
        revocations, _ = self.fresh()
        start = revocations.start_family(ISSUER, "alice")
        again = self.reopen(ManualClock(NOW + 1000))
        family = replace(FAMILY, started=start)
        assert again.current(family) == 0
        assert present(again, 0, NOW + 1000, family).answer == "advanced"
        assert revocations.current(family) == 1
