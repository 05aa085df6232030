"""The metadata of an issuer at the root of its host (RFC 8414 section 3.1), wherever its endpoints are included:
``path("", include("jwtconnect_mw.django.well_known"))`` in the project's own URLconf.
"""

from __future__ import annotations

from django.urls import re_path

from . import views

urlpatterns = [re_path(r"^\.well-known/oauth-authorization-server(?P<place>/.*)?$", views.well_known)]
