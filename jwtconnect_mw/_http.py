"""Sans-IO HTTP: read an Authorization value, write a refusal. Knows no server, no socket, no framework."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from .errors import (
    AuthError,
    CredentialsTooLarge,
    DuplicateCredentials,
    InsufficientScope,
    MalformedCredentials,
    Unavailable,
)

MAX_TOKEN = 16_384
"""Greatest length of a token, in characters."""
MAX_HEADER_VALUE = MAX_TOKEN + 64

_B64TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
# The rest of a longer word, such as "bearer2": another scheme.
_MORE_OF_A_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
_MOST_COMMAS = 32


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An answer as a value, ready for either interface. ``headers`` are ASCII."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status_line: str
    raw_headers: tuple[tuple[bytes, bytes], ...]


def single_authorization(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The one Authorization value of a list of raw header fields, or None.

    Raises DuplicateCredentials for two or more, even if identical or empty (RFC 9110 section 5.3: not a list field).
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise DuplicateCredentials
            found = value
    return None if found is None else found.decode("latin-1")


def bearer_token(value: str) -> str | None:
    """The token of an Authorization value; None where it holds no Bearer credentials (RFC 6750 section 2.1).

    Raises CredentialsTooLarge, or MalformedCredentials for what is nearly, or more than, one Bearer credential.
    """
    if len(value) > MAX_HEADER_VALUE:
        raise CredentialsTooLarge
    if value.startswith("Bearer ") and _is_b64token(token := value[7:]):  # nearly always
        return token
    value = _without_end(_without_start(value))
    scheme, _, rest = value.partition(" ")
    # RFC 9110 section 11.4 lets one or more SP stand between scheme and credentials.
    if scheme.lower() == "bearer":
        token = _without_start(rest)
        if _is_b64token(token):
            return token
        raise MalformedCredentials
    if not value.isascii() or not value.isprintable():
        raise MalformedCredentials
    lowered = value.lower()
    if value.startswith(",") or value.endswith(","):  # two values, one of them empty, that a server made one of
        raise MalformedCredentials
    if "bearer" in lowered and (lowered.count(",") > _MOST_COMMAS or _names_bearer(lowered)):
        raise MalformedCredentials
    return None


# strip(" ") takes four times as long for each space, which a hostile value may have many of. Other white space stays,
# and is refused by what follows.
def _without_start(text: str) -> str:
    rest = text.lstrip()
    spaces = len(text) - len(rest)
    return rest if text.startswith(" " * spaces) else text


def _without_end(text: str) -> str:
    rest = text.rstrip()
    spaces = len(text) - len(rest)
    return rest if text.endswith(" " * spaces) else text


def _is_b64token(token: str) -> bool:
    text = token.rstrip("=")
    return text != "" and text.isascii() and not text.encode().translate(None, _B64TOKEN)


def _names_bearer(lowered: str) -> bool:
    """Whether Bearer stands at the start or after a comma: a server may fold two header lines into one with a comma,
    and then it is a second credential.
    """
    for part in lowered.split(","):
        scheme = part.lstrip(" \t")
        if scheme.startswith("bearer") and scheme[6:7] not in _MORE_OF_A_SCHEME:
            return True
    return False


def is_preflight(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an OPTIONS request is a CORS preflight: it has Origin and Access-Control-Request-Method (Fetch, 4.8)."""
    names = {name for name, _ in headers}
    return b"origin" in names and b"access-control-request-method" in names


def quoted(text: str) -> str:
    """``text`` as a quoted-string (RFC 9110 section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def challenge(error: AuthError, realm: str | None, resource_metadata: str | None) -> str:
    """The WWW-Authenticate value for a refusal (RFC 6750 section 3, RFC 9728 section 5.1); every value is quoted."""
    parameters: list[tuple[str, str]] = []
    if realm is not None:
        parameters.append(("realm", realm))
    if error.error is not None:
        parameters += [("error", error.error), ("error_description", error.description)]
    if isinstance(error, InsufficientScope):
        parameters.append(("scope", error.scope))
    if resource_metadata is not None:
        parameters.append(("resource_metadata", resource_metadata))
    if not parameters:
        return "Bearer"
    return "Bearer " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters)


def response(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Response:
    """An answer with these header fields (ASCII); Content-Length is added where there may be one (RFC 9110, 8.6)."""
    fields = list(headers)
    if status != HTTPStatus.NOT_MODIFIED:
        fields.append(("Content-Length", str(len(body))))
    raw_headers = tuple((name.lower().encode(), value.encode()) for name, value in fields)
    return Response(status, tuple(fields), body, f"{status} {HTTPStatus(status).phrase}", raw_headers)


def refusal(error: AuthError, realm: str | None = None, resource_metadata: str | None = None) -> Response:
    """The whole answer to a refused request: status, challenge or Retry-After, and the OAuth error body."""
    content = {"error": error.error or "unauthorized", "error_description": error.description}
    body = json.dumps(content).encode()
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if isinstance(error, Unavailable):
        headers.append(("Retry-After", str(error.retry_after)))
    else:
        headers.append(("WWW-Authenticate", challenge(error, realm, resource_metadata)))
    return response(error.status, headers, body)
