"""The contenders that live inside a framework; each is measured over the same framework without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .contenders import PyJWTCheck
from .hosts import ASGIApp, WSGIApp
from .tokens import AUDIENCE, ISSUER, Signer


def flask_app(guard: Callable[[Any], Callable[[Callable[..., Any]], Callable[..., Any]]] | None = None) -> WSGIApp:
    from flask import Flask

    app = Flask("benchmark")

    def order(number: int) -> str:
        return "ok"

    app.add_url_rule("/orders/<int:number>", view_func=guard(app)(order) if guard else order)
    return app.wsgi_app


def flask_jwt_extended(source: Signer) -> WSGIApp:
    def guard(app: Any) -> Any:
        from flask_jwt_extended import JWTManager, jwt_required

        app.config.update(
            JWT_ALGORITHM=source.alg,
            JWT_DECODE_ALGORITHMS=[source.alg],
            JWT_PUBLIC_KEY=source.public,
            JWT_DECODE_AUDIENCE=AUDIENCE,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_DECODE_LEEWAY=10,
            JWT_TOKEN_LOCATION=["headers"],
        )
        JWTManager(app)
        return jwt_required()

    return flask_app(guard)


def authlib_protector(source: Signer) -> WSGIApp:
    from authlib.integrations.flask_oauth2 import ResourceProtector
    from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(source.jwks)  # type: ignore[arg-type]

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
        def get_jwks(self) -> Any:
            return keys

    protector = ResourceProtector()
    protector.register_token_validator(Validator(issuer=ISSUER, resource_server=AUDIENCE))
    return flask_app(lambda app: protector())


def starlette_pyjwt(app: ASGIApp, source: Signer) -> ASGIApp:
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection
    from starlette.responses import JSONResponse

    check = PyJWTCheck(source)

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            claims = check(conn.headers.get("authorization", ""))
            if claims is None:
                raise AuthenticationError("invalid_token")
            return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])

    def refuse(conn: HTTPConnection, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 401, {"WWW-Authenticate": "Bearer"})

    return AuthenticationMiddleware(app, backend=Backend(), on_error=refuse)  # type: ignore[arg-type, return-value]
