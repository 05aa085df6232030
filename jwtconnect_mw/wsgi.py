"""The WSGI adapter (PEP 3333). No policy and no status number here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._http import is_preflight
from .auth import BearerAuth
from .errors import AuthError
from .token import AccessToken
from .verifier import KeysWanted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TOKEN, CLAIMS = "jwtconnect_mw.token", "jwtconnect_mw.claims"
_VISIBLE = re.compile(r"[!-~]+")


class BearerMiddleware:
    """Lets a request reach ``app`` only with what ``auth`` demands, and hands the verified token on.

    ``environ["jwtconnect_mw.token"]`` is an AccessToken or None, ``environ["jwtconnect_mw.claims"]`` has its claims.
    """

    def __init__(self, app: WSGIApplication, auth: BearerAuth) -> None:
        self.app = app
        self.auth = auth

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        auth = self.auth
        method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "")
        try:
            authorization = environ.get("HTTP_AUTHORIZATION")
            try:
                token = auth.decide(authorization, method, path, method == "OPTIONS" and _is_preflight(environ))
            except KeysWanted as want:  # the one wait on the way in, where keys must be fetched first
                token = auth.resume(want, authorization, method, path)
        except AuthError as error:
            response = auth.refuse(error, method=method, path=path)
            start_response(response.status_line, list(response.headers))
            return [] if method == "HEAD" else [response.body]
        environ[TOKEN] = token
        environ[CLAIMS] = None if token is None else token.claims
        if auth.remote_user:
            _set_remote_user(environ, auth, token)
        return self.app(environ, start_response)


def _is_preflight(environ: WSGIEnvironment) -> bool:
    names = (("HTTP_ORIGIN", b"origin"), ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", b"access-control-request-method"))
    return is_preflight([(name, b"") for variable, name in names if variable in environ])


def _set_remote_user(environ: dict[str, Any], auth: BearerAuth, token: AccessToken | None) -> None:
    """A principal that a log line or a CGI-minded application cannot misread, or none at all."""
    environ.pop("REMOTE_USER", None)
    if token is None:
        return
    name = auth.remote_user(token) if callable(auth.remote_user) else token.subject
    if isinstance(name, str) and _VISIBLE.fullmatch(name):
        environ["REMOTE_USER"] = name
