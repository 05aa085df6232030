from __future__ import annotations

from contextlib import AbstractContextManager

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import re_path

from jwtconnect_mw import BearerAuth, asgi, wsgi

from .. import djproject
from ..adapters import seen

djproject.setup()


def view(request: HttpRequest) -> HttpResponse:
    held = getattr(request, "scope", None) or request.environ  # type: ignore[attr-defined]
    answer = seen(held["jwtconnect_mw.token"], held["jwtconnect_mw.claims"])
    return HttpResponse(answer, content_type="application/json")


urlpatterns = [re_path("", view)]


def site() -> AbstractContextManager[None]:
    """The settings of this site, whatever else the test run has configured."""
    return override_settings(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[])


def build_wsgi(auth: BearerAuth) -> wsgi.BearerMiddleware:
    return wsgi.BearerMiddleware(get_wsgi_application(), auth)


def build_asgi(auth: BearerAuth) -> asgi.BearerMiddleware:
    return asgi.BearerMiddleware(get_asgi_application(), auth)
