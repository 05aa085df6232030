"""Keys through time: fresh, refreshed ahead off the request, stale, gone; what headers and moved clocks do to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from jwtconnect_mw.keys.sources import soft_age
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import NOW
from .remote import DISCOVERY, LIMIT, Gate, World

HOUR, DAY = 3600, 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 300),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "public, MAX-AGE = 600 , must-revalidate"}, 600),
        ({"cache-control": 'max-age="600"'}, 600),
        ({"cache-control": "max-age=0"}, 60),
        ({"cache-control": "max-age=59"}, 60),
        ({"cache-control": "max-age=86400"}, 3600),
        ({"cache-control": "max-age=9999999999"}, 3600),
        ({"cache-control": "max-age=99999999999"}, 300),
        ({"cache-control": "no-store"}, 300),
        ({"cache-control": "max-age=-1"}, 300),
        ({"cache-control": "max-age=1e3"}, 300),
        ({"cache-control": "max-age=\u0661\u0660\u0660\u0660"}, 300),
        ({"cache-control": "s-maxage=600"}, 300),
        ({"cache-control": "x-max-age=600"}, 300),
        ({"cache-control": "max-age"}, 300),
        ({"cache-control": "max-age=600, max-age=900"}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": " 0100 "}, 500),
        ({"cache-control": "max-age=600", "age": "9000"}, 60),
        ({"cache-control": "max-age=600", "age": "9999999999"}, 60),
        ({"cache-control": "max-age=600", "age": "-5"}, 600),
        ({"cache-control": "max-age=600", "age": "x"}, 600),
        ({"cache-control": "max-age=600", "age": "\u0661"}, 600),
        ({"cache-control": "max-age=600", "age": "12345678901"}, 600),
        ({"age": "100"}, 300),
    ],
)
def test_the_soft_age(headers: dict[str, str], seconds: int) -> None:
    assert soft_age(headers) == seconds


@pytest.mark.parametrize(("cache_control", "seconds"), [(None, 300), ("max-age=600", 600), ("max-age=1", 60)])
def test_keys_are_refreshed_between_70_and_80_percent_of_it(
    issuer: FakeIssuer, clock: ManualClock, cache_control: str | None, seconds: int
) -> None:
    if cache_control:
        issuer.headers["Cache-Control"] = cache_control
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    clock.now = NOW + seconds * 0.69
    assert world.settled() == world.settled() == "accepted"
    assert world.fetches == 1
    clock.now = NOW + seconds * 0.81
    assert world.verdict() == "accepted"
    world.settle()
    assert world.fetches == 2
    assert world.settled() == "accepted"
    assert world.fetches == 2


@pytest.mark.parametrize("cached", [False, True])
def test_the_refresh_begins_at_its_moment(issuer: FakeIssuer, clock: ManualClock, cached: bool) -> None:
    world = World(issuer, clock)
    token = issuer.token()
    assert world.verdict(token if cached else None) == "accepted"
    clock.now = world.auth._store.issuers[issuer.url].refresh_at
    assert world.verdict(token) == "accepted"
    world.settle()
    assert world.fetches == 2


def test_a_clock_that_is_set_back_by_one_cooldown_leaves_keys_fresh(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    for back, state, fetches in ((30, "fresh", 1), (31, "stale", 2)):
        clock.now = NOW - back
        assert world.health()["state"] == state
        assert world.auth._store.issuers[issuer.url].tend(clock())
        assert world.verdict(issuer.token({"iat": clock.now})) == "accepted"
        world.settle()
        assert world.fetches == fetches


def test_a_child_without_keys_need_not_wait_for_the_cooldown_of_its_parent(
    issuer: FakeIssuer, clock: ManualClock
) -> None:
    world = World(issuer, clock)
    issuer.outage = "error"
    assert world.verdict() == "keys_unavailable"
    issuer.outage = None
    assert world.verdict() == "keys_unavailable"
    world.auth._store.after_fork()
    assert world.verdict() == "accepted"


def test_a_refresh_that_fails_does_not_shorten_the_time_of_the_keys(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    token = issuer.token({"exp": NOW + DAY})
    assert world.verdict(token) == "accepted"
    issuer.outage = "error"
    clock.now = NOW + 250
    assert world.settled(token) == world.settled(token) == "accepted"
    clock.now = NOW + 300 + HOUR - 1
    assert world.settled(token) == "accepted"
    clock.now = NOW + 300 + HOUR
    assert world.settled(token) == "keys_unavailable"


def test_keys_that_come_again_are_not_news(
    issuer: FakeIssuer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(issuer, clock)
    with caplog.at_level("INFO", "jwtconnect_mw"):
        for _ in range(3):
            world.refresh()
    assert caplog.text == ""


def test_the_moment_of_the_refresh_differs_between_processes(issuer: FakeIssuer, clock: ManualClock) -> None:
    moments: set[float] = set()
    for _ in range(20):
        world = World(issuer, clock)
        world.verdict()
        moments.add(world.auth._store.issuers[issuer.url].refresh_at - NOW)
    assert len(moments) > 10
    assert all(0.7 * 300 <= moment <= 0.8 * 300 for moment in moments)


def test_no_request_waits_for_a_refresh(issuer: FakeIssuer, clock: ManualClock) -> None:
    gate = Gate()
    gate.opened.set()
    world = World(issuer, clock, fetch=gate)
    token = issuer.token({"exp": NOW + DAY})
    assert world.verdict(token) == "accepted"
    gate.opened.clear()
    gate.entered.clear()
    clock.advance(HOUR)  # stale, and still good: from the cache of tokens and by its signature alike
    assert world.verdict(token) == world.verdict() == "accepted"
    assert gate.entered.wait(LIMIT)
    assert world.verdict(token) == world.verdict() == "accepted"
    assert world.health()["state"] == "stale"
    gate.opened.set()
    assert world.settled(token) == "accepted"
    assert world.health()["state"] == "fresh"
    assert gate.calls == 2


@pytest.mark.parametrize("validator", [("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")])
def test_a_refresh_is_conditional(issuer: FakeIssuer, clock: ManualClock, validator: tuple[str, str]) -> None:
    asked: list[dict[str, str]] = []
    gate = Gate()
    gate.opened.set()

    def fetch(url: str, headers: dict[str, str], timeout: float) -> object:
        asked.append(headers)
        return gate(url, headers, timeout)

    issuer.headers = {validator[0]: '"one"', "Cache-Control": "max-age=600"}
    world = World(issuer, clock, fetch=fetch)  # type: ignore[arg-type]
    assert world.verdict() == "accepted"
    before = world.auth._store.snapshot
    world.refresh()
    assert asked == [{}, {validator[1]: '"one"'}]
    assert world.auth._store.snapshot is before  # equal keys change nothing
    clock.advance(580)
    assert world.health()["state"] == "fresh"  # counted from the second answer, 304 or not
    key = issuer.rotate(drop_old=True)
    issuer.headers = {validator[0]: '"two"'}
    assert world.verdict(issuer.token(key=key)) == "accepted"
    assert asked[2] == {validator[1]: '"one"'}
    assert world.verdict(issuer.token(key=issuer.keys[0])) == "unknown_key"


def test_304_to_one_who_never_asked_is_a_failure(issuer: FakeIssuer, clock: ManualClock) -> None:
    from jwtconnect_mw.fetch import Fetched

    world = World(issuer, clock, fetch=lambda *_: Fetched(304, {}, b""))
    assert world.verdict() == "keys_unavailable"


def test_304_to_one_who_has_no_validators_is_a_failure(issuer: FakeIssuer, clock: ManualClock) -> None:
    from jwtconnect_mw import HttpFetch
    from jwtconnect_mw.fetch import Fetched

    get, answers = HttpFetch(), [200, 304]
    world = World(issuer, clock, fetch=lambda *asked: get(*asked) if answers.pop(0) == 200 else Fetched(304, {}, b""))
    assert world.verdict() == "accepted"
    world.refresh()
    assert world.health()["last_success"] == NOW


@pytest.mark.parametrize("keys", [None, DISCOVERY])
def test_stale_keys_serve_one_hour_and_no_longer(issuer: FakeIssuer, clock: ManualClock, keys: object) -> None:
    world = World(issuer, clock, keys=keys)
    cached = issuer.token({"exp": NOW + DAY})
    assert world.verdict(cached) == "accepted"
    issuer.outage = "error"
    verdicts: list[tuple[float, str]] = []
    for age in range(0, 2 * HOUR, 100):
        clock.now = NOW + age
        assert world.settled(cached) == world.verdict()
        verdicts.append((age, world.verdict()))
    changes = [(age, later) for (_, earlier), (age, later) in pairwise(verdicts) if earlier != later]
    assert verdicts[0] == (0, "accepted")
    assert changes == [(300 + HOUR, "keys_unavailable")]
    assert world.health() == {
        "state": "missing", "age": clock.now - NOW, "last_success": NOW, "last_attempt": clock.now, "keys": 1,
    }  # fmt: skip
    issuer.outage = None
    clock.advance(30)
    assert world.verdict(cached) == world.verdict() == "accepted"


def test_health(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    assert world.health() == {"state": "missing", "age": None, "last_success": None, "last_attempt": None, "keys": 0}
    world.auth.prefetch()
    times = {"last_success": NOW, "last_attempt": NOW, "keys": 1}
    assert world.health() == {"state": "fresh", "age": 0, **times}
    clock.advance(299)
    assert world.health() == {"state": "fresh", "age": 299, **times}
    clock.advance(1)
    assert world.health() == {"state": "stale", "age": 300, **times}
    clock.advance(HOUR)
    assert world.health() == {"state": "missing", "age": 300 + HOUR, **times}
    assert world.fetches == 1  # looking does nothing


@pytest.mark.parametrize("seconds", [2 * HOUR, 10 * 365 * DAY, -2 * HOUR, -10 * 365 * DAY])
def test_a_moved_clock_costs_one_fetch(issuer: FakeIssuer, clock: ManualClock, seconds: float) -> None:
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    clock.advance(seconds)
    key = issuer.rotate(drop_old=True)
    assert world.verdict() == "accepted"
    world.settle()
    assert world.fetches == 2
    assert world.health()["state"] == "fresh"
    assert world.verdict(issuer.token(key=key)) == "accepted"
    assert world.verdict(issuer.token(key=issuer.keys[0])) == "unknown_key"
    clock.advance(-seconds)
    assert world.settled() == world.settled() == "accepted"
    assert world.fetches == 3


@pytest.mark.parametrize("seconds", [-31, -DAY, -10 * 365 * DAY])
def test_a_clock_set_back_does_not_lengthen_the_service_of_stale_keys(
    issuer: FakeIssuer, clock: ManualClock, seconds: float
) -> None:
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    issuer.outage = "error"
    clock.advance(seconds)
    began = clock.now
    assert world.settled() == "accepted"  # the age is not known: stale from now
    assert world.health()["state"] == "stale"
    assert world.settled(issuer.token(header={"kid": "unknown"})) == "keys_unavailable"
    clock.now = began + HOUR - 1
    assert world.settled() == "accepted"
    clock.now = began + HOUR
    assert world.settled() == "keys_unavailable"


def test_small_steps_back_are_nothing(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    clock.advance(-29)
    assert world.settled() == world.settled() == "accepted"
    assert world.health() == {"state": "fresh", "age": 0, "last_success": NOW, "last_attempt": NOW, "keys": 1}
    assert world.fetches == 1
