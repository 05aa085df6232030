"""The case table: every rule of a request, a token's structure, header, signature and claims, as one request each.

Each case runs through every adapter. A case says which reason it is refused for, so that it fails when the rule that it
is there for is taken out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jwtconnect_mw import ANY_AUDIENCE

from .kit import AUDIENCE, ISSUER, NOW, SECRET, b64, claims, jwks, key, raw, sealed, token


@dataclass(frozen=True)
class Case:
    """``reason`` None is an accepted request."""

    id: str
    headers: Sequence[tuple[str, bytes]]
    status: int = 200
    reason: str | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=dict)
    method: str = "GET"
    path: str = "/"


def bearer(text: str) -> list[tuple[str, bytes]]:
    return [("Authorization", b"Bearer " + text.encode())]


def good(id: str, text: str, **more: Any) -> Case:
    return Case(id, bearer(text), **more)


def bad(id: str, text: str, reason: str, **more: Any) -> Case:
    return Case(id, bearer(text), 401, reason, **more)


def value(id: str, text: bytes, status: int, reason: str | None, **more: Any) -> Case:
    return Case(id, [("Authorization", text)], status, reason, **more)


def _request() -> list[Case]:
    t = token().encode()
    malformed = "malformed_credentials"
    return [
        Case("no header", [], 401, "no_credentials"),
        value("empty value", b"", 401, "no_credentials"),
        value("blank value", b"  ", 401, "no_credentials"),
        value("another scheme", b"Basic dXNlcjpwYXNz", 401, "no_credentials"),
        value("folded pair, the second empty", b"Basic abc,", 400, malformed),
        value("folded pair, the first empty", b", Basic abc", 400, malformed),
        value("folded pair, both empty", b",", 400, malformed),
        value("another scheme that holds the word", b"Basic bearer", 401, "no_credentials"),
        value("another scheme of six letters that holds the word", b"Digest bearer", 401, "no_credentials"),
        value("a scheme that begins with the word", b"Bearerish abc", 401, "no_credentials"),
        value("digest", b'Digest username="x", realm="y"', 401, "no_credentials"),
        value("lower case", b"bearer " + t, 200, None),
        value("mixed case", b"bEaReR " + t, 200, None),
        value("several spaces", b"Bearer    " + t, 200, None),
        value("spaces around", b"  Bearer " + t + b" ", 200, None),
        value("Bearer alone", b"Bearer", 400, malformed),
        value("Bearer and spaces", b"Bearer   ", 400, malformed),
        value("Bearer with no space", b"Bearer:" + t, 400, malformed),
        value("two words", b"Bearer " + t + b" x", 400, malformed),
        value("quoted", b'Bearer "' + t + b'"', 400, malformed),
        value("folded pair", b"Bearer " + t + b", Bearer " + t, 400, malformed),
        value("folded pair of two schemes", b"Basic abc, Bearer " + t, 400, malformed),
        value("folded pair with a tab", b"Basic abc,\tbearer " + t, 400, malformed),
        value("folded with Bearer alone", b"Basic abc, Bearer", 400, malformed),
        value("folded Bearer first", b"Bearer " + t + b", Basic abc", 400, malformed),
        value("folded with an empty second", b"Bearer " + t + b",", 400, malformed),
        value("many commas and a Bearer", b"Basic " + b"," * 33 + b"xbearer", 400, malformed),
        value("some commas and a word like Bearer", b"Basic " + b"," * 32 + b"xbearer", 401, "no_credentials"),
        value("many commas", b"Digest " + b"," * 40 + b"x", 401, "no_credentials"),
        value("tab", b"Bearer\t" + t, 400, malformed),
        value("tab behind the space", b"Bearer \t" + t, 400, malformed),
        value("tab before", b"\tBearer " + t, 400, malformed),
        value("NBSP before", b" \xa0Bearer " + t, 400, malformed),
        value("NBSP", b"Bearer\xa0" + t, 400, malformed),
        value("NBSP at the end", b"Bearer " + t + b"\xa0", 400, malformed),
        value("non-ASCII in another scheme", b"Basic \xff", 400, malformed),
        value("control in another scheme", b"Basic \x01", 400, malformed),
        value("NUL at the end", b"Bearer " + t + b"\x00", 400, malformed),
        value("equals sign inside", b"Bearer a=b", 400, malformed),
        value("only equals signs", b"Bearer ===", 400, malformed),
        value("too large", b"Bearer " + b"a" * 16_442, 400, "credentials_too_large"),
        value("too large, another scheme", b"Basic " + b"a" * 16_443, 400, "credentials_too_large"),
        value("token too large in a header that is not", b"Bearer " + b"a" * 16_400, 401, "token_too_large"),
        value("b64token that is no JWT", b"Bearer abc~+/._-==", 401, "malformed_token"),
    ]


def _structure() -> list[Case]:
    t = token()
    header, payload, signature = t.split(".")
    by_es512 = token(by=key("RS256"))  # its signature is 342 characters: two bits are unused
    last = by_es512[-1]
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other_spelling = by_es512[:-1] + spare[spare.index(last) + 1]
    deep = json.dumps(claims({"deep": 0}))
    ok = json.dumps(claims())
    full_header = {"alg": "ES256", "kid": key().kid}

    def nested(levels: int) -> str:
        return deep.replace('"deep": 0', '"deep": ' + "[" * (levels - 1) + "]" * (levels - 1))

    def strange(text: str | bytes) -> str:
        return raw(json.dumps(full_header), text)

    def member(text: str) -> str:
        return strange(ok[:-1] + ", " + text + "}")

    malformed = "malformed_token"
    return [
        good("good", t),
        *[
            bad(f"segments: {name}", text, malformed)
            for name, text in {
                "one": header,
                "two": f"{header}.{payload}",
                "four": f"{t}.x",
                "five, as a JWE": f"{header}.{payload}.{signature}.{payload}.{signature}",
                "dots only": "..",
                "empty header": f".{payload}.{signature}",
                "empty payload": f"{header}..{signature}",
                "leading dot": "." + t,
                "trailing dot": t + ".",
            }.items()
        ],
        bad("empty signature", f"{header}.{payload}.", "bad_signature"),
        bad("padded signature", t + "==", malformed),
        bad("padded header", sealed(f"{header}=.{payload}").replace("=", "~"), malformed),
        bad("plus in the payload", f"{header}.+{payload[1:]}.{signature}", "bad_signature"),
        bad("slash in the signature", t[:-2] + "/" + t[-1], malformed),
        bad("plus in the signature", t[:-2] + "+" + t[-1], malformed),
        bad("tilde in the signature", t[:-2] + "~" + t[-1], malformed),
        # Four of them, which a lenient decoder skips without a trace.
        bad("four slashes in the signature", f"{header}.{payload}.{signature[:40]}////{signature[40:]}", malformed),
        bad("four pluses in the payload, signed", sealed(f"{header}.{payload[:8]}++++{payload[8:]}"), malformed),
        bad("four tildes in the header, signed", sealed(f"{header[:8]}~~~~{header[8:]}.{payload}"), malformed),
        bad("length 1 mod 4", t[:-1], malformed),
        bad("the longest signature, with a slash", f"{header}.{payload}.{'A' * 2730}/", malformed),
        bad("signature too long, with a slash", f"{header}.{payload}.{'A' * 2731}/", "bad_signature"),
        bad("signature too long, unknown kid", f"{token(header={'kid': 'unknown'}).rpartition('.')[0]}.{'A' * 3000}", "unknown_key"),
        bad("length 1 mod 4, unknown kid", token(header={"kid": "unknown"})[:-1], malformed),
        bad("unused bits set, unknown kid", token(header={"kid": "unknown"})[:-1] + "B", malformed),
        bad("slash in the signature, unknown kid", token(header={"kid": "unknown"})[:-2] + "/A", malformed),
        bad("payload of length 1 mod 4, signed", sealed(f"{header}.{payload.rstrip('=')[: len(payload) // 4 * 4]}A"), malformed),
        good("RSA", by_es512, policy={"keys": jwks(key("RS256"))}),
        bad("unused bits set", other_spelling, malformed, policy={"keys": jwks(key("RS256"))}),
        bad("unused bits set in the payload, signed", sealed(f"{header}.{b64(ok + ' ' * (-len(ok) % 3 + 1))[:-1]}B"), malformed),
        bad("header is not JSON", f"{b64('hello')}.{payload}.{signature}", malformed),
        bad("header is a list", f"{b64('[1]')}.{payload}.{signature}", malformed),
        bad("header is the JWS JSON serialization", b64(json.dumps({"payload": payload, "signature": signature})), malformed),
        bad("header with a BOM", raw(b"\xef\xbb\xbf" + json.dumps(full_header).encode(), ok), malformed),
        bad("header in UTF-16", raw(json.dumps(full_header).encode("utf-16"), ok), malformed),
        bad("header with a duplicate member", raw(f'{{"alg":"none","alg":"ES256","kid":"{key().kid}"}}', ok), malformed),
        bad("header with a duplicate inside", raw(json.dumps(full_header)[:-1] + ',"x":{"a":1,"a":1}}', ok), malformed),
        bad("header with text behind", raw(json.dumps(full_header) + "x", ok), malformed),
        bad("header dear to parse", raw(json.dumps({**full_header, "x": [0] * 600}), ok), malformed),
        bad("header with many objects", raw(json.dumps({**full_header, "x": [{}] * 70}), ok), malformed),
        good("header with white space", raw(" " + json.dumps(full_header, indent=1) + "\n", ok)),
        bad("header with a form feed behind", raw(json.dumps(full_header) + "\f", ok), malformed),
        good("header with a long x5c", raw(json.dumps({**full_header, "x5c": ["M" * 3000] * 2}), ok)),
        good("payload with white space", strange("\n\t" + ok + " ")),
        bad("payload is not JSON", strange("hello"), malformed),
        bad("payload is a list", strange("[1]"), malformed),
        bad("payload is a string", strange('"x"'), malformed),
        bad("payload is null", strange("null"), malformed),
        bad("payload cut short", strange(ok[:-1]), malformed),
        bad("payload with text behind", strange(ok + "{}"), malformed),
        bad("payload with a BOM", strange(b"\xef\xbb\xbf" + ok.encode()), malformed),
        bad("payload in UTF-16", strange(ok.encode("utf-16-le")), malformed),
        bad("payload in UTF-32", strange(ok.encode("utf-32")), malformed),
        bad("payload in Latin-1", strange(ok.replace("alice", "al\xedce").encode("latin-1")), malformed),
        bad("payload with an overlong sequence", strange(ok.encode().replace(b"alice", b"\xc0\x80")), malformed),
        bad("payload with a duplicate member", member('"sub": "bob"'), malformed),
        *[bad(f"payload with a duplicate, {gap!r} before its colon", member(f'"sub"{gap}:"bob"'), malformed) for gap in " \t\n\r"],
        bad("payload with a duplicate, white space before both colons", strange(ok.replace('":', '" :')[:-1] + ',"sub" :"bob"}'), malformed),
        bad("payload with a duplicate after unescaping", member('"s\\u0075b": "bob"'), malformed),
        bad("payload with a duplicate inside", member('"x": {"a": {"b": 1, "b": 2}}'), malformed),
        bad("payload with a duplicate in a list", member('"x": [{"b": 1, "b": 2}]'), malformed),
        bad("payload with NaN", member('"x": NaN'), malformed),
        bad("payload with Infinity", member('"x": Infinity'), malformed),
        bad("payload with -Infinity", member('"x": [-Infinity]'), malformed),
        bad("payload with a number that overflows", member('"x": 1e999'), malformed),
        good("payload with a large float", member('"x": 1e300')),
        bad("payload with a lone surrogate", member('"x": "\\ud800"'), malformed),
        bad("payload with a lone surrogate as a name", member('"\\udc00": 1'), malformed),
        bad("payload with surrogates in the wrong order", member('"x": "\\udc00\\ud800"'), malformed),
        good("payload with a surrogate pair", member('"x": "\\ud83d\\ude00"')),
        good("payload with other escapes", member('"x": "\\n\\u0041\\\\u"')),
        good("payload with an integer of 4,300 digits", member('"x": ' + "1" * 4300)),
        good("payload with a negative integer of 4,300 digits", member('"x": -' + "1" * 4300)),
        bad("payload with an integer of 4,301 digits", member('"x": ' + "1" * 4301), malformed),
        bad("payload with a negative integer of 4,301 digits", member('"x": -' + "1" * 4301), malformed),
        good("payload with 64 levels", strange(nested(64))),
        bad("payload with 65 levels", strange(nested(65)), malformed),
        good("payload with 64 levels and more brackets", strange(nested(64)[:-1] + ', "y": [[[]], [], {}]}')),
        bad("payload with 65 levels and more brackets", strange(nested(65)[:-1] + ', "y": [[[]], [], {}]}'), malformed),
        bad("payload with 5,000 levels", strange(nested(5000)), malformed),
        good("payload with many brackets in strings", member('"x": "' + "[{" * 100 + '"')),
        good("payload with many brackets behind escaped quotes", member('"x": "\\"' + "[{" * 100 + '\\\\"')),
        good("payload with many lists", member('"x": [' + ",".join(["[]"] * 100) + "]")),
        good("long token", member('"x": "' + "a" * 11_000 + '"')),
    ]


def _header() -> list[Case]:
    es, rs, ed = key(), key("RS256"), key("EdDSA")
    ok = json.dumps(claims())
    public_pem_as_secret = raw(
        json.dumps({"alg": "HS256", "kid": es.kid}), ok, HMAC_BY_PUBLIC
    )
    unacceptable, types = "unacceptable_header", "wrong_token_type"
    several = {"keys": jwks(es, rs, ed)}
    return [
        *[good(f"typ {typ!r}", token(header={"typ": typ})) for typ in ("JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt")],
        good("typ absent", token(header={"typ": ...})),
        *[
            bad(f"typ {typ!r}", token(header={"typ": typ}), types)
            for typ in (None, "", "at+jwt ", " JWT", "JWS", "refresh", "refresh+jwt", "id_token", "logout+jwt", "dpop+jwt", "secevent+jwt",
                        "application/jwt", 1, ["at+jwt"])  # fmt: skip
        ],
        *[bad(f"alg {alg!r}", token(header={"alg": alg}), "algorithm_not_allowed") for alg in ("none", "None", "NONE", "nOnE", "", "es256", "HS256", "RS1", "ES256K", "Ed448")],
        *[bad(f"alg {alg!r}", token(header={"alg": alg}), "malformed_token") for alg in (..., None, 1, ["ES256"], {})],
        bad("alg none without signature", f"{b64(json.dumps({'alg': 'none'}))}.{b64(ok)}.", "algorithm_not_allowed"),
        bad("alg not in the list of the issuer", token(by=rs), "algorithm_not_allowed", policy={"algorithms": ["ES256"], **several}),
        bad("alg of another key type", token(header={"alg": "RS256"}), "unusable_key", policy=several),
        bad("alg of another curve", token(header={"alg": "ES384"}), "unusable_key"),
        bad("alg of another padding than the key's own", token(by=rs, header={"alg": "PS256"}), "unusable_key", policy=several),
        bad("HS256 with the public key", public_pem_as_secret, "algorithm_not_allowed", policy=several),
        *[bad(f"crit {crit!r}", token(header={"crit": crit}), unacceptable) for crit in ([], None, ["exp"], ["b64"], "x")],
        *[bad(f"b64 {flag!r}", token(header={"b64": flag}), unacceptable) for flag in (False, True, None)],
        *[bad(f"enc {enc!r}", token(header={"enc": enc}), unacceptable) for enc in ("A256GCM", None)],
        *[bad(f"cty {cty!r}", token(header={"cty": cty}), unacceptable) for cty in ("JWT", "jwt", "application/JWT", None, 1)],
        good("cty of something else", token(header={"cty": "application/json"})),
        *[bad(f"kid {kid!r}", token(header={"kid": kid}), unacceptable) for kid in (None, 1, {}, ["x"])],
        *[bad(f"kid {kid!r}", token(header={"kid": kid}), "unknown_key") for kid in ("", "unknown", es.kid.upper(), es.kid + " ", "../../etc/passwd")],
        good("no kid", token(header={"kid": ...})),
        good("no kid, three keys of a type", token(header={"kid": ...}), policy={"keys": jwks(key("ES256", "b"), key("ES256", "c"), es)}),
        bad("no kid, signed by none", token(header={"kid": ...}), "bad_signature", policy={"keys": jwks(key("ES256", "b"))}),
        bad("kid of another key of the issuer", token(header={"kid": key("ES256", "b").kid}), "bad_signature", policy={"keys": jwks(es, key("ES256", "b"))}),
        bad("no kid, alg of no key, and a key has none", token(header={"kid": ..., "alg": "ES384"}), "unknown_key", policy={"keys": without_kid(es)}),
        good("kid, and the only key has none", token(header={"kid": "whatever"}), policy={"keys": without_kid(es)}),
        bad("kid, and one of two keys has none", token(header={"kid": "whatever"}), "unknown_key", policy={"keys": {"keys": without_kid(es)["keys"] + jwks(rs)["keys"]}}),
        good("jwk, jku, x5u, x5c, x5t beside a trusted signature",
             token(header={"jwk": key("ES256", "evil").public_jwk(), "jku": "https://evil.example", "x5u": "https://evil.example", "x5c": ["x"], "x5t": "x"})),  # fmt: skip
        bad("jwk that signed, unknown kid", token(by=key("ES256", "evil"), header={"jwk": key("ES256", "evil").public_jwk()}), "unknown_key"),
        bad("jwk that signed, known kid", token(by=key("ES256", "evil"), header={"jwk": key("ES256", "evil").public_jwk(), "kid": es.kid}), "bad_signature"),
        good("other parameters", token(header={"zip": "DEF", "p2c": 1, "x": {"y": [1]}})),
        good("EdDSA", token(by=ed), policy=several),
        good("EdDSA key, alg Ed25519", token(by=ed, header={"alg": "Ed25519"}), policy=several),
        good("Ed25519 key, alg EdDSA", token(by=key("Ed25519"), header={"alg": "EdDSA"}), policy={"keys": jwks(key("Ed25519"))}),
        good("Ed25519 named, alg EdDSA", token(by=ed), policy={**several, "algorithms": ["Ed25519"]}),
        good("Ed448 when listed", token(by=key("Ed448")), policy={"keys": jwks(key("Ed448")), "algorithms": ["Ed448"]}),
        good("Ed448 when listed, alg EdDSA", token(by=key("Ed448"), header={"alg": "EdDSA"}), policy={"keys": jwks(key("Ed448")), "algorithms": ["Ed448"]}),
        bad("Ed448 when not listed", token(by=key("Ed448"), header={"alg": "EdDSA"}), "unusable_key", policy={"keys": jwks(ed, key("Ed448"))}),
        *[good(f"alg {alg}", token(by=key(alg)), policy={"keys": jwks(key(alg))}) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")],
        *[good(f"alg {alg}", raw(json.dumps({"alg": alg}), ok, hmac_key(alg)), policy={"keys": SECRET, "algorithms": [alg]}) for alg in ("HS256", "HS384", "HS512")],
        bad("HS256 by another secret", raw(json.dumps({"alg": "HS256"}), ok, hmac_key("HS256", b"x" * 32)), "bad_signature", policy={"keys": SECRET, "algorithms": ["HS256"]}),
        bad("HS512 where HS256 is named", raw(json.dumps({"alg": "HS512"}), ok, hmac_key("HS512")), "algorithm_not_allowed", policy={"keys": SECRET, "algorithms": ["HS256"]}),
        good("strict: at+jwt", token(), policy=STRICT),
        good("strict: application/at+jwt", token(header={"typ": "application/AT+jwt"}), policy=STRICT),
        bad("strict: JWT", token(header={"typ": "JWT"}), types, policy=STRICT),
        bad("strict: no typ", token(header={"typ": ...}), types, policy=STRICT),
        bad("strict: JWT by an unknown key", token(header={"typ": "JWT", "kid": "unknown"}), "unknown_key", policy=STRICT),
    ]


STRICT = {"profile": "rfc9068"}


class _Hmac:
    """Enough of a SigningKey for ``sealed``."""

    def __init__(self, alg: str, secret: bytes) -> None:
        self.alg, self._native = alg, secret


def hmac_key(alg: str, secret: bytes = SECRET) -> Any:
    return _Hmac(alg, secret)


HMAC_BY_PUBLIC: Any = hmac_key("HS256", json.dumps(key().public_jwk()).encode())


def without_kid(*keys: Any) -> dict[str, Any]:
    return {"keys": [{name: member for name, member in jwk.items() if name != "kid"} for jwk in jwks(*keys)["keys"]]}


def _signature() -> list[Case]:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    t = token()
    signing_input, _, signature = t.rpartition(".")
    octets = __import__("base64").urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big")
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    def with_numbers(r: int, s: int, size: int = 32) -> str:
        return f"{signing_input}.{b64(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}"

    header, payload, _ = t.split(".")
    other = b64(json.dumps(claims({"sub": "mallory"})))
    why = "bad_signature"
    rsa = token(by=key("RS256"))
    rsa_policy = {"keys": jwks(key("RS256"))}
    return [
        good("n - s", with_numbers(r, n - s)),
        bad("DER", f"{signing_input}.{b64(encode_dss_signature(r, s))}", why),
        bad("r = 0", with_numbers(0, s), why),
        bad("s = 0", with_numbers(r, 0), why),
        bad("r = s = 0", with_numbers(0, 0), why),
        bad("r = n", with_numbers(n, s), why),
        bad("s + n", with_numbers(r, s + n, 33), why),
        bad("too long by zeros", with_numbers(r, s, 33), why),
        bad("too short", f"{signing_input}.{b64(octets[:-1])}", why),
        bad("another payload", f"{header}.{other}.{signature}", why),
        bad("another header", f"{b64(json.dumps({'alg': 'ES256', 'kid': key().kid}))}.{payload}.{signature}", why),
        bad("signature of another key", f"{signing_input}.{token(by=key('ES256', 'evil')).rpartition('.')[2]}", why),
        bad("very long signature", f"{signing_input}.{'A' * 8000}", why),
        good("RSA PKCS #1", rsa, policy=rsa_policy),
        bad("RSA, PSS signature under RS256", pss_as_rs256(32), why, policy=rsa_policy),
        bad("PSS with the greatest salt", pss(None), why, policy={"keys": jwks(key("PS256"))}),
        bad("PSS with no salt", pss(0), why, policy={"keys": jwks(key("PS256"))}),
        bad("PSS with another MGF1 hash", pss(32, "SHA512"), why, policy={"keys": jwks(key("PS256"))}),
        good("PSS with the right salt", pss(32), policy={"keys": jwks(key("PS256"))}),
        bad("RSA with a leading zero octet", f"{rsa.rpartition('.')[0]}.{b64(bytes(1) + _octets(rsa))}", why, policy=rsa_policy),
        bad("RSA with another hash", other_hash(), why, policy=rsa_policy),
    ]


def _octets(text: str) -> bytes:
    import base64

    segment = text.rpartition(".")[2]
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _sign_with(by: Any, *arguments: Any) -> str:
    signing_input = token(by=by).rpartition(".")[0]
    return f"{signing_input}.{b64(by._native.sign(signing_input.encode(), *arguments))}"


def pss(salt: int | None, mgf_hash: str = "SHA256", by: Any = None) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    length = padding.PSS.MAX_LENGTH if salt is None else salt
    scheme = padding.PSS(padding.MGF1(getattr(hashes, mgf_hash)()), length)
    return _sign_with(by or key("PS256"), scheme, hashes.SHA256())


def pss_as_rs256(salt: int) -> str:
    return pss(salt, by=key("RS256"))


def other_hash() -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return _sign_with(key("RS256"), padding.PKCS1v15(), hashes.SHA384())


def _claims() -> list[Case]:
    malformed, missing = "malformed_claim", "missing_claim"
    kinds = "wrong_token_type"
    not_numbers: tuple[Any, ...] = ("1900000000", True, None, [], {}, 10**18 + 1, -(10**18) - 1)
    leeway30 = {"leeway": 30}
    any_audience = {"audience": ANY_AUDIENCE}
    several = {"audience": ["https://other.example", AUDIENCE]}

    def case(id: str, changes: Mapping[str, Any], reason: str | None = None, **more: Any) -> Case:
        text = token(changes)
        return good(id, text, **more) if reason is None else bad(id, text, reason, **more)

    return [
        case("iss absent", {"iss": ...}, missing),
        *[case(f"iss {iss!r}", {"iss": iss}, malformed) for iss in (None, 1, [ISSUER], {})],
        *[case(f"iss {iss!r}", {"iss": iss}, "untrusted_issuer") for iss in ("", ISSUER + "/", ISSUER.upper(), "https://evil.example", ISSUER + "\x00")],
        case("aud absent", {"aud": ...}, missing),
        case("aud a list of one", {"aud": [AUDIENCE]}),
        case("aud a list of several", {"aud": ["https://other.example", AUDIENCE]}),
        *[case(f"aud {aud!r}", {"aud": aud}, malformed) for aud in (None, 1, {}, True, [], [AUDIENCE, 1], [AUDIENCE, None], [[AUDIENCE]])],
        *[case(f"aud {aud!r}", {"aud": aud}, "wrong_audience") for aud in ("", "https://other.example", AUDIENCE + "/", AUDIENCE.upper(), ["https://other.example"], AUDIENCE + " x")],
        case("aud, several names of ours", {}, policy=several),
        case("aud absent, any audience", {"aud": ...}, policy=any_audience),
        case("aud foreign, any audience", {"aud": "https://other.example"}, policy=any_audience),
        case("aud a foreign list, any audience", {"aud": ["https://other.example"]}, policy=any_audience),
        case("aud malformed, any audience", {"aud": [1]}, malformed, policy=any_audience),
        case("aud empty, any audience", {"aud": []}, malformed, policy=any_audience),
        case("exp absent", {"exp": ...}, missing),
        case("exp absent, any audience", {"exp": ...}, missing, policy=any_audience),
        *[case(f"exp {exp!r}", {"exp": exp}, malformed) for exp in not_numbers],
        case("exp a fraction", {"exp": NOW + 0.5}),
        case("exp just within the leeway", {"exp": NOW - 9}),
        case("exp at the leeway", {"exp": NOW - 10}, "expired"),
        case("exp long ago", {"exp": 0, "iat": ...}, "expired"),
        case("exp negative", {"exp": -1, "iat": ...}, "expired"),
        case("exp within a wider leeway", {"exp": NOW - 29, "iat": NOW - 40}, policy=leeway30),
        case("exp at a wider leeway", {"exp": NOW - 30, "iat": NOW - 40}, "expired", policy=leeway30),
        case("exp now, no leeway", {"exp": NOW}, "expired", policy={"leeway": 0}),
        case("exp far", {"exp": 10**18}),
        *[case(f"nbf {nbf!r}", {"nbf": nbf}, malformed) for nbf in not_numbers],
        case("nbf at the leeway", {"nbf": NOW + 10}),
        case("nbf beyond the leeway", {"nbf": NOW + 11}, "not_yet_valid"),
        case("nbf a fraction beyond", {"nbf": NOW + 10.5}, "not_yet_valid"),
        case("nbf before iat", {"nbf": NOW - 100}),
        case("nbf negative", {"nbf": -5}),
        *[case(f"iat {iat!r}", {"iat": iat}, malformed) for iat in not_numbers],
        case("iat absent", {"iat": ...}),
        case("iat at the leeway", {"iat": NOW + 10}),
        case("iat beyond the leeway", {"iat": NOW + 11}, "issued_in_future"),
        case("iat after exp", {"iat": NOW + 5, "exp": NOW + 4}, malformed),
        case("iat negative", {"iat": -5}),
        *[case(f"{name} {wrong!r}", {name: wrong}, malformed) for name in ("sub", "jti", "client_id") for wrong in (None, 1, [], {}, True)],
        *[case(f"{name} absent", {name: ...}) for name in ("sub", "jti", "client_id", "scope")],
        case("sub empty", {"sub": ""}, malformed),
        *[case(f"scope {scope!r}", {"scope": scope}, malformed) for scope in (None, 1, {}, True, ["read", 1], [None], [["read"]])],
        *[case(f"scope {scope!r}", {"scope": scope}) for scope in ("", "read", ["read"], [])],
        *[case(f"{name} {there!r}", {name: there}, kinds) for name in ("at_hash", "c_hash", "events") for there in ("x", None, {})],
        *[case(f"payload typ {typ!r}", {"typ": typ}, kinds) for typ in ("ID", "Refresh", "Logout", "refresh")],
        case("payload typ Bearer", {"typ": "Bearer"}),
        case("payload typ not a string", {"typ": 1}),
        case("ttype T", {"ttype": "T"}),
        *[case(f"ttype {ttype!r}", {"ttype": ttype}, kinds) for ttype in ("R", "t", None, 1)],
        *[case(f"cnf {cnf!r}", {"cnf": cnf}, "sender_constrained") for cnf in ({"jkt": "x"}, {}, None)],
        *[case(f"strict: {name} absent", {name: ...}, missing, policy=STRICT) for name in ("exp", "iss", "aud", "sub", "client_id", "iat", "jti")],
        case("required claim there", {"tenant": "a"}, policy={"required_claims": ["tenant"]}),
        case("required claim absent", {}, missing, policy={"required_claims": ["tenant"]}),
        case("required claim null", {"tenant": None}, malformed, policy={"required_claims": ["tenant"]}),
        case("required claim absent, strict", {}, missing, policy={**STRICT, "required_claims": ["tenant"]}),
    ]


def _scopes() -> list[Case]:
    needs = {"required_scopes": ["write"]}
    both = {"required_scopes": ["read", "write"]}

    def lacking(id: str, changes: Mapping[str, Any], **more: Any) -> Case:
        return Case(id, bearer(token(changes)), 403, "insufficient_scope", **{"auth": needs, **more})

    return [
        good("scope there", token(), auth=needs),
        good("all scopes there", token(), auth=both),
        good("scope in a list", token({"scope": ["write"]}), auth=needs),
        good("scopes with more spaces", token({"scope": "  read  write "}), auth=both),
        lacking("scope lacking", {"scope": "read"}),
        lacking("one of two lacking", {"scope": "read"}, auth=both),
        lacking("no scope at all", {"scope": ...}),
        lacking("empty scope", {"scope": ""}),
        lacking("scope in another case", {"scope": "WRITE"}),
        lacking("scope a part of the granted one", {"scope": "rewrite write:all"}),
        lacking("scope separated by a tab", {"scope": "read\twrite"}),
        good("scope in scp", token({"scope": ..., "scp": ["write"]}), auth=needs, policy={"scope_claim": "scp"}),
        lacking("scope in scope, read from scp", {"scope": "write"}, policy={"scope_claim": "scp"}),
        bad("scope malformed, read from scp", token({"scope": 1, "scp": ["write"]}), "malformed_claim", policy={"scope_claim": "scp"}),
        bad("scp malformed", token({"scp": 5}), "malformed_claim", policy={"scope_claim": "scp"}),
        good("scope by a function", token({"realm": {"roles": ["write"]}}), auth=needs, policy={"scope_claim": lambda c: c["realm"]["roles"]}),
        good("scope by a function, as text", token(), auth=needs, policy={"scope_claim": lambda c: c["scope"]}),
        good("scope by a function, as a list", token(), auth=needs, policy={"scope_claim": lambda c: ["write"]}),
        good("scope by a function, as a generator", token(), auth=needs, policy={"scope_claim": lambda c: (x for x in ["write"])}),
        good("scope long", token({"scope": "write " + "x" * 300}), auth=needs),
        bad("scope by a function that fails", token(), "malformed_claim", policy={"scope_claim": lambda c: c["no such claim"]}),
        bad("scope by a function that gives no strings", token(), "malformed_claim", policy={"scope_claim": lambda c: [1]}),
        bad("scope by a function that tries to write", token(), "malformed_claim", policy={"scope_claim": lambda c: c.update(sub="eve") or "x"}),
    ]


def _rules() -> list[Case]:
    public = {"public": ["/public", "/docs/api/"]}
    garbage = bearer("garbage")
    no = "no_credentials"

    def path(text: str, *, free: bool) -> Case:
        return Case(f"path {text!r}", [], 200 if free else 401, None if free else no, auth=public, path=text)

    def preflight(id: str, *headers: str, method: str = "OPTIONS", ok: bool, on: bool = True) -> Case:
        fields = [(name, b"https://app.example") for name in headers]
        return Case(id, fields, 200 if ok else 401, None if ok else no, auth={"preflight": on}, method=method)

    origin, wanted = "Origin", "Access-Control-Request-Method"
    return [
        *[path(text, free=True) for text in ("/public", "/public/", "/public/a/b", "/docs/api", "/docs/api/x", "/public/a.b", "/public/..a")],
        *[
            path(text, free=False)
            for text in ("/", "/publicity", "/Public", "/docs", "/docs/apis", "/public/../secret", "/public/..", "/public/./x", "//public",
                         "/public//x", "/x/public", "/public/%2e%2e/x", "/public\\..\\x", "/public/\x00", "/public/\xe9", "/public/a b", "/public/.")  # fmt: skip
        ],
        Case("garbage on a public path", garbage, auth=public, path="/public"),
        Case("garbage beside a public path", garbage, 401, "malformed_token", auth=public, path="/secret"),
        preflight("preflight", origin, wanted, ok=True),
        preflight("preflight, not allowed", origin, wanted, ok=False, on=False),
        preflight("OPTIONS without Origin", wanted, ok=False),
        preflight("OPTIONS without a wanted method", origin, ok=False),
        preflight("GET with the headers of a preflight", origin, wanted, method="GET", ok=False),
        Case("preflight with a bad token", [*garbage, (origin, b"x"), (wanted, b"PUT")], 401, "malformed_token", auth={"preflight": True}, method="OPTIONS"),
        *[
            Case(f"optional {optional}: {id}", headers, status, reason, auth={"optional": optional, "required_scopes": ["write"]})
            for optional, id, headers, status, reason in [
                ("no", "none", [], 401, no),
                ("missing", "none", [], 200, None),
                ("missing", "another scheme", [("Authorization", b"Basic x")], 200, None),
                ("missing", "bad", garbage, 401, "malformed_token"),
                ("missing", "malformed request", [("Authorization", b"Bearer")], 400, "malformed_credentials"),
                ("missing", "good", bearer(token()), 200, None),
                ("missing", "lacking a scope", bearer(token({"scope": "read"})), 403, "insufficient_scope"),
                ("invalid", "none", [], 200, None),
                ("invalid", "bad", garbage, 200, None),
                ("invalid", "expired", bearer(token({"exp": NOW - 60, "iat": ...})), 200, None),
                ("invalid", "malformed request", [("Authorization", b"Bearer")], 400, "malformed_credentials"),
                ("invalid", "lacking a scope", bearer(token({"scope": "read"})), 403, "insufficient_scope"),
            ]
        ],
    ]


CASES: list[Case] = [*_request(), *_structure(), *_header(), *_signature(), *_claims(), *_scopes(), *_rules()]

_BASIC = (
    "good", "no header", "another scheme", "lower case", "Bearer alone", "folded pair", "one", "unused bits set in the payload, signed",
    "alg 'none'", "crit ['exp']", "kid 'unknown'", "another payload", "exp long ago", "aud 'https://other.example'",
    "iss 'https://evil.example'", "scope there", "scope lacking", "path '/public/a/b'", "path '/public/../secret'", "RSA",
)  # fmt: skip
BASIC_CASES = [case for case in CASES if case.id in _BASIC or case.id.removeprefix("segments: ") in _BASIC]
