"""JWTCONNECT_MW: every name, every refusal with its check, and what a deployment is warned of."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from .django_kit import MIDDLEWARE, SESSIONS, Site, issuing, project, verifying

# Django's settings must be there first.
from django.core.checks import run_checks  # isort: skip
from django.core.exceptions import ImproperlyConfigured  # isort: skip
from django.db import connection  # isort: skip
from django.test import modify_settings, override_settings  # isort: skip
from django.test.utils import CaptureQueriesContext  # isort: skip

from jwtconnect_mw import ANY_AUDIENCE, ConfigurationError, TrustedIssuer
from jwtconnect_mw.django import conf
from jwtconnect_mw.django.apps import JWTConnectConfig
from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.options import ISSUER as ISSUER_NAMES
from jwtconnect_mw.django.options import KNOWN, POLICY
from jwtconnect_mw.django.revocations import OrmRevocationList
from jwtconnect_mw.django.signals import SETTINGS as SWITCHES
from jwtconnect_mw.revocation import MemoryRevocationList, SQLiteRevocationList

from .djproject.api import Urls, plain
from .djproject.databases import empty, migrate
from .kit import AUDIENCE, ISSUER, NOW, SECRET, b64, jwks, key, token
from .test_settings import private_pem

made_list = MemoryRevocationList()
OCTETS = {"kty": "oct", "alg": "HS256", "k": b64(b"x" * 32)}
PRIVATE = {"keys": [key().private_jwk()]}


def make_list() -> MemoryRevocationList:
    return MemoryRevocationList()


def make_nothing() -> None:
    """Makes no list."""


def make_wrong() -> MemoryRevocationList:
    raise ConfigurationError("path", "in the mind only")


def fail() -> None:
    raise RuntimeError("with a secret in it")


def now() -> float:
    return NOW


def observed(event: str, label: str, value: float) -> None:
    told.append(event)


def refused(reason: str, context: Mapping[str, Any]) -> None:
    told.append(reason)


told: list[str] = []


def found(settings: Any, *, deploy: bool = False, **more: Any) -> list[tuple[str, str]]:
    with project(settings, **more):
        problems = run_checks(include_deployment_checks=deploy)
    return [(problem.id.rpartition(".")[2], problem.msg) for problem in problems
            if problem.id.startswith("jwtconnect_mw.")]  # fmt: skip


def ids(settings: Any, **more: Any) -> list[str]:
    return [id for id, _ in found(settings, **more)]


def test_good_settings_have_no_problem() -> None:
    assert found(verifying(revoke_on_logout=False, update_last_login=True)) == []
    assert found(issuing(**dict.fromkeys(SWITCHES, True))) == []
    assert found(verifying(), deploy=True) == []
    assert found(issuing(), middleware=[*SESSIONS, MIDDLEWARE]) == []


async def look_later(token: Any) -> None:
    """What would always be true."""


class Later:
    async def __call__(self, token: Any) -> None:
        """As above."""


def own(**issuer: Any) -> dict[str, Any]:
    return issuing(issuer)


def without(name: str) -> dict[str, Any]:
    settings = issuing()
    del settings["issuer"][name]
    return settings


def two_issuers(**more: Any) -> dict[str, Any]:
    other = {"issuer": "https://other.example", "audience": AUDIENCE, "keys": jwks(key("ES256", "b"))}
    return {**verifying(**more), "issuers": [*verifying()["issuers"], other]}


BY_FUNCTION: dict[str, Any] = {"user": "database", "user_lookup": make_nothing}
BY_UID: dict[str, Any] = {"user": "database", "user_claim": "uid", "user_lookup": "username"}
PROBLEMS: dict[str, tuple[str, str, Any]] = {
    "nothing": ("E001", "issuers", None),
    "an empty dict": ("E001", "issuers", {}),
    "no dict": ("E002", "dict", ["issuers"]),
    "an unknown name": ("E002", "isuers", verifying(isuers=1)),
    "a name that is no text": ("E002", "5", {5: 1}),
    "an unknown name of a policy": ("E002", "audiences", verifying({"audiences": 1})),
    "an unknown name of the issuer": ("E002", "lifetime", own(lifetime=1)),
    "remote_user": ("E002", "remote_user", verifying(remote_user=True)),
    "a path that is not there": ("E002", "no.such", verifying(on_refused="no.such")),
    "no issuers": ("E004", "issuers", verifying() | {"issuers": []}),
    "a number as issuers": ("E003", "issuers", verifying() | {"issuers": 5}),
    "a number among issuers": ("E003", "issuers", verifying() | {"issuers": [5]}),
    "no audience": ("E003", "audience", {"issuers": ISSUER}),
    "an empty audience": ("E003", "audience", verifying({"audience": ""})),
    "no name": ("E003", "issuer", {"issuers": {"audience": AUDIENCE, "keys": jwks()}}),
    "leeway": ("E003", "leeway", verifying({"leeway": 301})),
    "keys": ("E003", "keys", verifying({"keys": "nowhere.pem"})),
    "a short secret": ("E003", "keys", verifying({"keys": b"x" * 31, "algorithms": ["HS256"]})),
    "twice": ("E004", "issuers", verifying() | {"issuers": [{"issuer": ISSUER, "audience": "a", "keys": jwks()}] * 2}),
    "optional": ("E004", "optional", verifying(optional="yes")),
    "public": ("E004", "public", verifying(public="/admin")),
    "public of another kind": ("E004", "collection", verifying(public=5)),
    "scopes": ("E004", "required_scopes", verifying(required_scopes=["a b"])),
    "the issuer": ("E005", "dict", verifying(issuer=ISSUER)),
    "the issuer without a name": ("E005", "issuer", without("issuer")),
    "the issuer without an audience": ("E005", "audience", without("audience")),
    "the keys of the issuer": ("E005", "keys", own(keys=b"x" * 64)),
    "a client": ("E005", "clients", own(clients={"web": "short"})),
    "a login without an issuer": ("E005", "issue_on_login", verifying(issue_on_login=True)),
    "a logout without an issuer": ("E005", "revoke_on_logout", verifying(revoke_on_logout=True)),
    "a password without an issuer": ("E005", "password_change", verifying(revoke_on_password_change=True)),
    "a user without an issuer": ("E005", "revoke_on_deactivation", verifying(revoke_on_deactivation=True)),
    "no list": ("E006", "issuer", issuing(revocations=None)),
    "a list": ("E006", "revocations", verifying(revocations="no.such.list") | {}),
    "a list that is none": ("E006", "revocations", verifying(revocations=5)),
    "what makes no list": ("E006", "revocations", verifying(revocations=f"{__name__}.make_nothing")),
    "what is refused": ("E006", "path: in the mind", verifying(revocations=f"{__name__}.make_wrong")),
    "what fails": ("E006", "RuntimeError", verifying(revocations=f"{__name__}.fail")),
    "a file that is none": ("E006", "path", verifying(revocations="/no/such/folder/revoked.db")),
    "a clock": ("E004", "clock", issuing(clock=5)),
    "a clock that tells no number": ("E006", "number", issuing(clock=lambda: "noon")),
    "user": ("E007", "user", verifying(user="session")),
    "a claim": ("E007", "user_claim", verifying(user_claim=None)),
    "a field": ("E007", "nickname", verifying(user="database", user_lookup="nickname")),
    "a field for the primary key": ("E007", "user_pk", verifying(user_claim="user_pk", user_lookup="username")),
    "a claim beside a function": ("E007", "leave it out", verifying(**BY_FUNCTION, user_claim="email")),
    "a claim of which users are found, mapped": ("E008", "user_claim", issuing(**BY_UID, claims_map={"email": "uid"})),
    "an async function": ("E007", "async", verifying(user="database", user_lookup=look_later)),
    "an async object": ("E007", "async", verifying(user="database", user_lookup=Later())),
    "a function of nobody": ("E007", "database", verifying(user_lookup=make_list)),
    "a function that is not there": ("E002", "no.such", verifying(user="database", user_lookup="no.such")),
    "a module in place of a function": ("E007", "user_lookup", verifying(user="database", user_lookup="os.path")),
    "an observer": ("E004", "observer", verifying(observer=5)),
    "an observer that is none": ("E004", "observer", verifying(observer="os.path")),
    "on_refused": ("E004", "on_refused", verifying(on_refused=f"{__name__}.told")),
    "token_id": ("E005", "token_id", own(token_id=5)),
    **{f"an async {name}": ("E005", "async", own(**{name: look_later}))
       for name in ("token_id", "claims", "is_active", "on_event")},
    "an async clock": ("E004", "async", issuing(clock=look_later)),
    "an async observer": ("E004", "async", verifying(observer=look_later)),
    "the hook for claims": ("E005", "claims", own(claims={"a": 1})),
    "the hook for events": ("E005", "on_event", own(on_event=f"{__name__}.told")),
    "trust_http": ("E009", "trust_http", verifying({"trust_http": "no"})),
    "single_session": ("E009", "single_session", own(single_session="no")),
    "preflight": ("E009", "preflight", verifying(preflight="no")),
    "several issuers of users": ("E007", "user_issuers", two_issuers(user="database")),
    "issuers of users": ("E007", "user_issuers", verifying(user_issuers=ISSUER)),
    "issuers of users that are not trusted": ("E007", "no trusted", verifying(user_issuers=["https://no.example"])),
    "replicate": ("E009", "replicate", verifying(replicate="no")),
    "the map": ("E008", "claims_map", verifying(claims_map=["email"])),
    "an entry of the map": ("E008", "claims_map", verifying(claims_map={"email": 5})),
    "a claim that is registered": ("E008", "exp", verifying(claims_map={"email": "exp"})),
    "a switch": ("E009", "revoke_on_logout", verifying(revoke_on_logout="yes")),
    "a claim of another kind of token": ("E008", "cnf", verifying(claims_map={"email": "cnf"})),
    **{f"users by {claim}": ("E007", f"user_claim']: '{claim}'", issuing(**{**BY_UID, "user_claim": claim}))
       for claim in ("exp", "aud", "client_id", "jti", "cnf", "ttype", "scope", "iss", "iat", "auth_time", "sid",
                     "events")},
}  # fmt: skip
PROBLEMS["a list"] = ("E002", "no.such.list", PROBLEMS["a list"][2])


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_setting_is_an_error_that_names_it(name: str) -> None:
    id, word, settings = PROBLEMS[name]
    ((told_id, message),) = found(settings, middleware=[])
    assert told_id == id
    assert word in message
    assert "secret in it" not in message
    with project(settings, middleware=[]), pytest.raises(ImproperlyConfigured) as caught:
        wiring()
    assert str(caught.value) == message
    assert found(settings, deploy=True, middleware=[]) == [(id, message)]


def test_every_problem_is_told_at_once() -> None:
    settings = verifying({"leeway": -1}, user="x", revocations=5)
    assert ids(settings, middleware=[]) == ["E007", "E006", "E003"]


@pytest.mark.parametrize("after", SESSIONS)
def test_the_middleware_must_be_behind_those_that_it_overrides(after: str) -> None:
    ((id, message),) = found(verifying(), middleware=[MIDDLEWARE, after])
    assert id == "E020"
    assert after in message
    assert ids(verifying(), middleware=[after, MIDDLEWARE]) == []


def test_the_middleware_of_the_cache_must_be_before_it() -> None:
    cache = "django.middleware.cache.UpdateCacheMiddleware"
    assert ids(verifying(), middleware=[MIDDLEWARE, cache]) == ["W010"]
    assert ids(verifying(), middleware=[cache, MIDDLEWARE]) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (verifying({"keys": SECRET, "algorithms": ["HS256"]}), ["W001"]),
        (verifying({"keys": SECRET[:32], "algorithms": ["HS256"]}), ["W001", "W002"]),
        (verifying({"algorithms": ["HS256"], "keys": b"x" * 48}), ["W001"]),
        (verifying({"keys": {"keys": [OCTETS]}, "algorithms": ["HS256"]}), ["W001", "W002"]),
        (verifying({"keys": OCTETS, "algorithms": ["HS256"]}), ["W001", "W002"]),
        ({"issuers": [{"issuer": "a", "algorithms": ["HS256"]}], "audience": "a", "keys": b"x" * 32}, ["W001", "W002"]),
        (issuing(), ["W003"]),
        (verifying(revocations="memory"), ["W003"]),
        (verifying({"issuer": "http://as.example"}), ["W004"]),
        (verifying({"issuer": "HTTP://[bad"}), ["W004"]),
        (verifying({"issuer": "https://[bad"}), []),
        (verifying({"issuer": "[bad"}), []),
        (verifying({"audience": ANY_AUDIENCE}), ["W005"]),
        (verifying(issuer=None), []),
        (issuing({"keys": None}, revocations="orm"), ["W006"]),
        (issuing(revocations="orm"), []),
        (issuing({"clients": {"web": "s" * 40}}, revocations="orm"), ["W009"]),
        (issuing({"clients": {"a": {"secret": "s" * 40}, "b": f"sha256:{'0' * 64}"}}, revocations="orm"), []),
        ({"issuers": TrustedIssuer(ISSUER, audience="a", keys=jwks())}, []),
        ({"issuers": TrustedIssuer("http://as.example", audience="a", keys=jwks())}, ["W004"]),
        ({"issuers": TrustedIssuer(ISSUER, audience="a", keys="http://localhost:1/jwks")}, ["W004"]),
        ({"issuers": [TrustedIssuer(ISSUER, audience="a", keys=b"x" * 32, algorithms=["HS256"])]}, ["W001", "W002"]),
        ({"issuers": [TrustedIssuer(ISSUER, audience="a", keys=b"x" * 48, algorithms=["HS256"])]}, ["W001"]),
        (verifying() | {"keys": {"keys": [5]}}, []),
    ],
)  # fmt: skip
def test_a_deployment_is_warned(settings: Any, expected: list[str]) -> None:
    assert ids(settings, deploy=True) == expected
    assert ids(settings) == []


def test_secrets_in_files_are_looked_at(tmp_path: Path) -> None:
    place = tmp_path / "keys.json"
    place.write_text(json.dumps({"keys": [OCTETS]}))
    policy = TrustedIssuer(ISSUER, audience="a", keys=place, algorithms=["HS256"])
    assert ids({"issuers": policy}, deploy=True) == ["W001", "W002"]
    place.unlink()
    assert ids({"issuers": policy}, deploy=True) == ["W001"]


def test_claims_by_which_users_are_found() -> None:
    """What another issuer calls them, or what is the same in both places, is nobody's mistake."""
    for settings in (
        verifying(**{**BY_UID, "user_claim": "client_id"}),
        verifying(**BY_UID, claims_map={"email": "uid"}),
        issuing(**BY_UID, claims_map={"username": "uid", "email": "email"}),
        issuing(user="database", user_claim="user_pk"),
        issuing(**BY_FUNCTION),
    ):
        assert found(settings, middleware=[]) == []
    old = {"JWTAUTH_KEY": "x" * 48, "JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_ISSUER": "https://as.example"}
    assert found({"user_lookup": make_nothing}, middleware=[], **old) == []


