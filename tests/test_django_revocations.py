"""The revocation list on the ORM: on the default database (SQLite unless told otherwise) and on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import djproject

djproject.setup()

from django.core.management import call_command  # noqa: E402  # what follows needs the settings
from django.core.signals import request_started  # noqa: E402
from django.db import DatabaseError, OperationalError, connections, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.test import TestCase, override_settings  # noqa: E402

from jwtconnect_mw import ConfigurationError  # noqa: E402
from jwtconnect_mw.django.models import RefreshFamily, RevocationEntry, RevocationMark, RevocationState  # noqa: E402
from jwtconnect_mw.django.revocations import OrmRevocationList  # noqa: E402
from jwtconnect_mw.django.transactions import InsideTransaction, in_one_transaction, tended  # noqa: E402
from jwtconnect_mw.revocation.cursors import MARKS_KEPT  # noqa: E402
from jwtconnect_mw.revocation.feed import Change, FeedGap  # noqa: E402
from jwtconnect_mw.testing import ManualClock, RevocationListConformance  # noqa: E402
from jwtconnect_mw.testing.revocation.backend import FAMILY, ISSUER, LIFETIME, NOW, present, revoked  # noqa: E402
from jwtconnect_mw.testing.revocation.races import together  # noqa: E402

from .djproject.databases import empty, migrate, with_postgres, with_sqlite  # noqa: E402
from .djproject.racer import THREADS  # noqa: E402

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 30.0
only_sqlite = pytest.mark.skipif(connections["default"].vendor != "sqlite", reason="other databases can")
PROCESSES = 4


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with with_postgres() as alias:
        yield alias


@pytest.fixture(params=["default", "postgres"], ids=["default", "postgres"])
def alias(request: pytest.FixtureRequest) -> str:
    name: str = request.param if request.param == "default" else request.getfixturevalue("server")
    migrate(name)
    empty(name)
    return name


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def revocations(alias: str, clock: ManualClock) -> OrmRevocationList:
    return OrmRevocationList(alias, clock=clock)


@pytest.fixture
def on_postgres(server: str, clock: ManualClock) -> OrmRevocationList:
    empty(server)
    return OrmRevocationList(server, clock=clock)


@pytest.mark.timeout(600)
class OnTheOrm(RevocationListConformance):
    alias: str
    forks = False  # a child would share Django's connection; other processes race below

    @pytest.fixture(autouse=True)
    def more_rounds(self, long: bool) -> None:
        self.rounds = 20 if long else 3

    def make(self, clock: Callable[[], float]) -> OrmRevocationList:
        empty(self.alias)
        return self.reopen(clock)

    def reopen(self, clock: Callable[[], float]) -> OrmRevocationList:
        return OrmRevocationList(self.alias, clock=clock)


class TestDefaultDatabase(OnTheOrm):
    alias = "default"

    @pytest.fixture(autouse=True)
    def tables(self) -> None:
        migrate()


class TestPostgreSQL(OnTheOrm):
    alias = "postgres"

    @pytest.fixture(autouse=True)
    def tables(self, server: str) -> None:
        """Started."""


def test_a_database_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OrmRevocationList("missing")
    assert caught.value.field == "using"


def test_it_shows_where_it_is(revocations: OrmRevocationList, alias: str) -> None:
    assert repr(revocations) == f"OrmRevocationList('{alias}')"


def test_it_is_born_with_its_tables(server: str) -> None:
    """So that the first thing that is asked need not write."""
    call_command("migrate", "jwtconnect_mw", "zero", database=server, verbosity=0)
    call_command("migrate", "jwtconnect_mw", database=server, verbosity=0)
    state = RevocationState.objects.using(server).get()
    assert abs(state.birth - time.time()) < 86_400
    assert len(state.epoch) == 32
    assert str(state) == state.epoch


@pytest.fixture
def emptied() -> Iterator[None]:
    """As TransactionTestCase leaves the database behind."""
    migrate()
    call_command("flush", interactive=False, verbosity=0)
    yield
    empty("default")


def test_it_is_born_again_after_a_flush(emptied: None) -> None:
    """Else the first session would have to write, which SQLite refuses inside a transaction."""
    (state,) = RevocationState.objects.all()
    assert (state.serial, RevocationMark.objects.get().serial) == (0, 0)
    with transaction.atomic():
        assert OrmRevocationList().start_family(ISSUER, "alice") >= state.birth
    revocations = OrmRevocationList()
    revocations.revoke_token(ISSUER, "x")
    call_command("migrate", verbosity=0)
    assert RevocationState.objects.get().serial == 1, "that of a list that is used is left alone"
    assert RevocationMark.objects.count() == 2


def test_it_is_not_born_where_it_has_no_tables(tmp_path: Path) -> None:
    with with_sqlite(tmp_path / "other.db", "other") as other:
        call_command("migrate", "jwtconnect_mw", "zero", database=other, verbosity=0)
        with override_settings(DATABASE_ROUTERS=[Nowhere()]):
            call_command("migrate", "jwtconnect_mw", database=other, verbosity=0)
        assert "jwtconnect_mw_revocationstate" not in connections[other].introspection.table_names()
        with override_settings(DATABASE_ROUTERS=[]):
            call_command("flush", database=other, interactive=False, verbosity=0)


def test_it_is_not_born_where_a_router_keeps_it_away(emptied: None) -> None:
    with override_settings(DATABASE_ROUTERS=[Nowhere()]):
        empty("default")
        call_command("flush", interactive=False, verbosity=0)
        assert not RevocationState.objects.exists()


class Nowhere:
    """A router of a project that keeps the tables in another database."""

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool:
        return app_label != "jwtconnect_mw"


def test_rows_show_no_name(revocations: OrmRevocationList, alias: str) -> None:
    revocations.revoke_token(ISSUER, "secret")
    present(revocations, 0)
    for model in (RevocationEntry, RefreshFamily):
        assert len(str(model.objects.using(alias).get())) == 64


def test_ends_that_never_come(revocations: OrmRevocationList) -> None:
    revocations.revoke_token(ISSUER, "x", expires_at=float("inf"))
    assert revoked(revocations, token="x", now=1e12)
    assert present(revocations, 0, keep_until=float("inf")).answer == "advanced"
    assert revocations.purge(1e12) == 0


def test_what_changes_nothing_leaves_no_row(revocations: OrmRevocationList, alias: str) -> None:
    assert present(revocations, 5).answer == "unknown"
    assert not RefreshFamily.objects.using(alias).exists()


def test_writes_pay_for_a_little_purging(revocations: OrmRevocationList, clock: ManualClock, alias: str) -> None:
    for number in range(20):
        revocations.revoke_token(ISSUER, f"{number}", expires_at=NOW)
        present(revocations, 0, family=family(f"{number}"))
    clock.advance(100_000)
    revocations.revoke_token(ISSUER, "x")
    present(revocations, 0, clock.now, family=family("x"))
    assert RevocationEntry.objects.using(alias).count() == 20 - 16 + 1
    assert RefreshFamily.objects.using(alias).count() == 20 - 16 + 1


def family(session: str) -> Any:
    from dataclasses import replace

    return replace(FAMILY, session=session)


class Undone(Exception):
    """Something that a view raises."""


def spend_twice(revocations: OrmRevocationList) -> None:
    present(revocations, 0)
    present(revocations, 1)
    assert present(revocations, 0).answer == "reuse"


def test_a_rollback_of_the_caller_undoes_nothing(on_postgres: OrmRevocationList, server: str) -> None:
    with pytest.raises(Undone), transaction.atomic(server):  # noqa: PT012  # the view of a project
        spend_twice(on_postgres)
        on_postgres.revoke_token(ISSUER, "x")
        assert revoked(on_postgres, token="x"), "seen at once, in the transaction too"
        raise Undone
    assert revoked(on_postgres, token="x")
    assert revoked(on_postgres, session=FAMILY.session)


def test_the_connection_is_not_one_of_a_pool(on_postgres: OrmRevocationList, server: str) -> None:
    """Else as many callers as the pool has connections would wait for each other."""
    with transaction.atomic(server):
        options = connections[server].settings_dict["OPTIONS"]
        options["pool"] = {"max_size": 1}
        try:
            on_postgres.revoke_token(ISSUER, "x")
        finally:
            del options["pool"]
    assert revoked(on_postgres, token="x")


def test_a_transaction_without_atomic(on_postgres: OrmRevocationList, server: str) -> None:
    transaction.set_autocommit(False, using=server)
    try:
        on_postgres.revoke_token(ISSUER, "x")
        transaction.rollback(using=server)
    finally:
        transaction.set_autocommit(True, using=server)
    assert revoked(on_postgres, token="x")


def test_a_project_without_autocommit(on_postgres: OrmRevocationList, server: str) -> None:
    connections[server].close()
    connections[server].settings_dict["AUTOCOMMIT"] = False
    try:
        on_postgres.revoke_token(ISSUER, "x")
        transaction.rollback(using=server)
    finally:
        connections[server].settings_dict["AUTOCOMMIT"] = True
        connections[server].close()
    assert revoked(on_postgres, token="x")


def test_the_callers_connection_comes_back(on_postgres: OrmRevocationList, server: str) -> None:
    before = connections[server]
    with transaction.atomic(server):
        on_postgres.revoke_token(ISSUER, "x")
        assert connections[server] is before
        with pytest.raises(ValueError, match="not a number"):
            on_postgres.revoke_token(ISSUER, "x", expires_at=float("nan"))
        with pytest.raises(ZeroDivisionError):
            in_one_transaction(server, "", lambda: 1 // 0)
        assert connections[server] is before


@only_sqlite
def test_sqlite_refuses_to_write_inside_a_transaction() -> None:
    migrate()
    empty("default")
    revocations = OrmRevocationList(clock=ManualClock(NOW))
    start = revocations.start_family(ISSUER, "alice")
    with transaction.atomic():
        calls: list[Callable[[], object]] = [
            lambda: revocations.revoke_token(ISSUER, "x"),
            lambda: present(revocations, 0),
            lambda: revocations.start_family(ISSUER, "alice", alone=True),
            lambda: revocations.purge(NOW),
        ]
        for call in calls:
            with pytest.raises(InsideTransaction, match="non_atomic_requests"):
                call()
        assert revocations.start_family(ISSUER, "alice") == start
        assert not revoked(revocations, token="x")
        assert revocations.current(FAMILY) == 0
    revocations.revoke_token(ISSUER, "x")
    assert revoked(revocations, token="x")


def test_transactions_of_a_test_case_are_joined(alias: str, clock: ManualClock) -> None:
    """Also inside a request with ATOMIC_REQUESTS; what was written is gone with the test."""
    results: list[bool] = []

    class Inner(TestCase):
        databases = {"default", alias}  # noqa: RUF012  # as Django reads it

        def test(self) -> None:
            revocations = OrmRevocationList(alias, clock=clock)
            spend_twice(revocations)
            with transaction.atomic(alias):
                revocations.revoke_token(ISSUER, "x")
            results.append(revoked(revocations, token="x") and revoked(revocations, session=FAMILY.session))

    outcome = unittest.TestLoader().loadTestsFromTestCase(Inner).run(unittest.TestResult())
    assert outcome.wasSuccessful(), outcome.errors
    assert results == [True]
    assert not RevocationEntry.objects.using(alias).exists()


@contextmanager
def isolated(server: str, level: int) -> Iterator[None]:
    """Connections of the project are of another isolation level."""
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    connections[server].close()
    options = connections.settings[server].setdefault("OPTIONS", {})
    connections[server].settings_dict["OPTIONS"] = options
    options["isolation_level"] = IsolationLevel(level)
    try:
        yield
    finally:
        del options["isolation_level"]
        connections[server].close()


@pytest.mark.parametrize("level", [3, 4], ids=["repeatable read", "serializable"])
def test_whatever_isolation_the_project_has(on_postgres: OrmRevocationList, server: str, level: int) -> None:
    with isolated(server, level):
        steps = together([partial(present, on_postgres, 0)] * 20)
        assert sorted(step.answer for step in steps) == ["advanced"] + ["again"] * 19
        present(on_postgres, 1)
        steps = together([partial(present, on_postgres, 0)] * 20)
        assert sorted(step.answer for step in steps) == ["reuse"] + ["revoked"] * 19
        together([partial(on_postgres.revoke_token, ISSUER, f"{number}") for number in range(20)])
        assert all(revoked(on_postgres, token=f"{number}") for number in range(20))


def raising(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$"


@pytest.mark.parametrize(("code", "tries"), [("40001", 5), ("40P01", 5), ("23505", 1)])
def test_what_the_database_gave_up_is_tried_again(server: str, code: str, tries: int) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        with connections[server].cursor() as cursor:
            cursor.execute(raising(code))

    with pytest.raises(DatabaseError):
        in_one_transaction(server, "", work)
    assert len(calls) == tries


def test_two_that_block_each_other(server: str) -> None:
    """The database ends one of them; both come through."""
    empty(server)
    for key in "ab":
        RevocationEntry.objects.using(server).update_or_create(
            key=key, defaults={"kind": 0, "what": "", "ends": 0, "serial": 0}
        )
    met = threading.Barrier(2)
    first_time = {"ab": True, "ba": True}

    def write(order: str) -> None:
        def work() -> None:
            for number, key in enumerate(order):
                if number and first_time[order]:
                    first_time[order] = False
                    met.wait(LIMIT)
                RevocationEntry.objects.using(server).filter(key=key).update(serial=F("serial") + 1)

        in_one_transaction(server, "", work)

    together([partial(write, "ab"), partial(write, "ba")])
    assert set(RevocationEntry.objects.using(server).values_list("serial", flat=True)) == {2}
    empty(server)


def cut_off(server: str) -> None:
    """The server ends this thread's connection, as a restart does."""
    import psycopg

    pid = connections[server].connection.info.backend_pid
    settings = connections[server].settings_dict
    with psycopg.connect(host=settings["HOST"], user=settings["USER"], dbname=settings["NAME"]) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))


