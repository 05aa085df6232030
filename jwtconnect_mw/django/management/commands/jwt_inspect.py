"""``jwt_inspect``: what a token says, and whether it is good now. The token comes on the standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...._strict import b64url_decode, json_object
from ....issuer import Issuer
from ....issuer.clients import Client
from ... import issuing, records
from ..reporting import reported


class Command(BaseCommand):
    help = (
        "Prints the header and the claims of a token as JSON, and whether this issuer holds it for good now. The token "
        "is read from the standard input, because command lines are seen by others; or name a recorded one by --jti."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jti")

    def handle(self, **options: Any) -> None:
        with reported():
            issuer, jti = issuing.issuer(), options["jti"]
            told = _of_text(sys.stdin.read().strip(), issuer) if jti is None else _of_record(jti, issuer)
        self.stdout.write(json.dumps(told, indent=2))


def _of_record(jti: str, issuer: Issuer) -> dict[str, Any]:
    found = records.find(jti)
    if found is None:
        raise CommandError("no such token was recorded")
    return {"active": found.is_live(issuer), "kind": found.kind, "claims": found.to_dict()}


def _of_text(text: str, issuer: Issuer) -> dict[str, Any]:
    try:
        header, claims, _ = text.split(".")
        read = [json_object.read(b64url_decode(part.encode("ascii"))) for part in (header, claims)]
    except ValueError:
        raise CommandError("that is no token") from None
    # Whoever may run this may see every token: it is asked as its own client.
    client = Client(str(read[1].get("client_id")), True, frozenset(issuer.audiences), ())
    active = issuer.introspect(text, caller=client)["active"]
    return {"active": active, "header": read[0], "claims": read[1]}
