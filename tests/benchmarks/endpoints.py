"""Section `endpoints`: refresh and introspection through IssuerApp, beside what people would use instead.

All are called in process through WSGI, on SQLite files of one folder, journal WAL and synchronous FULL.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jwtconnect_mw.issuer import Issuer, IssuerApp
from jwtconnect_mw.revocation import SQLiteRevocationList

from . import django_peers, hosts
from .hosts import One, WSGIApp
from .measure import Job, Ratio, Series, interleave
from .report import Verdict, at_most, cell, goals, information, show_ratio, table
from .tokens import AUDIENCE, ISSUER

FORM = "application/x-www-form-urlencoded"
SESSIONS, WARM_UP = 20, 3
TOKENS = 100
Body = tuple[bytes, str]


def request(path: str, body: Body, bearer: str | None = None) -> dict[str, Any]:
    content, content_type = body
    made = hosts.environ(f"Bearer {bearer}") if bearer else dict(hosts.ENVIRON)
    return made | {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }


def form(**fields: str) -> Body:
    return urlencode(fields).encode(), FORM


class Calls:
    """One request after the other to ``app``; what was answered is kept, to be looked at while no clock runs."""

    def __init__(self, app: WSGIApp) -> None:
        self._app = app
        self.bodies: list[bytes] = []

    def _started(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if not status.startswith("200"):
            raise AssertionError(status)

    def one(self, environ: dict[str, Any]) -> None:
        answer = self._app(environ, self._started)
        self.bodies.append(b"".join(answer))
        close = getattr(answer, "close", None)
        if close is not None:
            close()

    def answers(self) -> list[dict[str, Any]]:
        found = [json.loads(body) for body in self.bodies]
        self.bodies.clear()
        return found


def nothing() -> None:
    """What most lanes do before a batch."""


class Refreshes:
    """Sessions that are refreshed in turn, each with the token that its refresh before gave."""

    def __init__(
        self,
        app: WSGIApp,
        path: str,
        tokens: list[str],
        body: Callable[[str], Body],
        name: str,
        prepare: Callable[[], None] = nothing,
    ) -> None:
        self._calls, self._path, self._tokens, self._body, self._name = Calls(app), path, tokens, body, name
        self._prepare = prepare
        self.one: One = self._calls.one

    def items(self, number: int) -> list[dict[str, Any]]:
        self._prepare()
        answers = self._calls.answers()
        if answers:
            fresh = [answer[self._name] for answer in answers]
            if len(set(fresh) - set(self._tokens)) != len(self._tokens):
                raise AssertionError("the tokens were not rotated")
            self._tokens = fresh
        return [request(self._path, self._body(token)) for token in self._tokens]


class Introspections:
    """Questions about the same tokens again and again, as gateways ask them, by one bearer."""

    def __init__(
        self, app: WSGIApp, path: str, bearer: str, tokens: Sequence[str], prepare: Callable[[], None] = nothing
    ) -> None:
        self._calls, self._path, self._bearer, self._tokens = Calls(app), path, bearer, tokens
        self._prepare = prepare
        self.one: One = self._calls.one

    def items(self, number: int) -> list[dict[str, Any]]:
        self._prepare()
        if any(answer["active"] is not True for answer in self._calls.answers()):
            raise AssertionError("a token is not active")
        return [request(self._path, form(token=token), self._bearer) for token in self._tokens]


def issuer(folder: Path, alg: str) -> Issuer:
    return Issuer(
        ISSUER,
        audience=AUDIENCE,
        algorithm=alg,
        keys=folder / f"{alg}.json",
        revocations=SQLiteRevocationList(folder / f"{alg}.sqlite"),
    )


def spending(token: str) -> Body:
    return form(grant_type="refresh_token", refresh_token=token)


def our_refreshes(made: Issuer) -> Refreshes:
    tokens = [made.issue(f"user-{number}", scope="read").refresh_token or "" for number in range(SESSIONS)]
    return Refreshes(IssuerApp(made), "/token", tokens, spending, "refresh_token")


def our_introspections(made: Issuer) -> Introspections:
    bearer = made.issue("ada", scope="introspect").access_token
    tokens = [made.issue("ada", scope="read").access_token for _ in range(TOKENS)]
    return Introspections(IssuerApp(made), "/introspect", bearer, tokens)


def keeping(keep: bool) -> Callable[[], None]:
    return lambda: django_peers.keep_connection(keep)


def their_refreshes(site: WSGIApp, *, keep: bool) -> Refreshes:
    tokens = django_peers.refresh_tokens(SESSIONS)
    return Refreshes(site, django_peers.REFRESH, tokens, django_peers.refresh_body, "refresh", keeping(keep))


def their_introspections(site: WSGIApp, *, keep: bool) -> Introspections:
    bearer, tokens = django_peers.access_tokens(TOKENS)
    return Introspections(site, django_peers.INTROSPECT, bearer, tokens, keeping(keep))


Lanes = dict[str, Refreshes | Introspections]


def compare(what: str, peers: Lanes, ours: Lanes, limit: float, rounds: int) -> list[Verdict]:
    """Judged is the first of ours, by the default algorithm, beside the first peer, by Django's defaults."""
    lanes = peers | ours
    jobs = [Job(name, lane.one, lane.items, None, WARM_UP) for name, lane in lanes.items()]
    series: dict[str, Series] = interleave(jobs, rounds, label=what)
    table([f"µs, {what}", *lanes], [["", *(cell(series[name]) for name in lanes)]])
    pairs = [(name, peer, Ratio.of(series[name], series[peer])) for peer in peers for name in ours]
    (name, peer, judged), *others = pairs
    found = [at_most(f"{what}: {name} / {peer}", judged, limit)]
    found += [information(f"{what}: {name} / {peer}", show_ratio(ratio)) for name, peer, ratio in others]
    return found


def run(*, quick: bool = False) -> list[Verdict]:
    rounds = 10 if quick else 60
    print(f"\n== endpoints: one request through WSGI in process, median of {rounds} rounds, SQLite WAL and FULL ==\n")
    for name in ("jwtconnect_mw.issuer", "django"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = django_peers.site(folder)
        ours = {alg: issuer(folder, alg) for alg in ("ES256", "RS256", "EdDSA")}
        theirs: Lanes = {"simplejwt": their_refreshes(site, keep=False)}
        theirs["simplejwt, kept connection"] = their_refreshes(site, keep=True)
        refreshes: Lanes = {f"ours {alg}": our_refreshes(made) for alg, made in ours.items()}
        found = compare("refresh", theirs, refreshes, 1 / 5, rounds)
        theirs = {"django-oauth-toolkit": their_introspections(site, keep=False)}
        theirs["django-oauth-toolkit, kept connection"] = their_introspections(site, keep=True)
        introspections: Lanes = {f"ours {alg}": our_introspections(made) for alg, made in ours.items()}
        found += compare("introspection", theirs, introspections, 1 / 10, rounds)
        django_peers.close()
    goals(found)
    return found
