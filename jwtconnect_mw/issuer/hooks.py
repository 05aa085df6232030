"""What the host says while tokens are handed out. A hook that fails stops its request, and no other; nothing of what it
was given or what it raised is logged but the kind of exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from .._checks import check_function
from .._seldom import Seldom
from ..revocation import Family
from .access import checked_claims
from .errors import GrantError, InactiveSubject, ServiceUnavailable

P = ParamSpec("P")
R = TypeVar("R")

ClaimsHook = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ActiveHook = Callable[[str], bool]
EventHook = Callable[[str, Mapping[str, Any]], object]

_log = logging.getLogger("jwtconnect_mw.issuer")
_seldom = Seldom(_log)


def failed(what: str, error: Exception) -> ServiceUnavailable:
    """Log that something that is not ours failed. Nothing is decided on a failure."""
    _log.error("%s failed: %s", what, type(error).__name__)  # its text may hold anything
    return ServiceUnavailable()


def list_failed(error: Exception) -> ServiceUnavailable:
    """As ``failed``, but an outage of the list concerns every request."""
    _seldom.error("the revocation list failed: %s", type(error).__name__)
    return ServiceUnavailable()


def ask_list(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the revocation list. Raises ServiceUnavailable for whatever it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise list_failed(error) from None


class Hooks:
    """The three hooks of an issuer. Raises ConfigurationError for one that cannot be called."""

    def __init__(self, claims: ClaimsHook | None, is_active: ActiveHook | None, on_event: EventHook | None) -> None:
        for field, hook in (("claims", claims), ("is_active", is_active), ("on_event", on_event)):
            if hook is not None:
                check_function(field, hook)
        self._claims, self._is_active, self._on_event = claims, is_active, on_event

    def require_active(self, subject: str) -> None:
        """Raises InactiveSubject, or ServiceUnavailable where the hook does not know."""
        if self._is_active is None:
            return
        try:
            active = self._is_active(subject)
        except Exception as error:
            raise failed("the is_active hook", error) from None
        if not active:
            raise InactiveSubject
        if active is not True:  # such as the coroutine of an async function, which says nothing
            raise failed("the is_active hook", TypeError())

    def claims(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """What is added to an access token. The hook sees a copy, so that it cannot change what the session carries.

        Raises ServiceUnavailable, and ConfigurationError for its answer. A GrantError of the hook, such as
        InactiveSubject, is its verdict.
        """
        if self._claims is None:
            return {}
        try:
            more = self._claims(MappingProxyType(deepcopy(known)))
        except GrantError:
            raise
        except Exception as error:
            raise failed("the claims hook", error) from None
        return checked_claims(more)

    def tell(self, event: str, family: Family) -> None:
        """Of what happened to a session; without one (client_credentials) ``session`` is None."""
        context = {"subject": family.subject, "client_id": family.client_id, "session": family.session or None}
        self.tell_of(event, context)

    def tell_of(self, event: str, context: Mapping[str, Any]) -> None:
        """Of what has happened: nothing can stop it any more."""
        if self._on_event is not None:
            try:
                self._on_event(event, context)
            except Exception as error:
                failed("the on_event hook", error)
