"""A line from the test to each worker process, so that it can say which of them does what."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from .servers import PATIENCE


class Worker:
    """A worker process that has called. ``begin`` and ``end`` are the two halves of ``ask``."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection, self._lines = connection, connection.makefile("r")
        hello = self.end()
        self.pid: int = hello["pid"]

    def ask(self, what: str, **how: Any) -> Any:
        self.begin(what, **how)
        return self.end()

    def begin(self, what: str, **how: Any) -> None:
        self._connection.sendall(json.dumps({"what": what, **how}).encode() + b"\n")

    def end(self) -> Any:
        return json.loads(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


class Hub:
    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(PATIENCE)
        self.port: int = self._listening.getsockname()[1]
        self.workers: list[Worker] = []

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()
        self._listening.close()

    def wait_for(self, count: int) -> Sequence[Worker]:
        """That many more workers."""
        found = [Worker(self._listening.accept()[0]) for _ in range(count)]
        self.workers += found
        return found


def propagate(workers: Sequence[Worker], revoking: Worker, token: str) -> list[float]:
    """Seconds after which each worker honours the revocation of ``token`` by one of them, counted from its call."""
    for worker in workers:
        worker.begin("watch", token=token)
    for worker in workers:
        assert worker.end() == "watching"
    start = revoking.ask("revoke", token=token)
    return [worker.end() - start for worker in workers]
