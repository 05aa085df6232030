"""What a RedisRevocationList tells those who keep a copy of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jwtconnect_mw.revocation import Change, ChangeFeed, FeedGap, RedisRevocationList
from jwtconnect_mw.revocation.protocol import KEEP_AFTER
from jwtconnect_mw.revocation.redis_texts import field
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.backend import revoked
from jwtconnect_mw.testing.revocation.entries import NAMES

from .kit import ISSUER, NOW
from .redis_kit import KINDS, RedisServer, running
from .remote import LIMIT

pytestmark = pytest.mark.live

END = NOW + 1000.0 + KEEP_AFTER


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("feed")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.tell("FLUSHALL")
    return shared


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def revocations(server: RedisServer, clock: ManualClock) -> Iterator[RedisRevocationList]:
    revocations = RedisRevocationList(server.url, clock=clock, timeout=LIMIT)
    yield revocations
    revocations.close()


def read(feed: ChangeFeed, cursor: str | None, limit: int = 1000) -> tuple[list[Change], str]:
    """All there is now."""
    entries: list[Change] = []
    while True:
        found = feed.changes(cursor, limit=limit)
        entries += found.entries
        cursor = found.cursor
        if not found.more:
            return entries, cursor


def dumped(server: RedisServer) -> dict[Any, Any]:
    """The state of the list."""
    return {key: server.tell("DUMP", key) for key in server.tell("KEYS", "*")}


def put_back(server: RedisServer, state: dict[Any, Any]) -> None:
    """As a failover does to a server that had not seen what came later."""
    for key, value in state.items():
        server.tell("RESTORE", key, 0, value, "REPLACE")


def names(entries: list[Change]) -> list[str]:
    return [entry.name for entry in entries]


def test_every_entry_as_it_is(revocations: RedisRevocationList) -> None:
    revocations.revoke_token(ISSUER, "t", expires_at=NOW + 1000)
    revocations.revoke_session(ISSUER, "s", expires_at=NOW + 1000.1)
    revocations.revoke_subject(ISSUER, "u", before=NOW + 0.1, expires_at=NOW + 1000)
    assert read(revocations, None)[0] == [
        Change("token", ISSUER, "t", END),
        Change("session", ISSUER, "s", NOW + 1000.1 + KEEP_AFTER),
        Change("subject", ISSUER, "u", END, NOW + 0.1),
    ]


def test_names_of_any_kind_and_issuers_that_end_elsewhere(revocations: RedisRevocationList) -> None:
    entries = [
        Change("token", issuer, name, END) for issuer in ("", "1", "1:", "a", "a:b", "\u00fc\u2603") for name in NAMES
    ]
    revocations.restore(entries)
    found, _ = read(revocations, None)
    assert sorted(found) == sorted(entries)
    assert not revocations.is_revoked("a:", "b", None, None, None, NOW)


def test_what_is_new_and_what_was_changed(revocations: RedisRevocationList) -> None:
    for name in "abc":
        revocations.revoke_token(ISSUER, name, expires_at=NOW)
    entries, cursor = read(revocations, None)
    assert names(entries) == ["a", "b", "c"]
    assert read(revocations, cursor)[0] == []
    revocations.revoke_token(ISSUER, "a", expires_at=NOW - 1)  # which changes nothing
    revocations.revoke_token(ISSUER, "b", expires_at=NOW + 1000)
    revocations.revoke_token(ISSUER, "d", expires_at=NOW + 1000)
    entries, cursor = read(revocations, cursor)
    assert entries == [Change("token", ISSUER, "b", END), Change("token", ISSUER, "d", END)]
    assert read(revocations, cursor)[0] == []


def test_what_ended_or_was_dropped_is_not_told(revocations: RedisRevocationList, clock: ManualClock) -> None:
    _, cursor = read(revocations, None)
    revocations.revoke_token(ISSUER, "ended", expires_at=NOW)
    revocations.revoke_token(ISSUER, "living", expires_at=NOW + 1000)
    clock.advance(KEEP_AFTER)
    assert names(read(revocations, cursor)[0]) == ["living"]
    assert revocations.purge(clock.now) == 1
    assert names(read(revocations, None)[0]) == names(read(revocations, cursor)[0]) == ["living"]


def test_a_page_of_what_ended_is_not_the_end(revocations: RedisRevocationList, clock: ManualClock) -> None:
    """It is no reason to wait for what is new: there is more."""
    revocations.revoke_token(ISSUER, "ended", expires_at=NOW)
    revocations.revoke_token(ISSUER, "living", expires_at=NOW + 1000)
    clock.advance(KEEP_AFTER)
    found = revocations.changes(None, limit=1, wait=0.01)
    assert (found.entries, found.more) == ((), True)
    assert names(read(revocations, found.cursor)[0]) == ["living"]


@pytest.mark.parametrize("limit", [-1, 1, 7, 25, 10**9])
def test_pages(revocations: RedisRevocationList, limit: int) -> None:
    """What is written or changed between two pages is told in one of the later ones."""
    revocations.restore([Change("token", ISSUER, f"{number}", END) for number in range(25)])
    first = revocations.changes(None, limit=limit)
    assert len(first.entries) == min(max(1, limit), 25)
    assert first.more is (limit <= 25)
    revocations.revoke_token(ISSUER, "0", expires_at=NOW + 2000)
    revocations.revoke_token(ISSUER, "new", expires_at=NOW + 2000)
    rest, cursor = read(revocations, first.cursor, limit)
    copy = {entry.name: entry.ends for entry in [*first.entries, *rest]}
    assert copy == {**{f"{number}": END for number in range(1, 25)}, "0": END + 1000, "new": END + 1000}
    assert read(revocations, cursor)[0] == []


def test_many_pages_while_others_write(revocations: RedisRevocationList) -> None:
    """More is written than the log holds; each page moves the reader's place in it along."""
    page = [Change("token", ISSUER, f"{number}", END) for number in range(6000)]
    revocations.restore(page)
    found, cursor, told = revocations.changes(None, limit=1000), None, set[str]()
    for turn in range(1, 4):
        told |= set(names(list(found.entries)))
        cursor = found.cursor
        revocations.restore([entry._replace(ends=END + turn) for entry in page])
        found = revocations.changes(cursor, limit=1000)
    rest, _ = read(revocations, found.cursor)
    told |= set(names([*found.entries, *rest]))
    assert told == {entry.name for entry in page}


