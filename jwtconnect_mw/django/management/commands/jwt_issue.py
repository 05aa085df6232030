"""``jwt_issue``: a token pair, on the standard output, as a token response."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ....errors import ConfigurationError
from ....issuer import GrantError
from ... import issuing, records


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
        try:
            if options["subject"] is not None:
                tokens = issuing.issuer().issue(options["subject"], **asked)
                records.record(tokens)
            else:
                tokens, _ = issuing.issue(_user(options["username"]), **asked)
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        except GrantError as error:
            raise CommandError(error.description) from None
        self.stdout.write(json.dumps(tokens.to_dict()))


def _user(name: str) -> Any:
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(name)
    except model.DoesNotExist:
        raise CommandError("there is no such user") from None