def test_an_attribute_that_no_user_has_is_told() -> None:
    missing = issuing(claims_map={"email": "email", "get_full_name": "name", "nick": "nickname"})
    ((id, text),) = found(missing, middleware=[])
    assert (id, "'nick'" in text) == ("W011", True)
    assert ids(verifying(claims_map={"nick": "nickname"}), middleware=[]) == [], "of users made of claims"
    with_own = {"JWTAUTH_KEY": "x" * 48, "JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_ISSUER": "https://as.example"}
    assert ids(None, middleware=[], JWTAUTH_CLAIMS_MAP={"nick": "nickname"}, **with_own) == ["W011"]
    assert ids(None, middleware=[], **with_own) == []


ODD = (5, -1, 0.5, True, None, "", "x", "os.path", "\ud800", b"", b"x", [], [5], [None], {}, {5: 5}, {"keys": 5},
       {"keys": [5]}, object(), int, float("nan"), 10**400)  # fmt: skip
"""Values that one option or another may not have."""


@pytest.mark.parametrize("name", [*sorted(KNOWN), *(f"issuer/{name}" for name in ISSUER_NAMES),
                                  *(f"issuers/{name}" for name in POLICY)])  # fmt: skip
def test_no_value_makes_the_checks_fail(name: str) -> None:
    place, _, option = name.rpartition("/")
    for value in ODD:
        settings = {"": {**issuing(), name: value}, "issuer": issuing({option: value}),
                    "issuers": verifying({option: value})}[place]  # fmt: skip
        problems = ids(settings, deploy=True, middleware=[])
        assert all(re.fullmatch(r"[EW]\d{3}", id) for id in problems)


