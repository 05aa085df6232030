"""``jwt_revoke``: a token, a session, or all sessions of a subject or a user."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ... import issuing, records
from ..reporting import reported, user_named


class Command(BaseCommand):
    help = "Revokes tokens. What is revoked is refused from now on, wherever the revocation list is asked."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--token", action="store_true", help="the token on the standard input")
        what.add_argument("--session", help="by its sid")
        what.add_argument("--jti", help="the access token or the session of a recorded token")
        what.add_argument("--subject", help="all sessions, by the sub claim")
        what.add_argument("--user", help="all sessions, by the user name")
        parser.add_argument("--before", type=float, help="with --subject: those that began before, in Unix seconds")

    def handle(self, **options: Any) -> None:
        if options["before"] is not None and options["subject"] is None:
            raise CommandError("--before goes with --subject")
        with reported():
            self._revoke(options)
        self.stdout.write("revoked")

    def _revoke(self, options: dict[str, Any]) -> None:
        issuer = issuing.issuer()
        if options["token"]:
            issuer.revoke(token=sys.stdin.read().strip())
        elif options["session"] is not None:
            issuer.revoke(session=options["session"])
        elif options["subject"] is not None:
            issuer.revoke(subject=options["subject"], before=options["before"])
        elif options["user"] is not None:
            issuing.revoke_user(user_named(options["user"]))
        else:
            self._revoke_recorded(options["jti"])

    def _revoke_recorded(self, jti: str) -> None:
        found = records.find(jti)
        if found is None:
            raise CommandError("no such token was recorded")
        if found.kind == "refresh":
            issuing.revoke_rows([found.row])
        else:
            issuing.revoke_access(jti, found.expires_at)
