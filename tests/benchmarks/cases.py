"""The cases of a request: which Authorization values, how many in a batch, and what the answer must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import hostile, tokens
from .tokens import Signer

BATCH, WARM_UP = 50, 5
REFUSED_TOKENS = 2_000  # distinct ones in each case of refusal, repeated after that


@dataclass(frozen=True)
class Case:
    name: str
    value: Callable[[int], str]  # the n-th Authorization value
    accepted: bool
    batch: int = BATCH
    warm_up: int = WARM_UP
    raw: bool = False  # measured for the floor too
    frameworks: bool = True  # measured for the slow contenders too
    ours_only: bool = False
    remote: bool = False  # ours with keys from a URL instead of given ones

    def values(self, number: int, batch: int, warm_up: int) -> list[str]:
        first = number * (batch + warm_up)
        return [self.value(first + index) for index in range(batch + warm_up)]


def bearer(texts: Sequence[str]) -> Callable[[int], str]:
    count = len(texts)
    return lambda index: f"Bearer {texts[index % count]}"


def usual(source: Signer, rounds: int) -> list[Case]:
    refused = min(REFUSED_TOKENS, rounds * (BATCH + WARM_UP))
    cold = tokens.many(source, rounds * (BATCH + WARM_UP) + 2)  # none comes twice; two for the check
    warm = tokens.many(source, 100)
    kinds = [
        Case(kind, bearer(texts), False, frameworks="three" in kind) for kind, texts in tokens.garbage(refused).items()
    ]
    unknown = [source.token(kid=f"nobody-{index % 1500}") for index in range(refused)]
    return [
        Case("cold", bearer(cold), True, raw=True),
        Case("warm", bearer(warm), True, batch=200, warm_up=20),
        *kinds,
        Case("expired", bearer(tokens.expired(source, refused)), False),
        Case("bad signature", bearer(tokens.bad_signature(source, refused)), False),
        Case("unknown kid", bearer(unknown), False, frameworks=False),
        Case("unknown kid, cooldown", bearer(unknown), False, ours_only=True, remote=True),
    ]


def worst(source: Signer) -> list[Case]:
    """Every request gets a signature of its own, so that nothing can be remembered."""
    shapes = {**hostile.tokens(source), **hostile.values()}
    return [
        Case(name, lambda index, make=make: make(), False, batch=10, warm_up=3, ours_only=True)
        for name, make in shapes.items()
    ]
