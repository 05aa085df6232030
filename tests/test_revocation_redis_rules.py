"""What the scripts decide on the server is what rotation.py and entries.py decide, for any history."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwtconnect_mw.revocation import Family, MemoryRevocationList, RedisRevocationList, RevocationList
from jwtconnect_mw.revocation.protocol import KEEP_AFTER
from jwtconnect_mw.revocation.redis_texts import change, exact, field
from jwtconnect_mw.revocation.rotation import Record, decide
from jwtconnect_mw.testing import ManualClock

from .kit import ISSUER, NOW
from .redis_kit import KINDS, RedisServer, begin, running
from .remote import LIMIT

pytestmark = pytest.mark.live

_numbers = itertools.count()
_settings = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FAR = 10**9


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("rules")) as server:
        yield server


@pytest.fixture(scope="module")
def revocations(server: RedisServer) -> Iterator[RedisRevocationList]:
    begin(server.url, NOW, "decide")
    revocations = RedisRevocationList(server.url, prefix="decide", clock=ManualClock(NOW), timeout=LIMIT)
    assert revocations.purge(NOW) == 0  # its birth is this moment
    yield revocations
    revocations.close()


around = st.floats(NOW - 30, NOW + 30)
moments = st.one_of(
    st.integers(NOW - 12, NOW + 12).map(float), around, st.floats(allow_nan=False, allow_infinity=False)
)
whole = st.one_of(st.integers(NOW - 3, NOW + 3), st.integers(-(10**40), 10**40))
numbers = st.one_of(st.integers(-2, 8), st.integers(-(10**40), 10**40))
ends = st.one_of(around, st.floats(allow_nan=False))
records = st.builds(Record, st.integers(1, 7), whole, whole, moments, ends)


@_settings
@given(
    record=st.none() | records,
    presented=numbers,
    started=whole,
    same_client=st.booleans(),
    is_revoked=st.booleans(),
    issued_at=whole,
    expires_at=whole,
    keep_until=ends,
    now=moments,
    grace=st.sampled_from([0.0, 0.5, 10.0]) | st.floats(0, 100),
)
def test_one_step_is_what_decide_says(
    revocations: RedisRevocationList,
    server: RedisServer,
    record: Record | None,
    presented: int,
    started: int,
    same_client: bool,
    is_revoked: bool,
    **times: Any,
) -> None:
    family = Family(ISSUER, f"session-{next(_numbers)}", "alice", "client", started)
    client_id = "client" if same_client else "thief"
    outcome = decide(record, family, presented, revoked=is_revoked, birth=NOW, client_id=client_id, **times)
    session, kept = field("session", ISSUER, family.session), field("record", ISSUER, family.session)
    with server.client() as client:
        client.delete("{decide}:ends")  # nothing is to be purged
        client.zadd("{decide}:ends", {"": float("inf")})
        if record is not None:
            text = f"{record.sequence} {record.issued_at} {record.expires_at} {exact(record[3])} {exact(record.ends)}"
            client.hset("{decide}:data", kept, text)
        if is_revoked:
            client.hset("{decide}:data", session, "inf")
        assert revocations.advance(family, presented, client_id=client_id, **times) == outcome.step
        stored, entry = client.hmget("{decide}:data", kept, session)
    expected = outcome.record or record
    found = stored.split() if stored is not None else None
    assert (found and Record(int(found[0]), *map(int, found[1:3]), *map(float, found[3:]))) == expected
    if not is_revoked:
        assert (entry and change(session, entry).ends) == outcome.revoke_until


SESSIONS, SUBJECTS = ("a", "b"), ("alice", "bob")
offsets = st.integers(-3, 15) | st.floats(-5, 20)
befores = st.none() | st.integers(NOW - 5, NOW + 5) | st.floats(NOW - 90, NOW + 90) | st.floats(-1e300, 1e300)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("advance"),
            *(st.sampled_from(SESSIONS), st.sampled_from(SUBJECTS), st.integers(-1, 5), st.integers(NOW - 1, NOW + 2)),
            *(st.sampled_from(["client", "thief"]), st.sampled_from([0.0, 0.5, 10.0])),
        ),
        st.tuples(st.just("revoke_session"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("revoke_subject"), st.sampled_from(SUBJECTS), befores),
        st.tuples(st.just("start_family"), st.sampled_from(SUBJECTS), st.booleans()),
    ),
    max_size=25,
)
Act = Callable[..., object]


def act(revocations: RevocationList, ends: float, now: float, what: str, *details: Any) -> object:
    """One call; ``ends``: the greatest exp it names."""
    if what == "advance":
        session, subject, presented, started, client_id, grace = details
        family = Family(ISSUER, session, subject, "client", started)
        times = {"issued_at": int(now), "expires_at": int(now) + 60, "keep_until": ends, "now": now}
        return revocations.advance(family, presented, client_id=client_id, grace=grace, **times)
    if what == "revoke_session":
        return revocations.revoke_session(ISSUER, *details, expires_at=ends)
    if what == "revoke_subject":
        return revocations.revoke_subject(ISSUER, details[0], before=details[1], expires_at=ends)
    try:
        return revocations.start_family(ISSUER, details[0], alone=details[1], expires_at=ends)
    except ValueError as error:
        return type(error)


def seen(revocations: RevocationList, now: float) -> list[object]:
    found: list[object] = [revocations.current(Family(ISSUER, one, "", "", NOW + 5)) for one in SESSIONS]
    for started in (NOW - 1, NOW, NOW + 1, NOW + 2.5, NOW + 80):
        found += [revocations.is_revoked(ISSUER, None, None, one, started, now) for one in SUBJECTS]
    return found + [revocations.is_revoked(ISSUER, None, one, None, NOW, now) for one in SESSIONS]


@_settings
@given(
    history=steps.flatmap(lambda done: st.tuples(st.just(done), st.lists(offsets, min_size=25, max_size=25))),
    ends=st.lists(st.integers(-1000, 20) | st.just(FAR), min_size=25, max_size=25),
    birth=offsets,
    ordered=st.booleans(),
)
def test_a_history_is_that_of_the_memory_list(
    server: RedisServer, history: tuple[list[Any], list[float]], ends: list[int], birth: float, ordered: bool
) -> None:
    """Where the clock goes back nothing ends: what was dropped before is not back again in all lists."""
    acts, times = history
    clock = ManualClock(NOW + birth)
    model = MemoryRevocationList(clock=clock)
    prefix = f"history-{next(_numbers)}"
    begin(server.url, clock.now, prefix)
    real = RedisRevocationList(server.url, prefix=prefix, clock=clock, timeout=LIMIT)
    try:
        assert seen(real, clock.now) == seen(model, clock.now)
        for (what, *details), moment, end in zip(acts, sorted(times) if ordered else times, ends, strict=False):
            clock.now = NOW + moment
            last = NOW + (end if ordered else FAR)
            answers = [act(one, last, clock.now, what, *details) for one in (real, model)]
            assert answers[0] == answers[1], (what, details)
            assert seen(real, clock.now) == seen(model, clock.now)
    finally:
        real.close()


def test_an_entry_is_over_at_its_end(server: RedisServer) -> None:
    """Not later, also where nothing has dropped it yet."""
    clock = ManualClock(NOW)
    begin(server.url, NOW, "ends")
    with closing(RedisRevocationList(server.url, prefix="ends", clock=clock, timeout=LIMIT)) as revocations:
        revocations.revoke_subject(ISSUER, "alice", before=NOW + KEEP_AFTER + 30, expires_at=NOW)
        clock.advance(KEEP_AFTER - 0.25)
        assert revocations.start_family(ISSUER, "alice") == NOW + KEEP_AFTER + 31
        clock.advance(0.25)
        assert revocations.start_family(ISSUER, "alice") == NOW + KEEP_AFTER
