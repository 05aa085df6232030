"""Who must do something in the child after a fork: renew locks that a thread of the parent may have held."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def after_fork(self) -> None: ...


_all: WeakSet[Forked] = WeakSet()


def watch_forks(owner: Forked) -> None:
    """Call ``owner.after_fork()`` in every child process, as long as ``owner`` lives."""
    _all.add(owner)


def _after_fork() -> None:
    for owner in list(_all):
        owner.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
