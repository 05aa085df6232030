"""Issuer: hands tokens out, refreshes, introspects and revokes them. Plain methods; HTTP is elsewhere."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NoReturn

from ..errors import ConfigurationError
from ..revocation import Family, MemoryRevocationList, RevocationList, Step, SubjectRevokedError
from ..revocation.protocol import KEEP_AFTER
from . import settings
from .access import checked_claims, signed
from .clients import Client, Clients
from .errors import (
    EarlyGrant,
    ExpiredGrant,
    InactiveSubject,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    OtherClient,
    ReusedGrant,
    RevokedGrant,
    ServiceUnavailable,
    UnauthorizedClient,
    UnknownGrant,
)
from .hooks import ActiveHook, ClaimsHook, EventHook, Hooks, ask
from .inspection import Caller, OwnTokens, described, identity, is_current, may_see, owner
from .keys import SigningKeys
from .metadata import document
from .refresh import Grant, RefreshToken, RefreshTokens
from .tokens import Tokens

_REFUSALS: Mapping[str, type[InvalidGrant]] = {"revoked": RevokedGrant, "reuse": ReusedGrant, "unknown": UnknownGrant}
_NOBODY = "-", "-", "-", 0.0

_log = logging.getLogger("jwtconnect_mw.issuer")
_ask_list = partial(ask, "the revocation list")


class Issuer:
    """An issuer of access tokens (RFC 9068) and refresh tokens. Safe for threads and fork.

    ``issuer``: the ``iss`` of its tokens; an https URL where metadata is to be published, else any string.
    ``audience``: of its access tokens, one name or several.
    ``keys``: a SigningKeys or what that takes; None makes keys in memory, for one process (logged).
    ``revocations``: a RevocationList; None makes one in memory, for one process (logged).
    ``clients``: client_id to secret or settings, see Clients. ``default_client_id``: of tokens issued without one.
    ``algorithm``: of keys that are made, see SigningKeys.
    ``access_lifetime``, ``refresh_lifetime``, ``family_lifetime``: seconds; of an access token, of a refresh token, and
    of a session as a whole. ``grace``: seconds, 0 to 60, in which a spent refresh token may be presented once more.
    ``claims``: hook from the claims known so far to more claims of an access token, asked anew at each refresh.
    ``single_session``: a new session of a subject ends its earlier ones.
    ``is_active``: hook from a subject to whether it may have tokens. Hooks are asked before a refresh token is spent.
    ``on_event(event, context)``: "issued", "refreshed", "again", "reuse", "revoked"; never sees a token.
    ``metadata``: more members of the metadata document. ``clock``: seconds since the epoch.

    The ids of clients with a secret must not be subjects: their own tokens have them as ``sub`` (RFC 9068 section 5).
    Raises ConfigurationError, naming the field. Methods raise GrantError where a request is refused.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | Collection[str],
        keys: object = None,
        revocations: RevocationList | None = None,
        clients: Mapping[str, str | Mapping[str, Any]] | None = None,
        algorithm: str | None = None,
        default_client_id: str = "first-party",
        access_lifetime: float = settings.ACCESS_LIFETIME,
        refresh_lifetime: float = settings.REFRESH_LIFETIME,
        family_lifetime: float = settings.FAMILY_LIFETIME,
        grace: float = settings.GRACE,
        claims: ClaimsHook | None = None,
        single_session: bool = False,
        is_active: ActiveHook | None = None,
        on_event: EventHook | None = None,
        metadata: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = settings.text("issuer", issuer)
        self.audience = settings.audiences(audience)
        self.clients = Clients(clients, default_client_id)
        self._default_client_id = default_client_id
        self._lifetimes = settings.lifetimes(access_lifetime, refresh_lifetime, family_lifetime, grace)
        self._hooks = Hooks(claims, is_active, on_event)
        self._single_session = single_session
        self._metadata = settings.metadata(metadata)
        self._clock = clock
        self.keys = _keys(keys, algorithm, self._lifetimes.access, clock)
        self.revocations = _revocations(revocations, clock)
        self._refresh = RefreshTokens(self.issuer, self.keys.refresh_secrets)
        self._own = OwnTokens(self.issuer, self.keys, self._refresh, clock)

    def __repr__(self) -> str:
        return f"Issuer({self.issuer!r})"

    def issue(
        self,
        subject: str,
        *,
        audience: str | Collection[str] | None = None,
        scope: str = "",
        claims: Mapping[str, Any] | None = None,
        client_id: str | None = None,
    ) -> Tokens:
        """Begin a session of ``subject``, whom the caller has authenticated.

        ``audience``: None for that of the issuer. ``scope``: space-separated. ``claims``: more claims of the access
        tokens of the session: they are carried in the refresh token, so that they survive a refresh.
        ``client_id``: None for the default client.

        Raises ConfigurationError, a ValueError, for arguments; InactiveSubject, where the hook says so or the subject
        is revoked for some time to come; ServiceUnavailable.
        """
        client = self.clients.find(self._default_client_id if client_id is None else client_id)
        if client is None:
            raise ConfigurationError("client_id", "it is not one of the configured clients")
        known = self.clients.find(settings.text("subject", subject))
        if known is not None and known.confidential:
            raise ConfigurationError("subject", "it is the id of a client with a secret")
        granted = settings.scopes(scope)
        if granted is None:
            raise ConfigurationError("scope", "space-separated scope-tokens are needed")
        audiences = self.audience if audience is None else settings.audiences(audience)
        extra = {} if claims is None else checked_claims(claims)
        self._hooks.require_active(subject)
        session = secrets.token_hex(16)
        known_claims = self._claims(subject, client.client_id, audiences, " ".join(granted), session, extra)
        now = self._clock()
        family = Family(self.issuer, session, subject, client.client_id, self._start(subject, now))
        ends = family.started + self._lifetimes.family
        access, lifetime = self._signed({**known_claims, "auth_time": family.started}, now, ends)
        grant = Grant(family, ends, " ".join(granted), audiences, extra, client.confidential)
        first = self._first(grant, now)
        self._tell("issued", family)
        return Tokens(access, first, lifetime, grant.scope, session)

    def refresh(self, refresh_token: str, *, scope: str | None = None, client_id: str | None = None) -> Tokens:
        """A new access token and the next refresh token of a session (RFC 6749 section 6, RFC 9700 section 4.14.2).

        ``scope``: narrows the access token. ``client_id``: the client that asks; if it has a secret, the caller has
        authenticated it. None is the token's own client, if that has no secret.

        Within the grace window the token that was spent last gives the same next one again. An older one ends the
        session. Raises InvalidGrant, InvalidScope, InvalidClient, ServiceUnavailable; the token is spent only if none
        is raised. (A list that fails may have spent it: within the grace window it can be presented again.)
        """
        token = self._refresh.read(refresh_token)
        grant, family, now = token.grant, token.grant.family, self._clock()
        _check_times(token, now)
        presenting = self._presenting(grant, client_id)
        narrowed = _narrowed(scope, grant.scope.split(" ")) if scope else grant.scope
        self._hooks.require_active(family.subject)
        with mended():
            claims = self._claims(
                family.subject, family.client_id, grant.audience, narrowed, family.session, grant.claims
            )
            access, lifetime = self._signed({**claims, "auth_time": family.started}, now, grant.ends)
        step = self._advanced(token, presenting, now)
        successor = self._refresh.write(RefreshToken(grant, step.sequence, step.issued_at, step.expires_at))
        self._tell("refreshed" if step.answer == "advanced" else "again", family)
        return Tokens(access, successor, lifetime, narrowed, family.session)

    def client_credentials(
        self, client: Client, *, scope: str | None = None, audience: str | Collection[str] | None = None
    ) -> Tokens:
        """An access token for a client itself (RFC 6749 section 4.4), without a refresh token.

        ``client``: as Clients.authenticate gave it. ``scope``: within that of the client; None for all of it.
        ``audience``: within that of the issuer; None for all of it.

        Raises UnauthorizedClient for a client without a secret, InvalidScope, InvalidTarget, ServiceUnavailable.
        """
        if not client.confidential:
            raise UnauthorizedClient
        granted = _narrowed(scope, client.scopes) if scope else " ".join(client.scopes)
        audiences = self._targets(audience)
        now = self._clock()
        with mended():
            claims = self._claims(client.client_id, client.client_id, audiences, granted, None, {})
            access, lifetime = self._signed(claims, now, math.inf)
        self._tell("issued", Family(self.issuer, "", client.client_id, client.client_id, int(now)))
        return Tokens(access, None, lifetime, granted, None)

    def introspect(self, token: str, *, caller: Caller) -> dict[str, Any]:
        """What is to be told of a token (RFC 7662 section 2.2): ``{"active": False}`` and nothing else unless it is
        good now and ``caller`` may see it.

        ``caller``: a client with a secret sees tokens that were issued to it, and access tokens for one of its
        audiences; a bearer of an access token of this issuer with scope introspect sees tokens of its own subject.
        A refresh token is active while it is the current one of its session. Raises ServiceUnavailable.
        """
        now = self._clock()
        found = self._own.find(token, now)
        # The list is asked in any case: neither time nor its failing tells who may see what.
        token_id, session, subject, started = _NOBODY if found is None else identity(found)
        revoked = ask_list(self.revocations.is_revoked, self.issuer, token_id, session, subject, started, now)
        if found is None or revoked is not False or not is_current(found, now):
            return {"active": False}
        if not may_see(caller, found, self.issuer) or not self._is_unspent(found):
            return {"active": False}
        return described(found)

    def revoke(
        self,
        *,
        token: str | None = None,
        session: str | None = None,
        subject: str | None = None,
        before: float | None = None,
        caller: Client | None = None,
    ) -> None:
        """Revoke a token, a session by its ``sid``, or all sessions of a subject that began before ``before`` (seconds
        since the epoch; None for all until now).

        An access token ends itself, a refresh token its session, also when it expired. What is not a good token of
        ours changes nothing, nor does one that was not issued to ``caller`` (RFC 7009 section 2.1); None is the host.

        Raises ValueError for arguments, and ServiceUnavailable.
        """
        if [token, session, subject].count(None) != 2:
            raise ValueError("one of token, session and subject is needed")
        now = self._clock()
        last = now + SKEW + self._lifetimes.family
        if token is not None:
            self._revoke_token(token, caller, now)
        elif session is not None:
            ask_list(self.revocations.revoke_session, self.issuer, settings.text("session", session), expires_at=last)
            self._hooks.tell("revoked", {"session": session})
        elif subject is not None:
            since = settings.moment("before", before)
            ask_list(
                self.revocations.revoke_subject,
                self.issuer,
                settings.text("subject", subject),
                before=since,
                expires_at=last if since is None else max(last, since + self._lifetimes.family),
            )
            self._hooks.tell("revoked", {"subject": subject})

    def key_set(self) -> dict[str, Any]:
        """The JWK set to publish (RFC 7517 section 5). Public keys only."""
        return self.keys.key_set()

    def metadata(self, endpoints: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        """The metadata document (RFC 8414 section 2). ``endpoints``: from token, introspection, revocation and jwks to
        the URLs where they are.

        Raises ConfigurationError where the issuer or one of them is not an https URL (or http on loopback).
        """
        return document(self.issuer, endpoints, self.clients, self._metadata)

    def watch(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` after the published keys changed in this process; see SigningKeys.watch."""
        self.keys.watch(callback)

    def _claims(
        self,
        subject: str,
        client_id: str,
        audience: tuple[str, ...],
        scope: str,
        session: str | None,
        carried: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The claims of an access token that do not depend on the time, the hook's among them."""
        claims: dict[str, Any] = {
            **carried,
            "iss": self.issuer,
            "sub": subject,
            "aud": audience[0] if len(audience) == 1 else audience,
            "client_id": client_id,
        }
        if scope:
            claims["scope"] = scope
        if session is not None:
            claims["sid"] = session
        return {**claims, **self._hooks.claims(claims)}

    def _signed(self, claims: dict[str, Any], now: float, ends: float) -> tuple[str, int]:
        """An access token, and for how many seconds it is good: never longer than its session."""
        issued = int(now)
        expires = int(min(issued + self._lifetimes.access, ends))
        claims.update(jti=secrets.token_hex(16), iat=issued, exp=expires)
        return signed(claims, self.keys.signer()), expires - issued

    def _start(self, subject: str, now: float) -> int:
        """The ``auth_time`` of a new session."""
        last = now + SKEW + self._lifetimes.family
        try:
            return self.revocations.start_family(self.issuer, subject, alone=self._single_session, expires_at=last)
        except SubjectRevokedError:
            raise InactiveSubject from None
        except Exception as error:
            raise failed("the revocation list", error) from None

    def _first(self, grant: Grant, now: float) -> str:
        issued = int(now)
        try:
            return self._refresh.write(RefreshToken(grant, 0, issued, self._refresh_end(grant, issued)))
        except ValueError:
            raise ConfigurationError("claims", "the refresh token would be too long") from None

    def _refresh_end(self, grant: Grant, issued: int) -> int:
        return min(issued + self._lifetimes.refresh, grant.ends)

    def _presenting(self, grant: Grant, client_id: str | None) -> str:
        """The client that presents a token. Raises InvalidClient where the token's own has to prove itself first."""
        own = self.clients.find(grant.family.client_id)
        if own is None or (grant.confidential and not own.confidential):
            raise OtherClient  # its configuration changed: what it could prove then, it cannot prove now
        if client_id is None and own.confidential:
            raise InvalidClient
        return own.client_id if client_id is None else client_id

    def _advanced(self, token: RefreshToken, presenting: str, now: float) -> Step:
        """Spend the token: the one step that changes anything. Another client's attempt is for the list to judge."""
        grant, issued = token.grant, int(now)
        step: Step = ask_list(
            self.revocations.advance,
            grant.family,
            token.sequence,
            client_id=presenting,
            issued_at=issued,
            expires_at=self._refresh_end(grant, issued),
            keep_until=grant.ends + KEEP_AFTER,
            now=now,
            grace=self._lifetimes.grace,
        )
        if step.answer == "reuse":
            self._tell("reuse", grant.family)
        if step.answer in ("advanced", "again") and presenting == grant.family.client_id:
            return step
        if step.answer in ("reuse", "revoked") or presenting == grant.family.client_id:
            raise _REFUSALS.get(step.answer, UnknownGrant)
        raise OtherClient

    def _is_unspent(self, found: Found) -> bool:
        if isinstance(found, RefreshToken):
            return bool(ask_list(self.revocations.current, found.grant.family) == found.sequence)
        return True

    def _revoke_token(self, text: str, caller: Client | None, now: float) -> None:
        found = self._own.find(text, now)
        if found is None or (caller is not None and not may_revoke(caller, found)):
            return
        token_id, session, subject, _ = identity(found)
        context = {"subject": subject, "client_id": owner(found), "session": session}
        if isinstance(found, RefreshToken):
            ask_list(
                self.revocations.revoke_session, self.issuer, found.grant.family.session, expires_at=found.grant.ends
            )
        elif token_id is not None:
            ask_list(self.revocations.revoke_token, self.issuer, token_id, expires_at=found.expires_at)
            context["token_id"] = token_id
        self._hooks.tell("revoked", context)

    def _targets(self, audience: str | Collection[str] | None) -> tuple[str, ...]:
        """The audience that was asked for, within that of the issuer (RFC 8707 section 2)."""
        if audience is None:
            return self.audience
        try:
            asked = settings.audiences(audience)
        except ConfigurationError:
            raise InvalidTarget from None
        if not set(self.audience).issuperset(asked):
            raise InvalidTarget
        return asked

    def _tell(self, event: str, family: Family) -> None:
        self._hooks.tell(
            event, {"subject": family.subject, "client_id": family.client_id, "session": family.session or None}
        )


def _check_times(token: RefreshToken, now: float) -> None:
    """No leeway for the end: the issuer judges by the clock it issues by. A start that is a little ahead passes,
    because another host of the issuer may have given the token out this very moment.
    """
    if token.issued_at > now + SKEW:
        raise EarlyGrant
    if now >= min(token.expires_at, token.grant.ends):
        raise ExpiredGrant


def _narrowed(scope: str, granted: Collection[str]) -> str:
    asked = settings.scopes(scope)
    if asked is None or not set(granted).issuperset(asked):
        raise InvalidScope
    return " ".join(asked)


def _keys(keys: object, algorithm: str | None, lifetime: float, clock: Callable[[], float]) -> SigningKeys:
    if isinstance(keys, SigningKeys):
        return keys
    return SigningKeys(keys, algorithm=algorithm, access_lifetime=lifetime, clock=clock)


def _revocations(revocations: RevocationList | None, clock: Callable[[], float]) -> RevocationList:
    if revocations is None:
        _log.warning("the revocation list is kept in memory only: all sessions end with this process")
        return MemoryRevocationList(clock=clock)
    needed = ("is_revoked", "revoke_token", "revoke_session", "revoke_subject", "start_family", "advance", "current")
    if not all(callable(getattr(revocations, name, None)) for name in needed):
        raise ConfigurationError("revocations", "a RevocationList is needed; see jwtconnect_mw.revocation")
    return revocations
