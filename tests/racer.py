"""A process that others race with: `python -m tests.racer race PATH THREADS` or `python -m tests.racer write PATH`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial

from jwtconnect_mw.revocation import Family, RevocationList, SQLiteRevocationList, Step
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import FAMILY, present
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW

PATIENCE = 60.0  # seconds; a machine that is busy with other things must not fail a test
FAMILIES, WRITES = 10, 1000


def one_of(number: int) -> Family:
    return replace(FAMILY, session=f"session-{number}")


def ask(revocations: RevocationList, family: Family, asker: int, presented: int) -> Step:
    """Each asker would give the successor times of its own: that there is one is seen by them."""
    return present(revocations, presented, NOW, family, issued_at=NOW + asker, expires_at=NOW + 2 * asker)


def crowd(revocations: RevocationList, kind: str, number: int, first: int, count: int) -> list[Step]:
    """What `count` askers get at once. With kind "mixed" each second one presents the successor; with "revoked" one of
    the first crowd revokes the session instead.
    """
    family = one_of(number)
    works = [
        partial(ask, revocations, family, asker, 1 if kind == "mixed" and asker % 2 else 0)
        for asker in range(first, first + count)
    ]
    if kind == "revoked" and first == 0:

        def revoke() -> Step:
            revocations.revoke_session(ISSUER, family.session)
            return Step("revoked")

        return together([revoke, *works[1:]])
    return together(works)


def race(path: str, first: int, count: int) -> None:
    """A line in, "kind number": the answers out."""
    revocations = SQLiteRevocationList(path, clock=ManualClock(NOW), timeout=PATIENCE)
    print("ready", flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        steps = crowd(revocations, kind, int(number), first, count)
        print(json.dumps([(one.answer, one.sequence, one.issued_at, one.expires_at) for one in steps]), flush=True)
    revocations.close()


def write(path: str) -> None:
    """Advances and revokes, and says so after each: "advanced FAMILY SEQUENCE" or "revoked NUMBER"."""
    revocations = SQLiteRevocationList(path, clock=ManualClock(NOW))
    sequences = [0] * FAMILIES
    for number in range(WRITES):
        family = number % FAMILIES
        if number % 3:
            step = present(revocations, sequences[family], NOW, one_of(family))
            sequences[family] = step.sequence
            print(step.answer, family, step.sequence, flush=True)
        else:
            revocations.revoke_token(ISSUER, f"token-{number}")
            print("revoked", number, flush=True)
    revocations.close()


if __name__ == "__main__":
    if sys.argv[1] == "race":
        race(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        write(sys.argv[2])
