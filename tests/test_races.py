"""Crowds of threads and processes that present one refresh token, the clock standing still; and kill -9 amid writes."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from jwtconnect_mw.revocation import (
    MemoryRevocationList,
    RedisRevocationList,
    RevocationList,
    SQLiteRevocationList,
    Step,
)
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import present, revoked

from .kit import NOW
from .racer import FAMILIES, PATIENCE, WRITES, ask, crowd, one_of
from .redis_kit import begin, running

ROOT = Path(__file__).parents[1]
CROWD, PROCESSES = 200, 4
Crowd = Callable[[str, int], list[Step]]

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def rounds(long: bool) -> int:
    return 500 if long else 10


class Racers:
    """Processes that look at one file or server, each with its share of the crowd."""

    def __init__(self, place: str) -> None:
        share = CROWD // PROCESSES
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.racer", "race", place, str(number * share), str(share)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]
        assert [self.line(process) for process in self.processes] == ["ready"] * PROCESSES

    @staticmethod
    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def __call__(self, kind: str, number: int) -> list[Step]:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{kind} {number}\n")
            process.stdin.flush()
        return [Step(*answer) for process in self.processes for answer in json.loads(self.line(process))]

    def stop(self) -> None:
        for process in self.processes:
            process.communicate()
        assert [process.returncode for process in self.processes] == [0] * PROCESSES


@contextmanager
def in_memory(_: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    revocations = MemoryRevocationList(clock=ManualClock(NOW))
    yield revocations, lambda kind, number: crowd(revocations, kind, number, 0, CROWD)


@contextmanager
def in_sqlite(place: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    path = place / "revoked.db"
    with closing(SQLiteRevocationList(path, clock=ManualClock(NOW), timeout=PATIENCE)) as revocations:
        racers = Racers(str(path))
        try:
            yield revocations, racers
        finally:
            racers.stop()


@contextmanager
def on_a_server(kind: str, place: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    with (
        running(kind, place) as server,
        closing(RedisRevocationList(server.url, clock=ManualClock(NOW), timeout=PATIENCE)) as revocations,
    ):
        begin(server.url, NOW)
        racers = Racers(server.url)
        try:
            yield revocations, racers
        finally:
            racers.stop()


@contextmanager
def in_valkey(place: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    with on_a_server("valkey", place) as raced:
        yield raced


@contextmanager
def in_redis(place: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    with on_a_server("redis", place) as raced:
        yield raced


@pytest.fixture(
    params=[in_memory, in_sqlite, *(pytest.param(started, marks=pytest.mark.live) for started in (in_valkey, in_redis))]
)
def raced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RevocationList, Crowd]]:
    with request.param(tmp_path) as raced:
        yield raced


def test_all_get_one_successor(raced: tuple[RevocationList, Crowd], rounds: int) -> None:
    revocations, everyone = raced
    for number in range(rounds):
        steps = everyone("same", number)
        assert sorted(step.answer for step in steps) == ["advanced"] + ["again"] * (CROWD - 1)
        assert len({(step.sequence, step.issued_at, step.expires_at) for step in steps}) == 1
        assert revocations.current(one_of(number)) == 1


def test_reuse_after_the_successors_use_revokes_every_time(raced: tuple[RevocationList, Crowd], rounds: int) -> None:
    revocations, everyone = raced
    for number in range(rounds):
        family = one_of(number)
        assert [ask(revocations, family, 0, presented).answer for presented in (0, 1)] == ["advanced"] * 2
        steps = everyone("spent", number)
        assert sorted(step.answer for step in steps) == ["reuse"] + ["revoked"] * (CROWD - 1)
        assert revoked(revocations, session=family.session)
        assert ask(revocations, family, 0, 2) == Step("revoked")


def test_a_use_of_the_successor_that_races_its_retry(raced: tuple[RevocationList, Crowd], rounds: int) -> None:
    """Whoever comes with the spent token after the other is reuse; nobody gets a second chain."""
    revocations, everyone = raced
    for number in range(rounds):
        family = one_of(number)
        first = ask(revocations, family, 0, 0)
        steps = everyone("mixed", number)
        for step, successor in ((step, asker % 2) for asker, step in enumerate(steps)):
            expected = {"advanced", "again", "revoked"} if successor else {"again", "reuse", "revoked"}
            assert step.answer in expected
        assert len({step.issued_at for step in steps if step.sequence == 2}) <= 1
        assert {step.issued_at for step in steps if step.sequence == 1} <= {first.issued_at}
        assert ask(revocations, family, 0, 0).answer in ("reuse", "revoked")
        assert revoked(revocations, session=family.session)


def test_a_revocation_wins(raced: tuple[RevocationList, Crowd], rounds: int) -> None:
    revocations, everyone = raced
    for number in range(rounds):
        family = one_of(number)
        steps = everyone("revoked", number)
        assert {step.answer for step in steps} <= {"advanced", "again", "revoked"}
        assert revoked(revocations, session=family.session)
        assert [ask(revocations, family, 0, presented) for presented in (0, 1)] == [Step("revoked")] * 2


def killed(path: Path, after: int) -> list[list[str]]:
    """What a writing process said before it was killed, soon after so many lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.racer", "write", str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(after)]
    process.kill()
    rest, _ = process.communicate()
    said += rest.splitlines(keepends=True)
    return [line.decode().split() for line in said if line.endswith(b"\n")]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, long: bool) -> None:
    """And no spent token is good outside the window."""
    for number in range(40 if long else 4):
        path = tmp_path / f"{number}.db"
        said = killed(path, random.randrange(1, WRITES * 9 // 10))
        assert 0 < len(said) < WRITES
        acknowledged = [0] * FAMILIES
        with closing(SQLiteRevocationList(path, clock=ManualClock(NOW))) as revocations:
            for what, *details in said:
                if what == "advanced":
                    acknowledged[int(details[0])] = int(details[1])
                else:
                    assert what == "revoked"
                    assert revoked(revocations, token=f"token-{details[0]}")
            for which, sequence in enumerate(acknowledged):
                family = one_of(which)
                current = revocations.current(family)
                assert current is not None
                assert sequence <= current <= sequence + 1  # one may have been written, but not said
                if current:
                    assert present(revocations, current - 1, NOW + 1, family).answer == "again"
                    assert present(revocations, current - 1, NOW + 10, family).answer == "reuse"
                    assert present(revocations, current, NOW + 10, family).answer == "revoked"
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
