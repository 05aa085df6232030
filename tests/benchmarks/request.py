"""Section `request`: microseconds that a middleware adds to one request, called in-process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .cases import Case, usual, worst
from .hosts import One, Status
from .lanes import BARE_FLASK, EMPTY, LANES, OUR_ASGI, OUR_WSGI, PYJWT_ASGI, PYJWT_WSGI, RAW, Lane
from .measure import Job, Ratio, Series, interleave
from .report import Verdict, at_most, cell, goals, table
from .tokens import Signer, signer

OURS = {OUR_WSGI: PYJWT_WSGI, OUR_ASGI: PYJWT_ASGI}
COLD_RAW = {"RS256": 1.85, "ES256": 1.4, "EdDSA": 1.25}
SHOWN = (PYJWT_WSGI,)  # beside ours for the hostile tokens
SCREENING, KEPT = 7, 6  # rounds; shapes of each middleware
COLD_PYJWT = {"RS256": 0.55, "HS256": 0.35}


def takes_part(lane: Lane, case: Case, alg: str) -> bool:
    if case.remote:
        return lane.name in OURS and alg != "HS256"
    if lane.name in {RAW, EMPTY}:
        return case.raw
    return not lane.slow or (alg == "RS256" and case.frameworks)


def build(lane: Lane, case: Case, source: Signer, prime: str) -> One:
    return lane.remote(source) if case.remote and lane.remote else lane.build(source, prime)


def job(lane: Lane, case: Case, one: One) -> Job:
    check(lane, case, one)
    slow = lane.slow and lane.name != BARE_FLASK
    batch, warm_up = (min(case.batch, 50), 5) if slow else (case.batch, case.warm_up)

    def items(number: int) -> list[object]:
        return [lane.item(value) for value in case.values(number, batch, warm_up)]

    base = f"{'bad signature' if case.ours_only else case.name}|{lane.base}" if lane.base else None
    return Job(f"{case.name}|{lane.name}", one, items, base, warm_up)


def check(lane: Lane, case: Case, one: One) -> None:
    """What is timed gives the answer it should: sent twice, with tokens that the run does not use."""
    if lane.base is None or lane.name == RAW:
        return
    for value in case.values(-1, 2, 0):
        one(lane.item(value))
        accepted = case.accepted or (lane.accepts_unknown_kid and case.name == "unknown kid")
        if (Status.last == 200) != accepted:
            raise AssertionError(f"{lane.name}, {case.name}: answered {Status.last}")


def screen(lanes: Sequence[Lane], shapes: Sequence[Case], ones: Mapping[str, One]) -> list[Case]:
    """The few shapes that look worst in a short run; only they take part in the long one."""
    jobs = [replace(job(lane, case, ones[lane.name]), base=None) for lane in lanes for case in shapes]
    series = interleave(jobs, SCREENING, label="request: hostile shapes")
    worst: dict[str, Case] = {}
    for lane in lanes:
        ranked = sorted(shapes, key=lambda case: series[f"{case.name}|{lane.name}"].median, reverse=True)
        worst.update({case.name: case for case in ranked[:KEPT]})
    return list(worst.values())


def measure(alg: str, rounds: int) -> tuple[list[Case], list[Case], dict[str, Series]]:
    source = signer(alg)
    prime = source.token()
    our_lanes = [lane for lane in LANES if lane.name in OURS]
    ones = {lane.name: lane.build(source, prime) for lane in our_lanes}
    known, hostile = usual(source, rounds), screen(our_lanes, worst(source), ones)
    pairs = [(lane, case) for case in known for lane in LANES if takes_part(lane, case, alg)]
    jobs = [job(lane, case, build(lane, case, source, prime)) for lane, case in pairs]
    jobs += [job(lane, case, ones[lane.name]) for lane in our_lanes for case in hostile]
    jobs += [job(lane, case, lane.build(source, prime)) for lane in LANES if lane.name in SHOWN for case in hostile]
    return known, hostile, interleave(jobs, rounds, label=f"request {alg}")


def verdicts(alg: str, series: Mapping[str, Series], hostile: list[Case]) -> list[Verdict]:
    """Goals that a signature check of another price puts out of reach by itself are shown in brackets, not judged:

    expired against PyJWT (that is for the figures seen with RS256; the signature comes first), and for HS256, which has
    next to no signature check and is not among the default algorithms, what is measured against it.
    """
    found: list[Verdict] = []
    rs256, default = alg == "RS256", alg != "HS256"
    raw = series[f"cold|{RAW}"]
    for us, them in OURS.items():

        def goal(case: str, under: Series, name: str, limit: float, judged: bool, us: str = us) -> None:
            found.append(
                at_most(f"{alg} {us}, {case} / {name}", Ratio.of(series[f"{case}|{us}"], under), limit, judged=judged)
            )

        goal("warm", series[f"warm|{them}"], them, 1 / 40, default)
        goal("cold", raw, "raw", COLD_RAW.get(alg, 1.85), alg in COLD_RAW)
        goal("cold", series[f"cold|{them}"], them, COLD_PYJWT.get(alg, 0.55), alg in COLD_PYJWT)
        for garbage in ("garbage, no dots", "garbage, three parts"):
            goal(garbage, series[f"{garbage}|{them}"], them, 0.7, True)
        goal("expired", series[f"expired|{them}"], them, 0.5, rs256)
        goal("bad signature", series[f"cold|{us}"], f"{us} cold", 1.1, True)
        goal("unknown kid", raw, "raw", 0.5, default)
        if default:
            goal("unknown kid, cooldown", raw, "raw", 0.5, True)
        bad = series[f"bad signature|{us}"]
        worst_case = max(hostile, key=lambda case: series[f"{case.name}|{us}"].median)
        goal(worst_case.name, bad, f"{us} bad signature", 2.0, default)
    return found


def show(known: list[Case], hostile: list[Case], series: Mapping[str, Series]) -> None:
    rows = []
    for lane in LANES:
        cells = [cell(series.get(f"{case.name}|{lane.name}")) for case in known]
        if lane.name != EMPTY and any(cells):
            rows.append([lane.name, *cells])
    table(["microseconds", *(case.name for case in known)], rows)
    slowest = sorted(hostile, key=lambda case: -series[f"{case.name}|{OUR_WSGI}"].median)
    rows = [[case.name, *(cell(series[f"{case.name}|{lane}"]) for lane in (*OURS, *SHOWN))] for case in slowest[:8]]
    print("The worst of the hostile shapes of 16 KB (chosen from all of them in a short run before):")
    table(["microseconds", *OURS, *SHOWN], rows)


def run(algs: tuple[str, ...], rounds: int) -> list[Verdict]:
    found: list[Verdict] = []
    for alg in algs:
        known, hostile, series = measure(alg, rounds)
        print(f"\n== request, {alg}: added per request, median of {rounds} rounds ± half the quartile distance ==")
        print("(bare lines: the whole request; every other line: what it adds to its bare application)\n")
        show(known, hostile, series)
        found_here = verdicts(alg, series, hostile)
        goals(found_here)
        found += found_here
    return found
