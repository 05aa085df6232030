"""simplejwt's refresh and django-oauth-toolkit's introspection, on one SQLite file with the pragmas of our own list.

Django is configured once per process, by whoever asks first, and nearly by its defaults: it opens the database anew for
each request. With ``keep_connection`` it does not, as it may be told in its settings (CONN_MAX_AGE).
"""

from __future__ import annotations

import datetime
import json
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from .hosts import WSGIApp

REFRESH, INTROSPECT = "/refresh/", "/introspect/"
USER = "ada"
SETTINGS: dict[str, Any] = {
    "SECRET_KEY": secrets.token_hex(32),
    "ALLOWED_HOSTS": ["*"],
    "USE_TZ": True,
    "MIDDLEWARE": [],
    "ROOT_URLCONF": __name__,
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "INSTALLED_APPS": [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
        "oauth2_provider",
    ],
    "REST_FRAMEWORK": {
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    },
    # It signs by HS256, its default, which costs it least.
    "SIMPLE_JWT": {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True},
    "OAUTH2_PROVIDER": {"SCOPES": {"read": "Read", "introspection": "Introspect"}},
}
urlpatterns: list[Any] = []


@cache
def site(folder: Path) -> WSGIApp:
    """The WSGI application, its database made in ``folder``."""
    import django
    from django.conf import settings

    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "django.sqlite"),
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"},
    }
    settings.configure(DATABASES={"default": database}, **SETTINGS)
    django.setup()

    from django.contrib.auth import get_user_model
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command
    from django.db import connection
    from django.urls import path
    from oauth2_provider.views import IntrospectTokenView
    from rest_framework_simplejwt.views import TokenRefreshView

    urlpatterns[:] = [
        path(REFRESH[1:], TokenRefreshView.as_view()),
        path(INTROSPECT[1:], IntrospectTokenView.as_view()),
    ]
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        found = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    if found != ["wal", 2]:
        raise RuntimeError(f"Django's SQLite runs with {found}")
    get_user_model().objects.create_user(USER)
    app: WSGIApp = WSGIHandler()
    return app


def refresh_tokens(count: int) -> list[str]:
    from django.contrib.auth import get_user_model
    from rest_framework_simplejwt.tokens import RefreshToken

    user = get_user_model().objects.get(username=USER)
    return [str(RefreshToken.for_user(user)) for _ in range(count)]


def refresh_body(token: str) -> tuple[bytes, str]:
    return json.dumps({"refresh": token}).encode(), "application/json"


def access_tokens(count: int) -> tuple[str, list[str]]:
    """Who asks, and what it asks about."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone
    from oauth2_provider.models import get_access_token_model, get_application_model

    user = get_user_model().objects.get(username=USER)
    application = get_application_model().objects.create(
        client_type="confidential", authorization_grant_type="client-credentials", name="api", user=user
    )
    later = timezone.now() + datetime.timedelta(hours=1)

    def one(scope: str) -> str:
        token = secrets.token_urlsafe(32)
        get_access_token_model().objects.create(
            user=user, token=token, application=application, expires=later, scope=scope
        )
        return token

    return one("introspection"), [one("read") for _ in range(count)]


def keep_connection(keep: bool) -> None:
    """For the requests from now on."""
    from django.db import connection

    connection.settings_dict["CONN_MAX_AGE"] = None if keep else 0
    connection.close()
    if keep:
        connection.ensure_connection()


def close() -> None:
    """Before the folder goes."""
    keep_connection(False)
