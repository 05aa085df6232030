"""The older names for making and reading tokens, over Issuer and BearerAuth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from .._jose import SigningKey, cryptojwt_keys, key_jar
from .._strict import b64url_decode, json_object
from ..errors import AuthError, ConfigurationError
from ..issuer import Tokens
from ..issuer.access import REGISTERED
from ..issuer.callers import Callers
from ..issuer.clients import Client
from . import legacy
from .conf import Wiring, wiring
from .exceptions import InvalidJWT
from .issuers import ProjectIssuer

# Of the keyword arguments of ``build``: what the issuer decides, whatever was passed.
_NO_CLAIMS = REGISTERED | {"ttype", "expires_in"}


class JWTConnectAuthKeyHandler:
    """The keys of the issuer as cryptojwt has them. A subclass, named by JWTAUTH_KEYJAR_HANDLER, may give others."""

    @staticmethod
    def keys() -> list[Any]:
        """The private keys, or the shared secret, as objects of cryptojwt. Raises ImproperlyConfigured."""
        held = legacy.keys(settings) if legacy.is_used(settings) else _issuer(wiring()).keys
        signer = held.signer()
        return cryptojwt_keys([signer] if isinstance(signer, SigningKey) else [held.trusted()["keys"]])

    @classmethod
    def keyjar(cls) -> Any:
        """The same in a KeyJar of cryptojwt, under the name of the issuer and under the empty one."""
        return key_jar((_issuer(wiring()).issuer, ""), cls.keys())

    @classmethod
    def decode_jwt(cls, jwt: str | bytes, verify: bool = True, format: str | None = "dict") -> Any:  # noqa: ARG003
        """The claims of an access token of this issuer: "dict", or "json" for their text.

        It is verified as those of requests are, whatever ``verify`` says. Raises InvalidJWT, for a refresh token too.
        """
        wired = wiring()
        own = wired.once("own callers", lambda: Callers(_issuer(wired), None))
        text = jwt.decode("ascii", "replace") if isinstance(jwt, bytes) else jwt
        try:
            claims = own.bearer(f"Bearer {text}").to_dict()
        except AuthError:
            raise InvalidJWT("Not a valid access token.") from None
        return json.dumps(claims) if format == "json" else claims


class JWTConnectAuthTokenBuilder:
    """Makes a token pair, in the two steps of old."""

    @staticmethod
    def build(user: Any = None, **kwargs: Any) -> dict[str, Any]:
        """The claims of a new pair as ``access_token`` and ``refresh_token``, and ``expires_in`` in seconds.

        ``expires_in``: seconds that the access token is to be good for. ``aud``, ``scope``, ``client_id``: see
        Issuer.issue; without ``user``, ``sub``. Everything else becomes a claim of the access token.
        Raises ConfigurationError and GrantError.
        """
        issuer = _issuer(wiring())
        given = {name: value for name, value in kwargs.items() if name not in _NO_CLAIMS and value not in (None, "")}
        more: dict[str, Any] = {
            "scope": kwargs.get("scope", ""),
            "claims": given,
            "client_id": kwargs.get("client_id"),
            "access_lifetime": kwargs.get("expires_in"),
        }
        if user is not None:
            tokens = issuer.issue_for(user, audience=kwargs.get("aud"), **more)
        else:
            subject = kwargs.get("sub", issuer.default_client_id)
            tokens = issuer.issue(subject, audience=issuer.audience_of(kwargs.get("aud")), **more)
        return _Built(tokens, user)

    @staticmethod
    def create(
        data: Mapping[str, Any], alg: str | None = None, lifetime: float | None = None, **_: Any
    ) -> dict[str, Any]:
        """The signed pair of what ``build`` gave, with ``token_type`` and ``expires_in``; its texts are nowhere else.

        ``lifetime``: seconds of the access token, if other than built. Claims that were changed after ``build`` are
        taken over, into a new pair; iss, jti, iat, exp and the like stay the issuer's. ``alg``: that of the issuer.
        Raises ConfigurationError and GrantError.
        """
        built = data if isinstance(data, _Built) else None
        if built is None or built.is_changed(lifetime):
            access = dict(data["access_token"])
            seconds = lifetime or data.get("expires_in")
            user = None if built is None else built.user
            named = {} if user is None else {"sub": None}
            again = {**access, **named, "expires_in": seconds}
            built = JWTConnectAuthTokenBuilder.build(user, **again)  # type: ignore[assignment]  # it is one
        assert isinstance(built, _Built)  # noqa: S101  # for the type checker
        tokens = built.tokens
        if alg is not None and alg != _header(tokens.access_token)["alg"]:
            raise ConfigurationError("alg", "the tokens of this issuer are signed with another algorithm")
        _issuer(wiring()).record(tokens, user=built.user)
        return {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "token_type": "bearer",
            "expires_in": tokens.expires_in,
        }


class _Built(dict[str, Any]):
    """What ``build`` gives: a dict to look at and to change, with the pair that it describes."""

    def __init__(self, tokens: Tokens, user: Any) -> None:
        access, refresh = _claims(tokens.access_token), _claims(tokens.refresh_token or "")
        super().__init__(access_token=access, refresh_token=refresh, expires_in=tokens.expires_in)
        self.tokens, self.user = tokens, user

    def is_changed(self, lifetime: float | None) -> bool:
        tokens = self.tokens
        same = self.get("access_token") == _claims(tokens.access_token) and self.get("expires_in") == tokens.expires_in
        return not same or lifetime not in (None, tokens.expires_in)

    def __reduce__(self) -> Any:
        """A pickle or a copy has the claims, not the tokens."""
        return dict, (dict(self),)


def decode_refresh(text: str) -> dict[str, Any]:
    """The claims of a refresh token of this issuer that can be presented now. Raises InvalidJWT."""
    try:
        claims, is_refresh = _claims(text), _header(text).get("typ") == "refresh+jwt"
    except (ValueError, IndexError):
        raise InvalidJWT("Not a valid refresh token.") from None
    caller = Client(str(claims.get("client_id")), True, frozenset(), ())  # who has the text may see what it says
    if not is_refresh or not _issuer(wiring()).introspect(text, caller=caller)["active"]:
        raise InvalidJWT("Not a valid refresh token.")
    return claims


def _issuer(wired: Wiring) -> ProjectIssuer:
    if wired.issuer is None:
        raise ConfigurationError("issuer", "the settings name no issuer")
    return wired.issuer


def _claims(text: str) -> dict[str, Any]:
    return _part(text.split(".", 2)[1])


def _header(text: str) -> dict[str, Any]:
    return _part(text.partition(".")[0])


def _part(segment: str) -> dict[str, Any]:
    return json_object.read(b64url_decode(segment.encode()))
