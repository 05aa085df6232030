"""Keys that are published in this process are shared without HTTP, and what changes is seen at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.fetch import Fetched
from jwtconnect_mw.testing import ManualClock

from .kit import AUDIENCE, ISSUER, NOW, jwks, key, token


class Publisher:
    """As an issuer is one."""

    def __init__(self) -> None:
        self.keys = [key("ES256", "main")]
        self.asked = 0
        self.callbacks: list[Callable[[], object]] = []

    def key_set(self) -> Mapping[str, Any]:
        self.asked += 1
        return jwks(*self.keys)

    def watch(self, callback: Callable[[], object]) -> None:
        self.callbacks.append(callback)

    def change(self, *names: str) -> None:
        self.keys = [key("ES256", name) for name in names]
        for callback in self.callbacks:
            callback()


def no_fetch(*_: object) -> Fetched:
    raise AssertionError("nothing is fetched")


def protect(publisher: Publisher, clock: ManualClock) -> BearerAuth:
    policy = TrustedIssuer(ISSUER, audience=AUDIENCE, keys=publisher)
    return BearerAuth(policy, clock=clock, fetch=no_fetch)


@cache
def one_token(name: str) -> str:
    return token({"exp": NOW + 10**6}, by=key("ES256", name))


def verdict(bearer_auth: BearerAuth, name: str, *, cached: bool = False) -> str:
    text = one_token(name) if cached else token({"exp": NOW + 10**6}, by=key("ES256", name))
    try:
        bearer_auth.authenticate("Bearer " + text)
    except AuthError as error:
        return error.reason
    return "accepted"


def test_a_change_is_seen_at_once_in_both_directions() -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    bearer_auth = protect(publisher, clock)
    assert verdict(bearer_auth, "main") == "accepted"
    publisher.change("main", "next")
    assert [verdict(bearer_auth, name) for name in ("main", "next")] == ["accepted", "accepted"]
    publisher.change("next")  # such as a drop in an emergency: also for a token that is remembered
    assert [verdict(bearer_auth, name) for name in ("main", "next")] == ["unknown_key", "accepted"]


def test_the_same_key_of_another_issuer_is_no_way_round_a_drop() -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    older = TrustedIssuer("https://older.example", audience=AUDIENCE, keys=jwks(key("ES256", "main")))
    newer = TrustedIssuer(ISSUER, audience=AUDIENCE, keys=publisher)
    bearer_auth = BearerAuth(older, newer, clock=clock, fetch=no_fetch)
    publisher.keys = [key("ES256", "other")]  # dropped by another process; this one meets its next request much later
    clock.advance(3000)
    assert verdict(bearer_auth, "main") == "untrusted_issuer"


def test_a_change_that_nobody_tells_is_seen_within_seconds() -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    bearer_auth = protect(publisher, clock)
    publisher.keys = [key("ES256", "other")]  # by another process, in the file that both share
    clock.advance(3.4)
    assert verdict(bearer_auth, "main") == "accepted"
    clock.advance(1)
    assert verdict(bearer_auth, "main") == "unknown_key"
    assert verdict(bearer_auth, "other") == "accepted"


@pytest.mark.parametrize("idle", [5, 60, 3599, 10_000])
@pytest.mark.parametrize("remembered", [False, True])
def test_what_was_dropped_elsewhere_is_refused_after_any_silence(idle: float, remembered: bool) -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    bearer_auth = protect(publisher, clock)
    if remembered:
        assert verdict(bearer_auth, "main", cached=True) == "accepted"
    publisher.keys = [key("ES256", "other")]
    clock.advance(idle)
    assert verdict(bearer_auth, "main", cached=remembered) == "unknown_key"
    assert verdict(bearer_auth, "other") == "accepted"


def test_a_publisher_that_fails_is_not_asked_by_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    bearer_auth = protect(publisher, clock)
    asked: list[int] = []

    def fail() -> Mapping[str, Any]:
        asked.append(1)
        raise OSError

    monkeypatch.setattr(publisher, "key_set", fail)
    clock.advance(60)
    assert [verdict(bearer_auth, "main") for _ in range(20)] == ["accepted"] * 20
    assert len(asked) == 1
    clock.advance(10_000)
    assert verdict(bearer_auth, "main") == "keys_unavailable"


def test_requests_do_not_ask_the_publisher() -> None:
    publisher = Publisher()
    bearer_auth = protect(publisher, ManualClock(NOW))
    asked = publisher.asked
    assert [verdict(bearer_auth, "main") for _ in range(50)] == ["accepted"] * 50
    assert publisher.asked == asked


def test_what_was_read_before_a_change_does_not_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, clock = Publisher(), ManualClock(NOW)
    bearer_auth = protect(publisher, clock)
    key_set = publisher.key_set

    def overtaken() -> Mapping[str, Any]:
        old = key_set()
        monkeypatch.undo()
        publisher.change("new")
        return old

    monkeypatch.setattr(publisher, "key_set", overtaken)
    bearer_auth._store.issuers[ISSUER].reload()
    assert [verdict(bearer_auth, name) for name in ("main", "new")] == ["unknown_key", "accepted"]


def test_a_publisher_that_fails_leaves_the_keys_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher()
    bearer_auth = protect(publisher, ManualClock(NOW))
    publisher.keys = [None]  # type: ignore[list-item]
    bearer_auth._store.issuers[ISSUER].reload()
    assert verdict(bearer_auth, "main") == "accepted"
    assert [record.getMessage() for record in caplog.records] == [
        f"reading the keys of {ISSUER!r} failed unexpectedly",
        f"the keys of {ISSUER!r} cannot be had: unexpected failure",
    ]


class Nothing(Publisher):
    def key_set(self) -> Mapping[str, Any]:
        return {"keys": []}


@pytest.mark.parametrize(
    "settings",
    [{"keys": Nothing()}, {"keys": Publisher(), "algorithms": ["RS256"]}, {"keys": Publisher}],
)
def test_what_publishes_nothing_usable_is_refused_when_built(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^keys: "):
        TrustedIssuer(ISSUER, audience=AUDIENCE, **settings)
