"""The servers: how each is started on a socket of ours, ended by its own pid, and what it wrote meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from jwtconnect_mw.testing import FakeIssuer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds for a server to start, answer or end


@dataclass(frozen=True)
class Server:
    """``command``: with {fd} of a listening socket, or {port} of one that is only held, where a server takes no fd."""

    command: str
    asgi: bool = False
    workers: int = 1
    denial: bool = False
    """Whether it offers websocket.http.response."""
    keeps_alive: bool = True
    long_headers: bool = True
    """Whether a field of 15 KB reaches the application."""
    drops_octets: bool = False
    """Whether a field with an octet above 127 is left out altogether."""


SERVERS = {
    "gunicorn": Server(
        "gunicorn --preload --workers 2 --bind fd://{fd} {module}:wsgi",
        workers=2,
        keeps_alive=False,
        long_headers=False,
    ),
    "waitress": Server("tests.live.waitress_on {fd} {module}"),
    "granian-wsgi": Server(
        "granian --interface wsgi --backpressure 8 --port {port} {module}:wsgi",
        drops_octets=True,
    ),
    "gunicorn-uvicorn": Server(
        "gunicorn --preload --workers 2 -k uvicorn_worker.UvicornWorker --bind fd://{fd} {module}:asgi",
        asgi=True,
        workers=2,
        denial=True,
    ),
    "uvicorn": Server("uvicorn --lifespan on --fd {fd} {module}:asgi", asgi=True, denial=True),
    "hypercorn": Server("hypercorn --workers 0 --bind fd://{fd} {module}:asgi", asgi=True, denial=True),
    "gunicorn-asgi": Server(
        "gunicorn --worker-class asgi --bind fd://{fd} {module}:asgi",
        asgi=True,
        long_headers=False,
    ),
    "granian-asgi": Server("granian --interface asgi --port {port} {module}:asgi", asgi=True, denial=True),
}


@dataclass
class Running:
    """A server that answers. ``shown`` is how much of its output was given out already."""

    name: str
    server: Server
    port: int
    issuer: FakeIssuer
    process: subprocess.Popen[bytes]
    log: Path
    shown: int = field(default=0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """What it wrote since the last time."""
        text = self.log.read_bytes()[self.shown :]
        self.shown += len(text)
        return text.decode(errors="replace")

    def connect(self) -> socket.socket:
        """A connection. Until the server accepts it, it stands in the queue of our socket."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: see start_new_session
            self.process.wait()
            raise AssertionError(f"{self.name} did not end\n{self.output()}") from None


@contextmanager
def started(
    name: str, folder: Path, module: str = "tests.live.app", port: int = 0, **environ: str
) -> Iterator[Running]:
    """The server, from start to end, with an issuer of its own. ``module`` has the applications wsgi and asgi."""
    server, log = SERVERS[name], folder / f"{name}.log"
    with FakeIssuer() as issuer, socket.socket() as held, log.open("ab") as output:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # one that is only held lets the server's in
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        takes_fd = "{fd}" in server.command
        if takes_fd:
            held.listen(128)
        held.set_inheritable(True)
        port = held.getsockname()[1]
        command = server.command.format(fd=held.fileno(), port=port, module=module)
        process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=ROOT,
            env={
                **os.environ,
                "LIVE_ISSUER": issuer.url,
                "LIVE_URL": f"http://127.0.0.1:{port}",
                "HOME": str(folder),
                "XDG_RUNTIME_DIR": str(folder),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[held.fileno()] if takes_fd else [],
            start_new_session=True,
        )
        running = Running(name, server, port, issuer, process, log)
        try:
            if takes_fd:
                held.close()  # so that a server that died refuses connections instead of leaving them in the queue
            else:
                _until_it_listens(running)
            yield running
        finally:
            running.end()


def _until_it_listens(running: Running) -> None:
    pause = Event()
    for _ in range(int(PATIENCE / 0.02)):
        try:
            return running.connect().close()
        except ConnectionRefusedError:
            pause.wait(0.02)
        if running.process.poll() is not None:
            break
    raise AssertionError(f"{running.name} does not listen\n{running.output()}")
