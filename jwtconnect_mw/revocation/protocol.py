"""What a revocation list promises to those who ask it."""

from __future__ import annotations

from typing import Protocol

KEEP_AFTER = 300 + 60
"""Seconds that an entry outlives the last ``exp`` it can meet: the greatest leeway and the clock skew of hosts."""
FAMILY_LIFETIME = 30 * 86_400
"""Seconds from the start of a session to its absolute end."""


class RevocationList(Protocol):
    """Revoked tokens, sessions and subjects, each of one issuer. A look-up is local: it never waits."""

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
