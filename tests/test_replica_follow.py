"""Step by step: the first sync, news, gaps, lost data, failures. No thread and no waiting."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw.revocation import Change, Changes, FeedGap, SQLiteRevocationList
from jwtconnect_mw.revocation.entries import entry_end
from jwtconnect_mw.revocation.follow import NEVER
from jwtconnect_mw.revocation.local import LocalCopy
from jwtconnect_mw.revocation.protocol import KEEP_AFTER
from jwtconnect_mw.revocation.untold import Untold
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import revoked

from .kit import ISSUER, NOW
from .replicas import PACE, Backend, Steps, fill, honours
from .test_fork import Child


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def backend(tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    with closing(Backend(tmp_path / "revoked.db", clock=clock)) as backend:
        yield backend


@pytest.fixture
def steps(backend: Backend, clock: ManualClock) -> Steps:
    return Steps(backend, clock)


def test_the_first_sync(backend: Backend, steps: Steps) -> None:
    """It is complete with its last part, and from the moment that part was asked for."""
    fill(backend, 2500)
    follower = steps.follower
    assert [follower.step(), follower.step()] == [0.0, 0.0]
    assert (follower.complete_at, follower.completed, follower.last_success) == (NEVER, 0, None)
    assert len(steps.copy) == 2000
    steps.timer.advance(5)
    assert follower.step() == 0.01
    assert (follower.complete_at, follower.completed, follower.last_success) == (1005.0, 3, NOW)
    assert len(steps.copy) == 2500


def test_news_and_pauses(backend: Backend, steps: Steps) -> None:
    assert steps.follower.step() == PACE.poll
    backend.revoke_token(ISSUER, "x")
    assert steps.follower.step() == 0.01
    assert honours(steps.copy, "x", "y") == [True, False]
    assert steps.follower.step() == PACE.poll
    assert steps.follower.last_attempt == NOW


@pytest.mark.parametrize(("took", "pause"), [(0.2, 0.3), (0.5, 0.0), (1.0, 0.0)])
def test_a_backend_that_waits_for_news_is_asked_again_at_once(
    backend: Backend, steps: Steps, took: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    known = SQLiteRevocationList.changes

    def patiently(self: Backend, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> object:
        waits.append(wait)
        steps.timer.advance(took if wait else 0)
        return known(self, cursor, limit=limit)

    monkeypatch.setattr(Backend, "changes", patiently)
    steps.follower.step()
    assert steps.follower.step() == pytest.approx(pause)
    assert waits == [0.0, PACE.wait]
    assert steps.follower.complete_at == 1000.0
    steps.follower.hurry = True
    steps.follower.step()
    steps.follower.step()
    assert waits[2:] == [0.0, PACE.wait]  # once


def test_nothing_is_waited_for_while_the_copy_is_compared(
    backend: Backend, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    known = SQLiteRevocationList.changes

    def changes(self: Backend, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> object:
        waits.append(wait)
        return known(self, cursor, limit=limit)

    fill(backend, 3)
    steps.until(PACE.poll)
    monkeypatch.setattr(Backend, "changes", changes)
    backend.lose()
    steps.until(PACE.wait)
    steps.until(PACE.poll)
    assert (waits[0], set(waits[1:-1]), waits[-1]) == (PACE.wait, {0.0}, PACE.wait)
    assert len(waits) > 3


def test_failures_are_told_once_and_pauses_grow(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    steps.follower.step()
    backend.error = OSError("redis://user:password@host")
    with caplog.at_level(logging.DEBUG):
        pauses = [steps.follower.step() for _ in range(20)]
        assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
        assert set(pauses[6:]) == {2.0}
        steps.jitter = 0.0
        assert steps.follower.step() == 1.0
        backend.error = None
        assert steps.follower.step() == PACE.poll
        backend.error = OSError()
        steps.follower.step()
    assert [record.getMessage() for record in caplog.records] == [
        "the feed of the revocation list cannot be read: OSError",
        "the feed of the revocation list can be read again",
        "the feed of the revocation list cannot be read: OSError",
    ]
    assert steps.follower.complete_at == 1000.0


def test_failures_that_come_and_go_are_told_once(
    backend: Backend, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And that they are over only when reads have succeeded for some time."""
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    steps = Steps(backend, clock, PACE._replace(settling=5.0))
    for _ in range(20):
        for backend.error in (OSError(), None, None):
            steps.follower.step()
            steps.timer.advance(2.25)
            clock.advance(2.25)
    assert caplog.messages == ["the feed of the revocation list cannot be read: OSError"]
    steps.timer.advance(0.5)
    steps.follower.step()
    steps.follower.step()
    assert caplog.messages[1:] == ["the feed of the revocation list can be read again"]


