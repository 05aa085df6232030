"""For metrics: what a BearerAuth tells its observer. Without one nothing of this is called."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .keys.state import IssuerKeys
from .token import AccessToken
from .verifier import TokenVerifier, Verified

_log = logging.getLogger("jwtconnect_mw")

Observer = Callable[[str, str, float], object]
"""Called with event, label and value, from any thread; it should return soon, and never sees a token.

event             label    value
accepted          issuer   1
cache_hit         issuer   1, beside the verdict: the token was verified before
refused           reason   1, where it is answered: by the adapters, and by who calls ``BearerAuth.refuse``
ignored           reason   1: refused, but ``optional="invalid"``
key_fetch         issuer   1: its keys were fetched, or read from their file
key_fetch_failed  issuer   1
feed_age          ""       seconds since the copy of a revocation list was complete, at each attempt to read its feed;
                           before the first complete one, since the list was made
"""


class Observation:
    """Tells an observer. What it raises never reaches a request, and is logged once."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._failed = False

    def __call__(self, event: str, label: str, value: float = 1.0) -> None:
        try:
            self._observer(event, label, value)
        except Exception:
            if not self._failed:
                self._failed = True
                _log.exception("the observer failed; this is told only once")

    def accepted(self, token: AccessToken | None) -> AccessToken | None:
        """The same, told if there is one."""
        if token is not None:
            self("accepted", token.issuer)
        return token

    def of_decisions(self, decide: Callable[..., AccessToken | None]) -> Callable[..., AccessToken | None]:
        """``decide``, telling what it accepts."""
        return lambda *request, **how: self.accepted(decide(*request, **how))

    def of_keys(self, issuer: IssuerKeys, good: bool) -> None:
        """The keys of an issuer were fetched, or could not be."""
        self("key_fetch" if good else "key_fetch_failed", issuer.issuer)

    def of_feed(self, age: float) -> None:
        """The feed of a revocation list was asked."""
        self("feed_age", "", age)


class ObservedVerifier(TokenVerifier):
    """Tells what its cache knew."""

    observation: Observation

    def cached(self, value: str, now: float) -> Verified | None:
        found = super().cached(value, now)
        if found is not None:
            self.observation("cache_hit", found.token.issuer)
        return found
