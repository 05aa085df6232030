"""An issuer over a replica: what it decides it decides by the backend; what it revokes counts here at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer
from jwtconnect_mw.issuer import GrantError, Issuer
from jwtconnect_mw.issuer.clients import Client
from jwtconnect_mw.revocation import ReplicatedRevocationList
from jwtconnect_mw.testing import ManualClock

from .kit import AUDIENCE, ISSUER, NOW
from .remote import LIMIT
from .replicas import Backend, replica

SECRET = "a secret of the client, of 32 characters or more"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def backend(tmp_path: Path, clock: ManualClock) -> Iterator[Backend]:
    with closing(Backend(tmp_path / "revoked.db", clock=clock)) as backend:
        yield backend


@pytest.fixture
def revocations(backend: Backend, clock: ManualClock) -> Iterator[ReplicatedRevocationList]:
    with closing(replica(backend, clock)) as revocations:
        yield revocations
        backend.gate.set()


@pytest.fixture
def issuer(revocations: ReplicatedRevocationList, clock: ManualClock, tmp_path: Path) -> Issuer:
    clients = {"web": {"secret": SECRET, "audiences": [AUDIENCE]}}
    keys = tmp_path / "keys.json"
    return Issuer(ISSUER, audience=AUDIENCE, keys=keys, revocations=revocations, clients=clients, clock=clock)


def active(issuer: Issuer, token: str) -> bool:
    caller = issuer.clients.find("web")
    assert isinstance(caller, Client)
    found: bool = issuer.introspect(token, caller=caller)["active"]
    return found


def test_the_backend_decides(issuer: Issuer, backend: Backend) -> None:
    """Though the copy is empty and its feed hangs."""
    backend.gate.clear()
    tokens = issuer.issue("alice", client_id="web")
    assert active(issuer, tokens.access_token)
    backend.revoke_subject(ISSUER, "alice")  # at another process
    assert not active(issuer, tokens.access_token)
    assert tokens.refresh_token is not None
    with pytest.raises(GrantError) as caught:
        issuer.refresh(tokens.refresh_token, client_id="web")
    assert caught.value.error == "invalid_grant"


def test_what_the_issuer_revokes_is_refused_at_once(
    issuer: Issuer, revocations: ReplicatedRevocationList, backend: Backend, clock: ManualClock
) -> None:
    trusted = TrustedIssuer(ISSUER, audience=AUDIENCE, keys=issuer.key_set())
    bearer_auth = BearerAuth(trusted, revocations=revocations, clock=clock)
    assert revocations.sync(LIMIT)
    backend.gate.clear()
    for how in ("token", "session", "subject"):
        tokens = issuer.issue("alice", client_id="web")
        value = f"Bearer {tokens.access_token}"
        assert bearer_auth.authenticate(value) is not None
        what = {"token": tokens.access_token, "session": tokens.session, "subject": "alice"}[how]
        backend.gate.set()
        issuer.revoke(**{how: what})  # type: ignore[arg-type]  # one of three names
        with pytest.raises(AuthError, match="revoked"):
            bearer_auth.authenticate(value)
