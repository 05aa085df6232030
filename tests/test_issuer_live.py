"""The issuer on real servers, on loopback: bodies of every kind, several processes, a restart."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from .live.raw import Answer, answers, request
from .live.servers import PATIENCE, SERVERS, Running, started

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]
MODULE = "tests.live.issuing"
FORM = "Content-Type: application/x-www-form-urlencoded"
SECRET = "s3cret/with+signs and=more%41~ than 32 characters"
Start = Callable[[str], Running]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Each server is started when it is first needed and ended with the module."""
    with ExitStack() as stack:
        running: dict[str, Running] = {}

        def get(name: str) -> Running:
            if name not in running:
                running[name] = stack.enter_context(started(name, tmp_path_factory.mktemp("live"), MODULE))
            return running[name]

        yield get


@pytest.fixture(params=SERVERS)
def live(request: pytest.FixtureRequest, start: Start) -> Iterator[Running]:
    running = start(request.param)
    yield running
    output = running.output()
    print(output)
    assert running.process.poll() is None, "the server died"
    assert "Traceback" not in output


def client(running: Running, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=running.url, timeout=PATIENCE, trust_env=False, **more)


def login(http: httpx.Client, **asked: str) -> dict[str, Any]:
    tokens: dict[str, Any] = http.get("/login", params=asked).json()
    return tokens


def refresh(http: httpx.Client, token: str, **more: str) -> httpx.Response:
    return http.post("/tenant/token", data={"grant_type": "refresh_token", "refresh_token": token, **more})


def only(
    running: Running, *fields: str, path: str = "/tenant/token", body: str = "", end: bool = False
) -> list[Answer]:
    """The answer, even if the server closes before it has read all. ``end``: nothing more will be sent."""
    with running.connect() as connection:
        try:
            connection.sendall(request(path, *fields, method="POST", body=body, close=True))
            if end:
                connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        return answers(connection, [])


def test_the_life_of_a_session(live: Running) -> None:
    with client(live) as http:
        tokens = login(http, client_id="web", scope="read introspect")
        web = ("web", SECRET)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        answer = http.post("/tenant/token", data=form, auth=web)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        new = answer.json()
        seen = http.post("/tenant/introspect", data={"token": new["access_token"]}, auth=web)
        assert (seen.status_code, seen.json()["active"]) == (200, True)
        own = {"Authorization": f"Bearer {new['access_token']}"}
        assert http.post("/tenant/introspect", data={"token": new["refresh_token"]}, headers=own).json()["active"]
        gone = http.post("/tenant/revoke", data={"token": new["refresh_token"]}, auth=web)
        assert (gone.status_code, gone.text) == (200, "OK")
        assert http.post("/tenant/introspect", data={"token": new["access_token"]}, auth=web).json() == {
            "active": False
        }
        assert http.post("/tenant/introspect", data={"token": "x"}, headers=own).status_code == 401
        assert http.post("/tenant/token", data=form, auth=web).json()["error"] == "invalid_grant"


