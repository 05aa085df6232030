"""Whether this process can judge tokens now, as JSON over HTTP: for the readiness probe of a load balancer."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ._http import Response, response
from .auth import REVOCATIONS, BearerAuth
from .errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_ALLOWED = ("GET", "HEAD")


class Health:
    """A WSGI application, with the ASGI one beside it as ``.asgi``: 200, or 503 while nothing can be judged.

    That is while the keys of an issuer or the copy of the revocation list are missing; what is old but serves is ready.
    To ask starts what is missing and waits for nothing, so a probe warms a process up. A revocation list without a
    copy is not asked.

    ``required``: issuers whose keys must be there; None: all. Raises ConfigurationError for an unknown one.
    """

    def __init__(self, auth: BearerAuth, *, required: Collection[str] | None = None) -> None:
        self._auth = auth
        known = auth.issuers
        self._required = frozenset(known if required is None else required)
        if isinstance(required, str) or not self._required <= set(known):
            raise ConfigurationError("required", "issuers of this BearerAuth are needed")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer = self._answer(method)
        start_response(answer.status_line, list(answer.headers))
        return [] if method == "HEAD" else [answer.body]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002  # the interface's; no body is read
        """The ASGI 3 application, for http."""
        if scope["type"] != "http":
            raise ValueError("only http scopes are answered")
        answer = self._answer(scope["method"])
        await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.raw_headers)})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    def _answer(self, method: str) -> Response:
        if method not in _ALLOWED:
            return response(int(HTTPStatus.METHOD_NOT_ALLOWED), [*_HEADERS, ("Allow", ", ".join(_ALLOWED))], b"{}")
        self._auth.start()
        states = self._auth.health()
        needed = {*self._required, REVOCATIONS}
        ready = all(state["state"] != "missing" for name, state in states.items() if name in needed)
        content = {"ready": ready, "issuers": {name: _shown(states[name]) for name in self._auth.issuers}}
        if self._auth.has_feed:
            content[REVOCATIONS] = _shown(states[REVOCATIONS])
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return response(int(status), _HEADERS, json.dumps(content).encode())


def _shown(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a stranger may see."""
    age = state["age"]
    shown = {"state": state["state"], "age": None if age is None else round(age, 3)}
    return {**shown, "entries": state["entries"]} if "entries" in state else shown
