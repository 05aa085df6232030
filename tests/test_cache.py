"""The verified-token cache: bounded, and every hit judged again."""

from __future__ import annotations

import gc
import inspect
import json
import os
import threading

import pytest

from jwtconnect_mw import AuthError
from jwtconnect_mw.cache import BoundedCache
from jwtconnect_mw.testing import ManualClock

from .kit import ISSUER, NOW, auth, claims, key, policy, raw, token


def filled(size: int, weight: int, count: int, each: int = 1) -> BoundedCache[str, int]:
    cache: BoundedCache[str, int] = BoundedCache(size, weight)
    for number in range(count):
        cache.put(str(number), number, each)
    return cache


def test_it_keeps_its_size() -> None:
    cache = filled(10, 10**6, 1000)
    assert len(cache) == 10
    assert cache.get("9") == 9


def test_it_keeps_its_weight() -> None:
    cache = filled(1000, 100, 1000, each=10)
    assert len(cache) == 10
    for number in range(2):
        cache.put("heavy", number, 95)
    assert len(cache) == 1
    assert cache.get("heavy") == 1


def test_no_more_goes_than_there_must_be_room_for() -> None:
    cache = filled(1000, 100, 10, each=10)
    for number in range(2):
        cache.put("new", number, 10)
    assert len(cache) == 10
    assert cache.get("new") == 1


def test_what_came_once_is_remembered_for_a_while() -> None:
    cache = filled(10, 10**6, 10)
    for name in "abca":
        cache.put(name, 1, 1)
    assert [name for name in "abc" if cache.get(name) is not None] == ["a"]


def test_what_is_too_heavy_or_a_size_of_nothing_is_not_kept() -> None:
    assert len(filled(10, 100, 1, each=101)) == 0
    assert len(filled(10, 100, 1, each=100)) == 1
    assert len(filled(0, 100, 5)) == 0


def test_what_comes_once_to_a_full_cache_drives_nothing_out() -> None:
    cache = filled(10, 10**6, 1000)
    assert [name for name in map(str, range(10)) if cache.get(name) is None] == []


def test_what_comes_again_gets_in_for_what_was_not_used() -> None:
    cache = filled(10, 10**6, 10)
    used = [name for name in "2468" if cache.get(name) is not None]
    for name in "abcdef":
        cache.put(name, 0, 1)
        cache.put(name, 0, 1)
    assert [name for name in used if cache.get(name) is None] == []
    assert [name for name in "abcdef" if cache.get(name) is None] == []
    assert len(cache) == 10


def test_where_all_were_used_the_oldest_go_after_a_bounded_search() -> None:
    cache = filled(100, 10**6, 100)
    for number in range(100):
        cache.get(str(number))
    cache.put("new", 1, 1)
    cache.put("new", 1, 1)
    assert cache.get("new") == 1
    assert cache.get("8") is None
    assert len(cache) == 100


def test_what_came_once_is_forgotten_in_time() -> None:
    cache = filled(10, 10**6, 10)
    cache.put("once", 1, 1)
    for number in range(10):
        cache.put(f"other {number}", 1, 1)
    cache.put("once", 1, 1)
    assert cache.get("once") is None
    assert len(cache._seen) <= 10


def test_what_is_wanted_need_not_be_weighed_else() -> None:
    cache = filled(10, 10**6, 9)
    assert cache.wants("new")
    cache.put("9", 9, 1)
    assert [cache.wants(name) for name in "abca"] == [False, False, False, True]
    cache.put("a", 1, 1)
    assert cache.get("a") == 1


def test_what_comes_once_is_not_wanted_where_weight_is_what_is_full() -> None:
    cache = filled(1000, 100, 11, each=10)
    assert [cache.wants(name) for name in "abca"] == [False, False, False, True]
    cache.put("a", 1, 10)
    assert cache.get("a") == 1
    for name in "01":
        cache.drop(name)
    cache.put("10", 10, 10)  # came before: there is room for it, and for the next one
    assert [cache.wants(name) for name in "xy"] == [True, True]


