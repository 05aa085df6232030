"""The list on a Redis or Valkey server: that it conforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw.revocation import RedisRevocationList
from jwtconnect_mw.testing import RevocationListConformance

from .redis_kit import KINDS, RedisServer, running
from .remote import LIMIT


@pytest.fixture(scope="module", params=KINDS)
def durable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("durable"), keep=True) as server:
        yield server


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, durable: RedisServer) -> Iterator[None]:
        durable.tell("FLUSHALL")
        self.server = durable
        self.made: list[RedisRevocationList] = []
        yield
        for revocations in self.made:
            revocations.close()

    def make(self, clock: Callable[[], float]) -> RedisRevocationList:
        self.made.append(RedisRevocationList(self.server.url, clock=clock, timeout=LIMIT))
        return self.made[-1]

    def reopen(self, clock: Callable[[], float]) -> RedisRevocationList:
        self.server.kill()
        self.server.start()
        return self.make(clock)
