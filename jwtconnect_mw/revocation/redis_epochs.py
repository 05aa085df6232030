"""Calls of scripts that begin a new epoch where the server's data is lost, and notice when others did."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from .._fork import watch_forks
from .redis_scripts import PURGE, Script
from .redis_server import Server, Text
from .redis_texts import exact

_MOST_KNOWN = 8  # epochs: an answer on its way from an older one is no news
_log = logging.getLogger("jwtconnect_mw.revocation")


class Calls:
    """Safe for threads and fork. ``now``: seconds since the epoch, when a new one would begin, by a clock that is the
    host's (``of_host``) or another one.
    """

    def __init__(self, server: Server, *, of_host: bool) -> None:
        self._server, self._of_host = server, "host" if of_host else ""
        self._epochs: deque[str] = deque(maxlen=_MOST_KNOWN)
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def run(self, script: Script, now: float, *arguments: Text, repeat: bool = True) -> list[Any]:
        """What the script answers."""
        return self.ask(script, now, *arguments, repeat=repeat)[1]

    def ask(self, script: Script, now: float, *arguments: Text, repeat: bool = True) -> tuple[str, list[Any]]:
        """The epoch, and what else the script answers."""
        # New for each call: one that was used for an epoch would hide that this was lost.
        candidate = f"1.{secrets.token_hex(16)}"
        how = f"{self._of_host} {'wait' if self._server.waits_for(script) else ''}"
        found, *answer = self._server.run(script, candidate, exact(now), how, *arguments, repeat=repeat)
        epoch: str = found.decode()
        self._notice(epoch)
        return epoch, answer

    def read(self, key: str, fields: Sequence[bytes], now: float) -> list[bytes | None]:
        """Fields of the hash that everything is decided by."""
        epoch, *values = self._server.read(key, (b"#epoch", *fields))
        if epoch is None or not epoch.startswith(b"1."):
            self.run(PURGE, now, exact(now), "0")  # which begins one, or fails at a list of another version
        else:
            self._notice(epoch.decode())
        return values

    def _notice(self, epoch: str) -> None:
        with self._lock:
            if epoch in self._epochs:
                return
            lost = bool(self._epochs)
            self._epochs.append(epoch)
        if lost:
            _log.error(
                "The data of the revocation list was lost: families that started before this moment are refused, and"
                " revocations are known again as far as a replica has them"
            )
