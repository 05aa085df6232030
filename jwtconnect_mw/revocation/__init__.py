"""What is no longer good: the RevocationList protocol and its backends."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .feed import Change as Change
from .feed import ChangeFeed as ChangeFeed
from .feed import Changes as Changes
from .feed import FeedGap as FeedGap
from .memory import MemoryRevocationList as MemoryRevocationList
from .protocol import Family as Family
from .protocol import Replica as Replica
from .protocol import RevocationList as RevocationList
from .protocol import RevocationLookup as RevocationLookup
from .protocol import Step as Step
from .protocol import SubjectRevokedError as SubjectRevokedError
from .replica import ReplicatedRevocationList as ReplicatedRevocationList
from .replica import StaleCopyError as StaleCopyError

if TYPE_CHECKING:
    from .redis import RedisRevocationList as RedisRevocationList
    from .sqlite import SQLiteRevocationList as SQLiteRevocationList

_HOMES = {"RedisRevocationList": ".redis", "SQLiteRevocationList": ".sqlite"}


def __getattr__(name: str) -> Any:
    """Only who asks for it pays for redis-py, an extra, and for sqlite3, which some builds of Python lack."""
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(_HOMES[name], __name__), name)
