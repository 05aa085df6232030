"""Who asks the issuer: clients and their authentication (RFC 6749 section 2.3)."""

from __future__ import annotations

import re
import secrets
from base64 import b64decode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote_plus

from ..errors import ConfigurationError
from ..rules import checked_scopes
from .errors import InvalidClient, InvalidRequest

LEAST_SECRET = 32
MOST_CREDENTIALS = 4096

_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")
_HASHED = re.compile(r"sha256:([0-9a-fA-F]{64})")
_BASIC = re.compile(r"basic +([a-z0-9+/]+={0,2})", re.IGNORECASE | re.ASCII)
_SETTINGS = frozenset({"secret", "audiences", "scopes"})


@dataclass(frozen=True, slots=True)
class Client:
    """A client. ``confidential``: it has a secret; a Client that ``authenticate`` gave has then proved it.

    ``audiences``: it may introspect tokens for these. ``scopes``: what it may ask for by client_credentials.
    """

    client_id: str
    confidential: bool
    audiences: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()


UNNAMED = Client("", False)
"""The caller that does not say which client it is: taken for a token's own client, if that has no secret."""


class Clients:
    """The clients of an issuer. ``repr`` shows none; of a secret only the SHA-256 is kept.

    ``clients``: client_id to its secret, or to a mapping with ``secret`` (without one the client is public),
    ``audiences`` and ``scopes``. A secret is 32 printable ASCII characters or more, or ``sha256:`` and its hex digest.
    ``default``: the client of tokens that are issued without one; public unless ``clients`` has it.

    None for ``clients``: nobody has a secret, and any client_id is that of a public client. Raises ConfigurationError.
    """

    def __init__(self, clients: Mapping[str, str | Mapping[str, Any]] | None, default: str) -> None:
        if not isinstance(default, str) or not _CLIENT_ID.fullmatch(default):
            raise ConfigurationError("default_client_id", "1 to 255 printable ASCII characters are needed")
        if clients is not None and not isinstance(clients, Mapping):
            raise ConfigurationError("clients", "a mapping from client_id to its settings is needed")
        self._closed = clients is not None
        self._clients = {default: Client(default, False)}
        self._digests: dict[str, bytes] = {}
        self._nobody = secrets.token_bytes(32)
        for client_id, settings in (clients or {}).items():
            self._add(client_id, settings)
        for client_id in self._clients:
            if unquote_plus(client_id) != client_id and unquote_plus(client_id) in self._clients:
                raise ConfigurationError("clients", f"{client_id!r} is the same as another when percent-decoded")

    def __repr__(self) -> str:
        return "<Clients>"

    @property
    def confidential(self) -> bool:
        """Whether any client has a secret."""
        return bool(self._digests)

    @property
    def public(self) -> bool:
        """Whether any client has none."""
        return not self._closed or len(self._digests) < len(self._clients)

    @property
    def scopes(self) -> frozenset[str]:
        """What clients may ask for by client_credentials, over all clients."""
        return frozenset().union(*(client.scopes for client in self._clients.values()))

    def find(self, client_id: str) -> Client | None:
        """The client of this name, whether or not it is the one that asks."""
        known = self._clients.get(client_id)
        if known is None and not self._closed and _CLIENT_ID.fullmatch(client_id):
            return Client(client_id, False)
        return known

    def authenticate(
        self, *, basic: str | None = None, client_id: str | None = None, client_secret: str | None = None
    ) -> Client | None:
        """The client of a request, None where it names none.

        ``basic``: the value of an Authorization header of scheme Basic, its user and password as they are or
        form-encoded (RFC 6749 section 2.3.1; clients do either). ``client_id``, ``client_secret``: from the body.
        Takes the same time for an unknown client and a wrong secret.

        Raises InvalidRequest (two methods at once, a secret without client_id) and InvalidClient.
        """
        if basic is None and client_id is None and client_secret is None:
            return None
        if basic is None:
            if client_id is None:
                raise InvalidRequest
            return self._proved([(client_id, client_secret or "")])
        if client_secret is not None:
            raise InvalidRequest
        client = self._proved(_credentials(basic))
        if client_id is not None and client_id != client.client_id:
            raise InvalidRequest
        return client

    def _proved(self, candidates: Iterable[tuple[str, str]]) -> Client:
        """The client that one of the credentials proves. An empty secret is none (RFC 6749 section 2.3.1)."""
        found: Client | None = None
        for client_id, secret in candidates:
            digest = sha256(secret.encode("utf-8", "surrogatepass")).digest()
            matches = compare_digest(digest, self._digests.get(client_id, self._nobody))
            client = self.find(client_id)
            if client is not None and (matches if client.confidential else not secret):
                found = client
        if found is None:
            raise InvalidClient
        return found

    def _add(self, client_id: object, settings: object) -> None:
        if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            raise ConfigurationError("clients", "a client_id is 1 to 255 printable ASCII characters")
        if isinstance(settings, str):
            settings = {"secret": settings}
        if not isinstance(settings, Mapping) or not _SETTINGS.issuperset(settings):
            raise ConfigurationError("clients", f"{client_id!r}: a secret, or secret, audiences and scopes, are needed")
        if "secret" in settings:
            self._digests[client_id] = _digest(client_id, settings["secret"])
        try:
            scopes = checked_scopes("clients", settings.get("scopes", ()))
        except (ConfigurationError, TypeError):
            raise ConfigurationError("clients", f"{client_id!r}: scopes is a collection of scopes") from None
        self._clients[client_id] = Client(
            client_id, "secret" in settings, _audiences(client_id, settings.get("audiences", ())), scopes
        )


def _digest(client_id: str, secret: object) -> bytes:
    if isinstance(secret, str):
        if secret.startswith("sha256:"):
            hashed = _HASHED.fullmatch(secret)
            if hashed:
                return bytes.fromhex(hashed[1])
        elif len(secret) >= LEAST_SECRET and _VSCHAR.fullmatch(secret):
            return sha256(secret.encode()).digest()
    problem = f"the secret is {LEAST_SECRET} or more printable ASCII characters, or sha256: and 64 hex digits"
    raise ConfigurationError("clients", f"{client_id!r}: {problem}")


def _audiences(client_id: str, audiences: object) -> frozenset[str]:
    if isinstance(audiences, (str, bytes)) or not isinstance(audiences, Collection):
        raise ConfigurationError("clients", f"{client_id!r}: audiences is a collection of strings")
    if not all(isinstance(name, str) and name for name in audiences):
        raise ConfigurationError("clients", f"{client_id!r}: each audience is a non-empty string")
    return frozenset(audiences)


def _credentials(basic: str) -> list[tuple[str, str]]:
    """What an Authorization value may mean: as it is (RFC 7617), and form-decoded (RFC 6749 section 2.3.1)."""
    match = _BASIC.fullmatch(basic.strip(" ")) if len(basic) <= MOST_CREDENTIALS else None
    try:
        text = b64decode(match[1], validate=True).decode("ascii") if match else ""
    except ValueError:
        text = ""
    client_id, colon, secret = text.partition(":")
    if not colon:
        raise InvalidClient
    return [(client_id, secret), (unquote_plus(client_id), unquote_plus(secret))]
