"""What the report shows: for each scene what happens first, the token that is sent, and the answer to expect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jwtconnect_mw.testing import FakeIssuer, ManualClock

COOLDOWN = 31  # seconds: just over the time between two attempts to fetch the keys of one issuer
GONE_STALE = 301  # just over the age at which keys of an issuer that names no max-age are stale
UNUSABLE = 3601  # just over the time for which stale keys still serve


@dataclass
class Stage:
    """The issuer and the one clock that it and both APIs go by; moving it spares the demo the waiting."""

    issuer: FakeIssuer
    clock: ManualClock


@dataclass(frozen=True)
class Scene:
    """``status`` and ``reason`` (None for an accepted token) are what both APIs must answer."""

    title: str
    token: Callable[[Stage], str | None]
    status: int
    reason: str | None = None
    before: Callable[[Stage], None] = lambda _: None


def good(stage: Stage) -> str:
    """A fresh token, signed with the issuer's newest key."""
    return stage.issuer.token()


def by_first_key(stage: Stage) -> str:
    return stage.issuer.token(key=stage.issuer.keys[0])


def claiming(**claims: Any) -> Callable[[Stage], str]:
    return lambda stage: stage.issuer.token(claims)


def expired(stage: Stage) -> str:
    now = int(stage.clock())
    return stage.issuer.token({"iat": now - 600, "exp": now - 300})


def tampered(stage: Stage) -> str:
    """A good token whose payload was exchanged after it was signed."""
    header, payload, signature = stage.issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = json.dumps({**claims, "sub": "root"}).encode()
    return f"{header}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{signature}"


def rotate(stage: Stage) -> None:
    stage.issuer.rotate()
    stage.clock.advance(COOLDOWN)


def fail(stage: Stage) -> None:
    """The issuer answers every request with 500; then it makes a key that nobody can fetch."""
    stage.issuer.outage = "error"
    stage.issuer.rotate()
    stage.clock.advance(COOLDOWN)


def recover(stage: Stage) -> None:
    stage.issuer.outage = None
    stage.clock.advance(COOLDOWN)


SCENES = (
    Scene("a good token", good, 200),
    Scene("no token", lambda _: None, 401, "no_credentials"),
    Scene("an expired token", expired, 401, "expired"),
    Scene("a tampered token", tampered, 401, "bad_signature"),
    Scene("a token for another audience", claiming(aud="https://other.example"), 401, "wrong_audience"),
    Scene("a token without the scope that is needed", claiming(scope="profile"), 403, "insufficient_scope"),
    Scene("the issuer rotates its key: a token by the new key", good, 200, before=rotate),
    Scene("a token by the old key, which is still published", by_first_key, 200),
    Scene("the issuer fails: a new token by a known key", by_first_key, 200, before=fail),
    Scene("an unknown key, while the known ones are fresh", good, 401, "unknown_key"),
    Scene(
        "five minutes later the keys are stale: a known key",
        by_first_key,
        200,
        before=lambda stage: stage.clock.advance(GONE_STALE),
    ),
    Scene("an unknown key, while the known ones are stale", good, 503, "keys_unavailable"),
    Scene(
        "one more hour later: even a known key",
        by_first_key,
        503,
        "keys_unavailable",
        before=lambda stage: stage.clock.advance(UNUSABLE),
    ),
    Scene("the issuer is back: a token by the key that was unknown", good, 200, before=recover),
)
