"""The management commands, and that no secret is printed but where that is the purpose."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .django_users import clean, issuing_project, make_user

# Django's settings must be there first.
from django.apps.registry import Apps  # isort: skip
from django.contrib.auth import get_user_model  # isort: skip
from django.core.checks import run_checks  # isort: skip
from django.core.management import CommandError, call_command  # isort: skip
from django.db import connection, models  # isort: skip
from django.utils import timezone  # isort: skip

from jwtconnect_mw.django import carry_over, issuing, records
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken
from jwtconnect_mw.issuer import GrantError

from .django_kit import project, verifying
from .issuer_kit import part


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    clean()
    yield
    clean()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def issuer(keys: Path) -> Iterator[ProjectIssuer]:
    with issuing_project({"keys": keys}) as made:
        yield made


@pytest.fixture
def user() -> Any:
    return make_user()


def run(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue().rstrip("\n")


def secrets_of(path: Path) -> list[str]:
    found = json.loads(path.read_text())["keys"]
    return [jwk[member] for jwk in found for member in ("d", "k") if member in jwk]


def test_keys_are_made(keys: Path) -> None:
    out = run("jwt_keys", "make", str(keys), "--algorithm", "EdDSA")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    lines = out.splitlines()
    assert ["EdDSA  current" in lines[0], "refresh tokens" in lines[1], len(lines)] == [True, True, 2]
    assert not any(secret in out for secret in secrets_of(keys))
    before = keys.read_bytes()
    with pytest.raises(CommandError, match="is there already"):
        run("jwt_keys", "make", str(keys))
    assert keys.read_bytes() == before
    with pytest.raises(CommandError, match="algorithm"):
        run("jwt_keys", "make", str(keys.with_name("other")), "--algorithm", "HS256")
    with pytest.raises(CommandError, match="keys"):
        run("jwt_keys", "make", str(keys / "below"))


def test_keys_are_rotated_and_dropped(issuer: ProjectIssuer, keys: Path) -> None:
    (first,) = (info.kid for info in issuer.keys.list())
    second = run("jwt_keys", "rotate").removeprefix("next: ")
    assert [line.split()[:3:2] for line in run("jwt_keys", "list").splitlines()[:2]] == [
        [first, "current"],
        [second, "next"],
    ]
    assert run("jwt_keys", "rotate", "--at-once") == f"next: {second}"
    assert issuer.keys.signer().kid == second
    assert run("jwt_keys", "drop", first) == "dropped"
    assert [info.kid for info in issuer.keys.list()] == [second]
    out = run("jwt_keys", "list")
    assert not any(secret in out for secret in secrets_of(keys))
    with pytest.raises(CommandError, match="no such key"):
        run("jwt_keys", "drop", first)


@pytest.mark.parametrize("kid", ["-k", "-v2", "--version", "-h", "--help", "-"])
def test_a_kid_may_look_like_an_option(issuer: ProjectIssuer, kid: str) -> None:
    assert issuer.keys.list()
    with pytest.raises(CommandError, match="there is no such key"):
        run("jwt_keys", "drop", kid)


def test_the_secret_of_the_refresh_tokens_is_dropped(issuer: ProjectIssuer, user: Any) -> None:
    tokens, _ = issuing.issue(user)
    kid = run("jwt_keys", "list").splitlines()[-1].split()[0]
    run("jwt_keys", "drop", kid)
    with pytest.raises(GrantError):
        issuer.refresh(tokens.refresh_token or "")


def test_keys_that_are_not_ours_to_change() -> None:
    with issuing_project():
        for change in (("rotate",), ("drop", "x")):
            with pytest.raises(CommandError, match="not ours to change"):
                run("jwt_keys", *change)
        assert "signs from -" in run("jwt_keys", "list")


@pytest.mark.parametrize(
    "command",
    [
        ("jwt_keys", "list"),
        ("jwt_issue", "alice"),
        ("jwt_inspect", "--jti", "x"),
        ("jwt_revoke", "--session", "x"),
    ],
    ids=lambda command: command[0],
)
def test_a_project_that_issues_nothing(command: tuple[str, ...], user: Any) -> None:
    with project(verifying()), pytest.raises(CommandError, match="no issuer"):
        run(*command)


@pytest.mark.parametrize("command", [("jwt_purge",), ("jwt_keys", "list")], ids=lambda command: command[0])
def test_a_project_that_is_not_set_up(command: tuple[str, ...]) -> None:
    with project(None), pytest.raises(CommandError, match="JWTCONNECT_MW"):
        run(*command)


def test_a_pair_for_a_user(issuer: ProjectIssuer, user: Any) -> None:
    told = json.loads(run("jwt_issue", "alice", "--scope", "read write", "--audience", "a", "--audience", "b"))
    assert {"access_token", "refresh_token", "token_type", "expires_in", "scope"} == set(told)
    assert part(told["access_token"])["aud"] == ["a", "b"]
    row = JWTConnectAuthToken.objects.get()
    assert (row.user, row.scope) == (user, "read write")
    assert issuer.refresh(told["refresh_token"])


def test_a_pair_for_anybody(keys: Path) -> None:
    with issuing_project({"keys": keys, "is_active": lambda name: name != "gone"}):
        told = json.loads(run("jwt_issue", "--subject", "device 7", "--client-id", "first-party"))
        assert part(told["access_token"])["sub"] == "device 7"
        assert JWTConnectAuthToken.objects.get().user is None
        with pytest.raises(CommandError):
            run("jwt_issue", "--subject", "gone")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("bob",), "no such user"),
        (("\udc80",), "no such user"),
        (("\0",), "no such user"),
        (("--subject", "\udc80"), "subject"),
        (("alice", "--scope", "\udc80"), "scope"),
        (("alice", "--audience", "\udc80"), "audience"),
        (("alice", "--client-id", "\udc80"), "client_id"),
        (("alice", "--scope", '"'), "scope"),
        (("alice", "--audience", ""), "audience"),
        ((), "required"),
        (("alice", "--subject", "x"), "not allowed"),
    ],
)
def test_a_pair_that_is_refused(issuer: ProjectIssuer, user: Any, arguments: tuple[str, ...], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        run("jwt_issue", *arguments)
    assert not JWTConnectAuthToken.objects.exists()


def given(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """On the standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))


