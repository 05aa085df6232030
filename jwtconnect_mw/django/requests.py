"""What BearerAuth is told of a request, and what a request is told of its token."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser

from .._http import single_authorization
from ..asgi import is_plain
from ..token import AccessToken

_ORIGIN, _WANTED = "HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"


class Asked(NamedTuple):
    """The arguments of BearerAuth.authenticate."""

    authorization: str | None
    method: str | None
    path: str | None
    preflight: bool


def asked(request: Any) -> Asked:
    """Raises DuplicateCredentials. Under WSGI, servers have joined duplicates already, which is refused as well."""
    fields, method = request.META, request.META.get("REQUEST_METHOD")
    scope = getattr(request, "scope", None)
    path: str | None = request.path_info
    if scope is not None:
        single_authorization(scope.get("headers", ()))
        if not is_plain(scope):
            path = None
    preflight = method == "OPTIONS" and _ORIGIN in fields and _WANTED in fields
    return Asked(fields.get("HTTP_AUTHORIZATION"), method, path, preflight)


def admit(request: Any, token: AccessToken | None, user: Any) -> None:
    """Let the view find the token and its user. Without a token, whoever the session says it is stays.

    A browser adds no bearer token by itself, so a request that has one cannot be forged across sites: Django's check
    of forms, which such clients cannot pass, is not made.
    """
    request.jwt = token
    if token is None:
        if not hasattr(request, "user"):
            _put_user(request, AnonymousUser())
        return
    _put_user(request, user)
    request._dont_enforce_csrf_checks = True


def _put_user(request: Any, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser
