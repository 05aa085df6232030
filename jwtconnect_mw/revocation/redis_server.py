"""The ONLY importer of redis-py: connections to the server, and scripts that run there.

redis-py has no part in what is decided: no name, time or answer passes through its conversions. RESP2 is spoken, which
every version of it and of the server knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from .._fork import watch_forks
from ..errors import ConfigurationError
from .redis_scripts import Script
from .redis_url import checked_scheme

MOST_CONNECTIONS = 64
_IDLE = 30  # seconds after which a connection is tried before it is used: firewalls forget
# In the name of the exception or its text.
_NOT_FOR_US = ("READONLY", "ReadOnlyError", "NOREPLICAS", "Not enough good replicas", "CLUSTERDOWN", "ClusterDown")
_MOVED = re.compile(r"(?:MOVED|MovedError) [0-9]+ (?P<host>[^ ]*):(?P<port>[0-9]+)")
_MOST_REDIRECTIONS = 2
_UNKNOWN = re.compile(r"unknown (?:\w+ )?command", re.IGNORECASE)  # of a script, it is an unknown Redis command
_NO_LIST_SERVER = "no server for a list: it lacks commands, as a Sentinel does, or one where they were renamed"
Text = str | bytes


class Server:
    """Safe for threads and fork. Connects when it is first asked, and in a child anew.

    ``timeout``: seconds that connecting, each read of an answer, and waiting for a free connection may last. What
    redis-py raises (redis.RedisError) is raised; no text of it holds the URL. ``wait_replicas``: see
    RedisRevocationList.
    """

    def __init__(self, url: str, keys: Sequence[str], *, timeout: float, wait_replicas: int) -> None:
        self._keys, self._timeout, self._wait_replicas = keys, timeout, wait_replicas
        # In a closure, so that no repr and no dump of our attributes shows the URL.
        self._connect = _connector(url, timeout)
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: what is open belongs to the parent, and a thread of it may have held redis-py's locks."""
        self._client = self._named = self._connect(None)

    def waits_for(self, script: Script) -> bool:
        """Whether replicas must confirm what the script did."""
        return script.writes and self._wait_replicas > 0

    def close(self) -> None:
        """Close what is idle; what is in use is closed when its answer is there. Who asks after that connects anew, to
        the server of the URL.
        """
        # A connection that redis-py closes under another thread makes that fail by whatever it happens to meet. Nobody
        # refers to a pool that nobody uses: its connections close as they are dropped.
        self._client = self._named = self._connect(None)

    def run(self, script: Script, *arguments: Text, repeat: bool = True) -> list[Any]:
        """What the script returns. Asked once more where the connection broke, unless ``repeat`` is False."""
        answer: list[Any] = self._ask(lambda client: self._run(client, script, arguments), repeat=repeat)
        return answer

    def read(self, key: str, fields: Sequence[bytes]) -> list[bytes | None]:
        """Fields of a hash."""
        values: list[bytes | None] = self._ask(lambda client: self._guarded(client, ("HMGET", key, *fields))[0])
        return values

    def wait(self, key: str, after: str, seconds: float) -> None:
        """Until the stream has an item with an id above ``after``, or some time, up to ``seconds``, is over."""
        # Well within the timeout of the connection. Zero would be for ever.
        milliseconds = max(1, int(min(seconds, self._timeout / 2) * 1000))
        _command(self._client, "XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", key, after)

    def _ask(self, ask: Callable[[redis.Redis], Any], *, repeat: bool = True) -> Any:
        redirections = 0
        while True:
            client = self._client
            try:
                return ask(client)
            except redis.ResponseError as error:
                if _UNKNOWN.search(str(error)):  # whose text goes on with what was asked: names of tokens
                    raise redis.ResponseError(_NO_LIST_SERVER) from None
                redirections += 1
                if redirections > _MOST_REDIRECTIONS or not self._follow(client, error):
                    raise
            except redis.TimeoutError:
                self._leave(client)
                raise
            except redis.ConnectionError:
                self._leave(client)
                if not repeat:
                    raise
                repeat = False

    def _follow(self, client: redis.Redis, error: redis.ResponseError) -> bool:
        """Whether ``client`` said that another server of its cluster has the keys, which is asked from now on."""
        said = f"{type(error).__name__} {error}"  # some versions tell in words what others have a class for
        if client is self._client and any(word in said for word in _NOT_FOR_US):
            # A primary that was demoted or is cut off: its name may lead to another one by now.
            self.close()
        moved = _MOVED.search(said)
        known = client.connection_pool.connection_kwargs
        if moved is None or "host" not in known:
            return False
        if client is self._client:  # else another thread has followed already
            self._client = self._connect((moved["host"] or known["host"], int(moved["port"])))
        return True

    def _leave(self, client: redis.Redis) -> None:
        """One that a cluster named, and that fails: the server of the URL knows whether it is still the right one."""
        if client is self._client:
            self._client = self._named

    def _run(self, client: redis.Redis, script: Script, arguments: Sequence[Text]) -> list[Any]:
        try:
            return self._evaluate(client, script, ("EVALSHA", script.digest), arguments)
        except NoScriptError:
            return self._evaluate(client, script, ("EVAL", script.text), arguments)

    def _evaluate(
        self, client: redis.Redis, script: Script, how: tuple[str, str], arguments: Sequence[Text]
    ) -> list[Any]:
        # Counts for what was written on the same connection.
        wait = [("WAIT", self._wait_replicas, max(1, int(self._timeout * 500)))] if self.waits_for(script) else []
        answer, *confirmed = self._guarded(client, (*how, len(self._keys), *self._keys, *arguments), *wait)
        if wait and confirmed[0] < self._wait_replicas:
            raise redis.TimeoutError("written, but not confirmed by as many replicas as are asked for")
        found: list[Any] = answer
        return found

    def _guarded(self, client: redis.Redis, *commands: tuple[object, ...]) -> list[Any]:
        """What they answer, where the server may write: one that was demoted or is cut off (min-replicas-to-write) does
        not know what is new. To delete what is not there changes nothing, and such a server refuses it; Redis 6 minds
        min-replicas-to-write only in what is no script.
        """
        return _commands(client, [("HDEL", self._keys[0], ""), *commands])[1:]


