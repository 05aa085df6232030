"""Settings of the demo. Two variables of the environment change them, for those whom the defaults do not suit.

DEMO_DATA: the folder of the database and the key file, else this project's own. DEMO_URL: where it is served.
"""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DEMO_DATA", HERE))
URL = os.environ.get("DEMO_URL", "http://127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "jwtconnect_mw.django",
    "notes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "jwtconnect_mw.django.middleware.BearerMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
JWTCONNECT_MW = {
    "issuer": {
        "issuer": URL,
        "audience": f"{URL}/notes",
        "keys": DATA / "issuer-keys.json",  # made on first use
    },
    "user": "database",  # request.user is a row, to which notes can belong
    "public": ["/admin", "/static"],  # the admin has sessions
    "revoke_on_password_change": True,
    "revoke_on_deactivation": True,
    "update_last_login": True,
}

# What follows is as any project has it.
SECRET_KEY = "of a demo that is served on this machine only"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "project.urls"
STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "db.sqlite3"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
