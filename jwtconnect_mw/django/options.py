"""Reads ``JWTCONNECT_MW``: which names there are, and what is an object, a callable or the dotted path of one.

``issuers``: one dict of the arguments of TrustedIssuer, or a list of them; a name alone where ``audience`` and ``keys``
stand beside it, which count for all that have none. ``issuer``: the arguments of Issuer, for a project that issues
tokens itself; it trusts them without being told.
``revocations``: "orm" (an issuer's default), "memory", a path, the URL of a Redis server, a list, or a dotted path.
``replicate``: True for look-ups in a copy of the list in each process.
``public``, ``required_scopes``, ``optional``, ``preflight``, ``realm``, ``resource_metadata``, ``on_refused``,
``observer``, ``cache_size``, ``fetch``, ``clock``: see BearerAuth. Admin pages have sessions: they are made ``public``.
``user``: "stateless" (the default) or "database", where the claim ``user_claim`` ("sub") is looked up in the field
``user_lookup`` ("pk"), and must be equal to it to the letter. ``user_issuers``: the issuers whose tokens name local
users; has to be there where several are trusted, because the "7" of one may be somebody else at another. The tokens of
the others are then refused with 401, and so are those that clients got for themselves from an issuer of one's own.
``user_lookup`` may be a function as well, from an AccessToken to a user or None, which then decides all that itself.
Where the subject is no primary key, tokens of one's own carry that as ``user_pk``, which is compared as well.
``claims_map``: from attribute of a user to claim, for tokens of one's own.
The switches of ``signals`` are names as well. What can be called may be a dotted path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from inspect import signature
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from .._checks import is_async
from ..auth import BearerAuth
from ..issuer import Issuer
from ..policy import TrustedIssuer
from . import legacy
from .problems import SettingProblem
from .signals import SETTINGS as SWITCHES

NAME = "JWTCONNECT_MW"
_DOTTED = re.compile(r"\w+(?:\.\w+)+")


def _parameters(kind: type) -> frozenset[str]:
    return frozenset(signature(kind).parameters)


AUTH = _parameters(BearerAuth) - {"issuers", "revocations", "remote_user"}
POLICY = _parameters(TrustedIssuer)
ISSUER = _parameters(Issuer) - {"revocations", "clock"}
KNOWN = frozenset(
    (
        "issuers",
        "audience",
        "keys",
        "issuer",
        "revocations",
        "replicate",
        "user",
        "user_claim",
        "user_lookup",
        "user_issuers",
        "claims_map",
    ),
).union(AUTH, SWITCHES)
"""Every name of the dict."""
_SWITCHES = SWITCHES | {"replicate", "preflight", "trust_http", "single_session"}
_CALLABLE = frozenset(
    (
        "on_refused",
        "observer",
        "fetch",
        "clock",
        "claims",
        "is_active",
        "on_event",
        "token_id",
    ),
)
_MAYBE_CALLABLE = frozenset(("scope_claim", "user_lookup"))  # or the name of a claim or field


def read() -> tuple[dict[str, Any], bool]:
    """The settings as one dict, and whether they are those of the older package. Raises SettingProblem."""
    given = getattr(settings, NAME, None)
    if given is not None and not isinstance(given, Mapping):
        raise SettingProblem("E002", f"{NAME} is a dict.")
    found = checked(given or {}, KNOWN, NAME, "E004")
    if found.get("issuer", ...) is None:
        del found["issuer"]  # the default, which is as good as no word about it
    if "issuers" in found or "issuer" in found:
        return found, False
    if legacy.is_used(settings):
        return {**legacy.translated(settings), **found}, True
    raise SettingProblem("E001", f'{NAME} names neither "issuers" nor "issuer", and there is no JWTAUTH_KEY.')


def checked(given: Mapping[Any, Any], known: Collection[str], where: str, id: str) -> dict[str, Any]:
    """A copy with what dotted paths name. ``id``: of the problem for what is no function.

    Raises SettingProblem for unknown names, and for what is no function or no switch where one is needed: much of that
    would be found out only by a request.
    """
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        raise SettingProblem(
            "E002", f"{where} has unknown names: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
        )
    found = {
        name: imported(value, f"{where}[{name!r}]") if _is_path(name, value) else value for name, value in given.items()
    }
    for name, value in found.items():
        if name in _SWITCHES and not isinstance(value, bool):
            raise SettingProblem("E009", f"{where}[{name!r}] is True or False.")
        if name in _CALLABLE and not callable(value) and (value is not None or name == "clock"):
            raise SettingProblem(id, f"{where}[{name!r}]: a function is needed, or its dotted path.")
        if name in _CALLABLE and is_async(value):
            raise SettingProblem(id, f"{where}[{name!r}]: a plain function is needed, not an async one.")
    return found


def imported(path: str, where: str) -> Any:
    """What a dotted path names. Raises SettingProblem."""
    try:
        return import_string(path)
    except ImportError:
        raise SettingProblem("E002", f"{where}: {path!r} cannot be imported.") from None


def _is_path(name: str, value: object) -> bool:
    """A claim is called "scp", or by a URL."""
    if not isinstance(value, str):
        return False
    return name in _CALLABLE or (name in _MAYBE_CALLABLE and bool(_DOTTED.fullmatch(value)))
