"""What the report shows: for each scene what happens first, what is sent, and the answer to expect."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwtconnect_mw.issuer import Tokens
from jwtconnect_mw.testing import ManualClock

from .site import Site

COOLDOWN = 31  # seconds: just over the time between two attempts to fetch the keys of one issuer
GONE_STALE = 301  # just over the max-age that the issuer gives its key set
UNUSABLE = 3601  # just over the time for which stale keys still serve
DAY_OVER = 86_400 + 11  # just over the life of a token and the leeway


@dataclass
class Stage:
    """What is there, and the one clock that all of it goes by; moving it spares the demo the waiting.

    ``sessions`` and ``answers`` are what earlier scenes leave for later ones.
    """

    site: Site
    clock: ManualClock
    sessions: dict[str, Tokens] = field(default_factory=dict)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def token(self, **how: Any) -> str:
        """A fresh access token, as a login view would make it."""
        return self.site.issuer.issue("alice", **{"scope": "read", **how}).access_token

    def login(self, name: str) -> Tokens:
        self.sessions[name] = self.site.issuer.issue("alice", scope="read write")
        return self.sessions[name]


@dataclass(frozen=True)
class Scene:
    """A request to both APIs. ``status`` and ``reason`` (None for an accepted token) are what both must answer."""

    title: str
    token: Callable[[Stage], str | None]
    status: int
    reason: str | None = None
    before: Callable[[Stage], object] = lambda _: None


@dataclass(frozen=True)
class Exchange:
    """A form that is sent to an endpoint of the issuer. ``expected`` looks at the answer; ``answer`` keeps it."""

    title: str
    endpoint: str
    form: Callable[[Stage], Mapping[str, str]]
    status: int
    expected: Callable[[Stage, Mapping[str, Any]], bool] = lambda _, __: True
    answer: str = ""
    as_client: bool = False
    before: Callable[[Stage], object] = lambda _: None


def good(stage: Stage) -> str:
    return stage.token()


def by_first_key(stage: Stage) -> str:
    return stage.sessions["first key"].access_token


def expired(stage: Stage) -> str:
    stage.clock.advance(-DAY_OVER)
    token = stage.token()
    stage.clock.advance(DAY_OVER)
    return token


def tampered(stage: Stage) -> str:
    """A good token whose payload was exchanged after it was signed."""
    header, payload, signature = stage.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = json.dumps({**claims, "sub": "root"}).encode()
    return f"{header}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{signature}"


def rotate(stage: Stage) -> None:
    stage.site.issuer.keys.rotate(at_once=True)
    stage.clock.advance(COOLDOWN)


def fail(stage: Stage) -> None:
    """The issuer answers every request with 500; then it makes a key that nobody can fetch."""
    stage.site.power.on = False
    rotate(stage)


def recover(stage: Stage) -> None:
    stage.site.power.on = True
    stage.clock.advance(COOLDOWN)


def later(seconds: float) -> Callable[[Stage], None]:
    return lambda stage: stage.clock.advance(seconds)


def refreshing(token: Callable[[Stage], str]) -> Callable[[Stage], Mapping[str, str]]:
    return lambda stage: {"grant_type": "refresh_token", "refresh_token": token(stage)}


def first_refresh_token(stage: Stage) -> str:
    return stage.sessions["alice"].refresh_token or ""


def answered(name: str, member: str) -> Callable[[Stage], str]:
    return lambda stage: stage.answers[name][member]


def same_successor(stage: Stage, answer: Mapping[str, Any]) -> bool:
    return bool(answer["refresh_token"] == stage.answers["refreshed"]["refresh_token"])


def login(name: str) -> Callable[[Stage], object]:
    return lambda stage: stage.login(name)


VERIFICATION = (
    Scene("a good token", good, 200),
    Scene("no token", lambda _: None, 401, "no_credentials"),
    Scene("an expired token", expired, 401, "expired"),
    Scene("a tampered token", tampered, 401, "bad_signature"),
    Scene(
        "a token for another audience",
        lambda stage: stage.token(audience="https://other.example"),
        401,
        "wrong_audience",
    ),
    Scene(
        "a token without the scope that is needed",
        lambda stage: stage.token(scope="profile"),
        403,
        "insufficient_scope",
    ),
    Scene(
        "a refresh token in the place of an access token",
        lambda stage: stage.login("first key").refresh_token,
        401,
        "wrong_token_type",
    ),
    Scene("the issuer rotates its key: a token by the new key", good, 200, before=rotate),
    Scene("a token by the old key, which is still published", by_first_key, 200),
    Scene("the issuer fails: a new token by a known key", by_first_key, 200, before=fail),
    Scene("an unknown key, while the known ones are fresh", good, 401, "unknown_key"),
    Scene("five minutes later the keys are stale: a known key", by_first_key, 200, before=later(GONE_STALE)),
    Scene("an unknown key, while the known ones are stale", good, 503, "keys_unavailable"),
    Scene("one more hour later: even a known key", by_first_key, 503, "keys_unavailable", before=later(UNUSABLE)),
    Scene("the issuer is back: a token by the key that was unknown", good, 200, before=recover),
)

SESSIONS = (
    Exchange(
        "alice has logged in; her client refreshes",
        "token",
        refreshing(first_refresh_token),
        200,
        lambda _, answer: answer["token_type"] == "Bearer" and answer["scope"] == "read write",
        answer="refreshed",
        before=login("alice"),
    ),
    Scene("the new access token", answered("refreshed", "access_token"), 200),
    Exchange(
        "the answer was lost: the same refresh token once more gets the same successor",
        "token",
        refreshing(first_refresh_token),
        200,
        same_successor,
    ),
    Exchange(
        "the successor is used",
        "token",
        refreshing(answered("refreshed", "refresh_token")),
        200,
        answer="second",
    ),
    Exchange(
        "introspection by the client of the API",
        "introspect",
        lambda stage: {"token": stage.answers["second"]["access_token"]},
        200,
        lambda _, answer: answer["active"] is True and answer["sub"] == "alice",
        as_client=True,
    ),
    Exchange(
        "a thief sends the first refresh token: it was spent long ago",
        "token",
        refreshing(first_refresh_token),
        400,
        lambda _, answer: answer["error"] == "invalid_grant",
    ),
    Scene("the session is over for everybody", answered("second", "access_token"), 401, "revoked"),
    Exchange(
        "also for the last refresh token",
        "token",
        refreshing(answered("second", "refresh_token")),
        400,
        lambda _, answer: answer["error"] == "invalid_grant",
    ),
    Exchange(
        "introspection says no more than that",
        "introspect",
        lambda stage: {"token": stage.answers["second"]["access_token"]},
        200,
        lambda _, answer: answer == {"active": False},
        as_client=True,
    ),
    Exchange(
        "alice logs in again, and out: her client revokes its refresh token",
        "revoke",
        lambda stage: {"token": stage.sessions["again"].refresh_token or ""},
        200,
        before=login("again"),
    ),
    Scene("the access token of that session", lambda stage: stage.sessions["again"].access_token, 401, "revoked"),
)

SCENES: tuple[Scene | Exchange, ...] = (*VERIFICATION, *SESSIONS)
