"""The OAuth client of the Python MCP SDK, from the challenge of a resource (RFC 9728) to the issuer, in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.oauth2 import OAuthClientProvider
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    handle_auth_metadata_response,
    validate_metadata_issuer,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware
from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import MemoryRevocationList

from .endpoints import keys
from .live.clients import CLIENT, SECRET

HOST = "https://mcp.example"
ISSUER, RESOURCE = f"{HOST}/tenant", f"{HOST}/mcp"
RESOURCE_METADATA = "/.well-known/oauth-protected-resource/mcp"
VERSION = {"MCP-Protocol-Version": "2025-06-18"}  # from which on it sends ``resource`` each time
DOCUMENT = {"resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["read"]}


@dataclass
class Storage:
    """What the client keeps, as the SDK wants it."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Host:
    """The issuer under a prefix, and beside it a resource that our middleware protects."""

    issuer: Issuer = field(
        default_factory=lambda: Issuer(
            ISSUER,
            audience=RESOURCE,
            keys=keys(),
            revocations=MemoryRevocationList(),
            clients={CLIENT: {"secret": SECRET, "scopes": ["read"]}, "spa": {}},
            metadata={"authorization_endpoint": f"{ISSUER}/authorize"},
        )
    )
    seen: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = TrustedIssuer(ISSUER, audience=RESOURCE, keys=self.issuer.key_set(), profile="rfc9068")
        auth = BearerAuth(
            policy,
            revocations=self.issuer.revocations,
            required_scopes={"read"},
            resource_metadata=HOST + RESOURCE_METADATA,
        )
        self.app = IssuerApp(self.issuer)
        self._resource = BearerMiddleware(self._claims, auth)
        self._served = self.app.well_known_asgi(self._root)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.seen.append((scope["path"], message["status"]))
            await send(message)

        await self._served(scope, receive, watched)

    async def _root(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/tenant/"):
            await self.app.asgi({**scope, "root_path": "/tenant"}, receive, send)
        elif scope["path"] == RESOURCE_METADATA:
            await _json(DOCUMENT, send)
        else:
            await self._resource(scope, receive, send)

    @staticmethod
    async def _claims(scope: Any, receive: Any, send: Any) -> None:
        await _json(scope["jwtconnect_mw.token"].to_dict(), send)


async def _json(content: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.app.close()


def get(host: Host, auth: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(host), auth=auth) as client:
            return await client.get(RESOURCE, headers=VERSION)

    return asyncio.run(ask())


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_from_a_challenge_to_a_token_of_its_own(host: Host, method: Any) -> None:
    storage = Storage()
    answer = get(host, ClientCredentialsOAuthProvider(RESOURCE, storage, CLIENT, SECRET, method, issuer=ISSUER))

    assert answer.status_code == 200
    assert (answer.json()["sub"], answer.json()["aud"], answer.json()["scope"]) == (CLIENT, RESOURCE, "read")
    assert host.seen == [
        ("/mcp", 401),
        (RESOURCE_METADATA, 200),
        ("/.well-known/oauth-authorization-server/tenant", 200),
        ("/tenant/token", 200),
        ("/mcp", 200),
    ]
    assert storage.tokens is not None
    assert storage.tokens.refresh_token is None


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_a_refresh_that_names_the_resource(host: Host, method: Any) -> None:
    confidential = method != "none"
    client_id = CLIENT if confidential else "spa"
    old = host.issuer.issue("alice", client_id=client_id, scope="read").to_dict()
    about = OAuthClientInformationFull(
        redirect_uris=None,
        client_id=client_id,
        client_secret=SECRET if confidential else None,
        token_endpoint_auth_method=method,
        issuer=ISSUER,
    )
    storage = Storage(OAuthToken(**old), about)
    provider = OAuthClientProvider(RESOURCE, OAuthClientMetadata(redirect_uris=None), storage)

    async def an_hour_later() -> httpx2.Response:
        (metadata_url, *_) = build_oauth_authorization_server_metadata_discovery_urls(ISSUER, RESOURCE)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(host)) as client:
            found, metadata = await handle_auth_metadata_response(await client.get(metadata_url))
            assert found
            assert metadata is not None
            validate_metadata_issuer(metadata, ISSUER)
            provider.context.oauth_metadata = metadata
            provider.context.token_expiry_time = 1.0  # seconds since the epoch: long ago
            return await client.get(RESOURCE, headers=VERSION, auth=provider)

    answer = asyncio.run(an_hour_later())

    assert answer.status_code == 200
    assert (answer.json()["sub"], answer.json()["aud"], answer.json()["client_id"]) == ("alice", RESOURCE, client_id)
    assert host.seen[1:] == [("/tenant/token", 200), ("/mcp", 200)]
    assert storage.tokens is not None
    assert storage.tokens.refresh_token not in (None, old["refresh_token"])
