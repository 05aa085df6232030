"""What the issuer hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """An access token and, but for client_credentials, a refresh token. ``repr`` shows neither.

    ``expires_in``: seconds that the access token is good for. ``scope``: its scope. ``session``: the ``sid`` of both.
    """

    access_token: str
    refresh_token: str | None
    expires_in: int
    scope: str
    session: str | None
    token_type: str = "Bearer"  # noqa: S105  # the name of a type

    def to_dict(self) -> dict[str, Any]:
        """The members of a token response (RFC 6749 section 5.1); what there is not is left out."""
        answer: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        if self.scope:
            answer["scope"] = self.scope
        return answer

    def __repr__(self) -> str:
        return f"<Tokens expires_in={self.expires_in}>"
