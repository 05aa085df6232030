"""One fetch at a time: who waits for it, for how long, and what the others are told. Threads and tasks alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, HttpFetch, TrustedIssuer
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.keys.state import COOLDOWN, MAX_WAIT, MAX_WAITING
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import AUDIENCE, NOW
from .remote import LIMIT, Gate, World, verdict

THREADS, TASKS = 50, 500


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait do so until the others have their answers, also on a machine where that takes a while."""
    monkeypatch.setattr("jwtconnect_mw.auth.MAX_WAIT", LIMIT)


class Crowd:
    """So many threads that ask at once. ``others``: all but those that may wait, as soon as they have answers."""

    def __init__(self, world: World, tokens: list[str]) -> None:
        self._results: list[str] = []
        self._others = threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(len(tokens))
        start = threading.Barrier(len(tokens))
        self._futures = [self._pool.submit(self._ask, start, world, token) for token in tokens]

    def _ask(self, start: threading.Barrier, world: World, token: str) -> None:
        start.wait(LIMIT)
        self._results.append(world.verdict(token))
        self._others.release()

    def others(self) -> Counter[str]:
        for _ in range(len(self._futures) - MAX_WAITING):
            assert self._others.acquire(timeout=LIMIT)
        return Counter(self._results)

    def all(self) -> Counter[str]:
        self._pool.shutdown()
        for future in self._futures:
            future.result()
        return Counter(self._results)


