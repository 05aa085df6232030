"""The ASGI adapter (ASGI 3: http, websocket, lifespan). No policy and no status number here."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ._http import Response, is_preflight, single_authorization
from .auth import BearerAuth
from .errors import AuthError
from .gate import LookUpWanted
from .token import ANONYMOUS
from .verifier import KeysWanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    # Every framework and server has types of its own for scope, receive and send; none accepts another's.
    App = Callable[[Any, Any, Any], Awaitable[None]]

TOKEN, CLAIMS = "jwtconnect_mw.token", "jwtconnect_mw.claims"
_START, _BODY = "http.response.start", "http.response.body"
_DENIAL = "websocket.http.response"
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1

_log = logging.getLogger("jwtconnect_mw")


class BearerMiddleware:
    """Lets a request or websocket reach ``app`` only with what ``auth`` demands, and hands the verified token on.

    In a copy of the scope: ``scope["jwtconnect_mw.token"]`` (AccessToken or None), ``scope["jwtconnect_mw.claims"]``,
    and ``scope["user"]`` and ``scope["auth"]`` for Starlette. The lifespan is passed on after a prefetch of keys.
    """

    def __init__(self, app: App, auth: BearerAuth) -> None:
        self.app = app
        self.auth = auth

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind != "lifespan":
                raise ValueError("only http, websocket and lifespan scopes are let through")
            try:
                if _is_asyncio():
                    await asyncio.to_thread(self.auth.prefetch)
                else:
                    self.auth.start()
            except Exception:  # start-up goes on: the first request that needs keys asks again
                _log.exception("the prefetch of keys failed")
            return await self.app(scope, receive, send)
        auth = self.auth
        method = scope.get("method")
        path = mounted_path(scope) if auth.has_public and is_plain(scope) else None
        headers = scope["headers"]
        if not isinstance(headers, (list, tuple)):  # any iterable may come, and the application reads it after us
            headers = list(headers)
            scope = {**scope, "headers": headers}
        authorization = None
        try:
            if path is None or not auth.is_public(path):
                authorization = single_authorization(headers)
            preflight = method == "OPTIONS" and is_preflight(headers)
            try:
                token = auth.decide(authorization, method, path, preflight, False, False)  # by position: it is quicker
            except (KeysWanted, LookUpWanted) as want:  # the only wait on the way in: keys to fetch, a list to ask
                token = await auth.aresume(want, authorization, method, path)
        except AuthError as error:
            response = auth.refuse(error, method=method, path=mounted_path(scope) if auth.audited else None)
            if kind == "websocket":
                return await _deny(response, scope, receive, send)
            await send({"type": _START, "status": response.status, "headers": list(response.raw_headers)})
            await send({"type": _BODY, "body": b"" if method == "HEAD" else response.body})
            return None
        inner = dict(scope)
        inner[TOKEN] = token
        inner[CLAIMS] = None if token is None else token.claims
        inner["user"] = inner["auth"] = ANONYMOUS if token is None else token
        return await self.app(inner, receive, send)


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _deny(response: Response, scope: Any, receive: Any, send: Any) -> None:
    """Refuse a websocket before it is accepted: with the whole answer where the server can send one."""
    if (await receive())["type"] != "websocket.connect":
        return  # gone already
    if _DENIAL not in (scope.get("extensions") or ()):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
        return
    headers = list(response.raw_headers)
    await send({"type": f"{_DENIAL}.start", "status": response.status, "headers": headers})
    await send({"type": f"{_DENIAL}.body", "body": response.body})


def mounted_path(scope: Any) -> str:
    """The path below the mount point: servers and frameworks leave the root_path in (ASGI HTTP spec, 2.4)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("/", ""):
        return path[len(root.rstrip("/")) :]
    return path


def is_plain(scope: Any) -> bool:
    """Whether all read the path alike. Some route on an escaped slash; some cut a root_path such as "/a/"."""
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if (
        root.rstrip("/") and root in path and not path.startswith(root + "/") and path != root
    ):  # some cut it out where it stands
        return False
    raw: bytes = scope.get("raw_path") or b""
    return b"%2f" not in raw.lower() and not root[1:].endswith("/")
