"""The list on a Redis or Valkey server, when data is lost, connections break, and the server is slow or gone."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from jwtconnect_mw.revocation import Change, FeedGap, RedisRevocationList, Step
from jwtconnect_mw.revocation.redis_scripts import ADVANCE
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW
from .redis_kit import KINDS, RedisServer, begin, running
from .redis_proxy import Proxy
from .remote import LIMIT, until
from .test_fork import Child

pytestmark = pytest.mark.live

KEYS = ("data", "ends", "order", "log")
LATER = replace(FAMILY, session="later", started=NOW + 2)


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.tell("FLUSHALL")
    begin(shared.url, NOW)
    return shared


@pytest.fixture(params=KINDS)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with running(request.param, tmp_path) as server:
        begin(server.url, NOW)
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


Make = Callable[..., RedisRevocationList]


@pytest.fixture
def make(clock: ManualClock) -> Iterator[Make]:
    made: list[RedisRevocationList] = []

    def make(server: RedisServer | str, **options: Any) -> RedisRevocationList:
        url = server if isinstance(server, str) else server.url
        made.append(RedisRevocationList(url, **{"clock": clock, "timeout": LIMIT, **options}))
        return made[-1]

    yield make
    for revocations in made:
        revocations.close()


def clock_of(server: RedisServer, ahead: float) -> ManualClock:
    """A clock beside the server's, which stands still."""
    return ManualClock(float(server.tell("TIME")[0]) + ahead)


