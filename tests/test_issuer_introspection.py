"""Who learns what of a token, and who can end it (RFC 7662, RFC 7009)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwtconnect_mw._jose import VerificationKey
from jwtconnect_mw.errors import Revoked
from jwtconnect_mw.issuer import inspection
from jwtconnect_mw.issuer.clients import UNNAMED, Client
from jwtconnect_mw.issuer.errors import RevokedGrant
from jwtconnect_mw.issuer.refresh import RefreshToken, RefreshTokens
from jwtconnect_mw.issuer.service import Issuer
from jwtconnect_mw.issuer.tokens import Tokens
from jwtconnect_mw.revocation import MemoryRevocationList
from jwtconnect_mw.testing import ManualClock
from jwtconnect_mw.token import AccessToken

from .issuer_kit import House, house, part, resigned
from .kit import AUDIENCE, ISSUER, NOW, b64, key, token

INACTIVE = {"active": False}


def bearer(here: House, tokens: Tokens) -> AccessToken:
    found = here.auth().authenticate(f"Bearer {tokens.access_token}")
    assert found is not None
    return found


def test_what_is_told_of_an_access_token() -> None:
    here = house(claims=lambda _: {"colour": "mauve"})
    tokens = here.issuer.issue("alice", scope="read write", client_id="web")
    claims = part(tokens.access_token)
    del claims["colour"]
    told = here.issuer.introspect(tokens.access_token, caller=here.client("api"))
    assert told == {"active": True, **claims, "token_type": "Bearer"}
    assert json.dumps(told)
    assert (type(told["exp"]), type(told["iat"])) == (int, int)
    plain = here.issuer.introspect(here.issuer.issue("alice").access_token, caller=here.client("api"))
    assert "scope" not in plain
    own = here.issuer.client_credentials(here.client("web")).access_token
    assert "sid" not in here.issuer.introspect(own, caller=here.client("web"))


def test_several_audiences() -> None:
    here = house(audience=["https://a.example", AUDIENCE])
    told = here.issuer.introspect(here.issuer.issue("alice").access_token, caller=here.client("api"))
    assert told["aud"] == ["https://a.example", AUDIENCE]


def test_what_is_told_of_a_refresh_token() -> None:
    here = house()
    tokens = here.issuer.issue("alice", scope="read", client_id="web", claims={"tenant": "a"})
    claims = part(tokens.refresh_token or "")
    for name in ("seq", "family_exp", "access_aud", "claims", "confidential", "ttype"):
        del claims[name]
    web = here.client("web")
    assert here.issuer.introspect(tokens.refresh_token or "", caller=web) == {"active": True, **claims}
    plain = here.issuer.issue("alice", client_id="web")
    assert "scope" not in here.issuer.introspect(plain.refresh_token or "", caller=web)


def test_a_refresh_token_is_active_while_it_is_the_last() -> None:
    here = house()
    web = here.client("web")
    first = here.issuer.issue("alice", client_id="web").refresh_token or ""
    second = here.issuer.refresh(first, client_id="web").refresh_token or ""
    assert here.issuer.introspect(first, caller=web) == INACTIVE
    assert here.issuer.introspect(second, caller=web)["active"]
    here.clock.advance(3599)
    assert here.issuer.introspect(second, caller=web)["active"]
    here.clock.advance(1)
    assert here.issuer.introspect(second, caller=web) == INACTIVE


def test_who_sees_an_access_token() -> None:
    here = house(
        clients={"web": "x" * 32, "api": {"secret": "y" * 32, "audiences": [AUDIENCE]}, "other": "z" * 32, "spa": {}}
    )
    text = here.issuer.issue("alice", client_id="spa", scope="introspect").access_token
    of_web = here.issuer.issue("alice", client_id="web").access_token
    for_others = here.issuer.issue("alice", client_id="web", audience="https://other.example").access_token
    sees = {
        (name, which)
        for name in ("web", "api", "other", "spa")
        for which, one in (("spa", text), ("web", of_web), ("others", for_others))
        if here.issuer.introspect(one, caller=here.client(name)) != INACTIVE
    }
    assert sees == {("api", "spa"), ("api", "web"), ("web", "web"), ("web", "others")}
    assert here.issuer.introspect(text, caller=None) == INACTIVE  # type: ignore[arg-type]  # what a host may get wrong


def test_a_client_sees_refresh_tokens_only_of_its_own() -> None:
    here = house()
    text = here.issuer.issue("alice", client_id="web").refresh_token or ""
    assert here.issuer.introspect(text, caller=here.client("web"))["active"]
    assert here.issuer.introspect(text, caller=Client("api", True, frozenset({AUDIENCE, ISSUER}))) == INACTIVE


def test_a_bearer_sees_tokens_of_its_own_subject() -> None:
    here = house()
    alice, bob = here.issuer.issue("alice", scope="introspect"), here.issuer.issue("bob")
    caller = bearer(here, alice)
    assert here.issuer.introspect(alice.access_token, caller=caller)["active"]
    assert here.issuer.introspect(alice.refresh_token or "", caller=caller)["active"]
    assert here.issuer.introspect(here.issuer.issue("alice").access_token, caller=caller)["active"]
    assert here.issuer.introspect(bob.access_token, caller=caller) == INACTIVE
    assert here.issuer.introspect(bob.refresh_token or "", caller=caller) == INACTIVE
    assert here.issuer.introspect(bob.access_token, caller=bearer(here, bob)) == INACTIVE  # without the scope
    elsewhere = AccessToken(caller.claims, "https://other.example", caller.scopes)
    assert here.issuer.introspect(alice.access_token, caller=elsewhere) == INACTIVE


def inactive(here: House, tokens: Tokens) -> dict[str, str]:
    """Texts of tokens that are not good."""
    head, payload, signature = tokens.access_token.split(".")
    other = house("https://other.example", clock=here.clock).issuer.issue("alice")
    return {
        "empty": "",
        "garbage": "garbage",
        "not ASCII": "é.é.é",
        "too long": "a.b." + "c" * 20_000,
        "JSON": "{}",
        "no signature": f"{head}.{payload}.",
        "other signature": f"{head}.{payload}.{b64(bytes(64))}",
        "other payload": f"{head}.{b64(json.dumps({**part(tokens.access_token), 'sub': 'bob'}))}.{signature}",
        "unknown key": token({"iat": NOW}, by=key("ES256", "foreign")),
        "foreign key of a known kid": token({"iat": NOW}, {"kid": "main-ES256"}, by=key("ES256", "foreign")),
        "alg none": f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt'}))}.{payload}.",
        "no access token": token({"iat": NOW}, {"typ": "JWT"}),
        "of another kind": token({"iat": NOW, "events": {}}),
        "bound to its sender": token({"iat": NOW, "cnf": {}}),
        "not RFC 9068": token({"jti": ...}),
        "expired": token({"exp": NOW}),
        "long expired": token({"exp": NOW - 400, "iat": NOW - 500}),
        "from the future": token({"iat": NOW + 61, "exp": NOW + 300}),
        "another issuer": other.access_token,
        "another issuer, refresh": other.refresh_token or "",
        "refresh, expired": resigned(here.issuer, tokens.refresh_token or "", {"exp": NOW}),
        "refresh, end of session": resigned(here.issuer, tokens.refresh_token or "", {"family_exp": NOW}),
        "refresh, other signature": (tokens.refresh_token or "")[:-43] + b64(bytes(32)),
        "refresh, from the future": resigned(here.issuer, tokens.refresh_token or "", {"iat": NOW + 61}),
    }


@pytest.fixture(scope="module")
def here() -> House:
    return house()


@pytest.fixture(scope="module")
def tokens(here: House) -> Tokens:
    return here.issuer.issue("alice", client_id="web")


@pytest.mark.parametrize("name", inactive(house(), house().issuer.issue("alice", client_id="web")))
def test_what_is_not_good_is_inactive_and_cannot_be_revoked(here: House, tokens: Tokens, name: str) -> None:
    text = inactive(here, tokens)[name]
    callers = [
        Client("web", True),
        Client("client", True, frozenset({AUDIENCE, ISSUER})),
        Client("api", True, frozenset({AUDIENCE})),
    ]
    for caller in callers:
        assert here.issuer.introspect(text, caller=caller) == INACTIVE
    if "expired" not in name and "refresh, " not in name and name != "from the future":
        before = here.told()
        here.issuer.revoke(token=text)
        assert here.told() == before


def test_clocks_of_hosts_may_differ_by_a_minute(here: House) -> None:
    """What keeps to all rules is active, whoever wrote it with our keys."""
    caller = Client("client", True)
    assert here.issuer.introspect(token({"iat": NOW + 60}), caller=caller)["active"]
    assert here.issuer.introspect(token({"iat": NOW, "sid": 5, "auth_time": "x"}), caller=caller)["active"]


def test_a_refresh_token_of_another_host_may_be_a_minute_ahead(here: House, tokens: Tokens) -> None:
    ahead = resigned(here.issuer, tokens.refresh_token or "", {"iat": NOW + 60})
    assert here.issuer.introspect(ahead, caller=here.client("web"))["active"]


@pytest.mark.parametrize(
    ("changes", "session", "started"),
    [
        ({}, None, NOW - 10),
        ({"sid": "s", "auth_time": NOW - 99.5}, "s", NOW - 99.5),
        ({"sid": 5, "auth_time": "x"}, None, None),
        ({"sid": ["s"], "auth_time": [NOW]}, None, None),
    ],
    ids=repr,
)
def test_a_list_is_asked_for_what_it_knows_whoever_wrote_the_claims(
    changes: dict[str, Any], session: str | None, started: float | None
) -> None:
    asked: list[tuple[object, ...]] = []

    class Spy(MemoryRevocationList):
        def is_revoked(self, *arguments: Any) -> bool:
            asked.append(arguments)
            return super().is_revoked(*arguments)

    clock = ManualClock(NOW)
    here = house(revocations=Spy(clock=clock), clock=clock)
    assert here.issuer.introspect(token(changes), caller=Client("client", True))["active"]
    assert asked == [(ISSUER, "token-1", session, "alice", started, NOW)]


def test_whatever_is_asked_one_token_of_each_kind_is_read_and_the_list_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the time tells nothing of a token that the caller may not see."""
    counted: list[str] = []

    class Spy(MemoryRevocationList):
        def is_revoked(self, *arguments: Any) -> bool:
            counted.append("list")
            return super().is_revoked(*arguments)

    def spied(self: VerificationKey, signing_input: bytes, signature: bytes) -> bool:
        counted.append("signature")
        return verifies(self, signing_input, signature)

    def parsed(self: RefreshTokens, payload: bytes) -> RefreshToken:
        counted.append("refresh token")
        return parse(self, payload)

    verifies, parse = VerificationKey.verifies, RefreshTokens._parsed
    monkeypatch.setattr(VerificationKey, "verifies", spied)  # counts; the work is done by the original
    monkeypatch.setattr(RefreshTokens, "_parsed", parsed)
    clock = ManualClock(NOW)
    here = house(revocations=Spy(clock=clock), clock=clock)
    tokens = here.issuer.issue("alice", client_id="web")
    texts = {**inactive(here, tokens), "good": tokens.access_token, "good, refresh": tokens.refresh_token or ""}
    del texts["no access token"], texts["of another kind"]  # which only our key makes, and we do not: two signatures
    for name, text in texts.items():
        counted.clear()
        assert here.issuer.introspect(text, caller=Client("stranger", True)) == INACTIVE
        assert counted == ["refresh token", "signature", "list"], name


