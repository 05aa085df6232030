"""The records of sessions that were refreshed."""

from __future__ import annotations

from django.db import connections
from django.db.models import QuerySet

from ...revocation.protocol import Family
from ...revocation.rotation import Record
from ..models import RefreshFamily
from . import rows
from .rows import SESSION, kept, key_of, what_of


class Families:
    """``using``: a database of the settings."""

    def __init__(self, using: str) -> None:
        self._using = using

    @property
    def _rows(self) -> QuerySet[RefreshFamily]:
        return RefreshFamily._base_manager.using(self._using)

    def record(self, family: Family) -> Record | None:
        return _record(self._rows.filter(key=_key(family)).first())

    def locked(self, family: Family, now: float) -> tuple[Record | None, bool]:
        """The record, whose row is locked until the transaction ends, and whether the row was made for that.

        What is not there cannot be locked; a row that several insert at once makes all but one wait.
        """
        key = _key(family)
        same = self._rows.select_for_update().filter(key=key)
        row = same.first()
        if row is None:
            with_target = connections[self._using].features.supports_update_conflicts_with_target
            self._rows.bulk_create(
                [RefreshFamily(key=key, what=what_of(family.issuer, family.session), ends=now)],
                update_conflicts=True,
                update_fields=["what"],
                unique_fields=["key"] if with_target else None,
            )
            row = same.get()
        return _record(row), row.sequence == 0

    def write(self, family: Family, record: Record) -> None:
        columns = {**record._asdict(), "ends": kept(record.ends)}
        self._rows.filter(key=_key(family)).update(**columns)

    def drop(self, family: Family) -> None:
        self._rows.filter(key=_key(family)).delete()

    def purge(self, now: float, limit: int) -> int:
        return rows.purge(self._rows, now, limit)


def _key(family: Family) -> str:
    return key_of(SESSION, family.issuer, family.session)


def _record(row: RefreshFamily | None) -> Record | None:
    if row is None or row.sequence == 0:
        return None
    return Record(row.sequence, row.issued_at, row.expires_at, row.advanced_at, row.ends)
