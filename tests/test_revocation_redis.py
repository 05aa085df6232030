"""The list on a Redis or Valkey server: that it conforms, how it is configured, and what it keeps to itself."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from jwtconnect_mw import ConfigurationError, revocation
from jwtconnect_mw.revocation import RedisRevocationList, redis_server
from jwtconnect_mw.revocation.redis_server import MOST_CONNECTIONS
from jwtconnect_mw.testing import ManualClock, RevocationListConformance
from jwtconnect_mw.testing.revocation.backend import FAMILY, present, revoked
from jwtconnect_mw.testing.revocation.races import together

from .kit import ISSUER, NOW
from .real.issuers import require
from .redis_kit import KINDS, RedisServer, begin, running
from .redis_proxy import Proxy
from .remote import LIMIT
from .servers import Authority

pytestmark = pytest.mark.live

PASSWORD = "p@ss:w/rd?#%&+ of the list"
# What a list needs of a server that gives its users no more than that.
RIGHTS = (
    "+evalsha +eval +hmget +xread +ping"
    " +hget +hset +hdel +zadd +zscore +zrem +zrangebyscore +xadd +xlen +xrange +time +unlink"
)


@pytest.fixture(scope="module", params=KINDS)
def durable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(request.param, tmp_path_factory.mktemp("durable"), keep=True) as server:
        yield server


class TestConformance(RevocationListConformance):
    @pytest.fixture(autouse=True)
    def place(self, durable: RedisServer) -> Iterator[None]:
        durable.tell("FLUSHALL")
        self.server = durable
        self.made: list[RedisRevocationList] = []
        yield
        for revocations in self.made:
            revocations.close()

    def make(self, clock: Callable[[], float]) -> RedisRevocationList:
        begin(self.server.url, clock())
        self.made.append(RedisRevocationList(self.server.url, clock=clock, timeout=LIMIT))
        return self.made[-1]

    def beside(self, clock: Callable[[], float]) -> RedisRevocationList:
        return self.make(clock)

    def reopen(self, clock: Callable[[], float]) -> RedisRevocationList:
        self.server.kill()
        self.server.start()
        return self.make(clock)


@pytest.fixture
def server(durable: RedisServer) -> RedisServer:
    durable.tell("FLUSHALL")
    return durable


def use(url: str, **options: Any) -> None:
    """Everything that a list does."""
    begin(url, NOW, options.get("prefix", "jwtconnect_mw"))
    with closing(RedisRevocationList(url, clock=ManualClock(NOW), timeout=LIMIT, **options)) as revocations:
        assert present(revocations, 0).answer == "advanced"
        assert present(revocations, 0).answer == "again"
        revocations.revoke_subject(ISSUER, "bob")
        assert revoked(revocations, subject="bob")
        assert revocations.start_family(ISSUER, "bob", alone=True) > NOW
        found = revocations.changes(None)
        assert revocations.changes(found.cursor, wait=0.01).entries == ()
        revocations.restore(found.entries)
        assert revocations.purge(NOW + 10**9) == 2
        assert revocations.current(FAMILY) == 0


def test_it_is_found_where_the_others_are() -> None:
    """And nobody pays for redis-py who does not ask for it."""
    program = (
        "import sys, jwtconnect_mw, jwtconnect_mw.revocation, jwtconnect_mw.issuer.app\n"
        "assert 'redis' not in sys.modules and 'sqlite3' not in sys.modules\n"
        "sys.modules['redis'] = None\n"
        "try: from jwtconnect_mw.revocation import RedisRevocationList\n"
        "except ImportError: pass\n"
        "else: raise SystemExit('imported')"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it imports sqlite3
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    with pytest.raises(AttributeError):
        revocation.OtherRevocationList  # noqa: B018  # asking is what is tested


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://:secret@",
        "redis:///0",
        "unix://",
        "redis://localhost/x",
        "redis://localhost/0/secret",
        "redis://:secret/0@localhost",
        "redis://:secret#1@localhost",
        "redis://:secret?1@localhost",
        "redis://user:secret@localhost:secret",
        "redis://localhost:99999",
        "redis://localhost:0",
        "rediss://:secret@localhost?ssl_cert_reqs=none",
        "rediss://:secret@localhost?ssl_cert_reqs=Optional",
        "rediss://:secret@localhost?ssl_cert_reqs=required&ssl_cert_reqs=none",
        "rediss://:secret@localhost?ssl_check_hostname=false",
        "rediss://:secret@localhost?ssl_check_hostname=0",
        "redis://[secret/",
        "redis://localhost?decode_responses=True",
        "redis://localhost?socket_timeout=secret",
        "redis://localhost?secret",
        "redis://localhost?db=secret",
        "redis://localhost?ssl_secret=1",
    ],
)
def test_urls_that_would_be_misread(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisRevocationList(url)
    assert caught.value.field == "url"
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a{b}"}, "prefix"),
        ({"prefix": "}"}, "prefix"),
        ({"prefix": "\u00fc"}, "prefix"),
        ({"prefix": "a\n"}, "prefix"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 60.5}, "timeout"),
        ({"wait_replicas": -1}, "wait_replicas"),
    ],
)
def test_settings_that_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisRevocationList("redis://localhost", **options)
    assert caught.value.field == name


def test_a_database_a_prefix_and_nothing_else(server: RedisServer) -> None:
    """All keys are in one slot of a cluster; none has an expiry, which a policy could take for leave to evict it."""
    for database in (0, 3):
        use(f"{server.url}/{database}", prefix=f"of {database}:")
    with server.client() as client:
        assert set(client.keys()) == {b"{of 0:}:" + name for name in (b"data", b"ends", b"order", b"log")}
        assert {client.ttl(key) for key in client.scan_iter()} == {-1}
        client.select(3)
        assert len(client.keys("{of 3:}:*")) == client.dbsize() == 4


def test_lists_by_their_prefix(server: RedisServer) -> None:
    """Two with one prefix are one list, others do not see it."""
    for prefix in ("one", "other"):
        begin(server.url, NOW, prefix)
    with (
        closing(RedisRevocationList(server.url, prefix="one", clock=ManualClock(NOW))) as first,
        closing(RedisRevocationList(server.url, prefix="one", clock=ManualClock(NOW))) as second,
        closing(RedisRevocationList(server.url, prefix="other", clock=ManualClock(NOW))) as other,
    ):
        first.revoke_token(ISSUER, "x")
        assert [revoked(one, token="x") for one in (first, second, other)] == [True, True, False]
        assert [present(one, 0).answer for one in (first, second, other)] == ["advanced", "again", "advanced"]
        server.tell("UNLINK", "{other}:data")
        assert [one.current(FAMILY) for one in (first, second, other)] == [1, 1, None]


def test_a_look_up_is_one_read_or_none(server: RedisServer) -> None:
    """With what shows that the server may write, on the same way."""
    with closing(RedisRevocationList(server.url, timeout=LIMIT)) as revocations:
        assert not revoked(revocations, token="x")
        with server.client() as client:
            client.config_resetstat()
            assert not revoked(revocations, token="x", session="x", subject="x")
            assert not revoked(revocations)
            calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
        assert calls.get("cmdstat_hmget") == calls.get("cmdstat_hdel") == 1
        ours = {"cmdstat_config", "cmdstat_config|resetstat", "cmdstat_info"}
        assert set(calls) - ours == {"cmdstat_hmget", "cmdstat_hdel"}


def test_the_rights_are_those_of_the_readme() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    assert RIGHTS in " ".join(text.replace("\\\n", "").split())


def test_a_user_with_a_password_and_few_rights(
    server: RedisServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the URL nor the password is shown by anything, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    server.tell("ACL", "SETUSER", "list", "reset", "on", f">{PASSWORD}", "~{jwtconnect_mw}:*", *RIGHTS.split())
    host = f"127.0.0.1:{server.port}"
    url = f"redis://list:{quote(PASSWORD, safe='')}@{host}"
    errors: list[BaseException] = []
    try:
        use(url)
        other, nowhere = quote(PASSWORD[:-1], safe=""), url.replace(f":{server.port}", ":1")
        shown = []
        for wrong in (nowhere, f"{url}/99", f"redis://list:{other}@{host}"):
            with closing(RedisRevocationList(wrong)) as revocations, pytest.raises(redis.RedisError) as caught:
                revoked(revocations, token="x")
            errors.append(caught.value)
            if wrong is nowhere:  # as tools show it that report errors; not this very frame
                within = caught.tb.tb_next
                shown += traceback.TracebackException(caught.type, caught.value, within, capture_locals=True).format()
        with closing(RedisRevocationList(url, prefix="other")) as revocations:
            with pytest.raises(redis.RedisError) as caught:
                present(revocations, 0)
            errors.append(caught.value)
            shown += [repr(revocations), repr(vars(revocations)), repr(vars(revocations._server))]
            # Which some versions show.
            assert not {"username", "password"} & set(revocations._server._client.connection_pool.connection_kwargs)
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
                pickle.dumps(revocations)
    finally:
        server.tell("ACL", "DELUSER", "list")
    shown += ["".join(traceback.format_exception(error)) for error in errors]
    shown += [caplog.text, *capsys.readouterr()]
    assert not [text for text in shown if PASSWORD[:-1] in text or quote(PASSWORD[:-1], safe="") in text]


def test_the_rights_of_a_connection_that_was_idle(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried before it is used, and more is asked for where the URL asks for more."""
    monkeypatch.setattr(redis_server, "_IDLE", 1e-6)
    for rights, more in (("", ""), ("+select", "/3"), ("+client|setname", "?client_name=x")):
        server.tell(
            "ACL", "SETUSER", "list", "reset", "on", ">x", "~{jwtconnect_mw}:*", *RIGHTS.split(), *rights.split()
        )
        try:
            server.tell("CONFIG", "RESETSTAT")
            use(f"redis://list:x@127.0.0.1:{server.port}{more}")
            with server.client() as client:
                assert client.info("commandstats")["cmdstat_ping"]["failed_calls"] == 0
        finally:
            server.tell("ACL", "DELUSER", "list")


