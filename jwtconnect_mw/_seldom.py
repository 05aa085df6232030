"""Log lines about what fails at every request as long as it lasts: an outage must not fill the log."""

from __future__ import annotations

import logging
import time

_SECONDS = 60.0


class Seldom:
    """At most one error a minute, of real time, goes to ``log``; what comes between is dropped."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next = float("-inf")

    def error(self, text: str, *values: object) -> None:
        """As that of the logger."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS
            self._log.error(text, *values)
