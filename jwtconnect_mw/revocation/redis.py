"""A revocation list on a Redis or Valkey server: for any number of processes and hosts. Needs the extra ``redis``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

from ..errors import ConfigurationError
from .cursors import Cursor
from .entries import MOST_AHEAD, entry_end, known_end
from .feed import Change, Changes, FeedGap
from .protocol import Family, Step, SubjectRevokedError
from .redis_epochs import Calls
from .redis_scripts import ADVANCE, CHANGES, CURRENT, PURGE, PUT, START, SUBJECT
from .redis_server import Server
from .redis_texts import Kind, change, exact, field

_MOST_TIMEOUT = 60.0
_MOST_AT_ONCE = 1000  # entries that one script reads or writes: the server does nothing else meanwhile


class RedisRevocationList:
    """Safe for threads, processes and fork. Redis 6, Valkey 7 or later; each call is one atomic step of the server.

    ``url``: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://``; percent-encode the password.
    No connection is made before the list is first asked. ``prefix``: of the list's four keys; lists with one prefix
    are one list. The keys are all in one slot; in a cluster the URL may name any server, which is asked where they are.
    ``timeout``: seconds, up to 60, that connecting, each read of an answer (not all of one that comes in pieces), and
    waiting for a free connection may each last; a connection that broke is tried once more.
    ``clock``: seconds since the epoch. Any but ``time.time`` counts where it is more than a day from the server's.
    ``wait_replicas``: so many replicas must confirm each write (WAIT, half the timeout; twice where the server does not
    know the script yet), or redis.TimeoutError is raised although the primary has written; to ask again confirms it.
    Without it, a failover may undo the last writes: a revocation is gone, a spent refresh token good again. WAIT
    narrows that window, and closes it where only such a replica is promoted. Every call fails at a server that may not
    write: with ``min-replicas-to-write 1`` that is also a primary which others replaced while it was cut off, so that
    nobody takes it for the truth.

    What the server acknowledged survives its restart as its own persistence says: ``appendonly yes``, with
    ``appendfsync always`` for a loss of power. Set ``maxmemory-policy noeviction``: no key of the list has an expiry,
    ended entries are dropped by writes and ``purge``. When data is lost (FLUSHALL, a restart without data, an evicted
    key), the next call begins a new epoch: families that started before it are unknown, and the log says so once.

    Raises ConfigurationError when built; later what redis-py raises (redis.RedisError).
    """

    blocking = True
    shared = True

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "jwtconnect_mw",
        clock: Callable[[], float] = time.time,
        timeout: float = 1.0,
        wait_replicas: int = 0,
    ) -> None:
        if not prefix or not prefix.isascii() or not prefix.isprintable() or set(prefix) & set("{}"):
            raise ConfigurationError("prefix", "printable ASCII without braces is needed")
        if not 0 < timeout <= _MOST_TIMEOUT:
            raise ConfigurationError("timeout", f"more than 0 and up to {_MOST_TIMEOUT:g} seconds")
        if wait_replicas < 0:
            raise ConfigurationError("wait_replicas", "a number of replicas, or 0")
        self._clock = clock
        keys = [f"{{{prefix}}}:{name}" for name in ("data", "ends", "order", "log")]
        self._data, self._stream = keys[0], keys[3]
        self._server = Server(url, keys, timeout=timeout, wait_replicas=wait_replicas)
        self._calls = Calls(self._server, of_host=clock is time.time)

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """See RevocationLookup. One read; a copy in the process (ReplicatedRevocationList) saves it."""
        names: tuple[tuple[Kind, str | None], ...]
        names = (("token", token_id), ("session", session), ("subject", subject))
        asked = [field(kind, issuer, name) for kind, name in names if name is not None]
        values = self._calls.read(self._data, asked, self._clock()) if asked else []
        found = [change(name, value) for name, value in zip(asked, values, strict=True) if value is not None]
        return any(
            entry.ends > now and (entry.kind != "subject" or started is None or started < entry.bound)
            for entry in found
        )

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        now = self._clock()
        self._calls.run(PUT, now, exact(now), field("token", issuer, token_id), exact(entry_end(expires_at, now)), "")

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        now = self._clock()
        self._calls.run(PUT, now, exact(now), field("session", issuer, session), exact(entry_end(expires_at, now)), "")

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose session began before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        """
        now = self._clock()
        moment = float(now if before is None else before)
        if not math.isfinite(moment):
            raise ValueError("a time that is not finite")
        ends, default = exact(entry_end(expires_at, now)), "1" if before is None else "0"
        name = field("subject", issuer, subject)
        self._calls.run(SUBJECT, now, exact(now), name, ends, exact(moment), default, str(2 * MOST_AHEAD))

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """See RevocationList."""
        now = self._clock()
        ends = exact(entry_end(expires_at, now)) if alone else ""
        started = self._calls.run(START, now, exact(now), field("subject", issuer, subject), ends, str(MOST_AHEAD))
        if not started:
            raise SubjectRevokedError
        return int(float(started[0]))

    def advance(
        self,
        family: Family,
        presented: int,
        *,
        client_id: str,
        issued_at: int,
        expires_at: int,
        keep_until: float,
        now: float,
        grace: float,
    ) -> Step:
        """See RevocationList. One step of the server."""
        issuer, session = family.issuer, family.session
        answer, *successor = self._calls.run(
            ADVANCE,
            max(now, self._clock()),
            *(exact(now), exact(grace), str(presented), str(family.started)),
            "1" if client_id == family.client_id else "0",
            *(str(issued_at), str(expires_at), exact(known_end(keep_until))),
            field("session", issuer, session),
            field("subject", issuer, family.subject),
            field("record", issuer, session),
            # Without a window, to ask again would look like reuse.
            repeat=grace > 0,
        )
        return Step(answer.decode(), *map(int, successor))

    def current(self, family: Family) -> int | None:
        """See RevocationList."""
        birth, record = self._calls.run(CURRENT, self._clock(), field("record", family.issuer, family.session))
        if family.started < float(birth):
            return None
        return 0 if record is None else int(record.split()[0])

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` (and 1,000) entries and records whose end has come; how many."""
        most = max(0, min(limit, _MOST_AT_ONCE))
        return int(self._calls.run(PURGE, self._clock(), exact(now), str(most))[0])

    def changes(self, cursor: str | None, *, limit: int = 1000, wait: float = 0.0) -> Changes:
        """See ChangeFeed. At most 1,000 entries at once, oldest change first. A reader that waits holds a connection.

        FeedGap: other data than the cursor's, also after a failover that lost something, or 10,000 changes since.
        """
        known = Cursor.read(cursor)
        deadline = time.monotonic() + wait
        while True:
            changes, known = self._changes(known, max(1, min(limit, _MOST_AT_ONCE)))
            left = deadline - time.monotonic()
            if changes.entries or changes.more or left <= 0:
                return changes
            self._server.wait(self._stream, known.seen, left)

    def _changes(self, known: Cursor, limit: int) -> tuple[Changes, Cursor]:
        now = self._clock()
        epoch, answer = self._calls.ask(CHANGES, now, *known, str(limit))
        if not answer:
            raise FeedGap("the data is not that of the cursor, or too much has changed since")
        position, seen, found = answer
        reached = Cursor(epoch, position.decode(), seen.decode())
        pairs = list(zip(found[::2], found[1::2], strict=True))
        # None: somebody else took the field out of the hash.
        entries = (change(name, value) for name, value in pairs if value is not None)
        living = tuple(entry for entry in entries if entry.ends > now)
        return Changes(epoch, living, str(reached), len(pairs) == limit), reached

    def restore(self, entries: Collection[Change]) -> None:
        """See ChangeFeed. At most 1,000 entries a step."""
        now = self._clock()
        living = [entry for entry in entries if known_end(entry.ends) > now]
        for first in range(0, len(living), _MOST_AT_ONCE):
            arguments: list[str | bytes] = []
            for kind, issuer, name, ends, bound in living[first : first + _MOST_AT_ONCE]:
                arguments += field(kind, issuer, name), exact(ends), exact(bound) if kind == "subject" else ""
            self._calls.run(PUT, now, exact(now), *arguments)

    def close(self) -> None:
        """Close the connections. Whoever asks the list after that connects anew."""
        self._server.close()
