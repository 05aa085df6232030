"""The metadata document of an issuer (RFC 8414 section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from ..fetch import check_url
from .clients import Clients

ENDPOINTS: Mapping[str, str] = {
    "token": "token_endpoint",
    "introspection": "introspection_endpoint",
    "revocation": "revocation_endpoint",
    "jwks": "jwks_uri",
}
"""The names of endpoints, and of the members that hold their URLs."""


def document(
    issuer: str, endpoints: Mapping[str, str], clients: Clients, more: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """The document for an issuer whose endpoints have these URLs. No member is null.

    Raises ConfigurationError where ``issuer`` is not an https URL without query (http on loopback), for an unknown
    endpoint, and for an endpoint that is not such a URL.
    """
    if check_url(issuer, "issuer", trust_http=False).query or "?" in issuer:
        raise ConfigurationError("issuer", "a URL with a query has no metadata")
    found: dict[str, Any] = {"issuer": issuer}
    for name, url in endpoints.items():
        if name not in ENDPOINTS:
            raise ConfigurationError("endpoints", f"one of {', '.join(ENDPOINTS)}")
        check_url(url, "endpoints", trust_http=False)
        found[ENDPOINTS[name]] = url
    by_secret = ["client_secret_basic", "client_secret_post"] if clients.confidential else []
    by_name = ["none"] if clients.public else []
    methods = {
        "token": [*by_secret, *by_name],
        "introspection": [*by_secret, "Bearer"],
        "revocation": [*by_secret, *by_name],
    }
    for name, supported in methods.items():
        if name in endpoints:
            found[f"{ENDPOINTS[name]}_auth_methods_supported"] = supported
    found["grant_types_supported"] = ["refresh_token", *(["client_credentials"] if clients.confidential else [])]
    found["response_types_supported"] = ["none"]  # RFC 8414 demands the member; there is no authorization endpoint
    if clients.scopes:
        found["scopes_supported"] = sorted(clients.scopes)
    return {**found, **more}
