"""The ASGI adapter: http, websocket and lifespan, in front of applications that use all of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from asgiref.wsgi import WsgiToAsgi

from jwtconnect_mw import AccessToken, BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

from .adapters import asgi_app, call_asgi, wsgi_app
from .cases import bearer
from .frameworks import django_app
from .kit import auth, jwks, policy, token
from .remote import LIMIT

GOOD = bearer(token())
TOKEN, CLAIMS = "jwtconnect_mw.token", "jwtconnect_mw.claims"
JWKS_URL = "https://as.example/jwks"
CONNECT = {"type": "websocket.connect"}
Sent = list[dict[str, Any]]


def scope_of(kind: str = "http", headers: Any = GOOD, **more: Any) -> dict[str, Any]:
    raw = [(name.lower().encode(), value) for name, value in headers]
    scope = {"type": kind, "asgi": {"version": "3.0"}, "path": "/", "headers": raw}
    return {**scope, **({"method": "GET"} if kind == "http" else {}), **more}


async def run(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> Sent:
    """What ``app`` sends; it may receive just these messages."""
    sent, left = [], list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert left == []
    return sent


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application was called")


def reached(protected: BearerAuth, scope: dict[str, Any]) -> dict[str, Any]:
    """The scope that reaches the application."""
    caught: list[dict[str, Any]] = []

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        caught.append(scope)

    asyncio.run(BearerMiddleware(inner, protected)(scope, None, None))
    (inner_scope,) = caught
    return inner_scope


# --- what is handed on ---


def test_servers_see_an_asgi_3_application() -> None:
    assert inspect.iscoroutinefunction(BearerMiddleware(asgi_app, auth()).__call__)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("settings", "changes", "subject"),
    [
        ({}, {}, "alice"),
        ({"public": ["/public"]}, {"path": "/public/x"}, None),
        ({"optional": "missing"}, {"headers": []}, None),
        ({"optional": "invalid"}, {"headers": [(b"authorization", b"Bearer x")]}, None),
    ],
)
def test_the_scope_is_a_copy_in_which_our_keys_are_ours(
    kind: str, settings: dict[str, Any], changes: dict[str, Any], subject: str | None
) -> None:
    state = {"database": object()}
    forged = {TOKEN: "forged", CLAIMS: {"sub": "mallory"}, "user": "mallory", "auth": "mallory", "state": state}
    outer = {**scope_of(kind), **forged, **changes}
    before = dict(outer)
    inner = reached(auth(**settings), outer)
    assert outer == before
    ours = {TOKEN, CLAIMS, "user", "auth"}
    assert {name: inner[name] for name in inner if name not in ours} == {
        name: before[name] for name in before if name not in ours
    }
    assert inner["state"] is state
    assert inner["user"] is inner["auth"]
    assert (inner["user"].is_authenticated, inner["user"].identity) == (subject is not None, subject or "")
    if subject is None:
        assert (inner[TOKEN], inner[CLAIMS]) == (None, None)
    else:
        assert isinstance(inner[TOKEN], AccessToken)
        assert inner["user"] is inner[TOKEN]
        assert inner[CLAIMS] is inner[TOKEN].claims


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_receive_and_send_are_the_servers_own(kind: str) -> None:
    """So nothing is buffered, delayed or lost on the way, in either direction."""
    given: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        given.append((receive, send))

    async def receive() -> None: ...

    async def send(message: Any) -> None: ...

    scope = {"type": "lifespan"} if kind == "lifespan" else scope_of(kind)
    asyncio.run(BearerMiddleware(inner, auth())(scope, receive, send))
    assert given[0][0] is receive
    assert given[0][1] is send


def test_a_stream_arrives_piece_by_piece() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def inner(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"two"})

        client = ApplicationCommunicator(BearerMiddleware(inner, auth()), scope_of())
        assert (await client.receive_output(LIMIT))["status"] == 200
        assert (await client.receive_output(LIMIT))["body"] == b"one"
        assert await client.receive_nothing()
        go_on.set()
        assert (await client.receive_output(LIMIT))["body"] == b"two"
        await client.wait(LIMIT)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), OSError("the client is gone")])
def test_exceptions_of_the_application_pass(kind: str, error: BaseException) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise error

    async def main() -> None:
        with pytest.raises(type(error)) as caught:
            await BearerMiddleware(inner, auth())({"type": kind} if kind == "lifespan" else scope_of(kind), None, None)
        assert caught.value is error

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["", "HTTP", "http2", "mqtt", "webtransport", "lifespan.startup"])
@pytest.mark.parametrize("settings", [{}, {"optional": "invalid"}, {"public": ["/public"]}])
def test_any_other_scope_type_is_refused(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="only http, websocket and lifespan"):
        asyncio.run(run(BearerMiddleware(never, auth(**settings)), scope_of(kind, path="/public")))


# --- refusals ---

NO_TOKEN: list[Any] = []
TWO, EXPIRED, NO_SCOPE = [*GOOD, *GOOD], bearer(token({"exp": 5, "iat": 1})), bearer(token({"scope": ""}))


@pytest.mark.parametrize(("headers", "status"), [(NO_TOKEN, 401), (TWO, 400), (EXPIRED, 401), (NO_SCOPE, 403)])
def test_a_refusal_by_http_and_by_the_denial_response_of_a_websocket(headers: Any, status: int) -> None:
    app = BearerMiddleware(never, auth(required_scopes=["write"]))
    by_http = asyncio.run(run(app, scope_of("http", headers)))
    denial = {"extensions": {"websocket.http.response": {}}}
    by_websocket = asyncio.run(run(app, scope_of("websocket", headers, **denial), CONNECT))
    assert by_http[0]["status"] == status
    assert json.loads(by_http[1]["body"])["error_description"]
    assert [message.pop("type") for message in by_http] == ["http.response.start", "http.response.body"]
    assert [message.pop("type") for message in by_websocket] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert by_websocket == by_http
    for name, value in by_http[0]["headers"]:
        assert (type(name), type(value), name) == (bytes, bytes, name.lower())


@pytest.mark.parametrize("headers", [NO_TOKEN, TWO, EXPIRED, NO_SCOPE])
@pytest.mark.parametrize("more", [{}, {"extensions": {}}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_without_the_extension_a_websocket_is_closed_by_1008(headers: Any, more: dict[str, Any]) -> None:
    app = BearerMiddleware(never, auth(required_scopes=["write"]))
    (message,) = asyncio.run(run(app, scope_of("websocket", headers, **more), CONNECT))
    assert (message["type"], message["code"]) == ("websocket.close", 1008)


@pytest.mark.parametrize("more", [{}, {"extensions": {"websocket.http.response": {}}}])
def test_a_websocket_whose_client_is_gone_is_not_answered(more: dict[str, Any]) -> None:
    gone = {"type": "websocket.disconnect", "code": 1006}
    assert asyncio.run(run(BearerMiddleware(never, auth()), scope_of("websocket", [], **more), gone)) == []


def test_a_refusal_does_not_wait_for_the_body_of_a_request() -> None:
    assert asyncio.run(run(BearerMiddleware(never, auth()), scope_of(headers=[], method="POST")))[0]["status"] == 401


def test_a_websocket_echoes_behind_a_token() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": scope["user"].identity + text})

    sent = asyncio.run(
        run(BearerMiddleware(inner, auth()), scope_of("websocket"), CONNECT, {"type": "websocket.receive", "text": "!"})
    )
    assert sent[1]["text"] == "alice!"


# --- the mount point ---


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("root", "path", "raw", "free"),
    [
        ("", "/public/x", b"/public/x", True),
        ("", "/public/x", None, True),
        ("/api", "/api/public", b"/api/public", True),
        ("/api", "/public", b"/public", True),  # servers that cut the root_path off, against the specification
        ("/api/v1", "/api/v1/public/x", b"/api/v1/public/x", True),
        ("/", "/public", b"/public", True),
        ("/public", "/public", b"/public", False),
        ("/public", "/public/", b"/public/", False),
        ("/public", "/public/secret", b"/public/secret", False),
        ("/public", "/public/public", b"/public/public", True),
        ("/api", "/apix/public", b"/apix/public", False),
        ("/api", "/apipublic", b"/apipublic", False),
        ("/ap", "/api/public", b"/api/public", False),
        ("/api", "/abc/public", b"/abc/public", False),
        ("/pub", "/public/x", b"/public/x", False),  # not a mount point of this path, but some cut it out there
        ("/api", "/public/api/admin", b"/public/api/admin", False),  # Litestar routes this to /admin
        ("/api", "/api//public", b"/api//public", False),
        ("/api", "/api", b"/api", False),
        ("/api", "/api/../public", b"/api/../public", False),
        ("/api/", "/api/public", b"/api/public", False),  # Django cuts this root_path off, Starlette does not
        ("/public/", "/public/secret", b"/public/secret", False),
        ("/public/", "/public", b"/public", False),
        ("", "/public/secret", b"/public%2fsecret", False),  # one segment to those who route on the raw path
        ("", "/public/secret", b"/public%2Fsecret", False),
        ("", "/public/@me", b"/public/%40me", True),
        ("", "/public/../secret", b"/public/%2e%2e/secret", False),
        ("", "http://evil.example/public", b"http://evil.example/public", False),
        ("", "*", b"*", False),
        ("", "", b"", False),
    ],
)
def test_public_paths_are_below_the_mount_point(kind: str, root: str, path: str, raw: bytes | None, free: bool) -> None:
    more = {} if raw is None else {"raw_path": raw}
    scope = scope_of(kind, [], root_path=root, path=path, extensions={"websocket.http.response": {}}, **more)
    passed: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    messages = [] if free or kind == "http" else [CONNECT]
    sent = asyncio.run(run(BearerMiddleware(inner, auth(public=["/public"])), scope, *messages))
    assert [message["status"] for message in sent if "status" in message] == ([] if free else [401])
    assert len(passed) == free


@pytest.mark.parametrize(
    ("root", "path", "told"),
    [
        ("", "/x", "/x"),
        ("/api", "/api/x", "/x"),
        ("/api", "/api", ""),
        ("/api", "/apix/y", "/apix/y"),
        ("/", "/x", "/x"),
    ],
)
def test_a_refusal_is_told_with_the_path_below_the_mount_point(root: str, path: str, told: str) -> None:
    paths: list[Any] = []
    app = BearerMiddleware(lifespan_app, auth(on_refused=lambda _, context: paths.append(context["path"])))
    asyncio.run(run(app, scope_of("http", [], root_path=root, path=path)))
    assert paths == [told]


# --- lifespan ---


def given_keys(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
    return Fetched(200, {"content-type": "application/json"}, json.dumps(jwks()).encode())


def no_keys(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
    raise FetchError("refused")


async def lifespan_app(scope: Any, receive: Any, send: Any) -> None:
    for phase in "startup", "shutdown":
        assert (await receive())["type"] == f"lifespan.{phase}"
        await send({"type": f"lifespan.{phase}.complete"})


def broken_clock() -> float:
    raise RuntimeError("no time")


@pytest.mark.parametrize(
    ("settings", "state", "logged"),
    [
        ({"fetch": given_keys}, "fresh", []),
        ({"fetch": no_keys}, "missing", ["the keys of 'https://as.example' cannot be had: refused"]),
        ({"fetch": given_keys, "clock": broken_clock}, None, ["the prefetch of keys failed"]),
    ],
)
def test_start_up_fetches_the_keys_and_goes_on_whatever_comes_of_it(
    settings: dict[str, Any], state: str | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "jwtconnect_mw")
    protected = auth(policy(keys=JWKS_URL), **settings)
    states: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if state is not None:
            states.append(protected.health()["https://as.example"]["state"])
        await lifespan_app(scope, receive, send)

    async def main() -> None:
        client = ApplicationCommunicator(BearerMiddleware(inner, protected), {"type": "lifespan", "asgi": {}})
        for phase in "startup", "shutdown":
            await client.send_input({"type": f"lifespan.{phase}"})
            assert (await client.receive_output(LIMIT))["type"] == f"lifespan.{phase}.complete"
        await client.wait(LIMIT)

    asyncio.run(main())
    assert states == ([] if state is None else [state])
    assert [record.message for record in caplog.records] == logged


def test_where_there_is_no_asyncio_loop_start_up_begins_to_fetch_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """As under trio: the middleware itself is not in the way, and says nothing of it."""
    fetched = threading.Event()

    def fetch(*request: Any) -> Fetched:
        fetched.set()
        return given_keys(*request)

    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for protected in (auth(), auth(policy(keys=JWKS_URL), fetch=fetch)):
        start = BearerMiddleware(inner, protected)({"type": "lifespan"}, None, None)
        with pytest.raises(StopIteration):
            start.send(None)
    assert seen == ["lifespan"] * 2
    assert fetched.wait(LIMIT)
    assert caplog.records == []


def test_django_refuses_the_lifespan_and_is_heard() -> None:
    """Servers take this for "not supported" and go on; keys are there all the same."""
    protected = auth(policy(keys=JWKS_URL), fetch=given_keys)
    with django_app.site(), pytest.raises(ValueError, match="not lifespan"):
        asyncio.run(run(django_app.build_asgi(protected), {"type": "lifespan"}))
    assert protected.health()["https://as.example"]["state"] == "fresh"


# --- waiting for keys ---


class Gate:
    """A fetch that stands still until it is let go, and says when it was begun."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        self.begun.set()
        assert self.go.wait(10)
        return given_keys(url, headers, timeout)


