"""The only importer of cryptojwt: JWK and PEM to verification keys, verify, make keys, sign.

Nothing untyped and no foreign exception leaves this module. cryptojwt's own parsing of tokens is not used: it reads
headers that must not choose keys, and logs what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptojwt.jwk.ec import ECKey, new_ec_key
from cryptojwt.jwk.hmac import SYMKey
from cryptojwt.jwk.jwk import key_from_jwk_dict
from cryptojwt.jwk.okp import OKPKey, new_okp_key
from cryptojwt.jwk.rsa import RSAKey, new_rsa_key
from cryptojwt.jws.jws import SIGNER_ALGS
from cryptojwt.jws.rsa import RSASigner
from cryptojwt.key_bundle import KeyBundle
from cryptojwt.key_issuer import KeyIssuer
from cryptojwt.key_jar import KeyJar

from ._jwk import ALGORITHMS, AdmittedKey, UnusableKeyError, admit, public_members
from ._private import PEM_BLOCK, private_members, secret_number, signature_maker, spki
from ._private import b64url as _b64url
from ._secret import is_key_material
from ._strict import b64url_decode, json_text


class VerificationKey:
    """One key for one algorithm of one issuer. Equal when issuer, kid, algorithm and key material are."""

    __slots__ = ("_identity", "_verify", "alg", "issuer", "kid")

    def __init__(self, issuer: str, kid: str | None, alg: str, native: Any, fingerprint: bytes) -> None:
        self.issuer, self.kid, self.alg = issuer, kid, alg
        self._verify = _verifier(alg, native)
        self._identity = (issuer, kid, alg, fingerprint)

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature is good. Whatever the library raises means no."""
        try:
            return self._verify(signature, signing_input)
        except Exception:
            return False

    def is_twin_of(self, other: VerificationKey) -> bool:
        """Whether both are the same key material for the same algorithm."""
        return self._identity[2:] == other._identity[2:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerificationKey) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"<VerificationKey {self.alg}>"


def _verifier(alg: str, native: Any) -> Callable[[bytes, bytes], bool]:
    """A function of signature and signing input, True for a good signature; it may raise anything for a bad one."""
    signer: Any = SIGNER_ALGS[alg]
    if isinstance(signer, RSASigner):  # what it does, without asking each time whether the key is one of RSA
        check, padding, digest = native.verify, signer.padding, signer.hash

        def verify_rsa(signature: bytes, signing_input: bytes) -> bool:
            check(signature, signing_input, padding, digest)  # raises
            return True

        return verify_rsa

    def verify(signature: bytes, signing_input: bytes) -> bool:
        return signer.verify(signing_input, signature, native) is True

    return verify


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """The usable keys of one issuer, immutable. ``refused`` maps the kid (or None) of the others to why."""

    keys: tuple[VerificationKey, ...]
    refused: tuple[tuple[str | None, str], ...]
    bundle: Any  # the same keys in a cryptojwt KeyBundle, for the KeyJar
    count: int

    @property
    def kids(self) -> frozenset[str | None]:
        """Every kid that is spoken for, by a usable key or by one that could not be loaded."""
        return frozenset({key.kid for key in self.keys} | {kid for kid, _ in self.refused})


def load_jwks(issuer: str, jwks: Mapping[str, Any], algorithms: Collection[str], *, remote: bool) -> KeySet:
    """The keys of a JWK set (RFC 7517 section 5) that can verify for ``issuer`` under ``algorithms``.

    A key that cannot be used is left out and named in ``refused``; the rest stays. ``remote`` sets hold no secrets:
    oct and private keys in them are refused. Raises UnusableKeyError where ``jwks`` is no JWK set at all.
    """
    members = jwks.get("keys")
    if not isinstance(members, (list, tuple)):
        raise UnusableKeyError("not a JWK set")
    found: dict[tuple[str | None, str, bytes], VerificationKey] = {}
    refused: list[tuple[str | None, str]] = []
    bundle = KeyBundle()
    for jwk in members:
        kid = jwk.get("kid") if isinstance(jwk, Mapping) else None
        kid = kid if isinstance(kid, str) else None
        try:
            admitted = admit(jwk, algorithms, remote=remote)
            key, native = _make(admitted)
        except UnusableKeyError as error:
            refused.append((kid, str(error)))
            continue
        fingerprint = sha256(json.dumps(admitted.material, sort_keys=True).encode()).digest()
        for name in admitted.names:
            found[kid, name, fingerprint] = VerificationKey(issuer, kid, name, native, fingerprint)
        bundle.append(key)
    return _without_ambiguous(found, refused, bundle)


