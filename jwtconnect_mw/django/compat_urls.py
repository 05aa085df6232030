"""The endpoints of django-jwtconnect-auth: ``path("", include("jwtconnect_mw.django.compat_urls"))``.

Their names are ``jwtconnect_auth:token_refresh`` and ``jwtconnect_auth:token_introspection``.
"""

from __future__ import annotations

from django.urls import path

from . import compat_views

app_name = "jwtconnect_auth"
urlpatterns = [
    path("token/introspection", compat_views.token_introspection, name="token_introspection"),
    path("token/refresh", compat_views.token_refresh, name="token_refresh"),
]
