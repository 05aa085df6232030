"""A user that is made of a token alone: what views, templates and Django REST framework ask of ``request.user``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..token import AccessToken

_NAMES = ("username", "preferred_username", "sub")


class TokenUser:
    """Authenticated, active, and without any permission of Django's: those are what scopes are for.

    ``pk`` and ``id`` are the subject, so that throttles and logs tell users apart; it is no row. ``token``: the
    AccessToken. ``attributes``: claim to the name under which it is an attribute. Two are equal where issuer and
    subject are.
    """

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False
    last_login = None

    def __init__(self, token: AccessToken, attributes: Mapping[str, str]) -> None:
        self.token = token
        claims = token.claims
        self.pk = self.id = token.subject
        self.username = next((claims[name] for name in _NAMES if isinstance(claims.get(name), str)), "")
        self.first_name, self.last_name = _text(claims, "given_name"), _text(claims, "family_name")
        self.email = _text(claims, "email")
        for claim, attribute in attributes.items():
            if claim in claims and attribute not in _RESERVED:
                setattr(self, attribute, claims[claim])

    def __str__(self) -> str:
        return str(self.username)

    def __repr__(self) -> str:
        return "<TokenUser>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        """Tokens without a subject are nobody in particular: they are equal only to themselves."""
        return self.token.issuer, self.pk if self.pk is not None else id(self.token)

    def get_username(self) -> str:
        return str(self.username)

    def natural_key(self) -> tuple[str]:
        return (self.get_username(),)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return str(self.first_name)

    def has_perm(self, perm: str, obj: object = None) -> bool:  # noqa: ARG002  # as Django has it
        return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:  # noqa: ARG002  # as Django has it
        return not list(perm_list)

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002  # as Django has it
        return False

    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return self.has_perms(perm_list, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        return self.has_module_perms(app_label)

    def get_user_permissions(self, obj: object = None) -> set[str]:  # noqa: ARG002  # as Django has it
        return set()

    get_group_permissions = get_all_permissions = get_user_permissions

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """Stands in the place of what would need a row."""
        raise NotImplementedError("the user of a token is no row of a database")

    delete = set_password = check_password = save


_RESERVED = frozenset(dir(TokenUser)) | {"token", "pk", "id"}


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
