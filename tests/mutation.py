"""Take each rule out of the package and see that a test falls: `python -m tests.mutation [module ...]`.

A rule is a `raise`, a condition, or a call for its effect. Each is removed, or its boundary moved, and the tests that
pass by it are run until the first failure. What survives is printed; the exit status is 1 if anything does.
So is what fell by the clock alone: it may hang, or the machine was too busy to tell. Survivors that change nothing that
can be seen are listed in tests/equivalent.py, each with the reason.

The tests are collected once and run once under a trace, which tells the lines that each of them passes by. Then each
mutant is a fork of this process, in which the code of its function is replaced; the tests that pass by the rarest line
of its statement are run first. What is executed at import needs a process of its own. Needs a POSIX system.
"""

from __future__ import annotations

import ast
import faulthandler
import gc
import importlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from .equivalent import EQUIVALENT

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jwtconnect_mw"
WORKERS = 2
# For one test, and the least for all that are run against one mutant: one that hangs has fallen.
SECONDS, MOST_SECONDS = 40, 120
FELL, LATE = 3, 4
# Which tests may tell, for each module; those that likely do come first.
TESTS = {
    "_http": "cases verifier urls wsgi asgi adapters",
    "_strict": "cases token verifier",
    "_jwk": "unusable_keys cases verifier settings wycheproof sources",
    "_jose": "jose cases verifier unusable_keys settings key_age sources wycheproof token published fork",
    "claims": "cases cache verifier",
    "header": "cases verifier wycheproof",
    "settings": "settings adapters cache revocation wsgi",
    "verifier": "cases verifier cache unknown_keys key_age published sources flights unusable_keys",
    "policy": "settings cases sources discovery published",
    "rules": "cases settings adapters urls wsgi asgi",
    "auth": "cases cache settings adapters revocation gate verifier flights cors wsgi asgi package health observer",
    "token": "token cases adapters verifier cache",
    "cache": "cache verifier cases fork",
    "gate": "gate revocation cases fork",
    "_waiting": "waiting gate issuer_asgi fork flights cases",
    "fetch": "fetch urls proxies settings discovery sources",
    "asgi": "asgi adapters cases cors gate flights urls",
    "wsgi": "wsgi adapters cases cors flights urls",
    **{f"revocation/{name}": "revocation revocation_sqlite" for name in ("entries", "rotation", "memory", "schema")},
    **{f"revocation/{name}": "revocation_sqlite revocation_feed" for name in ("sqlite", "rows")},
    **{
        f"revocation/{name}": "revocation_redis revocation_redis_feed revocation_redis_faults"
        for name in ("redis", "redis_epochs", "redis_server", "redis_texts")
    },
    "keys/sources": "sources outages unusable_keys key_age settings published discovery fetch fork",
    "keys/state": "key_age unknown_keys flights verifier published outages sources unusable_keys fork observer",
    "keys/discovery": "discovery key_age sources",
    "keys/store": "unknown_keys key_age flights sources unusable_keys fork published verifier jose",
    "issuer/refresh": "refresh_tokens issuer_service issuer_sessions issuer_introspection",
    "issuer/service": "issuer_service issuer_introspection issuer_demands issuer_shared issuer_rotation",
    "issuer/clients": "issuer_clients issuer_service issuer_introspection issuer_app",
    "issuer/inspection": "issuer_introspection issuer_service issuer_rotation issuer_app",
    "issuer/forms": "issuer_messages issuer_app",
    "issuer/bodies": "issuer_app issuer_asgi",
    "issuer/endpoints": "issuer_app issuer_asgi issuer_introspection issuer_sessions",
    **{
        f"issuer/{name}": "issuer_keyfile issuer_keys issuer_rotation issuer_service"
        for name in ("keyring", "keystore", "keyfile", "keydoc")
    },
    "issuer/keys": "issuer_keys issuer_rotation issuer_keyfile issuer_service issuer_shared",
    **{
        f"revocation/{name}": "replica_follow replica_local replica replica_conformance"
        for name in ("replica", "local", "follow", "untold")
    },
    "health": "health",
    "observer": "observer",
}
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
Line = tuple[str, int]


