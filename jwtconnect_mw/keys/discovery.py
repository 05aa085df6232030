"""From an issuer to its JWKS URL: RFC 8414, then OpenID Connect Discovery. Metadata only ever names a URL here."""

from __future__ import annotations

import time
from typing import ClassVar
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..fetch import Fetch, check_url
from .sources import Loaded, MakeKeySet, SourceError, Unwatched, UrlSource, fetch_json


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Where the metadata of an issuer is: RFC 8414 section 3.1, then OpenID Connect Discovery 1.0 section 4.1."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )


class DiscoverySource(Unwatched):
    """The keys of an issuer at the URL that its metadata names. Metadata is read again when its own age is over, or
    after a failure; while it cannot be had, the URL that it named last stays good.
    """

    remote: ClassVar[bool] = True

    def __init__(self, issuer: str, make: MakeKeySet, *, trust_http: bool) -> None:
        check_url(issuer, "issuer", trust_http=trust_http)
        if "?" in issuer:
            raise ConfigurationError("issuer", "a URL with a query is not an issuer (RFC 8414 section 2)")
        self._issuer = issuer
        self._urls = metadata_urls(issuer)
        self._make = make
        self._trust_http = trust_http
        self._source: UrlSource | None = None
        self._good_until = float("-inf")

    def load(self, fetch: Fetch, timeout: float, now: float, /) -> Loaded:
        until = time.monotonic() + timeout
        source = self._source
        if source is None or now >= self._good_until:
            source = self._discover(fetch, until, now)
        try:
            return source.load(fetch, _left(until), now)
        except Exception:
            self._good_until = float("-inf")
            raise

    def _discover(self, fetch: Fetch, until: float, now: float) -> UrlSource:
        if self._source is not None:  # metadata that does not come leaves time for the URL that is known
            until -= _left(until) / 2
        reasons: list[str] = []
        urls = self._urls
        for url in urls:
            try:
                jwks_uri, age = self._read(fetch, url, _left(until))
            except SourceError as error:
                reasons.append(str(error))
                continue
            if self._source is None or self._source.url != jwks_uri:
                self._source = UrlSource(jwks_uri, self._make)
            self._good_until, self._urls = now + age, metadata_urls(self._issuer)
            return self._source
        self._urls = urls[::-1]  # one that hangs took all the time: the other one has its turn
        if self._source is None:
            raise SourceError("discovery failed: " + ", then ".join(reasons))
        return self._source

    def _read(self, fetch: Fetch, url: str, timeout: float) -> tuple[str, float]:
        document, age, _ = fetch_json(fetch, url, {}, timeout)
        if document is None or document.get("issuer") != self._issuer:
            raise SourceError("the metadata is that of another issuer")
        jwks_uri = document.get("jwks_uri")
        try:
            parts = check_url(jwks_uri, "jwks_uri", trust_http=self._trust_http)
        except ConfigurationError as error:
            raise SourceError(str(error)) from None
        if parts.scheme == "http" and self._issuer.startswith("https:") and not self._trust_http:
            # What is remote must not send us to a service of this machine (RFC 8414 section 2 wants https).
            raise SourceError("jwks_uri: the issuer has https, its keys have not")
        return str(jwks_uri), age


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise SourceError("timed out")
    return left
