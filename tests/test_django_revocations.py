"""The revocation list on the ORM: on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from . import djproject

djproject.setup()

from jwtconnect_mw.django.revocations import OrmRevocationList  # noqa: E402  # models need the settings
from jwtconnect_mw.testing import RevocationListConformance  # noqa: E402

from .djproject.databases import empty, migrate, with_postgres  # noqa: E402


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with with_postgres() as alias:
        yield alias


class OnTheOrm(RevocationListConformance):
    alias: str

    def make(self, clock: Callable[[], float]) -> OrmRevocationList:
        empty(self.alias)
        return self.reopen(clock)

    def reopen(self, clock: Callable[[], float]) -> OrmRevocationList:
        return OrmRevocationList(self.alias, clock=clock)


class TestSQLite(OnTheOrm):
    alias = "default"

    @pytest.fixture(autouse=True)
    def tables(self) -> None:
        migrate()


class TestPostgreSQL(OnTheOrm):
    alias = "postgres"

    @pytest.fixture(autouse=True)
    def tables(self, server: str) -> None:
        """Started."""
