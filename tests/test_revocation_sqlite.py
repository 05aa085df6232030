"""The list in an SQLite file: that it conforms, and what it does with files, processes and faults."""

from __future__ import annotations

import ctypes
import gc
import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw.revocation import SQLiteRevocationList
from jwtconnect_mw.revocation.connections import _after_fork_in_child
from jwtconnect_mw.testing import ManualClock, RevocationListConformance
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW
from .remote import LIMIT
from .test_fork import Child

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
SHORT = 0.05


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path / "revoked.db"
        self.made: list[SQLiteRevocationList] = []
        yield
        for revocations in self.made:
            revocations.close()

    def make(self, clock: Callable[[], float]) -> SQLiteRevocationList:
        self.made.append(SQLiteRevocationList(self.path, clock=clock))
        return self.made[-1]

    reopen = make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revoked.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def revocations(path: Path, clock: ManualClock) -> Iterator[SQLiteRevocationList]:
    with closing(SQLiteRevocationList(path, clock=clock, timeout=SHORT)) as revocations:
        yield revocations


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("name", ["", ":memory:", ":other:", "file:x?mode=memory", "a\0b", b"bytes"])
def test_what_is_no_file(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SQLiteRevocationList(name)
    assert caught.value.field == "path"


@pytest.mark.parametrize("timeout", [0, -1, 60.5, float("nan")])
def test_waits_are_bounded(path: Path, timeout: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SQLiteRevocationList(path, timeout=timeout)
    assert caught.value.field == "timeout"
    assert not path.exists()
    SQLiteRevocationList(path, timeout=60).close()


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def later(path: Path) -> None:
    SQLiteRevocationList(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 4")


def truncated(path: Path) -> None:
    SQLiteRevocationList(path).close()
    os.truncate(path, 5000)


@pytest.mark.parametrize("spoil", [Path.mkdir, garbage, foreign, later, truncated])
def test_a_file_that_is_not_ours(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigurationError) as caught:
        SQLiteRevocationList(path)
    assert caught.value.field == "path"
    assert before is None or path.read_bytes() == before


def test_a_place_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SQLiteRevocationList(tmp_path / "missing" / "revoked.db")
    assert caught.value.field == "path"


def test_its_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(SQLiteRevocationList(path)) as revocations:
            revocations.revoke_token(ISSUER, "x")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"revoked.db": 0o600, "revoked.db-wal": 0o600, "revoked.db-shm": 0o600}


def test_an_empty_file_is_taken(path: Path) -> None:
    path.touch()
    SQLiteRevocationList(path).close()
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_any_name_and_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a b?mode=memory#%41 \u00fc.db"
    with closing(SQLiteRevocationList(name, clock=ManualClock(NOW))) as revocations:
        monkeypatch.chdir("/")
        revocations.revoke_token(ISSUER, "x")
        assert revoked(revocations, token="x")
    assert {file.name for file in tmp_path.iterdir()} == {name}


def test_commits_wait_for_the_disk(revocations: SQLiteRevocationList) -> None:
    revoked(revocations)
    for _ in range(2):  # opened for it, and used again
        with revocations._connections.writing() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_step_is_one_transaction_that_locks_before_it_reads(revocations: SQLiteRevocationList) -> None:
    """Between processes that is all that makes it atomic, and a race seldom hits the moment."""
    calls: list[Callable[[], object]] = [
        *[partial(present, revocations, number) for number in (0, 0, 1, 0)],
        lambda: revocations.start_family(ISSUER, "alice", alone=True),
        lambda: revocations.revoke_subject(ISSUER, "alice"),
    ]
    for call in calls:
        said: list[str] = []
        with revocations._connections.reading() as connection:
            connection.set_trace_callback(said.append)
        call()
        assert (said[0], said[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
        assert sum(statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")) for statement in said) == 2


def test_the_birth_is_in_the_file(path: Path) -> None:
    """An older file may be lost, with what it knew; this one knows what came since."""
    with closing(SQLiteRevocationList(path, clock=ManualClock(NOW + 0.5))):
        pass
    with closing(SQLiteRevocationList(path, clock=ManualClock(NOW + 5000))) as revocations:
        assert revocations.current(FAMILY) == 0
    path.unlink()
    with closing(SQLiteRevocationList(path, clock=ManualClock(NOW + 1))) as revocations:
        assert revocations.current(FAMILY) is None
        assert present(revocations, 0).answer == "unknown"


@pytest.mark.parametrize("_", range(5))
def test_many_make_it_at_once(path: Path, _: int) -> None:
    made = together([partial(SQLiteRevocationList, path, clock=ManualClock(NOW))] * 16)
    for number, revocations in enumerate(made):
        revocations.revoke_token(ISSUER, f"{number}")
    assert all(revoked(made[-1 - number], token=f"{number}") for number in range(16))
    for revocations in made:
        revocations.close()
    assert rows(path, "SELECT count(*) FROM about") == [(1,)]


def test_after_closing_nothing_is_answered(revocations: SQLiteRevocationList) -> None:
    revocations.revoke_token(ISSUER, "x")
    revocations.close()
    revocations.close()
    calls: list[Callable[[], object]] = [
        lambda: revoked(revocations, token="x"),
        lambda: revocations.revoke_token(ISSUER, "y"),
        lambda: present(revocations, 0),
        lambda: revocations.current(FAMILY),
        lambda: revocations.start_family(ISSUER, "alice"),
        lambda: revocations.purge(NOW),
    ]
    for call in calls:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            call()


def test_closing_while_it_is_used(path: Path) -> None:
    revocations = SQLiteRevocationList(path)
    with revocations._connections.reading() as connection:
        revocations.close()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_a_list_that_is_dropped_closes_its_file(path: Path) -> None:
    revocations = SQLiteRevocationList(path)
    revocations.revoke_token(ISSUER, "x")
    assert len(list(path.parent.iterdir())) == 3
    gone = weakref.ref(revocations)
    del revocations
    gc.collect()
    assert gone() is None
    assert list(path.parent.iterdir()) == [path]


def test_few_connections_are_kept(revocations: SQLiteRevocationList) -> None:
    met = threading.Barrier(20)

    def read() -> None:
        with revocations._connections.reading():
            met.wait(LIMIT)

    together([read] * 20)
    assert len(revocations._connections._idle) == 8


def test_another_process_that_keeps_writing(revocations: SQLiteRevocationList, path: Path) -> None:
    """Writes fail in time and change nothing; look-ups go on."""
    revocations.revoke_token(ISSUER, "x")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            revocations.revoke_token(ISSUER, "y")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            present(revocations, 0)
        assert revoked(revocations, token="x")
        other.execute("ROLLBACK")
    assert not revoked(revocations, token="y")
    assert present(revocations, 0).answer == "advanced"


def test_another_thread_that_keeps_writing(revocations: SQLiteRevocationList) -> None:
    with revocations._connections.writing():
        for call in (lambda: present(revocations, 0), lambda: revocations.purge(NOW)):
            with pytest.raises(TimeoutError):
                call()
        assert not revoked(revocations, token="x")
    assert present(revocations, 0).answer == "advanced"


def test_a_file_that_is_kept_locked_at_the_start(path: Path) -> None:
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            SQLiteRevocationList(path, timeout=SHORT)
    SQLiteRevocationList(path, timeout=SHORT).close()


def test_a_write_that_fails_changes_nothing(revocations: SQLiteRevocationList) -> None:
    for call in (
        lambda: present(revocations, 0, issued_at=2**63),
        lambda: present(revocations, 0, keep_until=float("nan")),
        lambda: revocations.revoke_session(ISSUER, "\ud800"),
    ):
        with pytest.raises((ValueError, OverflowError)):
            call()
    assert present(revocations, 0).answer == "advanced"


@needs_fork
def test_a_file_that_is_gone(revocations: SQLiteRevocationList, path: Path) -> None:
    revocations.revoke_token(ISSUER, "x")
    Child(lambda: None).result()  # a fork closes what is open
    path.unlink()
    with pytest.raises(sqlite3.OperationalError):
        revoked(revocations, token="x")
    with pytest.raises(sqlite3.OperationalError):
        revocations.revoke_token(ISSUER, "x")
    assert not path.exists()


def test_writes_purge_a_little(revocations: SQLiteRevocationList, path: Path, clock: ManualClock) -> None:
    for number in range(40):
        revocations.revoke_token(ISSUER, f"{number}", expires_at=NOW)
        present(revocations, 0, family=replace(FAMILY, session=f"{number}"), keep_until=NOW + 1)
    clock.advance(1000)
    left = []
    while not left or left[-1] > 1:
        revocations.revoke_token(ISSUER, "new", expires_at=clock.now)
        left.append(rows(path, "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM records)")[0][0])
    assert left == [65, 49, 33, 17, 1]


def test_what_changes_nothing_writes_nothing(revocations: SQLiteRevocationList, path: Path) -> None:
    """Neither a retry nor a spent token that comes again and again makes the disk work."""
    spent = replace(FAMILY, session="spent")
    for family, number in ((FAMILY, 0), (spent, 0), (spent, 1), (spent, 0)):
        present(revocations, number, family=family)
    revocations.revoke_token(ISSUER, "x", expires_at=NOW)
    written = path.with_name("revoked.db-wal")
    before = written.read_bytes()
    assert present(revocations, 0).answer == "again"
    assert present(revocations, 0, family=spent).answer == "revoked"
    assert present(revocations, 5).answer == "unknown"
    revocations.revoke_token(ISSUER, "x", expires_at=NOW)
    assert written.read_bytes() == before


def test_a_change_has_a_later_serial(revocations: SQLiteRevocationList, path: Path) -> None:
    def serials() -> dict[str, int]:
        return dict(rows(path, "SELECT name, serial FROM entries"))

    revocations.revoke_token(ISSUER, "a", expires_at=NOW)
    revocations.revoke_session(ISSUER, "b", expires_at=NOW)
    first = serials()
    revocations.revoke_token(ISSUER, "a", expires_at=NOW - 1)
    assert serials() == first
    revocations.revoke_token(ISSUER, "a", expires_at=NOW + 1)
    second = serials()
    assert second["a"] > second["b"] == first["b"] > first["a"]
    revocations.purge(NOW + 1000)
    revocations.revoke_subject(ISSUER, "c")
    assert serials()["c"] > second["a"]


@needs_fork
def test_a_child_has_connections_of_its_own(revocations: SQLiteRevocationList) -> None:
    """Nothing that was open in the parent is open in the child; both go on."""
    revocations.revoke_token(ISSUER, "x")

    def work() -> list[Any]:
        inherited = [os.readlink(f"/dev/fd/{number}") for number in os.listdir("/dev/fd") if _is_open(number)]
        found = [revoked(revocations, token="x"), present(revocations, 0).answer]
        return [*found, [name for name in inherited if "revoked" in name]]

    assert [Child(work).result() for _ in range(2)] == [[True, "advanced", []], [True, "again", []]]
    assert present(revocations, 1).answer == "advanced"


def _is_open(number: str) -> bool:
    try:
        os.fstat(int(number))
    except OSError:
        return False
    return True


class Holder:
    """Threads that use the list, reading and writing, until they are told."""

    def __init__(self, revocations: SQLiteRevocationList) -> None:
        self.connections = revocations._connections
        self.busy, self.done = threading.Barrier(3), threading.Event()
        ways = (self.connections.reading, self.connections.writing)
        self.threads = [threading.Thread(target=self.use, args=(how,)) for how in ways]
        for thread in self.threads:
            thread.start()
        self.busy.wait(LIMIT)

    def use(self, how: Any) -> None:
        with how() as connection:
            self.busy.wait(LIMIT)
            assert self.done.wait(LIMIT)
            connection.execute("INSERT OR IGNORE INTO about SELECT birth, epoch FROM about WHERE 0").fetchall()

    def stop_when_forking(self, late: threading.Thread) -> None:
        while not self.connections._forking:
            threading.Event().wait(0.001)
        late.start()
        while len(self.connections._pool._waiters) < 2:  # type: ignore[attr-defined]  # the fork and who came late
            threading.Event().wait(0.001)
        self.done.set()

    def join(self) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(LIMIT)


@needs_fork
def test_a_fork_waits_for_threads_that_use_the_list(path: Path, clock: ManualClock) -> None:
    with closing(SQLiteRevocationList(path, clock=clock, timeout=LIMIT)) as revocations:
        holder = Holder(revocations)
        late = threading.Thread(target=revoked, args=(revocations,))
        stopper = threading.Thread(target=holder.stop_when_forking, args=(late,))
        stopper.start()
        child = Child(lambda: [revoked(revocations, token="x"), present(revocations, 0, NOW).answer])
        answer = child.result()
        holder.join()
        for thread in (stopper, late):
            thread.join(LIMIT)
        assert answer == [False, "advanced"]
        assert present(revocations, 0).answer == "again"


@needs_fork
def test_a_fork_that_cannot_wait_any_longer(revocations: SQLiteRevocationList) -> None:
    """The child answers nothing, rather than with locks that it does not hold; nor do its children."""
    holder = Holder(revocations)

    def work() -> list[str]:
        with pytest.raises(sqlite3.ProgrammingError, match="forked"):
            revoked(revocations, token="x")
        with pytest.raises(sqlite3.ProgrammingError, match="forked"):
            present(revocations, 0)
        return ["refused"] if os.fork() else os._exit(0)

    assert Child(work).result() == ["refused"]
    holder.join()
    assert present(revocations, 0).answer == "advanced"


@needs_fork
def test_a_server_that_forks_by_itself(revocations: SQLiteRevocationList, path: Path) -> None:
    """As uWSGI does: in the child the hooks after a fork run, before it none did."""
    present(revocations, 0)
    read, write = os.pipe()
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        _after_fork_in_child()
        os.write(write, present(revocations, 0).answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"again"
    os.close(read)
    os.close(write)
    assert present(revocations, 1).answer == "advanced"
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_another_file_in_its_place_is_judged_by_its_own_birth(path: Path, clock: ManualClock) -> None:
    """What was lost with the file is unknown, also to a process that knew the one before."""
    revocations = SQLiteRevocationList(path, clock=clock)
    assert present(revocations, 0).answer == "advanced"
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    clock.advance(100)
    SQLiteRevocationList(path, clock=clock).close()
    with revocations._connections.reading():  # the one that is kept; another is opened beside it
        assert present(revocations, 1, clock.now).answer == "unknown"
        assert revocations.current(FAMILY) is None
        assert revocations.start_family(ISSUER, "bob") == clock.now
