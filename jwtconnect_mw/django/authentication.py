"""Django REST framework: who a request is, by its bearer token. With the middleware and without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied

from .._http import Response
from ..errors import AuthError, InsufficientScope, InvalidToken, NoCredentials
from ..token import AccessToken
from .conf import wiring
from .requests import asked

_TOLD = "_jwtconnect_mw_challenge"


class JWTConnectAuthBearer(BaseAuthentication):
    """``request.user`` is the user that the settings say, ``request.auth`` the AccessToken.

    A request without a token is left to the next class and to the permissions of the view. Public paths of the
    middleware are none here: a view with this class looks at every token.
    """

    def authenticate(self, request: Any) -> tuple[Any, AccessToken] | None:
        """See BaseAuthentication. Raises what answers 401, 400, 403 or 503, as the middleware does."""
        http = request._request
        _vary(request)
        held = getattr(http, "jwt", None)
        if isinstance(held, AccessToken):
            return http.user, held
        wired = wiring()
        try:
            authorization, method, _, preflight = asked(http)
            token = wired.auth.authenticate(authorization, method=method, preflight=preflight)
            user = None if token is None else wired.users.of(token)
        except NoCredentials:
            return None
        except AuthError as error:
            raise refused(http, error) from None
        return None if token is None or user is None else (user, token)

    def authenticate_header(self, request: Any) -> str:
        """The challenge of a 401, which must not become a 403."""
        http = request._request
        return getattr(http, _TOLD, None) or _challenge(_answer(http, NoCredentials()))


class BearerRefused(APIException):
    """An answer of BearerAuth as DRF raises answers: its status, challenge, Retry-After and body."""

    def __init__(self, response: Response, detail: Mapping[str, str]) -> None:
        super().__init__(detail=detail, code=detail["error"])
        headers = dict(response.headers)
        self._status, self._challenge = response.status, _challenge(response)
        if "Retry-After" in headers:
            self.wait = int(headers["Retry-After"])

    # The framework would write both anew for what is an AuthenticationFailed, and forget what is wrong with the token.
    @property
    def status_code(self) -> int:
        return self._status

    @status_code.setter
    def status_code(self, _: int) -> None:
        """It stays."""

    @property
    def auth_header(self) -> str:
        return self._challenge

    @auth_header.setter
    def auth_header(self, _: str) -> None:
        """It stays."""


class BearerFailed(BearerRefused, AuthenticationFailed):
    """401."""


class BearerDenied(BearerRefused, PermissionDenied):
    """403."""


def _vary(request: Any) -> None:
    """Caches must not give the answer to one bearer to another, nor to nobody: the view adds what stands here to Vary.

    What wraps a view, as ``cache_page`` does, has answered before the middleware could say so.
    """
    headers = getattr((request.parser_context or {}).get("view"), "headers", None)
    if headers is not None:
        named = headers.get("Vary")
        headers["Vary"] = f"{named}, Authorization" if named else "Authorization"


def refused(http: Any, error: AuthError) -> BearerRefused:
    """What to raise for an error of BearerAuth."""
    response = _answer(http, error)
    detail = {"error": error.error or "unauthorized", "error_description": error.description}
    if isinstance(error, InsufficientScope):
        return BearerDenied(response, detail)
    return (BearerFailed if isinstance(error, InvalidToken) else BearerRefused)(response, detail)


def _answer(http: Any, error: AuthError) -> Response:
    response = wiring().auth.refuse(error, method=http.META.get("REQUEST_METHOD"), path=http.path_info)
    setattr(http, _TOLD, _challenge(response))
    return response


def _challenge(response: Response) -> str:
    return dict(response.headers).get("WWW-Authenticate", "")
