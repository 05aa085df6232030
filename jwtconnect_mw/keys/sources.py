"""Where the keys of an issuer come from: given, a file, a JWKS URL. Reading one is the only thing a source does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from .._jose import KeySet, jwk_from_pem
from .._jwk import UnusableKeyError
from .._strict import json_object
from ..fetch import MAX_BODY, Fetch, Fetched, FetchError

MAX_KEYS = 64
SOFT_AGE, LEAST_SOFT_AGE, MOST_SOFT_AGE = 300.0, 60.0, 3600.0
COOLDOWN = 30.0
_PUBLISHED_AGE, _PUBLISHED_COOLDOWN = 5.0, 1.0  # seconds: nothing is fetched, and no change of a key file is missed
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?([0-9]{1,10})\"?\s*(?=,|$)", re.IGNORECASE)
_JSON_TYPE = re.compile(r"application/(?:[\w.!#$&^-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)

MakeKeySet = Callable[[Mapping[str, Any], bool], KeySet]
"""``make(jwks, remote)``: the keys of a JWK set that the policy of the issuer can use."""


class SourceError(Exception):
    """A source gave no usable keys. The text is constant and safe to log."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The keys that a source gave, and the seconds for which they are fresh."""

    keys: KeySet
    soft_age: float


class Source(Protocol):
    """``static`` sources never change; what is not ``remote`` is read at once when an application is built.
    ``cooldown``: seconds between two attempts to read one. ``at_hand``: reading does no I/O to speak of, so that a
    request may do it by itself.
    """

    static: ClassVar[bool]
    remote: ClassVar[bool]
    at_hand: ClassVar[bool]
    cooldown: ClassVar[float]

    def load(self, fetch: Fetch, timeout: float, now: float, /) -> Loaded: ...

    def watch(self, changed: Callable[[], None], /) -> None:
        """Call ``changed`` as soon as the source can tell that other keys would be loaded."""
        ...


class KeyPublisher(Protocol):
    """Who publishes keys in this process, such as an Issuer: ``key_set()`` is a public JWK set, ``watch(callback)``
    has the callback called after that set changed.
    """

    def key_set(self) -> Mapping[str, Any]: ...

    def watch(self, callback: Callable[[], object], /) -> None: ...


def usable(keys: KeySet) -> KeySet:
    """``keys``, or SourceError if none of them can verify: an empty set is an outage, not an order to forget."""
    if not keys.keys:
        raise SourceError("no usable key")
    return keys


class Unwatched:
    """What most sources have in common: they are read now and then, and cannot tell by themselves."""

    static: ClassVar[bool] = False
    remote: ClassVar[bool] = False
    at_hand: ClassVar[bool] = False
    cooldown: ClassVar[float] = COOLDOWN

    def watch(self, changed: Callable[[], None], /) -> None:
        """Nobody is told."""


class GivenSource(Unwatched):
    """Keys that were handed over."""

    static: ClassVar[bool] = True

    def __init__(self, keys: KeySet) -> None:
        self._keys = usable(keys)

    def load(self, _fetch: Fetch, _timeout: float, _now: float, /) -> Loaded:
        return Loaded(self._keys, float("inf"))


class PublishedSource:
    """The keys of a publisher in this process, which are read, not fetched."""

    static: ClassVar[bool] = False
    remote: ClassVar[bool] = False
    at_hand: ClassVar[bool] = True
    cooldown: ClassVar[float] = _PUBLISHED_COOLDOWN

    def __init__(self, publisher: KeyPublisher, make: MakeKeySet) -> None:
        self._publisher = publisher
        self._make = make

    def load(self, _fetch: Fetch, _timeout: float, _now: float, /) -> Loaded:
        return Loaded(usable(self._make(self._publisher.key_set(), True)), _PUBLISHED_AGE)

    def watch(self, changed: Callable[[], None], /) -> None:
        self._publisher.watch(changed)


