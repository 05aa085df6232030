"""The endpoints of the issuer as Django views, by the same handling as IssuerApp has.

They are plain functions, because nearly all of them ask a list and a database: under ASGI Django runs them in its
thread. None reads a cookie, so none is checked for cross-site forgery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.db import connections, transaction
from django.urls import NoReverseMatch, reverse
from django.views.decorators.csrf import csrf_exempt

from .._http import Response
from ..auth import BearerAuth
from ..errors import ConfigurationError
from ..issuer.bodies import RefusedBody
from ..issuer.callers import Callers
from ..issuer.endpoints import NOT_FOUND, Endpoint, Endpoints, Request
from ..issuer.places import DEFAULT_PATHS, Places
from ..token import AccessToken
from .bodies import read_body
from .conf import Wiring, wiring
from .decorators import View, opened
from .issuers import ProjectIssuer
from .responses import to_django

NAMESPACE = "jwtconnect_mw"
_ENDPOINTS = ("token", "introspection", "revocation", "jwks")


def open_view(view: View) -> View:
    """A view that looks at credentials itself: no token, cookie or transaction of the request has a part in it.

    A transaction around the view would undo, when the view fails, what a revocation list has promised; and lists in
    SQLite would not promise anything.
    """
    open_to_all: Any = csrf_exempt(opened(view))
    for alias in connections:
        open_to_all = transaction.non_atomic_requests(using=alias)(open_to_all)
    open_to_all.login_required = False  # for the LoginRequiredMiddleware of Django 5.1
    return cast(View, open_to_all)


def endpoints_of(wired: Wiring, places: Places | None = None) -> Endpoints:
    """The endpoints of the issuer, which must be there."""

    def make() -> Endpoints:
        issuer = _issuer(wired)
        return Endpoints(issuer, places or Places(issuer.issuer, {"metadata": None}, None), callers_of(wired))

    found: Endpoints = make() if places is not None else wired.once("endpoints", make)
    return found


def callers_of(wired: Wiring) -> Callers:
    """Who calls the endpoints, by the issuer's own keys and list."""
    return cast(Callers, wired.once("callers", lambda: Callers(_issuer(wired), cast(BearerAuth, _Bearers(wired)))))


class _Bearers:
    """Stands for a BearerAuth: also the user of a token must be there, where users are looked up."""

    def __init__(self, wired: Wiring) -> None:
        self._wired, self._callers = wired, Callers(_issuer(wired), None)

    def authenticate(self, authorization: str | None) -> AccessToken:
        token = self._callers.bearer(authorization)
        if self._wired.user == "database":
            self._wired.users.row(token)
        return token


def _issuer(wired: Wiring) -> ProjectIssuer:
    assert wired.issuer is not None  # noqa: S101  # for the type checker: it was asked for before
    return wired.issuer


def _endpoint(name: str) -> Callable[..., Any]:
    @open_view
    def view(request: Any, **_: Any) -> Any:
        wired, method = wiring(), request.META["REQUEST_METHOD"]
        if wired.issuer is None:
            return to_django(NOT_FOUND, method)
        endpoints = endpoints_of(wired)
        found = endpoints.find(method, DEFAULT_PATHS[name])
        return to_django(found if isinstance(found, Response) else _answer(endpoints, found, request), method)

    view.__name__ = view.__qualname__ = name
    view.__doc__ = f"The {name} endpoint."
    return view


token, introspection, revocation, jwks = (_endpoint(name) for name in _ENDPOINTS)


@open_view
def metadata(request: Any, **prefix: Any) -> Any:
    """The metadata document (RFC 8414), with the URLs of the other endpoints as they are included beside this one."""
    match = request.resolver_match
    return _metadata(request, match.namespace or NAMESPACE, prefix)


@open_view
def well_known(request: Any, place: str | None = None) -> Any:
    """The metadata document where RFC 8414 section 3.1 wants that of an issuer with a path: at the root of the host."""
    wired = wiring()
    if wired.issuer is None or not _is_place(wired.issuer.issuer, place or ""):
        return to_django(NOT_FOUND, request.META["REQUEST_METHOD"])
    return _metadata(request, NAMESPACE, {})


def _is_place(issuer: str, place: str) -> bool:
    try:
        found = Places(issuer, None, None).well_known
    except ConfigurationError:
        return False
    return found == DEFAULT_PATHS["metadata"] + place


def _metadata(request: Any, namespace: str, prefix: Mapping[str, Any]) -> Any:
    """No part of a request but the prefix that the URLconf matched stands in the document: the host is the issuer's."""
    wired, method = wiring(), request.META["REQUEST_METHOD"]
    issuer = wired.issuer
    try:
        if issuer is None:
            return to_django(NOT_FOUND, method)
        paths = {name: reverse(f"{namespace}:{name}", kwargs=prefix or None) for name in _ENDPOINTS}
        endpoints = endpoints_of(wired, Places(issuer.issuer, paths, "/"))
    except (ConfigurationError, NoReverseMatch):
        # An issuer that is no URL has no metadata; nor has one whose endpoints are not included, or under odd paths.
        return to_django(NOT_FOUND, method)
    found = endpoints.allowed(endpoints.metadata, method)
    return to_django(found if isinstance(found, Response) else _answer(endpoints, found, request), method)


def _answer(endpoints: Endpoints, endpoint: Endpoint, request: Any) -> Response:
    fields = request.META
    try:
        body = read_body(request) if endpoint.takes_form else b""
    except RefusedBody as refused:
        return refused.answer
    authorization, condition = fields.get("HTTP_AUTHORIZATION"), fields.get("HTTP_IF_NONE_MATCH")
    return endpoints.answer(endpoint, Request(authorization, fields.get("CONTENT_TYPE") or None, condition, body))
