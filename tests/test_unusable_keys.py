"""Keys of a set that must not be used: left out and logged once, while the rest of the set stays usable."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import NOW, b64, key
from .remote import World

REFUSED = "named-only"


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def weak_rsa(bits: int) -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": "AQAB"}


def little(value: int) -> str:
    return b64(value.to_bytes(32, "little"))


P384 = 2**384 - 2**128 - 2**96 + 2**32 - 1
P25519 = 2**255 - 19
OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022  # y, from RFC 8032's curve


def wider(alg: str, name: str) -> str:
    """A coordinate with a zero before it."""
    return b64(b"\0" + urlsafe_b64decode(key(alg).public_jwk()[name] + "=="))


def like(alg: str, /, **changes: Any) -> dict[str, Any]:
    """The JWK of a good key with changes; ``...`` leaves a member out."""
    return {name: value for name, value in {**key(alg).public_jwk(), **changes}.items() if value is not ...}


def private(alg: str) -> dict[str, Any]:
    return {**key(alg)._key.serialize(private=True), "kid": key(alg).kid}


UNUSABLE: dict[str, tuple[Mapping[str, Any], str]] = {
    **{
        f"private by {name} alone": (like("RS256", **{name: "AQAB"}), "a secret or private key in a remote set")
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth")
    },
    "use enc": (like("ES256", use="enc"), "use is not sig"),
    "use of another type": (like("ES256", use=["sig"]), "use is not sig"),
    "use null": (like("ES256", use=None), "use is not sig"),
    "key_ops without verify": (like("ES256", key_ops=["sign"]), "key_ops lacks verify"),
    "key_ops empty": (like("ES256", key_ops=[]), "key_ops lacks verify"),
    "key_ops text": (like("ES256", key_ops="verify"), "key_ops lacks verify"),
    "alg of another curve": (like("ES256", alg="ES384"), "alg of the key does not fit"),
    "alg of another type": (like("RS256", alg="ES256"), "alg of the key does not fit"),
    "alg HS256 on an RSA key": (like("RS256", alg="HS256"), "alg of the key does not fit"),
    "alg of encryption": (like("RS256", alg="RSA-OAEP"), "alg of the key does not fit"),
    "alg null": (like("ES256", alg=None), "alg of the key does not fit"),
    "alg a list": (like("ES256", alg=["ES256"]), "alg of the key does not fit"),
    "alg not allowed": (like("PS384"), "alg of the key does not fit it or is not allowed"),
    "RSA of 1024 bits": (weak_rsa(1024), "the RSA key is too short or too long"),
    "RSA of 2047 bits": ({"kty": "RSA", "n": number(2**2047 - 1), "e": "AQAB"}, "the RSA key is too short or too long"),
    "RSA of 16385 bits": ({"kty": "RSA", "n": number(2**16385 - 1), "e": "AQAB"}, "the RSA key is too short or too"),
    "RSA even": ({"kty": "RSA", "n": number(2**2047 + 2), "e": "AQAB"}, "the RSA modulus is even"),
    "exponent 1": (like("RS256", e="AQ"), "the public exponent is even or 1"),
    "exponent even": (like("RS256", e=number(65536)), "the public exponent is even or 1"),
    "exponent 0": (like("RS256", e="AA"), "the public exponent is even or 1"),
    "EC of 33 octets": (like("ES256", x=wider("ES256", "x")), "a coordinate is outside of its field"),
    "EC y of 33 octets": (like("ES256", y=wider("ES256", "y")), "a coordinate is outside of its field"),
    "EC beyond its field": (like("ES256", x=b64(b"\xff" * 32)), "a coordinate is outside of its field"),
    "EC of the prime": (like("ES384", x=number(P384)), "a coordinate is outside of its field"),
    "OKP of order 1": (like("EdDSA", x=b64(b"\1" + bytes(31))), "the point has a small order"),
    "OKP of order 1, sign": (like("EdDSA", x=b64(b"\1" + bytes(30) + b"\x80")), "the point has a small order"),
    "OKP of order 1, beyond": (like("EdDSA", x=little(P25519 + 1)), "the point has a small order"),
    "OKP of order 2": (like("EdDSA", x=little(P25519 - 1)), "the point has a small order"),
    "OKP of order 4": (like("EdDSA", x=b64(bytes(32))), "the point has a small order"),
    "OKP of order 4, beyond": (like("EdDSA", x=little(P25519)), "the point has a small order"),
    "OKP of order 8": (like("EdDSA", x=little(OF_ORDER_8)), "the point has a small order"),
    "OKP of order 8, negated": (like("EdDSA", x=little(P25519 - OF_ORDER_8)), "the point has a small order"),
    "EC off its curve": (like("ES256", x=b64(b"\1" * 32)), "the key material is not valid"),
    "EC of another curve": (like("ES256", crv="P-384", alg="ES384"), "the key material is not valid"),
    "EC of an unknown curve": (like("ES256", crv="secp256k1", alg=...), "unknown curve"),
    "EC without y": (like("ES256", y=...), "a member of the key is missing"),
    "OKP too short": (like("EdDSA", x=b64(b"\1" * 31)), "the key material is not valid"),
    "OKP too long": (like("EdDSA", x=b64(b"\1" * 33)), "the key material is not valid"),
    "OKP X25519": (like("EdDSA", crv="X25519", alg=...), "unknown curve"),
    "padded base64": (like("EdDSA", x=key("EdDSA").public_jwk()["x"] + "="), "a member of the key is not base64url"),
    "empty": (like("ES256", x=""), "a member of the key is missing or not a string"),
    "not ASCII": (like("EdDSA", x="é"), "a member of the key is missing or not a string"),
    "oct": ({"kty": "oct", "k": b64(b"x" * 64)}, "a secret or private key in a remote set"),
    "private EC": (private("ES256"), "a secret or private key in a remote set"),
    "private RSA": (private("RS256"), "a secret or private key in a remote set"),
    "private OKP": (private("EdDSA"), "a secret or private key in a remote set"),
    "unknown kty": ({"kty": "AKP", "pub": "x"}, "unknown key type"),
    "no kty": ({}, "unknown key type"),
    "kty of another type": ({"kty": ["EC"]}, "unknown key type"),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=clock) as issuer:
        yield issuer


ALLOWED = ["ES256", "ES384", "RS256", "EdDSA"]


@pytest.mark.parametrize("name", UNUSABLE)
def test_the_rest_of_the_set_stays_usable(
    issuer: FakeIssuer, clock: ManualClock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    jwk, reason = UNUSABLE[name]
    issuer.published.insert(0, {**jwk, "kid": REFUSED})
    world = World(issuer, clock, algorithms=ALLOWED)
    assert world.verdict() == "accepted"
    for _ in range(3):
        world.refresh()
    assert world.fetches == 4
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(messages) == 1
    assert messages[0].startswith(f"a key of {issuer.url!r} is not used (kid {REFUSED!r}): {reason}")
    assert world.health()["keys"] == 1
    clock.advance(COOLDOWN)
    for alg in ("ES256", "RS256", "EdDSA"):  # also by the true key, which the altered one resembles
        named = issuer.token(key=SigningKey(alg, key(alg)._key, REFUSED))
        assert world.verdict(named) == "unusable_key"
    world.settle()
    assert world.fetches == 4  # its kid is spoken for: nothing to fetch
    assert world.verdict() == "accepted"


@pytest.mark.parametrize(
    "member", [None, 5, "x", [], {"kty": "EC", "kid": 5}, like("ES256", kid=None), like("ES256", kid=["x"])]
)
def test_members_without_a_kid_that_could_name_them(issuer: FakeIssuer, clock: ManualClock, member: Any) -> None:
    issuer.published.insert(0, member)
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    assert world.health()["keys"] == 1
    assert world.verdict(issuer.token(key=key(), header={"kid": "5"})) == "unknown_key"


def test_a_key_that_becomes_unusable_and_usable_again(
    issuer: FakeIssuer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What is refused is known anew after each fetch, also where the usable keys are the same as before."""
    second = key("ES256", "second")
    good, bad = second.public_jwk(), {**second.public_jwk(), "use": "enc"}
    world = World(issuer, clock)
    seen = []
    for extra in ([], [bad], [bad], [good], [bad], []):
        issuer.published = [issuer.keys[0].public_jwk(), *extra]
        world.refresh()
        before = world.fetches
        seen.append(world.verdict(issuer.token(key=second)))
        assert world.verdict() == "accepted"
        assert world.fetches == before
    assert seen == ["unknown_key", "unusable_key", "unusable_key", "accepted", "unusable_key", "unknown_key"]
    assert caplog.text.count("is not used") == 2


