"""Servers that build the application and then fork: nothing of the parent's threads, locks or flights binds a child."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jwtconnect_mw.keys.state import COOLDOWN, MAX_WAITING, IssuerKeys
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import NOW
from .remote import DISCOVERY, LIMIT, Gate, World

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Child:
    """A forked process that does ``work``; ``result()`` is what that returned, by way of JSON."""

    def __init__(self, work: Callable[[], Any]) -> None:
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
            self._pid = os.fork()
        if self._pid == 0:
            try:
                os.write(write, json.dumps(work()).encode())
            except BaseException:
                os.write(write, json.dumps(traceback.format_exc()).encode())
            finally:
                try:
                    if "coverage" in sys.modules and (measured := sys.modules["coverage"].Coverage.current()):
                        measured.stop()
                        measured.save()
                finally:  # also where another user may not write there
                    os._exit(0)
        os.close(write)
        self._read = read

    def result(self) -> Any:
        try:
            if not select.select([self._read], [], [], LIMIT)[0]:
                os.kill(self._pid, signal.SIGKILL)
                return "the child hangs"
            with os.fdopen(os.dup(self._read)) as pipe:
                return json.load(pipe)
        finally:
            os.close(self._read)
            os.waitpid(self._pid, 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


@pytest.mark.parametrize("keys", [None, DISCOVERY])
def test_workers_that_start_cold(issuer: FakeIssuer, clock: ManualClock, keys: object) -> None:
    """Each worker fetches once, by a thread of its own; building the application started none."""
    before = threading.active_count()
    world = World(issuer, clock, keys=keys)
    assert threading.active_count() == before
    token = issuer.token()
    workers = [Child(lambda: [world.verdict(token), world.verdict(token)]) for _ in range(4)]
    assert [worker.result() for worker in workers] == [["accepted", "accepted"]] * 4
    assert world.fetches == 4
    assert world.verdict(token) == "accepted"


def test_workers_that_start_with_keys(issuer: FakeIssuer, clock: ManualClock) -> None:
    """What was fetched before the fork serves all; each refreshes and finds rotated keys for itself."""
    world = World(issuer, clock)
    world.auth.prefetch()
    old, rotated = issuer.token(), issuer.token(key=issuer.rotate())

    def work() -> list[str]:
        seen = [world.verdict(old), world.verdict(rotated)]
        clock.advance(COOLDOWN)
        return [*seen, world.verdict(rotated), world.verdict(old)]

    for worker in [Child(work) for _ in range(3)]:
        assert worker.result() == ["accepted", "unknown_key", "accepted", "accepted"]
    assert world.fetches == 4


def test_a_fork_while_a_fetch_is_under_way(
    issuer: FakeIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child fetches at once for itself, with all places to wait; the parent's fetch goes on."""
    monkeypatch.setattr("jwtconnect_mw.auth.MAX_WAIT", LIMIT)
    gate = Gate()
    world = World(issuer, clock, fetch=gate)
    token = issuer.token()
    waiting = [threading.Thread(target=world.verdict, args=(token,)) for _ in range(MAX_WAITING)]
    for thread in waiting:
        thread.start()
    assert gate.entered.wait(LIMIT)
    (keys,) = world.auth._store.issuers.values()
    while keys._waiting < MAX_WAITING:
        threading.Event().wait(0.001)

    def work() -> list[Any]:
        gate.opened.set()
        return [world.verdict(token), gate.calls]

    assert Child(work).result() == ["accepted", 2]
    gate.opened.set()
    for thread in waiting:
        thread.join(LIMIT)
    assert world.verdict(token) == "accepted"
    assert gate.calls == 1


def test_a_fork_between_the_arrival_of_keys_and_their_publication(issuer: FakeIssuer, clock: ManualClock) -> None:
    """The child has the keys, though the thread that was to publish them is not there."""
    world = World(issuer, clock)
    token = issuer.token()
    store = world.auth._store
    (keys,) = store.issuers.values()
    arrived, publish = threading.Event(), keys.on_change

    def watched(changed: IssuerKeys) -> None:
        arrived.set()
        publish(changed)

    keys.on_change = watched
    with store._lock:
        assert keys.begin(clock()) is not None
        assert arrived.wait(LIMIT)
        issuer.outage = "error"
        worker = Child(lambda: world.verdict(token))
    assert worker.result() == "accepted"
    assert world.settled(token) == "accepted"


def test_a_fork_while_a_refresh_is_under_way(issuer: FakeIssuer, clock: ManualClock) -> None:
    """The attempt that the child lost does not count against it."""
    gate = Gate()
    gate.opened.set()
    world = World(issuer, clock, fetch=gate)
    assert world.verdict() == "accepted"
    gate.opened.clear()
    gate.entered.clear()
    clock.advance(250)
    rotated = issuer.token(key=issuer.rotate())
    assert world.verdict(issuer.token(key=issuer.keys[0])) == "accepted"
    assert gate.entered.wait(LIMIT)

    def work() -> list[Any]:
        gate.opened.set()
        return [world.verdict(rotated), gate.calls]

    assert Child(work).result() == ["accepted", 3]
    gate.opened.set()
    assert world.settled(rotated) == "accepted"


def test_a_fork_between_the_arrival_of_keys_and_their_use(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    store = world.auth._store
    (keys,) = store.issuers.values()
    token = issuer.token()
    arrived = threading.Event()
    publish = keys.on_change

    def slowly(changed: Any) -> None:
        arrived.set()
        publish(changed)

    keys.on_change = slowly
    with store._lock:  # the thread that brings the keys waits for it
        keys.begin(clock())
        assert arrived.wait(LIMIT)
        before = world.fetches
        assert Child(lambda: [world.verdict(token), world.health()["state"]]).result() == ["accepted", "fresh"]
        assert world.fetches == before
    assert world.settled(token) == "accepted"


@pytest.mark.parametrize("held", ["issuer", "store"])
def test_a_fork_while_a_lock_is_held(issuer: FakeIssuer, clock: ManualClock, held: str) -> None:
    world = World(issuer, clock)
    (keys,) = world.auth._store.issuers.values()
    token = issuer.token()
    with keys._lock if held == "issuer" else world.auth._store._lock:
        assert Child(lambda: world.verdict(token)).result() == "accepted"
    assert world.verdict(token) == "accepted"


def test_an_application_that_is_gone_is_not_kept(issuer: FakeIssuer, clock: ManualClock) -> None:
    """The hook that runs after a fork holds nothing alive."""
    store = weakref.ref(World(issuer, clock).auth._store)
    gc.collect()
    assert store() is None
    assert Child(lambda: "alive").result() == "alive"
