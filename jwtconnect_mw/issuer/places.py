"""Where the endpoints are: their paths below the mount point, and the URLs that the metadata tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError
from ..fetch import check_url
from ..keys.discovery import metadata_urls

DEFAULT_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "token": "/token",
        "introspection": "/introspect",
        "revocation": "/revoke",
        "jwks": "/jwks",
        "metadata": "/.well-known/oauth-authorization-server",
    }
)
# As servers hand it on: printable ASCII segments, none empty, "." or "..", no escape.
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[!$&-.0-;=@-\[\]_a-z~]+)+/?", re.IGNORECASE | re.ASCII)


class Places:
    """``paths``: endpoint to path below the mount point, or to None where it is not wanted; the rest keep their own.

    ``mount``: where the application is mounted, if not at the issuer's own URL: a path on the issuer's host, or a URL.
    Nothing of a request, such as Host, has a part in a URL. Raises ConfigurationError.
    """

    def __init__(self, issuer: str, paths: Mapping[str, str | None] | None, mount: str | None) -> None:
        self.paths = _paths(paths)
        self.urls: Mapping[str, str] = {}
        """The URLs of the endpoints, without that of the metadata; none where there is no metadata to tell them."""
        self.well_known: str | None = None
        """Where RFC 8414 section 3.1 wants the metadata: a path from the root of the host."""
        if "metadata" in self.paths:
            base = _base(issuer, mount)
            self.urls = {name: base + path for name, path in self.paths.items() if name != "metadata"}
            self.well_known = unquote(urlsplit(metadata_urls(issuer)[0]).path)


def _paths(given: Mapping[str, str | None] | None) -> dict[str, str]:
    given = {} if given is None else given
    unknown = set(given) - set(DEFAULT_PATHS)
    if unknown:
        raise ConfigurationError("paths", f"the endpoints are {', '.join(DEFAULT_PATHS)}")
    found = {name: path for name, path in {**DEFAULT_PATHS, **given}.items() if path is not None}
    for path in found.values():
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise ConfigurationError("paths", "each is a path in normal form, such as '/token', or None")
    if len(set(found.values())) < len(found):
        raise ConfigurationError("paths", "two endpoints have the same path")
    return found


def _base(issuer: str, mount: str | None) -> str:
    if mount is not None and not isinstance(mount, str):
        raise ConfigurationError("mount", "a path such as '/oauth', or a URL, is needed")
    where, field = (issuer, "issuer") if mount is None else (mount, "mount")
    if where.startswith("/"):
        if where != "/" and not _PATH.fullmatch(where):
            raise ConfigurationError("mount", "the path is not in normal form, such as '/oauth'")
        home = urlsplit(issuer)
        where, field = f"{home.scheme}://{home.netloc}{where}", "issuer"
    check_url(where, field, trust_http=False)
    if "?" in where:
        raise ConfigurationError(field, "a URL without a query is needed")
    return where.rstrip("/")
