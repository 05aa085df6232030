"""Processes that do the same thing at the same time: what is atomic between threads only fails here."""

from __future__ import annotations

import os
import select
import signal
import sys
import unittest
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ...revocation import RevocationList
from ..clock import ManualClock
from .backend import FAMILY, ISSUER, Backend, present, revoked

_CHILDREN = 4
_LIMIT = 60.0  # seconds


class Child:
    """A forked process that gets ready, waits for the start, works, and tells a text."""

    def __init__(self, prepare: Callable[[], Callable[[], str]], start: tuple[int, int]) -> None:
        self._answer, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where there are threads
            self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(start[1])
                work = prepare()
                os.write(write, b".")  # ready
                os.read(start[0], 1)
                os.write(write, work().encode())
            except BaseException as error:
                os.write(write, f"! {type(error).__name__}".encode())
            finally:
                _leave()
        os.close(write)

    def ready(self) -> None:
        self._read(1)

    def told(self) -> str:
        text = b""
        while piece := self._read(4096):
            text += piece
        os.close(self._answer)
        os.waitpid(self._pid, 0)
        return text.decode()

    def _read(self, most: int) -> bytes:
        if not select.select([self._answer], [], [], _LIMIT)[0]:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            raise AssertionError("a forked process that opened the list hangs; see `forks`")
        return os.read(self._answer, most)


def _leave() -> None:
    try:
        coverage = sys.modules.get("coverage")
        measured = coverage.Coverage.current() if coverage is not None else None
        if measured is not None:  # pragma: no cover  # from here on nothing is measured
            measured.stop()
            measured.save()
    finally:
        os._exit(0)  # pragma: no cover  # as above


def in_processes(works: list[Callable[[], Callable[[], str]]]) -> list[str]:
    """Each in a process of its own, all let go at once; what they tell."""
    start = os.pipe()
    children = [Child(prepare, start) for prepare in works]
    os.close(start[0])
    for child in children:
        child.ready()
    os.close(start[1])
    return [child.told() for child in children]


class Processes(Backend):
    """For lists that are shared. ``forks``: whether a forked child may call ``beside``; it may not where
    that would use a connection which its parent opened.
    """

    forks = True
    process_rounds = 8

    def shared_list(self) -> tuple[RevocationList, ManualClock]:
        revocations, clock = self.fresh()
        if not (revocations.shared and self.forks and hasattr(os, "fork")):
            raise unittest.SkipTest("no other process can open the list here")
        return revocations, clock

    def test_of_processes_at_once_one_is_first(self) -> None:
        revocations, clock = self.shared_list()

        def presenting(number: int, asker: int) -> Callable[[], Callable[[], str]]:
            def prepare() -> Callable[[], str]:
                mine = self.beside(clock)
                mine.current(FAMILY)  # connected
                return lambda: _shown(mine, number, asker)

            return prepare

        for number in range(self.process_rounds):
            told = in_processes([presenting(number, asker) for asker in range(_CHILDREN)])
            answers = sorted(text.split()[0] for text in told)
            assert answers == ["advanced", *["again"] * (_CHILDREN - 1)], told
            assert len({text.split(" ", 1)[1] for text in told}) == 1, told
            assert revocations.current(FAMILY) == number + 1

    def test_a_revocation_by_another_process_wins(self) -> None:
        revocations, clock = self.shared_list()

        def revoking(session: str) -> Callable[[], str]:
            mine = self.beside(clock)
            mine.current(FAMILY)

            def revoke() -> str:
                mine.revoke_session(ISSUER, session)
                return "done"

            return revoke

        def presenting(session: str) -> Callable[[], str]:
            mine, family = self.beside(clock), replace(FAMILY, session=session)
            mine.current(family)
            return lambda: present(mine, 0, family=family).answer

        for number in range(self.process_rounds):
            session = f"session {number}"
            ask = [partial(presenting, session)] * (_CHILDREN - 1)
            told = in_processes([partial(revoking, session), *ask])
            assert set(told[1:]) <= {"advanced", "again", "revoked"}, told
            family = replace(FAMILY, session=session)
            assert {present(revocations, presented, family=family).answer for presented in (0, 1)} == {"revoked"}
            assert revoked(revocations, session=session)


def _shown(revocations: RevocationList, number: int, asker: int) -> str:
    step = present(revocations, number, issued_at=FAMILY.started + asker)
    return f"{step.answer} {step.sequence} {step.issued_at} {step.expires_at}"