def _command(client: Any, *command: object) -> Any:  # redis-py leaves its method untyped
    return client.execute_command(*command)


def _commands(client: redis.Redis, commands: Sequence[tuple[object, ...]]) -> list[Any]:
    """What they answer, one after the other on one connection; raises what the first that fails says."""
    pipeline: Any = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    # Each refers by its traceback to a frame that refers to it, and would hold the connection until that is noticed.
    failures = [answer.with_traceback(None) for answer in answers if isinstance(answer, Exception)]
    if not failures:
        return answers
    try:
        raise failures[0]
    finally:
        del answers, failures


class _Pool(redis.BlockingConnectionPool):
    """In many versions of redis-py its repr, and so that of a client, shows passwords and passphrases."""

    def __repr__(self) -> str:
        return "<connections to the server of a revocation list>"


def _connector(url: str, timeout: float) -> Callable[[tuple[str, int] | None], redis.Redis]:
    """Makes clients of the server that the URL names, or of another one that is reached in the same way."""
    pool_options = {
        "max_connections": MOST_CONNECTIONS,
        "timeout": timeout,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": _IDLE,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if checked_scheme(url) == "rediss":
        pool_options["ssl_check_hostname"] = True  # which older versions of redis-py do not do unless told

    def connect(place: tuple[str, int] | None) -> redis.Redis:
        pool = _Pool.from_url(url, **pool_options)
        known = pool.connection_kwargs
        user, password = known.pop("username", None), known.pop("password", None)
        if user is not None or password is not None:
            known["credential_provider"] = redis.UsernamePasswordCredentialProvider(user, password)
        if place is not None:
            known["host"], known["port"] = place
        return redis.Redis(connection_pool=pool)

    accepted = False
    with suppress(Exception):  # its text might hold a part of the URL, even as the cause of another
        pool = connect(None).connection_pool
        pool.connection_class(**pool.connection_kwargs)  # which opens nothing yet
        accepted = True
    if not accepted:
        raise ConfigurationError("url", "redis-py does not accept an option of it")
    return connect
