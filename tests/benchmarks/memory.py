"""Section `memory`: bytes that verified tokens hold in the cache, as tracemalloc counts them."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from . import ours
from .hosts import environ
from .measure import progress
from .report import Verdict, below, goals, table
from .tokens import Signer, signer

CACHED = 4_096  # the default of BearerAuth
TOKEN = 4_000  # bytes: about the longest token that is still cached
KB = 1_000
Claims = Callable[[int], dict[str, Any]]  # bytes of JSON that may be added -> claims


def stuffed(unit: str) -> Claims:
    """As many `unit` as fit: a few bytes of text each, a whole object each in memory."""

    def data(room: int) -> dict[str, Any]:
        text = ",".join([unit] * (room // (len(unit) + 1)))
        return {"data": json.loads(f"[{text}]")}

    return data


def members(room: int) -> dict[str, Any]:
    return {f"{number:x}": 1000 + number for number in range(room // 10)}


SHAPES: dict[str, Claims] = {
    "about 900 bytes": lambda room: {},
    "4 KB, one long claim": lambda room: {"data": "x" * room},
    "4 KB of {}": stuffed("{}"),
    "4 KB of [[]]": stuffed("[[]]"),
    '4 KB of {"a":1}': stuffed('{"a":1}'),
    "4 KB of fractions": stuffed("1.5"),
    "4 KB of members": members,
    '4 KB of "é"': stuffed('"\\u00e9"'),
}


def make(source: Signer, claims: Claims, count: int) -> list[str]:
    added = claims((TOKEN - len(source.token())) * 3 // 4 - 20)
    return [source.token(added) for _ in range(count)]


def held(source: Signer, texts: list[str], step: int) -> dict[int, int]:
    """Bytes more than at the start, by number of distinct tokens seen; nothing else is made in between."""
    one = ours.wsgi(ours.auth(source), source.token())
    found: dict[int, int] = {}
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        for number, text in enumerate(texts, 1):
            one(environ(f"Bearer {text}"))
            if number % step == 0:
                gc.collect()
                found[number] = tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()
    return found


def run(*, quick: bool) -> list[Verdict]:
    step, count = (256, 1_024) if quick else (512, 3 * CACHED)
    found, rows = [], []
    for name, claims in SHAPES.items():
        progress(f"memory: {name}")
        source = signer("RS256" if claims is SHAPES["about 900 bytes"] else "ES256")
        texts = make(source, claims, count)
        amounts = held(source, texts, step)
        first, most = min(amounts), max(amounts.values())
        each = amounts[2 * first] / (2 * first) / KB
        full = amounts.get(CACHED)
        cells = [f"{amount / KB / KB:.2f}" if amount else "" for amount in (full, most)]
        rows.append([name, str(len(texts[0])), f"{each:.2f}", *cells])
        if source.alg == "RS256":
            found.append(below(f"per cached token of {name}", each, 3.5, "KB"))
        found.append(below(f"default cache at its fullest, {name}", most / KB / KB, 16, "MB", judged=not quick))
    progress("")
    print(f"\n== memory: still allocated after up to {count:,} distinct tokens (1 KB = 1,000 bytes) ==\n")
    table(["tokens", "bytes", "KB in memory each", f"MB after {CACHED:,}", "MB at most"], rows)
    goals(found)
    return found
