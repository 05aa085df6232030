"""The Django project of the tests. Django is configured once in a process: whoever needs it calls ``setup()``."""

from __future__ import annotations

import os

import django
from django import conf


def setup() -> None:
    # Not by the name "settings": that is a module of this package.
    if not conf.settings.configured:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.djproject.settings")
        django.setup()
