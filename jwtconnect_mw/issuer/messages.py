"""The only importer of oidcmsg: the messages that the endpoints read and write, each checked as a whole.

Nothing untyped and no foreign exception leaves this module. Of oidcmsg only the classes are used, filled from a
dict: its own parsers keep the first of two parameters, replace bad UTF-8, and put defaults where nothing was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from oidcmsg.exception import MissingRequiredAttribute, OidcMsgError
from oidcmsg.message import (
    OPTIONAL_LIST_OF_SP_SEP_STRINGS,
    OPTIONAL_LIST_OF_STRINGS,
    REQUIRED_LIST_OF_STRINGS,
    SINGLE_OPTIONAL_INT,
    SINGLE_OPTIONAL_STRING,
    SINGLE_REQUIRED_INT,
    SINGLE_REQUIRED_STRING,
    Message,
)
from oidcmsg.oauth2 import (
    AccessTokenResponse,
    ASConfigurationResponse,
    CCAccessTokenRequest,
    RefreshAccessTokenRequest,
    ResponseMessage,
    TokenIntrospectionRequest,
    TokenIntrospectionResponse,
)

from .forms import MalformedMessage


class UnfitAnswer(Exception):
    """What was to be sent is not what the RFC says: a defect of ours or of a setting, never of a request."""


_FOREIGN = (OidcMsgError, ValueError, TypeError, AttributeError)
_VISIBLE = re.compile(r"[ -~]*")  # VSCHAR and SP: all that a parameter of RFC 6749 may hold (appendix A)
_DESCRIPTION = re.compile(r"[ !#-\[\]-~]+")  # RFC 6749 section 5.2


class _Request(Message):
    """A request as RFC 6749 appendix A restricts its characters."""

    def verify(self, **kwargs: Any) -> Literal[True]:
        super().verify(**kwargs)
        for value in self.values():
            for text in value if isinstance(value, list) else (value,):
                if not _VISIBLE.fullmatch(text):
                    raise MalformedMessage("A parameter holds characters that it may not hold.")
        return True


_CREDENTIALS = dict.fromkeys(("client_id", "client_secret"), SINGLE_OPTIONAL_STRING)
_RESOURCE = {"resource": OPTIONAL_LIST_OF_STRINGS}


class RefreshRequest(_Request, RefreshAccessTokenRequest):
    """RFC 6749 section 6, with ``resource`` of RFC 8707."""

    c_param: ClassVar[dict[str, Any]] = {**RefreshAccessTokenRequest.c_param, **_RESOURCE}


class ClientCredentialsRequest(_Request, CCAccessTokenRequest):
    """RFC 6749 section 4.4.2, with ``resource`` of RFC 8707."""

    c_param: ClassVar[dict[str, Any]] = {**CCAccessTokenRequest.c_param, **_CREDENTIALS, **_RESOURCE}


class IntrospectionRequest(_Request, TokenIntrospectionRequest):
    """RFC 7662 section 2.1."""

    c_param: ClassVar[dict[str, Any]] = {**TokenIntrospectionRequest.c_param, **_CREDENTIALS}


class RevocationRequest(_Request):
    """RFC 7009 section 2.1."""

    c_param: ClassVar[dict[str, Any]] = {
        "token": SINGLE_REQUIRED_STRING,
        "token_type_hint": SINGLE_OPTIONAL_STRING,
        **_CREDENTIALS,
    }


class TokenAnswer(AccessTokenResponse):
    """RFC 6749 section 5.1."""


class IntrospectionAnswer(TokenIntrospectionResponse):
    """RFC 7662 section 2.2."""


class ErrorAnswer(ResponseMessage):
    """RFC 6749 section 5.2. oidcmsg's own allows fewer characters than the RFC, and no error at all."""

    c_param: ClassVar[dict[str, Any]] = {**ResponseMessage.c_param, "error": SINGLE_REQUIRED_STRING}

    def verify(self, **kwargs: Any) -> Literal[True]:
        Message.verify(self, **kwargs)
        for name in ("error", "error_description"):
            if not _DESCRIPTION.fullmatch(self.get(name, "-")):
                raise ValueError(name)
        return True


class Metadata(ASConfigurationResponse):
    """RFC 8414 section 2; ``grant_types_supported`` is optional there."""

    c_param: ClassVar[dict[str, Any]] = {
        **ASConfigurationResponse.c_param,
        "grant_types_supported": OPTIONAL_LIST_OF_STRINGS,
        "introspection_endpoint_auth_methods_supported": OPTIONAL_LIST_OF_STRINGS,
        "revocation_endpoint_auth_methods_supported": OPTIONAL_LIST_OF_STRINGS,
    }


class AccessTokenClaims(Message):
    """RFC 9068 section 2.2."""

    c_param: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(("iss", "sub", "client_id", "jti"), SINGLE_REQUIRED_STRING),
        **dict.fromkeys(("exp", "iat"), SINGLE_REQUIRED_INT),
        "aud": REQUIRED_LIST_OF_STRINGS,
        "scope": OPTIONAL_LIST_OF_SP_SEP_STRINGS,
        "auth_time": SINGLE_OPTIONAL_INT,
        "acr": SINGLE_OPTIONAL_STRING,
        **dict.fromkeys(("amr", "groups", "roles", "entitlements"), OPTIONAL_LIST_OF_STRINGS),
    }

    def from_dict(self, dictionary: Mapping[str, Any], **kwargs: Any) -> Any:
        for name in ("exp", "iat", "auth_time"):
            if type(dictionary.get(name, 0)) is not int:  # oidcmsg makes a number of digits
                raise ValueError(name)
        return super().from_dict(dictionary, **kwargs)


def read(kind: type[Message], form: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of ``form`` that ``kind`` knows, checked; others are ignored (RFC 6749 section 3.2).

    ``scope`` is a string of scopes with one space between them. Raises MalformedMessage.
    """
    content = {name: form[name] for name in kind.c_param if name in form}
    if "scope" in content:
        content["scope"] = [scope for scope in content["scope"].split(" ") if scope]
    message = kind(set_defaults=False)
    try:
        message.from_dict(content).verify()
    except MissingRequiredAttribute:
        name = next(name for name, (_, required, *_) in kind.c_param.items() if required and name not in message)
        raise MalformedMessage(f"The parameter {name} is missing.") from None
    except MalformedMessage:
        raise
    except _FOREIGN:
        raise MalformedMessage("The request is malformed.") from None
    found: dict[str, Any] = message.to_dict()
    return found


def write(kind: type[Message], content: Mapping[str, Any]) -> bytes:
    """``content`` as JSON, checked; members that are None are left out. Raises UnfitAnswer."""
    message = kind(set_defaults=False)
    try:
        message.from_dict({name: value for name, value in content.items() if value is not None}).verify()
        return json.dumps(message.to_dict()).encode()
    except _FOREIGN:
        raise UnfitAnswer(kind.__name__) from None
