"""What an observer is told, by every way a request can take; and that nobody pays who has none."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import FakeIssuer, ManualClock
from jwtconnect_mw.verifier import TokenVerifier

from .adapters import ADAPTERS
from .kit import ISSUER, NOW, auth, policy, token
from .remote import LIMIT
from .replicas import Backend, replica

GOOD, EXPIRED = f"Bearer {token()}", f"Bearer {token({'exp': NOW - 100, 'iat': ...})}"


class Blocking(MemoryRevocationList):
    blocking = True


class Told:
    """An observer that counts."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.values: list[float] = []

    def __call__(self, event: str, label: str, value: float) -> None:
        self.counts[event, label] += 1
        self.values.append(value)


def sync(bearer_auth: BearerAuth, value: str | None) -> object:
    return bearer_auth.authenticate(value)


def coroutine(bearer_auth: BearerAuth, value: str | None) -> object:
    return asyncio.run(bearer_auth.aauthenticate(value))


@pytest.mark.parametrize("ask", [sync, coroutine])
@pytest.mark.parametrize("kind", [None, MemoryRevocationList, Blocking])
def test_verdicts(ask: Callable[..., object], kind: Any) -> None:
    told = Told()
    revocations = kind and kind(clock=lambda: NOW)
    bearer_auth = auth(observer=told, revocations=revocations)
    for _ in range(3):
        assert ask(bearer_auth, GOOD)
    assert told.counts == {("accepted", ISSUER): 3, ("cache_hit", ISSUER): 2}
    for value in (EXPIRED, None):
        with pytest.raises(AuthError) as caught:
            ask(bearer_auth, value)
        bearer_auth.refuse(caught.value)
    assert told.counts["refused", "expired"] == told.counts["refused", "no_credentials"] == 1
    if revocations is not None:
        revocations.revoke_token(ISSUER, "token-1")
        with pytest.raises(AuthError):
            ask(bearer_auth, GOOD)
        assert told.counts["accepted", ISSUER] == 3
        assert told.counts["cache_hit", ISSUER] == 3
    assert set(told.values) == {1.0}


@pytest.mark.parametrize("ask", [sync, coroutine])
@pytest.mark.parametrize("kind", [MemoryRevocationList, Blocking])
def test_what_is_let_through_all_the_same(ask: Callable[..., object], kind: Any) -> None:
    for told in (Told(), None):
        revocations = kind(clock=lambda: NOW)
        revocations.revoke_token(ISSUER, "token-1")
        bearer_auth = auth(observer=told, revocations=revocations, optional="invalid")
        for value in (GOOD, EXPIRED, None):
            assert ask(bearer_auth, value) is None
        if told is not None:
            assert told.counts == {("ignored", "revoked"): 1, ("ignored", "expired"): 1}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_tells(adapter: str) -> None:
    told = Told()
    bearer_auth = auth(observer=told)
    for value in (GOOD, GOOD, EXPIRED):
        ADAPTERS[adapter](bearer_auth, [("Authorization", value.encode())])
    assert told.counts == {("accepted", ISSUER): 2, ("cache_hit", ISSUER): 1, ("refused", "expired"): 1}


def test_fetches_of_keys() -> None:
    clock, told = ManualClock(NOW), Told()
    with FakeIssuer(clock=clock) as issuer:
        trusted = TrustedIssuer(issuer.url, audience=issuer.audience)
        bearer_auth = BearerAuth(trusted, policy(), observer=told, clock=clock)
        issuer.outage = "error"
        bearer_auth.prefetch()
        assert told.counts == {("key_fetch_failed", issuer.url): 1}
        issuer.outage = None
        clock.advance(60)
        assert bearer_auth.authenticate(f"Bearer {issuer.token()}")  # waits for the fetch
        assert told.counts["key_fetch", issuer.url] == told.counts["accepted", issuer.url] == 1


def test_the_age_of_the_feed(tmp_path: Path) -> None:
    clock, timer, told = ManualClock(NOW), ManualClock(5.0), Told()
    with closing(Backend(tmp_path / "revoked.db", clock=clock)) as backend:
        revocations = replica(backend, clock, timer=timer)
        auth(observer=told, revocations=revocations)
        assert revocations.sync(LIMIT)
        assert revocations.sync(LIMIT)
        revocations.close()
    assert set(told.counts) == {("feed_age", "")}
    assert set(told.values) == {0.0}


def test_an_observer_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def failing(event: str, label: str, value: float) -> None:
        raise ValueError(event)

    bearer_auth = auth(observer=failing)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            assert bearer_auth.authenticate(GOOD)
    assert caplog.messages == ["the observer failed; this is told only once"]


def test_what_is_no_observer() -> None:
    with pytest.raises(ConfigurationError) as caught:
        auth(observer="prometheus")
    assert caught.value.field == "observer"


def test_who_has_none_pays_nothing() -> None:
    """The functions that requests go through are those of a package without observers."""
    bearer_auth = auth()
    assert bearer_auth.decide == bearer_auth._judged
    assert type(bearer_auth._verifier) is TokenVerifier
    assert auth(optional="invalid").decide.__name__ == "_judged_leniently"