@dataclass
class Mutant:
    """``name`` says what was done and in which function, without a line number: it is what EQUIVALENT holds."""

    module: str
    line: int
    name: str
    text: str
    head: range  # the lines of the statement, without the statements inside
    whole: range


def mutants(module: str) -> Iterator[Mutant]:
    octets = (PACKAGE / f"{module}.py").read_bytes()
    starts = [0]
    for line in octets.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    seen: Counter[str] = Counter()
    for where, statement, node, text, what in _mutations(ast.parse(octets), "", None):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = octets[start:end].decode()
        name = f"{where}: {what}: " + " ".join(old.split())
        seen[name] += 1
        if seen[name] > 1:
            name += f" ({seen[name]})"
        lines = "\n" * old.count("\n")  # so that every function stays on its line
        new = text + lines if isinstance(node, ast.stmt) else f"({text}{lines})"
        body = getattr(statement, "body", None)
        last = max(body[0].lineno - 1, statement.lineno) if body else statement.end_lineno
        yield Mutant(
            module,
            node.lineno,
            name,
            (octets[:start] + new.encode() + octets[end:]).decode(),
            range(statement.lineno, last + 1),
            range(statement.lineno, statement.end_lineno + 1),
        )


def _mutations(parent: ast.AST, where: str, statement: Any) -> Iterator[tuple[str, Any, Any, str, str]]:
    for node in ast.iter_child_nodes(parent):
        inside = where
        # A trace ends where there is no stack left for it: whoever tries may come by the handler.
        handled = isinstance(parent, ast.ExceptHandler)
        at = node if isinstance(node, ast.stmt) and not handled else statement
        for changed, text, what in _changes(node):
            yield where, at, changed, text, what
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{where}.{node.name}".lstrip(".")
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from _mutations(node, inside, at)


def _changes(node: ast.AST) -> Iterator[tuple[Any, str, str]]:
    never, always = ("False", "condition never"), ("True", "condition always")
    if isinstance(node, ast.Raise):
        yield node, "pass", "raise removed"
    elif isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await)):
        yield node, "pass", "call removed"
    elif isinstance(node, (ast.If, ast.IfExp)) and ast.unparse(node.test) != "TYPE_CHECKING":
        yield node.test, *never
        yield node.test, *always
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield test, *always
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Compare):
        yield node.value, *never
        yield node.value, *always
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield value, str(isinstance(node.op, ast.And)), "one condition of several removed"
    elif isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            other = OPPOSITE.get(type(operator))
            if other is not None:
                operators = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                what = "boundary moved" if len(operators) == 1 else f"boundary {place + 1} moved"
                yield node, ast.unparse(ast.Compare(node.left, operators, node.comparators)), what


