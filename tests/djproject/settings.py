"""Settings of the test project. DJPROJECT_DATABASE: the settings of the default database, as JSON; else an SQLite file
that ends with the process.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

if "DJPROJECT_DATABASE" in os.environ:
    _default = json.loads(os.environ["DJPROJECT_DATABASE"])
else:
    _place = tempfile.mkdtemp(prefix="djproject-")
    _owner = os.getpid()
    atexit.register(lambda: os.getpid() == _owner and shutil.rmtree(_place, ignore_errors=True))
    _default = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(_place) / "db.sqlite3"),
        "OPTIONS": {"timeout": 60},
    }

if _default["ENGINE"].endswith("mysql") and importlib.util.find_spec("MySQLdb") is None:
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for that of mysqlclient
    pymysql.install_as_MySQLdb()

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "UTC"  # Django sets that of the whole process
DATABASES = {"default": _default}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "jwtconnect_mw.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.djproject.urls"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "static/"
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
