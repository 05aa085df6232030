"""Settings of every room: what must be called, and what is on or off."""

from __future__ import annotations

from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction

from .errors import ConfigurationError


def check_function(field: str, function: object) -> None:
    """One that is called without ``await``: an async one would never run, and nobody would be told.

    Raises ConfigurationError, naming the field.
    """
    if not callable(function):
        raise ConfigurationError(field, "a function is needed")
    if is_async(function):
        raise ConfigurationError(field, "a plain function is needed: an async one would never run")


def is_async(function: object) -> bool:
    """As far as can be seen before it is called."""
    while isinstance(function, partial):
        function = function.func
    called = type(function).__call__ if callable(function) else None
    try:
        return any(iscoroutinefunction(one) or isasyncgenfunction(one) for one in (function, called))
    except TypeError:  # a Mock that says it is a function
        return False


def check_switch(field: str, value: object) -> None:
    """A text such as "false" is true. Raises ConfigurationError, naming the field."""
    if not isinstance(value, bool):
        raise ConfigurationError(field, "True or False is needed")
