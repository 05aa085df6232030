"""The list in an SQLite file: that it conforms, and what it does with files, processes and faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jwtconnect_mw.revocation import SQLiteRevocationList
from jwtconnect_mw.testing import RevocationListConformance


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path / "revoked.db"
        self.made: list[SQLiteRevocationList] = []
        yield
        for revocations in self.made:
            revocations.close()

    def make(self, clock: Callable[[], float]) -> SQLiteRevocationList:
        self.made.append(SQLiteRevocationList(self.path, clock=clock))
        return self.made[-1]

    reopen = make
