"""What the servers serve: one API by WSGI and by ASGI, that answers what reached it and who answers."""

from __future__ import annotations

import json
import os
from typing import Any

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

auth = BearerAuth(
    TrustedIssuer(os.environ["LIVE_ISSUER"], audience="https://api.example"),  # keys by discovery
    public=["/public"],
    realm="live",
    remote_user=True,
)


def answer(path: str, token: Any, claims: Any, received: int) -> bytes:
    content = {"path": path, "subject": token and token.subject, "claims": claims, "received": received}
    return json.dumps({**content, "pid": os.getpid()}).encode()


def _wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    received = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    body = answer(environ["PATH_INFO"], environ["jwtconnect_mw.token"], environ["jwtconnect_mw.claims"], received)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


async def _asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in "startup", "shutdown":
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        body = answer(scope["path"], scope["jwtconnect_mw.token"], scope["jwtconnect_mw.claims"], 0)
        await send({"type": "websocket.send", "text": body.decode()})
        await send({"type": "websocket.close", "code": 1000})
        return
    received, more = 0, True
    while more:
        message = await receive()
        received, more = received + len(message.get("body", b"")), message.get("more_body", False)
    body = answer(scope["path"], scope["jwtconnect_mw.token"], scope["jwtconnect_mw.claims"], received)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


wsgi = WsgiMiddleware(_wsgi, auth)
asgi = AsgiMiddleware(_asgi, auth)
