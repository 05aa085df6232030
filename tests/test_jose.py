"""What stands on cryptojwt: keys that are made and signed with, key objects, and the jar of current keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptojwt.jws.jws import JWS, factory

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw._jose import SigningKey, cryptojwt_keys, key_jar, load_jwks
from jwtconnect_mw._jwk import UnusableKeyError
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .cases import without_kid
from .kit import ISSUER, NOW, SECRET, auth, claims, jwks, key, policy, token
from .remote import World


def test_a_key_has_the_kid_it_was_given_or_its_thumbprint() -> None:
    assert SigningKey.generate("ES256", "given").kid == "given"
    one, other = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    assert len(one.kid) == len(other.kid) == 43
    assert one.kid != other.kid
    assert SigningKey.from_native("ES256", one._native).kid == one.kid
    assert SigningKey.from_native("ES256", one._native, "given").kid == "given"


def test_no_shared_secret_is_made() -> None:
    with pytest.raises(UnusableKeyError, match="a shared secret is not generated here"):
        SigningKey.generate("HS256")


def test_keys_as_a_host_has_them_that_uses_the_library_itself() -> None:
    held = cryptojwt_keys([key(), SECRET])
    assert (held[0].kid, held[1].key) == (key().kid, SECRET)
    jar = key_jar((ISSUER, ""), held)
    for owner in (ISSUER, ""):
        assert [one.kty for one in jar.get_issuer_keys(owner)] == ["EC", "oct"]
        text = token()
        assert factory(text).verify_compact(text, jar.get_issuer_keys(owner)) == claims()
    assert auth().authenticate("Bearer " + JWS(json.dumps(claims()), alg="ES256").sign_compact(held[:1]))


def test_a_key_signs_without_more_header() -> None:
    assert auth().authenticate("Bearer " + key().sign(claims()))


def test_what_is_no_key_that_can_verify_is_called_that() -> None:
    for keys in (5, x25519.X25519PrivateKey.generate()):
        with pytest.raises(ConfigurationError, match="not a key that can verify"):
            policy(keys=keys)


def test_a_verification_key_equals_its_like_only() -> None:
    (one,) = load_jwks(ISSUER, jwks(), ["ES256"], remote=True).keys
    (same,) = load_jwks(ISSUER, jwks(), ["ES256"], remote=True).keys
    others: list[object] = [
        *load_jwks("https://other.example", jwks(), ["ES256"], remote=True).keys,
        *load_jwks(ISSUER, without_kid(key()), ["ES256"], remote=True).keys,
        *load_jwks(
            ISSUER, {"keys": [{**key("ES256", "new").public_jwk(), "kid": one.kid}]}, ["ES256"], remote=True
        ).keys,
        one.kid,
    ]
    assert one == same
    assert len(others) == 4
    assert one not in others


def in_jar(bearer_auth: Any, issuer: str) -> list[tuple[str, str]]:
    return sorted((one.kid, one.kty) for one in bearer_auth._store.cache.jar.get_issuer_keys(issuer))


def test_the_jar_holds_the_keys_of_a_set() -> None:
    keys = {"keys": [*jwks()["keys"], *without_kid(key("RS256"))["keys"], {"kty": "EC", "kid": "bad"}]}
    assert in_jar(auth(policy(keys=keys)), ISSUER) == [("", "RSA"), ("main-ES256", "EC")]


def test_the_jar_follows_the_issuer() -> None:
    clock = ManualClock(NOW)
    with FakeIssuer(clock=clock) as issuer:
        world = World(issuer, clock)
        world.auth.prefetch()
        issuer.published = [key().public_jwk()]
        world.refresh()
        assert in_jar(world.auth, issuer.url) == [("main-ES256", "EC")]
