"""Options of the suite, and the watch over what it logs."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("jwtconnect_mw.testing.revocation")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long versions: all mutants, all rounds")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))
