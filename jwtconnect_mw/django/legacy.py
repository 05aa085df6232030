"""The ``JWTAUTH_*`` settings of django-jwtconnect-auth, translated into the names of ``JWTCONNECT_MW``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.utils.module_loading import import_string

from ..errors import ConfigurationError
from ..issuer import SigningKeys
from ..issuer.shared import SHARED_ALGORITHMS, SharedSecret
from .claims_map import USER_PK
from .material import certified, names_file, signing_source
from .problems import SettingProblem

CLAIMS_MAP = {"username": "username", "first_name": "given_name", "last_name": "family_name", "email": "email"}
HANDLERS = (
    "jwtconnect_auth.jwts.JWTConnectAuthKeyHandler",
    "jwtconnect_auth.jwks.JWTConnectAuthKeyHandler",
    "jwtconnect_mw.django.jwts.JWTConnectAuthKeyHandler",
)
"""What names our own key provider, then and now."""
_NAMES = ("JWTAUTH_KEY", "JWTAUTH_CERT", "JWTAUTH_ISSUER", "JWTAUTH_ALGORITHM", "JWTAUTH_KEYJAR_HANDLER")


_SWITCHES = ("JWTAUTH_ALLOW_REFRESH", "JWTAUTH_MULTIPLE_TOKENS", "JWTAUTH_UPDATE_LAST_LOGIN")


def is_used(settings: Any) -> bool:
    return any(getattr(settings, name, None) for name in _NAMES)


def allows_refresh(settings: Any) -> bool:
    return bool(getattr(settings, "JWTAUTH_ALLOW_REFRESH", True))


def translated(settings: Any) -> dict[str, Any]:
    """Raises SettingProblem."""
    issuer = getattr(settings, "JWTAUTH_ISSUER", None)
    if not isinstance(issuer, str) or not issuer:
        raise SettingProblem("E010", "JWTAUTH_ISSUER is missing: it is the iss and the aud of every token.")
    schemes = getattr(settings, "JWTAUTH_AUTH_HEADER_TYPES", ("Bearer",))
    names = [str(name).lower() for name in schemes] if isinstance(schemes, (list, tuple, set, frozenset)) else []
    if "bearer" not in names:
        raise SettingProblem("E014", 'JWTAUTH_AUTH_HEADER_TYPES is ("Bearer",): there is no other scheme.')
    for name in _SWITCHES:
        # Numbers were as good; a text, also "False", would mean yes.
        if not isinstance(getattr(settings, name, None), (bool, int, type(None))):
            raise SettingProblem("E009", f"{name} is True or False.")
    return {
        "issuer": {
            "issuer": issuer,
            "audience": issuer,
            "keys": keys(settings),
            "access_lifetime": getattr(settings, "JWTAUTH_ACCESS_TOKEN_LIFETIME", 1800),
            "refresh_lifetime": getattr(settings, "JWTAUTH_REFRESH_TOKEN_LIFETIME", 3600),
            "single_session": not getattr(settings, "JWTAUTH_MULTIPLE_TOKENS", True),
            "token_id": _token_id,
        },
        "claims_map": getattr(settings, "JWTAUTH_CLAIMS_MAP", CLAIMS_MAP),
        # The subject is a digest by which no user can be found, and names are given to others.
        "user": "database",
        "user_claim": USER_PK,
    }


def keys(settings: Any) -> SigningKeys | SharedSecret:
    """The keys of the issuer, from the settings or from JWTAUTH_KEYJAR_HANDLER. Raises SettingProblem."""
    algorithm = getattr(settings, "JWTAUTH_ALGORITHM", "RS256")
    handler = getattr(settings, "JWTAUTH_KEYJAR_HANDLER", HANDLERS[0])
    if handler not in HANDLERS:
        return _handled(handler, algorithm)
    key = getattr(settings, "JWTAUTH_KEY", None)
    if key is None:
        raise SettingProblem("E011", "JWTAUTH_KEY is missing.")
    try:
        if algorithm in SHARED_ALGORITHMS:
            if names_file(key):
                raise SettingProblem("E011", "JWTAUTH_KEY is the path of a file; a shared secret is needed, or RS256.")
            octets = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
            return SharedSecret(octets, algorithm=algorithm)
        source = signing_source(key)
        found = SigningKeys(source, algorithm=algorithm)
    except ConfigurationError as error:
        raise _key_problem(error) from None
    certificate = getattr(settings, "JWTAUTH_CERT", None)
    if certificate is not None and not certified(source, certificate):
        raise SettingProblem("E012", "JWTAUTH_CERT is not the certificate or public key of JWTAUTH_KEY.")
    return found


def _handled(handler: object, algorithm: str) -> SigningKeys | SharedSecret:
    """Keys as cryptojwt has them: each can say itself as a JWK."""
    try:
        provider = import_string(handler) if isinstance(handler, str) else handler
        jwks = [key.serialize(private=True) for key in _called(provider)]
    except Exception as error:  # a foreign class: whatever it raises, the text may hold anything
        problem = f"JWTAUTH_KEYJAR_HANDLER gives no keys: {type(error).__name__}."
        raise SettingProblem("E015", problem) from None
    try:
        if jwks and jwks[0].get("kty") == "oct":
            return SharedSecret(_octets(jwks[0]), algorithm=algorithm if algorithm in SHARED_ALGORITHMS else "HS256")
        return SigningKeys({"keys": jwks}, algorithm=algorithm)
    except ConfigurationError as error:
        raise _key_problem(error) from None


def _called(provider: Any) -> Any:
    return provider.keys() if callable(provider.keys) else provider.keys


def _octets(jwk: Mapping[str, Any]) -> bytes:
    from .._strict import b64url_decode

    k = jwk["k"]
    return b64url_decode(k if isinstance(k, bytes) else k.encode())


def _key_problem(error: ConfigurationError) -> SettingProblem:
    if error.field == "algorithm":
        return SettingProblem("E013", f"JWTAUTH_ALGORITHM: {error}")
    return SettingProblem("E011", f"JWTAUTH_KEY: {error}")


def _token_id() -> str:
    return secrets.token_hex(32)
