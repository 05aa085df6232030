"""The case table in front of the frameworks that people have, each wrapped as its users would do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from jwtconnect_mw import BearerAuth

from .adapters import ADAPTERS, Reply, call_asgi, call_wsgi
from .cases import BASIC_CASES, Case, bearer
from .frameworks import (
    bottle_app,
    django_app,
    falcon_app,
    fastapi_app,
    flask_app,
    litestar_app,
    pyramid_app,
    quart_app,
    starlette_app,
)
from .kit import auth, policy, token
from .test_cases import judge


@dataclass(frozen=True)
class Framework:
    call: Callable[..., Reply]
    build: Callable[[BearerAuth], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


FRAMEWORKS = {
    "flask": Framework(call_wsgi, flask_app.build),
    "django wsgi": Framework(call_wsgi, django_app.build_wsgi, django_app.site),
    "falcon": Framework(call_wsgi, falcon_app.build),
    "bottle": Framework(call_wsgi, bottle_app.build),
    "pyramid": Framework(call_wsgi, pyramid_app.build),
    "starlette": Framework(call_asgi, starlette_app.build),
    "fastapi": Framework(call_asgi, fastapi_app.build),
    "django asgi": Framework(call_asgi, django_app.build_asgi, django_app.site),
    "litestar": Framework(call_asgi, litestar_app.build),
    "litestar, wrapped": Framework(call_asgi, litestar_app.build_wrapped),
    "quart": Framework(call_asgi, quart_app.build),
}
STARLETTES = {"starlette": starlette_app.build, "fastapi": fastapi_app.build}


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize("case", BASIC_CASES, ids=lambda case: case.id)
def test_case(case: Case, name: str) -> None:
    framework = FRAMEWORKS[name]
    reasons: list[str] = []
    bearer_auth = auth(policy(**case.policy), **case.auth, on_refused=lambda reason, _: reasons.append(reason))
    with framework.around():
        app = framework.build(bearer_auth)
        for _ in "cold", "warm":
            reasons.clear()
            reply = framework.call(app, case.headers, case.method, case.path)
            judge(case, reply, reasons)
    if case.reason is None:
        bare = ADAPTERS["wsgi"](bearer_auth, case.headers, case.method, case.path)
        assert reply.json == json.loads(bare.body)


ANYONE = {"authenticated": False, "names": ["", ""], "scopes": []}
ALICE = {"authenticated": True, "names": ["alice", "alice"], "scopes": ["read", "write"]}


@pytest.mark.parametrize("name", STARLETTES)
@pytest.mark.parametrize(
    ("path", "text", "status", "answer"),
    [
        ("/whoami", None, 200, ANYONE),
        ("/whoami", token(), 200, ALICE),
        ("/whoami", token({"sub": ..., "scope": ...}), 200, {**ANYONE, "authenticated": True}),
        ("/whoami", token({"exp": 5}), 401, None),
        ("/write", None, 403, None),
        ("/write", token({"scope": "read"}), 403, None),
        ("/write", token(), 200, {}),
    ],
)
def test_starlette_finds_its_user_and_scopes(
    name: str, path: str, text: str | None, status: int, answer: object
) -> None:
    app = STARLETTES[name](auth(optional="missing"))
    reply = call_asgi(app, [] if text is None else bearer(text), path=path)
    assert reply.status == status
    assert answer is None or reply.json == answer


@pytest.mark.parametrize("name", ["starlette", "fastapi", "quart", "litestar, wrapped", "django asgi"])
def test_an_unknown_path_is_not_told_to_strangers(name: str) -> None:
    """Wrapped from outside, the framework's own 404 and 405 are behind the check as well."""
    framework = FRAMEWORKS[name]
    with framework.around():
        assert framework.call(framework.build(auth()), [], "DELETE", "/no/such/place").status == 401
