"""The whole public surface, used as its users use it. mypy --strict and pyright read it; nothing runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwtconnect_mw import ANY_AUDIENCE, AccessToken, Anonymous, AuthError, BearerAuth, ConfigurationError, HttpFetch
from jwtconnect_mw import TrustedIssuer as Trusted
from jwtconnect_mw.asgi import BearerMiddleware as AsgiMiddleware
from jwtconnect_mw.fetch import Fetched
from jwtconnect_mw.issuer import GrantError, Issuer, IssuerApp, SigningKeys, Tokens
from jwtconnect_mw.revocation import (
    Family,
    MemoryRevocationList,
    RevocationList,
    RevocationLookup,
    SQLiteRevocationList,
)
from jwtconnect_mw.testing import FakeIssuer, ManualClock, RevocationListConformance
from jwtconnect_mw.wsgi import BearerMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from asgiref.typing import ASGI3Application


def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Fetched:
    return Fetched(200, {"content-type": "application/json"}, b"{}")


def refused(reason: str, context: Mapping[str, Any]) -> None:
    print(reason, context["status"])


def build(wsgi: WSGIApplication, asgi: ASGI3Application) -> tuple[WSGIApplication, ASGI3Application]:
    revocations: RevocationLookup = MemoryRevocationList(clock=ManualClock(5.0))
    auth = BearerAuth(
        Trusted("https://as.example", audience="api"),
        Trusted("b", audience=["a", "b"], keys=Path("jwks.json"), algorithms=("ES256",), profile="rfc9068", leeway=0.5),
        Trusted(
            "c", audience=ANY_AUDIENCE, keys=b"x" * 32, algorithms=["HS256"], scope_claim=lambda claims: claims["scp"]
        ),
        revocations=revocations,
        required_scopes={"read"},
        public=["/health"],
        optional="missing",
        preflight=True,
        remote_user=lambda token: token.issuer + "|" + (token.subject or ""),
        realm="api",
        resource_metadata="https://api.example/.well-known/oauth-protected-resource",
        on_refused=refused,
        fetch=HttpFetch(ca_file="ca.pem", environment_proxies=True, deadline=3),
    )
    BearerAuth(Trusted("https://as.example", audience="api"), fetch=fetch, cache_size=0)
    return WsgiMiddleware(wsgi, auth), AsgiMiddleware(asgi, auth)


class Conformance(RevocationListConformance):
    def make(self, clock: Callable[[], float]) -> RevocationList:
        return SQLiteRevocationList(Path("revoked.db"), clock=clock, timeout=1)


def rotate(revocations: RevocationList) -> str:
    start: int = revocations.start_family("https://as.example", "alice", alone=True, expires_at=5.0)
    family = Family("https://as.example", "sid", "alice", "client", start)
    step = revocations.advance(
        family, 0, client_id="client", issued_at=1, expires_at=2, keep_until=3.0, now=1.5, grace=10
    )
    current: int | None = revocations.current(family)
    return f"{step.answer} {step.sequence} {current} {revocations.blocking} {revocations.shared}"


async def use(auth: BearerAuth) -> str | None:
    try:
        token: AccessToken | None = auth.authenticate("Bearer x", method="GET", path="/")
        token = await auth.aauthenticate(None)
    except AuthError as error:
        status: int = error.status
        reason: str = error.reason
        return f"{status} {reason} {error.error}"
    except ConfigurationError as error:
        return error.field
    who: AccessToken | Anonymous = token or Anonymous()
    scopes: frozenset[str] = who.scopes
    auth.prefetch()
    state: str = auth.health()["https://as.example"]["state"]
    claims: dict[str, Any] = token.to_dict() if token else {}
    with FakeIssuer(alg="RS256") as issuer:
        issuer.outage = "drip"
    return claims.get("sub") or who.display_name or state or str(scopes)


def issue(wsgi: WSGIApplication, asgi: ASGI3Application) -> tuple[WSGIApplication, ASGI3Application, ASGI3Application]:
    issuer = Issuer(
        "https://as.example/tenant",
        audience=["https://api.example"],
        keys=SigningKeys(Path("keys.json"), algorithm="RS256"),
        revocations=MemoryRevocationList(),
        clients={"web": "a secret of 32 characters or more", "api": {"secret": "sha256:00", "audiences": ["a"]}},
        claims=lambda known: {"name": str(known["sub"])},
        is_active=lambda subject: subject != "mallory",
        on_event=refused,
    )
    try:
        tokens: Tokens = issuer.issue("alice", scope="read", client_id="web")
        text: str = tokens.access_token
        print(issuer.refresh(tokens.refresh_token or text, scope="read", client_id="web").expires_in)
    except GrantError as error:
        print(error.status, error.error, error.reason, error.description)
    issuer.revoke(subject="alice", before=5.0)
    issuer.keys.drop(issuer.keys.rotate(at_once=True))
    app = IssuerApp(
        issuer,
        paths={"token": "/t", "introspection": None},
        mount="/oauth",
        auth=BearerAuth(Trusted("https://as.example/tenant", audience="a", keys=issuer.key_set())),
        allow_memory=True,
        threads=4,
        waiting=10,
    )
    mounted: WSGIApplication = app
    face: ASGI3Application = app.asgi
    app.close()
    return app.well_known(mounted if wsgi is None else wsgi), app.well_known_asgi(asgi), face
