"""What goes wrong in a command, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from ...errors import ConfigurationError
from ...issuer import GrantError
from ...issuer.keyring import KeyChangeError

LARGEST_BATCH = 10_000
"""Rows: each is a parameter of a statement, of which databases take so many only."""


@contextmanager
def reported() -> Iterator[None]:
    """Raises CommandError for what the settings, the issuer or its keys refuse."""
    try:
        yield
    except (ConfigurationError, ImproperlyConfigured, KeyChangeError) as error:
        raise CommandError(str(error)) from None
    except GrantError as error:
        raise CommandError(error.description) from None


def batch_of(options: dict[str, Any]) -> int:
    """Raises CommandError."""
    batch: int = options["batch"]
    if not 1 <= batch <= LARGEST_BATCH:
        raise CommandError(f"--batch is a number of rows from 1 to {LARGEST_BATCH}")
    return batch


def user_named(name: str) -> Any:
    """Raises CommandError."""
    model = get_user_model()
    if "\0" not in name:  # PostgreSQL takes none, and an error there would end the transaction
        with suppress(model.DoesNotExist, ValueError):  # ValueError: a lone surrogate, which no database takes
            return model._default_manager.get_by_natural_key(name)
    raise CommandError("there is no such user")
