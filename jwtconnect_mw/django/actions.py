"""What may be done to the tokens of a user, under its older name."""

from __future__ import annotations

from typing import Any

from . import issuing
from .recorded import unexpired


def remove_older_tokens(user: Any) -> int:
    """End all sessions of ``user`` but the newest; how many. Their rows stay, as revoked.

    Raises ServiceUnavailable, and ConfigurationError where the settings name no issuer.
    """
    rows = unexpired(user)
    newest = rows.first()
    return 0 if newest is None else issuing.revoke_rows(rows.exclude(sid=newest.sid))
