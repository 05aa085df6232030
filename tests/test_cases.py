"""Every case of the table, through every adapter, cold and again with a warm cache."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from jwtconnect_mw import BearerAuth

from .adapters import ADAPTERS, Reply
from .cases import BASIC_CASES, CASES, Case
from .kit import auth, policy


def judge(case: Case, reply: Reply, reasons: list[str]) -> None:
    assert (reply.status, reasons) == (case.status, [] if case.reason is None else [case.reason])
    if case.reason is None:
        return
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    challenge = reply.headers["www-authenticate"]
    assert challenge.startswith("Bearer")
    assert set(reply.json) == {"error", "error_description"}
    if case.reason != "no_credentials":
        assert f'error="{reply.json["error"]}"' in challenge
    if case.status == 403:
        assert f'scope="{" ".join(case.auth["required_scopes"])}"' in challenge


def protected(case: Case, reasons: list[str]) -> BearerAuth:
    return auth(policy(**case.policy), **case.auth, on_refused=lambda reason, _: reasons.append(reason))


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, adapter: str) -> None:
    reasons: list[str] = []
    bearer_auth = protected(case, reasons)
    for _ in "cold", "warm":
        reasons.clear()
        reply = ADAPTERS[adapter](bearer_auth, case.headers, case.method, case.path)
        judge(case, reply, reasons)


def test_the_table_names_each_case_once() -> None:
    assert [id for id, count in Counter(case.id for case in CASES).items() if count > 1] == []
    assert len(BASIC_CASES) == 20


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_application_gets_the_claims(adapter: str) -> None:
    case = next(case for case in CASES if case.id == "good")
    body = ADAPTERS[adapter](protected(case, []), case.headers).body
    assert json.loads(body)["claims"]["sub"] == "alice"
