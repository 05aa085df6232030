"""The issuer is killed amid refreshes and revocations: after its restart, nothing that it answered is lost."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .live.servers import Running, started

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MODULE = "tests.live.issuing"
CLIENTS = 8
OFTEN = 5  # every so many refreshes a session is revoked


class Chains:
    """What clients have in their hands: the refresh tokens of each, newest last, and the sessions that they ended."""

    def __init__(self, url: str, wanted: int) -> None:
        self.url, self.wanted = url, wanted
        self.tokens: list[list[str]] = []
        self.ended: list[dict[str, str]] = []
        self.enough = threading.Event()
        self._lock = threading.Lock()
        self._done = 0

    def live(self, number: int) -> None:
        """Refresh and revoke until the server is gone."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            tokens = [login(http)["refresh_token"]]
            self.tokens.append(tokens)
            try:
                while True:
                    answer = refresh(http, tokens[-1])
                    assert answer.status_code == 200, answer.text
                    tokens.append(answer.json()["refresh_token"])
                    if (len(tokens) + number) % OFTEN == 0:
                        session = login(http)
                        form = {"token": session["refresh_token"], "client_id": "spa"}
                        assert http.post("/tenant/revoke", data=form).status_code == 200
                        self.ended.append(session)
                    self._count()
            except httpx.TransportError:
                return

    def _count(self) -> None:
        with self._lock:
            self._done += 1
            if self._done >= self.wanted:
                self.enough.set()


def login(http: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = http.get("/login", params={"client_id": "spa"}).json()
    return found


def refresh(http: httpx.Client, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "spa"}
    return http.post("/tenant/token", data=form)


def until_killed(running: Running, wanted: int) -> Chains:
    chains = Chains(running.url, wanted)
    with ThreadPoolExecutor(CLIENTS) as pool:
        lives = [pool.submit(chains.live, number) for number in range(CLIENTS)]
        assert chains.enough.wait(200)
        os.killpg(running.process.pid, signal.SIGKILL)
        for life in lives:
            life.result(60)
    return chains


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_nothing_that_was_answered_is_lost(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wanted = 1_000 if request.config.getoption("--long") else 150
    with started(name, tmp_path, MODULE) as running:
        chains = until_killed(running, wanted)
        port = running.port
    assert sum(len(tokens) for tokens in chains.tokens) > wanted
    assert len(chains.ended) >= wanted // 10
    with (
        started(name, tmp_path, MODULE, port) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=30) as http,
    ):
        for session in chains.ended:
            assert refresh(http, session["refresh_token"]).json()["error"] == "invalid_grant"
        for tokens in chains.tokens:
            last = refresh(http, tokens[-1])  # spent or not: if it is, the answer was lost
            assert last.status_code == 200, last.text
            assert refresh(http, tokens[-2]).json()["error"] == "invalid_grant"  # long spent, and known to be
            assert refresh(http, last.json()["refresh_token"]).json()["error"] == "invalid_grant"  # that was reuse
