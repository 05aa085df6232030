"""Strict npm clients and resource servers against a live issuer, end to end, without a special case for any.

The scripts in tests/real do the driving and tell what they saw; what the libraries do not accept makes them fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import jwt as pyjwt
import pytest

from .live.servers import PATIENCE, Running, started
from .real.issuers import driven, install

pytestmark = [pytest.mark.node, pytest.mark.live]
API = "https://api.example"
# Percent-encoding changes nearly all of these; tests/live/issuing.py has the same ones.
CLIENT, SECRET = "odd client/1+%", "a:b/c+d e%41f~'\"\\&=?#<>; more than 32 characters"
METHODS = ("client_secret_basic", "client_secret_post", "none")
JSON, TEXT = "application/json", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Live:
    """An issuer on a server: ``path`` of its URL, ``alg`` of its keys."""

    running: Running
    path: str
    alg: str

    @property
    def issuer(self) -> str:
        return self.running.url + self.path

    def task(self, method: str = "client_secret_basic", scope: str = "read introspect") -> dict[str, Any]:
        """What a script needs: a session that has just begun, and who its client is."""
        client = {"client_id": "spa"} if method == "none" else {"client_id": CLIENT, "client_secret": SECRET}
        asked = {"client_id": client["client_id"], "scope": scope}
        with httpx.Client(base_url=self.running.url, timeout=PATIENCE, trust_env=False) as http:
            tokens = http.get("/login", params=asked).json()
        head, _, signature = tokens["access_token"].rpartition(".")
        return {
            "issuer": self.issuer,
            "metadata": f"{self.running.url}/.well-known/oauth-authorization-server{self.path}",
            "audience": API,
            "alg": self.alg,
            "method": method,
            "access_token": tokens["access_token"],
            "refresh_token": tokens["refresh_token"],
            "tampered": f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
            **client,
        }


ISSUERS = {
    "uvicorn RS256 /tenant": ("uvicorn", "RS256", "/tenant"),
    "gunicorn ES256": ("gunicorn", "ES256", ""),
    "waitress EdDSA /tenants/b": ("waitress", "EdDSA", "/tenants/b"),
    "uvicorn PS256": ("uvicorn", "PS256", ""),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Live]]:
    install()
    with ExitStack() as stack:

        @cache
        def get(name: str) -> Live:
            server, alg, path = ISSUERS[name]
            settings = {"LIVE_ALG": alg, "LIVE_PATH": path}
            folder = tmp_path_factory.mktemp("live")
            return Live(stack.enter_context(started(server, folder, "tests.live.issuing", **settings)), path, alg)

        yield get


@pytest.fixture(params=ISSUERS)
def live(request: pytest.FixtureRequest, start: Callable[[str], Live]) -> Iterator[Live]:
    found = start(request.param)
    yield found
    output = found.running.output()
    print(output)
    assert "Traceback" not in output


every_method = pytest.mark.parametrize("method", METHODS)


def header(token: str) -> dict[str, Any]:
    return pyjwt.get_unverified_header(token)


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = pyjwt.decode(token, options={"verify_signature": False})
    return found


def nulls(value: object) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(nulls(member) for member in members)


def check_answers(answers: list[list[Any]], *, refusals: int) -> None:
    """Exactly 200 where it was good; else 400 or 401, always as JSON. Only a revocation answers with text."""
    for path, status, content_type in answers:
        assert status in (200, 400, 401), (path, status)
        assert content_type == (TEXT if (path, status) == ("/revoke", 200) else JSON), (path, status)
    assert sum(status != 200 for _, status, _ in answers) == refusals


def check_metadata(metadata: dict[str, Any], live: Live) -> None:
    issuer = live.issuer
    assert metadata["issuer"] == issuer
    endpoints = ("token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri")
    assert [metadata[name] for name in endpoints] == [
        issuer + path for path in ("/token", "/introspect", "/revoke", "/jwks")
    ]
    assert metadata["authorization_endpoint"] == issuer + "/authorize"  # a setting, for MCP clients
    assert metadata["response_types_supported"] == ["none"]
    assert not nulls(metadata)


def check_tokens(tokens: dict[str, Any], live: Live, old: str, scope: str = "read introspect") -> None:
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert tokens["token_type"].lower() == "bearer"
    assert (tokens["expires_in"], tokens["scope"]) == (1800, scope)
    assert tokens["refresh_token"] != old
    head = header(tokens["access_token"])
    assert (head["typ"], head["alg"]) == ("at+jwt", live.alg)
    assert head["kid"]


def check_claims(content: dict[str, Any], live: Live, client_id: str) -> None:
    assert (content["iss"], content["aud"]) == (live.issuer, API)
    assert (content["sub"], content["client_id"]) == ("alice", client_id)
    assert isinstance(content["jti"], str)
    assert all(type(content[name]) is int for name in ("iat", "exp", "auth_time"))


def check_challenged(refused: dict[str, Any]) -> None:
    """401 with the challenge that RFC 9110 section 15.5.2 wants; the library reads the challenge first."""
    assert (refused["name"], refused["status"]) == ("WWWAuthenticateChallengeError", 401)
    assert refused["challenge"] == "basic"


def check_refused(refused: dict[str, Any], error: str) -> None:
    assert (refused["name"], refused["status"], refused["error"]) == ("ResponseBodyError", 400, error)
    assert refused["description"]


@every_method
def test_oauth4webapi(live: Live, method: str) -> None:
    task = live.task(method)
    told = driven("client_oauth4webapi.mjs", task)

    check_metadata(told["metadata"], live)
    tokens = told["tokens"]
    check_tokens(tokens, live, task["refresh_token"])
    for name, token in (("claims", tokens["access_token"]), ("first_claims", task["access_token"])):
        assert told[name] == claims(token)
        check_claims(told[name], live, task["client_id"])
    assert told["retry"]["refresh_token"] == tokens["refresh_token"]
    assert told["retry"]["access_token"] != tokens["access_token"]
    for name in ("access", "refresh"):
        assert told[name]["active"] is True
        assert type(told[name]["exp"]) is int
        assert (told[name]["sub"], told[name]["client_id"]) == ("alice", task["client_id"])
        assert not nulls(told[name])
    for name in ("spent", "garbage"):
        assert told[name] == {"active": False}
    assert told["refresh_as_access"]["name"] == "OperationProcessingError"
    for name in ("access_as_refresh", "revoked"):
        check_refused(told[name], "invalid_grant")
    assert told["still_alive"] == "bearer"  # a revoked access token ends itself alone
    if method == "none":
        # It asks as the bearer of the token that was revoked.
        assert told["revoked_access"] == "WWWAuthenticateChallengeError"
        check_answers(told["answers"], refusals=3)
        return
    assert told["revoked_access"] == told["afterwards"] == {"active": False}
    own = told["own"]
    assert set(own["tokens"]) == {"access_token", "token_type", "expires_in", "scope"}
    assert (own["claims"]["sub"], own["claims"]["client_id"]) == (CLIENT, CLIENT)
    assert own["claims"]["scope"] == own["tokens"]["scope"] == "read"
    for name in ("wrong_secret", "wrong_secret_revokes", "wrong_secret_introspects"):
        check_challenged(told[name])
    check_answers(told["answers"], refusals=5)


@every_method
def test_openid_client(live: Live, method: str) -> None:
    task = live.task(method)
    told = driven("client_openid.mjs", task)

    check_metadata(told["metadata"], live)
    check_tokens(told["tokens"], live, task["refresh_token"])
    assert 0 < told["expires_in"] <= 1800
    check_tokens(told["narrowed"], live, task["refresh_token"], "read")  # with a resource, which changes nothing
    assert told["narrowed"]["refresh_token"] == told["tokens"]["refresh_token"]
    assert claims(told["narrowed"]["access_token"])["aud"] == API
    for name in ("access", "refresh", "by_bearer"):
        assert (told[name]["active"], told[name]["client_id"]) == (True, task["client_id"])
    assert told["garbage"] == {"active": False}
    check_refused(told["wider"], "invalid_scope")
    check_refused(told["other_grant"], "unsupported_grant_type")
    check_refused(told["revoked"], "invalid_grant")
    if method != "none":
        assert told["own"]["scope"] == "read"
        assert claims(told["own"]["access_token"])["sub"] == CLIENT
        check_challenged(told["wrong_secret"])
        assert told["afterwards"] == {"active": False}
    check_answers(told["answers"], refusals=3 if method == "none" else 4)


@every_method
def test_the_mcp_client(live: Live, method: str) -> None:
    """It sends ``resource`` with each refresh and its credentials raw, and cannot do without authorization_endpoint."""
    task = live.task(method)
    told = driven("client_mcp.mjs", task)

    check_metadata(told["metadata"], live)
    check_tokens(told["tokens"], live, task["refresh_token"])
    assert (told["garbage"]["name"], told["garbage"]["code"]) == ("InvalidGrantError", "invalid_grant")
    if method != "none":
        assert (told["wrong_secret"]["name"], told["wrong_secret"]["code"]) == ("InvalidClientError", "invalid_client")
    check_answers(told["answers"], refusals=1 if method == "none" else 2)


def test_jose_accepts_access_tokens_by_discovery(live: Live) -> None:
    task = live.task()
    told = driven("api_jose.mjs", task)

    assert told["claims"] == claims(task["access_token"])
    check_claims(told["claims"], live, CLIENT)
    assert told["header"] == header(task["access_token"])
    for key in told["key_set"]["keys"]:
        assert key["kid"]
        assert (key["use"], key["alg"]) == ("sig", live.alg)
        assert key["kty"] in ("RSA", "EC", "OKP")
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
    assert told["refresh"]["code"] == "ERR_JOSE_ALG_NOT_ALLOWED"
    assert told["refresh_without_profile"]["code"] == "ERR_JOSE_NOT_SUPPORTED"  # no key of the set is for HS256
    assert told["tampered"]["code"] == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
    assert told["other_audience"]["code"] == "ERR_JWT_CLAIM_VALIDATION_FAILED"
    check_answers(told["answers"], refusals=0)


def test_express_oauth2_jwt_bearer_accepts_access_tokens_by_discovery(live: Live) -> None:
    task = live.task()
    told = driven("api_express.mjs", task)

    assert told["good"]["status"] == 200
    assert told["good"]["body"]["payload"] == claims(task["access_token"])
    assert told["good"]["body"]["header"] == header(task["access_token"])
    assert told["nothing"]["status"] == 401
    assert (told["admin"]["status"], told["admin"]["body"]["error"]) == (403, "insufficient_scope")
    for name in ("refresh", "tampered"):
        assert (told[name]["status"], told[name]["body"]["error"]) == (401, "invalid_token")
