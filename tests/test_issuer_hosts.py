"""The issuer mounted in the hosts that people have, each as its users would do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.issuer import IssuerApp
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

from .endpoints import ISSUER, House, Through, basic, bearer, house, refresh, refused, through_asgi, through_wsgi
from .frameworks import django_app
from .kit import AUDIENCE, jwks

WELL_KNOWN = "/.well-known/oauth-authorization-server/tenant"


def bare_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"host " + environ["SCRIPT_NAME"].encode() + environ["PATH_INFO"].encode("latin-1")]


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"host " + scope["path"].encode()})


def werkzeug_dispatcher(issuer: IssuerApp) -> Any:
    return issuer.well_known(DispatcherMiddleware(bare_wsgi, {"/tenant": issuer}))


def flask(issuer: IssuerApp) -> Any:
    app = Flask(__name__)
    app.add_url_rule("/<path:path>", view_func=lambda path: "host /" + path)
    app.wsgi_app = issuer.well_known(DispatcherMiddleware(app.wsgi_app, {"/tenant": issuer}))  # type: ignore[method-assign]
    return app


def django_wsgi(issuer: IssuerApp) -> Any:
    site = WsgiMiddleware(get_wsgi_application(), anyone())
    return issuer.well_known(DispatcherMiddleware(site, {"/tenant": issuer}))


def django_asgi(issuer: IssuerApp) -> Any:
    site = AsgiMiddleware(get_asgi_application(), anyone())

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/tenant/"):
            return await issuer.asgi({**scope, "root_path": "/tenant"}, receive, send)
        return await site(scope, receive, send)

    return issuer.well_known_asgi(application)


async def starlette_view(request: Request) -> PlainTextResponse:
    return PlainTextResponse("host " + request.url.path)


def starlette(issuer: IssuerApp) -> Any:
    app = Starlette(routes=[Mount("/tenant", app=issuer.asgi), Route("/{path:path}", starlette_view)])
    return issuer.well_known_asgi(app)


def starlette_nested(issuer: IssuerApp) -> Any:
    inner = Starlette(routes=[Mount("/nant", app=issuer.asgi)])
    return issuer.well_known_asgi(Starlette(routes=[Mount("/te", app=inner), Route("/{path:path}", starlette_view)]))


def fastapi(issuer: IssuerApp) -> Any:
    app = FastAPI()
    app.mount("/tenant", issuer.asgi)
    app.add_api_route("/{path:path}", starlette_view)
    return issuer.well_known_asgi(app)


def asgi_dispatcher(issuer: IssuerApp) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        app = issuer.asgi if scope["path"].startswith("/tenant/") else bare_asgi
        await app({**scope, "root_path": "/tenant"} if app is issuer.asgi else scope, receive, send)

    return issuer.well_known_asgi(application)


def anyone() -> BearerAuth:
    """Our own middleware around the host, not around the issuer: who refreshes has no access token."""
    return BearerAuth(TrustedIssuer(ISSUER, audience=AUDIENCE, keys=jwks()), optional="missing")


@dataclass(frozen=True)
class Host:
    ask: Through
    build: Callable[[IssuerApp], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    nested: bool = False


HOSTS = {
    "werkzeug": Host(through_wsgi, werkzeug_dispatcher),
    "flask": Host(through_wsgi, flask),
    "django wsgi": Host(through_wsgi, django_wsgi, django_app.site),
    "django asgi": Host(through_asgi, django_asgi, django_app.site),
    "starlette": Host(through_asgi, starlette),
    "starlette, nested": Host(through_asgi, starlette_nested, nested=True),
    "fastapi": Host(through_asgi, fastapi),
    "asgi": Host(through_asgi, asgi_dispatcher),
}


@dataclass
class Mounted:
    host: Host
    house: House
    app: Any

    def ask(self, path: str, *rest: Any, **more: Any) -> Any:
        return self.host.ask(self.app, path, *rest, **more)


@pytest.fixture(params=HOSTS)
def mounted(request: pytest.FixtureRequest) -> Iterator[Mounted]:
    host = HOSTS[request.param]
    made = house({"mount": "/te/nant"} if host.nested else None)
    with host.around():
        yield Mounted(host, made, host.build(made.app))
    made.app.close()


def base(mounted: Mounted) -> str:
    return "/te/nant" if mounted.host.nested else "/tenant"


def test_all_endpoints_below_the_mount_point(mounted: Mounted) -> None:
    below = base(mounted)
    tokens = mounted.house.issuer.issue("alice", client_id="web", scope="introspect")
    refreshed = mounted.ask(f"{below}/token", refresh(tokens.refresh_token), basic())
    assert refreshed.status == 200
    access = refreshed.json["access_token"]
    for who in (basic(), basic(encoded=True), bearer(access)):
        assert mounted.ask(f"{below}/introspect", {"token": access}, who).json["active"] is True
    assert mounted.ask(f"{below}/revoke", {"token": refreshed.json["refresh_token"]}, basic()).body == b"OK"
    assert mounted.ask(f"{below}/introspect", {"token": access}, basic()).body == b'{"active": false}'
    refused(mounted.ask(f"{below}/token", refresh(refreshed.json["refresh_token"]), basic()), 400, "invalid_grant")
    keys = mounted.ask(f"{below}/jwks", method="GET")
    assert keys.json == mounted.house.issuer.key_set()
    unchanged = mounted.ask(f"{below}/jwks", b"", ("If-None-Match", keys.headers["etag"]), method="GET")
    assert (unchanged.status, unchanged.body) == (304, b"")
    head = mounted.ask(f"{below}/jwks", method="HEAD")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", keys.headers["etag"])


def test_what_is_refused_below_the_mount_point(mounted: Mounted) -> None:
    below = base(mounted)
    refused(mounted.ask(f"{below}/nowhere", method="GET"), 404, "invalid_request")
    refused(mounted.ask(f"{below}/token/"), 404, "invalid_request")
    refused(mounted.ask(f"{below}/token", method="GET"), 405, "invalid_request")
    refused(mounted.ask(f"{below}/token", b"a" * 100_000), 413, "invalid_request")
    refused(mounted.ask(f"{below}/token", b"a=%FF"), 400, "invalid_request")
    refused(mounted.ask(f"{below}/introspect", {"token": "x"}), 401, "invalid_client")


def test_the_metadata_is_where_it_must_be_and_below_the_mount_point(mounted: Mounted) -> None:
    below = base(mounted)
    found = mounted.ask(WELL_KNOWN, method="GET")
    assert (found.status, found.json["issuer"]) == (200, ISSUER)
    assert found.json["token_endpoint"] == f"https://as.example{below}/token"
    again = mounted.ask(f"{below}/.well-known/oauth-authorization-server", method="GET")
    assert (again.status, again.body, again.headers) == (200, found.body, found.headers)
    assert mounted.ask(WELL_KNOWN, b"", ("If-None-Match", found.headers["etag"]), method="GET").status == 304
    assert (mounted.ask(WELL_KNOWN, method="HEAD").status, mounted.ask(WELL_KNOWN, method="HEAD").body) == (200, b"")
    assert refused(mounted.ask(WELL_KNOWN), 405, "invalid_request").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    ["/hello", "/tenantx/token", "/.well-known/oauth-authorization-server", WELL_KNOWN + "/", WELL_KNOWN + "x"],
)
def test_the_host_keeps_what_is_its_own(mounted: Mounted, path: str) -> None:
    reply = mounted.ask(path, method="GET")
    assert reply.status == 200
    assert "token_endpoint" not in reply.body.decode()
    assert reply.body.startswith((b"host " + path.encode(), b'{"authenticated"'))


def test_the_path_from_the_root_counts() -> None:
    """A host that is mounted itself, or told so by a proxy, is not the root."""
    made = house()
    wsgi, asgi = made.app.well_known(bare_wsgi), made.app.well_known_asgi(bare_asgi)
    assert through_wsgi(wsgi, WELL_KNOWN, method="GET", SCRIPT_NAME="/api").body.startswith(b"host /api/.well-known")
    split = {"SCRIPT_NAME": "/.well-known", "method": "GET"}
    assert through_wsgi(wsgi, WELL_KNOWN.removeprefix("/.well-known"), **split).json["issuer"] == ISSUER
    assert through_asgi(asgi, WELL_KNOWN, method="GET", root="/api").body.startswith(b"host /api/.well-known")


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://as.example", "/.well-known/oauth-authorization-server"),
        ("https://as.example/", "/.well-known/oauth-authorization-server"),
        ("https://as.example/a/b/", "/.well-known/oauth-authorization-server/a/b"),
        ("https://as.example/%C3%A9", "/.well-known/oauth-authorization-server/\u00e9"),
    ],
)
def test_where_the_metadata_must_be(issuer: str, path: str) -> None:
    made = house(issuer=issuer)
    wsgi, asgi = made.app.well_known(bare_wsgi), made.app.well_known_asgi(bare_asgi)
    assert through_wsgi(wsgi, path.encode().decode("latin-1"), method="GET").json["issuer"] == issuer
    assert through_asgi(asgi, path, method="GET").json["issuer"] == issuer


def test_what_is_no_http_request_passes_the_wrapper(mounted: Mounted) -> None:
    import asyncio

    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(scope)

    lifespan = {"type": "lifespan"}
    asyncio.run(mounted.house.app.well_known_asgi(app)(lifespan, None, None))
    assert got[0] is lifespan
