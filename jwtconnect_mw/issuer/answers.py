"""The answers of the endpoints as values: an error, tokens, a document that may be cached. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from .._http import Response, challenge, quoted, response
from ..errors import AuthError, Unavailable
from .errors import GrantError
from .messages import ErrorAnswer, write

JWKS_MAX_AGE = 300
"""Seconds for which a document may be cached: a next key is published this much longer before it signs."""
_STALE_WHILE_REVALIDATE = 60  # seconds; short, because a key that was dropped lives on in caches as long
_RETRY_AFTER = 5  # seconds

_JSON = ("Content-Type", "application/json")
NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))  # RFC 6749 section 5.1
_LONGEST_CONDITION = 1024
_ENTITY_TAG = re.compile(r'(?:W/)?("[!#-~]*")')


def realm_of(issuer: str) -> str:
    """The realm of the challenges of an issuer: its name, where that can stand in a header."""
    return issuer if issuer.isascii() and issuer.isprintable() else "issuer"


def error_answer(status: int, error: str, description: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An OAuth error (RFC 6749 section 5.2)."""
    body = write(ErrorAnswer, {"error": error, "error_description": description})
    return response(status, [_JSON, *NO_STORE, *headers], body)


def grant_refused(error: GrantError, realm: str) -> Response:
    """The answer to a request that the issuer refused. Only a 401 has a challenge, and each has (RFC 9110, 15.5.2)."""
    headers: list[tuple[str, str]] = []
    if error.status == 401:
        headers.append(("WWW-Authenticate", f"Basic realm={quoted(realm)}"))
    elif error.status == 503:
        headers.append(("Retry-After", str(_RETRY_AFTER)))
    return error_answer(error.status, error.error, error.description, headers)


def bearer_refused(error: AuthError, realm: str) -> Response:
    """The answer to a bearer access token that will not do (RFC 6750 section 3)."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, Unavailable):
        headers.append(("Retry-After", str(error.retry_after)))
    elif error.status != 400:
        headers.append(("WWW-Authenticate", challenge(error, realm, None)))
    return error_answer(error.status, error.error or "unauthorized", error.description, headers)


def about_tokens(body: bytes, content_type: str = "application/json") -> Response:
    """A good answer about tokens: nobody may keep it. The status is exactly 200, as strict clients demand."""
    return response(200, [("Content-Type", content_type), *NO_STORE], body)


def document(body: bytes, if_none_match: str | None) -> Response:
    """Something public that changes seldom, with a strong entity tag (RFC 9110 section 8.8.3).

    304 where ``if_none_match`` has the tag (section 13.1.2); a condition that is too long is ignored.
    """
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    caching = [
        ("Cache-Control", f"public, max-age={JWKS_MAX_AGE}, stale-while-revalidate={_STALE_WHILE_REVALIDATE}"),
        ("ETag", tag),
    ]
    condition = if_none_match if if_none_match and len(if_none_match) <= _LONGEST_CONDITION else ""
    if condition.strip(" \t") == "*" or tag in _ENTITY_TAG.findall(condition):
        return response(304, caching, b"")
    return response(200, [_JSON, *caching], body)
