from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.authentication import requires

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware

from ..adapters import seen


def build(auth: BearerAuth) -> FastAPI:
    app = FastAPI()
    app.add_middleware(BearerMiddleware, auth=auth)

    @app.get("/whoami")
    async def whoami(request: Request) -> dict[str, Any]:
        user = request.user
        return {
            "authenticated": user.is_authenticated,
            "names": [user.display_name, user.identity],
            "scopes": sorted(request.auth.scopes),
        }

    @app.get("/write")
    @requires("write")
    async def write(request: Request) -> dict[str, Any]:
        return {}

    @app.get("/{path:path}")
    async def view(request: Request, path: str) -> Response:
        answer = seen(request.scope["jwtconnect_mw.token"], request.scope["jwtconnect_mw.claims"])
        return Response(answer, media_type="application/json")

    return app
