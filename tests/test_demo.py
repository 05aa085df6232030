"""The demo, as its user starts it: processes, exit codes, and the printed curl lines tried for real."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo import __main__ as demo
from demo.scenes import SCENES, Exchange, Scene

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-W", "error", "-m", "demo")


def finished(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_report_is_as_expected() -> None:
    done = finished()
    total = sum(1 if isinstance(scene, Exchange) else 2 for scene in SCENES)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{total} of {total} answers as expected" in done.stdout
    for shown in (*(scene.title for scene in SCENES), "WWW-Authenticate: Bearer error=", "Retry-After: "):
        assert shown in done.stdout
    assert "eyJ" not in done.stdout  # no token in a report that is kept


def test_report_shows_every_reason_of_the_issue() -> None:
    shown = {scene.reason for scene in SCENES if isinstance(scene, Scene)}
    assert shown >= {None, "no_credentials", "expired", "bad_signature", "wrong_audience", "insufficient_scope"}
    assert shown >= {"unknown_key", "keys_unavailable", "revoked"}
    endpoints = {scene.endpoint for scene in SCENES if isinstance(scene, Exchange)}
    assert endpoints == {"token", "introspect", "revoke"}


@pytest.mark.parametrize(
    "wrong",
    [
        Scene("wrong", lambda stage: stage.token(), 401),
        Scene("wrong", lambda stage: stage.token(), 200, "expired"),
        Exchange("wrong", "token", lambda _: {}, 200),
        Exchange("wrong", "token", lambda _: {}, 400, lambda _, answer: answer["error"] == "invalid_grant"),
    ],
)
def test_report_fails_where_an_answer_is_another(
    wrong: Scene | Exchange, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "SCENES", [wrong, SCENES[0]])
    assert demo.main([]) == 1
    printed = capsys.readouterr().out
    assert ("2 of 3" if isinstance(wrong, Exchange) else "2 of 4") + " answers as expected" in printed
    assert "NOT AS EXPECTED" in printed


def asked(line: list[str]) -> int:
    """The status that ``curl -i`` with these options would print."""
    *options, url = line
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ") for option, value in pairs if option == "-H")
    form = dict(value.split("=", 1) for option, value in pairs if option == "-d")
    user = next((tuple(value.split(":")) for option, value in pairs if option == "-u"), None)
    method = "POST" if form else "GET"
    return httpx.request(method, url, headers=headers, data=form or None, auth=user, trust_env=False).status_code


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_serve_prints_lines_to_try_and_ends_cleanly(end: signal.Signals) -> None:
    running = subprocess.Popen(
        [*COMMAND, "serve"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert running.stdout is not None
        printed = ""
        for line in running.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        lines = re.findall(r"^# (WSGI|ASGI|issuer), .*: (\d{3})\n(curl .*)$", printed, re.MULTILINE)
        assert [status for _, status, _ in lines] == [*["200", "401", "401", "403"] * 2, "200", "200", "200"]
        for _, status, command in lines:
            assert asked(shlex.split(command)[2:]) == int(status)
        assert asked(shlex.split(lines[0][2])[2:]) == 401  # after the last line, which logs out
        running.send_signal(end)
        rest, complaints = running.communicate(timeout=20)
    finally:
        running.kill()
        running.communicate()
    assert (running.returncode, rest, complaints) == (0, "Ended.\n", "")


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = finished("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.startswith("The demo cannot run: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["-1", "65535", "70000"])
def test_a_port_that_is_none_is_said_so(port: str) -> None:
    done = finished("serve", "--port", port)
    assert done.returncode == 2
    assert done.stderr.endswith("error: --port: 0 to 65534, as the next one is needed too\n")


def test_without_uvicorn_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "demo.api", raising=False)
    assert demo.main([]) == 1
    assert "pip install '.[demo]'" in capsys.readouterr().err
