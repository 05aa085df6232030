"""Key objects, PEM texts and paths, as settings hold them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from .._jose import SigningKey
from .._jwk import UnusableKeyError
from .._private import native_from_pem
from ..errors import ConfigurationError
from ..issuer.keys import ALGORITHMS

_FILE_NAME = re.compile(r"[^\n]*\.(?:pem|key|crt|cert?|der|jwks?|json|txt)", re.IGNORECASE)


def signing_source(key: object) -> Any:
    """A private key object. Raises ConfigurationError for what is neither one, nor PEM, nor the path of a PEM file."""
    if isinstance(key, (str, bytes, os.PathLike)):
        try:
            return native_from_pem(_pem(key))
        except UnusableKeyError as error:
            raise ConfigurationError("keys", str(error)) from None
    return key


def certified(private: Any, certificate: object) -> bool:
    """Whether a certificate, or a public key, is that of a private key. Either may be an object, PEM or a path."""
    try:
        public: Any = certificate
        if isinstance(certificate, (str, bytes, os.PathLike)):
            pem = _pem(certificate).encode()
            public = x509.load_pem_x509_certificate(pem) if b"CERTIFICATE" in pem else load_pem_public_key(pem)
        if isinstance(public, x509.Certificate):
            public = public.public_key()
        return _der(public) == _der(private.public_key())
    except Exception:
        return False


def is_missing_file(keys: object) -> bool:
    """Whether ``keys`` is the path of a key file that is yet to be made."""
    if isinstance(keys, str) and keys.lstrip().startswith("-----BEGIN"):
        return False
    return isinstance(keys, (str, os.PathLike)) and not Path(keys).exists()


def names_file(secret: object) -> bool:
    """Whether what should be a secret is the path of a file, or looks like one: a path is known to everybody."""
    text = secret.decode("ascii", "replace") if isinstance(secret, bytes) else secret
    if not isinstance(text, str):
        return False
    try:
        return bool(_FILE_NAME.fullmatch(text)) or Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False


def passing_keys(path: str | os.PathLike[str], algorithm: object) -> dict[str, Any]:
    """Keys that stand for those of a file that can be made there. Raises ConfigurationError where it cannot."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigurationError("keys", "the folder of the key file is not there")
    fitting = algorithm if isinstance(algorithm, str) and algorithm in ALGORITHMS else "ES256"
    return {"keys": [SigningKey.generate(fitting).private_jwk()]}


def _pem(value: str | bytes | os.PathLike[str]) -> str:
    """Raises ConfigurationError."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if isinstance(text, str) and text.lstrip().startswith("-----BEGIN"):
        return text
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise ConfigurationError("keys", "neither a key object, nor PEM, nor a PEM file that can be read") from None


def _der(public: Any) -> bytes:
    octets: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets
