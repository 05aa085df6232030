"""The WSGI adapter: PEP 3333 to the letter, in front of applications that use all of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.validate import validator

import pytest

from jwtconnect_mw import AccessToken, ConfigurationError, TrustedIssuer
from jwtconnect_mw.wsgi import BearerMiddleware

from .adapters import call_wsgi, wsgi_app, wsgi_environ
from .cases import bearer
from .kit import AUDIENCE, ISSUER, auth, jwks, key, policy, token

GOOD = bearer(token())
PREFLIGHT = [("Origin", b"https://app.example"), ("Access-Control-Request-Method", b"PUT")]
TOKEN, CLAIMS, USER = "jwtconnect_mw.token", "jwtconnect_mw.claims", "REMOTE_USER"


class Body:
    """A body that counts: what was asked of it, and how often it was closed."""

    def __init__(self) -> None:
        self.made = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in b"one ", b"two ", b"three":
            self.made += 1
            yield piece

    def close(self) -> None:
        self.closed += 1


def never(environ: Any, start_response: Any) -> Any:
    raise AssertionError("the application was called")


def serve(app: Any, headers: Any = GOOD, method: str = "GET") -> bytes:
    """What a server of the standard library writes."""
    out = io.BytesIO()
    handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), wsgi_environ(headers, method, "/"))
    handler.http_version = "1.1"
    handler.run(app)
    return out.getvalue()


def environ_of(app: Callable[..., Any], **variables: Any) -> dict[str, Any]:
    """The environ that reaches the application behind ``app``, a function that wraps one."""
    caught: list[dict[str, Any]] = []

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        caught.append(environ)
        return wsgi_app(environ, start_response)

    headers, method = variables.pop("headers", GOOD), variables.pop("method", "GET")
    environ = {**wsgi_environ(headers, method, variables.pop("path", "/")), **variables}
    app(inner)(environ, lambda *_: None)
    (reached,) = caught
    return reached


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(("headers", "status"), [(GOOD, 200), ([], 401), (bearer("x"), 401), (bearer(""), 400)])
def test_the_validator_of_the_standard_library_is_content_on_both_sides(method: str, headers: Any, status: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = wsgi_app(environ, start_response)
        return [] if method == "HEAD" else body

    assert call_wsgi(BearerMiddleware(validator(app), auth()), headers, method).status == status


def test_what_the_application_returns_is_handed_on_as_it_is() -> None:
    body, given = Body(), []

    def app(environ: dict[str, Any], start_response: Any) -> Body:
        given.append((environ, start_response))
        return body

    environ, start_response = wsgi_environ(GOOD, "GET", "/"), lambda *_: None
    assert BearerMiddleware(app, auth())(environ, start_response) is body
    assert (body.made, body.closed) == (0, 0)
    assert given[0][0] is environ
    assert given[0][1] is start_response  # so exc_info and the write callable are the server's own


def test_a_server_closes_the_body_once_and_gets_each_piece_when_it_is_made() -> None:
    body, written = Body(), []

    def app(environ: dict[str, Any], start_response: Any) -> Body:
        start_response("200 OK", [("Content-Length", "13")])
        return body

    class Watching(SimpleHandler):
        def _write(self, data: bytes) -> None:
            written.append((data, body.made, body.closed))

    environ = wsgi_environ(GOOD, "GET", "/")
    Watching(io.BytesIO(), io.BytesIO(), io.StringIO(), environ).run(BearerMiddleware(app, auth()))
    assert written[-3:] == [(b"one ", 1, 0), (b"two ", 2, 0), (b"three", 3, 0)]
    assert body.closed == 1


def test_the_write_callable_works() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "7")])
        write(b"old ")
        return [b"way"]

    assert serve(BearerMiddleware(app, auth())).endswith(b"\r\n\r\nold way")


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), ConfigurationError("field", "of the application")])
def test_exceptions_of_the_application_pass(error: BaseException) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise error

    with pytest.raises(type(error)) as caught:
        BearerMiddleware(app, auth())(wsgi_environ(GOOD, "GET", "/"), lambda *_: None)
    assert caught.value is error


def test_a_refusal_of_the_inner_middleware_is_the_answer() -> None:
    """Two in a row, as with a stricter API below a lenient gate: neither takes the other's refusal for its own."""
    strict = BearerMiddleware(never, auth(required_scopes=["admin"]))
    assert call_wsgi(BearerMiddleware(strict, auth()), GOOD).status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(("headers", "line"), [([], b"401 Unauthorized"), (bearer("a b"), b"400 Bad Request")])
def test_a_refused_request_never_reaches_the_application(method: str, headers: Any, line: bytes) -> None:
    answer = serve(BearerMiddleware(never, auth()), headers, method)
    assert answer.startswith(b"HTTP/1.1 " + line + b"\r\n")
    assert answer.endswith(b"\r\n\r\n") is (method == "HEAD")


@pytest.mark.parametrize(
    ("settings", "request_", "subject"),
    [
        ({}, {}, "alice"),
        ({"public": ["/public"]}, {"path": "/public/x"}, None),
        ({"public": ["/public"]}, {"path": "/public/x", "headers": []}, None),
        ({"optional": "missing"}, {"headers": []}, None),
        ({"optional": "invalid"}, {"headers": bearer("garbage")}, None),
        ({"preflight": True}, {"headers": PREFLIGHT, "method": "OPTIONS"}, None),
    ],
    ids=str,
)
def test_what_an_outer_layer_put_under_our_keys_is_replaced(
    settings: dict[str, Any], request_: dict[str, Any], subject: str | None
) -> None:
    forged = {TOKEN: "forged", CLAIMS: {"sub": "mallory"}}
    environ = environ_of(lambda app: BearerMiddleware(app, auth(**settings)), **request_, **forged)
    if subject is None:
        assert (environ[TOKEN], environ[CLAIMS]) == (None, None)
    else:
        assert isinstance(environ[TOKEN], AccessToken)
        assert environ[CLAIMS]["sub"] == subject
        assert environ[CLAIMS] is environ[TOKEN].claims


