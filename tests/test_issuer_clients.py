"""Clients of the issuer: how they are configured, and how they prove who they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw.issuer.clients import Client, Clients
from jwtconnect_mw.issuer.errors import GrantError, InvalidClient, InvalidRequest

from .issuer_kit import CLIENTS, SECRET


def clients(settings: Mapping[str, Any] | None = CLIENTS) -> Clients:
    return Clients(settings, "first-party")


def basic(text: str | bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode() if isinstance(text, str) else text).decode()}"


REFUSED: list[Any] = [
    ["web"],
    {"": SECRET},
    {"ü": SECRET},
    {"x" * 256: SECRET},
    {5: SECRET},
    {"web": "short"},
    {"web": "x" * 31},
    {"web": "ü" * 40},
    {"web": "sha256:" + "0" * 63},
    {"web": "sha256:" + "g" * 64},
    {"web": {"secret": None}},
    {"web": {"secret": b"x" * 40}},
    {"web": None},
    {"web": {"secret": SECRET, "audience": []}},
    {"web": {"audiences": "https://api.example"}},
    {"web": {"audiences": [""]}},
    {"web": {"audiences": [5]}},
    {"web": {"audiences": 5}},
    {"web": {"scopes": "read"}},
    {"web": {"scopes": ["a b"]}},
    {"web": {"scopes": 5}},
    {"a b": SECRET, "a%20b": SECRET},  # the same name, encoded
    {"first+party": SECRET, "first party": {}},
]


@pytest.mark.parametrize("settings", REFUSED, ids=str)
def test_bad_clients_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="clients: ") as caught:
        clients(settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("default", ["", None, "ü", "x" * 256])
def test_the_default_client_needs_a_name(default: Any) -> None:
    with pytest.raises(ConfigurationError, match="default_client_id: "):
        Clients(None, default)


def test_a_client_is_a_value() -> None:
    assert clients().find("web") == Client("web", True, frozenset(), ("read", "write"))
    assert clients().find("api") == Client("api", True, frozenset({"https://api.example"}))
    assert clients().find("spa") == Client("spa", False)
    assert clients().find("first-party") == Client("first-party", False)
    assert clients().find("nobody") is None
    assert clients().scopes == {"read", "write"}
    assert SECRET not in repr(clients())
    assert SECRET not in repr(vars(clients()))


def test_without_clients_any_name_is_that_of_a_public_one() -> None:
    assert clients(None).find("mobile") == Client("mobile", False)
    assert clients(None).find("ü") is None
    assert clients(None).authenticate(client_id="mobile") == Client("mobile", False)
    assert (clients(None).public, clients(None).confidential) == (True, False)
    assert (clients().public, clients().confidential) == (True, True)
    assert not clients({"first-party": SECRET}).public
    with pytest.raises(InvalidClient):
        clients({}).authenticate(client_id="mobile")
    with pytest.raises(InvalidClient):
        clients(None).authenticate(client_id="mobile", client_secret=SECRET)


GOOD: list[tuple[str, dict[str, str]]] = [
    ("web", {"client_id": "web", "client_secret": SECRET}),
    ("web", {"basic": basic(f"web:{SECRET}")}),
    ("web", {"basic": basic(f"web:{SECRET}", "basic")}),
    ("web", {"basic": " " + basic(f"web:{SECRET}", "BASIC ") + " "}),
    ("web", {"basic": basic(f"web:{quote(SECRET, safe='')}")}),
    ("web", {"basic": basic(f"web:{quote_plus(SECRET)}")}),
    ("web", {"basic": basic(f"%77eb:{quote_plus(SECRET)}")}),
    ("web", {"basic": basic(f"web:{SECRET}"), "client_id": "web"}),
    ("spa", {"client_id": "spa"}),
    ("spa", {"client_id": "spa", "client_secret": ""}),  # RFC 6749 section 2.3.1: the same as none
    ("spa", {"basic": basic("spa:")}),
    ("first-party", {"client_id": "first-party"}),
]


@pytest.mark.parametrize(("name", "credentials"), GOOD)
def test_authenticated(name: str, credentials: dict[str, str]) -> None:
    found = clients().authenticate(**credentials)
    assert found is not None
    assert found.client_id == name


def test_a_name_may_look_encoded_where_no_other_is_meant() -> None:
    assert clients({"a%20b": SECRET}).authenticate(client_id="a%20b", client_secret=SECRET) == Client("a%20b", True)


def test_the_least_and_the_longest_credentials() -> None:
    least = clients({"web": "x" * 32})
    assert least.authenticate(client_id="web", client_secret="x" * 32) == Client("web", True)
    secret = "x" * (4088 * 3 // 4 - len("web:"))
    held = clients({"web": secret})
    longest = basic(f"web:{secret}", "Basic  ")
    assert len(longest) == 4096
    assert held.authenticate(basic=longest) == Client("web", True)
    with pytest.raises(InvalidClient):
        held.authenticate(basic=longest + " ")


def test_nobody_is_named() -> None:
    assert clients().authenticate() is None


BAD: list[tuple[type[GrantError], dict[str, str]]] = [
    (InvalidClient, {"client_id": "web"}),
    (InvalidClient, {"client_id": "web", "client_secret": ""}),
    (InvalidClient, {"client_id": "web", "client_secret": SECRET + "x"}),
    (InvalidClient, {"client_id": "web", "client_secret": "\ud800"}),
    (InvalidClient, {"client_id": "WEB", "client_secret": SECRET}),
    (InvalidClient, {"client_id": "nobody", "client_secret": SECRET}),
    (InvalidClient, {"client_id": "nobody"}),
    (InvalidClient, {"client_id": ""}),
    (InvalidClient, {"client_id": "spa", "client_secret": SECRET}),
    (InvalidClient, {"basic": basic("web:")}),
    (InvalidClient, {"basic": basic("web")}),
    (InvalidClient, {"basic": basic("spa")}),  # of a public client as well: RFC 7617 demands the colon
    (InvalidClient, {"basic": basic(f"web:{SECRET}".encode() + b"\xff")}),
    (InvalidClient, {"basic": basic(f"web:{SECRET}") + "!"}),
    (InvalidClient, {"basic": basic(f"web:{SECRET}") + ", " + basic(f"web:{SECRET}")}),
    (InvalidClient, {"basic": basic(f"web:{SECRET}", "Bearer")}),
    (InvalidClient, {"basic": basic("web:" + "x" * 4096)}),
    (InvalidClient, {"basic": "Basic"}),
    (InvalidClient, {"basic": ""}),
    (InvalidClient, {"basic": "Basic A"}),
    (InvalidRequest, {"basic": basic(f"web:{SECRET}"), "client_id": "web", "client_secret": SECRET}),
    (InvalidRequest, {"basic": basic(f"web:{SECRET}"), "client_secret": ""}),
    (InvalidRequest, {"basic": basic(f"web:{SECRET}"), "client_id": "api"}),
    (InvalidRequest, {"client_secret": SECRET}),
]


@pytest.mark.parametrize(("kind", "credentials"), BAD)
def test_refused(kind: type[GrantError], credentials: dict[str, str]) -> None:
    with pytest.raises(GrantError) as caught:
        clients().authenticate(**credentials)
    assert type(caught.value) is kind


def test_a_secret_may_be_given_by_its_hash() -> None:
    digest = sha256(SECRET.encode()).hexdigest()
    for hashed in (f"sha256:{digest}", f"sha256:{digest.upper()}"):
        held = clients({"web": hashed})
        assert held.authenticate(client_id="web", client_secret=SECRET) == Client("web", True)
        with pytest.raises(InvalidClient):
            held.authenticate(client_id="web", client_secret=hashed)


@given(st.text(max_size=40), st.text(max_size=40) | st.just(SECRET))
def test_whatever_is_sent_only_the_right_secret_proves_a_client(client_id: str, secret: str) -> None:
    texts = [{"client_id": client_id, "client_secret": secret}, {"basic": client_id}]
    texts.append({"basic": basic(f"{client_id}:{secret}".encode("utf-8", "surrogatepass"))})
    for credentials in texts:
        try:
            found = clients().authenticate(**credentials)
        except GrantError:
            continue
        assert found is not None
        assert not found.confidential or (client_id, secret) == ("web", SECRET)
