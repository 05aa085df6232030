"""One request, through WSGI and through ASGI, with the same answer type: what every case is run through."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from wsgiref.validate import validator

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def seen(token: Any, claims: Any) -> bytes:
    """What the protected applications answer: the claims that reached them."""
    return json.dumps({"authenticated": token is not None, "claims": claims}).encode()


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [seen(environ["jwtconnect_mw.token"], environ["jwtconnect_mw.claims"])]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = seen(scope["jwtconnect_mw.token"], scope["jwtconnect_mw.claims"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def wsgi_environ(headers: Headers, method: str, path: str) -> dict[str, Any]:
    """An environ as servers make it: repeated fields are joined with a comma."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        variable = "HTTP_" + name.upper().replace("-", "_")
        text = value.decode("latin-1")
        environ[variable] = f"{environ[variable]},{text}" if variable in environ else text
    return environ


def call_wsgi(app: Any, headers: Headers, method: str = "GET", path: str = "/") -> Reply:
    """Call a WSGI callable under wsgiref's validator."""
    got: list[Any] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        got[:] = [int(status[:3]), {name.lower(): value for name, value in fields}]
        return lambda _: None

    chunks = validator(app)(wsgi_environ(headers, method, path), start_response)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()
    return Reply(got[0], got[1], body)


def call_asgi(app: Any, headers: Headers, method: str = "GET", path: str = "/") -> Reply:
    """Call an ASGI 3 callable."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value) for name, value in headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
    }

    to_receive = [{"type": "http.request", "body": b"", "more_body": False}]
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if to_receive:
            return to_receive.pop()
        await answered.wait()  # the client waits for its answer before it goes
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    asyncio.run(app(scope, receive, send))
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))


def through_wsgi(auth: BearerAuth, headers: Headers, method: str = "GET", path: str = "/") -> Reply:
    return call_wsgi(WsgiMiddleware(wsgi_app, auth), headers, method, path)


def through_asgi(auth: BearerAuth, headers: Headers, method: str = "GET", path: str = "/") -> Reply:
    return call_asgi(AsgiMiddleware(asgi_app, auth), headers, method, path)


ADAPTERS: dict[str, Callable[..., Reply]] = {"wsgi": through_wsgi, "asgi": through_asgi}
