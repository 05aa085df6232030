"""Project Wycheproof's JWS and JWK vectors (tests/vectors/wycheproof, unchanged), through the verifier's own steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw._jwk import ALGORITHMS
from jwtconnect_mw._strict import b64url_decode
from jwtconnect_mw.header import parse_header

VECTORS = Path(__file__).parent / "vectors" / "wycheproof"

# Where we judge otherwise than the vector, and why.
DEVIATIONS = {
    ("signature", 346): "the alg of the JWK is PS256 and is binding, the token says PS384",
    ("signature", 347): "the alg of the JWK is ES521, which does not exist",
    ("signature", 350): "as 346",
    ("signature", 351): "as 347",
    ("signature", 367): "the vector is the valid token: the padding that it is named for is not in it",
    ("signature", 370): "as 367",
    ("signature", 372): "a '?' inside a segment is refused (RFC 7515 section 2)",
    ("signature", 373): "as 372",
    ("key", 1): "a local set may hold secrets and public keys: the alg is bound to the type of the key",
    ("key", 4): "of the two keys of one kid, one is not canonical base64url and so not loaded: nothing is ambiguous",
    ("crypto", 47): "as key 1",
}


def vectors() -> list[Any]:
    found = []
    for name in "signature", "key", "crypto":
        kind = "web_crypto" if name == "crypto" else f"web_{name}"
        for group in json.loads((VECTORS / f"json_{kind}_test.json").read_text())["testGroups"]:
            jwk = group.get("public", group["private"])
            for test in group["tests"]:
                if "jws" in test:
                    expected = (test["result"] == "valid") != ((name, test["tcId"]) in DEVIATIONS)
                    found.append(
                        pytest.param(jwk, test["jws"], expected, id=f"{name}-{test['tcId']}-{test['comment']}")
                    )
    return found


def signature_is_accepted(jwk: dict[str, Any], jws: object) -> bool:
    """As ``TokenVerifier.verify``, but for the claims: the payloads of the vectors are not JSON."""
    text = jws if isinstance(jws, str) else json.dumps(jws)
    try:
        auth = BearerAuth(TrustedIssuer("i", audience="a", keys=jwk, algorithms=usable(jwk)))
        octets = text.encode()
        segments = octets.split(b".")
        b64url_decode(segments[1])
        auth._verifier._verified_by(parse_header(segments[0]), octets, segments, 0.0, True)
    except (ConfigurationError, AuthError, ValueError, IndexError):
        return False
    return True


def usable(jwk: dict[str, Any]) -> list[str]:
    """Every algorithm; of HMAC, which must have a secret when it is named, those that the set has secrets for."""
    members = jwk.get("keys", [jwk])
    secrets = {member.get("alg") for member in members if member["kty"] == "oct"}
    return [name for name, needs in ALGORITHMS.items() if needs.kty != "oct" or name in secrets]


@pytest.mark.parametrize(("jwk", "jws", "expected"), vectors())
def test_vector(jwk: dict[str, Any], jws: object, expected: bool) -> None:
    assert signature_is_accepted(jwk, jws) is expected


def test_all_vectors_are_there() -> None:
    assert len(vectors()) == 401 + 26 + 49
