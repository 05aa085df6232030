"""The memory list, and that every request asks it, cached or not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jwtconnect_mw import AuthError
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock, RevocationListConformance

from .kit import ISSUER, NOW, auth, policy, token

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


def test_many_threads() -> None:
    revocations = List(clock=ManualClock(NOW))
    start = threading.Barrier(8)

    def work(name: int) -> None:
        start.wait()
        for number in range(500):
            revocations.revoke_token(ISSUER, f"{name}-{number}", expires_at=NOW + number)
            assert revocations.is_revoked(ISSUER, f"{name}-{number}", None, None, None, NOW)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(revocations) == 4000
    assert revocations.purge(NOW + 10_000, limit=10_000) == 4000
    assert len(revocations) == 0


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
