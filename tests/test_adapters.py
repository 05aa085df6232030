"""What both middlewares owe alike: the challenge, the audit hook, HEAD, 503."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from jwtconnect_mw._http import response
from jwtconnect_mw.fetch import Fetched, FetchError
from jwtconnect_mw.testing import ManualClock

from .adapters import ADAPTERS, Reply
from .cases import bearer
from .kit import NOW, auth, policy, token

JWKS_URL = "https://as.example/jwks"
METADATA = "https://api.example/.well-known/oauth-protected-resource"
BAD = 'error="invalid_token", error_description="The access token is malformed."'
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS)


def down(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
    raise FetchError("refused")


@each_adapter
@pytest.mark.parametrize(
    ("settings", "text", "challenge"),
    [
        ({}, None, "Bearer"),
        ({"realm": "api"}, None, 'Bearer realm="api"'),
        ({"realm": ""}, None, 'Bearer realm=""'),
        ({"realm": 'a "b" \\ c, error="x"'}, None, r'Bearer realm="a \"b\" \\ c, error=\"x\""'),
        ({"resource_metadata": METADATA}, None, f'Bearer resource_metadata="{METADATA}"'),
        ({"realm": "r", "resource_metadata": METADATA}, None, f'Bearer realm="r", resource_metadata="{METADATA}"'),
        ({}, "x", f"Bearer {BAD}"),
        ({"realm": "r", "resource_metadata": "u:"}, "x", f'Bearer realm="r", {BAD}, resource_metadata="u:"'),
        (
            {"realm": "r", "required_scopes": ["admin", "read"], "resource_metadata": METADATA},
            token(),
            'Bearer realm="r", error="insufficient_scope", '
            'error_description="The access token lacks a required scope.", '
            f'scope="admin read", resource_metadata="{METADATA}"',
        ),
    ],
)
def test_the_challenge(adapter: str, settings: dict[str, Any], text: str | None, challenge: str) -> None:
    reply = ADAPTERS[adapter](auth(**settings), [] if text is None else bearer(text))
    assert reply.headers["www-authenticate"] == challenge


REFUSED: dict[str, tuple[str | None, int, str | None, str]] = {
    "none": (None, 401, None, "no_credentials"),
    "malformed request": ("a b", 400, "invalid_request", "malformed_credentials"),
    "bad token": (token({"exp": NOW - 60, "iat": ...}), 401, "invalid_token", "expired"),
    "scope": (token({"scope": "read"}), 403, "insufficient_scope", "insufficient_scope"),
    "no keys": (token(), 503, "temporarily_unavailable", "keys_unavailable"),
}


def refused(adapter: str, kind: str, method: str = "GET", **settings: Any) -> Reply:
    text = REFUSED[kind][0]
    keys = policy(keys=JWKS_URL) if kind == "no keys" else policy()
    protected = auth(keys, required_scopes=["write"], fetch=down, **settings)
    return ADAPTERS[adapter](protected, [] if text is None else bearer(text), method, "/a")


@each_adapter
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_is_told_once_and_without_the_token(adapter: str, kind: str) -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []
    reply = refused(adapter, kind, on_refused=lambda *told_of: told.append(told_of))
    _, status, error, reason = REFUSED[kind]
    assert told == [(reason, {"status": status, "error": error, "method": "GET", "path": "/a"})]
    assert reply.status == status
    assert reply.json["error"] == (error or "unauthorized")


@each_adapter
@pytest.mark.parametrize("kind", REFUSED)
def test_an_audit_hook_that_fails_does_not_change_the_answer(
    adapter: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(reason: str, context: Mapping[str, Any]) -> None:
        raise RuntimeError("the audit log is full")

    assert refused(adapter, kind, on_refused=broken) == refused(adapter, kind)
    assert [record.levelno for record in caplog.records if record.message == "on_refused failed"] == [logging.ERROR]
    assert (REFUSED[kind][0] or "no token") not in caplog.text


@each_adapter
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_head_has_the_headers_of_get_and_no_body(adapter: str, kind: str) -> None:
    get, head = refused(adapter, kind), refused(adapter, kind, "HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert get.headers["content-length"] == str(len(get.body))


@each_adapter
@pytest.mark.parametrize("optional", ["no", "missing", "invalid"])
def test_without_keys_it_is_503_with_retry_after_whatever_is_optional(adapter: str, optional: str) -> None:
    clock = ManualClock(NOW)
    protected = auth(policy(keys=JWKS_URL), fetch=down, optional=optional, clock=clock)
    first = ADAPTERS[adapter](protected, bearer(token()))
    clock.advance(5)
    second = ADAPTERS[adapter](protected, bearer(token()))
    assert [(reply.status, reply.headers["retry-after"]) for reply in (first, second)] == [(503, "30"), (503, "25")]
    assert "www-authenticate" not in first.headers
    assert first.headers["cache-control"] == "no-store"


@each_adapter
@pytest.mark.parametrize(
    "claims", [{"iss": "https://evil.example"}, {"exp": NOW - 60, "iat": ...}, {"aud": "https://other.example"}]
)
def test_what_is_refused_anyway_never_waits_for_keys(adapter: str, claims: dict[str, Any]) -> None:
    asked: list[str] = []

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        asked.append(url)
        raise FetchError("refused")

    assert ADAPTERS[adapter](auth(policy(keys=JWKS_URL), fetch=fetch), bearer(token(claims))).status == 401
    assert asked == []


def test_only_an_answer_that_may_have_a_body_says_its_length() -> None:
    assert response(200, [("X", "y")], b"ab").headers == (("X", "y"), ("Content-Length", "2"))
    assert response(304, [("X", "y")], b"").headers == (("X", "y"),)
