from __future__ import annotations

from flask import Flask, Response, request

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.wsgi import BearerMiddleware

from ..adapters import seen


def build(auth: BearerAuth) -> Flask:
    app = Flask("api")

    @app.get("/")
    @app.get("/<path:path>")
    def view(path: str = "") -> Response:
        answer = seen(request.environ["jwtconnect_mw.token"], request.environ["jwtconnect_mw.claims"])
        return Response(answer, mimetype="application/json")

    app.wsgi_app = BearerMiddleware(app.wsgi_app, auth)  # type: ignore[method-assign]
    return app
