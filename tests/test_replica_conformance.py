"""A replica of a list in a file is a list as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jwtconnect_mw.revocation import ReplicatedRevocationList, SQLiteRevocationList
from jwtconnect_mw.testing import RevocationListConformance

from .remote import LIMIT


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path / "revoked.db"
        self.made: list[ReplicatedRevocationList] = []
        yield
        for replica in self.made:
            replica.close()
            replica.authority.close()  # type: ignore[attr-defined]  # it is one in a file

    def make(self, clock: Callable[[], float]) -> ReplicatedRevocationList:
        backend = SQLiteRevocationList(self.path, clock=clock)
        replica = ReplicatedRevocationList(backend, clock=clock, max_staleness=LIMIT)
        self.made.append(replica)
        assert replica.sync(LIMIT)
        return replica

    reopen = make
    forks = False

    def beside(self, _clock: Callable[[], float]) -> ReplicatedRevocationList:
        """The same: what another one writes is in a copy a little later, which is shown elsewhere."""
        return self.made[-1]
