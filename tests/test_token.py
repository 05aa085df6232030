"""The verified token as a value: read-only, picklable, silent."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jwtconnect_mw import AccessToken, Anonymous
from jwtconnect_mw.errors import MalformedToken
from jwtconnect_mw.token import Claims, freeze_lists

from .kit import NOW, auth, token

NESTED = {"roles": ["a", ["b", {"c": [1]}]], "realm": {"roles": ["x"], "deep": {"er": [{}]}}}


def test_what_is_too_deep_to_be_frozen_is_not_handed_on_half_frozen() -> None:
    deep: list[Any] = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(MalformedToken):
        freeze_lists(Claims({"deep": deep}))


@pytest.fixture
def verified() -> AccessToken:
    found = auth().authenticate("Bearer " + token(NESTED))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.__setitem__("sub", "eve"),
        lambda c: c.__delitem__("sub"),
        lambda c: c.update(sub="eve"),
        lambda c: c.__ior__({"sub": "eve"}),
        lambda c: c.pop("sub"),
        lambda c: c.popitem(),
        lambda c: c.clear(),
        lambda c: c.setdefault("x", 1),
        lambda c: c["realm"].update(x=1),
        lambda c: c["realm"]["deep"]["er"][0].update(x=1),
        lambda c: c["roles"][1][1].pop("c"),
        lambda c: c["roles"].__setitem__(0, "admin"),
        lambda c: c["realm"]["roles"].__iadd__(["admin"]),
        lambda c: copy.copy(c).update(sub="eve"),
        lambda c: copy.deepcopy(c)["realm"].update(x=1),
    ],
)
def test_claims_are_read_only_all_the_way_down(verified: AccessToken, change: Callable[[Any], Any]) -> None:
    before = json.dumps(verified.claims)
    with pytest.raises((TypeError, AttributeError)):
        change(verified.claims)
    assert json.dumps(verified.claims) == before


def test_lists_are_tuples_and_objects_are_claims(verified: AccessToken) -> None:
    assert verified.claims["roles"] == ("a", ("b", {"c": (1,)}))
    assert type(verified.claims["realm"]["deep"]) is Claims
    assert isinstance(verified.claims, dict)
    assert json.loads(json.dumps(verified.claims)) == verified.to_dict()


def test_an_empty_object_is_claims_too() -> None:
    found = auth().authenticate("Bearer " + token({"realm": {}}))
    assert found is not None
    assert type(found.claims["realm"]) is Claims


def test_to_dict_is_a_fresh_mutable_copy(verified: AccessToken) -> None:
    mutable = verified.to_dict()
    assert mutable["roles"] == NESTED["roles"]
    mutable["realm"]["roles"].append("admin")
    mutable["sub"] = "eve"
    assert verified.to_dict()["realm"] == NESTED["realm"]
    assert verified.subject == "alice"


def test_what_frameworks_ask(verified: AccessToken) -> None:
    assert verified.is_authenticated
    assert (verified.subject, verified.identity, verified.display_name) == ("alice", "alice", "alice")
    assert (verified.client_id, verified.token_id, verified.expires_at) == ("client", "token-1", NOW + 300)
    assert verified.issuer == "https://as.example"
    assert verified.scopes == {"read", "write"}
    assert verified.has_scopes("read")
    assert not verified.has_scopes("read", "admin")


def test_absent_claims_are_none() -> None:
    bare = auth().authenticate("Bearer " + token({"sub": ..., "client_id": ..., "jti": ...}))
    assert bare is not None
    assert (bare.subject, bare.client_id, bare.token_id, bare.identity) == (None, None, None, "")


def test_a_token_cannot_be_changed(verified: AccessToken) -> None:
    with pytest.raises(AttributeError):
        verified.scopes = frozenset({"admin"})
    with pytest.raises(AttributeError):
        del verified.claims
    with pytest.raises(AttributeError):
        verified.extra = 1  # type: ignore[attr-defined]


def test_repr_shows_no_claim(verified: AccessToken) -> None:
    assert repr(verified) == "<AccessToken>"
    assert repr(Anonymous()) == "<Anonymous>"


def test_pickle_keeps_everything(verified: AccessToken) -> None:
    again = pickle.loads(pickle.dumps(verified))
    assert (again.claims, again.issuer, again.scopes) == (verified.claims, verified.issuer, verified.scopes)
    assert type(again.claims) is Claims


def test_anonymous() -> None:
    nobody = Anonymous()
    assert not nobody.is_authenticated
    assert (nobody.identity, nobody.display_name, nobody.scopes) == ("", "", frozenset())
