"""The order of the writes: the one row that each of them locks and counts up, and a mark for each of the last ones."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import TypeVar

from django.db import connections
from django.db.models import F, QuerySet

from ...revocation.cursors import MARKS_KEPT, new_mark
from ..models import RevocationMark, RevocationState
from ..transactions import in_one_transaction

R = TypeVar("R")

_STATE = 1  # the key of the one row
_MARKS_DROPPED_AT_ONCE = 100


class Journal:
    """``using``: a database of the settings. ``clock``: seconds since the epoch."""

    def __init__(self, using: str, clock: Callable[[], float]) -> None:
        self._using, self._clock = using, clock

    @property
    def _marks(self) -> QuerySet[RevocationMark]:
        return RevocationMark._base_manager.using(self._using)

    @property
    def _states(self) -> QuerySet[RevocationState]:
        return RevocationState._base_manager.using(self._using).filter(pk=_STATE)

    def in_one_transaction(self, work: Callable[[], R]) -> R:
        """What ``work`` returns, committed: see ``transactions``."""
        table = connections[self._using].ops.quote_name(RevocationState._meta.db_table)
        return in_one_transaction(self._using, f"UPDATE {table} SET serial = serial", work)  # noqa: S608  # our table

    def state(self) -> RevocationState:
        """Its birth is the second in which the data began; what was lost before that, nobody knows."""
        return self._states.first() or self.in_one_transaction(self._make)

    def birth(self) -> int:
        """That of the state, inside a transaction."""
        state: RevocationState = self._states.first() or self._make()
        return int(state.birth)

    def counted(self) -> RevocationState:
        """The state, locked until the transaction ends, with a new serial number."""
        if not self._states.update(serial=F("serial") + 1):
            self._make()
            self._states.update(serial=F("serial") + 1)
        state = self._existing()
        self._marks.create(serial=state.serial, mark=new_mark())
        if state.serial % _MARKS_DROPPED_AT_ONCE == 0:
            self._marks.filter(serial__lte=state.serial - MARKS_KEPT).delete()
        return state

    def mark(self, serial: int) -> int:
        row = self._marks.filter(serial=serial).first()
        return 0 if row is None else int(row.mark)

    def has_mark(self, mark: int) -> bool:
        return bool(self._marks.filter(mark=mark).exists())

    def _make(self) -> RevocationState:
        """Exactly one of many that try does it: the tables were emptied, which makes the list a new one."""
        new = RevocationState(pk=_STATE, epoch=secrets.token_hex(16), birth=math.floor(self._clock()))
        self._states.bulk_create([new], ignore_conflicts=True)
        state = self._existing()
        if state.epoch == new.epoch:
            self._marks.all().delete()
        return state

    def _existing(self) -> RevocationState:
        state: RevocationState = self._states.get()
        return state
