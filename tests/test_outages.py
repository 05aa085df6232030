"""Every way in which an issuer fails: keys stay good for a while, then 503 until it recovers; others go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import pytest

from jwtconnect_mw import HttpFetch, TrustedIssuer
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock
from jwtconnect_mw.testing.issuer import Outage

from .kit import AUDIENCE, NOW, key
from .remote import DISCOVERY, World

HOUR = 3600
SHORT = 0.25  # seconds: the deadline, where an outage makes everyone wait for it


def switch(outage: Outage) -> Callable[[FakeIssuer], None]:
    def do(issuer: FakeIssuer) -> None:
        issuer.outage = outage

    return do


def publish(*jwks: Any) -> Callable[[FakeIssuer], None]:
    def do(issuer: FakeIssuer) -> None:
        issuer.published = list(jwks)

    return do


OUTAGES: dict[str, tuple[Callable[[FakeIssuer], None], str]] = {
    "refused": (FakeIssuer.stop, "no usable answer"),
    "reset": (switch("reset"), "no usable answer"),
    "error": (switch("error"), "status 500"),
    "hang": (switch("hang"), "timed out"),
    "drip": (switch("drip"), "timed out"),
    "drip_headers": (switch("drip_headers"), "timed out"),
    "truncated": (switch("truncated"), "cut short"),
    "garbage": (switch("garbage"), "not a JSON object"),
    "empty": (switch("empty"), "no usable key"),
    "huge": (switch("huge"), "too large"),
    "redirect": (switch("redirect"), "status 302"),
    "html": (switch("html"), "the content type is not JSON"),
    "gzip": (switch("gzip"), "an encoding that was not asked for"),
    "65 keys": (publish(*[{"kty": "EC", "kid": str(number)} for number in range(65)]), "too many keys"),
    "no usable key": (publish({**key().public_jwk(), "use": "enc"}, key("ES384").public_jwk()), "no usable key"),
}
"""What goes wrong, and how it is logged."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


class Impatient:
    """The default fetch, with a short deadline where an outage would make everyone wait for it."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self._issuer, self._fetch = issuer, HttpFetch()

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        slow = url.startswith(self._issuer.url) and self._issuer.outage in ("hang", "drip", "drip_headers")
        return self._fetch(url, headers, SHORT if slow else timeout)


def recover(issuer: FakeIssuer, stopped: bool, published: Any) -> None:
    issuer.outage, issuer.published = None, published
    if stopped:
        issuer.start()


def test_no_outage_is_left_out() -> None:
    assert set(get_args(Outage)) <= set(OUTAGES)


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_from_warm(
    issuer: FakeIssuer, clock: ManualClock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Fresh, stale, gone, and back; what is logged is one line when it begins and one when it ends."""
    begin, problem = OUTAGES[name]
    world = World(issuer, clock, fetch=Impatient(issuer), algorithms=["ES256"])
    published, signer = issuer.published, issuer.keys[0]
    assert world.verdict() == "accepted"
    begin(issuer)
    clock.advance(COOLDOWN)
    with caplog.at_level(logging.INFO, "jwtconnect_mw"):
        assert world.settled(issuer.token(header={"kid": "x"})) == "unknown_key"  # beside fresh keys
        assert world.verdict() == "accepted"
        assert world.health()["state"] == "fresh"
        clock.now = NOW + 300
        assert world.verdict() == "accepted"
        assert world.settled(issuer.token(header={"kid": "x"})) == "keys_unavailable"  # beside stale ones
        assert world.health()["state"] == "stale"
        clock.now = NOW + 300 + HOUR
        assert world.verdict() == "keys_unavailable"
        world.settle()
        assert world.health()["state"] == "missing"
        assert world.health()["last_success"] == NOW
        assert world.health()["last_attempt"] == clock.now
        clock.advance(10.4)
        assert world.retry_after(issuer.token(key=signer)) == 20  # the rest of the cooldown, rounded up
        recover(issuer, name == "refused", published)
        assert world.retry_after() == 20
        clock.advance(19.6)
        assert world.verdict() == "accepted"
    assert world.health()["state"] == "fresh"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"the keys of {issuer.url!r} cannot be had: {problem}"),
        ("INFO", f"the keys of {issuer.url!r} can be had again"),
    ]


@pytest.mark.parametrize("keys", [None, DISCOVERY])
@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_from_cold(issuer: FakeIssuer, clock: ManualClock, name: str, keys: object) -> None:
    world = World(issuer, clock, keys=keys, fetch=Impatient(issuer), algorithms=["ES256"])
    published = issuer.published
    OUTAGES[name][0](issuer)
    assert world.retry_after() == 30
    asked = len(issuer.requests)
    for _ in range(20):
        clock.advance(1)
        assert world.verdict() == "keys_unavailable"
    assert world.retry_after() == 10
    assert len(issuer.requests) == asked
    world.auth.prefetch()
    assert len(issuer.requests) == asked  # nor does a prefetch break the cooldown
    recover(issuer, name == "refused", published)
    clock.advance(10)
    assert world.verdict() == "accepted"


