"""The feed of a list in a file: all that lives, then what is new; what was lost is noticed and can be written back."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from jwtconnect_mw import revocation
from jwtconnect_mw.revocation import SQLiteRevocationList
from jwtconnect_mw.revocation.cursors import MARKS_KEPT
from jwtconnect_mw.revocation.feed import Change, FeedGap
from jwtconnect_mw.revocation.protocol import KEEP_AFTER
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, purge_all, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW

END = NOW + 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revoked.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def revocations(path: Path, clock: ManualClock) -> Iterator[SQLiteRevocationList]:
    with closing(SQLiteRevocationList(path, clock=clock)) as revocations:
        yield revocations


def told(revocations: SQLiteRevocationList, cursor: str | None = None, limit: int = 1000) -> tuple[list[Change], str]:
    """All there is after ``cursor``."""
    found: list[Change] = []
    more = True
    while more:
        changes = revocations.changes(cursor, limit=limit)
        found += changes.entries
        cursor, more = changes.cursor, changes.more
    assert cursor is not None
    return found, cursor


def token(name: str, ends: float = END + KEEP_AFTER) -> Change:
    return Change("token", ISSUER, name, ends)


def test_everything_then_what_is_new(revocations: SQLiteRevocationList) -> None:
    assert told(revocations)[0] == []
    for number in range(7):
        revocations.revoke_token(ISSUER, f"{number}", expires_at=END)
    revocations.revoke_session(ISSUER, "s", expires_at=END)
    revocations.revoke_subject(ISSUER, "alice", before=NOW, expires_at=END)
    sessions = (
        Change("session", ISSUER, "s", END + KEEP_AFTER),
        Change("subject", ISSUER, "alice", END + KEEP_AFTER, NOW + 1),
    )
    found, cursor = told(revocations, limit=2)
    assert found == [*[token(f"{number}") for number in range(7)], *sessions]
    assert told(revocations, cursor) == ([], cursor)
    revocations.revoke_token(ISSUER, "3", expires_at=END)  # as it is already
    assert told(revocations, cursor) == ([], cursor)
    revocations.revoke_token(ISSUER, "3", expires_at=END + 1)
    assert told(revocations, cursor)[0] == [token("3", END + 1 + KEEP_AFTER)]


def test_what_the_issuer_does_is_told_too(revocations: SQLiteRevocationList) -> None:
    for number in (0, 1, 0):
        present(revocations, number)
    start = revocations.start_family(ISSUER, "bob", alone=True, expires_at=END)
    reused, alone = told(revocations)[0]
    assert reused[:3] == ("session", ISSUER, FAMILY.session)
    assert alone == Change("subject", ISSUER, "bob", END + KEEP_AFTER, start)


def test_purging_takes_nothing_from_who_reads_later(revocations: SQLiteRevocationList, clock: ManualClock) -> None:
    revocations.revoke_token(ISSUER, "short", expires_at=NOW)
    _, cursor = told(revocations)
    revocations.revoke_token(ISSUER, "long", expires_at=END)
    revocations.revoke_token(ISSUER, "gone", expires_at=NOW)
    clock.advance(KEEP_AFTER)
    assert told(revocations, cursor)[0] == [token("long")]
    purge_all(revocations, clock.now)
    assert told(revocations, cursor)[0] == [token("long")]
    assert told(revocations, limit=1)[0] == [token("long")]
    clock.now = END + KEEP_AFTER
    purge_all(revocations, clock.now)
    assert told(revocations, cursor)[0] == []
    revocations.revoke_token(ISSUER, "new")
    assert [change.name for change in told(revocations, cursor)[0]] == ["new"]


def test_no_write_is_missed_by_who_reads_meanwhile(revocations: SQLiteRevocationList) -> None:
    seen: set[str] = set()

    def write(writer: int) -> None:
        for number in range(20):
            revocations.revoke_token(ISSUER, f"{writer} {number}")

    def read() -> None:
        cursor = None
        while len(seen) < 80:
            found, cursor = told(revocations, cursor, 7)
            seen.update(change.name for change in found)

    together([read, *[partial(write, writer) for writer in range(4)]])
    assert len(seen) == 80


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "0:0:0", "{epoch}:", "{epoch}:1", "{epoch}:-1:{seen}", "{epoch}:x:{seen}", "{epoch}:1:0", "{epoch}:1:5"],
)
def test_cursors_that_are_not_of_this_file(revocations: SQLiteRevocationList, cursor: str) -> None:
    revocations.revoke_token(ISSUER, "x")
    epoch, _, good, _ = revocations.changes(None)
    with pytest.raises(FeedGap):
        revocations.changes(cursor.format(epoch=epoch, seen=good.split(":")[2]))
    assert revocations.changes(good).entries == ()


def test_a_cursor_that_is_too_old(revocations: SQLiteRevocationList) -> None:
    """An empty list's knows of nothing that could be lost. A reader that reads on is never too late."""
    _, empty = told(revocations)
    revocations.revoke_token(ISSUER, "x", expires_at=END)
    _, early = told(revocations)
    revocations.restore([token(f"{number}") for number in range(MARKS_KEPT - 1)])
    page = revocations.changes(early, limit=10)
    assert len(told(revocations, page.cursor)[0]) == MARKS_KEPT - 1 - 10
    revocations.revoke_token(ISSUER, "y", expires_at=END)
    with pytest.raises(FeedGap):
        revocations.changes(early)
    assert len(told(revocations, page.cursor)[0]) == MARKS_KEPT - 10
    assert len(told(revocations, empty)[0]) == MARKS_KEPT + 1
    with revocations._connections.reading() as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (MARKS_KEPT,)


