"""The application as ``INSTALLED_APPS`` names it."""

from __future__ import annotations

from django.apps import AppConfig


class JWTConnectConfig(AppConfig):
    name = "jwtconnect_mw.django"
    label = "jwtconnect_mw"
    verbose_name = "JWT access tokens"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import signals

        signals.connect()
