"""Section `issuing`: one access token, signed with the key of the time, beside the bare signature of its text."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from jwtconnect_mw.issuer.keys import SigningKeys

from .measure import Job, Ratio, interleave
from .report import Verdict, at_most, cell, goals, information, table
from .tokens import claims

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
GOALS = {"RS256": 1.15, "ES256": 1.9, "EdDSA": 1.5}
BATCH, WARM_UP = 40, 5


def contents() -> dict[str, Any]:
    """The claims of an RFC 9068 access token of ours."""
    content = {**claims(), "client_id": "first-party", "scope": "read write", "sid": secrets.token_hex(16)}
    return {**content, "auth_time": content["iat"]}


def raw(alg: str, key: Any) -> Callable[[bytes], object]:
    """`cryptography` alone, everything prepared; for ES256 the DER signature as it comes."""
    sha256 = hashes.SHA256()
    if alg == "EdDSA":
        bare: Callable[[bytes], object] = key.sign
        return bare
    if alg == "ES256":
        scheme = ec.ECDSA(sha256)
        return lambda text: key.sign(text, scheme)
    pad: Any = padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(sha256), 32)
    return lambda text: key.sign(text, pad, sha256)


def jobs(alg: str) -> list[Job]:
    keys = SigningKeys(algorithm=alg)
    signer = keys.signer()
    native, kid = signer._native, signer.kid
    text = signer.sign_access_token(contents()).rpartition(".")[0].encode()
    headers = {"typ": "at+jwt", "kid": kid}

    def many(make: Callable[[], object]) -> Callable[[int], list[Any]]:
        return lambda number: [make() for _ in range(BATCH + WARM_UP)]

    return [
        Job(f"{alg}|nothing", lambda item: None, many(lambda: text), None, WARM_UP),
        Job(f"{alg}|raw", raw(alg, native), many(lambda: text), f"{alg}|nothing", WARM_UP),
        Job(
            f"{alg}|ours",
            lambda item: keys.signer().sign_access_token(item),
            many(contents),
            f"{alg}|nothing",
            WARM_UP,
        ),
        Job(
            f"{alg}|PyJWT",
            lambda item: jwt.encode(item, native, algorithm=alg, headers=headers),
            many(contents),
            f"{alg}|nothing",
            WARM_UP,
        ),
    ]


def run(algs: Sequence[str] = ALGORITHMS, *, quick: bool = False) -> list[Verdict]:
    print("\n## issuing: one access token, over the bare signature\n")
    logging.getLogger("jwtconnect_mw.issuer").setLevel(logging.ERROR)  # that the keys are in memory is known here
    series = interleave([job for alg in algs for job in jobs(alg)], 20 if quick else 200, label="issuing")
    lanes = ("raw", "ours", "PyJWT")
    table(["µs", *lanes], [[alg, *(cell(series[f"{alg}|{lane}"]) for lane in lanes)] for alg in algs])
    found: list[Verdict] = []
    for alg in algs:
        ratio = Ratio.of(series[f"{alg}|ours"], series[f"{alg}|raw"])
        what = f"{alg}: access token / raw signature"
        found.append(at_most(what, ratio, GOALS[alg]) if alg in GOALS else information(what, f"{ratio.value:.2f} x"))
    goals(found)
    return found
