"""``jwt_keys``: make, list, rotate and drop the issuer's keys. No key is printed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ....issuer import SigningKeys
from ....issuer.signing import IssuerKeys
from ... import issuing
from ..reporting import reported


class Command(BaseCommand):
    help = "The signing keys of the issuer: make a key file, list, rotate, or drop one in an emergency."

    def add_arguments(self, parser: CommandParser) -> None:
        does = parser.add_subparsers(dest="do", required=True, metavar="make | list | rotate | drop")
        make = does.add_parser("make", help="make a key file (mode 0600), for keys= of the issuer")
        make.add_argument("path")
        make.add_argument("--algorithm", default=None, help="ES256 (the default), RS256, PS256 or EdDSA")
        does.add_parser("list", help="the published keys, oldest first, and that of the refresh tokens")
        rotate = does.add_parser("rotate", help="publish a next key; it signs when every verifier has it")
        rotate.add_argument("--at-once", action="store_true", help="it signs now")
        # A thumbprint may begin with a hyphen, and is no option then.
        drop = does.add_parser(
            "drop", help="unpublish a key at once: what it signed is refused", prefix_chars="+", add_help=False
        )
        drop.add_argument("kid")

    def handle(self, **options: Any) -> None:
        with reported():
            getattr(self, f"_{options['do']}")(options)

    def _make(self, options: dict[str, Any]) -> None:
        path = Path(options["path"])
        if path.exists():
            raise CommandError(f"{path} is there already")
        self._show(SigningKeys(path, algorithm=options["algorithm"]))

    def _list(self, _: dict[str, Any]) -> None:
        self._show(issuing.issuer().keys)

    def _rotate(self, options: dict[str, Any]) -> None:
        kid = issuing.issuer().keys.rotate(at_once=options["at_once"])
        self.stdout.write(f"next: {kid}")

    def _drop(self, options: dict[str, Any]) -> None:
        try:
            issuing.issuer().keys.drop(options["kid"])
        except KeyError:
            raise CommandError("there is no such key") from None
        self.stdout.write("dropped")

    def _show(self, keys: IssuerKeys) -> None:
        for key in keys.list():
            self.stdout.write(f"{key.kid}  {key.alg}  {key.state}  signs from {_time(key.signs_from)}")
        for secret in keys.refresh_secrets():
            self.stdout.write(f"{secret.kid}  HS256  refresh tokens")


def _time(seconds: float | None) -> str:
    if seconds is None or abs(seconds) > 1e11:
        return "-"
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="seconds")
