"""The native ASGI face of the endpoints (ASGI 3: http and lifespan; a websocket is refused)."""

from __future__ import annotations

from asyncio import to_thread
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._http import Response
from .._waiting import Busy, Threads
from ..asgi import mounted_path
from .answers import error_answer
from .bodies import RefusedBody, joined, read_asgi
from .endpoints import Endpoint, Endpoints, Request

if TYPE_CHECKING:
    from ..asgi import App

_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1; before it is accepted, the client sees a 403
_FIELDS = (b"authorization", b"content-type", b"if-none-match")
_BUSY = error_answer(503, "temporarily_unavailable", "Too many requests are waiting.", [("Retry-After", "1")])


class AsgiFace:
    """An ASGI application, on asyncio. What asks the revocation list or calls a hook runs in threads of its own, at
    most ``threads`` at once with ``waiting`` more behind them; documents are answered on the loop.
    """

    def __init__(self, endpoints: Endpoints, threads: int, waiting: int) -> None:
        self._endpoints = endpoints
        self._threads = Threads("issuer", threads, waiting)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "http":
            await self.serve(self._endpoints.find(scope["method"], mounted_path(scope)), scope, receive, send)
        elif kind == "websocket":
            if (await receive())["type"] == "websocket.connect":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise ValueError("only http, websocket and lifespan scopes are served")

    async def serve(self, found: Endpoint | Response, scope: Any, receive: Any, send: Any) -> None:
        """Answer an http scope with what was found for it."""
        response = found if isinstance(found, Response) else await self._answer(found, scope, receive)
        with suppress(OSError):  # the client is gone (ASGI HTTP spec, 2.4)
            headers = list(response.raw_headers)
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            body = b"" if scope["method"] == "HEAD" else response.body
            await send({"type": "http.response.body", "body": body})

    def close(self) -> None:
        """End the threads; a later request starts new ones."""
        self._threads.close()

    async def _answer(self, endpoint: Endpoint, scope: Any, receive: Any) -> Response:
        headers = list(scope["headers"])  # an iterable, says the specification, so perhaps one for one time only
        try:
            body = await read_asgi(headers, receive) if endpoint.takes_form else b""
        except RefusedBody as refused:
            return refused.answer
        authorization, content_type, condition = (joined(headers, name) for name in _FIELDS)
        request = Request(authorization, content_type, condition, body)
        if not endpoint.takes_form:
            return self._endpoints.answer(endpoint, request)
        try:
            return await self._threads.run(lambda: self._endpoints.answer(endpoint, request))
        except Busy:
            return _BUSY

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})


class WellKnownAsgi:
    """An ASGI application with the metadata of an issuer at one path from the root of the host."""

    def __init__(self, endpoints: Endpoints, face: AsgiFace, app: App, path: str) -> None:
        self._endpoints, self._face, self._app, self._path = endpoints, face, app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != self._path:
            return await self._app(scope, receive, send)
        found = self._endpoints.allowed(self._endpoints.metadata, scope["method"])
        return await self._face.serve(found, scope, receive, send)