def _without_ambiguous(
    found: dict[tuple[str | None, str, bytes], VerificationKey], refused: list[tuple[str | None, str]], bundle: Any
) -> KeySet:
    """RFC 7517 section 4.5: a kid tells keys apart. Two keys of one kid and algorithm do not: both are refused."""
    names: dict[tuple[str | None, str], int] = {}
    for kid, alg, _ in found:
        names[kid, alg] = names.get((kid, alg), 0) + 1
    ambiguous = {name for name, count in names.items() if count > 1 and name[0] is not None}
    refused += [(kid, "several keys have this kid") for kid in sorted({kid or "" for kid, _ in ambiguous})]
    keys = {place: key for place, key in found.items() if place[:2] not in ambiguous}
    return KeySet(tuple(keys.values()), tuple(refused), bundle, len({(kid, mark) for kid, _, mark in keys}))


def _make(admitted: AdmittedKey) -> tuple[Any, Any]:
    """The cryptojwt key and the native one that verifies. The point is on its curve or UnusableKeyError is raised."""
    secret = admitted.material["kty"] == "oct"
    if secret and is_key_material(b64url_decode(admitted.material["k"].encode())):
        raise UnusableKeyError("the secret is a key or certificate")
    try:
        labels = {"use": "sig", **({"kid": admitted.kid} if admitted.kid else {})}
        key: Any = key_from_jwk_dict({**admitted.material, **labels}, private=secret)
        return key, key.key if secret else key.public_key()
    except Exception:
        raise UnusableKeyError("the key material is not valid") from None


def jwk_from_pem(pem: bytes) -> dict[str, Any]:
    """The public JWK of a PEM public key, private key (not encrypted) or X.509 certificate. Raises UnusableKeyError."""
    try:
        found: list[Any] = [load(block) for block, load in _loaders(pem)]
        texts = {spki(native) for native in found}
        jwk = jwk_from_native(found[0])
    except Exception:
        raise UnusableKeyError("not a PEM key or certificate that can verify") from None
    if len(texts) > 1:  # which one was meant?
        raise UnusableKeyError("several keys in one PEM text")
    return jwk


def _loaders(pem: bytes) -> Iterator[tuple[bytes, Callable[[bytes], Any]]]:
    """Each key of a PEM text, and its first certificate: those after it issued it. With what loads the public half."""
    certified = False
    for match in PEM_BLOCK.finditer(pem.decode("latin-1")):
        block, label = match[0].encode("latin-1"), match[1]
        if label == "CERTIFICATE":
            if not certified:
                yield block, lambda block: x509.load_pem_x509_certificate(block).public_key()
            certified = True
        elif label.endswith("PRIVATE KEY"):
            yield block, lambda block: load_pem_private_key(block, password=None).public_key()
        elif label.endswith("KEY"):
            yield block, load_pem_public_key


def jwk_from_native(native: Any) -> dict[str, Any]:
    """The public JWK of a key object of ``cryptography`` (either half). Raises UnusableKeyError."""
    native = native.public_key() if hasattr(native, "public_key") else native
    kinds: dict[type, Any] = {
        RSAPublicKey: RSAKey,
        EllipticCurvePublicKey: ECKey,
        Ed25519PublicKey: OKPKey,
        Ed448PublicKey: OKPKey,
    }
    for kind, wrapper in kinds.items():
        if isinstance(native, kind):
            try:
                jwk: dict[str, Any] = wrapper().load_key(native).serialize()
            except Exception:  # a curve that has no JWK name
                break
            return jwk
    raise UnusableKeyError("not a key that can verify")


def secret_jwks(secret: bytes) -> dict[str, Any]:
    """A shared secret as a JWK set of one key without kid."""
    return {"keys": [{"kty": "oct", "k": _b64url(secret).decode()}]}