def test_documents(live: Running) -> None:
    with client(live) as http:
        metadata = http.get("/.well-known/oauth-authorization-server/tenant")
        assert (metadata.status_code, metadata.json()["issuer"]) == (200, live.url + "/tenant")
        keys = http.get(metadata.json()["jwks_uri"])
        assert keys.json()["keys"][0]["kid"]
        unchanged = http.get("/tenant/jwks", headers={"If-None-Match": keys.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert http.get("/tenant/jwks").content == keys.content  # the connection is still in step
        head = http.head("/tenant/jwks")
        assert (head.status_code, head.headers["etag"], head.content) == (200, keys.headers["etag"], b"")
        assert http.get("/tenant/token").status_code == 405
        assert http.get("/tenant/nowhere").json()["error"] == "invalid_request"


def test_a_retry_gets_the_same_successor_from_any_process(live: Running) -> None:
    with client(live) as http:
        token = login(http, client_id="spa")["refresh_token"]
    answers = []
    for _ in range(6):
        with client(live) as http:
            answers.append(refresh(http, token, client_id="spa").json())
    assert len({answer["refresh_token"] for answer in answers}) == 1
    assert len({answer["access_token"] for answer in answers}) == 6


def test_chunked_bodies(live: Running) -> None:
    with client(live) as http:
        token = login(http, client_id="spa")["refresh_token"]
    form = f"grant_type=refresh_token&client_id=spa&refresh_token={token}"
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (form[:20], form[20:])) + "0\r\n\r\n"
    (answer,) = only(live, FORM, "Transfer-Encoding: chunked", body=chunks)
    assert answer.status == 200, answer
    part = "a" * 0x4000
    many = f"{len(part):x}\r\n{part}\r\n" * 8 + "0\r\n\r\n"
    found = only(live, FORM, "Transfer-Encoding: chunked", body=many)
    assert [(one.status, one.json["error"]) for one in found] == [(413, "invalid_request")]


def test_a_broken_chunk_is_no_500(live: Running) -> None:
    for chunk in ("zz\r\nabc\r\n0\r\n\r\n", "5\r\nabc", "-5\r\nabc\r\n0\r\n\r\n", "ffffffffffffffffff\r\nabc"):
        found = only(live, FORM, "Transfer-Encoding: chunked", body=chunk, end=True)
        assert all(400 <= one.status < 500 for one in found), chunk


def test_large_bodies(live: Running) -> None:
    found = only(live, FORM, "Content-Length: 10000000", body="a" * 10_000_000)
    assert [one.status for one in found] == [413]
    found = only(live, FORM, "Content-Length: 65537", body="a" * 65_537)
    assert [one.status for one in found] == [413]
    (found_one,) = only(live, FORM, "Content-Length: 65536", body="a" * 65_536)
    assert (found_one.status, found_one.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([FORM], ""),
        ([FORM], "token=x&token=y"),
        ([FORM], "token=%ff"),
        ([FORM], "token=\xff"),
        ([FORM], "token=%00"),
        (["Content-Type: application/json"], "{}"),
        ([FORM, FORM], "token=x"),
        ([], "token=x"),
        ([FORM, "Authorization: Basic eDp5", "Authorization: Basic eDp5"], "token=x&grant_type=refresh_token"),
        ([FORM, "Authorization: Bearer x", "Authorization: Basic eDp5"], "token=x&grant_type=refresh_token"),
    ],
)
@pytest.mark.parametrize("path", ["/tenant/token", "/tenant/introspect", "/tenant/revoke"])
def test_malformed_requests(live: Running, path: str, fields: list[str], body: str) -> None:
    found = only(live, *fields, f"Content-Length: {len(body)}", path=path, body=body)
    (answer,) = found
    if fields == [FORM, FORM] and answer.headers["content-type"] != "application/json":
        assert (live.name[:8], answer.status) in (("gunicorn", 400), ("granian-", 200))  # refused, or one was kept
    elif fields == [FORM, FORM] and live.name == "granian-wsgi":
        assert answer.status in (400, 401)
    else:
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_after_a_restart_a_retry_gets_the_same_successor(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path, MODULE) as running, client(running) as http:
        token = login(http, client_id="spa", scope="read write")["refresh_token"]
        revoked = login(http, client_id="spa")
        first = refresh(http, token, client_id="spa").json()
        assert http.post("/tenant/revoke", data={"token": revoked["refresh_token"], "client_id": "spa"}).text == "OK"
        port = running.port
    with started(name, tmp_path, MODULE, port) as running, client(running) as http:
        again = refresh(http, token, client_id="spa", scope="read").json()
        assert (again["refresh_token"], again["scope"]) == (first["refresh_token"], "read")
        assert refresh(http, revoked["refresh_token"], client_id="spa").json()["error"] == "invalid_grant"
        assert refresh(http, first["refresh_token"], client_id="spa").status_code == 200
        assert refresh(http, token, client_id="spa").json()["error"] == "invalid_grant"  # a reuse: all is over
        assert refresh(http, first["refresh_token"], client_id="spa").json()["error"] == "invalid_grant"
