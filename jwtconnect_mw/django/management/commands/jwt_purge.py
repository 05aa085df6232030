"""``jwt_purge``: drop what is over, a batch at a time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ... import records
from ...conf import wiring
from ..reporting import batch_of, reported

_LONGEST = 36_500  # days


class Command(BaseCommand):
    help = (
        "Drops revocations that nothing can meet any more, and records of tokens that expired. Writes drop a few by "
        "themselves; this is for a table that has grown, and for a nightly job."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=1000, help="rows of one transaction")
        parser.add_argument("--keep", type=float, default=0, help="days that records outlive their tokens")

    def handle(self, **options: Any) -> None:
        batch, keep, dropped, forgotten = batch_of(options), options["keep"], 0, 0
        if not 0 <= keep <= _LONGEST:  # less than nothing would drop what is good yet
            raise CommandError(f"--keep is a number of days from 0 to {_LONGEST}")
        with reported():
            revocations, clock = wiring().revocations, wiring().clock
        if hasattr(revocations, "purge"):  # a server may have an expiry of its own
            while number := revocations.purge(clock(), limit=batch):
                dropped += number
        while number := records.purge(limit=batch, keep=keep * 86_400):
            forgotten += number
        self.stdout.write(f"{dropped} revocations and sessions, {forgotten} records dropped")
