"""The README is true: its code runs and protects, its commands name what exists, its tables are those of the code.

The issuer of the README is replaced by a FakeIssuer, so that each ``app`` is asked without a token and with a good one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwtconnect_mw import (
    AuthError,
    BearerAuth,
    HttpFetch,
    TrustedIssuer,
    _http,
    _strict,
    errors,
    fetch,
    gate,
    header,
    verifier,
)
from jwtconnect_mw.issuer import GrantError, Issuer, IssuerApp
from jwtconnect_mw.issuer import errors as issuer_errors
from jwtconnect_mw.keys import sources, state
from jwtconnect_mw.revocation import redis_scripts
from jwtconnect_mw.testing import FakeIssuer

from .adapters import Headers, Reply, call_wsgi
from .readme import BLOCKS, DJANGO_CHAPTERS, README, ROOT, Block, table, unquoted

ISSUER, AUDIENCE = "https://as.example", "https://api.example"
SECRET = "a shared secret of more than thirty-two octets"
SECRETS = {"reports": "a secret of the client that makes reports", "api": "another secret, for the client of the API"}


PYTHON = [block for block in BLOCKS if block.language == "python" and block.chapter not in DJANGO_CHAPTERS]
BASE = next(block for block in PYTHON if block.heading == "An issuer and its API")
OF_THE_ISSUER = [block for block in PYTHON if block.heading.startswith(("A login", "Mounting"))]
SHELL = {block.heading: block.code for block in BLOCKS if block.language == "sh"}


def call_asgi(app: Any, headers: Headers, method: str, path: str) -> Reply:
    """Through httpx, because some frameworks want a receive that waits for the client to leave."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=[(name.encode(), value) for name, value in headers])

    reply = asyncio.run(ask())
    return Reply(reply.status_code, dict(reply.headers), reply.content)


class Session:
    """An app of the README, asked over its own interface, with tokens of the issuer that stands for the README's."""

    def __init__(self, app: Any, issuer: FakeIssuer) -> None:
        asynchronous = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)
        self._call = call_asgi if asynchronous else call_wsgi
        self.app, self.issuer = app, issuer

    def ask(self, token: str | None, path: str = "/me", method: str = "GET", **headers: str) -> Reply:
        fields = [] if token is None else [("Authorization", f"Bearer {token}".encode())]
        fields += [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]
        return self._call(self.app, fields, method, path)

    def refused_then_accepted(self, path: str = "/me", *, anonymous: int = 401) -> None:
        assert self.ask(None, path).status == anonymous
        accepted = self.ask(self.issuer.token({"sub": "bob"}), path)
        assert accepted.status == 200
        assert b"bob" in accepted.body or b"Hello world!" in accepted.body


