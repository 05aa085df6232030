"""Everything that can go wrong, as one tree; this module imports nothing of the package.

    ConfigurationError (ValueError)      refused when built; names the field
    AuthError                            refused while serving: status, error, reason, description
    ├── NoCredentials                401 (no code)             no_credentials
    ├── InvalidRequest               400 invalid_request
    │   ├── DuplicateCredentials                               duplicate_credentials
    │   ├── MalformedCredentials                               malformed_credentials
    │   └── CredentialsTooLarge                                credentials_too_large
    ├── InvalidToken                 401 invalid_token
    │   ├── MalformedToken                                     malformed_token
    │   ├── TokenTooLarge                                      token_too_large
    │   ├── UnacceptableHeader                                 unacceptable_header
    │   │   ├── AlgorithmNotAllowed                            algorithm_not_allowed
    │   │   └── WrongTokenType                                 wrong_token_type
    │   ├── UnknownKey                                         unknown_key
    │   ├── UnusableKey                                        unusable_key
    │   ├── BadSignature                                       bad_signature
    │   ├── MalformedClaim                                     malformed_claim
    │   ├── MissingClaim                                       missing_claim
    │   ├── UntrustedIssuer                                    untrusted_issuer
    │   ├── WrongAudience                                      wrong_audience
    │   ├── Expired                                            expired
    │   ├── NotYetValid                                        not_yet_valid
    │   ├── IssuedInFuture                                     issued_in_future
    │   ├── SenderConstrained                                  sender_constrained
    │   ├── Revoked                                            revoked
    │   └── InactiveUser                                       inactive_user
    ├── InsufficientScope            403 insufficient_scope    insufficient_scope
    └── Unavailable                  503 temporarily_unavailable
        ├── KeysUnavailable                                    keys_unavailable
        └── RevocationUnavailable                              revocation_unavailable

``error`` is the code of RFC 6750 section 3.1; ``reason`` is finer, stable, and safe to log; ``description`` is a
constant text: nothing of a token, a key or a library's message ever stands in one.
"""

from __future__ import annotations

from typing import ClassVar


class ConfigurationError(ValueError):
    """A setting was refused when the object was built. ``field`` is the name of the parameter."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class AuthError(Exception):
    """A request was refused. Only subclasses are raised; each is a constant but for the two that carry a value."""

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = None
    reason: ClassVar[str] = "refused"
    description: ClassVar[str] = "The request was refused."

    def __str__(self) -> str:
        return self.description


class NoCredentials(AuthError):
    reason = "no_credentials"
    description = "An access token is needed."


class InvalidRequest(AuthError):
    status = 400
    error = "invalid_request"
    reason = "invalid_request"
    description = "The request is malformed."


class DuplicateCredentials(InvalidRequest):
    reason = "duplicate_credentials"
    description = "The request carries more than one Authorization header."


class MalformedCredentials(InvalidRequest):
    reason = "malformed_credentials"
    description = "The Authorization header is malformed."


class CredentialsTooLarge(InvalidRequest):
    reason = "credentials_too_large"
    description = "The Authorization header is too large."


class InvalidToken(AuthError):
    error = "invalid_token"
    reason = "invalid_token"
    description = "The access token is not valid."


class MalformedToken(InvalidToken):
    reason = "malformed_token"
    description = "The access token is malformed."


class TokenTooLarge(InvalidToken):
    reason = "token_too_large"
    description = "The access token is too large."


class UnacceptableHeader(InvalidToken):
    reason = "unacceptable_header"
    description = "The header of the access token is not acceptable."


class AlgorithmNotAllowed(UnacceptableHeader):
    reason = "algorithm_not_allowed"
    description = "The signature algorithm of the access token is not allowed."


class WrongTokenType(UnacceptableHeader):
    reason = "wrong_token_type"
    description = "The token is not an access token."


class UnknownKey(InvalidToken):
    reason = "unknown_key"
    description = "The access token is not signed by a known key of a trusted issuer."


class UnusableKey(InvalidToken):
    reason = "unusable_key"
    description = "The key of the access token is not usable."


class BadSignature(InvalidToken):
    reason = "bad_signature"
    description = "The signature of the access token is not valid."


class MalformedClaim(InvalidToken):
    reason = "malformed_claim"
    description = "A claim of the access token is malformed."


class MissingClaim(InvalidToken):
    reason = "missing_claim"
    description = "A required claim is missing from the access token."


class UntrustedIssuer(InvalidToken):
    reason = "untrusted_issuer"
    description = "The issuer of the access token is not trusted."


class WrongAudience(InvalidToken):
    reason = "wrong_audience"
    description = "The access token is meant for another audience."


class Expired(InvalidToken):
    reason = "expired"
    description = "The access token expired."


class NotYetValid(InvalidToken):
    reason = "not_yet_valid"
    description = "The access token is not valid yet."


class IssuedInFuture(InvalidToken):
    reason = "issued_in_future"
    description = "The access token claims to have been issued in the future."


class SenderConstrained(InvalidToken):
    reason = "sender_constrained"
    description = "The access token is bound to a sender, which is not checked here."


class Revoked(InvalidToken):
    reason = "revoked"
    description = "The access token was revoked."


class InactiveUser(InvalidToken):
    """The host has no active user for the token: there is none, several fit, or it may not log in."""

    reason = "inactive_user"
    description = "The user of the access token is not active."


class InsufficientScope(AuthError):
    """The token is good but lacks a scope. ``scope``: what the request needs, space-separated (RFC 6750 section 3).

    Raises ValueError for what may not stand in a header.
    """

    status = 403
    error = "insufficient_scope"
    reason = "insufficient_scope"
    description = "The access token lacks a required scope."

    def __init__(self, scope: str) -> None:
        if not scope.isascii() or not scope.isprintable():
            raise ValueError("a scope is printable ASCII")
        super().__init__(scope)
        self.scope = scope


class Unavailable(AuthError):
    """The verdict cannot be had now. ``retry_after``: whole seconds until it is worth trying again."""

    status = 503
    error = "temporarily_unavailable"
    reason = "unavailable"
    description = "Access tokens cannot be checked at the moment."

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class KeysUnavailable(Unavailable):
    reason = "keys_unavailable"
    description = "The keys of the issuer cannot be had at the moment."


class RevocationUnavailable(Unavailable):
    reason = "revocation_unavailable"
    description = "The revocation list cannot be read at the moment."