def test_older_settings_beside_newer_ones_are_warned_of() -> None:
    assert ids(verifying(), deploy=True, JWTAUTH_ISSUER="x") == ["W007"]


def test_older_settings_are_warned_of_like_newer_ones() -> None:
    old = {"JWTAUTH_KEY": "x" * 32, "JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_ISSUER": "http://localhost:8000"}
    assert ids(None, deploy=True, **old) == ["W001", "W002", "W004"]


def test_the_trusted_issuers() -> None:
    other = {"issuer": "https://other.example", "keys": jwks(key("ES256", "b")), "audience": "b"}
    with project({"issuers": [{"issuer": ISSUER, "keys": jwks()}, other], "audience": AUDIENCE}):
        assert [(policy.issuer, policy.audience) for policy in wiring().policies] == [
            (ISSUER, {AUDIENCE}), ("https://other.example", {"b"})]  # fmt: skip
    with project({"issuers": ISSUER, "audience": AUDIENCE, "keys": jwks(), "clock": f"{__name__}.now"}):
        assert wiring().auth.authenticate(f"Bearer {token()}") is not None
    for claim in "scp", "https://as.example/scope", "urn:as.example":
        with project(verifying({"scope_claim": claim})):
            assert wiring().policies[0].scope_claim == claim
    assert ids(verifying({"scope_claim": "no.such"}), middleware=[]) == ["E002"]


