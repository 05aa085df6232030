"""What the tests of the issuer's keys share: a key of each kind, in every form that may be given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.issuer.keys import ALGORITHMS, SigningKeys
from jwtconnect_mw.testing import ManualClock

from .kit import NOW, b64, key
from .test_settings import certificate, private_pem

SHARED = {"kty": "oct", "k": b64(b"s" * 32), "kid": "refresh-1", "alg": "HS256", "use": "sig"}
FORMS = (
    "memory",
    "file",
    "pem",
    "pem file",
    "pem with certificate",
    "jwk",
    "jwks",
    "jwks file",
    "key object",
    "rotated",
)


def private_jwk(alg: str, name: str = "main") -> dict[str, Any]:
    return (key(alg) if name == "main" else key(alg, name)).private_jwk()


def put(path: Path, content: str | Mapping[str, Any]) -> Path:
    """A file that only we can read."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return path


def source(form: str, alg: str, folder: Path) -> Any:
    """What to give to SigningKeys."""
    pair = [private_jwk(alg), private_jwk(alg, "other"), SHARED]
    forms: dict[str, Any] = {
        "memory": lambda: None,
        "rotated": lambda: folder / "keys.json",
        "file": lambda: str(folder / "keys.json"),
        "pem": lambda: private_pem(key(alg)),
        "pem file": lambda: put(folder / "key.pem", private_pem(key(alg))),
        "pem with certificate": lambda: certificate(key(alg)) + private_pem(key(alg)),
        "jwk": lambda: private_jwk(alg),
        "jwks": lambda: {"keys": pair},
        "jwks file": lambda: put(folder / "jwks.json", {"keys": pair}),
        "key object": lambda: key(alg)._native,
    }
    return forms[form]()


def made(form: str, alg: str, folder: Path, **settings: Any) -> SigningKeys:
    keys = SigningKeys(source(form, alg, folder), **{"algorithm": alg, "clock": ManualClock(NOW), **settings})
    if form == "rotated":
        keys.rotate(at_once=True)
        keys.rotate()
    return keys


def kids(keys: SigningKeys) -> list[str]:
    return [jwk["kid"] for jwk in keys.key_set()["keys"]]


def states(keys: SigningKeys) -> dict[str, str]:
    return {info.kid: info.state for info in keys.list()}


def refused(source: object, field: str = "keys", secrets: Iterable[str] = (), **settings: Any) -> str:
    """The message with which `source` is refused: it names the field and shows nothing that is secret."""
    with pytest.raises(ConfigurationError) as caught:
        SigningKeys(source, **settings)
    assert caught.value.field == field
    assert caught.value.__cause__ is None
    for secret in secrets:
        assert secret not in str(caught.value)
    return str(caught.value)


def secrets_of(signer: SigningKey) -> list[str]:
    """Every private member of a key, as it would be written."""
    public = signer.public_jwk()
    return [value for name, value in signer.private_jwk().items() if name not in public]


__all__ = ["ALGORITHMS", "FORMS", "SHARED", "kids", "made", "private_jwk", "put", "refused", "secrets_of", "source",
           "states"]  # fmt: skip
