"""The memory list, and that every request asks it, cached or not."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jwtconnect_mw import AuthError
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock, RevocationListConformance
from jwtconnect_mw.testing.revocation import processes
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW, auth, policy, token
from .test_fork import Child

List = MemoryRevocationList


class TestConformance(RevocationListConformance):
    def make(self, clock: Callable[[], float]) -> List:
        return List(clock=clock)


def started_at(moment: float) -> dict[str, Any]:
    return {"auth_time": moment}


@pytest.mark.parametrize(
    ("revoke", "changes", "revoked"),
    [
        (lambda r: r.revoke_token(ISSUER, "token-1"), {}, True),
        (lambda r: r.revoke_token(ISSUER, "token-2"), {}, False),
        (lambda r: r.revoke_token("https://other.example", "token-1"), {}, False),
        (lambda r: r.revoke_token(ISSUER, "token-1"), {"jti": ...}, False),
        (lambda r: r.revoke_session(ISSUER, "s"), {"sid": "s"}, True),
        (lambda r: r.revoke_session(ISSUER, "s"), {"sid": "t"}, False),
        (lambda r: r.revoke_session(ISSUER, "s"), {}, False),
        (lambda r: r.revoke_session(ISSUER, "s"), {"sid": ["s"]}, False),
        (lambda r: r.revoke_session("https://other.example", "s"), {"sid": "s"}, False),
        (lambda r: r.revoke_subject(ISSUER, "alice"), {}, True),
        (lambda r: r.revoke_subject(ISSUER, "bob"), {}, False),
        (lambda r: r.revoke_subject(ISSUER, "alice"), {"sub": ...}, False),
        (lambda r: r.revoke_subject("https://other.example", "alice"), {}, False),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 5), started_at(NOW - 6), True),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 5), started_at(NOW - 5), True),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 5), started_at(NOW - 4.5), True),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 5), started_at(NOW - 4), False),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 4.5), started_at(NOW - 5), True),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 4.5), started_at(NOW - 4), False),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 10), {}, True),  # iat is NOW - 10
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 11), {}, False),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 11), {"iat": ...}, True),
        (lambda r: r.revoke_subject(ISSUER, "alice", before=NOW - 11), started_at("now"), True),  # type: ignore[arg-type]
    ],
)
def test_what_is_revoked(revoke: Callable[[List], None], changes: dict[str, Any], revoked: bool) -> None:
    revocations = List(clock=ManualClock(NOW))
    bearer_auth = auth(revocations=revocations)
    value = "Bearer " + token(changes)
    assert bearer_auth.authenticate(value)
    revoke(revocations)
    for again in (bearer_auth, auth(revocations=revocations)):  # from the cache, and for the first time
        if revoked:
            with pytest.raises(AuthError) as caught:
                again.authenticate(value)
            assert (caught.value.status, caught.value.reason) == (401, "revoked")
        else:
            assert again.authenticate(value)


@pytest.mark.parametrize("kind", ["token", "session", "subject"])
def test_an_entry_ends_with_what_it_can_meet(kind: str) -> None:
    clock = ManualClock(NOW)
    revocations = List(clock=clock)
    revoke = getattr(revocations, f"revoke_{kind}")
    for end in (50, 100, 70, 100):  # never shortens
        revoke(ISSUER, "x", expires_at=NOW + end)
    asked = {"token": ("x", None, None), "session": (None, "x", None), "subject": (None, None, "x")}[kind]
    last = NOW + 100 + 360
    assert revocations.is_revoked(ISSUER, *asked, NOW - 1, last - 1)
    assert not revocations.is_revoked(ISSUER, *asked, NOW - 1, last)
    assert len(revocations) == 1
    assert revocations.purge(last - 1) == 1  # its first end: it stays for the longer one
    assert len(revocations) == 1
    assert revocations.purge(last) == 1
    assert len(revocations) == 0


def test_a_later_subject_revocation_reaches_further_and_an_earlier_does_not_undo_it() -> None:
    revocations = List(clock=ManualClock(NOW))
    revocations.revoke_subject(ISSUER, "alice", before=NOW)
    revocations.revoke_subject(ISSUER, "alice", before=NOW - 100)
    assert revocations.is_revoked(ISSUER, None, None, "alice", NOW, NOW)


def test_unknown_ends_are_far_enough() -> None:
    revocations = List(clock=ManualClock(NOW))
    revocations.revoke_session(ISSUER, "s")
    assert revocations.is_revoked(ISSUER, None, "s", None, None, NOW + 30 * 86_400)


def test_memory_returns_with_further_writes() -> None:
    clock = ManualClock(NOW)
    revocations = List(clock=clock)
    for number in range(1000):
        revocations.revoke_token(ISSUER, str(number), expires_at=NOW + 10)
    clock.advance(1000)
    for number in range(70):
        revocations.revoke_token(ISSUER, f"new-{number}", expires_at=NOW + 5000)
    assert len(revocations) == 70


def test_memory_returns_a_little_at_a_time() -> None:
    """All of it, though some entries stay, and in steps whose work is bounded."""
    clock = ManualClock(NOW)
    revocations = List(clock=clock)
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        for number in range(50_000):
            revocations.revoke_token(ISSUER, f"token-{number}", expires_at=NOW + 3600 + (number % 100 == 0) * 86_400)
        held = tracemalloc.get_traced_memory()[0] - start
        clock.advance(3600 + 360)
        steps = [revocations.purge(clock.now, limit=16) for _ in range(50_000 // 16)]
        assert max(steps) == 16
        assert revocations.purge(clock.now) == 0
        gc.collect()
        assert len(revocations) == 500
        assert tracemalloc.get_traced_memory()[0] - start < held / 20
    finally:
        tracemalloc.stop()
    assert all(
        revocations.is_revoked(ISSUER, f"token-{number}", None, None, None, clock.now)
        for number in range(0, 50_000, 100)
    )


def test_what_is_prolonged_again_and_again_takes_no_more_memory() -> None:
    revocations = List(clock=ManualClock(NOW))
    for number in range(100):
        revocations.revoke_session(ISSUER, "s", expires_at=NOW + number)
        revocations.revoke_subject(ISSUER, "bob", expires_at=NOW + number)
        present(revocations, number, NOW, keep_until=NOW + 500 + number)
    assert len(revocations) == len(revocations._ends) == 3


def test_what_ended_and_is_written_again_is_purged_again() -> None:
    clock = ManualClock(NOW)
    revocations = List(clock=clock)
    for _ in range(3):
        revocations.revoke_session(ISSUER, "s", expires_at=clock.now)
        present(revocations, 0, clock.now, keep_until=clock.now)
        clock.advance(1000)
    assert revocations.purge(clock.now) == 2
    assert len(revocations) == len(revocations._ends) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_thread_writes() -> None:
    revocations = List(clock=ManualClock(NOW))
    revocations.revoke_token(ISSUER, "before")
    with revocations._lock:
        assert Child(lambda: _use(revocations)).result() == [True, True, "advanced"]
    assert _use(revocations) == [True, True, "advanced"]


def _use(revocations: List) -> list[object]:
    revocations.revoke_token(ISSUER, "x")
    found = [revoked(revocations, token="before"), revoked(revocations, token="x")]
    return [*found, present(revocations, 0).answer]


def test_a_fork_between_the_two_writes_of_an_entry() -> None:
    """The end was noted, the entry not yet written: it is purged all the same when it is written later."""
    revocations = List(clock=ManualClock(NOW))
    revocations._expect(0, (ISSUER, "x"), NOW + 1.0)
    assert revocations.purge(NOW + 1) == 1
    revocations._expect(0, (ISSUER, "x"), NOW + 1.0)
    revocations.revoke_token(ISSUER, "x", expires_at=NOW)
    assert len(revocations) == 1
    for _ in range(3):
        revocations.purge(NOW + 360)
    assert len(revocations) == len(revocations._ends) == 0


def test_families_of_before_the_list_are_unknown() -> None:
    revocations = List(clock=ManualClock(NOW + 0.5))
    assert revocations.current(FAMILY) == 0
    old = replace(FAMILY, started=NOW - 1)
    assert revocations.current(old) is None
    assert present(revocations, 0, family=old).answer == "unknown"


def test_a_list_that_is_gone_is_not_kept() -> None:
    """The hook that runs after a fork holds nothing alive."""
    gone = weakref.ref(List())
    gc.collect()
    assert gone() is None


def test_names_of_the_package() -> None:
    from jwtconnect_mw import revocation
    from jwtconnect_mw.revocation.sqlite import SQLiteRevocationList

    assert revocation.SQLiteRevocationList is SQLiteRevocationList
    with pytest.raises(AttributeError):
        _ = revocation.NoSuchList
    script = "import sys, jwtconnect_mw.revocation, jwtconnect_mw.wsgi; print('sqlite3' in sys.modules)"
    # Coverage would import it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


def test_a_backend_must_be_made() -> None:
    with pytest.raises(TypeError, match="overridden"):
        RevocationListConformance().make(ManualClock(NOW))


def test_what_a_conformance_test_says_of_a_thread_that_fails() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        together([fail, lambda: None])


class Broken:
    def is_revoked(self, *_: object) -> bool:
        raise OSError("down")


class Strange:
    def is_revoked(self, *_: object) -> bool:
        return None  # type: ignore[return-value]


def test_a_list_that_fails_fails_closed() -> None:
    with pytest.raises(AuthError) as caught:
        auth(revocations=Broken()).authenticate("Bearer " + token())
    assert (caught.value.status, caught.value.reason) == (503, "revocation_unavailable")
    assert "down" not in str(caught.value)
    with pytest.raises(AuthError) as caught:
        auth(revocations=Strange()).authenticate("Bearer " + token())
    assert caught.value.status == 401


def test_a_token_that_cannot_be_revoked_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    bearer_auth = auth(policy(), revocations=List())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert bearer_auth.authenticate("Bearer " + token({"jti": ..., "sub": ...}))
    assert caplog.text.count("cannot be revoked") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_conformance_test_says_of_a_process_that_fails_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Callable[[], str]:
        return lambda: str(1 // 0)

    assert processes.in_processes([fails, lambda: lambda: "told"]) == ["! ZeroDivisionError", "told"]
    monkeypatch.setattr(processes, "_LIMIT", 0.05)
    with pytest.raises(AssertionError, match="hangs"):
        processes.in_processes([lambda: lambda: str(os.read(os.pipe()[0], 1))])
