"""The Django chapters of README are true: their code runs in a project, their tables are those of the code.

Each project is a process of its own, because the settings of Django belong to the whole process: this module run with
the name of a project. The issuer that README names is replaced by a FakeIssuer of the test.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import jwtconnect_mw
from jwtconnect_mw import BearerAuth
from jwtconnect_mw.testing import FakeIssuer

from .django_kit import issuing, project, verifying
from .django_users import clean, make_user
from .djproject import api
from .kit import key, token
from .readme import BLOCKS, README, ROOT, table, unquoted
from .test_settings import certificate

# Django's settings must be there first.
from django.core.management import get_commands  # isort: skip
from django.test import Client  # isort: skip
from django.urls import include, path, reverse  # isort: skip

from jwtconnect_mw.django import legacy
from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.options import AUTH, KNOWN
from jwtconnect_mw.django.signals import SETTINGS

PACKAGE = Path(jwtconnect_mw.__file__).parent / "django"  # of the wheel, where that is what is tested
ISSUER, AUDIENCE = "https://as.example", "https://api.example"
PYTHON = [(block.chapter, block.heading, block.code) for block in BLOCKS if block.language == "python"]
PREAMBLE = """
from pathlib import Path

BASE_DIR = Path(__file__).parent
SECRET_KEY = "only for a test"
ROOT_URLCONF = "urls"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions", "staticfiles")
]
STATIC_URL = "static/"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}}]
"""
URLS = """
from django.urls import path

import rest
import views

