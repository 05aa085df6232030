"""What is no secret: a key, key set or certificate that was taken for one. Whoever can read it could sign with it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_NOT_BASE64 = b" \t\r\n="


def is_key_material(octets: bytes) -> bool:
    """Whether these octets are a key or certificate in some encoding: PEM, SSH, DER, base64 of DER, JWK or JWK set."""
    if b"-----BEGIN" in octets or octets.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return True
    candidates = [octets]
    with suppress(ValueError):
        candidates.append(urlsafe_b64decode(octets.translate(_TO_URLSAFE, _NOT_BASE64) + b"=="))
    readers: tuple[Callable[[bytes], object], ...] = (
        load_der_public_key,
        x509.load_der_x509_certificate,
        _load_der_private_key,
        _load_jwk,
    )
    return any(_can(read, candidate) for candidate in candidates for read in readers)


def _can(read: Callable[[bytes], object], octets: bytes) -> bool:
    try:
        read(octets)
    except Exception:
        return False
    return True


def _load_der_private_key(octets: bytes) -> None:
    load_der_private_key(octets, password=None)


def _load_jwk(octets: bytes) -> None:
    if not {"kty", "keys"}.intersection(json.loads(octets)):
        raise ValueError("no JWK")
