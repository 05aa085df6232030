"""The endpoints of the issuer, each through WSGI and through ASGI: what they answer, and what they refuse."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwtconnect_mw import BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.issuer import GrantError, Issuer, IssuerApp
from jwtconnect_mw.issuer.answers import grant_refused
from jwtconnect_mw.issuer.bodies import TOO_LARGE, RefusedBody, check_length
from jwtconnect_mw.issuer.forms import MAX_BODY
from jwtconnect_mw.issuer.messages import AccessTokenClaims, write
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock

from .endpoints import (
    CLIENTS,
    FACES,
    FORM,
    ISSUER,
    OTHER_SECRET,
    SECRET,
    WELL_KNOWN,
    House,
    Through,
    basic,
    bearer,
    claims_of,
    house,
    keys,
    refresh,
    refused,
    through_asgi,
    through_wsgi,
)
from .kit import AUDIENCE, NOW

POSTS = ("/token", "/introspect", "/revoke")
INACTIVE = b'{"active": false}'


@pytest.fixture(params=FACES)
def ask(request: pytest.FixtureRequest) -> Through:
    return FACES[request.param]


@pytest.fixture
def here() -> Iterator[House]:
    made = house()
    yield made
    made.app.close()


# --- places ---


def test_paths_and_methods(ask: Through, here: House) -> None:
    for path in POSTS:
        for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE", "post", "PATCH"):
            reply = ask(here.app, path, b"", method=method)
            assert (reply.status, reply.headers["allow"]) == (405, "POST")
            assert reply.body == b"" if method == "HEAD" else reply.json["error"] == "invalid_request"
    for path in ("/jwks", WELL_KNOWN):
        for method in ("POST", "PUT", "OPTIONS"):
            reply = refused(ask(here.app, path, b"", method=method), 405, "invalid_request")
            assert reply.headers["allow"] == "GET, HEAD"
    for path in ("", "/", "/token/", "/Token", "//token", "/token//", "/tenant/token", "http://evil/token", "/t\u00e9",
                 "/token;x", "/token\x00", WELL_KNOWN + "/tenant"):  # fmt: skip
        refused(ask(here.app, path, b""), 404, "invalid_request")


def test_the_metadata_tells_where_the_endpoints_are(ask: Through, here: House) -> None:
    reply = ask(here.app, WELL_KNOWN, method="GET")
    assert reply.status == 200
    assert reply.json == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "jwks_uri": f"{ISSUER}/jwks",
        "grant_types_supported": ["refresh_token", "client_credentials"],
        "response_types_supported": ["none"],
        "scopes_supported": ["read", "write"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }
    evil = ask(here.app, WELL_KNOWN, b"", ("Host", "evil"), ("X-Forwarded-Host", "evil"), method="GET")
    assert evil.body == reply.body


def test_paths_are_configured(ask: Through) -> None:
    paths = {"token": "/a/b/", "introspection": None, "jwks": "/keys.json"}
    made = house({"paths": paths}, metadata={"authorization_endpoint": "https://login.example/authorize"})
    told = ask(made.app, WELL_KNOWN, method="GET").json
    assert (told["token_endpoint"], told["jwks_uri"]) == (f"{ISSUER}/a/b/", f"{ISSUER}/keys.json")
    assert told["authorization_endpoint"] == "https://login.example/authorize"
    assert not [name for name in told if name.startswith("introspection")]
    assert ask(made.app, "/keys.json", method="GET").status == 200
    refused(ask(made.app, "/a/b/"), 400, "invalid_request")
    for gone in ("/introspect", "/token", "/jwks", "/a/b"):
        refused(ask(made.app, gone), 404, "invalid_request")
    made.app.close()


@pytest.mark.parametrize(
    ("issuer", "mount", "base"),
    [
        ("https://as.example", None, "https://as.example"),
        ("https://as.example/", None, "https://as.example"),
        ("https://as.example/t", "/oauth", "https://as.example/oauth"),
        ("https://as.example/t/", "/oauth/v1/", "https://as.example/oauth/v1"),
        ("https://as.example/t", "/", "https://as.example"),
        ("https://as.example", "https://api.example:8443/x", "https://api.example:8443/x"),
        ("http://127.0.0.1:8000/t", None, "http://127.0.0.1:8000/t"),
    ],
)
def test_the_mount_point_decides_the_urls(issuer: str, mount: str | None, base: str) -> None:
    made = house({"mount": mount}, issuer=issuer)
    told = through_wsgi(made.app, WELL_KNOWN, method="GET").json
    assert (told["issuer"], told["token_endpoint"]) == (issuer, base + "/token")


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("paths", {"paths": {"tokens": "/token"}}),
        ("paths", {"paths": {"token": "token"}}),
        ("paths", {"paths": {"token": ""}}),
        ("paths", {"paths": {"token": "/a//b"}}),
        ("paths", {"paths": {"token": "/../b"}}),
        ("paths", {"paths": {"token": "/a%20b"}}),
        ("paths", {"paths": {"token": "/a?b"}}),
        ("paths", {"paths": {"token": "/a#b"}}),
        ("paths", {"paths": {"token": "/\u00e9"}}),
        ("paths", {"paths": {"token": 5}}),
        ("paths", {"paths": {"token": "/jwks"}}),
        ("mount", {"mount": 5}),
        ("mount", {"mount": ""}),
        ("mount", {"mount": "oauth"}),
        ("mount", {"mount": "/a b"}),
        ("mount", {"mount": "//evil"}),
        ("mount", {"mount": "http://as.example"}),
        ("mount", {"mount": "https://as.example/?a=b"}),
        ("mount", {"mount": "https://as.example/#a"}),
        ("threads", {"threads": 0}),
        ("threads", {"threads": True}),
        ("allow_memory", {"allow_memory": "false"}),
        ("waiting", {"waiting": -1}),
        ("waiting", {"waiting": 1.5}),
    ],
)
def test_settings_are_checked(field: str, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        house(setting)
    assert caught.value.field == field


def test_metadata_that_would_be_wrong_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        house(metadata={"response_types_supported": []})
    assert caught.value.field == "metadata"


def test_an_issuer_that_is_no_url_has_no_metadata() -> None:
    with pytest.raises(ConfigurationError) as caught:
        house(issuer="me")
    assert caught.value.field == "issuer"
    made = house({"paths": {"metadata": None}}, issuer="me")
    assert through_wsgi(made.app, "/jwks", method="GET").status == 200
    refused(through_wsgi(made.app, WELL_KNOWN, method="GET"), 404, "invalid_request")
    for wrap in (made.app.well_known, made.app.well_known_asgi):
        with pytest.raises(ConfigurationError):
            wrap(None)  # type: ignore[operator]


# --- documents ---


@pytest.mark.parametrize("path", ["/jwks", WELL_KNOWN])
def test_documents_can_be_cached(ask: Through, here: House, path: str) -> None:
    reply = ask(here.app, path, method="GET")
    tag = reply.headers["etag"]
    caching = "public, max-age=300, stale-while-revalidate=60"
    assert (reply.status, reply.headers["cache-control"]) == (200, caching)
    assert reply.headers["content-type"] == "application/json"
    assert int(reply.headers["content-length"]) == len(reply.body)
    head = ask(here.app, path, method="HEAD")
    assert (head.status, head.headers, head.body) == (200, reply.headers, b"")
    for condition in (tag, f'"a", {tag}', f"W/{tag}", "*", f' {tag} ,"b"'):
        unchanged = ask(here.app, path, b"", ("If-None-Match", condition), method="GET")
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert (unchanged.headers["etag"], unchanged.headers["cache-control"]) == (tag, caching)
        assert not {"content-type", "content-length"} & set(unchanged.headers)
    for condition in ('"a"', tag.strip('"'), tag[:-2] + '"', "", '"' * 60_000, tag + "," * 2000, "\xff\x00"):
        assert ask(here.app, path, b"", ("If-None-Match", condition), method="GET").status == 200


def test_the_key_set(ask: Through) -> None:
    made = house(keys=None)
    first = ask(made.app, "/jwks", method="GET")
    assert first.json == made.issuer.key_set()
    assert not [key for key in first.json["keys"] if "kid" not in key or key["kty"] == "oct" or "d" in key]
    made.issuer.keys.rotate()
    second = ask(made.app, "/jwks", b"", ("If-None-Match", first.headers["etag"]), method="GET")
    assert (second.status, len(second.json["keys"])) == (200, 2)
    assert second.headers["etag"] != first.headers["etag"]


# --- the token endpoint ---


def test_a_refresh(ask: Through, here: House) -> None:
    tokens = here.issuer.issue("alice", scope="read write", client_id="web")
    reply = ask(here.app, "/token", refresh(tokens.refresh_token, scope="read"), basic())
    assert reply.status == 200
    assert (reply.headers["cache-control"], reply.headers["pragma"]) == ("no-store", "no-cache")
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json
    assert set(answer) == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 1800, "read")
    claims = claims_of(answer["access_token"])
    assert (claims["sub"], claims["scope"], claims["client_id"], claims["iss"]) == ("alice", "read", "web", ISSUER)
    assert json.loads(write(AccessTokenClaims, claims))["sub"] == "alice"
    again = claims_of(answer["refresh_token"])
    assert (again["seq"], again["scope"]) == (1, "read write")


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, [basic()]),
        ({}, [basic(encoded=True)]),
        ({"client_id": "web"}, [basic()]),
        ({"client_id": "web", "client_secret": SECRET}, []),
        ({"client_id": "web", "client_secret": ""}, [basic()]),  # without a value: as if omitted
        ({"unknown": "x", "scope": ""}, [basic()]),
        ({"resource": "https://mcp.example/"}, [basic()]),
        ({"resource": AUDIENCE}, [basic()]),
    ],
)
def test_ways_to_ask_for_a_refresh(ask: Through, here: House, form: dict[str, str], headers: Any) -> None:
    tokens = here.issuer.issue("alice", scope="read", client_id="web")
    reply = ask(here.app, "/token", {**refresh(tokens.refresh_token), **form}, *headers)
    assert (reply.status, reply.json["scope"]) == (200, "read")
    assert claims_of(reply.json["access_token"])["aud"] == claims_of(tokens.access_token)["aud"]


def test_public_clients_refresh_by_name_or_without(ask: Through, here: House) -> None:
    for client_id, form in ((None, {}), (None, {"client_id": "first-party"}), ("spa", {"client_id": "spa"})):
        token = here.issuer.issue("alice", client_id=client_id).refresh_token
        reply = ask(here.app, "/token", refresh(token, **form))
        assert reply.status == 200
        assert "scope" not in reply.json
    token = here.issuer.issue("alice", client_id="spa").refresh_token
    refused(ask(here.app, "/token", refresh(token, client_id="first-party")), 400, "invalid_grant")
    refused(ask(here.app, "/token", refresh(token), basic()), 400, "invalid_grant")
    assert ask(here.app, "/token", refresh(token, client_id="spa")).status == 200


def test_a_token_of_a_client_with_a_secret_needs_it(ask: Through, here: House) -> None:
    token = here.issuer.issue("alice", client_id="web").refresh_token
    for form, headers in [
        ({"client_id": "web"}, []),
        ({}, [basic(secret="wrong")]),
        ({}, [basic("nobody")]),
        ({"client_id": "web", "client_secret": "wrong"}, []),
        ({"client_id": "nobody"}, []),
        ({}, [bearer("x")]),
        ({}, [("Authorization", "Basic")]),
        ({}, [("Authorization", "Basic ????")]),
        ({}, [("Authorization", "Digest a=b, c=d")]),
        ({}, [("Authorization", "Basic " + "A" * 60_000)]),
        ({}, [("Authorization", "\xff")]),
        ({}, [("Authorization", "")]),
    ]:
        reply = refused(ask(here.app, "/token", {**refresh(token), **form}, *headers), 401, "invalid_client")
        assert reply.headers["www-authenticate"] == f'Basic realm="{ISSUER}"'
    unnamed = ask(here.app, "/token", refresh(token))
    assert (unnamed.status, unnamed.json["error"]) in ((400, "invalid_grant"), (401, "invalid_client"))
    refused(ask(here.app, "/token", refresh(token), basic("api", OTHER_SECRET)), 400, "invalid_grant")
    assert ask(here.app, "/token", refresh(token), basic()).status == 200


def test_two_authentication_methods(ask: Through, here: House) -> None:
    token = here.issuer.issue("alice", client_id="web").refresh_token
    twice = ("Authorization", f"{basic()[1]},{basic()[1]}")
    for form, headers in [
        ({"client_secret": SECRET}, [basic()]),
        ({"client_id": "web", "client_secret": SECRET}, [basic()]),
        ({"client_id": "api"}, [basic()]),
        ({}, [basic(), basic()]),
        ({}, [twice]),
        ({}, [basic(), bearer("x")]),
    ]:
        for path in ("/token", "/introspect", "/revoke"):
            refused(ask(here.app, path, {**refresh(token), "token": "x", **form}, *headers), 400, "invalid_request")
    refused(ask(here.app, "/introspect", {"token": "x", "client_secret": SECRET}, bearer("x")), 400, "invalid_request")
    assert ask(here.app, "/token", refresh(token), basic()).status == 200


def test_client_credentials(ask: Through, here: House) -> None:
    form = {"grant_type": "client_credentials"}
    reply = ask(here.app, "/token", form, basic())
    assert (reply.status, set(reply.json)) == (200, {"access_token", "token_type", "expires_in", "scope"})
    claims = claims_of(reply.json["access_token"])
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("web", "web", "read write")
    narrow = ask(here.app, "/token", {**form, "scope": "read", "resource": AUDIENCE}, basic())
    assert claims_of(narrow.json["access_token"])["scope"] == "read"
    refused(ask(here.app, "/token", {**form, "scope": "admin"}, basic()), 400, "invalid_scope")
    refused(ask(here.app, "/token", {**form, "resource": "https://other.example"}, basic()), 400, "invalid_target")
    refused(ask(here.app, "/token", form), 401, "invalid_client")
    refused(ask(here.app, "/token", {**form, "client_id": "spa"}), 400, "unauthorized_client")
    nobody = house(clients=None)
    refused(ask(nobody.app, "/token", form, basic()), 400, "unsupported_grant_type")
    assert "client_credentials" not in ask(nobody.app, WELL_KNOWN, method="GET").json["grant_types_supported"]
    nobody.app.close()


def test_grants_that_are_refused(ask: Through, here: House) -> None:
    for form, error in [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token\x00"}, "unsupported_grant_type"),
        (refresh("garbage"), "invalid_grant"),
        (refresh(here.issuer.issue("alice").access_token), "invalid_grant"),
        (refresh(here.issuer.issue("alice").refresh_token + "x"), "invalid_grant"),
        (refresh(here.issuer.issue("alice", scope="read").refresh_token, scope="read write"), "invalid_scope"),
        (refresh(here.issuer.issue("alice", scope="read").refresh_token, scope='"'), "invalid_scope"),
    ]:
        refused(ask(here.app, "/token", form), 400, error)


# --- introspection ---


def test_introspection(ask: Through, here: House) -> None:
    tokens = here.issuer.issue("alice", scope="read", client_id="web")
    reply = ask(here.app, "/introspect", {"token": tokens.access_token}, basic())
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["active"] is True
    claims = claims_of(tokens.access_token)
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    assert reply.json == {"active": True, **claims, "aud": audience, "token_type": "Bearer"}
    for hint in ("access_token", "refresh_token", "no such", ""):
        hinted = ask(here.app, "/introspect", {"token": tokens.access_token, "token_type_hint": hint}, basic())
        assert hinted.json == reply.json
    refreshing = ask(here.app, "/introspect", {"token": tokens.refresh_token}, basic(encoded=True)).json
    assert (refreshing["active"], refreshing["sub"], refreshing["scope"]) == (True, "alice", "read")
    assert "token_type" not in refreshing
    by_audience = ask(here.app, "/introspect", {"token": tokens.access_token}, basic("api", OTHER_SECRET))
    assert by_audience.json == reply.json
    post = {"token": tokens.access_token, "client_id": "web", "client_secret": SECRET}
    assert ask(here.app, "/introspect", post).json == reply.json


def test_introspection_by_a_bearer(ask: Through, here: House) -> None:
    mine = here.issuer.issue("alice", scope="introspect")
    other, theirs = here.issuer.issue("alice", client_id="web"), here.issuer.issue("bob")
    me = bearer(mine.access_token)
    assert ask(here.app, "/introspect", {"token": mine.access_token}, me).json["active"]
    assert ask(here.app, "/introspect", {"token": other.refresh_token}, me).json["active"]
    assert ask(here.app, "/introspect", {"token": theirs.access_token}, me).body == INACTIVE
    to_the_issuer = here.issuer.issue("alice", scope="introspect", audience=ISSUER)
    assert ask(here.app, "/introspect", {"token": mine.access_token}, bearer(to_the_issuer.access_token)).json["active"]


def test_bearers_that_may_not_introspect(ask: Through, here: House) -> None:
    form = {"token": "x"}
    good = here.issuer.issue("alice", scope="introspect")
    elsewhere = here.issuer.issue("alice", scope="introspect", audience="https://elsewhere.example")
    foreign = Issuer(ISSUER, audience=AUDIENCE, keys=None, revocations=MemoryRevocationList(), clock=here.clock)
    for token in (
        "x",
        good.access_token + "x",
        good.refresh_token,
        elsewhere.access_token,
        foreign.issue("alice", scope="introspect").access_token,
    ):
        reply = refused(ask(here.app, "/introspect", form, bearer(token or "")), 401, "invalid_token")
        assert reply.headers["www-authenticate"].startswith(f'Bearer realm="{ISSUER}", error="invalid_token"')
    no_scope = here.issuer.issue("alice", scope="read").access_token
    reply = refused(ask(here.app, "/introspect", form, bearer(no_scope)), 403, "insufficient_scope")
    assert reply.headers["www-authenticate"].endswith('scope="introspect"')
    for value in ("Bearer", "Bearer a b", "Bearer \xff", "bearer " + "a" * 17_000):
        refused(ask(here.app, "/introspect", form, ("Authorization", value)), 400, "invalid_request")
    refused(ask(here.app, "/introspect", form, bearer("x"), bearer("x")), 400, "invalid_request")
    me = bearer(good.access_token)
    assert ask(here.app, "/introspect", form, me).body == INACTIVE
    here.issuer.revoke(token=good.refresh_token)
    refused(ask(here.app, "/introspect", form, me), 401, "invalid_token")


def test_a_key_that_was_dropped_is_no_good_for_a_bearer(ask: Through) -> None:
    made = house(keys=None)
    me = bearer(made.issuer.issue("alice", scope="introspect").access_token)
    assert ask(made.app, "/introspect", {"token": "x"}, me).status == 200
    made.issuer.keys.drop(made.issuer.keys.signer().kid)
    refused(ask(made.app, "/introspect", {"token": "x"}, me), 401, "invalid_token")
    made.app.close()


def test_a_host_may_bring_its_own_check_of_bearers(ask: Through) -> None:
    issuer = Issuer(ISSUER, audience=AUDIENCE, keys=keys(), revocations=MemoryRevocationList(), clients=CLIENTS)
    auth = BearerAuth(TrustedIssuer(ISSUER, audience="https://special", keys=issuer.key_set()), optional="missing")
    app = IssuerApp(issuer, auth=auth, allow_memory=True)
    special = issuer.issue("alice", scope="introspect", audience="https://special")
    assert ask(app, "/introspect", {"token": special.access_token}, bearer(special.access_token)).json["active"]
    usual = issuer.issue("alice", scope="introspect")
    refused(ask(app, "/introspect", {"token": "x"}, bearer(usual.access_token)), 401, "invalid_token")
    lax = IssuerApp(
        issuer,
        auth=BearerAuth(TrustedIssuer(ISSUER, audience="x", keys=issuer.key_set()), optional="invalid"),
        allow_memory=True,
    )
    reply = refused(ask(lax, "/introspect", {"token": "x"}, bearer(usual.access_token)), 401, "unauthorized")
    assert reply.headers["www-authenticate"] == f'Bearer realm="{ISSUER}"'
    app.close()
    lax.close()


def test_who_may_not_introspect_at_all(ask: Through, here: House) -> None:
    token = here.issuer.issue("alice", client_id="spa").access_token
    for form, headers in [
        ({}, []),
        ({"client_id": "spa"}, []),
        ({"client_id": "web"}, []),
        ({"client_id": "web", "client_secret": "x"}, []),
        ({}, [basic(secret="x")]),
        ({}, [basic("spa", "")]),
    ]:
        refused(ask(here.app, "/introspect", {"token": token, **form}, *headers), 401, "invalid_client")
    refused(ask(here.app, "/introspect", {}, basic()), 400, "invalid_request")


def test_introspection_reveals_nothing_to_who_may_not_see(ask: Through, here: House) -> None:
    foreign = here.issuer.issue("alice", client_id="web", audience="https://elsewhere.example")
    revoked = here.issuer.issue("alice", client_id="stranger")
    here.issuer.revoke(token=revoked.refresh_token)
    expired = here.issuer.issue("alice", client_id="stranger")
    stranger = basic("stranger", CLIENTS["stranger"]["secret"])
    assert ask(here.app, "/introspect", {"token": expired.refresh_token}, stranger).json["active"]
    here.clock.advance(4000)
    fresh = here.issuer.issue("alice", client_id="web").access_token
    signed_elsewhere = Issuer(ISSUER, audience=AUDIENCE, revocations=MemoryRevocationList(), clock=here.clock)
    tokens = [
        foreign.access_token, foreign.refresh_token, revoked.access_token, revoked.refresh_token, fresh, fresh + "x",
        expired.access_token, expired.refresh_token, signed_elsewhere.issue("alice").access_token, "x", "a.b.c",
        "a" * 20_000, "..", "{}", "null", "%00",
    ]  # fmt: skip
    replies = {
        (reply.status, reply.body, tuple(sorted(reply.headers.items())))
        for reply in (ask(here.app, "/introspect", {"token": token}, stranger) for token in tokens)
    }
    assert len(replies) == 1
    ((status, body, _),) = replies
    assert (status, body) == (200, INACTIVE)


# --- revocation ---


def test_revocation_answers_alike(ask: Through, here: House) -> None:
    mine = here.issuer.issue("alice", client_id="web")
    theirs = here.issuer.issue("alice", client_id="spa")
    replies = [
        ask(here.app, "/revoke", {"token": token, "token_type_hint": hint}, basic())
        for token in (mine.refresh_token, mine.refresh_token, theirs.refresh_token, "garbage", "a.b.c")
        for hint in ("refresh_token", "", "no such hint")
    ]
    assert {(reply.status, reply.body, reply.headers["cache-control"]) for reply in replies} == {
        (200, b"OK", "no-store")
    }
    for token in (mine.access_token, mine.refresh_token):
        assert ask(here.app, "/introspect", {"token": token}, basic()).body == INACTIVE
    refused(ask(here.app, "/token", refresh(mine.refresh_token), basic()), 400, "invalid_grant")
    assert ask(here.app, "/token", refresh(theirs.refresh_token, client_id="spa")).status == 200


def test_an_access_token_is_revoked_alone(ask: Through, here: House) -> None:
    tokens = here.issuer.issue("alice", client_id="web")
    assert ask(here.app, "/revoke", {"token": tokens.access_token}, basic()).status == 200
    assert ask(here.app, "/introspect", {"token": tokens.access_token}, basic()).body == INACTIVE
    assert ask(here.app, "/introspect", {"token": tokens.refresh_token}, basic()).json["active"]


def test_public_clients_revoke_their_own(ask: Through, here: House) -> None:
    spa, party = here.issuer.issue("alice", client_id="spa"), here.issuer.issue("alice")
    ask(here.app, "/revoke", {"token": party.refresh_token, "client_id": "spa"})
    assert ask(here.app, "/token", refresh(party.refresh_token)).status == 200
    assert ask(here.app, "/revoke", {"token": spa.refresh_token, "client_id": "spa"}).body == b"OK"
    refused(ask(here.app, "/token", refresh(spa.refresh_token, client_id="spa")), 400, "invalid_grant")
    refused(ask(here.app, "/revoke", {"token": "x"}, basic(secret="x")), 401, "invalid_client")
    refused(ask(here.app, "/revoke", {"client_id": "spa"}), 400, "invalid_request")


def test_nobody_who_is_not_named_revokes_what_a_client_with_a_secret_has(ask: Through, here: House) -> None:
    tokens = here.issuer.issue("alice", client_id="web")
    ask(here.app, "/revoke", {"token": tokens.refresh_token})
    ask(here.app, "/revoke", {"token": tokens.refresh_token, "client_id": "web"})
    assert ask(here.app, "/introspect", {"token": tokens.access_token}, basic()).json["active"]


def test_who_is_not_named_ends_its_own_session(ask: Through, here: House) -> None:
    for client_id in (None, "spa"):
        tokens = here.issuer.issue("alice", client_id=client_id)
        assert ask(here.app, "/revoke", {"token": tokens.refresh_token}).body == b"OK"
        refused(ask(here.app, "/token", refresh(tokens.refresh_token)), 400, "invalid_grant")


# --- malformed requests ---


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b"", {}),
        (b"token=x&token=x&grant_type=refresh_token&grant_type=refresh_token", {}),
        (b"token=%FF&grant_type=%FF", {}),
        (b"token=\xff", {}),
        (b"token=%ED%A0%80&grant_type=refresh_token&refresh_token=%ED%A0%80", {}),
        (b"token=%00&grant_type=refresh_token&refresh_token=%00", {}),
        (b"token=%0A&grant_type=refresh_token&refresh_token=%0A", {}),
        (b"token=%&grant_type=refresh_token&refresh_token=%", {}),
        (b"token=x&grant_type=refresh_token&refresh_token=x&" + b"a=b&" * 40, {}),
        (b"token=x&grant_type=refresh_token&refresh_token=x", {"content_type": "application/json"}),
        (b'{"token": "x"}', {"content_type": "application/json"}),
        (b"token=x&grant_type=refresh_token&refresh_token=x", {"content_type": None}),
        (b"token=x&grant_type=refresh_token&refresh_token=x", {"content_type": FORM + "; charset=latin-1"}),
        (b"token=x&grant_type=refresh_token&refresh_token=x", {"content_type": "\xff" * 60_000}),
        (b"--x\r\n", {"content_type": "multipart/form-data; boundary=x"}),
    ],
)
def test_malformed_requests(ask: Through, here: House, path: str, body: bytes, more: dict[str, Any]) -> None:
    refused(ask(here.app, path, body, basic(), **more), 400, "invalid_request")


@pytest.mark.parametrize("path", POSTS)
def test_bodies_that_are_too_large(ask: Through, here: House, path: str) -> None:
    full = b"token=x&grant_type=refresh_token&refresh_token=x&a="
    full += b"b" * (MAX_BODY - len(full))
    assert ask(here.app, path, full, basic()).json if path != "/revoke" else True
    assert ask(here.app, path, full, basic()).status != 413
    refused(ask(here.app, path, full + b"b", basic()), 413, "invalid_request")
    refused(ask(here.app, path, b"a" * 10_000_000, basic()), 413, "invalid_request")


class Endless:
    """A body that never ends, and counts what was read of it."""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.served = chunk, 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= MAX_BODY + 1
        self.served += min(size, self.chunk)
        return b"a" * min(size, self.chunk)

    def readline(self, size: int = -1) -> bytes:
        raise AssertionError

    readlines = __iter__ = readline


class Broken(Endless):
    def __init__(self, error: type[Exception]) -> None:
        super().__init__(0)
        self.error = error

    def read(self, size: int = -1) -> bytes:
        raise self.error("a secret of the server's")


@pytest.mark.parametrize("chunk", [1000, MAX_BODY, 10**6])
def test_a_body_of_unknown_length_is_read_up_to_the_limit(here: House, chunk: int) -> None:
    body = Endless(chunk)
    reply = through_wsgi(here.app, "/token", CONTENT_LENGTH=..., wsgi__input=body, wsgi__input_terminated=True)
    refused(reply, 413, "invalid_request")
    assert body.served == MAX_BODY + 1
    for length in (True, False):
        content = b"grant_type=x&a=" + b"b" * MAX_BODY
        reply = through_asgi(here.app, "/token", content, chunk=chunk, length=length)
        refused(reply, 413, "invalid_request")


def test_a_chunked_body_within_the_limit(here: House) -> None:
    import io

    content = io.BytesIO(b"grant_type=refresh_token&refresh_token=x")
    reply = through_wsgi(here.app, "/token", CONTENT_LENGTH=..., wsgi__input=content, wsgi__input_terminated=True)
    refused(reply, 400, "invalid_grant")
    reply = through_asgi(here.app, "/token", content.getvalue(), chunk=3, length=False)
    refused(reply, 400, "invalid_grant")


def test_too_large_a_length_is_refused_unread(here: House) -> None:
    body = Endless(10)
    for length in ("65537", "9" * 18, "9" * 30, "9" * 5000):
        refused(through_wsgi(here.app, "/token", CONTENT_LENGTH=length, wsgi__input=body), 413, "invalid_request")
        reply = through_asgi(here.app, "/token", b"", ("Content-Length", length), length=False)
        refused(reply, 413, "invalid_request")
    assert body.served == 0


def test_a_length_has_so_many_digits_and_no_more() -> None:
    check_length("5".zfill(19))
    with pytest.raises(RefusedBody) as caught:
        check_length("5".zfill(20))
    assert caught.value.answer is TOO_LARGE


@pytest.mark.parametrize("length", ["-1", "+1", "abc", "1e3", "0x10", "1_0", " 5", "5 5", "5,5", "\u0665"])
def test_lengths_that_are_none(here: House, length: str) -> None:
    # The validator of wsgiref wants a number; servers that let others through are answered all the same.
    from .adapters import wsgi_environ

    environ = wsgi_environ([], "POST", "/token") | {"CONTENT_LENGTH": length, "CONTENT_TYPE": FORM}
    got: list[str] = []
    body = b"".join(here.app(environ, lambda status, headers, exc=None: got.append(status)))  # type: ignore[arg-type]
    assert got[0].startswith("400 ")
    assert json.loads(body)["error"] == "invalid_request"
    if length.isascii():
        reply = through_asgi(here.app, "/token", b"", ("Content-Length", length), length=False)
        refused(reply, 400, "invalid_request")
    refused(through_asgi(here.app, "/token", b"a=b", ("Content-Length", "3")), 400, "invalid_request")


@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError, EOFError, TimeoutError])
@pytest.mark.parametrize("terminated", [True, False])
def test_a_body_that_cannot_be_read(here: House, error: type[Exception], terminated: bool) -> None:
    more = {"wsgi__input_terminated": True} if terminated else {}
    reply = through_wsgi(here.app, "/token", b"abc", wsgi__input=Broken(error), **more)
    refused(reply, 400, "invalid_request")


class BreaksOff(Broken):
    """All that was meant may have come before: nobody knows."""

    def __init__(self, error: type[Exception], content: bytes) -> None:
        super().__init__(error)
        self.content = content

    def read(self, size: int = -1) -> bytes:
        content, self.content = self.content, b""
        return content if content else super().read(size)


def test_a_body_that_breaks_off_is_not_taken_for_whole(here: House) -> None:
    token = here.issuer.issue("alice", client_id="web").refresh_token or ""
    body = BreaksOff(OSError, f"token={token}".encode())
    reply = through_wsgi(
        here.app, "/revoke", b"", basic(), CONTENT_LENGTH=..., wsgi__input=body, wsgi__input_terminated=True
    )
    refused(reply, 400, "invalid_request")
    assert here.issuer.refresh(token, client_id="web")


def test_a_body_that_ends_early(here: House) -> None:
    refused(through_wsgi(here.app, "/token", b"a=b", CONTENT_LENGTH="50"), 400, "invalid_request")
    # Without a length, and without the server's word that it ends the body, there is none.
    refused(through_wsgi(here.app, "/token", b"a=b", CONTENT_LENGTH=...), 400, "invalid_request")
    refused(through_wsgi(here.app, "/token", b"a=b", CONTENT_LENGTH=""), 400, "invalid_request")


# --- failures ---


def fail(*_: Any, **__: Any) -> Any:
    raise OSError("a secret of the backend's")


class Down(MemoryRevocationList):
    """A list whose backend is down once ``down`` is set."""

    down = False

    def __getattribute__(self, name: str) -> Any:
        methods = ("is_revoked", "advance", "current", "revoke_session", "revoke_token")
        if name in methods and object.__getattribute__(self, "down"):
            return fail
        return super().__getattribute__(name)


def test_a_backend_that_is_down(ask: Through, caplog: pytest.LogCaptureFixture) -> None:
    down = Down(clock=ManualClock(NOW))
    made = house(revocations=down)
    tokens = made.issuer.issue("alice", client_id="web", scope="introspect")
    down.down = True
    for path, form, header in [
        ("/token", refresh(tokens.refresh_token), basic()),
        ("/introspect", {"token": tokens.access_token}, basic()),
        ("/introspect", {"token": tokens.access_token}, bearer(tokens.access_token)),
        ("/revoke", {"token": tokens.access_token}, basic()),
        ("/revoke", {"token": tokens.refresh_token}, basic()),
    ]:
        refused(ask(made.app, path, form, header), 503, "temporarily_unavailable")
    assert "a secret" not in caplog.text
    made.app.close()


def test_a_defect_is_told_to_the_log_alone(ask: Through, caplog: pytest.LogCaptureFixture) -> None:
    class Defect(Issuer):
        def refresh(self, *_: Any, **__: Any) -> Any:
            raise KeyError("a secret") from ValueError("another secret")

    made = house()
    made.issuer.__class__ = Defect
    token = made.issuer.issue("alice").refresh_token
    with caplog.at_level(logging.DEBUG):
        refused(ask(made.app, "/token", refresh(token)), 500, "server_error")
    assert "the token endpoint failed with KeyError" in caplog.text
    assert "raise KeyError" in caplog.text  # where it was, as the source has it
    for secret in (token or "", "another secret'"):
        assert secret not in caplog.text
    made.app.close()


class Shared(MemoryRevocationList):
    shared = True


@pytest.mark.parametrize("kept", [{}, {"keys": None, "revocations": Shared(clock=ManualClock(NOW))}])
def test_several_processes_need_a_shared_list_and_shared_keys(
    kept: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = house({"allow_memory": False}, **kept)
    token = made.issuer.issue("alice").refresh_token
    for path in POSTS:
        refused(through_wsgi(made.app, path, refresh(token)), 503, "temporarily_unavailable")
    (record,) = [record for record in caplog.records if "several processes" in record.message]
    assert record.levelno == logging.ERROR
    assert "allow_memory=True" in record.message
    assert through_wsgi(made.app, "/jwks", method="GET").status == 200
    assert through_wsgi(made.app, "/token", refresh(token), wsgi__multiprocess=False).status == 200
    assert through_asgi(made.app, "/token", refresh(token)).status == 200
    made.app.close()
    shared = house({"allow_memory": False}, revocations=Shared(clock=ManualClock(NOW)))
    assert through_wsgi(shared.app, "/token", refresh(shared.issuer.issue("alice").refresh_token)).status == 200


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture, here: House) -> None:
    with caplog.at_level(logging.DEBUG):
        for ask in FACES.values():
            tokens = here.issuer.issue("alice", client_id="web", scope="introspect")
            seen = [tokens.access_token, tokens.refresh_token or "", SECRET, basic()[1], "wrong-secret"]
            answer = ask(here.app, "/token", refresh(tokens.refresh_token), basic()).json
            seen += [answer["access_token"], answer["refresh_token"]]
            ask(here.app, "/token", refresh(tokens.refresh_token), basic(secret="wrong-secret"))
            ask(here.app, "/token", refresh("garbage" + (tokens.refresh_token or "")), basic())
            ask(here.app, "/introspect", {"token": tokens.access_token}, basic())
            ask(here.app, "/introspect", {"token": tokens.access_token}, bearer(tokens.access_token))
            ask(here.app, "/revoke", {"token": tokens.access_token}, basic())
            for secret in seen:
                assert secret not in caplog.text
    assert "alice" not in caplog.text


def grant_errors(kind: type[GrantError] = GrantError) -> list[type[GrantError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in grant_errors(child))]


def test_every_error_of_the_issuer_can_be_answered() -> None:
    for kind in grant_errors():
        answer = grant_refused(kind(), ISSUER)
        assert (answer.status, json.loads(answer.body)["error"]) == (kind.status, kind.error)
        assert ("WWW-Authenticate" in dict(answer.headers)) == (kind.status == 401)


# --- whatever is sent ---

_headers = st.sampled_from(["Authorization", "If-None-Match", "Cookie", "Host", "Origin"])
_value = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
_form = st.dictionaries(
    st.sampled_from(["grant_type", "refresh_token", "token", "client_id", "client_secret", "scope", "resource", "x"]),
    st.sampled_from(["refresh_token", "client_credentials", "web", "spa", SECRET, "read", "", "x"])
    | st.text(max_size=9),
)
_requests = st.fixed_dictionaries(
    {
        "path": st.sampled_from([*POSTS, "/jwks", WELL_KNOWN]) | st.text("/tokenjwks.%\u00e9", max_size=12),
        "method": st.sampled_from(["POST", "POST", "GET", "HEAD", "OPTIONS", "X"]),
        "body": st.binary(max_size=80) | st.text("token=&%+;refresh_0aF", max_size=80).map(str.encode) | _form,
        "headers": st.lists(
            st.tuples(_headers, _value)
            | st.builds(basic, st.sampled_from(["web", "spa", ""]), st.sampled_from([SECRET, ""]))
            | st.builds(bearer, st.text(max_size=9).filter(str.isascii).filter(str.isprintable)),
            max_size=3,
        ),
        "content_type": st.sampled_from([FORM, FORM, None, "application/json"]) | _value,
    }
)
HELD = house()


@pytest.mark.parametrize("name", FACES)
@given(request=_requests)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_sent_gets_an_answer_of_ours(name: str, request: dict[str, Any]) -> None:
    try:
        reply = FACES[name](
            HELD.app,
            request["path"].encode().decode("latin-1"),
            request["body"],
            *request["headers"],
            method=request["method"],
            content_type=request["content_type"],
        )
    except UnicodeEncodeError:  # a lone surrogate, which the test itself cannot encode
        return
    assert reply.status in (200, 304, 400, 401, 403, 404, 405)
    if reply.status >= 400 and request["method"] != "HEAD":
        assert set(reply.json) == {"error", "error_description"}
        assert ("www-authenticate" in reply.headers) == (reply.status in (401, 403))


def test_the_standing_clock() -> None:
    assert HELD.clock() == NOW
