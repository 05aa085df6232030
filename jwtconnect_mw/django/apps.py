"""The application for INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig, apps


class JWTConnectConfig(AppConfig):
    """``"jwtconnect_mw.django"`` in INSTALLED_APPS finds it."""

    name = "jwtconnect_mw.django"
    label = "jwtconnect_mw"
    verbose_name = "JWT access tokens"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Nothing is wired yet: settings are read when they are first needed."""
        from . import checks, conf  # noqa: F401  # checks register themselves

        conf.follow_settings()
        if apps.is_installed("drf_spectacular"):
            from . import schema  # noqa: F401  # it registers itself
