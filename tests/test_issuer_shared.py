"""An issuer that signs with a shared secret, and what else the issuer learned for hosts with users of their own."""

from __future__ import annotations

import math

import pytest

from jwtconnect_mw import BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.issuer import IssuerApp, SigningKeys
from jwtconnect_mw.issuer.callers import Callers
from jwtconnect_mw.issuer.errors import InactiveSubject
from jwtconnect_mw.issuer.keyring import KeyChangeError
from jwtconnect_mw.issuer.service import Issuer
from jwtconnect_mw.issuer.shared import SharedSecret
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock

from .issuer_kit import house, part
from .kit import AUDIENCE, ISSUER, NOW

SECRET = b"a secret of sixty-four octets or more, as HS512 wants, and it has"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_its_tokens_are_those_of_the_issuer(algorithm: str) -> None:
    here = house(keys=SharedSecret(SECRET, algorithm=algorithm))
    tokens = here.issuer.issue("alice", scope="introspect")
    assert part(tokens.access_token, 0) == {"alg": algorithm, "typ": "at+jwt"}
    auth = BearerAuth(
        TrustedIssuer(ISSUER, audience=AUDIENCE, profile="rfc9068", **here.issuer.keys.trusted()), clock=here.clock
    )
    bearer = auth.authenticate(f"Bearer {tokens.access_token}")
    assert bearer is not None
    assert here.issuer.introspect(tokens.access_token, caller=bearer)["active"]
    again = here.issuer.refresh(tokens.refresh_token or "")
    assert here.issuer.introspect(again.refresh_token or "", caller=bearer)["active"]
    assert Callers(here.issuer, None).bearer(f"bearer {again.access_token}").subject == "alice"


def test_nothing_of_it_is_published_or_shown() -> None:
    keys = SharedSecret(SECRET)
    assert keys.key_set() == {"keys": []}
    assert [(info.kid, info.state) for info in keys.list()] == [("shared", "current")]
    assert SECRET.decode() not in repr(keys) + repr(keys.refresh_secrets())
    assert keys.refresh_secrets()[0].secret != SECRET
    keys.watch(lambda: None)
    for change in (keys.rotate, lambda: keys.drop("shared")):
        with pytest.raises(KeyChangeError):
            change()


def test_it_can_be_mounted() -> None:
    assert IssuerApp(house(keys=SharedSecret(SECRET)).issuer, allow_memory=True)


@pytest.mark.parametrize(
    ("field", "secret", "algorithm"),
    [
        ("keys", b"x" * 31, "HS256"),
        ("keys", "x" * 64, "HS256"),
        ("keys", b"x" * 63, "HS512"),
        ("algorithm", SECRET, "RS256"),
    ],
)
def test_what_is_refused(field: str, secret: bytes, algorithm: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SharedSecret(secret, algorithm=algorithm)
    assert caught.value.field == field


def test_one_access_token_may_live_as_long_as_no_key_is_retired_before_it() -> None:
    here = house()  # of loaded keys, which are never retired
    tokens = here.issuer.issue("alice", access_lifetime=7200.9)
    claims = part(tokens.access_token)
    assert (tokens.expires_in, claims["exp"] - claims["iat"]) == (7200, 7200)
    assert part(here.issuer.refresh(tokens.refresh_token or "").access_token)["exp"] == NOW + 1800
    clock = ManualClock(NOW)
    keys = SigningKeys(algorithm="EdDSA", clock=clock)
    issuer = Issuer(ISSUER, audience=AUDIENCE, keys=keys, revocations=MemoryRevocationList(clock=clock), clock=clock)
    assert issuer.issue("alice", access_lifetime=60).expires_in == 60
    assert (keys.longest_lifetime, here.issuer.keys.longest_lifetime) == (1800, math.inf)
    for wrong in (1801, 0, True, "60"):
        with pytest.raises(ConfigurationError) as caught:
            issuer.issue("alice", access_lifetime=wrong)  # type: ignore[arg-type]
        assert caught.value.field == "access_lifetime"


def test_token_ids_may_be_made_by_the_host() -> None:
    assert part(house(token_id=lambda: "f" * 64).issuer.issue("alice").access_token)["jti"] == "f" * 64


def test_the_claims_hook_may_refuse() -> None:
    def hook(known: object) -> dict[str, str]:
        raise InactiveSubject

    with pytest.raises(InactiveSubject):
        house(claims=hook).issuer.issue("alice")
