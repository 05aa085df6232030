"""What clients that other people wrote demand of an issuer, each demand by itself.

The clients themselves are in test_issuer_clients_live.py, test_issuer_python_clients.py and
test_issuer_node_clients.py; what they demand of a resource (RFC 9728) is in test_adapters.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .endpoints import (
    FACES,
    ISSUER,
    SECRET,
    WELL_KNOWN,
    House,
    Reply,
    Through,
    basic,
    bearer,
    claims_of,
    house,
    refresh,
)
from .issuer_kit import part
from .kit import AUDIENCE
from .test_issuer_hosts import bare_wsgi

BOTH = pytest.mark.parametrize("ask", FACES.values(), ids=FACES)
pytestmark = BOTH


@pytest.fixture
def here() -> Iterator[House]:
    made = house(metadata={"authorization_endpoint": f"{ISSUER}/authorize"})
    yield made
    made.app.close()


def tokens(here: House, client_id: str = "web", scope: str = "read") -> Any:
    return here.issuer.issue("alice", client_id=client_id, scope=scope)


def has_null(value: Any) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(has_null(member) for member in members)


def errors(ask: Through, here: House) -> list[Reply]:
    """One answer of each kind that is not good."""
    token = tokens(here).refresh_token
    return [
        ask(here.app, "/token", refresh("garbage"), basic()),
        ask(here.app, "/token", refresh(token), basic(secret="wrong")),
        ask(here.app, "/token", refresh(token, scope="admin"), basic()),
        ask(here.app, "/token", {"grant_type": "password"}),
        ask(here.app, "/token", b"{}", content_type="application/json"),
        ask(here.app, "/introspect", {"token": token}),
        ask(here.app, "/introspect", {"token": token}, bearer("garbage")),
        ask(here.app, "/introspect", {"token": token}, bearer(tokens(here).access_token)),
        ask(here.app, "/revoke", {"token": ""}),
        ask(here.app, "/token", method="GET"),
        ask(here.app, "/nowhere"),
        ask(here.app, "/token", b"a" * 70_000),
    ]


# --- status and errors ---


def test_a_good_answer_is_exactly_200(ask: Through, here: House) -> None:
    """oauth4webapi and openid-client refuse 201, and 204 for a revocation."""
    made = tokens(here)
    answers = [
        ask(here.app, "/token", refresh(made.refresh_token), basic()),
        ask(here.app, "/token", {"grant_type": "client_credentials"}, basic()),
        ask(here.app, "/introspect", {"token": made.access_token}, basic()),
        ask(here.app, "/introspect", {"token": "garbage"}, basic()),
        ask(here.app, "/revoke", {"token": made.access_token}, basic()),
        ask(here.app, "/revoke", {"token": "garbage"}, basic()),
    ]
    assert [answer.status for answer in answers] == [200] * len(answers)


def test_an_error_is_json_with_a_string(ask: Through, here: House) -> None:
    """Authlib, requests-oauthlib and the MCP SDKs read ``error``; HTML or another shape makes them raise elsewhere."""
    for answer in errors(ask, here):
        assert 400 <= answer.status < 500
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json) == {"error", "error_description"}
        assert all(isinstance(value, str) and value for value in answer.json.values())


def test_a_400_has_no_challenge(ask: Through, here: House) -> None:
    """oauth4webapi and openid-client take any challenge for the whole answer."""
    answers = errors(ask, here)
    assert {answer.status for answer in answers} == {400, 401, 403, 404, 405, 413}
    for answer in answers:
        assert ("www-authenticate" in answer.headers) == (answer.status in (401, 403))


# --- the token endpoint ---


def test_the_token_answer(ask: Through, here: House) -> None:
    """requests-oauthlib takes a token without ``expires_in`` for expired; none of them takes null."""
    answer = ask(here.app, "/token", refresh(tokens(here).refresh_token), basic()).json
    assert answer["token_type"].lower() == "bearer"
    assert type(answer["expires_in"]) is int
    assert answer["expires_in"] > 0
    assert answer["scope"] == "read"
    assert not has_null(answer)
    without_scope = ask(here.app, "/token", refresh(tokens(here, scope="").refresh_token), basic()).json
    assert not has_null(without_scope)


ODD = {
    "web": SECRET,
    "a client": "with blanks and + and %2B, of more than 32 characters",
    "https://app.example/client?x=1&y=%41": "a:b:c/d+e=f%41%zz~'\"\\&=?#<>;@[]{}|^`!$*(),",
    "plus+plus": "++++++++++++++++++++++++++++++++++++",
    "percent%20": "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%",
}


@pytest.mark.parametrize(
    ("client_id", "encoded"),
    [(name, encoded) for name in ODD for encoded in (False, True) if encoded or ":" not in name],  # RFC 7617 section 2
)
def test_basic_credentials_raw_and_percent_encoded(ask: Through, client_id: str, encoded: bool) -> None:
    """curl, requests and the MCP SDK send them raw; oauth4webapi and openid-client encode what is not alphanumeric."""
    secret = ODD[client_id]
    made = house(clients={client_id: secret})
    token = made.issuer.issue("alice", client_id=client_id).refresh_token
    assert ask(made.app, "/token", refresh(token), basic(client_id, secret, encoded=encoded)).status == 200
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    assert ask(made.app, "/token", form).status == 200
    wrong = ask(made.app, "/token", refresh(token), basic(client_id, secret + "x", encoded=encoded))
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    made.app.close()


def test_resource_on_refresh(ask: Through, here: House) -> None:
    """MCP clients send it each time, and take a 400 for the end of the session."""
    made = tokens(here)
    for resource in (AUDIENCE, "https://mcp.example/mcp"):
        answer = ask(here.app, "/token", refresh(made.refresh_token, resource=resource), basic())
        assert answer.status == 200
        assert claims_of(answer.json["access_token"])["aud"] == AUDIENCE


# --- metadata and keys ---


@pytest.mark.parametrize("issuer", ["https://as.example", "https://as.example/tenant", "https://as.example/a/b"])
def test_the_metadata(ask: Through, issuer: str) -> None:
    """``issuer`` byte by byte as it is known, ``response_types_supported`` not empty, nothing null; in front of the
    issuer's path. Both MCP SDKs want ``authorization_endpoint`` too.
    """
    made = house(issuer=issuer, metadata={"authorization_endpoint": f"{issuer}/authorize"})
    path = issuer.removeprefix("https://as.example")
    if ask is FACES["wsgi"]:
        answer = ask(made.app.well_known(bare_wsgi), WELL_KNOWN + path, method="GET")
    else:
        answer = ask(made.app.well_known_asgi(made.app.asgi), WELL_KNOWN + path, method="GET")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json
    assert told["issuer"] == issuer
    assert told["response_types_supported"] == ["none"]
    assert told["authorization_endpoint"] == f"{issuer}/authorize"
    assert not has_null(told)
    made.app.close()


def test_the_key_set(ask: Through) -> None:
    """A kid for jose and Authlib; ``use`` is never enc; requests-oauth2client breaks on a kty that it does not know."""
    made = house(keys=None)  # keys of its own, which it may change
    made.issuer.keys.rotate()
    found = ask(made.app, "/jwks", method="GET").json["keys"]
    assert len(found) == 2
    assert len({key["kid"] for key in found}) == 2
    for key in found:
        assert key.get("use", "sig") == "sig"
        assert key["kty"] in ("RSA", "EC", "OKP")
    made.app.close()


def test_the_access_token(ask: Through, here: House) -> None:
    """What validateJwtAccessToken of oauth4webapi checks (RFC 9068)."""
    text = ask(here.app, "/token", refresh(tokens(here).refresh_token), basic()).json["access_token"]
    header, claims = part(text, 0), claims_of(text)
    assert header["typ"] == "at+jwt"
    assert header["kid"] in [key["kid"] for key in here.issuer.key_set()["keys"]]
    assert all(isinstance(claims[name], str) for name in ("iss", "sub", "client_id", "jti"))
    assert all(type(claims[name]) is int for name in ("iat", "exp"))
    assert claims["aud"] == AUDIENCE


# --- introspection and revocation ---


def test_introspection(ask: Through, here: House) -> None:
    """``active`` is a boolean, and alone where it is false; ``exp`` is an integer."""
    made = tokens(here)
    for token in (made.access_token, made.refresh_token):
        told = ask(here.app, "/introspect", {"token": token}, basic()).json
        assert told["active"] is True
        assert type(told["exp"]) is int
        assert not has_null(told)
    for token in ("garbage", here.issuer.issue("bob", client_id="spa").access_token):
        answer = ask(here.app, "/introspect", {"token": token}, basic())
        assert (answer.status, answer.json) == (200, {"active": False})


def test_introspection_is_never_signed(ask: Through, here: House) -> None:
    """The answer of RFC 9701 is for those who ask for it; this issuer has none, and says nothing of it."""
    for accept in ("*/*", "application/json", "application/token-introspection+jwt"):
        answer = ask(here.app, "/introspect", {"token": "x"}, basic(), ("Accept", accept))
        assert answer.headers["content-type"] == "application/json"
    told = ask(here.app, WELL_KNOWN, method="GET").json
    assert not [name for name in told if name.startswith("introspection_signing")]


def test_revocation(ask: Through, here: House) -> None:
    """200 whatever the token and the hint; idpyoidc raises for an empty body and for ``{}``."""
    made = tokens(here)
    for token, hint in [
        ("garbage", {}),
        ("garbage", {"token_type_hint": "refresh_token"}),
        ("garbage", {"token_type_hint": "urn:unheard:of"}),
        (made.access_token, {"token_type_hint": "refresh_token"}),
        (made.refresh_token, {"token_type_hint": "access_token"}),
    ]:
        answer = ask(here.app, "/revoke", {"token": token, **hint}, basic())
        assert (answer.status, answer.body) == (200, b"OK")
        assert answer.headers["content-type"].startswith("text/plain")
    assert ask(here.app, "/token", refresh(made.refresh_token), basic()).json["error"] == "invalid_grant"
