"""The strict form parser and the messages over oidcmsg: what is read, what is refused, what is written."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jwtconnect_mw
from jwtconnect_mw.issuer import forms, messages
from jwtconnect_mw.issuer.forms import MalformedMessage, read_form
from jwtconnect_mw.issuer.messages import (
    AccessTokenClaims,
    ClientCredentialsRequest,
    ErrorAnswer,
    IntrospectionAnswer,
    IntrospectionRequest,
    Metadata,
    RefreshRequest,
    RevocationRequest,
    TokenAnswer,
    UnfitAnswer,
    read,
    write,
)

FORM = "application/x-www-form-urlencoded"
REFRESH = {"grant_type": "refresh_token", "refresh_token": "a.b.c"}


@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        FORM.upper(),
        FORM + "; charset=utf-8",
        FORM + ";charset=UTF-8",
        FORM + '; Charset="utf-8"',
        FORM + ";",
        FORM + " ; charset=utf-8 ",
        FORM.ljust(128),
    ],
)
def test_content_types_of_a_form(content_type: str) -> None:
    assert read_form(content_type, b"a=b") == {"a": "b"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data; boundary=x",
        FORM + "; charset=iso-8859-1",
        FORM + "; charset=utf-8; charset=utf-8",
        FORM + "; boundary=x",
        FORM + "x",
        " " + FORM,
        FORM + "," + FORM,
        FORM + "\x00",
        FORM.ljust(129),
        FORM + " " * 1_000_000,
        f"text/plain; {FORM}",
    ],
)
def test_other_content_types(content_type: str | None) -> None:
    with pytest.raises(MalformedMessage, match="content type"):
        read_form(content_type, b"a=b")


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"a=b&c=d", {"a": "b", "c": "d"}),
        (b"a=b&&c=d&", {"a": "b", "c": "d"}),
        (b"a=b+c%20d", {"a": "b c d"}),
        (b"a=%C3%A9", {"a": "\u00e9"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=&b&c=d", {"c": "d"}),  # without a value: as if omitted
        (b"a;b=c", {"a;b": "c"}),
        (b"resource=a&resource=b&resource=", {"resource": ["a", "b"]}),
        (b"%61=b", {"a": "b"}),
        ("&".join(f"a{i}=" for i in range(32)).encode(), {}),
    ],
)
def test_forms(body: bytes, form: dict[str, Any]) -> None:
    assert read_form(FORM, body) == form


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"a=b&a=b", "repeated"),
        (b"a=b&a=", "repeated"),
        (b"a=&a=b", "repeated"),
        (b"a&a", "repeated"),
        (b"a=b&%61=c", "repeated"),
        (b"unknown=1&unknown=2", "repeated"),
        (b"a=\xc3\xa9", "UTF-8"),
        (b"a=%FF", "UTF-8"),
        (b"%C3=b", "UTF-8"),
        (b"a=%ED%A0%80", "UTF-8"),  # a lone surrogate
        (b"a=%C0%80", "UTF-8"),
        (b"a=%", "escape"),
        (b"a=%4", "escape"),
        (b"a=%zz", "escape"),
        ("&".join(f"a{i}=b" for i in range(33)).encode(), "many"),
        (b"&" * 32, "many"),
    ],
)
def test_malformed_forms(body: bytes, problem: str) -> None:
    with pytest.raises(MalformedMessage, match=problem):
        read_form(FORM, body)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name != "resource"), st.text(min_size=1), max_size=32))
def test_a_form_comes_back_as_it_was_written(form: dict[str, str]) -> None:
    try:
        body = urlencode(form).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert read_form(FORM, body) == form


@given(st.binary(max_size=200) | st.text("ab=&%+;4cC3", max_size=60).map(str.encode))
def test_any_body_is_a_form_or_malformed(body: bytes) -> None:
    try:
        form = read_form(FORM, body)
    except MalformedMessage:
        return
    usual = parse_qs(body.decode())  # what it took is what everybody reads
    assert {name: value for name, value in form.items() if name != "resource"} == {
        name: value for name, (value, *_) in usual.items() if name != "resource"
    }


def test_read_takes_the_known_parameters_only() -> None:
    form = {**REFRESH, "scope": " a  b ", "self": "x", "scope#en": "z", "__class__": "y", "resource": ["https://a"]}
    expected = {**REFRESH, "scope": "a b", "resource": ["https://a"]}
    assert read(RefreshRequest, form) == expected
    assert "scope" not in read(RefreshRequest, {**REFRESH, "scope": "  "})
    credentials = {"client_id": "a", "client_secret": "b"}
    assert read(ClientCredentialsRequest, {"grant_type": "client_credentials", **credentials}) == {
        "grant_type": "client_credentials",
        **credentials,
    }
    hinted = {"token": "x", "token_type_hint": "no such type", **credentials}
    assert read(IntrospectionRequest, hinted) == read(RevocationRequest, hinted) == hinted


@pytest.mark.parametrize(
    ("kind", "form", "problem"),
    [
        (RefreshRequest, {"refresh_token": "x"}, "parameter grant_type is missing"),
        (RefreshRequest, {"grant_type": "refresh_token"}, "parameter refresh_token is missing"),
        (RefreshRequest, {"grant_type": "password", "refresh_token": "x"}, "malformed"),
        (ClientCredentialsRequest, {}, "parameter grant_type is missing"),
        (IntrospectionRequest, {}, "parameter token is missing"),
        (RevocationRequest, {}, "parameter token is missing"),
        (RevocationRequest, {"token": "a\x00"}, "characters"),
        (RevocationRequest, {"token": "a\n"}, "characters"),
        (RevocationRequest, {"token": "\u00e9"}, "characters"),
        (RevocationRequest, {"token": "a", "token_type_hint": "\x7f"}, "characters"),
        (RefreshRequest, {**REFRESH, "scope": "a\u00e9"}, "characters"),
        (RefreshRequest, {**REFRESH, "resource": ["a", "\t"]}, "characters"),
    ],
)
def test_malformed_requests(kind: Any, form: dict[str, Any], problem: str) -> None:
    with pytest.raises(MalformedMessage, match=problem) as caught:
        read(kind, form)
    assert caught.value.__cause__ is None


def test_what_is_written() -> None:
    tokens = {"access_token": "a", "token_type": "Bearer", "expires_in": 5, "refresh_token": None, "scope": "b c"}
    assert json.loads(write(TokenAnswer, tokens)) == {
        name: value for name, value in tokens.items() if value is not None
    }
    assert "scope" not in json.loads(write(TokenAnswer, {**tokens, "scope": ""}))
    active = {"active": True, "aud": ["a"], "exp": 5, "scope": "a b", "own": {"x": [1]}, "sid": "s"}
    assert json.loads(write(IntrospectionAnswer, active)) == active
    punctuation = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\')
    error = {"error": "invalid_target", "error_description": punctuation}
    assert json.loads(write(ErrorAnswer, error)) == error
    metadata = {"issuer": "https://a", "response_types_supported": ["none"], "mtls_endpoint_aliases": {"a": "b"}}
    assert json.loads(write(Metadata, metadata)) == metadata


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (ErrorAnswer, {}),
        (ErrorAnswer, {"error_description": "a"}),
        (ErrorAnswer, {"error": 'a"'}),
        (ErrorAnswer, {"error": "a", "error_description": "b\\"}),
        (ErrorAnswer, {"error": "a", "error_description": "b\n"}),
        (ErrorAnswer, {"error": "a", "error_description": "\u00e9"}),
        (TokenAnswer, {"token_type": "Bearer"}),
        (TokenAnswer, {"access_token": 5, "token_type": "Bearer"}),
        (IntrospectionAnswer, {"active": 1}),
        (IntrospectionAnswer, {"active": "true"}),
        (IntrospectionAnswer, {"active": True, "aud": [5]}),
        (Metadata, {"issuer": "https://a"}),
    ],
)
def test_what_is_not_written(kind: Any, content: dict[str, Any]) -> None:
    with pytest.raises(UnfitAnswer) as caught:
        write(kind, content)
    assert str(caught.value) == kind.__name__


CLAIMS: dict[str, Any] = {
    **dict.fromkeys(("iss", "sub", "client_id", "jti"), "x"),
    **dict.fromkeys(("iat", "exp", "auth_time"), 5),
    "aud": ["a"],
    "scope": "a b",
    "acr": "1",
    **{name: ["a"] for name in ("amr", "groups", "roles", "entitlements")},
    "own": 1.5,
}


def test_the_claims_of_an_access_token() -> None:
    assert json.loads(write(AccessTokenClaims, CLAIMS)) == CLAIMS
    for name in ("iss", "sub", "client_id", "jti", "iat", "exp", "aud"):
        with pytest.raises(UnfitAnswer):
            write(AccessTokenClaims, {**CLAIMS, name: None})
    for name, value in [("exp", "5"), ("iat", 5.5), ("auth_time", True), ("aud", 5), ("sub", 5), ("groups", [1])]:
        with pytest.raises(UnfitAnswer):
            write(AccessTokenClaims, {**CLAIMS, name: value})


def test_oidcmsg_has_one_importer_that_leaves_its_traps_alone() -> None:
    package = Path(jwtconnect_mw.__file__).parent
    importers = {}
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oidcmsg"):
                importers.setdefault(file.relative_to(package).as_posix(), set()).add(node.module)
    assert importers == {"issuer/messages.py": {"oidcmsg.exception", "oidcmsg.message", "oidcmsg.oauth2"}}
    assert not hasattr(messages, "factory")
    assert forms.MAX_BODY == 65_536
