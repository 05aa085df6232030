"""What is wrong with the settings: one exception, which a system check turns into an error with the same id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured

from ..errors import ConfigurationError


class SettingProblem(ImproperlyConfigured):
    """``id``: of the system check, such as "E003". The text names the setting; no key or secret is in it."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = f"jwtconnect_mw.{id}"


@contextmanager
def naming(id: str, where: str) -> Iterator[None]:
    """Turn what a constructor refuses into a SettingProblem that says in which setting to look."""
    try:
        yield
    except ConfigurationError as error:
        raise SettingProblem(id, f"{where}: {error}") from None
    except TypeError as error:  # a value of quite another kind than is expected
        raise SettingProblem(id, f"{where}: {error}.") from None
