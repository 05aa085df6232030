"""Is a verified token revoked? Asked in place where the list answers from memory, else in a thread of our own."""

from __future__ import annotations

import logging
from functools import partial

from ._seldom import Seldom
from .errors import RevocationUnavailable, Revoked
from .revocation import Replica, RevocationLookup
from .token import AccessToken
from .verifier import Verified

_THREADS, _WAITING = 4, 256
_PATIENCE = 2.0

_log = logging.getLogger("jwtconnect_mw")


class LookUpWanted(Exception):  # a turn of the flow, not an error
    """The verdict hangs on a list that does I/O: await ``gate.apass_or_refuse(found.token, now)``, then conclude."""

    def __init__(self, gate: RevocationGate, found: Verified, value: str, is_new: bool, now: float) -> None:
        super().__init__()
        self.gate, self.found, self.value, self.is_new, self.now = gate, found, value, is_new, now


class RevocationGate:
    """Asks a revocation list for verified tokens. ``blocking``: whether a look-up may do I/O."""

    def __init__(self, revocations: RevocationLookup) -> None:
        self._revocations = revocations
        # Who does not say so may do I/O: a loop that stands still is worse than a hop too many.
        self.blocking = bool(getattr(revocations, "blocking", True))
        self._reported_irrevocable = False
        self._reports_itself, self._seldom = isinstance(revocations, Replica), Seldom(_log)
        if self.blocking:
            from ._waiting import Threads

            self._threads = Threads("revocation", _THREADS, _WAITING)

    def pass_or_refuse(self, token: AccessToken, now: float) -> None:
        """Raises Revoked, or RevocationUnavailable where the list cannot tell."""
        claims = token.claims
        token_id, session, subject = claims.get("jti"), claims.get("sid"), claims.get("sub")
        session = session if type(session) is str else None
        if token_id is None and session is None and subject is None and not self._reported_irrevocable:
            self._reported_irrevocable = True
            _log.warning("tokens of %r have no jti, sid or sub: they cannot be revoked", token.issuer)
        started = claims.get("auth_time", claims.get("iat"))
        started = started if type(started) is int or type(started) is float else None
        try:
            revoked = self._revocations.is_revoked(token.issuer, token_id, session, subject, started, now)
        except Exception as error:
            if not self._reports_itself:
                self._seldom.error("the revocation list cannot tell: %s", type(error).__name__)
            raise RevocationUnavailable(1) from None
        if revoked is not False:
            raise Revoked

    async def apass_or_refuse(self, token: AccessToken, now: float) -> None:
        """As ``pass_or_refuse``, without blocking the loop. A list that takes more than 2 s cannot tell."""
        from ._waiting import Busy

        try:
            await self._threads.run(partial(self.pass_or_refuse, token, now), _PATIENCE)
        except Busy:
            self._seldom.error("the revocation list is too slow, or too many requests wait for it")
            raise RevocationUnavailable(1) from None