def test_the_own_issuer_is_trusted_without_a_fetch() -> None:
    with project(issuing(user="stateless")):
        wired = wiring()
        assert wired.issuer is not None
        wired.issuer._hooks._claims = None  # no user of this project
        text = wired.issuer.issue("alice").access_token
        found = wired.auth.authenticate(f"Bearer {text}")
        assert found is not None
        assert found.subject == "alice"
    with project(issuing(issuers=[{"issuer": ISSUER, "audience": ["other"], "leeway": 5}])):
        (policy,) = wiring().policies
        assert (policy.audience, policy.leeway, policy.profile) == ({"other"}, 5, "rfc9068")


def test_to_check_the_settings_makes_no_key_file(tmp_path: Path) -> None:
    for place in (tmp_path / "keys.json", str(tmp_path / "keys.json")):
        assert ids(own(keys=place, algorithm="RS256"), deploy=True, middleware=[]) == ["W003"]
    assert ids(own(keys=tmp_path / "no" / "keys.json"), middleware=[]) == ["E005"]
    assert ids(own(keys=tmp_path / "keys.json", algorithm="HS256"), middleware=[]) == ["E005"]
    assert list(tmp_path.iterdir()) == []
    with project(own(keys=tmp_path / "keys.json")):
        assert wiring().issuer is not None
    assert ids(own(keys=tmp_path / "keys.json"), middleware=[]) == []
    assert ids(own(keys=private_pem(key())), middleware=[]) == []


