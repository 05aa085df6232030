"""The verified token as a value, shared between requests and therefore read-only all the way down."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import MalformedToken


class Claims(dict[str, Any]):
    """A dict that refuses to be changed. Lists inside are tuples, objects inside are Claims; json.dumps takes it."""

    __slots__ = ()

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Stands in the place of every method that changes a dict."""
        raise TypeError("the claims of a verified token are read-only; token.to_dict() gives a copy")

    def __copy__(self) -> Claims:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Claims:
        return self

    def __reduce__(self) -> tuple[type[Claims], tuple[dict[str, Any]]]:
        return Claims, (dict(self),)


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(Claims, _name, Claims.refuse)


def _freeze(container: Any) -> Any:
    if type(container) is list:
        return tuple([_freeze(member) if type(member) in _CONTAINERS else member for member in container])
    _freeze_members(container)
    return container


def freeze_lists(claims: Claims) -> None:
    """Make tuples of the lists, at every level: the last change before claims are handed on.

    Raises MalformedToken where the stack is nearly full: the nesting of a token must not depend on who calls.
    """
    try:
        _freeze_members(claims)
    except RecursionError:
        raise MalformedToken from None


def _freeze_members(claims: Claims) -> None:
    for name, value in claims.items():
        kind = type(value)
        if kind is list or kind is Claims:
            dict.__setitem__(claims, name, _freeze(value))


_CONTAINERS = frozenset({list, Claims})


def _thaw(value: Any) -> Any:
    if isinstance(value, Claims):
        return {name: _thaw(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [_thaw(member) for member in value]
    return value


class AccessToken:
    """A verified access token: its claims, and what frameworks ask of a user and of its permissions.

    Starlette's ``request.user`` and ``request.auth`` are this value; ``repr`` shows no claim.
    """

    __slots__ = ("claims", "issuer", "scopes")

    claims: Claims
    issuer: str
    scopes: frozenset[str]

    def __init__(self, claims: Claims, issuer: str, scopes: frozenset[str]) -> None:
        _put_claims(self, claims)
        _put_issuer(self, issuer)
        _put_scopes(self, scopes)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("an AccessToken is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("an AccessToken is read-only")

    def __repr__(self) -> str:
        return "<AccessToken>"

    def __reduce__(self) -> tuple[Any, ...]:
        return AccessToken, (self.claims, self.issuer, self.scopes)

    @property
    def subject(self) -> str | None:
        """The ``sub`` claim (RFC 7519 section 4.1.2)."""
        return self.claims.get("sub")

    @property
    def client_id(self) -> str | None:
        """The ``client_id`` claim (RFC 8693 section 4.3)."""
        return self.claims.get("client_id")

    @property
    def token_id(self) -> str | None:
        """The ``jti`` claim (RFC 7519 section 4.1.7)."""
        return self.claims.get("jti")

    @property
    def expires_at(self) -> float:
        """The ``exp`` claim, in seconds since the epoch."""
        expires: float = self.claims["exp"]
        return expires

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        """The subject, or the empty string."""
        return self.claims.get("sub", "")  # type: ignore[no-any-return]  # the verifier lets only a string through

    display_name = identity

    def has_scopes(self, *scopes: str) -> bool:
        """Whether every one of ``scopes`` was granted."""
        return self.scopes.issuperset(scopes)

    def to_dict(self) -> dict[str, Any]:
        """A fresh, mutable copy of the claims, with lists as lists."""
        copied: dict[str, Any] = _thaw(self.claims)
        return copied


# The slots themselves, past the __setattr__ that refuses.
_put_claims, _put_issuer, _put_scopes = (AccessToken.__dict__[name].__set__ for name in ("claims", "issuer", "scopes"))


class Anonymous:
    """Who is there when no token is: ``scope["user"]`` and ``scope["auth"]`` without credentials."""

    __slots__ = ()
    scopes: frozenset[str] = frozenset()
    is_authenticated = False
    identity = display_name = ""

    def __repr__(self) -> str:
        return "<Anonymous>"


ANONYMOUS = Anonymous()
