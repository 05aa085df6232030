"""Every answer of ``advance``, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace

from ...revocation import Step
from ...revocation.protocol import KEEP_AFTER
from .backend import FAMILY, ISSUER, LIFETIME, NAN, NOW, OTHER_ISSUER, Backend, present, purge_all, refusal, revoked

FIRST = Step("advanced", 1, NOW, NOW + LIFETIME)
AGAIN = Step("again", 1, NOW, NOW + LIFETIME)
SECOND = Step("advanced", 2, NOW, NOW + LIFETIME)


class Rotation(Backend):
    def test_each_number_has_one_successor(self) -> None:
        revocations, _ = self.fresh()
        assert revocations.current(FAMILY) == 0
        for number in range(5):
            now = NOW + 100 * number
            assert present(revocations, number, now) == Step("advanced", number + 1, now, now + LIFETIME)
            assert revocations.current(FAMILY) == number + 1
        assert not revoked(revocations, session=FAMILY.session, subject=FAMILY.subject)

    def test_a_retry_gets_the_stored_successor(self) -> None:
        revocations, _ = self.fresh()
        assert present(revocations, 0) == FIRST
        for later in (0, 3, 9.75):
            assert present(revocations, 0, NOW + later) == AGAIN
        assert revocations.current(FAMILY) == 1
        assert present(revocations, 1) == SECOND

    def test_the_window_ends(self) -> None:
        """It is counted from the first advance: retries do not prolong it."""
        revocations, _ = self.fresh()
        for grace, later in ((10.0, 10.0), (10.0, 10.25), (0.5, 0.5), (0.0, 0.0), (0.0, -1.0)):
            family = replace(FAMILY, session=f"{grace} {later}")
            assert present(revocations, 0, NOW + 0.25, family, grace=grace).answer == "advanced"
            if grace:
                assert present(revocations, 0, NOW + 0.5, family, grace=grace).answer == "again"
            assert present(revocations, 0, NOW + 0.25 + later, family, grace=grace) == Step("reuse")
            assert revoked(revocations, session=family.session)

    def test_a_clock_that_goes_back_prolongs_the_window_by_no_more_than_itself(self) -> None:
        revocations, _ = self.fresh()
        for back, answer in ((9.75, "again"), (10.0, "reuse"), (86_400.0, "reuse")):
            family = replace(FAMILY, session=f"back {back}")
            present(revocations, 0, NOW, family)
            assert present(revocations, 0, NOW - back, family).answer == answer

    def test_reuse_revokes_the_session_at_once(self) -> None:
        revocations, _ = self.fresh()
        for number in (1, 0, -1, -(10**30)):
            family = replace(FAMILY, session=f"reuse of {number}")
            for current in range(3):
                present(revocations, current, NOW, family)
            assert present(revocations, number, NOW, family) == Step("reuse")
            assert revoked(revocations, session=family.session)
            for presented in (number, 0, 2, 3, 4):
                assert present(revocations, presented, NOW, family) == Step("revoked")

    def test_numbers_below_none_are_reuse(self) -> None:
        revocations, _ = self.fresh()
        assert present(revocations, -1) == Step("reuse")
        assert present(revocations, 0) == Step("revoked")

    def test_the_revocation_of_a_reuse_lasts_as_long_as_anything_of_the_family(self) -> None:
        revocations, _ = self.fresh()
        other = replace(FAMILY, session="session-2")
        present(revocations, 0, keep_until=NOW + 5000.5)
        present(revocations, 1, keep_until=NOW + 100)
        present(revocations, 0, keep_until=NOW + 100)
        present(revocations, 0, family=other)
        present(revocations, 1, family=other)
        present(revocations, 0, family=other, keep_until=NOW + 5000.5)
        for session in (FAMILY.session, other.session):
            purge_all(revocations, NOW + 5000)
            assert revoked(revocations, session=session, now=NOW + 5000)
            assert not revoked(revocations, session=session, now=NOW + 5000.5)

    def test_numbers_ahead_are_unknown_and_change_nothing(self) -> None:
        revocations, _ = self.fresh()
        for number in (1, 2, 10**30):
            assert present(revocations, number) == Step("unknown")
        assert present(revocations, 0) == FIRST
        for number in (2, 3):
            assert present(revocations, number) == Step("unknown")
        assert present(revocations, 0) == AGAIN

    def test_another_client_gets_nothing(self) -> None:
        """It cannot advance a family, and revokes it only with a token that is spent."""
        revocations, _ = self.fresh()
        assert present(revocations, 0, client_id="thief") == Step("unknown")
        assert present(revocations, 0) == FIRST
        assert present(revocations, 1, client_id="thief") == Step("unknown")
        assert revocations.current(FAMILY) == 1
        assert present(revocations, 0, client_id="thief") == Step("reuse")
        assert present(revocations, 1) == Step("revoked")

    def test_what_is_revoked_never_advances(self) -> None:
        revocations, _ = self.fresh()
        revocations.revoke_session(ISSUER, "revoked at first")
        revocations.revoke_subject(ISSUER, "bob", before=NOW - 1)
        first, second = replace(FAMILY, session="revoked at first"), replace(FAMILY, session="revoked later")
        for number in (-1, 0, 1):
            assert present(revocations, number, family=first) == Step("revoked")
        present(revocations, 0, family=second)
        revocations.revoke_session(ISSUER, "revoked later")
        for number in (0, 1, 2):
            assert present(revocations, number, family=second) == Step("revoked")
        assert present(revocations, 0, client_id="thief", family=second) == Step("revoked")
        assert revocations.current(second) == 1
        of_bob = replace(FAMILY, subject="bob", session="session of bob")
        assert present(revocations, 0, family=replace(of_bob, started=NOW - 1)) == Step("revoked")
        assert present(revocations, 0, family=of_bob) == FIRST

    def test_families_are_told_apart_by_issuer_and_session(self) -> None:
        revocations, _ = self.fresh()
        present(revocations, 0)
        for other in (replace(FAMILY, issuer=OTHER_ISSUER), replace(FAMILY, session="Session-1")):
            assert revocations.current(other) == 0
            assert present(revocations, 0, family=other) == FIRST
            present(revocations, 1, family=other)
            assert present(revocations, 0, family=other) == Step("reuse")
        assert present(revocations, 0) == AGAIN

    def test_families_older_than_the_list(self) -> None:
        """A list that cannot know them knows none; what it says of them is the same everywhere."""
        revocations, _ = self.fresh(NOW + 0.75)
        assert present(revocations, 0) == FIRST
        old = replace(FAMILY, session="old", started=NOW - 1)
        unknown = revocations.current(old) is None
        assert present(revocations, 0, family=old) == (Step("unknown") if unknown else FIRST)
        assert revocations.current(old) == (None if unknown else 1)
        assert not revoked(revocations, session="old")

    def test_a_record_is_kept_while_the_family_lives(self) -> None:
        revocations, clock = self.fresh()
        present(revocations, 0, keep_until=NOW + 5000)
        present(revocations, 1, keep_until=NOW + 100)
        present(revocations, 1, keep_until=NOW + 5000.5)
        clock.now = NOW + 5000
        purge_all(revocations, clock.now)
        revocations.revoke_token(ISSUER, "a write that purges")
        assert revocations.current(FAMILY) == 2
        assert present(revocations, 2, clock.now, keep_until=clock.now).answer == "advanced"
        assert revocations.current(FAMILY) == 3
        purge_all(revocations, clock.now + KEEP_AFTER)
        assert revocations.current(FAMILY) == (0 if self.purges else 3)

    def test_an_end_that_is_no_number_is_refused(self) -> None:
        revocations, _ = self.fresh()
        assert refusal(lambda: present(revocations, 0, keep_until=NAN))
        assert present(revocations, 0) == FIRST

    def test_purging_takes_records_too(self) -> None:
        revocations, _ = self.fresh()
        for number in range(20):
            present(revocations, 0, family=replace(FAMILY, session=f"{number}"))
        end = NOW + LIFETIME + KEEP_AFTER
        assert revocations.purge(end - 1) == 0
        assert self.purges <= revocations.purge(end, limit=15) <= 15
        purge_all(revocations, end)
        left = {revocations.current(replace(FAMILY, session=f"{number}")) for number in range(20)}
        assert left == {0 if self.purges else 1}
