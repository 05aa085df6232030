from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from notes import views

urlpatterns = [
    path("", views.index),
    path("login", views.login),
    path("logout", views.logout),
    path("notes", views.notes),
    path("oauth/", include("jwtconnect_mw.django.urls")),  # token, introspect, revoke, jwks
    path("", include("jwtconnect_mw.django.well_known")),  # the metadata of the issuer
    path("", include("jwtconnect_mw.django.compat_urls")),  # token/refresh, token/introspection, as of old
    path("admin/", admin.site.urls),
]
