"""The verified-token cache: bounded, and every hit judged again."""

from __future__ import annotations

import threading

import pytest

from jwtconnect_mw import AuthError
from jwtconnect_mw.cache import GenerationCache
from jwtconnect_mw.testing import ManualClock

from .kit import NOW, auth, key, policy, token


def filled(size: int, weight: int, count: int, each: int = 1) -> GenerationCache[str, int]:
    cache: GenerationCache[str, int] = GenerationCache(size, weight)
    for number in range(count):
        cache.put(str(number), number, each)
    return cache


def test_it_keeps_at_most_its_size() -> None:
    cache = filled(10, 10**6, 1000)
    assert 5 <= len(cache) <= 10
    assert cache.get("999") == 999
    assert cache.get("0") is None


def test_it_keeps_at_most_its_weight() -> None:
    assert len(filled(1000, 100, 1000, each=10)) <= 10


def test_what_is_too_heavy_or_a_size_of_nothing_is_not_kept() -> None:
    assert len(filled(10, 100, 1, each=51)) == 0
    assert len(filled(0, 100, 5)) == 0


def test_what_is_used_stays() -> None:
    cache = filled(10, 10**6, 1)
    for number in range(1, 1000):
        cache.put(str(number), number, 1)
        assert cache.get("0") == 0


def test_drop() -> None:
    cache = filled(10, 10**6, 8)  # in both generations
    for name in "0", "7":
        assert cache.get(name) is not None
        cache.drop(name)
        assert cache.get(name) is None


def test_threads_never_find_what_was_not_put() -> None:
    cache: GenerationCache[str, str] = GenerationCache(50, 10**6)
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
    assert len(cache) <= 60  # a race may leave a few more for one generation


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
    clock.now = NOW
    assert bearer_auth.authenticate(value)
    clock.now = NOW - 31
    assert reason_of(bearer_auth, value) == "not_yet_valid"


def test_the_same_token_is_the_same_value_and_scopes_bind_at_a_hit() -> None:
    bearer_auth = auth(required_scopes=["read"])
    value = "Bearer " + token()
    assert bearer_auth.authenticate(value) is bearer_auth.authenticate(value)
    poor = "Bearer " + token({"scope": ""})
    assert {reason_of(bearer_auth, poor) for _ in range(3)} == {"insufficient_scope"}


def test_refused_tokens_are_not_remembered() -> None:
    bearer_auth = auth()
    for number in range(100):
        assert (
            reason_of(bearer_auth, f"Bearer {token(by=key('ES256', 'evil'), header={'kid': key().kid})}")
            == "bad_signature"
        )
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
    bearer_auth.authenticate("Bearer " + token(header={"x": "y" * 500}))  # too long to remember
    assert len(bearer_auth._verifier._headers) == 1


def test_long_tokens_are_not_cached() -> None:
    bearer_auth = auth()
    value = "Bearer " + token({"x": "y" * 4000})
    assert bearer_auth.authenticate(value) is not bearer_auth.authenticate(value)


def test_the_cache_can_be_off() -> None:
    bearer_auth = auth(policy(), cache_size=0)
    value = "Bearer " + token()
    assert bearer_auth.authenticate(value) is not bearer_auth.authenticate(value)
