"""Every answer of ``advance`` through the token endpoint, on SQLite, with the application made anew in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import SQLiteRevocationList
from jwtconnect_mw.testing import ManualClock

from .adapters import Reply
from .endpoints import CLIENTS, FACES, ISSUER, OTHER_SECRET, Through, basic, claims_of, refresh, refused
from .kit import AUDIENCE, NOW

WINDOW = 10
IDENTITY = ("jti", "seq", "iat", "exp", "scope", "aud", "client_id", "sid", "auth_time", "family_exp")


class Site:
    """An issuer on one key file and one SQLite list. ``restart`` leaves nothing but the two files."""

    def __init__(self, folder: Path, ask: Through) -> None:
        self.folder, self._ask, self.clock = folder, ask, ManualClock(NOW)
        self.events: list[str] = []
        self.app: IssuerApp | None = None
        self.restart()

    def restart(self) -> None:
        self.close()
        self.revocations = SQLiteRevocationList(self.folder / "list.sqlite", clock=self.clock)
        self.issuer = Issuer(
            ISSUER,
            audience=AUDIENCE,
            keys=self.folder / "keys.json",
            revocations=self.revocations,
            clients=CLIENTS,
            clock=self.clock,
            on_event=lambda event, _: self.events.append(event),
        )
        self.app = IssuerApp(self.issuer)

    def close(self) -> None:
        if self.app is not None:
            self.app.close()
            self.revocations.close()

    def login(self, **asked: Any) -> str:
        token = self.issuer.issue("alice", **{"client_id": "web", "scope": "read write", **asked}).refresh_token
        self.events.clear()
        return token or ""

    def refresh(self, token: str, *headers: tuple[str, str], **more: str) -> Reply:
        return self._ask(self.app, "/token", refresh(token, **more), *(headers or (basic(),)))

    def good(self, token: str, **more: str) -> dict[str, Any]:
        reply = self.refresh(token, **more)
        assert reply.status == 200, reply
        answer: dict[str, Any] = reply.json
        return answer

    def bad(self, token: str, *headers: tuple[str, str], **more: str) -> None:
        refused(self.refresh(token, *headers, **more), 400, "invalid_grant")

    def is_active(self, token: str) -> bool:
        active: bool = self._ask(self.app, "/introspect", {"token": token}, basic()).json["active"]
        return active


@pytest.fixture(params=FACES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, FACES[request.param])
    yield made
    made.close()


def identity(answer: dict[str, Any]) -> dict[str, Any]:
    claims = claims_of(answer["refresh_token"])
    return {name: claims[name] for name in IDENTITY}


def test_advanced(site: Site) -> None:
    token = site.login()
    for sequence in range(1, 5):
        answer = site.good(token)
        assert claims_of(answer["refresh_token"])["seq"] == sequence
        assert claims_of(answer["access_token"])["sid"] == claims_of(token)["sid"]
        assert site.is_active(answer["refresh_token"])
        assert not site.is_active(token)
        token = answer["refresh_token"]
        site.restart()
    assert site.events == ["refreshed"] * 4


def test_again_after_a_restart_with_a_narrowed_scope(site: Site) -> None:
    token = site.login()
    first = site.good(token)
    site.clock.advance(WINDOW - 1)
    site.restart()
    again = site.good(token, scope="read")
    assert again["refresh_token"] == first["refresh_token"]
    assert identity(again) == identity(first)
    assert identity(first)["scope"] == "read write"
    old, new = (claims_of(answer["access_token"]) for answer in (first, again))
    assert (old["scope"], new["scope"], again["scope"]) == ("read write", "read", "read")
    assert old["jti"] != new["jti"]
    assert new["iat"] == NOW + WINDOW - 1
    assert site.events == ["refreshed", "again"]
    refused(site.refresh(token, scope="admin"), 400, "invalid_scope")
    assert site.good(first["refresh_token"])["scope"] == "read write"


def test_the_window_is_not_prolonged(site: Site) -> None:
    token = site.login()
    first = site.good(token)
    site.clock.advance(WINDOW - 1)
    assert site.good(token)["refresh_token"] == first["refresh_token"]
    site.clock.advance(2)
    site.restart()
    site.bad(token)
    assert site.events == ["refreshed", "again", "reuse"]
    site.bad(first["refresh_token"])
    assert not site.is_active(first["access_token"])


def test_reuse_after_the_successor_was_used(site: Site) -> None:
    token = site.login()
    first = site.good(token)
    second = site.good(first["refresh_token"])
    site.restart()
    site.bad(token)
    assert site.events[-1] == "reuse"
    site.restart()
    for spent in (token, first["refresh_token"], second["refresh_token"]):
        site.bad(spent)
    for answer in (first, second):
        assert not site.is_active(answer["access_token"])


def test_another_clients_retry(site: Site) -> None:
    token = site.login()
    site.bad(token, basic("api", OTHER_SECRET))  # its current token: nothing happens
    first = site.good(token)
    site.bad(token, basic("api", OTHER_SECRET))  # a spent one in other hands: stolen
    assert site.events[-1] == "reuse"
    site.bad(token)
    site.bad(first["refresh_token"])


def test_revoked(site: Site) -> None:
    """By its sid, though it was never refreshed and so has no record."""
    token, other = site.login(), site.login()
    site.issuer.revoke(session=claims_of(token)["sid"])
    site.restart()
    site.bad(token)
    assert not site.is_active(token)
    assert site.good(other)
    site.issuer.revoke(subject="alice")
    site.bad(other)


def test_a_number_from_the_future(site: Site) -> None:
    """As after a restore of an old copy of the list: refused, and nothing is revoked."""
    token = site.login()
    first = site.good(token)
    second = site.good(first["refresh_token"])
    site.close()
    site.app = None
    for file in site.folder.glob("list.sqlite*"):
        file.unlink()
    site.clock.advance(-5)  # the new list is older than the family
    site.restart()
    site.clock.advance(5)
    site.bad(second["refresh_token"])
    assert claims_of(site.good(token)["refresh_token"])["seq"] == 1


def test_a_list_that_was_lost(site: Site) -> None:
    token = site.login()
    site.close()
    site.app = None
    for file in site.folder.glob("list.sqlite*"):
        file.unlink()
    site.clock.advance(2)
    site.restart()
    site.bad(token)
    assert site.good(site.login())


def test_a_purge_while_a_family_still_lives(site: Site) -> None:
    token = site.login()
    for _ in range(40):
        site.clock.advance(3000)
        site.revocations.purge(site.clock())
        token = site.good(token)["refresh_token"]
    spent, token = token, site.good(token)["refresh_token"]
    site.clock.advance(3000)
    site.revocations.purge(site.clock())
    site.bad(spent)  # still known to be spent
    site.bad(token)


def test_a_refresh_token_is_no_access_token_and_the_reverse(site: Site) -> None:
    tokens = site.issuer.issue("alice", client_id="web", scope="introspect")
    site.bad(tokens.access_token)
    reply = site._ask(site.app, "/introspect", {"token": "x"}, ("Authorization", f"Bearer {tokens.refresh_token}"))
    refused(reply, 401, "invalid_token")