@pytest.mark.parametrize("held", [False, True])
def test_a_clock_that_ran_ahead(
    backend: Backend, clock: ManualClock, caplog: pytest.LogCaptureFixture, held: bool
) -> None:
    """What it took for ended is read again when it is right: left out at first, or dropped."""
    backend.revoke_token(ISSUER, "x", expires_at=NOW + 1800)
    wrong = ManualClock(NOW + (0 if held else 3600))
    steps = Steps(backend, wrong)
    steps.until(PACE.poll)
    assert honours(steps.copy, "x") == [held]
    wrong.now = NOW + 3600
    for _ in range(32):
        steps.timer.advance(1)
        steps.follower.step()
    assert len(steps.copy) == 0
    assert caplog.messages == []
    wrong.now = NOW
    steps.until(PACE.poll)
    assert honours(steps.copy, "x") == [True]
    assert caplog.messages == ["the clock was set back: the revocation list is read from the beginning"]
    assert "restore" not in backend.calls


def test_a_clock_that_is_set_back_a_little(backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture) -> None:
    steps.follower.step()
    for _ in range(3):
        steps.clock.advance(-20)
        assert steps.follower.step() == PACE.poll
    assert caplog.messages == []
    steps.clock.advance(-20)
    assert steps.follower.step() == 0.0
    assert len(caplog.messages) == 1


