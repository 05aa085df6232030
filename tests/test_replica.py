"""A replica in use: what is honoured when, without a call to the backend; staleness; its thread; fork; processes."""

from __future__ import annotations

import gc
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import AuthError, ConfigurationError
from jwtconnect_mw.errors import RevocationUnavailable
from jwtconnect_mw.revocation import (
    MemoryRevocationList,
    ReplicatedRevocationList,
    SQLiteRevocationList,
    StaleCopyError,
)
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW, auth, token
from .remote import LIMIT, until
from .replicas import Backend, fill, honours, replica
from .test_fork import Child

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
STALENESS = 10.0
THREAD = "jwtconnect_mw-feed"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def timer() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def backend(tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    with closing(Backend(tmp_path / "revoked.db", clock=clock)) as backend:
        yield backend


@pytest.fixture
def make(backend: Backend, clock: ManualClock, timer: ManualClock) -> Iterator[Callable[..., ReplicatedRevocationList]]:
    """Replicas of the backend; their clocks stand still."""
    made: list[ReplicatedRevocationList] = []

    def one(**settings: Any) -> ReplicatedRevocationList:
        made.append(replica(backend, clock, **{"timer": timer, "max_staleness": STALENESS, **settings}))
        return made[-1]

    yield one
    backend.gate.set()
    for each in made:
        each.close()


def readers() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


# --- how it is built ---


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("backend", {"backend": MemoryRevocationList()}),
        ("backend", {"backend": SQLiteRevocationList}),
        ("backend", {"backend": None}),
        *[("max_staleness", {"max_staleness": value}) for value in (0, -1, 3601, float("nan"), True)],
        *[("poll", {"poll": value}) for value in (0, -1, 5.1, float("nan"), True)],
        ("on_stale", {"on_stale": "ignore"}),
    ],
)
def test_what_is_refused(backend: Backend, field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReplicatedRevocationList(**{"backend": backend, **settings})
    assert caught.value.field == field


def test_bounds_are_within(backend: Backend) -> None:
    with closing(ReplicatedRevocationList(backend, max_staleness=3600, poll=1800)) as revocations:
        assert revocations.sync(LIMIT)


def test_how_it_works(make: Callable[..., ReplicatedRevocationList], backend: Backend) -> None:
    revocations = make()
    assert (revocations.blocking, revocations.shared, revocations.authority) == (False, True, backend)
    assert readers() == 0
    assert backend.calls == []


# --- what is honoured, and when ---


def test_what_another_revokes_is_honoured(make: Callable[..., ReplicatedRevocationList], backend: Backend) -> None:
    one, other = make(), make()
    assert one.sync(LIMIT)
    assert other.sync(LIMIT)
    one.revoke_token(ISSUER, "t")
    one.revoke_session(ISSUER, "s")
    one.revoke_subject(ISSUER, "alice")
    assert other.sync(LIMIT)
    for each in (one, other, backend):
        assert revoked(each, token="t")
        assert revoked(each, session="s")
        assert revoked(each, subject="alice")
        assert not revoked(each, token="other", session="other", subject="other")


@pytest.mark.parametrize("synced", [True, False])
def test_what_is_revoked_here_is_honoured_at_once(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, synced: bool
) -> None:
    """Also where the feed is not: by then only the backend has to have taken it."""
    revocations = make(on_stale="allow")
    if synced:
        assert revocations.sync(LIMIT)
    backend.error = OSError()
    revocations.revoke_token(ISSUER, "t")
    revocations.revoke_session(ISSUER, "s")
    revocations.revoke_subject(ISSUER, "dave")
    start = revocations.start_family(ISSUER, "bob", alone=True)
    assert revocations.start_family(ISSUER, "carol") == NOW
    for number in (0, 1, 0):
        step = present(revocations, number)
    assert step.answer == "reuse"
    assert revoked(revocations, token="t")
    assert revoked(revocations, session="s")
    assert revoked(revocations, subject="dave", started=NOW)
    assert revoked(revocations, subject="bob", started=start - 1)
    assert revoked(revocations, session=FAMILY.session)
    assert revocations.current(FAMILY) == 2
    assert "is_revoked" not in backend.calls


@pytest.mark.parametrize("what", ["token", "session", "subject", "family", "reuse", "revoked"])
def test_what_is_revoked_here_starts_the_thread(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, what: str
) -> None:
    """Which drops it when it ends. What others had revoked is theirs to write back if it is lost."""
    revocations = make()
    act: dict[str, Callable[[], object]] = {
        "token": lambda: revocations.revoke_token(ISSUER, "t"),
        "session": lambda: revocations.revoke_session(ISSUER, "s"),
        "subject": lambda: revocations.revoke_subject(ISSUER, "dave"),
        "family": lambda: revocations.start_family(ISSUER, "bob", alone=True),
        "reuse": lambda: [present(revocations, number).answer for number in (0, 1, 0)],
        "revoked": lambda: present(revocations, 0).answer,
    }
    if what == "revoked":
        backend.revoke_subject(ISSUER, FAMILY.subject)
    backend.gate.clear()
    act[what]()
    assert readers() == 1
    waiting = [change.kind for change in revocations._follower._untold.missing(2, NOW, 9)]
    kind = {"family": "subject", "reuse": "session"}.get(what, what)
    assert waiting == ([] if what == "revoked" else [kind])


def test_what_the_backend_says_is_revoked_is_honoured_here(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    """Though another process revoked it and the feed has not told yet; who knows it already asks nothing."""
    one, two = make(), make()
    for each in (one, two):
        assert each.sync(LIMIT)
        each.close()  # no thread reads any more
        each._reader.trusted_until = float("inf")
    other = replace(FAMILY, session="other")
    backend.revoke_session(ISSUER, FAMILY.session)
    assert not revoked(one, session=FAMILY.session)
    backend.error = OSError()
    assert present(one, 0).answer == "revoked"
    assert revoked(one, session=FAMILY.session)
    backend.error = None
    backend.revoke_subject(ISSUER, FAMILY.subject)
    assert present(two, 0, family=other).answer == "revoked"
    assert revoked(two, session=other.session)
    assert revoked(two, subject=FAMILY.subject)  # by the feed, which was asked meanwhile
    asked = len(backend.calls)
    for _ in range(3):
        assert present(two, 0, family=other).answer == "revoked"
    assert backend.calls[asked:] == []


def test_a_subject_is_revoked_as_far_as_the_backend_says(backend: Backend) -> None:
    """Whose clock may be another one: a session that began since is not refused by a clock that is ahead."""
    with closing(replica(backend, ManualClock(NOW + 30))) as ahead:
        assert ahead.sync(LIMIT)
        ahead.revoke_subject(ISSUER, "alice")
        assert revoked(ahead, subject="alice", started=NOW)
        assert not revoked(ahead, subject="alice", started=backend.start_family(ISSUER, "alice"))


@pytest.mark.parametrize("unread", [None, 0, 999])
def test_a_bound_that_was_guessed_is_not_written_back(backend: Backend, unread: int | None) -> None:
    """It is where the copy cannot be brought up to date at once: a guess by a clock that is ahead, for this process."""
    with closing(replica(backend, ManualClock(NOW + 3))) as ahead:
        if unread is not None:
            assert ahead.sync(LIMIT)
            ahead._reader.close()
            fill(backend, unread)
            backend.error = None if unread else OSError()
        ahead.revoke_subject(ISSUER, "alice")
        start = backend.start_family(ISSUER, "alice")
        assert start == NOW + 1
        backend.error = None
        follower = ahead._follower
        done = follower.begun + 3
        if unread is None:
            until(lambda: follower.completed > done)
        while follower.completed < done:
            follower.step()
        assert "restore" not in backend.calls
        assert not revoked(backend, subject="alice", started=start)
        assert not follower._untold._waiting


@pytest.mark.parametrize(("before", "bound"), [(None, NOW - 60), (NOW - 7.5, NOW - 7.5), (NOW - 7, NOW - 6)])
def test_a_subject_whose_entry_is_lost_at_once(backend: Backend, before: float | None, bound: float) -> None:
    """Is revoked again as far as is sure."""
    with closing(replica(backend, ManualClock(NOW))) as revocations:
        assert revocations.sync(LIMIT)
        revocations._reader.close()
        backend.error = OSError()
        revocations.revoke_subject(ISSUER, "alice", before=before)
        backend.error = None
        with closing(sqlite3.connect(backend.path)) as connection, connection:
            connection.execute("DELETE FROM entries")
        for _ in range(3):
            revocations._follower.step()
        assert [revoked(backend, subject="alice", started=bound - past) for past in (0.25, 0)] == [True, False]


def test_what_the_backend_does_not_take_is_not_pretended(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    revocations = make()
    assert revocations.sync(LIMIT)
    backend.close()
    for revoke in (revocations.revoke_token, revocations.revoke_session, revocations.revoke_subject):
        with pytest.raises(sqlite3.ProgrammingError):
            revoke(ISSUER, "x")
    assert not revoked(revocations, token="x", session="x", subject="x")


def test_requests_make_no_call_to_the_backend(make: Callable[..., ReplicatedRevocationList], backend: Backend) -> None:
    """Whatever becomes of them, and on either colour; the feed is asked by its own thread alone."""
    revocations = make()
    bearer_auth = auth(revocations=revocations)
    assert revocations.sync(LIMIT)
    good, bad = (f"Bearer {token({'jti': name})}" for name in ("good", "bad"))
    revocations.revoke_token(ISSUER, "bad")
    backend.hang()
    backend.calls.clear()
    for _ in range(100):
        assert bearer_auth.authenticate(good) is not None
        with pytest.raises(AuthError, match="revoked"):
            bearer_auth.authenticate(bad)
    assert backend.calls == []


def test_fifty_threads(make: Callable[..., ReplicatedRevocationList]) -> None:
    """Each sees at once what it revoked, while all of them look up; at the end everybody sees everything."""
    revocations, other = make(), make()
    assert revocations.sync(LIMIT)

    def live(name: int) -> None:
        for number in range(4):
            revocations.revoke_token(ISSUER, f"{name} {number}")
            assert honours(revocations, f"{name} {number}", f"{name} x") == [True, False]

    together([partial(live, name) for name in range(50)])
    assert other.sync(LIMIT)
    assert all(honours(other, *[f"{name} {number}" for name in range(50) for number in range(4)]))


# --- staleness ---


def verdict(revocations: ReplicatedRevocationList) -> str:
    """Of a token that is not revoked, and of one that is, as far as this copy knows."""
    bearer_auth = auth(revocations=revocations)
    found = []
    for name in ("good", "known"):
        try:
            bearer_auth.authenticate(f"Bearer {token({'jti': name})}")
            found.append("accepted")
        except AuthError as error:
            found.append(error.reason)
    return " ".join(found)


@pytest.mark.parametrize(
    ("age", "on_stale", "expected", "state"),
    [
        (None, "refuse", "revocation_unavailable revocation_unavailable", "missing"),
        (None, "allow", "accepted accepted", "missing"),
        (0.0, "refuse", "accepted revoked", "fresh"),
        (9.5, "refuse", "accepted revoked", "fresh"),
        (9.5, "allow", "accepted revoked", "fresh"),
        (10.0, "refuse", "revocation_unavailable revocation_unavailable", "missing"),
        (10.0, "allow", "accepted revoked", "stale"),
        (1e9, "refuse", "revocation_unavailable revocation_unavailable", "missing"),
        (1e9, "allow", "accepted revoked", "stale"),
    ],
)
def test_staleness(
    make: Callable[..., ReplicatedRevocationList],
    backend: Backend,
    clock: ManualClock,
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
    age: float | None,
    on_stale: str,
    expected: str,
    state: str,
) -> None:
    """The whole table; what is logged is logged once; and it recovers by itself."""
    backend.revoke_token(ISSUER, "known")
    revocations = make(on_stale=on_stale)
    if age is not None:
        assert revocations.sync(LIMIT)
    if age is None:
        backend.gate.clear()
    else:
        backend.hang()
        timer.advance(age)
    with caplog.at_level(logging.INFO):
        assert {verdict(revocations) for _ in range(5)} == {expected}
        health = revocations.health()
        assert (health["state"], health["age"]) == (state, age)
        assert health["entries"] == (0 if age is None else 1)
        assert health["last_success"] == (None if age is None else NOW)
        backend.gate.set()
        assert revocations.sync(LIMIT)
        assert verdict(revocations) == "accepted revoked"
    refused = "refused" if on_stale == "refuse" else "go on without what was revoked since"
    if state != "fresh":
        until(lambda: "up to date again" in caplog.text)  # the thread says so after the copy is
    # To the copy, a timer that goes on without the clock is a clock that was set back.
    told = [record.getMessage() for record in caplog.records if "set back" not in record.getMessage()]
    if state == "fresh":
        assert told == []
    else:
        assert len(told) == 2
        assert refused in told[0]
        assert ("not filled yet" in told[0]) is (age is None)
        # Requests that are refused until a process is ready are no fault.
        assert caplog.records[0].levelno == (logging.WARNING if age is None and on_stale == "refuse" else logging.ERROR)
        assert told[1] == "the copy of the revocation list is up to date again"
    assert revocations.health()["state"] == "fresh"


def test_a_clock_that_is_set_makes_nothing_stale_and_nothing_fresh(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, clock: ManualClock, timer: ManualClock
) -> None:
    revocations = make()
    assert revocations.sync(LIMIT)
    backend.hang()
    for jump in (-1e6, 2e6, -1e6):
        clock.advance(jump)
        assert not revoked(revocations, token="x")
    timer.advance(STALENESS)
    clock.advance(-1e6)
    with pytest.raises(StaleCopyError):
        revoked(revocations, token="x")


def test_a_copy_that_stays_too_old_is_not_told_to_be_good(
    make: Callable[..., ReplicatedRevocationList],
    backend: Backend,
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "jwtconnect_mw")
    revocations = make()
    assert revocations.sync(LIMIT)
    backend.error = OSError()
    asked = len(backend.calls)
    until(lambda: len(backend.calls) > asked)
    timer.advance(STALENESS)
    with pytest.raises(StaleCopyError, match="too old"):
        revoked(revocations, token="x")
    asked = len(backend.calls)
    until(lambda: len(backend.calls) > asked + 2)
    assert "up to date again" not in caplog.text


def test_a_stale_copy_is_a_503_on_either_colour(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    import asyncio

    backend.gate.clear()
    bearer_auth = auth(revocations=make())
    with pytest.raises(RevocationUnavailable):
        asyncio.run(bearer_auth.aauthenticate("Bearer " + token()))


def test_slow_answers_age_by_as_much(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, timer: ManualClock
) -> None:
    """What was written while an answer was on its way may not be in it."""
    backend.gate.clear()
    revocations = make()
    revocations.health()
    assert backend.entered.wait(LIMIT)
    timer.advance(2)
    backend.entered.clear()
    backend.gate.set()
    assert revocations.sync(LIMIT)
    until(lambda: revocations.health()["age"] == 0)


# --- the thread ---


def test_a_stampede_starts_one_thread(make: Callable[..., ReplicatedRevocationList], backend: Backend) -> None:
    backend.gate.clear()
    revocations = make()

    def ask() -> None:
        with suppress(StaleCopyError):
            revoked(revocations, token="x")

    together([ask] * 50)
    assert readers() == 1
    backend.gate.set()
    assert revocations.sync(LIMIT)
    together([partial(revoked, revocations, token="x")] * 50)
    assert readers() == 1
    revocations.close()
    assert readers() == 0


def test_two_threads_that_start_it_at_once(make: Callable[..., ReplicatedRevocationList]) -> None:
    """The second neither waits nor starts another."""
    revocations = make()
    with revocations._reader._lock:
        with pytest.raises(StaleCopyError):
            revoked(revocations, token="x")
        assert readers() == 0
    reader = revocations._reader
    known = reader._lock

    class Meanwhile:
        """A lock before which another thread has just started it."""

        def acquire(self, blocking: bool) -> bool:
            reader._thread = threading.current_thread()
            return known.acquire(blocking)

        def release(self) -> None:
            known.release()

    reader._lock = Meanwhile()  # type: ignore[assignment]  # as much of a lock as is used
    reader.ensure()
    assert readers() == 0
    reader._thread, reader._lock = None, known


@pytest.mark.parametrize("death", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_a_thread_that_dies_is_reported_and_replaced(
    make: Callable[..., ReplicatedRevocationList],
    backend: Backend,
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
    death: BaseException,
) -> None:
    revocations = make()
    assert revocations.sync(LIMIT)
    for name in ("x", "y"):
        backend.error = death
        until(lambda: readers() == 0)
        backend.error = None
        assert not revoked(revocations, token=name)  # the copy is young enough still
        assert readers() == 0  # and another is not started at once
        timer.advance(1)
        assert not revoked(revocations, token=name)
        backend.revoke_token(ISSUER, name)
        assert revocations.sync(LIMIT)
        assert revoked(revocations, token=name)
    assert caplog.messages == ["the thread that reads the feed of the revocation list died; it is tried again"] * 2


def test_a_thread_that_ended_without_a_word(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, timer: ManualClock
) -> None:
    """Nothing else is asked than whether it is alive."""
    revocations = make()
    assert revocations.sync(LIMIT)
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    revocations._reader._thread = ended
    timer.advance(2)
    revocations.health()
    assert revocations._reader._thread is not ended
    backend.revoke_token(ISSUER, "x")
    assert revocations.sync(LIMIT)
    assert revoked(revocations, token="x")


def test_a_thread_that_keeps_dying_leaves_the_copy_stale(
    make: Callable[..., ReplicatedRevocationList],
    backend: Backend,
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    revocations = make()
    assert revocations.sync(LIMIT)
    backend.error = SystemExit()
    for _ in range(12):
        until(lambda: readers() == 0)
        timer.advance(1)
        with suppress(StaleCopyError):
            revoked(revocations, token="x")
    with pytest.raises(StaleCopyError):
        revoked(revocations, token="x")
    assert [message.rpartition(" ")[2] for message in caplog.messages] == ["again", "refused"]


def test_a_thread_that_cannot_be_started(
    make: Callable[..., ReplicatedRevocationList],
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING, "jwtconnect_mw")
    revocations = make()

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        for _ in range(3):
            with pytest.raises(StaleCopyError):
                revoked(revocations, token="x")
            timer.advance(1)
    assert revocations.sync(LIMIT)
    assert not revoked(revocations, token="x")
    assert caplog.messages == [
        "the thread that reads the feed of the revocation list cannot be started; it is tried again",
        "the copy of the revocation list is not filled yet: requests are refused",
    ]


def test_closing_ends_the_thread_for_good(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, timer: ManualClock
) -> None:
    revocations = make()
    revocations.close()
    assert not revocations.sync(LIMIT)
    with pytest.raises(StaleCopyError):
        revoked(revocations, token="x")
    revocations = make()
    assert revocations.sync(LIMIT)
    revocations.close()
    revocations.close()
    timer.advance(STALENESS)
    with pytest.raises(StaleCopyError):
        revoked(revocations, token="x")
    assert readers() == 0
    revocations.revoke_token(ISSUER, "x")  # the backend is not closed
    assert readers() == 0
    assert revoked(backend, token="x")


def test_closing_while_the_backend_is_asked(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwtconnect_mw.revocation.reader._PATIENCE", 0.01)
    backend.gate.clear()
    revocations = make()
    revocations.health()
    assert backend.entered.wait(LIMIT)
    revocations.close()
    assert readers() == 1
    backend.gate.set()
    until(lambda: readers() == 0)
    assert revocations._reader.trusted_until == float("-inf")


def test_closing_from_its_own_thread(make: Callable[..., ReplicatedRevocationList]) -> None:
    revocations = make()
    closed = threading.Event()

    def close(age: float) -> None:
        revocations.close()
        closed.set()

    revocations.watch(close)
    revocations.sync(LIMIT)
    assert closed.wait(LIMIT)
    until(lambda: readers() == 0)


def test_a_replica_that_is_dropped_ends_its_thread(backend: Backend, clock: ManualClock) -> None:
    revocations = replica(backend, clock)
    assert revocations.sync(LIMIT)
    gone = weakref.ref(revocations)
    del revocations
    gc.collect()
    assert gone() is None
    until(lambda: readers() == 0)


def test_sync_gives_up_in_time(make: Callable[..., ReplicatedRevocationList], backend: Backend) -> None:
    backend.gate.clear()
    revocations = make()
    assert not revocations.sync(0.01)
    backend.gate.set()
    assert revocations.sync(LIMIT)


def test_who_watches_is_told_the_age(
    make: Callable[..., ReplicatedRevocationList],
    backend: Backend,
    timer: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where there never was a copy, how long that has been so."""
    revocations = make()
    ages: list[float] = []

    def failing(age: float) -> None:
        raise ValueError("x")

    revocations.watch(failing)
    revocations.watch(ages.append)
    backend.error = OSError()
    revocations.health()
    until(lambda: backend.calls.count("changes") > 1)
    timer.advance(20)
    until(lambda: 20.0 in ages)
    assert set(ages) == {0.0, 20.0}
    ages.clear()
    backend.error = None
    assert revocations.sync(LIMIT)
    backend.error = OSError()
    timer.advance(3)
    until(lambda: 3.0 in ages)
    assert 0.0 in ages
    assert sum("not called again" in message for message in caplog.messages) == 1


def test_an_epoch_that_changes_while_it_is_used(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    """Nothing that any process had seen is accepted, at any moment; and the backend has it again."""
    fill(backend, 2000)
    revocations, other = make(), make()
    assert revocations.sync(LIMIT)
    assert other.sync(LIMIT)
    backend.lose()
    until(lambda: honours(revocations, "0", "1999") == [True, True] and honours(backend, "0", "1999") == [True, True])
    revocations.revoke_token(ISSUER, "new")
    assert other.sync(LIMIT)
    assert honours(other, "0", "new") == [True, True]


# --- fork and processes ---


@needs_fork
def test_a_child_goes_on_with_the_copy_and_a_thread_of_its_own(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    revocations = make()
    backend.revoke_token(ISSUER, "x")
    assert revocations.sync(LIMIT)

    def work() -> list[Any]:
        before = readers()
        found = honours(revocations, "x", "y")  # at once, by what the parent knew
        started = readers()
        revocations.revoke_token(ISSUER, f"child {os.getpid()}")
        return [before, *found, started, revocations.sync(LIMIT), *honours(revocations, "y")]

    assert [child.result() for child in [Child(work) for _ in range(3)]] == [[0, True, False, 1, True, False]] * 3
    assert revocations.sync(LIMIT)
    assert readers() == 1
    assert len(revocations._copy) == 4


@needs_fork
@pytest.mark.parametrize("where", ["reading", "starting", "writing"])
def test_a_fork_while_something_is_under_way(
    make: Callable[..., ReplicatedRevocationList], backend: Backend, where: str
) -> None:
    backend.revoke_token(ISSUER, "x")
    revocations = make()
    locks = {"starting": revocations._reader._lock, "writing": revocations._copy._lock}
    if where == "reading":
        backend.gate.clear()
        revocations.health()
        assert backend.entered.wait(LIMIT)

    def work() -> list[Any]:
        backend.gate.set()
        return [revocations.sync(LIMIT), *honours(revocations, "x", "y")]

    with locks.get(where, nullcontext()):
        child = Child(work)
        assert child.result() == [True, True, False]


@needs_fork
def test_a_child_that_only_revokes_has_a_thread(
    make: Callable[..., ReplicatedRevocationList], backend: Backend
) -> None:
    """To read what its parent's cursor does not show."""
    revocations = make()
    assert revocations.sync(LIMIT)

    def work() -> int:
        revocations.revoke_subject(ISSUER, "dave")
        return readers()

    assert Child(work).result() == 1


@needs_fork
def test_processes_tell_each_other(tmp_path: Path, clock: ManualClock) -> None:
    """Each has its own file handle, copy and thread, and revokes something that all the others honour."""
    path = tmp_path / "revoked.db"
    with closing(SQLiteRevocationList(path, clock=clock)):
        pass

    def work(own: int) -> int:
        with closing(SQLiteRevocationList(path, clock=clock)) as backend:
            revocations = ReplicatedRevocationList(backend, clock=clock)
            assert revocations.sync(LIMIT)
            revocations.revoke_token(ISSUER, f"{own}")
            until(lambda: all(honours(revocations, *map(str, range(4)))))
            revocations.close()
        return readers()

    assert [child.result() for child in [Child(partial(work, own)) for own in range(4)]] == [0] * 4