class FileSource(Unwatched):
    """A file with a JWK set, a PEM key or a certificate, read again when its soft age is over."""

    def __init__(self, path: str | os.PathLike[str], make: MakeKeySet) -> None:
        self._path = os.path.abspath(path)  # the host may change its directory later
        self._make = make

    def load(self, _fetch: Fetch, _timeout: float, _now: float, /) -> Loaded:
        try:
            with open(self._path, "rb") as file:
                content = file.read(MAX_BODY + 1)
        except OSError:
            raise SourceError("the file cannot be read") from None
        if len(content) > MAX_BODY:
            raise SourceError("the file is too large")
        try:
            pem = content.lstrip().startswith(b"-----BEGIN")
            jwks = {"keys": [jwk_from_pem(content)]} if pem else json_object.read(content)
            return Loaded(usable(self._make(jwks, False)), SOFT_AGE)
        except UnusableKeyError as error:
            raise SourceError(str(error)) from None
        except ValueError:
            raise SourceError("the file is neither a JWK set nor PEM") from None


class UrlSource(Unwatched):
    """A JWKS URL, asked conditionally (RFC 9110 section 13.1) once it has answered, unless that failed."""

    remote: ClassVar[bool] = True

    def __init__(self, url: str, make: MakeKeySet) -> None:
        self.url = url
        self._make = make
        # One value, because a TrustedIssuer may serve two BearerAuths: else keys could meet the validators of others.
        self._known: tuple[KeySet, dict[str, str]] | None = None
        self._makes_conditions = True

    def load(self, fetch: Fetch, timeout: float, _now: float, /) -> Loaded:
        known = self._known
        try:
            document, age, validators = fetch_json(fetch, self.url, {} if known is None else known[1], timeout)
        except SourceError:
            if known is not None and known[1]:  # it may be the condition that the server fails at
                self._known, self._makes_conditions = (known[0], {}), False
            raise
        if document is None and known is not None:
            return Loaded(known[0], age)
        members = (document or {}).get("keys")
        if isinstance(members, list) and len(members) > MAX_KEYS:
            raise SourceError("too many keys")
        try:
            keys = usable(self._make(document or {}, True))
        except UnusableKeyError as error:
            raise SourceError(str(error)) from None
        self._known = keys, validators if self._makes_conditions else {}
        return Loaded(keys, age)


def fetch_json(
    fetch: Fetch, url: str, validators: Mapping[str, str], timeout: float
) -> tuple[dict[str, Any] | None, float, dict[str, str]]:
    """One GET of a JSON object: the document, its soft age in seconds, the validators for next time. The document is
    None for 304, which answers only those who sent validators.
    """
    try:
        answer = fetch(url, dict(validators), timeout)
    except FetchError as error:
        raise SourceError(str(error)) from None
    except BaseException:  # the thread is ours: neither an exit nor a cancelled task of the function's own ends it
        raise SourceError("the fetch function failed") from None
    age = soft_age(answer.headers)
    if answer.status == 304 and validators:  # else nobody asked whether it was modified
        return None, age, dict(validators)
    if answer.status != 200:
        raise SourceError(f"status {answer.status}")
    if not _JSON_TYPE.fullmatch(answer.headers.get("content-type", "").strip()):
        raise SourceError("the content type is not JSON")
    if len(answer.body) > MAX_BODY:
        raise SourceError("too large")
    try:
        document = json_object.read(answer.body)
    except ValueError:
        raise SourceError("not a JSON object") from None
    pairs = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
    return document, age, {wanted: answer.headers[given] for wanted, given in pairs if given in answer.headers}


def soft_age(headers: Mapping[str, str]) -> float:
    """How long an answer is fresh: Cache-Control max-age less Age (RFC 9111 section 4.2), within 60 s and 1 h."""
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    if found is None:
        return SOFT_AGE
    age = headers.get("age", "0").strip()
    elapsed = int(age) if age.isascii() and age.isdigit() and len(age) <= 10 else 0
    return min(max(float(int(found[1]) - elapsed), LEAST_SOFT_AGE), MOST_SOFT_AGE)


def no_fetch(_url: str, _headers: Mapping[str, str], _timeout: float) -> Fetched:
    """The ``fetch`` of sources that need none."""
    raise FetchError("nothing is fetched here")
