"""``python -m demo`` prints a report and exits with 0 if all of it is as expected; ``python -m demo serve`` stays."""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import signal
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from jwtconnect_mw.testing import ManualClock

from .scenes import SCENES, Exchange, Scene, Stage
from .site import CLIENT, SECRET, serving

_NEEDS_UVICORN = "The demo needs uvicorn: pip install '.[demo]'"


def send(
    url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, str]:
    """One request over HTTP, a POST if there is a form: status, headers, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        if form is None:
            connection.request("GET", parts.path, headers=dict(headers))
        else:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", parts.path, urlencode(form), {**headers, **kind})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def play(scene: Scene | Exchange, stage: Stage) -> tuple[int, int]:
    """Show one scene; how many answers there were, and how many were other than expected."""
    scene.before(stage)
    print(f"\n{scene.title}")
    if isinstance(scene, Exchange):
        return 1, play_exchange(scene, stage)
    token = scene.token(stage)
    failed = 0
    for api in stage.site.apis:
        api.reasons.clear()
        status, headers, body = send(api.url, {} if token is None else {"Authorization": f"Bearer {token}"})
        reason = api.reasons[-1] if api.reasons else None
        good = (status, reason) == (scene.status, scene.reason)
        failed += not good
        verdict = "ok" if good else f"NOT AS EXPECTED (reason expected: {scene.reason})"
        print(f"  {api.name}    expected {scene.status}  got {status}  {verdict}  {reason or body}")
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in headers:
            print(f"          {name}: {headers[name]}")
    return len(stage.site.apis), failed


def play_exchange(scene: Exchange, stage: Stage) -> int:
    pair = b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"} if scene.as_client else {}
    status, headers_back, body = send(f"{stage.site.issuer.issuer}/{scene.endpoint}", headers, scene.form(stage))
    is_json = headers_back.get_content_type() == "application/json"
    content: dict[str, Any] = json.loads(body) if is_json else {}
    good = status == scene.status and scene.expected(stage, content)
    if scene.answer:
        stage.answers[scene.answer] = content
    shown = {name: value for name, value in content.items() if not name.endswith("_token")}
    print(
        f"  issuer  expected {scene.status}  got {status}  {'ok' if good else 'NOT AS EXPECTED'}  {json.dumps(shown)}"
    )
    return not good


def report() -> int:
    """Play all scenes; the exit code."""
    started = time.monotonic()
    clock = ManualClock()
    total = failed = 0
    with serving(clock) as site:
        print(f"issuer    {site.issuer.issuer}  mounted beside the WSGI API")
        print(f"WSGI API  {site.apis[0].url}  under wsgiref")
        print(f"ASGI API  {site.apis[1].url}  under uvicorn")
        stage = Stage(site, clock)
        for scene in SCENES:
            answers, wrong = play(scene, stage)
            total, failed = total + answers, failed + wrong
    print(f"\n{total - failed} of {total} answers as expected, in {time.monotonic() - started:.1f} s")
    return 1 if failed else 0


def serve(port: int) -> int:
    """Print commands to try, then wait for Ctrl-C or SIGTERM; the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    clock = ManualClock()
    with serving(clock, port) as site:
        clock.advance(-100_000)
        expired = site.issuer.issue("alice", scope="read").access_token
        clock.now = time.time()
        session = site.issuer.issue("alice", scope="read write")
        tokens = (
            ("good for one day: 200", session.access_token),
            ("no token: 401", None),
            ("expired: 401", expired),
            ("without the scope that is needed: 403", site.issuer.issue("alice", scope="profile").access_token),
        )
        for api in site.apis:
            for title, token in tokens:
                header = "" if token is None else f' -H "Authorization: Bearer {token}"'
                print(f"\n# {api.name}, {title}\ncurl -i{header} {api.url}")
        url, refresh = site.issuer.issuer, session.refresh_token
        client = f"-u {CLIENT}:{SECRET}"
        print(f"\n# issuer, introspection: 200\ncurl -i {client} -d token={session.access_token} {url}/introspect")
        print("\n# issuer, a refresh; ten seconds later the same line ends the session: 200")
        print(f"curl -i -d grant_type=refresh_token -d refresh_token={refresh} {url}/token")
        print("\n# issuer, log out, after which the first line gets 401: 200")
        print(f"curl -i -d token={refresh} {url}/revoke")
        print("\nCtrl-C ends it.", flush=True)
        while not stop.wait(0.1):  # a wait without end would not see Ctrl-C on Windows
            clock.now = time.time()
    print("Ended.", flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="A protected WSGI and ASGI API, end to end.")
    parser.add_argument("what", nargs="?", choices=("report", "serve"), default="report")
    parser.add_argument("--port", type=int, default=0, help="serve: WSGI here, ASGI at the next; default: free ports")
    options = parser.parse_args(arguments)
    if not 0 <= options.port < 65_535:
        parser.error("--port: 0 to 65534, as the next one is needed too")
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
