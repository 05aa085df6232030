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
        self._issuer, self._given = issuer, auth
        self._own: tuple[dict[str, Any], BearerAuth] | None = None

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
            token = self.bearer(authorization)
            if not token.has_scopes(INTROSPECT):
                raise InsufficientScope(INTROSPECT)
            return token
        client = self.client(authorization, form)
        if client is None or not client.confidential:
            raise InvalidClient
        return client

    def bearer(self, authorization: str | None) -> AccessToken:
        """The access token of a request, whatever its scopes. Raises AuthError."""
        token = self._bearer_auth().authenticate(authorization)
        if token is None:
            raise NoCredentials  # an ``auth`` that lets requests through whose token it refused
        return token

    def _bearer_auth(self) -> BearerAuth:
        """Made anew whenever the published keys are others: a key that was dropped is no good at once."""
        if self._given is not None:
            return self._given
        issuer, keys, own = self._issuer, self._issuer.keys.trusted(), self._own
        if own is None or own[0] != keys:
            audience = {issuer.issuer, *issuer.audiences}
            policy = TrustedIssuer(issuer.issuer, audience=audience, profile="rfc9068", **keys)
            own = self._own = keys, BearerAuth(policy, revocations=issuer.revocations, clock=issuer.clock)
        return own[1]


def _scheme(authorization: str) -> str:
    return authorization.strip(" ").partition(" ")[0].lower()
