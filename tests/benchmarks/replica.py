"""Section `replica`: what a local copy of a revocation list costs. As a command, how long news takes between workers:

    python -m tests.benchmarks.replica [--list URL] [--entries N] [--rounds N]

Without ``--list``, one in a file and one on a Valkey server of the benchmark's own.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import secrets
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from jwtconnect_mw.revocation import Change, RedisRevocationList, ReplicatedRevocationList, SQLiteRevocationList
from jwtconnect_mw.revocation.cursors import new_mark
from jwtconnect_mw.revocation.rows import KINDS

from ..kit import jwks
from ..live.hub import Hub, propagate
from ..live.servers import Server, started
from ..redis_kit import running
from . import ours
from .measure import Job, Ratio, Series, interleave, progress
from .report import Verdict, at_most, below, goals, information, table
from .tokens import signer

ISSUER = "https://as.example"
SIZES = 1_000, 10_000, 100_000, 1_000_000
LONG = 30 * 86_400
MOST_SECONDS = 600.0
PROMISE, GOAL = 10.0, 0.1
WORKERS = {
    "gunicorn": Server("gunicorn --workers 4 --bind fd://{fd} {module}:wsgi", workers=4),
    "uvicorn": Server("uvicorn --lifespan on --workers 4 --fd {fd} {module}:asgi", asgi=True, workers=4),
}


def entries(count: int) -> Iterator[Change]:
    """As an issuer leaves them: seven sessions and two tokens for one subject, of ten."""
    kinds: list[Any] = ["session"] * 7 + ["token"] * 2 + ["subject"]
    now = time.time()
    for number in range(count):
        yield Change(kinds[number % 10], ISSUER, secrets.token_hex(16), now + LONG + random.random(), now)


def fill(backend: Any, count: int) -> None:
    """A file in one transaction, because it is only the way to what is measured."""
    progress(f"replica: {count:,} entries")
    if isinstance(backend, SQLiteRevocationList):
        with backend._connections.writing() as connection:
            rows = ((KINDS.index(kind), *rest) for kind, *rest in entries(count))
            connection.executemany("INSERT INTO entries (kind, issuer, name, ends, bound) VALUES (?, ?, ?, ?, ?)", rows)
            # Of the last one, by which a reader knows the file again. See cursors.py.
            connection.execute("INSERT INTO marks SELECT max(serial), ? FROM entries", (new_mark(),))
    else:
        backend.restore(list(entries(count)))
    progress("")


@contextmanager
def synced(backend: Any) -> Iterator[tuple[ReplicatedRevocationList, float]]:
    """A new replica, and the seconds until it was complete."""
    start = time.perf_counter()
    with closing(ReplicatedRevocationList(backend, max_staleness=3600)) as replica:
        assert replica.sync(MOST_SECONDS)
        yield replica, time.perf_counter() - start


def held(backend: Any) -> int:
    """Bytes of a copy."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with synced(backend):
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def names(count: int) -> list[Any]:
    """Of tokens that are good, as nearly all are."""
    now = time.time()
    return [(secrets.token_hex(16), secrets.token_hex(16), secrets.token_hex(16), now, now) for _ in range(count)]


def look_ups(replica: ReplicatedRevocationList, size: int) -> list[Job]:
    """``same``: a thousand tokens that come again and again; ``new``: each token is seen for the first time."""
    known = names(1000)

    def ask(item: Any) -> bool:
        return replica.is_revoked(ISSUER, *item)

    def same(number: int) -> list[Any]:
        return known * 3

    def new(number: int) -> list[Any]:
        return names(1005)

    return [
        Job(f"same {size}", ask, same, None, 1000),
        Job(f"same nothing {size}", lambda item: None, same, None, 1000),
        Job(f"new {size}", ask, new),
        Job(f"new nothing {size}", lambda item: None, new),
        requests(replica, size),
    ]


def requests(replica: ReplicatedRevocationList, size: int) -> Job:
    """What a look-up is a part of where a token is seen for the first time."""
    source = signer("ES256")

    def fresh(number: int) -> list[str]:
        return [f"Bearer {source.token()}" for _ in range(105)]

    return Job(f"request {size}", ours.auth(source, revocations=replica).authenticate, fresh)


