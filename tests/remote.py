"""What tests of the key policy need: an application that trusts a fake issuer, verdicts as words, held fetches."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any

from jwtconnect_mw import AuthError, BearerAuth, HttpFetch, TrustedIssuer
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.errors import Unavailable
from jwtconnect_mw.fetch import Fetched
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import b64, sealed

LIMIT = 30.0  # seconds; what is waited for comes at once, or the test fails
DISCOVERY: Any = object()


def until(true: Callable[[], object]) -> None:
    """What comes by itself, and soon."""
    pause = threading.Event()
    for _ in range(int(LIMIT / 0.002)):
        if true():
            return
        pause.wait(0.002)
    raise AssertionError("it does not happen")


class World:
    """A fake issuer, the clock that all share, and an application that trusts it by its JWKS URL (or DISCOVERY).

    ``deadline``: of the default fetch, short where an outage makes it wait; ``more``: other trusted issuers.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        clock: ManualClock,
        *more: TrustedIssuer,
        keys: object = None,
        deadline: float = 5.0,
        fetch: Callable[..., Fetched] | None = None,
        **settings: Any,
    ) -> None:
        self.issuer, self.clock = issuer, clock
        keys = None if keys is DISCOVERY else keys or issuer.jwks_url
        policy = TrustedIssuer(issuer.url, audience=issuer.audience, keys=keys, **settings)
        self.auth = BearerAuth(policy, *more, clock=clock, fetch=fetch or HttpFetch(deadline=deadline))

    def verdict(self, token: str | None = None) -> str:
        """ "accepted", or the reason of the refusal. By default of a new token that the issuer signs now."""
        return verdict(self.auth, token or self.issuer.token())

    def settled(self, token: str | None = None) -> str:
        """``verdict`` after every fetch that is under way."""
        self.settle()
        return self.verdict(token)

    def settle(self) -> None:
        flights = [keys._flight for keys in self.auth._store.issuers.values()]
        assert not wait([flight for flight in flights if flight is not None], LIMIT).not_done

    def refresh(self) -> None:
        """Wait for the cooldown to end and for the next fetch."""
        self.clock.advance(COOLDOWN)
        self.auth._store.issuers[self.issuer.url].begin(self.clock())
        self.settle()

    def retry_after(self, token: str | None = None) -> int:
        try:
            self.auth.authenticate(f"Bearer {token or self.issuer.token()}")
        except Unavailable as error:
            return error.retry_after
        raise AssertionError("it is available")

    def health(self) -> Mapping[str, Any]:
        return self.auth.health()[self.issuer.url]

    @property
    def fetches(self) -> int:
        return self.issuer.jwks_requests()


def verdict(auth: BearerAuth, token: str) -> str:
    try:
        assert auth.authenticate(f"Bearer {token}") is not None
    except AuthError as error:
        return error.reason
    return "accepted"


def without_kid(issuer: FakeIssuer, key: SigningKey) -> str:
    """A token of the issuer by that key, whose header has no kid."""
    header = b64(json.dumps({"alg": key.alg, "typ": "at+jwt"}))
    return sealed(f"{header}.{issuer.token().split('.')[1]}", key)


class Gate:
    """A ``fetch`` over real HTTP that goes through only while the gate is open."""

    def __init__(self) -> None:
        self.calls = 0
        self.entered, self.opened = threading.Event(), threading.Event()
        self._fetch = HttpFetch()

    def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        self.calls += 1
        self.entered.set()
        assert self.opened.wait(LIMIT)
        return self._fetch(url, headers, timeout)
