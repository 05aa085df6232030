"""What is no longer good: the RevocationList protocol and its backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .memory import MemoryRevocationList as MemoryRevocationList
from .protocol import Family as Family
from .protocol import RevocationList as RevocationList
from .protocol import RevocationLookup as RevocationLookup
from .protocol import Step as Step
from .protocol import SubjectRevokedError as SubjectRevokedError

if TYPE_CHECKING:
    from .sqlite import SQLiteRevocationList as SQLiteRevocationList


def __getattr__(name: str) -> Any:
    """Only who asks for it pays for sqlite3, which some builds of Python lack."""
    if name != "SQLiteRevocationList":
        raise AttributeError(name)
    from .sqlite import SQLiteRevocationList

    return SQLiteRevocationList
