from __future__ import annotations

import bottle

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.wsgi import BearerMiddleware

from ..adapters import seen


def view(path: str = "") -> bytes:
    environ = bottle.request.environ
    bottle.response.content_type = "application/json"
    return seen(environ["jwtconnect_mw.token"], environ["jwtconnect_mw.claims"])


def build(auth: BearerAuth) -> BearerMiddleware:
    app = bottle.Bottle()
    app.route(["/", "/<path:path>"], callback=view)
    return BearerMiddleware(app, auth)
