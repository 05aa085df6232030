"""The middleware: every request needs a bearer token, but for what the settings or a view make public."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.urls import Resolver404, resolve

from ..auth import BearerAuth
from ..errors import AuthError
from ..token import AccessToken
from .conf import Wiring, wiring
from .decorators import PUBLIC, varying
from .requests import admit, asked
from .responses import to_django


class BearerMiddleware:
    """Sets ``request.jwt`` (an AccessToken or None) and, with a token, ``request.user``. For WSGI and for ASGI.

    Its place is behind SessionMiddleware and AuthenticationMiddleware, so that the user of a token replaces that of a
    session, and behind whatever sets ``request.urlconf``. Without a token (a public path) the session's user stays.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        wiring()  # wrong settings stop the server from starting, not the first request

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._acall(request)
        wired = wiring()
        token = user = None
        try:
            authorization, method, path, preflight = asked(request)
            token = wired.auth.authenticate(authorization, method=method, path=path, preflight=preflight)
            if token is not None:
                user = wired.users.of(token)
                token = None if user is None else token
        except AuthError as error:
            if not _is_public(request):
                return _refused(wired.auth, error, request)
            token = None
        admit(request, token, user)
        return _varying(self.get_response(request), wired, token)

    async def _acall(self, request: Any) -> Any:
        wired = wiring()
        token = user = None
        try:
            authorization, method, path, preflight = asked(request)
            token = await wired.auth.aauthenticate(authorization, method=method, path=path, preflight=preflight)
            if token is not None:
                user = await wired.users.aof(token)
                token = None if user is None else token
        except AuthError as error:
            if not _is_public(request):
                return _refused(wired.auth, error, request)
            token = None
        admit(request, token, user)
        return _varying(await self.get_response(request), wired, token)


def _varying(response: Any, wired: Wiring, token: AccessToken | None) -> Any:
    """Where the answer may be another with another token."""
    if token is not None or wired.options.get("optional", "no") != "no":
        return varying(response)
    return response


def _refused(auth: BearerAuth, error: AuthError, request: Any) -> Any:
    response = auth.refuse(error, method=request.META.get("REQUEST_METHOD"), path=request.path_info)
    return to_django(response, request.method)


def _is_public(request: Any) -> bool:
    """Whether the view says that it looks at credentials itself, or needs none. Asked only before a refusal."""
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return False
    return getattr(match.func, PUBLIC, False) is True
