"""The middleware beyond the case table: users, sessions, forms, public views, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async

from .django_kit import MIDDLEWARE, SESSIONS, Site, issuing, project, verifying

# Django's settings must be there first.
from django.contrib.auth import get_user_model  # isort: skip
from django.contrib.auth.models import AnonymousUser  # isort: skip
from django.http import HttpResponse, JsonResponse  # isort: skip
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory  # isort: skip
from django.test.utils import CaptureQueriesContext  # isort: skip
from django.core.exceptions import ImproperlyConfigured  # isort: skip
from django.db import OperationalError, connection  # isort: skip
from django.db.models import QuerySet  # isort: skip
from django.urls import path  # isort: skip
from django.views.decorators.csrf import csrf_protect  # isort: skip

from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.decorators import public
from jwtconnect_mw.django.middleware import BearerMiddleware
from jwtconnect_mw.django.principal import TokenUser
from jwtconnect_mw.django.views import callers_of
from jwtconnect_mw.errors import InactiveUser, KeysUnavailable
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.token import AccessToken

from .cases import bearer
from .djproject.databases import migrate
from .issuer_kit import part
from .kit import AUDIENCE, ISSUER, NOW, jwks, key, token

ALICE = {"HTTP_AUTHORIZATION": f"Bearer {token()}"}


@pytest.fixture(autouse=True)
def users() -> Iterator[Any]:
    migrate()
    manager = get_user_model().objects
    manager.create_user("alice", "alice@example.org", "pw", first_name="Alice")
    manager.create_user("sleeper", is_active=False)
    yield manager
    manager.all().delete()


def told(request: Any) -> JsonResponse:
    user = request.user
    return JsonResponse({
        "jwt": request.jwt is not None,
        "user": user.get_username(),
        "authenticated": user.is_authenticated,
        "kind": type(getattr(user, "_wrapped", user)).__name__,
    })  # fmt: skip


async def atold(request: Any) -> JsonResponse:
    user = await request.auser()
    assert user is request.user or user == request.user
    return told(request)


@csrf_protect
def form(request: Any) -> HttpResponse:
    return HttpResponse("sent")


class Urls:
    urlpatterns: ClassVar = [
        path("me", told),
        path("ame", atold),
        path("form", form),
        path("open", public(told)),
        path("p", told),
    ]


def by_name(**more: Any) -> dict[str, Any]:
    return verifying(user="database", user_lookup="username", **more)


def test_a_stateless_user_costs_no_query() -> None:
    with (
        project(verifying(), urls=Urls),
        CaptureQueriesContext(
            connection,
        ) as queries,
    ):
        reply = Client().get("/me", **ALICE)
    assert reply.json() == {"jwt": True, "user": "alice", "authenticated": True, "kind": "TokenUser"}
    assert len(queries) == 0


def test_a_user_of_the_database_costs_one_query() -> None:
    with project(by_name(), urls=Urls):
        client = Client()
        for _ in "cold", "warm":
            with CaptureQueriesContext(connection) as queries:
                reply = client.get("/me", **ALICE)
            assert reply.json()["kind"] == "User"
            assert len(queries) == 1


@pytest.mark.parametrize("path", ["/me", "/ame"])
@pytest.mark.parametrize("settings", [verifying(), by_name()], ids=["stateless", "database"])
def test_asynchronously(settings: Mapping[str, Any], path: str) -> None:
    async def ask() -> Any:
        client = AsyncClient()
        return await client.get(path, headers={"authorization": f"Bearer {token()}"})

    with project(settings, urls=Urls):
        assert asyncio.run(ask()).json()["user"] == "alice"


@pytest.mark.parametrize("sub", ["nobody", "sleeper", "x\0y", "", None])
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_user_who_is_missing_or_inactive_is_refused(face: str, sub: str | None) -> None:
    reasons: list[str] = []
    text = token({"sub": sub if sub else ...})
    with project(by_name(on_refused=lambda reason, _: reasons.append(reason)), urls=Urls):
        reply = Site(face)(bearer(text), path="/me")
    assert (reply.status, reasons) == (401, ["inactive_user"])
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("sub", ["x", "9" * 40, "1.5"])
def test_a_subject_that_is_no_primary_key_is_refused(sub: str) -> None:
    with project(verifying(user="database"), urls=Urls):
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {token({'sub': sub})}").status_code == 401


def test_several_users_for_one_claim_are_refused(users: Any) -> None:
    users.create_user("other", "alice@example.org")
    settings = verifying(user="database", user_claim="email", user_lookup="email")
    with project(settings, urls=Urls):
        for claims in ({"email": "alice@example.org"}, {"email": ["alice@example.org"]}, {"email": True}, {}):
            assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {token(claims)}").status_code == 401


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_the_look_up_is_exact(face: str, users: Any) -> None:
    """Fields of numbers take all of these for the same one."""
    pk = str(users.get(username="alice").pk)
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in pk)
    with project(verifying(user="database"), urls=Urls):
        site = Site(face)
        for view in "/me", "/ame":
            assert site(bearer(token({"sub": pk})), path=view).status == 200
            for other in (f" {pk}", f"0{pk}", f"+{pk}", f"0_{pk}", wide):
                assert site(bearer(token({"sub": other})), path=view).status == 401


def trusting_two(**more: Any) -> dict[str, Any]:
    other = {"issuer": "https://other.example", "audience": AUDIENCE, "keys": jwks(key("ES256", "b"))}
    return {**verifying(user_lookup="username", **more), "issuers": [*verifying()["issuers"], other]}


@pytest.mark.parametrize("path", ["/me", "/ame"])
def test_another_issuer_does_not_name_local_users(path: str) -> None:
    """A partner's subject "alice" is not ours."""
    theirs = token({"iss": "https://other.example"}, by=key("ES256", "b"))
    with project(trusting_two(user="database", user_issuers=[ISSUER]), urls=Urls):
        site = Site("asgi")
        assert site(bearer(token()), path=path).json["kind"] == "User"
        assert site(bearer(theirs), path=path).status == 401
    with project(trusting_two(), urls=Urls):
        assert Site("asgi")(bearer(theirs), path=path).json["kind"] == "TokenUser"
    both = [ISSUER, "https://other.example"]
    with project(trusting_two(user="database", user_issuers=both), urls=Urls):
        assert Site("asgi")(bearer(theirs), path=path).json["kind"] == "User"


