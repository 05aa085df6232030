"""An issuer on loopback: real HTTP, real signatures, and switches for what goes wrong with issuers."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from .._jose import SigningKey

Outage = Literal["error", "hang", "drip", "truncated", "empty", "huge", "redirect", "html"]


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
        self._release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"
        self.jwks_url = f"{self.url}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeIssuer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: from now on connections are refused."""
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A signed RFC 9068 access token, good for five minutes; ``claims`` adds to or replaces, None leaves one out."""
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
            def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
                outer.requests.append(self.path)
                try:
                    outer._answer(self)
                except OSError:  # the client gave up, as some outages make it do
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the signature of http.server
                return

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        document = self._documents().get(handler.path)
        if document is None:
            return handler.send_error(404)
        body = json.dumps(document).encode()
        status, headers = 200, {"Content-Type": "application/json", **self.headers}
        if self.outage == "error":
            status = 500
        elif self.outage == "hang":
            self._release.wait()
        elif self.outage == "redirect":
            status, headers["Location"] = 302, self.jwks_url
        elif self.outage == "html":
            headers["Content-Type"] = "text/html"
        elif self.outage == "empty":
            body = b'{"keys":[]}'
        elif self.outage == "huge":
            body = b" " * 50_000_000
        if status == 200 and "ETag" in headers and handler.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.outage == "truncated":
            body = body[: len(body) // 2]
            handler.close_connection = True
        if self.outage == "drip":
            for octet in body:
                if self._release.wait(0.05):
                    return None
                handler.wfile.write(bytes([octet]))
        else:
            handler.wfile.write(body)
        return None
