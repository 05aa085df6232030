"""``python -m demo`` prints a report and exits with 0 if all of it is as expected; ``python -m demo serve`` stays."""

from __future__ import annotations

import argparse
import http.client
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jwtconnect_mw import BearerAuth, TrustedIssuer
from jwtconnect_mw.asgi import BearerMiddleware as AsgiBearerMiddleware
from jwtconnect_mw.testing import FakeIssuer, ManualClock
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiBearerMiddleware

from .scenes import SCENES, Scene, Stage

AUDIENCE = "https://api.example"
_NEEDS_UVICORN = "The demo needs uvicorn: pip install '.[demo]'"


@dataclass
class Api:
    """A protected API that is being served, and why it refused requests, newest last."""

    name: str
    url: str = ""
    reasons: list[str] = field(default_factory=list)

    def auth(self, issuer: FakeIssuer, clock: Callable[[], float]) -> BearerAuth:
        return BearerAuth(
            TrustedIssuer(issuer.url, audience=AUDIENCE),
            required_scopes=["read"],
            on_refused=self._refused,
            clock=clock,
        )

    def _refused(self, reason: str, _context: Mapping[str, Any]) -> None:
        self.reasons.append(reason)


@contextmanager
def serving(issuer: FakeIssuer, clock: Callable[[], float], port: int = 0) -> Iterator[tuple[Api, Api]]:
    """Both APIs, at ``port`` and the one after it, or at free ports."""
    from .api import ServeAsgi, ServeWsgi, asgi_api, wsgi_api

    wsgi, asgi = Api("WSGI"), Api("ASGI")
    with (
        ServeWsgi(WsgiBearerMiddleware(wsgi_api, wsgi.auth(issuer, clock)), port) as one,
        ServeAsgi(AsgiBearerMiddleware(asgi_api, asgi.auth(issuer, clock)), port and port + 1) as other,
    ):
        wsgi.url, asgi.url = one.url, other.url
        yield wsgi, asgi


def get(url: str, token: str | None) -> tuple[int, http.client.HTTPMessage, str]:
    """One request over HTTP: status, headers, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def play(scene: Scene, stage: Stage, apis: tuple[Api, Api]) -> int:
    """Show one scene at both APIs; how many of them answered otherwise than expected."""
    scene.before(stage)
    token = scene.token(stage)
    print(f"\n{scene.title}")
    failed = 0
    for api in apis:
        api.reasons.clear()
        status, headers, body = get(api.url, token)
        reason = api.reasons[-1] if api.reasons else None
        good = (status, reason) == (scene.status, scene.reason)
        failed += not good
        verdict = "ok" if good else f"NOT AS EXPECTED (reason expected: {scene.reason})"
        print(f"  {api.name}  expected {scene.status}  got {status}  {verdict}  {reason or body}")
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in headers:
            print(f"        {name}: {headers[name]}")
    return failed


def report() -> int:
    """Play all scenes; the exit code."""
    started = time.monotonic()
    clock = ManualClock()
    with FakeIssuer(audience=AUDIENCE, clock=clock) as issuer, serving(issuer, clock) as apis:
        print(f"issuer    {issuer.url}  a stand-in that publishes metadata and keys, and signs tokens")
        print(f"WSGI API  {apis[0].url}  under wsgiref")
        print(f"ASGI API  {apis[1].url}  under uvicorn")
        failed = sum(play(scene, Stage(issuer, clock), apis) for scene in SCENES)
    total = len(SCENES) * len(apis)
    print(f"\n{total - failed} of {total} answers as expected, in {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


def serve(port: int) -> int:
    """Print commands to try, then wait for Ctrl-C or SIGTERM; the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with FakeIssuer(audience=AUDIENCE) as issuer, serving(issuer, time.time, port) as apis:
        now = int(time.time())
        tokens = (
            ("good for one day: 200", issuer.token({"exp": now + 86_400})),
            ("no token: 401", None),
            ("expired: 401", issuer.token({"iat": now - 600, "exp": now - 300})),
            ("without the scope that is needed: 403", issuer.token({"exp": now + 86_400, "scope": "profile"})),
        )
        for api in apis:
            for title, token in tokens:
                header = "" if token is None else f' -H "Authorization: Bearer {token}"'
                print(f"\n# {api.name}, {title}\ncurl -i{header} {api.url}")
        print("\nCtrl-C ends it.", flush=True)
        while not stop.wait(0.5):  # a wait without end would not see Ctrl-C on Windows
            pass
    print("Ended.", flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="A protected WSGI and ASGI API, end to end.")
    parser.add_argument("what", nargs="?", choices=("report", "serve"), default="report")
    parser.add_argument("--port", type=int, default=0, help="serve: WSGI here, ASGI at the next; default: free ports")
    options = parser.parse_args(arguments)
    logging.getLogger("jwtconnect_mw").addHandler(logging.NullHandler())  # the report itself tells of the outage
    try:
        return serve(options.port) if options.what == "serve" else report()
    except ModuleNotFoundError as error:
        if error.name != "uvicorn":
            raise
        print(_NEEDS_UVICORN, file=sys.stderr)
    except OSError as error:
        print(f"The demo cannot run: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
