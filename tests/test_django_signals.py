"""What happens to tokens when something happens to users, where the settings want it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .django_users import clean, issuing_project, make_user

# Django's settings must be there first.
from django.apps import apps  # isort: skip
from django.contrib.auth import authenticate, get_user_model, login, logout  # isort: skip
from django.contrib.auth.hashers import make_password  # isort: skip
from django.contrib.auth.models import AnonymousUser  # isort: skip
from django.contrib.auth.signals import user_logged_in, user_logged_out  # isort: skip
from django.contrib.sessions.backends.db import SessionStore  # isort: skip
from django.db import DatabaseError, OperationalError, connection, models, transaction  # isort: skip
from django.http import HttpRequest  # isort: skip
from django.test import override_settings  # isort: skip

from jwtconnect_mw.django import issuing, records, signals
from jwtconnect_mw.django.actions import remove_older_tokens
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken, RevocationEntry

ALL = dict.fromkeys(signals.SETTINGS, True)


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    clean()
    yield
    clean()


@pytest.fixture
def issuer() -> Iterator[ProjectIssuer]:
    with issuing_project(**ALL) as made:
        yield made


@pytest.fixture
def user() -> Any:
    return make_user()


def request() -> HttpRequest:
    made = HttpRequest()
    made.session = SessionStore()
    made.user = AnonymousUser()
    return made


def live(user: Any) -> list[bool]:
    """Of each session of the user, the oldest first, whether it is good; as the table and as the list say."""
    found = []
    for row in JWTConnectAuthToken.objects.filter(user=user).order_by("pk"):
        access = records.find(row.access_jti)
        assert access is not None
        issues = issuing.issuer()
        revoked = issues.revocations.is_revoked(
            issues.issuer, row.access_jti, row.sid, row.sub, row.auth_time, issues.clock()
        )
        assert row.is_active is not revoked
        found.append(access.is_live(issues))
    return found


def test_everything_is_off_unless_wanted(user: Any) -> None:
    with issuing_project() as issuer:
        tokens, _ = issuing.issue(user)
        asked = request()
        login(asked, user)
        assert not hasattr(asked, "jwt_tokens")
        logout(asked)
        user.set_password("other")
        user.is_active = False
        user.save()
        assert live(user) == [True]
        user.is_active = True
        user.save()
        issuer.refresh(tokens.refresh_token or "")
        user.refresh_from_db()
        before = user.last_login
        assert before is not None, "of the login"
        user.delete()
        assert not issuer.revocations.is_revoked(issuer.issuer, None, tokens.session, "1", None, issuer.clock())


def test_a_login_makes_a_pair_where_there_is_none(issuer: ProjectIssuer, user: Any) -> None:
    first, second, third = request(), request(), request()
    login(first, user)
    tokens = first.jwt_tokens  # type: ignore[attr-defined]  # by the signal
    assert first.session[signals.SESSION_KEY] == tokens.session
    login(second, user)
    assert not hasattr(second, "jwt_tokens")
    logout(second)
    assert live(user) == [True], "it is that of the first login"
    issuer.revoke(session=tokens.session)
    login(third, user)
    assert third.jwt_tokens.session != tokens.session  # type: ignore[attr-defined]  # by the signal
    assert live(user) == [False, True]


def test_a_login_that_has_no_session(issuer: ProjectIssuer, user: Any) -> None:
    for asked in (None, HttpRequest()):
        JWTConnectAuthToken.objects.all().delete()
        user_logged_in.send(type(user), request=asked, user=user)
        assert live(user) == [True]


def test_a_login_makes_a_pair_where_a_record_does_not_know_that_the_session_ended(user: Any, tmp_path: Path) -> None:
    with issuing_project({"keys": tmp_path / "keys.json"}, **ALL) as issuer:
        tokens, _ = issuing.issue(user)
        issuer.revocations.revoke_session(issuer.issuer, tokens.session or "", expires_at=issuer.clock() + 3600)
        assert records.live(user).count() == 1
        asked, again = request(), request()
        login(asked, user)
        assert issuer.refresh(asked.jwt_tokens.refresh_token)  # type: ignore[attr-defined]  # by the signal
        login(again, user)
        assert not hasattr(again, "jwt_tokens")
        issuer.keys.drop(issuer.keys.refresh_secrets()[0].kid)
        login(again, user)
        assert hasattr(again, "jwt_tokens")


def test_a_login_goes_on_where_the_list_does_not_answer(
    issuer: ProjectIssuer, user: Any, caplog: pytest.LogCaptureFixture
) -> None:
    issuing.issue(user)
    asked = request()

    def no_list(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if RevocationEntry._meta.db_table in sql:
            raise DatabaseError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(no_list), caplog.at_level(logging.ERROR, "jwtconnect_mw.django"):
        login(asked, user)
    assert asked.user == user
    assert not hasattr(asked, "jwt_tokens")
    assert caplog.records


def test_a_login_goes_on_without_tokens(issuer: ProjectIssuer, user: Any, caplog: pytest.LogCaptureFixture) -> None:
    issuer.revoke(subject=str(user.pk), before=issuer.clock() + 3600)
    asked = request()
    with caplog.at_level(logging.ERROR, "jwtconnect_mw.django"):
        login(asked, user)
    assert not hasattr(asked, "jwt_tokens")
    assert signals.SESSION_KEY not in asked.session
    assert asked.user == user
    assert len(caplog.records) == 1


@pytest.mark.parametrize("statement", ["SELECT", "INSERT"])
def test_a_login_goes_on_without_records(
    issuer: ProjectIssuer, user: Any, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    """Not even a login that is one transaction with what else is done in the request."""

    def fail(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith(statement) and JWTConnectAuthToken._meta.db_table in sql:
            raise OperationalError("the address of the server")
        return execute(sql, *more)

    issuing.issue(make_user("bob"))  # else the list would have to begin, which SQLite refuses in a transaction
    asked = request()
    with (
        caplog.at_level(logging.ERROR, "jwtconnect_mw.django"),
        connection.execute_wrapper(fail),
        transaction.atomic(),
    ):
        login(asked, user)
        user.save()
    assert (asked.user, hasattr(asked, "jwt_tokens"), signals.SESSION_KEY in asked.session) == (user, False, False)
    assert [record.getMessage() for record in caplog.records] == ["no tokens at a login: OperationalError"]
    assert not JWTConnectAuthToken.objects.filter(user=user).exists()


def test_a_logout_ends_the_session_of_its_login(issuer: ProjectIssuer, user: Any) -> None:
    asked = request()
    login(asked, user)
    issuing.issue(user)
    logout(asked)
    assert live(user) == [False, True]


def test_a_logout_ends_a_session_that_could_not_be_recorded(user: Any) -> None:
    with issuing_project({"audience": "https://" + "a" * 300}, **ALL) as issuer:
        asked = request()
        login(asked, user)
        tokens = asked.jwt_tokens  # type: ignore[attr-defined]  # by the signal
        assert not JWTConnectAuthToken.objects.exists()
        assert issuer.introspect(tokens.access_token, caller="first-party")["active"]
        logout(asked)
        assert not issuer.introspect(tokens.access_token, caller="first-party")["active"]


def test_a_logout_ends_access_tokens_that_outlast_the_refresh_token(user: Any) -> None:
    """Whatever the records say of the session."""
    with issuing_project({"access_lifetime": 7200}, **ALL) as issuer:
        for forget in False, True:
            asked = request()
            login(asked, user)
            if forget:
                JWTConnectAuthToken.objects.all().delete()
            else:
                JWTConnectAuthToken.objects.update(refresh_end=issuer.clock() - 3600)
                assert not records.live(user).exists()
            sid = asked.session[signals.SESSION_KEY]
            logout(asked)
            assert issuer.revocations.is_revoked(issuer.issuer, None, sid, None, None, issuer.clock())


def test_access_tokens_that_outlast_the_refresh_token_end_with_the_others() -> None:
    with issuing_project({"access_lifetime": 7200}, user="database", user_lookup="username") as issuer:
        user = make_user()
        outlasting, _ = issuing.issue(user)
        JWTConnectAuthToken.objects.update(refresh_end=issuer.clock() - 3600)
        newer, _ = issuing.issue(user)
        again = issuer.refresh(newer.refresh_token or "")
        assert remove_older_tokens(user) == 1
        assert live(user) == [False, True, True]
        assert remove_older_tokens(user) == 0
        user.username = "alicia"
        user.save()
        issuing.revoke_user(user)
        assert live(user) == [False] * 3
        assert remove_older_tokens(user) == 0
        assert {outlasting.session, again.session} == {row.sid for row in JWTConnectAuthToken.objects.all()}


@pytest.mark.parametrize("made_by_logins", [False, True])
def test_a_logout_that_knows_no_session_ends_all_where_no_login_makes_one(user: Any, made_by_logins: bool) -> None:
    with issuing_project(revoke_on_logout=True, issue_on_login=made_by_logins):
        for asked in (request(), HttpRequest(), None):
            JWTConnectAuthToken.objects.all().delete()
            issuing.issue(user)
            issuing.issue(user)
            user_logged_out.send(type(user), request=asked, user=user)
            assert live(user) == [made_by_logins] * 2


def test_a_logout_of_nobody(issuer: ProjectIssuer, user: Any) -> None:
    issuing.issue(user)
    for nobody in (None, AnonymousUser()):
        user_logged_out.send(type(nobody), request=request(), user=nobody)
    assert live(user) == [True]


def other_password(user: Any) -> None:
    user.set_password("other")
    user.save()


def other_hash(user: Any) -> None:
    user.password = make_password("other")
    user.save(update_fields=["password"])


def no_password(user: Any) -> None:
    user.set_unusable_password()
    user.save()


def first_password(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(password="!")
    user.password = make_password("other")
    user.save()


def no_password_for_an_outdated_one(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(password=make_password("first", hasher="pbkdf2_sha256"))
    user.set_unusable_password()
    user.save(update_fields=["password"])


def other_hash_for_an_outdated_one(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(password=make_password("first", hasher="pbkdf2_sha256"))
    user.password = make_password("other")
    user.save()


def switched_off(user: Any) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def deleted(user: Any) -> None:
    get_user_model().objects.get(pk=user.pk).delete()


ENDING = (
    other_password,
    other_hash,
    no_password,
    first_password,
    no_password_for_an_outdated_one,
    other_hash_for_an_outdated_one,
    switched_off,
)


@pytest.mark.parametrize("change", ENDING)
def test_what_ends_all_sessions(issuer: ProjectIssuer, user: Any, change: Any) -> None:
    other = make_user("bob")
    for owner in (user, user, other):
        issuing.issue(owner)
    change(user)
    assert live(user) == [False, False]
    assert live(other) == [True]


def test_what_is_done_through_a_proxy_of_the_user_model(issuer: ProjectIssuer, user: Any) -> None:
    try:

        class Staff(get_user_model()):  # type: ignore[misc]  # whatever it is
            class Meta:
                proxy = True
                app_label = "auth"

        signals.connect()
        issuing.issue(user)
        staff = Staff.objects.get(pk=user.pk)
        other_password(staff)
        assert live(user) == [False]
        tokens, _ = issuing.issue(user)
        staff.delete()
        gone = issuer.issuer, None, tokens.session, str(user.pk), issuer.clock() - 1, issuer.clock()
        assert issuer.revocations.is_revoked(*gone)
    finally:
        apps.all_models["auth"].pop("staff", None)
        apps.clear_cache()


def test_a_user_that_is_gone(issuer: ProjectIssuer, user: Any) -> None:
    tokens, _ = issuing.issue(user)
    deleted(user)
    assert not JWTConnectAuthToken.objects.exists()
    assert issuer.revocations.is_revoked(
        issuer.issuer, None, tokens.session, str(user.pk), issuer.clock() - 1, issuer.clock()
    )


def test_a_user_that_is_gone_and_had_another_name() -> None:
    """Sessions that began under the older name are found by their rows, which go with the user."""
    with issuing_project(user="database", user_lookup="username", **ALL) as issuer:
        user = make_user()
        tokens, _ = issuing.issue(user)
        user.username = "alicia"
        user.save()
        deleted(user)
        gone = issuer.issuer, None, tokens.session, "alice", issuer.clock() - 1, issuer.clock()
        assert issuer.revocations.is_revoked(*gone)


def renamed(user: Any) -> None:
    user.first_name = "Alice"
    user.save()


def other_fields(user: Any) -> None:
    user.set_password("other")  # in memory only
    user.is_active = False
    user.save(update_fields=["first_name"])


def upgraded(user: Any) -> None:
    """As Django does at a login, when hashes are made in another way than they were."""
    get_user_model().objects.filter(pk=user.pk).update(password=make_password("first", hasher="pbkdf2_sha256"))
    assert authenticate(username="alice", password="first") == user
    user.refresh_from_db()
    assert user.password.startswith("md5$")


def loaded(user: Any) -> None:
    """From a fixture, as it was."""
    user.password = "!"
    user.save_base(raw=True)


def as_it_was(user: Any) -> None:
    user.save()


@pytest.mark.parametrize("change", [renamed, other_fields, upgraded, loaded, as_it_was])
def test_what_ends_no_session(issuer: ProjectIssuer, user: Any, change: Any) -> None:
    issuing.issue(user)
    change(user)
    assert live(user) == [True]


def test_a_hash_of_a_hasher_that_is_gone(issuer: ProjectIssuer, user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(password="unheard-of$of")
    issuing.issue(user)
    other_hash(user)
    assert live(user) == [False]


class Undone(Exception):
    """Something that a view raises."""


def test_a_change_that_is_rolled_back(issuer: ProjectIssuer, user: Any) -> None:
    issuing.issue(user)
    with pytest.raises(Undone), transaction.atomic():  # noqa: PT012  # the view of a project
        other_password(user)
        raise Undone
    assert live(user) == [True]
    with transaction.atomic():
        other_password(user)
        assert live(user) == [True], "not before it is committed"
    assert live(user) == [False]


def test_only_what_is_asked_for(user: Any) -> None:
    with issuing_project(revoke_on_deactivation=True):
        issuing.issue(user)
        other_password(user)
        assert live(user) == [True]
        switched_off(user)
        assert live(user) == [False]
    user.is_active = True
    user.save()
    with issuing_project(revoke_on_password_change=True):
        JWTConnectAuthToken.objects.all().delete()
        issuing.issue(user)
        switched_off(user)
        deleted_later = live(user)
        assert deleted_later == [True]


def test_users_of_another_shape() -> None:
    class Plain(models.Model):
        class Meta:
            app_label = "nowhere"

    with issuing_project(**ALL):
        assert signals._watched(Plain(), None) == []


@pytest.mark.parametrize("older", [False, True])
def test_a_refresh_is_a_sign_of_life(user: Any, older: bool) -> None:
    settings = {} if older else {"update_last_login": True}
    with (
        issuing_project({"is_active": lambda _: True}, **settings) as issuer,
        override_settings(JWTAUTH_UPDATE_LAST_LOGIN=older),
    ):
        tokens, _ = issuing.issue(user)
        user.refresh_from_db()
        assert user.last_login is None
        nobody = issuer.issue("nobody")
        for text in (tokens.refresh_token, nobody.refresh_token):
            issuer.refresh(text or "")
        user.refresh_from_db()
        assert user.last_login is not None