def test_a_connection_that_was_lost_is_replaced(on_postgres: OrmRevocationList, server: str) -> None:
    on_postgres.revoke_token(ISSUER, "x")
    cut_off(server)
    on_postgres.revoke_token(ISSUER, "y")
    assert revoked(on_postgres, token="y")


def test_a_commit_that_may_have_happened_is_not_repeated(server: str) -> None:
    """It would find its own work, and take that for somebody else's."""
    calls: list[int] = []
    migrate(server)

    def work() -> None:
        calls.append(1)
        RevocationState.objects.using(server).update(serial=F("serial"))
        cut_off(server)

    with pytest.raises(OperationalError):
        in_one_transaction(server, "", work)
    assert len(calls) == 1
    connections[server].close()


@only_sqlite
def test_sqlite_waits_once() -> None:
    """For as long as its settings say; then nothing has changed."""
    migrate()
    empty("default")
    revocations = OrmRevocationList(clock=ManualClock(NOW))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with tended("default"), transaction.atomic():
            RevocationState.objects.update(serial=F("serial"))
            held.set()
            assert done.wait(LIMIT)

    def ask() -> None:
        assert held.wait(LIMIT)
        with tended("default") as connection:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 1")
            try:
                for call in (lambda: revocations.revoke_token(ISSUER, "x"), lambda: present(revocations, 0)):
                    with pytest.raises(OperationalError, match="locked"):
                        call()
                assert not revoked(revocations, token="x")
            finally:
                done.set()

    together([hold, ask])
    assert present(revocations, 0).answer == "advanced"