class Trace:
    """Which lines of the package are passed, by name of what runs at the time; also by processes that are forked off,
    which write them to ``notes``.
    """

    def __init__(self) -> None:
        self.passed: defaultdict[str, set[Line]] = defaultdict(set)
        self.current = "import"
        self.process, self.notes = os.getpid(), -1
        self._files = {str(PACKAGE / f"{module}.py"): module for module in TESTS}

    def start(self) -> None:
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]  # typeshed lacks it

    def _enter(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        return self._step if frame.f_code.co_filename in self._files else None

    def _step(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        line, passed = (self._files[frame.f_code.co_filename], frame.f_lineno), self.passed[self.current]
        if line not in passed:
            passed.add(line)
            if os.getpid() != self.process:
                os.write(self.notes, f"{self.current}\0{line[0]}\0{line[1]}\n".encode())
        return self._step

    def note(self, path: Path) -> None:
        """What the children of this process pass by is to be written there."""
        self.process = os.getpid()
        self.notes = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def read(self, path: Path) -> None:
        """Take in what was written."""
        for line in path.read_text().split("\n")[:-1]:
            name, module, number = line.split("\0")
            self.passed[name].add((module, int(number)))


class Judge:
    """The pytest plugin that takes the place of its loop over the tests."""

    def __init__(self, modules: list[str], trace: Trace) -> None:
        self.modules, self.trace = modules, trace
        self.unexplained = 0
        self.judging = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        """The first failure is enough; what the mutant left undone could make the end of the test wait for ever."""
        if self.judging and report.failed:
            (self.place / f"felled-{os.getpid()}").write_text(report.nodeid)
            os._exit(LATE if "Timeout >" in report.longreprtext else FELL)

    def pytest_runtestloop(self, session: Any) -> bool:
        self.trace.stop()
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self.session = session
        self.items: dict[str, Any] = {item.nodeid: item for item in session.items}
        self.functions = [
            one
            for one in gc.get_objects()
            if type(one) is FunctionType and one.__code__.co_filename.startswith(str(PACKAGE))
        ]
        gc.freeze()  # or the collector of each fork would copy what all share
        with tempfile.TemporaryDirectory() as place:
            self.place = Path(place)
            self._survey()
            for module in self.modules:
                self._report(module)
        return True

    def _survey(self) -> None:
        """Run all tests once, in a fork, and learn what they pass by and how long they take."""
        notes = self.place / "survey"

        def survey() -> bool:
            self.trace.note(self.place / "children")
            took: dict[str, float] = {}
            failed: list[str] = []
            for name, item in self.items.items():
                self.trace.current = name
                begun = time.monotonic()
                self.trace.start()
                before = self.session.testsfailed
                self._run([item])
                self.trace.stop()
                failed += [name] * (self.session.testsfailed - before)
                took[name] = time.monotonic() - begun
            self.trace.read(self.place / "children")
            notes.write_bytes(pickle.dumps((dict(self.trace.passed), took, failed)))
            return True

        if os.waitpid(forked(survey), 0)[1]:
            pytest.exit("the tests do not run", returncode=2)
        passed, self.took, failed = pickle.loads(notes.read_bytes())
        if failed:
            pytest.exit(f"without a mutation these fail: {failed}", returncode=2)
        self.by_line: defaultdict[Line, set[str]] = defaultdict(set)
        for name, lines in passed.items():
            for line in lines:
                self.by_line[line].add(name)

    def _report(self, module: str) -> None:
        found = list(mutants(module))
        alive = self._survivors(found)
        reasons = EQUIVALENT.get(module, {})
        unknown = [mutant for mutant in alive if mutant.name not in reasons]
        stale = reasons.keys() - {mutant.name for mutant in alive}
        print(f"{module}: {len(found)} mutants, {len(alive)} survive, {len(unknown)} of them unexplained", flush=True)
        for name in stale:
            print(f"  called equivalent, but falls or is gone: {name}", flush=True)
        self.unexplained += len(unknown) + len(stale)

    def _survivors(self, found: list[Mutant]) -> list[Mutant]:
        """One that is called equivalent, and falls, is judged again: not every test is steady on a busy machine."""
        reasons = EQUIVALENT.get(found[0].module, {}) if found else {}
        waiting = list(enumerate(found))
        running: dict[int, int] = {}
        alive: list[int] = []
        again: set[int] = set()
        while waiting or running:
            while waiting and len(running) < WORKERS:
                number, mutant = waiting.pop()
                running[forked(lambda mutant=mutant: self._survives(mutant))] = number
            child, status = os.wait()
            number = running.pop(child)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what a test of the mutant left behind
            if os.waitstatus_to_exitcode(status) != FELL and status != 0:
                print(
                    f"  by the clock: {found[number].module}.py:{found[number].line}: {found[number].name}", flush=True
                )
            if status == 0:
                alive.append(number)
                if found[number].name not in reasons:
                    print(f"  {found[number].module}.py:{found[number].line}: {found[number].name}", flush=True)
            elif found[number].name in reasons:
                felled = self.place / f"felled-{child}"
                by = felled.read_text() if felled.exists() else "no test"
                print(f"  called equivalent, but felled by {by}: {found[number].name}", flush=True)
                if number not in again:
                    again.add(number)
                    waiting.append((number, found[number]))
        return [found[number] for number in sorted(alive)]

    def _survives(self, mutant: Mutant) -> bool:
        faulthandler.dump_traceback_later(max(MOST_SECONDS, 4 * sum(self.took.values())), exit=True)
        self.judging = True
        tests: set[str] = set().union(*(self.by_line[mutant.module, line] for line in mutant.head))
        at_import = "import" in tests
        replaced = replace_code(self.functions, mutant)
        if replaced:
            self._run([self.items[name] for name in self._in_order(tests - {"import"}, mutant)])
        return (replaced and not at_import) or passes_anew(mutant, self.place)

    def _in_order(self, tests: set[str], mutant: Mutant) -> list[str]:
        rarity: dict[str, int] = {}
        for line in mutant.whole:
            passing = self.by_line[mutant.module, line]
            for name in passing:
                rarity[name] = min(rarity.get(name, len(passing)), len(passing))
        return sorted(tests, key=lambda name: (rarity[name], self.took[name]))

    def _run(self, items: list[Any]) -> None:
        for item, following in zip(items, [*items[1:], None], strict=False):  # none of none
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def replace_code(functions: list[FunctionType], mutant: Mutant) -> bool:
    """Give the ``functions`` of the module their code in the mutant; False where that is not all of the mutation."""
    path = str(PACKAGE / f"{mutant.module}.py")
    new: dict[tuple[str, int], list[CodeType]] = defaultdict(list)
    for code in _codes(compile(mutant.text, path, "exec", dont_inherit=True)):
        new[code.co_name, code.co_firstlineno].append(code)
    changed = False
    for function in functions:
        if function.__code__.co_filename == path:
            old = function.__code__
            codes = new[old.co_name, old.co_firstlineno]
            if old in codes:
                continue
            if len(codes) != 1 or len(codes[0].co_freevars) != len(old.co_freevars):
                return False
            function.__code__ = codes[0]
            changed = True
    return changed


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def passes_anew(mutant: Mutant, place: Path) -> bool:
    """Whether the tests pass in a new process with a copy of the package that has the mutant."""
    tree = place / str(os.getpid())
    shutil.copytree(PACKAGE, tree / "jwtconnect_mw", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "jwtconnect_mw" / f"{mutant.module}.py").write_text(mutant.text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        *OPTIONS,
        "-o",
        f"pythonpath={tree}",
        *files([mutant.module]),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    status = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False).returncode
    shutil.rmtree(tree)
    return status == 0


def forked(work: Callable[[], bool]) -> int:
    """The id of a process that ends with status 0 where ``work`` says True."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    status = 2
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        status = 0 if work() else FELL
    finally:
        os._exit(status)


OPTIONS = [
    *(
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
        "-p",
        "pytest_timeout",
        "--timeout",
        str(SECONDS),
        "--tb=no",
        "-s",
    ),
    *("-W", "ignore:Module already imported", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")),
]


def files(modules: list[str]) -> list[str]:
    names = dict.fromkeys(name for module in modules for name in TESTS[module].split())
    return [str(ROOT / "tests" / f"test_{name}.py") for name in names]


def main() -> int:
    modules = sys.argv[1:] or list(TESTS)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    trace = Trace()
    judge = Judge(modules, trace)
    trace.start()
    for module in TESTS:
        importlib.import_module("jwtconnect_mw." + module.replace("/", "."))
    status = pytest.main(["-q", "-q", *OPTIONS, *files(modules)], plugins=[judge])
    return 1 if judge.unexplained or status != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
