from __future__ import annotations

from litestar import Litestar, Request, Response, get
from litestar.middleware import DefineMiddleware

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware

from ..adapters import seen


@get(["/", "/{path:path}"], sync_to_thread=False)
def view(request: Request) -> Response:  # type: ignore[type-arg]
    answer = seen(request.scope["jwtconnect_mw.token"], request.scope["jwtconnect_mw.claims"])  # type: ignore[typeddict-item]
    assert request.user is request.auth
    return Response(answer, media_type="application/json")


def build(auth: BearerAuth) -> Litestar:
    """As a Litestar middleware, which Litestar calls for the routes that it knows."""
    return Litestar([view], middleware=[DefineMiddleware(BearerMiddleware, auth=auth)], openapi_config=None)


def build_wrapped(auth: BearerAuth) -> BearerMiddleware:
    return BearerMiddleware(Litestar([view], openapi_config=None), auth)