def test_one_kid_twice(issuer: FakeIssuer, clock: ManualClock) -> None:
    """Two keys of one kid and algorithm tell nothing apart; the same key twice, or under another type, does."""
    one, other, rest = (key("ES256", name) for name in ("one", "other", "rest"))
    kid = {"kid": "twice"}
    world = World(issuer, clock)

    def published(*jwks: Mapping[str, Any]) -> list[str]:
        issuer.published = [rest.public_jwk(), *({**jwk, **kid} for jwk in jwks)]
        world.refresh()
        assert world.verdict(issuer.token(key=rest)) == "accepted"
        return [world.verdict(issuer.token(key=signer, header=kid)) for signer in (one, other, key("RS256"))]

    assert published(one.public_jwk()) == ["accepted", "bad_signature", "unusable_key"]
    assert published(one.public_jwk(), other.public_jwk())[:2] == ["unusable_key", "unusable_key"]
    assert published(one.public_jwk(), one.public_jwk())[:2] == ["accepted", "bad_signature"]
    assert published(one.public_jwk(), key("RS256").public_jwk()) == ["accepted", "bad_signature", "accepted"]
    rsa = key("RS256").public_jwk()
    assert published(one.public_jwk(), other.public_jwk(), rsa) == ["unusable_key", "unusable_key", "accepted"]
    assert published(one.public_jwk(), {**one.public_jwk(), "use": "enc"})[:2] == ["accepted", "bad_signature"]


