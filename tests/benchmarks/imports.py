"""Section `import`: time of `import jwtconnect_mw` in fresh processes, and what it must not pull in."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .measure import Ratio, Series, progress
from .report import Verdict, at_most, cell, goals, information, table

MODULES = ("cryptojwt", "jwtconnect_mw", "cryptojwt.key_jar", "jwtconnect_mw.wsgi", "jwtconnect_mw.asgi")
OPTIONAL = ("werkzeug", "django", "redis", "oidcmsg", "asgiref", "starlette", "flask", "sqlite3", "asyncio")
ALLOWED = ("sqlite3", "asyncio")  # named where loaded, not forbidden
PACKAGE = Path(__file__).parents[2] / "jwtconnect_mw"
# From a random depth of calls: where a loop of regular expressions happens to stand at the edge of a chunk of CPython's
# frame stack, each turn takes and frees that chunk, which costs up to 15 % by mere chance.
TIME = """
from time import process_time
def load(depth):
    if depth:
        return load(depth - 1)
    start = process_time()
    import {0}
    print(process_time() - start)
load({1})
"""
LOADED = "import sys, {0}; print(*sorted(name for name in {1} if name in sys.modules))"


def python(code: str, folder: Path) -> str:
    """With the copy of the package in `folder`, and byte code of its own: edits meanwhile are not measured."""
    settings = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "byte-code")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=settings).stdout


def measure(rounds: int, folder: Path) -> dict[str, Series]:
    series = {module: Series() for module in MODULES}
    for number in range(-1, rounds):  # the first one writes the byte code
        progress(f"import {number + 1}/{rounds}")
        depth = random.randrange(150)
        for module in random.sample(MODULES, len(MODULES)):
            seconds = float(python(TIME.format(module, depth), folder))
            if number >= 0:
                series[module].by_round[number] = seconds * 1000
    progress("")
    return series


def run(*, quick: bool) -> list[Verdict]:
    rounds = 7 if quick else 25
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        series = measure(rounds, folder)
        loaded = python(LOADED.format("jwtconnect_mw, jwtconnect_mw.wsgi, jwtconnect_mw.asgi", OPTIONAL), folder)
    print(f"\n== import: fresh processes, median of {rounds}, processor time, interpreter start not counted ==\n")
    table(["milliseconds", "import"], [[module, cell(series[module])] for module in MODULES])
    wrong = [name for name in loaded.split() if name not in ALLOWED]
    ratio = Ratio.of(series["jwtconnect_mw"], series["cryptojwt"])
    found = [
        at_most("import jwtconnect_mw / import cryptojwt", ratio, 1.15),
        information(
            "   the same against cryptojwt.key_jar",
            f"{Ratio.of(series['jwtconnect_mw'], series['cryptojwt.key_jar']).value:.2f} x",
        ),
        Verdict("optional parts imported by jwtconnect_mw, .wsgi, .asgi", " ".join(wrong) or "none", "none", not wrong),
    ]
    goals(found)
    return found
