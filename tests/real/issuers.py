"""Issuers and clients that other people wrote (npm packages), each as a process of its own; issuers on loopback."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
NODE_AT_LEAST = (20, 19)
READY_WITHIN, INSTALLED_WITHIN = 30.0, 90.0  # seconds
UNREACHABLE = re.compile(
    r"npm error code (ENOTFOUND|EAI_AGAIN|ECONN\w+|E\w*TIMEDOUT|E\w+UNREACH|ERR_SOCKET_TIMEOUT|E5\d\d)\b"
)


@dataclass(frozen=True)
class RunningIssuer:
    issuer: str
    token_endpoint: str
    client_id: str | None = None
    client_secret: str | None = None

    def token(self, **parameters: str) -> str:
        """An access token by client_credentials; ``resource`` asks for an audience."""
        client = {"client_id": self.client_id, "client_secret": self.client_secret} if self.client_id else {}
        form = {"grant_type": "client_credentials", **client, **parameters}
        # Plain http on loopback: neither a proxy nor a CA bundle is of use.
        answer = httpx.post(self.token_endpoint, data=form, trust_env=False, verify=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


Start = Callable[..., RunningIssuer]


def require(name: str, available: bool, reason: str) -> None:
    """Skip, or fail when the environment variable REQUIRE (a comma-separated list) names the part that is missing."""
    if available:
        return
    if name in os.environ.get("REQUIRE", "").replace(" ", "").split(","):
        pytest.fail(f"REQUIRE names {name}, but {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def started() -> Iterator[Start]:
    """Give ``start(script, *arguments)``: each issuer is started once, all are stopped at the end."""
    install()
    with ExitStack() as stack:
        yield cache(lambda *command: stack.enter_context(_running(*command)))


def install() -> None:
    """``npm ci`` once per state of the lock file, by one process at a time (the lock is gone with its process)."""
    for program in ("node", "npm"):
        require("node", shutil.which(program) is not None, f"{program} is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    new_enough = tuple(map(int, version.lstrip("v").split(".")[:2])) >= NODE_AT_LEAST
    require("node", new_enough, f"node is {version}, {'.'.join(map(str, NODE_AT_LEAST))} is needed")
    stamp = HERE / "node_modules" / ".installed"
    with (HERE / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read()).hexdigest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            _npm_ci()
            stamp.write_text(wanted)


def _npm_ci() -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, check=False, cwd=HERE, capture_output=True, text=True, timeout=INSTALLED_WITHIN)
    except subprocess.TimeoutExpired:
        require("node", False, f"npm ci took more than {INSTALLED_WITHIN:.0f} s")
    else:
        unreachable = UNREACHABLE.search(done.stderr)
        require("node", unreachable is None, f"the npm registry cannot be reached ({unreachable and unreachable[1]})")
        assert done.returncode == 0, done.stderr[-2000:]


def driven(script: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """What a script of this directory tells of the ``task`` that it did: the JSON line that it ends with."""
    command = ["node", script, json.dumps(task)]
    done = subprocess.run(command, check=False, cwd=HERE, capture_output=True, text=True, timeout=READY_WITHIN)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextmanager
def _running(*command: str) -> Iterator[RunningIssuer]:
    """A script of this directory from its ready line on. It also ends by itself when our end of its stdin closes."""
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(["node", *command], cwd=HERE, stdin=pipe, stdout=pipe, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        too_late = threading.Timer(READY_WITHIN, process.kill)
        too_late.start()
        try:
            ready = next((line for line in process.stdout if line.startswith("{")), None)
            too_late.cancel()
            if ready is None:
                log.seek(0)
                pytest.fail(f"{' '.join(command)} did not start: {log.read()[-2000:]}", pytrace=False)
            yield RunningIssuer(**json.loads(ready))
        finally:
            too_late.cancel()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
