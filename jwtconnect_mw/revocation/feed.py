"""What changed in a revocation list since one last looked: for those who keep a copy of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple, Protocol


class Change(NamedTuple):
    """One entry as it is now. ``ends`` and ``bound`` (which counts for subjects only) are seconds since the epoch.
    ``repr`` shows no name.
    """

    kind: Literal["token", "session", "subject"]
    issuer: str
    name: str
    ends: float
    bound: float = 0.0

    def __repr__(self) -> str:
        return f"<Change of a {self.kind}>"


class Changes(NamedTuple):
    """``epoch``: identity of the backend's data, another one means that data was lost. ``cursor``: opaque, where to go
    on. ``more``: whether to ask again at once.
    """

    epoch: str
    entries: tuple[Change, ...]
    cursor: str
    more: bool


class FeedGap(Exception):
    """The cursor is too old, or of another epoch: begin again with None."""


class ChangeFeed(Protocol):
    """A list that tells its entries, and then what is new. Safe for threads."""

    def changes(self, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> Changes:
        """About ``limit`` entries at most that were written after ``cursor``, in any order, some perhaps twice.

        None: from the beginning, all entries that live, then what is new. ``wait``: seconds it may block for the first
        change; 0: not at all. Raises FeedGap, and what the backend raises when it cannot be asked.
        """
        ...

    def restore(self, entries: Collection[Change]) -> None:
        """Write entries back that the backend lost. Idempotent; nothing ends sooner or takes in less than it did."""
        ...
