"""One small API, written for WSGI and for ASGI, and what it takes to serve both over real HTTP from threads."""

from __future__ import annotations

import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn

from jwtconnect_mw import AccessToken

HOST = "127.0.0.1"
Message = MutableMapping[str, Any]


def greeting(token: AccessToken) -> bytes:
    return json.dumps({"hello": token.subject, "scopes": sorted(token.scopes)}).encode()


def wsgi_api(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [greeting(environ["jwtconnect_mw.token"])]


async def asgi_api(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": greeting(scope["jwtconnect_mw.token"])})


class Serving(ABC):
    """A server in a thread: a context manager, reached at ``url``."""

    url: str

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End it, and wait for its end."""


class ServeWsgi(Serving):
    """wsgiref's server, one thread for each request. ``port`` 0 is any free one. ``make`` gives the application for
    the URL of the server, because an issuer must know where it is.
    """

    def __init__(self, make: Callable[[str], Any], port: int = 0) -> None:
        self._server = _WsgiServer((HOST, port), _QuietHandler)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._server.set_app(make(self.url))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _WsgiServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As WSGIServer, but without its look-up of the host's name, which may ask a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


class ServeAsgi(Serving):
    """uvicorn. ``port`` 0 is any free one. Returns when it is ready; raises RuntimeError if it does not get so far."""

    def __init__(self, app: Any, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
        except OSError:
            self._socket.close()
            raise
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                self._socket.close()
                raise RuntimeError("uvicorn did not start")
            time.sleep(0.01)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
