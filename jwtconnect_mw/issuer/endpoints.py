"""The endpoints without I/O of their own: a Request value in, a Response value out (RFC 6749, 7009, 7662, 8414)."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._http import Response
from ..errors import AuthError, ConfigurationError
from . import answers
from .callers import Callers
from .clients import UNNAMED
from .errors import GrantError, InvalidClient, UnsupportedGrantType
from .forms import MalformedMessage, read_form
from .messages import (
    ClientCredentialsRequest,
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
from .places import Places
from .service import Issuer
from .tokens import Tokens

_log = logging.getLogger("jwtconnect_mw.issuer")
_INACTIVE = answers.about_tokens(b'{"active": false}')
# An empty body, or "{}", makes some clients fail.
_REVOKED = answers.about_tokens(b"OK", "text/plain; charset=utf-8")
NOT_FOUND = answers.error_answer(404, "invalid_request", "There is no such endpoint.")


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What an endpoint looks at. The query is no part of it: credentials must not be there (RFC 6749 section 2.3.1)."""

    authorization: str | None = None
    content_type: str | None = None
    if_none_match: str | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``methods``: those it answers. ``takes_form``: it reads a body, asks the list and runs hooks, so it may block."""

    name: str
    methods: tuple[str, ...]
    takes_form: bool
    answer: Callable[[Request], Response]


class Endpoints:
    """All endpoints of an issuer, found by method and path. Nothing that a request holds makes a method raise.

    Raises ConfigurationError where the metadata would be wrong.
    """

    def __init__(self, issuer: Issuer, places: Places, callers: Callers) -> None:
        self._issuer, self._callers = issuer, callers
        self._realm = answers.realm_of(issuer.issuer)
        handlers = {"token": self._token, "introspection": self._introspect, "revocation": self._revoke}
        documents = {"jwks": self._jwks, "metadata": self._metadata}
        every = {name: Endpoint(name, ("POST",), True, handler) for name, handler in handlers.items()}
        every |= {name: Endpoint(name, ("GET", "HEAD"), False, handler) for name, handler in documents.items()}
        self.metadata = every["metadata"]
        self._by_path = {path: every[name] for name, path in places.paths.items()}
        self._told = _metadata_of(issuer, places) if "metadata" in places.paths else b""

    def find(self, method: str, path: str) -> Endpoint | Response:
        """The endpoint, or the answer where there is none: 404 or 405."""
        endpoint = self._by_path.get(path)
        return NOT_FOUND if endpoint is None else self.allowed(endpoint, method)

    def allowed(self, endpoint: Endpoint, method: str) -> Endpoint | Response:
        """The endpoint, or 405."""
        if method in endpoint.methods:
            return endpoint
        allow = ("Allow", ", ".join(endpoint.methods))
        return answers.error_answer(405, "invalid_request", "The method is not one of this endpoint.", [allow])

    def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """The answer of an endpoint. What is raised inside is an answer as well."""
        try:
            return endpoint.answer(request)
        except MalformedMessage as error:
            return answers.error_answer(400, "invalid_request", str(error))
        except GrantError as error:
            return answers.grant_refused(error, self._realm)
        except AuthError as error:
            return answers.bearer_refused(error, self._realm)
        except Exception as error:  # a defect, of ours or of a hook
            # Not the text of the exception, nor of its causes: who knows what stands in it.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("the %s endpoint failed with %s\n%s", endpoint.name, type(error).__name__, where)
            return answers.error_answer(500, "server_error", "The request could not be served.")

    def _token(self, request: Request) -> Response:
        form = read_form(request.content_type, request.body)
        grant = form.get("grant_type")
        if grant == "refresh_token":
            return _tokens(self._refresh(request, read(RefreshRequest, form)))
        if grant == "client_credentials" and self._callers.any_confidential:
            return _tokens(self._client_credentials(request, read(ClientCredentialsRequest, form)))
        if grant is None:
            raise MalformedMessage("The parameter grant_type is missing.")
        raise UnsupportedGrantType

    def _refresh(self, request: Request, form: dict[str, Any]) -> Tokens:
        client = self._callers.client(request.authorization, form)
        # ``resource`` (RFC 8707) is neither refused nor obeyed: MCP clients send it, and the audience stays as granted.
        client_id = None if client is None else client.client_id
        return self._issuer.refresh(form["refresh_token"], scope=form.get("scope"), client_id=client_id)

    def _client_credentials(self, request: Request, form: dict[str, Any]) -> Tokens:
        client = self._callers.client(request.authorization, form)
        if client is None:
            raise InvalidClient
        return self._issuer.client_credentials(client, scope=form.get("scope"), audience=form.get("resource"))

    def _introspect(self, request: Request) -> Response:
        form = read(IntrospectionRequest, read_form(request.content_type, request.body))
        caller = self._callers.introspecting(request.authorization, form)
        found = self._issuer.introspect(form["token"], caller=caller)
        return answers.about_tokens(write(IntrospectionAnswer, found)) if found["active"] else _INACTIVE

    def _revoke(self, request: Request) -> Response:
        form = read(RevocationRequest, read_form(request.content_type, request.body))
        client = self._callers.client(request.authorization, form)
        self._issuer.revoke(token=form["token"], caller=UNNAMED if client is None else client)
        return _REVOKED

    def _jwks(self, request: Request) -> Response:
        return answers.document(json.dumps(self._issuer.key_set()).encode(), request.if_none_match)

    def _metadata(self, request: Request) -> Response:
        return answers.document(self._told, request.if_none_match)


def _metadata_of(issuer: Issuer, places: Places) -> bytes:
    """It does not change: what would make it wrong is refused when the application is built."""
    try:
        return write(Metadata, issuer.metadata(places.urls))
    except UnfitAnswer:
        raise ConfigurationError("metadata", "a member of RFC 8414 is not what it must be") from None


def _tokens(tokens: Tokens) -> Response:
    return answers.about_tokens(write(TokenAnswer, tokens.to_dict()))