def test_a_gap_is_read_over_while_the_copy_serves(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    fill(backend, 1500)
    steps.until(0.01)
    backend.error = FeedGap()
    steps.timer.advance(3)
    assert steps.follower.step() == 0.0
    assert honours(steps.copy, "1400") == [True]
    assert [steps.follower.step() for _ in range(3)] == [0.1 * 2, 0.4, 0.8]  # a gap even from the beginning: a fault
    assert steps.follower.complete_at == 1000.0
    backend.error = None
    backend.revoke_token(ISSUER, "new")
    steps.until(PACE.poll)
    assert honours(steps.copy, "0", "new") == [True, True]
    assert steps.follower.complete_at == 1003.0
    assert "restore" not in backend.calls
    assert caplog.messages == ["the feed of the revocation list has a gap: it is read from the beginning"]


def test_what_the_backend_lost_is_written_back(
    backend: Backend, steps: Steps, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """All that still lives, once, also what was revoked since; until then it is honoured here."""
    fill(backend, 1200)
    backend.revoke_session(ISSUER, "s", expires_at=NOW + 50)
    backend.revoke_subject(ISSUER, "alice", before=NOW - 5)
    backend.revoke_token(ISSUER, "ended", expires_at=NOW)
    steps.until(PACE.poll)
    clock.advance(KEEP_AFTER)
    backend.lose()
    backend.revoke_token(ISSUER, "new")
    assert not revoked(backend, token="7")
    steps.until(PACE.wait * steps.jitter)  # so that not all processes begin at once
    assert honours(steps.copy, "7", "new") == [True, True]
    steps.until(PACE.poll)
    steps.until(PACE.poll)
    assert honours(backend, "0", "1199", "new") == [True] * 3
    assert honours(backend, "ended", now=NOW) == [False]
    assert revoked(backend, session="s")
    assert [revoked(backend, subject="alice", started=NOW - ago) for ago in (5, 4)] == [True, False]
    assert backend.calls.count("restore") == 3
    assert caplog.messages == [
        "the feed of the revocation list has a gap: it is read from the beginning",
        "the revocation list had lost 1202 entries, which were written back to it",
    ]


def test_what_another_process_wrote_back_is_not_written_again(
    backend: Backend, steps: Steps, clock: ManualClock
) -> None:
    fill(backend, 700)
    other = Steps(backend, clock)
    for one in (steps, other):
        one.until(PACE.poll)
        one.jitter = 0.5
    backend.lose()
    for one in (steps, other):
        one.until(PACE.wait / 2)  # each has noticed, and waits for a moment
    steps.until(PACE.poll)
    assert backend.calls.count("restore") == 2
    other.until(PACE.poll)
    assert backend.calls.count("restore") == 2
    assert len(other.copy) == 700


def test_a_new_epoch_without_a_gap_is_noticed(backend: Backend, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend may take any cursor; then the epoch tells."""
    fill(backend, 3)
    steps.until(PACE.poll)
    known = SQLiteRevocationList.changes
    monkeypatch.setattr(
        Backend, "changes", lambda self, cursor, **how: known(self, None, **how)._replace(epoch="another")
    )
    assert steps.follower.step() == 0.0
    assert steps.follower.step() == PACE.wait  # read from the beginning: nothing is missing there
    assert steps.follower.step() == 0.0
    assert steps.follower.step() == 0.01


def test_writing_back_that_fails_goes_on_later(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    """The copy is complete all the same, and is known to be."""
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    fill(backend, 1200)
    steps.until(PACE.poll)
    backend.lose()
    backend.restoring = PermissionError()
    steps.timer.advance(7)
    steps.until(0.1)
    assert steps.follower.complete_at == 1007.0
    for _ in range(4):
        steps.follower.step()
    backend.restoring = None
    steps.follower.after_fork()  # in the middle of it
    steps.until(PACE.poll)
    steps.until(PACE.poll)
    assert honours(backend, "0", "1199") == [True, True]
    assert caplog.messages == [
        "the feed of the revocation list has a gap: it is read from the beginning",
        "the feed of the revocation list cannot be written back to: PermissionError",
        "the revocation list had lost 1200 entries, which were written back to it",
        "the feed of the revocation list can be read again",
    ]


def test_ended_entries_go_by_themselves(backend: Backend, steps: Steps, clock: ManualClock) -> None:
    fill(backend, 900, NOW + 10)
    steps.until(PACE.poll)
    clock.advance(10)
    for _ in range(100):
        steps.follower.step()
    assert len(steps.copy) > 700
    for _ in range(32):
        steps.timer.advance(1)
        steps.follower.step()
    assert len(steps.copy) == 0


def test_clocks_that_differ_by_five_seconds(backend: Backend, clock: ManualClock) -> None:
    """What a host whose clock is ahead takes for ended ended long ago for every token."""
    backend.revoke_token(ISSUER, "x", expires_at=NOW + 100)
    backend.revoke_subject(ISSUER, "alice")
    for skew in (-5, 5):
        steps = Steps(backend, ManualClock(NOW + skew))
        steps.until(PACE.poll)
        for now in (NOW + skew, NOW + 100 + skew):
            assert honours(steps.copy, "x", now=now) == [True]
        assert revoked(steps.copy, subject="alice", started=NOW)
        assert not revoked(steps.copy, subject="alice", started=NOW + 1)


def test_catching_up(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a writer's thread: it brings what was written, but never moves the cursor of the one that reads."""
    caplog.set_level(logging.DEBUG)
    backend.revoke_token(ISSUER, "x")
    assert not steps.follower.catch_up()
    assert len(steps.copy) == 0
    steps.until(PACE.poll)
    backend.revoke_token(ISSUER, "y")
    assert steps.follower.catch_up()
    assert honours(steps.copy, "x", "y") == [True, True]
    assert steps.follower.step() == 0.01
    fill(backend, 1001)
    assert not steps.follower.catch_up()  # there is more
    assert caplog.messages == []
    backend.error = OSError()
    assert not steps.follower.catch_up()
    assert caplog.messages == ["what was just written will be read later"]
    backend.error = None
    steps.until(PACE.poll)
    known = backend.changes
    monkeypatch.setattr(backend, "changes", lambda *asked, **how: known(*asked, **how)._replace(epoch="another"))
    assert not steps.follower.catch_up()  # it is not the list that it was
    monkeypatch.undo()
    steps.until(PACE.poll)
    assert "restore" not in backend.calls


KEPT = (
    Change("token", ISSUER, "t", NOW + 100.0),
    Change("session", ISSUER, "s", NOW + 100.0),
    Change("subject", ISSUER, "alice", NOW + 100.0, NOW - 5.0),
)
LOST = "the revocation list had lost %d entries, which were written back to it"


def told(backend: Backend) -> set[Change]:
    return set(SQLiteRevocationList.changes(backend, None).entries)


def test_what_the_feed_does_not_bring_is_written_back(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    """By the first read that was begun after it was written; not by one that was under way."""
    steps.until(PACE.poll)
    known = backend.changes

    def changes(*asked: Any, **how: Any) -> Changes:
        del backend.changes  # type: ignore[misc]  # the next read is the usual one
        try:
            return known(*asked, **how)
        finally:
            steps.follower.keep(KEPT, NOW)

    backend.changes = changes  # type: ignore[method-assign]
    assert steps.follower.step() == PACE.poll
    assert revoked(steps.copy, token="t")
    assert steps.follower.step() == 0.0
    assert told(backend) == set(KEPT)
    assert caplog.messages == [LOST % 3]
    steps.until(PACE.poll)
    assert backend.calls.count("restore") == 1


def test_what_the_feed_brings_is_not_written_back(backend: Backend, steps: Steps) -> None:
    """Before or after it is kept, and however often that is."""
    steps.until(PACE.poll)
    for before in (True, False):
        for change in KEPT:
            more = change._replace(name=f"{change.name} {before}")
            SQLiteRevocationList.restore(backend, [more])
            if before:
                steps.until(PACE.poll)
            for _ in range(2):
                steps.follower.keep((more,), NOW)
    steps.until(PACE.poll)
    steps.until(PACE.poll)
    assert "restore" not in backend.calls


@pytest.mark.parametrize("less", [{"ends": NOW + 39.0}, {"bound": NOW - 6.0}])
def test_what_the_feed_brings_in_part_is_written_back(backend: Backend, steps: Steps, less: dict[str, float]) -> None:
    """An older state knows the same name for less."""
    for change in KEPT:
        SQLiteRevocationList.restore(backend, [change._replace(**less)])
    steps.until(PACE.poll)
    for change in KEPT:
        steps.follower.keep((change._replace(**less), change), NOW)
    steps.until(PACE.poll)
    assert told(backend) >= {change for change in KEPT if change.kind == "subject" or "ends" in less}


def test_what_ended_meanwhile_is_not_missed(
    backend: Backend, steps: Steps, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    steps.follower.keep(KEPT, NOW)
    clock.advance(100)
    steps.until(PACE.poll)
    steps.until(PACE.poll)
    assert "restore" not in backend.calls
    assert caplog.messages == []


def test_much_is_missing_and_writing_it_back_fails_at_first(
    backend: Backend, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    many = [Change("token", ISSUER, str(number), NOW + 100.0) for number in range(1200)]
    steps.follower.keep(many, NOW)  # and before the first read
    backend.restoring = OSError()
    for _ in range(3):
        steps.follower.step()
    backend.restoring = None
    steps.until(PACE.poll)
    assert told(backend) >= set(many[:1000])
    assert len(told(backend)) == 1000  # of one read
    assert honours(backend, *(change.name for change in many)) == [True] * 1200
    assert caplog.messages == [
        "the feed of the revocation list cannot be written back to: OSError",
        LOST % 500,
        "the feed of the revocation list can be read again",
        LOST % 500,
        LOST % 200,
    ]


def test_untold() -> None:
    copy = LocalCopy()
    untold = Untold(copy)

    def missing(read: int, now: float = NOW, limit: int = 9) -> list[Change]:
        return untold.missing(read, now, limit)

    alice = KEPT[2]
    sooner, less = alice._replace(ends=NOW + 39.0), alice._replace(bound=NOW - 6.0)
    untold.add(alice, 4)
    for change in (alice, sooner, less):
        untold.add(change, 5)
    assert [missing(read) for read in (4, 5)] == [[], [alice]]
    assert [missing(5, now) for now in (NOW + 99.5, NOW + 100)] == [[alice], []]
    for change in (sooner, less, KEPT[0]):
        untold.told([change])
        assert missing(5) == [alice]
    # More of it: what waits keeps the later end.
    untold.add(alice._replace(bound=NOW, ends=NOW + 50), 6)
    both = alice._replace(bound=NOW)
    assert [missing(read) for read in (6, 7)] == [[], [both]]
    untold.add(KEPT[0], 0)
    assert len(missing(7, limit=1)) == 1
    untold.told([KEPT[1], both._replace(ends=NOW + 40.0), KEPT[0]])  # as far as clocks of hosts agree
    assert missing(7) == []
    untold.add(alice._replace(ends=float("inf")), 0)
    untold.told([alice._replace(ends=1e300)])
    assert missing(7) == []


def test_what_the_feed_brought_first_is_not_untold() -> None:
    copy = LocalCopy()
    untold = Untold(copy)
    copy.put(KEPT, NOW)
    for change in KEPT:
        untold.add(change, 0)
        untold.add(change._replace(ends=change.ends + 60), 0)
    assert untold.missing(1, NOW, 9) == []
    longer = [change._replace(ends=change.ends + 61) for change in KEPT]
    for change in longer:
        untold.add(change, 0)
    assert untold.missing(1, NOW, 9) == longer


def test_what_is_lost_again_and_again() -> None:
    """Is written back each time, but not for ever: the list may be one that does not keep it."""
    untold = Untold(LocalCopy())
    untold.add(KEPT[0], 0)
    for read in (1, 2, 3):
        lost = untold.missing(read, NOW, 9)
        assert lost == [KEPT[0]]
        untold.restored([*lost, KEPT[1]], read)
        assert untold.missing(read, NOW, 9) == []
    assert untold.missing(99, NOW, 9) == []
    untold.add(KEPT[0], 0)
    lost = untold.missing(1, NOW, 9)
    untold.add(KEPT[0]._replace(ends=NOW + 900), 1)  # while they are written back
    untold.restored(lost, 1)
    assert untold.missing(2, NOW, 9) == [KEPT[0]._replace(ends=NOW + 900)]


def test_what_ended_is_not_waited_for(backend: Backend, steps: Steps, clock: ManualClock) -> None:
    """Also where the feed cannot be read, and where there is no thread any more."""
    untold = steps.follower._untold
    backend.error = OSError()
    for purges in (False, True):
        steps.follower.keep(KEPT, clock.now)
        steps.follower.keep([KEPT[0]._replace(name="lives", ends=NOW + 900)], clock.now)
        clock.now = NOW + 100
        steps.timer.advance(1)
        if purges:
            steps.follower.purge(clock.now, 100)
        else:
            steps.follower.step()
        assert [name for _, _, name in untold._waiting] == ["lives"]
        clock.now = NOW


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_untold_in_a_child() -> None:
    """Another thread was inside when the process forked."""
    untold = Untold(LocalCopy())
    with untold._lock:
        assert Child(lambda: [untold.add(KEPT[0], 0), len(untold.missing(1, NOW, 9))]).result() == [None, 1]


def test_a_loss_while_it_is_written_back(backend: Backend, steps: Steps) -> None:
    """Whoever took a part may be gone as well: everything is compared anew."""
    fill(backend, 1200)
    steps.until(PACE.poll)
    backend.lose()
    steps.until(PACE.wait)
    assert [steps.follower.step() for _ in range(2)] == [0.0, 0.0]
    assert backend.calls.count("restore") == 2
    SQLiteRevocationList.changes(backend, None)
    backend.restoring = OSError()
    steps.follower.step()
    with closing(sqlite3.connect(backend.path)) as connection, connection:
        connection.execute("DELETE FROM entries")  # an older state of the same epoch
    backend.restoring = None
    steps.until(PACE.wait)
    steps.until(PACE.poll)
    assert honours(backend, "0", "700", "1199") == [True] * 3


def test_a_copy_is_not_trusted_after_the_clock_was_set_back(backend: Backend, steps: Steps) -> None:
    """What had ended by it was dropped: until all is read again nothing is known."""
    steps.until(PACE.poll)
    steps.clock.advance(-3600)
    steps.follower.step()
    assert steps.follower.complete_at == NEVER
    steps.until(PACE.poll)
    assert steps.follower.complete_at == 1000.0


def test_writers_and_the_reader_at_once(backend: Backend, steps: Steps) -> None:
    """Whoever is first, what the list has is never taken for lost."""
    names = [f"{number}" for number in range(300)]

    def write(part: int) -> None:
        for name in names[part::3]:
            backend.revoke_token(ISSUER, name, expires_at=NOW + 100)
            steps.follower.keep((Change("token", ISSUER, name, entry_end(NOW + 100, NOW)),), NOW)

    with ThreadPoolExecutor(3) as pool:
        written = [pool.submit(write, part) for part in range(3)]
        while not all(one.done() for one in written):
            steps.follower.step()
        for one in written:
            one.result()
    steps.until(PACE.poll)
    assert "restore" not in backend.calls
    assert all(honours(steps.copy, *names))


def test_changes_of_every_kind() -> None:
    assert Change("token", ISSUER, "x", 5.0).bound == 0.0
