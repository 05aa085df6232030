"""`python -m tests.benchmarks [--only SECTION] [--alg ALG] [--rounds N] [--quick] [--strict]`."""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time
from importlib import metadata

from .report import Verdict, goals
from .tokens import ALGORITHMS

SECTIONS = ("request", "scaling", "memory", "revocation", "issuing", "import", "servers")
PARTS = ("cryptography", "cryptojwt", "oidcmsg", "PyJWT", "Flask-JWT-Extended", "Authlib", "Starlette", "Flask")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Speed and memory, beside the goals."
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section; may be repeated")
    parser.add_argument(
        "--alg", action="append", choices=ALGORITHMS, help="this algorithm in `request`; may be repeated"
    )
    parser.add_argument(
        "--rounds", type=int, help="rounds of `request` (182: 10,000 distinct tokens) and `scaling` (200)"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes, RS256 only")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a goal is missed")
    return parser.parse_args()


def run(section: str, options: argparse.Namespace) -> list[Verdict]:
    module = importlib.import_module(f".{'imports' if section == 'import' else section}", __package__)
    if section == "request":
        algs = tuple(options.alg or (("RS256",) if options.quick else ALGORITHMS))
        found: list[Verdict] = module.run(algs, options.rounds or (24 if options.quick else 182))
    elif section == "scaling":
        found = module.run(options.rounds or (15 if options.quick else 200), quick=options.quick)
    else:
        found = module.run(quick=options.quick)
    return found


def main() -> int:
    options = arguments()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PARTS)
    print(f"{platform.python_implementation()} {platform.python_version()}; {versions}")
    print("Only ratios within one run mean something on a shared machine. [low .. high]: quartiles over the rounds.")
    found: list[Verdict] = []
    for section in options.only or SECTIONS:
        start = time.perf_counter()
        found += run(section, options)
        print(f"({section}: {time.perf_counter() - start:.0f} s)", flush=True)
    missed = [verdict for verdict in found if verdict.missed]
    judged = sum(verdict.judged and verdict.met is not None for verdict in found)
    print(f"\n{judged - len(missed)} of {judged} goals are met.")
    if missed:
        print("Missed:\n")
        goals(missed)
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