urlpatterns = [
    path("me", views.me),
    path("order", views.order),
    path("orders", views.Orders.as_view()),
    path("health", views.health),
    path("rest", rest.Order.as_view()),
]
"""


def code(heading: str) -> list[str]:
    return [code for chapter, found, code in PYTHON if heading in (found, f"{chapter}/{found}")]


def bearer(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


# The projects, each from inside.


def verify(tokens: Mapping[str, str]) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    plain, scoped, wrong = (bearer(tokens[name]) for name in ("plain", "scoped", "wrong"))
    for place in ("/me", "/order", "/orders", "/rest"):
        assert client.get(place).status_code == 401
        assert client.get(place, **wrong).status_code == 401
        assert client.get(place, **scoped).status_code == 200
    assert client.get("/me", **plain).json() == {"subject": "bob", "user": "bob"}
    for place in ("/order", "/orders"):
        assert client.get(place, **plain).status_code == 403
    assert client.post("/rest", **plain).status_code == 403
    assert client.post("/rest", **scoped).status_code == 201
    assert client.get("/health").content == b"fine"
    without_middleware(scoped)


def without_middleware(scoped: dict[str, str]) -> None:
    from django.test import Client, override_settings

    with override_settings(MIDDLEWARE=[]):
        assert Client().get("/rest").status_code == 401
        assert Client().get("/rest", **scoped).status_code == 200


def issue(_: Mapping[str, str]) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    user = get_user_model().objects.create_user("bob", password="first")
    assert client.post("/login", {"username": "bob", "password": "wrong"}).status_code == 403
    answer = client.post("/login", {"username": "bob", "password": "first"})
    assert (answer.status_code, answer.headers["Cache-Control"], len(answer.cookies)) == (200, "no-store", 0)

    def refresh(pair: Any) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": pair.json()["refresh_token"]}
        return client.post("/oauth/token", urlencode(form), "application/x-www-form-urlencoded")

    refreshed = refresh(answer)
    assert refreshed.status_code == 200
    assert client.get("/.well-known/oauth-authorization-server").json()["issuer"] == AUDIENCE
    assert client.post("/logout", **bearer(refreshed.json()["access_token"])).status_code == 204
    assert client.post("/logout", **bearer(refreshed.json()["access_token"])).status_code == 401
    other = client.post("/login", {"username": "bob", "password": "first"})
    user.set_password("second")
    user.save()
    assert refresh(other).status_code == 400
    assert client.get("/admin/").status_code == 302


def older(_: Mapping[str, str]) -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import CommandError, call_command
    from django.test import Client

    from jwtconnect_mw.django.jwts import JWTConnectAuthTokenBuilder as Builder

    made = Builder.create(Builder.build(get_user_model().objects.create_user("bob")))
    client = Client()
    answer = client.post("/token/refresh", {"token": made["refresh_token"]}, "application/json")
    assert (answer.status_code, set(answer.json()) >= {"access_token", "refresh_token"}) == (201, True)
    access = answer.json()["access_token"]
    told = client.post("/token/introspection", {"token": access}, "application/json", **bearer(access))
    assert (told.status_code, told.json()["active"]) == (200, True)
    lines = next(block.code for block in BLOCKS if block.language == "sh" and "legacy" in block.code).splitlines()
    commands = [line.removeprefix("python manage.py ") for line in lines]
    assert commands == ["migrate", "jwt_import_legacy"]
    with pytest.raises(CommandError, match="there is no table"):  # what it does with one: test_django_commands
        call_command(commands[1])


PROJECTS: dict[str, tuple[Callable[[Mapping[str, str]], None], dict[str, list[str]]]] = {
    "verify": (
        verify,
        {
            "settings.py": [PREAMBLE, *code("Settings and middleware"), 'INSTALLED_APPS += ["rest_framework"]'],
            "views.py": code("Views and their scopes"),
            "rest.py": code("Django REST framework"),
            "urls.py": [URLS],
        },
    ),
    "issue": (
        issue,
        {
            "settings.py": [PREAMBLE, code("An issuer in the project")[0]],
            "urls.py": [code("An issuer in the project")[1]],
        },
    ),
    "older": (
        older,
        {
            "settings.py": [
                PREAMBLE,
                code("Coming from django-jwtconnect-auth")[0],
                'INSTALLED_APPS += ["rest_framework"]',
            ],
            "urls.py": [code("Coming from django-jwtconnect-auth")[1]],
        },
    ),
}


@pytest.mark.parametrize("name", PROJECTS)
def test_the_code_runs(name: str, tmp_path: Path) -> None:
    signing = key("RS256")
    (tmp_path / "certs").mkdir()
    pem = signing._native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "certs" / "private.key").write_bytes(pem)
    (tmp_path / "certs" / "public.cert").write_text(certificate(signing))
    with FakeIssuer(audience=AUDIENCE) as issuer:
        for file, parts in PROJECTS[name][1].items():
            (tmp_path / file).write_text("\n".join(parts).replace(ISSUER, issuer.url))
        scope = {"scope": "orders:read orders:write"}
        claims: dict[str, dict[str, Any]] = {"plain": {}, "scoped": scope, "wrong": {**scope, "aud": "other"}}
        tokens = {kind: issuer.token({"sub": "bob", **more}) for kind, more in claims.items()}
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "DJANGO_SETTINGS_MODULE": "settings",
            "README_TOKENS": json.dumps(tokens),
        }
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", INSIDE, name]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}: as README says\n", ""), done.stderr


INSIDE = "from tests.test_django_readme import main; main()"


def main() -> None:
    """Ask the project that DJANGO_SETTINGS_MODULE names, from inside it."""
    from django.core.management import call_command

    name = sys.argv[1]
    call_command("check", stdout=io.StringIO(), fail_level="WARNING")
    call_command("migrate", verbosity=0)
    PROJECTS[name][0](json.loads(os.environ["README_TOKENS"]))
    sys.stdout.write(f"{name}: as README says\n")


def test_every_block_of_the_chapters_is_run() -> None:
    run = {part for _, files in PROJECTS.values() for parts in files.values() for part in parts}
    chapters = {"Django", "Coming from django-jwtconnect-auth", "Coming from simplejwt"}
    run |= set(code("Users by a rule of your own"))  # by a test of its own
    assert {code for chapter, _, code in PYTHON if chapter in chapters} <= run


# The tables.


def test_settings_are_complete_and_their_defaults_true() -> None:
    rows = {unquoted(name): unquoted(default) for name, default, _ in table("JWTCONNECT_MW")}
    assert (set(rows), len(rows)) == (KNOWN, len(table("JWTCONNECT_MW")))
    written = {name: eval(default, {"time": time}) for name, default in rows.items() if default}
    assert set(rows) - set(written) == {"audience", "keys"}
    parameters = inspect.signature(BearerAuth).parameters
    assert {name: written[name] for name in AUTH} == {name: parameters[name].default for name in AUTH}
    assert {written[name] for name in SETTINGS} == {False}
    seen = []
    own = issuing()["issuer"]
    for settings in ({"issuer": own}, {**written, "issuer": own, "revocations": "orm"}):
        with project(settings):
            wired = wiring()
            users, auth = wired.users, {name: value for name, value in vars(wired.auth).items() if name in AUTH}
            assert wired.lookups is wired.revocations
            seen.append([
                wired.policies[0].issuer, type(wired.revocations), wired.clock, auth,
                users.mode, users.claim, users.lookup, users.claims_map.attributes])  # fmt: skip
    assert seen[0] == seen[1]


def test_a_function_finds_users() -> None:
    clean()
    make_user("staff-bob")
    make_user("staff-nobody", is_active=False)
    names: dict[str, Any] = {}
    exec(code("Users by a rule of your own")[0], names)
    settings = verifying(user="database", user_lookup=names["user_of"])
    with project(settings, urls=api.Urls(api.plain)):
        for claims, status in (
            ({"sub": "bob"}, 200),
            ({"sub": "bob", "client_id": "bob"}, 401),
            ({"sub": "nobody"}, 401),
            ({"sub": "carol"}, 401),
            ({"sub": ...}, 401),
        ):
            assert Client().get("/", **bearer(token(claims))).status_code == status
    clean()


def test_commands_are_complete() -> None:
    ours = {name for name, application in get_commands().items() if application == "jwtconnect_mw.django"}
    assert {unquoted(name) for name, _ in table("Commands")} == ours


def test_checks_are_complete() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py") if path.name != "checks.py"]
    checks = (PACKAGE / "checks.py").read_text(encoding="utf-8")
    listed, code = checks.split('"""', 2)[1:]
    raised = set(re.findall(r"\b[EW]0\d\d\b", "\n".join([*sources, code])))
    written = [unquoted(id) for id, _ in table("System checks")]
    assert sorted(set(written)) == written
    assert set(written) == raised == set(re.findall(r"\b[EW]0\d\d\b", listed))


