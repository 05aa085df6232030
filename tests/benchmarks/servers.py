"""Section `servers`: requests per second behind real servers, warm, protected against bare, as `wrk` counts them."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .measure import Ratio, Series, progress
from .report import Verdict, at_least, goals, information, show_ratio, table
from .tokens import Signer, many, signer

ROOT = Path(__file__).parents[2]
GUNICORN = ("gunicorn", "--workers", "1", "--bind", "127.0.0.1:{port}", "--log-level", "error")
GRANIAN = (
    "granian",
    "--workers",
    "1",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
    "--log-level",
    "error",
    "--interface",
)
UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "error", "--no-access-log")
SERVERS = {
    "uvicorn": (*UVICORN, "tests.benchmarks.apps:{kind}_asgi"),
    "granian ASGI": (*GRANIAN, "asgi", "tests.benchmarks.apps:{kind}_asgi"),
    "granian WSGI": (*GRANIAN, "wsgi", "tests.benchmarks.apps:{kind}_wsgi"),
    "gunicorn sync": (*GUNICORN, "tests.benchmarks.apps:{kind}_wsgi"),
}
JUDGED = ("uvicorn", "granian ASGI", "granian WSGI")
# each connection of wrk goes through 100 tokens, to both applications alike
SCRIPT = """
local requests, index = {}, 0
function init(args)
  for line in io.lines("%s") do
    local headers = {["Authorization"] = "Bearer " .. line, ["Accept"] = "*/*"}
    requests[#requests + 1] = wrk.format("GET", "/orders/17", headers)
  end
end
function request()
  index = index %% #requests + 1
  return requests[index]
end
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(server: str, kind: str, jwks: Path) -> Iterator[int]:
    port = free_port()
    command = [part.format(port=port, kind=kind) for part in SERVERS[server]]
    settings = {**os.environ, "BENCH_JWKS": str(jwks), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def status(port: int) -> int:
    """Of a request without a token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/orders/17")
        return connection.getresponse().status
    finally:
        connection.close()


def requests_per_second(port: int, script: Path, seconds: float) -> float:
    command = ["wrk", "-t1", "-c8", f"-d{seconds:g}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    if "Non-2xx" in text:
        raise RuntimeError(text)
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])


def pairs(server: str, folder: Path, numbers: range, seconds: float, series: dict[str, Series]) -> None:
    script = folder / "wrk.lua"
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(served(server, kind, folder / "jwks.json")) for kind in series}
        if (status(ports["bare"]), status(ports["protected"])) != (200, 401):
            raise RuntimeError(f"{server}: the applications do not answer as they should")
        for port in ports.values():
            requests_per_second(port, script, 1)  # warms up, and must see no refusal
        for number in numbers:
            progress(f"servers: {server} pair {number + 1}")
            for kind in random.sample(sorted(series), 2):
                series[kind].by_round[number] = requests_per_second(ports[kind], script, seconds)


def measure(server: str, folder: Path, count: int, seconds: float) -> dict[str, Series]:
    """Both servers are started anew for every five pairs: a process has good and bad luck of its own."""
    series = {"bare": Series(), "protected": Series()}
    for first in range(0, count, 5):
        pairs(server, folder, range(first, first + 5), seconds, series)
    progress("")
    return series


def prepare(folder: Path, source: Signer) -> None:
    tokens = many(source, 100)
    (folder / "jwks.json").write_text(json.dumps(source.jwks))
    (folder / "tokens.txt").write_text("\n".join(tokens) + "\n")
    (folder / "wrk.lua").write_text(SCRIPT % (folder / "tokens.txt"))


def run(*, quick: bool) -> list[Verdict]:
    count, seconds = (5, 1.0) if quick else (15, 2.0)
    print(f"\n== servers: requests per second, warm, one worker, {count} interleaved pairs of {seconds:g} s ==\n")
    if shutil.which("wrk") is None:
        print("wrk is not on PATH (apt-get install wrk): not measured\n")
        return []
    speedups = [name for name in ("uvloop", "httptools") if importlib.util.find_spec(name)]
    print(f"uvicorn with: {', '.join(speedups) or 'asyncio and h11 (neither uvloop nor httptools is installed)'}\n")
    found, rows = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, signer("RS256"))
        for server in SERVERS:
            if importlib.util.find_spec(SERVERS[server][0]) is None:
                found.append(information(f"{server}: protected / bare", "not installed"))
                continue
            series = measure(server, folder, count, seconds)
            ratio = Ratio.paired(series["protected"], series["bare"])
            rows.append([server, *(f"{one.median:,.0f}" for one in series.values()), show_ratio(ratio)])
            what = f"{server}: protected / bare"
            found.append(at_least(what, ratio, 0.9) if server in JUDGED else information(what, show_ratio(ratio)))
    table(["requests per second", "bare", "protected", "ratio"], rows)
    goals(found)
    return found