def names_in(block: Block, issuer: FakeIssuer) -> dict[str, Any]:
    """Run a block where the text has put it: after the first one, which makes ``auth``."""
    auth = BearerAuth(TrustedIssuer(issuer.url, audience=AUDIENCE))
    module = sys.modules["readme_block"] = ModuleType("readme_block")  # some frameworks look up who calls them
    module.__dict__["auth"] = auth
    if block in OF_THE_ISSUER:
        exec(BASE.code.replace(ISSUER, issuer.url), module.__dict__)
    code = compile(block.code.replace(ISSUER, issuer.url), f"README.md, {block.heading}", "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module.__dict__


def cors(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    origin = {"Origin": "https://app.example"}
    for token, status in ((None, 401), (issuer.token(), 200)):
        reply = session.ask(token, **origin)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, origin["Origin"])
        assert reply.headers["access-control-expose-headers"] == "WWW-Authenticate"
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
    assert session.ask(None, method="OPTIONS", **origin, **asked).status in (200, 204)


def optional(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    assert session.ask(None).body == b"hello stranger"
    assert session.ask(issuer.token()).body == b"hello alice"
    assert session.ask(issuer.token({"aud": "other"})).status == 401


def public(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    session.refused_then_accepted()
    for path, status in (("/docs", 200), ("/docs/api", 200), ("/docs2", 401), ("/docs/../me", 401), ("/docs//a", 401)):
        assert session.ask(None, path).status == status, path


def scopes(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    reply = session.ask(issuer.token(), "/orders/5", "DELETE")
    assert reply.status == 403
    assert 'scope="orders:write"' in reply.headers["www-authenticate"]
    assert session.ask(issuer.token({"scope": "read orders:write"}), "/orders/5", "DELETE").status == 200
    assert session.ask(None, "/orders/5", "DELETE").status == 401


def key_sources(names: dict[str, Any], issuer: FakeIssuer) -> None:
    for name in ("by_url", "by_file", "by_pem"):
        token = BearerAuth(names[name]).authenticate(f"Bearer {issuer.token()}")
        assert token is not None
        assert token.subject == "alice"
    claims = {"iss": "my-issuer", "aud": AUDIENCE, "exp": time.time() + 60}
    assert BearerAuth(names["by_secret"]).authenticate("Bearer " + pyjwt.encode(claims, SECRET, "HS256"))


def revocation(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    session.refused_then_accepted()
    now = int(time.time())
    earlier = {"sub": "mallory", "iat": now - 60}  # not in the second after that of the revocation
    for claims in ({"jti": "the-jti-of-a-token"}, {"sid": "the-sid-of-a-session"}, earlier):
        assert session.ask(issuer.token(claims)).status == 401
    assert session.ask(issuer.token({"sub": "mallory", "iat": now + 5, "exp": now + 60})).status == 200


def health(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    assert session.ask(None).status == 401
    reply = session.ask(None, "/health")
    assert (reply.status, reply.json) == (200, {issuer.url: "fresh"})


def replica(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    session.refused_then_accepted()
    assert session.ask(issuer.token({"sid": "the-sid-of-a-session"})).status == 401
    assert set(names["auth"].health()) == {issuer.url, "revocations"}
    names["revoked"].close()
    names["revoked"].authority.close()


def server_list(names: dict[str, Any], _: FakeIssuer) -> None:
    """Built, and not connected: there is no such server."""
    assert names["revoked"].authority is names["backend"]
    assert names["backend"]._server.waits_for(redis_scripts.PUT)


def readiness(names: dict[str, Any], issuer: FakeIssuer) -> None:
    session = Session(names["app"], issuer)
    session.refused_then_accepted()
    reply = session.ask(None, "/health")
    assert (reply.status, reply.json["ready"], list(reply.json["issuers"])) == (200, True, [issuer.url])


def metrics(names: dict[str, Any], issuer: FakeIssuer) -> None:
    Session(names["app"], issuer).refused_then_accepted()
    told = {("refused", "no_credentials"), ("accepted", issuer.url), ("key_fetch", issuer.url)}
    assert set(names["counts"]) == told


def audit(names: dict[str, Any], issuer: FakeIssuer) -> None:
    Session(names["app"], issuer).refused_then_accepted()


def own_tests(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def over_http(app: Any) -> Callable[..., httpx.Response]:
    """Requests to an application, over either interface."""
    asynchronous = inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)

    def ask(method: str, path: str, **how: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **how)

        if asynchronous:
            return asyncio.run(asked())
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://127.0.0.1") as client:
            return client.request(method, path, **how)

    return ask


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def mounted(names: dict[str, Any], _issuer: FakeIssuer, app: str = "app", path: str = "/me") -> None:
    """A session over the endpoints, from its begin to its end."""
    ask, own = over_http(names[app]), names["issuer"]
    assert ask("GET", path).status_code == 401
    assert ask("GET", "/.well-known/oauth-authorization-server").json()["token_endpoint"] == f"{own.issuer}/oauth/token"
    tokens = own.issue("bob", scope="read write")
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    first, again = (ask("POST", "/oauth/token", data=form) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["refresh_token"] == again.json()["refresh_token"]
    headers = bearer(first.json()["access_token"])
    accepted = ask("GET", path, headers=headers)
    assert accepted.status_code == 200
    assert b"bob" in accepted.content
    assert ask("POST", "/oauth/revoke", data={"token": first.json()["refresh_token"]}).status_code == 200
    assert ask("GET", path, headers=headers).status_code == 401
    assert ask("POST", "/oauth/token", data=form).json()["error"] == "invalid_grant"
    assert [key["kid"] for key in ask("GET", "/oauth/jwks").json()["keys"]] == [own.keys.signer().kid]


def base(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    assert names["auth"].authenticate("Bearer " + names["issuer"].issue("bob").access_token)


def login(names: dict[str, Any], issuer: FakeIssuer) -> None:
    ask = over_http(names["app"])
    assert ask("POST", "/login", data={"username": "bob", "password": "wrong"}).status_code == 403
    answer = ask("POST", "/login", data={"username": "bob", "password": "correct horse"})
    assert answer.headers["Cache-Control"] == "no-store"
    headers = bearer(answer.json()["access_token"])
    assert ask("GET", "/me", headers=headers).json() == {"subject": "bob"}
    assert ask("POST", "/logout", headers=headers).status_code == 204
    assert ask("GET", "/me", headers=headers).status_code == 401
    mounted(names, issuer)


def clients(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    ask = over_http(IssuerApp(names["issuer"]))
    pairs = {"reports": (400, 200), "api": (200, 200)}
    asked = {"token": names["web"].access_token}
    for name in pairs:
        answer = ask("POST", "/introspect", data=asked, auth=(name, SECRETS[name]))
        assert answer.json()["active"] is (name == "api")
    granted = ask("POST", "/token", data={"grant_type": "client_credentials"}, auth=("reports", SECRETS["reports"]))
    assert (granted.status_code, granted.json()["scope"]) == (200, "read")
    assert ask("POST", "/introspect", data=asked, auth=("api", "wrong")).status_code == 401


def issuer_keys(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    keys = names["issuer"].keys
    assert [key.state for key in keys.list()] == ["current", "next"]
    before = keys.signer().kid
    keys.drop(before)
    keys.drop(keys.refresh_secrets()[0].kid)
    assert before not in {key["kid"] for key in names["issuer"].key_set()["keys"]}


def hooks(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    own = names["issuer"]
    assert own.introspect(names["tokens"].access_token, caller=own.clients.find("first-party"))["active"] is False
    with pytest.raises(GrantError, match="not active"):
        own.issue("mallory")
    guard = BearerAuth(TrustedIssuer(own.issuer, audience=AUDIENCE, keys=own), revocations=own.revocations)
    token = guard.authenticate("Bearer " + names["tokens"].access_token)
    assert token is not None
    assert token.claims["roles"] == ("editor",)


def own_list(names: dict[str, Any], _issuer: FakeIssuer) -> None:
    suite = names["TestMyList"]()
    tests = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    plain = [test for test in tests if not inspect.signature(test).parameters]
    assert len(plain) > 10
    for test in plain[:10]:
        with contextlib.suppress(unittest.SkipTest):  # this list does not outlive its process
            test()


def protects(names: dict[str, Any], issuer: FakeIssuer) -> None:
    """What is asked of every recipe that has no check of its own."""
    Session(names["app"], issuer).refused_then_accepted()


CHECKS: dict[str, Callable[[dict[str, Any], FakeIssuer], None]] = {
    "CORS": cors,
    "Public paths": public,
    "Optional tokens": optional,
    "Scopes": scopes,
    "Other sources of keys": key_sources,
    "Revocation": revocation,
    "Prefetch and health": health,
    "Audit": audit,
    "More than one process": replica,
    "Redis and Valkey": server_list,
    "Readiness": readiness,
    "Metrics": metrics,
    "Testing your application": own_tests,
    "An issuer and its API": base,
    "A login in Flask": login,
    "Mounting in Starlette and FastAPI": mounted,
    "Mounting in any ASGI host": mounted,
    "Clients": clients,
    "Keys of the issuer": issuer_keys,
    "Choosing a revocation list": own_list,
    "Hooks": hooks,
}
DJANGO = [block for block in PYTHON if "import get_" in block.code or block.heading == "Django views"]


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(audience=AUDIENCE) as running:
        yield running


@pytest.fixture
def workplace(issuer: FakeIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and an environment with what the README says is there."""
    jwk = issuer.published[0]
    native = pyjwt.PyJWK(dict(jwk)).key
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    (tmp_path / "as-public.pem").write_bytes(native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    monkeypatch.setenv("JWT_SECRET", SECRET)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(f"{name.upper()}_SECRET", secret)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # WebOb, under Pyramid
@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning")  # Pyramid
@pytest.mark.filterwarnings("ignore:Deprecated call to .pkg_resources:DeprecationWarning")  # PasteDeploy, under Pyramid
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    "block",
    [block for block in PYTHON if block not in DJANGO],
    ids=lambda block: f"{block.heading}, line {block.line}",
)
def test_code_runs_and_protects(block: Block, issuer: FakeIssuer) -> None:
    CHECKS.get(block.heading, protects)(names_in(block, issuer), issuer)


def test_django(workplace: Path) -> None:
    """In a process of its own, because the settings of Django belong to the whole process."""
    site = workplace / "mysite"
    site.mkdir()
    (site / "__init__.py").touch()
    (site / "settings.py").write_text('SECRET_KEY = "x"\nROOT_URLCONF = "mysite.urls"\nALLOWED_HOSTS = ["127.0.0.1"]\n')
    views = next(block.code for block in DJANGO if block.heading == "Django views")
    (site / "urls.py").write_text(f"{views}\n\nfrom django.urls import path\n\nurlpatterns = [path('me', me)]\n")
    paths = os.pathsep.join([str(workplace), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "tests.test_readme"]
    environ = {**os.environ, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "Django under WSGI\nDjango under ASGI\nMounting in Django\n"), (
        done.stderr
    )


def test_every_check_has_its_block() -> None:
    assert set(CHECKS) <= {block.heading for block in PYTHON}
    assert {block.language for block in BLOCKS} == {"python", "sh"}


def test_first_working_code_is_done_by_line_20() -> None:
    assert PYTHON[0].line + PYTHON[0].code.count("\n") <= 20


def test_the_two_commands_name_what_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = SHELL["The two commands"].splitlines()
    assert len(lines) == 2
    for line, extra, module in zip(lines, ("demo", "test"), ("demo", "pytest"), strict=True):
        make, install, run = (shlex.split(part) for part in line.split("&&"))
        assert make == ["python3", "-m", "venv", ".venv"]
        assert install[0] == ".venv/bin/pip"
        assert install[-1] == f".[{extra}]"
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)
        assert run == [".venv/bin/python", "-m", module]
    assert find_spec("demo.__main__")


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target in anchors or (ROOT / target).is_file(), target


def kinds(base: type[AuthError] = AuthError) -> Iterator[type[AuthError]]:
    """Every error that a request may end with: those that define a reason and are not only there to be inherited."""
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)
            if not kind.__subclasses__() or kind is errors.UnacceptableHeader:
                yield kind


def test_table_of_errors_is_complete() -> None:
    written = [(unquoted(reason), int(status), unquoted(code) or None) for reason, status, code, _ in table("Errors")]
    assert len(set(written)) == len(written)
    assert set(written) == {(kind.reason, kind.status, kind.error) for kind in kinds()}


def test_table_of_the_issuers_errors_is_complete() -> None:
    written = [
        (unquoted(reason), int(status), unquoted(code)) for reason, status, code, _ in table("Errors of the issuer")
    ]
    leaves = {kind for kind in vars(issuer_errors).values() if inspect.isclass(kind) and issubclass(kind, GrantError)}
    leaves -= {GrantError, issuer_errors.InvalidGrant}
    assert sorted(written) == sorted((kind.reason, kind.status, kind.error) for kind in leaves)


@pytest.mark.parametrize("configured", [TrustedIssuer, BearerAuth, HttpFetch, Issuer, IssuerApp])
def test_tables_of_settings_are_complete(configured: type) -> None:
    parameters = list(inspect.signature(configured).parameters.values())
    rows = table(configured.__name__)
    assert [unquoted(row[0]) for row in rows] == [parameter.name for parameter in parameters]
    for (_, cell, _), parameter in zip(rows, parameters, strict=True):
        written = eval(unquoted(cell), {"time": time}) if cell else inspect.Parameter.empty
        assert written == parameter.default, parameter.name


def test_fixed_bounds_are_those_of_the_code() -> None:
    bounds = [
        (_http.MAX_TOKEN, _http.MAX_HEADER_VALUE),
        (header._MOST_HEADER,),
        (header._MARKS, header._BRACKETS, _strict.MAX_ESCAPES),
        (verifier._MOST_UNVERIFIED_PAYLOAD * 3 // 4,),
        (verifier._PAYLOAD_MARKS, verifier._PAYLOAD_BRACKETS, _strict.MAX_ESCAPES),
        (verifier._MOST_TRIED,),
        (sources.MAX_KEYS,),
        (int(sources.LEAST_SOFT_AGE), int(sources.MOST_SOFT_AGE), int(sources.SOFT_AGE)),
        (int(state.STALE),),
        (int(state.COOLDOWN),),
        (int(state.DEADLINE),),
        (state.MAX_WAITING, int(state.MAX_WAIT)),
        (state.MAX_UNKNOWN, int(state.COOLDOWN)),
        (gate._THREADS, gate._WAITING, int(gate._PATIENCE)),
        (verifier._LEAST_CACHE_BYTES, verifier._PLACE_BYTES, verifier._MOST_CACHED_VALUE - len("Bearer ")),
    ]
    rows = table("Fixed bounds")
    for (what, bound), numbers in zip(rows, bounds, strict=True):
        assert re.findall(r"\d+(?:,\d{3})*", bound) == [f"{number:,}" for number in numbers], what
    assert fetch.DEADLINE == state.DEADLINE


def django_apps() -> None:
    """Both Django blocks, in this process."""
    with FakeIssuer(audience=AUDIENCE) as running:
        for block in DJANGO:
            names = names_in(block, running)
            if "endpoints" in names:
                mounted(names, running, "application")
            elif "application" in names:
                Session(names["application"], running).refused_then_accepted()
            if "application" in names:
                print(block.heading)


if __name__ == "__main__":
    django_apps()