def test_a_larger_cache_may_weigh_more() -> None:
    """3,900 bytes a place, and no less than 16 MB, so that a small cache takes tokens of any length."""
    rooms = [auth(cache_size=size)._verifier._tokens._room for size in (0, 1, 4096, 4200, 100_000)]
    assert rooms == [-1, 16_000_000, 16_000_000, 4200 * 3900, 390_000_000]


def test_what_is_there_already_stays() -> None:
    cache = filled(10, 10**6, 1)
    cache.put("0", 1, 1)
    assert cache.get("0") == 0


def test_drop() -> None:
    cache = filled(10, 80, 8, each=10)
    for name in "0", "7":
        assert cache.get(name) is not None
        cache.drop(name)
        cache.drop(name)
        assert cache.get(name) is None
        cache.put(name, 1, 10)  # in the room that was given back
        assert cache.get(name) == 1
    assert len(cache) == 8


def test_a_place_whose_entry_was_dropped_is_used_again() -> None:
    cache = filled(3, 10**6, 3)
    cache.drop("1")
    for name in "ab":
        cache.put(name, 1, 1)
        cache.put(name, 1, 1)
    assert {name for name in "012ab" if cache.get(name) is not None} == {"2", "a", "b"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_does_not_wait_for_a_lock_that_a_thread_of_its_parent_held() -> None:
    cache = filled(3, 10**6, 1)
    with cache._lock:
        child = os.fork()
        if child == 0:
            cache.put("child", 1, 1)
            os._exit(0 if cache.get("child") == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_never_find_what_was_not_put() -> None:
    cache: BoundedCache[str, str] = BoundedCache(50, 10**6)
    start = threading.Barrier(4)
    wrong: list[object] = []

    def work() -> None:
        start.wait()
        for number in range(5000):
            name = str(number % 200)
            cache.put(name, name, 1)
            found = cache.get(str((number * 7) % 200))
            if found not in (None, str((number * 7) % 200)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) <= 50
    assert cache._room == 10**6 - len(cache)


def reason_of(bearer_auth: object, value: str) -> str:
    with pytest.raises(AuthError) as caught:
        bearer_auth.authenticate(value)  # type: ignore[attr-defined]
    return caught.value.reason


def test_time_is_judged_again_at_a_hit() -> None:
    clock = ManualClock(NOW)
    bearer_auth = auth(clock=clock)
    value = "Bearer " + token({"nbf": NOW - 20})
    assert bearer_auth.authenticate(value)
    clock.now = NOW + 309
    assert bearer_auth.authenticate(value)
    clock.now = NOW + 310
    assert reason_of(bearer_auth, value) == "expired"
    assert len(bearer_auth._verifier._tokens) == 0
    clock.now = NOW
    assert bearer_auth.authenticate(value)
    clock.now = NOW - 31
    assert reason_of(bearer_auth, value) == "not_yet_valid"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "issued_in_future"),
        ({"nbf": NOW - 30}, "issued_in_future"),
        ({"iat": NOW - 30, "nbf": NOW - 10}, "not_yet_valid"),
        ({"iat": ..., "nbf": NOW - 10}, "not_yet_valid"),
    ],
    ids=repr,
)
def test_the_later_of_nbf_and_iat_is_judged_again_at_a_hit(changes: dict[str, object], reason: str) -> None:
    clock = ManualClock(NOW)
    bearer_auth = auth(clock=clock)
    value = "Bearer " + token(changes)
    accepted = bearer_auth.authenticate(value)
    clock.now = NOW - 20
    assert bearer_auth.authenticate(value) is accepted
    clock.now = NOW - 21
    assert reason_of(bearer_auth, value) == reason


def test_a_token_that_is_remembered_keeps_no_older_snapshot_alive() -> None:
    bearer_auth = auth()
    value = "Bearer " + token()
    accepted = bearer_auth.authenticate(value)
    older = bearer_auth._store.snapshot
    keys = bearer_auth._store.issuers[ISSUER]
    bearer_auth._store._changed(keys)
    assert [holder for holder in gc.get_referrers(older) if not inspect.isframe(holder)] == []
    assert bearer_auth.authenticate(value) is accepted