@pytest.mark.usefixtures("patience")
def test_fifty_threads_at_a_cold_start(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    world = World(issuer, clock, fetch=gate)
    crowd = Crowd(world, [issuer.token() for _ in range(THREADS)])
    assert crowd.others() == {"keys_unavailable": THREADS - MAX_WAITING}  # at once: nothing was fetched yet
    gate.opened.set()
    assert crowd.all() == {"keys_unavailable": THREADS - MAX_WAITING, "accepted": MAX_WAITING}
    assert gate.calls == world.fetches == 1
    assert world.verdict() == "accepted"


@pytest.mark.usefixtures("patience")
def test_fifty_threads_with_a_rotated_key(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    """Beside fresh keys those who do not wait are told 401; good tokens are not held up by any of it."""
    world = World(issuer, clock, fetch=gate)
    gate.opened.set()
    good = issuer.token()
    assert world.verdict(good) == "accepted"
    gate.opened.clear()
    clock.advance(COOLDOWN)
    issuer.rotate()
    crowd = Crowd(world, [issuer.token() for _ in range(THREADS)])
    assert crowd.others() == {"unknown_key": THREADS - MAX_WAITING}
    assert world.verdict(good) == world.verdict(issuer.token(key=issuer.keys[0])) == "accepted"
    gate.opened.set()
    assert crowd.all() == {"unknown_key": THREADS - MAX_WAITING, "accepted": MAX_WAITING}
    assert gate.calls == 2


async def averdict(world: World, token: str) -> str:
    try:
        assert await world.auth.aauthenticate(f"Bearer {token}") is not None
    except AuthError as error:
        return error.reason
    return "accepted"


@pytest.mark.usefixtures("patience")
def test_five_hundred_tasks_at_a_cold_start(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    world = World(issuer, clock, fetch=gate)
    tokens = [issuer.token() for _ in range(TASKS)]

    async def main() -> Counter[str]:
        tasks = [asyncio.create_task(averdict(world, token)) for token in tokens]
        early: list[str] = []
        for done in asyncio.as_completed(tasks, timeout=LIMIT):
            early.append(await done)
            if len(early) == TASKS - MAX_WAITING:  # the loop is not blocked, and so many have their answer already
                assert set(early) == {"keys_unavailable"}
                gate.opened.set()
        return Counter(early)

    assert asyncio.run(main()) == {"keys_unavailable": TASKS - MAX_WAITING, "accepted": MAX_WAITING}
    assert gate.calls == world.fetches == 1


def test_tasks_that_are_cancelled_give_their_place_back(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    world = World(issuer, clock, fetch=gate)
    token = issuer.token()

    async def main() -> list[str]:
        for _ in range(3):
            tasks = [asyncio.create_task(averdict(world, token)) for _ in range(MAX_WAITING)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            gone = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in gone)
        tasks = [asyncio.create_task(averdict(world, token)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == ["accepted"] * MAX_WAITING  # and the fetch was not cancelled with those who waited
    assert gate.calls == 1


def test_nobody_waits_longer_than_two_seconds(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    """A thread and a task each; then the places are free again, and the fetch is still the same one."""
    world = World(issuer, clock, fetch=gate)
    token = issuer.token()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append((world.retry_after(token), time.monotonic())))
    began = time.monotonic()
    thread.start()
    results.append((asyncio.run(averdict(world, token)), time.monotonic()))
    thread.join()
    assert {result for result, _ in results} == {2, "keys_unavailable"}
    assert all(0.9 * MAX_WAIT < at - began < LIMIT for _, at in results)
    crowd = Crowd(world, [token] * (MAX_WAITING + 1))
    assert crowd.others() == {"keys_unavailable": 1}
    gate.opened.set()
    assert crowd.all() == {"keys_unavailable": 1, "accepted": MAX_WAITING}
    assert gate.calls == 1


def test_there_is_one_flight_however_long_it_takes(issuer: FakeIssuer, clock: ManualClock, gate: Gate) -> None:
    world = World(issuer, clock, fetch=gate)
    keys = world.auth._store.issuers[issuer.url]
    flight = keys.begin(clock())
    assert gate.entered.wait(LIMIT)
    clock.advance(COOLDOWN)
    assert keys.begin(clock()) is flight
    gate.opened.set()
    assert world.settled() == "accepted"
    assert gate.calls == 1


@pytest.mark.parametrize("patient", [True, False])
def test_a_kid_that_a_failed_fetch_did_not_bring_is_asked_for_after_the_cooldown(
    issuer: FakeIssuer, clock: ManualClock, gate: Gate, monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    """Counted from the attempt, whether its waiter saw it fail or gave up before, some seconds later. Beside an issuer
    that was not asked yet: else nothing is remembered, for nothing can be learnt.
    """
    using: list[Any] = [HttpFetch()]

    def fetch(*asked: Any) -> Fetched:
        answer: Fetched = using[-1](*asked)
        return answer

    world = World(issuer, clock, TrustedIssuer("https://idle.example", audience=AUDIENCE), fetch=fetch)
    assert world.verdict() == "accepted"
    clock.advance(COOLDOWN)
    began = clock()

    def failing(*_: object) -> Fetched:
        clock.advance(5)
        gate.entered.set()
        assert gate.opened.wait(LIMIT)
        raise FetchError("gone")

    using.append(failing)
    if patient:
        gate.opened.set()
    else:
        monkeypatch.setattr("jwtconnect_mw.auth.wait", lambda *_: gate.entered.wait(LIMIT))
    issuer.rotate()
    token = issuer.token({"iat": NOW, "exp": NOW + 900})
    assert world.verdict(token) == "unknown_key"
    gate.opened.set()
    world.settle()
    using.pop()
    monkeypatch.undo()
    clock.now = began + COOLDOWN
    assert world.verdict(token) == "accepted"


def test_keys_that_come_when_the_loop_of_their_waiter_is_closed(
    issuer: FakeIssuer,
    clock: ManualClock,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("jwtconnect_mw.auth.MAX_WAIT", 0.01)
    world = World(issuer, clock, fetch=gate)
    assert asyncio.run(averdict(world, issuer.token())) == "keys_unavailable"
    gate.opened.set()
    for thread in threading.enumerate():
        if thread.name == "jwtconnect_mw-keys":
            thread.join(LIMIT)
    assert world.verdict() == "accepted"
    assert caplog.text == ""


@pytest.mark.usefixtures("patience")
def test_each_issuer_has_its_own_flight_and_places(clock: ManualClock, gate: Gate) -> None:
    with FakeIssuer(clock=clock) as one, FakeIssuer(clock=clock) as other:
        world = World(one, clock, TrustedIssuer(other.url, audience=AUDIENCE, keys=other.jwks_url), fetch=gate)
        crowd = Crowd(world, [one.token() for _ in range(5)] + [other.token() for _ in range(MAX_WAITING)])
        assert crowd._others.acquire(timeout=LIMIT)  # the fifth of the first
        gate.opened.set()
        assert crowd.all() == {"keys_unavailable": 1, "accepted": 2 * MAX_WAITING}
        assert (one.jwks_requests(), other.jwks_requests()) == (1, 1)


def test_two_applications_may_share_a_policy(issuer: FakeIssuer, clock: ManualClock) -> None:
    """Whose validators are whose: an answer of 304 to one is about what that one has."""
    issuer.headers["ETag"] = '"1"'
    policy = TrustedIssuer(issuer.url, audience=issuer.audience)
    apps = [BearerAuth(policy, clock=clock) for _ in range(3)]
    assert {verdict(app, issuer.token()) for app in apps} == {"accepted"}
    issuer.rotate(drop_old=True)
    issuer.headers["ETag"] = '"2"'
    clock.advance(COOLDOWN)
    assert {verdict(app, issuer.token()) for app in apps} == {"accepted"}
    assert {verdict(app, issuer.token(key=issuer.keys[0])) for app in apps} == {"unknown_key"}


def test_no_thread_can_be_started(issuer: FakeIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a failed fetch: the cooldown counts, and then all is well again."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    world = World(issuer, clock)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert world.retry_after() == 30
        world.auth.prefetch()
    clock.advance(COOLDOWN - 1)
    assert world.retry_after() == 1
    clock.advance(1)
    assert world.verdict() == "accepted"
