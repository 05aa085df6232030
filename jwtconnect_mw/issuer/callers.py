"""Who calls an endpoint: a client by its own credentials, or whoever bears an access token of this issuer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..auth import BearerAuth
from ..errors import InsufficientScope, NoCredentials
from ..policy import TrustedIssuer
from ..token import AccessToken
from .clients import Client
from .errors import InvalidClient, InvalidRequest
from .service import Issuer

INTROSPECT = "introspect"
"""The scope that lets the bearer of an access token ask about tokens of its own subject."""


class Callers:
    """Reads the credentials of a request. ``auth``: what verifies bearer tokens; None for the issuer's own keys, its
    own revocation list and, as audience, the issuer itself or any audience of its tokens.
    """

    def __init__(self, issuer: Issuer, auth: BearerAuth | None) -> None:
        self._issuer = issuer
        self._auth = _own_auth(issuer) if auth is None else auth

    @property
    def any_confidential(self) -> bool:
        """Whether any client can prove who it is."""
        return self._issuer.clients.confidential

    def client(self, authorization: str | None, form: Mapping[str, Any]) -> Client | None:
        """The client that a request names and, where it has a secret, proves to be; None where it names none.

        Raises InvalidRequest and InvalidClient.
        """
        if authorization is not None and "," in authorization and _scheme(authorization) in ("basic", "bearer"):
            raise InvalidRequest  # two header fields, as servers join them: neither scheme has a comma in it
        return self._issuer.clients.authenticate(
            basic=authorization, client_id=form.get("client_id"), client_secret=form.get("client_secret")
        )

    def introspecting(self, authorization: str | None, form: Mapping[str, Any]) -> Client | AccessToken:
        """Who may introspect (RFC 7662 section 2.1): a client with a secret, or an access token with the scope.

        Raises GrantError and AuthError.
        """
        if authorization is not None and _scheme(authorization) == "bearer":
            if "client_secret" in form:
                raise InvalidRequest
            token = self._auth.authenticate(authorization)
            if token is None:
                raise NoCredentials  # an ``auth`` that lets requests through whose token it refused
            if not token.has_scopes(INTROSPECT):
                raise InsufficientScope(INTROSPECT)
            return token
        client = self.client(authorization, form)
        if client is None or not client.confidential:
            raise InvalidClient
        return client


def _own_auth(issuer: Issuer) -> BearerAuth:
    audience = {issuer.issuer, *issuer.audiences}
    policy = TrustedIssuer(issuer.issuer, audience=audience, keys=issuer, profile="rfc9068")
    return BearerAuth(policy, revocations=issuer.revocations, clock=issuer.clock)


def _scheme(authorization: str) -> str:
    return authorization.strip(" ").partition(" ")[0].lower()
