"""Rows of what was issued: what they hold, how they are found, and when they go."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .django_users import clean, issuing_project, make_user

# Django's settings must be there first.
from django.core import serializers  # isort: skip
from django.core.checks import run_checks  # isort: skip
from django.db import DatabaseError, connections, transaction  # isort: skip
from django.http import HttpRequest, HttpResponse  # isort: skip
from django.test import Client, override_settings  # isort: skip
from django.urls import path  # isort: skip

from jwtconnect_mw.django import issuing, records
from jwtconnect_mw.django.actions import remove_older_tokens
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken
from jwtconnect_mw.django.recorded import Recorded
from jwtconnect_mw.django.revocations import OrmRevocationList
from jwtconnect_mw.django.views import open_view
from jwtconnect_mw.errors import ConfigurationError
from jwtconnect_mw.issuer import GrantError, Tokens
from jwtconnect_mw.issuer.errors import ServiceUnavailable
from jwtconnect_mw.issuer.shared import SharedSecret
from jwtconnect_mw.revocation import ReplicatedRevocationList, SQLiteRevocationList
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.testing.revocation.races import together

from .django_kit import AUDIENCE
from .djproject.databases import with_sqlite
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
        "granted_scope": "read write",
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


def found(text: str | None) -> Recorded:
    made = records.find(jti(text))
    assert made is not None
    return made


def rows() -> list[JWTConnectAuthToken]:
    return list(JWTConnectAuthToken.objects.order_by("pk"))


def test_each_refresh_has_a_row(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user, scope="read write")
    second = issuer.refresh(first.refresh_token or "", scope="read")
    third = issuer.refresh(second.refresh_token or "")
    pairs = first, second, third
    told = [(row.user, row.sid, row.sequence, row.scope, row.granted_scope) for row in rows()]
    assert told == [
        (user, first.session, 0, "read write", "read write"),
        (user, first.session, 1, "read", "read write"),
        (user, first.session, 2, "read write", "read write"),
    ]
    for tokens in pairs:
        access, refresh = found(tokens.access_token), found(tokens.refresh_token)
        assert (access.kind, access.is_live(issuer)) == ("access", True), "until it expires"
        assert (refresh.kind, refresh.is_live(issuer)) == ("refresh", tokens is third)
        for each, text in ((access, tokens.access_token), (refresh, tokens.refresh_token)):
            said = each.to_dict()
            assert said == {name: claims(text).get(name) for name in said}
    assert found(second.access_token).to_dict()["scope"] == "read"
    assert found(second.refresh_token).to_dict()["scope"] == "read write"
    assert [row.sequence for row in records.live(user)] == [2], "a session counts once"


def test_a_retry_has_a_row_too(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user)
    answers = [issuer.refresh(first.refresh_token or "") for _ in range(3)]
    assert [row.sequence for row in rows()] == [0, 1, 1, 1]
    assert len({row.refresh_jti for row in rows()[1:]}) == 1
    assert all(found(tokens.access_token).is_live(issuer) for tokens in answers)
    refresh = found(answers[2].refresh_token)
    assert (refresh.row, refresh.is_live(issuer)) == (rows()[1], True)
    assert records.live(user).count() == 1


def test_records_that_come_late(user: Any, issuer: ProjectIssuer) -> None:
    """The answers of one session overtake each other, or come twice; one may have no user yet."""
    first = issuer.issue(str(user.pk))
    second = issuer.refresh(first.refresh_token or "")
    JWTConnectAuthToken.objects.all().delete()
    for tokens in (second, second):
        records.record(tokens)
    records.record(first, user=user)
    assert [(row.user, row.sequence) for row in rows()] == [(None, 1), (None, 1), (user, 0)]
    assert found(second.refresh_token).is_live(issuer)
    assert not found(first.refresh_token).is_live(issuer)


def test_many_record_at_once(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user)
    answers = [issuer.refresh(first.refresh_token or "") for _ in range(6)]
    JWTConnectAuthToken.objects.exclude(sequence=0).delete()

    def record(tokens: Tokens) -> None:
        try:
            records.record(tokens)
        finally:
            connections["default"].close()

    together([partial(record, tokens) for tokens in answers])
    assert {(row.user, row.access_jti) for row in rows()[1:]} == {
        (user, jti(tokens.access_token)) for tokens in answers
    }


def test_a_record_that_comes_after_the_revocation(user: Any, issuer: ProjectIssuer) -> None:
    first, _ = issuing.issue(user)
    second = issuer.refresh(first.refresh_token or "")
    JWTConnectAuthToken.objects.filter(sequence=1).delete()
    issuer.revoke(session=first.session)
    records.record(second)
    assert [row.is_active for row in rows()] == [False, False]
    assert not records.live(user).exists()


def test_a_record_that_fails_breaks_no_refresh(
    user: Any, issuer: ProjectIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the transaction around it."""
    tokens, _ = issuing.issue(user)

    def no_records(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT" in sql and JWTConnectAuthToken._meta.db_table in sql:
            execute("SELECT 1 FROM no_such_table", (), many, context)
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(no_records), caplog.at_level(logging.ERROR, "jwtconnect_mw.django"):
        again = issuer.refresh(tokens.refresh_token or "")
        with transaction.atomic():
            with pytest.raises(DatabaseError):
                records.record(again)
            assert len(rows()) == 1
    assert len(caplog.records) == 1
    assert issuer.refresh(again.refresh_token or "")


def test_tokens_of_a_client(issuer: ProjectIssuer) -> None:
    client = issuer.clients.find("service")
    assert client is not None
    tokens = issuer.client_credentials(client)
    row = only()
    assert (str(row), row.sid, row.refresh_exp) == (f"service: {row.issued_at}", None, None)
    assert found(tokens.access_token).is_live(issuer)
    said = claims(tokens.access_token)
    told = found(tokens.access_token).to_dict()
    assert told == {name: said[name] for name in told}
    assert "auth_time" not in told
    assert issuing.revoke_rows([row]) == 1
    assert not found(tokens.access_token).is_live(issuer)


def test_tokens_of_a_client_whose_earlier_ones_were_revoked() -> None:
    clock = ManualClock()
    settings = {"clients": {"service": "s" * 32}, "single_session": True}
    with issuing_project(settings, clock=clock) as issuer:
        client = issuer.clients.find("service")
        assert client is not None
        first = issuer.client_credentials(client)
        issuer.revoke(subject="service")
        in_the_same_second = issuer.client_credentials(client)
        clock.advance(5)
        later = issuer.client_credentials(client)
        issuer.revoke(subject="service", before=1.0)
        for tokens, good in (first, False), (in_the_same_second, True), (later, True):
            assert issuer.introspect(tokens.access_token, caller="service")["active"] is good
            assert found(tokens.access_token).is_live(issuer) is good
        said = claims(in_the_same_second.access_token)
        assert found(in_the_same_second.access_token).to_dict()["auth_time"] == said["auth_time"]


def test_a_client_gets_its_token_whatever_becomes_of_the_record(
    issuer: ProjectIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    client = issuer.clients.find("service")
    assert client is not None

    def no_records(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT" in sql and JWTConnectAuthToken._meta.db_table in sql:
            raise DatabaseError
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(no_records), caplog.at_level(logging.ERROR, "jwtconnect_mw.django"):
        assert issuer.client_credentials(client).access_token
    assert len(caplog.records) == 1


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
    access = claims(tokens.access_token)
    told = found(tokens.access_token).to_dict()
    assert told == {name: access[name] for name in told}
    assert set(told) == {"jti", "iat", "exp", "sub", "aud", "client_id", "sid", "auth_time"}
    assert found(tokens.refresh_token).to_dict()["exp"] == claims(tokens.refresh_token)["exp"]
    issuing.issue(user, scope="read")
    assert [row.aud for row in records.live(user)] == [[AUDIENCE], ["a", "b"]]


def test_a_token_lives_no_longer_than_it_does(user: Any, issuer: ProjectIssuer) -> None:
    tokens, row = issuing.issue(user)
    assert row is not None
    access, refresh = found(tokens.access_token), found(tokens.refresh_token)
    assert (access.is_live(issuer), refresh.is_live(issuer)) == (True, True)
    for gone in (replace(access, expires_at=None), replace(access, expires_at=int(issuer.clock()))):
        assert not gone.is_live(issuer)
    issuer.refresh(tokens.refresh_token or "")
    assert not refresh.is_live(issuer), "spent"
    for column in ("sid", "sub", "auth_time"):
        setattr(row, column, None)
        assert not replace(refresh, row=row).is_live(issuer)
    issuer.revoke(token=tokens.access_token)
    assert [each.is_active for each in rows()] == [True, True], "the session goes on"
    assert not access.is_live(issuer)
    row.is_active = False
    assert not replace(access, token_id="other", row=row).is_live(issuer)


def test_revocations_are_noted(user: Any, issuer: ProjectIssuer) -> None:
    pairs = [issuing.issue(user)[0] for _ in range(4)]

    def active() -> list[bool]:
        states = {tokens.session: {row.is_active for row in rows() if row.sid == tokens.session} for tokens in pairs}
        assert all(len(state) == 1 for state in states.values()), "all rows of a session say the same"
        return [True in states[tokens.session] for tokens in pairs]

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
    issuer.revoke(session="a\0b")
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
        assert [found(tokens.access_token).is_live(issuer) for tokens in (first, second, other)] == [False, True, True]
        issuer.refresh(second.refresh_token or "")
        records.record(first, user=user, alone=True)
        assert [row.sid for row in records.live(user)][-1] == second.session, "a late record ends nothing newer"
        with_own_check = {"single_session": True, "is_active": lambda _: True}
    with issuing_project(with_own_check) as issuer:
        for _ in range(2):
            records.record(issuer.issue("nobody"), alone=True)
    assert list(JWTConnectAuthToken.objects.filter(sub="nobody").values_list("is_active", flat=True)) == [False, True]


def can_refresh(issuer: ProjectIssuer, tokens: Tokens) -> bool:
    try:
        issuer.refresh(tokens.refresh_token or "")
    except GrantError:
        return False
    return True


def rename(user: Any, name: str) -> None:
    user.username = name
    user.save()


def test_only_the_newest_of_a_user_that_was_renamed(user: Any) -> None:
    with issuing_project({"single_session": True}, user_lookup="username") as issuer:
        first, _ = issuing.issue(user)
        rename(user, "ALICE")
        second, _ = issuing.issue(user)
        assert [row.is_active for row in rows()] == [False, True]
        for tokens, good in (first, False), (second, True):
            assert issuer.introspect(tokens.access_token, caller="first-party")["active"] is good
            assert found(tokens.access_token).is_live(issuer) is good
        assert can_refresh(issuer, second)
        assert not can_refresh(issuer, first)


def test_a_name_that_somebody_else_has_taken_over(user: Any) -> None:
    """The list goes by the subject, and so do the records."""
    with issuing_project({"single_session": True}, user_lookup="username") as issuer:
        first, _ = issuing.issue(user)
        rename(user, "alicia")
        second, _ = issuing.issue(make_user("alice"))
        third, _ = issuing.issue(user)
        for tokens, good in (first, False), (second, True), (third, True):
            assert issuer.introspect(tokens.access_token, caller="first-party")["active"] is good
            assert found(tokens.access_token).row.is_active is good


def test_what_is_recorded_as_revoked_is_revoked_all_the_same(user: Any) -> None:
    """Whatever became of a session that began under another name, nothing relies on its record."""
    with issuing_project(user_lookup="username") as issuer:
        tokens, _ = issuing.issue(user)
        JWTConnectAuthToken.objects.update(is_active=False)
        rename(user, "alicia")
        issuing.revoke_user(user)
        assert not issuer.introspect(tokens.access_token, caller="first-party")["active"]


def test_a_record_of_another_name_ends_nothing(user: Any) -> None:
    """It is for the issuer to end those sessions."""
    with issuing_project({"single_session": True}, user_lookup="username") as issuer:
        first, _ = issuing.issue(user)
        JWTConnectAuthToken.objects.update(auth_time=1)
        rename(user, "alicia")
        records.record(issuer.issue_for(user), user=user, alone=True)
        assert issuer.introspect(first.access_token, caller="first-party")["active"]
        assert [row.is_active for row in rows()] == [True, True]


def agree(issuer: ProjectIssuer, tokens: Tokens) -> tuple[bool, bool]:
    """Whether the two are good: as their texts say, and as their records do."""
    said = []
    for text in (tokens.access_token, tokens.refresh_token or ""):
        said.append(issuer.introspect(text, caller="first-party")["active"])
        assert found(text).is_live(issuer) is said[-1]
    return said[0], said[1]


def test_what_was_signed_with_a_key_that_was_dropped(user: Any, tmp_path: Path) -> None:
    with issuing_project({"keys": tmp_path / "keys.json"}) as issuer:
        tokens, _ = issuing.issue(user)
        assert agree(issuer, tokens) == (True, True)
        kid = issuer.keys.list()[0].kid
        issuer.keys.rotate(at_once=True)
        assert agree(issuer, tokens) == (True, True)
        issuer.keys.drop(kid)
        assert agree(issuer, tokens) == (False, True)
        again = issuer.refresh(tokens.refresh_token or "")
        issuer.keys.drop(issuer.keys.refresh_secrets()[0].kid)
        assert agree(issuer, again) == (True, False)


def test_what_was_issued_under_another_name(user: Any) -> None:
    tokens, _ = issuing.issue(user)
    with issuing_project({"issuer": "https://other.example"}) as other:
        assert agree(other, tokens) == (False, False)
        other.revoke(subject=str(user.pk))
        assert only().is_active, "its list entry is of the new name"


def test_a_copy_of_the_list_is_not_asked(user: Any, tmp_path: Path) -> None:
    """What it has not read yet counts where the issuer itself is asked."""
    file = tmp_path / "revoked.sqlite3"
    with (
        closing(SQLiteRevocationList(file)) as elsewhere,
        closing(ReplicatedRevocationList(SQLiteRevocationList(file), poll=60.0, max_staleness=120.0)) as copy,
        issuing_project(revocations=lambda: copy) as issuer,
    ):
        first, second = (issuing.issue(user)[0] for _ in range(2))
        identity = issuer.issuer, None, first.session, str(user.pk), int(issuer.clock()), issuer.clock()
        assert copy.sync()
        elsewhere.revoke_session(issuer.issuer, first.session or "", expires_at=issuer.clock() + 3600)
        assert agree(issuer, first) == (False, False)
        assert agree(issuer, second) == (True, True)
        elsewhere.revoke_subject(issuer.issuer, str(user.pk), expires_at=issuer.clock() + 3600)
        records.note("revoked", {"subject": str(user.pk)})
        assert [row.is_active for row in rows()] == [False, False]
        assert not copy.is_revoked(*identity), "it has read nothing meanwhile"


def test_the_newest_session_is_the_one_that_began_last(user: Any) -> None:
    """However often an older one was refreshed since."""
    clock = ManualClock()
    with issuing_project(clock=clock) as issuer:
        older, _ = issuing.issue(user)
        clock.advance(60)
        newer, _ = issuing.issue(user)
        clock.advance(60)
        issuer.refresh(older.refresh_token or "")
        assert [each.sid for each in records.live(user)] == [newer.session, older.session]
        assert remove_older_tokens(user) == 1
        assert (can_refresh(issuer, older), can_refresh(issuer, newer)) == (False, True)


@pytest.mark.parametrize("ahead", [-1e8, 1e8])
def test_the_clock_of_the_settings_counts(user: Any, ahead: float) -> None:
    clock = ManualClock(int(time.time() + ahead))
    with issuing_project({"access_lifetime": 60, "refresh_lifetime": 600}, clock=clock) as issuer:
        tokens, _ = issuing.issue(user)
        issuing.issue(make_user("bob"))
        row = records.live(user).get()
        assert (row.is_access_expired(), row.is_refresh_expired()) == (False, False)
        clock.advance(60)
        assert (row.is_access_expired(), row.is_refresh_expired()) == (True, False)
        assert records.unexpired(user).count() == records.live(user).count() == 1
        assert can_refresh(issuer, tokens)
        clock.advance(600)
        assert not records.unexpired(user).exists()
        assert not records.live(user).exists()
        assert records.purge() == 2
        clock.advance(1)
        assert records.purge() == 1


@pytest.fixture
def in_rome() -> Iterator[None]:
    """Where on 31 October 2027, at 01:00 UTC, clocks go from 03:00 back to 02:00."""
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Rome"):
        yield


@pytest.mark.parametrize("minutes", range(-90, 91, 30))
def test_the_hour_that_comes_twice(user: Any, in_rome: None, minutes: int) -> None:
    clock = ManualClock(datetime.datetime(2027, 10, 31, 1, tzinfo=datetime.timezone.utc).timestamp() + minutes * 60)
    with issuing_project({"access_lifetime": 1800, "refresh_lifetime": 3600}, clock=clock) as issuer:
        tokens, _ = issuing.issue(user)
        row = only()
        assert row.iat == clock.now
        assert row.access_exp == claims(tokens.access_token)["exp"]
        assert row.refresh_exp == claims(tokens.refresh_token)["exp"]
        for _ in range(5):
            _, good = agree(issuer, tokens)
            assert records.live(user).exists() is good
            assert records.unexpired(user).exists() is good
            assert records.purge() == 0 or not good
            clock.advance(901)


def test_what_a_shared_secret_signed(user: Any, issuer: ProjectIssuer) -> None:
    signed, _ = issuing.issue(user)
    with issuing_project({"keys": SharedSecret(b"s" * 32)}) as sharing:
        tokens, _ = issuing.issue(user)
        assert agree(sharing, tokens) == (True, True)
        assert agree(sharing, signed) == (False, False)
    with issuing_project() as issuer:
        assert agree(issuer, tokens) == (False, False)


def aged(row: JWTConnectAuthToken, hours: float) -> None:
    for name in ("issued_at", "access_expire_at", "refresh_expire_at", "created"):
        value = getattr(row, name)
        JWTConnectAuthToken.objects.filter(pk=row.pk).update(**{name: value and value - hours * AN_HOUR})
    for name in ("issued_second", "access_end", "refresh_end"):
        value = getattr(row, name)
        JWTConnectAuthToken.objects.filter(pk=row.pk).update(**{name: value and value - hours * 3600})


def test_rows_go_when_their_tokens_have_expired(user: Any, issuer: ProjectIssuer) -> None:
    pairs = [issuing.issue(user)[1] for _ in range(6)]
    for row in pairs[:4]:
        assert row is not None
        aged(row, 3)
    lasting, client = pairs[2:4]
    JWTConnectAuthToken.objects.filter(pk=lasting.pk).update(access_end=time.time() + 3600)  # type: ignore[union-attr]  # it was recorded
    JWTConnectAuthToken.objects.filter(pk=client.pk).update(refresh_expire_at=None, refresh_end=None)  # type: ignore[union-attr]  # as above
    JWTConnectAuthToken.objects.create(user=user)
    assert records.purge(keep=4 * 3600.0) == 0
    assert [records.purge(limit=2), records.purge(limit=2), records.purge(limit=2)] == [2, 2, 0]
    assert rows() == [lasting, *pairs[4:]]


def test_new_rows_pay_for_old_ones(user: Any) -> None:
    """So that there are never many more than those of tokens that are good, and of a day."""
    pairs = [issuing.issue(user)[1] for _ in range(4)]
    for row, hours in zip(pairs, (26, 26, 26, 20), strict=True):
        assert row is not None
        aged(row, hours)
    tokens, _ = issuing.issue(user)
    assert len(rows()) == 3
    issuing.issuer().refresh(tokens.refresh_token or "")
    assert rows()[0] == pairs[3]


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
    assert told == [("issued", (row.pk, first)), ("refreshed", (rows()[-1].pk, second))]


class Views:
    """A project whose own view refreshes."""

    presented = ""

    @staticmethod
    def refresh(request: HttpRequest) -> HttpResponse:
        return HttpResponse(issuing.issuer().refresh(Views.presented).access_token)

    @staticmethod
    def fails(request: HttpRequest, what: str) -> HttpResponse:
        """After it was told that its write is done, or that it is not."""
        issuer = issuing.issuer()
        try:
            issuer.refresh(Views.presented) if what == "refresh" else issuer.revoke(token=Views.presented)
            Views.told = "done"
        except GrantError as error:
            Views.told = error.reason
        raise ZeroDivisionError

    @staticmethod
    def revokes(request: HttpRequest) -> HttpResponse:
        issuing.issuer().revoke(token=Views.presented)
        return HttpResponse("done")

    told = ""
    urlpatterns = (path("refresh", refresh), path("fails/<what>", fails))


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


@pytest.mark.parametrize("atomic", [(), ("default",), ("revoked",), ("default", "revoked")], ids="+".join)
def test_a_list_in_an_sqlite_file_of_its_own(user: Any, tmp_path: Path, atomic: tuple[str, ...]) -> None:
    """A view that fails loses nothing that it was told is done, whichever database has ATOMIC_REQUESTS."""
    with (
        with_sqlite(tmp_path / "revoked.sqlite3", "revoked") as alias,
        issuing_project(revocations=lambda: OrmRevocationList(alias)) as issuer,
        override_settings(ROOT_URLCONF=Views),
    ):
        works = alias not in atomic
        warned = {problem.id for problem in run_checks(include_deployment_checks=True)}
        assert "jwtconnect_mw.W008" not in warned
        for name in atomic:
            connections[name].settings_dict["ATOMIC_REQUESTS"] = True
        try:
            warned = {problem.id for problem in run_checks(include_deployment_checks=True)}
            assert ("jwtconnect_mw.W008" in warned) is not works
            for what in "refresh", "revoke":
                tokens, _ = issuing.issue(user)
                Views.presented = tokens.refresh_token or ""
                assert Client(raise_request_exception=False).get(f"/fails/{what}").status_code == 500
                assert Views.told == ("done" if works else ServiceUnavailable.reason)
                access, refresh = found(tokens.access_token), found(tokens.refresh_token)
                assert access.is_live(issuer) is (what == "refresh" or not works)
                assert refresh.is_live(issuer) is not works, "spent, or revoked"

            class Opened:
                urlpatterns = (path("revokes", open_view(Views.revokes)),)

            with override_settings(ROOT_URLCONF=Opened):
                assert Client().get("/revokes").content == b"done", "the endpoints are in no transaction"
            assert not refresh.is_live(issuer)
        finally:
            for name in atomic:
                connections[name].settings_dict["ATOMIC_REQUESTS"] = False
