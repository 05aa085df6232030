"""The applications that `servers` starts: bare and protected. The key set of the protected ones comes in BENCH_JWKS."""

from __future__ import annotations

import os

from .hosts import asgi_ok, wsgi_ok
from .tokens import AUDIENCE, ISSUER

bare_wsgi = wsgi_ok


async def bare_asgi(scope, receive, send):  # type: ignore[no-untyped-def]
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await asgi_ok(scope, receive, send)


if "BENCH_JWKS" in os.environ:
    from jwtconnect_mw import BearerAuth, TrustedIssuer
    from jwtconnect_mw.asgi import BearerMiddleware as ASGIMiddleware
    from jwtconnect_mw.wsgi import BearerMiddleware as WSGIMiddleware

    auth = BearerAuth(TrustedIssuer(ISSUER, audience=AUDIENCE, keys=os.environ["BENCH_JWKS"]))
    protected_wsgi = WSGIMiddleware(bare_wsgi, auth)  # type: ignore[arg-type]
    protected_asgi = ASGIMiddleware(bare_asgi, auth)
