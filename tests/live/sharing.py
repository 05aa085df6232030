"""Workers that share one revocation list, each with a replica. They are told by a hub what to do beside serving.

``LIVE_LIST``: the URL of a Redis, or a file. ``LIVE_HUB``: the port of the hub. ``$HOME/jwks.json``: the keys of
``https://as.example``.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.health import Health
from jwtconnect_mw.revocation import ReplicatedRevocationList
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

ISSUER = "https://as.example"


def make_backend(where: str) -> Any:
    if where.startswith(("redis://", "rediss://", "unix://")):
        from jwtconnect_mw.revocation import RedisRevocationList  # type: ignore[attr-defined,unused-ignore]

        return RedisRevocationList(where)
    from jwtconnect_mw.revocation import SQLiteRevocationList

    return SQLiteRevocationList(where)


revocations = ReplicatedRevocationList(make_backend(os.environ["LIVE_LIST"]))
keys = Path(os.environ["HOME"]) / "jwks.json"
auth = BearerAuth(
    TrustedIssuer(ISSUER, audience="https://api.example", keys=keys), revocations=revocations, public=["/health"]
)
health = Health(auth)


def obey() -> None:
    """In a thread. ``watch`` looks up every millisecond and says when it found the revocation."""
    pause = threading.Event()
    with socket.create_connection(("127.0.0.1", int(os.environ["LIVE_HUB"]))) as hub, hub.makefile("rw") as lines:

        def say(what: Any) -> None:
            lines.write(json.dumps(what) + "\n")
            lines.flush()

        say({"pid": os.getpid()})
        for line in lines:
            asked = json.loads(line)
            token = asked.get("token", "")
            if asked["what"] == "sync":
                say(revocations.sync(60))
            elif asked["what"] == "health":
                say(dict(auth.health()["revocations"]))
            elif asked["what"] == "close":
                revocations.close()
                revocations._reader._max_staleness = 3600.0  # the copy is good without its thread
                say("closed")
            elif asked["what"] == "watch":
                say("watching")
                threading.Thread(target=watch, args=(token, pause, say), daemon=True).start()
            else:
                say(time.monotonic())
                revocations.revoke_token(ISSUER, token)


def watch(token: str, pause: threading.Event, say: Any) -> None:
    while not revocations.is_revoked(ISSUER, token, None, None, None, time.time()):
        pause.wait(0.001)
    say(time.monotonic())


def _wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/health":
        return health(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def _asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in "startup", "shutdown":
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["path"] == "/health":
        await health.asgi(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


wsgi = WsgiMiddleware(_wsgi, auth)
asgi = AsgiMiddleware(_asgi, auth)
threading.Thread(target=obey, daemon=True).start()
