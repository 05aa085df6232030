"""Proxies: only when asked for, and TLS through them is with the issuer, not with the proxy."""

from __future__ import annotations

import socket
import ssl
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import HttpFetch
from jwtconnect_mw.fetch import FetchError

from .servers import Answer, Authority, RawServer, dripping, http, read_head

DEADLINE = 5.0
PROXIED = HttpFetch(environment_proxies=True)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def proxy() -> Iterator[RawServer]:
    with RawServer(http(b"by proxy")) as server:
        yield server


def tunnel(tls: ssl.SSLContext, inner: list[bytes]) -> Answer:
    """A proxy that grants every CONNECT and is itself the issuer at the end of the tunnel."""

    def answer(_: RawServer, sock: socket.socket, head: bytes) -> None:
        assert head.startswith(b"CONNECT ")
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
        with tls.wrap_socket(sock, server_side=True) as end:
            inner.append(read_head(end))
            end.sendall(http(b"tunnelled"))

    return answer


def test_not_asked_for(environment: pytest.MonkeyPatch, proxy: RawServer) -> None:
    environment.setenv("http_proxy", proxy.url)
    environment.setenv("HTTPS_PROXY", proxy.url)
    with RawServer(http(b"direct")) as server:
        assert HttpFetch()(server.url, {}, DEADLINE).body == b"direct"
    assert proxy.heads == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_plain_http(environment: pytest.MonkeyPatch, proxy: RawServer, variable: str, scheme: str) -> None:
    environment.setenv(variable, scheme + proxy.url.removeprefix("http://"))
    assert PROXIED("http://as.example:81/jwks?v=1", {"If-None-Match": "x"}, DEADLINE).body == b"by proxy"
    head = proxy.heads[0].decode()
    assert head.startswith("GET http://as.example:81/jwks?v=1 HTTP/1.1\r\n")
    assert "Host: as.example:81\r\n" in head
    assert "If-None-Match: x\r\n" in head
    assert "Proxy-Authorization" not in head


def test_the_proxys_own_credentials(environment: pytest.MonkeyPatch, proxy: RawServer) -> None:
    for userinfo, expected in (("me:p%40ss", b"me:p@ss"), ("me", b"me:")):
        environment.setenv("http_proxy", proxy.url.replace("//", f"//{userinfo}@"))
        PROXIED("http://as.example/", {}, DEADLINE)
        value = proxy.heads[-1].split(b"Proxy-Authorization: Basic ")[1].split(b"\r\n")[0]
        assert b64decode(value) == expected


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "as.example,127.0.0.1", "*"])
def test_no_proxy(environment: pytest.MonkeyPatch, proxy: RawServer, no_proxy: str) -> None:
    environment.setenv("http_proxy", proxy.url)
    environment.setenv("no_proxy", no_proxy)
    with RawServer(http(b"direct")) as server:
        assert PROXIED(server.url, {}, DEADLINE).body == b"direct"


def test_a_proxy_for_the_other_scheme(environment: pytest.MonkeyPatch, proxy: RawServer) -> None:
    environment.setenv("https_proxy", proxy.url)
    with RawServer(http(b"direct")) as server:
        assert PROXIED(server.url, {}, DEADLINE).body == b"direct"


@pytest.mark.parametrize(
    ("host", "target"),
    [("as.example", "as.example:443"), ("as.example:8443", "as.example:8443"), ("[::1]", "[::1]:443")],
)
def test_tls_goes_through_a_tunnel(environment: pytest.MonkeyPatch, tmp_path: Path, host: str, target: str) -> None:
    authority, inner = Authority(tmp_path), list[bytes]()
    fetch = HttpFetch(ca_file=authority.file, environment_proxies=True)
    with RawServer(tunnel(authority.server("as.example", "::1"), inner)) as proxy:
        environment.setenv("https_proxy", proxy.url.replace("//", "//me:secret@"))
        assert fetch(f"https://{host}/jwks", {}, DEADLINE).body == b"tunnelled"
    outer = proxy.heads[0].decode()
    assert outer.startswith(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic ")
    assert outer.endswith("\r\n\r\n")
    assert inner[0].startswith(b"GET /jwks HTTP/1.1\r\n")
    assert f"Host: {host}\r\n".encode() in inner[0]
    assert b"Proxy-Authorization" not in inner[0]  # the issuer is not told


def test_the_proxy_cannot_stand_in_for_the_issuer(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority, inner = Authority(tmp_path), list[bytes]()
    fetch = HttpFetch(ca_file=authority.file, environment_proxies=True)
    with RawServer(tunnel(authority.server("proxy.example"), inner)) as proxy:
        environment.setenv("https_proxy", proxy.url)
        with pytest.raises(FetchError, match=r"^TLS failed$"):
            fetch("https://as.example/", {}, DEADLINE)
    assert inner == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy refused"),
        (b"HTTP/1.1 2000 x\r\n\r\n", "the proxy refused"),
        (b"\r\n\r\n", "the proxy refused"),
        (b"", "the proxy refused"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy refused"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X: xxxxxxxxxxxxxxxx\r\n" * 500), "the proxy refused"),
        (dripping(b"HTTP/1.1 200 OK\r\n"), "timed out"),
    ],
)
def test_tunnels_refused(environment: pytest.MonkeyPatch, answer: bytes | Answer, problem: str) -> None:
    with RawServer(answer) as proxy:
        environment.setenv("https_proxy", proxy.url)
        with pytest.raises(FetchError) as caught:
            PROXIED("https://as.example/", {}, DEADLINE if problem != "timed out" else 0.3)
    assert str(caught.value) == problem


def test_the_port_of_a_proxy_without_one(environment: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    environment.setenv("http_proxy", "http://proxy.example")
    environment.setattr(socket, "getaddrinfo", lambda *what, **_: asked.append(what) or [])
    with pytest.raises(FetchError):
        PROXIED("http://as.example/", {}, DEADLINE)
    assert asked == [("proxy.example", 80)]


@pytest.mark.parametrize(("length", "refused"), [(8193, False), (8194, True)])
def test_the_longest_answer_of_a_proxy(environment: pytest.MonkeyPatch, length: int, refused: bool) -> None:
    """Behind the tunnel is nobody, so that TLS fails as soon as it is begun."""
    with RawServer(b"HTTP/1.1 200 OK\r\nX: ".ljust(length - 4, b"x") + b"\r\n\r\n") as proxy:
        environment.setenv("https_proxy", proxy.url)
        with pytest.raises(FetchError) as caught:
            PROXIED("https://as.example/", {}, DEADLINE)
    assert (str(caught.value) == "the proxy refused") == refused


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("https://127.0.0.1:9", "only http proxies are supported"),
        ("socks5://127.0.0.1:9", "only http proxies are supported"),
        ("http://127.0.0.1:x", "no usable answer"),
        ("http://:9", "no usable answer"),
    ],
)
def test_proxies_that_are_not_supported(environment: pytest.MonkeyPatch, value: str, problem: str) -> None:
    environment.setenv("http_proxy", value)
    with pytest.raises(FetchError) as caught:
        PROXIED("http://as.example/", {}, DEADLINE)
    assert str(caught.value) == problem
