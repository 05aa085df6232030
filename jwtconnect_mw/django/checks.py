"""System checks: an error for every setting that is refused, and warnings for a deployment.

E001 nothing is configured            E010 JWTAUTH_ISSUER is missing
E002 an unknown name or path          E011 JWTAUTH_KEY is missing or unusable
E003 a trusted issuer                 E012 JWTAUTH_CERT is that of another key
E004 an option of the verifier        E013 JWTAUTH_ALGORITHM does not fit the key
E005 the issuer                       E014 JWTAUTH_AUTH_HEADER_TYPES without Bearer
E006 the revocation list              E015 JWTAUTH_KEYJAR_HANDLER gives no keys
E007 user and the names that follow it E020 the place of the middleware
E008 claims_map
E009 a switch that is neither on nor off

W001 HS256, HS384 or HS512            W005 a token is accepted whatever its audience
W002 a short secret                   W006 signing keys in memory
W003 a list of one process            W007 JWTAUTH_* beside an issuer of JWTCONNECT_MW
W004 an issuer by http                W008 a list on SQLite with ATOMIC_REQUESTS
W009 a secret that debug pages show    W010 the cache's middleware is behind ours
W011 claims_map names no attribute
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from .._jwk import ALGORITHMS
from ..keys.sources import SourceError, no_fetch
from ..policy import AnyAudience, TrustedIssuer
from . import legacy
from .conf import STAGES, Wiring
from .problems import SettingProblem

MIDDLEWARE = "jwtconnect_mw.django.middleware.BearerMiddleware"
_BEFORE_IT = tuple(
    f"django.contrib.{name}Middleware" for name in ("sessions.middleware.Session", "auth.middleware.Authentication")
)
_CACHE = "django.middleware.cache.UpdateCacheMiddleware"
LONG_SECRET = 48
"""Bytes that a secret should have; 32 are the least that is taken."""


@register()
def check_settings(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ARG001  # as Django has it
    """What the server would refuse to start with."""
    return [*_problems(), *_misplaced(list(settings.MIDDLEWARE))]


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ARG001  # as Django has it
    """What works, but not as well as it should."""
    try:
        wired = Wiring(dry=True)
        for stage in STAGES:
            getattr(wired, stage)
    except SettingProblem:
        return []  # the other check says why
    rules: Iterable[Callable[[Wiring], Iterator[str]]] = (_secrets, _list, _issuers, _keys, _both, _shown)
    return [Warning(text[5:], id=f"jwtconnect_mw.{text[:4]}") for rule in rules for text in rule(wired)]


def _problems() -> Iterator[CheckMessage]:
    try:
        wired = Wiring(dry=True)
    except SettingProblem as problem:
        yield Error(str(problem), id=problem.id)
        return
    told: set[str] = set()
    for stage in STAGES:
        try:
            getattr(wired, stage)
        except SettingProblem as problem:
            if str(problem) not in told:
                told.add(str(problem))
                yield Error(str(problem), id=problem.id)
    if not told:
        yield from _unmapped(wired)


def _unmapped(wired: Wiring) -> Iterator[CheckMessage]:
    """The older package's default is for the user model of Django, and others may lack some of it."""
    if wired.issuer is not None and wired.options.get("claims_map") is not legacy.CLAIMS_MAP:
        for attribute in wired.users.claims_map.unknown(wired.users.model):
            text = f"claims_map: the user model has no attribute {attribute!r}, so its claim will be missing."
            yield Warning(text, id="jwtconnect_mw.W011")


def _misplaced(middleware: list[str]) -> Iterator[CheckMessage]:
    if MIDDLEWARE in middleware:
        late = [name for name in _BEFORE_IT if name in middleware[middleware.index(MIDDLEWARE) :]]
        if late:
            text = f"{MIDDLEWARE} must be behind {' and '.join(late)}, which would replace the user of the token."
            yield Error(text, id="jwtconnect_mw.E020")
        if _CACHE in middleware[middleware.index(MIDDLEWARE) :]:
            text = f"{_CACHE} is behind {MIDDLEWARE}: it keeps answers before they are said to vary with the token."
            yield Warning(text, id="jwtconnect_mw.W010")


def _secrets(wired: Wiring) -> Iterator[str]:
    shared = sorted({name for policy in wired.policies for name in policy.algorithms if ALGORITHMS[name].kty == "oct"})
    if shared:
        yield f"W001 Tokens signed with {', '.join(shared)} are accepted: whoever can verify one can make one."
    if any(len(secret) < LONG_SECRET for secret in _shared_secrets(wired)):
        yield f"W002 A shared secret has fewer than {LONG_SECRET} bytes."


def _shared_secrets(wired: Wiring) -> Iterator[bytes]:
    for policy in wired.policies:
        if not policy.source.remote:
            with suppress(SourceError):  # a file that is gone by now
                keys = policy.source.load(no_fetch, 0.0, 0.0).keys
                yield from (key.key for key in keys.bundle if key.kty == "oct")


def _list(wired: Wiring) -> Iterator[str]:
    if wired.revocations is not None and not getattr(wired.revocations, "shared", True):
        yield "W003 The revocation list is in the memory of one process: the others do not honour a revocation."
    using = getattr(wired.revocations, "using", None)  # of the list in the database
    if (
        using is not None
        and connections[using].vendor == "sqlite"
        and connections[using].settings_dict["ATOMIC_REQUESTS"]
    ):
        yield "W008 The revocation list is in an SQLite database with ATOMIC_REQUESTS: views cannot write it."


def _issuers(wired: Wiring) -> Iterator[str]:
    for policy in wired.policies:
        if _is_plain(policy):
            yield f"W004 The issuer {policy.issuer} is not https: who is on the way may replace its keys."
        if isinstance(policy.audience, AnyAudience):
            yield f"W005 Tokens of {policy.issuer} are accepted whatever their audience."


def _is_plain(policy: TrustedIssuer) -> bool:
    return any(url.lower().startswith("http:") for url in (policy.issuer, getattr(policy.source, "url", "")))


def _keys(wired: Wiring) -> Iterator[str]:
    if wired.issuer is not None and wired.options["issuer"].get("keys") is None:
        yield "W006 The signing keys are in the memory of one process: name a key file."


def _both(wired: Wiring) -> Iterator[str]:
    if not wired.legacy and legacy.is_used(settings):
        yield "W007 JWTCONNECT_MW names issuers, so the JWTAUTH_* settings are not read."


def _shown(wired: Wiring) -> Iterator[str]:
    """Django hides on its debug pages, and in its mails to the admins, what stands under a name such as "secret"."""
    issuer = wired.options.get("issuer")
    clients = (issuer.get("clients") if isinstance(issuer, Mapping) else None) or {}
    if any(isinstance(secret, str) and not secret.startswith("sha256:") for secret in clients.values()):
        yield 'W009 Debug pages show the secret of a client: write {"secret": ...}, or "sha256:" and its digest.'
    place = wired.options.get("revocations")
    if isinstance(place, str) and "://" in place and urlsplit(place).password:
        yield "W009 Debug pages show the password of the revocation list: name a function that makes it."