def test_introspection_asks_the_list() -> None:
    here = house()
    api = here.client("api")
    one, two, three = (here.issuer.issue("alice") for _ in range(3))
    here.revocations.revoke_token(ISSUER, part(one.access_token)["jti"])
    here.revocations.revoke_session(ISSUER, two.session or "")
    assert here.issuer.introspect(one.access_token, caller=api) == INACTIVE
    assert here.issuer.introspect(two.access_token, caller=api) == INACTIVE
    assert here.issuer.introspect(three.access_token, caller=api)["active"]
    here.revocations.revoke_subject(ISSUER, "alice")
    assert here.issuer.introspect(three.access_token, caller=api) == INACTIVE


def test_an_access_token_ends_itself() -> None:
    here = house()
    tokens = here.issuer.issue("alice", client_id="web")
    here.issuer.revoke(token=tokens.access_token, caller=here.client("web"))
    with pytest.raises(Revoked):
        bearer(here, tokens)
    after = here.issuer.refresh(tokens.refresh_token or "", client_id="web")
    assert bearer(here, after)
    jti = part(tokens.access_token)["jti"]
    assert here.events[1] == (
        "revoked",
        {"subject": "alice", "client_id": "web", "session": tokens.session, "token_id": jti},
    )


def test_a_refresh_token_ends_its_session() -> None:
    here = house()
    first = here.issuer.issue("alice", client_id="spa")
    second = here.issuer.refresh(first.refresh_token or "")
    here.issuer.revoke(token=first.refresh_token, caller=here.client("spa"))  # a spent one does as well
    for tokens in (first, second):
        with pytest.raises(Revoked):
            bearer(here, tokens)
        with pytest.raises(RevokedGrant):
            here.issuer.refresh(tokens.refresh_token or "")
    assert here.events[-1] == ("revoked", {"subject": "alice", "client_id": "spa", "session": first.session})


