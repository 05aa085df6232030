"""drf-spectacular: how JWTConnectAuthBearer stands in an OpenAPI document. Importing this registers it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class JWTConnectAuthBearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # has no types
    """OpenAPI 3, Security Scheme Object, type http."""

    target_class = "jwtconnect_mw.django.authentication.JWTConnectAuthBearer"
    match_subclasses = True
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002  # as spectacular has it
        """The scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