@pytest.mark.parametrize("headers", [GOOD, []])
def test_nothing_else_in_the_environ_changes(headers: Any) -> None:
    """Above all nothing under HTTP_, which a client can set by a header of its own."""
    before = wsgi_environ(headers, "GET", "/")
    after = environ_of(lambda app: BearerMiddleware(app, auth(optional="missing")), **before, headers=headers)
    assert {name for name in after if name not in before} == {TOKEN, CLAIMS}
    assert {name: after[name] for name in before} == before


def named(claim: str) -> Callable[[AccessToken], Any]:
    return lambda token: token.claims.get(claim)


ANYONE: dict[str, Any] = {"headers": []}


@pytest.mark.parametrize(
    ("settings", "request_", "expected"),
    [
        ({}, {}, "mallory"),  # not ours to touch: the server may have its own authentication
        ({"remote_user": False}, {}, "mallory"),
        ({"remote_user": True}, {}, "alice"),
        ({"remote_user": named("client_id")}, {}, "client"),
        ({"remote_user": lambda token: f"{token.issuer}|{token.subject}"}, {}, f"{ISSUER}|alice"),
        ({"remote_user": True, "optional": "missing"}, ANYONE, None),
        ({"remote_user": True, "optional": "invalid"}, {"headers": bearer("garbage")}, None),
        ({"remote_user": True, "public": ["/public"]}, {"path": "/public"}, None),
        ({"remote_user": True, "preflight": True}, {"headers": PREFLIGHT, "method": "OPTIONS"}, None),
        ({"remote_user": named("client_id"), "optional": "missing"}, ANYONE, None),
        *[
            ({"remote_user": True}, {"headers": bearer(token({"sub": subject}))}, None)
            for subject in (..., "a b", "alice\n", "alice\r\nX: y", "\x00", "\x7f", "ålice", "tab\t", " ", "\u2028")
        ],
        *[
            ({"remote_user": True}, {"headers": bearer(token({"sub": subject}))}, subject)
            for subject in ("!", "~", "a,b", 'a"b', "auth0|5f", "x" * 300)
        ],
        *[({"remote_user": lambda _, value=value: value}, {}, None) for value in (None, "", 5, b"alice", ["alice"])],
    ],
    ids=str,
)
@pytest.mark.parametrize("given", [{}, {USER: "mallory"}], ids=["unset", "set"])
def test_remote_user(settings: dict[str, Any], request_: dict[str, Any], expected: str | None, given: Any) -> None:
    environ = environ_of(lambda app: BearerMiddleware(app, auth(**settings)), **request_, **given)
    assert environ.get(USER) == (given.get(USER) if expected == "mallory" else expected)


def test_remote_user_by_subject_needs_one_issuer() -> None:
    other = TrustedIssuer("https://other.example", audience=AUDIENCE, keys=jwks(key("ES256", "other")))
    with pytest.raises(ConfigurationError, match="remote_user"):
        auth(policy(), other, remote_user=True)
    both = auth(policy(), other, remote_user=lambda token: f"{token.subject}@{token.issuer}")
    for issuer, text in {
        ISSUER: token(),
        "https://other.example": token({"iss": "https://other.example"}, by=key("ES256", "other")),
    }.items():
        environ = environ_of(lambda app: BearerMiddleware(app, both), headers=bearer(text))
        assert environ[USER] == f"alice@{issuer}"


def test_a_function_for_remote_user_that_fails_lets_nobody_in() -> None:
    protected = BearerMiddleware(never, auth(remote_user=lambda token: token.claims["no such claim"]))
    with pytest.raises(KeyError):
        protected(wsgi_environ(GOOD, "GET", "/"), lambda *_: None)


@pytest.mark.parametrize(
    ("script", "path", "free"),
    [
        ("", "/public", True),
        ("/api", "/public", True),  # mounted: what counts is the path that the application sees
        ("/public", "/secret", False),
        ("/public", "", False),
        ("/public", "/", False),
        ("", "", False),
        ("", "public", False),
        ("", "*", False),
        ("", "http://evil.example/public", False),  # an absolute target, as some servers hand it on
        ("", "/public/%2e%2e/secret", False),
        ("", "/public%2f..%2fsecret", False),
        ("", "/public;/../secret", False),
        ("", "/public/..\\secret", False),
        ("", "/public?x", False),
        ("", "/public\n", False),
        ("", "/public/\xc3\xa9", False),
    ],
)
def test_public_paths_are_below_the_mount_point(script: str, path: str, free: bool) -> None:
    statuses: list[str] = []
    environ = {**wsgi_environ([], "GET", path), "SCRIPT_NAME": script}
    BearerMiddleware(wsgi_app, auth(public=["/public"]))(environ, lambda status, *_: statuses.append(status))
    assert statuses == ["200 OK" if free else "401 Unauthorized"]


def test_a_server_that_leaves_out_an_empty_path() -> None:
    environ = wsgi_environ([], "GET", "/")
    del environ["PATH_INFO"]  # PEP 3333 allows it
    told: list[Any] = []
    protected = auth(public=["/public"], on_refused=lambda _, context: told.append(context["path"]))
    BearerMiddleware(never, protected)(environ, lambda *_: None)
    assert told == [""]
