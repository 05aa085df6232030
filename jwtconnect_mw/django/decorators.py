"""Scopes that a view demands, as a decorator and as a mixin of class-based views; and views that need no token."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured

from ..errors import AuthError, InsufficientScope, NoCredentials
from ..rules import checked_scopes
from .conf import wiring
from .responses import to_django

PUBLIC = "jwtconnect_mw_public"
View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Let requests reach this view without a token, whatever the middleware thinks of the one they bring."""
    opened = _wrapped(view, lambda _: None)
    setattr(opened, PUBLIC, True)
    return opened


def scopes_required(*scopes: str) -> Callable[[View], View]:
    """A view, plain or ``async``, for tokens to which all of ``scopes`` were granted: else 403, without a token 401.

    Raises ConfigurationError for what is no scope, and ImproperlyConfigured at a request without the middleware.
    """
    needed = checked_scopes("scopes", scopes)

    def decorate(view: View) -> View:
        return _wrapped(view, lambda request: refused_for_scopes(request, needed))

    return decorate


def _wrapped(view: Any, refusal: Callable[[Any], Any]) -> Any:
    """A view of the same colour, before which ``refusal`` may answer. The view itself stays as it is."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def aguarded(request: Any, *args: Any, **kwargs: Any) -> Any:
            refused = refusal(request)
            return await view(request, *args, **kwargs) if refused is None else refused

        return aguarded

    @wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
        refused = refusal(request)
        return view(request, *args, **kwargs) if refused is None else refused

    return guarded


class ScopesRequiredMixin:
    """For class-based views, plain or ``async``, to the left of View: ``required_scopes`` are demanded of each."""

    required_scopes: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        refused = refused_for_scopes(request, checked_scopes("required_scopes", self.required_scopes))
        if refused is None:
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # of the View to the right

        async def answer() -> Any:
            return refused

        return answer() if getattr(self, "view_is_async", False) else refused


def refused_for_scopes(request: Any, needed: tuple[str, ...]) -> Any:
    """The answer to a request that lacks a token or a scope, else None. Raises ImproperlyConfigured."""
    try:
        token = request.jwt
    except AttributeError:
        problem = "A view demands scopes, but jwtconnect_mw.django.middleware.BearerMiddleware is not in MIDDLEWARE."
        raise ImproperlyConfigured(problem) from None
    if token is not None and token.has_scopes(*needed):
        return None
    error: AuthError = NoCredentials() if token is None else InsufficientScope(" ".join(dict.fromkeys(needed)))
    response = wiring().auth.refuse(error, method=request.META.get("REQUEST_METHOD"), path=request.path_info)
    return to_django(response, request.method)
