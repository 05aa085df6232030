"""Strict base64url (RFC 7515 section 2) and strict JSON (RFC 8259, I-JSON): one text, one meaning, bounded work.

Every function raises ValueError, never with a part of the input in its text.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from typing import Any

MAX_DEPTH = 64
MAX_DIGITS = 4_300
# What an unverified text may cost to parse is bounded by its marks, not by its length (an x5c chain is long but cheap).
MAX_UNVERIFIED_MARKS = 512
MAX_UNVERIFIED_OBJECTS = 64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# To the standard alphabet; anything foreign, also "+", "/" and "=", becomes "!", which the decoder skips: too short.
_TO_STANDARD = bytes(
    {0x2D: 0x2B, 0x5F: 0x2F}.get(octet, octet) if octet in _ALPHABET else 0x21 for octet in range(256)
)
_PADDING = (b"", None, b"==", b"=")
# The last character carries 4 (or 2) unused bits, which must be zero; else one signature has several spellings.
_CANONICAL_END = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")
_NOT_MARKS = bytes(set(range(256)) - set(b"{[,:\\"))
# An unterminated string reaches to the end: nothing is scanned twice, so the work is linear.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class _Malformed(ValueError):
    """Not what it should be. Carries nothing of the input."""


def b64url_decode(text: bytes) -> bytes:
    """Decode base64url without padding; only the one canonical spelling passes."""
    length = len(text)
    rest = length & 3
    padding = _PADDING[rest]
    if padding is None or (rest and text[-1] not in _CANONICAL_END[rest]):  # type: ignore[operator]  # rest is 2 or 3
        raise _Malformed
    octets = a2b_base64(text.translate(_TO_STANDARD) + padding)  # binascii.Error is a ValueError
    if len(octets) != length * 3 // 4:
        raise _Malformed
    return octets


def _refuse_constant(_: str) -> Any:
    raise _Malformed


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:  # infinity
        raise _Malformed
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Malformed
    return members


def _short_integer(text: str) -> int:
    if len(text) > MAX_DIGITS + text.startswith("-"):
        raise _Malformed
    return int(text)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
# The interpreter's own limit on digits can be moved, so ours is checked where a text is long enough to break it.
_long_text_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short_integer, object_pairs_hook=_unique
)


def _refuse_depth(text: str) -> None:
    depth = 0
    for mark in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > MAX_DEPTH:
            raise _Malformed


def json_object(octets: bytes, *, verified: bool) -> dict[str, Any]:
    """Parse a JSON object: UTF-8, no duplicate members, no NaN or infinity, no lone surrogate, at most 64 levels.

    ``verified`` says that a signature already covers it; an unverified text is refused when it would be dear to parse.
    """
    objects = octets.count(b"{")
    if not verified and (objects > MAX_UNVERIFIED_OBJECTS or len(octets.translate(None, _NOT_MARKS)) > MAX_UNVERIFIED_MARKS):
        raise _Malformed
    text = octets.decode("utf-8").strip(" \t\n\r")
    # Decided here, because the interpreters differ in the depth at which their parsers give up.
    if objects + octets.count(b"[") > MAX_DEPTH:
        _refuse_depth(text)
    try:
        value, end = (_decoder if len(text) <= MAX_DIGITS else _long_text_decoder).raw_decode(text)
    except RecursionError:
        raise _Malformed from None
    if type(value) is not dict or end != len(text):
        raise _Malformed
    if b"\\" in octets and "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError: a lone surrogate
    return value
