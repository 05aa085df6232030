"""What health() tells of keys and of a replica, and the endpoint for probes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import BearerAuth, ConfigurationError, TrustedIssuer
from jwtconnect_mw.health import Health
from jwtconnect_mw.revocation import MemoryRevocationList, ReplicatedRevocationList
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .adapters import Reply, call_wsgi
from .kit import ISSUER, NOW, auth, jwks, policy, token
from .remote import LIMIT, until
from .replicas import Backend, fill, replica


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def timer() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def backend(tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    with closing(Backend(tmp_path / "revoked.db", clock=clock)) as backend:
        yield backend


@pytest.fixture
def revocations(backend: Backend, clock: ManualClock, timer: ManualClock) -> Iterator[ReplicatedRevocationList]:
    with closing(replica(backend, clock, timer=timer, max_staleness=10)) as revocations:
        yield revocations
        backend.gate.set()


def by_wsgi(health: Health, method: str) -> Reply:
    return call_wsgi(health, [], method, "/health")


def by_asgi(health: Health, method: str) -> Reply:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(health.asgi({"type": "http", "method": method, "path": "/health", "headers": []}, None, send))
    start, body = sent
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"])


FACES = pytest.mark.parametrize("ask", [by_wsgi, by_asgi])
Ask = Callable[..., Reply]


def test_health_has_the_copy_beside_the_issuers(
    revocations: ReplicatedRevocationList, backend: Backend, timer: ManualClock
) -> None:
    fill(backend, 3)
    bearer_auth = auth(revocations=revocations)
    assert revocations.sync(LIMIT)
    backend.hang()
    timer.advance(4)
    health = bearer_auth.health()
    assert list(health) == [ISSUER, "revocations"]
    assert {name: state["state"] for name, state in health.items()} == {ISSUER: "fresh", "revocations": "fresh"}
    assert health["revocations"] == {
        "state": "fresh",
        "age": 4.0,
        "last_success": NOW,
        "last_attempt": NOW,
        "entries": 3,
    }


def test_health_without_a_copy_is_as_it_was() -> None:
    for revocations in (None, MemoryRevocationList()):
        assert list(auth(revocations=revocations).health()) == [ISSUER]


def test_an_issuer_of_that_name(revocations: ReplicatedRevocationList) -> None:
    trusted = TrustedIssuer("revocations", audience="a", keys=jwks())
    assert list(BearerAuth(trusted, revocations=MemoryRevocationList()).health()) == ["revocations"]
    with pytest.raises(ConfigurationError) as caught:
        BearerAuth(trusted, revocations=revocations)
    assert caught.value.field == "issuers"


@FACES
def test_a_probe(revocations: ReplicatedRevocationList, backend: Backend, timer: ManualClock, ask: Ask) -> None:
    """Not ready, made ready by being asked, stale, and ready again."""
    backend.gate.clear()
    health = Health(auth(revocations=revocations))
    missing = ask(health, "GET")
    assert (missing.status, missing.json["ready"]) == (503, False)
    assert missing.json["revocations"] == {"state": "missing", "age": None, "entries": 0}
    backend.gate.set()
    until(lambda: ask(health, "GET").status == 200)
    ready = ask(health, "GET")
    assert ready.json == {
        "ready": True,
        "issuers": {ISSUER: {"state": "fresh", "age": None}},
        "revocations": {"state": "fresh", "age": 0.0, "entries": 0},
    }
    assert ready.headers["content-type"] == "application/json"
    assert ready.headers["cache-control"] == "no-store"
    backend.hang()
    timer.advance(10)
    assert ask(health, "GET").status == 503


@FACES
def test_a_copy_that_is_allowed_to_be_old_is_ready(
    backend: Backend, clock: ManualClock, timer: ManualClock, ask: Ask
) -> None:
    """But not before there was one, though requests go on."""
    backend.gate.clear()
    with closing(replica(backend, clock, timer=timer, on_stale="allow")) as revocations:
        bearer_auth = auth(revocations=revocations)
        health = Health(bearer_auth)
        reply = ask(health, "GET")
        assert (reply.status, reply.json["revocations"]["state"]) == (503, "missing")
        assert bearer_auth.authenticate(f"Bearer {token()}")
        backend.gate.set()
        assert revocations.sync(LIMIT)
        backend.error = OSError()
        timer.advance(LIMIT)
        reply = ask(health, "GET")
        assert (reply.status, reply.json["revocations"]["state"]) == (200, "stale")


@FACES
def test_methods(ask: Ask) -> None:
    health = Health(auth())
    get, head, post = (ask(health, method) for method in ("GET", "HEAD", "POST"))
    assert (get.status, "revocations" in get.json) == (200, False)
    assert (head.status, head.body, head.headers) == (200, b"", get.headers)
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD")


def test_other_scopes() -> None:
    with pytest.raises(ValueError, match="http"):
        asyncio.run(Health(auth()).asgi({"type": "lifespan"}, None, None))


@FACES
def test_keys_that_are_missing_are_begun(ask: Ask) -> None:
    """One of two issuers is down: whether that matters is for the deployment to say."""
    with FakeIssuer() as issuer, FakeIssuer() as down:
        down.outage = "error"
        trusted = [TrustedIssuer(one.url, audience=one.audience) for one in (issuer, down)]
        bearer_auth = BearerAuth(*trusted)
        every, one = Health(bearer_auth), Health(bearer_auth, required=[issuer.url])
        assert ask(every, "GET").status == 503
        until(lambda: ask(one, "GET").status == 200)
        until(lambda: bearer_auth.health()[down.url]["last_attempt"])
        reply = ask(every, "GET")
        assert reply.status == 503
        assert {name: state["state"] for name, state in reply.json["issuers"].items()} == {
            issuer.url: "fresh",
            down.url: "missing",
        }


@pytest.mark.parametrize("required", [ISSUER, ["other"]])
def test_what_may_be_required(required: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Health(auth(), required=required)
    assert caught.value.field == "required"
    with pytest.raises(ConfigurationError):  # nor where each of its letters names an issuer
        Health(auth(TrustedIssuer("a", audience="a", keys=jwks())), required="a")
    assert by_wsgi(Health(auth(), required=[]), "GET").status == 200


def test_a_prefetch_waits_for_the_copy(
    revocations: ReplicatedRevocationList,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend.revoke_token(ISSUER, "x")
    bearer_auth = auth(policy(), revocations=revocations)
    bearer_auth.prefetch()
    assert bearer_auth.health()["revocations"]["state"] == "fresh"
    assert caplog.messages == []
    backend.gate.clear()
    monkeypatch.setattr("jwtconnect_mw.auth._FIRST_SYNC", 0.01)
    with caplog.at_level(logging.WARNING):
        bearer_auth.prefetch()
    assert caplog.messages == ["the revocation list cannot be had yet"]


def test_a_start_begins_to_read_the_copy(revocations: ReplicatedRevocationList, backend: Backend) -> None:
    bearer_auth = auth(revocations=revocations)
    assert backend.calls == []
    bearer_auth.start()
    until(lambda: "changes" in backend.calls)


def test_nothing_secret_is_shown(revocations: ReplicatedRevocationList) -> None:
    revocations.revoke_token(ISSUER, "the-jti")
    text = json.dumps(auth(revocations=revocations).health()) + repr(revocations) + repr(vars(revocations))
    assert "the-jti" not in text
