"""The signing keys of an issuer: every source and every refusal, what is published, and who accepts what they sign."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptojwt.jwk.hmac import SYMKey

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw._jose import SigningKey, load_jwks
from jwtconnect_mw._jwk import UnusableKeyError
from jwtconnect_mw._private import key_type
from jwtconnect_mw.issuer.keydoc import document
from jwtconnect_mw.issuer.keyring import MAX_KEYS
from jwtconnect_mw.issuer.keys import SigningKeys
from jwtconnect_mw.testing import ManualClock

from .issuing import ALGORITHMS, FORMS, SHARED, kids, made, private_jwk, put, refused, secrets_of, source, states
from .kit import AUDIENCE, ISSUER, NOW, b64, claims, key
from .test_settings import certificate, pem, private_pem

PUBLIC_MEMBERS = {"kty", "crv", "n", "e", "x", "y", "kid", "use", "alg"}
SEC1 = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")  # joserfc
@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("form", FORMS)
def test_what_it_signs_is_accepted_and_what_it_publishes_is_public(form: str, alg: str, tmp_path: Path) -> None:
    """By our own verifier as a remote set, by PyJWT and by joserfc."""
    keys = made(form, alg, tmp_path)
    published = keys.key_set()
    for jwk in published["keys"]:
        assert set(jwk) <= PUBLIC_MEMBERS
        assert jwk["kty"] != "oct"
        assert (jwk["use"], jwk["alg"]) == ("sig", alg)
    text = json.dumps(published)
    for entry in keys._store.ring.entries:
        assert not [secret for secret in secrets_of(entry.key) if secret in text]
    token = keys.signer().sign_access_token(claims())
    assert jwt.get_unverified_header(token) == {"alg": alg, "typ": "at+jwt", "kid": published["keys"][0]["kid"]}
    loaded = load_jwks(ISSUER, published, (alg,), remote=True)
    assert (loaded.refused, loaded.count) == ((), len(published["keys"]))
    trusted = TrustedIssuer(ISSUER, audience=AUDIENCE, keys=published, algorithms=(alg,), profile="rfc9068")
    verified = BearerAuth(trusted, clock=ManualClock(NOW)).authenticate(f"Bearer {token}")
    assert verified is not None
    assert verified.to_dict() == claims()
    by_pyjwt = jwt.PyJWKSet.from_dict(published)[keys.signer().kid]
    assert (
        jwt.decode(token, by_pyjwt, [alg], audience=AUDIENCE, issuer=ISSUER, options={"verify_iat": False}) == claims()
    )
    by_joserfc = joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(published), algorithms=[alg])
    assert by_joserfc.claims == claims()


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("form", ["pem", "jwk", "key object"])
def test_the_algorithm_follows_from_the_key(form: str, alg: str, tmp_path: Path) -> None:
    signer = SigningKeys(source(form, alg, tmp_path)).signer()
    assert signer.alg == ("RS256" if form != "jwk" and alg == "PS256" else alg)
    assert key_type(signer._native) == private_jwk(alg)["kty"]


def test_defaults(caplog: pytest.LogCaptureFixture) -> None:
    """Without anything: one ES256 key of this process, with a warning."""
    keys = SigningKeys()
    assert keys.signer().alg == "ES256"
    assert caplog.messages == ["the signing keys are kept in memory only: all tokens end with this process"]
    assert SigningKeys().key_set() != keys.key_set()
    assert [len(secret.secret) for secret in keys.refresh_secrets()] == [32]


def test_names_of_keys(tmp_path: Path) -> None:
    """The kid of a JWK stays; any other key has its RFC 7638 thumbprint."""
    native = key("ES256")._native
    thumbprint = joserfc.jwk.ECKey.import_key(private_jwk("ES256")).thumbprint()
    bare = {name: value for name, value in private_jwk("ES256").items() if name not in ("kid", "alg", "use")}
    for given in (native, private_pem(key("ES256")), bare):
        assert SigningKeys(given).signer().kid == thumbprint
    assert SigningKeys(private_jwk("ES256")).signer().kid == "main-ES256"
    assert SigningKeys({**private_jwk("EdDSA"), "alg": "Ed25519"}).signer().alg == "EdDSA"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_keys_in_other_spellings(alg: str) -> None:
    """RSA without its primes (RFC 7518 section 6.3.2), SEC 1 and PKCS #1, parameters of a curve before the key."""
    jwk = private_jwk(alg)
    least = {name: jwk[name] for name in ("kty", "crv", "n", "e", "x", "y", "d") if name in jwk}
    assert SigningKeys(least, algorithm=alg).signer().private_jwk().items() >= least.items()
    some = {name: value for name, value in jwk.items() if name not in ("dp", "dq", "qi")}
    assert SigningKeys(some).key_set() == SigningKeys(jwk).key_set()
    if alg != "EdDSA":
        text = key(alg)._native.private_bytes(*SEC1).decode()
        parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        signer = SigningKeys(f"\n{parameters}{text}", algorithm=alg).signer()
        assert signer._native.private_numbers() == key(alg)._native.private_numbers()


