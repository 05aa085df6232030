"""Section `scaling`: is the time of a request flat in keys, issuers, revoked entries and cached tokens?"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from jwtconnect_mw import BearerAuth
from jwtconnect_mw.revocation import MemoryRevocationList

from . import ours
from .hosts import One, call_wsgi, environ, wsgi_ok
from .measure import Job, Ratio, Series, interleave, progress
from .report import Verdict, at_most, cell, goals, information, table
from .tokens import ISSUER, Signer, b64, many, signer

FLAT, HOT = 1.2, 1.5
KINDS = ("cold", "warm", "unknown kid")
COLD, WARM, WARM_UP = 40, 200, 20
BARE = call_wsgi(wsgi_ok)


def jobs(name: str, make: Callable[[], BearerAuth], sources: Sequence[Signer], rounds: int) -> list[Job]:
    """Cold and warm, the tokens spread over `sources`, and refused for an unknown kid."""

    def spread(count: int) -> list[str]:
        return [f"Bearer {sources[index % len(sources)].token()}" for index in range(count)]

    cold, warm = spread(rounds * (COLD + WARM_UP)), spread(100)
    prime = [source.token() for source in sources]

    def cold_items(number: int) -> list[dict[str, Any]]:
        first = number * (COLD + WARM_UP)
        return [environ(value) for value in cold[first : first + COLD + WARM_UP]]

    def warm_items(number: int) -> list[dict[str, Any]]:
        return [environ(warm[index % 100]) for index in range(WARM + WARM_UP)]

    unknown = [f"Bearer {sources[0].token(kid=f'nobody-{index}')}" for index in range(COLD + WARM_UP)]

    def unknown_items(number: int) -> list[dict[str, Any]]:
        return [environ(value) for value in unknown]

    cold_one, warm_one = ours.wsgi(make(), *prime), ours.wsgi(make(), *prime)
    return [
        Job(f"cold|{name}", cold_one, cold_items, "bare", WARM_UP),
        Job(f"warm|{name}", warm_one, warm_items, "bare", WARM_UP),
        Job(f"unknown kid|{name}", warm_one, unknown_items, "bare", WARM_UP),
    ]


def bare() -> Job:
    return Job("bare", BARE, lambda number: [environ("Bearer x") for _ in range(WARM + WARM_UP)], None, WARM_UP)


def filler(alg: str, number: int) -> dict[str, Any]:
    """A key that loads and is never used; a random modulus does for RSA, where making 1,000 keys would take minutes."""
    if alg == "RS256":
        modulus = (1 << 2047 | secrets.randbits(2047) | 1).to_bytes(256, "big")
        return {"kty": "RSA", "n": b64(modulus), "e": "AQAB", "kid": f"filler-{number}", "alg": alg, "use": "sig"}
    return signer(alg, f"filler-{number}").jwk


def many_keys(alg: str, count: int, rounds: int) -> list[Job]:
    source = signer(alg)
    keys = [filler(alg, number) for number in range(count - 1)]
    keys.insert(count // 2, source.jwk)
    trusted = ours.trusted(source, jwks={"keys": keys})
    return jobs(f"{alg}, {count:,} keys", lambda: BearerAuth(trusted), [source], rounds)


def spread_keys(count: int, rounds: int) -> list[Job]:
    sources = [signer("ES256", f"filler-{number}") for number in range(count)]
    trusted = ours.trusted(sources[0], jwks={"keys": [source.jwk for source in sources]})
    return jobs(f"ES256, all of {count:,} keys in use", lambda: BearerAuth(trusted), sources, rounds)


def many_issuers(count: int, rounds: int) -> list[Job]:
    sources = [signer("ES256", f"issuer-{number}-key", f"{ISSUER}/{number}") for number in range(count)]
    trusted = [ours.trusted(source) for source in sources]
    return jobs(f"ES256, {count:,} issuers", lambda: BearerAuth(*trusted), sources[count // 2 :][:1], rounds)


def revoked(count: int, rounds: int) -> list[Job]:
    revocations = MemoryRevocationList()
    until = time.time() + 3600
    for number in range(count):
        revocations.revoke_token(ISSUER, f"{number:x}-{secrets.token_hex(8)}", expires_at=until)
    source = signer("ES256")
    return jobs(f"ES256, {count:,} revoked", lambda: ours.auth(source, revocations=revocations), [source], rounds)


def token_id(one: One, text: str) -> int:
    """Which object a request got: the same one twice means that it came out of the cache."""
    request = environ(f"Bearer {text}")
    one(request)
    return id(request["jwtconnect_mw.token"])


def cached(count: int) -> tuple[list[Job], float]:
    """100 hot tokens after `count` tokens were seen, and any of those; the share that the cache really holds."""
    source = signer("HS256")  # quick to sign; a hit does not depend on the algorithm
    one = ours.wsgi(ours.auth(source, cache_size=200_000))
    hot = many(source, 100)
    texts = [*hot, *many(source, count - 100)]
    ids: list[int] = []
    for index, text in enumerate(texts):
        if index % 1000 == 0:
            progress(f"scaling: filling a cache {index:,}/{count:,}")
            for known in hot:
                one(environ(f"Bearer {known}"))
        ids.append(token_id(one, text))
    sample = random.Random(1).sample(range(count), 1_000 if count > 1_000 else count)
    held = sum(token_id(one, texts[index]) == ids[index] for index in sample) / len(sample)

    def hot_items(number: int) -> list[dict[str, Any]]:
        return [environ(f"Bearer {hot[index % 100]}") for index in range(WARM + WARM_UP)]

    def all_items(number: int) -> list[dict[str, Any]]:
        return [environ(f"Bearer {secrets.choice(texts)}") for _ in range(WARM + WARM_UP)]

    name = f"{count:,} cached"
    hot_and_any = [
        Job(f"warm|100 hot of {name}", one, hot_items, "bare", WARM_UP),
        Job(f"warm|any of {name}", one, all_items, "bare", WARM_UP),
    ]
    return hot_and_any, held


def compare(title: str, parts: Sequence[list[Job]], rounds: int, limit: float = FLAT) -> list[Verdict]:
    """One interleaved run; every part against the first."""
    series = interleave([bare(), *(job for part in parts for job in part)], rounds, label=f"scaling: {title}")
    names = list(dict.fromkeys(key.partition("|")[2] for key in series if "|" in key))
    print(f"-- {title}\n")
    kinds = [kind for kind in KINDS if f"{kind}|{names[0]}" in series]
    table(["microseconds", *kinds], [[name, *(cell(series.get(f"{kind}|{name}")) for kind in kinds)] for name in names])
    found: list[Verdict] = []
    for kind in kinds:
        first = series[f"{kind}|{names[0]}"]
        found += [verdict(kind, name, names[0], series[f"{kind}|{name}"], first, limit) for name in names[1:]]
    goals(found)
    return found


def verdict(kind: str, name: str, first: str, over: Series, under: Series, limit: float) -> Verdict:
    ratio = Ratio.of(over, under)
    if name.startswith("any of"):
        return information(f"{kind}: {name} / {first}", f"{ratio.value:.2f} x")
    return at_most(f"{kind}: {name} / {first}", ratio, limit)


def run(rounds: int, *, quick: bool) -> list[Verdict]:
    steps = (1, 10, 100) if quick else (1, 10, 100, 1_000)
    entries = (0, 1_000, 10_000) if quick else (0, 1_000, 100_000, 1_000_000)
    print(f"\n== scaling: our WSGI middleware, added per request, median of {rounds} rounds ==\n")
    found = compare("keys, RS256", [many_keys("RS256", count, rounds) for count in steps], rounds)
    found += compare("keys, ES256", [many_keys("ES256", count, rounds) for count in steps], rounds)
    found += compare("keys, ES256, all in use", [spread_keys(count, rounds) for count in steps], rounds)
    found += compare("issuers", [many_issuers(count, rounds) for count in steps], rounds)
    found += compare("revoked entries", [revoked(count, rounds) for count in entries], rounds)
    sizes = (200, 5_000) if quick else (200, 100_000)
    parts = [cached(count) for count in sizes]
    found += compare("cached tokens, cache_size=200,000", [part for part, _ in parts], rounds, HOT)
    held = [
        Verdict(f"share of {count:,} that is held", f"{share:.1%}", ">= 99 %", share >= 0.99)
        for count, (_, share) in zip(sizes, parts, strict=True)
    ]
    goals(held)
    return found + held
