"""Says of most names that they are not there, out of memory that is small enough to be near the processor.

Looking up in dicts of a million entries is waiting for memory, several times for each name. A sieve holds two bytes for
an entry, needs one of them for a name, and lets about one in sixteen strangers through, whom the dicts then refuse.
"""

from __future__ import annotations

_BITS_EACH = 16
_LEAST_BITS = 1 << 13


class Sieve:
    """Room for ``entries`` names, and for ``room`` more at any time. Reading takes no lock; writers exclude each other.

    A name is there if ``bits[hash(name) >> 8 & mask] >> (hash(name) >> 5 & 7) & 1``, which look-ups spell out: a call
    would cost more than it.
    """

    __slots__ = ("bits", "mask", "room")

    def __init__(self, entries: int) -> None:
        size = max(_LEAST_BITS, 1 << (entries * _BITS_EACH - 1).bit_length())
        self.bits = bytearray(size >> 3)
        self.mask = len(self.bits) - 1
        self.room = size // _BITS_EACH

    def add(self, name: str) -> None:
        mark = hash(name)
        self.bits[mark >> 8 & self.mask] |= 1 << (mark >> 5 & 7)
        self.room -= 1