def _native_pem(native: Any) -> str:
    text: bytes = native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def _without(alg: str, *names: str) -> dict[str, Any]:
    return {name: value for name, value in private_jwk(alg).items() if name not in names}


def _mixed() -> dict[str, Any]:
    """The public half of one key and the private one of another."""
    return {**private_jwk("EdDSA"), "x": private_jwk("EdDSA", "other")["x"]}


SMALL = rsa.generate_private_key(65537, 1024)
REFUSED: dict[str, tuple[Any, str]] = {
    "secret": (b"s" * 32, "bytes are a secret"),
    "bytearray": (bytearray(32), "bytes are a secret"),
    "empty": ("", "neither PEM nor a path"),
    "nul": ("a\0b", "neither PEM nor a path"),
    "lines": ("a\nb", "neither PEM nor a path"),
    "url": ("https://as.example/jwks", "a URL has no private keys"),
    "json": ('{"keys": []}', "is given as a mapping"),
    "number": (5, "not a private key of"),
    "public object": (key()._native.public_key(), "not a private key of"),
    "P-384": (ec.generate_private_key(ec.SECP384R1()), "not a private key of"),
    "P-521": (ec.generate_private_key(ec.SECP521R1()), "not a private key of"),
    "Ed448": (ed448.Ed448PrivateKey.generate(), "not a private key of"),
    "X25519": (x25519.X25519PrivateKey.generate(), "not a private key of"),
    "P-521 PEM": (_native_pem(ec.generate_private_key(ec.SECP521R1())), "not a private key of"),
    "short RSA": (SMALL, "too short"),
    "short RSA PEM": (_native_pem(SMALL), "too short"),
    "public PEM": (pem(key()), "no private key"),
    "certificate only": (certificate(key()), "no private key"),
    "two private keys": (private_pem(key()) + private_pem(key("EdDSA")), "several private keys"),
    "encrypted": (private_pem(key(), b"password"), "is encrypted"),
    "encrypted PKCS #1": (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n-----END RSA PRIVATE KEY-----",
        "is encrypted",
    ),
    "OpenSSH": (
        key("EdDSA")._native.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        "no private key",
    ),
    "foreign certificate": (private_pem(key()) + certificate(key("ES256", "other")), "not that of the private key"),
    "broken PEM": ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "the PEM is not valid"),
    "broken certificate": (
        private_pem(key()) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "the PEM is not valid",
    ),
    "endless PEM": ("-----BEGIN PRIVATE KEY-----", "no private key"),
    "no keys": ({"keys": []}, "the set is empty"),
    "keys not a list": ({"keys": {}}, "not a JWK set"),
    "a key that is none": ({"keys": ["x"]}, "not a JWK set"),
    "no key type": ({}, "unknown key type"),
    "odd key type": ({"kty": ["EC"]}, "unknown key type"),
    "AKP": ({"kty": "AKP", "d": "AA"}, "unknown key type"),
    "HS": ({"keys": [SHARED]}, "a shared secret cannot be a signing key"),
    "HS alone": (SHARED, "a shared secret cannot be a signing key"),
    "public JWK": (key().public_jwk(), "the private half is missing"),
    "public JWK beside": ({"keys": [private_jwk("ES256"), key("EdDSA").public_jwk()]}, "the private half is missing"),
    "P-521 JWK": ({**private_jwk("ES256"), "crv": "P-521"}, "not a private key of"),
    "Ed448 JWK": ({**private_jwk("EdDSA"), "crv": "Ed448"}, "not a private key of"),
    "three primes": ({**private_jwk("RS256"), "oth": []}, "not a private key of"),
    "no y": (_without("ES256", "y"), "the key material is not valid"),
    "no x": (_without("EdDSA", "x"), "the key material is not valid"),
    "no modulus": (_without("RS256", "n"), "the key material is not valid"),
    "one prime": (_without("RS256", "q"), "the key material is not valid"),
    "d a number": ({**private_jwk("EdDSA"), "d": 5}, "the key material is not valid"),
    "d empty": ({**private_jwk("EdDSA"), "d": ""}, "the key material is not valid"),
    "d padded": ({**private_jwk("EdDSA"), "d": private_jwk("EdDSA")["d"] + "="}, "the key material is not valid"),
    "d short": ({**private_jwk("EdDSA"), "d": "AAAA"}, "the key material is not valid"),
    "d endless": ({**private_jwk("ES256"), "d": b64(b"\1" * 2049)}, "the key material is not valid"),
    "d of another": (
        {**private_jwk("ES256"), "d": private_jwk("ES256", "other")["d"]},
        "the key material is not valid",
    ),
    "x of another": (_mixed(), "the public half is not that of the private one"),
    "p of another": (
        {**private_jwk("RS256"), "p": private_jwk("RS256", "other")["p"]},
        "the key material is not valid",
    ),
    "for encryption": ({**private_jwk("ES256"), "use": "enc"}, "not for signing"),
    "for verification": ({**_without("ES256", "use"), "key_ops": ["verify"]}, "not for signing"),
    "odd key_ops": ({**_without("ES256", "use"), "key_ops": "sign"}, "not for signing"),
    "empty kid": ({**private_jwk("ES256"), "kid": ""}, "a kid is not"),
    "long kid": ({**private_jwk("ES256"), "kid": "k" * 256}, "a kid is not"),
    "kid with a line": ({**private_jwk("ES256"), "kid": "a\nb"}, "a kid is not"),
    "kid a number": ({**private_jwk("ES256"), "kid": 1}, "a kid is not"),
    "one kid twice": (
        {"keys": [private_jwk("ES256"), {**private_jwk("EdDSA"), "kid": "main-ES256"}]},
        "several keys have the same kid",
    ),
    "kid of the secret": ({"keys": [private_jwk("ES256"), {**SHARED, "kid": "main-ES256"}]}, "the same kid"),
    "too many": ({"keys": [private_jwk("ES256")] * (MAX_KEYS + 5)}, "too many keys"),
    "short secret": ({"keys": [private_jwk("ES256"), {**SHARED, "k": b64(b"s" * 31)}]}, "fewer than 32 bytes"),
    "endless secret": ({"keys": [private_jwk("ES256"), {**SHARED, "k": b64(b"s" * 1025)}]}, "or far more"),
    "secret a number": ({"keys": [private_jwk("ES256"), {**SHARED, "k": 5}]}, "fewer than 32 bytes"),
    "secret not base64url": ({"keys": [private_jwk("ES256"), {**SHARED, "k": "é" * 50}]}, "fewer than 32 bytes"),
    "secret without kid": (
        {"keys": [private_jwk("ES256"), {**SHARED, "kid": None}]},
        "the refresh secret needs a kid",
    ),
    "secret with an empty kid": (
        {"keys": [private_jwk("ES256"), {**SHARED, "kid": ""}]},
        "the refresh secret needs a kid",
    ),
    "secret with a long kid": (
        {"keys": [private_jwk("ES256"), {**SHARED, "kid": "k" * 256}]},
        "the refresh secret needs a kid",
    ),
    "secret with a line in its kid": (
        {"keys": [private_jwk("ES256"), {**SHARED, "kid": "a\nb"}]},
        "the refresh secret needs a kid",
    ),
    "secret for encryption": ({"keys": [private_jwk("ES256"), {**SHARED, "use": "enc"}]}, "not for HS256"),
    "secret for HS512": ({"keys": [private_jwk("ES256"), {**SHARED, "alg": "HS512"}]}, "not for HS256"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused(what: str) -> None:
    given, problem = REFUSED[what]
    secrets = [text for alg in ("ES256", "EdDSA", "RS256") for text in secrets_of(key(alg))] + [SHARED["k"], "s" * 31]
    assert problem in refused(given, secrets=secrets)


def test_a_key_that_names_no_algorithm_signs_with_the_one_that_is_asked_for() -> None:
    for alg in ("RS256", "PS256"):
        assert SigningKeys(_without("RS256", "alg"), algorithm=alg).signer().alg == alg


@pytest.mark.parametrize(
    "given",
    [
        {**private_jwk("ES256"), "kid": "k"},
        {**private_jwk("ES256"), "kid": "k" * 255},
        {"keys": [private_jwk("ES256"), {**SHARED, "k": b64(b"s" * 1024), "kid": "k" * 255}]},
        {
            "keys": [{**private_jwk("ES256"), "kid": f"key {number}"} for number in range(MAX_KEYS)]
            + [{**SHARED, "kid": f"secret {number}"} for number in range(4)]
        },
    ],
    ids=["shortest kid", "longest kid", "longest secret", "most members"],
)
def test_what_is_at_a_bound_can_be_used(given: Any) -> None:
    assert SigningKeys(given).signer().sign({})


@pytest.mark.parametrize(
    ("field", "given", "settings"),
    [
        ("algorithm", None, {"algorithm": "ES512"}),
        ("algorithm", None, {"algorithm": "HS256"}),
        ("algorithm", None, {"algorithm": "none"}),
        ("algorithm", None, {"algorithm": ["ES256"]}),
        ("algorithm", private_pem(key("ES256")), {"algorithm": "RS256"}),
        ("algorithm", key("RS256")._native, {"algorithm": "EdDSA"}),
        ("algorithm", private_jwk("RS256"), {"algorithm": "PS256"}),
        ("algorithm", {**private_jwk("ES256"), "alg": "ES384"}, {}),
        ("algorithm", {**private_jwk("ES256"), "alg": 5}, {}),
        ("access_lifetime", None, {"access_lifetime": 0}),
        ("access_lifetime", None, {"access_lifetime": float("nan")}),
        ("access_lifetime", None, {"access_lifetime": float("inf")}),
        ("access_lifetime", None, {"access_lifetime": True}),
        ("access_lifetime", None, {"access_lifetime": "1800"}),
    ],
)
def test_settings_are_refused_by_name(field: str, given: Any, settings: dict[str, Any]) -> None:
    refused(given, field, **settings)


@pytest.mark.parametrize("form", ["pem", "pem file", "pem with certificate", "jwk", "jwks", "jwks file", "key object"])
def test_what_was_loaded_is_not_changed(form: str, tmp_path: Path) -> None:
    keys = made(form, "ES256", tmp_path)
    before, files = keys.key_set(), sorted(tmp_path.iterdir())
    for change in (keys.rotate, lambda: keys.rotate(at_once=True), lambda: keys.drop(keys.signer().kid)):
        with pytest.raises(RuntimeError, match="not ours to change"):
            change()
    assert keys.key_set() == before
    assert sorted(tmp_path.iterdir()) == files
    assert list(states(keys).values()) == (["current", "published"] if "jwks" in form else ["current"])
    assert {info.published_at for info in keys.list()} == {None}


def test_the_first_of_a_loaded_set_signs_and_all_are_published() -> None:
    given = {"keys": [private_jwk("ES256", "b"), SHARED, private_jwk("ES256", "a")]}
    before = copy.deepcopy(given)
    keys = SigningKeys(given)
    assert (keys.signer().kid, kids(keys)) == ("b-ES256", ["b-ES256", "a-ES256"])
    assert given == before
    keys.key_set()["keys"][0]["kid"] = "changed"
    keys.key_set()["keys"].clear()
    assert kids(keys) == ["b-ES256", "a-ES256"]


def test_our_own_document_as_a_mapping_signs_with_the_key_of_the_time(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    stored = SigningKeys(tmp_path / "keys.json", clock=clock)
    kid = stored.rotate()
    keys = SigningKeys(json.loads((tmp_path / "keys.json").read_text()), clock=clock)
    assert keys.signer().kid != kid
    clock.advance(3900)
    assert keys.signer().kid == stored.signer().kid == kid
    with pytest.raises(RuntimeError, match="not ours to change"):
        keys.rotate()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_refresh_secret_of_a_key_is_the_same_wherever_it_is_loaded(alg: str, tmp_path: Path) -> None:
    derived = [SigningKeys(source(form, alg, tmp_path), algorithm=alg).refresh_secrets()[0].secret
               for form in ("pem", "pem file", "jwk", "key object")]  # fmt: skip
    assert len(set(derived)) == 1
    assert len(derived[0]) == 32
    assert SigningKeys(key(alg, "other")._native).refresh_secrets()[0].secret != derived[0]


def test_refresh_secrets_of_a_set(tmp_path: Path) -> None:
    """Its own where there are some; else one of each key, so that the tokens of the former first key stay good."""
    given = made("jwks", "ES256", tmp_path).refresh_secrets()
    assert given == (("refresh-1", b"s" * 32),)
    one, other = private_jwk("ES256"), private_jwk("ES256", "other")
    forward, back = (SigningKeys({"keys": pair}).refresh_secrets() for pair in ([one, other], [other, one]))
    assert forward == back[::-1]
    assert [secret.kid for secret in forward] == ["main-ES256.refresh", "other-ES256.refresh"]
    assert SigningKeys(one).refresh_secrets() == forward[:1]


def test_nothing_secret_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, on the root logger, with every library that is used."""
    seen: list[str] = []
    secrets: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for form in FORMS:
            for alg in ALGORITHMS:
                folder = tmp_path / f"{form}-{alg}"
                folder.mkdir()
                keys = made(form, alg, folder)
                token = keys.signer().sign_access_token(claims())
                if form in ("memory", "file", "rotated"):
                    keys.drop(keys.refresh_secrets()[0].kid)
                    keys.drop(keys.signer().kid)
                ring = keys._store.ring
                for entry in ring.entries:
                    secrets += secrets_of(entry.key)
                    seen += [repr(entry), repr(entry.key)]
                secrets += [token, *token.split(".")[1:]]
                secrets += [b64(secret.secret) for secret in keys.refresh_secrets()]
                secrets += [repr(secret.secret) for secret in keys.refresh_secrets()]
                seen += [repr(keys), repr(vars(keys)), repr(keys._view), repr(ring), repr(keys.list())]
                seen += [repr(keys.refresh_secrets()), str(keys.refresh_secrets()[0])]
    text = "\n".join([caplog.text, *seen])
    assert "<RefreshSecret" in text
    assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_claims_that_json_cannot_say_are_not_signed(value: object) -> None:
    with pytest.raises(ValueError):
        key().sign_access_token({"claim": value})


def test_claims_in_any_script_arrive() -> None:
    token = key().sign_access_token({"name": "Grüße 世界 \U0001f600", "nested": [{"a": None}]})
    payload = jwt.decode(token, key()._native.public_key(), ["ES256"])
    assert payload == {"name": "Grüße 世界 \U0001f600", "nested": [{"a": None}]}


def test_the_slow_and_the_quick_way_to_sign_say_the_same() -> None:
    quick = key("EdDSA").sign_access_token(claims())
    slow = key("EdDSA").sign(claims(), {"typ": "at+jwt"})
    assert quick.split(".")[1] == slow.split(".")[1]
    assert jwt.get_unverified_header(quick) == jwt.get_unverified_header(slow)


def test_a_shared_secret_is_no_key_to_store() -> None:
    with pytest.raises(UnusableKeyError):
        SigningKey("HS256", SYMKey(key=b"s" * 32), "any").private_jwk()


def test_a_file_that_was_written_can_be_read(tmp_path: Path) -> None:
    """As many keys as there may be, of the largest kind that is made."""
    keys = SigningKeys(tmp_path / "keys.json", algorithm="ES256", clock=ManualClock(NOW))
    for _ in range(MAX_KEYS - 1):
        keys.rotate(at_once=True)
    with pytest.raises(RuntimeError, match="32 keys already"):
        keys.rotate(at_once=True)
    assert kids(SigningKeys(tmp_path / "keys.json", clock=ManualClock(NOW))) == kids(keys)
    assert len(kids(keys)) == MAX_KEYS
    keys.drop(keys.signer().kid)
    assert len(kids(keys)) == MAX_KEYS


def _ours(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "keys.json"
    SigningKeys(path, clock=ManualClock(NOW))
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"jwtconnect_mw": 2}, "another version"),
        ({"jwtconnect_mw": True}, "another version"),
        ({"jwtconnect_mw": "1"}, "another version"),
        ({"keys": [private_jwk("ES256"), SHARED]}, "the times of a key are missing"),
        ({"keys": [{**private_jwk("ES256"), "published_at": 1, "signs_from": "2"}, SHARED]}, "the times of a key"),
        ({"keys": [{**private_jwk("ES256"), "published_at": True, "signs_from": 2}, SHARED]}, "the times of a key"),
        ({"keys": [{**private_jwk("ES256"), "published_at": 1, "signs_from": 2}]}, "the refresh secret is missing"),
    ],
)
def test_a_file_of_ours_that_someone_changed(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    put(tmp_path / "keys.json", {**_ours(tmp_path), **change})
    assert problem in refused(tmp_path / "keys.json")


@pytest.mark.parametrize("name", ["published_at", "signs_from"])
@pytest.mark.parametrize("moment", [float("inf"), float("-inf"), float("nan")])
def test_a_mapping_of_ours_with_times_that_no_file_can_hold(name: str, moment: float) -> None:
    times = {"published_at": NOW, "signs_from": NOW}
    assert SigningKeys({"jwtconnect_mw": 1, "keys": [{**private_jwk("ES256"), **times}, SHARED]}).signer()
    changed = {"jwtconnect_mw": 1, "keys": [{**private_jwk("ES256"), **times, name: moment}, SHARED]}
    assert "the times of a key are missing" in refused(changed)


def test_the_order_in_the_file_does_not_matter(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    keys = SigningKeys(tmp_path / "keys.json", clock=clock)
    keys.rotate(at_once=True)
    clock.advance(1)
    keys.rotate(at_once=True)
    content = json.loads(document(keys._store.ring))
    content["keys"].reverse()
    put(tmp_path / "other.json", content)
    other = SigningKeys(tmp_path / "other.json", clock=clock)
    assert kids(other)[0] == kids(keys)[0]


def test_public_formats_hold_no_private_key() -> None:
    text = key()._native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert "no private key" in refused(text)
