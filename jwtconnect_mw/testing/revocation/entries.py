"""Entries: what each takes in, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...revocation import RevocationList
from ...revocation.protocol import FAMILY_LIFETIME, KEEP_AFTER
from .backend import ISSUER, NAN, NOW, OTHER_ISSUER, Backend, purge_all, refusal, revoked

NAMES = (
    "plain",
    "Plain",
    "plain ",
    "\u00fc\u2603\U0001f600",
    "u\u0308",
    "\u00fc",
    "a\0b",
    "a\0",
    "a",
    "",
    "x' OR 1=1 --",
    "%",
    "*",
    "1",
    "1.0",
    "long" * 5000,
)
BOUNDS = (  # revoked before, started, whether that is revoked
    (NOW - 5, NOW - 6, True),
    (NOW - 5, NOW - 5, True),
    (NOW - 5, NOW - 4.5, True),
    (NOW - 5, NOW - 4, False),
    (NOW - 4.5, NOW - 5, True),
    (NOW - 4.5, NOW - 4, False),
    (NOW - 5, None, True),
    (NOW - 5, -(10**30), True),
    (NOW - 5, 10**30, False),
    (0, NOW, False),
)


def kinds(
    revocations: RevocationList,
) -> tuple[tuple[Callable[..., None], Callable[..., bool]], ...]:
    """How each kind of entry is written, and looked up."""
    return (
        (revocations.revoke_token, lambda name, now=NOW: revoked(revocations, token=name, now=now)),
        (revocations.revoke_session, lambda name, now=NOW: revoked(revocations, session=name, now=now)),
        (revocations.revoke_subject, lambda name, now=NOW: revoked(revocations, subject=name, now=now)),
    )


class Entries(Backend):
    def test_it_says_how_it_works(self) -> None:
        revocations, _ = self.fresh()
        assert type(revocations.blocking) is bool
        assert type(revocations.shared) is bool

    def test_an_empty_list_revokes_nothing(self) -> None:
        revocations, _ = self.fresh()
        assert revoked(revocations, token="x", session="x", subject="x", started=None) is False
        assert revoked(revocations) is False

    def test_each_kind_is_its_own(self) -> None:
        revocations, _ = self.fresh()
        revocations.revoke_token(ISSUER, "token")
        revocations.revoke_session(ISSUER, "session")
        revocations.revoke_subject(ISSUER, "subject")
        for name in ("token", "session", "subject"):
            found = [look(name) for _, look in kinds(revocations)]
            assert found == [name == "token", name == "session", name == "subject"]
            for started in (NOW, None):
                assert revocations.is_revoked(OTHER_ISSUER, name, name, name, started, NOW) is False
        assert revoked(revocations, token="other", session="session", subject="other") is True
        assert revoked(revocations, token=None, session=None, subject="subject") is True

    def test_names_are_compared_by_code_point(self) -> None:
        revocations, _ = self.fresh()
        for revoke, look in kinds(revocations):
            for name in NAMES[::2]:
                revoke(ISSUER, name)
            assert [look(name) for name in NAMES] == [number % 2 == 0 for number in range(len(NAMES))]

    def test_a_name_that_cannot_be_written_is_not_accepted(self) -> None:
        """No token that passed strict JSON has such a name: to raise is fine, to say that it is good is not."""
        revocations, _ = self.fresh()
        for revoke, look in kinds(revocations):
            try:
                revoke(ISSUER, "lone \ud800")
                assert look("lone \ud800")
            except ValueError:
                continue

    def test_which_families_a_subjects_entry_takes_in(self) -> None:
        revocations, _ = self.fresh()
        for number, (before, started, is_revoked) in enumerate(BOUNDS):
            revocations.revoke_subject(ISSUER, f"subject-{number}", before=before)
            assert revoked(revocations, subject=f"subject-{number}", started=started) is is_revoked, (before, started)

    def test_a_subject_is_revoked_up_to_now_unless_told(self) -> None:
        revocations, clock = self.fresh()
        for later in (0, 0.5, 100, 100.5):
            clock.now = NOW + later
            for subject in ("alice", f"bob-{later}"):
                revocations.revoke_subject(ISSUER, subject)
                assert revoked(revocations, subject=subject, started=int(clock.now))
            assert not revoked(revocations, subject=f"bob-{later}", started=int(clock.now) + 1)

    def test_a_subjects_entry_never_takes_in_less(self) -> None:
        revocations, _ = self.fresh()
        revocations.revoke_subject(ISSUER, "alice", before=NOW - 1)
        revocations.revoke_subject(ISSUER, "alice", before=NOW - 100)
        assert revoked(revocations, subject="alice", started=NOW - 1)
        revocations.revoke_subject(ISSUER, "alice", before=NOW + 30)
        assert revoked(revocations, subject="alice", started=NOW + 30)

    def test_a_subjects_entry_that_ended_is_forgotten(self) -> None:
        """Also while it is still there, behind others that a backend purges first."""
        revocations, clock = self.fresh()
        for number in range(100):
            revocations.revoke_token(ISSUER, f"ended-{number}", expires_at=NOW)
        revocations.revoke_subject(ISSUER, "alice", before=NOW + 1000, expires_at=NOW + 10)
        clock.advance(10 + KEEP_AFTER)
        revocations.revoke_subject(ISSUER, "alice", before=NOW)
        assert revoked(revocations, subject="alice", started=NOW, now=clock.now)
        assert not revoked(revocations, subject="alice", started=NOW + 1, now=clock.now)

    def test_an_entry_ends_with_what_it_can_meet(self) -> None:
        revocations, _ = self.fresh()
        for revoke, look in kinds(revocations):
            for end in (50, 100.5, 70, 100.5):
                revoke(ISSUER, "x", expires_at=NOW + end)
            last = NOW + 100.5 + KEEP_AFTER
            assert [look("x", now) for now in (NOW - 1000, NOW, last - 0.25, last, last + 1)] == [True] * 3 + [
                False
            ] * 2

    def test_unknown_ends_are_far_enough(self) -> None:
        revocations, _ = self.fresh()
        for revoke, look in kinds(revocations):
            revoke(ISSUER, "x")
            revoke(ISSUER, "x", expires_at=NOW)
            assert look("x", NOW + FAMILY_LIFETIME + KEEP_AFTER - 1)
            assert not look("x", NOW + FAMILY_LIFETIME + KEEP_AFTER)

    def test_times_that_are_no_numbers_are_refused(self) -> None:
        revocations, _ = self.fresh()
        for revoke, look in kinds(revocations):
            assert refusal(lambda revoke=revoke: revoke(ISSUER, "x", expires_at=NAN))  # type: ignore[misc]  # mypy infers no lambda with a default
            assert not look("x")
        for before in (NAN, math.inf, -math.inf):
            assert refusal(lambda before=before: revocations.revoke_subject(ISSUER, "x", before=before))  # type: ignore[misc]  # as above

    def test_purging_drops_what_ended_and_nothing_else(self) -> None:
        revocations, clock = self.fresh()
        for revoke, _ in kinds(revocations):
            for number in range(10):
                revoke(ISSUER, f"short-{number}", expires_at=NOW + number)
                revoke(ISSUER, f"long-{number}", expires_at=NOW + 5000)
        clock.advance(9 + KEEP_AFTER)
        assert revocations.purge(NOW) == 0
        assert self.purges <= revocations.purge(clock.now, limit=7) <= 7
        purge_all(revocations, clock.now)
        assert revocations.purge(clock.now) == 0
        for _, look in kinds(revocations):
            assert all(look(f"long-{number}", clock.now) for number in range(10))
            # At a time before its end, what is gone does not come back: it was dropped, not only over.
            assert any(look(f"short-{number}", NOW) for number in range(10)) is not self.purges

    def test_purging_keeps_what_was_prolonged(self) -> None:
        revocations, clock = self.fresh()
        for revoke, look in kinds(revocations):
            revoke(ISSUER, "x", expires_at=NOW + 10)
            revoke(ISSUER, "x", expires_at=NOW + 1000)
            purge_all(revocations, NOW + 999 + KEEP_AFTER)
            assert look("x", NOW + 999 + KEEP_AFTER)
            purge_all(revocations, NOW + 1000 + KEEP_AFTER)
            assert look("x") is not self.purges
        assert clock.now == NOW

    def test_an_entry_that_ended_can_be_written_again(self) -> None:
        revocations, clock = self.fresh()
        for revoke, look in kinds(revocations):
            clock.now = NOW
            revoke(ISSUER, "x", expires_at=NOW)
            clock.advance(1000)
            revoke(ISSUER, "x", expires_at=clock.now + 50)
            assert look("x", clock.now + 40)
            purge_all(revocations, clock.now + 50 + KEEP_AFTER)
            assert look("x", clock.now) is not self.purges
