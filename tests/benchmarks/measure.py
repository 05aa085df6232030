"""Interleaved timing: contenders alternate in small shuffled batches, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import gc
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

One = Callable[[Any], object]


@dataclass(frozen=True)
class Job:
    """What is timed: `one(item)` for each of `items(round)`, the cost of the lane `base` (a Job's key) taken off."""

    key: str
    one: One
    items: Callable[[int], list[Any]]  # fresh input of one batch; not timed
    base: str | None = None
    warm_up: int = 5  # the first items of a batch that are not timed: they refill the processor's caches


@dataclass
class Series:
    """Microseconds per call, by round."""

    by_round: dict[int, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.by_round.values())

    def minus(self, base: Series) -> Series:
        return Series({number: value - base.by_round[number] for number, value in self.by_round.items()})


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians; `low` and `high` are the quartiles of the ratios of single rounds."""

    value: float
    low: float
    high: float

    @classmethod
    def paired(cls, over: Series, under: Series) -> Ratio:
        """The median of the ratios of single rounds, for few long rounds."""
        single = [value / under.by_round[number] for number, value in over.by_round.items()]
        return cls(statistics.median(single), *quartiles(single))

    @classmethod
    def of(cls, over: Series, under: Series) -> Ratio:
        single = [value / under.by_round[number] for number, value in over.by_round.items()]
        return cls(over.median / under.median, *quartiles(single))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


@contextmanager
def quiet_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def time_batch(one: One, items: list[Any], warm_up: int) -> float:
    """Microseconds per call. An item is dropped right after its call, as a server drops a request, by everyone."""
    items.reverse()
    pop = items.pop
    for _ in range(min(warm_up, len(items) - 1)):
        one(pop())
    count = len(items)
    start = perf_counter_ns()
    for _ in range(count):
        one(pop())
    return (perf_counter_ns() - start) / count / 1000


def interleave(jobs: Sequence[Job], rounds: int, *, seed: int = 1, label: str = "") -> dict[str, Series]:
    """Time every job once a round, in an order shuffled anew; what is returned has the bases taken off."""
    order = list(jobs)
    shuffle = random.Random(seed).shuffle
    raw = {job.key: Series() for job in jobs}
    for number in range(rounds):
        progress(f"{label} round {number + 1}/{rounds}")
        shuffle(order)
        with quiet_gc():
            for job in order:
                raw[job.key].by_round[number] = time_batch(job.one, job.items(number), job.warm_up)
    progress("")
    return {job.key: raw[job.key].minus(raw[job.base]) if job.base else raw[job.key] for job in jobs}


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr, flush=True)