def test_the_token_of_a_client_is_no_users(users: Any) -> None:
    clients = {"alice": {"secret": "s" * 40, "scopes": ["introspect"]}}
    settings = issuing({"clients": clients}, user="database", user_lookup="username")
    with project(settings, urls=Urls):
        issuer = wiring().issuer
        assert issuer is not None
        client = issuer.clients.find("alice")
        assert client is not None
        text = issuer.client_credentials(client).access_token
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 401
        with pytest.raises(InactiveUser):
            callers_of(wiring()).bearer(f"Bearer {text}")


def alice_of(token: AccessToken) -> Any:
    """A function as a project may have it."""
    found = get_user_model().objects
    if token.claims.get("as") == "nobody":
        return None
    if token.claims.get("as") == "a stranger":
        return AnonymousUser()
    if token.claims.get("as") == "a number":
        return found.get(pk="x")
    return found.get(username=token.subject)


def by_function(**more: Any) -> dict[str, Any]:
    return {**verifying(**more), "user": "database", "user_lookup": f"{__name__}.alice_of"}


@pytest.mark.parametrize("path", ["/me", "/ame"])
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_function_finds_the_user(face: str, path: str) -> None:
    reasons: list[str] = []
    with project(by_function(on_refused=lambda reason, _: reasons.append(reason)), urls=Urls):
        site = Site(face)
        assert site(bearer(token()), path=path).json == {
            "jwt": True, "user": "alice", "authenticated": True, "kind": "User"}  # fmt: skip
        for claims in ({"sub": "sleeper"}, {"sub": "?"}, {"as": "nobody"}, {"as": "a stranger"}, {"as": "a number"}):
            assert site(bearer(token(claims)), path=path).status == 401
        assert reasons == ["inactive_user"] * 5
    with project(by_function(optional="invalid"), urls=Urls):
        assert Site(face)(bearer(token({"sub": "?"})), path=path).json["kind"] == "AnonymousUser"