def test_callables_may_be_named() -> None:
    told.clear()
    with project(verifying(on_refused=f"{__name__}.refused", observer=f"{__name__}.observed")) as _:
        wired = wiring()
        from jwtconnect_mw.errors import NoCredentials

        wired.auth.refuse(NoCredentials())
    assert told == ["refused", "no_credentials"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("memory", MemoryRevocationList),
        ("orm", OrmRevocationList),
        (f"{__name__}.made_list", MemoryRevocationList),
        (f"{__name__}.make_list", MemoryRevocationList),
        ("jwtconnect_mw.revocation.MemoryRevocationList", MemoryRevocationList),
        (MemoryRevocationList, MemoryRevocationList),
        (made_list, MemoryRevocationList),
    ],
)
def test_revocation_lists(value: Any, kind: type) -> None:
    with project(verifying(revocations=value)):
        assert type(wiring().revocations) is kind


def test_a_revocation_list_in_a_file(tmp_path: Path) -> None:
    for value in (tmp_path / "a", str(tmp_path / "b")):
        with project(verifying(revocations=value)):
            assert isinstance(wiring().revocations, SQLiteRevocationList)


def test_an_issuer_has_the_list_of_the_database_by_default() -> None:
    settings = issuing()
    del settings["revocations"]
    with project(settings):
        assert isinstance(wiring().revocations, OrmRevocationList)


