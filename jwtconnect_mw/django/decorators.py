"""Scopes that a view demands, as a decorator and as a mixin of class-based views; and views that need no token."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.utils.cache import patch_vary_headers

from ..errors import AuthError, InsufficientScope, NoCredentials
from ..rules import checked_scopes
from .conf import wiring
from .responses import to_django

PUBLIC = "jwtconnect_mw_public"
View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Let requests reach this view without a token, whatever the middleware thinks of the one they bring.

    It may say something else to who brings one, so its answer varies with that.
    """
    return _marked(_wrapped(view, lambda _: None, varying))


def opened(view: View) -> View:
    """As ``public``, for a view that never looks at ``request.jwt``."""
    return _marked(_wrapped(view, lambda _: None))


def _marked(view: Any) -> Any:
    setattr(view, PUBLIC, True)
    return view


def scopes_required(*scopes: str) -> Callable[[View], View]:
    """A view, plain or ``async``, for tokens to which all of ``scopes`` were granted: else 403, without a token 401.

    Raises ConfigurationError for what is no scope, and ImproperlyConfigured at a request without the middleware.
    """
    needed = checked_scopes("scopes", scopes)

    def decorate(view: View) -> View:
        return _wrapped(view, lambda request: refused_for_scopes(request, needed), varying)

    return decorate


def varying(response: Any) -> Any:
    """Caches, Django's own too, must not give the answer to one bearer to another (RFC 9110 section 12.5.5). Said here
    already, because ``cache_page`` around a view has kept the answer before the middleware sees it.
    """
    patch_vary_headers(response, ("Authorization",))
    return response


def _as_it_is(response: Any) -> Any:
    return response


def _wrapped(view: Any, refusal: Callable[[Any], Any], finish: Callable[[Any], Any] = _as_it_is) -> Any:
    """A view of the same colour, before which ``refusal`` may answer. The view itself stays as it is."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def aguarded(request: Any, *args: Any, **kwargs: Any) -> Any:
            refused = refusal(request)
            return finish(await view(request, *args, **kwargs) if refused is None else refused)

        return aguarded

    @wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
        refused = refusal(request)
        return finish(view(request, *args, **kwargs) if refused is None else refused)

    return guarded


class ScopesRequiredMixin:
    """For class-based views, plain or ``async``, to the left of View: ``required_scopes`` are demanded of each."""

    required_scopes: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        refused = refused_for_scopes(request, checked_scopes("required_scopes", self.required_scopes))
        found = refused
        if refused is None:
            found = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # of the View to the right

        async def answer() -> Any:
            return varying(found if refused is not None else await found)

        return answer() if getattr(self, "view_is_async", False) else varying(found)


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
