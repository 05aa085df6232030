"""The token pairs in the admin: to look at and to revoke, not to change. There is no token text to show.

A session has a row for each pair; revoking one ends all of them.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename, get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from ..errors import ConfigurationError
from ..issuer import GrantError
from . import issuing
from .models import JWTConnectAuthToken


@admin.register(JWTConnectAuthToken)
class JWTConnectAuthTokenAdmin(admin.ModelAdmin):
    """Who may change token pairs may revoke them. Who may delete them does so only by deleting their user."""

    list_display = ("user", "issued_at", "access_expire_at", "refresh_expire_at", "is_active", "client_id", "sid")
    list_filter = ("issued_at", "is_active", "access_expire_at", "refresh_expire_at")
    list_select_related = ("user",)
    actions = ("revoke",)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:  # noqa: ARG002  # as Django calls it
        name = get_user_model().USERNAME_FIELD
        return (f"user__{name}", "access_jti", "refresh_jti", "sid", "sub")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  # as above
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  # as above
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not in these pages: a row that is gone revokes nothing. When a user is deleted, the rows may go as well."""
        match = request.resolver_match
        here = match is not None and str(match.url_name).startswith(f"{self.opts.app_label}_{self.opts.model_name}_")
        return not here and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or self.has_revoke_permission(request)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """As an action's ``permissions`` asks for it."""
        codename = get_permission_codename("change", self.opts)
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))

    @admin.action(description="Revoke the selected sessions", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[JWTConnectAuthToken]) -> None:
        try:
            number = issuing.revoke_rows(queryset)
        except (GrantError, ConfigurationError) as error:
            reason = error.description if isinstance(error, GrantError) else str(error)
            self.message_user(request, f"Not all could be revoked. {reason}", messages.ERROR)
        else:
            self.message_user(request, f"{number} revoked.", messages.SUCCESS)
