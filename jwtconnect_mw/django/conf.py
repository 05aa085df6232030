"""What the settings make: the verifier, the issuer, the list and the users of a project.

Made when first needed, once for each state of the settings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from .. import revocation
from ..auth import BearerAuth
from ..policy import TrustedIssuer
from . import legacy
from .issuers import ProjectIssuer, project_issuer
from .lists import revocation_list
from .material import is_missing_file, passing_keys
from .options import AUTH, ISSUER, NAME, POLICY, checked, read
from .problems import SettingProblem, naming
from .signals import NEED_ISSUER
from .users import Users

STAGES = ("users", "revocations", "lookups", "issuer", "policies", "auth")
"""The parts of a Wiring, each built of those before it."""


_SHARED = "audience", "keys"  # of all trusted issuers that name none themselves


class Wiring:
    """The parts of a project, each made once. Every one raises SettingProblem.

    ``dry``: a key file that is not there is not made, because who checks the settings may be another user than the
    server, or build an image.
    """

    def __init__(self, *, dry: bool = False) -> None:
        self.options, self.legacy = read()
        self._dry = dry
        self._made: dict[Any, Any] = {}

    @property
    def user(self) -> str:
        """ "stateless" or "database"."""
        return str(self.users.mode)

    @cached_property
    def clock(self) -> Callable[[], float]:
        found: Callable[[], float] = self.options.get("clock", time.time)
        return found

    @cached_property
    def users(self) -> Users:
        get = self.options.get
        mode, claim, lookup = get("user", "stateless"), get("user_claim", "sub"), get("user_lookup", "pk")
        lenient = get("optional") == "invalid"  # a token that is refused with 401 is as good as none
        issuer = get("issuer")
        return Users(
            mode,
            claim,
            lookup,
            get("claims_map", {}),
            hashed=self.legacy,
            lenient=lenient,
            own=issuer.get("issuer") if isinstance(issuer, Mapping) else None,
            issuers=get("user_issuers"),
        )

    @cached_property
    def revocations(self) -> Any:
        """The list that the issuer writes, or that only the verifier asks; None without one."""
        default = "orm" if "issuer" in self.options else None
        return revocation_list(self.options.get("revocations", default), self.clock)

    @cached_property
    def lookups(self) -> Any:
        """The list that the verifier asks: with ``replicate`` a copy in this process, which costs no query."""
        if not self.options.get("replicate"):
            return self.revocations
        with naming("E006", f"{NAME}['replicate']"):
            return revocation.ReplicatedRevocationList(self.revocations, clock=self.clock)

    @cached_property
    def issuer(self) -> ProjectIssuer | None:
        given = self.options.get("issuer")
        if given is None:
            self._check_switches()
            return None
        where = "JWTAUTH_*" if self.legacy else f"{NAME}['issuer']"
        if not isinstance(given, Mapping):
            raise SettingProblem("E005", f"{where} is a dict of the arguments of Issuer.")
        arguments = checked(given, ISSUER, where, "E005")
        for name in ("issuer", "audience"):
            if name not in arguments:
                raise SettingProblem("E005", f"{where}: {name!r} is missing.")
        if self.revocations is None:
            raise SettingProblem("E006", f"{NAME}['revocations']: an issuer needs a list.")
        with naming("E005", where):
            if self._dry and is_missing_file(arguments.get("keys")):
                arguments["keys"] = passing_keys(arguments["keys"], arguments.get("algorithm"))
            issuer = project_issuer(arguments, self.users, self.revocations, self.clock, legacy=self.legacy)
        issuer.allow_refresh = not self.legacy or legacy.allows_refresh(settings)
        return issuer

    def _check_switches(self) -> None:
        """What they do to tokens needs an issuer; that is to be known before the first login or save fails."""
        for name in sorted(NEED_ISSUER):
            if self.options.get(name):
                raise SettingProblem("E005", f"{NAME}[{name!r}] needs an issuer: {NAME}['issuer'] is missing.")

    @cached_property
    def policies(self) -> tuple[TrustedIssuer, ...]:
        """Those of the settings, and that of the own issuer."""
        given = self.options.get("issuers", ())
        entries = given if isinstance(given, (list, tuple)) else [given]
        found = [self._policy(entry, f"{NAME}['issuers']") for entry in entries]
        issuer = self.issuer
        if issuer is not None and issuer.issuer not in [policy.issuer for policy in found]:
            found.append(self._own_policy(issuer.issuer, {"audience": issuer.audiences}))
        self._check_user_issuers({policy.issuer for policy in found})
        return tuple(found)

    def _check_user_issuers(self, trusted: set[str]) -> None:
        """Two issuers may call different people the same, so it must be said whose names are those of the rows."""
        chosen = self.users.issuers
        undecided = chosen is None and self.users.function is None
        if undecided and self.user == "database" and len(trusted) > 1:
            problem = (f"{NAME}['user_issuers']: several issuers are trusted: name those whose tokens name local "
                       "users, or give a function as 'user_lookup'.")  # fmt: skip
            raise SettingProblem("E007", problem)
        if chosen is not None and not chosen <= trusted:
            raise SettingProblem("E007", f"{NAME}['user_issuers']: {min(chosen - trusted)!r} is no trusted issuer.")

    @cached_property
    def auth(self) -> BearerAuth:
        chosen = {name: self.options[name] for name in AUTH if name in self.options}
        with naming("E004", NAME):
            return BearerAuth(*self.policies, revocations=self.lookups, **chosen)

    def _policy(self, entry: Any, where: str) -> TrustedIssuer:
        if isinstance(entry, TrustedIssuer):
            return entry
        given = {"issuer": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping):
            raise SettingProblem("E003", f"{where}: each is a dict of the arguments of TrustedIssuer, or a name.")
        arguments: dict[str, Any] = {name: self.options[name] for name in _SHARED if name in self.options}
        arguments.update(checked(given, POLICY, where, "E003"))
        name = arguments.pop("issuer", "")
        if "audience" not in arguments:
            raise SettingProblem("E003", f"{where}: the audience of {name!r} is missing.")
        own = self.issuer
        if own is not None and own.issuer == name and "keys" not in arguments:
            return self._own_policy(name, arguments)
        with naming("E003", where):
            return TrustedIssuer(name, **arguments)

    def _own_policy(self, name: str, arguments: Mapping[str, Any]) -> TrustedIssuer:
        """Keys are read from the issuer in this process, and never fetched."""
        issuer = self.issuer
        assert issuer is not None  # noqa: S101  # for the type checker
        trusted: dict[str, Any] = {"keys": issuer} if issuer.key_set()["keys"] else issuer.keys.trusted()
        with naming("E003", f"{NAME}['issuers']"):
            return TrustedIssuer(name, **{"profile": "rfc9068", **trusted, **arguments})

    def close(self) -> None:
        """End the thread of a copy of the list."""
        if self.options.get("replicate"):
            self.lookups.close()

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` makes, kept as long as these settings. Few keys: what a client sends is none."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


_lock = threading.RLock()  # a module that a setting names may ask for the wiring while it is imported
_current: list[Wiring] = []


def wiring() -> Wiring:
    """The parts for the settings as they are now. Raises SettingProblem (an ImproperlyConfigured)."""
    try:
        return _current[0]
    except IndexError:
        pass
    with _lock:
        if not _current:  # pragma: no branch  # another thread was quicker
            made = Wiring()
            for stage in STAGES:
                getattr(made, stage)
            _current.append(made)
        return _current[0]


def forget(*, setting: str, **_: Any) -> None:
    """The settings were changed, by ``override_settings`` in a test."""
    if setting == NAME or setting.startswith("JWTAUTH_") or setting in ("AUTH_USER_MODEL", "INSTALLED_APPS"):
        while _current:
            _current.pop().close()


def follow_settings() -> None:
    setting_changed.connect(forget, dispatch_uid="jwtconnect_mw.conf")