def in_a_thread(work: Callable[[], Any]) -> Any:
    return together([work])[0]


def test_threads_that_serve_no_request_leave_no_connection_open(revocations: OrmRevocationList, alias: str) -> None:
    def work() -> list[bool]:
        revoked(revocations, token="x")
        revocations.revoke_token(ISSUER, "y")
        revocations.start_family(ISSUER, "alice")
        revocations.current(FAMILY)
        revocations.changes(None)
        closed = connections[alias].connection is None
        with tended(alias) as connection:
            connection.ensure_connection()
            raw = connection.connection
            revoked(revocations, token="x")
            kept = connection.connection is raw
        return [closed, kept, connection.connection is None]

    assert in_a_thread(work) == [True, True, True]


def test_threads_that_serve_requests_keep_theirs(revocations: OrmRevocationList, alias: str) -> None:
    def work() -> bool:
        request_started.send(None, environ={})
        try:
            revoked(revocations, token="x")
            return connections[alias].connection is not None
        finally:
            connections[alias].close()

    assert in_a_thread(work) is True


def test_a_new_list_by_many_at_once(alias: str, clock: ManualClock) -> None:
    lists = [OrmRevocationList(alias, clock=clock) for _ in range(8)]
    asks: list[Callable[[], object]] = [partial(each.current, FAMILY) for each in lists]
    asks += [partial(each.revoke_token, ISSUER, f"{number}") for number, each in enumerate(lists)]
    together(asks)
    assert RevocationState.objects.using(alias).count() == 1
    assert all(revoked(lists[0], token=f"{number}") for number in range(8))


