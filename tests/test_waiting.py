"""Calls in threads that a loop waits for: what becomes of those whose caller goes away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jwtconnect_mw._waiting import Threads

from .remote import LIMIT


def test_a_call_that_has_not_begun_is_dropped_with_its_caller_and_one_that_has_runs_to_its_end() -> None:
    threads = Threads("test", 1, 1)
    entered, gate = threading.Event(), threading.Event()
    ended: list[str] = []

    def held() -> None:
        entered.set()
        assert gate.wait(LIMIT)
        ended.append("one")

    async def main() -> None:
        one = asyncio.create_task(threads.run(held))
        assert await asyncio.to_thread(entered.wait, LIMIT)
        two = asyncio.create_task(threads.run(lambda: ended.append("two")))
        await asyncio.sleep(0)
        for task in (one, two):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gate.set()

    asyncio.run(main())
    pool = threads._pool
    assert pool is not None
    threads.close()
    assert ended == ["one"]
    assert pool.pending == 0
