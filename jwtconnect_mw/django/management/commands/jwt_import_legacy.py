"""``jwt_import_legacy``: the table of django-jwtconnect-auth, carried over."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from ...carry_over import TABLE, Carried, NoOldTable, carry_over
from ..reporting import batch_of


class Command(BaseCommand):
    help = (
        "Copies identifiers and times of the tokens in the table of django-jwtconnect-auth, in batches. It may be run "
        "again: what was copied is left alone, and so is the older table. Drop that one afterwards: it holds tokens."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default="default")
        parser.add_argument("--table", default=TABLE)
        parser.add_argument("--batch", type=int, default=1000, help="rows of one transaction")

    def handle(self, **options: Any) -> None:
        total, using = Carried(), options["database"]
        if using not in connections:
            raise CommandError("--database is not one of the DATABASES of the settings")
        rows = carry_over(using=using, table=options["table"], batch=batch_of(options))
        try:
            for so_far in rows:
                total = so_far
        except NoOldTable as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{total.copied} copied, {total.known} were there, {total.left} left out (no user or no jti)")
