"""The revocation list that a setting names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from .. import revocation
from ..errors import ConfigurationError
from .options import imported
from .problems import SettingProblem, naming

_WHERE = "JWTCONNECT_MW['revocations']"
_REDIS = ("redis://", "rediss://", "unix://")
_FILE = re.compile(r".*[/\\].*|.*\.(?:db|sqlite3?)", re.DOTALL)


def revocation_list(value: object, clock: Callable[[], float]) -> Any:
    """``value``: None, "orm", "memory", the URL of a Redis server, the path of an SQLite file, a list, or the dotted
    path of a list or of what makes one. Raises SettingProblem.
    """
    if value is None:
        return None
    with naming("E006", _WHERE):
        if value == "orm":
            from .revocations import OrmRevocationList

            return OrmRevocationList(clock=clock)
        if value == "memory":
            return revocation.MemoryRevocationList(clock=clock)
        if isinstance(value, str) and value.startswith(_REDIS):
            return _redis(value, clock)
        if isinstance(value, os.PathLike) or (isinstance(value, str) and _FILE.fullmatch(value)):
            return revocation.SQLiteRevocationList(value, clock=clock)
        return _checked(imported(value, _WHERE) if isinstance(value, str) else value)


def _redis(url: str, clock: Callable[[], float]) -> Any:
    try:
        kind = revocation.RedisRevocationList
    except ModuleNotFoundError:
        raise SettingProblem("E006", f"{_WHERE}: a Redis server needs pip install 'jwtconnect-mw[redis]'.") from None
    return kind(url, clock=clock)


def _checked(found: Any) -> Any:
    if not hasattr(found, "is_revoked") or isinstance(found, type):
        try:
            found = found()
        except ConfigurationError:
            raise
        except Exception as error:
            raise SettingProblem("E006", f"{_WHERE}: not a revocation list, and no function that makes one"
                                         f" ({type(error).__name__}).") from None  # fmt: skip
    if not hasattr(found, "is_revoked"):
        raise SettingProblem("E006", f"{_WHERE}: what was made is no revocation list.")
    return found
