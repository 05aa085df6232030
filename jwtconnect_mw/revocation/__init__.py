"""What is no longer good: the RevocationList protocol and its backends."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .feed import Change as Change
from .feed import ChangeFeed as ChangeFeed
from .feed import Changes as Changes
from .feed import FeedGap as FeedGap
from .protocol import Family as Family
from .protocol import Replica as Replica
from .protocol import RevocationList as RevocationList
from .protocol import RevocationLookup as RevocationLookup
from .protocol import Step as Step
from .protocol import SubjectRevokedError as SubjectRevokedError

if TYPE_CHECKING:
    from .memory import MemoryRevocationList as MemoryRevocationList
    from .redis import RedisRevocationList as RedisRevocationList
    from .replica import ReplicatedRevocationList as ReplicatedRevocationList
    from .replica import StaleCopyError as StaleCopyError
    from .sqlite import SQLiteRevocationList as SQLiteRevocationList

_HOMES = {
    "MemoryRevocationList": ".memory",
    "RedisRevocationList": ".redis",
    "ReplicatedRevocationList": ".replica",
    "SQLiteRevocationList": ".sqlite",
    "StaleCopyError": ".replica",
}


def __getattr__(name: str) -> Any:
    """Only who asks for a list pays for it: for redis-py, an extra, for sqlite3, which some builds of Python lack, and
    for the time that an import takes.
    """
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