def drained(revocations: OrmRevocationList, cursor: str | None = None, limit: int = 3) -> tuple[list[Change], str]:
    found: list[Change] = []
    while True:
        changes = revocations.changes(cursor, limit=limit)
        assert len(changes.entries) <= limit
        found += changes.entries
        cursor = changes.cursor
        if not changes.more:
            return found, cursor


def test_the_feed_tells_what_there_is_and_what_comes(revocations: OrmRevocationList, clock: ManualClock) -> None:
    assert drained(revocations)[0] == []
    revocations.revoke_token(ISSUER, "over", expires_at=NOW - 100_000)
    for number in range(7):
        revocations.revoke_token(ISSUER, f"t{number}", expires_at=NOW)
    revocations.revoke_session(ISSUER, "s\0\u2603", expires_at=NOW)
    revocations.revoke_subject(ISSUER, "alice", before=NOW - 0.5, expires_at=NOW)
    end = NOW + 360.0
    found, cursor = drained(revocations)
    assert found == [
        *(Change("token", ISSUER, f"t{number}", end) for number in range(7)),
        Change("session", ISSUER, "s\0\u2603", end),
        Change("subject", ISSUER, "alice", end, NOW - 0.5),
    ]
    assert drained(revocations, cursor) == ([], cursor)
    revocations.revoke_token(ISSUER, "t0", expires_at=NOW)
    assert drained(revocations, cursor)[0] == [], "nothing changed"
    revocations.revoke_token(ISSUER, "t0", expires_at=NOW + 10)
    spend_twice(revocations)
    found, _ = drained(revocations, cursor)
    assert [(change.kind, change.name) for change in found] == [("token", "t0"), ("session", FAMILY.session)]
    assert found[1].ends == NOW + LIFETIME + 360


