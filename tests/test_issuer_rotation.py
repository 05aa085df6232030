"""Which key signs and which are published, as the clock moves: staged rotation, emergency, and who hears of it."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwtconnect_mw.issuer.keydoc import document, ring_from_jwks
from jwtconnect_mw.issuer.keyring import Entry, RefreshSecret, Ring, dropped, rotated
from jwtconnect_mw.issuer.keys import SigningKeys
from jwtconnect_mw.issuer.keystore import LOOK_EVERY
from jwtconnect_mw.testing import ManualClock

from .issuing import kids, states
from .kit import NOW, key
from .test_fork import Child

AHEAD = 3_900
LIFETIME = 1_800
ORDER = ["retired", "current", "next"]
GONE = LIFETIME + 300 + 60  # after a key stopped signing


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=["memory", "file"])
def keys(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> SigningKeys:
    source = tmp_path / "keys.json" if request.param == "file" else None
    return SigningKeys(source, access_lifetime=LIFETIME, clock=clock)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, {"old": "current", "new": "next"}),
        (AHEAD - 0.001, {"old": "current", "new": "next"}),
        (AHEAD, {"old": "retired", "new": "current"}),
        (AHEAD + GONE - 0.001, {"old": "retired", "new": "current"}),
        (AHEAD + GONE, {"new": "current"}),
        (10**9, {"new": "current"}),
        (-1, {"old": "current", "new": "next"}),  # a clock that was set back to before there were keys
        (-(10**9), {"old": "current", "new": "next"}),
    ],
)
@pytest.mark.parametrize("jumps", [1, 7])
def test_staged_rotation(
    keys: SigningKeys, clock: ManualClock, after: float, expected: dict[str, str], jumps: int
) -> None:
    """However the clock gets there."""
    names = {"old": keys.signer().kid, "new": keys.rotate()}
    for step in range(1, jumps + 1):
        clock.now = NOW + after * step / jumps
        keys.signer()
    clock.now = NOW + after
    assert states(keys) == {names[name]: state for name, state in expected.items()}
    current = next(kid for kid, state in states(keys).items() if state == "current")
    assert keys.signer().kid == current == kids(keys)[0]
    assert sorted(kids(keys)) == sorted(states(keys))


def test_the_times_that_are_listed(keys: SigningKeys, clock: ManualClock) -> None:
    clock.advance(100)
    keys.rotate()
    old, new = keys.list()
    assert (old.alg, old.published_at, old.signs_from) == ("ES256", NOW, NOW)
    assert (old.stopped_at, old.gone_at) == (NOW + 100 + AHEAD, NOW + 100 + AHEAD + GONE)
    assert (new.published_at, new.signs_from, new.stopped_at, new.gone_at) == (NOW + 100, NOW + 100 + AHEAD, None, None)


def test_a_clock_that_is_set_back_after_the_change(keys: SigningKeys, clock: ManualClock) -> None:
    old, new = keys.signer().kid, keys.rotate()
    clock.advance(AHEAD)
    assert keys.signer().kid == new
    clock.advance(-1)
    assert keys.signer().kid == old
    clock.advance(1)
    assert keys.signer().kid == new


def test_a_second_rotation_while_a_key_waits(keys: SigningKeys, clock: ManualClock) -> None:
    first, before = keys.rotate(), keys.key_set()
    clock.advance(AHEAD - 1)
    assert keys.rotate() == first
    assert keys.key_set() == before
    clock.advance(1)
    second = keys.rotate()
    assert second != first
    assert list(states(keys).values()) == ["retired", "current", "next"]


def test_rotation_at_once(keys: SigningKeys, clock: ManualClock) -> None:
    old = keys.signer().kid
    new = keys.rotate(at_once=True)
    assert keys.signer().kid == new
    assert states(keys) == {old: "retired", new: "current"}
    assert keys.rotate(at_once=True) != new, "also in the same second"
    clock.advance(GONE)
    assert len(kids(keys)) == 1


def test_rotation_at_once_takes_the_key_that_waits(keys: SigningKeys, clock: ManualClock) -> None:
    waiting = keys.rotate()
    clock.advance(100)
    assert keys.rotate(at_once=True) == waiting == keys.signer().kid
    assert len(kids(keys)) == 2


def test_rotations_after_the_clock_was_set_back(keys: SigningKeys, clock: ManualClock) -> None:
    """What signs now never starts again later."""
    first = keys.signer().kid
    clock.advance(-100_000)
    second = keys.rotate(at_once=True)
    assert keys.signer().kid == second
    third = keys.rotate()
    clock.advance(AHEAD)
    assert keys.signer().kid == third
    assert states(keys) == {first: "retired", second: "retired", third: "current"} or first not in kids(keys)
    clock.advance(200_000)
    assert keys.signer().kid == third


def test_a_waiting_key_is_taken_at_once_after_the_clock_was_set_back(keys: SigningKeys, clock: ManualClock) -> None:
    keys.rotate()
    clock.advance(-100_000)
    waiting = keys.rotate(at_once=True)
    assert keys.signer().kid == waiting
    clock.advance(100_000)
    assert keys.signer().kid == waiting


def test_dropping_the_signer_makes_a_new_one(keys: SigningKeys) -> None:
    old = keys.signer().kid
    keys.drop(old)
    assert old not in kids(keys)
    assert states(keys) == {keys.signer().kid: "current"}


def test_dropping_the_signer_lets_the_next_sign(keys: SigningKeys, clock: ManualClock) -> None:
    old, waiting = keys.signer().kid, keys.rotate()
    clock.advance(10)
    keys.drop(old)
    assert keys.signer().kid == waiting
    assert states(keys) == {waiting: "current"}
    assert keys.rotate() != waiting


def test_dropping_the_signer_does_not_bring_back_a_retired_key(keys: SigningKeys, clock: ManualClock) -> None:
    retired, leaked = keys.signer().kid, keys.rotate(at_once=True)
    clock.advance(10)
    keys.drop(leaked)
    assert keys.signer().kid not in (retired, leaked)
    assert states(keys)[retired] == "retired"


def test_dropping_does_not_bring_back_what_is_gone(keys: SigningKeys, clock: ManualClock) -> None:
    gone, leaked = keys.signer().kid, keys.rotate(at_once=True)
    clock.advance(GONE)
    keys.drop(leaked)
    assert gone not in kids(keys)


@pytest.mark.parametrize("state", ["next", "retired"])
def test_dropping_another_key(keys: SigningKeys, clock: ManualClock, state: str) -> None:
    keys.rotate()
    clock.advance(AHEAD)
    keys.rotate()
    signer = keys.signer().kid
    dropped = next(kid for kid, its in states(keys).items() if its == state)
    keys.drop(dropped)
    assert dropped not in kids(keys)
    assert len(kids(keys)) == 2
    assert keys.signer().kid == signer


def test_dropping_what_is_not_there(keys: SigningKeys) -> None:
    before = keys.key_set()
    with pytest.raises(KeyError):
        keys.drop("nobody")
    assert keys.key_set() == before


def test_dropping_the_refresh_secret(keys: SigningKeys) -> None:
    before, signer = keys.refresh_secrets(), keys.signer()
    keys.drop(before[0].kid)
    after = keys.refresh_secrets()
    assert len(after) == 1
    assert not set(before) & set(after)
    assert keys.signer() is signer


def waiting_ring() -> Ring:
    """As after a clock was set back: two keys wait, and the file had a second secret."""
    starts = (("current", NOW), ("next", NOW + 100), ("last", NOW + 200))
    entries = tuple(Entry(key("ES256", name), NOW, start) for name, start in starts)
    return Ring(entries, (RefreshSecret("one", b"1" * 32), RefreshSecret("two", b"2" * 32)))


def never() -> NoReturn:
    raise AssertionError("nothing is made")


def test_of_several_keys_that_wait_the_first_signs_at_once_and_the_others_as_before() -> None:
    ring = waiting_ring()
    made, kid = rotated(ring, NOW + 1, never, at_once=True)
    assert kid == "next-ES256"
    assert [entry.signs_from for entry in made.entries] == [NOW, NOW + 1, NOW + 200]
    left = dropped(ring, "current-ES256", NOW + 1, never, never)
    assert [(entry.key.kid, entry.signs_from) for entry in left.entries] == [
        ("next-ES256", NOW + 1),
        ("last-ES256", NOW + 200),
    ]


def test_of_several_refresh_secrets_one_is_dropped_and_none_made() -> None:
    ring = waiting_ring()
    left = dropped(ring, "one", NOW + 1, never, never)
    assert (left.entries, left.secrets) == (ring.entries, ring.secrets[1:])


def test_rotation_keeps_the_refresh_secret(keys: SigningKeys) -> None:
    before = keys.refresh_secrets()
    keys.rotate(at_once=True)
    assert keys.refresh_secrets() == before


def test_another_algorithm_comes_with_the_next_rotation(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    SigningKeys(tmp_path / "keys.json", clock=clock)
    same = SigningKeys(tmp_path / "keys.json", algorithm="ES256", clock=clock)
    assert caplog.messages == []
    keys = SigningKeys(tmp_path / "keys.json", algorithm="EdDSA", clock=clock)
    assert caplog.messages == ["the key file signs with ES256; EdDSA begins with the next rotation"]
    keys.rotate()
    assert keys.signer().alg == "ES256"
    clock.advance(AHEAD)
    assert (keys.signer().alg, same.signer().alg) == ("EdDSA", "EdDSA")
    assert SigningKeys(tmp_path / "keys.json", clock=clock).rotate(at_once=True) != keys.signer().kid
    clock.advance(LOOK_EVERY)
    assert keys.signer().alg == "EdDSA", "who names none makes one like the present one"


STEPS = st.sampled_from(["rotate", "at once", "drop signer", "drop oldest", "drop secret"]) | st.integers(1, 6_000)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_happens_no_token_outlives_its_key(steps: list[str | int]) -> None:
    """Of any sequence of changes: a token verifies while it is good (and 360 s more) unless its key was dropped, a key
    was published 3,900 s before it signs unless that was forced, and the file says all there is to say.
    """
    clock = ManualClock(NOW)
    keys = SigningKeys(access_lifetime=LIFETIME, clock=clock)
    signed: dict[str, float] = {}
    forced = {keys.signer().kid}
    for step in steps:
        before = set(kids(keys))
        if step == "rotate":
            keys.rotate()
        elif step == "at once":
            forced.add(keys.rotate(at_once=True))
        elif step == "drop secret":
            keys.drop(keys.refresh_secrets()[0].kid)
        elif isinstance(step, int):
            clock.advance(step)
        else:
            dropped = keys.signer().kid if step == "drop signer" else keys.list()[0].kid
            keys.drop(dropped)
            signed.pop(dropped, None)
            assert dropped not in kids(keys)
            forced.add(keys.signer().kid)
        signer, infos = keys.signer().kid, keys.list()
        signed[signer] = clock.now
        good = {kid for kid, when in signed.items() if clock.now < when + LIFETIME + 360}
        assert good <= set(kids(keys))
        assert [info.kid for info in infos if info.state == "current"] == [signer]
        assert [info.state for info in infos] == sorted((info.state for info in infos), key=ORDER.index)
        for info in infos:
            assert info.kid in before or info.published_at == clock.now
            assert info.kid in forced or info.signs_from == (info.published_at or 0) + AHEAD
        ring = keys._store.ring
        again = ring_from_jwks(json.loads(document(ring)), None, {entry.key.kid: entry.key for entry in ring.entries})
        assert again == ring


class Ear:
    def __init__(self, keys: SigningKeys) -> None:
        self.keys = keys
        self.heard: list[list[str]] = []

    def hear(self) -> None:
        self.heard.append(kids(self.keys))


def test_watching(keys: SigningKeys, clock: ManualClock) -> None:
    """Each change of what is published is told once, after it can be read; nothing else is."""
    ear, first = Ear(keys), keys.signer().kid
    keys.watch(ear.hear)
    second = keys.rotate()
    assert ear.heard == [[first, second]]
    keys.rotate()
    keys.drop(keys.refresh_secrets()[0].kid)
    with pytest.raises(KeyError):
        keys.drop("nobody")
    clock.advance(AHEAD)
    assert keys.signer().kid == second
    assert len(ear.heard) == 1, "the same keys are published"
    clock.advance(GONE)
    keys.signer()
    assert ear.heard[1:] == [[second]], "time alone"
    keys.drop(second)
    assert ear.heard[2:] == [kids(keys)]


def test_watchers_are_held_weakly_and_may_fail(
    keys: SigningKeys, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ear, heard = Ear(keys), []

    def fails() -> None:
        raise RuntimeError("what a watcher says is its own")

    keys.watch(fails)
    keys.watch(ear.hear)
    keys.watch(lambda: heard.append(1))
    keys.watch([].clear)
    keys.rotate(at_once=True)
    assert (len(ear.heard), heard) == (1, [1])
    assert caplog.messages[-1] == "a watcher of the signing keys failed: RuntimeError"
    assert "its own" not in caplog.text
    del ear
    gc.collect()
    keys.rotate(at_once=True)
    assert heard == [1, 1]
    assert len(keys._watchers) == 3


def test_a_watcher_may_change_the_keys(keys: SigningKeys) -> None:
    kept: list[str] = []

    def again() -> None:
        if not kept:
            kept.append(keys.rotate(at_once=True))

    keys.watch(again)
    first = keys.rotate(at_once=True)
    assert keys.signer().kid == kept[0] != first


def test_another_process_is_heard(tmp_path: Path, clock: ManualClock) -> None:
    """Here another object on the same file; looked at every five seconds, and at once before a change."""
    one, other = (SigningKeys(tmp_path / "keys.json", clock=clock) for _ in range(2))
    ear = Ear(other)
    other.watch(ear.hear)
    leaked = one.signer().kid
    one.drop(leaked)
    clock.advance(LOOK_EVERY - 0.001)
    assert other.signer().kid == leaked
    clock.advance(0.001)
    assert other.key_set() == one.key_set()
    assert ear.heard == [kids(one)]
    waiting = one.rotate()
    assert other.rotate() == waiting, "without waiting for the time to look"
    assert ear.heard[1:] == [kids(one)]
    one.drop(one.refresh_secrets()[0].kid)
    clock.advance(LOOK_EVERY)
    assert other.refresh_secrets() == one.refresh_secrets()
    assert len(ear.heard) == 2


def test_a_change_that_fails_still_tells_what_others_did(tmp_path: Path, clock: ManualClock) -> None:
    one, other = (SigningKeys(tmp_path / "keys.json", clock=clock) for _ in range(2))
    ear = Ear(other)
    other.watch(ear.hear)
    one.rotate()
    with pytest.raises(KeyError):
        other.drop("nobody")
    assert ear.heard == [kids(one)]


def test_threads(tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """While keys are rotated and dropped, each thread always has a signer, and it is published."""
    keys = SigningKeys(tmp_path / "keys.json", clock=clock)
    start, stop = threading.Barrier(9), threading.Event()
    wrong: list[object] = []

    def use() -> None:
        start.wait()
        while not stop.is_set():
            view = keys._current()
            if view.published[0].kid not in {key.kid for key in view.published} or not keys.key_set()["keys"]:
                wrong.append(view)
            keys.signer().sign_access_token({"sub": "alice"})

    def change() -> None:
        start.wait()
        for _ in range(10):
            keys.rotate(at_once=True)
            clock.advance(LOOK_EVERY)
            with contextlib.suppress(KeyError):  # the other thread was given the same key, and was quicker
                keys.drop(keys.rotate())

    threads = [threading.Thread(target=use) for _ in range(6)]
    changing = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads + changing:
        thread.start()
    start.wait()
    for thread in changing:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_looks_for_itself_at_what_its_parent_was_about_to_read(tmp_path: Path, clock: ManualClock) -> None:
    one, other = (SigningKeys(tmp_path / "keys.json", clock=clock) for _ in range(2))
    kid = one.rotate(at_once=True)
    clock.advance(LOOK_EVERY)
    other._store._looked_at = clock()  # type: ignore[attr-defined]  # as a thread does first that reads the file
    assert Child(lambda: other.signer().kid).result() == kid


def test_who_comes_while_another_is_at_it_does_not_wait(keys: SigningKeys, clock: ManualClock) -> None:
    old, new = keys.signer().kid, keys.rotate()
    clock.advance(AHEAD)
    with keys._lock:
        assert keys.signer().kid == old
    assert keys.signer().kid == new
