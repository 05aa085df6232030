"""Records, signals, admin and commands once more, in a process whose database is a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .postgres import postgres

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("records", "signals", "admin", "commands")


@pytest.mark.live
@pytest.mark.timeout(300)
def test_on_postgres() -> None:
    with postgres() as database:
        environment = {**os.environ, "DJPROJECT_DATABASE": json.dumps(database)}
        command = [sys.executable, "-m", "pytest", "-q", *(f"tests/test_django_{name}.py" for name in MODULES)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout[-5000:], done.stderr[-2000:])
    assert done.returncode == 0
