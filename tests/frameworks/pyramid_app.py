from __future__ import annotations

import warnings

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.wsgi import BearerMiddleware

from ..adapters import seen

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # WebOb imports cgi
    from pyramid.config import Configurator
    from pyramid.request import Request
    from pyramid.response import Response


def view(request: Request) -> Response:
    environ = request.environ
    return Response(
        seen(environ["jwtconnect_mw.token"], environ["jwtconnect_mw.claims"]), content_type="application/json"
    )


def build(auth: BearerAuth) -> BearerMiddleware:
    with Configurator() as config:
        config.add_route("all", "/*path")
        config.add_view(view, route_name="all")
        return BearerMiddleware(config.make_wsgi_app(), auth)
