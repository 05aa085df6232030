"""Private keys: from PEM, JWK (RFC 7518 section 6, RFC 8037 section 2) and key objects, back to a JWK, and signing.

What comes in is refused with UnusableKeyError and a constant text: nothing of a key is in it, nor what a library said.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
    rsa_recover_prime_factors,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ._jwk import UnusableKeyError
from ._strict import b64url_decode

SIGNING_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "PS256"),
    "EC": ("ES256",),
    "OKP": ("EdDSA",),
}
"""What a key of each type can sign with; the first unless told. P-521 is not offered."""

_MOST_OCTETS = 2_048  # of one member; a key of 16,384 bits has that many
PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)
_PRIVATE_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_RSA_CRT = ("p", "q", "dp", "dq", "qi")
_TO_URL = bytes.maketrans(b"+/", b"-_")


def b64url(octets: bytes) -> bytes:
    """Encode base64url without padding (RFC 7515 section 2)."""
    return b2a_base64(octets, newline=False).translate(_TO_URL, b"=")


def signature_maker(alg: str, native: Any) -> Callable[[bytes], bytes]:
    """A function from a signing input to its signature (RFC 7518 section 3), everything but the signing prepared."""
    sign = native.sign
    if alg == "EdDSA":
        made: Callable[[bytes], bytes] = sign
        return made
    digest = SHA256()
    if alg == "ES256":
        ecdsa = ECDSA(digest)

        def es256(signing_input: bytes) -> bytes:
            r, s = decode_dss_signature(sign(signing_input, ecdsa))
            return (r << 256 | s).to_bytes(64, "big")

        return es256
    scheme: Any = padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(digest), digest.digest_size)

    def over_rsa(signing_input: bytes) -> bytes:
        signature: bytes = sign(signing_input, scheme, digest)
        return signature

    return over_rsa


def key_type(native: Any) -> str:
    """The ``kty`` of a private key object that can sign here. Raises UnusableKeyError."""
    if isinstance(native, RSAPrivateKey):
        return "RSA"
    if isinstance(native, EllipticCurvePrivateKey) and isinstance(native.curve, SECP256R1):
        return "EC"
    if isinstance(native, Ed25519PrivateKey):
        return "OKP"
    raise UnusableKeyError("not a private key of RSA, P-256 or Ed25519")


def native_from_pem(text: str) -> Any:
    """The private key of a PEM text (RFC 7468). Certificates may stand beside it; the first must be of this key."""
    blocks = {match[0]: match[1] for match in PEM_BLOCK.finditer(text)}
    labels = list(blocks.values())
    if "ENCRYPTED PRIVATE KEY" in labels or "Proc-Type: 4,ENCRYPTED" in text:
        raise UnusableKeyError("the private key is encrypted; give it in the clear, in a file that only you can read")
    private = [block for block, label in blocks.items() if label in _PRIVATE_LABELS]
    if len(private) != 1:
        known = "several private keys" if private else "no private key (PKCS #8, PKCS #1 or SEC 1)"
        raise UnusableKeyError(f"the PEM holds {known}")
    try:
        native = load_pem_private_key(private[0].encode(), password=None)
        owners = [x509.load_pem_x509_certificate(block.encode()).public_key()
                  for block, label in blocks.items() if label == "CERTIFICATE"]  # fmt: skip
    except Exception:
        raise UnusableKeyError("the PEM is not valid") from None
    if owners and spki(owners[0]) != spki(native.public_key()):
        raise UnusableKeyError("the certificate is not that of the private key")
    return native


def spki(public: Any) -> bytes:
    octets: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def native_from_jwk(jwk: Mapping[str, Any]) -> Any:
    """The key object of a private JWK, which must fit its public members. Raises UnusableKeyError."""
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in SIGNING_ALGORITHMS:
        raise UnusableKeyError("unknown key type")
    if "d" not in jwk:
        raise UnusableKeyError("the private half is missing")
    if "oth" in jwk or (kty != "RSA" and jwk.get("crv") != {"EC": "P-256", "OKP": "Ed25519"}[kty]):
        raise UnusableKeyError("not a private key of RSA, P-256 or Ed25519")
    try:
        native = {"RSA": _rsa, "EC": _ec, "OKP": _okp}[kty](jwk)
    except Exception:
        raise UnusableKeyError("the key material is not valid") from None
    if any(private_members(native)[name] != jwk[name] for name in ("n", "e", "x", "y") if name in jwk):
        raise UnusableKeyError("the public half is not that of the private one")
    return native


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    octets = b64url_decode(jwk[name].encode("ascii"))
    if not 0 < len(octets) <= _MOST_OCTETS:
        raise ValueError
    return octets


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_octets(jwk, name), "big")


def _rsa(jwk: Mapping[str, Any]) -> Any:
    n, e, d = (_number(jwk, name) for name in ("n", "e", "d"))
    if any(name in jwk for name in _RSA_CRT):
        p, q, dp, dq, qi = (_number(jwk, name) if name in jwk else 0 for name in _RSA_CRT)
    else:
        p, q = rsa_recover_prime_factors(n, e, d)
        dp = dq = qi = 0
    dp, dq, qi = dp or rsa_crt_dmp1(d, p), dq or rsa_crt_dmq1(d, q), qi or rsa_crt_iqmp(p, q)
    return RSAPrivateNumbers(p, q, d, dp, dq, qi, RSAPublicNumbers(e, n)).private_key()


def _ec(jwk: Mapping[str, Any]) -> Any:
    public = EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), SECP256R1())
    return EllipticCurvePrivateNumbers(_number(jwk, "d"), public).private_key()


def _okp(jwk: Mapping[str, Any]) -> Any:
    _octets(jwk, "x")  # must be there; whether it fits is seen with those of the other types
    return Ed25519PrivateKey.from_private_bytes(_octets(jwk, "d"))


def private_members(native: Any) -> dict[str, str]:
    """The members of a private JWK that define its key, both halves (RFC 7518 section 6.3.2: all of RSA's or none)."""
    kty = key_type(native)
    if kty == "OKP":
        return {"kty": kty, "crv": "Ed25519", "x": _text(native.public_key().public_bytes_raw()),
                "d": _text(native.private_bytes_raw())}  # fmt: skip
    numbers = native.private_numbers()
    public = numbers.public_numbers
    if kty == "EC":
        values = {"x": public.x, "y": public.y, "d": numbers.private_value}
        return {
            "kty": kty,
            "crv": "P-256",
            **{name: _text(value.to_bytes(32, "big")) for name, value in values.items()},
        }
    values = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q,
              "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}  # fmt: skip
    return {"kty": kty, **{name: _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))
                           for name, value in values.items()}}  # fmt: skip


def secret_number(native: Any) -> bytes:
    """What only the holder of the key knows, in a form that does not hang on how the key was stored."""
    kty = key_type(native)
    if kty == "OKP":
        raw: bytes = native.private_bytes_raw()
        return raw
    numbers = native.private_numbers()
    if kty == "EC":
        value: bytes = numbers.private_value.to_bytes(32, "big")
        return value
    return b"".join(prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in sorted((numbers.p, numbers.q)))


def _text(octets: bytes) -> str:
    return b64url(octets).decode()
