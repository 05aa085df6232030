"""Our middlewares, set up as a user would."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as ASGIMiddleware
from jwtconnect_mw.fetch import Fetched
from jwtconnect_mw.wsgi import BearerMiddleware as WSGIMiddleware

from .hosts import One, asgi_ok, call_asgi, call_wsgi, environ, scope, wsgi_ok
from .tokens import AUDIENCE, Signer


def trusted(source: Signer, *, jwks: dict[str, Any] | None = None) -> TrustedIssuer:
    if source.alg == "HS256":
        return TrustedIssuer(source.issuer, audience=AUDIENCE, keys=jwks or source.jwks, algorithms=("HS256",))
    return TrustedIssuer(source.issuer, audience=AUDIENCE, keys=jwks or source.jwks)


def auth(source: Signer, **settings: Any) -> BearerAuth:
    return BearerAuth(trusted(source), **settings)


def remote(source: Signer) -> BearerAuth:
    """Keys from a URL, in the cooldown after a fetch for an unknown kid; the clock stands still, so it never ends."""
    body, now = json.dumps(source.jwks).encode(), time.time()

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        return Fetched(200, {"content-type": "application/json"}, body)

    trusting = TrustedIssuer(source.issuer, audience=AUDIENCE, keys="https://as.example/jwks")
    guard = BearerAuth(trusting, fetch=fetch, clock=lambda: now)
    guard.prefetch()
    for text in (source.token(), source.token(kid="unknown")):
        with contextlib.suppress(AuthError):
            guard.authenticate(f"Bearer {text}")
    if guard.health()[source.issuer]["state"] != "fresh":
        raise AssertionError("the keys were not fetched")
    return guard


def wsgi(guard: BearerAuth, *prime: str) -> One:
    """`prime`: tokens sent once before, because a process that meets its first token is not what is measured."""
    one = call_wsgi(WSGIMiddleware(wsgi_ok, guard))  # type: ignore[arg-type]
    for token in prime:
        one(environ(f"Bearer {token}"))
    return one


def asgi(guard: BearerAuth, *prime: str) -> One:
    one = call_asgi(ASGIMiddleware(asgi_ok, guard))  # type: ignore[arg-type]
    for token in prime:
        one(scope(f"Bearer {token}"))
    return one
