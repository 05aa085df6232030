"""More clients that others wrote, against a live issuer: requests-oauth2client, httpx-oauth, idpyoidc."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from httpx_oauth.oauth2 import OAuth2, RefreshTokenError
from idpyoidc.client.oauth2 import Client as IdpyClient
from requests_oauth2client import (
    BearerToken,
    ClientSecretBasic,
    ClientSecretPost,
    InvalidGrant,
    OAuth2Client,
    PublicApp,
    UnauthorizedClient,
)

from .live.clients import CLIENT, SECRET
from .live.servers import PATIENCE, Running, started

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]
API = "https://api.example"
METHODS = ("client_secret_basic", "client_secret_post")


@pytest.fixture(scope="module", params=["uvicorn ES256 /tenant", "gunicorn RS256", "waitress EdDSA /a/b"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """The server, and the issuer."""
    server, alg, *path = request.param.split()
    settings = {"LIVE_ALG": alg, "LIVE_PATH": "".join(path)}
    with started(server, tmp_path_factory.mktemp("live"), "tests.live.issuing", **settings) as running:
        yield running, running.url + "".join(path)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def login(live: tuple[Running, str], client_id: str = CLIENT, scope: str = "read introspect") -> dict[str, Any]:
    asked = {"client_id": client_id, "scope": scope}
    tokens: dict[str, Any] = requests.get(f"{live[0].url}/login", params=asked, timeout=PATIENCE).json()
    return {name: value for name, value in tokens.items() if name not in ("pid", "session")}


def well_known(live: tuple[Running, str]) -> str:
    running, issuer = live
    return f"{running.url}/.well-known/oauth-authorization-server{issuer.removeprefix(running.url)}"


@pytest.mark.parametrize("method", METHODS)
def test_requests_oauth2client(live: tuple[Running, str], method: str) -> None:
    proof = (ClientSecretBasic if method == "client_secret_basic" else ClientSecretPost)(CLIENT, SECRET)
    client = OAuth2Client.from_discovery_endpoint(well_known(live), issuer=live[1], auth=proof, testing=True)
    old = BearerToken(**login(live))

    new = client.refresh_token(old)
    assert new.refresh_token != old.refresh_token
    assert new.scope == "read introspect"
    assert not new.is_expired()
    assert [key.kid for key in client.authorization_server_jwks.jwks] == [
        key["kid"] for key in requests.get(f"{live[1]}/jwks", timeout=PATIENCE).json()["keys"]
    ]
    claims = new.access_token_jwt.verify_signature(client.authorization_server_jwks) and new.access_token_jwt.claims
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("alice", CLIENT, API)
    told = client.introspect_token(new)
    assert (told["active"], told["client_id"]) == (True, CLIENT)
    assert client.introspect_token(new, token_type_hint="refresh_token")["active"] is True
    own = client.client_credentials(scope="read")
    assert (own.scope, own.refresh_token) == ("read", None)

    assert client.revoke_access_token(new) is True
    assert client.revoke_token("garbage", token_type_hint="unheard_of") is True
    assert client.introspect_token(new) == {"active": False}
    assert client.revoke_refresh_token(new) is True
    with pytest.raises(InvalidGrant):
        client.refresh_token(new)


def test_requests_oauth2client_as_a_public_client(live: tuple[Running, str]) -> None:
    client = OAuth2Client.from_discovery_endpoint(well_known(live), issuer=live[1], auth=PublicApp("spa"), testing=True)
    new = client.refresh_token(login(live, "spa")["refresh_token"])
    assert client.revoke_refresh_token(new) is True
    with pytest.raises(InvalidGrant):
        client.refresh_token(new)
    with pytest.raises(UnauthorizedClient):
        client.client_credentials(scope="read")


@pytest.mark.parametrize("method", METHODS)
def test_httpx_oauth(live: tuple[Running, str], method: Any) -> None:
    metadata = requests.get(well_known(live), timeout=PATIENCE).json()
    client = OAuth2(
        CLIENT,
        SECRET,
        metadata["authorization_endpoint"],
        metadata["token_endpoint"],
        metadata["token_endpoint"],
        metadata["revocation_endpoint"],
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    )
    old = login(live)

    async def drive() -> None:
        new = await client.refresh_token(old["refresh_token"])
        assert not new.is_expired()
        assert new["refresh_token"] != old["refresh_token"]
        await client.revoke_token(new["refresh_token"], "refresh_token")
        await client.revoke_token("garbage", "token")
        with pytest.raises(RefreshTokenError) as caught:
            await client.refresh_token(new["refresh_token"])
        assert caught.value.response is not None
        assert (caught.value.response.status_code, caught.value.response.json()["error"]) == (400, "invalid_grant")

    asyncio.run(drive())


@pytest.mark.parametrize("method", METHODS)
def test_idpyoidc(live: tuple[Running, str], method: str) -> None:
    old = login(live)
    oauth2 = "idpyoidc.client.oauth2"
    services = {
        "server_metadata": f"{oauth2}.server_metadata.ServerMetadata",
        "refresh_token": f"{oauth2}.refresh_access_token.RefreshAccessToken",
        "client_credentials": f"{oauth2}.client_credentials.CCAccessTokenRequest",
        "introspection": f"{oauth2}.introspection.Introspection",
        "token_revocation": f"{oauth2}.token_revocation.TokenRevocation",
    }
    client = IdpyClient(
        config={
            "client_id": CLIENT,
            "client_secret": SECRET,
            "issuer": live[1],
            "base_url": "https://rp.example",
            "client_authn_methods": METHODS,
        },
        services={name: {"class": path} for name, path in services.items()},
    )

    def ask(service: str, **arguments: str) -> Any:
        client.get_context().cstate.update("session", {"refresh_token": old["refresh_token"]})
        return client.do_request(service, request_args=arguments, state="session", authn_method=method)

    assert client.do_request("server_metadata")["issuer"] == live[1]
    new = ask("refresh_token", refresh_token=old["refresh_token"])
    assert new["refresh_token"] != old["refresh_token"]
    told = ask("introspection", token=new["access_token"])
    assert (told["active"], told["aud"], told["client_id"]) == (True, [API], CLIENT)
    assert ask("client_credentials", scope="read")["scope"] == ["read"]
    assert ask("token_revocation", token="garbage") == "OK"  # an empty body, or {}, makes it raise
    assert ask("token_revocation", token=new["refresh_token"]) == "OK"
    assert ask("introspection", token=new["access_token"])["active"] is False
    refused = ask("refresh_token", refresh_token=new["refresh_token"])
    assert (refused["status_code"], refused["error"]) == (400, "invalid_grant")