def test_the_same_token_is_the_same_value_and_scopes_bind_at_a_hit() -> None:
    bearer_auth = auth(required_scopes=["read"])
    value = "Bearer " + token()
    assert bearer_auth.authenticate(value) is bearer_auth.authenticate(value)
    poor = "Bearer " + token({"scope": ""})
    assert {reason_of(bearer_auth, poor) for _ in range(3)} == {"insufficient_scope"}


def test_refused_tokens_are_not_remembered() -> None:
    bearer_auth = auth()
    forged = f"Bearer {token(by=key('ES256', 'evil'), header={'kid': key().kid})}"
    assert {reason_of(bearer_auth, forged) for _ in range(100)} == {"bad_signature"}
    assert len(bearer_auth._verifier._headers) == 0
    for number in range(100):
        assert reason_of(bearer_auth, f"Bearer {token({'exp': NOW - 60 - number, 'iat': ...})}") == "expired"
    assert len(bearer_auth._verifier._tokens) == 0
    assert len(bearer_auth._verifier._headers) <= 1


def test_headers_are_remembered_after_a_good_signature_only() -> None:
    bearer_auth = auth()
    for number in range(50):
        unsigned = token(header={"x": number}).rpartition(".")[0]
        reason_of(bearer_auth, f"Bearer {unsigned}.{'A' * 86}")
    assert len(bearer_auth._verifier._headers) == 0
    bearer_auth.authenticate("Bearer " + token())
    assert len(bearer_auth._verifier._headers) == 1
    length = len(json.dumps({"alg": "ES256", "kid": key().kid, "typ": "at+jwt", "x": ""}))
    bearer_auth.authenticate("Bearer " + token(header={"x": "y" * (385 - length)}))  # 514 characters: too long
    assert len(bearer_auth._verifier._headers) == 1
    bearer_auth.authenticate("Bearer " + token(header={"x": "y" * (384 - length)}))
    assert len(bearer_auth._verifier._headers) == 2


@pytest.mark.parametrize(("length", "cached"), [(4096, True), (4097, False)])
def test_long_tokens_are_not_cached(length: int, cached: bool) -> None:
    bearer_auth = auth()
    some = (token({"x": "y" * long}, {"x": "z" * more}) for long in range(2600, 2900) for more in range(3))
    value = "Bearer " + next(text for text in some if len(text) == length)
    assert (bearer_auth.authenticate(value) is bearer_auth.authenticate(value)) == cached


@pytest.mark.parametrize(("count", "more"), [(1, 0), (3, 0), (4, 4 * 128), (9, 9 * 128)])
def test_many_scopes_weigh_more(count: int, more: int) -> None:
    """Beside the length of the text, which is the same for all."""

    def weight(scope: str) -> int:
        bearer_auth = auth()
        room = bearer_auth._verifier._tokens._room
        assert bearer_auth.authenticate("Bearer " + token({"scope": scope}))
        return room - bearer_auth._verifier._tokens._room

    several = " ".join(f"s{number:02}" for number in range(count))
    assert weight(several) - weight("s" * len(several)) == more


@pytest.mark.parametrize(
    ("text", "ascii", "times"),
    [("plain", True, 1), ("é", False, 4), ("é", True, 4), ("\n", True, 4)],
    ids=["plain", "not ASCII", "escaped", "an escape of ASCII"],
)
def test_a_payload_weighs_what_python_makes_of_it(text: str, ascii: bool, times: int) -> None:
    """One character that is not Latin makes four octets of each: where there may be one, it is counted so."""
    payload = json.dumps(claims({"x": text}), ensure_ascii=ascii).encode()
    value = "Bearer " + raw(json.dumps({"alg": "ES256", "kid": key().kid}), payload)
    bearer_auth = auth()
    room = bearer_auth._verifier._tokens._room
    assert bearer_auth.authenticate(value)
    weight = room - bearer_auth._verifier._tokens._room
    assert weight - len(value) - times * len(payload) == 832 + 128 * (len(claims()))


def test_the_cache_can_be_off() -> None:
    bearer_auth = auth(policy(), cache_size=0)
    value = "Bearer " + token()
    assert bearer_auth.authenticate(value) is not bearer_auth.authenticate(value)
