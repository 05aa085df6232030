"""Where a reader of a feed is, as text, and whether the history that it read is still the list's."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import NamedTuple

from .feed import FeedGap

MARKS_KEPT = 10_000
"""Changes after which the place of a reader that did not ask meanwhile is no longer known."""

_MOST = 18  # digits, so that every database can hold the number
_CURSOR = re.compile(
    rf"(?P<epoch>[0-9a-f.]{{1,64}}):(?P<position>[0-9]{{1,{_MOST}}})"
    rf":(?P<seen>[0-9]{{1,{_MOST}}}(?:-[0-9]{{1,{_MOST}}})?)",
    re.ASCII,
)


class Cursor(NamedTuple):
    """``position``: the serial up to which entries were read. ``seen``: the mark of the last change that there was
    meanwhile; that the list still knows it shows that its history is the one of before, and no older copy that was put
    back and has grown since. A mark is given once: it is a random number, or the id of an item of a Redis stream, the
    second part of which is one. An ``epoch`` of "": from the beginning.
    """

    epoch: str = ""
    position: str = "0"
    seen: str = "0"

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """Raises FeedGap for a text that is not a cursor."""
        if text is None:
            return cls()
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise FeedGap("not a cursor of this list")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return ":".join(self)


def resumed(text: str | None, epoch: str, is_known: Callable[[int], bool]) -> Cursor:
    """Where to go on. ``is_known``: whether a change with that mark is among the last ones.

    Raises FeedGap for a place in another history.
    """
    cursor = Cursor.read(text)
    if cursor == Cursor() or cursor == (epoch, "0", "0"):  # nothing was there to be seen
        return Cursor(epoch)
    mark = int(cursor.seen) if cursor.seen.isdecimal() else 0
    if cursor.epoch != epoch or not mark or not is_known(mark):
        raise FeedGap("the data is not that of the cursor, or too much has changed since")
    return cursor


def new_mark() -> int:
    """From 1."""
    return 1 + secrets.randbelow(10**_MOST - 1)
