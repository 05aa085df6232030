"""A revocation list that is asked per request: never on the event loop, and a list that cannot tell is a 503."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer
from jwtconnect_mw import gate as gate_module
from jwtconnect_mw.gate import LookUpWanted
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import FakeIssuer

from .adapters import ADAPTERS
from .kit import AUDIENCE, ISSUER, NOW, auth, token


class Asked:
    """A look-up that notes by which thread it was asked. ``blocking`` as a list that does I/O says it."""

    blocking = True

    def __init__(self, answer: object = False) -> None:
        self.answer = answer
        self.threads: list[threading.Thread] = []
        self.asked: list[tuple[object, ...]] = []

    def is_revoked(self, *what: object) -> Any:
        self.asked.append(what)
        self.threads.append(threading.current_thread())
        if isinstance(self.answer, BaseException):
            raise self.answer
        if isinstance(self.answer, threading.Event):
            self.answer.wait()
            return False
        return self.answer


GOOD = "Bearer " + token()
HEADERS = [("Authorization", GOOD.encode())]


def reason(bearer_auth: BearerAuth, value: str = GOOD) -> str | None:
    try:
        accepted = asyncio.run(bearer_auth.aauthenticate(value))
    except AuthError as error:
        return error.reason
    return None if accepted is None else "accepted"


def test_the_loop_is_not_blocked_and_each_request_asks() -> None:
    revocations = Asked()
    bearer_auth = auth(revocations=revocations)
    assert [reason(bearer_auth) for _ in range(3)] == ["accepted"] * 3
    assert len(revocations.threads) == 3
    assert threading.main_thread() not in revocations.threads


def test_under_another_loop_what_must_be_waited_for_is_refused() -> None:
    waiting = BearerAuth(TrustedIssuer(ISSUER, audience=AUDIENCE, keys="http://127.0.0.1:9/jwks"), clock=lambda: NOW)
    for bearer_auth, expected in ((auth(revocations=Asked()), "revocation_unavailable"), (waiting, "keys_unavailable")):
        with pytest.raises(AuthError) as caught:
            bearer_auth.aauthenticate(GOOD).send(None)
        assert caught.value.reason == expected


def test_an_outage_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bearer_auth = auth(revocations=Asked(OSError("a secret")))
    assert [reason(bearer_auth) for _ in range(20)] == ["revocation_unavailable"] * 20
    lines = [record.getMessage() for record in caplog.records if record.name == "jwtconnect_mw"]
    assert lines == ["the revocation list cannot tell: OSError"]


def test_the_threads_are_few() -> None:
    revocations = Asked()
    bearer_auth = auth(revocations=revocations)
    assert {reason(bearer_auth) for _ in range(10)} == {"accepted"}
    assert len(set(revocations.threads)) <= 4


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, ("token-1", None, "alice", NOW - 10)),
        ({"sid": "s", "auth_time": NOW - 99.5}, ("token-1", "s", "alice", NOW - 99.5)),
        ({"sid": 5, "iat": NOW - 10.5}, ("token-1", None, "alice", NOW - 10.5)),
        ({"sid": ["s"], "auth_time": "soon"}, ("token-1", None, "alice", None)),
        ({"jti": ..., "sub": ..., "iat": ..., "auth_time": True}, (None, None, None, None)),
    ],
    ids=repr,
)
def test_what_a_list_is_asked(changes: dict[str, Any], asked: tuple[object, ...]) -> None:
    revocations = Asked()
    assert auth(revocations=revocations).authenticate("Bearer " + token(changes))
    assert revocations.asked == [(ISSUER, *asked, NOW)]


@pytest.mark.parametrize("there", [{"jti": "x"}, {"sid": "x"}, {"sub": "x"}, {}], ids=repr)
def test_only_tokens_that_nothing_can_revoke_are_complained_of(
    there: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert auth(revocations=Asked()).authenticate("Bearer " + token({"jti": ..., "sub": ..., **there}))
    assert ("cannot be revoked" in caplog.text) == (not there)


def test_a_turn_of_the_flow_shows_no_token() -> None:
    with pytest.raises(LookUpWanted) as caught:
        auth(revocations=Asked()).decide(GOOD, "GET", "/", False, may_block=False)
    assert GOOD not in repr(caught.value) + str(caught.value)


def test_a_list_in_memory_is_asked_in_place() -> None:
    revocations = Asked()
    revocations.blocking = False
    assert reason(auth(revocations=revocations)) == "accepted"
    assert revocations.threads == [threading.main_thread()]


def test_a_list_that_does_not_say_is_asked_off_the_loop() -> None:
    class Silent:
        def is_revoked(self, *_: object) -> bool:
            return threading.current_thread() is threading.main_thread()

    assert reason(auth(revocations=Silent())) == "accepted"


def test_those_who_go_away_do_not_make_the_queue_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_WAITING", 3)
    hanging = threading.Event()
    revocations = Asked(hanging)
    bearer_auth = auth(revocations=revocations)

    async def many() -> list[object]:
        tasks = [asyncio.create_task(bearer_auth.aauthenticate(GOOD)) for _ in range(gate_module._THREADS + 3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        return await asyncio.gather(*(bearer_auth.aauthenticate(GOOD) for _ in range(50)), return_exceptions=True)

    try:
        found = asyncio.run(asyncio.wait_for(many(), 30))
        assert {getattr(error, "reason", error) for error in found} == {"revocation_unavailable"}
    finally:
        hanging.set()


def test_under_another_librarys_loop_it_is_a_503() -> None:
    waiting = auth(revocations=Asked()).aauthenticate(GOOD)
    with pytest.raises(AuthError) as caught:
        waiting.send(None)
    assert caught.value.reason == "revocation_unavailable"


def test_without_a_loop_it_is_asked_in_place() -> None:
    revocations = Asked()
    assert auth(revocations=revocations).authenticate(GOOD)
    assert revocations.threads == [threading.main_thread()]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(False, "accepted"), (True, "revoked"), (None, "revoked"), (OSError("gone"), "revocation_unavailable")],
)
@pytest.mark.parametrize("again", [False, True])
def test_verdicts(answer: object, expected: str, again: bool) -> None:
    revocations = Asked()
    bearer_auth = auth(revocations=revocations)
    if again:
        assert reason(bearer_auth) == "accepted"
    revocations.answer = answer
    assert reason(bearer_auth) == expected
    assert len(bearer_auth._verifier._tokens) == (again or expected == "accepted")


def test_scopes_and_leniency_hold_after_the_look_up() -> None:
    revocations = Asked()
    assert reason(auth(revocations=revocations, required_scopes=["admin"])) == "insufficient_scope"
    revocations.answer = True
    lenient = auth(revocations=revocations, optional="invalid")
    assert reason(lenient) is None
    assert lenient.authenticate(GOOD) is None
    revocations.answer = OSError()
    assert reason(lenient) == "revocation_unavailable"


def test_what_is_refused_anyway_asks_nothing() -> None:
    revocations = Asked()
    bearer_auth = auth(revocations=revocations)
    assert reason(bearer_auth, "Bearer x") == "malformed_token"
    assert reason(bearer_auth, "Bearer " + token({"exp": NOW - 100, "iat": ...})) == "expired"
    assert revocations.threads == []


def test_a_list_that_hangs_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_PATIENCE", 0.05)
    hanging = threading.Event()
    bearer_auth = auth(revocations=Asked(hanging))
    try:

        async def many() -> list[object]:
            asked = [bearer_auth.aauthenticate(GOOD) for _ in range(20)]
            return await asyncio.gather(*asked, return_exceptions=True)

        found = asyncio.run(many())
        assert {getattr(error, "reason", error) for error in found} == {"revocation_unavailable"}
    finally:
        hanging.set()
    assert {thread.name for thread in threading.enumerate()} & {"jwtconnect_mw-revocation_4"} == set()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_refuses_what_is_revoked(adapter: str) -> None:
    revocations = MemoryRevocationList(clock=lambda: NOW)
    blocking = Asked()
    blocking.is_revoked = revocations.is_revoked  # type: ignore[method-assign]
    for one in (revocations, blocking):
        bearer_auth = auth(revocations=one)
        assert ADAPTERS[adapter](bearer_auth, HEADERS).status == 200
    revocations.revoke_token(ISSUER, "token-1")
    for one in (revocations, blocking):
        assert ADAPTERS[adapter](auth(revocations=one), HEADERS).status == 401


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_threads_of_its_own() -> None:
    bearer_auth = auth(revocations=Asked())
    assert reason(bearer_auth) == "accepted"
    child = os.fork()
    if child == 0:
        os._exit(0 if reason(bearer_auth) == "accepted" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_keys_that_must_be_fetched_and_a_list_that_must_be_asked() -> None:
    """Two waits on the way of one request."""
    revocations = Asked()
    with FakeIssuer() as issuer:
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), revocations=revocations)
        assert reason(bearer_auth, "Bearer " + issuer.token()) == "accepted"
        assert threading.main_thread() not in revocations.threads
        revocations.answer = True
        bearer_auth = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience), revocations=revocations)
        assert reason(bearer_auth, "Bearer " + issuer.token()) == "revoked"
