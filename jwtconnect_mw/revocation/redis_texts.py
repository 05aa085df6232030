"""How a RedisRevocationList writes names, times and cursors: one text for each value, and one value for each text."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from .feed import Change, FeedGap

Kind = Literal["token", "session", "subject"]

_KINDS: dict[bytes, Kind] = {b"t": "token", b"s": "session", b"u": "subject"}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()} | {"record": b"r"}
_CURSOR = re.compile(r"(?P<epoch>[0-9a-f.]{1,64}):(?P<position>[0-9]{1,20}):(?P<seen>[0-9]{1,20})", re.ASCII)


def field(kind: Kind | Literal["record"], issuer: str, name: str) -> bytes:
    """The issuer's length tells where the name begins. Raises ValueError for what is not Unicode."""
    prefix = issuer.encode()
    return b"%s%d:%s%s" % (_LETTERS[kind], len(prefix), prefix, name.encode())


def change(found: bytes, value: bytes) -> Change:
    """The entry of a field and its value."""
    length, _, rest = found[1:].partition(b":")
    ends, *bound = value.split()
    issuer, name = rest[: int(length)].decode(), rest[int(length) :].decode()
    return Change(_KINDS[found[:1]], issuer, name, float(ends), *map(float, bound))


def exact(number: float) -> str:
    """The same text as the scripts write, from which the same float comes back."""
    return f"{float(number):.17g}"


class Cursor(NamedTuple):
    """``position``: the serial up to which entries were read. ``seen``: the last serial that there was meanwhile; that
    the server still knows it shows that its history is the one of before. An ``epoch`` of "": from the beginning.
    """

    epoch: str = ""
    position: str = "0"
    seen: str = "0"

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """Raises FeedGap for a text that is not a cursor of this kind of list."""
        if text is None:
            return cls()
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise FeedGap("not a cursor of this list")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return ":".join(self)
