"""The standard endpoints under Django's URLs: the same answers as IssuerApp's, under any prefix."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from .django_kit import MIDDLEWARE, Site, issuing, project, verifying

# Django's settings must be there first.
from django.contrib.auth import get_user_model  # isort: skip
from django.db import transaction  # isort: skip
from django.test import AsyncClient, Client, RequestFactory  # isort: skip
from django.urls import include, path, reverse  # isort: skip

from jwtconnect_mw.django.bodies import read_body
from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.errors import InactiveUser
from jwtconnect_mw.issuer import IssuerApp
from jwtconnect_mw.issuer.bodies import RefusedBody
from jwtconnect_mw.issuer.errors import InvalidGrant

from . import endpoints
from .djproject.databases import empty, migrate
from .endpoints import FORM, basic, bearer, claims_of
from .issuer_kit import API_SECRET, CLIENTS
from .kit import ISSUER, jwks, key

WELL_KNOWN = "/.well-known/oauth-authorization-server"


class Urls:
    urlpatterns = (
        path("oauth/", include("jwtconnect_mw.django.urls")),
        path("t/<str:tenant>/", include(("jwtconnect_mw.django.urls", "jwtconnect_mw"), namespace="tenant")),
        path("old/", include("jwtconnect_mw.django.compat_urls")),
        path("", include("jwtconnect_mw.django.well_known")),
    )


class OnlyWellKnown:
    urlpatterns = (path("", include("jwtconnect_mw.django.well_known")),)


@pytest.fixture(autouse=True)
def user() -> Iterator[Any]:
    migrate()
    manager = get_user_model().objects
    yield manager.create_user("alice", "alice@example.org", first_name="Alice")
    manager.all().delete()
    empty("default")


def here(issuer: Mapping[str, Any] | None = None, **more: Any) -> Any:
    chosen = {"urls": Urls, "middleware": more.pop("middleware", [MIDDLEWARE]), **more.pop("django", {})}
    settings = issuing({"clients": CLIENTS, **(issuer or {})}, user_lookup="username", **more)
    return project(settings, **chosen)


def own() -> ProjectIssuer:
    issuer = wiring().issuer
    assert issuer is not None
    return issuer


def post(place: str, form: Mapping[str, str] | bytes, *headers: tuple[str, str]) -> Any:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    fields = {f"HTTP_{name.upper()}": value for name, value in headers}
    return Client(enforce_csrf_checks=True).generic("POST", place, body, FORM, **fields)


def test_a_session_from_token_to_revocation() -> None:
    with here(claims_map={"first_name": "given_name", "last_name": "family_name"}):
        tokens = own().issue("alice", scope="read", client_id="spa")
        assert claims_of(tokens.access_token)["given_name"] == "Alice"
        assert "family_name" not in claims_of(tokens.access_token)
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token or "", "client_id": "spa"}
        reply = post("/oauth/token", form)
        assert reply.status_code == 200
        assert reply.json()["scope"] == "read"
        access = reply.json()["access_token"]
        told = post("/oauth/introspect", {"token": access}, basic("api", API_SECRET))
        assert (told.status_code, told.json()["active"], told.json()["sub"]) == (200, True, "alice")
        ended = post("/oauth/revoke", {"token": reply.json()["refresh_token"], "client_id": "spa"})
        assert (ended.status_code, ended.content) == (200, b"OK")
        told = post("/oauth/introspect", {"token": access}, basic("api", API_SECRET))
        assert told.json() == {"active": False}
        assert Client().get("/none", HTTP_AUTHORIZATION=f"Bearer {access}").status_code == 401
        for answer in (reply, told, ended):
            assert not answer.cookies
            assert answer.headers["Cache-Control"] == "no-store"


def test_a_client_speaks_for_itself() -> None:
    with here():
        reply = post(
            "/oauth/token",
            {"grant_type": "client_credentials", "scope": "read"},
            basic("web", CLIENTS["web"]["secret"]),
        )
    assert (reply.status_code, claims_of(reply.json()["access_token"])["sub"]) == (200, "web")


REQUESTS: dict[str, tuple[str, str, bytes, tuple[tuple[str, str], ...]]] = {
    "jwks": ("GET", "jwks", b"", ()),
    "jwks, head": ("HEAD", "jwks", b"", ()),
    "jwks, post": ("POST", "jwks", b"", ()),
    "jwks, a condition": ("GET", "jwks", b"", (("If-None-Match", "*"),)),
    "token, get": ("GET", "token", b"", ()),
    "token, nothing": ("POST", "token", b"", ()),
    "token, no form": ("POST", "token", b"[1]", (("Content-Type", "application/json"),)),
    "token, unknown grant": ("POST", "token", b"grant_type=password", ()),
    "token, bad token": ("POST", "token", b"grant_type=refresh_token&refresh_token=x", ()),
    "token, twice": ("POST", "token", b"grant_type=a&grant_type=b", ()),
    "token, bad utf-8": ("POST", "token", b"grant_type=%ff", ()),
    "token, wrong secret": ("POST", "token", b"grant_type=client_credentials", (basic("web", "x" * 32),)),
    "token, large": ("POST", "token", b"a" * 65_537, ()),
    "introspect, nobody": ("POST", "introspect", b"token=x", ()),
    "introspect, bad bearer": ("POST", "introspect", b"token=x", (bearer("x"),)),
    "revoke, unknown": ("POST", "revoke", b"token=x", ()),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_those_of_the_application(name: str) -> None:
    method, place, body, headers = REQUESTS[name]
    kind = dict(headers).get("Content-Type", FORM)
    headers = tuple(pair for pair in headers if pair[0] != "Content-Type")
    with here():
        app = IssuerApp(own(), allow_memory=True)
        expected = endpoints.through_wsgi(app, f"/{place}", body, *headers, method=method, content_type=kind)
        fields = {f"HTTP_{field.upper().replace('-', '_')}": value for field, value in headers}
        reply = Client().generic(method, f"/oauth/{place}", body, CONTENT_TYPE=kind, **fields)
    got = {field.lower(): value for field, value in reply.headers.items()}
    assert (reply.status_code, reply.content) == (expected.status, expected.body)
    assert got == dict(expected.headers)


def test_metadata_tells_where_things_are_included() -> None:
    with here():
        for place, base in (("/oauth", "/oauth"), ("/t/acme", "/t/acme"), ("", "/oauth")):
            found = Client().get(place + WELL_KNOWN, HTTP_HOST="evil.example").json()
            assert found["issuer"] == ISSUER
            assert found["token_endpoint"] == f"{ISSUER}{base}/token"
            assert found["introspection_endpoint"] == f"{ISSUER}{base}/introspect"
            assert found["revocation_endpoint"] == f"{ISSUER}{base}/revoke"
            assert found["jwks_uri"] == f"{ISSUER}{base}/jwks"
        reply = Client().get("/oauth" + WELL_KNOWN)
        assert reply.headers["ETag"]
        assert Client().get("/oauth" + WELL_KNOWN, HTTP_IF_NONE_MATCH=reply.headers["ETag"]).status_code == 304
        assert Client().post("/oauth" + WELL_KNOWN).status_code == 405
        assert Client().get("/t/a b" + WELL_KNOWN).status_code == 404
        assert reverse("jwtconnect_mw:token") == "/oauth/token"


def test_metadata_of_an_issuer_with_a_path_is_at_the_root_of_the_host() -> None:
    with here({"issuer": "https://as.example/tenant"}):
        assert Client().get(WELL_KNOWN + "/tenant").json()["token_endpoint"] == "https://as.example/oauth/token"
        assert Client().get(WELL_KNOWN + "/other").status_code == 404
        assert Client().get(WELL_KNOWN).status_code == 404


def test_an_issuer_that_is_no_url_has_no_metadata() -> None:
    with here({"issuer": "my-project"}):
        assert Client().get("/oauth" + WELL_KNOWN).status_code == 404
        assert Client().get(WELL_KNOWN).status_code == 404
        assert Client().get("/oauth/jwks").status_code == 200
    with here(django={"urls": OnlyWellKnown}):
        assert Client().get(WELL_KNOWN).status_code == 404


def test_a_project_that_only_verifies_has_no_endpoints() -> None:
    with project(verifying(), urls=Urls):
        for place in ("/oauth/jwks", "/oauth" + WELL_KNOWN, WELL_KNOWN, "/old/token/refresh"):
            assert Client().get(place).status_code == 404


def test_under_asgi() -> None:
    async def ask() -> Any:
        return await AsyncClient().get("/oauth/jwks")

    with here():
        assert asyncio.run(ask()).json() == jwks(key())
        assert Site("asgi")(path="/oauth/jwks").json == jwks(key())


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_revocation_in_the_database_is_honoured_at_once(face: str) -> None:
    with here(revocations="orm", user="database"):
        tokens = own().issue("alice")
        site, headers = Site(face), [("Authorization", b"Bearer " + tokens.access_token.encode())]
        for status in (404, 404):
            assert site(headers).status == status
        own().revoke(session=tokens.session)
        assert site(headers).status == 401


def test_keys_that_are_rotated_are_verified_at_once(tmp_path: Any) -> None:
    with here({"keys": tmp_path / "keys.json"}):
        wired, issuer = wiring(), own()
        assert wired.auth.authenticate(f"Bearer {issuer.issue('alice').access_token}") is not None
        issuer.keys.rotate(at_once=True)
        assert wired.auth.authenticate(f"Bearer {issuer.issue('alice').access_token}") is not None
        assert len(Client().get("/oauth/jwks").json()["keys"]) == 2


def test_a_user_who_left_is_not_refreshed(user: Any) -> None:
    with here():
        tokens = own().issue("alice")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token or ""}
        user.is_active = False
        user.save()
        reply = post("/oauth/token", form)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


def test_a_user_who_left_introspects_nothing(user: Any) -> None:
    with here(user="database"):
        tokens = own().issue("alice", scope="introspect")
        for active, status in ((True, 200), (False, 401)):
            user.is_active = active
            user.save()
            form = {"token": tokens.access_token}
            assert post("/oauth/introspect", form, bearer(tokens.access_token)).status_code == status


def test_a_project_may_say_itself_who_is_active() -> None:
    events: list[str] = []
    hooks = {
        "is_active": lambda subject: True,
        "claims": lambda known: {"tenant": "a"},
        "on_event": lambda event, context: events.append(event),
    }
    with here(hooks):
        claims = claims_of(own().issue("robot").access_token)
        assert (claims["sub"], claims["tenant"]) == ("robot", "a")
        own().revoke(subject="robot")
    assert events == ["issued", "revoked"]


def test_a_claim_may_name_the_user() -> None:
    with here(user_claim="preferred_username", user="database"):
        wired = wiring()
        user = get_user_model().objects.get()
        tokens = own().issue(wired.users.subject(user), claims=wired.users.naming(user))
        claims = claims_of(own().refresh(tokens.refresh_token or "").access_token)
        assert (claims["sub"], claims["preferred_username"]) == (str(user.pk), "alice")
        assert wired.users.load(claims) == user


def test_introspection_of_old_wants_its_scope_where_the_newer_settings_are_used() -> None:
    with here():
        plain, allowed = own().issue("alice"), own().issue("alice", scope="introspect")
        for tokens, status in ((plain, 403), (allowed, 200)):
            reply = Client().post(
                "/old/token/introspection",
                json.dumps({"token": plain.access_token}),
                content_type="application/json",
                HTTP_AUTHORIZATION=f"Bearer {tokens.access_token}",
            )
            assert reply.status_code == status
        form = {"token": allowed.refresh_token or ""}
        reply = Client().post("/old/token/refresh", form)
        assert (reply.status_code, reply.json()["token_type"]) == (201, "Bearer")


def test_a_client_with_a_secret_proves_it_at_the_endpoint_that_can_ask() -> None:
    with here():
        tokens = own().issue("alice", client_id="web")
        reply = Client().post("/old/token/refresh", {"token": tokens.refresh_token})
        assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_no_transaction_of_the_request_is_around_an_endpoint() -> None:
    atomic: list[bool] = []
    with here({"claims": lambda known: {}, "on_event": lambda *_: atomic.append(in_atomic_block())}):
        tokens = own().issue("alice")
        with settings_of_the_database(ATOMIC_REQUESTS=True):
            form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token or ""}
            assert post("/oauth/token", form).status_code == 200
    assert atomic == [False, False]


def in_atomic_block() -> bool:
    return bool(transaction.get_connection().in_atomic_block)


@contextmanager
def settings_of_the_database(**changes: Any) -> Iterator[None]:
    held = transaction.get_connection().settings_dict
    before = {name: held[name] for name in changes}
    held.update(changes)
    try:
        yield
    finally:
        held.update(before)


def test_a_pair_that_cannot_be_recorded_is_handed_out_all_the_same() -> None:
    with here():
        tokens = own().issue("alice")
        with transaction.get_connection().execute_wrapper(no_records):
            assert own().refresh(tokens.refresh_token or "").refresh_token
            own().revoke(subject="alice")


def no_records(execute: Any, sql: str, *more: Any) -> Any:
    if "jwtconnectauthtoken" in sql.lower():
        raise RuntimeError("the table is gone")
    return execute(sql, *more)


def test_a_body_that_was_read_before_is_read_again() -> None:
    request = RequestFactory().post("/", b"a=b", content_type=FORM)
    assert request.POST["a"] == "b"
    assert read_body(request) == b"a=b"

    chunked = RequestFactory().post("/", content_type=FORM)
    chunked.META |= {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"a=b")}
    assert read_body(chunked) == b"a=b"
    assert status_of(Body(b"x" * 65_537)) == 413
    assert status_of(Body(None)) == 400


class Body:
    """A request whose length nobody tells."""

    def __init__(self, content: bytes | None) -> None:
        self.META: dict[str, str] = {}
        self._content = content

    def read(self, size: int) -> bytes:
        if self._content is None:
            raise OSError("gone")
        return self._content[:size]


def status_of(request: Body) -> int:
    with pytest.raises(RefusedBody) as caught:
        read_body(request)
    return caught.value.answer.status


def test_the_view_functions_have_names() -> None:
    from jwtconnect_mw.django import views

    assert views.token.__name__ == "token"


def test_who_takes_a_name_does_not_take_the_session_with_it(user: Any) -> None:
    """The subject is a user name, which is given away and taken again."""
    with here(user="database"):
        tokens = own().issue_for(user)
        token = wiring().auth.authenticate(f"Bearer {tokens.access_token}")
        assert token is not None
        assert wiring().users.row(token) == user
        user.username = "was-alice"
        user.save()
        heir = own().issue_for(get_user_model().objects.create_user("alice"), scope="introspect")
        with pytest.raises(InactiveUser):
            wiring().users.row(token)
        asks = ("authorization", f"Bearer {heir.access_token}")
        for text in (tokens.access_token, tokens.refresh_token or ""):
            assert post("/oauth/introspect", {"token": text}, asks).json() == {"active": False}
        assert post("/oauth/introspect", {"token": heir.access_token}, asks).json()["active"] is True
        with pytest.raises(InvalidGrant):
            own().refresh(tokens.refresh_token or "")


def test_a_claim_that_is_called_as_our_own_member(user: Any) -> None:
    with here(user="database"):
        tokens = own().issue_for(user, scope="introspect", claims={"claims": ["of the project"]})
        asks = ("authorization", f"Bearer {tokens.access_token}")
        for text in (tokens.access_token, tokens.refresh_token or ""):
            assert post("/oauth/introspect", {"token": text}, asks).json()["active"] is True
