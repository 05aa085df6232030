"""CORS middleware belongs outside ours: a page reads a 401 only with CORS headers, and a preflight has no token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware as AsgiBearer
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiBearer

from .adapters import Reply, asgi_app, call_asgi, call_wsgi, wsgi_app
from .cases import bearer
from .kit import auth, token

ORIGIN = "https://app.example"
CORS = {"allow_origins": [ORIGIN], "allow_methods": ["GET", "PUT"], "allow_headers": ["Authorization"]}


class WsgiCors:
    """What CORS packages for WSGI do, and no more."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        allowed = [("Access-Control-Allow-Origin", ORIGIN), ("Vary", "Origin")]
        if environ.get("HTTP_ORIGIN") != ORIGIN:
            return self.app(environ, start_response)
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            start_response("204 No Content", [*allowed, ("Access-Control-Allow-Headers", "Authorization")])
            return []
        return self.app(environ, lambda status, headers, *more: start_response(status, headers + allowed, *more))


def starlette(order: list[Middleware]) -> Starlette:
    return Starlette(routes=[Route("/", PlainTextResponse("hello"))], middleware=order)


def added(order: list[Middleware]) -> Starlette:
    """By add_middleware, where the one that is added last stands outside."""
    app = starlette([])
    for middleware in reversed(order):
        app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
    return app


def both(auth: BearerAuth) -> list[Middleware]:
    """The right order: the first stands outside."""
    return [Middleware(CORSMiddleware, **CORS), Middleware(AsgiBearer, auth=auth)]


Call = Callable[..., Reply]
OUTSIDE: dict[str, tuple[Call, Callable[[BearerAuth], Any]]] = {
    "asgi": (call_asgi, lambda auth: CORSMiddleware(AsgiBearer(asgi_app, auth), **CORS)),
    "starlette": (call_asgi, lambda auth: starlette(both(auth))),
    "add_middleware": (call_asgi, lambda auth: added(both(auth))),
    "wsgi": (call_wsgi, lambda auth: WsgiCors(WsgiBearer(wsgi_app, auth))),
}
INSIDE: dict[str, tuple[Call, Callable[[BearerAuth], Any]]] = {
    "asgi": (call_asgi, lambda auth: AsgiBearer(CORSMiddleware(asgi_app, **CORS), auth)),
    "starlette": (call_asgi, lambda auth: starlette(both(auth)[::-1])),
    "add_middleware": (call_asgi, lambda auth: added(both(auth)[::-1])),
    "wsgi": (call_wsgi, lambda auth: WsgiBearer(WsgiCors(wsgi_app), auth)),
}
FROM = [("Origin", ORIGIN.encode())]
PREFLIGHT = [
    *FROM,
    ("Access-Control-Request-Method", b"GET"),
    ("Access-Control-Request-Headers", b"authorization"),
]
GOOD, BAD = bearer(token()), bearer(token({"exp": 5, "iat": 1}))


def allows(reply: Reply) -> bool:
    """Whether a browser lets a page of ORIGIN see this answer."""
    return reply.headers.get("access-control-allow-origin") == ORIGIN


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(("headers", "status"), [(GOOD, 200), ([], 401), (BAD, 401), (bearer("a b"), 400)])
def test_outside_every_answer_can_be_read_by_the_browser(name: str, headers: Any, status: int) -> None:
    call, build = OUTSIDE[name]
    reply = call(build(auth()), [*FROM, *headers])
    assert (reply.status, allows(reply)) == (status, True)
    assert ("www-authenticate" in reply.headers) is (status != 200)


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_the_preflight_passes_without_a_token(name: str) -> None:
    call, build = OUTSIDE[name]
    reply = call(build(auth()), PREFLIGHT, "OPTIONS")
    assert (reply.status in (200, 204), allows(reply)) == (True, True)
    assert "authorization" in reply.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_a_plain_options_request_still_needs_a_token(name: str) -> None:
    call, build = OUTSIDE[name]
    assert call(build(auth()), FROM, "OPTIONS").status == 401


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize(("preflight", "passes"), [(False, False), (True, True)])
def test_inside_the_preflight_fails_and_the_401_is_hidden(name: str, preflight: bool, passes: bool) -> None:
    """``preflight=True`` saves the preflight; the refusal itself stays unreadable to the page."""
    call, build = INSIDE[name]
    app = build(auth(preflight=preflight))
    asked = call(app, PREFLIGHT, "OPTIONS")
    assert (asked.status != 401, allows(asked)) == (passes, passes)
    refused = call(app, FROM)
    assert (refused.status, allows(refused)) == (401, False)
    assert allows(call(app, [*FROM, *GOOD]))


@pytest.mark.parametrize("name", OUTSIDE)
def test_another_origin_is_not_allowed_by_any_of_this(name: str) -> None:
    call, build = OUTSIDE[name]
    reply = call(build(auth()), [("Origin", b"https://evil.example")])
    assert (reply.status, allows(reply)) == (401, False)
