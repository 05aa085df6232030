"""The list in a cluster of three servers: whichever of them the URL names, the one that has the slot is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import redis

from jwtconnect_mw.revocation import RedisRevocationList, ReplicatedRevocationList, Step
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW
from .redis_kit import KINDS, Cluster, RedisServer, begin, cluster
from .remote import LIMIT, until

pytestmark = pytest.mark.live

KEYS = [f"{{jwtconnect_mw}}:{name}" for name in ("data", "ends", "order", "log")]


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(request.param, tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def servers(shared: Cluster) -> Cluster:
    for server in shared.servers:
        server.tell("FLUSHALL")
    begin(shared.servers[0].url, NOW)
    return shared


Make = Callable[..., RedisRevocationList]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[RedisRevocationList] = []

    def make(server: RedisServer | str, **options: Any) -> RedisRevocationList:
        url = server if isinstance(server, str) else server.url
        made.append(RedisRevocationList(url, **{"clock": ManualClock(NOW), "timeout": LIMIT, **options}))
        return made[-1]

    yield make
    for revocations in made:
        revocations.close()


def others(servers: Cluster) -> list[RedisServer]:
    home = servers.home(KEYS[0])
    return [server for server in servers.servers if server is not home]


def scripts(server: RedisServer) -> Any:
    """That it ran or refused to run."""
    with server.client() as client:
        return client.info("commandstats").get("cmdstat_evalsha")


def test_any_of_its_servers_will_do(servers: Cluster, make: Make) -> None:
    """All keys of a list are at one of them, which is then asked without a detour."""
    lists = [make(server) for server in servers.servers]
    for number, revocations in enumerate(lists):
        assert present(revocations, number).answer == "advanced"
        revocations.revoke_token(ISSUER, f"{number}")
    for one in lists:
        assert [revoked(one, token=f"{number}") for number in range(3)] == [True] * 3
        found = one.changes(None)
        assert {entry.name for entry in found.entries} == {"0", "1", "2"}
        assert one.changes(found.cursor, wait=0.01).entries == ()
    assert set(servers.home(KEYS[0]).tell("KEYS", "*")) == {key.encode() for key in KEYS}
    passed = others(servers)
    before = [scripts(server) for server in passed]
    assert [present(one, 3).answer for one in lists] == ["advanced", "again", "again"]
    assert [scripts(server) for server in passed] == before


def test_many_who_are_sent_on_at_once(servers: Cluster, make: Make) -> None:
    for server in others(servers):
        revocations = make(server)
        steps = together([partial(present, revocations, 0)] * 50)
        assert {step.answer for step in steps} <= {"advanced", "again"}


def test_a_slot_that_moves(servers: Cluster, make: Make) -> None:
    lists = [make(server) for server in servers.servers]
    for revocations in lists:
        assert not revoked(revocations, token="x")
    cursor = lists[0].changes(None).cursor
    lists[0].revoke_token(ISSUER, "x")
    for number in range(3):
        servers.move(KEYS[0], KEYS, others(servers)[0])
        assert all(revoked(one, token="x") for one in lists)
        assert present(lists[0], number).answer == "advanced"
        assert [entry.name for entry in lists[1].changes(cursor).entries] == ["x"]
    assert present(lists[2], 3, grace=0.0).answer == "advanced"


def test_a_server_that_fails_and_comes_back(servers: Cluster, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A cluster without it is down. A copy goes on, and is like the list again by itself."""
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    home, other = servers.home(KEYS[0]), others(servers)[0]
    revocations = make(other, timeout=0.5)
    assert present(revocations, 0).answer == "advanced"
    with closing(ReplicatedRevocationList(make(other, timeout=0.5), clock=ManualClock(NOW))) as replica:
        replica.revoke_token(ISSUER, "x")
        assert replica.sync(LIMIT)
        home.kill()
        for _ in range(3):
            with pytest.raises(redis.RedisError):
                present(revocations, 1)
            assert revoked(replica, token="x")
        home.start()
        servers.settle()
        assert present(revocations, 1).answer == "advanced"
        revocations.revoke_token(ISSUER, "y")
        until(lambda: revoked(replica, token="y"))
    assert caplog.text.count("cannot be read") == 1


def test_connections_to_it_are_cut(servers: Cluster, make: Make) -> None:
    home, other = servers.home(KEYS[0]), others(servers)[0]
    revocations = make(other)
    for number in range(3):
        assert present(revocations, number, grace=0.0).answer == "advanced"
        home.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_servers_that_send_from_one_to_the_other(servers: Cluster, make: Make) -> None:
    home, other = servers.home(KEYS[0]), others(servers)[0]
    revocations = make(other)
    assert present(revocations, 0).answer == "advanced"
    home.tell("FLUSHALL")
    slot, name = home.tell("CLUSTER", "KEYSLOT", KEYS[0]), home.tell("CLUSTER", "MYID")
    home.tell("CLUSTER", "SETSLOT", slot, "NODE", other.tell("CLUSTER", "MYID"))
    try:
        with pytest.raises(redis.ResponseError, match=str(slot)):
            present(revocations, 0)
    finally:
        home.tell("CLUSTER", "SETSLOT", slot, "NODE", name)
    assert present(revocations, 0) == Step("unknown")


def test_what_else_is_said_of_moving(make: Make) -> None:
    """Older versions of redis-py have no class for it. No host: the one that was asked."""
    server = make("redis://list.example:1")._server
    named = server._client

    def follow(client: redis.Redis, said: str) -> tuple[bool, Any, Any]:
        followed, place = server._follow(client, redis.ResponseError(said)), server._client.connection_pool
        return followed, place.connection_kwargs["host"], place.connection_kwargs.get("port")

    assert follow(named, "MOVED 7 :2") == (True, "list.example", 2)
    assert follow(named, "MOVED 7 other.example:3") == (True, "list.example", 2)  # another thread was sooner
    assert follow(server._client, "MOVED 7 ::1:4") == (True, "::1", 4)
    assert follow(server._client, "ERR other.example:5") == (False, "::1", 4)
    server._leave(named)
    assert server._client is not named
    server._leave(server._client)
    assert server._client is named
    named = server._client
    assert follow(named, "READONLY") == (False, "list.example", 1)
    fresh = server._client
    assert fresh is not named
    assert follow(named, "READONLY") == (False, "list.example", 1)
    assert server._client is fresh  # another thread was sooner
    unix = make("unix:///list.sock")._server
    assert not unix._follow(unix._client, redis.ResponseError("MOVED 7 other.example:2"))
