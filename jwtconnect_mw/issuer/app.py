"""IssuerApp: the endpoints as a WSGI callable, with ``.asgi`` beside it, and the metadata where RFC 8414 wants it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._checks import check_switch
from .._http import Response
from ..auth import BearerAuth
from ..errors import ConfigurationError
from .answers import error_answer
from .asgi import AsgiFace, WellKnownAsgi
from .bodies import RefusedBody, read_wsgi
from .callers import Callers
from .endpoints import Endpoint, Endpoints, Request
from .places import Places
from .service import Issuer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("jwtconnect_mw.issuer")
_ALONE = error_answer(
    503, "temporarily_unavailable", "The request cannot be handled at the moment.", [("Retry-After", "60")]
)


class IssuerApp:
    """The endpoints of ``issuer``, to be mounted under any prefix of any WSGI host; ``asgi`` is for ASGI hosts.

    ``paths``: endpoint (token, introspection, revocation, jwks, metadata) to its path below the mount point, or to
    None where there is to be none; those left out keep their default.
    ``mount``: where the application is mounted, if not at the issuer's own URL: a path on the issuer's host, or a URL.
    ``auth``: what verifies the bearer tokens of those who introspect; by default the issuer's own keys and list.
    ``allow_memory``: run also where the server has several processes, but the revocation list or the keys are in the
    memory of each, so that what one revokes or signs is nothing to the others. Without it the endpoints then answer
    503. ASGI servers do not say whether they have several processes: there it is up to you.
    ``threads``: the most requests that ``asgi`` handles at once. ``waiting``: the most that wait for a thread; more are
    answered 503.

    None of the endpoints reads a cookie or the query. Raises ConfigurationError.
    """

    def __init__(
        self,
        issuer: Issuer,
        *,
        paths: Mapping[str, str | None] | None = None,
        mount: str | None = None,
        auth: BearerAuth | None = None,
        allow_memory: bool = False,
        threads: int = 8,
        waiting: int = 1024,
    ) -> None:
        for field, value, least in (("threads", threads, 1), ("waiting", waiting, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(field, f"a number, {least} or more, is needed")
        check_switch("allow_memory", allow_memory)
        places = Places(issuer.issuer, paths, mount)
        self._endpoints = Endpoints(issuer, places, Callers(issuer, auth))
        self._well_known = places.well_known
        self._alone = not ((getattr(issuer.revocations, "shared", False) and issuer.keys.shared) or allow_memory)
        self._told = False
        self.asgi = AsgiFace(self._endpoints, threads, waiting)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method: str = environ["REQUEST_METHOD"]
        found = self._endpoints.find(method, environ.get("PATH_INFO", ""))
        response = found if isinstance(found, Response) else self._answer(found, environ)
        return _send(response, method, start_response)

    def well_known(self, app: WSGIApplication) -> WSGIApplication:
        """``app``, the root of the host, with this issuer's metadata at the path that RFC 8414 section 3.1 demands."""
        return _WellKnown(self, app, self._well_known_path())

    def well_known_asgi(self, app: Any) -> WellKnownAsgi:
        """As ``well_known``, for an ASGI host. What is no request for the metadata passes through untouched."""
        return WellKnownAsgi(self._endpoints, self.asgi, app, self._well_known_path())

    def _well_known_path(self) -> str:
        if self._well_known is None:
            raise ConfigurationError("paths", "there is no metadata endpoint")
        return self._well_known

    def close(self) -> None:
        """End the threads of ``asgi``. An ASGI lifespan that reaches it does the same."""
        self.asgi.close()

    def _answer(self, endpoint: Endpoint, environ: WSGIEnvironment) -> Response:
        body = b""
        if endpoint.takes_form:
            if self._alone and environ.get("wsgi.multiprocess"):
                return self._refuse_to_run()
            try:
                body = read_wsgi(environ)
            except RefusedBody as refused:
                return refused.answer
        request = Request(
            environ.get("HTTP_AUTHORIZATION"), environ.get("CONTENT_TYPE"), environ.get("HTTP_IF_NONE_MATCH"), body
        )
        return self._endpoints.answer(endpoint, request)

    def _refuse_to_run(self) -> Response:
        if not self._told:
            self._told = True
            _log.error(
                "the server has several processes, but the revocation list or the keys are in the memory of each:"
                " every request is answered 503. Use SQLiteRevocationList or RedisRevocationList and a key file, or one"
                " process, or allow_memory=True"
            )
        return _ALONE


class _WellKnown:
    """A WSGI application with the metadata of an issuer at one path from the root of the host."""

    def __init__(self, issuer_app: IssuerApp, app: WSGIApplication, path: str) -> None:
        self._issuer_app, self._app = issuer_app, app
        self._path = path.encode().decode("latin-1")  # as WSGI spells octets

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") != self._path:
            return self._app(environ, start_response)
        method: str = environ["REQUEST_METHOD"]
        endpoints = self._issuer_app._endpoints
        found = endpoints.allowed(endpoints.metadata, method)
        response = found if isinstance(found, Response) else self._issuer_app._answer(found, environ)
        return _send(response, method, start_response)


def _send(response: Response, method: str, start_response: StartResponse) -> Iterable[bytes]:
    start_response(response.status_line, list(response.headers))
    return [] if method == "HEAD" or not response.body else [response.body]
