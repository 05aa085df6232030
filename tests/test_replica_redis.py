"""Replicas of a list on a Redis or Valkey server: what they do while it hangs, dies, loses data or its connections.

In each case: what a replica had seen is refused at every moment, no look-up waits, all is well again by itself, and the
log says so once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw.revocation import Change, Changes, RedisRevocationList, ReplicatedRevocationList, StaleCopyError
from jwtconnect_mw.testing import ManualClock, RevocationListConformance
from jwtconnect_mw.testing.revocation.backend import revoked

from .kit import ISSUER, NOW
from .redis_kit import KINDS, RedisServer, begin, running
from .remote import LIMIT, until
from .replicas import honours

pytestmark = pytest.mark.live

STALENESS = 10.0
KNOWN = tuple(f"known {number}" for number in range(1200))
GAP = "the feed of the revocation list has a gap: it is read from the beginning"
BACK = f"the revocation list had lost {len(KNOWN)} entries, which were written back to it"


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("conformance")) as server:
        yield server


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, shared: RedisServer) -> Iterator[None]:
        shared.tell("FLUSHALL")
        self.url = shared.url
        self.made: list[ReplicatedRevocationList] = []
        yield
        for replica in self.made:
            replica.close()
            replica.authority.close()  # type: ignore[attr-defined]  # it is one on a server

    def make(self, clock: Callable[[], float]) -> ReplicatedRevocationList:
        begin(self.url, clock())
        backend = RedisRevocationList(self.url, clock=clock, timeout=LIMIT)
        self.made.append(ReplicatedRevocationList(backend, clock=clock, max_staleness=LIMIT))
        assert self.made[-1].sync(LIMIT)
        return self.made[-1]

    reopen = make
    forks = False

    def beside(self, _clock: Callable[[], float]) -> ReplicatedRevocationList:
        """The same: what another one writes is in a copy a little later, which is shown elsewhere."""
        return self.made[-1]


class Site:
    """A server, and two replicas of its list that know KNOWN. ``timer`` and ``clock`` stand still until told."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.timer = server, ManualClock(1000.0)
        self.backends, self.replicas = [], []
        self.clock = clock = ManualClock(NOW)
        for _ in range(2):
            backend = RedisRevocationList(server.url, clock=clock, timeout=0.5)
            replica = ReplicatedRevocationList(backend, max_staleness=STALENESS, clock=clock, timer=self.timer)
            self.backends.append(backend)
            self.replicas.append(replica)
        with closing(RedisRevocationList(server.url, clock=clock, timeout=LIMIT)) as patient:
            patient.restore([Change("token", ISSUER, name, NOW + 10_000) for name in KNOWN])
        for replica in self.replicas:
            assert replica.sync(LIMIT)

    def close(self) -> None:
        for one in (*self.replicas, *self.backends):
            one.close()

    def honoured(self) -> bool:
        """What was known is refused by each replica, and nothing else."""
        return all(honours(replica, KNOWN[0], KNOWN[-1], "good") == [True, True, False] for replica in self.replicas)

    def recovers(self) -> None:
        """By itself: what is revoked at one is honoured by the other and known to the server."""
        until(self._tells)
        assert honours(self.backends[1], KNOWN[0], KNOWN[-1], "good") == [True, True, False]
        assert self.honoured()

    def _tells(self) -> bool:
        assert self.honoured()
        try:
            self.replicas[0].revoke_token(ISSUER, "new", expires_at=NOW + 10_000)
        except Exception:
            return False
        return self.replicas[1].sync(5) and revoked(self.replicas[1], token="new")


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    with running(request.param, tmp_path, keep=True) as server, closing(Site(server)) as site:
        yield site


def messages(caplog: pytest.LogCaptureFixture, *parts: str) -> list[int]:
    """How often each of the parts was logged."""
    return [sum(part in message for message in caplog.messages) for part in parts]