class KeyCache:
    """The current keys of every issuer, in a cryptojwt KeyJar that never does I/O. Not locked: its owner does that."""

    def __init__(self) -> None:
        self.jar: Any = KeyJar()

    def replace(self, issuer: str, keys: KeySet) -> None:
        """Put ``keys`` in the place of what was known of ``issuer``; a key that is not among them is gone at once."""
        owner = KeyIssuer(name=issuer)
        owner.add_kb(keys.bundle)
        self.jar[issuer] = owner


class SigningKey:
    """A private key with its algorithm and kid. ``repr`` shows neither half of the key."""

    def __init__(self, alg: str, key: Any, kid: str) -> None:
        self.alg, self.kid = alg, kid
        self._key = key
        key.kid = kid  # for hosts that sign or look for keys by it themselves
        self._native = key.key if ALGORITHMS[alg].kty == "oct" else key.private_key()

    @classmethod
    def generate(cls, alg: str, kid: str | None = None) -> SigningKey:
        """Make a new key for an asymmetric algorithm; its kid is its RFC 7638 thumbprint unless given."""
        needs = ALGORITHMS[alg]
        if needs.kty == "RSA":
            key = new_rsa_key(key_size=2048)
        elif needs.kty == "EC":
            key = new_ec_key(needs.crv)
        elif needs.kty == "OKP":
            key = new_okp_key(needs.crv)
        else:
            raise UnusableKeyError("a shared secret is not generated here")
        return cls(alg, key, kid or key.thumbprint("SHA-256").decode())

    @classmethod
    def from_native(cls, alg: str, native: Any, kid: str | None = None) -> SigningKey:
        """Of a private key object of ``cryptography`` that fits ``alg``; kid as in ``generate``."""
        key: Any = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}[ALGORITHMS[alg].kty]().load_key(native)
        return cls(alg, key, kid or key.thumbprint("SHA-256").decode())

    def public_jwk(self) -> dict[str, Any]:
        """The JWK to publish (RFC 7517), never with a private member."""
        return dict(self._public)

    @cached_property
    def _public(self) -> dict[str, Any]:
        return {**public_members(self._key.serialize()), "kid": self.kid, "use": "sig", "alg": self.alg}

    def private_jwk(self) -> dict[str, Any]:
        """The JWK to store, both halves. Only for the key file."""
        return {**private_members(self._native), "kid": self.kid, "use": "sig", "alg": self.alg}

    def secret_number(self) -> bytes:
        """What only the holder of the key knows. Only to derive other secrets from."""
        return secret_number(self._native)

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """A compact JWS (RFC 7515 section 7.1) over ``claims`` as JSON; ``header`` adds to or replaces alg and kid."""
        protected = {"alg": self.alg, "kid": self.kid, **(header or {})}
        signing_input = _b64url(_json(protected)) + b"." + _b64url(_json(claims))
        signature: bytes = SIGNER_ALGS[self.alg].sign(signing_input, self._native)
        return (signing_input + b"." + _b64url(signature)).decode()

    @cached_property
    def _prepared(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        """What every access token begins with, and what signs it."""
        header = {"alg": self.alg, "typ": "at+jwt", "kid": self.kid}
        return _b64url(_json(header)) + b".", signature_maker(self.alg, self._native)

    def sign_access_token(self, claims: Mapping[str, Any]) -> str:
        """The same, quicker, with typ at+jwt (RFC 9068 section 2.1), for RS256, PS256, ES256 and EdDSA.

        Raises ValueError for claims that JSON cannot say (RFC 8259): NaN, infinity, lone surrogates.
        """
        head, signature = self._prepared
        signing_input = head + _b64url(json_text(claims).encode())
        return (signing_input + b"." + _b64url(signature(signing_input))).decode()

    def __repr__(self) -> str:
        return f"<SigningKey {self.alg}>"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def cryptojwt_keys(keys: Iterable[SigningKey | bytes]) -> list[Any]:
    """Private keys and shared secrets as the objects that hosts know which use cryptojwt themselves."""
    symmetric: Any = SYMKey  # whose own types know no bytes
    return [symmetric(key=key, use="sig") if isinstance(key, bytes) else key._key for key in keys]


def key_jar(owners: Iterable[str], keys: Iterable[Any]) -> Any:
    """A KeyJar with these objects under each owner's name."""
    jar, bundle = KeyJar(), KeyBundle()
    for key in keys:
        bundle.append(key)
    for owner in owners:
        held = KeyIssuer(name=owner)
        held.add_kb(bundle)
        jar[owner] = held
    return jar