def test_an_expired_refresh_token_ends_its_session_too() -> None:
    """A newer one of the same session may be good."""
    here = house()
    first = here.issuer.issue("alice")
    here.clock.advance(3000)
    second = here.issuer.refresh(first.refresh_token or "")
    here.clock.advance(1000)
    here.issuer.revoke(token=first.refresh_token)
    with pytest.raises(RevokedGrant):
        here.issuer.refresh(second.refresh_token or "")


def test_an_expired_access_token_can_be_ended_while_a_leeway_may_let_it_pass() -> None:
    here = house()
    tokens = here.issuer.issue("alice")
    here.clock.advance(1800 + 299)
    here.issuer.revoke(token=tokens.access_token)
    assert here.told() == ["issued", "revoked"]


def test_tokens_of_others_cannot_be_ended() -> None:
    here = house()
    tokens = here.issuer.issue("alice", client_id="web")
    for caller in (here.client("api"), here.client("spa"), Client("web", False), "web"):
        here.issuer.revoke(token=tokens.refresh_token, caller=caller)  # type: ignore[arg-type]  # a str: what a host may get wrong
    here.issuer.revoke(token=tokens.access_token, caller=here.client("api"))
    assert here.told() == ["issued"]
    assert bearer(here, tokens)
    assert here.issuer.refresh(tokens.refresh_token or "", client_id="web").access_token


