"""Real servers in processes of their own, on loopback: what they do to a request must not open a door."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .live.raw import Answer, answers, exchange, request
from .live.servers import PATIENCE, SERVERS, Running, started

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]
WEBSOCKETS = [name for name, server in SERVERS.items() if server.asgi]
Start = Callable[[str], Running]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Each server is started when it is first needed and ended with the module."""
    with ExitStack() as stack:
        folder, running = tmp_path_factory.mktemp("live"), {}

        def get(name: str) -> Running:
            if name not in running:
                running[name] = stack.enter_context(started(name, folder))
            return running[name]

        yield get


@pytest.fixture(params=SERVERS)
def live(request: pytest.FixtureRequest, start: Start) -> Iterator[Running]:
    yield from shown(start(request.param))


@pytest.fixture(params=WEBSOCKETS)
def sockets(request: pytest.FixtureRequest, start: Start) -> Iterator[Running]:
    yield from shown(start(request.param))


def shown(running: Running) -> Iterator[Running]:
    """What the server writes during a test stands in the report of its failure."""
    yield running
    print(running.output())
    assert running.process.poll() is None, "the server died"


def bearer(running: Running, **claims: Any) -> dict[str, str]:
    return {"Authorization": "Bearer " + running.issuer.token(claims)}


def field(running: Running, **claims: Any) -> str:
    return "Authorization: " + bearer(running, **claims)["Authorization"]


def only(running: Running, target: str, *fields: str, **more: Any) -> Answer:
    """The one answer to one request."""
    connection, methods = running.connect(), more.get("method", "")
    (answer,) = exchange(connection, request(target, *fields, close=True, **more), methods=methods)
    return answer


# --- requests as clients send them ---


def test_requests_of_a_client(live: Running) -> None:
    with httpx.Client(base_url=live.url, timeout=PATIENCE, trust_env=False) as client:
        none = client.get("/a")
        assert (none.status_code, none.headers["www-authenticate"]) == (401, 'Bearer realm="live"')
        good = client.get("/a", headers=bearer(live, sub="bob"))
        assert (good.status_code, good.json()["subject"], good.json()["path"]) == (200, "bob", "/a")
        assert good.json()["claims"]["aud"] == "https://api.example"
        expired = client.get("/a", headers=bearer(live, iat=5, exp=10))
        assert (expired.status_code, expired.json()["error"]) == (401, "invalid_token")
        posted = client.post("/a", headers=bearer(live), content=b"x" * 100_000)
        assert (posted.status_code, posted.json()["received"]) == (200, 100_000)
        public = client.get("/public/a", headers={"Authorization": "Bearer garbage"})
        assert (public.status_code, public.json()["subject"]) == (200, None)


def test_head(live: Running) -> None:
    """The answer to a refused HEAD has no body, or the next answer would be read wrongly."""
    refused = request("/a", method="HEAD")
    first, *rest = exchange(live.connect(), refused, request("/a", field(live), close=True), methods="HEAD")
    assert (first.status, first.body) == (401, b"")
    assert [answer.status for answer in rest] == ([200] if live.server.keeps_alive else [])
    assert only(live, "/a", field(live), method="HEAD").status == 200


def test_pipelined_requests_are_judged_each_by_its_own_token(live: Running) -> None:
    requests = [
        request("/a", field(live, sub="one")),
        request("/a"),
        request("/public"),
        request("/a", field(live, sub="two"), "Content-Length: 3", method="POST", body="abc"),
        request("/a", "Authorization: Bearer garbage"),
        request("/a", field(live, sub="three"), close=True),
    ]
    found = exchange(live.connect(), *requests)
    expected = [(200, "one"), (401, None), (200, None), (200, "two"), (401, None), (200, "three")]
    subjects = [(answer.status, answer.json.get("subject")) for answer in found]
    assert subjects == (expected if live.server.keeps_alive else expected[:1])


