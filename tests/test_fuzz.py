"""Nothing that a client can send makes anything but our own errors, and nothing altered is accepted.

10,000 mutants through both middlewares, 200,000 with --long; hypothesis for the parsers.
"""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jwtconnect_mw import AuthError, BearerAuth
from jwtconnect_mw._http import bearer_token
from jwtconnect_mw._strict import b64url_decode, is_b64url, json_object
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.errors import MalformedCredentials
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

from .adapters import wsgi_environ
from .kit import auth, b64, jwks, key, policy
from .mutants import Mutator

SEED = 20261123


def outcome_wsgi(app: WsgiMiddleware, value: bytes) -> int:
    statuses: list[int] = []
    app(wsgi_environ([("Authorization", value)], "GET", "/"), lambda status, _: statuses.append(int(status[:3])))  # type: ignore[arg-type,return-value]
    return statuses[0]


def outcome_asgi(app: AsgiMiddleware, value: bytes) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", value)]}
    call = app(scope, None, send)  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        call.send(None)
    return int(sent[0]["status"])


def protected(**settings: Any) -> BearerAuth:
    keys = {"keys": jwks(key(), key("RS256"), key("EdDSA"))}
    return auth(policy(**keys), **settings)


def test_mutants(long: bool) -> None:
    mutator = Mutator(SEED)
    originals = {text.rpartition(".")[0] for text in mutator.originals}
    passed: list[str] = []

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        passed.append(environ["HTTP_AUTHORIZATION"])
        start_response("200 OK", [])
        return []

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        await send({"status": 200})

    wsgi, asgi = WsgiMiddleware(wsgi_app, protected()), AsgiMiddleware(asgi_app, protected(cache_size=0))
    seen: set[int] = set()
    for value in islice(mutator.values(), 200_000 if long else 10_000):
        status = outcome_wsgi(wsgi, value)
        assert status == outcome_asgi(asgi, value), value
        assert status in (200, 400, 401), value
        seen.add(status)
    assert seen == {200, 400, 401}
    for value in passed:
        assert value.strip(" ").split(" ")[-1].rpartition(".")[0] in originals


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=60) | st.from_regex(r"\s?[Bb]earer ?.*", fullmatch=True))
def test_any_authorization_value_has_an_outcome(value: str) -> None:
    for call in (lambda: AUTH.authenticate(value), lambda: asyncio.run(AUTH.aauthenticate(value))):
        with pytest.raises(AuthError) as caught:
            call()
        assert caught.value.status in (400, 401)


AUTH = protected()


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="Bearer bB,\t\x00a.=~", max_size=30))
def test_the_grammar_of_bearer(value: str) -> None:
    """Against the grammar as a regular expression (RFC 6750 section 2.1)."""
    import re

    match = re.fullmatch(r" *[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *", value)
    try:
        assert bearer_token(value) == (match[1] if match else None)
    except MalformedCredentials:
        assert match is None


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=12))
def test_base64url_has_one_spelling(octets: bytes, noise: bytes) -> None:
    text = b64(octets).encode()
    assert b64url_decode(text) == octets
    assert is_b64url(text)
    for other in (noise, text + noise[:1], text[:-1], text + b"=", text[:-1] + noise[:1]):
        try:
            decoded = b64url_decode(other)
        except ValueError:
            assert not is_b64url(other)
        else:
            assert is_b64url(other)
            assert b64(decoded).encode() == other


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    try:
        octets = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:  # a lone surrogate, as itself
        return
    try:
        assert json_object.read(octets) == value
    except ValueError:
        with pytest.raises(UnicodeEncodeError):
            json.dumps(value, ensure_ascii=False).encode()


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='{}[]",:\\u0deE+-.1 \nabNaIfity', max_size=40).map(str.encode) | st.binary(max_size=30))
def test_no_text_makes_another_error(octets: bytes) -> None:
    try:
        value = json_object.read(octets)
    except ValueError:
        with pytest.raises(ValueError):
            json_object.read_unverified(octets, 1000, 1000)
        return
    assert type(value) is dict
    assert value == json.loads(octets)
    unverified = json_object.read_unverified(octets, 1000, 1000)
    assert unverified.keys() == value.keys()


names = st.sampled_from(["a", "b", ":", ":c", " d", "e ", "", "\t"])


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.tuples(
            names,
            names | st.integers() | st.lists(names),
            st.sampled_from([":", ": ", " :", "\t:", "\n:", "\r:"]),
            st.sampled_from([",", ", ", " ,", "\n,"]),
        ),
        max_size=5,
    )
)
@example([("a", 1, ":", ","), ("a", 2, " :", ",")])
@example([("a", 1, ":", ","), ("a", 2, "\t:", ",")])
@example([("a", 1, ":", ","), ("a", 2, "\n:", ",")])
@example([("a", 1, ":", ","), ("a", 2, "\r:", ",")])
@example([("a", ":", ":", ","), ("b", ":", " :", ","), ("a", 2, ":", ",")])
def test_a_repeated_member_is_found_however_it_is_written(members: list[tuple[str, Any, str, str]]) -> None:
    pairs = [(name, value) for name, value, _, _ in members]
    written = "".join(f"{json.dumps(name)}{colon}{json.dumps(value)}{comma}" for name, value, colon, comma in members)
    text = "{" + (written[: written.rindex(",")] if members else "") + "}"
    if len(dict(pairs)) == len(pairs):
        assert json_object.read(text.encode()) == dict(pairs)
    else:
        with pytest.raises(ValueError):
            json_object.read(text.encode())


def test_the_work_for_a_hostile_text_is_linear() -> None:
    """Unterminated strings full of escaped quotes make careless patterns quadratic: this would take minutes."""
    for text in ("[" * 100 + '"' + '\\"' * 200_000, '{"a":' * 100 + '"' * 200_001, "\\" * 400_000 + "[" * 100):
        with pytest.raises(ValueError):
            json_object.read(text.encode())
