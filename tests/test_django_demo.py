"""The Django project of the demo, started as README says and driven over HTTP."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .readme import BLOCKS, ROOT

NAME, PASSWORD = "root", "a password for the demo"
HEADING = "A project to try"
TOKENS = "/admin/jwtconnect_mw/jwtconnectauthtoken/"


def command(line: str) -> list[str]:
    """A line of README with this interpreter, in its strictest mode."""
    python, *arguments = shlex.split(line)
    assert python == ".venv/bin/python"
    return [sys.executable, "-X", "dev", "-W", "error", *arguments]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of the tests, without what says which project theirs is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    return {**kept, "PYTHONPATH": str(ROOT), "DEMO_DATA": str(folder), **more}


@contextmanager
def running(line: str, port: int, environ: Mapping[str, str], log: Path) -> Iterator[None]:
    """The server of a line of README. It is ended by its own process id, and must not have ended before."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command(line), "--noreload", f"127.0.0.1:{port}"], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
        try:
            yield
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the demo is served: migrated, with one superuser."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    own = f"http://127.0.0.1:{port}"
    environ = environment(folder, DEMO_URL=own, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    install, *manage = next(block.code for block in BLOCKS if block.heading == HEADING).splitlines()
    assert re.fullmatch(r"python3 -m venv \.venv && \.venv/bin/pip install -q \"\.\[django\]\"", install)
    unasked = {"createsuperuser": ["--noinput", "--username", NAME, "--email", "root@example.org"]}
    assert [line.split()[-1] for line in manage] == ["migrate", "createsuperuser", "runserver"]
    for line in manage[:-1]:
        arguments = [*command(line), *unasked.get(line.split()[-1], [])]
        done = subprocess.run(arguments, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    log = folder / "log"
    with running(manage[-1], port, environ, log):
        with httpx.Client(transport=httpx.HTTPTransport(retries=7), trust_env=False) as patient:
            patient.get(own)
        yield own
    assert "Traceback" not in log.read_text()
    assert "Warning:" not in log.read_text()
    assert (folder / "issuer-keys.json").stat().st_mode & 0o777 == 0o600 or os.name == "nt"


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False) as made:
        yield made


def log_in(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/login", data={"username": NAME, "password": PASSWORD})
    assert (answer.status_code, "no-store" in answer.headers["Cache-Control"]) == (200, True)
    assert not answer.cookies
    found: dict[str, Any] = answer.json()
    return found


def bearer(tokens: Mapping[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def notes(client: httpx.Client, tokens: Mapping[str, Any]) -> int:
    return client.get("/notes", headers=bearer(tokens)).status_code


def refreshed(client: httpx.Client, tokens: Mapping[str, Any]) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    return client.post("/oauth/token", data=form)


def test_the_page_names_what_is_there(client: httpx.Client, url: str) -> None:
    page = client.get("/")
    assert page.status_code == 200
    for place in re.findall(rf"{url}(\S+)", page.text):
        assert client.get(place).status_code in (200, 302, 401, 405), place
    metadata = client.get("/.well-known/oauth-authorization-server").json()
    assert (metadata["issuer"], metadata["token_endpoint"]) == (url, f"{url}/oauth/token")
    assert len(client.get(metadata["jwks_uri"]).json()["keys"]) == 1


def test_a_login_and_a_protected_view(client: httpx.Client) -> None:
    for form in ({"username": NAME, "password": "wrong"}, {}, {"username": "\0", "password": "\0"}):
        assert client.post("/login", data=form).status_code == 403
    assert client.get("/login").status_code == 405
    anonymous = client.get("/notes")
    assert (anonymous.status_code, anonymous.headers["WWW-Authenticate"]) == (401, "Bearer")
    tokens = log_in(client)
    assert client.post("/notes", data={"text": "hello"}, headers=bearer(tokens)).status_code == 201
    assert client.post("/notes", data={"text": "a\0b"}, headers=bearer(tokens)).status_code == 400
    assert client.get("/notes", headers=bearer(tokens)).json() == {"user": NAME, "notes": ["hello"]}
    assert client.post("/logout", headers=bearer(tokens)).status_code == 204
    assert notes(client, tokens) == 401


def test_refresh_and_reuse(client: httpx.Client) -> None:
    first = log_in(client)
    second = refreshed(client, first).json()
    third = refreshed(client, second).json()
    assert (notes(client, third), second["refresh_token"] != third["refresh_token"]) == (200, True)
    reused = refreshed(client, first)
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert notes(client, third) == 401
    assert refreshed(client, third).status_code == 400


def test_introspection_and_revocation(client: httpx.Client) -> None:
    tokens, other = log_in(client), log_in(client)
    asked = {"token": other["refresh_token"]}
    assert client.post("/oauth/introspect", data=asked).status_code == 401
    assert client.post("/oauth/introspect", data=asked, headers=bearer(tokens)).json()["active"] is True
    assert client.post("/oauth/revoke", data=asked).status_code == 200
    assert client.post("/oauth/introspect", data=asked, headers=bearer(tokens)).json() == {"active": False}
    assert notes(client, other) == 401


@pytest.mark.parametrize("kind", ["data", "json"])
def test_the_older_endpoints(kind: str, client: httpx.Client) -> None:
    tokens = log_in(client)
    send: dict[str, Any] = {kind: {"token": tokens["refresh_token"]}}
    answer = client.post("/token/refresh", **send)
    assert answer.status_code == 201
    tokens = answer.json()
    send = {kind: {"token": tokens["access_token"]}}
    told = client.post("/token/introspection", **send, headers=bearer(tokens)).json()
    assert {"jti", "iat", "issued_at", "exp", "expire_at", "sub", "aud"} <= set(told)
    send = {kind: {"jti": told["jti"]}}
    by_id = client.post("/token/introspection", **send, headers=bearer(tokens))
    assert (by_id.status_code, by_id.json()["exp"]) == (200, told["exp"])


def test_the_admin_shows_and_revokes(client: httpx.Client) -> None:
    tokens = log_in(client)
    page = client.get(TOKENS, follow_redirects=True)
    form = {"username": NAME, "password": PASSWORD, "csrfmiddlewaretoken": page.cookies["csrftoken"]}
    page = client.post(page.url, data={**form, "next": TOKENS}, follow_redirects=True)
    assert page.status_code == 200
    assert tokens["access_token"].split(".")[1] not in page.text
    static = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
    assert client.get(static[0]).status_code == 200
    newest = re.findall(r'name="_selected_action" value="(\d+)"', page.text)[0]
    chosen = {"action": "revoke", "_selected_action": newest, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert notes(client, tokens) == 200
    assert "1 revoked." in client.post(TOKENS, data=chosen, follow_redirects=True).text
    assert notes(client, tokens) == 401


def test_no_migration_is_missing(tmp_path: Path) -> None:
    """Neither of the demo nor of the package."""
    environ = environment(tmp_path)
    arguments = command(".venv/bin/python demo/django_site/manage.py makemigrations --check --dry-run")
    done = subprocess.run(arguments, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stderr
