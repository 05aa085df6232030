"""BearerAuth: Authorization value, method, path -> AccessToken, None or AuthError. The one place with two colours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import wait
from contextlib import suppress
from typing import Any, Literal

from . import settings
from ._checks import check_function
from ._http import Response, bearer_token, refusal
from .errors import AuthError, ConfigurationError, InsufficientScope, InvalidToken, NoCredentials, Unavailable
from .fetch import Fetch, HttpFetch
from .gate import LookUpWanted, RevocationGate
from .keys.state import MAX_WAIT, IssuerKeys
from .keys.store import KeyStore
from .observer import Observation, ObservedVerifier, Observer
from .policy import TrustedIssuer
from .revocation import Replica, RevocationLookup
from .rules import Rules, checked_scopes
from .token import AccessToken
from .verifier import KeysWanted, TokenVerifier, Verified

Optional = Literal["no", "missing", "invalid"]
OnRefused = Callable[[str, Mapping[str, Any]], object]
REVOCATIONS = "revocations"
"""The key of ``health()`` under which a revocation list stands, beside the issuers."""
_FIRST_SYNC = 5.0

_log = logging.getLogger("jwtconnect_mw")


class BearerAuth:
    """What a request must bring, and the verdict on what it brought (RFC 6750). Safe for threads, tasks and fork.

    ``issuers``: one TrustedIssuer or more, no two for one issuer.
    ``revocations``: a revocation list to honour.
    ``required_scopes``: all of them must be granted to every token.
    ``public``: path prefixes, by whole segments, that need no token; credentials are not looked at there.
    ``optional``: "missing" lets requests without credentials through, "invalid" also those whose token is refused.
    ``preflight``: let CORS preflights through.
    ``remote_user``: for WSGI, set REMOTE_USER: True for the subject, or a function from token to str.
    ``realm``, ``resource_metadata`` (a URL, RFC 9728): parameters of the challenge.
    ``on_refused(reason, context)``: called once for each refusal; it never sees the token.
    ``observer(event, label, value)``: for metrics; see ``jwtconnect_mw.observer.Observer``.
    ``cache_size``: verified tokens remembered; 0 is off. ``fetch``: see ``jwtconnect_mw.fetch``. ``clock``: seconds
    since the epoch.

    Raises ConfigurationError, naming the field.
    """

    def __init__(
        self,
        *issuers: TrustedIssuer,
        revocations: RevocationLookup | None = None,
        required_scopes: Collection[str] = (),
        public: Collection[str] = (),
        optional: Optional = "no",
        preflight: bool = False,
        remote_user: bool | Callable[[AccessToken], str] = False,
        realm: str | None = None,
        resource_metadata: str | None = None,
        on_refused: OnRefused | None = None,
        observer: Observer | None = None,
        cache_size: int = 4096,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings.check_issuers(issuers)
        settings.check_leniency(optional, preflight)
        settings.check_remote_user(remote_user, len(issuers))
        settings.check_cache_size(cache_size)
        settings.check_revocations(revocations)
        check_function("clock", clock)
        settings.check_hooks(on_refused=on_refused, fetch=fetch, observer=observer)
        settings.check_header_texts(realm=realm, resource_metadata=resource_metadata)
        required = checked_scopes("required_scopes", required_scopes)
        self._required = frozenset(required)
        self._insufficient = InsufficientScope, " ".join(dict.fromkeys(required))
        self.is_public = Rules(public).is_public
        self.has_public = bool(public)
        self._optional, self._preflight = optional, preflight
        self._realm, self._resource_metadata = realm, resource_metadata
        self._on_refused = on_refused
        self.audited = on_refused is not None
        self._clock = clock
        self._responses: dict[type[AuthError], Response] = {}
        self.remote_user = remote_user
        # The verdict without waiting, for adapters: raises AuthError, KeysWanted (not if ``waited``), or LookUpWanted
        # where it ``may_block`` not and the revocation list would.
        self.decide = self._judged_leniently if optional == "invalid" else self._judged
        get = HttpFetch() if fetch is None else fetch
        jitter = random.SystemRandom().random
        self._store = KeyStore(
            {policy.issuer: IssuerKeys(policy.issuer, policy.source, get, clock, jitter) for policy in issuers}
        )
        self.issuers = tuple(self._store.issuers)
        self._gate = None if revocations is None else RevocationGate(revocations)
        self._feed = None if revocations is None else _feed_of(revocations)
        self.has_feed = self._feed is not None
        if self.has_feed and REVOCATIONS in self.issuers:
            raise ConfigurationError("issuers", f"{REVOCATIONS!r} is the name of the revocation list in health()")
        self._observation = None if observer is None else Observation(observer)
        if self._observation is None:
            self._verifier = TokenVerifier(issuers, self._store, cache_size)
        else:
            self._verifier = self._observed(self._observation, issuers, cache_size)

    def _observed(self, observation: Observation, issuers: tuple[TrustedIssuer, ...], cache_size: int) -> TokenVerifier:
        """Let the observer see everything; only who has one pays for it."""
        self.decide = observation.of_decisions(self.decide)
        for keys in self._store.issuers.values():
            keys.on_load = observation.of_keys
        if self._feed is not None:
            self._feed.watch(observation.of_feed)
        verifier = ObservedVerifier(issuers, self._store, cache_size)
        verifier.observation = observation
        return verifier

    def authenticate(
        self,
        authorization: str | None,
        *,
        method: str | None = None,
        path: str | None = None,
        preflight: bool | None = None,
    ) -> AccessToken | None:
        """The token of a request, or None where none is needed. May wait up to 2 s for keys that the verdict needs, and
        for a revocation list that does I/O.

        ``path`` is decoded and as the application sees it. ``preflight`` says whether the request is a CORS preflight;
        without it, the method alone decides. Raises AuthError.
        """
        try:
            return self.decide(authorization, method, path, preflight)
        except KeysWanted as want:
            return self.resume(want, authorization, method, path)

    async def aauthenticate(
        self,
        authorization: str | None,
        *,
        method: str | None = None,
        path: str | None = None,
        preflight: bool | None = None,
    ) -> AccessToken | None:
        """As ``authenticate``, on an asyncio loop, which it never blocks."""
        try:
            return self.decide(authorization, method, path, preflight, may_block=False)
        except (KeysWanted, LookUpWanted) as want:
            return await self.aresume(want, authorization, method, path)

    def resume(
        self, want: KeysWanted, authorization: str | None, method: str | None, path: str | None
    ) -> AccessToken | None:
        """Wait for the keys that ``decide`` wants, then decide. Raises AuthError."""
        try:
            wait([want.flight], MAX_WAIT)
        finally:
            want.keys.leave()
        return self.decide(authorization, method, path, False, waited=True)

    async def aresume(
        self, want: KeysWanted | LookUpWanted, authorization: str | None, method: str | None, path: str | None
    ) -> AccessToken | None:
        """As ``resume``, without blocking the loop; also for a look-up that ``decide`` wants."""
        if isinstance(want, KeysWanted):
            from ._waiting import Busy, landed

            try:
                with suppress(Busy):  # under a loop that cannot wait, what is known now decides
                    await landed(want.flight, MAX_WAIT)
            finally:
                want.keys.leave()
            try:
                return self.decide(authorization, method, path, False, waited=True, may_block=False)
            except LookUpWanted as next_want:
                want = next_want
        try:
            await want.gate.apass_or_refuse(want.found.token, want.now)
        except InvalidToken as error:
            if self._optional == "invalid":
                self._ignored(error)
                return None
            raise
        token = self._concluded(want.found, want.value, want.is_new)
        return token if self._observation is None else self._observation.accepted(token)

    def refuse(self, error: AuthError, *, method: str | None = None, path: str | None = None) -> Response:
        """The answer to a refused request; tells ``on_refused`` and the observer."""
        if self._observation is not None:
            self._observation("refused", error.reason)
        if self._on_refused is not None:
            context = {"status": error.status, "error": error.error, "method": method, "path": path}
            try:
                self._on_refused(error.reason, context)
            except Exception:
                _log.exception("on_refused failed")
        response = self._responses.get(type(error))
        if response is None:
            response = refusal(error, self._realm, self._resource_metadata)
            if not isinstance(error, (Unavailable, InsufficientScope)):
                self._responses[type(error)] = response
        return response

    def prefetch(self) -> None:
        """Fetch the keys and the revocation list that are missing, and wait for them, at most a few seconds for each.
        Failures are logged, not raised.
        """
        if self._feed is not None:
            self._feed.health()  # so that its thread reads while the keys are fetched
        self._store.prefetch(self._clock())
        if self._feed is not None and not self._feed.sync(_FIRST_SYNC):
            _log.warning("the revocation list cannot be had yet")

    def start(self) -> None:
        """Begin to fetch what is missing, without waiting for it."""
        self._store.tend(self._clock())
        if self._feed is not None:
            self._feed.health()

    def health(self) -> Mapping[str, Mapping[str, Any]]:
        """For each issuer: state (fresh, stale, missing), age in seconds, last_success, last_attempt, keys.

        With a revocation list that has a state of its own, such as a replica, also "revocations": the same but for
        keys, and entries, their number. No issuer has that name then.
        """
        found: dict[str, Mapping[str, Any]] = self._store.health(self._clock())
        if self._feed is not None:
            found[REVOCATIONS] = self._feed.health()
        return found

    def _judged(
        self,
        authorization: str | None,
        method: str | None,
        path: str | None,
        preflight: bool | None,
        waited: bool = False,
        may_block: bool = True,
    ) -> AccessToken | None:
        if self.has_public and self.is_public(path):
            return None
        if not authorization:
            preflight = method == "OPTIONS" if preflight is None else preflight
            if self._optional != "no" or (self._preflight and preflight):
                return None
            raise NoCredentials
        now = self._clock()
        found = self._verifier.cached(authorization, now)
        is_new = found is None
        if found is None:
            text = bearer_token(authorization)
            if text is None:
                return self._judged(None, method, path, preflight)
            if len(authorization) != len(text) + 7 or not authorization.startswith("Bearer "):
                # One token has one place among those that are remembered, however it comes.
                authorization = f"Bearer {text}"
                found = self._verifier.cached(authorization, now)
                is_new = found is None
            if found is None:
                found = self._verifier.verify(text, now, waited=waited)
        gate = self._gate
        if gate is not None:
            if gate.blocking and not may_block:
                raise LookUpWanted(gate, found, authorization, is_new, now)
            gate.pass_or_refuse(found.token, now)
        if is_new or self._required:
            return self._concluded(found, authorization, is_new)
        return found.token

    def _concluded(self, found: Verified, value: str, is_new: bool) -> AccessToken:
        if is_new:
            self._verifier.remember(value, found)
        token = found.token
        if self._required and not self._required <= token.scopes:
            error, scope = self._insufficient
            raise error(scope)
        return token

    def _judged_leniently(self, *request: Any, **how: Any) -> AccessToken | None:
        """For ``optional="invalid"``: a token that is refused with 401 is as good as none."""
        try:
            return self._judged(*request, **how)
        except InvalidToken as error:
            self._ignored(error)
            return None

    def _ignored(self, error: InvalidToken) -> None:
        if self._observation is not None:
            self._observation("ignored", error.reason)


def _feed_of(revocations: RevocationLookup) -> Replica | None:
    return revocations if isinstance(revocations, Replica) else None
