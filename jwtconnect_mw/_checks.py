"""Settings of every room: each function raises ConfigurationError, naming the field."""

from __future__ import annotations

from inspect import iscoroutinefunction

from .errors import ConfigurationError


def check_function(field: str, function: object) -> None:
    """One that is called without ``await``: an async one would never run, and nobody would be told."""
    if not callable(function):
        raise ConfigurationError(field, "a function is needed")
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        raise ConfigurationError(field, "a plain function is needed: an async one would never run")


def check_switch(field: str, value: object) -> None:
    """A text such as "false" is true."""
    if not isinstance(value, bool):
        raise ConfigurationError(field, "True or False is needed")