def test_no_change_is_missed_however_many_write(revocations: OrmRevocationList) -> None:
    """Numbers of a sequence would be seen out of their order: some writers commit later than others."""
    done = threading.Event()

    def write(writer: int) -> list[Change]:
        for number in range(10):
            revocations.revoke_token(ISSUER, f"{writer} {number}")
        return []

    def read() -> list[Change]:
        found, cursor = drained(revocations)
        while not done.is_set():
            more, cursor = drained(revocations, cursor)
            found += more
        return found + drained(revocations, cursor)[0]

    reader: list[list[Change]] = []
    thread = threading.Thread(target=lambda: reader.append(read()))
    thread.start()
    together([partial(write, writer) for writer in range(6)])
    done.set()
    thread.join(LIMIT)
    assert sorted(change.name for change in reader[0]) == sorted(f"{w} {n}" for w in range(6) for n in range(10))


def test_a_reader_may_wait(revocations: OrmRevocationList) -> None:
    cursor = revocations.changes(None).cursor
    assert revocations.changes(cursor, wait=0.001).entries == ()
    asked = threading.Event()

    def wait() -> list[str]:
        asked.set()
        return [change.name for change in revocations.changes(cursor, wait=LIMIT).entries]

    def write() -> list[str]:
        assert asked.wait(LIMIT)
        revocations.revoke_token(ISSUER, "x")
        return []

    assert together([wait, write])[0] == ["x"]


