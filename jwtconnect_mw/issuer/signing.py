"""What an issuer needs of its keys, whatever they are: see SigningKeys in ``keys``, and SharedSecret in ``shared``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .keyring import KeyInfo, RefreshSecret


class Signer(Protocol):
    """A key that signs access tokens."""

    def sign_access_token(self, claims: Mapping[str, Any]) -> str: ...


class IssuerKeys(Protocol):
    """``trusted()``: what a TrustedIssuer needs in order to verify what these keys sign."""

    def signer(self) -> Signer: ...

    def key_set(self) -> dict[str, Any]: ...

    def trusted(self) -> dict[str, Any]: ...

    def refresh_secrets(self) -> tuple[RefreshSecret, ...]: ...

    def list(self) -> tuple[KeyInfo, ...]: ...

    def rotate(self, *, at_once: bool = False) -> str: ...

    def drop(self, kid: str) -> None: ...

    def watch(self, callback: Callable[[], object]) -> None: ...

    @property
    def shared(self) -> bool: ...

    @property
    def longest_lifetime(self) -> float: ...
