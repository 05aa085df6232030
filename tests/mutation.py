"""Take each rule out of the package and see that a test falls: `python -m tests.mutation [module ...]`.

A rule is a `raise` or a condition. Each is removed, or its boundary moved, in a copy of the tree, where
the tests below run until the first failure. What survives is printed; the exit status is 1 if anything does.
Survivors that change nothing that can be seen are listed in EQUIVALENT, each with the reason.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ["_http", "_strict", "_jwk", "_jose", "claims", "verifier", "policy", "rules", "auth", "token"]
MODULES += [f"revocation/{name}" for name in ("entries", "rotation", "memory", "sqlite", "rows", "schema")]
MODULES += [f"revocation/{name}" for name in ("redis", "redis_epochs", "redis_server", "redis_texts")]
TESTS = [
    *("cases", "settings", "token", "verifier", "cache", "adapters", "revocation", "wsgi", "asgi", "package"),
    *(
        "revocation_sqlite",
        "revocation_feed",
        "revocation_redis",
        "revocation_redis_feed",
        "revocation_redis_faults",
        "wycheproof",
        "unknown_keys",
        "key_age",
        "urls",
        "flights",
        "fuzz",
    ),
]
EQUIVALENT: dict[tuple[str, str], str] = {}


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """The line, what was done, and the text of each mutant."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            yield replaced(source, node, "pass", "raise removed")
        elif isinstance(node, (ast.If, ast.IfExp)):
            yield replaced(source, node.test, "False", "condition never")
            yield replaced(source, node.test, "True", "condition always")
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield replaced(source, value, str(isinstance(node.op, ast.And)), "one condition of several removed")
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            swapped = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}.get(type(node.ops[0]))
            if swapped is not None:
                other = ast.Compare(node.left, [swapped()], node.comparators)
                yield replaced(source, node, ast.unparse(other), "boundary moved")


def replaced(source: str, node: ast.expr | ast.stmt, text: str, what: str) -> tuple[int, str, str]:
    lines = source.splitlines(keepends=True)
    start = sum(len(line.encode()) for line in lines[: node.lineno - 1]) + node.col_offset
    end = sum(len(line.encode()) for line in lines[: (node.end_lineno or 0) - 1]) + (node.end_col_offset or 0)
    octets = source.encode()
    shown = " ".join(octets[start:end].decode().split())
    return (
        node.lineno,
        f"{what}: {shown}",
        (octets[:start] + f"({text})".encode() * (text != "pass") + b"pass" * (text == "pass") + octets[end:]).decode(),
    )


def survives(module: str, text: str) -> bool:
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        for name in "jwtconnect_mw", "tests":
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        (tree / "jwtconnect_mw" / f"{module}.py").write_text(text)
        tests = [f"tests/test_{name}.py" for name in TESTS if (tree / f"tests/test_{name}.py").exists()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
        environment = {**os.environ, "PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=240, check=False)
        except subprocess.TimeoutExpired:
            return False
        return run.returncode == 0


def judged(module: str) -> list[tuple[int, str]]:
    source = (ROOT / "jwtconnect_mw" / f"{module}.py").read_text()
    found = list(mutants(source))
    with ThreadPoolExecutor(2) as pool:
        alive = list(pool.map(lambda mutant: survives(module, mutant[2]), found))
    print(f"{module}: {len(found)} mutants, {sum(alive)} survive", flush=True)
    return sorted((line, what) for (line, what, _), lives in zip(found, alive, strict=True) if lives)


def main() -> int:
    unexplained = 0
    for module in sys.argv[1:] or MODULES:
        for line, what in judged(module):
            reason = EQUIVALENT.get((module, what))
            unexplained += reason is None
            print(f"  {module}.py:{line}: {what}" + (f"  -- {reason}" if reason else ""), flush=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
