"""What the tests of the Django shim need: a project under given settings, and a request through its handlers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from . import djproject

djproject.setup()

from django.core.asgi import get_asgi_application  # noqa: E402  # once there are settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.test import override_settings  # noqa: E402

from jwtconnect_mw.testing import ManualClock  # noqa: E402

from .adapters import Reply, call_asgi, call_wsgi  # noqa: E402
from .kit import AUDIENCE, ISSUER, NOW, jwks, key  # noqa: E402

MIDDLEWARE = "jwtconnect_mw.django.middleware.BearerMiddleware"
SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


def verifying(policy: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """JWTCONNECT_MW that trusts the kit's issuer, under a standing clock."""
    trusted = {"issuer": ISSUER, "audience": AUDIENCE, "keys": jwks(), **(policy or {})}
    return {"issuers": [trusted], "clock": ManualClock(NOW), **more}


def issuing(issuer: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """JWTCONNECT_MW of a project that is an issuer itself, with a list in memory."""
    own = {"issuer": ISSUER, "audience": AUDIENCE, "keys": {"keys": [key().private_jwk()]}, **(issuer or {})}
    return {"issuer": own, "revocations": "memory", "clock": ManualClock(NOW), **more}


@contextmanager
def project(
    settings: Mapping[str, Any] | None,
    *,
    urls: Any = "tests.djproject.urls",
    middleware: list[str] | None = None,
    **more: Any,
) -> Iterator[None]:
    """The test project with these settings. ``middleware``: ours alone, unless given."""
    chosen = [MIDDLEWARE] if middleware is None else middleware
    with override_settings(JWTCONNECT_MW=settings, ROOT_URLCONF=urls, MIDDLEWARE=chosen, **more):
        yield


class Site:
    """The handlers of a project: made once, as a server makes them."""

    def __init__(self, face: str) -> None:
        self._app = get_wsgi_application() if face == "wsgi" else get_asgi_application()
        self._call = call_wsgi if face == "wsgi" else call_asgi

    def __call__(self, headers: Any = (), method: str = "GET", path: str = "/") -> Reply:
        reply = self._call(self._app, headers, method, path)
        return replace(reply, headers={name.lower(): value for name, value in reply.headers.items()})