def test_a_caller_without_a_name_may_end_tokens_of_clients_without_a_secret() -> None:
    here = house()
    for name, ended in (("spa", True), ("first-party", True), ("web", False)):
        tokens = here.issuer.issue("alice", client_id=name)
        for text in (tokens.access_token, tokens.refresh_token):
            here.issuer.revoke(token=text, caller=UNNAMED)
        assert here.told().count("revoked") == (2 if ended else 0)
        here.events.clear()
    # Nor those of a client that had a secret, or is no longer there.
    tokens = here.issuer.issue("alice", client_id="web")
    for later in ({"web": {}}, {}):
        house(clients=later, revocations=here.revocations, clock=here.clock).issuer.revoke(
            token=tokens.refresh_token, caller=UNNAMED
        )
    assert here.issuer.refresh(tokens.refresh_token or "", client_id="web").access_token


def test_the_host_may_end_everything() -> None:
    here = house()
    one, two, three = (here.issuer.issue("alice", client_id=name) for name in ("web", "spa", "api"))
    here.issuer.revoke(token=one.refresh_token)
    here.issuer.revoke(session=two.session)
    assert bearer(here, three)
    here.issuer.revoke(subject="alice")
    for tokens in (one, two, three):
        with pytest.raises(Revoked):
            bearer(here, tokens)
    assert [context for event, context in here.events if event == "revoked"][1:] == [
        {"session": two.session},
        {"subject": "alice"},
    ]


