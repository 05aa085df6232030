"""Which JWKs may verify, and under which algorithms (RFC 7517, RFC 7518 section 6, RFC 8037, RFC 9864).

Pure rules over the members of a JWK; making a key of them is the next room's work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ._strict import b64url_decode


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A signature algorithm: the key type and curve it takes; for HMAC the least octets of a secret."""

    kty: str
    crv: str | None = None
    least: int = 0


ALGORITHMS: Mapping[str, Algorithm] = {
    **{name: Algorithm("RSA") for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "ES256": Algorithm("EC", "P-256"),
    "ES384": Algorithm("EC", "P-384"),
    "ES512": Algorithm("EC", "P-521"),
    "EdDSA": Algorithm("OKP", "Ed25519"),
    "Ed25519": Algorithm("OKP", "Ed25519"),
    "Ed448": Algorithm("OKP", "Ed448"),
    "HS256": Algorithm("oct", None, 32),
    "HS384": Algorithm("oct", None, 48),
    "HS512": Algorithm("oct", None, 64),
}
"""Every algorithm that can be allowed (RFC 7518 section 3.1, RFC 8037, RFC 9864). "none" is not one."""
DEFAULT_ALGORITHMS = tuple(name for name in ALGORITHMS if name != "Ed448" and not name.startswith("HS"))

# EdDSA is the older name of both (RFC 9864 section 2.2): a listing of either name of a curve allows its tokens.
_NAMES_OF_CURVE = {"Ed25519": ("EdDSA", "Ed25519"), "Ed448": ("EdDSA", "Ed448")}
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth"))  # RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2_048, 16_384
_FIELD = {  # the primes of NIST SP 800-186
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1,
}
# The prime of the field, and y (or p - y) of the points of order 1, 2, 4 and 8: a signature by such a key can be good
# for every message.
_SMALL_ORDER = {
    "Ed25519": (2**255 - 19, frozenset((0, 1, 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826))),
    "Ed448": (2**448 - 2**224 - 1, frozenset((0, 1))),
}
# n of a key made by the flawed Infineon library is a power of 65537 modulo every small prime (CVE-2017-15361).
_ROCA = {
    prime: frozenset(pow(65537, power, prime) for power in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


class UnusableKeyError(ValueError):
    """A key that is not loaded. The text is a constant: nothing of the key is in it."""


@dataclass(frozen=True, slots=True, repr=False)
class AdmittedKey:
    """A JWK that may verify: its kid, the members that define it (RFC 7638) and the algorithm names of its tokens."""

    kid: str | None
    material: dict[str, str]
    names: tuple[str, ...]


def admit(jwk: object, algorithms: Collection[str], *, remote: bool) -> AdmittedKey:
    """Check one member of a JWK set. ``remote`` sets hold no secrets: oct and private keys in them are refused.

    Raises UnusableKeyError with the reason.
    """
    if not isinstance(jwk, Mapping):
        raise UnusableKeyError("not an object")
    kty, kid = jwk.get("kty"), jwk.get("kid")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise UnusableKeyError("unknown key type")
    if "kid" in jwk and not isinstance(kid, str):
        raise UnusableKeyError("kid is not a string")
    if remote and (kty == "oct" or not _PRIVATE.isdisjoint(jwk)):
        raise UnusableKeyError("a secret or private key in a remote set")
    _check_purpose(jwk)
    material, octets = _material(jwk, kty)
    names = _fitting(jwk, kty, material, octets, algorithms)
    if kty == "RSA":
        _check_rsa(octets["n"], octets["e"])
    elif kty == "EC":
        _check_coordinates(material["crv"], octets["x"], octets["y"])
    elif kty == "OKP":
        _check_order(material["crv"], octets["x"])
    return AdmittedKey(kid, material, names)


def public_members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an asymmetric JWK that define its public half."""
    return {name: jwk[name] for name in ("kty", *_MEMBERS[jwk["kty"]])}


def token_algorithms(algorithms: Collection[str]) -> frozenset[str]:
    """Every ``alg`` that a token may carry under an allow-list: the list and the other names of its Edwards curves."""
    names = set(algorithms)
    for name in algorithms:
        names.update(_NAMES_OF_CURVE.get(ALGORITHMS[name].crv or "", ()))
    return frozenset(names)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3."""
    if "use" in jwk and jwk["use"] != "sig":
        raise UnusableKeyError("use is not sig")
    operations = jwk.get("key_ops", ("verify",))
    if not isinstance(operations, (list, tuple)) or "verify" not in operations:
        raise UnusableKeyError("key_ops lacks verify")


def _material(jwk: Mapping[str, Any], kty: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """The members that define the key, and their octets (RFC 7518 section 6, RFC 8037 section 2)."""
    material = {"kty": kty}
    octets: dict[str, bytes] = {}
    for name in _MEMBERS[kty]:
        value = jwk.get(name)
        if not isinstance(value, str) or not value.isascii() or not value:
            raise UnusableKeyError("a member of the key is missing or not a string")
        material[name] = value
        if name != "crv":
            try:
                octets[name] = b64url_decode(value.encode())
            except ValueError:
                raise UnusableKeyError("a member of the key is not base64url") from None
    return material, octets


def _fitting(
    jwk: Mapping[str, Any], kty: str, material: Mapping[str, str], octets: Mapping[str, bytes], allowed: Collection[str]
) -> tuple[str, ...]:
    """The algorithm names of the tokens that the key verifies: by type, curve, length, allow-list and its own alg."""
    fitting = {
        name
        for name, needs in ALGORITHMS.items()
        if needs.kty == kty and needs.crv in (None, material.get("crv")) and len(octets.get("k", b"")) >= needs.least
    }
    if not fitting:
        raise UnusableKeyError("the secret is too short" if kty == "oct" else "unknown curve")
    names = fitting.intersection(allowed)
    aliases = _NAMES_OF_CURVE.get(material.get("crv", ""), ())
    if aliases and names:
        names = set(aliases)
    if "alg" in jwk:  # binding (RFC 7517 section 4.4)
        own = jwk["alg"] if isinstance(jwk["alg"], str) else ""
        names = names if own in aliases else names.intersection({own})
    if not names:
        raise UnusableKeyError("alg of the key does not fit it or is not allowed")
    return tuple(sorted(names))


def _check_rsa(modulus: bytes, exponent: bytes) -> None:
    n, e = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    if not _LEAST_RSA_BITS <= n.bit_length() <= _MOST_RSA_BITS:
        raise UnusableKeyError("the RSA key is too short or too long")
    if n % 2 == 0:
        raise UnusableKeyError("the RSA modulus is even")
    if e == 1 or e % 2 == 0:
        raise UnusableKeyError("the public exponent is even or 1")
    if all(n % prime in powers for prime, powers in _ROCA.items()):
        raise UnusableKeyError("the RSA key was made by a flawed library (ROCA)")


def _check_coordinates(crv: str, *coordinates: bytes) -> None:
    """RFC 7518 section 6.2.1.2. Shorter ones are let through: cryptojwt itself writes some of P-521 so."""
    prime = _FIELD[crv]
    for coordinate in coordinates:
        if len(coordinate) > (prime.bit_length() + 7) // 8 or int.from_bytes(coordinate, "big") >= prime:
            raise UnusableKeyError("a coordinate is outside of its field")


def _check_order(crv: str, point: bytes) -> None:
    """RFC 8032 sections 5.1.2 and 5.2.2: y, little-endian, below the bit that is the sign of x."""
    prime, small = _SMALL_ORDER[crv]
    y = (int.from_bytes(point, "little") & ~(1 << 8 * len(point) - 1)) % prime
    if min(y, prime - y) in small:
        raise UnusableKeyError("the point has a small order")