def test_older_settings_are_complete() -> None:
    known = {name for path in PACKAGE.glob("*.py") for name in re.findall(r"JWTAUTH_[A-Z_]*[A-Z]", path.read_text())}
    rows = table("What became of the settings")
    assert {unquoted(name) for name, _, _ in rows} == known
    assert named_in_the_dict(cell for _, cell, _ in rows)


def named_in_the_dict(cells: Any) -> bool:
    """Whether what stands for a setting is one: a name of the dict, or ``issuer``: an argument of Issuer."""
    from jwtconnect_mw.django.options import ISSUER as OF_ISSUER
    from jwtconnect_mw.django.options import POLICY

    inner = {"issuer": OF_ISSUER, "issuers": POLICY}
    for cell in cells:
        first, *more = re.findall(r"`\"?(\w+)\"?", cell) or [None]
        assert first is None or first in KNOWN, cell
        assert set(more) <= inner.get(first, KNOWN), cell
    return True


class Older:
    urlpatterns = (path("", include("jwtconnect_mw.django.compat_urls")), path("me", api.rest))


def test_older_endpoints() -> None:
    with project(issuing(), urls=Older):
        for place, name, _, _ in table("What became of the endpoints"):
            assert reverse(unquoted(name)) == f"/{unquoted(place)}"


def test_older_claims() -> None:
    names = {name for row in table("What became of the claims") for name in re.findall(r"`(\w+)`", row[0])}
    assert names >= {"iss", "aud", "sub", "jti", "iat", "exp", "ttype", *legacy.CLAIMS_MAP.values()}


def found(dotted: str) -> Any:
    module, *names = dotted.split(".")
    thing: Any = importlib.import_module(f"jwtconnect_mw.django.{module}")
    for name in names:
        thing = getattr(thing, name.removesuffix("()"))
        thing = thing() if name.endswith("()") else thing
    return thing


def test_older_names_are_there() -> None:
    for name, _ in table("What became of the Python names"):
        assert found(unquoted(name))


def test_what_stands_for_simplejwt_is_there() -> None:
    assert named_in_the_dict(cell for _, cell, _ in table("Its settings") if cell.startswith("`"))
    with project(issuing()):
        for _, cell, _ in table("Its views and classes"):
            for name in re.findall(r"`((?:\w+)\.[\w.()]+)`", cell):
                assert name == "request.jwt" or callable(found(name))


def test_settings_of_simplejwt_are_complete() -> None:
    pytest.importorskip("rest_framework_simplejwt", reason="of the extra bench")
    from rest_framework_simplejwt.settings import DEFAULTS

    written = [name for row in table("Its settings") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(written) == sorted(DEFAULTS)


def test_the_extras_of_the_chapter_are_there() -> None:
    chapter = README.split("\n## Django\n")[1].split("\n## ")[0]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"\"\.\[(\w+)\]\"", chapter)
    assert set(extras) == {"django", "drf"}
    for extra in extras:
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE)
