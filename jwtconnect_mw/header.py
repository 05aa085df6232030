"""The JOSE header of an access token: what of it matters, and what is refused before any key is looked for."""

from __future__ import annotations

from typing import NamedTuple

from ._http import MAX_TOKEN
from ._strict import b64url_decode, json_object
from .errors import MalformedToken, UnacceptableHeader, WrongTokenType

# Decoding is what costs most of a hostile token; half of the longest token is room for a chain of three certificates.
_MOST_HEADER = MAX_TOKEN // 2
_MARKS, _BRACKETS = 64, 64
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})


class Header(NamedTuple):
    """What a JOSE header says that matters here."""

    alg: str
    kid: str | None
    is_access_token: bool  # by an at+jwt type, which RFC 9068 demands


def parse_header(segment: bytes) -> Header:
    """Read a JOSE header and refuse what no access token may carry, before any key is looked for (RFC 7515 4.1)."""
    if len(segment) > _MOST_HEADER:
        raise MalformedToken
    try:
        header = json_object.read_unverified(b64url_decode(segment), _MARKS, _BRACKETS)
    except ValueError:
        raise MalformedToken from None
    alg, kid = header.get("alg"), header.get("kid")
    if type(alg) is not str:
        raise MalformedToken
    if "crit" in header or "b64" in header or "enc" in header:
        raise UnacceptableHeader
    if "kid" in header and type(kid) is not str:
        raise UnacceptableHeader
    kind: object = "jwt"
    if "typ" in header:
        kind = header["typ"].lower() if type(header["typ"]) is str else None
    if kind != "jwt" and kind not in _ACCESS_TYPES:
        raise WrongTokenType
    if "cty" in header:
        content = header["cty"]
        if type(content) is not str or content.lower() in ("jwt", "application/jwt"):
            raise UnacceptableHeader
    return Header(alg, kid, kind != "jwt")
