"""The body of a request, by either interface, never more of it than MAX_BODY: what is too large is refused unread."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import get_input_stream

from .._http import Response
from .answers import error_answer
from .forms import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TOO_LARGE = error_answer(413, "invalid_request", "The request is too large.")
UNREADABLE = error_answer(400, "invalid_request", "The body of the request cannot be read.")
_LENGTH = re.compile(r"[0-9]+")
_MOST_DIGITS = 19


class RefusedBody(Exception):
    """``answer`` says why."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


def read_wsgi(environ: WSGIEnvironment) -> bytes:
    """The whole body. Raises RefusedBody.

    werkzeug's stream ends where the body does, on servers that end it themselves (chunked) and on those that would
    wait for ever. Its own limit is not used: it would cut a chunked body off in silence.
    """
    check_length(environ.get("CONTENT_LENGTH") or None)
    body = bytearray()
    try:
        stream = get_input_stream(environ)
        while octets := stream.read(MAX_BODY + 1 - len(body)):
            body += octets
            if len(body) > MAX_BODY:
                break
    except Exception:  # each server raises its own: a broken chunk, fewer octets than announced, a timeout
        raise RefusedBody(UNREADABLE) from None
    if len(body) > MAX_BODY:
        raise RefusedBody(TOO_LARGE)
    return bytes(body)


async def read_asgi(headers: Any, receive: Any) -> bytes:
    """The whole body. Raises RefusedBody, also where the client is gone."""
    check_length(joined(headers, b"content-length"))
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedBody(UNREADABLE)  # granian says so of a broken chunk as well: its client waits for an answer
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise RefusedBody(TOO_LARGE)
    return bytes(body)


def joined(headers: Any, wanted: bytes) -> str | None:
    """The values of one header field, joined by a comma as WSGI servers do; none of ours is a list: that is refused."""
    values = [value for name, value in headers if name == wanted]
    return b",".join(values).decode("latin-1") if values else None


def check_length(length: str | None) -> None:
    """Refuse a Content-Length that is none, or too large. Raises RefusedBody."""
    if length is None:
        return
    if not _LENGTH.fullmatch(length):
        raise RefusedBody(UNREADABLE)
    if len(length) > _MOST_DIGITS or int(length) > MAX_BODY:
        raise RefusedBody(TOO_LARGE)
