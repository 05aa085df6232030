from __future__ import annotations

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware

from ..adapters import seen


def view(request: Request) -> Response:
    answer = seen(request.scope["jwtconnect_mw.token"], request.scope["jwtconnect_mw.claims"])
    return Response(answer, media_type="application/json")


def whoami(request: Request) -> Response:
    user = request.user
    return JSONResponse(
        {
            "authenticated": user.is_authenticated,
            "names": [user.display_name, user.identity],
            "scopes": sorted(request.auth.scopes),
        }
    )


@requires("write")
def write(request: Request) -> Response:
    return JSONResponse({})


def build(auth: BearerAuth) -> Starlette:
    app = Starlette(routes=[Route("/whoami", whoami), Route("/write", write), Route("/{path:path}", view)])
    app.add_middleware(BearerMiddleware, auth=auth)
    return app
