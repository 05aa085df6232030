"""What people use today, each put together as its documentation says, with the key prepared once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import jwt

from .hosts import ASGIApp, WSGIApp
from .tokens import AUDIENCE, ISSUER, Signer

REQUIRED = ["exp", "iss", "aud"]
REFUSED = json.dumps({"error": "invalid_token", "error_description": "The access token is not valid"}).encode()
CHALLENGE = 'Bearer error="invalid_token"'


class PyJWTCheck:
    """jwt.decode with one prepared key and the options of a careful author."""

    def __init__(self, source: Signer) -> None:
        self.key = source.public
        self.algorithms = [source.alg]
        self.options = {"require": REQUIRED}

    def __call__(self, value: str) -> dict[str, Any] | None:
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return jwt.decode(
                token, self.key, self.algorithms, self.options, audience=AUDIENCE, issuer=ISSUER, leeway=10
            )
        except jwt.InvalidTokenError:
            return None


class PyJWTWSGI:
    def __init__(self, app: WSGIApp, source: Signer) -> None:
        self.app = app
        self.check = PyJWTCheck(source)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        claims = self.check(environ.get("HTTP_AUTHORIZATION", ""))
        if claims is None:
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(REFUSED)))]
            start_response("401 Unauthorized", [*headers, ("WWW-Authenticate", CHALLENGE)])
            return [REFUSED]
        environ["app.claims"] = claims
        return self.app(environ, start_response)


class PyJWTASGI:
    def __init__(self, app: ASGIApp, source: Signer) -> None:
        self.app = app
        self.check = PyJWTCheck(source)

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        value = ""
        for name, content in scope["headers"]:
            if name == b"authorization":
                value = content.decode("latin-1")
        claims = self.check(value)
        if claims is None:
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(REFUSED)).encode())]
            headers.append((b"www-authenticate", CHALLENGE.encode()))
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSED})
            return
        await self.app({**scope, "app.claims": claims}, receive, send)


def oidcmsg_wsgi(app: WSGIApp, source: Signer) -> WSGIApp:
    """A Message with the claims of an access token, `from_jwt` with a KeyJar, then the checks it leaves out."""
    from cryptojwt.key_jar import KeyJar
    from oidcmsg.message import (
        OPTIONAL_LIST_OF_SP_SEP_STRINGS,
        REQUIRED_LIST_OF_STRINGS,
        SINGLE_OPTIONAL_STRING,
        SINGLE_REQUIRED_INT,
        SINGLE_REQUIRED_STRING,
        Message,
    )

    class AccessToken(Message):  # type: ignore[misc]
        c_param: ClassVar = {
            "iss": SINGLE_REQUIRED_STRING,
            "sub": SINGLE_OPTIONAL_STRING,
            "aud": REQUIRED_LIST_OF_STRINGS,
            "exp": SINGLE_REQUIRED_INT,
            "scope": OPTIONAL_LIST_OF_SP_SEP_STRINGS,
        }

    keys = KeyJar()
    keys.import_jwks(dict(source.jwks), ISSUER)

    def protected(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise ValueError(scheme)
            message = AccessToken().from_jwt(token, keyjar=keys, sigalg=source.alg)
            message.verify()
            if message["iss"] != ISSUER or AUDIENCE not in message["aud"] or message["exp"] < time.time() - 10:
                raise ValueError("claims")
        except Exception:  # foreign exceptions of many kinds
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(REFUSED)))]
            start_response("401 Unauthorized", [*headers, ("WWW-Authenticate", CHALLENGE)])
            return [REFUSED]
        environ["app.claims"] = message
        return app(environ, start_response)

    return protected
