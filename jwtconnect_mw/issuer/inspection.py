"""What an issuer finds out about a token that somebody brings: whether it is one of its own, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import AuthError, MalformedToken, TokenTooLarge, UnacceptableHeader, UnknownKey, UnusableKey
from ..keys import state
from ..keys.sources import no_fetch
from ..keys.store import KeyStore
from ..policy import MOST_LEEWAY, AnyAudience, TrustedIssuer
from ..revocation import Family
from ..token import AccessToken
from ..verifier import TokenVerifier
from .clients import Client
from .errors import InvalidGrant, MalformedGrant, OtherIssuer, UnverifiedGrant
from .refresh import Grant, RefreshToken, RefreshTokens
from .settings import SKEW
from .signing import IssuerKeys

Caller = Client | AccessToken
Found = RefreshToken | AccessToken

# Refused before any signature was verified.
_UNTRIED = (MalformedToken, TokenTooLarge, UnacceptableHeader, UnknownKey, UnusableKey)
_DECOY = {
    "sub": "-",
    "aud": "-",
    "client_id": "-",
    "jti": "-",
    "scope": "-",
    "sid": "-",
    "auth_time": 0,
    "iat": 0,
    "exp": 0,
}
_TOLD = ("iss", "sub", "aud", "client_id", "exp", "iat", "jti", "scope", "sid", "auth_time")


class _Built(NamedTuple):
    """What depends on the keys, and a mark that tells whether they are still the same."""

    mark: object
    verifier: TokenVerifier
    decoy: str
    refresh_decoy: str


class OwnTokens:
    """Reads the tokens of one issuer, of both kinds, with its own keys and the rules that verifiers have.

    Whatever it is given, one signature of the issuer's is verified and one refresh token is read, so that time does not
    tell what was wrong.
    """

    def __init__(self, issuer: str, keys: IssuerKeys, refresh: RefreshTokens, clock: Callable[[], float]) -> None:
        self._issuer, self._keys, self._refresh, self._clock = issuer, keys, refresh, clock
        self._keys_mark = object()
        self._built = self._build()
        keys.watch(self._forget)

    def find(self, text: str, now: float) -> Found | None:
        """The token, or None where it is not a good one of ours. It may have expired up to 300 s ago, the greatest
        leeway of a verifier; a refresh token at any time.
        """
        current = self._current()
        try:
            found: Found | None = self._refresh.read(text)
        except OtherIssuer:
            found = None
        except (MalformedGrant, UnverifiedGrant) as refused:
            found = None
            with suppress(InvalidGrant):
                self._refresh.read(current.refresh_decoy)
            if isinstance(refused, UnverifiedGrant):
                try:
                    return current.verifier.verify(text, now).token
                except _UNTRIED:
                    pass
                except AuthError:
                    return None
        with suppress(AuthError):
            current.verifier.verify(current.decoy, now)
        return found

    def _current(self) -> _Built:
        self._keys.signer()  # notices a change of the keys, whoever made it
        built = self._built
        if built.mark is not self._keys_mark:
            self._built = built = self._build()
        return built

    def _forget(self) -> None:
        self._keys_mark = object()

    def _build(self) -> _Built:
        """No tokens are remembered by this verifier: a token seen before must not be told from others by its time."""
        mark = self._keys_mark  # first, so that keys that change meanwhile are not missed
        policy = TrustedIssuer(
            self._issuer, audience=AnyAudience(), leeway=MOST_LEEWAY, profile="rfc9068", **self._keys.trusted()
        )
        keys = state.IssuerKeys(policy.issuer, policy.source, no_fetch, self._clock, float)
        decoy = self._keys.signer().sign_access_token({**_DECOY, "iss": self._issuer})
        nobody = Grant(Family(self._issuer, "-", "-", "-", 0), 0, 0, "-", ("-",), {}, confidential=True)
        refresh_decoy = self._refresh.write(RefreshToken(nobody, 0, 0, 0))
        return _Built(mark, TokenVerifier([policy], KeyStore({policy.issuer: keys}), 0), decoy, refresh_decoy)


def is_current(found: Found, now: float) -> bool:
    """Whether the time is within that of the token. No leeway for exp: the issuer judges by the clock it issues by."""
    if isinstance(found, RefreshToken):
        return found.issued_at <= now + SKEW and now < min(found.expires_at, found.grant.ends)
    issued: float = found.claims["iat"]
    return issued <= now + SKEW and now < found.expires_at


def may_see(caller: Caller, found: Found, issuer: str) -> bool:
    """RFC 7662 section 2.1: a client with a secret sees tokens that were issued to it, and access tokens for one of its
    audiences; a bearer of an access token of this issuer with scope introspect sees tokens of its own subject.
    """
    if isinstance(caller, AccessToken):
        allowed = caller.issuer == issuer and "introspect" in caller.scopes
        return allowed and caller.subject == _subject(found)
    if not isinstance(caller, Client) or not caller.confidential:
        return False
    if caller.client_id == owner(found):
        return True
    return isinstance(found, AccessToken) and not caller.audiences.isdisjoint(_audience(found))


def owner(found: Found) -> str | None:
    """The client that a token was issued to."""
    return found.grant.family.client_id if isinstance(found, RefreshToken) else found.client_id


def identity(found: Found) -> tuple[str, str | None, str, float | None]:
    """What a revocation list is asked for: jti, sid, sub and when it all began, in seconds."""
    if isinstance(found, RefreshToken):
        family = found.grant.family
        return found.token_id, family.session, family.subject, family.started
    claims = found.claims
    session, started = claims.get("sid"), claims.get("auth_time", claims["iat"])
    # Whoever used the keys before may have written other types into these two.
    session = session if isinstance(session, str) else None
    return claims["jti"], session, claims["sub"], started if isinstance(started, (int, float)) else None


def described(found: Found) -> dict[str, Any]:
    """The introspection answer for an active token (RFC 7662 section 2.2)."""
    if isinstance(found, RefreshToken):
        family = found.grant.family
        told: dict[str, Any] = {
            "active": True,
            "iss": family.issuer,
            "sub": family.subject,
            "aud": family.issuer,
            "client_id": family.client_id,
            "exp": found.expires_at,
            "iat": found.issued_at,
            "jti": found.token_id,
            "sid": family.session,
            "auth_time": family.started,
        }
        if found.grant.scope:
            told["scope"] = found.grant.scope
        return told
    claims = found.to_dict()
    return {"active": True, **{name: claims[name] for name in _TOLD if name in claims}, "token_type": "Bearer"}


def _subject(found: Found) -> str | None:
    return found.grant.family.subject if isinstance(found, RefreshToken) else found.subject


def _audience(found: AccessToken) -> tuple[str, ...]:
    audience: str | tuple[str, ...] = found.claims["aud"]
    return (audience,) if isinstance(audience, str) else audience
