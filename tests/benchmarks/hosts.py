"""One in-process request: what a server hands to an application, and how the answer is consumed.

Every request has an environ or a scope of its own, with an Authorization value that no one has hashed or seen before:
a str or bytes shared between requests would make cache look-ups look cheaper than they are behind a server.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

One = Callable[[Any], object]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

HEADERS = [
    (b"host", b"api.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    (b"accept", b"application/json"),
    (b"accept-language", b"en-GB,en;q=0.8,de;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"origin", b"https://app.example"),
    (b"x-request-id", b"0c5c1f4e-2f5e-4be4-8d86-5a3c1f0f3f5e"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"connection", b"keep-alive"),
]
ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/orders/17",
    "QUERY_STRING": "",
    "SERVER_NAME": "api.example",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "51000",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(b""),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    **{f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in HEADERS},
}
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 80),
    "client": ("127.0.0.1", 51000),
    "scheme": "http",
    "root_path": "",
    "method": "GET",
    "path": "/orders/17",
    "raw_path": b"/orders/17",
    "query_string": b"",
    "state": {},
}


def environ(value: str) -> dict[str, Any]:
    """`value` is the whole Authorization value."""
    return {**ENVIRON, "HTTP_AUTHORIZATION": value.encode("latin-1").decode("latin-1")}


def scope(value: str) -> dict[str, Any]:
    headers = [*HEADERS[:5], (b"authorization", value.encode("latin-1")), *HEADERS[5:]]
    return {**SCOPE, "headers": headers, "state": {}}


def wsgi_ok(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def asgi_ok(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


class Status:
    """The status of the last answer, so that a benchmark can check that it times what it says."""

    last = 0


def call_wsgi(app: WSGIApp) -> One:
    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        Status.last = int(status[:3])
        return write

    def write(data: bytes) -> None:
        raise AssertionError("write() is not expected")

    def one(environ: dict[str, Any]) -> None:
        answer = app(environ, start_response)
        for _ in answer:
            pass
        close = getattr(answer, "close", None)
        if close is not None:
            close()

    return one


def call_asgi(app: ASGIApp) -> One:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if "status" in message:
            Status.last = message["status"]

    def one(scope: dict[str, Any]) -> None:
        step: Any = app(scope, receive, send)
        try:
            step.send(None)
        except StopIteration:
            return
        raise AssertionError("the application waited for something")

    return one
