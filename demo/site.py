"""What runs in the demo: an issuer mounted beside a protected API on one WSGI server, and an API on an ASGI server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as AsgiBearerMiddleware
from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiBearerMiddleware

AUDIENCE = "https://api.example"
PATH = "/issuer"
CLIENT, SECRET = "resource-server", "a-secret-that-a-real-deployment-draws-at-random"
DAY = 86_400


class Switch:
    """A WSGI application that answers 500 while it is off."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.on = True

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.on:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]


@dataclass
class Api:
    """A protected API that is being served, and why it refused requests, newest last."""

    name: str
    url: str = ""
    reasons: list[str] = field(default_factory=list)

    def refused(self, reason: str, _context: Mapping[str, Any]) -> None:
        self.reasons.append(reason)


@dataclass
class Site:
    """All of it. ``power`` is the switch of the issuer's endpoints; both APIs fetch its keys over HTTP."""

    issuer: Issuer
    power: Switch
    apis: tuple[Api, Api]


@contextmanager
def serving(clock: Callable[[], float], port: int = 0) -> Iterator[Site]:
    """The WSGI server at ``port`` and the ASGI server at the one after it, or both at free ports."""
    from .api import ServeAsgi, ServeWsgi, asgi_api, wsgi_api

    revocations = MemoryRevocationList(clock=clock)
    wsgi, asgi = Api("WSGI"), Api("ASGI")
    made: list[Site] = []

    def protection(api: Api, issuer: Issuer) -> BearerAuth:
        return BearerAuth(
            TrustedIssuer(issuer.issuer, audience=AUDIENCE),
            revocations=issuer.revocations,
            required_scopes=["read"],
            on_refused=api.refused,
            clock=clock,
        )

    def make(url: str) -> Any:
        issuer = Issuer(
            url.rstrip("/") + PATH,
            audience=AUDIENCE,
            revocations=revocations,
            clients={CLIENT: {"secret": SECRET, "audiences": [AUDIENCE]}},
            access_lifetime=DAY,
            refresh_lifetime=DAY,
            clock=clock,
        )
        endpoints = IssuerApp(issuer)
        power = Switch(endpoints)
        made.append(Site(issuer, power, (wsgi, asgi)))
        protected = WsgiBearerMiddleware(wsgi_api, protection(wsgi, issuer))
        # The metadata of an issuer with a path is not below that path (RFC 8414 section 3.1): so the root is wrapped.
        return endpoints.well_known(DispatcherMiddleware(protected, {PATH: power}))

    with ServeWsgi(make, port) as one:
        [site] = made
        protected = AsgiBearerMiddleware(asgi_api, protection(asgi, site.issuer))
        with ServeAsgi(protected, port and port + 1) as other:
            wsgi.url, asgi.url = one.url, other.url
            yield site
