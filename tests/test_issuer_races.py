"""Many at once: one successor for all who present a token, and a revocation that races a refresh wins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jwtconnect_mw import AuthError
from jwtconnect_mw.issuer.errors import InvalidGrant, ReusedGrant, RevokedGrant
from jwtconnect_mw.issuer.tokens import Tokens
from jwtconnect_mw.revocation import SQLiteRevocationList
from jwtconnect_mw.testing import ManualClock

from .issuer_kit import House, house, part
from .kit import NOW

THREADS, ROUNDS, MANY_ROUNDS = 24, 15, 500


@pytest.fixture(params=["memory", "sqlite"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    if request.param == "memory":
        return house()
    clock = ManualClock(NOW)
    return house(revocations=SQLiteRevocationList(tmp_path / "revocations.db", clock=clock), clock=clock)


def at_once(pool: ThreadPoolExecutor, calls: Sequence[Callable[[], object]]) -> list[object]:
    """What each call gives or raises, when all begin together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except InvalidGrant as error:
            return error

    return list(pool.map(run, calls))


def test_all_who_present_a_token_get_one_successor(here: House, long: bool) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(MANY_ROUNDS if long else ROUNDS):
            text = here.issuer.issue("alice").refresh_token or ""
            answers = at_once(pool, [lambda text=text: here.issuer.refresh(text)] * THREADS)  # type: ignore[misc]
            tokens = [answer for answer in answers if isinstance(answer, Tokens)]
            assert len(tokens) == THREADS
            assert len({one.refresh_token for one in tokens}) == 1
            assert len({part(one.access_token)["jti"] for one in tokens}) == THREADS
            assert here.told().count("refreshed") == 1
            here.issuer.refresh(tokens[0].refresh_token or "")
            with pytest.raises(ReusedGrant):
                here.issuer.refresh(text)
            with pytest.raises(AuthError):
                here.auth().authenticate(f"Bearer {tokens[-1].access_token}")
            here.events.clear()


def test_a_revocation_that_races_refreshes_wins(here: House, long: bool) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(MANY_ROUNDS if long else ROUNDS):
            first = here.issuer.issue("alice")
            refresh = [lambda first=first: here.issuer.refresh(first.refresh_token or "")] * (THREADS - 1)
            revoke: Callable[[], object] = lambda first=first: here.issuer.revoke(session=first.session)  # noqa: E731
            answers = at_once(pool, [*refresh, revoke])  # type: ignore[list-item]
            assert all(isinstance(answer, (Tokens, RevokedGrant)) for answer in answers[:-1])
            for tokens in [first, *(answer for answer in answers if isinstance(answer, Tokens))]:
                with pytest.raises(RevokedGrant):
                    here.issuer.refresh(tokens.refresh_token or "")
                with pytest.raises(AuthError):
                    here.auth().authenticate(f"Bearer {tokens.access_token}")


def test_of_several_logins_at_once_one_is_good(tmp_path: Path) -> None:
    here = house(single_session=True)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = at_once(pool, [lambda: here.issuer.issue("alice")] * THREADS)
    auth, good = here.auth(), 0
    for tokens in answers:
        assert isinstance(tokens, Tokens)
        try:
            auth.authenticate(f"Bearer {tokens.access_token}")
            good += 1
        except AuthError:
            pass
    assert good == 1