@pytest.mark.parametrize(
    "wrong", ["", "{epoch}", "{epoch}:1", "{epoch}:1:0", "{epoch}:1:5", "0:1:{seen}", "{epoch}:x:1"]
)
def test_a_cursor_of_other_data_is_a_gap(revocations: OrmRevocationList, alias: str, wrong: str) -> None:
    revocations.revoke_token(ISSUER, "x")
    cursor = revocations.changes(None).cursor
    epoch, _, seen = cursor.split(":")
    with pytest.raises(FeedGap):
        revocations.changes(wrong.format(epoch=epoch, seen=seen))
    assert revocations.changes(cursor).entries == ()
    empty(alias)
    with pytest.raises(FeedGap):
        revocations.changes(cursor)


@pytest.mark.parametrize("grown", [0, 1, 5])
def test_an_older_copy_of_the_database_is_a_gap(revocations: OrmRevocationList, alias: str, grown: int) -> None:
    """Also where it has grown to the reader's place since, or beyond. Who had seen no more than it holds goes on."""
    _, start = drained(revocations)
    revocations.revoke_token(ISSUER, "x")
    _, early = drained(revocations)
    tables = (RevocationEntry, RevocationMark, RevocationState)
    backup = {table: list(table.objects.using(alias).all()) for table in tables}
    revocations.revoke_token(ISSUER, "y")
    _, late = drained(revocations)
    empty(alias)
    for table, found in backup.items():
        table.objects.using(alias).bulk_create(found)
    new = [f"new {number}" for number in range(grown)]
    for name in new:
        revocations.revoke_token(ISSUER, name)
    assert [change.name for change in drained(revocations, early)[0]] == new
    assert [change.name for change in drained(revocations, start)[0]] == ["x", *new]
    with pytest.raises(FeedGap):
        revocations.changes(late)


def test_a_cursor_that_is_too_old(revocations: OrmRevocationList, alias: str) -> None:
    """Marks are dropped a hundred at a time."""
    revocations.revoke_token(ISSUER, "x")
    _, cursor = drained(revocations)
    mark = RevocationMark.objects.using(alias).get()
    assert str(mark) == str(mark.serial)
    for serial in (MARKS_KEPT - 1, MARKS_KEPT + 99):
        assert revocations.changes(cursor).entries == ()
        RevocationState.objects.using(alias).update(serial=serial)
        revocations.revoke_token(ISSUER, "x", expires_at=NOW)  # which changes nothing
    with pytest.raises(FeedGap):
        revocations.changes(cursor)
    assert RevocationMark.objects.using(alias).count() == 2


def test_a_change_while_it_is_asked(revocations: OrmRevocationList, alias: str) -> None:
    """Between the first query and the last: the place is that of the last entry told."""
    revocations.revoke_token(ISSUER, "x")
    state = revocations._journal.state()
    revocations.revoke_token(ISSUER, "y")
    revocations._journal.state = lambda: state  # type: ignore[method-assign]  # as it was a moment ago
    found = revocations.changes(None)
    again = OrmRevocationList(alias, clock=revocations._clock)
    assert [change.name for change in found.entries] == ["x", "y"]
    assert found.cursor == again.changes(None).cursor


