"""A stand-in until the branch with the settings is merged: just enough for models, signals and commands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from ..issuer import Issuer
from .revocations import OrmRevocationList


class Users:
    def subject(self, user: Any) -> str:
        return sha256(str(user.get_username()).encode()).hexdigest()

    def naming(self, user: Any) -> dict[str, Any]:
        return {}

    def claims(self, user: Any) -> dict[str, Any]:
        return {"username": user.get_username()}


@dataclass
class Wiring:
    issuer: Issuer | None
    revocations: Any
    users: Any
    auth: Any = None


@lru_cache(maxsize=1)
def wiring() -> Wiring:
    from .. import BearerAuth, TrustedIssuer
    from ..issuer.service import Issuer
    from . import records

    given = getattr(settings, "JWTCONNECT_MW", {}).get("issuer")
    revocations = OrmRevocationList()
    if given is None:
        return Wiring(None, revocations, Users())
    issuer = Issuer(**given, revocations=revocations, on_event=records.note)
    auth = BearerAuth(
        TrustedIssuer(issuer.issuer, audience=issuer.audiences, keys=issuer.key_set()), revocations=revocations
    )
    return Wiring(issuer, revocations, Users(), auth)


setting_changed.connect(lambda **_: wiring.cache_clear(), weak=False)