def test_a_function_is_asked_for_every_issuer_but_those_that_are_left_out() -> None:
    theirs = token({"iss": "https://other.example"}, by=key("ES256", "b"))
    function = {"user": "database", "user_lookup": alice_of}
    with project({**trusting_two(), **function}, urls=Urls):
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {theirs}").json()["user"] == "alice"
    with project({**trusting_two(user_issuers=[ISSUER]), **function}, urls=Urls):
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {theirs}").status_code == 401


@pytest.mark.parametrize("path", ["/me", "/ame"])
def test_a_function_blocks_no_event_loop(path: str) -> None:
    """Where Django's own look-ups run as well."""
    seen: list[int] = []

    def look(token: AccessToken) -> Any:
        seen.append(threading.get_ident())
        assert not _is_on_a_loop()
        return get_user_model().objects.get(username=token.subject)

    async def ask() -> tuple[int, Any]:
        django = await sync_to_async(threading.get_ident)()
        return django, await AsyncClient().get(path, headers={"authorization": f"Bearer {token()}"})

    with project(verifying(user="database", user_lookup=look), urls=Urls):
        django, reply = asyncio.run(ask())
    assert (reply.json()["user"], seen) == ("alice", [django])


def _is_on_a_loop() -> bool:
    try:
        return asyncio.get_running_loop() is not None
    except RuntimeError:
        return False


def test_a_function_finds_who_calls_the_endpoints() -> None:
    clients = {"service": {"secret": "s" * 40, "scopes": ["introspect"]}}
    with project(issuing({"clients": clients}, user="database", user_lookup=alice_of), urls=Urls):
        issuer = wiring().issuer
        assert issuer is not None
        alice = get_user_model().objects.get(username="alice")
        assert part(issuer.issue_for(alice).access_token)["sub"] == str(alice.pk)
        client = issuer.clients.find("service")
        assert client is not None
        with pytest.raises(InactiveUser):
            callers_of(wiring()).bearer(f"Bearer {issuer.client_credentials(client).access_token}")


