"""Every case of the table through Django: its middleware before plain and async views, under WSGI and ASGI, and DRF."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .adapters import Reply
from .cases import BASIC_CASES, CASES, Case
from .django_kit import Site, project, verifying
from .djproject import api
from .test_cases import judge

VIEWS = {"wsgi": ("wsgi", api.plain), "asgi": ("asgi", api.asynchronous)}
MORE_VIEWS = {
    "wsgi, async view": ("wsgi", api.asynchronous),
    "asgi, plain view": ("asgi", api.plain),
    "drf behind the middleware, wsgi": ("wsgi", api.rest_behind),
    "drf behind the middleware, asgi": ("asgi", api.rest_behind),
}
# What only a middleware can know: a view of DRF says itself whether it needs a token.
OF_THE_MIDDLEWARE = {"public", "preflight", "optional"}


def run(case: Case, face: str, view: Any, middleware: list[str] | None = None) -> None:
    reasons: list[str] = []
    settings = verifying(case.policy, **case.auth, on_refused=lambda reason, _: reasons.append(reason))
    with project(settings, urls=api.Urls(view), middleware=middleware):
        site = Site(face)
        for _ in "cold", "warm":
            reasons.clear()
            reply = site(case.headers, case.method, case.path)
            if middleware is not None:
                reply = as_drf_says_it(case, reply)
            judge(case, reply, reasons)


def as_drf_says_it(case: Case, reply: Reply) -> Reply:
    """DRF has no place for Cache-Control in an exception, and its own body where no class found credentials."""
    reply.headers.setdefault("cache-control", "no-store")
    if case.reason != "no_credentials":
        return reply
    assert set(reply.json) == {"detail"}
    return replace(reply, body=b'{"error": "", "error_description": ""}')


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_middleware(case: Case, name: str) -> None:
    run(case, *VIEWS[name])


@pytest.mark.parametrize("name", MORE_VIEWS)
@pytest.mark.parametrize("case", BASIC_CASES, ids=lambda case: case.id)
def test_other_views(case: Case, name: str) -> None:
    run(case, *MORE_VIEWS[name])


@pytest.mark.parametrize(
    "case", [case for case in CASES if not OF_THE_MIDDLEWARE & set(case.auth)], ids=lambda case: case.id
)
def test_drf_alone(case: Case) -> None:
    run(case, "wsgi", api.rest, middleware=[])
