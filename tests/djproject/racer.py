"""A process that races with others: it prints what its threads were answered, a line of JSON for each line it reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from typing import Any

from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import FAMILY, ISSUER, NOW, present
from jwtconnect_mw.testing.revocation.races import together

from . import setup

THREADS = 3


def work(revocations: Any, task: dict[str, Any]) -> Callable[[], Any]:
    if task["do"] == "alone":
        return partial(revocations.start_family, ISSUER, task["subject"], alone=True)
    family = replace(FAMILY, session=task["session"])
    return lambda: astuple(present(revocations, task["presented"], family=family, issued_at=task["issued_at"]))


def main() -> None:
    setup()
    from jwtconnect_mw.django.revocations import OrmRevocationList

    revocations = OrmRevocationList(clock=ManualClock(NOW))
    revocations.current(FAMILY)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(together([work(revocations, json.loads(line))] * THREADS)), flush=True)


if __name__ == "__main__":
    main()
