"""Django REST framework: scopes as permissions."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission

from ..errors import InsufficientScope
from ..rules import checked_scopes
from ..token import AccessToken
from .authentication import refused


class TokenHasScopes(BasePermission):
    """For views with ``required_scopes``: a collection of scopes, or a dict from method to one (others need none; HEAD,
    which the view answers as it does GET, needs what GET needs).

    403 with the challenge of RFC 6750 where a scope is missing, 401 without a token.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        """See BasePermission. Raises ConfigurationError for what is no scope."""
        if not isinstance(request.auth, AccessToken):
            return False
        needed = getattr(view, "required_scopes", ())
        if isinstance(needed, dict):
            method = "GET" if request.method == "HEAD" and "HEAD" not in needed else request.method
            needed = needed.get(method, ())
        scopes = checked_scopes("required_scopes", needed)
        if not request.auth.has_scopes(*scopes):
            raise refused(request._request, InsufficientScope(" ".join(dict.fromkeys(scopes))))
        return True
