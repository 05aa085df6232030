"""The ASGI face of the issuer: its scopes, its threads, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from jwtconnect_mw._waiting import Busy, Threads

from .endpoints import (
    FORM,
    WELL_KNOWN,
    House,
    asgi_request,
    asgi_scope,
    basic,
    house,
    refresh,
    refused,
    through_asgi,
    through_wsgi,
)

PATIENCE = 10.0


@pytest.fixture
def here() -> Iterator[House]:
    made = house()
    yield made
    made.app.close()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


class Conversation:
    """What a server says to an application, and what it answers."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages, self.sent = list(messages), list[dict[str, Any]]()

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def with_(self, app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
        run(app(scope, self.receive, self.send))
        return self.sent


def issuer_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("jwtconnect_mw-issuer")}


# --- scopes ---


def test_lifespan_ends_the_threads(here: House) -> None:
    before = issuer_threads()
    assert through_asgi(here.app, "/revoke", {"token": "x"}, basic()).status == 200
    assert issuer_threads() - before
    talk = Conversation({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = talk.with_(here.app.asgi, {"type": "lifespan", "asgi": {"version": "3.0"}})
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert not issuer_threads() - before
    assert through_asgi(here.app, "/revoke", {"token": "x"}, basic()).status == 200  # a later request starts new ones
    here.app.close()
    here.app.close()
    assert not issuer_threads() - before


def test_documents_need_no_thread(here: House) -> None:
    before = issuer_threads()
    assert through_asgi(here.app, "/jwks", method="GET").status == 200
    assert through_asgi(here.app, WELL_KNOWN, method="GET").status == 200
    refused(through_asgi(here.app, "/nowhere"), 404, "invalid_request")
    assert not issuer_threads() - before


def test_a_websocket_is_refused(here: House) -> None:
    scope = {**asgi_scope("/token"), "type": "websocket"}
    sent = Conversation({"type": "websocket.connect"}).with_(here.app.asgi, scope)
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert Conversation({"type": "websocket.disconnect"}).with_(here.app.asgi, scope) == []


def test_other_scopes_are_none_of_ours(here: House) -> None:
    with pytest.raises(ValueError, match="scopes"):
        Conversation().with_(here.app.asgi, {"type": "mystery"})


@pytest.mark.parametrize("raises", [True, False])
def test_a_client_that_goes_while_it_sends(here: House, raises: bool) -> None:
    """Some servers say so of a body they cannot read, and wait for an answer; others raise when one is sent."""
    token = here.issuer.issue("alice").refresh_token

    class Gone(Conversation):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            if raises:
                raise BrokenPipeError

    talk = Gone(
        {"type": "http.request", "body": f"grant_type=refresh_token&refresh_token={token}".encode(), "more_body": True},
        {"type": "http.disconnect"},
    )
    assert talk.with_(here.app.asgi, asgi_scope("/token", ("Content-Type", FORM)))[0]["status"] == 400
    assert through_asgi(here.app, "/token", refresh(token)).json["refresh_token"] != token  # it was not spent


@pytest.mark.parametrize("root", ["", "/oauth", "/a/b", "/token"])
def test_the_path_below_the_mount_point(here: House, root: str) -> None:
    for path, status in (("/token", 400), ("/jwks", 405), ("/nowhere", 404)):
        assert through_asgi(here.app, path, root=root).status == status


# --- threads ---


class Gate:
    """A hook that waits until it is let go, and counts who is in it."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Semaphore(0)

    def __call__(self, subject: str) -> bool:
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return True

    async def until_entered(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.entered.acquire, True, PATIENCE)


@contextlib.contextmanager
def gated(**app: Any) -> Iterator[tuple[House, Gate, Callable[[], str]]]:
    """A house whose refreshes wait at a gate; tokens are issued while it is open."""
    gate = Gate()
    made = house(app, is_active=gate)

    def token() -> str:
        was = gate.open.is_set()
        gate.open.set()
        issued = made.issuer.issue("alice").refresh_token
        gate.entered.acquire()
        if not was:
            gate.open.clear()
        return issued or ""

    yield made, gate, token
    gate.open.set()
    made.app.close()


def test_many_requests_are_handled_at_once_and_the_loop_stays_free() -> None:
    with gated(threads=4) as (made, gate, token):
        tokens = [token() for _ in range(4)]

        async def main() -> list[int]:
            waiting = [asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(one))) for one in tokens]
            await gate.until_entered(4)
            assert (await asgi_request(made.app.asgi, "/jwks", method="GET")).status == 200
            assert not any(task.done() for task in waiting)
            gate.open.set()
            return [(await task).status for task in waiting]

        assert run(main()) == [200] * 4


def test_requests_beyond_what_may_wait_are_answered_503() -> None:
    with gated(threads=1, waiting=1) as (made, gate, token):
        first, second = token(), token()

        async def main() -> None:
            one = asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(first)))
            await gate.until_entered(1)
            two = asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(second)))
            await asyncio.sleep(0)
            reply = refused(await asgi_request(made.app.asgi, "/token", refresh(first)), 503, "temporarily_unavailable")
            assert reply.headers["retry-after"] == "1"
            gate.open.set()
            assert [(await one).status, (await two).status] == [200, 200]
            assert (await asgi_request(made.app.asgi, "/revoke", {"token": "x"}, basic())).status == 200

        run(main())


def test_a_cancelled_request_leaves_its_place() -> None:
    with gated(threads=1, waiting=1) as (made, gate, token):
        first, second = token(), token()

        async def main() -> None:
            one = asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(first)))
            await gate.until_entered(1)
            two = asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(second)))
            await asyncio.sleep(0)
            for task in (one, two):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            gate.open.set()
            pool = made.app.asgi._threads._pool
            assert pool is not None
            # What was dropped counts until its turn has come.
            await asyncio.wrap_future(pool.executor.submit(int))
            # One began and runs to its end; two never began, so its token is as it was.
            reply = await asgi_request(made.app.asgi, "/token", refresh(second))
            assert reply.status == 200
            assert (
                await asgi_request(made.app.asgi, "/token", refresh(first))
            ).status == 200  # once more, in the window

        run(main())
        pool = made.app.asgi._threads._pool
        assert pool is not None
        made.app.close()
        assert pool.pending == 0


def test_the_loop_may_end_before_the_thread() -> None:
    with gated(threads=1) as (made, gate, token):
        one = token()

        async def main() -> None:
            task = asyncio.create_task(asgi_request(made.app.asgi, "/token", refresh(one)))
            await gate.until_entered(1)
            task.cancel()

        run(main())
        gate.open.set()
        made.app.close()
        assert through_wsgi(made.app, "/token", refresh(one)).status == 200


SEEN: ContextVar[str] = ContextVar("SEEN", default="nothing")


def test_hooks_see_the_context_of_the_request() -> None:
    seen: list[str] = []
    made = house(is_active=lambda _: seen.append(SEEN.get()) is None)
    token = made.issuer.issue("alice").refresh_token

    async def main() -> None:
        SEEN.set("of the request")
        assert (await asgi_request(made.app.asgi, "/token", refresh(token))).status == 200

    run(main())
    assert seen == ["nothing", "of the request"]
    made.app.close()


def test_a_pool_that_was_closed_meanwhile() -> None:
    threads = Threads("test", 1, 1)
    assert run(threads.run(lambda: 5)) == 5
    assert threads._pool is not None
    threads._pool.executor.shutdown()
    with pytest.raises(Busy):
        run(threads.run(lambda: 5))


def test_what_was_answered_busy_is_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no more threads, the executor queues a call before it says so."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, entered, leave = Threads("test", 2, 2), threading.Event(), threading.Event()
    done: list[int] = []

    def hold() -> None:
        entered.set()
        leave.wait()

    async def main() -> list[Any]:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(Busy):  # not even one
                await threads.run(lambda: done.append(0))
            assert threads._pool is None
        first = asyncio.create_task(threads.run(hold))
        await asyncio.to_thread(entered.wait)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            calls = [threads.run(lambda: done.append(1)) for _ in range(9)]
            busy = await asyncio.gather(*calls, return_exceptions=True)
        assert threads._pool is not None
        assert threads._pool.pending <= 4
        leave.set()
        await first
        return busy

    assert [type(answer) for answer in run(main())] == [Busy] * 9
    assert run(threads.run(lambda: 5)) == 5
    threads.close()
    assert done == []


def test_what_has_begun_is_not_answered_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may take the call before it is known that there will be none for it."""
    threads, entered, leave, begun = Threads("test", 2, 2), threading.Event(), threading.Event(), threading.Event()

    def start(_: threading.Thread) -> None:
        leave.set()
        begun.wait()
        raise RuntimeError("can't start new thread")

    def hold() -> None:
        entered.set()
        leave.wait()

    def second() -> int:
        begun.set()
        return 5

    async def main() -> int:
        first = asyncio.create_task(threads.run(hold))
        await asyncio.to_thread(entered.wait)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            answer = await threads.run(second)
        await first
        return answer

    assert run(main()) == 5
    threads.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_threads_of_its_own(here: House) -> None:
    assert through_asgi(here.app, "/revoke", {"token": "x"}, basic()).status == 200
    pool = here.app.asgi._threads._pool
    assert pool is not None
    pool.lock.acquire()  # as if another thread held it in the moment of the fork
    child = os.fork()
    if child == 0:  # pragma: no cover  # measured nowhere: it leaves by _exit
        status = 1
        try:
            status = through_asgi(here.app, "/revoke", {"token": "x"}, basic()).status != 200
            here.app.close()
        finally:
            os._exit(status)
    pool.lock.release()
    assert os.waitpid(child, 0)[1] == 0
