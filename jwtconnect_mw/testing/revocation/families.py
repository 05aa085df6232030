"""When a new family starts, so that nothing revoked before takes it in, and everything revoked later does."""

from __future__ import annotations

from functools import partial

from ...revocation import Family, SubjectRevokedError
from ...revocation.protocol import FAMILY_LIFETIME, KEEP_AFTER
from .backend import ISSUER, NOW, OTHER_ISSUER, Backend, present, refusal, revoked


class Families(Backend):
    def test_a_family_starts_in_this_second(self) -> None:
        revocations, clock = self.fresh()
        for alone, subject in ((False, "alice"), (True, "bob")):
            clock.now = NOW + 0.75
            assert revocations.start_family(ISSUER, subject, alone=alone) == NOW
            clock.now = NOW + 7.0
            assert revocations.start_family(ISSUER, subject, alone=alone) == NOW + 7

    def test_a_family_starts_after_every_revocation(self) -> None:
        revocations, clock = self.fresh()
        for fraction in (0.0, 0.5):
            clock.now = NOW + fraction
            for alone, subject in ((False, f"alice-{fraction}"), (True, f"bob-{fraction}")):
                revocations.revoke_subject(ISSUER, subject)
                start = revocations.start_family(ISSUER, subject, alone=alone)
                assert type(start) is int
                assert NOW + 1 <= start <= NOW + 2
                assert not revoked(revocations, subject=subject, started=start)
                assert revocations.start_family(OTHER_ISSUER, subject) == NOW

    def test_a_revocation_takes_in_every_family_before_it(self) -> None:
        """However many logins and revocations share a second."""
        revocations, _ = self.fresh(NOW)
        for alone in (False, False, True, True, False, True):
            start = revocations.start_family(ISSUER, "alice", alone=alone)
            assert not revoked(revocations, subject="alice", started=start)
            revocations.revoke_subject(ISSUER, "alice")
            assert revoked(revocations, subject="alice", started=start)

    def test_revocations_that_are_repeated_do_not_keep_a_subject_out(self) -> None:
        revocations, clock = self.fresh()
        for fraction, subject in ((0.0, "alice"), (0.5, "bob")):
            clock.now = NOW + fraction
            for _ in range(150):
                revocations.revoke_subject(ISSUER, subject)
            clock.advance(62)
            start = revocations.start_family(ISSUER, subject)
            assert not revoked(revocations, subject=subject, started=start)
            revocations.revoke_subject(ISSUER, subject)
            assert revoked(revocations, subject=subject, started=start)

    def test_a_revocation_takes_in_families_of_clocks_that_are_ahead_by_some_seconds(self) -> None:
        """However far repeated revocations have moved the bound."""
        revocations, clock = self.fresh()
        for count in (1, 50, 150):
            subject = f"alice-{count}"
            revocations.revoke_subject(ISSUER, subject, before=NOW + 59.9)
            for _ in range(count):
                revocations.revoke_subject(ISSUER, subject)
            clock.advance(5)
            start = 0
            while not start:
                try:
                    start = revocations.start_family(ISSUER, subject)
                except SubjectRevokedError:
                    clock.advance(0.5)
            clock.advance(-5)
            revocations.revoke_subject(ISSUER, subject)
            assert revoked(revocations, subject=subject, started=start, now=clock.now)
            clock.now = NOW

    def test_a_revocation_takes_in_a_family_that_was_alone_before_the_clock_went_back(self) -> None:
        revocations, clock = self.fresh()
        revocations.revoke_token(ISSUER, "x")  # so that the list begins no later than this
        clock.advance(1000)
        start = revocations.start_family(ISSUER, "alice", alone=True)
        clock.advance(-1000)
        for _ in range(3):
            revocations.revoke_subject(ISSUER, "alice")
            assert revoked(revocations, subject="alice", started=start, now=clock.now)
            assert not revoked(revocations, subject="alice", started=start + 1, now=clock.now)

    def test_a_subject_that_is_revoked_for_long_starts_no_family(self) -> None:
        revocations, clock = self.fresh()
        revocations.revoke_subject(ISSUER, "alice", before=NOW + 60.5)
        for alone in (False, True):
            error = refusal(partial(revocations.start_family, ISSUER, "alice", alone=alone))
            assert isinstance(error, SubjectRevokedError)
            assert "alice" not in str(error)
        clock.advance(0.5)
        start = revocations.start_family(ISSUER, "alice")
        assert start == NOW + 61
        revocations.revoke_subject(ISSUER, "alice")
        assert revoked(revocations, subject="alice", started=start)

    def test_of_families_that_want_to_be_alone_only_the_last_is_good(self) -> None:
        revocations, clock = self.fresh()
        starts = [revocations.start_family(ISSUER, "alice") for _ in range(2)]
        clock.advance(1)
        starts += [revocations.start_family(ISSUER, "alice", alone=True) for _ in range(5)]
        assert starts == [NOW, NOW, *range(NOW + 1, NOW + 6)]
        good = [not revoked(revocations, subject="alice", started=start, now=clock.now) for start in starts]
        assert good == [False] * 6 + [True]
        assert not revoked(revocations, subject="bob", started=NOW)
        clock.advance(100)
        assert revocations.start_family(ISSUER, "alice", alone=True) == NOW + 101
        assert revoked(revocations, subject="alice", started=starts[-1], now=clock.now)

    def test_a_clock_that_goes_back_revives_nothing(self) -> None:
        revocations, clock = self.fresh()
        first = revocations.start_family(ISSUER, "alice", alone=True)
        clock.advance(-5)
        second = revocations.start_family(ISSUER, "alice", alone=True)
        assert second > first
        assert revoked(revocations, subject="alice", started=first, now=clock.now)
        for start in (second, revocations.start_family(ISSUER, "bob")):
            family = Family(ISSUER, f"session-{start}", "bob", "client", start)
            assert present(revocations, 0, clock.now, family).answer == "advanced"
        start = revocations.start_family(ISSUER, "carol")
        revocations.revoke_subject(ISSUER, "carol")
        assert revoked(revocations, subject="carol", started=start, now=clock.now)

    def test_the_entry_of_a_family_that_is_alone_ends(self) -> None:
        revocations, _ = self.fresh()
        revocations.start_family(ISSUER, "alice", alone=True, expires_at=NOW + 100)
        revocations.start_family(ISSUER, "alice", alone=True, expires_at=NOW + 50)
        revocations.start_family(ISSUER, "bob", alone=True)
        for subject, end in (("alice", NOW + 100 + KEEP_AFTER), ("bob", NOW + FAMILY_LIFETIME + KEEP_AFTER)):
            assert revoked(revocations, subject=subject, started=NOW - 1, now=end - 1)
            assert not revoked(revocations, subject=subject, started=NOW - 1, now=end)

    def test_a_family_that_is_not_alone_leaves_no_entry(self) -> None:
        revocations, _ = self.fresh()
        revocations.start_family(ISSUER, "alice")
        assert not revoked(revocations, subject="alice", started=NOW - 1000)
