"""The content of the key file (one JWK set, RFC 7517 section 5) and of other private JWK sets, to a ring and back.

Ours has the member ``jwtconnect_mw`` with the version of the format, and on each signing key ``published_at`` and
``signs_from``. Any other private JWK set is taken as it is and never written.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .._jose import SigningKey
from .._jwk import UnusableKeyError, admit
from .._private import SIGNING_ALGORITHMS, b64url, key_type, native_from_jwk, native_from_pem
from .._strict import b64url_decode, json_object
from .keyring import MAX_KEYS, Entry, RefreshSecret, Ring

_MARK, _VERSION = "jwtconnect_mw", 1
_MOST_KID = 255
_MAX_SECRETS = 4
_SECRET_OCTETS, _MOST_SECRET_OCTETS = 32, 1024
_INFO = b"jwtconnect_mw refresh secret"


class AlgorithmMismatch(UnusableKeyError):
    """The key is good, but not for the algorithm that it is to sign with."""


def new_secret() -> RefreshSecret:
    """32 random octets. The kid is random too: a digest of the secret would stand in every header."""
    return RefreshSecret(secrets.token_urlsafe(12), secrets.token_bytes(_SECRET_OCTETS))


def derived_secret(key: SigningKey) -> RefreshSecret:
    """The refresh secret that goes with a key whose source holds none (HKDF-SHA256, RFC 5869): all processes agree."""
    made = HKDF(algorithm=SHA256(), length=_SECRET_OCTETS, salt=None, info=_INFO).derive(key.secret_number())
    return RefreshSecret(f"{key.kid}.refresh", made)


def ring_from_text(text: str, algorithm: str | None, known: Mapping[str, SigningKey]) -> Ring:
    """What a file or a PEM text holds. ``known``: keys read before, by kid, which are not parsed again.

    Raises UnusableKeyError.
    """
    if text.lstrip().startswith("-----BEGIN"):
        return ring_from_native(native_from_pem(text), algorithm)
    try:
        document = json_object.read(text.encode())
    except ValueError:
        raise UnusableKeyError("neither a JWK set nor PEM") from None
    return ring_from_jwks(document, algorithm, known)


def ring_from_native(native: Any, algorithm: str | None) -> Ring:
    """One private key object. Raises UnusableKeyError."""
    return _fixed([_checked(native, algorithm, None)], ())


def ring_from_jwks(
    document: Mapping[str, Any], algorithm: str | None, known: Mapping[str, SigningKey], *, stored: bool = True
) -> Ring:
    """A private JWK set, or one private JWK. ``stored=False`` where it is not a file. Raises UnusableKeyError."""
    private, shared = _members(document)
    managed = _MARK in document
    if managed and (type(document[_MARK]) is not int or document[_MARK] != _VERSION):
        raise UnusableKeyError("the file was written by another version of jwtconnect_mw")
    keys = [_known(jwk, known) or _key(jwk, None if managed else algorithm) for jwk in private]
    kids = [key.kid for key in keys] + [secret.kid for secret in shared]
    if len(set(kids)) < len(kids):
        raise UnusableKeyError("several keys have the same kid")
    if not managed:
        return _fixed(keys, shared)
    if not shared:
        raise UnusableKeyError("the refresh secret is missing")
    times = [(_time(jwk, "published_at"), _time(jwk, "signs_from")) for jwk in private]
    entries = [Entry(key, *pair) for key, pair in zip(keys, times, strict=True)]
    return Ring(tuple(sorted(entries, key=lambda entry: entry.signs_from)), shared, fixed=not stored)


def _members(document: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], tuple[RefreshSecret, ...]]:
    """The private JWKs of a set, and its shared secrets."""
    members = document.get("keys", [document])
    if not isinstance(members, (list, tuple)) or not all(isinstance(jwk, Mapping) for jwk in members):
        raise UnusableKeyError("not a JWK set")
    if len(members) > MAX_KEYS + _MAX_SECRETS:
        raise UnusableKeyError("too many keys")
    private = [jwk for jwk in members if jwk.get("kty") != "oct"]
    if members and not private:
        raise UnusableKeyError("a shared secret cannot be a signing key")
    if not private:
        raise UnusableKeyError("the set is empty")
    return private, tuple(_secret(jwk) for jwk in members if jwk.get("kty") == "oct")


def document(ring: Ring) -> bytes:
    """The content of our file."""
    keys = [{**entry.key.private_jwk(), "published_at": entry.published_at, "signs_from": entry.signs_from}
            for entry in ring.entries]  # fmt: skip
    shared = [{"kty": "oct", "k": b64url(secret.secret).decode(), "kid": secret.kid, "use": "sig", "alg": "HS256"}
              for secret in ring.secrets]  # fmt: skip
    return json.dumps({_MARK: _VERSION, "keys": keys + shared}, indent=1).encode() + b"\n"


def _fixed(keys: list[SigningKey], shared: tuple[RefreshSecret, ...]) -> Ring:
    """The first signs, for ever; the others are published."""
    entries = [Entry(key, -math.inf, math.inf if place else -math.inf) for place, key in enumerate(keys)]
    return Ring(tuple(entries), shared or tuple(derived_secret(key) for key in keys), fixed=True)


def _known(jwk: Mapping[str, Any], known: Mapping[str, SigningKey]) -> SigningKey | None:
    """The key that was made of these very members before: to parse an RSA key takes tens of milliseconds."""
    key = known.get(jwk["kid"]) if isinstance(jwk.get("kid"), str) else None
    if key is None:
        return None
    return key if all(jwk.get(name) == value for name, value in key.private_jwk().items()) else None


def _key(jwk: Mapping[str, Any], algorithm: str | None) -> SigningKey:
    kid = jwk.get("kid")
    if "kid" in jwk and (not isinstance(kid, str) or not 0 < len(kid) <= _MOST_KID or not kid.isprintable()):
        raise UnusableKeyError("a kid is not a short printable string")
    operations = jwk.get("key_ops", ("sign",))
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, (list, tuple)) or "sign" not in operations:
        raise UnusableKeyError("the key is not for signing (use, key_ops)")
    own = {"Ed25519": "EdDSA"}.get(jwk["alg"], jwk["alg"]) if isinstance(jwk.get("alg"), str) else None
    if "alg" in jwk and (own is None or algorithm not in (None, own)):
        raise AlgorithmMismatch("alg of the key is not the algorithm that is asked for")
    return _checked(native_from_jwk(jwk), own or algorithm, kid)


def _checked(native: Any, algorithm: str | None, kid: str | None) -> SigningKey:
    """The key, if it may sign; its algorithm is the first that fits its type unless given."""
    fitting = SIGNING_ALGORITHMS[key_type(native)]
    alg = algorithm or fitting[0]
    if alg not in fitting:
        raise AlgorithmMismatch(f"the key does not fit the algorithm; it can sign with {' or '.join(fitting)}")
    key = SigningKey.from_native(alg, native, kid)
    admit(key.public_jwk(), (alg,), remote=True)  # what no verifier of ours would accept is not signed with
    return key


def _secret(jwk: Mapping[str, Any]) -> RefreshSecret:
    kid, k = jwk.get("kid"), jwk.get("k")
    try:
        secret = b64url_decode(k.encode("ascii")) if isinstance(k, str) else b""
    except ValueError:
        secret = b""
    if not _SECRET_OCTETS <= len(secret) <= _MOST_SECRET_OCTETS:
        raise UnusableKeyError(f"the refresh secret has fewer than {_SECRET_OCTETS} bytes, or far more")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MOST_KID or not kid.isprintable():
        raise UnusableKeyError("the refresh secret needs a kid, a short printable string")
    if jwk.get("alg", "HS256") != "HS256" or jwk.get("use", "sig") != "sig":
        raise UnusableKeyError("the shared secret is not for HS256")
    return RefreshSecret(kid, secret)


def _time(jwk: Mapping[str, Any], name: str) -> float:
    value = jwk.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UnusableKeyError("the times of a key are missing")
    return float(value)
