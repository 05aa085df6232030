"""What the tests of the issuer need: one under a standing clock, and a look into tokens."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.issuer.clients import Client
from jwtconnect_mw.issuer.service import Issuer
from jwtconnect_mw.revocation import MemoryRevocationList, RevocationList
from jwtconnect_mw.testing import ManualClock

from .kit import AUDIENCE, ISSUER, NOW, b64, key

SECRET = "the secret of web, of more than 32 characters: +%"
API_SECRET = "the secret of api, of more than 32 characters"
CLIENTS: Mapping[str, Any] = {
    "web": {"secret": SECRET, "scopes": ["read", "write"]},
    "api": {"secret": API_SECRET, "audiences": [AUDIENCE]},
    "spa": {},
}


@dataclass
class House:
    """An issuer, its clock, its list, and the events it told."""

    issuer: Issuer
    clock: ManualClock
    revocations: RevocationList
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def client(self, name: str) -> Client:
        found = self.issuer.clients.find(name)
        assert found is not None
        return found

    def told(self) -> list[str]:
        return [event for event, _ in self.events]

    def auth(self, **settings: Any) -> BearerAuth:
        policy = TrustedIssuer(self.issuer.issuer, audience=AUDIENCE, keys=self.issuer.key_set(), profile="rfc9068")
        return BearerAuth(policy, revocations=self.revocations, clock=self.clock, **settings)


def private_keys(alg: str = "ES256") -> dict[str, Any]:
    """A private key set that is made once; that of ES256 is the key by which the kit's own tokens are signed."""
    return {"keys": [(key() if alg == "ES256" else key(alg)).private_jwk()]}


def house(name: str = ISSUER, **settings: Any) -> House:
    clock = settings.pop("clock", None) or ManualClock(NOW)
    events: list[tuple[str, Mapping[str, Any]]] = []
    given = {
        "audience": AUDIENCE,
        "keys": private_keys(),
        "clients": CLIENTS,
        "on_event": lambda event, context: events.append((event, context)),
        **settings,
    }
    revocations = given.pop("revocations", None)
    if revocations is None:  # an empty one is false
        revocations = MemoryRevocationList(clock=clock)
    return House(Issuer(name, revocations=revocations, clock=clock, **given), clock, revocations, events)


def part(token: str, index: int = 1) -> dict[str, Any]:
    """The header (0) or the claims (1) of a token, unverified."""
    segment = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return found


def resigned(issuer: Issuer, token: str, changes: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A refresh token with other claims (``...`` leaves one out), truly signed."""
    claims = {name: value for name, value in {**part(token), **changes}.items() if value is not ...}
    texts = [json.dumps(one, separators=(",", ":")) for one in ({**part(token, 0), **(header or {})}, claims)]
    return sealed(issuer, *texts)


def sealed(issuer: Issuer, header: str, payload: str | bytes) -> str:
    """A refresh token over exactly these texts, truly signed."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    mac = hmac.digest(issuer.keys.refresh_secrets()[0].secret, signing_input.encode(), "sha256")
    return f"{signing_input}.{b64(mac)}"
