"""The admin of token pairs: it opens, finds, shows no token, revokes, and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .django_users import clean, issuing_project, make_user

# Django's settings must be there first.
from django.contrib.auth.models import Permission  # isort: skip
from django.db import connection  # isort: skip
from django.test import Client, override_settings  # isort: skip
from django.test.utils import CaptureQueriesContext  # isort: skip
from django.urls import reverse  # isort: skip

from jwtconnect_mw.django import issuing
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken

from .django_kit import project, verifying

LIST = "admin:jwtconnect_mw_jwtconnectauthtoken_changelist"
ONE = "admin:jwtconnect_mw_jwtconnectauthtoken_change"


@pytest.fixture(autouse=True)
def issuer() -> Iterator[ProjectIssuer]:
    clean()
    with issuing_project() as made:
        yield made
    clean()


@pytest.fixture
def client() -> Client:
    made = Client()
    made.force_login(make_user("root", is_staff=True, is_superuser=True))
    return made


def staff(*codenames: str) -> Client:
    user = make_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    made = Client()
    made.force_login(user)
    return made


def revoke(client: Client, *rows: Any) -> str:
    chosen = {"action": "revoke", "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(LIST), chosen, follow=True).content.decode()


def test_the_list_and_a_row(client: Client) -> None:
    tokens, row = issuing.issue(make_user())
    JWTConnectAuthToken.objects.create(sub="nobody")
    assert row is not None
    for url in (reverse(LIST), reverse(ONE, args=[row.pk])):
        answer = client.get(url)
        page = answer.content.decode()
        assert (answer.status_code, "alice" in page) == (200, True)
        for text in (tokens.access_token, tokens.refresh_token):
            assert text is not None
            assert not any(segment in page for segment in text.split("."))
        assert 'name="_save"' not in page
        assert "deletelink" not in page
        assert "delete_selected" not in page


def test_a_page_costs_the_same_however_long_it_is(client: Client) -> None:
    numbers = []
    for name in ("a", "b", "c"):
        issuing.issue(make_user(name))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(reverse(LIST))
        numbers.append(len(queries))
    assert len(set(numbers)) == 1


def found(client: Client, question: str | None) -> list[bool]:
    """Of each row, whether it is listed."""
    answer = client.get(reverse(LIST), {"q": question})
    assert answer.status_code == 200
    page = answer.content.decode()
    return [f"/{row.pk}/change/" in page for row in JWTConnectAuthToken.objects.order_by("pk")]


def test_search(client: Client) -> None:
    _, row = issuing.issue(make_user())
    issuing.issue(make_user("bob"))
    assert row is not None
    for question in ("alice", "ALIC", " ali ce ", row.access_jti, row.refresh_jti, row.sid):
        assert found(client, question) == [True, False]
    assert found(client, row.sub)[0]
    assert found(client, "") == [True, True]
    assert found(client, "carol") == [False, False]


@pytest.mark.parametrize(
    "question", ["\0", "a\0b", "'", '"', '"a', "%", "\u2603\U0001f600", "x" * 5000, "\\", "a b " * 50]
)
def test_search_for_anything(client: Client, question: str) -> None:
    issuing.issue(make_user())
    assert client.get(reverse(LIST), {"q": question}).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"is_active__exact": "1"},
        {"issued_at__gte": "2020-01-01 00:00:00+00:00"},
        {"issued_at__year": "2026"},
        {"refresh_expire_at__isnull": "True"},
        {"o": "-2.1"},
    ],
)
def test_filters(client: Client, asked: dict[str, str]) -> None:
    issuing.issue(make_user())
    JWTConnectAuthToken.objects.create(sub="no dates")
    assert client.get(reverse(LIST), asked).status_code == 200


def test_revoking(client: Client, issuer: ProjectIssuer) -> None:
    user = make_user()
    rows = [issuing.issue(user)[1] for _ in range(3)]
    page = revoke(client, *rows[:2])
    assert "2 revoked." in page
    states = [
        issuer.revocations.is_revoked(issuer.issuer, None, row.sid, None, None, issuer.clock())
        for row in rows
        if row is not None
    ]
    assert states == [True, True, False]
    assert list(JWTConnectAuthToken.objects.order_by("pk").values_list("is_active", flat=True)) == [False, False, True]


def test_rows_of_the_older_package_can_be_revoked(client: Client, issuer: ProjectIssuer) -> None:
    user = make_user()
    old = JWTConnectAuthToken.objects.create(user=user, access_jti="old")
    empty = JWTConnectAuthToken.objects.create(user=user)
    assert "2 revoked." in revoke(client, old, empty)
    assert issuer.revocations.is_revoked(issuer.issuer, "old", None, None, None, issuer.clock())
    assert not JWTConnectAuthToken.objects.filter(is_active=True).exists()


def test_a_revocation_that_fails_is_told(client: Client) -> None:
    _, row = issuing.issue(make_user())
    from .django_users import MESSAGES, SESSIONS

    with project(verifying(), middleware=[*SESSIONS, MESSAGES]):
        assert "Not all could be revoked. issuer: the settings name no issuer" in revoke(client, row)
    assert JWTConnectAuthToken.objects.get().is_active


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases can")
def test_a_list_that_cannot_be_written_is_told(client: Client) -> None:
    """Inside a transaction of SQLite, by ATOMIC_REQUESTS."""
    _, row = issuing.issue(make_user())
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        page = revoke(client, row)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert "Not all could be revoked." in page
    assert JWTConnectAuthToken.objects.get().is_active


def test_who_may_look_may_not_revoke() -> None:
    _, row = issuing.issue(make_user())
    client = staff("view_jwtconnectauthtoken")
    assert client.get(reverse(LIST)).status_code == 200
    revoke(client, row)
    assert JWTConnectAuthToken.objects.get().is_active


def test_who_may_change_may_revoke() -> None:
    _, row = issuing.issue(make_user())
    assert "1 revoked." in revoke(staff("change_jwtconnectauthtoken"), row)


def test_who_may_neither_sees_nothing() -> None:
    assert staff().get(reverse(LIST)).status_code == 403


def test_nothing_else_can_be_done(client: Client) -> None:
    _, row = issuing.issue(make_user())
    assert row is not None
    name = "admin:jwtconnect_mw_jwtconnectauthtoken"
    assert client.get(reverse(f"{name}_add")).status_code == 403
    assert client.get(reverse(f"{name}_delete", args=[row.pk])).status_code == 403
    assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert client.post(reverse(ONE, args=[row.pk]), {"is_active": ""}).status_code == 403
    client.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert JWTConnectAuthToken.objects.get().is_active


def test_a_user_with_tokens_can_be_deleted(client: Client) -> None:
    user = make_user()
    issuing.issue(user)
    answer = client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not JWTConnectAuthToken.objects.exists()


@override_settings(DEBUG=True)
def test_the_index_opens(client: Client) -> None:
    page = client.get(reverse("admin:index")).content.decode()
    assert "Token pairs" in page
    assert "Revocations" not in page