def test_no_issuer_is_as_good_as_no_word_about_it() -> None:
    with project(verifying(issuer=None)):
        assert (wiring().revocations, wiring().issuer) == (None, None)
    assert ids({"issuer": None}, middleware=[]) == ["E001"]
    old = {"JWTAUTH_KEY": "x" * 48, "JWTAUTH_ALGORITHM": "HS256", "JWTAUTH_ISSUER": "https://as.example"}
    with project({"issuer": None}, **old):
        assert (wiring().legacy, [policy.issuer for policy in wiring().policies]) == (True, ["https://as.example"])


def test_unrelated_settings_change_nothing() -> None:
    with project(verifying()):
        before = wiring()
        with override_settings(USE_TZ=False):
            assert wiring() is before


def test_the_application() -> None:
    assert (JWTConnectConfig.name, JWTConnectConfig.label) == ("jwtconnect_mw.django", "jwtconnect_mw")
    assert {"issuers", "issuer", "audience", "keys", "revocations", "claims_map", "public", "required_scopes", "user",
            "optional", "preflight", "realm"} <= KNOWN  # fmt: skip
    assert conf.STAGES[-1] == "auth"


@pytest.mark.skipif(find_spec("redis") is None, reason="needs redis-py")
def test_a_revocation_list_of_redis() -> None:
    with project(verifying(revocations="redis://127.0.0.1:1/0")):
        assert type(wiring().revocations).__name__ == "RedisRevocationList"
    assert ids(verifying(revocations="redis://127.0.0.1:1/0"), deploy=True) == []
    ((id, text),) = found(verifying(revocations="redis://:hush@127.0.0.1:1/0"), deploy=True)
    assert (id, "hush" in text) == ("W009", False)


def test_a_revocation_list_of_redis_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("jwtconnect_mw.revocation.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    [(id, text)] = found(verifying(revocations="redis://127.0.0.1:1/0"), middleware=[])
    assert (id, "[redis]" in text) == ("E006", True)


def test_a_copy_of_the_list_in_this_process(tmp_path: Path) -> None:
    with project(issuing(revocations=tmp_path / "list.db", replicate=True)):
        wired = wiring()
        assert type(wired.lookups).__name__ == "ReplicatedRevocationList"
        assert wired.issuer is not None
        assert wired.issuer.revocations is wired.revocations is not wired.lookups


@pytest.mark.parametrize("face", ["wsgi", "asgi"])
def test_a_copy_of_the_list_of_the_database_costs_no_query(face: str) -> None:
    migrate()
    empty("default")
    with project(verifying(revocations="orm", replicate=True, clock=time.time), urls=Urls(plain)):
        wired, now = wiring(), time.time()
        assert wired.lookups.sync()
        site = Site(face)
        headers = [("Authorization", f"Bearer {token({'iat': int(now) - 1, 'exp': int(now) + 60})}".encode())]
        with CaptureQueriesContext(connection) as queries:
            assert site(headers).status == 200
        assert len(queries) == 0
        wired.revocations.revoke_token(ISSUER, "token-1")
        assert wired.lookups.sync()
        assert site(headers).status == 401


def test_a_copy_of_nothing_is_refused() -> None:
    assert ids(verifying(revocations=make_nothing, replicate=True), middleware=[]) == ["E006"]


def test_a_project_without_drf_spectacular() -> None:
    with modify_settings(INSTALLED_APPS={"remove": ["drf_spectacular", "rest_framework"]}), project(verifying()):
        assert wiring().auth
