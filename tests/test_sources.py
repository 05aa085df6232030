"""Where keys come from: given, in a file (and read again), at a URL. Refused settings are in test_settings."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jwtconnect_mw import BearerAuth, ConfigurationError, HttpFetch, TrustedIssuer
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.fetch import MAX_BODY, Fetched
from jwtconnect_mw.keys import sources
from jwtconnect_mw.keys.sources import SourceError, no_fetch
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import AUDIENCE, ISSUER, NOW, SECRET, auth, b64, jwks, key, policy, token
from .remote import LIMIT, verdict, without_kid
from .servers import Authority, RawServer, http, requested

HOUR = 3600


def main(alg: str) -> SigningKey:
    """That of ``token()`` for ES256: the kit remembers key() and key("ES256") apart."""
    return key() if alg == "ES256" else key(alg)


def public(alg: str = "ES256") -> bytes:
    return main(alg)._native.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private(alg: str = "ES256", kind: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return main(alg)._native.private_bytes(Encoding.PEM, kind, NoEncryption())


def certificate(alg: str = "ES256") -> bytes:
    """Expired: it is only the container of a key, which is trusted because it was given."""
    name, native = x509.Name([]), main(alg)._native
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2021, 1, 1))
    digest = None if alg in ("EdDSA", "Ed25519") else hashes.SHA256()
    return builder.public_key(native.public_key()).sign(native, digest).public_bytes(Encoding.PEM)


def jwk_set(alg: str = "ES256") -> bytes:
    return json.dumps(jwks(main(alg))).encode()


PEM: list[Callable[[str], bytes]] = [public, private, certificate]


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "RS256", "PS512", "EdDSA", "Ed25519"])
@pytest.mark.parametrize("make", PEM)
def test_pem(make: Callable[[str], bytes], alg: str) -> None:
    """Without a kid of its own, it is the only key: any kid, or none, names it."""
    text = make(alg).decode()
    for keys in (text, f"\n  {text}"):
        app = auth(policy(keys=keys, algorithms=[alg]))
        assert verdict(app, token(by=main(alg))) == "accepted"
        assert verdict(app, token(by=main(alg), header={"kid": ...})) == "accepted"
        assert verdict(app, token(by=key(alg, "other"))) == "bad_signature"


@pytest.mark.parametrize("keys", [
    lambda: private("RS256", PrivateFormat.TraditionalOpenSSL).decode(),
    lambda: certificate("RS256").decode() + private("RS256").decode(),
    lambda: private("RS256").decode() + public("RS256").decode() * 2 + certificate("RS256").decode(),
    lambda: certificate("RS256").decode() + certificate().decode(),  # of who issued it
    lambda: f"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{public('RS256').decode()}",
    lambda: key("RS256")._native,
    key("RS256")._native.public_key,
    lambda: jwks(key("RS256")),
    lambda: key("RS256").public_jwk(),
    lambda: {"keys": tuple(jwks(key("RS256"), key())["keys"])},
    lambda: {**key("RS256")._key.serialize(private=True), "kid": key("RS256").kid},
])  # fmt: skip
def test_given_keys(keys: Callable[[], Any]) -> None:
    app = auth(policy(keys=keys()))
    assert verdict(app, token(by=key("RS256"))) == "accepted"
    assert verdict(app, token(by=key("RS256", "other"), header={"kid": key("RS256").kid})) == "bad_signature"


def test_encrypted_pem_is_refused() -> None:
    locked = key()._native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    with pytest.raises(ConfigurationError, match=r"^keys: "):
        policy(keys=locked.decode())


def test_secrets() -> None:
    secret = SigningKey("HS256", key_of(SECRET), "any")
    for keys in (SECRET, bytearray(SECRET), {"kty": "oct", "k": b64(SECRET)}):
        app = auth(policy(keys=keys, algorithms=["HS256"]))
        assert verdict(app, token(by=secret)) == "accepted"
        assert verdict(app, token(by=key())) == "algorithm_not_allowed"


def key_of(secret: bytes) -> Any:
    from cryptojwt.jwk.hmac import SYMKey

    return SYMKey(key=secret)


class InFile:
    """An application whose keys are in a file."""

    def __init__(self, path: Path, content: bytes, as_text: bool = False, **settings: Any) -> None:
        self.path, self.clock = path, ManualClock(NOW)
        path.write_bytes(content)
        keys = str(path) if as_text else path
        self.auth = BearerAuth(
            TrustedIssuer(ISSUER, audience=AUDIENCE, keys=keys, **settings), clock=self.clock, fetch=no_fetch
        )

    def verdict(self, by: SigningKey) -> str:
        result = verdict(self.auth, token({"iat": self.clock() - 5, "exp": self.clock() + 300}, by=by))
        (keys,) = self.auth._store.issuers.values()
        if keys._flight is not None:
            keys._flight.result(30)
        return result


@pytest.mark.parametrize("as_text", [True, False], ids=["str", "Path"])
@pytest.mark.parametrize("make", [*PEM, jwk_set])
def test_files(tmp_path: Path, make: Callable[[str], bytes], as_text: bool) -> None:
    app = InFile(tmp_path / "keys", make("ES256"), as_text)
    assert app.verdict(key()) == "accepted"
    app.path.write_bytes(make("EdDSA"))
    assert app.verdict(key()) == "accepted"  # what was read is fresh
    app.clock.advance(300)
    assert app.verdict(key()) == "accepted"  # and is read again off the request
    assert app.verdict(key()) == "unknown_key"
    assert app.verdict(key("EdDSA")) == "accepted"


def test_a_file_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.json").write_text(json.dumps(jwks()))
    clock = ManualClock(NOW)
    bearer_auth = BearerAuth(TrustedIssuer(ISSUER, audience=AUDIENCE, keys="keys.json"), clock=clock)
    monkeypatch.chdir("/")
    clock.advance(sources.SOFT_AGE)
    assert bearer_auth.authenticate("Bearer " + token({"iat": NOW, "exp": NOW + 900}))
    flight = bearer_auth._store.issuers[ISSUER].begin(clock())  # the one under way, if it is not over
    if flight is not None:
        flight.result(LIMIT)
    assert bearer_auth.health()[ISSUER]["last_success"] == clock()


def test_a_file_is_read_again_for_an_unknown_kid(tmp_path: Path) -> None:
    app = InFile(tmp_path / "jwks.json", jwk_set())
    app.path.write_bytes(json.dumps(jwks(key(), key("ES256", "new"))).encode())
    assert app.verdict(key("ES256", "new")) == "unknown_key"
    app.clock.advance(COOLDOWN)
    assert app.verdict(key("ES256", "new")) == "accepted"


BAD_FILES: dict[str, tuple[bytes | None, str]] = {
    "gone": (None, "the file cannot be read"),
    "empty": (b"", "the file is neither a JWK set nor PEM"),
    "half": (jwk_set()[:50], "the file is neither a JWK set nor PEM"),
    "binary": (b"\xff\xfe\x00", "the file is neither a JWK set nor PEM"),
    "no set": (b"{}", "not a JWK set"),
    "no key": (b'{"keys":[]}', "no usable key"),
    "bad PEM": (b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "not a PEM key or certificate"),
    "too large": (b" " * 262_145, "the file is too large"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_goes_bad(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """As an issuer that is down: stale keys for an hour, then 503, and all is well when it is whole again."""
    content, problem = BAD_FILES[name]
    app = InFile(tmp_path / "keys", jwk_set())

    def spoil() -> None:
        app.path.unlink() if content is None else app.path.write_bytes(content)

    spoil()
    app.clock.advance(299 + HOUR)
    assert app.verdict(key()) == app.verdict(key()) == "accepted"
    app.clock.advance(1)
    assert app.verdict(key()) == "keys_unavailable"
    assert problem in caplog.text
    app.path.write_bytes(jwk_set())
    app.clock.advance(COOLDOWN)
    assert app.verdict(key()) == "accepted"
    spoil()
    with pytest.raises(ConfigurationError, match=r"^keys: "):
        policy(keys=app.path)


def test_a_file_that_goes_while_the_application_is_built(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(jwk_set())
    trusted = policy(keys=path)
    path.unlink()
    clock = ManualClock(NOW)
    app = auth(trusted, clock=clock)
    assert verdict(app, token()) == "keys_unavailable"
    path.write_bytes(jwk_set())
    clock.advance(COOLDOWN)
    assert verdict(app, token()) == "accepted"


@pytest.mark.parametrize("content_type", [
    "application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json", "application/json ;x",
])  # fmt: skip
def test_content_types_of_key_sets(content_type: str) -> None:
    with RawServer(http(jwks(), Content_Type=content_type)) as server:
        app = auth(policy(keys=f"{server.url}/keys?tenant=a"))
        assert verdict(app, token()) == "accepted"
    assert requested(server) == ["/keys?tenant=a"]


@pytest.mark.parametrize("content_type", [
    "", "text/plain", "text/html", "text/json", "application/jsonp", "xapplication/json", "application/json, text/html",
    "application/x json", "application/javascript",
])  # fmt: skip
def test_other_content_types(content_type: str) -> None:
    with RawServer(http(jwks(), Content_Type=content_type)) as server:
        assert verdict(auth(policy(keys=server.url)), token()) == "keys_unavailable"


SETS = json.dumps(jwks()).encode()
OWN_ANSWERS: dict[str, tuple[int, bytes, str | None]] = {
    "of the greatest length": (200, SETS.ljust(MAX_BODY), None),
    "too long": (200, SETS.ljust(MAX_BODY + 1), "too large"),
    "of another status": (203, SETS, "status 203"),
    "an empty object": (200, b"{}", "not a JWK set"),
    "a number of keys": (200, b'{"keys":5}', "not a JWK set"),
    "a long text of keys": (200, b'{"keys":"%s"}' % (b"x" * 99), "not a JWK set"),
    "a list": (200, b"[]", "not a JSON object"),
}


@pytest.mark.parametrize("name", OWN_ANSWERS)
def test_what_a_fetch_of_ones_own_answers(name: str, caplog: pytest.LogCaptureFixture) -> None:
    status, body, problem = OWN_ANSWERS[name]
    answer = Fetched(status, {"content-type": "application/json"}, body)
    app = auth(policy(keys="https://as.example/jwks"), fetch=lambda *_: answer)
    assert verdict(app, token()) == ("accepted" if problem is None else "keys_unavailable")
    assert [record.getMessage() for record in caplog.records] == (
        [] if problem is None else [f"the keys of {ISSUER!r} cannot be had: {problem}"]
    )


def test_a_fetch_of_ones_own_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    def fetch(*_: object) -> Fetched:
        raise SystemExit("a secret")

    assert verdict(auth(policy(keys="https://as.example/jwks"), fetch=fetch), token()) == "keys_unavailable"
    assert [record.getMessage() for record in caplog.records] == [
        f"the keys of {ISSUER!r} cannot be had: the fetch function failed"
    ]


@pytest.mark.parametrize("failure", [http(status=412), b""], ids=["412", "broken off"])
def test_a_server_that_fails_at_conditions(failure: bytes) -> None:
    """It is never asked so again."""
    whole = http(jwks(), ETag='"1"')
    asked: list[bool] = []

    def answer(_server: RawServer, sock: socket.socket, head: bytes) -> None:
        asked.append(b"if-none-match" in head.lower())
        sock.sendall(failure if asked[-1] else whole)

    with RawServer(answer) as server:
        source = policy(keys=server.url).source
        assert source.load(HttpFetch(), 5, NOW).keys
        with pytest.raises(SourceError):
            source.load(HttpFetch(), 5, NOW)
        for _ in range(3):
            assert source.load(HttpFetch(), 5, NOW).keys
    assert asked == [False, True, False, False, False]


def test_the_deadline_of_the_default_fetch_is_that_of_each_attempt() -> None:
    noted: list[float] = []

    class Noting(HttpFetch):
        def __call__(self, url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
            noted.append(timeout)
            return super().__call__(url, headers, timeout)

    with RawServer(http(jwks())) as server:
        for deadline in (3.5, 7):
            assert verdict(auth(policy(keys=server.url), fetch=Noting(deadline=deadline)), token()) == "accepted"
    assert noted == [3.5, 7]


def test_a_file_of_the_greatest_length(tmp_path: Path) -> None:
    assert InFile(tmp_path / "keys", jwk_set().ljust(MAX_BODY)).verdict(key()) == "accepted"


def test_a_key_set_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with RawServer(http(jwks()), tls=authority.server("127.0.0.1")) as server:
        assert verdict(auth(policy(keys=server.url), fetch=HttpFetch(ca_file=authority.file)), token()) == "accepted"
        assert verdict(auth(policy(keys=server.url)), token()) == "keys_unavailable"


def test_what_fetches_nothing_says_so() -> None:
    with pytest.raises(Exception, match="nothing is fetched here"):
        no_fetch("https://as.example", {}, 1.0)
    assert not issubclass(SourceError, ConfigurationError)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer(clock=ManualClock(NOW)) as issuer:
        yield issuer


def test_plain_http_elsewhere_must_be_asked_for(issuer: FakeIssuer) -> None:
    url = issuer.jwks_url.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(ConfigurationError, match=r"^keys: http is accepted for loopback only"):
        policy(keys=url)
    app = auth(TrustedIssuer(issuer.url, audience=AUDIENCE, keys=url, trust_http=True))
    assert verdict(app, issuer.token()) == verdict(app, without_kid(issuer, issuer.keys[0])) == "accepted"
