"""What tests of token pairs need: a project that issues them, users, and a database that is empty again afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .django_kit import AUDIENCE, ISSUER, SESSIONS, key, project

# Django's settings must be there first.
from django.contrib.auth import get_user_model  # isort: skip
from django.contrib.sessions.models import Session  # isort: skip

from jwtconnect_mw.django.conf import wiring
from jwtconnect_mw.django.issuers import ProjectIssuer
from jwtconnect_mw.django.models import JWTConnectAuthToken

from .djproject.databases import empty, migrate

MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"


@contextmanager
def issuing_project(issuer: Mapping[str, Any] | None = None, **more: Any) -> Iterator[ProjectIssuer]:
    """A project with an issuer and the list in its database. ``more``: other names of JWTCONNECT_MW."""
    migrate()
    own = {"issuer": ISSUER, "audience": AUDIENCE, "keys": {"keys": [key().private_jwk()]}, **(issuer or {})}
    with project({"issuer": own, **more}, middleware=[*SESSIONS, MESSAGES]):
        made = wiring().issuer
        assert made is not None
        yield made


def clean() -> None:
    migrate()
    empty("default")
    for model in (JWTConnectAuthToken, get_user_model(), Session):
        model.objects.all().delete()


def make_user(name: str = "alice", password: str = "first", **more: Any) -> Any:
    return get_user_model().objects.create_user(name, f"{name}@example.org", password, **more)
