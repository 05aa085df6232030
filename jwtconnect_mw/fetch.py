"""The one place that does outgoing HTTP: a bounded, conditional GET with a deadline over the whole of it.

http.client is used directly because the clients above it have no total deadline: a server that drips one byte at a
time, in headers or body, would hold them for hours.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ._checks import check_switch
from .errors import ConfigurationError

MAX_BODY = 256 * 1024
DEADLINE = 5.0

# A name (an IDN as its A-label), an IPv4 address, or an IPv6 address without zone; then a port. urlsplit takes more,
# and finds the host ::1 in "evil[::1].example".
_AUTHORITY = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?", re.IGNORECASE)


class FetchError(Exception):
    """A fetch failed. The text is a constant or a status number: it is safe to log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: 200 with its body or 304. ``headers`` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Fetch = Callable[[str, Mapping[str, str], float], Fetched]
"""``fetch(url, request_headers, timeout_seconds)``: raise FetchError (or anything) for failure."""


def check_url(url: object, field: str, *, trust_http: bool) -> SplitResult:
    """The parts of a URL that keys may be fetched from: https, or http to this machine or where ``trust_http`` says so.

    Raises ConfigurationError naming ``field``.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ConfigurationError(field, "not a URL of printable ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(field, "not a URL") from None
    if "@" in parts.netloc:
        raise ConfigurationError(field, "a URL with user information is not accepted")
    if parts.scheme not in ("https", "http") or port == 0 or not _AUTHORITY.fullmatch(parts.netloc):
        raise ConfigurationError(field, "not an https URL")
    if "#" in url:
        raise ConfigurationError(field, "a URL with a fragment is not accepted")
    if parts.scheme == "http" and not trust_http and not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(field, "http is accepted for loopback only; use https, or trust_http=True")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address == ipaddress.IPv6Address("::1") or (address.version == 4 and address.is_loopback)


class HttpFetch:
    """The default ``fetch``. GET with identity encoding, no redirects, at most 256 KiB.

    ``ca_file`` is a PEM bundle in place of the system's; ``environment_proxies`` honours http_proxy, https_proxy and
    no_proxy; ``deadline`` (seconds) caps the time for one answer from the connection to the last octet read, and the
    time of one refresh (metadata and key set together). Only the look-up of the host's name is left to the system.
    """

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        environment_proxies: bool = False,
        deadline: float = DEADLINE,
        max_body: int = MAX_BODY,
    ) -> None:
        if isinstance(deadline, bool) or not isinstance(deadline, (int, float)) or not 0 < deadline <= 60:
            raise ConfigurationError("deadline", "more than 0 and at most 60 seconds")
        if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 1:
            raise ConfigurationError("max_body", "a number of bytes is needed")
        if ca_file is not None and not isinstance(ca_file, (str, os.PathLike)):
            raise ConfigurationError("ca_file", "a path is needed")
        check_switch("environment_proxies", environment_proxies)
        self.deadline = deadline
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        if ca_file is not None:
            try:
                self._tls()
            except OSError:
                raise ConfigurationError("ca_file", "not a readable PEM bundle") from None
        self._proxies = environment_proxies
        self._max_body = max_body

    def _tls(self) -> ssl.SSLContext:
        """Made once, and late: it reads the system's bundle. Without a lock, which a fork could inherit held."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca_file)
        return self._context

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        """Raises FetchError; ``timeout`` (seconds) shortens the deadline."""
        until = time.monotonic() + min(timeout, self.deadline)
        try:
            parts = urlsplit(url)
            sock, target, proxy_headers = self._connect(parts, until)
            with sock:
                wanted = {**headers, **proxy_headers, "Host": parts.netloc}
                return self._exchange(_Deadlined(sock, until), target, wanted)
        except FetchError:
            raise
        except TimeoutError:
            raise FetchError("timed out") from None
        except ssl.SSLError:
            raise FetchError("TLS failed") from None
        except (OSError, ValueError, http.client.HTTPException):
            raise FetchError("no usable answer") from None

    def _exchange(self, sock: _Deadlined, target: str, headers: Mapping[str, str]) -> Fetched:
        connection = http.client.HTTPConnection("")
        connection.sock = sock
        wanted = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "jwtconnect-mw"}
        connection.request("GET", target, headers={**wanted, **headers, "Connection": "close"})
        answer = connection.getresponse()
        if answer.status not in (200, 304):
            raise FetchError(f"status {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise FetchError("an encoding that was not asked for")
        body = answer.read(self._max_body + 1)
        if len(body) > self._max_body:
            raise FetchError("too large")
        if answer.length:
            raise FetchError("cut short")
        names = {name.lower() for name in answer.headers}
        return Fetched(answer.status, {name: ", ".join(answer.headers.get_all(name, [])) for name in names}, body)

    def _connect(self, parts: SplitResult, until: float) -> tuple[socket.socket, str, dict[str, str]]:
        """An open socket, the request target, and the headers for a proxy on the way."""
        host = parts.hostname or ""
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        proxy = self._proxy(parts)
        sock = _open(host, port, until) if proxy is None else _open(proxy.hostname or "", proxy.port or 80, until)
        try:
            if tls and proxy is not None:
                _tunnel(sock, host, port, _proxy_headers(proxy), until)
            if tls:
                sock = self._tls().wrap_socket(_timed(sock, until), server_hostname=host)
        except BaseException:
            sock.close()
            raise
        if proxy is not None and not tls:
            return sock, parts.geturl(), _proxy_headers(proxy)
        return sock, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), {}

    def _proxy(self, parts: SplitResult) -> SplitResult | None:
        if not self._proxies or proxy_bypass(parts.netloc):
            return None
        url = getproxies().get(parts.scheme)
        if not url:
            return None
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        if proxy.scheme != "http":
            raise FetchError("only http proxies are supported")
        return proxy


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _timed(sock: socket.socket, until: float) -> socket.socket:
    sock.settimeout(_left(until))
    return sock


def _open(host: str, port: int, until: float) -> socket.socket:
    """Connect to the first address that answers. Each gets a share of the time, so that one that drops what it is sent
    (IPv6 on many a network) leaves some to the next; socket.create_connection would give each the whole.
    """
    failure: OSError = OSError("no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for rest, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(until) / rest)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + b64encode(pair.encode()).decode()}


def _tunnel(sock: socket.socket, host: str, port: int, headers: Mapping[str, str], until: float) -> None:
    """CONNECT (RFC 9110 section 9.3.6): read to the end of the header section, octet by octet, and no further."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {value}" for name, value in headers.items())]
    _timed(sock, until).sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        octet = _timed(sock, until).recv(1)
        if not octet or len(answer) > 8192:
            raise FetchError("the proxy refused")
        answer += octet
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        raise FetchError("the proxy refused")


class _Deadlined:
    """What http.client needs of a socket, each operation with the time that is left."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until

    def sendall(self, octets: Any) -> None:
        _timed(self._sock, self._until).sendall(octets)

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(_Reader(self._sock, self._until))

    def close(self) -> None:
        """http.client calls this before it has read the body; whoever opened the socket closes it."""


class _Reader(RawIOBase):
    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return _timed(self._sock, self._until).recv_into(buffer)
