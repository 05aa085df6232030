"""Django REST framework beyond the case table, and the scopes of plain views."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from .django_kit import MIDDLEWARE, SESSIONS, Site, project, verifying

# Django's settings must be there first.
import django  # isort: skip
from django.contrib.auth import get_user_model  # isort: skip
from django.core.exceptions import ImproperlyConfigured  # isort: skip
from django.core.cache import cache  # isort: skip
from django.http import HttpResponse  # isort: skip
from django.test import AsyncClient, Client, RequestFactory  # isort: skip
from django.test.utils import CaptureQueriesContext  # isort: skip
from django.db import connection  # isort: skip
from django.urls import include, path  # isort: skip
from django.views import View  # isort: skip
from django.views.decorators.cache import cache_page  # isort: skip
from drf_spectacular.generators import SchemaGenerator  # isort: skip
from drf_spectacular.openapi import AutoSchema  # isort: skip
from rest_framework.authentication import SessionAuthentication  # isort: skip
from rest_framework.permissions import AllowAny, IsAuthenticated  # isort: skip
from rest_framework.request import Request  # isort: skip
from rest_framework.response import Response  # isort: skip
from rest_framework.throttling import UserRateThrottle  # isort: skip
from rest_framework.views import APIView  # isort: skip

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw.django.authentication import JWTConnectAuthBearer
from jwtconnect_mw.django.decorators import ScopesRequiredMixin, public, scopes_required
from jwtconnect_mw.django.permissions import TokenHasScopes
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.token import AccessToken

from .cases import bearer
from .djproject.databases import migrate
from .kit import token

ALICE = {"HTTP_AUTHORIZATION": f"Bearer {token()}"}


class Me(APIView):
    schema = AutoSchema()
    authentication_classes: ClassVar[list[Any]] = [JWTConnectAuthBearer]
    permission_classes: ClassVar[list[Any]] = [IsAuthenticated]

    def get(self, request: Any) -> Response:
        """Who I am."""
        assert request.auth is None or isinstance(request.auth, AccessToken)
        return Response({"user": request.user.get_username(), "kind": type(request.user).__name__})


class Throttle(UserRateThrottle):
    THROTTLE_RATES: ClassVar[dict[str, str]] = {"user": "1/hour"}


class Throttled(Me):
    throttle_classes: ClassVar[list[Any]] = [Throttle]


class Open(Me):
    permission_classes: ClassVar[list[Any]] = [AllowAny]


class SessionsFirst(Me):
    authentication_classes: ClassVar[list[Any]] = [SessionAuthentication, JWTConnectAuthBearer]


class Scoped(Me):
    permission_classes: ClassVar[list[Any]] = [TokenHasScopes]
    required_scopes: Any = ("read", "admin", "read")


class ScopedByMethod(Scoped):
    required_scopes: Any = {"POST": ["admin"]}  # noqa: RUF012

    def post(self, request: Any) -> Response:
        return Response()


class ScopedReading(Scoped):
    required_scopes: Any = {"GET": ["admin"]}  # noqa: RUF012


class ScopedReadingOnly(Scoped):
    required_scopes: Any = {"GET": ["admin"], "HEAD": []}  # noqa: RUF012


class ScopedByMistake(Scoped):
    required_scopes: Any = {"get": ["admin"], "POST": ["admin"]}  # noqa: RUF012


class ScopedByTypo(Scoped):
    required_scopes: Any = {"GET": [], "GTE": ["admin"]}  # noqa: RUF012


class ScopedPurge(Scoped):
    http_method_names: ClassVar[list[str]] = ["get", "purge"]
    required_scopes: Any = {"PURGE": ["admin"], "POST": ["admin"]}  # noqa: RUF012

    def purge(self, request: Any) -> Response:
        return Response()


class Unscoped(Scoped):
    required_scopes: Any = ()


class WronglyScoped(Scoped):
    required_scopes: Any = "read"


@scopes_required("read", "write")
def plain(request: Any) -> HttpResponse:
    return HttpResponse("in")


@scopes_required("read", "write")
async def asynchronous(request: Any) -> HttpResponse:
    return HttpResponse("in")


class ClassBased(ScopesRequiredMixin, View):
    required_scopes = ("read", "write")

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("in")


class AsyncClassBased(ScopesRequiredMixin, View):
    required_scopes = ("read", "write")

    async def get(self, request: Any) -> HttpResponse:
        return HttpResponse("in")


@public
@scopes_required("write")
async def public_but_scoped(request: Any) -> HttpResponse:
    return HttpResponse("in")


class Urls:
    urlpatterns = (
        path("me", Me.as_view()),
        path("throttled", Throttled.as_view()),
        path("open", Open.as_view()),
        path("sessions", SessionsFirst.as_view()),
        path("scoped", Scoped.as_view()),
        path("by-method", ScopedByMethod.as_view()),
        path("by-mistake", ScopedByMistake.as_view()),
        path("by-typo", ScopedByTypo.as_view()),
        path("purged", ScopedPurge.as_view()),
        path("reading", ScopedReading.as_view()),
        path("reading-only", ScopedReadingOnly.as_view()),
        path("unscoped", Unscoped.as_view()),
        path("wrong", WronglyScoped.as_view()),
        path("plain", plain),
        path("async", asynchronous),
        path("class", ClassBased.as_view()),
        path("async-class", AsyncClassBased.as_view()),
        path("public", public_but_scoped),
    )


class Cached:
    """As ``cache_page`` has them: it keeps the answer before the middleware sees it."""

    urlpatterns = tuple(
        path(name, cache_page(60)(view))
        for name, view in {
            "rest": Me.as_view(),
            "plain": scopes_required("read")(lambda request: HttpResponse(request.user.get_username())),
            "class": ClassBased.as_view(),
        }.items()
    )


class Endpoints:
    urlpatterns = (path("", include("jwtconnect_mw.django.urls")), path("plain", plain))


@pytest.fixture(autouse=True)
def user() -> Iterator[Any]:
    migrate()
    manager = get_user_model().objects
    yield manager.create_user("alice", password="pw")
    manager.all().delete()


def rest(settings: Mapping[str, Any] | None = None, middleware: list[str] | None = None) -> Any:
    return project(verifying() if settings is None else settings, urls=Urls, middleware=middleware or [])


@pytest.mark.parametrize("middleware", [[], [MIDDLEWARE]], ids=["alone", "behind the middleware"])
@pytest.mark.parametrize(
    ("settings", "kind", "queries"),
    [(verifying(), "TokenUser", 0), (verifying(user="database", user_lookup="username"), "User", 1)],
    ids=["stateless", "database"],
)
def test_the_user(settings: Any, kind: str, queries: int, middleware: list[str]) -> None:
    with rest(settings, middleware):
        client = Client()
        with CaptureQueriesContext(connection) as made:
            assert client.get("/me", **ALICE).json() == {"user": "alice", "kind": kind}
        assert len(made) == queries


def test_an_inactive_user(user: Any) -> None:
    user.is_active = False
    user.save()
    with rest(verifying(user="database", user_lookup="username")):
        reply = Client().get("/me", **ALICE)
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


def test_an_inactive_user_is_nobody_where_bad_tokens_are_let_through() -> None:
    bob = {"HTTP_AUTHORIZATION": f"Bearer {token({'sub': 'bob'})}"}
    with rest(verifying(user="database", user_lookup="username", optional="invalid")):
        assert Client().get("/open", **bob).json()["kind"] == "AnonymousUser"


def test_a_view_for_all_still_refuses_a_bad_token() -> None:
    reasons: list[str] = []
    with rest(verifying(on_refused=lambda reason, _: reasons.append(reason))):
        client = Client()
        assert client.get("/open").json()["kind"] == "AnonymousUser"
        assert client.get("/open", HTTP_AUTHORIZATION="Bearer x").status_code == 401
    assert reasons == ["malformed_token"]


def test_the_challenge_stays_where_another_class_comes_first() -> None:
    with rest():
        reply = Client().get("/sessions", HTTP_AUTHORIZATION="Bearer x")
        assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (
            401, 'Bearer error="invalid_token", error_description="The access token is malformed."')  # fmt: skip
        assert Client().get("/sessions", **ALICE).status_code == 200
    with rest(middleware=SESSIONS):
        client = Client()
        client.login(username="alice", password="pw")
        assert client.get("/sessions").json()["user"] == "alice"


def test_a_token_on_a_public_path_is_looked_at_by_a_view_with_the_class() -> None:
    with rest(verifying(public=["/me"]), [MIDDLEWARE]):
        assert Client().get("/me", **ALICE).status_code == 200
        assert Client().get("/me").status_code == 401
        assert Client().get("/me", HTTP_AUTHORIZATION="Bearer").status_code == 400


def test_keys_that_cannot_be_had() -> None:
    def down(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        raise FetchError("refused")

    with rest(verifying({"keys": "https://as.example/jwks"}, fetch=down)):
        reply = Client().get("/me", **ALICE)
    assert (reply.status_code, reply.json()["error"]) == (503, "temporarily_unavailable")
    assert int(reply.headers["Retry-After"]) > 0
    assert "WWW-Authenticate" not in reply.headers


@pytest.mark.parametrize(
    ("place", "middleware"),
    [("/rest", []), ("/rest", [MIDDLEWARE]), ("/plain", [MIDDLEWARE]), ("/class", [MIDDLEWARE])],
)
def test_a_cached_view_does_not_mix_up_bearers(place: str, middleware: list[str]) -> None:
    locmem = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": place}}
    told = []
    with project(verifying(), urls=Cached, middleware=middleware, CACHES=locmem):
        cache.clear()
        for name in "alice", "bob", "alice":
            text = token({"sub": name, "scope": "read write"})
            reply = Client().get(place, HTTP_AUTHORIZATION=f"Bearer {text}")
            told.append(name in reply.content.decode() or place == "/class")
            vary = [one.strip() for one in reply.headers["Vary"].split(",")]
            assert vary.count("Authorization") == 1
        assert Client().get(place).status_code == 401
    assert told == [True] * 3


def test_a_request_that_no_view_has() -> None:
    with project(verifying()):
        found = JWTConnectAuthBearer().authenticate(Request(RequestFactory().get("/", **ALICE)))
    assert found is not None
    assert found[0].get_username() == "alice"


@pytest.mark.parametrize("place", ["/plain", "/async", "/class", "/async-class"])
def test_views_with_scopes_vary_by_themselves(place: str) -> None:
    with project(verifying(public=[place]), urls=Urls):
        for headers in ({}, {"authorization": f"Bearer {token({'scope': 'read write'})}"}):
            assert asyncio.run(AsyncClient().get(place, headers=headers)).headers["Vary"] == "Authorization"


def test_users_are_throttled_one_by_one() -> None:
    from django.core.cache import cache

    cache.clear()
    bob = {"HTTP_AUTHORIZATION": f"Bearer {token({'sub': 'bob'})}"}
    with rest():
        codes = [Client().get("/throttled", **who).status_code for who in (ALICE, bob, ALICE)]
    assert codes == [200, 200, 429]


def test_scopes_of_a_view() -> None:
    admin = {"HTTP_AUTHORIZATION": f"Bearer {token({'scope': 'read admin'})}"}
    reasons: list[str] = []
    with rest(verifying(on_refused=lambda reason, _: reasons.append(reason))):
        client = Client()
        reply = client.get("/scoped", **ALICE)
        assert (reply.status_code, reply.json()["error"]) == (403, "insufficient_scope")
        assert 'scope="read admin"' in reply.headers["WWW-Authenticate"]
        assert client.get("/scoped", **admin).status_code == 200
        assert client.get("/scoped").status_code == 401
        assert client.get("/by-method", **ALICE).status_code == 200
        assert client.post("/by-method", **ALICE).status_code == 403
        assert client.post("/by-method", **admin).status_code == 200
        for method in client.get, client.head:
            assert method("/reading", **ALICE).status_code == 403
            assert method("/reading", **admin).status_code == 200
        assert client.head("/reading-only", **ALICE).status_code == 200
        assert client.get("/unscoped", **ALICE).status_code == 200
        assert client.get("/unscoped").status_code == 401
        with pytest.raises(ConfigurationError, match="required_scopes"):
            client.get("/wrong", **ALICE)
    assert reasons == ["insufficient_scope", "no_credentials", *["insufficient_scope"] * 3, "no_credentials"]


@pytest.mark.parametrize("place", ["by-mistake", "by-typo"])
def test_scopes_of_what_is_no_method_let_nobody_in(place: str) -> None:
    with rest(), pytest.raises(ConfigurationError, match="required_scopes"):
        Client().get(f"/{place}", **ALICE)


def test_scopes_of_a_method_that_only_one_view_has() -> None:
    with rest():
        assert Client().get("/purged", **ALICE).status_code == 200
        assert Client().generic("PURGE", "/purged", **ALICE).status_code == 403


def test_the_openapi_document() -> None:
    with rest():
        patterns = [path("me", Me.as_view()), path("open", Open.as_view())]
        schema = SchemaGenerator(patterns=patterns).get_schema(public=True)
    assert schema["components"]["securitySchemes"] == {
        "bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert schema["paths"]["/me"]["get"]["security"] == [{"bearerAuth": []}]
    assert {} in schema["paths"]["/open"]["get"]["security"]


PLACES = ("plain", "async", "class", "async-class")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_scopes_of_plain_views(face: str, place: str) -> None:
    reasons: list[str] = []
    with rest(verifying(optional="missing", on_refused=lambda reason, _: reasons.append(reason)), [MIDDLEWARE]):
        site = Site(face)
        assert site(bearer(token()), path=f"/{place}").body == b"in"
        reply = site(bearer(token({"scope": "write"})), path=f"/{place}")
        assert (reply.status, reply.json["error"]) == (403, "insufficient_scope")
        assert 'scope="read write"' in reply.headers["www-authenticate"]
        reply = site(path=f"/{place}")
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reasons == ["insufficient_scope", "no_credentials"]


def test_a_public_view_may_demand_scopes_itself() -> None:
    async def ask(**headers: Any) -> int:
        return int((await AsyncClient().get("/public", **headers)).status_code)

    with rest(middleware=[MIDDLEWARE]):
        assert asyncio.run(ask()) == 401
        assert asyncio.run(ask(headers={"authorization": f"Bearer {token()}"})) == 200


def test_where_sessions_are_asked_first_the_token_is_not_seen() -> None:
    """Their class takes whatever user the request has; so that of tokens stands before it."""
    with rest(middleware=[*SESSIONS, MIDDLEWARE]):
        assert Client().get("/sessions", **ALICE).json() == {"user": "alice", "kind": "TokenUser"}


@pytest.mark.skipif(django.VERSION < (5, 1), reason="has no LoginRequiredMiddleware")
def test_where_a_login_is_required_the_endpoints_need_none() -> None:
    login = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    with project(verifying(optional="missing"), urls=Endpoints, middleware=[*SESSIONS, MIDDLEWARE, login]):
        assert Client().get("/jwks").status_code == 404
        assert Client().get("/plain").status_code == 302
        assert Client().get("/plain", **ALICE).status_code == 200


def test_scopes_without_the_middleware_are_a_defect_of_the_project() -> None:
    with rest(), pytest.raises(ImproperlyConfigured, match="BearerMiddleware"):
        Client().get("/plain", **ALICE)


def test_what_is_no_scope_is_refused_when_a_view_is_decorated() -> None:
    with pytest.raises(ConfigurationError):
        scopes_required("read write")


def test_importing_the_package_imports_nothing_of_django() -> None:
    import subprocess
    import sys

    script = "import sys, jwtconnect_mw.django; print('django' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == "False\n"
