"""The settings of BearerAuth, looked at when it is built: each function raises ConfigurationError, naming the field."""

from __future__ import annotations

from ._checks import check_function, check_switch
from .errors import ConfigurationError
from .policy import TrustedIssuer


def check_issuers(issuers: tuple[object, ...]) -> None:
    """One policy or more, no two for one issuer."""
    if not issuers:
        raise ConfigurationError("issuers", "at least one TrustedIssuer is needed")
    names: set[str] = set()
    for policy in issuers:
        if not isinstance(policy, TrustedIssuer):
            raise ConfigurationError("issuers", "each must be a TrustedIssuer")
        if policy.issuer in names:
            raise ConfigurationError("issuers", f"two policies for {policy.issuer!r}")
        names.add(policy.issuer)


def check_leniency(optional: object, preflight: object) -> None:
    """What is let through without a good token."""
    if optional not in ("no", "missing", "invalid"):
        raise ConfigurationError("optional", 'one of "no", "missing", "invalid"')
    check_switch("preflight", preflight)


def check_remote_user(remote_user: object, issuers: int) -> None:
    """True only where one issuer's subjects are meant."""
    if not isinstance(remote_user, bool) and not callable(remote_user):
        raise ConfigurationError("remote_user", "True, False or a function is needed")
    if callable(remote_user):
        check_function("remote_user", remote_user)
    if remote_user is True and issuers > 1:
        raise ConfigurationError("remote_user", "with several issuers a function is needed: subjects may collide")


def check_cache_size(size: object) -> None:
    """In tokens."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ConfigurationError("cache_size", "a number of tokens, 0 or more, is needed")


def check_revocations(revocations: object) -> None:
    """A list, or None."""
    if revocations is None:
        return
    look_up = getattr(revocations, "is_revoked", None)
    if isinstance(revocations, type) or look_up is None:
        raise ConfigurationError("revocations", "a revocation list, not a class, is needed")
    check_function("revocations", look_up)


def check_hooks(**hooks: object) -> None:
    """Functions, or None."""
    for field, hook in hooks.items():
        if hook is not None:
            check_function(field, hook)


def check_header_texts(**texts: object) -> None:
    """What is to stand in a header, or None."""
    for field, value in texts.items():
        if value is not None and not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ConfigurationError(field, "printable ASCII is needed: it stands in a header")
