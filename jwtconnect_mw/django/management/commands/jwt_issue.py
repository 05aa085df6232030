"""``jwt_issue``: a token pair, on the standard output, as a token response."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ... import issuing, records
from ..reporting import reported, user_named


class Command(BaseCommand):
    help = (
        "Issues a token pair to a user, or with --subject to anybody, and prints it as JSON. Whoever reads it has it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("username", nargs="?")
        who.add_argument("--subject", help="the sub claim itself")
        parser.add_argument("--audience", action="append", help="may be given several times")
        parser.add_argument("--scope", default="", help="space-separated")
        parser.add_argument("--client-id", default=None)

    def handle(self, **options: Any) -> None:
        asked = {name: options[name] for name in ("audience", "scope", "client_id")}
        with reported():
            if options["subject"] is not None:
                tokens = issuing.issuer().issue(options["subject"], **asked)
                records.record(tokens, alone=issuing.issuer().single_session)
            else:
                tokens, _ = issuing.issue(user_named(options["username"]), **asked)
        self.stdout.write(json.dumps(tokens.to_dict()))
