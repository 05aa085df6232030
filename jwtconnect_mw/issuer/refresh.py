"""Refresh tokens: what they tell, and their text, a JWS that only the issuer can verify (RFC 7515, HS256).

The standard library does the HMAC: the secret never meets a library that logs.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from .._http import MAX_TOKEN
from .._private import b64url
from .._strict import b64url_decode, json_object, json_text
from ..revocation import Family
from .errors import MalformedGrant, OtherIssuer, UnverifiedGrant

_TEXTS = ("iss", "aud", "sub", "client_id", "sid", "jti", "scope")
_MOST_GROWTH = 64  # the sequence number has more digits later
_NUMBERS = ("seq", "iat", "exp", "auth_time", "family_exp")


class RefreshSecret(Protocol):
    """A secret that signs refresh tokens; ``kid`` is a name, and tells nothing of it."""

    @property
    def kid(self) -> str: ...

    @property
    def secret(self) -> bytes: ...


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """What was granted when a session began; every refresh token of it carries this unchanged.

    ``family_exp``: when it was to end, seconds since the epoch; its access tokens may be good until then. ``ends``:
    when it does end, sooner where sessions were shortened since. ``scope``: as granted, space-separated. ``audience``:
    of the access tokens. ``claims``: more of theirs. ``confidential``: the client had a secret, so it must always
    prove it.
    """

    family: Family
    family_exp: int
    ends: int
    scope: str
    audience: tuple[str, ...]
    claims: Mapping[str, Any]
    confidential: bool


@dataclass(frozen=True, slots=True, repr=False)
class RefreshToken:
    """One of a session's refresh tokens: a pure function of the grant and of what the revocation list stores.

    ``sequence``: from 0. ``issued_at``, ``expires_at``: seconds since the epoch.
    """

    grant: Grant
    sequence: int
    issued_at: int
    expires_at: int

    @property
    def token_id(self) -> str:
        """The ``jti`` claim."""
        return sha256(f"{self.grant.family.session}.{self.sequence}".encode()).hexdigest()


class RefreshTokens:
    """Writes and reads the refresh tokens of one issuer.

    ``secrets``: gives the current ones; the first signs, each verifies. ``family_lifetime``: seconds; a session that
    began when it was longer ends by it all the same, because revocations are kept no longer than that.
    """

    def __init__(self, issuer: str, secrets: Callable[[], Sequence[RefreshSecret]], family_lifetime: int) -> None:
        self._issuer, self._secrets, self._longest = issuer, secrets, family_lifetime
        self._headers: dict[str, bytes] = {}

    def write(self, token: RefreshToken) -> str:
        """The text of a token. Raises ValueError for the first of a session if one of the later could be longer than
        what is read.
        """
        secret = self._secrets()[0]
        signing_input = self._header(secret.kid) + b"." + b64url(json_text(_claims(token)).encode())
        text = signing_input + b"." + b64url(hmac.digest(secret.secret, signing_input, "sha256"))
        if token.sequence == 0 and len(text) > MAX_TOKEN - _MOST_GROWTH:
            raise ValueError("the refresh token would be too long")
        return text.decode()

    def read(self, text: str) -> RefreshToken:
        """What a token tells, whatever the time. Its JSON is parsed only after its signature was verified.

        Raises MalformedGrant, UnverifiedGrant (an access token as well) and OtherIssuer.
        """
        if not isinstance(text, str) or len(text) > MAX_TOKEN or not text.isascii():
            raise MalformedGrant
        octets = text.encode()
        segments = octets.split(b".", 3)
        if len(segments) != 3:
            raise MalformedGrant
        header, payload, signature = segments
        try:
            presented = b64url_decode(signature)
        except ValueError:
            raise MalformedGrant from None
        signing_input = octets[: -len(signature) - 1]
        # Nobody else writes these tokens, so a header is one of ours to the letter, or it is not ours.
        for secret in self._secrets():
            if header == self._header(secret.kid):
                if not hmac.compare_digest(presented, hmac.digest(secret.secret, signing_input, "sha256")):
                    break
                return self._parsed(payload)
        raise UnverifiedGrant

    def _parsed(self, payload: bytes) -> RefreshToken:
        try:
            claims = json_object.read(b64url_decode(payload))
            token = _token(claims, self._longest)
        except (ValueError, KeyError):
            raise MalformedGrant from None
        if claims["iss"] != self._issuer or claims["aud"] != self._issuer:
            raise OtherIssuer
        return token

    def _header(self, kid: str) -> bytes:
        header = self._headers.get(kid)
        if header is None:
            header = b64url(json_text({"alg": "HS256", "kid": kid, "typ": "refresh+jwt"}).encode())
            self._headers = {kid: header}  # there is one secret, but for the moments of its change
        return header


def _claims(token: RefreshToken) -> dict[str, Any]:
    grant = token.grant
    family = grant.family
    claims: dict[str, Any] = {
        "iss": family.issuer,
        "aud": family.issuer,
        "sub": family.subject,
        "client_id": family.client_id,
        "sid": family.session,
        "ttype": "R",  # beside typ, for those who look at the claims alone
        "seq": token.sequence,
        "jti": token.token_id,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "scope": grant.scope,
        "auth_time": family.started,
        "family_exp": grant.family_exp,
        "access_aud": grant.audience,
    }
    if grant.confidential:
        claims["confidential"] = True
    if grant.claims:
        claims["claims"] = grant.claims
    return claims


def _token(claims: Mapping[str, Any], longest: int) -> RefreshToken:
    """Raises KeyError or ValueError for what ``_claims`` does not write."""
    audience, extra = claims["access_aud"], claims.get("claims", {})
    good = (
        all(type(claims[name]) is str for name in _TEXTS)
        and all(type(claims[name]) is int and claims[name] >= 0 for name in _NUMBERS)
        and type(audience) is list
        and audience != []
        and all(type(name) is str for name in audience)
        and type(extra) is dict
    )
    if not good:
        raise ValueError("not a refresh token of ours")
    family = Family(claims["iss"], claims["sid"], claims["sub"], claims["client_id"], claims["auth_time"])
    confidential = claims.get("confidential", False) is not False
    ends = min(claims["family_exp"], family.started + longest)
    grant = Grant(family, claims["family_exp"], ends, claims["scope"], tuple(audience), extra, confidential)
    token = RefreshToken(grant, claims["seq"], claims["iat"], claims["exp"])
    if claims["jti"] != token.token_id:
        raise ValueError("not a refresh token of ours")
    return token
