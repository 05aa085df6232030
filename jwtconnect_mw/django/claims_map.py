"""What is told of a user in tokens: attributes of the user, by the claims that they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..issuer.access import REGISTERED
from .problems import SettingProblem

USER_PK = "user_pk"
"""The claim of our own tokens with the primary key of the user, where the subject is another name of his: names are
given away and taken again."""

_WHERE = "JWTCONNECT_MW['claims_map'] (JWTAUTH_CLAIMS_MAP)"
RESERVED = REGISTERED | {"cnf", "at_hash", "c_hash", "events", "typ", "ttype", USER_PK}
"""The claims of a token that no attribute of the user becomes."""


class ClaimsMap:
    """``given``: from attribute of a user to claim. ``attributes``: the other way round. Raises SettingProblem."""

    def __init__(self, given: object) -> None:
        if not isinstance(given, Mapping):
            raise SettingProblem("E008", f"{_WHERE} is a dict from attribute of the user to claim.")
        for attribute, claim in given.items():
            if not (isinstance(attribute, str) and isinstance(claim, str) and attribute and claim):
                raise SettingProblem("E008", f"{_WHERE} is a dict from attribute of the user to claim.")
            if claim in RESERVED:
                raise SettingProblem("E008", f"{_WHERE}: {claim!r} is not a claim that may be set.")
        self._claims: dict[str, str] = dict(given)
        self.attributes = {claim: attribute for attribute, claim in self._claims.items()}

    def of(self, user: Any) -> dict[str, Any]:
        """The claims of a user; those that are empty are left out."""
        found = {claim: plain(_told(user, attribute)) for attribute, claim in self._claims.items()}
        return {claim: value for claim, value in found.items() if value not in (None, "")}

    def unknown(self, model: type) -> Iterator[str]:
        """The attributes that a user model does not have, as far as the class knows."""
        return (attribute for attribute in self._claims if not hasattr(model, attribute))


def plain(value: Any) -> Any:
    """What JSON can say as it is; the text of anything else, such as a UUID or a date."""
    return value if value is None or isinstance(value, (str, bool, int, float, list, dict)) else str(value)


def _told(user: Any, attribute: str) -> Any:
    """An attribute, or what a method such as ``get_full_name`` says."""
    value = getattr(user, attribute, None)
    return value() if callable(value) else value