def flush(server: RedisServer) -> None:
    server.tell("FLUSHALL")


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("lose", [flush, restart])
def test_lost_data(
    own: RedisServer,
    make: Make,
    clock: ManualClock,
    lose: Callable[[RedisServer], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Families of before are refused, also one of this very second; new ones are good. The log says it once."""
    revocations, other = make(own), make(own)
    present(revocations, 0)
    revocations.revoke_token(ISSUER, "lost")
    before = revocations.changes(None)
    assert present(other, 0).answer == "again"
    lose(own)
    assert not revoked(revocations, token="lost")
    for one in (revocations, other):
        assert [present(one, number) for number in (0, 1)] == [Step("unknown")] * 2
        assert one.current(FAMILY) is None
        with pytest.raises(FeedGap):
            one.changes(before.cursor)
        assert one.changes(None).epoch != before.epoch
    assert revocations.start_family(ISSUER, "alice") == NOW + 1
    assert present(revocations, 0, family=LATER).answer == "advanced"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2  # one for each list
    assert "lost" in caplog.text
    assert present(make(own), 0) == Step("unknown")


def test_an_epoch_is_noticed_by_whatever_comes_first(server: RedisServer, make: Make, clock: ManualClock) -> None:
    revocations = make(server)
    calls: list[Callable[[], object]] = [
        lambda: revocations.current(FAMILY),
        lambda: revocations.revoke_session(ISSUER, "x"),
        lambda: revocations.revoke_subject(ISSUER, "x"),
        lambda: revocations.start_family(ISSUER, "x"),
        lambda: revocations.purge(NOW),
        lambda: revocations.changes(None),
        lambda: revocations.restore([Change("token", ISSUER, "x", NOW + 10_000)]),
        lambda: revoked(revocations, token="x"),
    ]
    assert present(revocations, 0).answer == "advanced"
    for call in calls:
        flush(server)
        call()
        clock.advance(100)
        assert revocations.current(FAMILY) is None
        assert revocations.current(replace(FAMILY, started=int(clock.now) - 99)) == 0


def test_a_look_up_notices_that_others_began_an_epoch(
    server: RedisServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    looking = make(server)
    assert not revoked(looking, token="x")
    flush(server)
    make(server).revoke_token(ISSUER, "x")
    assert caplog.messages == []
    assert [revoked(looking, token="x") for _ in range(2)] == [True, True]
    assert "was lost" in caplog.text
    assert len(caplog.messages) == 1


def test_a_fresh_epoch_for_each_loss(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    epochs = []
    for _ in range(20):
        flush(server)
        epochs.append(revocations.changes(None).epoch)
    assert len(set(epochs)) == 20
    assert len(revocations._calls._epochs) == 8


@pytest.mark.parametrize("key", KEYS)
def test_a_part_that_is_lost(server: RedisServer, make: Make, key: str) -> None:
    """By eviction, say. Without its log alone nothing is lost but the readers' places."""
    revocations = make(server)
    present(revocations, 0)
    revocations.revoke_token(ISSUER, "x")
    before = revocations.changes(None)
    revocations.revoke_token(ISSUER, "y")
    server.tell("UNLINK", f"{{jwtconnect_mw}}:{key}")
    assert present(revocations, 0).answer == ("again" if key == "log" else "unknown")
    with pytest.raises(FeedGap):
        revocations.changes(before.cursor)
    again = revocations.changes(None)
    assert (again.epoch == before.epoch) is (key == "log")
    assert revocations.changes(again.cursor).entries == ()
    revocations.restore(before.entries)
    assert revoked(revocations, token="x")
    assert revocations.purge(NOW + FAMILY.started) > 0
    assert revocations.purge(float("inf")) == 0


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_someone_else(server: RedisServer, make: Make, key: str) -> None:
    flush(server)
    server.tell("SET", f"{{jwtconnect_mw}}:{key}", "theirs")
    revocations = make(server)
    for call in (
        lambda: present(revocations, 0),
        lambda: revocations.revoke_token(ISSUER, "x"),
        lambda: revocations.changes(None),
    ):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            call()
    assert server.tell("GET", f"{{jwtconnect_mw}}:{key}") == b"theirs"
    assert server.tell("DBSIZE") == 1


def test_a_list_of_another_version(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    present(revocations, 0)
    server.tell("HSET", "{jwtconnect_mw}:data", "#epoch", "2.x")
    for call in (lambda: present(revocations, 0), lambda: revoked(revocations, token="x")):
        with pytest.raises(redis.ResponseError, match="version"):
            call()


@pytest.mark.parametrize("behind", [-55, -5, 0, 5, 55, 65, 3600])
def test_an_epoch_begins_by_the_clock_of_the_server(server: RedisServer, make: Make, behind: int) -> None:
    """As families start: one of a host that is ahead is lost with the data, also for who is behind and begins anew."""
    flush(server)
    ahead = make(server, clock=clock_of(server, 5))
    ahead.changes(None)
    server.tell("HSET", "{jwtconnect_mw}:data", "#birth", 1)  # the list is old
    family = replace(FAMILY, started=ahead.start_family(ISSUER, "alice"))
    flush(server)
    birth = int(server.tell("TIME")[0]) + 1
    other = make(server, clock=clock_of(server, -behind))  # a process that has just been started
    other.changes(None)
    assert birth <= other.start_family(ISSUER, "alice") <= birth + LIMIT
    assert other.current(family) is None


@pytest.mark.parametrize("ahead", [65, 10**6])
def test_an_epoch_of_a_clock_that_is_far_ahead(server: RedisServer, make: Make, ahead: int) -> None:
    """Families of that clock are lost too."""
    revocations = make(server, clock=ManualClock(int(server.tell("TIME")[0]) + ahead + 0.5))
    flush(server)
    started = revocations.start_family(ISSUER, "alice")
    flush(server)
    assert revocations.start_family(ISSUER, "alice") == started
    assert revocations.current(replace(FAMILY, started=started - 1)) is None


def test_a_family_of_the_second_of_the_loss(server: RedisServer, make: Make) -> None:
    """Whoever notices it: a process that never asked before has no older epoch to compare with."""
    revocations = make(server)
    assert [present(revocations, number).answer for number in (0, 1)] == ["advanced"] * 2
    flush(server)
    make(server).changes(None)
    assert present(revocations, 0) == Step("unknown")


def test_clocks_of_hosts_that_differ(server: RedisServer, make: Make) -> None:
    """Who logged in where the clock is ahead is taken in by who logs out everywhere where it is behind, and can log in
    again at either.
    """
    flush(server)
    ahead, behind = make(server, clock=clock_of(server, 30)), make(server, clock=clock_of(server, -30))
    now = behind._clock()
    for number, alone in enumerate((False, True)):
        user = f"user {number}"
        started = ahead.start_family(ISSUER, user, alone=alone)
        assert abs(started - int(server.tell("TIME")[0])) <= LIMIT
        behind.revoke_subject(ISSUER, user)
        assert revoked(behind, subject=user, started=started, now=now)
        for one in (behind, ahead):
            assert not revoked(one, subject=user, started=one.start_family(ISSUER, user), now=now)
    behind.revoke_subject(ISSUER, "other", before=now - 5.5)  # which is told, not the default
    assert [revoked(behind, subject="other", started=now - ago, now=now) for ago in (6, 5)] == [True, False]


@pytest.mark.parametrize("behind", [65, 3600, 10**6])
def test_a_clock_that_was_put_back(server: RedisServer, make: Make, behind: int) -> None:
    """Who logs out everywhere there is logged out everywhere, also where the clock was not put back."""
    flush(server)
    right, wrong = make(server, clock=clock_of(server, 0)), make(server, clock=clock_of(server, -behind))
    started = right.start_family(ISSUER, "alice")
    wrong.revoke_subject(ISSUER, "alice")
    assert revoked(right, subject="alice", started=started, now=right._clock())
    assert not revoked(right, subject="alice", started=right.start_family(ISSUER, "alice"), now=right._clock())


@pytest.mark.parametrize("ahead", [5, 3600, 80_000])
def test_a_clock_that_was_put_forward(server: RedisServer, make: Make, ahead: int) -> None:
    """It drops nothing that others still need."""
    flush(server)
    right, wrong = make(server, clock=clock_of(server, 0)), make(server, clock=clock_of(server, ahead))
    now = right._clock()
    right.revoke_token(ISSUER, "x", expires_at=now + 2)
    right.revoke_token(ISSUER, "old", expires_at=now - 1000)
    wrong.revoke_token(ISSUER, "y")
    wrong.purge(wrong._clock())
    assert revoked(right, token="x", now=now)
    assert {entry.name for entry in make(server, clock=clock_of(server, -2000)).changes(None).entries} == {"x", "y"}


@pytest.mark.parametrize("days", [2, 20_000])
def test_a_host_whose_clock_is_days_off(
    server: RedisServer, make: Make, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Behind, it begins no epoch in which what was lost is known; ahead, it drops nothing that others need."""
    flush(server)
    real, off = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + off)
    host = make(server, clock=time.time)
    off = -days * 86_400.0
    before = int(server.tell("TIME")[0])
    host.changes(None)
    assert int(server.tell("HGET", "{jwtconnect_mw}:data", "#birth")) > before
    right = make(server, clock=clock_of(server, 0))
    right.revoke_token(ISSUER, "x", expires_at=before + 1000)
    right.revoke_token(ISSUER, "old", expires_at=before - 1000)
    off = days * 86_400.0
    host.revoke_token(ISSUER, "y")
    assert host.purge(time.time()) == 0
    assert revoked(right, token="x", now=right._clock())
    assert right.changes(None).entries[0].name == "x"


def test_scripts_that_the_server_forgot(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    for number in range(3):
        assert present(revocations, number).answer == "advanced"
        server.tell("SCRIPT", "FLUSH")
    assert present(revocations, 3).answer == "advanced"
    assert server.tell("SCRIPT", "EXISTS", ADVANCE.digest) == [1]


def test_connections_that_are_cut(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    for number in range(3):
        assert present(revocations, number).answer == "advanced"
        assert not revoked(revocations, token="x")
        server.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_an_answer_that_is_lost_on_its_way(server: RedisServer, make: Make) -> None:
    """What was asked may have been done: with a window it is asked again, once; without, that is left to the caller."""
    with Proxy(server.port) as proxy:
        revocations = make(f"redis://127.0.0.1:{proxy.port}")
        assert present(revocations, 0).answer == "advanced"
        proxy.lose(1, b"EVALSHA")
        assert present(revocations, 1).answer == "again"
        proxy.lose(1, b"EVALSHA")
        with pytest.raises(redis.ConnectionError):
            present(revocations, 2, grace=0.0)
        assert revocations.current(FAMILY) == 3
        proxy.lose(1, b"HMGET")
        assert not revoked(revocations, token="x")
        proxy.lose(2)
        with pytest.raises(redis.ConnectionError):
            revocations.revoke_token(ISSUER, "x")
        assert present(revocations, 3).answer == "advanced"
        revocations.close()


def test_a_server_that_is_slow(own: RedisServer, make: Make) -> None:
    """Everything raises in time, and nothing is asked twice. Whether it was done is open until the server goes on."""
    revocations = make(own, timeout=0.1)
    present(revocations, 0)
    own.process.send_signal(signal.SIGSTOP)
    try:
        for call in (
            lambda: present(revocations, 1),
            lambda: revoked(revocations, token="x"),
            lambda: revocations.changes(None, wait=LIMIT),
        ):
            with pytest.raises(redis.TimeoutError):
                call()
    finally:
        own.process.send_signal(signal.SIGCONT)
    patient = make(own)
    assert present(patient, patient.current(FAMILY) or 0).answer == "advanced"
    assert patient.current(FAMILY) in (2, 3)


def test_a_server_that_is_gone(own: RedisServer, make: Make) -> None:
    revocations = make(own)
    present(revocations, 0)
    own.kill()
    for call in (lambda: present(revocations, 0), lambda: revoked(revocations, token="x")):
        with pytest.raises(redis.ConnectionError):
            call()
    own.start()
    assert present(revocations, 0) == Step("unknown")


def test_no_server_is_needed_to_build_it(make: Make) -> None:
    with pytest.raises(redis.ConnectionError):
        present(make("redis://127.0.0.1:1"), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path, make: Make, kind: str) -> None:
    with running(kind, tmp_path, keep=True) as server:
        begin(server.url, NOW)
        revocations = make(server)
        for number in range(5):
            assert present(revocations, number).answer == "advanced"
            revocations.revoke_token(ISSUER, f"{number}")
            cursor = revocations.changes(None).cursor
            restart(server)
            assert revocations.current(FAMILY) == number + 1
            assert revoked(revocations, token=f"{number}")
            assert revocations.changes(cursor).entries == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_amid_writes(tmp_path: Path, make: Make, kind: str, long: bool) -> None:
    with running(kind, tmp_path, keep=True) as server:
        begin(server.url, NOW)
        revocations = make(server)
        for turn in range(20 if long else 2):
            said: list[str] = []
            enough = threading.Event()

            def write(turn: int = turn, said: list[str] = said, enough: threading.Event = enough) -> None:
                for number in itertools.count():
                    revocations.revoke_token(ISSUER, f"{turn} {number}")
                    said.append(f"{turn} {number}")
                    if number == 50:
                        enough.set()

            def fails() -> None:
                with pytest.raises(redis.ConnectionError):
                    write()

            writer = threading.Thread(target=fails)
            writer.start()
            assert enough.wait(LIMIT)
            server.kill()
            writer.join(LIMIT)
            server.start()
            assert all(revoked(revocations, token=name) for name in said)
            told, found = set[str](), revocations.changes(None)
            while found.entries:
                told |= {entry.name for entry in found.entries}
                found = revocations.changes(found.cursor)
            assert told >= set(said)


def test_a_server_without_memory(own: RedisServer, make: Make) -> None:
    """Nothing is evicted, and nothing is done in part."""
    revocations = make(own)
    present(revocations, 0)
    present(revocations, 1)
    cursor = revocations.changes(None).cursor
    own.tell("CONFIG", "SET", "maxmemory", 1)
    for call in (
        lambda: present(revocations, 2),
        lambda: present(revocations, 0),
        lambda: revocations.revoke_token(ISSUER, "x"),
        lambda: revocations.start_family(ISSUER, "alice", alone=True),
    ):
        with pytest.raises(redis.ResponseError):
            call()
    assert not revoked(revocations, token="x", session=FAMILY.session, subject="alice")
    own.tell("CONFIG", "SET", "maxmemory", 0)
    assert revocations.changes(cursor).entries == ()
    assert revocations.current(FAMILY) == 2
    assert present(revocations, 2).answer == "advanced"


def test_a_log_that_became_someone_elses(server: RedisServer, make: Make) -> None:
    """A write that cannot be told to readers is not done at all."""
    revocations = make(server)
    present(revocations, 0)
    server.tell("SET", "{jwtconnect_mw}:log", "theirs")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        revocations.revoke_token(ISSUER, "x")
    assert not revoked(revocations, token="x")
    server.tell("UNLINK", "{jwtconnect_mw}:log")
    revocations.revoke_token(ISSUER, "x")
    assert [entry.name for entry in revocations.changes(None).entries] == ["x"]


def test_a_primary_that_is_demoted(own: RedisServer, make: Make) -> None:
    """Its name may lead to another server by now: no connection to this one is kept."""
    revocations = make(own)
    present(revocations, 0)
    before = own.tell("INFO", "stats")["total_connections_received"]
    own.tell("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(redis.ResponseError, match="read only"):
        present(revocations, 1)
    own.tell("REPLICAOF", "NO", "ONE")
    assert present(revocations, 1).answer == "advanced"
    assert own.tell("INFO", "stats")["total_connections_received"] == before + 4  # three of them are this test's


@pytest.mark.parametrize("how", ["demoted", "cut off"])
def test_the_feed_of_a_server_that_may_not_write(own: RedisServer, make: Make, how: str) -> None:
    """It does not know what is new, so a copy that follows it is not fresh. The connection is given up."""
    revocations = make(own)
    revocations.revoke_token(ISSUER, "x")
    cursor = revocations.changes(None).cursor
    written = own.tell("INFO", "replication")["master_repl_offset"]
    assert revocations.changes(cursor).entries == ()
    assert own.tell("INFO", "replication")["master_repl_offset"] == written  # to ask replicates nothing
    if how == "demoted":
        own.tell("REPLICAOF", "127.0.0.1", "1")
    else:
        own.tell("CONFIG", "SET", "min-replicas-to-write", 1)
    before = own.tell("INFO", "stats")["total_connections_received"]
    for _ in range(2):
        with pytest.raises(redis.ResponseError):
            revocations.changes(cursor)
        with pytest.raises(redis.ResponseError):
            revocations.changes(cursor, wait=LIMIT)
    assert (
        own.tell("INFO", "stats")["total_connections_received"] == before + 4
    )  # the first was there, the last is ours
    if how == "demoted":
        own.tell("REPLICAOF", "NO", "ONE")
    else:
        own.tell("CONFIG", "SET", "min-replicas-to-write", 0)
    assert revocations.changes(cursor).entries == ()


@pytest.mark.parametrize("how", ["demoted", "cut off"])
def test_a_server_that_may_not_write_tells_nothing(own: RedisServer, make: Make, how: str) -> None:
    """Others may have taken its place, and know what was revoked since. Also where no write would be needed."""
    revocations = make(own)
    present(revocations, 0)
    revocations.revoke_token(ISSUER, "x")
    calls: list[Callable[[], object]] = [
        lambda: revoked(revocations, token="x"),
        lambda: revoked(revocations, token="other"),
        lambda: present(revocations, 0),
        lambda: revocations.current(FAMILY),
        lambda: revocations.start_family(ISSUER, "alice"),
        lambda: revocations.revoke_token(ISSUER, "x"),
        lambda: revocations.purge(NOW),
    ]
    if how == "demoted":
        own.tell("REPLICAOF", "127.0.0.1", "1")
    else:
        own.tell("CONFIG", "SET", "min-replicas-to-write", 1)
    for call in calls:
        with pytest.raises(redis.ResponseError):
            call()
    if how == "demoted":
        own.tell("REPLICAOF", "NO", "ONE")
    else:
        own.tell("CONFIG", "SET", "min-replicas-to-write", 0)
    for call in calls:
        call()


def test_an_answer_that_changes_nothing_is_confirmed_too(own: RedisServer, tmp_path: Path, make: Make) -> None:
    """It rests on writes that replicas may not have: of another caller, whom that was told."""
    own.tell("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    with running(Path(own.program).name.split("-")[0], tmp_path, "--replicaof", "127.0.0.1", str(own.port)) as replica:
        with own.client() as client:
            client.set("x", 1)
            assert client.wait(1, int(LIMIT * 1000)) == 1
        writer, asker = make(own, wait_replicas=1), make(own, wait_replicas=1, timeout=0.4)
        asks: list[Callable[[], object]] = [
            lambda: present(asker, 0),
            lambda: asker.revoke_token(ISSUER, "x", expires_at=NOW),
            lambda: asker.revoke_subject(ISSUER, "bob", before=NOW, expires_at=NOW),
            lambda: asker.start_family(ISSUER, "carol"),
            lambda: present(asker, 5, family=replace(FAMILY, session="revoked")),
        ]
        writer.revoke_session(ISSUER, "revoked", expires_at=NOW)
        for ask in asks:
            ask()
        replica.process.send_signal(signal.SIGSTOP)
        try:
            for ask in asks:
                with pytest.raises(redis.TimeoutError):
                    ask()
        finally:
            replica.process.send_signal(signal.SIGCONT)


def test_replicas_that_must_confirm(own: RedisServer, tmp_path: Path, make: Make) -> None:
    """The second list wants more than there are: what it wrote is there, but it says that this is not safe."""
    own.tell("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    with running(Path(own.program).name.split("-")[0], tmp_path, "--replicaof", "127.0.0.1", str(own.port)) as replica:
        with own.client() as client:
            client.set("x", 1)
            assert client.wait(1, int(LIMIT * 1000)) == 1
        careful, vain = make(own, wait_replicas=1), make(own, wait_replicas=2, timeout=0.2)
        own.tell("SCRIPT", "FLUSH")
        assert present(careful, 0).answer == "advanced"
        assert replica.tell("HGET", "{jwtconnect_mw}:data", "#epoch") is not None
        with pytest.raises(redis.TimeoutError, match="not confirmed"):
            present(vain, 1)
        assert vain.current(FAMILY) == 2  # what only reads does not wait
        assert present(careful, 1).answer == "again"
        own.tell("ACL", "SETUSER", "default", "-wait")
        with pytest.raises(redis.exceptions.NoPermissionError):
            careful.revoke_token(ISSUER, "x")
        own.tell("SET", "{other}:data", "theirs")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            present(make(own, wait_replicas=1, prefix="other"), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_connections_of_its_own(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    present(revocations, 0)
    client = revocations._server._client

    def work() -> list[object]:
        answers: list[object] = [present(revocations, 0).answer, revoked(revocations, token="x")]
        answers.append(revocations._server._client is not client)
        revocations.close()
        return answers

    assert [Child(work).result() for _ in range(2)] == [["again", False, True]] * 2
    assert present(revocations, 1).answer == "advanced"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_amid_calls_of_other_threads(server: RedisServer, make: Make) -> None:
    """redis-py's locks, and ours, may be held by a thread that the child does not have."""
    revocations = make(server)
    pool = revocations._server._client.connection_pool
    with revocations._calls._lock, pool._fork_lock, getattr(pool, "_lock", nullcontext()):  # not all versions have both
        assert Child(lambda: [present(revocations, 0).answer]).result() == ["advanced"]
    assert present(revocations, 1).answer == "advanced"


def test_closing(server: RedisServer, make: Make) -> None:
    revocations = make(server)
    with closing(revocations):
        present(revocations, 0)
    assert present(revocations, 0).answer == "again"


def connections(server: RedisServer) -> int:
    """But our own."""
    return len(server.tell("CLIENT", "LIST", "TYPE", "normal").splitlines()) - 1


def test_closing_closes_all(server: RedisServer, make: Make) -> None:
    until(lambda: connections(server) == 0)
    revocations = make(server)
    together([partial(present, revocations, 0)] * 20)
    assert connections(server) > 0
    gc.disable()
    try:
        revocations.close()
        until(lambda: connections(server) == 0)
    finally:
        gc.enable()


def test_a_refusal_holds_no_connection(own: RedisServer, make: Make) -> None:
    revocations = make(own)
    own.tell("CONFIG", "SET", "min-replicas-to-write", 1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            with pytest.raises(redis.ResponseError):
                revocations.changes(None)
        until(lambda: connections(own) == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["closed", "refused"])
def test_connections_that_are_given_up_while_others_use_them(own: RedisServer, make: Make, how: str) -> None:
    """By whoever closes the list, or is told that the server may not write: no other thread notices."""
    revocations = make(own)
    revocations.revoke_token(ISSUER, "x")
    if how == "refused":
        own.tell("CONFIG", "SET", "min-replicas-to-write", 1)
    done = threading.Event()

    def look() -> int:
        count = 0
        while not done.is_set():
            assert revocations._server._ask(lambda client: client.ping())
            count += 1
        return count

    def give_up() -> int:
        try:
            for _ in range(100):
                if how == "closed":
                    revocations.close()
                else:
                    with pytest.raises(redis.ResponseError):
                        revocations.changes(None)
        finally:
            done.set()
        return 1

    assert all(together([*[look] * 8, give_up]))