def test_a_cursor_that_is_too_old(revocations: RedisRevocationList, server: RedisServer) -> None:
    _, cursor = read(revocations, None)
    for turn in range(6):
        revocations.restore([Change("token", ISSUER, f"{number}", END + turn) for number in range(2000)])
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    assert len(read(revocations, None)[0]) == 2000
    assert 10_000 <= server.tell("XLEN", "{jwtconnect_mw}:log") < 11_000


@pytest.mark.parametrize("text", ["", "x", "1.0:0", "1.0:0:0:0", "1.0:-1:0", "1.x:0:0", "1.0:0:\u0661", "1.0:0:0"])
def test_what_is_no_cursor_of_this_list(revocations: RedisRevocationList, text: str) -> None:
    with pytest.raises(FeedGap):
        revocations.changes(text)


def test_a_failover_that_lost_the_last_writes(revocations: RedisRevocationList, server: RedisServer) -> None:
    """The replica that was promoted has the same epoch, and another history from some point on."""
    revocations.revoke_token(ISSUER, "a")
    before = dumped(server)
    revocations.revoke_token(ISSUER, "b")
    _, cursor = read(revocations, None)
    put_back(server, before)
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    revocations.revoke_token(ISSUER, "c")
    revocations.revoke_token(ISSUER, "d")
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    assert names(read(revocations, None)[0]) == ["a", "c", "d"]


def test_a_server_whose_clock_goes_back(revocations: RedisRevocationList, server: RedisServer) -> None:
    """Serials never do. They are as near as can be to a clock that is far ahead."""
    revocations.revoke_token(ISSUER, "a")
    ahead = 4_000_000_000_000_000
    server.tell("HSET", "{jwtconnect_mw}:data", "#serial", ahead)
    server.tell("XADD", "{jwtconnect_mw}:log", f"{ahead}-0", "", "")
    _, cursor = read(revocations, None)
    for name in "bc":
        revocations.revoke_token(ISSUER, name)
    entries, cursor = read(revocations, cursor)
    assert names(entries) == ["b", "c"]
    _, position, seen = cursor.split(":")
    assert [position, seen.split("-")[0]] == [f"{ahead + 2}"] * 2


