"""An issuer on loopback: real HTTP, real signatures, and switches for what goes wrong with issuers."""

from __future__ import annotations

import gzip
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from .._jose import SigningKey

Outage = Literal[
    "reset",
    "error",
    "hang",
    "drip",
    "drip_headers",
    "truncated",
    "garbage",
    "empty",
    "huge",
    "redirect",
    "html",
    "gzip",
]
"""What may be wrong with an answer. ``stop()`` makes connections be refused, ``start()`` ends that."""

_HUGE = 50_000_000


class FakeIssuer:
    """Publishes metadata (RFC 8414 and OpenID) and a key set at ``url``, and signs tokens. A context manager.

    ``alg``: of its keys. ``path``: of the issuer, such as "/tenant". ``audience``: of its tokens. ``clock``: seconds.
    """

    def __init__(
        self,
        *,
        alg: str = "ES256",
        path: str = "",
        audience: str = "https://api.example",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.alg, self.path, self.audience, self.clock = alg, path, audience, clock
        self.keys = [SigningKey.generate(alg)]
        self.published: list[Mapping[str, Any]] = [self.keys[0].public_jwk()]
        self.headers: dict[str, str] = {}
        self.outage: Outage | None = None
        self.requests: list[str] = []
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}{path}"
        self.jwks_url = f"{self.url}/jwks"

    def start(self) -> None:
        """Listen, after ``stop`` at the same port."""
        self._release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """From now on connections are refused."""
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeIssuer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A signed RFC 9068 access token, good for five minutes; ``claims`` adds or replaces, None leaves one out."""
        now = int(self.clock())
        content = {
            "iss": self.url,
            "sub": "alice",
            "aud": self.audience,
            "client_id": "client",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(16),
            "scope": "read",
            **(claims or {}),
        }
        content = {name: value for name, value in content.items() if value is not None}
        return (key or self.keys[-1]).sign(content, {"typ": "at+jwt", **(header or {})})

    def rotate(self, *, drop_old: bool = False) -> SigningKey:
        """Make a new key, publish it, sign with it from now on; ``drop_old`` publishes nothing else."""
        key = SigningKey.generate(self.alg)
        self.keys.append(key)
        self.published = [key.public_jwk()] if drop_old else [*self.published, key.public_jwk()]
        return key

    def jwks_requests(self) -> int:
        """How often the key set was asked for."""
        return self.requests.count(f"{self.path}/jwks")

    def _documents(self) -> Mapping[str, Mapping[str, Any]]:
        metadata = {
            "issuer": self.url,
            "jwks_uri": self.jwks_url,
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["none"],
        }
        return {
            f"/.well-known/oauth-authorization-server{self.path}": metadata,
            f"{self.path}/.well-known/openid-configuration": metadata,
            f"{self.path}/jwks": {"keys": self.published},
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                try:
                    for octets in outer._answer(self.path, self.headers.get("If-None-Match")):
                        self.wfile.write(octets)
                except OSError:  # the client gave up, as some outages make it do
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler

    def _answer(self, path: str, known: str | None) -> Iterator[bytes]:
        """The octets of an answer, piece by piece; then the connection is closed."""
        outage, document = self.outage, self._documents().get(path)
        if outage == "hang":
            self._release.wait()
        if outage in ("hang", "reset"):
            return
        status, headers, body = self._content(document, known)
        if status != 304:
            headers["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {headers[name]}" for name in headers)]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        if outage == "truncated":
            body = body[: len(body) // 2]
        answer = head + body
        at_once = {"drip": len(head), "drip_headers": 0}.get(outage or "", len(answer))
        yield answer[:at_once]
        for octet in answer[at_once:]:
            if self._release.wait(0.05):
                return
            yield bytes([octet])

    def _content(self, document: Mapping[str, Any] | None, known: str | None) -> tuple[int, dict[str, str], bytes]:
        headers = {"Content-Type": "application/json", **self.headers}
        if document is None:
            return 404, headers, b"{}"
        if known is not None and known == headers.get("ETag"):
            return 304, headers, b""
        body = json.dumps(document).encode()
        wrong: dict[Outage | None, tuple[int, dict[str, str], bytes]] = {
            "error": (500, {}, body),
            "redirect": (302, {"Location": self.jwks_url}, body),
            "html": (200, {"Content-Type": "text/html"}, body),
            "gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(body)),
            "garbage": (200, {}, b'{"keys": [nonsense'),
            "empty": (200, {}, b'{"keys":[]}'),
            "huge": (200, {}, b" " * _HUGE if self.outage == "huge" else b""),
        }
        status, changes, body = wrong.get(self.outage, (200, {}, body))
        return status, {**headers, **changes}, body