def test_before() -> None:
    here = house()
    old = here.issuer.issue("alice")
    here.clock.advance(100)
    new = here.issuer.issue("alice")
    here.issuer.revoke(subject="alice", before=NOW + 50)
    assert bearer(here, new)
    with pytest.raises(Revoked):
        bearer(here, old)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"token": "x", "session": "y"},
        {"session": "x", "subject": "y"},
        {"session": "x", "before": NOW},
        {"token": "x", "before": NOW},
        {"session": "x", "caller": Client("web", True)},
        {"session": ""},
        {"session": 5},
        {"subject": ""},
        {"subject": "\ud800"},
        {"subject": "alice", "before": "now"},
        {"subject": "alice", "before": float("nan")},
        {"subject": "alice", "before": True},
    ],
)
def test_arguments_that_mean_nothing(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        house().issuer.revoke(**arguments)


def test_how_long_a_revocation_is_kept() -> None:
    told: list[float] = []

    class Spy(MemoryRevocationList):
        def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
            told.append(expires_at or 0)

        def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
            told.append(expires_at or 0)

        def revoke_subject(self, *_: Any, before: float | None = None, expires_at: float | None = None) -> None:
            told.append(expires_at or 0)

    clock = ManualClock(NOW)
    here = house(revocations=Spy(clock=clock), clock=clock, family_lifetime=10_000)
    tokens = here.issuer.issue("alice")
    clock.advance(1000)
    here.issuer.revoke(token=tokens.access_token)
    here.issuer.revoke(token=tokens.refresh_token)
    here.issuer.revoke(session="x")
    here.issuer.revoke(subject="x")
    here.issuer.revoke(subject="x", before=NOW)
    here.issuer.revoke(subject="x", before=NOW + 5000)
    latest = NOW + 1000 + 60 + 10_000  # a session may have begun up to a minute ahead
    assert told == [NOW + 1800, NOW + 10_000, latest, latest, latest, NOW + 5000 + 60 + 10_000]


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nothing_is_active_that_was_not_issued(here: House, tokens: Tokens, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([tokens.access_token, tokens.refresh_token or ""]))
    at = data.draw(st.integers(0, len(text) - 1))
    mutated = (
        text[:at] + data.draw(st.text(ALPHABET + ".=+/ é", max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    )
    web = here.client("web")
    before = here.told()
    if mutated not in (tokens.access_token, tokens.refresh_token):
        assert here.issuer.introspect(mutated, caller=web) == INACTIVE
        here.issuer.revoke(token=mutated)
        assert here.told() == before
    assert here.issuer.introspect(text, caller=web)["active"]


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary() | st.none())
def test_any_text_is_inactive(here: House, text: Any) -> None:
    assert here.issuer.introspect(text, caller=here.client("web")) == INACTIVE
    here.issuer.revoke(token=text if text is not None else "")


def test_two_threads_may_build_the_verifier_of_new_keys(here: House) -> None:
    """The keys that change while it is built are not missed."""
    own: inspection.OwnTokens = here.issuer._own
    build = own._build

    def changing() -> Any:
        built = build()
        own._forget()  # as by another thread
        return built

    own._build = changing  # type: ignore[method-assign]  # the only way into the midst of it
    own._forget()
    own.find("x", NOW)
    own._build = build  # type: ignore[method-assign]
    mark = own._built[0]
    own.find("x", NOW)
    assert own._built[0] is not mark


def test_an_issuer_without_a_url_can_do_it_all() -> None:
    here = house("the house of tokens")
    issuer: Issuer = here.issuer
    tokens = issuer.issue("alice", client_id="web")
    assert issuer.introspect(tokens.access_token, caller=here.client("web"))["iss"] == "the house of tokens"