def test_a_serial_that_is_given_again(revocations: RedisRevocationList, server: RedisServer) -> None:
    """By an older state whose clock is behind: what was written in its stead is another history."""
    revocations.revoke_token(ISSUER, "x")
    server.tell("HSET", "{jwtconnect_mw}:data", "#serial", f"{4_000_000_000_000_000}-0")
    revocations.revoke_token(ISSUER, "a")
    before = dumped(server)
    revocations.revoke_token(ISSUER, "lost")
    _, cursor = read(revocations, None)
    put_back(server, before)
    revocations.revoke_token(ISSUER, "b")
    entries, other = read(revocations, None)
    assert names(entries) == ["x", "a", "b"]
    assert cursor.split(":")[:2] == other.split(":")[:2]
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    revocations.revoke_token(ISSUER, "c")
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    assert names(revocations.changes(other).entries) == ["c"]


def test_an_entry_that_somebody_took_away(revocations: RedisRevocationList, server: RedisServer) -> None:
    """By hand, and in part. The others are told."""
    for name in "abc":
        revocations.revoke_token(ISSUER, name)
    server.tell("HDEL", "{jwtconnect_mw}:data", field("token", ISSUER, "b"))
    assert names(read(revocations, None, 1)[0]) == names(read(revocations, None)[0]) == ["a", "c"]


def test_waiting(revocations: RedisRevocationList) -> None:
    """However it comes about that the writer is later or sooner, the reader gets it."""
    _, cursor = read(revocations, None)
    assert revocations.changes(cursor, wait=0.01).entries == ()
    found: list[Change] = []
    reader = threading.Thread(target=lambda: found.extend(revocations.changes(cursor, wait=LIMIT).entries))
    reader.start()
    revocations.revoke_token(ISSUER, "x")
    reader.join(LIMIT)
    assert names(found) == ["x"]


def test_waiting_wakes_up(revocations: RedisRevocationList, server: RedisServer) -> None:
    """The reader is seen to hang at the server before anything is written."""
    _, cursor = read(revocations, None)
    found: list[Change] = []
    reader = threading.Thread(target=lambda: found.extend(revocations.changes(cursor, wait=LIMIT).entries))
    reader.start()
    with server.client() as client:
        while not client.info("clients")["blocked_clients"]:
            client.execute_command("BLPOP", "nothing comes here", 0.01)
    revocations.revoke_session(ISSUER, "x")
    reader.join(LIMIT)
    assert names(found) == ["x"]


def test_waiting_notices_lost_data(server: RedisServer, clock: ManualClock) -> None:
    revocations = RedisRevocationList(server.url, clock=clock, timeout=0.5)
    _, cursor = read(revocations, None)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            revocations.changes(cursor, wait=LIMIT)
        except FeedGap as error:
            errors.append(error)

    reader = threading.Thread(target=wait)
    reader.start()
    server.tell("FLUSHALL")
    reader.join(LIMIT)
    revocations.close()
    assert len(errors) == 1


def test_entries_are_written_back(revocations: RedisRevocationList, server: RedisServer, clock: ManualClock) -> None:
    """As often as may be; nothing ends sooner, or takes in less, than before. What ended meanwhile stays away."""
    revocations.revoke_token(ISSUER, "t", expires_at=NOW + 1000)
    revocations.revoke_session(ISSUER, "s")
    revocations.revoke_subject(ISSUER, "u", before=NOW - 10, expires_at=NOW + 1000)
    revocations.revoke_token(ISSUER, "over", expires_at=NOW - KEEP_AFTER + 1)
    entries, _ = read(revocations, None)
    assert len(entries) == 4
    clock.advance(1)
    server.tell("FLUSHALL")
    revocations.restore(entries)
    found, cursor = read(revocations, None)
    assert found == entries[:3]
    revocations.restore([])
    revocations.restore(entries)
    assert read(revocations, cursor)[0] == []
    revocations.restore([Change("token", ISSUER, "t", NOW + 5), Change("subject", ISSUER, "u", NOW + 5, NOW - 100)])
    assert read(revocations, cursor)[0] == []
    revocations.restore([Change("subject", ISSUER, "u", NOW + 5, NOW - 5)])
    assert read(revocations, cursor)[0] == [Change("subject", ISSUER, "u", END, NOW - 5)]
    assert revoked(revocations, subject="u", started=NOW - 6)
    with pytest.raises(ValueError, match="not a number"):
        revocations.restore([Change("token", ISSUER, "x", float("nan"))])
