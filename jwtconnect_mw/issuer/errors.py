"""Why an issuer refuses a request, as one tree (RFC 6749 section 5.2, RFC 7009 section 2.2.1, RFC 8707 section 2).

    GrantError
    ├── InvalidRequest         400 invalid_request         invalid_request
    ├── InvalidClient          401 invalid_client          invalid_client
    ├── InvalidGrant           400 invalid_grant           invalid_grant
    │   ├── MalformedGrant                                 malformed
    │   ├── UnverifiedGrant                                bad_signature
    │   ├── OtherIssuer                                    other_issuer
    │   ├── ExpiredGrant                                   expired
    │   ├── EarlyGrant                                     issued_in_future
    │   ├── RevokedGrant                                   revoked
    │   ├── ReusedGrant                                    reuse
    │   ├── UnknownGrant                                   unknown
    │   ├── OtherClient                                    other_client
    │   └── InactiveSubject                                inactive_subject
    ├── InvalidScope           400 invalid_scope           invalid_scope
    ├── InvalidTarget          400 invalid_target          invalid_target
    ├── UnauthorizedClient     400 unauthorized_client     unauthorized_client
    ├── UnsupportedGrantType   400 unsupported_grant_type  unsupported_grant_type
    ├── UnsupportedTokenType   400 unsupported_token_type  unsupported_token_type
    └── ServiceUnavailable     503 temporarily_unavailable unavailable

``error`` and ``description`` are for the client; ``reason`` is finer, stable, and for logs and audit. All are
constants: nothing of a token, of a secret or of a backend's message ever stands in one.
"""

from __future__ import annotations

from typing import ClassVar


class GrantError(Exception):
    """A request to the issuer was refused. Only subclasses are raised."""

    status: ClassVar[int] = 400
    error: ClassVar[str] = "invalid_request"
    reason: ClassVar[str] = "refused"
    description: ClassVar[str] = "The request was refused."

    def __str__(self) -> str:
        return self.description


class InvalidRequest(GrantError):
    reason = "invalid_request"
    description = "The request is malformed."


class InvalidClient(GrantError):
    status = 401
    error = "invalid_client"
    reason = "invalid_client"
    description = "The client is unknown or was not authenticated."


class InvalidGrant(GrantError):
    error = "invalid_grant"
    reason = "invalid_grant"
    description = "The refresh token is not valid."


class MalformedGrant(InvalidGrant):
    reason = "malformed"


class UnverifiedGrant(InvalidGrant):
    """No refresh secret of this issuer made the signature; an access token ends here as well."""

    reason = "bad_signature"


class OtherIssuer(InvalidGrant):
    """Another issuer that has the same refresh secret made it."""

    reason = "other_issuer"


class ExpiredGrant(InvalidGrant):
    reason = "expired"
    description = "The refresh token expired."


class EarlyGrant(InvalidGrant):
    reason = "issued_in_future"


class RevokedGrant(InvalidGrant):
    reason = "revoked"
    description = "The session was revoked."


class ReusedGrant(InvalidGrant):
    """A refresh token that was spent before: its session is revoked from now on (RFC 9700 section 4.14.2)."""

    reason = "reuse"
    description = "The session was revoked."


class UnknownGrant(InvalidGrant):
    """The revocation list does not know the session, or not as far: data was lost."""

    reason = "unknown"


class OtherClient(InvalidGrant):
    """It was issued to another client, or to one that is no longer configured as it was."""

    reason = "other_client"


class InactiveSubject(InvalidGrant):
    """The hook or the revocation list says that the subject may have no session."""

    reason = "inactive_subject"
    description = "The subject is not active."


class InvalidScope(GrantError):
    error = "invalid_scope"
    reason = "invalid_scope"
    description = "The scope is malformed or exceeds what was granted."


class InvalidTarget(GrantError):
    error = "invalid_target"
    reason = "invalid_target"
    description = "The requested audience is not one of this issuer."


class UnauthorizedClient(GrantError):
    error = "unauthorized_client"
    reason = "unauthorized_client"
    description = "The client may not use this grant type."


class UnsupportedGrantType(GrantError):
    error = "unsupported_grant_type"
    reason = "unsupported_grant_type"
    description = "The grant type is not supported."


class UnsupportedTokenType(GrantError):
    error = "unsupported_token_type"
    reason = "unsupported_token_type"
    description = "Tokens of this type cannot be revoked."


class ServiceUnavailable(GrantError):
    """The revocation list or a hook failed: nothing is decided. The log says which."""

    status = 503
    error = "temporarily_unavailable"
    reason = "unavailable"
    description = "The request cannot be handled at the moment."
