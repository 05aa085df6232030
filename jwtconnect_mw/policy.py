"""The policy for one issuer. Its fields are the settings; every default of theirs stands here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, Literal, NoReturn

from ._checks import check_function, check_switch
from ._jose import KeySet, jwk_from_native, jwk_from_pem, load_jwks, secret_jwks
from ._jwk import ALGORITHMS, DEFAULT_ALGORITHMS, UnusableKeyError, token_algorithms
from ._secret import is_key_material
from .errors import ConfigurationError
from .fetch import check_url
from .keys.discovery import DiscoverySource
from .keys.sources import FileSource, GivenSource, PublishedSource, Source, SourceError, UrlSource, no_fetch

Profile = Literal["default", "rfc9068"]
ScopeClaim = str | Callable[[Mapping[str, Any]], object]
REQUIRED: Mapping[str, frozenset[str]] = {
    "default": frozenset({"iss", "aud", "exp"}),
    "rfc9068": frozenset({"iss", "aud", "exp", "sub", "client_id", "iat", "jti"}),
}
MOST_LEEWAY = 300

_log = logging.getLogger("jwtconnect_mw")


class AnyAudience:
    """The type of ANY_AUDIENCE: answers as the set of all names would."""

    def __contains__(self, _: object) -> bool:
        return True

    def isdisjoint(self, _: object) -> bool:
        return False

    def __repr__(self) -> str:
        return "ANY_AUDIENCE"


ANY_AUDIENCE: Final = AnyAudience()
"""Switches the audience check off: any token of the issuer is accepted, also one that was made for another API."""


class TrustedIssuer:
    """Whose tokens are accepted, and which of them. Immutable; ``repr`` shows no key.

    ``issuer``: the ``iss`` of its tokens, compared by code point (RFC 7519 section 4.1.1).
    ``audience``: the names of this API; one must be in ``aud`` (section 4.1.3). ANY_AUDIENCE switches the check off.
    ``keys``: None for discovery (RFC 8414, then OpenID Connect); a JWKS URL; a file path, PEM text, a JWK set as a
    mapping, a key object of ``cryptography``; an Issuer in this process, whose keys are then shared without HTTP; bytes
    are a shared secret.
    ``algorithms``: allowed ``alg`` values; HS256, HS384 and HS512 only when named, with a secret or a local JWK set.
    ``leeway``: seconds, 0 to 300, for clocks that differ.
    ``profile``: "rfc9068" demands that RFC's typ and claims. ``required_claims`` adds to either.
    ``scope_claim``: the claim that holds the scopes, or a function from the claims to them.
    ``trust_http``: accept plain http from hosts that are not loopback.

    Raises ConfigurationError, naming the field.
    """

    __slots__ = ("accepted_algorithms", "algorithms", "audience", "issuer", "leeway", "profile", "required_claims",
                 "scope_claim", "source")  # fmt: skip

    issuer: str
    audience: frozenset[str] | AnyAudience
    algorithms: tuple[str, ...]
    accepted_algorithms: frozenset[str]
    leeway: float
    profile: Profile
    required_claims: frozenset[str]
    scope_claim: ScopeClaim
    source: Source

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | Collection[str] | AnyAudience,
        keys: object = None,
        algorithms: Collection[str] = DEFAULT_ALGORITHMS,
        leeway: float = 10,
        profile: Profile = "default",
        required_claims: Collection[str] = (),
        scope_claim: ScopeClaim = "scope",
        trust_http: bool = False,
    ) -> None:
        put = partial(object.__setattr__, self)
        put("issuer", _text("issuer", issuer))
        put("audience", _audience(audience))
        if audience is ANY_AUDIENCE:  # another AnyAudience is for an issuer that looks at its own tokens
            _log.warning("tokens of %r are accepted whatever their audience (ANY_AUDIENCE)", issuer)
        put("algorithms", _algorithms(algorithms))
        put("accepted_algorithms", token_algorithms(self.algorithms))
        if isinstance(leeway, bool) or not isinstance(leeway, (int, float)) or not 0 <= leeway <= MOST_LEEWAY:
            raise ConfigurationError("leeway", f"a number of seconds from 0 to {MOST_LEEWAY} is needed")
        put("leeway", leeway)
        if not isinstance(profile, str) or profile not in REQUIRED:
            raise ConfigurationError("profile", 'either "default" or "rfc9068"')
        put("profile", profile)
        needed = REQUIRED[profile] - {"aud"} if isinstance(audience, AnyAudience) else REQUIRED[profile]
        put("required_claims", needed | frozenset(_texts("required_claims", required_claims)))
        if callable(scope_claim):
            check_function("scope_claim", scope_claim)
        else:
            _text("scope_claim", scope_claim)
        put("scope_claim", scope_claim)
        check_switch("trust_http", trust_http)
        put("source", _source(self, keys, trust_http=trust_http))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a TrustedIssuer is immutable")

    def __repr__(self) -> str:
        return f"TrustedIssuer({self.issuer!r})"


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(field, "a non-empty string is needed")
    return value


def _texts(field: str, values: object) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Collection):
        raise ConfigurationError(field, "a collection of strings is needed")
    return tuple(_text(field, value) for value in values)


def _audience(audience: object) -> frozenset[str] | AnyAudience:
    if isinstance(audience, AnyAudience):
        return audience
    names = (audience,) if isinstance(audience, str) else _texts("audience", audience)
    if not names or "" in names:
        raise ConfigurationError("audience", "at least one non-empty name is needed; see ANY_AUDIENCE")
    return frozenset(names)


def _algorithms(algorithms: object) -> tuple[str, ...]:
    names = _texts("algorithms", algorithms)
    unknown = sorted(set(names).difference(ALGORITHMS))
    if unknown or not names:
        problem = f"unknown: {', '.join(unknown)}" if unknown else "at least one is needed"
        raise ConfigurationError("algorithms", problem)
    return names


def _source(policy: TrustedIssuer, keys: object, *, trust_http: bool) -> Source:
    """See "keys=" in the table of values. What is given or local is loaded here, so that a bad key is refused now."""
    shared = [name for name in policy.algorithms if ALGORITHMS[name].kty == "oct"]
    make = partial(_make, policy)
    if keys is None or (isinstance(keys, str) and keys.startswith(("https://", "http://"))):
        if shared:
            raise ConfigurationError("algorithms", f"{shared[0]} needs a secret or a local JWK set")
        if keys is None:
            return DiscoverySource(policy.issuer, make, trust_http=trust_http)
        return UrlSource(check_url(keys, "keys", trust_http=trust_http).geturl(), make)
    if _is_publisher(keys):
        published = PublishedSource(keys, make)  # type: ignore[arg-type]  # by what it can do, as was just asked
        _ = _built(policy, lambda: published.load(no_fetch, 0.0, 0.0).keys)
        return published
    if isinstance(keys, os.PathLike) or (isinstance(keys, str) and os.path.isfile(keys)):
        source: Source = FileSource(keys, make)
        _ = _built(policy, lambda: source.load(no_fetch, 0.0, 0.0).keys)
        return source
    return GivenSource(_built(policy, lambda: make(_given(keys, shared), False)))


def _is_publisher(keys: object) -> bool:
    able = (callable(getattr(keys, name, None)) for name in ("key_set", "watch"))
    return not isinstance(keys, type) and all(able)


def _given(keys: object, shared: list[str]) -> Mapping[str, Any]:
    """A JWK set from what was handed over."""
    if isinstance(keys, (bytes, bytearray)):
        if not shared:
            raise ConfigurationError("algorithms", "a secret needs one of HS256, HS384, HS512, named explicitly")
        if is_key_material(bytes(keys)):
            raise ConfigurationError("keys", "bytes are a secret, and this looks like a key or certificate")
        least = max(ALGORITHMS[name].least for name in shared)
        if len(keys) < least:
            raise ConfigurationError("keys", f"the secret has fewer than {least} bytes")
        return secret_jwks(bytes(keys))
    if isinstance(keys, Mapping):
        return keys if "keys" in keys else {"keys": [keys]}
    if isinstance(keys, str):
        if not keys.lstrip().startswith("-----BEGIN"):
            raise ConfigurationError("keys", "neither a URL, nor PEM, nor an existing file; a secret is given as bytes")
        return {"keys": [jwk_from_pem(keys.encode())]}
    return {"keys": [jwk_from_native(keys)]}


def _make(policy: TrustedIssuer, jwks: Mapping[str, Any], remote: bool) -> KeySet:
    return load_jwks(policy.issuer, jwks, policy.algorithms, remote=remote)


def _built(policy: TrustedIssuer, load: Callable[[], KeySet]) -> KeySet:
    """Load local keys. Every HS* that was named must have a secret, or a public key would stand where one is meant."""
    try:
        keys = load()
    except (UnusableKeyError, SourceError) as error:
        raise ConfigurationError("keys", str(error)) from None
    for name in policy.algorithms:
        if ALGORITHMS[name].kty == "oct" and all(key.alg != name for key in keys.keys):
            raise ConfigurationError("algorithms", f"{name} is named, but none of the keys is a secret for it")
    if not keys.keys:
        reasons = sorted({reason for _, reason in keys.refused})
        raise ConfigurationError("keys", "no usable key: " + ("; ".join(reasons) or "the set is empty"))
    return keys