def test_the_epoch_is_that_of_the_file(revocations: SQLiteRevocationList, path: Path, clock: ManualClock) -> None:
    revocations.revoke_token(ISSUER, "x")
    before = revocations.changes(None)
    with closing(SQLiteRevocationList(path)) as other:
        assert other.changes(before.cursor).epoch == before.epoch
    revocations.purge(END * 2)
    assert revocations.changes(before.cursor).epoch == before.epoch


def remade(path: Path, clock: ManualClock) -> None:
    """Another file in the place of the old one, which is still open."""
    path.unlink()
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    SQLiteRevocationList(path, clock=clock).close()


def test_a_file_in_the_place_of_another_is_noticed(
    revocations: SQLiteRevocationList, path: Path, clock: ManualClock
) -> None:
    """At the next use, by everyone, so that no process goes on with data that the others do not see."""
    revocations.revoke_token(ISSUER, "x")
    assert revocations.current(FAMILY) == 0
    before = revocations.changes(None)
    clock.advance(1)
    with revocations._connections.reading():
        remade(path, clock)
    assert not revoked(revocations, token="x")
    assert revocations.current(FAMILY) is None
    assert present(revocations, 0).answer == "unknown"
    with pytest.raises(FeedGap):
        revocations.changes(before.cursor)
    assert revocations.changes(None).epoch != before.epoch
    revocations.restore(before.entries)
    assert revoked(revocations, token="x")


@pytest.mark.parametrize("grown", [0, 1, 5])
def test_an_older_copy_of_the_file_is_a_gap(
    revocations: SQLiteRevocationList, path: Path, tmp_path: Path, grown: int
) -> None:
    """Also where it has grown to the reader's place since, or beyond."""
    revocations.revoke_token(ISSUER, "x")
    _, early = told(revocations)
    with revocations._connections.reading() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, tmp_path / "backup")
    revocations.revoke_token(ISSUER, "y")
    found, late = told(revocations)
    (tmp_path / "backup").replace(path)
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    new = [f"new {number}" for number in range(grown)]
    for name in new:
        revocations.revoke_token(ISSUER, name)
    assert [change.name for change in told(revocations, early)[0]] == new
    with pytest.raises(FeedGap):
        revocations.changes(late)
    revocations.restore(found)
    assert revoked(revocations, token="y")


def test_restoring_never_shortens(revocations: SQLiteRevocationList, clock: ManualClock) -> None:
    revocations.revoke_token(ISSUER, "t", expires_at=END)
    revocations.revoke_subject(ISSUER, "alice", before=NOW, expires_at=END)
    before, cursor = told(revocations)
    less = [token("t", NOW + 1), Change("subject", ISSUER, "alice", NOW + 1, 5.0)]
    for entries in (before, less, [], [token("ended", NOW)]):
        revocations.restore(entries)
        assert told(revocations, cursor) == ([], cursor)
    more = [
        token("t", END * 2),
        Change("subject", ISSUER, "alice", END * 2, NOW + 2.5),
        *[Change("session", ISSUER, f"{number}", END) for number in range(1200)],
    ]
    revocations.restore(more)
    assert told(revocations, cursor)[0] == more
    assert told(revocations)[0] == more
    clock.now = END
    revocations.restore([Change("subject", ISSUER, "alice", END * 3, 1.0)])
    assert told(revocations)[0][-1] == Change("subject", ISSUER, "alice", END * 3, NOW + 2.5)


def test_a_subject_that_ended_is_written_as_it_is_told(revocations: SQLiteRevocationList, clock: ManualClock) -> None:
    revocations.revoke_subject(ISSUER, "alice", before=NOW + 500, expires_at=NOW)
    clock.advance(KEEP_AFTER)
    change = Change("subject", ISSUER, "alice", END, 7.0)
    revocations.restore([change])
    assert told(revocations)[0] == [change]


@pytest.mark.parametrize("change", [token("x", math.nan), Change("subject", ISSUER, "x", END, math.nan)])
def test_what_is_no_number_is_not_restored(revocations: SQLiteRevocationList, change: Change) -> None:
    with pytest.raises(ValueError, match="number"):
        revocations.restore([token("y"), change])
    assert told(revocations)[0] == []


def test_a_change_shows_no_name() -> None:
    assert repr(Change("subject", "https://as.example", "alice", 1.0)) == "<Change of a subject>"


def test_the_lists_that_are_imported_late_can_be_seen() -> None:
    assert {"MemoryRevocationList", "RedisRevocationList", "Change"} <= set(dir(revocation))
