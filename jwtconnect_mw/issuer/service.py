"""Issuer: hands tokens out, refreshes, introspects and revokes them. Plain methods; HTTP is elsewhere."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .._checks import check_function, check_switch
from ..errors import ConfigurationError
from ..revocation import Family, MemoryRevocationList, RevocationList, RevocationLookup
from ..revocation.protocol import FAMILY_LIFETIME
from . import settings
from .access import checked_claims
from .clients import UNNAMED, Client, Clients
from .errors import InvalidScope, InvalidTarget, UnauthorizedClient
from .hooks import ActiveHook, ClaimsHook, EventHook, Hooks, ask_list
from .inspection import Caller, OwnTokens, described, identity, is_current, may_see
from .keys import SigningKeys
from .metadata import document
from .minting import Mint, serving
from .refresh import Grant, RefreshToken, RefreshTokens
from .revoking import Revoking, may_revoke
from .sessions import Sessions
from .shared import SharedSecret
from .signing import IssuerKeys
from .tokens import Tokens

_NOBODY = "-", "-", "-", 0.0
_INACTIVE = MappingProxyType({"active": False})

_log = logging.getLogger("jwtconnect_mw.issuer")


def _token_id() -> str:
    return secrets.token_hex(16)


class Issuer:
    """An issuer of access tokens (RFC 9068) and refresh tokens. Safe for threads and fork.

    ``issuer``: the ``iss`` of its tokens; an https URL where metadata is to be published, else any string.
    ``audience``: of its access tokens, one name or several.
    ``keys``: a SigningKeys or what that takes; None makes keys in memory, for one process (logged). A SharedSecret for
    HS256.
    ``revocations``: a RevocationList; None makes one in memory, for one process (logged).
    ``clients``: client_id to secret or settings, see Clients. ``default_client_id``: of tokens issued without one.
    ``algorithm``: of keys that are made, see SigningKeys.
    ``access_lifetime``, ``refresh_lifetime``, ``family_lifetime``: seconds; of an access token, of a refresh token, and
    of a session as a whole. ``grace``: seconds, 0 to 60, in which a spent refresh token may be presented once more.
    ``claims``: hook from the claims known so far to more claims of an access token, asked anew at each refresh.
    ``single_session``: a new session of a subject ends its earlier ones.
    ``is_active``: hook from a subject to whether it may have tokens. Hooks are asked before a refresh token is spent.
    ``on_event(event, context)``: "issued", "refreshed", "again", "reuse", "revoked"; never sees a token.
    ``metadata``: more members of the metadata document. ``token_id``: makes the jti of an access token, which nobody
    may guess or meet twice; None draws 128 bits. ``clock``: seconds since the epoch.

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
        family_lifetime: float = FAMILY_LIFETIME,
        grace: float = settings.GRACE,
        claims: ClaimsHook | None = None,
        single_session: bool = False,
        is_active: ActiveHook | None = None,
        on_event: EventHook | None = None,
        metadata: Mapping[str, Any] | None = None,
        token_id: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_function("clock", clock)
        check_switch("single_session", single_session)
        if token_id is not None:
            check_function("token_id", token_id)
        self.issuer = settings.text("issuer", issuer)
        self.audiences = settings.audiences(audience)
        self.clients = Clients(clients, default_client_id)
        lifetimes = settings.lifetimes(access_lifetime, refresh_lifetime, family_lifetime, grace)
        self._hooks = Hooks(claims, is_active, on_event)
        self._metadata = settings.metadata(metadata)
        self.default_client_id, self.clock, self._family_lifetime = default_client_id, clock, lifetimes.family
        self.revocations = _revocations(revocations, clock)
        # Behind a replica: what it has not read yet counts where the issuer itself is asked.
        self.authority: RevocationLookup = getattr(self.revocations, "authority", self.revocations)
        self.keys: IssuerKeys = _keys(keys, algorithm, lifetimes.access, clock)
        refresh = RefreshTokens(issuer, self.keys.refresh_secrets, lifetimes.family)
        self._mint = Mint(issuer, self.keys.signer, self._hooks, lifetimes.access, token_id or _token_id)
        self._sessions = Sessions(self.revocations, refresh, self.clients, self._hooks, lifetimes, alone=single_session)
        self._own = OwnTokens(issuer, self.keys, refresh, clock)
        self._revoking = Revoking(issuer, self.revocations, self._hooks, lifetimes.family)

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
        access_lifetime: float | None = None,
    ) -> Tokens:
        """Begin a session of ``subject``, whom the caller has authenticated.

        ``audience``: of the access tokens; None for that of the issuer. ``scope``: space-separated. ``claims``: more
        claims of the access tokens; they are carried in the refresh token, so that they survive a refresh.
        ``client_id``: None for the default client. ``access_lifetime``: seconds, of this first access token; None for
        that of the issuer. A longer one is taken only where no key is retired before the token is gone.

        Raises ConfigurationError, a ValueError, for arguments; InactiveSubject, where the hook says so or the subject
        is revoked for some time to come; ServiceUnavailable.
        """
        client = self.clients.find(self.default_client_id if client_id is None else client_id)
        if client is None:
            raise ConfigurationError("client_id", "it is not one of the configured clients")
        self._check_subject(subject)
        granted = settings.scopes(scope)
        if granted is None:
            raise ConfigurationError("scope", "space-separated scope-tokens are needed (RFC 6749 section 3.3)")
        scope, names = " ".join(granted), self.audiences if audience is None else settings.audiences(audience)
        carried = {} if claims is None else checked_claims(claims)
        seconds = None if access_lifetime is None else settings.lifetime(access_lifetime, self.keys.longest_lifetime)
        self._hooks.require_active(subject)
        session = secrets.token_hex(16)
        content = self._mint.claims(subject, client.client_id, names, scope, session, carried)
        now = self.clock()

        def begun(started: int) -> tuple[Family, Tokens]:
            content["auth_time"], ends = started, started + self._family_lifetime
            access, lifetime = self._mint.token(content, now, ends, seconds)
            family = Family(self.issuer, session, subject, client.client_id, started)
            refresh = self._sessions.first(Grant(family, ends, ends, scope, names, carried, client.confidential), now)
            return family, Tokens(access, refresh, lifetime, scope, session)

        if self._sessions.alone:
            begun(int(now))  # what would be too long is found out before the other sessions end
        family, tokens = begun(self._sessions.start(self.issuer, subject, now))
        self._hooks.tell("issued", family)
        return tokens

    def refresh(self, refresh_token: str, *, scope: str | None = None, client_id: str | None = None) -> Tokens:
        """A new access token and the next refresh token of a session (RFC 6749 section 6, RFC 9700 section 4.14.2).

        ``scope``: narrows the access token. ``client_id``: the client that asks; if it has a secret, the caller has
        authenticated it. None is the token's own client, if that has no secret.

        Within the grace window the token that was spent last gives the same next one again; an older one ends the
        session. The claims hook is asked anew, before the token is spent, and so is ``is_active``.

        Raises InvalidGrant, InvalidScope, InvalidClient and ServiceUnavailable. The token is not spent then, but that
        a list which failed may have spent it: within the grace window it may be presented again.
        """
        now = self.clock()
        token, presenting = self._sessions.presented(refresh_token, client_id, now)
        grant, family = token.grant, token.grant.family
        granted = _narrowed(scope, grant.scope.split(" ")) if scope else grant.scope
        self._hooks.require_active(family.subject)
        with serving():
            content = self._mint.claims(
                family.subject, family.client_id, grant.audience, granted, family.session, grant.claims
            )
            content["auth_time"] = family.started
            access, lifetime = self._mint.token(content, now, grant.ends)
        successor, first_time = self._sessions.spend(token, presenting, now)
        self._hooks.tell("refreshed" if first_time else "again", family)
        return Tokens(access, successor, lifetime, granted, family.session)

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
        names = self.audiences if audience is None else self._targets(audience)
        now = self.clock()
        with serving():
            content = self._mint.claims(client.client_id, client.client_id, names, granted, None, {})
            started = self._sessions.of_client(self.issuer, client.client_id)
            if started > now:  # the client's tokens of this second are revoked: let this one be told from them
                content["auth_time"] = started
            access, lifetime = self._mint.token(content, now, math.inf)
        self._hooks.tell("issued", Family(self.issuer, "", client.client_id, client.client_id, int(now)))
        return Tokens(access, None, lifetime, granted, None)

    def introspect(self, token: str, *, caller: Caller | str) -> dict[str, Any]:
        """What is to be told of a token (RFC 7662 section 2.2): ``{"active": False}`` and nothing else unless it is
        good now and ``caller`` may see it.

        ``caller``: a client with a secret sees tokens that were issued to it, and access tokens for one of its
        audiences; a bearer of an access token of this issuer with scope introspect sees tokens of its own subject. A
        str is the client_id of a client that the host has authenticated in its own way.
        A refresh token is active while it is the last one of its session. Raises ServiceUnavailable.
        """
        now = self.clock()
        if isinstance(caller, str):
            client = self.clients.find(caller)
            caller = UNNAMED if client is None else replace(client, confidential=True)
        found = self._own.find(token, now)
        # The list is asked in any case: neither the time nor a failure tells who may see what.
        token_id, session, subject, started = _NOBODY if found is None else identity(found)
        revoked = ask_list(self.authority.is_revoked, self.issuer, token_id, session, subject, started, now)
        if found is None or revoked is not False or not is_current(found, now):
            return dict(_INACTIVE)
        if not may_see(caller, found, self.issuer):
            return dict(_INACTIVE)
        if isinstance(found, RefreshToken) and not self._sessions.is_unspent(found):
            return dict(_INACTIVE)
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
        """Revoke a token, a session by its ``sid``, or the sessions of a subject that began before ``before`` (seconds
        since the epoch; None for all until now).

        An access token ends itself, a refresh token its session, also when it expired. What is not a good token of
        ours changes nothing, nor does one that was not issued to ``caller`` (RFC 7009 section 2.1). ``caller``: None
        is the host itself, UNNAMED a client that does not say which it is.

        Raises ValueError for arguments, and ServiceUnavailable.
        """
        if [token, session, subject].count(None) != 2:
            raise ValueError("exactly one of token, session and subject is needed")
        if (before is not None and subject is None) or (caller is not None and token is None):
            raise ValueError("before goes with subject, caller with token")
        now = self.clock()
        if session is not None:
            self._revoking.session(session, now)
        if subject is not None:
            self._revoking.subject(subject, before, now)
        if token is not None:
            found = self._own.find(token, now)
            if found is not None and (caller is None or may_revoke(caller, found, self.clients)):
                self._revoking.token(found)

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

    def _check_subject(self, subject: object) -> None:
        same = self.clients.find(settings.text("subject", subject))
        if same is not None and same.confidential:
            raise ConfigurationError("subject", "it is the id of a client with a secret")

    def _targets(self, audience: str | Collection[str]) -> tuple[str, ...]:
        """The audience that was asked for, within that of the issuer (RFC 8707 section 2)."""
        try:
            names = settings.audiences(audience)
        except ConfigurationError:
            raise InvalidTarget from None
        if not set(self.audiences).issuperset(names):
            raise InvalidTarget
        return names