def test_a_refused_body_is_not_taken_for_the_next_request(live: Running) -> None:
    smuggled = request("/public/smuggled").decode()
    post = request("/a", f"Content-Length: {len(smuggled)}", method="POST", body=smuggled)
    found = exchange(live.connect(), post, request("/a", field(live), close=True))
    assert [answer.status for answer in found] in ([401], [401, 200])
    assert b"smuggled" not in b"".join(answer.body for answer in found)


# --- requests as nobody sends them who means well ---


@pytest.mark.parametrize("second", ["{good}", "Authorization: Basic YTpi", "authorization:", "Authorization: Bearer x"])
@pytest.mark.parametrize("good_first", [True, False])
def test_two_authorization_headers(live: Running, second: str, good_first: bool) -> None:
    fields = [field(live), second.format(good=field(live))]
    answer = only(live, "/a", *(fields if good_first else fields[::-1]))
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t"])
@pytest.mark.parametrize(
    "value", ["Basic YTpi,{fold}Bearer {token}", "Bearer {token}{fold}x", "Bearer {token}{fold}, Bearer x"]
)
def test_folded_lines(live: Running, value: str, fold: str) -> None:
    text = live.issuer.token()
    assert only(live, "/a", "Authorization: " + value.format(fold=fold, token=text)).status == 400


@pytest.mark.parametrize(
    "value",
    ["Bearer {token}\x00", "Bearer\t{token}", "Bearer {token}\xa0", "Bearer {token}\x0b", "Bearer \xff", "Basic \xe9"],
)
def test_strange_octets_in_the_header(live: Running, value: str) -> None:
    value = value.format(token=live.issuer.token())
    found = exchange(live.connect(), request("/a", f"Authorization: {value}", close=True))
    dropped = live.server.drops_octets and not value.isascii()
    assert [answer.status for answer in found] in ([401 if dropped else 400], [])  # some servers hang up


@pytest.mark.parametrize(
    "target",
    [
        "/public/%2e%2e/secret",
        "/public/%2E%2E%2Fsecret",
        "/public%2f..%2fsecret",
        "/public/../secret",
        "/public/.%2e/secret",
        "/public/./../secret",
        "/public//../secret",
        "//public/..//secret",
        "/public/..%5csecret",
        "/public/%00/../secret",
        "/public/%c0%ae%c0%ae/secret",
        "/public/%252e%252e/secret",
        "/Public",
        "/publicity",
        "/public%20",
        "/%2e/public/../secret",
        "/secret?/public",
        "/secret;/public",
        "/secret#/public",
        "http://api.example/secret",
        "http://api.example/public/../secret",
        "http://public/secret",
        "HTTP://public",
        "public",
    ],
)
def test_no_spelling_of_a_path_makes_it_public(live: Running, target: str) -> None:
    found = exchange(live.connect(), request(target, close=True))
    assert len(found) <= 1
    assert all(answer.status in (400, 401, 404) for answer in found), found


@pytest.mark.parametrize(
    "target", ["http://evil.example/public", "http:/public/x", "//public", "//evil.example/public", "/public//x"]
)
def test_what_is_let_through_is_public_to_the_application_as_well(live: Running, target: str) -> None:
    """Servers differ: some cut an absolute target or a double slash down to the path before we see it."""
    found = exchange(live.connect(), request(target, close=True))
    assert len(found) <= 1
    for answer in found:
        assert answer.status in (200, 400, 401)
        assert answer.status != 200 or answer.json["path"] in ("/public", "/public/x")


@pytest.mark.parametrize(
    ("size", "status"),
    [(4_000, 200), (7_000, 200), (13_000, 200), (16_384, 401), (16_500, 400), (60_000, 400)],
)
def test_long_headers(live: Running, size: int, status: int) -> None:
    """Up to 16,384 characters of token are read. What a server does not take itself is a 4xx or a closed connection."""
    # The JOSE header first, as far as its bound goes: a long payload is not read by a worker that has no keys yet.
    filler = size * 3 // 4 - 400
    header, claims = {"filler": "x" * min(filler, 5_900)}, {"filler": "x" * max(filler - 5_900, 0)}
    value = live.issuer.token(claims, header=header) if status == 200 else "a" * size
    found = exchange(live.connect(), request("/a", f"Authorization: Bearer {value}", close=True))
    if size <= 7_000 or (live.server.long_headers and size < 16_500):
        assert [answer.status for answer in found] == [status]
    else:
        assert [answer.status for answer in found] in ([], [status], [431])