def test_a_new_list_in_old_tables(revocations: OrmRevocationList, alias: str) -> None:
    """Whose state alone is gone: marks of before are no marks of it."""
    revocations.revoke_token(ISSUER, "x")
    RevocationState.objects.using(alias).all().delete()
    revocations.revoke_token(ISSUER, "y")
    assert RevocationMark.objects.using(alias).count() == 1


def test_what_was_lost_is_put_back(revocations: OrmRevocationList, alias: str) -> None:
    revocations.revoke_token(ISSUER, "t", expires_at=NOW)
    revocations.revoke_session(ISSUER, "s", expires_at=NOW)
    revocations.revoke_subject(ISSUER, "alice", before=NOW - 5)
    known, _ = drained(revocations)
    empty(alias)
    many = [Change("token", ISSUER, f"{number}", NOW + 10.0) for number in range(600)]
    revocations.restore([*known, *many])
    revocations.restore([*known, Change("subject", ISSUER, "alice", 0.0, NOW - 50.0)])
    found, _ = drained(revocations, limit=100)
    assert sorted(found) == sorted([*known, *many])
    revocations.restore([Change("subject", ISSUER, "alice", 0.0, NOW + 5.0)])
    assert revoked(revocations, subject="alice", started=NOW + 4)
    for wrong in (Change("token", ISSUER, "x", float("nan")), Change("other", ISSUER, "x", 1.0)):  # type: ignore[arg-type]  # the point
        with pytest.raises(ValueError, match=r"not a number|not in"):
            revocations.restore([wrong])


class Racers:
    """Processes with threads in them, all let go at once."""

    def __init__(self, alias: str) -> None:
        database = json.dumps(
            {name: str(value) if name == "NAME" else value for name, value in settings_of(alias).items()}
        )
        environment = {
            **os.environ,
            "DJPROJECT_DATABASE": database,
            "DJANGO_SETTINGS_MODULE": "tests.djproject.settings",
        }
        command = [sys.executable, "-m", "tests.djproject.racer"]
        self._processes = [
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(PROCESSES)
        ]

    def ready(self) -> None:
        assert [self._line(process) for process in self._processes] == ["ready"] * PROCESSES

    def run(self, **task: Any) -> list[Any]:
        for number, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps({"issued_at": NOW + number, **task}) + "\n")
            process.stdin.flush()
        return [answer for process in self._processes for answer in json.loads(self._line(process))]

    def close(self) -> None:
        for process in self._processes:
            process.communicate(timeout=LIMIT)

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


def settings_of(alias: str) -> dict[str, Any]:
    return {name: connections.settings[alias].get(name, "") for name in ("ENGINE", "NAME", "USER", "HOST", "OPTIONS")}


@pytest.mark.live
@pytest.mark.timeout(900)
def test_processes_agree(revocations: OrmRevocationList, long: bool) -> None:
    revocations.current(FAMILY)
    all_but_one = PROCESSES * THREADS - 1
    with ExitStack() as stack:
        racers = Racers(revocations.using)
        stack.callback(racers.close)
        racers.ready()
        for number in range(200 if long else 8):
            answers = racers.run(do="advance", session="s", presented=number)
            assert sorted(answer for answer, *_ in answers) == ["advanced"] + ["again"] * all_but_one
            assert len({tuple(rest) for _, *rest in answers}) == 1
            for presented in (0, 1):
                present(revocations, presented, family=family(f"r{number}"))
            answers = racers.run(do="advance", session=f"r{number}", presented=0)
            assert sorted(answer for answer, *_ in answers) == ["reuse"] + ["revoked"] * all_but_one
            starts = racers.run(do="alone", subject=f"a{number}")
            assert sorted(starts) == [NOW + start for start in range(all_but_one + 1)]
