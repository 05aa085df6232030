"""The issuer and a protected API as the servers serve them, on one key file and one SQLite list in $HOME.
$LIVE_PATH is the path of the issuer, none where it is empty, and $LIVE_ALG the algorithm of its keys.

``/login`` hands out tokens of ``alice``: whoever asks is taken for her, and for any client it names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import SQLiteRevocationList

SECRET = "s3cret/with+signs and=more%41~ than 32 characters"
ODD_CLIENT, ODD_SECRET = "odd client/1+%", "a:b/c+d e%41f~'\"\\&=?#<>; more than 32 characters"
API = "https://api.example"
PATH = os.environ.get("LIVE_PATH", "/tenant")
URL = os.environ["LIVE_URL"] + PATH
FOLDER = Path(os.environ["HOME"])

issuer = Issuer(
    URL,
    audience=API,
    keys=FOLDER / "keys.json",
    revocations=SQLiteRevocationList(FOLDER / "revocations.sqlite"),
    clients={
        "web": {"secret": SECRET, "scopes": ["read", "introspect"]},
        ODD_CLIENT: {"secret": ODD_SECRET, "scopes": ["read", "introspect"]},
        "spa": {},
    },
    algorithm=os.environ.get("LIVE_ALG"),
    grace=60,
    metadata={"authorization_endpoint": URL + "/authorize"},
)
app = IssuerApp(issuer)


def login(query: str) -> dict[str, Any]:
    asked = {name: value for name, (value,) in parse_qs(query).items()}
    tokens = issuer.issue("alice", **asked)
    return {**tokens.to_dict(), "session": tokens.session, "pid": os.getpid()}


def _login(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(login(environ["QUERY_STRING"])).encode()]


def _asgi_login(request: Request) -> JSONResponse:
    return JSONResponse(login(request.url.query))


if PATH:
    wsgi = app.well_known(DispatcherMiddleware(_login, {PATH: app}))
    asgi: Any = app.well_known_asgi(Starlette(routes=[Mount(PATH, app=app.asgi), Route("/login", _asgi_login)]))
else:
    wsgi = DispatcherMiddleware(app, {"/login": _login})
    asgi = Starlette(routes=[Route("/login", _asgi_login), Mount("/", app=app.asgi)])
