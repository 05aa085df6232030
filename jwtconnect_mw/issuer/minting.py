"""Puts an access token together: claims of the issuer, of the session, of the hook (RFC 9068 section 2.2)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigurationError
from .access import Signer, signed
from .errors import ServiceUnavailable
from .hooks import Hooks

_log = logging.getLogger("jwtconnect_mw.issuer")


class Mint:
    """``signer``: gives the key that signs now. ``lifetime``: of access tokens, in seconds."""

    def __init__(self, issuer: str, signer: Callable[[], Signer], hooks: Hooks, lifetime: int) -> None:
        self._issuer, self._signer, self._hooks, self._lifetime = issuer, signer, hooks, lifetime

    def claims(
        self,
        subject: str,
        client_id: str,
        audience: tuple[str, ...],
        scope: str,
        session: str | None,
        carried: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The claims that do not depend on the time. The hook is asked; it may replace what the session carries.

        Raises ServiceUnavailable, and ConfigurationError for what the hook answers.
        """
        claims: dict[str, Any] = {
            **carried,
            "iss": self._issuer,
            "sub": subject,
            "aud": audience[0] if len(audience) == 1 else audience,
            "client_id": client_id,
        }
        if scope:
            claims["scope"] = scope
        if session is not None:
            claims["sid"] = session
        claims.update(self._hooks.claims(claims))
        return claims

    def token(self, claims: dict[str, Any], now: float, ends: float) -> tuple[str, int]:
        """The text of the token, which is never good beyond ``ends``, and for how many seconds it is good.

        Raises ConfigurationError if it would be longer than verifiers read.
        """
        issued = int(now)
        expires = int(min(issued + self._lifetime, ends))
        claims.update(jti=secrets.token_hex(16), iat=issued, exp=expires)
        return signed(claims, self._signer()), expires - issued


@contextmanager
def serving() -> Iterator[None]:
    """While somebody else's request is served, a hook's answer that cannot be used is for the log of the host."""
    try:
        yield
    except ConfigurationError as error:
        _log.error("%s", error)  # it names a claim, no value; the traceback would add nothing
        raise ServiceUnavailable from None