def inspect(monkeypatch: pytest.MonkeyPatch, text: str | None) -> dict[str, Any]:
    given(monkeypatch, text)
    told: dict[str, Any] = json.loads(run("jwt_inspect"))
    return told


def test_what_a_token_says(issuer: ProjectIssuer, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, row = issuing.issue(user)
    assert row is not None
    told = inspect(monkeypatch, tokens.access_token)
    assert told == {"active": True, "header": part(tokens.access_token, 0), "claims": part(tokens.access_token)}
    refresh = tokens.refresh_token or ""
    assert inspect(monkeypatch, refresh)["active"] is True
    told = json.loads(run("jwt_inspect", "--jti", row.access_jti or ""))
    assert (told["active"], told["kind"], told["claims"]["sub"]) == (True, "access", str(user.pk))
    issuer.revoke(token=refresh)
    for text in (tokens.access_token, refresh, tokens.access_token[:-4] + "AAAA"):
        assert inspect(monkeypatch, text)["active"] is False
    assert json.loads(run("jwt_inspect", "--jti", row.refresh_jti or ""))["active"] is False


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "a.b.c.d", "\u2603.\u2603.x", "e30.W10.x"])
def test_what_is_no_token(issuer: ProjectIssuer, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(CommandError, match="no token"):
        inspect(monkeypatch, text)


def test_a_list_that_is_down(issuer: ProjectIssuer, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, row = issuing.issue(user)
    assert row is not None

    def down(*_: Any) -> bool:
        raise OSError

    monkeypatch.setattr(type(issuer.revocations), "is_revoked", down)
    with pytest.raises(CommandError):
        run("jwt_inspect", "--jti", row.access_jti or "")


def test_what_was_not_recorded(issuer: ProjectIssuer) -> None:
    for command in ("jwt_inspect", "jwt_revoke"):
        for jti in ("x", "\0", "\ud800", "x\udfff"):
            with pytest.raises(CommandError, match="recorded"):
                run(command, "--jti", jti)


def is_good(issuer: ProjectIssuer, tokens: Any) -> bool:
    found = records.find(part(tokens.access_token)["jti"])
    assert found is not None
    return found.is_live(issuer)


def test_revoking(issuer: ProjectIssuer, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [issuing.issue(user)[0] for _ in range(6)]
    given(monkeypatch, pairs[0].refresh_token)
    assert run("jwt_revoke", "--token") == "revoked"
    run("jwt_revoke", "--session", pairs[1].session or "")
    run("jwt_revoke", "--jti", part(pairs[2].refresh_token or "")["jti"])
    run("jwt_revoke", "--jti", part(pairs[3].access_token)["jti"])
    assert [is_good(issuer, tokens) for tokens in pairs] == [False] * 4 + [True] * 2
    assert issuer.refresh(pairs[3].refresh_token or ""), "an access token ends itself only"
    run("jwt_revoke", "--subject", str(user.pk), "--before", "1")
    assert is_good(issuer, pairs[4])
    run("jwt_revoke", "--subject", str(user.pk))
    assert [is_good(issuer, tokens) for tokens in pairs] == [False] * 6


def test_revoking_all_of_a_user(issuer: ProjectIssuer, user: Any) -> None:
    """Also what was issued under a name that the user had before, by its record: the name may be another's now."""
    tokens, row = issuing.issue(user)
    assert row is not None
    JWTConnectAuthToken.objects.update(sub="old name")
    other, _ = issuing.issue(make_user("bob"))
    run("jwt_revoke", "--user", "alice")
    assert [is_good(issuer, tokens), is_good(issuer, other)] == [False, True]
    assert issuer.revocations.is_revoked(issuer.issuer, None, row.sid, "old name", None, issuer.clock())
    assert not issuer.revocations.is_revoked(issuer.issuer, None, None, "old name", None, issuer.clock())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--user", "bob"), "no such user"),
        (("--user", "\udc80"), "no such user"),
        (("--session", "\udc80"), "session"),
        (("--session", ""), "session"),
        (("--session", "x", "--before", "1"), "goes with"),
        (("--subject", "x", "--before", "nan"), "before"),
        ((), "required"),
    ],
)
def test_a_revocation_that_makes_no_sense(issuer: ProjectIssuer, arguments: tuple[str, ...], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        run("jwt_revoke", *arguments)


def test_a_list_that_fails(issuer: ProjectIssuer, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, _ = issuing.issue(user)

    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("the address of the server")

    monkeypatch.setattr(issuer.revocations, "revoke_token", down)
    with pytest.raises(CommandError) as caught:
        run("jwt_revoke", "--jti", part(tokens.access_token)["jti"])
    assert "address" not in str(caught.value)


def test_purging(issuer: ProjectIssuer, user: Any) -> None:
    for number in range(5):
        issuer.revocations.revoke_token(issuer.issuer, f"{number}", expires_at=issuer.clock() - 1000)
    issuer.revocations.revoke_token(issuer.issuer, "good")
    issuing.issue(user)
    JWTConnectAuthToken.objects.create(user=user)
    left = run("jwt_purge", "--batch", "2", "--keep", "1")
    assert left == "0 revocations and sessions, 0 records dropped", "each write has dropped some"
    assert run("jwt_purge", "--batch", "1") == "0 revocations and sessions, 1 records dropped"
    assert JWTConnectAuthToken.objects.count() == 1


def test_purging_many(user: Any) -> None:
    from jwtconnect_mw.django.models import RevocationEntry

    with issuing_project():
        RevocationEntry.objects.bulk_create(
            RevocationEntry(key=f"{number}", kind=0, what="", ends=0.0, serial=number) for number in range(5)
        )
        assert run("jwt_purge", "--batch", "2").startswith("5 revocations")


@pytest.mark.parametrize("batch", ["0", "-1", "10001", "1" + "0" * 30])
@pytest.mark.parametrize("command", ["jwt_purge", "jwt_import_legacy"])
def test_batches_that_make_no_sense(issuer: ProjectIssuer, command: str, batch: str) -> None:
    with pytest.raises(CommandError, match="--batch"):
        run(command, f"--batch={batch}")


@pytest.mark.parametrize("keep", ["nan", "inf", "-inf", "1e300", "1000000", "-1", "-0.001"])
def test_a_purge_that_makes_no_sense_drops_nothing(issuer: ProjectIssuer, user: Any, keep: str) -> None:
    issuing.issue(user)
    with pytest.raises(CommandError, match="--keep"):
        run("jwt_purge", f"--keep={keep}")
    assert JWTConnectAuthToken.objects.count() == 1
    assert run("jwt_purge", "--keep=36500", "--batch=10000").endswith(" 0 records dropped")


def test_purging_without_a_list() -> None:
    with project(verifying()):
        assert run("jwt_purge").startswith("0 revocations")


def old_table(*missing: str) -> type[models.Model]:
    """As the older package's migrations leave it."""
    columns: dict[str, Any] = {
        "id": models.AutoField(primary_key=True),
        "access_token": models.TextField(unique=True),
        "refresh_token": models.TextField(unique=True),
        "issued_at": models.DateTimeField(null=True),
        "access_expire_at": models.DateTimeField(null=True),
        "refresh_expire_at": models.DateTimeField(null=True),
        "audience": models.CharField(max_length=256, null=True),
        "sid": models.CharField(max_length=256, null=True),
        "sub": models.CharField(max_length=256, null=True),
        "access_jti": models.CharField(max_length=256, null=True, unique=True),
        "refresh_jti": models.CharField(max_length=256, null=True, unique=True),
        "is_active": models.BooleanField(default=True),
        "created": models.DateTimeField(auto_now_add=True),
        "user_id": models.IntegerField(),
    }
    kept = {name: column for name, column in columns.items() if name not in missing}
    meta = type("Meta", (), {"app_label": "older", "db_table": carry_over.TABLE, "apps": Apps()})
    return type("Old", (models.Model,), {"__module__": __name__, "Meta": meta, **kept})


@pytest.fixture
def old(user: Any) -> Iterator[Any]:
    model = old_table()
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield model._default_manager  # type: ignore[attr-defined]  # it has one
    with connection.schema_editor() as editor:
        editor.delete_model(model)


def fill(old: Any, user: Any, number: int, **changes: Any) -> Any:
    times = dict.fromkeys(("issued_at", "access_expire_at", "refresh_expire_at"), timezone.now())
    texts = {"access_token": f"access text {number}", "refresh_token": f"refresh text {number}"}
    ids = {"access_jti": f"a{number}", "refresh_jti": f"r{number}", "sub": "digest", "sid": "a key of a session"}
    return old.create(**{"user_id": user.pk, **times, **texts, **ids, **changes})


def test_the_older_table_is_carried_over(old: Any, user: Any) -> None:
    first = fill(old, user, 1, audience="x y", is_active=False)
    for number in range(2, 8):
        fill(old, user, number)
    fill(old, user, 8, refresh_jti=None, issued_at=None, audience="", sub=None)
    fill(old, user, 9, access_jti=None)
    long_ago = timezone.now() - timezone.timedelta(days=400)
    old.filter(access_jti="a1").update(created=long_ago)
    before = list(old.order_by("pk").values())
    out = run("jwt_import_legacy", "--batch", "2")
    assert out == "9 copied, 0 were there, 0 left out (no user or no jti)"
    row = JWTConnectAuthToken.objects.get(access_jti="a1")
    same = ("issued_at", "access_expire_at", "refresh_expire_at", "audience", "sub", "refresh_jti", "is_active")
    assert {name: getattr(row, name) for name in same} == {name: getattr(first, name) for name in same}
    assert (row.user, row.aud, row.sid, row.created) == (user, ["x", "y"], None, long_ago)
    found = records.find("r2")
    assert found is not None
    assert found.kind == "refresh"
    assert list(old.order_by("pk").values()) == before
    everything = str(list(JWTConnectAuthToken.objects.values()))
    assert "text" not in everything
    assert "a key of a session" not in everything
    fill(old, user, 10)
    assert run("jwt_import_legacy").startswith("1 copied, 9 were there, 0 left out")
    assert JWTConnectAuthToken.objects.count() == 10


def test_rows_that_nobody_can_find_are_left(old: Any, user: Any) -> None:
    fill(old, user, 1, user_id=user.pk + 1000)
    fill(old, user, 2, access_jti=None, refresh_jti=None)
    assert run("jwt_import_legacy", "--batch", "1") == "0 copied, 0 were there, 2 left out (no user or no jti)"
    assert not JWTConnectAuthToken.objects.exists()


def test_an_older_refresh_token_is_not_live(old: Any, user: Any) -> None:
    fill(old, user, 1, refresh_expire_at=timezone.now() + timezone.timedelta(days=1))
    run("jwt_import_legacy")
    found = records.find("r1")
    assert found is not None
    with issuing_project() as issuer:
        assert not found.is_live(issuer)


def test_there_is_no_such_database() -> None:
    with pytest.raises(CommandError, match="--database"):
        run("jwt_import_legacy", "--database", "nope")


def test_there_is_no_older_table() -> None:
    with pytest.raises(CommandError, match="no table"):
        run("jwt_import_legacy")


def test_an_older_table_of_before_its_last_migration() -> None:
    model = old_table("access_jti", "refresh_jti")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    try:
        with pytest.raises(CommandError, match="migrations"):
            run("jwt_import_legacy")
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(model)


def test_users_that_have_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        class _meta:
            pk = models.UUIDField(primary_key=True, db_column="id")

    monkeypatch.setattr(carry_over, "get_user_model", lambda: Elsewhere)
    key = carry_over._user_key()
    assert (type(key), key.db_column, key.primary_key) == (models.UUIDField, "user_id", False)


@pytest.mark.parametrize(
    ("made", "expected"), [(models.BigAutoField, models.BigIntegerField), (models.UUIDField, models.UUIDField)]
)
def test_users_that_inherit_their_key(
    monkeypatch: pytest.MonkeyPatch, made: type[models.Field[Any, Any]], expected: type[models.Field[Any, Any]]
) -> None:
    isolated = Apps()

    class Being(models.Model):
        key = made(primary_key=True)

        class Meta:
            app_label, apps = "people", isolated

    class Person(Being):
        class Meta:
            app_label, apps = "people", isolated

    class Member(Person):
        class Meta:
            app_label, apps = "people", isolated

    monkeypatch.setattr(carry_over, "get_user_model", lambda: Member)
    key = carry_over._user_key()
    assert (type(key), key.db_column, key.primary_key) == (expected, "user_id", False)


def test_a_deployment_that_sqlite_cannot_serve() -> None:
    with issuing_project():
        for atomic in (True, False):
            connection.settings_dict["ATOMIC_REQUESTS"] = atomic
            try:
                found = {message.id for message in run_checks(include_deployment_checks=True)}
            finally:
                connection.settings_dict["ATOMIC_REQUESTS"] = False
            assert ("jwtconnect_mw.W008" in found) is (atomic and connection.vendor == "sqlite")


def test_migrations_are_complete() -> None:
    run("makemigrations", "--check", "--dry-run")
    with closing(io.StringIO()) as out:
        call_command("check", "jwtconnect_mw", tag=["models"], stdout=out)
    assert get_user_model()._meta.label == "auth.User"
