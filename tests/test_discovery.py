"""From an issuer to its keys: RFC 8414, then OpenID Connect Discovery; what metadata may and may not do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jwtconnect_mw import BearerAuth, ConfigurationError, HttpFetch, TrustedIssuer
from jwtconnect_mw.fetch import DEADLINE, Fetched
from jwtconnect_mw.keys.discovery import DiscoverySource, metadata_urls
from jwtconnect_mw.keys.sources import SourceError
from jwtconnect_mw.keys.state import COOLDOWN
from jwtconnect_mw.testing import FakeIssuer, ManualClock

from .kit import AUDIENCE, NOW, claims, jwks, key, token
from .remote import DISCOVERY, World, verdict
from .servers import RawServer, http, pages, requested

OAUTH, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def site() -> Iterator[RawServer]:
    with RawServer(b"") as server:
        yield server


class Site:
    """An issuer made of pages, which a test replaces at will."""

    def __init__(self, server: RawServer, clock: ManualClock, path: str = "", **settings: Any) -> None:
        self.server, self.clock, self.url = server, clock, server.url + path
        self.pages: dict[str, Any] = {"/jwks": jwks()}
        server.answer = pages(self.pages)
        self.auth = BearerAuth(
            TrustedIssuer(self.url, audience=AUDIENCE, **settings), clock=clock, fetch=HttpFetch(deadline=2.0)
        )

    def metadata(self, **changes: Any) -> dict[str, Any]:
        full = {"issuer": self.url, "jwks_uri": f"{self.server.url}/jwks", **changes}
        return {name: value for name, value in full.items() if value is not ...}

    def verdict(self, by: Any = None) -> str:
        changes = {"iss": self.url, "iat": self.clock() - 5, "exp": self.clock() + 300}
        result = verdict(self.auth, token(changes, by=by))
        for keys in self.auth._store.issuers.values():
            if keys._flight is not None:
                keys._flight.result(30)
        return result

    def later(self, seconds: float = COOLDOWN) -> None:
        self.clock.advance(seconds)
        self.server.heads.clear()


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        ("https://as.example", "https://as.example" + OAUTH, "https://as.example" + OPENID),
        ("https://as.example/", "https://as.example" + OAUTH, "https://as.example" + OPENID),
        ("https://as.example/t", f"https://as.example{OAUTH}/t", "https://as.example/t" + OPENID),
        ("https://as.example:8443/a/b/", f"https://as.example:8443{OAUTH}/a/b", "https://as.example:8443/a/b" + OPENID),
    ],
)
def test_where_metadata_is(issuer: str, oauth: str, openid: str) -> None:
    assert metadata_urls(issuer) == (oauth, openid)


@pytest.mark.parametrize("path", ["", "/", "/tenant", "/tenant/", "/a/b"])
@pytest.mark.parametrize("kind", ["oauth", "openid", "both"])
def test_an_issuer_is_found(site: RawServer, clock: ManualClock, path: str, kind: str) -> None:
    issuer = Site(site, clock, path)
    folder = path.rstrip("/")
    if kind != "openid":
        issuer.pages[OAUTH + folder] = issuer.metadata()
    if kind != "oauth":
        issuer.pages[folder + OPENID] = issuer.metadata()
    assert issuer.verdict() == issuer.verdict() == "accepted"
    tried = [OAUTH + folder] if kind != "openid" else [OAUTH + folder, folder + OPENID]
    assert requested(site) == [*tried, "/jwks"]
    other = claims({"iss": issuer.url + "/"})  # equal by code point, or another issuer's
    assert verdict(issuer.auth, token(other)) == "untrusted_issuer"


BAD_METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "with a slash": {"issuer": "{url}/"},
    "in another case": {"issuer": "HTTP{rest}"},
    "no issuer": {"issuer": ...},
    "a list of issuers": {"issuer": ["{url}"]},
    "no jwks_uri": {"jwks_uri": ...},
    "jwks_uri null": {"jwks_uri": None},
    "jwks_uri a list": {"jwks_uri": ["{url}/jwks"]},
    "jwks_uri relative": {"jwks_uri": "/jwks"},
    "jwks_uri http": {"jwks_uri": "http://as.example/jwks"},
    "jwks_uri file": {"jwks_uri": "file:///etc/passwd"},
    "jwks_uri with userinfo": {"jwks_uri": "http://me:pw@127.0.0.1/jwks"},
    "jwks_uri with a fragment": {"jwks_uri": "{url}/jwks#x"},
    "jwks_uri off loopback by trick": {"jwks_uri": "http://127.0.0.1.evil.example/jwks"},
}


def bad(issuer: Site, name: str) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(one) for one in value]
        rest = issuer.url.removeprefix("http")
        return value.replace("{url}", issuer.url).replace("{rest}", rest) if isinstance(value, str) else value

    return issuer.metadata(**{member: filled(value) for member, value in BAD_METADATA[name].items()})


@pytest.mark.parametrize("name", BAD_METADATA)
def test_bad_metadata(site: RawServer, clock: ManualClock, name: str, caplog: pytest.LogCaptureFixture) -> None:
    issuer = Site(site, clock)
    issuer.pages[OAUTH] = issuer.pages[OPENID] = bad(issuer, name)
    assert issuer.verdict() == "keys_unavailable"
    assert requested(site) == [OAUTH, OPENID]  # and nothing that it named
    problem = (
        "jwks_uri: " if name.startswith("jwks_uri") or name == "no jwks_uri" else "the metadata is that of another"
    )
    assert f"cannot be had: discovery failed: {problem}" in caplog.text
    issuer.later()
    issuer.pages[OPENID] = issuer.metadata()
    assert issuer.verdict() == "accepted"  # by the second document, whatever the first says


def test_metadata_does_not_widen_the_policy(site: RawServer, clock: ManualClock) -> None:
    issuer = Site(site, clock, algorithms=["ES256"])
    wide = {
        "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "algorithms": ["RS256"],
        "audience": "https://other.example",
        "jwks": jwks(key("EdDSA")),
    }
    issuer.pages[OAUTH] = issuer.metadata(**wide)
    issuer.pages["/jwks"] = jwks(key(), key("RS256"), key("EdDSA"))
    assert issuer.verdict() == "accepted"
    assert issuer.verdict(key("RS256")) == issuer.verdict(key("EdDSA")) == "algorithm_not_allowed"
    narrow = Site(site, clock, algorithms=["ES256", "RS256"])
    narrow.pages[OAUTH] = narrow.metadata(id_token_signing_alg_values_supported=["ES256"])
    narrow.pages["/jwks"] = jwks(key("RS256"))
    assert narrow.verdict(key("RS256")) == "accepted"  # the policy is ours alone


def test_the_url_is_asked_for_again_when_its_age_is_over(site: RawServer, clock: ManualClock) -> None:
    issuer = Site(site, clock)
    issuer.pages[OAUTH] = http(issuer.metadata(), Cache_Control="max-age=600")
    issuer.pages["/jwks"] = http(jwks(), Cache_Control="max-age=60")
    assert issuer.verdict() == "accepted"
    issuer.later(59)
    assert issuer.verdict() == "accepted"
    assert requested(site) == ["/jwks"]
    issuer.pages |= {OAUTH: issuer.metadata(jwks_uri=f"{site.url}/moved"), "/moved": jwks(key("ES256", "new"))}
    issuer.later(600)
    assert issuer.verdict(key("ES256", "new")) == "accepted"
    assert requested(site) == [OAUTH, "/moved"]
    assert issuer.verdict() == "unknown_key"


def test_the_url_is_asked_for_again_after_a_failure(site: RawServer, clock: ManualClock) -> None:
    issuer = Site(site, clock)
    issuer.pages[OAUTH] = http(issuer.metadata(), Cache_Control="max-age=3600")
    assert issuer.verdict() == "accepted"
    issuer.pages |= {OAUTH: issuer.metadata(jwks_uri=f"{site.url}/moved"), "/moved": jwks(key("ES256", "new"))}
    del issuer.pages["/jwks"]
    for expected, asked in (("unknown_key", ["/jwks"]), ("accepted", [OAUTH, "/moved"])):
        issuer.later()
        assert issuer.verdict(key("ES256", "new")) == expected
        assert requested(site) == asked


def test_the_url_is_asked_for_again_from_the_end_of_its_age_on(site: RawServer, clock: ManualClock) -> None:
    issuer = Site(site, clock)
    issuer.pages[OAUTH] = http(issuer.metadata(), Cache_Control="max-age=600")
    assert issuer.verdict() == "accepted"
    issuer.later(600)
    assert issuer.verdict() == "accepted"
    assert requested(site) == [OAUTH, "/jwks"]


def test_it_is_told_why_the_keys_cannot_be_had(
    site: RawServer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Site(site, clock)
    issuer.pages = {OAUTH: issuer.metadata()}
    site.answer = pages(issuer.pages)
    assert issuer.verdict() == "keys_unavailable"
    assert "cannot be had: status 404" in caplog.text


def test_a_url_that_stays_is_asked_conditionally_and_metadata_leaves_it_time(clock: ManualClock) -> None:
    asked: list[tuple[str, dict[str, str], float]] = []
    get = HttpFetch()

    def fetch(url: str, headers: Any, timeout: float) -> Fetched:
        asked.append((url, headers, timeout))
        return get(url, headers, timeout)

    with FakeIssuer(clock=clock) as issuer:
        issuer.headers["ETag"] = '"one"'
        world = World(issuer, clock, keys=DISCOVERY, fetch=fetch)
        assert world.verdict() == "accepted"
        clock.advance(300)
        world.refresh()
        metadata, keys, again, keys_again = asked
        assert keys[:2] == (issuer.jwks_url, {})
        assert keys_again[:2] == (issuer.jwks_url, {"If-None-Match": '"one"'})
        assert again[2] <= DEADLINE / 2 < metadata[2]
        assert world.verdict() == "accepted"


def test_nothing_is_asked_when_the_time_is_over() -> None:
    def fetch(*_: object) -> Fetched:
        raise AssertionError("it was asked")

    source = DiscoverySource("https://as.example", lambda *_: pytest.fail("there are no keys"), trust_http=False)
    with pytest.raises(SourceError, match=r"^discovery failed: timed out, then timed out$"):
        source.load(fetch, 0.0, NOW)


@pytest.mark.parametrize("hanging", [False, True], ids=["404", "hangs"])
def test_keys_are_refreshed_while_metadata_cannot_be_had(site: RawServer, clock: ManualClock, hanging: bool) -> None:
    issuer = Site(site, clock)
    issuer.pages[OAUTH] = issuer.metadata()
    assert issuer.verdict() == "accepted"
    del issuer.pages[OAUTH]
    if hanging:
        answer = site.answer

        def hang_on_metadata(server: RawServer, sock: Any, head: bytes) -> None:
            if b"/.well-known/" in head:
                server.release.wait()
            else:
                answer(server, sock, head)

        site.answer = hang_on_metadata
    issuer.pages["/jwks"] = jwks(key("ES256", "new"))
    issuer.later(3000)
    issuer.verdict()
    assert issuer.verdict(key("ES256", "new")) == "accepted"
    assert issuer.verdict() == "unknown_key"
    assert requested(site) == ([OAUTH, "/jwks"] if hanging else [OAUTH, OPENID, "/jwks"])


def test_where_one_of_the_two_places_hangs_the_other_has_its_turn(site: RawServer, clock: ManualClock) -> None:
    issuer = Site(site, clock)
    answer = site.answer

    def hang_on_oauth(server: RawServer, sock: Any, head: bytes) -> None:
        if OAUTH.encode() in head:
            server.release.wait()
        else:
            answer(server, sock, head)

    site.answer = hang_on_oauth
    issuer.pages[OPENID] = issuer.metadata()
    issuer.auth = BearerAuth(TrustedIssuer(issuer.url, audience=AUDIENCE), clock=clock, fetch=HttpFetch(deadline=0.2))
    assert issuer.verdict() == "keys_unavailable"
    assert requested(site) == [OAUTH]
    issuer.later()
    assert issuer.verdict() == "accepted"
    assert requested(site) == [OPENID, "/jwks"]
    site.answer = answer
    issuer.pages[OAUTH] = issuer.metadata()
    issuer.later(3600)  # the outage is over: the first is the one that counts
    assert issuer.verdict() == "accepted"
    assert requested(site) == [OAUTH, "/jwks"]


def test_no_time_is_left_for_the_keys(clock: ManualClock) -> None:
    with FakeIssuer(clock=clock) as issuer:
        issuer.outage = "hang"
        world = World(issuer, clock, keys=DISCOVERY, deadline=0.2)
        assert world.verdict() == "keys_unavailable"
        assert issuer.requests == [OAUTH]


@pytest.mark.parametrize("issuer", [
    "http://as.example", "https://as.example?", "https://as.example?a=b", "https://as.example#", "https://as.example/#x",
    "https://me@as.example", "urn:issuer", "as.example", "https://", "file:///x",
])  # fmt: skip
def test_issuers_that_cannot_be_discovered(issuer: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^issuer: "):
        TrustedIssuer(issuer, audience=AUDIENCE)
    TrustedIssuer(issuer, audience=AUDIENCE, keys=jwks())  # with keys it is only an identifier


def test_plain_http_elsewhere_must_be_asked_for(site: RawServer, clock: ManualClock) -> None:
    site.url = site.url.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(ConfigurationError, match=r"^issuer: "):
        Site(site, clock)
    issuer = Site(site, clock, trust_http=True)
    issuer.pages[OAUTH] = issuer.metadata()
    assert issuer.verdict() == "accepted"


@pytest.mark.parametrize(
    ("issuer", "jwks_uri", "settings", "expected"),
    [
        ("https://as.example", "https://keys.example/jwks", {}, "accepted"),
        ("https://as.example", "http://127.0.0.1:8080/jwks", {}, "keys_unavailable"),
        ("https://as.example", "http://127.0.0.1:8080/jwks", {"trust_http": True}, "accepted"),
        ("http://127.0.0.1", "http://127.0.0.1:8080/jwks", {}, "accepted"),
    ],
)
def test_an_https_issuer_names_no_service_of_this_machine(
    issuer: str, jwks_uri: str, settings: dict[str, Any], expected: str, clock: ManualClock
) -> None:
    asked: list[str] = []

    def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
        asked.append(url)
        document = jwks() if url.endswith("/jwks") else {"issuer": issuer, "jwks_uri": jwks_uri}
        return Fetched(200, {"content-type": "application/json"}, json.dumps(document).encode())

    bearer_auth = BearerAuth(TrustedIssuer(issuer, audience=AUDIENCE, **settings), clock=clock, fetch=fetch)
    assert verdict(bearer_auth, token({"iss": issuer, "iat": NOW - 5, "exp": NOW + 300})) == expected
    assert (jwks_uri in asked) == (expected == "accepted")
