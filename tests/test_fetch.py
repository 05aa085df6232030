"""The one place that does outgoing HTTP, against servers that send exactly what they should not."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import ConfigurationError, HttpFetch
from jwtconnect_mw.fetch import MAX_BODY, FetchError

from .servers import Answer, Authority, RawServer, dripping, http

LONG = 5.0
SOON = 30.0  # seconds: far more than any deadline here; what has no deadline never ends


def chunks(*sizes: int, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (size, b" " * size) for size in sizes)
    return http(b"", Content_Length="", Transfer_Encoding="chunked") + body + end


GOOD: dict[str, tuple[bytes, int]] = {
    "with a length": (http(b"x" * 5), 5),
    "of the greatest length": (http(b"x" * MAX_BODY), MAX_BODY),
    "until the end of the connection": (http(b"x" * 5, Content_Length=""), 5),
    "in chunks": (chunks(3, 4), 7),
    "in chunks, of the greatest length": (chunks(MAX_BODY - 1, 1), MAX_BODY),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + http(b"x"), 1),
    "with more after it": (http(b"xyz", length=2), 2),
    "identity, said so": (http(b"x", Content_Encoding="Identity"), 1),
    "not modified": (http(b"", status=304, Content_Length=""), 0),
    "empty": (http(b""), 0),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_answers(name: str) -> None:
    octets, length = GOOD[name]
    with RawServer(octets) as server:
        answer = HttpFetch()(server.url, {}, LONG)
    assert len(answer.body) == length
    assert answer.status == (304 if name == "not modified" else 200)
    assert answer.headers["content-type"] == "application/json"


BAD: dict[str, tuple[bytes | Answer, str]] = {
    "nothing": (b"", "no usable answer"),
    "no HTTP": (b"SSH-2.0-x\r\n\r\n", "no usable answer"),
    "HTTP/0.9": (b'{"keys":[]}', "no usable answer"),
    "500": (http(status=500), "status 500"),
    "404": (http(status=404), "status 404"),
    "204": (http(b"", status=204), "status 204"),
    "206": (http(status=206), "status 206"),
    "a redirect": (http(status=302, Location="http://127.0.0.1:9/"), "status 302"),
    "a permanent redirect": (http(status=308, Location="/jwks"), "status 308"),
    "gzip": (http(b"\x1f\x8b", Content_Encoding="gzip"), "an encoding that was not asked for"),
    "one byte too much": (http(b"x" * (MAX_BODY + 1)), "too large"),
    "50 MB announced": (dripping(http(b"x" * (MAX_BODY + 1), length=50_000_000)), "too large"),
    "50 MB sent": (dripping(http(b"", Content_Length=""), b" " * 1_000_000), "too large"),
    "a chunk of 4 GB": (dripping(chunks(end=b"ffffffff\r\n"), b" " * 1_000_000), "too large"),
    "many chunks": (chunks(*[1000] * 300), "too large"),
    "shorter than announced": (http(b"{", length=11), "cut short"),
    "a chunk that ends early": (chunks(end=b"50\r\n{"), "no usable answer"),
    "chunks without an end": (chunks(3, end=b""), "no usable answer"),
    "a chunk of no size": (chunks(end=b"x\r\n{}"), "no usable answer"),
    "a header without end": (http(b"", X="x" * 70_000), "no usable answer"),
    "too many headers": (http(b"", **{f"X{number}": "x" for number in range(120)}), "no usable answer"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers(name: str) -> None:
    answer, problem = BAD[name]
    with RawServer(answer) as server, pytest.raises(FetchError) as caught:
        HttpFetch()(server.url, {}, LONG)
    assert str(caught.value) == problem


def hanging(server: RawServer, _sock: socket.socket, _head: bytes) -> None:
    server.release.wait()


SLOW: dict[str, Answer] = {
    "hangs": hanging,
    "drips its body": dripping(http(b"", length=1000)),
    "drips its chunks": dripping(chunks(end=b""), b"1\r\nx\r\n"),
    "drips its status": dripping(b"HTTP/1.1 ", b"2"),
    "drips its headers": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "drips header lines": dripping(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    "drips interim answers": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("name", SLOW)
def test_the_deadline_is_over_the_whole(name: str) -> None:
    began = time.monotonic()
    with RawServer(SLOW[name]) as server, pytest.raises(FetchError, match=r"^timed out$"):
        HttpFetch()(server.url, {}, 0.2)
    assert 0.19 < time.monotonic() - began < SOON


def test_the_deadline_of_its_own_is_kept() -> None:
    with RawServer(hanging) as server, pytest.raises(FetchError, match=r"^timed out$"):
        HttpFetch(deadline=0.2)(server.url, {}, 10 * SOON)


def test_the_least_is_asked_for() -> None:
    with RawServer(http()) as server:
        HttpFetch()(f"{server.url}/a/jwks?v=1", {"If-None-Match": '"1"'}, LONG)
        HttpFetch()(server.url, {}, LONG)
    head = server.heads[0].decode()
    assert head.startswith("GET /a/jwks?v=1 HTTP/1.1\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    host = server.url.removeprefix("http://")
    assert fields == {
        "Host": host, "Accept": "application/json", "Accept-Encoding": "identity",
        "User-Agent": "jwtconnect-mw", "If-None-Match": '"1"', "Connection": "close",
    }  # fmt: skip
    assert server.heads[1].startswith(b"GET / HTTP/1.1\r\n")


def test_repeated_headers_are_one_list() -> None:
    twice = http(b"").replace(b"\r\n\r\n", b"\r\nCache-Control: max-age=600\r\ncache-control: public\r\n\r\n")
    with RawServer(twice) as server:
        assert HttpFetch()(server.url, {}, LONG).headers["cache-control"] == "max-age=600, public"


@pytest.mark.parametrize("url", ["http://" + "x" * 64 + "/", "http://[::1", "http://127.0.0.1:99999/", "http://:9/"])
def test_what_cannot_be_connected_to(url: str) -> None:
    with pytest.raises(FetchError, match=r"^no usable answer$"):
        HttpFetch()(url, {}, LONG)


def test_refused_connections_and_no_time() -> None:
    with RawServer(http()) as server, pytest.raises(FetchError, match=r"^timed out$"):
        HttpFetch()(server.url, {}, 0)
    with pytest.raises(FetchError, match=r"^no usable answer$"):
        HttpFetch()(server.url, {}, LONG)


def test_ipv6() -> None:
    with RawServer(http(), host="::1") as server:
        assert HttpFetch()(server.url, {}, LONG).status == 200
    assert f"Host: [::1]:{server.port}\r\n".encode() in server.heads[0]


def resolving(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Every name has these addresses on loopback, in this order."""
    found: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_an_address_that_drops_what_it_is_sent_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(http()) as server, socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for queued in (first, second):  # its queue is full now: what comes next is dropped
            queued.setblocking(False)
            queued.connect_ex(silent.getsockname())
        with RawServer(http()) as gone:
            pass
        resolving(monkeypatch, silent.getsockname()[1], gone.port, server.port)
        assert HttpFetch()("http://as.example/", {}, 1.5).status == 200
        resolving(monkeypatch, silent.getsockname()[1])
        with pytest.raises(FetchError, match=r"^timed out$"):
            HttpFetch()("http://as.example/", {}, 0.2)
        resolving(monkeypatch)
        with pytest.raises(FetchError, match=r"^no usable answer$"):
            HttpFetch()("http://as.example/", {}, LONG)


