"""What an issuer finds out about a token that somebody brings: whether it is one of its own, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import AuthError, MalformedToken, TokenTooLarge, UnacceptableHeader, UnknownKey, UnusableKey
from ..keys.sources import no_fetch
from ..keys.state import IssuerKeys
from ..keys.store import KeyStore
from ..policy import MOST_LEEWAY, AnyAudience, TrustedIssuer
from ..token import AccessToken
from ..verifier import TokenVerifier
from .clients import Client
from .errors import MalformedGrant, OtherIssuer, UnverifiedGrant
from .keys import SigningKeys
from .refresh import RefreshToken, RefreshTokens
from .settings import SKEW

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


class OwnTokens:
    """Reads the tokens of one issuer, of both kinds, with its own keys and the rules that verifiers have.

    Whatever it is given, one signature of the issuer's is verified, so that time does not tell what was wrong.
    """

    def __init__(self, issuer: str, keys: SigningKeys, refresh: RefreshTokens, clock: Callable[[], float]) -> None:
        self._issuer, self._keys, self._refresh, self._clock = issuer, keys, refresh, clock
        self._keys_mark = object()
        self._built = self._build()
        keys.watch(self._forget)

    def find(self, text: str, now: float) -> Found | None:
        """The token, or None where it is not a good one of ours. It may have expired up to 300 s ago, the greatest
        leeway of a verifier; a refresh token at any time.
        """
        verifier, decoy = self._current()
        try:
            found: Found | None = self._refresh.read(text)
        except MalformedGrant:
            found = None
        except (UnverifiedGrant, OtherIssuer):
            try:
                return verifier.verify(text, now).token
            except _UNTRIED:
                found = None
            except AuthError:
                return None
        with suppress(AuthError):
            verifier.verify(decoy, now)
        return found

    def _current(self) -> tuple[TokenVerifier, str]:
        self._keys.signer()  # notices a change of the keys, whoever made it
        mark, verifier, decoy = self._built
        if mark is not self._keys_mark:
            self._built = _, verifier, decoy = self._build()
        return verifier, decoy

    def _forget(self) -> None:
        self._keys_mark = object()

    def _build(self) -> tuple[object, TokenVerifier, str]:
        """No tokens are remembered by this verifier: a token seen before must not be told from others by its time."""
        mark = self._keys_mark  # first, so that keys that change meanwhile are not missed
        policy = TrustedIssuer(
            self._issuer, audience=AnyAudience(), keys=self._keys.key_set(), leeway=MOST_LEEWAY, profile="rfc9068"
        )
        keys = IssuerKeys(policy.issuer, policy.source, no_fetch, self._clock, float)
        decoy = self._keys.signer().sign_access_token({**_DECOY, "iss": self._issuer})
        return mark, TokenVerifier([policy], KeyStore({policy.issuer: keys}), 0), decoy


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