def test_a_primary_key_finds_its_user(users: Any) -> None:
    text = token({"sub": str(users.get(username="alice").pk)})
    with project(verifying(user="database"), urls=Urls):
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {text}").json()["user"] == "alice"


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_user_who_is_missing_is_nobody_where_bad_tokens_are_let_through(face: str) -> None:
    with project(by_name(optional="invalid"), urls=Urls):
        site = Site(face)
        assert site(bearer(token({"sub": "sleeper"})), path="/me").json["kind"] == "AnonymousUser"
        assert site(bearer(token()), path="/me").json["user"] == "alice"


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_cache_does_not_mix_up_bearers(face: str) -> None:
    caches = [f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom")]
    locmem = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": face}}
    with project(verifying(), urls=Urls, middleware=[caches[0], MIDDLEWARE, caches[1]], CACHES=locmem):
        site = Site(face)
        for _ in "made", "cached":
            for name in "alice", "bob":
                assert site(bearer(token({"sub": name})), path="/me").json["user"] == name
            assert site(path="/me").status == 401
        for headers in [], bearer(token()):
            assert site(headers, path="/open").headers["vary"] == "Authorization"
    with project(verifying(optional="missing"), urls=Urls):
        assert Client().get("/me").headers["Vary"] == "Authorization"


def test_sessions_go_on_working_where_the_paths_are_public() -> None:
    with project(verifying(public=["/me"]), urls=Urls, middleware=[*SESSIONS, MIDDLEWARE]):
        client = Client()
        assert client.get("/me").json() == {"jwt": False, "user": "", "authenticated": False, "kind": "AnonymousUser"}
        assert client.login(username="alice", password="pw")
        assert client.get("/me").json() == {"jwt": False, "user": "alice", "authenticated": True, "kind": "User"}
        assert client.get("/p").status_code == 401


def test_the_user_of_a_token_replaces_that_of_the_session() -> None:
    with project(verifying(), urls=Urls, middleware=[*SESSIONS, MIDDLEWARE]):
        client = Client()
        client.login(username="alice", password="pw")
        reply = client.get("/me", HTTP_AUTHORIZATION=f"Bearer {token({'sub': 'bob'})}")
    assert reply.json() == {"jwt": True, "user": "bob", "authenticated": True, "kind": "TokenUser"}


def test_without_sessions_there_is_an_anonymous_user() -> None:
    with project(verifying(optional="missing"), urls=Urls):
        assert Client().get("/me").json()["kind"] == "AnonymousUser"
        request = RequestFactory().get("/me")
        BearerMiddleware(lambda request: HttpResponse())(request)
        assert isinstance(request.user, AnonymousUser)
        assert request.jwt is None


def test_forms_are_checked_only_where_a_browser_may_have_been_led() -> None:
    with project(verifying(optional="missing"), urls=Urls):
        client = Client(enforce_csrf_checks=True)
        assert client.post("/form").status_code == 403
        assert client.post("/form", **ALICE).status_code == 200


@pytest.mark.parametrize("value", [None, "Bearer x", "Basic abc", "Bearer", f"Bearer {token()}"])
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_public_view_is_reached_whatever_is_brought(face: str, value: str | None) -> None:
    reasons: list[str] = []
    with project(verifying(on_refused=lambda reason, _: reasons.append(reason)), urls=Urls):
        headers = [] if value is None else [("Authorization", value.encode())]
        assert Site(face)(headers, path="/open").json["jwt"] is (value is not None and len(value) > 20)
    assert reasons == []


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_an_unknown_path_is_not_told_to_strangers(face: str) -> None:
    with project(verifying(), urls=Urls):
        site = Site(face)
        assert site(path="/no/such").status == 401
        assert site(bearer(token()), path="/no/such").status == 404


@pytest.mark.parametrize("values", [(b"Basic a", b"Basic b"), (b"", b"Bearer x"), (b"Bearer x", b"Bearer x")])
def test_two_authorization_headers_are_refused(values: tuple[bytes, bytes]) -> None:
    with project(verifying(), urls=Urls):
        assert Site("asgi")([("Authorization", value) for value in values], path="/me").status == 400


def test_an_escaped_slash_and_an_odd_mount_make_no_path_public() -> None:
    with project(verifying(public=["/me"]), urls=Urls):
        middleware = BearerMiddleware(lambda request: HttpResponse("in"))
        for scope, status in [({}, 200), ({"raw_path": b"/x%2Fme"}, 401), ({"root_path": "/a/", "path": "/a/me"}, 401)]:
            request = AsyncRequestFactory().get("/me")
            request.scope.update(scope)
            assert middleware(request).status_code == status


def test_head_has_no_body() -> None:
    with project(verifying(), urls=Urls):
        reply = Site("wsgi")(method="HEAD", path="/me")
    assert (reply.status, reply.body, reply.headers["content-length"] > "0") == (401, b"", True)


def test_keys_that_cannot_be_had_are_503() -> None:
    def down(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        raise FetchError("refused")

    with project(verifying({"keys": "https://as.example/jwks"}, fetch=down), urls=Urls):
        for face in "wsgi", "asgi":
            reply = Site(face)(bearer(token()), path="/me")
            assert (reply.status, reply.json["error"]) == (503, KeysUnavailable.error)
            assert int(reply.headers["retry-after"]) > 0
            assert "www-authenticate" not in reply.headers


def down(*_: Any, **__: Any) -> None:
    raise OperationalError("the address of the server")


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_database_that_does_not_answer_is_503(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "get", "aget":
        monkeypatch.setattr(QuerySet, name, down)
    with project(by_name(), urls=Urls):
        site = Site(face)
        for place in "/me", "/ame":
            reply = site(bearer(token()), path=place)
            assert (reply.status, reply.json["error"]) == (503, "temporarily_unavailable")
            assert int(reply.headers["retry-after"]) > 0
            assert "address" not in str(reply.json)
        assert site(bearer(token()), path="/open").json["jwt"] is False
    with project(by_function(), urls=Urls):
        assert Site(face)(bearer(token()), path="/me").status == 503


def test_a_revoked_token_is_refused() -> None:
    revocations = MemoryRevocationList(clock=ManualClock(NOW))
    with project(verifying(revocations=revocations), urls=Urls):
        client = Client()
        assert client.get("/me", **ALICE).status_code == 200
        revocations.revoke_subject(ISSUER, "alice")
        assert client.get("/me", **ALICE).status_code == 401


def test_it_is_of_the_colour_of_what_is_behind_it() -> None:
    async def inner(request: Any) -> HttpResponse:
        return HttpResponse()

    with project(verifying()):
        assert iscoroutinefunction(BearerMiddleware(inner))
        assert not iscoroutinefunction(BearerMiddleware(lambda request: HttpResponse()))
    assert BearerMiddleware.sync_capable
    assert BearerMiddleware.async_capable


def test_wrong_settings_stop_the_server_from_starting() -> None:
    with project({"issuers": {"issuer": ISSUER}}), pytest.raises(ImproperlyConfigured, match="audience"):
        Site("wsgi")


def test_settings_are_read_late_and_again_when_a_test_changes_them() -> None:
    with project(verifying()):
        before = wiring()
        assert wiring() is before
        with project(verifying(realm="other")):
            assert wiring() is not before
        with project(verifying(), USE_TZ=True):
            assert wiring() is not before


def test_the_user_of_a_token() -> None:
    claims = {"given_name": "Al", "family_name": "Ice", "email": "a@b.c", "nick": "al", "pk": "1"}
    with project(verifying(claims_map={"nickname": "nick", "pk": "pk"})):
        wired = wiring()
        user = wired.users.of(wired.auth.authenticate(f"Bearer {token(claims)}"))  # type: ignore[arg-type]
        bare = wired.users.of(wired.auth.authenticate(f"Bearer {token({'sub': ...})}"))  # type: ignore[arg-type]
        twin = wired.users.of(wired.auth.authenticate(f"Bearer {token()}"))  # type: ignore[arg-type]
        no_one = wired.users.of(wired.auth.authenticate(f"Bearer {token({'sub': ..., 'jti': 'x'})}"))  # type: ignore[arg-type]
    assert isinstance(user, TokenUser)
    assert (user.pk, user.id, user.username, str(user), user.get_username()) == ("alice",) * 5
    assert (user.get_full_name(), user.get_short_name(), user.email, user.nickname) == ("Al Ice", "Al", "a@b.c", "al")
    assert (user.is_authenticated, user.is_active, user.is_anonymous, user.is_staff, user.is_superuser) == (
        True, True, False, False, False)  # fmt: skip
    assert not user.has_perm("auth.add_user")
    assert not user.has_perms(["auth.add_user"])
    assert user.has_perms([])
    assert not user.has_module_perms("auth")
    assert user.get_all_permissions() == user.get_group_permissions() == set()
    assert user.natural_key() == ("alice",)
    assert (user == twin, hash(user) == hash(twin), user == "alice", bare == no_one) == (True, True, False, False)
    assert (bare.pk, bare.username, bare.get_full_name()) == (None, "", "")
    assert "alice" not in repr(user)
    for method in (user.save, user.delete, user.set_password, user.check_password):
        with pytest.raises(NotImplementedError):
            method()

    async def asked() -> list[bool]:
        return [await user.ahas_perm("a.b"), await user.ahas_perms(["a.b"]), await user.ahas_module_perms("a")]

    assert asyncio.run(asked()) == [False, False, False]
