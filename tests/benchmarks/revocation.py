"""Section `revocation`: what a look-up, an advance, an entry and a purge cost, on memory and on SQLite."""

from __future__ import annotations

import gc
import itertools
import secrets
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from time import perf_counter
from typing import Any

from jwtconnect_mw.revocation import Family, MemoryRevocationList, RevocationList, SQLiteRevocationList
from jwtconnect_mw.testing import ManualClock

from .measure import Job, Ratio, interleave, progress
from .report import Verdict, at_most, cell, goals, information, table
from .tokens import ISSUER

NOW = 4_000_000_000
HOUR, KEPT = 3600, 360
LOOK_UPS, ADVANCES, WARM_UP = 500, 20, 20
FLAT = 1.5
STEP = 1000  # the default limit of `purge`
BY_WRITE = 16
TRACED = 100_000


def look_up(revocations: RevocationList) -> Callable[[Any], object]:
    """A token with jti, sid and sub, none of them revoked: what almost every request asks."""
    return lambda name: revocations.is_revoked(ISSUER, name, name, "alice", NOW, NOW)


def names(_: int) -> list[str]:
    return [secrets.token_hex(16) for _ in range(LOOK_UPS + WARM_UP)]


def advance(revocations: RevocationList) -> Callable[[Any], object]:
    family = Family(ISSUER, secrets.token_hex(16), "alice", "client", NOW)

    def one(number: int) -> None:
        step = revocations.advance(
            family,
            number,
            client_id="client",
            issued_at=NOW,
            expires_at=NOW + HOUR,
            keep_until=NOW + HOUR + KEPT + number,
            now=NOW,
            grace=10.0,
        )
        assert step.answer == "advanced"

    return one


def numbers() -> Callable[[int], list[int]]:
    count = itertools.count()
    return lambda _: [next(count) for _ in range(ADVANCES + WARM_UP)]


def fill(revocations: RevocationList, count: int) -> None:
    for number in range(count):
        revocations.revoke_token(ISSUER, secrets.token_hex(16), expires_at=NOW + HOUR + number % 60)


def filled(place: Path, count: int) -> tuple[MemoryRevocationList, SQLiteRevocationList]:
    """SQLite gets a tenth: each of its writes waits for the disk."""
    clock = ManualClock(NOW)
    progress(f"revocation: {count:,} entries")
    memory = MemoryRevocationList(clock=clock)
    fill(memory, count)
    sqlite = SQLiteRevocationList(place / f"{count}.db", clock=clock)
    fill(sqlite, count // 10)
    return memory, sqlite


def flat(
    kind: str,
    make: Callable[[RevocationList], Callable[[Any], object]],
    items: Callable[[], Callable[[int], list[Any]]],
    lists: dict[str, RevocationList],
    rounds: int,
) -> list[Verdict]:
    """Microseconds by the number of entries. What is judged is the whole request, in `scaling`."""
    series = interleave(
        [Job(name, make(one), items(), None, WARM_UP) for name, one in lists.items()], rounds, label=kind
    )
    table([f"microseconds: {kind}", "median"], [[name, cell(one)] for name, one in series.items()])
    found = []
    for backend in ("memory", "SQLite"):
        first, *more = (name for name in lists if name.startswith(backend))
        found += [
            at_most(f"{kind}: {name} / none", Ratio.of(series[name], series[first]), FLAT, judged=False)
            for name in more
        ]
    return found


def memory_of(count: int) -> tuple[float, float]:
    """Bytes for each of `count` entries, and the share that is left when all but a hundredth have ended."""
    clock = ManualClock(NOW)
    revocations = MemoryRevocationList(clock=clock)
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        fill(revocations, count - count // 100)
        for _ in range(count // 100):
            revocations.revoke_token(ISSUER, secrets.token_hex(16), expires_at=NOW + 100 * HOUR)
        held = tracemalloc.get_traced_memory()[0] - start
        while revocations.purge(NOW + 2 * HOUR):
            pass
        gc.collect()
        return held / count, (tracemalloc.get_traced_memory()[0] - start) / held
    finally:
        tracemalloc.stop()


def longest_purge(name: str, revocations: RevocationList, limit: int) -> Verdict:
    """Of all the steps that it takes until nothing is left."""
    longest, steps, looked_at = 0.0, 0, limit
    while looked_at:
        start = perf_counter()
        looked_at = revocations.purge(NOW + 2 * HOUR, limit)
        longest, steps = max(longest, (perf_counter() - start) * 1000), steps + 1
    return information(f"longest of {steps:,} purges of {limit:,}: {name}", f"{longest:.2f} ms")


def run(*, quick: bool) -> list[Verdict]:
    rounds, sizes = (15, (0, 1_000, 10_000)) if quick else (100, (0, 10_000, 1_000_000))
    print(f"\n== revocation: median of {rounds} rounds ==\n")
    lists: dict[str, RevocationList] = {}
    with tempfile.TemporaryDirectory() as place, ExitStack() as files:
        for count in sizes:
            memory, sqlite = filled(Path(place), count)
            files.enter_context(closing(sqlite))
            lists |= {f"memory, {count:,} entries": memory, f"SQLite, {count // 10:,} entries": sqlite}
        found = flat("look-up", look_up, lambda: names, lists, rounds)
        found += flat("advance", advance, numbers, lists, rounds)
        found += [longest_purge(name, one, STEP) for name, one in list(lists.items())[-2:]]
        fill(memory, sizes[-1])
        found.append(longest_purge(f"memory, {sizes[-1]:,} entries", memory, BY_WRITE))
    each, left = memory_of(TRACED)
    found.append(information("memory for each entry", f"{each:.0f} bytes"))
    found.append(Verdict("of it held when 99 % have ended", f"{left:.1%}", "<= 5 %", left <= 0.05))
    goals(found)
    return found
