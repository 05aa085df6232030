"""Rows of what was issued: what they hold, how they are found, and when they go."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from .django_users import clean, issuing_project, make_user

# Django's settings must be there first.
from django.core import serializers  # isort: skip
from django.db import IntegrityError, connections  # isort: skip
from django.http import HttpRequest, HttpResponse  # isort: skip
from django.test import Client, override_settings  # isort: skip
from django.urls import path  # isort: skip
from django.utils import timezone  # isort: skip

from jwtconnect_mw.django import issuing, records
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken
from jwtconnect_mw.errors import ConfigurationError
from jwtconnect_mw.issuer import GrantError, Tokens
from jwtconnect_mw.testing.revocation.races import together

from .django_kit import AUDIENCE
from .issuer_kit import part

AN_HOUR = datetime.timedelta(hours=1)


@pytest.fixture(autouse=True)
def issuer() -> Iterator[ProjectIssuer]:
    clean()
    with issuing_project({"clients": {"service": "s" * 32}}) as made:
        yield made
    clean()


@pytest.fixture
def user() -> Any:
    return make_user()


def claims(token: str | None) -> dict[str, Any]:
    assert token is not None
    return part(token)


def jti(token: str | None) -> str:
    return str(claims(token)["jti"])


def only() -> JWTConnectAuthToken:
    return JWTConnectAuthToken.objects.get()


def test_what_a_row_holds(user: Any) -> None:
    tokens, row = issuing.issue(user, scope="read write")
    access, refresh = claims(tokens.access_token), claims(tokens.refresh_token)
    assert row == only()
    row = only()
    told = {
        "user": user,
        "sub": access["sub"],
        "sid": access["sid"],
        "client_id": "first-party",
        "scope": "read write",
        "aud": [AUDIENCE],
        "iat": access["iat"],
        "auth_time": access["auth_time"],
        "access_jti": access["jti"],
        "access_exp": access["exp"],
        "refresh_jti": refresh["jti"],
        "refresh_exp": refresh["exp"],
        "sequence": 0,
        "is_active": True,
        "previous_jti": None,
    }
    assert {name: getattr(row, name) for name in told} == told
    assert str(row) == f"alice: {row.issued_at}"
    assert (row.is_access_expired(), row.is_refresh_expired()) == (False, False)


def test_no_text_of_a_token_is_stored(user: Any) -> None:
    row = JWTConnectAuthToken.create(user, aud=["a", "b"], scope="read")
    texts = [row.access_token, row.refresh_token]
    assert claims(texts[0])["aud"] == ["a", "b"]
    stored = serializers.serialize("json", JWTConnectAuthToken.objects.all())
    for text in texts:
        assert text is not None
        assert not any(segment in stored for segment in text.split("."))
    again = only()
    assert (again.access_token, again.refresh_token) == (None, None)
    assert again.aud == ["a", "b"]


def test_what_is_assigned_by_the_older_names() -> None:
    row = JWTConnectAuthToken()
    assert (row.iat, row.access_exp, row.refresh_exp, row.aud) == (None, None, None, [])
    assert (row.is_access_expired(), row.is_refresh_expired()) == (True, True)
    row.iat, row.access_exp, row.refresh_exp, row.aud = 1, 2, 2_000_000_000, ["a", "b"]
    assert (row.iat, row.access_exp, row.refresh_exp, row.audience) == (1, 2, 2_000_000_000, "a b")
    assert (row.is_access_expired(), row.is_refresh_expired()) == (True, False)
    for names in ["a b", "c"], ["[a"], ["[]", "é"]:
        row.aud = names
        assert row.aud == names
    row.audience = "[of old"
    assert row.aud == ["[of", "old"]
    row.aud = []
    assert row.audience is None


@override_settings(USE_TZ=False)
def test_a_project_without_time_zones(user: Any, issuer: ProjectIssuer) -> None:
    tokens, _ = issuing.issue(user)
    row = only()
    assert row.access_exp == claims(tokens.access_token)["exp"]
    assert not row.is_access_expired()
    assert records.live(user).get() == row


def test_a_refresh_keeps_the_row(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user, scope="read write")
    second = issuer.refresh(first.refresh_token or "", scope="read")
    third = issuer.refresh(second.refresh_token or "")
    row = only()
    assert (row.user, row.sequence, row.scope) == (user, 2, "read write")
    assert row.previous_jti == jti(second.access_token)
    found = records.find(jti(third.access_token)), records.find(jti(second.access_token))
    assert [each is not None and each.is_live(issuer) for each in found] == [True, True]
    assert found[1] is not None
    assert found[1].expires_at == claims(second.access_token)["exp"]
    assert records.find(jti(first.access_token)) is None, "two are remembered"
    found = records.find(jti(third.refresh_token)), records.find(jti(second.refresh_token))
    assert found[0] is not None
    assert (found[0].kind, found[0].is_live(issuer), found[1]) == ("refresh", True, None)


def test_a_retry_is_recorded_too(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user)
    answers = [issuer.refresh(first.refresh_token or "") for _ in range(2)]
    assert only().sequence == 1
    for tokens in answers:
        found = records.find(jti(tokens.access_token))
        assert found is not None
        assert found.is_live(issuer)


def test_records_that_come_late(user: Any, issuer: ProjectIssuer) -> None:
    """The answers of one session overtake each other; the row is that of the last token."""
    first = issuer.issue(str(user.pk))
    second = issuer.refresh(first.refresh_token or "")
    JWTConnectAuthToken.objects.all().delete()
    records.record(second)
    assert only().user is None
    for tokens in (first, first, second, second):
        records.record(tokens, user=user)
    row = only()
    assert (row.sequence, row.access_jti, row.previous_jti) == (1, jti(second.access_token), jti(first.access_token))


def test_many_record_at_once(user: Any, issuer: ProjectIssuer) -> None:
    first = issuer.issue(str(user.pk))
    answers = [issuer.refresh(first.refresh_token or "") for _ in range(6)]
    JWTConnectAuthToken.objects.all().delete()

    def record(tokens: Tokens) -> None:
        try:
            records.record(tokens, user=user)
        finally:
            connections["default"].close()

    together([partial(record, tokens) for tokens in answers])
    assert only().sequence == 1


def test_tokens_of_a_client(issuer: ProjectIssuer) -> None:
    client = issuer.clients.find("service")
    assert client is not None
    tokens = issuer.client_credentials(client)
    row = records.record(tokens)
    assert row is not None
    assert (str(row), row.sid, row.refresh_exp) == (f"service: {row.issued_at}", None, None)
    found = records.find(jti(tokens.access_token))
    assert found is not None
    assert found.is_live(issuer)
    with pytest.raises(IntegrityError):
        records.record(tokens)
    assert issuing.revoke_rows([row]) == 1
    assert not found.is_live(issuer)


@pytest.mark.parametrize("subject", ["x" * 256, "a\0b"])
def test_what_no_database_can_hold(
    subject: str, issuer: ProjectIssuer, caplog: pytest.LogCaptureFixture, user: Any
) -> None:
    """The pair works all the same."""
    with issuing_project({"is_active": lambda _: True}) as lenient:
        tokens = lenient.issue(subject)
        with caplog.at_level(logging.WARNING, "jwtconnect_mw.django"):
            assert records.record(tokens) is None
    assert len(caplog.records) == 1
    assert subject not in caplog.text
    assert not JWTConnectAuthToken.objects.exists()
    with pytest.raises(ValueError, match="too long"):
        JWTConnectAuthToken.create(user, client_id="first-party", aud=subject)


@pytest.mark.parametrize("wrong", [None, 1, "", "x", "a\0b", "x" * 256, "\u2603"])
def test_what_is_not_found(user: Any, wrong: Any) -> None:
    issuing.issue(user)
    assert records.find(wrong) is None


def test_case_matters(user: Any) -> None:
    tokens, _ = issuing.issue(user)
    assert records.find(jti(tokens.access_token).upper()) is None


def test_what_is_told(user: Any, issuer: ProjectIssuer) -> None:
    tokens, _ = issuing.issue(user, audience=["a", "b"])
    access, refresh = claims(tokens.access_token), claims(tokens.refresh_token)
    found = records.find(access["jti"])
    assert found is not None
    told = found.to_dict()
    assert told == {name: access[name] for name in told}
    assert set(told) == {"jti", "iat", "exp", "sub", "aud", "client_id", "sid", "auth_time"}
    found = records.find(refresh["jti"])
    assert found is not None
    assert found.to_dict()["exp"] == refresh["exp"]
    issuing.issue(user, scope="read")
    assert [row.aud for row in records.live(user)] == [[AUDIENCE], ["a", "b"]]


def test_a_token_lives_no_longer_than_it_does(user: Any, issuer: ProjectIssuer) -> None:
    tokens, row = issuing.issue(user)
    assert row is not None
    access, refresh = (records.find(jti(text)) for text in (tokens.access_token, tokens.refresh_token))
    assert access is not None
    assert refresh is not None
    assert (access.is_live(issuer), refresh.is_live(issuer)) == (True, True)
    for gone in (replace(access, expires_at=None), replace(access, expires_at=int(issuer.clock()))):
        assert not gone.is_live(issuer)
    issuer.refresh(tokens.refresh_token or "")
    assert not refresh.is_live(issuer), "spent"
    for column in ("sid", "sub", "auth_time"):
        setattr(row, column, None)
        assert not replace(refresh, row=row).is_live(issuer)
    issuer.revoke(token=tokens.access_token)
    assert only().is_active, "the session goes on"
    assert not access.is_live(issuer)
    row.is_active = False
    assert not replace(access, token_id="other", row=row).is_live(issuer)


def test_revocations_are_noted(user: Any, issuer: ProjectIssuer) -> None:
    pairs = [issuing.issue(user)[0] for _ in range(4)]

    def active() -> list[bool]:
        rows = {row.sid: row.is_active for row in JWTConnectAuthToken.objects.all()}
        return [rows[tokens.session] for tokens in pairs]

    issuer.revoke(session=pairs[0].session)
    assert active() == [False, True, True, True]
    issuer.revoke(token=pairs[1].refresh_token)
    assert active() == [False, False, True, True]
    again = issuer.refresh(pairs[2].refresh_token or "")
    issuer.refresh(again.refresh_token or "")
    with pytest.raises(Exception, match="revoked"):
        issuer.refresh(pairs[2].refresh_token or "")
    assert active() == [False, False, False, True]
    issuer.revoke(subject=str(user.pk), before=1.0)
    assert active() == [False, False, False, True]
    issuer.revoke(subject=str(user.pk))
    assert active() == [False] * 4
    issuer.revoke(subject="a\0b")
    for event in ("issued", "refreshed", "again"):
        records.note(event, {"session": pairs[0].session})


def test_a_project_that_issues_nothing(user: Any) -> None:
    issuing.issue(user)
    from .django_kit import project, verifying

    with project(verifying()):
        records.note("revoked", {"subject": str(user.pk)})
        assert only().is_active
        with pytest.raises(ConfigurationError, match="no issuer"):
            issuing.issue(user)


def test_only_the_newest(user: Any) -> None:
    other, _ = issuing.issue(make_user("bob"))
    with issuing_project({"single_session": True}) as issuer:
        first, _ = issuing.issue(user)
        second, _ = issuing.issue(user)
        assert [row.sid for row in records.live(user)] == [second.session]
        states = [records.find(jti(tokens.access_token)) for tokens in (first, second, other)]
        assert [found is not None and found.is_live(issuer) for found in states] == [False, True, True]
        with_own_check = {"single_session": True, "is_active": lambda _: True}
    with issuing_project(with_own_check) as issuer:
        for _ in range(2):
            records.record(issuer.issue("nobody"), alone=True)
    assert list(JWTConnectAuthToken.objects.filter(sub="nobody").values_list("is_active", flat=True)) == [False, True]


def aged(row: JWTConnectAuthToken, hours: float) -> None:
    for name in ("issued_at", "access_expire_at", "refresh_expire_at", "created"):
        value = getattr(row, name)
        JWTConnectAuthToken.objects.filter(pk=row.pk).update(**{name: value and value - hours * AN_HOUR})


def test_rows_go_when_their_tokens_have_expired(user: Any, issuer: ProjectIssuer) -> None:
    rows = [issuing.issue(user)[1] for _ in range(5)]
    for row in rows[:3]:
        assert row is not None
        aged(row, 3)
    JWTConnectAuthToken.objects.filter(pk=rows[2].pk).update(previous_expire_at=timezone.now() + AN_HOUR)  # type: ignore[union-attr]  # it was recorded
    JWTConnectAuthToken.objects.create(user=user)
    assert records.purge(keep=4 * 3600.0) == 0
    assert [records.purge(limit=2), records.purge(limit=2), records.purge(limit=2)] == [2, 1, 0]
    assert JWTConnectAuthToken.objects.count() == 3


def test_new_rows_pay_for_old_ones(user: Any) -> None:
    for _ in range(4):
        row = issuing.issue(user)[1]
        assert row is not None
        aged(row, 24 * 31)
    issuing.issue(user)
    assert JWTConnectAuthToken.objects.count() <= 3


def test_receivers_are_told(user: Any, issuer: ProjectIssuer) -> None:
    told: list[tuple[str, Any]] = []

    def issued(row: Any, tokens: Tokens, **_: Any) -> None:
        told.append(("issued", (row.pk, tokens)))

    def refreshed(row: Any, tokens: Tokens, **_: Any) -> None:
        told.append(("refreshed", (row.pk, tokens)))

    records.tokens_issued.connect(issued)
    records.tokens_refreshed.connect(refreshed)
    try:
        first, row = issuing.issue(user)
        second = issuer.refresh(first.refresh_token or "")
    finally:
        records.tokens_issued.disconnect(issued)
        records.tokens_refreshed.disconnect(refreshed)
    assert row is not None
    assert told == [("issued", (row.pk, first)), ("refreshed", (row.pk, second))]


class Views:
    """A project whose own view refreshes."""

    presented = ""

    @staticmethod
    def refresh(request: HttpRequest) -> HttpResponse:
        return HttpResponse(issuing.issuer().refresh(Views.presented).access_token)

    urlpatterns = (path("refresh", refresh),)


def test_a_view_that_fails_undoes_no_revocation(user: Any, issuer: ProjectIssuer) -> None:
    """With ATOMIC_REQUESTS. SQLite cannot do both, so it refuses the token and changes nothing."""
    first, _ = issuing.issue(user)
    second = issuer.refresh(first.refresh_token or "")
    issuer.refresh(second.refresh_token or "")
    Views.presented = first.refresh_token or ""
    database = connections["default"].settings_dict
    database["ATOMIC_REQUESTS"] = True
    try:
        with override_settings(ROOT_URLCONF=Views):
            assert Client(raise_request_exception=False).get("/refresh").status_code == 500
    finally:
        database["ATOMIC_REQUESTS"] = False
    identity = issuer.issuer, None, first.session, None, None, issuer.clock()
    assert issuer.revocations.is_revoked(*identity) is (connections["default"].vendor != "sqlite")
    with pytest.raises(GrantError):
        issuer.refresh(first.refresh_token or "")
    assert issuer.revocations.is_revoked(*identity)
