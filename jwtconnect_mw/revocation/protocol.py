"""What a revocation list promises to those who ask it, and to the issuer that writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

KEEP_AFTER = 300 + 60
"""Seconds that an entry outlives the last ``exp`` it can meet: the greatest leeway and the clock skew of hosts."""
FAMILY_LIFETIME = 30 * 86_400
"""Seconds from the start of a session to its absolute end."""


class RevocationLookup(Protocol):
    """Revoked tokens, sessions and subjects, each of one issuer: all that a middleware needs of a list."""

    def is_revoked(
        self,
        issuer: str,
        token_id: str | None,
        session: str | None,
        subject: str | None,
        started: float | None,
        now: float,
    ) -> bool:
        """Whether a token with these ``jti``, ``sid`` and ``sub`` claims is revoked.

        ``started``: its ``auth_time``, else its ``iat``; None counts as long ago. ``now``: seconds since the epoch.
        Whatever is raised here makes the request fail with 503.
        """
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """A session and all refresh tokens of it, as each of them tells it.

    ``session``: their ``sid``. ``client_id``: whom they were issued to. ``started``: their ``auth_time``, seconds.
    """

    issuer: str
    session: str
    subject: str
    client_id: str
    started: int


Answer = Literal["advanced", "again", "reuse", "revoked", "unknown"]


@dataclass(frozen=True, slots=True)
class Step:
    """What ``advance`` answers. With "advanced" and "again", the identity of the successor: its sequence number, and
    its ``iat`` and ``exp`` in seconds.
    """

    answer: Answer
    sequence: int = 0
    issued_at: int = 0
    expires_at: int = 0


class SubjectRevokedError(ValueError):
    """No family of this subject can start now: it is revoked well beyond this moment."""

    def __init__(self) -> None:
        super().__init__("the subject is revoked for some time to come")


class RevocationList(RevocationLookup, Protocol):
    """What an issuer needs of a list as well. Every method is safe for threads and takes effect at once, or raises.

    ``blocking``: whether a look-up does I/O, so that ASGI asks in a thread. ``shared``: whether other processes see it.
    Entries end by themselves: ``expires_at`` is the greatest ``exp`` that one can meet, in seconds, and KEEP_AFTER is
    added to it; where it is not known, FAMILY_LIFETIME from now is taken. An entry never ends sooner than it was to.
    A time that is not a number raises ValueError.
    A list has a birth: before that second it knows nothing, because it lives in memory or its data is new.
    """

    @property
    def blocking(self) -> bool: ...

    @property
    def shared(self) -> bool: ...

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: float | None = None) -> None:
        """Refuse the token with this ``jti``."""
        ...

    def revoke_session(self, issuer: str, session: str, *, expires_at: float | None = None) -> None:
        """Refuse every token with this ``sid``, and never advance its family."""
        ...

    def revoke_subject(
        self, issuer: str, subject: str, *, before: float | None = None, expires_at: float | None = None
    ) -> None:
        """Refuse every token of ``subject`` whose family started before ``before`` (default: now).

        A whole second takes in the tokens of that second, because the claims it is compared with are rounded down.
        Without ``before``, every family that ``start_family`` has started is taken in, also one ahead of the clock.
        """
        ...

    def start_family(self, issuer: str, subject: str, *, alone: bool = False, expires_at: float | None = None) -> int:
        """The ``auth_time`` of a new family: this second, or the first that no revocation of the subject takes in.

        ``alone``: every family of the subject that started earlier is revoked in the same step, so that of several
        calls at once the last one's family is good and no other. ``expires_at``: of that entry.
        Raises SubjectRevokedError where that would be more than a minute from now.
        """
        ...

    def advance(
        self,
        family: Family,
        presented: int,
        *,
        client_id: str,
        issued_at: int,
        expires_at: int,
        keep_until: float,
        now: float,
        grace: float,
    ) -> Step:
        """One atomic step: the refresh token number ``presented`` of ``family`` is presented by ``client_id``.

        In this order: "revoked", if the session or the subject is; "unknown" (no effect), if the list is younger than
        the family, if ``presented`` is ahead of the record, or if another client presents the current number;
        "advanced", for the current number: ``issued_at`` and ``expires_at`` of its successor are stored; "again", for
        the number before it by the same client within ``grace`` seconds of its first advance: the stored successor;
        else "reuse", and the session is revoked in the same step. No record means number 0. The record and that
        revocation are kept until ``keep_until`` (seconds, margin included), never shorter than told before.
        ``revocation.rotation.decide`` is this rule, for every backend.
        """
        ...

    def current(self, family: Family) -> int | None:
        """The number of the family's current refresh token; None where ``advance`` would say "unknown" to all."""
        ...

    def purge(self, now: float, limit: int = 1000) -> int:
        """Drop at most ``limit`` entries and records whose end has come; how many were looked at."""
        ...
