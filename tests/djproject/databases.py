"""Databases of the tests: the default one, and a PostgreSQL that is added while the tests run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections

from ..postgres import postgres

_migrated: set[str] = set()


def migrate(alias: str = "default") -> None:
    """Once in a process."""
    if alias not in _migrated:
        call_command("migrate", database=alias, verbosity=0)
        _migrated.add(alias)


@contextmanager
def with_postgres(alias: str = "postgres") -> Iterator[str]:
    """The alias of a PostgreSQL that has the tables; the server ends with the context."""
    with postgres() as settings, _added(alias, settings):
        yield alias


@contextmanager
def with_sqlite(path: Path, alias: str) -> Iterator[str]:
    """The alias of an SQLite file beside the default database."""
    with _added(alias, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 60}}):
        yield alias


@contextmanager
def _added(alias: str, settings: dict[str, Any]) -> Iterator[None]:
    added = connections.configure_settings({"default": connections.settings["default"], alias: settings})
    connections.settings[alias] = added[alias]
    try:
        migrate(alias)
        yield
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]
        _migrated.discard(alias)


def empty(alias: str) -> None:
    """No list was ever there."""
    from jwtconnect_mw.django.models import RefreshFamily, RevocationEntry, RevocationMark, RevocationState

    for model in (RevocationEntry, RefreshFamily, RevocationMark, RevocationState):
        model.objects.using(alias).all().delete()
