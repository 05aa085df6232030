"""The endpoints of django-jwtconnect-auth: their parameters, success statuses and members, over the same issuer.

What is refused is refused as the standards have it: RFC 6750 for the bearer, RFC 7662 for what may be seen.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db import Error as DatabaseFailure

from .._http import Response, challenge, response
from ..errors import AuthError, InsufficientScope, InvalidToken, Unavailable
from ..issuer.answers import NO_STORE, about_tokens, bearer_refused, error_answer, grant_refused, realm_of
from ..issuer.bodies import RefusedBody
from ..issuer.callers import INTROSPECT
from ..issuer.endpoints import NOT_FOUND
from ..issuer.errors import GrantError, InvalidGrant
from ..issuer.forms import MalformedMessage
from ..token import AccessToken
from .bodies import read_fields
from .conf import Wiring, wiring
from .issuers import ProjectIssuer, is_same_user
from .responses import to_django
from .users import RETRY_AFTER
from .views import callers_of, open_view

_POST_ONLY = error_answer(405, "invalid_request", "The method is not one of this endpoint.", [("Allow", "POST")])
_INACTIVE = about_tokens(b'{"active": false}')


def _endpoint(answer: Callable[[Any, Wiring, ProjectIssuer], Response]) -> Callable[..., Any]:
    """A view around ``answer``. Nothing that a request holds makes it raise."""

    def view(request: Any, **_: Any) -> Any:
        wired, method = wiring(), request.META["REQUEST_METHOD"]
        issuer = wired.issuer
        if issuer is None:
            found = NOT_FOUND
        elif method != "POST":
            found = _POST_ONLY
        else:
            try:
                found = answer(request, wired, issuer)
            except RefusedBody as refused:
                found = refused.answer
            except MalformedMessage as error:
                found = error_answer(400, "invalid_request", str(error))
            except GrantError as error:
                found = grant_refused(error, realm_of(issuer.issuer))
            except AuthError as error:
                found = bearer_refused(error, realm_of(issuer.issuer))
        return to_django(found, method)

    view.__name__, view.__qualname__, view.__doc__ = answer.__name__, answer.__qualname__, answer.__doc__
    return open_view(view)


@_endpoint
def token_refresh(request: Any, _: Wiring, issuer: ProjectIssuer) -> Response:
    """POST ``token``, a refresh token: 201 with the next pair."""
    fields = read_fields(request)
    try:
        tokens = issuer.refresh(_needed(fields, "token"))
    except InvalidGrant as error:
        headers = [("WWW-Authenticate", challenge(InvalidToken(), realm_of(issuer.issuer), None))]
        return error_answer(401, "invalid_token", error.description, headers)
    body = json.dumps(tokens.to_dict()).encode()
    return response(201, [("Content-Type", "application/json"), *NO_STORE], body)


@_endpoint
def token_introspection(request: Any, wired: Wiring, issuer: ProjectIssuer) -> Response:
    """POST ``token`` or ``jti``, with an access token as bearer: what is to be told of a token of the same subject."""
    caller = callers_of(wired).bearer(request.META.get("HTTP_AUTHORIZATION"))
    if wired.legacy:  # any bearer may ask; what it may see is the issuer's rule all the same
        caller = AccessToken(caller.claims, caller.issuer, caller.scopes | {INTROSPECT})
    if not caller.has_scopes(INTROSPECT):
        raise InsufficientScope(INTROSPECT)
    fields = read_fields(request)
    if "token" in fields:
        found = issuer.introspect(fields["token"], caller=caller)
    else:
        found = _by_id(_needed(fields, "jti", "The parameter token or jti is missing."), issuer, caller)
    return about_tokens(json.dumps(_described(found)).encode()) if found["active"] else _INACTIVE


def _needed(fields: Mapping[str, str], name: str, problem: str | None = None) -> str:
    if name not in fields:
        raise MalformedMessage(problem or f"The parameter {name} is missing.")
    return fields[name]


def _by_id(token_id: str, issuer: ProjectIssuer, caller: AccessToken) -> dict[str, Any]:
    """By the record of what was issued, where there is no text to be verified."""
    from . import records  # models are there once the applications are

    try:
        found = records.find(token_id)
    except DatabaseFailure:
        raise Unavailable(RETRY_AFTER) from None
    if found is None or found.row.sub != caller.subject or not is_same_user(caller, found.row.user_id):
        return {"active": False}
    if not found.is_live(issuer):
        return {"active": False}
    kind = {"token_type": "Bearer"} if found.kind == "access" else {}
    return {"active": True, "iss": issuer.issuer, **found.to_dict(), **kind}


def _described(found: Mapping[str, Any]) -> dict[str, Any]:
    """With the two times as text, beside the numbers."""
    times = {"issued_at": found.get("iat"), "expire_at": found["exp"]}
    return {**found, **{name: _moment(time) for name, time in times.items() if time is not None}}


def _moment(seconds: float) -> str:
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