@pytest.mark.parametrize("kind", KINDS)
def test_a_password_without_a_user(tmp_path: Path, kind: str) -> None:
    with running(kind, tmp_path, "--requirepass", PASSWORD) as server:
        with (
            closing(RedisRevocationList(server.url)) as revocations,
            pytest.raises(redis.AuthenticationError),
        ):
            revoked(revocations, token="x")
        use(f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_of_this_host(tmp_path: Path, kind: str) -> None:
    with running(kind, tmp_path, "--unixsocket", str(tmp_path / "a b.sock")):
        use(f"unix://{tmp_path}/a%20b.sock?db=2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_knows_too_little(tmp_path: Path, kind: str) -> None:
    """A Sentinel, say. What was asked is not told."""
    commands = ("EVALSHA", "HMGET", "HDEL")
    renamed = [word for command in commands for word in ("--rename-command", command, "")]
    with running(kind, tmp_path, *renamed) as server, closing(RedisRevocationList(server.url)) as revocations:
        for call in (
            lambda: revoked(revocations, token="asked"),
            lambda: revocations.revoke_token(ISSUER, "asked"),
            lambda: revocations.changes(None),
        ):
            with pytest.raises(redis.ResponseError, match="Sentinel") as caught:
                call()
            assert "asked" not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_that_scripts_miss(tmp_path: Path, kind: str) -> None:
    with (
        running(kind, tmp_path, "--rename-command", "ZSCORE", "") as server,
        closing(RedisRevocationList(server.url)) as revocations,
        pytest.raises(redis.ResponseError, match="Sentinel"),
    ):
        revocations.revoke_token(ISSUER, "asked")


def test_tls(server: RedisServer, tmp_path: Path) -> None:
    """The server's certificate must be of a known authority, and for that host."""
    authority = Authority(tmp_path)
    for name, good in (("127.0.0.1", True), ("other.example", False)):
        with Proxy(server.port, authority.server(name)) as proxy:
            url = f"rediss://127.0.0.1:{proxy.port}"
            for trusted, options in (
                (True, f"?ssl_ca_certs={authority.file}&ssl_cert_reqs=required&ssl_check_hostname=true"),
                (False, ""),
            ):
                if trusted and good:
                    use(f"{url}{options}")
                    continue
                with (
                    closing(RedisRevocationList(f"{url}{options}")) as revocations,
                    pytest.raises(redis.ConnectionError, match="certificate"),
                ):
                    present(revocations, 0)


def test_more_threads_than_connections(server: RedisServer) -> None:
    """They wait for each other, as long as the timeout."""
    begin(server.url, NOW)
    before = server.tell("INFO", "stats")
    with closing(RedisRevocationList(server.url, timeout=LIMIT, clock=ManualClock(NOW))) as revocations:
        steps = together([partial(present, revocations, 0)] * 150)
        assert sorted(step.answer for step in steps) == ["advanced"] + ["again"] * 149
    made = server.tell("INFO", "stats")["total_connections_received"] - before["total_connections_received"]
    assert 1 < made <= MOST_CONNECTIONS + 1


def test_a_part_that_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE", "node, redis")
    with pytest.raises(pytest.fail.Exception):
        require("redis", False, "redis-server is not installed")
    with pytest.raises(pytest.skip.Exception):
        require("valkey", False, "valkey-server is not installed")
