"""Records, signals, admin and commands once more, each time in a process whose database is a real server.

On MariaDB the revocation list as well; on PostgreSQL it is tested where SQLite is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .mariadb import mariadb
from .postgres import postgres

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[1]
MODULES = ("records", "signals", "admin", "commands")


def run(database: Mapping[str, Any], *arguments: str) -> None:
    environment = {**os.environ, "DJPROJECT_DATABASE": json.dumps(database)}
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout[-5000:], done.stderr[-2000:])
    assert done.returncode == 0


def test_on_postgres() -> None:
    with postgres() as database:
        run(database, *(f"tests/test_django_{name}.py" for name in MODULES))


def test_on_mariadb(request: pytest.FixtureRequest) -> None:
    with mariadb() as database:
        run(database, *(f"tests/test_django_{name}.py" for name in MODULES))
        long = ["--long"] if request.config.getoption("--long") else []
        run(database, "tests/test_django_revocations.py", "-k", "default or DefaultDatabase", *long)
