"""The endpoints of the issuer: ``path("oauth/", include("jwtconnect_mw.django.urls"))``, under any prefix."""

from __future__ import annotations

from django.urls import path

from ..issuer.places import DEFAULT_PATHS
from . import views

app_name = views.NAMESPACE
urlpatterns = [path(place.removeprefix("/"), getattr(views, name), name=name) for name, place in DEFAULT_PATHS.items()]