@pytest.mark.parametrize(("url", "port"), [("http://as.example/", 80), ("https://as.example/", 443)])
def test_the_port_of_a_url_without_one(monkeypatch: pytest.MonkeyPatch, url: str, port: int) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *what, **_: asked.append(what) or [])
    with pytest.raises(FetchError):
        HttpFetch()(url, {}, LONG)
    assert asked == [("as.example", port)]


def test_the_longest_deadline() -> None:
    assert HttpFetch(deadline=60).deadline == 60


@pytest.mark.parametrize("deadline", [0, -1, 61, float("nan")])
def test_the_deadline_is_checked(deadline: float) -> None:
    with pytest.raises(ConfigurationError, match="deadline"):
        HttpFetch(deadline=deadline)


@pytest.mark.parametrize("value", ["false", 1, None])
def test_a_switch_is_a_switch(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^environment_proxies: "):
        HttpFetch(environment_proxies=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, b"", b"no PEM"])
def test_the_ca_file_is_checked(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ConfigurationError, match="ca_file"):
        HttpFetch(ca_file=tmp_path / "ca.pem")


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    fetch = HttpFetch(ca_file=authority.file)
    with RawServer(http(b"tls"), tls=authority.server("127.0.0.1")) as server:
        assert fetch(server.url, {}, LONG).body == b"tls"
        assert fetch(server.url, {}, LONG).body == b"tls"
        with pytest.raises(FetchError, match=r"^TLS failed$"):  # the system knows another CA
            HttpFetch()(server.url, {}, LONG)


@pytest.mark.parametrize(
    ("answer", "names", "timeout", "problem"),
    [
        (http(), ["other.example", "127.0.0.2"], LONG, "TLS failed"),
        (http(), [], LONG, "TLS failed"),
        (hanging, [], 0.2, "timed out"),
        (dripping(http(b"", length=1000)), ["127.0.0.1"], 0.5, "timed out"),
        (http(b"{", length=2), ["127.0.0.1"], LONG, "cut short"),
    ],
    ids=["another host's certificate", "no TLS", "hangs in the handshake", "drips", "cut short"],
)
def test_tls_that_fails(tmp_path: Path, answer: bytes | Answer, names: list[str], timeout: float, problem: str) -> None:
    authority = Authority(tmp_path)
    fetch = HttpFetch(ca_file=authority.file)
    tls = authority.server(*names) if names else None
    with RawServer(answer, tls) as server, pytest.raises(FetchError) as caught:
        fetch(server.url.replace("http:", "https:"), {}, timeout)
    assert str(caught.value) == problem
