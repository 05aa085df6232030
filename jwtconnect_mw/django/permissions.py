"""Django REST framework: scopes as permissions."""

from __future__ import annotations

from typing import Any

from django.views import View
from rest_framework.permissions import BasePermission

from ..errors import ConfigurationError, InsufficientScope
from ..rules import checked_scopes
from ..token import AccessToken
from .authentication import refused

_METHODS = frozenset(name.upper() for name in View.http_method_names)


class TokenHasScopes(BasePermission):
    """For views with ``required_scopes``: a collection of scopes, or a dict from method to one (others need none; HEAD,
    which the view answers as it does GET, needs what GET needs).

    403 with the challenge of RFC 6750 where a scope is missing, 401 without a token.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        """See BasePermission. Raises ConfigurationError for what is no scope, and for what is no method."""
        if not isinstance(request.auth, AccessToken):
            return False
        needed = getattr(view, "required_scopes", ())
        if isinstance(needed, dict):
            _check_methods(needed, view)
            method = "GET" if request.method == "HEAD" and "HEAD" not in needed else request.method
            needed = needed.get(method, ())
        scopes = checked_scopes("required_scopes", needed)
        if not request.auth.has_scopes(*scopes):
            raise refused(request._request, InsufficientScope(" ".join(dict.fromkeys(scopes))))
        return True


def _check_methods(needed: dict[Any, Any], view: Any) -> None:
    """Under a name that no request has, such as "get", scopes would be asked of nobody."""
    known = _METHODS.union(name.upper() for name in view.http_method_names)
    for name in needed:
        if name not in known:
            raise ConfigurationError("required_scopes", f"{name!r} is no HTTP method, in upper case")