def test_killed_and_restarted_with_its_data(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.server.kill()
    until(lambda: messages(caplog, "cannot be read") == [2])
    assert all(site.honoured() for _ in range(100))
    site.server.start()
    site.recovers()

    def settled() -> bool:
        for timer in (site.timer, site.clock):
            timer.advance(STALENESS)
        return messages(caplog, "can be read again") == [2]

    until(settled)
    assert messages(caplog, "cannot be read", GAP, "had lost") == [2, 0, 0]


@pytest.mark.parametrize("how", ["restart", "flush"])
def test_its_data_is_lost(site: Site, caplog: pytest.LogCaptureFixture, how: str) -> None:
    if how == "flush":
        site.server.tell("FLUSHALL")
    else:
        site.server.kill()
        # Redis 6 has one file, later ones have a folder.
        for left in list(site.server.place.rglob("appendonly*")):
            if left.is_file():
                left.unlink()
        site.server.start()
    until(lambda: site.honoured() and messages(caplog, "had lost")[0])
    site.recovers()
    assert messages(caplog, GAP) == [2]
    assert messages(caplog, BACK)[0] in (0, 1, 2)
    # The other one may still be at it.
    until(lambda: sum(int(said.split()[5]) for said in list(caplog.messages) if "had lost" in said) >= len(KNOWN))


def test_a_failover_that_lost_the_last_writes(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before = {key: site.server.tell("DUMP", key) for key in site.server.tell("KEYS", "*")}
    site.replicas[0].revoke_token(ISSUER, "late", expires_at=NOW + 10_000)
    assert site.replicas[1].sync(LIMIT)
    with site.server.client() as client:
        pipeline = client.pipeline(transaction=True)
        for key, dumped in before.items():
            pipeline.restore(key, 0, dumped, replace=True)
        pipeline.execute()
    until(lambda: "had lost" in caplog.text)
    assert revoked(site.backends[1], token="late")
    assert all(revoked(replica, token="late") for replica in site.replicas)
    site.recovers()


def test_a_write_that_is_lost_before_its_own_process_read_it_back(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older state has all that its cursor knows, so that nothing but the entry's absence shows the loss."""
    dumped = {key: site.server.tell("DUMP", key) for key in site.server.tell("KEYS", "*")}
    readable = threading.Event()
    known = RedisRevocationList.changes

    def changes(self: RedisRevocationList, *asked: Any, **how: Any) -> Changes:
        assert readable.wait(LIMIT)
        return known(self, *asked, **how)

    monkeypatch.setattr(RedisRevocationList, "changes", changes)
    begun = [replica._follower.begun for replica in site.replicas]
    until(lambda: all(one._follower.begun > before for one, before in zip(site.replicas, begun, strict=True)))
    site.replicas[0].revoke_token(ISSUER, "late", expires_at=NOW + 10_000)
    with site.server.client() as client:
        pipeline = client.pipeline(transaction=True)
        for key, value in dumped.items():
            pipeline.restore(key, 0, value, replace=True)
        pipeline.execute()
    assert not revoked(site.backends[1], token="late")
    readable.set()
    until(lambda: all(revoked(one, token="late") for one in (*site.backends, *site.replicas)))
    until(lambda: messages(caplog, "had lost 1 entries", GAP) == [1, 0])  # said after it was done


def test_its_connections_are_cut(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        site.server.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        site.recovers()
    assert messages(caplog, GAP, "had lost", "older than") == [0, 0, 0]


def test_it_hangs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No look-up waits for it; those of tokens are refused when the bound is reached, and not before."""
    os.kill(site.server.process.pid, signal.SIGSTOP)
    try:
        until(lambda: messages(caplog, "cannot be read") == [2])
        site.timer.advance(STALENESS - 1)
        assert all(site.honoured() for _ in range(100))
        site.timer.advance(1)
        for replica in site.replicas:
            for _ in range(100):
                with pytest.raises(StaleCopyError):
                    revoked(replica, token="good")
            assert replica.health()["state"] == "missing"
    finally:
        os.kill(site.server.process.pid, signal.SIGCONT)
    for replica in site.replicas:
        until(lambda replica=replica: replica.sync(5))  # type: ignore[misc]  # mypy infers no lambda with a default
    site.recovers()
    until(lambda: messages(caplog, "older than", "up to date again", "cannot be read") == [2, 2, 2])


def test_answers_that_take_two_seconds(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """As a list sees it that is patient enough; look-ups notice nothing."""
    clock = ManualClock(NOW)
    with closing(RedisRevocationList(site.server.url, clock=clock, timeout=5)) as backend:
        replica = ReplicatedRevocationList(backend, clock=clock)
        assert replica.sync(LIMIT)
        site.server.tell("CLIENT", "PAUSE", 2000)
        assert not replica.sync(0.2)
        assert all(honours(replica, KNOWN[0], "good") == [True, False] for _ in range(100))
        assert replica.sync(LIMIT)
        replica.close()


def test_a_gap(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """More changes than the server remembers, while a reader was held up."""
    replica = site.replicas[1]
    with site.server.client() as client:
        client.execute_command("XTRIM", "{jwtconnect_mw}:log", "MAXLEN", 0)
        site.replicas[0].revoke_token(ISSUER, "one", expires_at=NOW + 10_000)
        client.execute_command("XTRIM", "{jwtconnect_mw}:log", "MAXLEN", 0)
    site.recovers()
    assert revoked(replica, token="one")
    assert messages(caplog, "had lost") == [0]
