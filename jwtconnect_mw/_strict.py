"""Strict base64url (RFC 7515 section 2) and strict JSON (RFC 8259, I-JSON): one text, one meaning, bounded work.

Every function raises ValueError, never with a part of the input in its text.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import Any, Generic, TypeVar

D = TypeVar("D", bound="dict[str, Any]")

MAX_DEPTH = 64
MAX_DIGITS = 4_300
# What an unverified text may cost to parse is bounded by its marks, not only by its length (an x5c chain is cheap).
MAX_ESCAPES = 256
_MOST_FLOAT = 25  # characters: more than any time needs; some longer ones cost a microsecond each
_MOST_READ_DIGITS, _MOST_READ, _LEAST_READ = (
    20,
    10**20,
    -(10**20),
)  # of an integer in an unverified text: more than a time has, and quadratic work beyond

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# To the standard alphabet; anything foreign, also "+", "/" and "=", becomes "!", which the decoder skips: too short.
_TO_STANDARD = bytes({0x2D: 0x2B, 0x5F: 0x2F}.get(octet, octet) if octet in _ALPHABET else 0x21 for octet in range(256))
_PADDING = (b"", b"", b"==", b"=")
# The last character carries 4 (or 2) unused bits, which must be zero; else one signature has several spellings. No
# character can end a length of 1 mod 4.
_CANONICAL_END = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")
_NOT_MARKS = bytes(set(range(256)) - set(b"{[,:\\"))
# Where none of these stands, there is no lone surrogate (after a backslash that is escaped itself, it means nothing).
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# An unterminated string reaches to the end: nothing is scanned twice, so the work is linear.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class _Malformed(ValueError):
    """Not what it should be. Carries nothing of the input."""


class TooDear(ValueError):
    """It may be what it should be, but to find that out would cost more than strangers may make it cost."""


def is_b64url(text: bytes) -> bool:
    """Whether ``text`` is the canonical spelling of some octets."""
    rest = len(text) & 3
    return not (rest and text[-1] not in _CANONICAL_END[rest]) and not text.translate(None, _ALPHABET)


def b64url_decode(text: bytes) -> bytes:
    """Decode base64url without padding; only the one canonical spelling passes."""
    length = len(text)
    rest = length & 3
    if rest and text[-1] not in _CANONICAL_END[rest]:
        raise _Malformed
    octets = a2b_base64(text.translate(_TO_STANDARD) + _PADDING[rest])  # binascii.Error is a ValueError
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


def _short_finite(text: str) -> float:
    if len(text) > _MOST_FLOAT:
        raise TooDear
    return _finite(text)


def _short_integer(text: str) -> int:
    if len(text) > MAX_DIGITS + text.startswith("-"):
        raise _Malformed
    return int(text)


def _estimated_integer(text: str) -> int:
    """A long integer is only refused by such a reader where a time is meant: its sign and size say enough."""
    if len(text) <= _MOST_READ_DIGITS:
        return int(text)
    negative = text.startswith("-")
    if len(text) > MAX_DIGITS + negative:
        raise _Malformed
    return _LEAST_READ if negative else _MOST_READ


class JsonReader(Generic[D]):
    """Reads JSON objects into ``kind``, a dict class: UTF-8, no duplicate members, no NaN or infinity, no lone
    surrogate, at most 64 levels, integers of at most 4,300 digits.
    """

    def __init__(self, kind: type[D]) -> None:
        def unique(pairs: list[tuple[str, Any]]) -> D:
            members = kind(pairs)
            if len(members) != len(pairs):
                raise _Malformed
            return members

        self._kind = kind
        self._decode = _decoder(unique, int).raw_decode
        # The interpreter's own limit on digits can be moved: ours is checked where a text is long enough to break it.
        self._decode_long = _decoder(unique, _short_integer).raw_decode
        self._decode_unverified = _decoder(unique, _estimated_integer, _short_finite).raw_decode

    def read(self, octets: bytes) -> D:
        """Parse a text that a signature covers, or that came from where we asked."""
        text = octets.decode("utf-8").strip(" \t\n\r")
        # Decided here, because the interpreters differ in the depth at which their parsers give up.
        if octets.count(b"{") + octets.count(b"[") > MAX_DEPTH:
            _refuse_depth(text)
        return self._parsed(text, self._decode_long if len(text) > MAX_DIGITS else self._decode)

    def read_unverified(self, octets: bytes, most_marks: int, most_brackets: int) -> D:
        """Parse a text that anyone may have sent. Integers of more than 20 digits are only estimated.

        ``most_marks``: commas and colons, ``most_brackets``: opening brackets, wherever they stand. Raises TooDear for
        more of them, or for what else would cost much.
        """
        marks = octets.translate(None, _NOT_MARKS)
        escapes, brackets = marks.count(b"\\"), marks.count(b"{") + marks.count(b"[")
        if len(marks) - escapes - brackets > most_marks or brackets > most_brackets or escapes > MAX_ESCAPES:
            raise TooDear
        text = octets.decode("utf-8").strip(" \t\n\r")
        if brackets > MAX_DEPTH:
            _refuse_depth(text)
        return self._parsed(text, self._decode_unverified)

    def _parsed(self, text: str, decode: Callable[[str], tuple[Any, int]]) -> D:
        try:
            value, end = decode(text)
            if type(value) is not self._kind or end != len(text):
                raise _Malformed
            if "\\" in text and _SURROGATE.search(text):
                json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError: a lone surrogate
        except RecursionError:
            raise _Malformed from None
        return value


def _decoder(
    hook: Callable[[list[tuple[str, Any]]], Any],
    integer: Callable[[str], int],
    real: Callable[[str], float] = _finite,
) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_constant=_refuse_constant, parse_float=real, parse_int=integer, object_pairs_hook=hook
    )


def _refuse_depth(text: str) -> None:
    depth = 0
    for mark in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > MAX_DEPTH:
            raise _Malformed


json_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Compact JSON. Raises ValueError for NaN and infinity."""
json_object: JsonReader[dict[str, Any]] = JsonReader(dict)
"""The reader for plain dicts."""
