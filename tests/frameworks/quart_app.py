from __future__ import annotations

from quart import Quart, Response, request

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.asgi import BearerMiddleware

from ..adapters import seen


def build(auth: BearerAuth) -> Quart:
    app = Quart("api")

    @app.get("/")
    @app.get("/<path:path>")
    async def view(path: str = "") -> Response:
        answer = seen(request.scope["jwtconnect_mw.token"], request.scope["jwtconnect_mw.claims"])
        return Response(answer, mimetype="application/json")

    app.asgi_app = BearerMiddleware(app.asgi_app, auth)  # type: ignore[assignment,method-assign]
    return app