def least(series: dict[str, Series], kind: str, size: int) -> float:
    """Microseconds of a look-up in the best round: in the others, neighbours on the machine emptied the caches."""
    looked, nothing = (min(series[name].by_round.values()) for name in (f"{kind} {size}", f"{kind} nothing {size}"))
    return looked - nothing


def run(*, quick: bool) -> list[Verdict]:
    sizes = SIZES[:3] if quick else SIZES
    found, rows, jobs = [], [], []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for size in sizes:
            backend = stack.enter_context(closing(SQLiteRevocationList(Path(folder) / f"{size}.db")))
            fill(backend, size)
            memory = held(backend)
            replica, seconds = stack.enter_context(synced(backend))
            jobs += look_ups(replica, size)
            rows.append([f"{size:,}", f"{memory / size:.0f}", f"{memory / 1e6:.1f}", f"{seconds:.2f}"])
        series = interleave(jobs, 30 if quick else 300, label="replica")
        for row, size in zip(rows, sizes, strict=True):
            row += [f"{least(series, kind, size) * 1000:.0f}" for kind in ("same", "new")]
            row.append(f"{series[f'request {size}'].median:.1f}")
    what = f"look-up, {sizes[-1]:,} against {sizes[0]:,} entries"
    same, new = (least(series, kind, sizes[-1]) / least(series, kind, sizes[0]) for kind in ("same", "new"))
    found.append(below(f"{what}, tokens in use", same, 1.2, "x"))
    found.append(information(f"{what}, tokens never seen", f"{new:.2f} x"))
    first, last = (series[f"request {size}"] for size in (sizes[0], sizes[-1]))
    found.append(at_most(f"request with a token never seen, {what}", Ratio.of(last, first), 1.2))
    print("\n== replica: a local copy of a list in a file ==\n")
    table(
        ["entries", "bytes each", "MB", "s to first sync", "ns, tokens in use", "ns, never seen", "µs, request"], rows
    )
    goals(found)
    return found


def measured(where: str, entries: int, rounds: int, folder: Path) -> list[float]:
    """Seconds until a worker honours what another revoked, over all workers of all rounds."""
    (folder / "jwks.json").write_text(json.dumps(jwks()))
    backend: Any = RedisRevocationList(where) if "://" in where else SQLiteRevocationList(where)
    took: list[float] = []
    with closing(backend), ExitStack() as stack:
        fill(backend, entries)
        hub = stack.enter_context(Hub())
        workers = []
        for name, server in WORKERS.items():
            environ = {"LIVE_HUB": str(hub.port), "LIVE_LIST": where}
            stack.enter_context(started(name, folder, "tests.live.sharing", server=server, **environ))
            workers += hub.wait_for(server.workers)
        for worker in workers:
            assert worker.ask("sync")
        for number in range(rounds):
            progress(f"replica: round {number + 1} of {rounds}")
            revoking = workers[number % len(workers)]
            took += propagate(workers, revoking, f"round {number}")
        progress("")
        stack.close()
    return took


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[math.ceil(part * len(values)) - 1]


def propagation(where: str, name: str, entries: int, rounds: int, folder: Path) -> list[Verdict]:
    took = measured(where, entries, rounds, folder)
    what = f"{name}, {entries:,} entries, 4 + 4 workers"
    milliseconds = [1000 * percentile(took, part) for part in (0.5, 0.99, 1.0)]
    return [
        information(f"p50 of {what}", f"{milliseconds[0]:.1f} ms"),
        below(f"p99 of {what}", milliseconds[1], 1000 * GOAL, "ms"),
        below(f"most of {what}", milliseconds[2], 1000 * PROMISE, "ms"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.replica", description="Propagation, long.")
    parser.add_argument("--list", help="a file or a URL; its data is added to")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    how = options.entries, options.rounds
    found: list[Verdict] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.list:
            found += propagation(options.list, "the list that was named", *how, folder)
        else:
            found += propagation(str(folder / "revoked.db"), "SQLite", *how, folder)
            with running("valkey", folder) as server:
                found += propagation(server.url, "Valkey", *how, folder)
    goals(found)


if __name__ == "__main__":
    main()