def test_the_cooldown_counts_from_attempts(issuer: FakeIssuer, clock: ManualClock) -> None:
    """Good or bad, an attempt is followed by 30 seconds of rest."""
    world = World(issuer, clock)
    attempts: list[float] = []
    issuer.outage = "error"
    for second in range(200):
        clock.now = NOW + second
        before = world.fetches
        if second == 70:
            issuer.outage = None
        world.settled()
        world.settled(issuer.token(header={"kid": f"unknown {second}"}))
        attempts += [second] * (world.fetches - before)
    assert attempts == [0, 30, 60, 90, 120, 150, 180]


def test_one_issuers_failure_leaves_the_others_alone(issuer: FakeIssuer, clock: ManualClock) -> None:
    with FakeIssuer(clock=clock) as down, FakeIssuer(clock=clock, path="/tenant") as discovered:
        down.outage = "hang"
        others = [
            TrustedIssuer(down.url, audience=AUDIENCE, keys=down.jwks_url),
            TrustedIssuer(discovered.url, audience=AUDIENCE),
        ]
        world = World(issuer, clock, *others, fetch=Impatient(down))
        world.auth.prefetch()
        states = {name: state["state"] for name, state in world.auth.health().items()}
        assert states == {issuer.url: "fresh", down.url: "missing", discovered.url: "fresh"}
        assert world.verdict(down.token()) == "keys_unavailable"
        assert world.verdict() == world.verdict(discovered.token()) == "accepted"
        assert world.verdict(issuer.token(header={"kid": "x"})) == "unknown_key"
        assert world.verdict(discovered.token({"iss": down.url})) != "accepted"
        down.outage = None
        clock.advance(COOLDOWN)
        assert world.verdict(down.token()) == "accepted"


def test_prefetch(clock: ManualClock) -> None:
    """All that is missing, a few at a time, whatever becomes of each; what is there already is not fetched again."""
    issuers = [FakeIssuer(clock=clock) for _ in range(20)]
    try:
        issuers[3].outage = issuers[17].outage = "error"
        policies = [TrustedIssuer(one.url, audience=AUDIENCE, keys=one.jwks_url) for one in issuers]
        world = World(issuers[0], clock, *policies[1:])
        for _ in range(3):
            world.auth.prefetch()
        assert [one.jwks_requests() for one in issuers] == [1] * 20
        assert [one for one, state in enumerate(world.auth.health().values()) if state["state"] != "fresh"] == [3, 17]
    finally:
        for one in issuers:
            one.stop()


def failing(problem: BaseException) -> Callable[..., Fetched]:
    def fetch(*_: object) -> Fetched:
        raise problem

    return fetch


JSON = {"content-type": "application/json"}
FETCHES: dict[str, Callable[..., Any]] = {
    "raises FetchError": failing(FetchError("as it says")),
    "raises anything": failing(ZeroDivisionError("with a secret")),
    "times out": failing(TimeoutError()),
    "exits": failing(SystemExit()),
    "is cancelled": failing(asyncio.CancelledError()),
    "returns nothing": lambda *_: None,
    "takes no arguments": lambda: None,
    "another status": lambda *_: Fetched(203, JSON, b'{"keys":[]}'),
    "no content type": lambda *_: Fetched(200, {}, b'{"keys":[]}'),
    "text": lambda *_: Fetched(200, JSON, '{"keys":[]}'),  # type: ignore[arg-type]
    "too large": lambda *_: Fetched(200, JSON, b" " * 262_145),
    "a list": lambda *_: Fetched(200, JSON, b"[]"),
    "no keys": lambda *_: Fetched(200, JSON, b"{}"),
    "keys of another type": lambda *_: Fetched(200, JSON, b'{"keys":{}}'),
    "duplicate members": lambda *_: Fetched(200, JSON, b'{"keys":[],"keys":[]}'),
    "a byte order mark": lambda *_: Fetched(200, JSON, b'\xef\xbb\xbf{"keys":[]}'),
    "deep": lambda *_: Fetched(200, JSON, b'{"keys":' + b"[" * 65 + b"]" * 65 + b"}"),
}


@pytest.mark.parametrize("keys", [None, DISCOVERY])
@pytest.mark.parametrize("name", FETCHES)
def test_fetch_functions_that_fail(issuer: FakeIssuer, clock: ManualClock, name: str, keys: object) -> None:
    mine: dict[str, Callable[..., Any]] = {"fetch": FETCHES[name]}

    def fetch(*asked: object) -> Fetched:
        answer: Fetched = mine["fetch"](*asked)
        return answer

    world = World(issuer, clock, keys=keys, fetch=fetch)
    assert world.verdict() == "keys_unavailable"
    mine["fetch"] = HttpFetch()
    assert world.retry_after() == 30
    clock.advance(COOLDOWN)
    assert world.verdict() == "accepted"