def behind(gate: Gate, **settings: Any) -> Callable[..., asyncio.Task[Sent]]:
    """``ask(**changes to the scope)``: a request, in a task of its own."""
    app = BearerMiddleware(asgi_app, auth(policy(keys=JWKS_URL), fetch=gate, **settings))
    return lambda **more: asyncio.ensure_future(run(app, scope_of(**more)))


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def statuses(*tasks: asyncio.Task[Sent]) -> list[int]:
    return [sent[0]["status"] for sent in await asyncio.gather(*tasks)]


def test_the_loop_goes_on_while_a_request_or_the_start_up_waits_for_keys() -> None:
    async def main() -> None:
        gate = Gate()
        app = BearerMiddleware(asgi_app, auth(policy(keys=JWKS_URL), fetch=gate, public=["/public"]))
        start = asyncio.ensure_future(BearerMiddleware(never_mind, app.auth)({"type": "lifespan"}, None, None))
        waiting = asyncio.ensure_future(run(app, scope_of()))
        await settle()
        free = asyncio.ensure_future(run(app, scope_of(path="/public")))
        assert await statuses(free) == [200]
        assert not waiting.done()
        assert not start.done()
        gate.go.set()
        assert await statuses(waiting) == [200]
        await start

    async def never_mind(scope: Any, receive: Any, send: Any) -> None: ...

    asyncio.run(main())