def test_sixty_four_keys_are_enough(issuer: FakeIssuer, clock: ManualClock) -> None:
    issuer.published += [{**key().public_jwk(), "kid": str(one)} for one in range(63)]
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    assert world.health()["keys"] == 64


def test_no_key_is_ever_logged(issuer: FakeIssuer, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    issuer.published += [{**jwk, "kid": f"{name}\n" * 99} for name, (jwk, _) in UNUSABLE.items()]
    caplog.set_level(logging.DEBUG)
    assert World(issuer, clock, algorithms=ALLOWED).verdict() == "accepted"
    assert "\n\n" not in caplog.text
    for jwk, _ in UNUSABLE.values():
        for name in ("x", "n", "k", "d"):
            assert str(jwk.get(name) or "-" * 20) not in caplog.text.replace("é", "")
    assert max(len(record.getMessage()) for record in caplog.records) < 400


def test_coordinates_without_their_leading_zeros_are_loaded(issuer: FakeIssuer, clock: ManualClock) -> None:
    """cryptojwt writes every other key of P-521 so, against RFC 7518 section 6.2.1.2."""
    native = next(
        made
        for made in (ec.derive_private_key(number, ec.SECP521R1()) for number in range(2, 99))
        if made.public_key().public_numbers().y < 2**520
    )
    point = native.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-521", "x": number(point.x), "y": number(point.y), "kid": "short"}
    assert len(jwk["y"]) < 88
    issuer.published.append(jwk)
    world = World(issuer, clock, algorithms=["ES256", "ES512"])
    assert world.verdict() == "accepted"
    assert world.verdict(issuer.token(key=SigningKey.from_native("ES512", native, "short"))) == "accepted"


def test_the_largest_rsa_key_is_loaded(issuer: FakeIssuer, clock: ManualClock) -> None:
    issuer.published.append({"kty": "RSA", "n": number(2**16384 - 1), "e": "AQAB"})
    world = World(issuer, clock)
    assert world.verdict() == "accepted"
    assert world.health()["keys"] == 2


def test_a_short_secret_is_left_out_of_a_local_set(
    issuer: FakeIssuer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    short = {"kty": "oct", "k": b64(b"x" * 31), "kid": "short"}
    good = {"kty": "oct", "k": b64(b"x" * 32), "kid": "good"}
    world = World(issuer, clock, keys={"keys": [short, good]}, algorithms=["HS256"])
    assert world.health()["keys"] == 1
    assert "(kid 'short'): the secret is too short" in caplog.text


def test_local_sets_may_hold_more_than_remote_ones(issuer: FakeIssuer, clock: ManualClock) -> None:
    issuer.published = [private("ES256"), {"kty": "oct", "k": b64(b"x" * 64), "kid": "secret"}]
    local = World(issuer, clock, keys={"keys": issuer.published}, algorithms=["ES256", "HS256"])
    assert local.health()["keys"] == 2
    assert local.verdict(issuer.token(key=key("ES256"))) == "accepted"
    remote = World(issuer, clock, algorithms=["ES256"])
    assert remote.verdict(issuer.token(key=key("ES256"))) == "keys_unavailable"
