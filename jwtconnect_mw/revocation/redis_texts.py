"""How a RedisRevocationList writes names and times: one text for each value, and one value for each text."""

from __future__ import annotations

from typing import Literal

from .feed import Change

Kind = Literal["token", "session", "subject"]

_KINDS: dict[bytes, Kind] = {b"t": "token", b"s": "session", b"u": "subject"}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()} | {"record": b"r"}


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
