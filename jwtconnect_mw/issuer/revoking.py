"""Makes tokens, sessions and subjects end (RFC 7009), and tells the host of it."""

from __future__ import annotations

from ..revocation import RevocationList
from .clients import UNNAMED, Client, Clients
from .hooks import Hooks, ask_list
from .inspection import Found, identity, owner
from .refresh import RefreshToken
from .settings import SKEW, moment, text


class Revoking:
    """``family_lifetime``: the longest that a session lasts, in seconds; an entry is kept while it can be met."""

    def __init__(self, issuer: str, revocations: RevocationList, hooks: Hooks, family_lifetime: int) -> None:
        self._issuer, self._revocations, self._hooks = issuer, revocations, hooks
        self._longest = SKEW + family_lifetime

    def token(self, found: Found) -> None:
        """An access token ends itself, a refresh token its session."""
        token_id, session, subject, _ = identity(found)
        context = {"subject": subject, "client_id": owner(found), "session": session}
        if isinstance(found, RefreshToken):
            grant = found.grant
            ask_list(self._revocations.revoke_session, self._issuer, grant.family.session, expires_at=grant.ends)
        else:
            ask_list(self._revocations.revoke_token, self._issuer, token_id, expires_at=found.expires_at)
            context["token_id"] = token_id
        self._hooks.tell_of("revoked", context)

    def session(self, session: str, now: float) -> None:
        """All tokens of a session, by its ``sid``. Raises ConfigurationError."""
        text("session", session)
        ask_list(self._revocations.revoke_session, self._issuer, session, expires_at=now + self._longest)
        self._hooks.tell_of("revoked", {"session": session})

    def subject(self, subject: str, before: float | None, now: float) -> None:
        """All sessions of a subject that began before ``before``, in seconds. Raises ConfigurationError."""
        text("subject", subject)
        last = max(now, moment("before", before) if before is not None else now) + self._longest
        ask_list(self._revocations.revoke_subject, self._issuer, subject, before=before, expires_at=last)
        self._hooks.tell_of("revoked", {"subject": subject})


def may_revoke(caller: object, found: Found, clients: Clients) -> bool:
    """Whether a token was issued to the client that wants it to end, and the client proved what it had to prove."""
    own = owner(found)
    if caller is UNNAMED:
        caller = clients.find(own or "")
        if caller is not None and caller.confidential:
            return False  # it proved nothing
    if not isinstance(caller, Client):
        return False
    needs_proof = isinstance(found, RefreshToken) and found.grant.confidential
    return caller.client_id == own and (caller.confidential or not needs_proof)
