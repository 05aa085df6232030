"""Options of the suite, and the watch over what it logs."""

from __future__ import annotations

import pytest

from jwtconnect_mw import claims
from jwtconnect_mw._seldom import Seldom
from jwtconnect_mw.issuer import hooks

pytest.register_assert_rewrite("jwtconnect_mw.testing.revocation")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long versions: all mutants, all rounds")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture(autouse=True)
def outages_are_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a list or a function failed is said once a minute in each process, which is too seldom for tests."""
    monkeypatch.setattr(hooks, "_seldom", Seldom(hooks._log))
    monkeypatch.setattr(claims, "_seldom", Seldom(claims._log))
