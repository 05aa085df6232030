"""The application as ``INSTALLED_APPS`` names it."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class JWTConnectConfig(AppConfig):
    name = "jwtconnect_mw.django"
    label = "jwtconnect_mw"
    verbose_name = "JWT access tokens"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Nothing is wired yet: settings are read when they are first needed."""
        from . import checks, conf, signals  # noqa: F401  # the checks register themselves
        from .revocations import birth

        post_migrate.connect(birth.begin, sender=self, dispatch_uid="jwtconnect_mw.birth")
        conf.follow_settings()
        signals.connect()
        if apps.is_installed("drf_spectacular"):
            from . import schema  # noqa: F401  # it registers itself