@pytest.mark.parametrize(
    "fields",
    [
        ["Authorization_: Bearer {token}"],
        ["X-Authorization: Bearer {token}"],
        ["Proxy-Authorization: Bearer {token}"],
        ["Jwtconnect_mw.token: forged", "jwtconnect-mw.token: forged", "Remote-User: mallory", "Remote_User: mallory"],
        ["HTTP_AUTHORIZATION: Bearer {token}"],
        ["Cookie: access_token={token}"],
    ],
)
def test_no_other_header_is_taken_for_the_token(live: Running, fields: list[str]) -> None:
    token = live.issuer.token()
    lines = [line.format(token=token) for line in fields]
    found = exchange(live.connect(), request(f"/a?access_token={token}", *lines, close=True))
    assert [answer.status for answer in found] in ([401], [400], [])


# --- processes ---


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.asgi and server.workers == 1])
def test_start_up_fetches_the_keys_before_the_first_request(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path) as running:
        assert only(running, "/public").status == 200  # needs no keys, but a server that is up
        assert running.issuer.jwks_requests() == 1, running.output()


def test_each_worker_of_a_prefork_server_gets_its_own_keys(tmp_path: Path) -> None:
    """The application is made before the fork. A request held in one worker sends the next one to the other."""
    with started("gunicorn", tmp_path) as running:
        assert running.issuer.jwks_requests() == 0
        fields = field(running, sub="one"), "Expect: 100-continue", "Content-Length: 1"
        post = request("/a", *fields, method="POST", close=True)
        with running.connect() as held:
            held.sendall(post)
            assert held.recv(100).startswith(b"HTTP/1.1 100 "), running.output()
            others = [only(running, "/a", field(running, sub="two")) for _ in range(5)]
            held.sendall(b"x")
            (first,) = answers(held, [])
        assert (first.status, first.json["subject"], first.json["received"]) == (200, "one", 1)
        assert {(other.status, other.json["subject"]) for other in others} == {(200, "two")}
        assert len({first.json["pid"], *(other.json["pid"] for other in others)}) == 2
        assert running.issuer.jwks_requests() == 2


def test_each_uvicorn_worker_fetches_at_its_start_up(start: Start) -> None:
    running = start("gunicorn-uvicorn")
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if running.issuer.jwks_requests() == 2:
            break
        pause.wait(0.02)
    assert running.issuer.jwks_requests() == 2, running.output()


# --- websockets ---


def test_a_websocket_with_a_token_is_accepted(sockets: Running) -> None:
    with connect(sockets.url.replace("http", "ws") + "/chat", additional_headers=bearer(sockets), proxy=None) as client:
        assert json.loads(client.recv(PATIENCE))["subject"] == "alice"


@pytest.mark.parametrize(("value", "status"), [(None, 401), ("Bearer garbage", 401), ("Bearer a b", 400)])
def test_a_websocket_without_a_good_token_is_refused_before_it_is_accepted(
    sockets: Running, value: str | None, status: int
) -> None:
    headers = {} if value is None else {"Authorization": value}
    with pytest.raises(InvalidStatus) as caught:
        connect(sockets.url.replace("http", "ws") + "/chat", additional_headers=headers, proxy=None)
    response = caught.value.response
    if sockets.server.denial:
        assert response.status_code == status
        assert response.headers["www-authenticate"].startswith('Bearer realm="live"')
        assert set(json.loads(response.body)) == {"error", "error_description"}
    else:
        assert response.status_code == 403
