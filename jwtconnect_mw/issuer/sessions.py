"""Sessions: how one begins, and how its refresh tokens follow one another (RFC 9700 section 4.14.2)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigurationError
from ..revocation import RevocationList, Step, SubjectRevokedError
from ..revocation.protocol import KEEP_AFTER
from .clients import Clients
from .errors import (
    EarlyGrant,
    ExpiredGrant,
    InactiveSubject,
    InvalidClient,
    InvalidGrant,
    OtherClient,
    ReusedGrant,
    RevokedGrant,
    UnknownGrant,
)
from .hooks import Hooks, ask_list, list_failed
from .refresh import Grant, RefreshToken, RefreshTokens
from .settings import SKEW, Lifetimes

_REFUSALS: Mapping[str, type[InvalidGrant]] = {"revoked": RevokedGrant, "reuse": ReusedGrant}


class Sessions:
    """``alone``: a new session of a subject ends its earlier ones."""

    def __init__(
        self,
        revocations: RevocationList,
        tokens: RefreshTokens,
        clients: Clients,
        hooks: Hooks,
        lifetimes: Lifetimes,
        *,
        alone: bool,
    ) -> None:
        self._revocations, self._tokens, self._clients, self._hooks = revocations, tokens, clients, hooks
        self._lifetimes, self.alone = lifetimes, alone

    def start(self, issuer: str, subject: str, now: float) -> int:
        """The ``auth_time`` of a new session. Raises InactiveSubject and ServiceUnavailable."""
        return self._start(issuer, subject, alone=self.alone, expires_at=now + SKEW + self._lifetimes.family)

    def of_client(self, issuer: str, client_id: str) -> int:
        """The ``auth_time`` for a client itself, which has no session. Raises as ``start`` does."""
        return self._start(issuer, client_id, alone=False, expires_at=None)

    def _start(self, issuer: str, subject: str, *, alone: bool, expires_at: float | None) -> int:
        try:
            return self._revocations.start_family(issuer, subject, alone=alone, expires_at=expires_at)
        except SubjectRevokedError:
            raise InactiveSubject from None
        except Exception as error:
            raise list_failed(error) from None

    def first(self, grant: Grant, now: float) -> str:
        """The text of the first refresh token. Raises ConfigurationError if it would be too long."""
        try:
            return self._tokens.write(RefreshToken(grant, 0, int(now), self._end(grant, int(now))))
        except ValueError:
            raise ConfigurationError("claims", "the refresh token would be too long") from None

    def presented(self, text: str, client_id: str | None, now: float) -> tuple[RefreshToken, str]:
        """A refresh token, and the client that presents it. Nothing is changed by that.

        No leeway for the end: the issuer judges by the clock it issues by. A start that is a little ahead passes,
        because another host of the issuer may have given the token out this very moment.

        Raises InvalidGrant, and InvalidClient where the token's own client has to prove itself first.
        """
        token = self._tokens.read(text)
        if token.issued_at > now + SKEW:
            raise EarlyGrant
        if now >= min(token.expires_at, token.grant.ends):
            raise ExpiredGrant
        own = self._clients.find(token.grant.family.client_id)
        if own is None or (token.grant.confidential and not own.confidential):
            raise OtherClient  # its configuration changed: what it had to prove then, it cannot prove now
        if client_id is None and own.confidential:
            raise InvalidClient
        return token, own.client_id if client_id is None else client_id

    def spend(self, token: RefreshToken, presenting: str, now: float) -> tuple[str, bool]:
        """The text of the successor, and whether the token was spent just now, not before.

        The one step that changes anything. Another client's attempt is for the list to judge as well, because an old
        token in its hands is a stolen one. Raises InvalidGrant and ServiceUnavailable.
        """
        grant, issued = token.grant, int(now)
        step: Step = ask_list(
            self._revocations.advance,
            grant.family,
            token.sequence,
            client_id=presenting,
            issued_at=issued,
            expires_at=self._end(grant, issued),
            keep_until=grant.family_exp + KEEP_AFTER,
            now=now,
            grace=self._lifetimes.grace,
        )
        if step.answer == "reuse":
            self._hooks.tell("reuse", grant.family)
        if step.answer in _REFUSALS:
            raise _REFUSALS[step.answer]
        if presenting != grant.family.client_id:
            raise OtherClient
        if step.answer not in ("advanced", "again"):
            raise UnknownGrant
        successor = RefreshToken(grant, step.sequence, step.issued_at, step.expires_at)
        return self._tokens.write(successor), step.answer == "advanced"

    def is_unspent(self, token: RefreshToken) -> bool:
        """Whether it is the last one of its session. Raises ServiceUnavailable."""
        return ask_list(self._revocations.current, token.grant.family) == token.sequence

    def _end(self, grant: Grant, issued: int) -> int:
        return min(issued + self._lifetimes.refresh, grant.ends)
