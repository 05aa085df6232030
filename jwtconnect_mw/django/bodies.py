"""The body of a request: never more than 64 KiB of it; as a form, as multipart, or as JSON."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from .._strict import json_object
from ..issuer.answers import error_answer
from ..issuer.bodies import TOO_LARGE, UNREADABLE, RefusedBody, check_length, read_wsgi
from ..issuer.forms import MAX_BODY, MalformedMessage, read_form

_UNSUPPORTED = error_answer(415, "invalid_request", "The body is neither JSON, nor a form, nor multipart.")
_MULTIPART, _JSON, _FORM = "multipart/form-data", "application/json", "application/x-www-form-urlencoded"


def read_body(request: Any) -> bytes:
    """The whole body. Raises RefusedBody.

    Under WSGI, Django takes a body without a length (chunked) for none; servers that end the stream themselves say so.
    """
    length = request.META.get("CONTENT_LENGTH") or None
    if length is None and request.META.get("wsgi.input_terminated"):
        return read_wsgi(request.META)
    check_length(length)
    try:
        # What middleware has read before, Django can read again.
        body: bytes = request.read(MAX_BODY + 1)
    except Exception:  # of the server, or that the client is gone
        raise RefusedBody(UNREADABLE) from None
    if len(body) > MAX_BODY:
        raise RefusedBody(TOO_LARGE)
    return body


def read_fields(request: Any) -> dict[str, str]:
    """The parameters of a body in any of the three forms. Raises RefusedBody and MalformedMessage."""
    kind = request.META.get("CONTENT_TYPE") or ""
    essence = kind.partition(";")[0].strip().lower()
    if essence not in (_MULTIPART, _JSON, _FORM, ""):
        raise RefusedBody(_UNSUPPORTED)
    if essence == _MULTIPART and hasattr(request, "_post"):
        check_length(request.META.get("CONTENT_LENGTH") or None)
        return _single(request.POST)  # middleware has asked for it, and the body of this kind is gone then
    body = read_body(request)
    if not essence:
        if body:
            raise RefusedBody(_UNSUPPORTED)
        return {}
    if essence == _JSON:
        return _json(body)
    if essence == _MULTIPART:
        return _multipart(kind, body)
    return {name: value for name, value in read_form(kind, body).items() if isinstance(value, str)}


def _json(body: bytes) -> dict[str, str]:
    try:
        found = json_object.read(body)
    except (ValueError, RecursionError):
        raise MalformedMessage("The body is not a JSON object in UTF-8.") from None
    return {name: _text(value) for name, value in found.items() if value is not None and value != ""}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedMessage("A parameter is not a string.")
    return value


def _multipart(kind: str, body: bytes) -> dict[str, str]:
    meta = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
    handler = MemoryFileUploadHandler()
    handler.activated = True  # a file is held in memory, and then forgotten
    try:
        fields, _ = MultiPartParser(meta, BytesIO(body), [handler], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation, ValueError, LookupError):
        raise MalformedMessage("The multipart body is malformed.") from None
    return _single(fields)


def _single(fields: Any) -> dict[str, str]:
    if any(len(values) > 1 for _, values in fields.lists()):
        raise MalformedMessage("A parameter is repeated.")
    return {name: value for name, value in fields.items() if value}