def _narrowed(scope: str, granted: Collection[str]) -> str:
    asked = settings.scopes(scope)
    if asked is None or not set(granted).issuperset(asked):
        raise InvalidScope
    return " ".join(asked)


def _keys(keys: object, algorithm: str | None, lifetime: int, clock: Callable[[], float]) -> IssuerKeys:
    if not isinstance(keys, (SigningKeys, SharedSecret)):
        return SigningKeys(keys, algorithm=algorithm, access_lifetime=lifetime, clock=clock)
    if algorithm is not None:
        raise ConfigurationError("algorithm", "it is a setting of the keys that were given")
    if isinstance(keys, SigningKeys) and keys.access_lifetime < lifetime:
        raise ConfigurationError("access_lifetime", "the SigningKeys that were given publish retired keys for less")
    return keys


def _revocations(revocations: RevocationList | None, clock: Callable[[], float]) -> RevocationList:
    if revocations is None:
        _log.warning("the revocation list is kept in memory only: all sessions end with this process")
        return MemoryRevocationList(clock=clock)
    needed = ("is_revoked", "revoke_token", "revoke_session", "revoke_subject", "start_family", "advance", "current")
    if not all(callable(getattr(revocations, name, None)) for name in needed):
        raise ConfigurationError("revocations", "a RevocationList is needed; see jwtconnect_mw.revocation")
    for name in needed:
        check_function("revocations", getattr(revocations, name))
    return revocations