def test_a_cancelled_request_gives_its_place_back() -> None:
    async def main() -> None:
        gate = Gate()
        ask = behind(gate)
        waiting = [ask() for _ in range(4)]
        await settle()
        assert await statuses(ask(), ask()) == [503, 503]
        waiting.pop().cancel()
        await settle()
        waiting.append(ask())
        await settle()
        assert not any(task.done() for task in waiting)
        assert await statuses(ask()) == [503]
        gate.go.set()
        assert await statuses(*waiting) == [200] * 4

    asyncio.run(main())


def test_a_cancelled_request_takes_no_fetch_with_it() -> None:
    async def main() -> None:
        gate = Gate()
        ask = behind(gate)
        first, second = ask(), ask()
        await settle()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.go.set()
        assert await statuses(second) == [200]

    asyncio.run(main())


def test_a_websocket_waits_for_keys_as_well() -> None:
    async def main() -> None:
        gate = Gate()
        task = behind(gate)(kind="websocket")
        assert await asyncio.to_thread(gate.begun.wait, 10)
        assert not task.done()
        gate.go.set()
        assert (await task)[0]["status"] == 200  # asgi_app's answer, whatever the type of the scope

    asyncio.run(main())


# --- asgiref ---


@pytest.mark.parametrize(("headers", "status"), [(GOOD, 200), (NO_TOKEN, 401), (bearer("a b"), 400), (TWO, 400)])
@pytest.mark.parametrize("outside", [True, False])
def test_a_wsgi_application_under_asgi(outside: bool, headers: Any, status: int) -> None:
    """Our ASGI middleware around WsgiToAsgi, or WsgiToAsgi around our WSGI middleware."""

    def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"{}"]

    app = BearerMiddleware(WsgiToAsgi(plain), auth()) if outside else WsgiToAsgi(WsgiMiddleware(wsgi_app, auth()))
    reply = call_asgi(app, headers)
    assert reply.status == status
    assert ("www-authenticate" in reply.headers) is (status != 200)


def test_two_in_a_row_the_inner_one_decides_what_the_application_gets() -> None:
    lenient, strict = auth(optional="missing"), auth(required_scopes=["admin"])
    both = BearerMiddleware(BearerMiddleware(never, strict), lenient)
    assert [call_asgi(both, headers).status for headers in (NO_TOKEN, GOOD)] == [401, 403]


def test_what_is_sent_to_a_public_path_is_not_looked_at() -> None:
    twice = [*bearer("x"), *bearer("y")]
    seen = reached(auth(public=["/public"]), scope_of(headers=twice, path="/public"))
    assert seen[TOKEN] is None


def test_headers_that_can_be_read_only_once_reach_the_application() -> None:
    scope = scope_of()
    wanted = list(scope["headers"])
    scope["headers"] = iter(wanted)
    assert reached(auth(), scope)["headers"] == wanted
