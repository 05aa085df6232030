"""Keys that come and go: rotation, removal, unknown kids by the thousand, and who may cause a fetch at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jwtconnect_mw import HttpFetch, TrustedIssuer
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import AUDIENCE, NOW
from .kit import key as foreign_key
from .remote import DISCOVERY, Gate, World, without_kid


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


@pytest.fixture
def world(issuer: FakeIssuer, clock: ManualClock) -> World:
    """Keys were fetched at NOW, and the cooldown is over: one more fetch may be made."""
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    clock.advance(COOLDOWN)
    return world


def test_a_rotated_key_is_found_by_the_request_that_needs_it(world: World) -> None:
    old = world.issuer.token()
    world.issuer.rotate()
    assert world.verdict() == world.verdict(old) == "accepted"
    assert world.fetches == 2


def test_a_kid_that_was_fetched_for_in_vain_is_asked_for_again_after_the_cooldown(
    issuer: FakeIssuer, clock: ManualClock
) -> None:
    """Beside an issuer that was not asked yet: else nothing is remembered, for nothing can be learnt."""
    with FakeIssuer(clock=clock) as idle:
        world = World(issuer, clock, TrustedIssuer(idle.url, audience=idle.audience))
        assert world.verdict() == "accepted"
        clock.advance(COOLDOWN)
        before = issuer.published[:]
        token = issuer.token(key=issuer.rotate())
        after, issuer.published = issuer.published, before
        assert world.verdict(token) == "unknown_key"
        issuer.published = after
        clock.advance(COOLDOWN - 1)
        assert world.verdict(token) == "unknown_key"
        clock.advance(1)
        assert world.verdict(token) == "accepted"
        assert world.fetches == 3
        assert idle.requests == []


def test_where_nothing_can_be_fetched_nothing_is_read(issuer: FakeIssuer, clock: ManualClock) -> None:
    """From the moment of the fetch on: the reason is the unknown key, whatever the claims say."""
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    for _ in range(2):
        assert world.verdict(issuer.token({"exp": 5, "iat": 1}, header={"kid": "unknown"})) == "unknown_key"
        clock.advance(COOLDOWN - 1)


def test_a_prefetch_fetches_what_is_missing_only(world: World) -> None:
    world.auth.prefetch()
    assert world.fetches == 1


def test_a_token_stays_remembered_while_its_key_stays(world: World) -> None:
    value = f"Bearer {world.issuer.token()}"
    accepted = world.auth.authenticate(value)
    world.issuer.rotate()
    world.refresh()
    assert world.auth.authenticate(value) is accepted
    world.issuer.published = world.issuer.published[-1:]
    world.refresh()
    assert world.verdict(value.removeprefix("Bearer ")) == "unknown_key"
    assert len(world.auth._verifier._tokens) == 1  # of the fixture: nobody asked for that one since


def test_a_rotated_key_without_kid_is_found(issuer: FakeIssuer, clock: ManualClock) -> None:
    world = World(issuer, clock)
    for _ in range(2):
        key = issuer.rotate()
        issuer.published = [{name: member for name, member in key.public_jwk().items() if name != "kid"}]
        assert world.verdict(without_kid(issuer, key)) == "accepted"
        clock.advance(COOLDOWN)
    assert world.fetches == 2


def test_a_forged_token_is_not_read_where_its_key_is_known(world: World) -> None:
    """Also where a fetch may be made: the reason is the signature, whatever the claims say."""
    header = {"kid": world.issuer.keys[0].kid}
    for changes in ({}, {"exp": 5, "iat": 1}, {"iss": "https://evil.example"}):
        forged = world.issuer.token(changes, header=header, key=foreign_key("ES256", "evil"))
        assert world.verdict(forged) == "bad_signature"
    assert world.fetches == 1


@pytest.mark.parametrize("keys", [None, DISCOVERY])
def test_rotation_within_the_cooldown_is_found_after_it(issuer: FakeIssuer, clock: ManualClock, keys: object) -> None:
    world = World(issuer, clock, keys=keys)
    assert world.verdict() == "accepted"
    token = issuer.token(key=issuer.rotate())
    assert world.verdict(token) == "unknown_key"
    clock.advance(COOLDOWN - 1)
    assert world.verdict(token) == "unknown_key"
    assert world.fetches == 1
    clock.advance(1)
    assert world.verdict(token) == "accepted"
    assert world.fetches == 2


def test_rotation_while_a_fetch_is_under_way(issuer: FakeIssuer, clock: ManualClock) -> None:
    """The answer in flight was made before the rotation: its waiter is refused, and the next cooldown finds the key."""
    http = HttpFetch()

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        answer = http(url, headers, timeout)
        if world.fetches == 2:
            issuer.rotate()
        return answer

    world = World(issuer, clock, fetch=fetch)
    assert world.verdict() == "accepted"
    clock.advance(COOLDOWN)
    world.issuer.published.append({"kty": "EC", "kid": "so that the answers differ"})
    assert world.verdict(issuer.token(header={"kid": "unknown"})) == "unknown_key"
    assert world.verdict() == "unknown_key"  # signed by the new key
    clock.advance(COOLDOWN)
    assert world.verdict() == "accepted"
    assert world.fetches == 3


def test_a_removed_key_is_refused_from_the_next_good_fetch_on(world: World) -> None:
    old = world.issuer.token()
    assert world.verdict(old) == world.verdict(old) == "accepted"  # remembered
    world.issuer.rotate(drop_old=True)
    assert world.verdict(old) == "accepted"  # not known yet
    assert world.verdict() == "accepted"
    assert world.verdict(old) == "unknown_key"
    world.clock.advance(COOLDOWN)
    assert world.verdict(old) == "unknown_key"
    world.clock.advance(COOLDOWN)
    world.issuer.published = [world.issuer.keys[0].public_jwk()]
    assert world.verdict(old) == "accepted"  # back again


def test_a_kid_that_was_given_to_another_key(world: World) -> None:
    old = world.issuer.token()
    assert world.verdict(old) == "accepted"
    key = world.issuer.rotate(drop_old=True)
    world.issuer.published = [{**key.public_jwk(), "kid": world.issuer.keys[0].kid}]
    world.refresh()
    assert world.verdict(old) == "bad_signature"
    assert world.verdict(world.issuer.token(key=key, header={"kid": world.issuer.keys[0].kid})) == "accepted"


@pytest.mark.parametrize("keys", [None, DISCOVERY])
def test_a_thousand_unknown_kids(issuer: FakeIssuer, clock: ManualClock, keys: object) -> None:
    world = World(issuer, clock, keys=keys)
    good = issuer.token({"exp": NOW + 9999})
    assert world.verdict(good) == "accepted"
    for number in range(1000):
        clock.advance(0.25)
        assert world.settled(issuer.token(header={"kid": f"made up {number}"})) == "unknown_key"
        assert world.verdict(good) == "accepted"
        if number == 500:
            rotated = issuer.rotate()
    assert world.fetches <= 1 + 250 // COOLDOWN + 1
    assert world.verdict(issuer.token(key=rotated)) == "accepted"


def test_an_unknown_kid_is_remembered_for_one_cooldown(issuer: FakeIssuer, clock: ManualClock) -> None:
    """The cooldown counts from the attempt, the memory from its end: seen where a fetch takes its time."""
    http, takes = HttpFetch(), {"seconds": 0.0}

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        clock.advance(takes["seconds"])
        if not url.startswith(issuer.url):
            raise FetchError("another issuer, never there")
        return http(url, headers, timeout)

    world = World(issuer, clock, TrustedIssuer("https://other.example", audience=AUDIENCE), fetch=fetch)
    assert world.verdict() == "accepted"
    tokens = [issuer.token(changes, header=header) for changes, header in (({}, {"kid": "x"}), ({}, {"kid": "y"}))]
    clock.advance(COOLDOWN)
    takes["seconds"] = 10
    assert world.verdict(tokens[0]) == "unknown_key"
    assert world.fetches == 2
    clock.advance(COOLDOWN - 5)  # the cooldown is over, the memory is not
    assert world.verdict(tokens[0]) == "unknown_key"
    assert world.fetches == 2
    assert world.verdict(tokens[1]) == "unknown_key"  # one that is not remembered
    assert world.fetches == 3
    clock.advance(COOLDOWN)
    assert world.verdict(tokens[0]) == "unknown_key"
    assert world.fetches == 4


def test_kidless_tokens_try_at_most_three_keys(world: World) -> None:
    for _ in range(3):
        world.issuer.rotate()
    world.refresh()
    assert world.health()["keys"] == 4
    assert world.verdict(world.issuer.token(header={"kid": None})) == "unacceptable_header"  # null is not "without"
    bare = [without_kid(world.issuer, key) for key in world.issuer.keys]
    assert [world.verdict(token) for token in bare] == ["accepted", "accepted", "accepted", "bad_signature"]


def test_kidless_tokens_that_fit_no_key_count_as_one_unknown_kid(world: World) -> None:
    forged = [without_kid(world.issuer, foreign_key("ES256", f"forger {number}")) for number in range(50)]
    assert {world.verdict(token) for token in forged} == {"bad_signature"}
    assert world.fetches == 2
    key = world.issuer.rotate()
    world.clock.advance(COOLDOWN)
    assert world.verdict(without_kid(world.issuer, key)) == "accepted"
    assert world.fetches == 3


IN_VAIN: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "untrusted issuer": ("untrusted_issuer", {"iss": "https://evil.example"}, {}),
    "issuer of another case": ("untrusted_issuer", {"iss": "HTTP://127.0.0.1"}, {}),
    "no issuer": ("untrusted_issuer", {"iss": None}, {}),
    "expired": ("expired", {"iat": NOW - 200, "exp": NOW - 100}, {}),
    "no exp": ("missing_claim", {"exp": None}, {}),
    "not yet valid": ("not_yet_valid", {"nbf": NOW + 1000}, {}),
    "issued in the future": ("issued_in_future", {"iat": NOW + 1000, "exp": NOW + 2000}, {}),
    "wrong audience": ("wrong_audience", {"aud": "https://other.example"}, {}),
    "malformed claim": ("malformed_claim", {"exp": "soon"}, {}),
    "sender-constrained": ("sender_constrained", {"cnf": {"jkt": "x"}}, {}),
    "algorithm": ("algorithm_not_allowed", {}, {"alg": "HS256"}),
    "none": ("algorithm_not_allowed", {}, {"alg": "none"}),
    "another kind": ("wrong_token_type", {}, {"typ": "logout+jwt"}),
    "crit": ("unacceptable_header", {}, {"crit": ["exp"]}),
    "kid not a string": ("unacceptable_header", {}, {"kid": 5}),
}


@pytest.mark.parametrize("name", IN_VAIN)
@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
def test_what_is_refused_with_any_key_causes_no_fetch(
    issuer: FakeIssuer, clock: ManualClock, name: str, cold: bool
) -> None:
    reason, claims, header = IN_VAIN[name]
    world = World(issuer, clock)
    if not cold:
        assert world.verdict() == "accepted"
        clock.advance(COOLDOWN)
    headers = {"kid": "unknown", "jku": f"{issuer.url}/evil", "x5u": f"{issuer.url}/evil", **header}
    assert world.verdict(issuer.token(claims, header=headers)) == reason
    world.settle()
    assert issuer.requests == [] if cold else world.fetches == 1
    assert world.settled(issuer.token(header={"kid": "unknown"})) == "unknown_key"  # but this one does
    assert world.fetches == (1 if cold else 2)


def test_static_keys_never_cause_a_fetch(issuer: FakeIssuer, clock: ManualClock) -> None:
    gate = Gate()
    world = World(issuer, clock, keys={"keys": issuer.published}, fetch=gate)
    assert world.verdict() == "accepted"
    for step in (COOLDOWN, 86_400, -10 * 86_400):
        clock.advance(step)
        assert world.verdict(issuer.token(header={"kid": "x"})) == "unknown_key"
        assert world.verdict() == "accepted"
    world.auth.prefetch()
    assert gate.calls == 0
    assert world.health() == {"state": "fresh", "age": None, "last_success": None, "last_attempt": None, "keys": 1}


def test_one_kid_of_two_issuers(issuer: FakeIssuer, clock: ManualClock) -> None:
    """Each issuer's key is its own: a token of one is never accepted as the other's."""
    with FakeIssuer(clock=clock) as other:
        other.published = [{**other.keys[0].public_jwk(), "kid": issuer.keys[0].kid}]
        world = World(issuer, clock, TrustedIssuer(other.url, audience=AUDIENCE, keys=other.jwks_url))
        world.auth.prefetch()
        kid = {"kid": issuer.keys[0].kid}
        assert world.verdict() == world.verdict(other.token(header=kid)) == "accepted"
        assert world.verdict(other.token({"iss": issuer.url}, header=kid)) != "accepted"
        assert world.verdict(issuer.token({"iss": other.url})) != "accepted"


def test_the_issuers_only_key_may_have_no_kid(world: World) -> None:
    jwk = {name: value for name, value in world.issuer.published[0].items() if name != "kid"}
    world.issuer.published = [jwk]
    world.refresh()
    named, bare = world.issuer.token(), without_kid(world.issuer, world.issuer.keys[0])
    assert world.verdict(named) == world.verdict(bare) == "accepted"
    world.issuer.published = [jwk, {**world.issuer.keys[0].public_jwk(), "kty": "oct", "k": "AAAA"}]
    world.refresh()
    assert world.verdict(world.issuer.token()) == "unusable_key"  # the kid names the other one
    assert world.verdict(world.issuer.token(header={"kid": "any"})) == world.verdict(bare) == "accepted"
    world.issuer.published = [jwk, foreign_key().public_jwk()]
    world.refresh()
    assert world.verdict(world.issuer.token(header={"kid": "any other"})) == "unknown_key"
    assert world.verdict(without_kid(world.issuer, world.issuer.keys[0])) == "accepted"
