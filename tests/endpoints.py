"""What the tests of the issuer's endpoints need: an issuer, and a request with a body through either interface."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from wsgiref.validate import validator

from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock

from .adapters import Reply, wsgi_environ
from .kit import AUDIENCE, NOW

ISSUER = "https://as.example/tenant"
WELL_KNOWN = "/.well-known/oauth-authorization-server"
FORM = "application/x-www-form-urlencoded"
SECRET, OTHER_SECRET = "s3cret:" + "x" * 30 + "+/%~", "another secret of more than 32 characters"
CLIENTS: dict[str, Any] = {
    "web": {"secret": SECRET, "scopes": ["read", "write"]},
    "api": {"secret": OTHER_SECRET, "audiences": [AUDIENCE]},
    "stranger": {"secret": "a stranger's secret of more than 32"},
    "spa": {},
}


@dataclass
class House:
    """An issuer with its clock and its application."""

    clock: ManualClock
    issuer: Issuer
    app: IssuerApp


def house(app: Mapping[str, Any] | None = None, **settings: Any) -> House:
    clock = ManualClock(NOW)
    kept = {"clients": CLIENTS, "keys": keys(), "revocations": MemoryRevocationList(clock=clock), **settings}
    issuer = Issuer(kept.pop("issuer", ISSUER), **{"audience": AUDIENCE, "clock": clock, **kept})
    return House(clock, issuer, IssuerApp(issuer, **{"allow_memory": True, **(app or {})}))


def keys() -> dict[str, Any]:
    """A private key set that is made once, so that no issuer warns of keys in memory."""
    from .kit import key

    return {"keys": [{**key().private_jwk()}]}


def basic(client_id: str = "web", secret: str = SECRET, *, encoded: bool = False) -> tuple[str, str]:
    if encoded:
        client_id, secret = (quote(text, safe="") for text in (client_id, secret))
    return "Authorization", "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


Body = bytes | Mapping[str, Any] | Sequence[tuple[str, str]]


def octets(body: Body) -> bytes:
    return body if isinstance(body, bytes) else urlencode(body).encode()


def through_wsgi(
    app: Any,
    path: str,
    body: Body = b"",
    *headers: tuple[str, str],
    method: str = "POST",
    content_type: str | None = FORM,
    **environ: Any,
) -> Reply:
    """One request, under wsgiref's validator if it lets it through.

    ``environ``: more of it, with __ for the dot; ... takes away.
    """
    content = octets(body)
    made = wsgi_environ([(name, value.encode("latin-1")) for name, value in headers], method, path)
    made |= {"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content)), "QUERY_STRING": "token=x&a=b"}
    if content_type is not None:
        made["CONTENT_TYPE"] = content_type
    made |= {name.replace("__", "."): value for name, value in environ.items()}
    made = {name: value for name, value in made.items() if value is not ...}
    got: list[Any] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        got[:] = [int(status[:3]), {name.lower(): value for name, value in fields}]
        return lambda _: None

    usual = method in ("GET", "HEAD", "POST", "OPTIONS", "PATCH", "PUT", "DELETE") and path.startswith("/")
    usual = usual and made.get("CONTENT_LENGTH", "0")[:19].isdecimal() and len(made.get("CONTENT_LENGTH", "")) < 20
    chunks = (validator(app) if usual else app)(made, start_response)  # it refuses what servers let through
    answer = b"".join(chunks)
    getattr(chunks, "close", bool)()
    return Reply(got[0], got[1], answer)


def asgi_scope(path: str, *headers: tuple[str, str], method: str = "POST", root: str = "") -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root + path,
        "raw_path": (root + path).encode(),
        "query_string": b"token=x&a=b",
        "root_path": root,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
    }


async def asgi_request(
    app: Any,
    path: str,
    body: Body = b"",
    *headers: tuple[str, str],
    method: str = "POST",
    content_type: str | None = FORM,
    root: str = "",
    chunk: int = 70_000,
    length: bool = True,
) -> Reply:
    """One request on the running loop, its body in chunks."""
    content = octets(body)
    fields = list(headers)
    if content_type is not None:
        fields.append(("content-type", content_type))
    if length:
        fields.append(("content-length", str(len(content))))
    pieces = [content[at : at + chunk] for at in range(0, len(content), chunk)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1} for at, piece in enumerate(pieces)
    ]
    sent: list[dict[str, Any]] = []
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    await app(asgi_scope(path, *fields, method=method, root=root), receive, send)
    fields_sent = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], fields_sent, b"".join(message.get("body", b"") for message in sent[1:]))


def through_asgi(app: Any, path: str, body: Body = b"", *headers: tuple[str, str], **more: Any) -> Reply:
    return asyncio.run(asgi_request(getattr(app, "asgi", app), path, body, *headers, **more))


Through = Callable[..., Reply]
FACES: dict[str, Through] = {"wsgi": through_wsgi, "asgi": through_asgi}


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def refused(reply: Reply, status: int, error: str) -> Reply:
    """A refusal as RFC 6749 section 5.2 wants it."""
    assert (reply.status, reply.json["error"]) == (status, error), reply
    assert set(reply.json) == {"error", "error_description"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in reply.headers) == (status in (401, 403))
    assert ("retry-after" in reply.headers) == (status == 503)
    return reply


def refresh(token: str | None, **more: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": token or "", **more}
