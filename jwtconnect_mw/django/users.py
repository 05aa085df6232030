"""Whose request it is: a value made of the claims, or a row of the user model; and what a user is in a token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, MultipleObjectsReturned, ObjectDoesNotExist, ValidationError
from django.db import DataError
from django.db import Error as DatabaseFailure

from .._checks import is_async
from ..errors import InactiveUser, Unavailable
from ..token import AccessToken
from .claims_map import RESERVED, USER_PK, ClaimsMap, plain
from .principal import TokenUser
from .problems import SettingProblem

# What a look-up raises for a value that no row can have: a word for a number, half a UUID, a NUL, a number too large.
_NO_SUCH_VALUE = (ValueError, TypeError, ValidationError, OverflowError, DataError, MultipleObjectsReturned)
_NOBODY = (ObjectDoesNotExist, *_NO_SUCH_VALUE)
RETRY_AFTER = 5  # seconds, for a database that does not answer


class Users:
    """``mode``: "stateless" or "database". ``claim``: the claim that names a user, ``lookup``: the field that it is
    compared with, or a function from a verified token to its user or None. Users of such a project have their primary
    key as the subject of its own tokens. ``claims_map``: see ClaimsMap. ``hashed``: the subject is a digest of the user
    name. ``lenient``: ``of`` gives None where it would raise. ``own``: the name of the issuer of the project.
    ``issuers``: those whose tokens name rows, None for all; the tokens of others are refused where rows are asked for.

    Raises SettingProblem.
    """

    def __init__(
        self,
        mode: object,
        claim: object,
        lookup: object,
        claims_map: object,
        *,
        hashed: bool,
        lenient: bool = False,
        own: object = None,
        issuers: object = None,
    ) -> None:
        if mode not in ("stateless", "database"):
            raise SettingProblem("E007", 'JWTCONNECT_MW[\'user\'] is "stateless" or "database".')
        self.function = _checked_function(lookup, mode) if callable(lookup) else None
        if self.function is not None:
            lookup = "pk"
        for name, value in (("user_claim", claim), ("user_lookup", lookup)):
            if not isinstance(value, str) or not value:
                raise SettingProblem("E007", f"JWTCONNECT_MW[{name!r}] is a non-empty string.")
        self.mode, self.claim, self.lookup, self.hashed = mode, str(claim), str(lookup), hashed
        if claim == USER_PK and lookup != "pk":
            raise SettingProblem("E007", f"JWTCONNECT_MW['user_lookup'] is \"pk\" where 'user_claim' is {USER_PK!r}.")
        if own is not None and claim in RESERVED - {"sub", USER_PK}:
            raise SettingProblem("E007", f"JWTCONNECT_MW['user_claim']: {claim!r} is not a claim that may be set.")
        if self.function is not None and claim not in ("sub", USER_PK if hashed else "sub"):
            problem = "JWTCONNECT_MW['user_claim'] is not looked at where 'user_lookup' is a function: leave it out."
            raise SettingProblem("E007", problem)
        self._lenient, self._own, self.issuers = lenient, own, _checked_issuers(issuers)
        self.claims_map = ClaimsMap(claims_map)
        if own is not None and self.claims_map.attributes.get(self.claim, self.lookup) != self.lookup:
            problem = f"JWTCONNECT_MW['claims_map']: {claim!r} is the user_claim, which is made of {lookup!r}."
            raise SettingProblem("E008", problem)
        self.model: Any = get_user_model()
        self._attribute = "pk"
        if self.lookup != "pk":
            try:
                self._attribute = self.model._meta.get_field(self.lookup).attname
            except FieldDoesNotExist:
                problem = f"JWTCONNECT_MW['user_lookup']: the user model has no field {self.lookup!r}."
                raise SettingProblem("E007", problem) from None

    def of(self, token: AccessToken) -> Any:
        """The user of a verified token. Raises InactiveUser, and Unavailable where the database does not answer."""
        if self.mode == "stateless":
            return self.stateless(token)
        try:
            return self.row(token)
        except InactiveUser:
            if self._lenient:
                return None
            raise

    async def aof(self, token: AccessToken) -> Any:
        """As ``of``, on an event loop."""
        if self.mode == "stateless":
            return self.stateless(token)
        try:
            if self.function is not None:
                # As Django does for its own look-ups: in the thread of the request, where its connections are.
                return await sync_to_async(self.row, thread_sensitive=True)(token)
            return await self.aload(self._naming_claims(token))
        except InactiveUser:
            if self._lenient:
                return None
            raise

    def stateless(self, token: AccessToken) -> TokenUser:
        return TokenUser(token, self.claims_map.attributes)

    def row(self, token: AccessToken) -> Any:
        """The row that a verified token names. Raises InactiveUser and Unavailable."""
        if self.function is None:
            return self.load(self._naming_claims(token))
        self._require_local(token)
        try:
            user = self.function(token)
        except _NOBODY:
            raise InactiveUser from None
        except DatabaseFailure:
            raise Unavailable(RETRY_AFTER) from None
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", True):
            raise InactiveUser
        return user

    def load(self, claims: Mapping[str, Any]) -> Any:
        """The row that claims of our own name, by one query. Raises InactiveUser and Unavailable."""
        model, value = self._asked(claims)
        try:
            return self._checked(model._default_manager.get(**{self.lookup: value}), value, claims)
        except (model.DoesNotExist, *_NO_SUCH_VALUE):
            raise InactiveUser from None
        except DatabaseFailure:
            raise Unavailable(RETRY_AFTER) from None

    async def aload(self, claims: Mapping[str, Any]) -> Any:
        """As ``load``, on an event loop."""
        model, value = self._asked(claims)
        try:
            return self._checked(await model._default_manager.aget(**{self.lookup: value}), value, claims)
        except (model.DoesNotExist, *_NO_SUCH_VALUE):
            raise InactiveUser from None
        except DatabaseFailure:
            raise Unavailable(RETRY_AFTER) from None

    def can_find(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claims hold what a user is found by."""
        return self.claim in claims and not (self.hashed and self.claim == "sub")

    def subject(self, user: Any) -> str:
        """The ``sub`` of a user's tokens: what ``load`` finds the user by, or the user name's digest."""
        if self.hashed:
            return sha256(str(user.get_username()).encode()).hexdigest()
        return str(getattr(user, self.lookup if self.claim == "sub" else "pk"))

    def naming(self, user: Any) -> dict[str, Any]:
        """The claims by which the user is found again and told from who is called the same later on; none where the
        subject is the primary key.
        """
        if self.claim == "sub":
            return {} if self.lookup == "pk" and not self.hashed else {USER_PK: str(user.pk)}
        return {self.claim: plain(getattr(user, self._attribute)), USER_PK: str(user.pk)}

    def _require_local(self, token: AccessToken) -> None:
        if self.issuers is not None and token.issuer not in self.issuers:
            raise InactiveUser

    def _naming_claims(self, token: AccessToken) -> dict[str, Any]:
        """What one issuer calls a subject may be the name of somebody else at another, and a client is no user: its
        own token, which has no session, may not pass for one. Raises InactiveUser.
        """
        self._require_local(token)
        if token.issuer == self._own and "sid" not in token.claims and token.subject == token.client_id:
            raise InactiveUser
        names = {self.claim, USER_PK} if token.issuer == self._own else {self.claim}
        return {name: token.claims[name] for name in names if name in token.claims}

    def _asked(self, claims: Mapping[str, Any]) -> tuple[Any, str | int]:
        value = claims.get(self.claim)
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise InactiveUser
        return self.model, value

    def _checked(self, user: Any, value: str | int, claims: Mapping[str, Any]) -> Any:
        """Databases and fields find more than what is equal: "01" is a 1 to them, and "ALICE" may be "alice". And who
        has the name now may be another than who had it when the session began.
        """
        if str(getattr(user, self._attribute)) != str(value) or not getattr(user, "is_active", True):
            raise InactiveUser
        if USER_PK in claims and str(claims[USER_PK]) != str(user.pk):
            raise InactiveUser
        return user


def _checked_function(function: Any, mode: object) -> Any:
    where = "JWTCONNECT_MW['user_lookup']"
    if mode != "database":
        raise SettingProblem("E007", f"{where}: a function is asked only where 'user' is \"database\".")
    if is_async(function):
        raise SettingProblem("E007", f"{where}: a plain function is needed, not an async one.")
    return function


def _checked_issuers(given: object) -> frozenset[str] | None:
    if given is None:
        return None
    if (
        not isinstance(given, Collection)
        or isinstance(given, (str, bytes))
        or not all(isinstance(name, str) for name in given)
    ):
        raise SettingProblem("E007", "JWTCONNECT_MW['user_issuers'] is a list of the names of issuers.")
    return frozenset(given)
