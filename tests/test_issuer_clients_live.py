"""Strict clients that others wrote drive a live issuer end to end, without a special case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, TokenExpiredError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from jwtconnect_mw import BearerAuth, TrustedIssuer

from .live.servers import Running, started
from .test_issuer_live import MODULE, SECRET

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]
WEB = {"client_id": "web", "client_secret": SECRET}


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(request.param, tmp_path_factory.mktemp("live"), MODULE) as running:
        yield running


@pytest.fixture
def metadata(live: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # it is loopback
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return requests.get(f"{live.url}/.well-known/oauth-authorization-server/tenant", timeout=10).json()


def login(live: Running, **asked: str) -> dict[str, Any]:
    tokens: dict[str, Any] = requests.get(f"{live.url}/login", params=asked, timeout=10).json()
    return {name: value for name, value in tokens.items() if name not in ("pid", "session")}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib(live: Running, metadata: Any, method: str) -> None:
    old = login(live, client_id="web", scope="read introspect")
    with AuthlibSession(
        **WEB, token=old, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method
    ) as session:
        new = session.refresh_token(metadata["token_endpoint"])
        assert new["refresh_token"] != old["refresh_token"]
        assert new["expires_at"] > new["expires_in"] > 0
        told = session.introspect_token(metadata["introspection_endpoint"], token=new["access_token"])
        assert (told.status_code, told.json()["active"], told.json()["scope"]) == (200, True, "read introspect")
        own = session.post(metadata["introspection_endpoint"], data={"token": new["refresh_token"]})  # as a bearer
        assert own.json()["active"] is True
        gone = session.revoke_token(
            metadata["revocation_endpoint"], token=new["refresh_token"], token_type_hint="refresh_token"
        )
        assert gone.status_code == 200
        again = session.introspect_token(metadata["introspection_endpoint"], token=new["access_token"])
        assert again.json() == {"active": False}
        with pytest.raises(Exception, match="invalid_grant"):
            session.refresh_token(metadata["token_endpoint"])


def test_authlib_gets_a_token_for_itself_and_refreshes_when_it_expired(live: Running, metadata: Any) -> None:
    with AuthlibSession(**WEB, token_endpoint=metadata["token_endpoint"]) as session:
        token = session.fetch_token(grant_type="client_credentials", scope="read")
        assert (token["token_type"], token["scope"]) == ("Bearer", "read")
        assert "refresh_token" not in token
    old = {**login(live, client_id="web", scope="introspect"), "expires_at": 1}
    with AuthlibSession(**WEB, token=old, token_endpoint=metadata["token_endpoint"]) as session:
        told = session.post(metadata["introspection_endpoint"], data={"token": old["access_token"]})
        assert told.json()["active"] is True
        assert session.token["access_token"] != old["access_token"]


def test_authlib_as_a_public_client(live: Running, metadata: Any) -> None:
    old = login(live, client_id="spa")
    public = {"token_endpoint_auth_method": "none", "revocation_endpoint_auth_method": "none"}
    with AuthlibSession("spa", token=old, **public) as session:
        new = session.refresh_token(metadata["token_endpoint"])
        assert new["refresh_token"] != old["refresh_token"]
        gone = session.revoke_token(metadata["revocation_endpoint"], token=new["refresh_token"])
        assert (gone.status_code, gone.text) == (200, "OK")
        with pytest.raises(Exception, match="invalid_grant"):
            session.refresh_token(metadata["token_endpoint"])


def test_requests_oauthlib(live: Running, metadata: Any) -> None:
    old = login(live, client_id="web", scope="read introspect")
    basic = HTTPBasicAuth(*WEB.values())
    with OAuth2Session("web", token=old) as session:
        new = session.refresh_token(metadata["token_endpoint"], auth=basic)
        assert new["refresh_token"] != old["refresh_token"]
        own = session.post(metadata["introspection_endpoint"], data={"token": new["access_token"]})
        assert (own.status_code, own.json()["active"]) == (200, True)
        by_client = requests.post(
            metadata["introspection_endpoint"], data={"token": new["access_token"]}, auth=basic, timeout=10
        )
        assert by_client.json() == own.json()
        url, headers, body = session._client.prepare_token_revocation_request(
            metadata["revocation_endpoint"].replace("http:", "https:"), new["refresh_token"], "refresh_token"
        )
        gone = requests.post(url.replace("https:", "http:"), data=body, headers=headers, auth=basic, timeout=10)
        assert (gone.status_code, gone.text) == (200, "OK")
        with pytest.raises(InvalidGrantError):
            session.refresh_token(metadata["token_endpoint"], auth=basic)


def test_requests_oauthlib_refreshes_when_a_token_expired(live: Running, metadata: Any) -> None:
    updated: list[dict[str, Any]] = []
    old = {**login(live, client_id="web", scope="introspect"), "expires_in": -1}
    how = {"auto_refresh_url": metadata["token_endpoint"], "auto_refresh_kwargs": WEB}
    with OAuth2Session("web", token=old, **how, token_updater=updated.append) as session:
        told = session.post(metadata["introspection_endpoint"], data={"token": old["access_token"]})
        assert told.json()["active"] is True
        assert updated[0]["refresh_token"] != old["refresh_token"]
    with OAuth2Session("web", token=old) as session, pytest.raises(TokenExpiredError):
        session.get(live.url)
    with OAuth2Session(client=BackendApplicationClient("web", scope=["read"])) as session:
        token = session.fetch_token(metadata["token_endpoint"], auth=HTTPBasicAuth(*WEB.values()))
        assert token["scope"] == ["read"]


def test_our_own_middleware_accepts_its_tokens_by_discovery(live: Running, metadata: Any) -> None:
    tokens = login(live, client_id="spa", scope="read")
    auth = BearerAuth(TrustedIssuer(metadata["issuer"], audience="https://api.example", profile="rfc9068"))
    token = auth.authenticate("Bearer " + tokens["access_token"])
    assert token is not None
    assert (token.subject, token.scopes) == ("alice", {"read"})
    assert auth.health()[metadata["issuer"]]["state"] == "fresh"


def test_httpx_keeps_the_answer_to_a_body_that_was_too_large(live: Running, metadata: Any) -> None:
    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.post(metadata["token_endpoint"], data={"refresh_token": "a" * 10_000_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")
