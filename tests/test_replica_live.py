"""4 gunicorn and 4 uvicorn workers share one list: what is revoked at one of them is honoured at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jwtconnect_mw.revocation.replica import MAX_STALENESS

from .kit import jwks, token
from .live.hub import Hub, Worker, propagate
from .live.raw import exchange, request
from .live.servers import Running, Server, started
from .redis_kit import KINDS, RedisServer
from .redis_kit import running as redis_running

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
SERVERS = {
    "gunicorn": Server("gunicorn --workers 4 --bind fd://{fd} {module}:wsgi", workers=4, keeps_alive=False),
    "uvicorn": Server("uvicorn --lifespan on --workers 4 --fd {fd} {module}:asgi", asgi=True, workers=4),
}


class Fleet:
    """The servers and their workers: 4 of the first, then 4 of the second."""

    def __init__(self, running: list[Running], workers: list[Worker], server_of_list: RedisServer | None) -> None:
        self.running, self.workers, self.server_of_list = running, workers, server_of_list

    def statuses(self, path: str = "/", name: str | None = None) -> set[int]:
        """Of many requests to each server; a token is sent if it has a name."""
        now = int(time.time())
        fields = []
        if name is not None:
            fields.append("Authorization: Bearer " + token({"jti": name, "iat": now, "exp": now + 600}))
        asked = request(path, *fields, close=True)
        # Each over a connection of its own, so that others of the workers answer.
        found = [exchange(server.connect(), asked) for server in self.running for _ in range(20)]
        return {answer.status for answers in found for answer in answers}


@pytest.fixture(scope="module", params=["sqlite", *KINDS])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    (folder / "jwks.json").write_text(json.dumps(jwks()))
    with ExitStack() as stack:
        hub, server_of_list = stack.enter_context(Hub()), None
        how = {"LIVE_HUB": str(hub.port), "LIVE_LIST": str(folder / "revoked.db")}
        if request.param != "sqlite":
            server_of_list = stack.enter_context(redis_running(request.param, folder))
            how["LIVE_LIST"] = server_of_list.url
        running, workers = [], []
        for name, server in SERVERS.items():
            one = started(name, folder, "tests.live.sharing", server=server, **how)
            running.append(stack.enter_context(one))
            workers += hub.wait_for(server.workers)
        for worker in workers:
            assert worker.ask("sync")
        yield Fleet(running, workers, server_of_list)
        for server in running:
            print(server.output())


def test_each_worker_is_ready(fleet: Fleet) -> None:
    assert len({worker.pid for worker in fleet.workers}) == 8
    assert {worker.ask("health")["state"] for worker in fleet.workers} == {"fresh"}
    assert fleet.statuses("/health") == {200}


@pytest.mark.parametrize("revoking", [0, 3, 4, 7])
def test_a_revocation_at_one_is_honoured_at_all(fleet: Fleet, revoking: int) -> None:
    name = f"token of {revoking}"
    assert fleet.statuses(name=name) == {200}
    took = propagate(fleet.workers, fleet.workers[revoking], name)
    assert len(took) == 8
    assert max(took) < MAX_STALENESS
    assert fleet.statuses(name=name) == {401}
    assert fleet.statuses(name="other") == {200}


def test_requests_make_no_call_to_the_server(fleet: Fleet) -> None:
    """As it counts itself: none at all, of any kind, where no thread reads the feed. The last test of a fleet."""
    if fleet.server_of_list is None:
        pytest.skip("a file does not count; see test_replica.py")
    for worker in fleet.workers:
        worker.begin("close")
    assert {worker.end() for worker in fleet.workers} == {"closed"}
    with fleet.server_of_list.client() as client:
        before = client.info("stats")["total_commands_processed"]
        assert fleet.statuses(name="any") == {200}
        after = client.info("stats")["total_commands_processed"]
    assert after - before == 1  # that which asked for the first number
