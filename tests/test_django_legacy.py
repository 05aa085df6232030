"""What django-jwtconnect-auth offered, as COMPATIBILITY.md lists it: settings, endpoints, tokens and Python names."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptojwt.jwk.hmac import SYMKey
from cryptojwt.jwk.rsa import RSAKey, import_private_rsa_key_from_file
from cryptojwt.jwk.x509 import import_public_key_from_cert_file
from cryptojwt.key_jar import KeyJar

from .django_kit import Site, project, verifying

# Django's settings must be there first.
from django.contrib.auth import get_user_model  # isort: skip
from django.core.checks import run_checks  # isort: skip
from django.db import OperationalError, connection  # isort: skip
from django.test import Client  # isort: skip
from django.urls import include, path, reverse  # isort: skip
from django.utils import timezone  # isort: skip

from jwtconnect_mw.django import issuing
from jwtconnect_mw.django.actions import remove_older_tokens
from jwtconnect_mw.django.compat_urls import app_name
from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.exceptions import InvalidJWT
from jwtconnect_mw.django.jwts import JWTConnectAuthKeyHandler, JWTConnectAuthTokenBuilder
from jwtconnect_mw.django.models import JWTConnectAuthToken
from jwtconnect_mw.errors import ConfigurationError

from .cases import bearer
from .djproject import api
from .djproject.databases import empty, migrate
from .issuer_kit import part
from .kit import key, token
from .test_settings import certificate, private_pem

ISSUER = "http://localhost:8000"
SECRET = b"a897dya9s78dyasdya9sdya9s7dya9sd7y"
RSA = key("RS256")
ASYMMETRIC = {"JWTAUTH_KEY": RSA._native, "JWTAUTH_CERT": RSA._native.public_key(), "JWTAUTH_ISSUER": ISSUER}
SYMMETRIC = {"JWTAUTH_KEY": SECRET, "JWTAUTH_CERT": None, "JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_ISSUER": ISSUER}
KINDS = pytest.mark.parametrize("kind", [ASYMMETRIC, SYMMETRIC], ids=["asymmetric", "symmetric"])


class Urls:
    urlpatterns = (
        path("", include("jwtconnect_mw.django.compat_urls")),
        path("me", api.rest),
        path("plain", api.plain),
    )


@pytest.fixture(autouse=True)
def user() -> Iterator[Any]:
    migrate()
    manager = get_user_model().objects
    yield manager.create_user("ciro", "thatmail@ingoalla.org", "pw")
    manager.all().delete()
    empty("default")


def old(settings: Mapping[str, Any] = ASYMMETRIC, **more: Any) -> Any:
    """A project with the older settings alone. The older package had no middleware."""
    middleware = more.pop("middleware", [])
    return project(more.pop("new", None), urls=Urls, middleware=middleware, **{**settings, **more})


def pair(user: Any = None, **kwargs: Any) -> dict[str, Any]:
    return JWTConnectAuthTokenBuilder.create(JWTConnectAuthTokenBuilder.build(user, **kwargs))


def post(name: str, data: Any, access: str | None = None, **more: Any) -> Any:
    headers = {} if access is None else {"HTTP_AUTHORIZATION": f"Bearer {access}"}
    url = reverse(f"jwtconnect_auth:token_{name}")
    return Client().post(url, data, **{"content_type": "application/json", **headers, **more})


@KINDS
def test_a_user_of_old_goes_on(kind: Mapping[str, Any], user: Any) -> None:
    """The pair, a request with it, introspection, a refresh, and a request with what that gave."""
    with old(kind):
        assert [problem.id for problem in run_checks() if problem.id.startswith("jwtconnect")] == []
        made = pair(user)
        assert set(made) == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (made["token_type"], made["expires_in"]) == ("bearer", 1800)
        me = Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}")
        assert (me.status_code, me.json()["claims"]["username"]) == (200, "ciro")
        assert post("introspection", {"token": made["access_token"]}, made["access_token"]).status_code == 200
        reply = post("refresh", {"token": made["refresh_token"]})
        assert reply.status_code == 201
        again = reply.json()
        assert again["refresh_token"] != made["refresh_token"]
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {again['access_token']}").status_code == 200


@KINDS
def test_claims(kind: Mapping[str, Any], user: Any) -> None:
    with old(kind):
        access, refresh = (part(pair(user)[name]) for name in ("access_token", "refresh_token"))
    subject = sha256(b"ciro").hexdigest()
    for claims, kind_of_old, seconds in ((access, "T", 1800), (refresh, "R", 3600)):
        assert (claims["iss"], claims["sub"], claims["ttype"]) == (ISSUER, subject, kind_of_old)
        assert (len(claims["jti"]), int(claims["jti"], 16) > 0) == (64, True)
        assert claims["exp"] - claims["iat"] == seconds
    assert (access["username"], access["email"], access["aud"]) == ("ciro", "thatmail@ingoalla.org", ISSUER)
    assert not {"given_name", "family_name", "expires_in", "seq"} & set(access)


def test_the_audience_is_what_was_passed_and_this_project(user: Any) -> None:
    with old():
        made = pair(user, aud=["ciao", "hola"], tenant="a", nothing="")
        access, refresh = part(made["access_token"]), part(made["refresh_token"])
        assert (access["aud"], refresh["access_aud"], access["tenant"]) == (
            ["ciao", "hola", ISSUER], ["ciao", "hola", ISSUER], "a")  # fmt: skip
        assert "nothing" not in access
        assert part(pair(user, aud="ciao")["access_token"])["aud"] == ["ciao", ISSUER]
        assert part(pair(user, aud=ISSUER)["access_token"])["aud"] == ISSUER
        told = post("introspection", {"token": made["access_token"]}, made["access_token"]).json()
    assert told["aud"] == ["ciao", "hola", ISSUER]


def test_build_gives_the_claims_that_create_signs(user: Any) -> None:
    with old():
        data = JWTConnectAuthTokenBuilder.build(user=user)
        assert set(data) == {"access_token", "refresh_token", "expires_in"}
        made = JWTConnectAuthTokenBuilder.create(data, alg="RS256")
        assert part(made["access_token"]) == data["access_token"]
        assert part(made["refresh_token"]) == data["refresh_token"]
        nobody = pair()
        assert part(nobody["access_token"])["sub"] == "first-party"
        assert JWTConnectAuthKeyHandler.decode_jwt(nobody["access_token"])["ttype"] == "T"
        with pytest.raises(ConfigurationError, match="alg"):
            JWTConnectAuthTokenBuilder.create(data, alg="HS256")


def test_a_copy_of_what_build_gave_has_no_tokens(user: Any) -> None:
    with old():
        data = JWTConnectAuthTokenBuilder.build(user)
        copied = copy.deepcopy(data)
        assert (type(copied), copied) == (dict, data)
        assert data["access_token"]["jti"] != part(JWTConnectAuthTokenBuilder.create(copied)["access_token"])["jti"]


def test_a_project_without_an_issuer_makes_no_tokens(user: Any) -> None:
    with old({}, new=verifying()), pytest.raises(ConfigurationError, match="issuer"):
        pair(user)


def test_claims_that_were_changed_after_build_are_signed(user: Any) -> None:
    with old():
        data = JWTConnectAuthTokenBuilder.build(user)
        data["access_token"]["tenant"] = "a"
        claims = part(JWTConnectAuthTokenBuilder.create(data)["access_token"])
        assert (claims["tenant"], claims["sub"]) == ("a", sha256(b"ciro").hexdigest())
        assert claims["jti"] != data["access_token"]["jti"]
        plain = json.loads(json.dumps(JWTConnectAuthTokenBuilder.build(user)))
        assert part(JWTConnectAuthTokenBuilder.create(plain)["access_token"])["username"] == "ciro"


@pytest.mark.parametrize("data", [{"jti": 1}, {}, {"token": ""}, {"token": None}])
def test_introspection_without_a_parameter(data: dict[str, Any], user: Any) -> None:
    with old():
        reply = post("introspection", data, pair(user)["access_token"])
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


@KINDS
def test_introspection(kind: Mapping[str, Any], user: Any) -> None:
    with old(kind):
        made = pair(user)
        access, refresh = made["access_token"], made["refresh_token"]
        for text in (access, refresh):
            told = post("introspection", {"token": text}, access)
            claims = part(text)
            assert told.status_code == 200
            assert {"jti", "iat", "issued_at", "exp", "expire_at", "sub", "aud", "active"} <= set(told.json())
            assert [told.json()[name] for name in ("jti", "iat", "exp", "sub", "aud", "active")] == [
                *(claims[name] for name in ("jti", "iat", "exp", "sub", "aud")), True]  # fmt: skip
            by_id = post("introspection", {"jti": claims["jti"]}, access)
            assert by_id.status_code == 200
            assert by_id.json() == told.json()


@pytest.mark.parametrize("form", ["json", "form", "multipart"])
def test_forms_of_a_body(form: str, user: Any) -> None:
    with old():
        made = pair(user)
        kinds: dict[str, dict[str, str]] = {
            "json": {"content_type": "application/json; indent=4"},
            "form": {"content_type": "application/x-www-form-urlencoded"},
        }
        data: Any = {"token": made["refresh_token"]}
        more = kinds.get(form, {})
        if form == "form":
            data = f"token={made['refresh_token']}"
        url = reverse("jwtconnect_auth:token_refresh")
        assert Client().post(url, data, **more).status_code == 201


def reading(get_response: Any) -> Any:
    """A middleware that looks at the form, as some do for a log."""

    def middleware(request: Any) -> Any:
        assert request.POST is not None
        return get_response(request)

    return middleware


def test_a_multipart_body_that_middleware_has_read(user: Any) -> None:
    with old(middleware=[f"{__name__}.reading"]):
        url = reverse("jwtconnect_auth:token_refresh")
        refresh_token = pair(user)["refresh_token"]
        assert Client().post(url, {"token": [refresh_token, refresh_token]}).status_code == 400
        assert Client().post(url, {"token": refresh_token}).status_code == 201
        assert Client().post(url, {"token": "a" * 65_536}).status_code == 413


def test_the_names_of_the_urls() -> None:
    with old():
        assert app_name == "jwtconnect_auth"
        assert reverse("jwtconnect_auth:token_introspection") == "/token/introspection"
        assert reverse("jwtconnect_auth:token_refresh") == "/token/refresh"


BAD_BODIES = {
    "json list": (b"[1]", "application/json"),
    "json text": (b'"token"', "application/json"),
    "not json": (b"{", "application/json"),
    "bad utf-8 in json": (b'{"token": "\xff"}', "application/json"),
    "a number": (b'{"token": 5}', "application/json"),
    "an object": (b'{"token": {}}', "application/json"),
    "twice": (b'{"token": "a", "token": "b"}', "application/json"),
    "deep": (b"[" * 60_000, "application/json"),
    "empty": (b"", "application/json"),
    "bad utf-8 in a form": (b"token=%ff", "application/x-www-form-urlencoded"),
    "octets in a form": (b"token=\xff", "application/x-www-form-urlencoded"),
    "twice in a form": (b"token=a&token=b", "application/x-www-form-urlencoded"),
    "empty form": (b"", "application/x-www-form-urlencoded"),
    "another charset": (b"token=a", "application/x-www-form-urlencoded; charset=utf-16"),
    "no boundary": (b"token=a", "multipart/form-data"),
    "a boundary that is not ascii": (b"token=a", "multipart/form-data; boundary=\xe9"),
    "cut multipart": (b'--x\r\nContent-Disposition: form-data; name="token"', "multipart/form-data; boundary=x"),
    "empty multipart": (b"", "multipart/form-data; boundary=x"),
    "twice in multipart": (
        b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\na\r\n' * 2 + b"--x--\r\n",
        "multipart/form-data; boundary=x",
    ),
    "a file": (
        b'--x\r\nContent-Disposition: form-data; name="token"; filename="a"\r\n\r\na\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
    ),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_none_is_a_clear_400(name: str) -> None:
    body, kind = BAD_BODIES[name]
    with old():
        reply = Client().generic("POST", "/token/refresh", body, CONTENT_TYPE=kind)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request"), reply.content
    assert reply.headers["Content-Type"] == "application/json"


def test_a_body_of_another_kind_or_size() -> None:
    with old():
        client = Client()
        assert client.post("/token/refresh", "x", content_type="text/plain").status_code == 415
        assert client.generic("POST", "/token/refresh", b"").status_code == 400
        assert client.generic("POST", "/token/refresh", b"token=a", "").status_code == 415
        large = b'{"token": "' + b"a" * 65_536 + b'"}'
        for kind in ("application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
            assert client.post("/token/refresh", large, content_type=kind).status_code == 413
        assert client.generic("POST", "/token/refresh", b"x", "application/json", CONTENT_LENGTH="x").status_code == 400


def test_other_methods() -> None:
    with old():
        for name in ("refresh", "introspection"):
            reply = Client().get(f"/token/{name}")
            assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")


def test_no_cookie_is_set_and_no_form_token_asked_for(user: Any) -> None:
    with old(middleware=["django.middleware.csrf.CsrfViewMiddleware"]):
        reply = Client(enforce_csrf_checks=True).post("/token/refresh", {"token": pair(user)["refresh_token"]})
    assert reply.status_code == 201
    assert not reply.cookies
    assert reply.headers["Cache-Control"] == "no-store"


def test_behind_the_middleware_the_endpoints_stay_reachable(user: Any) -> None:
    with old(middleware=["jwtconnect_mw.django.middleware.BearerMiddleware"]):
        made = pair(user)
        assert post("refresh", {"token": made["refresh_token"]}).status_code == 201
        reply = Site("asgi")(bearer(made["access_token"]), path="/plain")
        assert (reply.status, reply.json["claims"]["username"]) == (200, "ciro")


@KINDS
def test_the_model_decodes_what_it_has_just_made(kind: Mapping[str, Any], user: Any) -> None:
    with old(kind):
        row = JWTConnectAuthToken.create(user)
        assert row.decode_access() == part(row.access_token)
        assert row.decode_refresh() == part(row.refresh_token)
        read = JWTConnectAuthToken.objects.get(pk=row.pk)
        row.access_token, row.refresh_token = row.refresh_token, row.access_token
        for decode in (row.decode_access, row.decode_refresh, read.decode_access, read.decode_refresh):
            with pytest.raises(InvalidJWT):
                decode()


def test_a_refresh_token_that_was_spent_is_not_decoded(user: Any) -> None:
    with old():
        row = JWTConnectAuthToken.create(user)
        assert post("refresh", {"token": row.refresh_token}).status_code == 201
        with pytest.raises(InvalidJWT):
            row.decode_refresh()


def test_remove_older_tokens(user: Any) -> None:
    with old():
        pairs = [pair(user) for _ in range(3)]
        assert (remove_older_tokens(user), remove_older_tokens(user)) == (2, 0)
        codes = [Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code
                 for made in pairs]  # fmt: skip
    assert codes == [401, 401, 200]


# Settings.


@pytest.mark.parametrize("form", ["object", "pem", "bytes", "path", "Path"])
def test_forms_of_the_key_and_the_certificate(form: str, tmp_path: Path, user: Any) -> None:
    pem, cert = private_pem(RSA), certificate(RSA)
    (tmp_path / "private.key").write_text(pem)
    (tmp_path / "public.cert").write_text(cert)
    forms: dict[str, tuple[Any, Any]] = {
        "object": (
            import_private_rsa_key_from_file(str(tmp_path / "private.key")),
            import_public_key_from_cert_file(str(tmp_path / "public.cert")),
        ),
        "pem": (pem, cert),
        "bytes": (pem.encode(), cert.encode()),
        "path": (str(tmp_path / "private.key"), str(tmp_path / "public.cert")),
        "Path": (tmp_path / "private.key", tmp_path / "public.cert"),
    }
    with old(JWTAUTH_KEY=forms[form][0], JWTAUTH_CERT=forms[form][1]):
        assert part(pair(user)["access_token"], 0)["alg"] == "RS256"


def test_a_secret_may_be_text(user: Any) -> None:
    with old(SYMMETRIC, JWTAUTH_KEY=SECRET.decode()):
        assert part(pair(user)["access_token"], 0) == {"alg": "HS256", "typ": "at+jwt"}


@pytest.mark.parametrize("secret", ["/" * 300, "a" * 300, "a\0" * 32, "a+b/c.d" * 10])
def test_a_secret_that_is_no_path(secret: str, user: Any) -> None:
    with old(SYMMETRIC, JWTAUTH_KEY=secret):
        assert part(pair(user)["access_token"], 0)["alg"] == "HS256"


def test_lifetimes(user: Any) -> None:
    with old(JWTAUTH_ACCESS_TOKEN_LIFETIME=60, JWTAUTH_REFRESH_TOKEN_LIFETIME=120):
        made = pair(user)
        spans = [part(made[name])["exp"] - part(made[name])["iat"] for name in ("access_token", "refresh_token")]
    assert (made["expires_in"], spans) == (60, [60, 120])


def test_allow_refresh(user: Any) -> None:
    with old(JWTAUTH_ALLOW_REFRESH=False):
        reply = post("refresh", {"token": pair(user)["refresh_token"]})
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


def test_claims_map(user: Any) -> None:
    with old(JWTAUTH_CLAIMS_MAP={"username": "preferred_username", "is_staff": "staff", "date_joined": "joined"}):
        made = pair(user)
        claims = part(made["access_token"])
        assert (claims["preferred_username"], claims["staff"]) == ("ciro", False)
        assert claims["joined"].startswith("20")
        assert "username" not in claims
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 200
    with old(JWTAUTH_CLAIMS_MAP={"email": "email"}):
        made = pair(user)
        assert "username" not in part(made["access_token"])
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 200
        again = post("refresh", {"token": made["refresh_token"]})
        assert (again.status_code, part(again.json()["access_token"])["email"]) == (201, "thatmail@ingoalla.org")


@pytest.mark.parametrize("more", [{}, {"new": {"user": "stateless"}}], ids=["database", "stateless"])
def test_an_inactive_user_does_not_refresh_where_no_claim_has_the_name(more: dict[str, Any], user: Any) -> None:
    with old(JWTAUTH_CLAIMS_MAP={"email": "email"}, **more):
        made = pair(user)
        user.is_active = False
        user.save()
        assert post("refresh", {"token": made["refresh_token"]}).status_code == 401


def test_who_takes_a_name_does_not_take_the_session_with_it(user: Any) -> None:
    with old():
        made = pair(user)
        user.username = "was-ciro"
        user.save()
        heir = get_user_model().objects.create_user("ciro", "heir@example.org")
        me = Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}")
        assert me.status_code == 200  # the user whose it is
        theirs = pair(heir)
        for text in (made["access_token"], made["refresh_token"]):
            for data in ({"token": text}, {"jti": part(text)["jti"]}):
                assert post("introspection", data, theirs["access_token"]).json() == {"active": False}
                assert post("introspection", data, made["access_token"]).json()["active"] is True
        again = post("refresh", {"token": made["refresh_token"]}).json()
        claims = part(again["access_token"])
        assert (claims["username"], claims["email"]) == ("was-ciro", "thatmail@ingoalla.org")
        user.delete()
        assert post("refresh", {"token": again["refresh_token"]}).status_code == 401
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {again['access_token']}").status_code == 401


def test_to_revoke_a_renamed_user_leaves_who_has_the_name_now_alone(user: Any) -> None:
    with old():
        made = pair(user)
        user.username = "was-ciro"
        user.save()
        theirs = pair(get_user_model().objects.create_user("ciro"))
        issuing.revoke_user(user)
        codes = [Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {one['access_token']}").status_code
                 for one in (made, theirs)]  # fmt: skip
    assert codes == [401, 200]


def test_claims_may_be_what_a_method_says(user: Any) -> None:
    user.first_name, user.last_name = "Ciro", "Rossi"
    user.save()
    with old(JWTAUTH_CLAIMS_MAP={"get_full_name": "name"}):
        assert part(pair(user)["access_token"])["name"] == "Ciro Rossi"


def test_an_issuer_whose_name_cannot_stand_in_a_header(user: Any) -> None:
    with old(JWTAUTH_ISSUER="città\n"):
        for name in "introspection", "refresh":
            reply = post(name, {"token": "x"}, "x")
            assert (reply.status_code, 'realm="issuer"' in reply.headers["WWW-Authenticate"]) == (401, True)


def test_multiple_tokens(user: Any) -> None:
    with old():
        first, second = pair(user), pair(user)
        for made in (first, second):
            assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 200
    with old(JWTAUTH_MULTIPLE_TOKENS=False):
        first, second = pair(user), pair(user)
        codes = [Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code
                 for made in (first, second)]  # fmt: skip
        assert codes == [401, 200]
        assert post("refresh", {"token": first["refresh_token"]}).status_code == 401


def test_the_newer_dict_may_stand_beside(user: Any) -> None:
    with old(new={"user": "stateless", "realm": "api"}):
        wired = wiring()
        assert (wired.legacy, wired.user) == (True, "stateless")
        made = pair(user)
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 200
        assert Client().get("/me").headers["WWW-Authenticate"] == 'Bearer realm="api"'


class OwnKeys(JWTConnectAuthKeyHandler):
    @staticmethod
    def keys() -> list[Any]:
        return [RSAKey(priv_key=key("RS256", "own")._native)]


class OwnSecret:
    keys = (SYMKey(key=b"another secret that is long enough"),)


class ShortSecret:
    keys = (SYMKey(key=b"seventeen octets."),)


class NoKeys:
    keys = ()


def broken() -> None:
    raise RuntimeError("with a secret in it")


@pytest.mark.parametrize("name", ["OwnKeys", "OwnSecret"])
def test_keys_by_a_handler(name: str, user: Any) -> None:
    with old(JWTAUTH_KEYJAR_HANDLER=f"{__name__}.{name}", JWTAUTH_KEY=None):
        made = pair(user)
        assert part(made["access_token"], 0)["alg"] == {"OwnKeys": "RS256", "OwnSecret": "HS256"}[name]
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 200


@KINDS
def test_the_key_handler(kind: Mapping[str, Any], user: Any) -> None:
    with old(kind):
        made = pair(user)
        (held,) = JWTConnectAuthKeyHandler.keys()
        assert isinstance(held, RSAKey if kind is ASYMMETRIC else SYMKey)
        jar = JWTConnectAuthKeyHandler.keyjar()
        assert isinstance(jar, KeyJar)
        assert len(jar.get_signing_key(held.kty, ISSUER)) == 1
        claims = JWTConnectAuthKeyHandler.decode_jwt(made["access_token"].encode())
        assert claims == part(made["access_token"])
        assert json.loads(JWTConnectAuthKeyHandler.decode_jwt(made["access_token"], format="json")) == claims


PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "no issuer": ("E010", {"JWTAUTH_ISSUER": None}),
    "no key": ("E011", {"JWTAUTH_KEY": None}),
    "a path that is none": ("E011", {"JWTAUTH_KEY": "certs/private.key"}),
    "a public key": ("E011", {"JWTAUTH_KEY": RSA._native.public_key()}),
    "pem that is none": ("E011", {"JWTAUTH_KEY": "-----BEGIN PRIVATE KEY-----\n"}),
    "a short secret": ("E011", {"JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_KEY": "thatsecret"}),
    "a path for a secret": ("E011", {"JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_KEY": __file__}),
    "a path for a secret that is not there": (
        "E011",
        {"JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_KEY": b"/etc/project/certificates/private.key"},
    ),
    "a public key for a secret": ("E005", {"JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_KEY": certificate(RSA)}),
    "a key object for a secret": ("E011", {"JWTAUTH_ALGORITHM": "HS256"}),
    "another certificate": ("E012", {"JWTAUTH_CERT": key("RS256", "b")._native.public_key()}),
    "a certificate that is none": ("E012", {"JWTAUTH_CERT": "nowhere.pem"}),
    "a key of another algorithm": ("E013", {"JWTAUTH_ALGORITHM": "ES256"}),
    "no algorithm": ("E013", {"JWTAUTH_ALGORITHM": "none"}),
    "other schemes": ("E014", {"JWTAUTH_AUTH_HEADER_TYPES": ("JWT",)}),
    "no schemes": ("E014", {"JWTAUTH_AUTH_HEADER_TYPES": None}),
    "a switch": ("E009", {"JWTAUTH_ALLOW_REFRESH": "False"}),
    "another switch": ("E009", {"JWTAUTH_MULTIPLE_TOKENS": "no"}),
    "a secret with half a character": ("E011", {"JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_KEY": "\ud800"}),
    "one scheme": ("E014", {"JWTAUTH_AUTH_HEADER_TYPES": "Bearer"}),
    "no handler": ("E015", {"JWTAUTH_KEYJAR_HANDLER": "no.such.handler"}),
    "a handler that fails": ("E015", {"JWTAUTH_KEYJAR_HANDLER": f"{__name__}.broken"}),
    "a handler with a short secret": ("E011", {"JWTAUTH_KEYJAR_HANDLER": f"{__name__}.ShortSecret"}),
    "a handler without keys": ("E011", {"JWTAUTH_KEYJAR_HANDLER": f"{__name__}.NoKeys"}),
    "a lifetime of nothing": ("E005", {"JWTAUTH_ACCESS_TOKEN_LIFETIME": 0}),
    "a claim of the issuer": ("E008", {"JWTAUTH_CLAIMS_MAP": {"username": "sub"}}),
    "no map": ("E008", {"JWTAUTH_CLAIMS_MAP": ["username"]}),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_setting_is_an_error_of_the_checks(name: str) -> None:
    id, settings = PROBLEMS[name]
    with old(**settings):
        found = [problem for problem in run_checks() if problem.id.startswith("jwtconnect_mw")]
    assert [problem.id for problem in found] == [f"jwtconnect_mw.{id}"]
    assert "thatsecret" not in found[0].msg
    assert "with a secret in it" not in found[0].msg


# The defects of the older package, each gone.


def test_decode_takes_no_foreign_expired_unsigned_or_refresh_token(user: Any) -> None:
    with old():
        made = pair(user)
        unsigned = f"{token(header={'alg': 'none'}).rpartition('.')[0]}."
        for text in (unsigned, token(), made["refresh_token"], made["access_token"][:-1], "", "x y"):
            with pytest.raises(InvalidJWT) as caught:
                JWTConnectAuthKeyHandler.decode_jwt(text, verify=False)
            assert caught.value.__cause__ is None
        wired = wiring()
        wired.issuer.clock = lambda: 2**33  # type: ignore[union-attr]
        wired._made.clear()
        with pytest.raises(InvalidJWT):
            JWTConnectAuthKeyHandler.decode_jwt(made["access_token"])


def test_an_inactive_user_neither_authenticates_nor_refreshes(user: Any) -> None:
    with old():
        made = pair(user)
        user.is_active = False
        user.save()
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {made['access_token']}").status_code == 401
        assert post("introspection", {"token": made["access_token"]}, made["access_token"]).status_code == 401
        assert post("refresh", {"token": made["refresh_token"]}).status_code == 401
        user.delete()
        assert post("refresh", {"token": made["refresh_token"]}).status_code == 401


def test_a_refresh_token_works_once(user: Any) -> None:
    with old():
        made = pair(user)
        second = post("refresh", {"token": made["refresh_token"]}).json()
        third = post("refresh", {"token": second["refresh_token"]}).json()
        reply = post("refresh", {"token": made["refresh_token"]})
        assert (reply.status_code, reply.json()["error"]) == (401, "invalid_token")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
        assert post("refresh", {"token": third["refresh_token"]}).status_code == 401
        assert Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {third['access_token']}").status_code == 401


def test_nobody_sees_the_tokens_of_others(user: Any) -> None:
    other = get_user_model().objects.create_user("other")
    with old():
        mine, theirs = pair(user), pair(other)
        for data in (
            {"token": theirs["access_token"]},
            {"token": theirs["refresh_token"]},
            {"jti": part(theirs["access_token"])["jti"]},
            {"jti": "unknown"},
            {"token": "unknown"},
            {"token": token()},
        ):
            reply = post("introspection", data, mine["access_token"])
            assert (reply.status_code, reply.json()) == (200, {"active": False})


def test_introspection_without_authentication(user: Any) -> None:
    with old():
        made = pair(user)
        for access, challenge in ((None, "Bearer"), (made["refresh_token"], "Bearer"), ("x", "Bearer")):
            reply = post("introspection", {"jti": "x"}, access)
            assert reply.status_code == 401
            assert reply.headers["WWW-Authenticate"].startswith(challenge)


def test_a_revoked_pair_is_not_shown_as_alive(user: Any) -> None:
    with old():
        mine, dead = pair(user), pair(user)
        wiring().issuer.revoke(token=dead["refresh_token"])  # type: ignore[union-attr]
        for name in ("access_token", "refresh_token"):
            for data in ({"token": dead[name]}, {"jti": part(dead[name])["jti"]}):
                assert post("introspection", data, mine["access_token"]).json() == {"active": False}


def test_a_token_of_the_older_package_is_not_shown_as_alive(user: Any) -> None:
    """It is not taken any more."""
    end = timezone.now() + timedelta(hours=1)
    with old():
        access = part(pair(user)["access_token"])
        JWTConnectAuthToken.objects.create(
            user=user, sub=access["sub"], access_jti="a" * 64, refresh_jti="b" * 64, issued_at=timezone.now(),
            access_expire_at=end, refresh_expire_at=end)  # fmt: skip
        for jti in ("a" * 64, "b" * 64):
            assert post("introspection", {"jti": jti}, pair(user)["access_token"]).json() == {"active": False}


def test_introspection_while_the_database_is_down(user: Any) -> None:
    with old(new={"user": "stateless", "revocations": "memory"}):
        text = pair(user)["access_token"]
        with connection.execute_wrapper(down):
            reply = post("introspection", {"jti": "a" * 64}, text)
    assert (reply.status_code, reply.json()["error"]) == (503, "temporarily_unavailable")


def down(*_: Any) -> None:
    raise OperationalError("the address of the server")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_has_no_case(scheme: str, user: Any) -> None:
    with old():
        text = pair(user)["access_token"]
        assert Client().get("/me", HTTP_AUTHORIZATION=f"{scheme} {text}").status_code == 200


def test_a_scheme_that_is_not_ascii_is_a_clear_400() -> None:
    with old():
        reply = Site("wsgi")([("Authorization", b"B\xe9arer x")], path="/me")
        assert (reply.status, reply.json["error"]) == (400, "invalid_request")


def test_expires_in_changes_exp_and_is_no_claim(user: Any) -> None:
    with old():
        for made in (
            pair(user, expires_in=7200),
            JWTConnectAuthTokenBuilder.create(JWTConnectAuthTokenBuilder.build(user), lifetime=7200),
        ):
            claims = part(made["access_token"])
            assert (made["expires_in"], claims["exp"] - claims["iat"], "expires_in" in claims) == (7200, 7200, False)


def test_keys_are_parsed_once(user: Any) -> None:
    with old(JWTAUTH_KEY=private_pem(RSA)):
        before = wiring().issuer.keys.signer()  # type: ignore[union-attr]
        for _ in range(3):
            JWTConnectAuthKeyHandler.decode_jwt(pair(user)["access_token"])
        assert wiring().issuer.keys.signer() is before  # type: ignore[union-attr]


def test_a_response_is_built_for_each_request(user: Any) -> None:
    with old():
        for accept in ("text/html", "application/json"):
            reply = post("introspection", {"token": "x"}, pair(user)["access_token"], HTTP_ACCEPT=accept)
            assert reply.headers["Content-Type"] == "application/json"
