"""A real MariaDB for the tests, where one is installed (Debian: mariadb-server), with mysqlclient or PyMySQL."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .postgres import PATIENCE
from .postgres import missing as _missing

missing = partial(_missing, part="mariadb")


@contextmanager
def mariadb() -> Iterator[dict[str, Any]]:
    """Settings for DATABASES. The server is reached by a socket in a directory of its own."""
    server, make = (
        shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("mariadbd", "mariadb-install-db")
    )
    if server is None or make is None or all(importlib.util.find_spec(name) is None for name in ("MySQLdb", "pymysql")):
        missing("mariadbd, mariadb-install-db and a driver are not installed")
    place = Path(tempfile.mkdtemp(prefix="maria-"))
    try:
        with _running(place, Path(server), make):
            yield {
                "ENGINE": "django.db.backends.mysql",
                "NAME": "djproject",
                "USER": "root",
                "HOST": str(place / "socket"),
                "OPTIONS": {"charset": "utf8mb4"},
            }
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _running(place: Path, server: Path, make: str) -> Iterator[None]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    who: dict[str, Any] = {"cwd": place, "env": {**kept, "LC_ALL": "C", "HOME": str(place)}}
    if os.geteuid() == 0:
        who |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(place, "nobody", "nogroup")
    where = [f"--datadir={place / 'data'}", f"--basedir={server.parents[1]}"]
    made = subprocess.run([make, "--no-defaults", *where], check=False, capture_output=True, text=True, **who)
    if made.returncode:
        missing(f"mariadb-install-db failed: {made.stdout[-1000:]}{made.stderr[-1000:]}")
    (place / "init.sql").write_text("CREATE DATABASE djproject CHARACTER SET utf8mb4;\n")
    options = ["--skip-networking", "--skip-grant-tables", "--max-connections=400", f"--init-file={place / 'init.sql'}"]
    with (place / "log").open("w") as log:
        running = subprocess.Popen(
            [server, "--no-defaults", *where, f"--socket={place / 'socket'}", *options], stdout=log, stderr=log, **who
        )
    try:
        end = time.monotonic() + PATIENCE
        while "ready for connections" not in (place / "log").read_text():
            if running.poll() is not None or time.monotonic() > end:
                missing(f"MariaDB does not start: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait(PATIENCE)
