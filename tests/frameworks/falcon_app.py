from __future__ import annotations

import falcon

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.wsgi import BearerMiddleware

from ..adapters import seen


def view(request: falcon.Request, response: falcon.Response) -> None:
    response.data = seen(request.env["jwtconnect_mw.token"], request.env["jwtconnect_mw.claims"])
    response.content_type = falcon.MEDIA_JSON


def build(auth: BearerAuth) -> BearerMiddleware:
    app = falcon.App()
    app.add_sink(view, "/")
    return BearerMiddleware(app, auth)
