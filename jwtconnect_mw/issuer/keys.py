"""The signing keys of an issuer and its refresh secret: made or loaded, rotated, published, shared by processes."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .._fork import watch_forks
from .._jose import SigningKey
from .._jwk import UnusableKeyError
from .._private import SIGNING_ALGORITHMS
from ..errors import ConfigurationError
from .keydoc import AlgorithmMismatch
from .keyfile import KeyFileError
from .keyring import KeyChangeError, KeyInfo, RefreshSecret
from .keystore import open_store

ALGORITHMS = tuple(alg for algs in SIGNING_ALGORITHMS.values() for alg in algs)

_log = logging.getLogger("jwtconnect_mw.issuer")


@dataclass(frozen=True, slots=True, repr=False)
class _View:
    """What is true from ``since`` until before ``until``, if nobody changes it. The signer is the first published."""

    published: tuple[SigningKey, ...]
    secrets: tuple[RefreshSecret, ...]
    since: float
    until: float


class SigningKeys:
    """The keys of an issuer. Safe for threads and after fork; ``repr`` shows no key.

    ``source``: None makes keys in memory, of one process. A path is the key file: one private JWK set, mode 0600, made
    on first use by exactly one of several processes, changed under a lock and as a whole, read again when it changes.
    A path may also be that of a PEM private key or of any private JWK set; these, PEM text, a JWK set as a mapping and
    a private key object of ``cryptography`` are only read: ``rotate`` and ``drop`` refuse, the first key signs, all
    are published, and without an oct key the refresh secret is derived from the private key. A certificate in the PEM
    must be that of the key.
    ``algorithm``: RS256, PS256, ES256 or EdDSA, of keys that are made (default ES256; in a file with keys, that of the
    present one), and what a loaded key must fit. Another one than the key file's takes effect with the next rotation.
    ``access_lifetime``: the longest, in seconds, of the tokens that the keys sign.
    ``clock``: seconds since the epoch.

    Raises ConfigurationError for ``keys``, ``algorithm``, ``access_lifetime``. A file that is missing or broken later
    changes nothing: what is known stays in use, and a log line says so once.
    """

    def __init__(
        self,
        source: object = None,
        *,
        algorithm: str | None = None,
        access_lifetime: float = 1800,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if algorithm is not None and algorithm not in ALGORITHMS:
            raise ConfigurationError("algorithm", f"one of {', '.join(ALGORITHMS)} is needed")
        number = isinstance(access_lifetime, (int, float)) and not isinstance(access_lifetime, bool)
        if not number or not 0 < access_lifetime < math.inf:
            raise ConfigurationError("access_lifetime", "a positive number of seconds is needed")
        self.access_lifetime, self._clock = access_lifetime, clock
        self.shared = source is not None
        """Whether other processes that are set up alike have the same keys."""
        self._watchers: list[Callable[[], Callable[[], object] | None]] = []
        self._lock = threading.Lock()
        now = clock()
        try:
            self._store = open_store(source, algorithm, access_lifetime, now)
        except AlgorithmMismatch as error:
            raise ConfigurationError("algorithm", str(error)) from None
        except (UnusableKeyError, KeyFileError) as error:
            raise ConfigurationError("keys", str(error)) from None
        self._view = self._seen(now)
        watch_forks(self)

    def signer(self) -> SigningKey:
        """The key that signs now. Takes no lock and does no I/O unless something is due."""
        return self._current().published[0]

    def key_set(self) -> dict[str, Any]:
        """The JWK set to publish (RFC 7517 section 5): the current key, then the next and the retired ones.

        A new dict each time, never with a private member or a secret.
        """
        return {"keys": [key.public_jwk() for key in self._current().published]}

    def refresh_secrets(self) -> tuple[RefreshSecret, ...]:
        """The first signs refresh tokens; all verify them."""
        return self._current().secrets

    def list(self) -> tuple[KeyInfo, ...]:
        """The published keys, oldest first, without key material."""
        self._current()
        return self._store.ring.describe(self._clock(), self.access_lifetime)

    def trusted(self) -> dict[str, Any]:
        """What a TrustedIssuer needs in order to verify what these keys sign."""
        return {"keys": self.key_set()}

    @property
    def longest_lifetime(self) -> float:
        """Seconds that a token may be good for; keys that are never retired set no bound."""
        return math.inf if self._store.ring.fixed else self.access_lifetime

    def rotate(self, *, at_once: bool = False) -> str:
        """Publish a next key, which signs 3,900 s later; its kid. While one waits, that one stays the next.

        ``at_once``: it signs now, the one that waits or else a new one; verifiers that know only the old key set must
        fetch it anew. Raises KeyChangeError if the keys are not ours to change, are too many, or cannot be stored.
        """
        with self._changing() as now:
            return self._store.rotate(now, at_once=at_once)

    def drop(self, kid: str) -> None:
        """In an emergency: unpublish a key at once, here; in other processes on the file at their next look (5 s).

        Its tokens are then refused by whoever reads the key set anew. If it was the signer, the next key signs at
        once, or a new one. The kid of the refresh secret replaces that: all refresh tokens end. Raises KeyError for
        an unknown kid, KeyChangeError as ``rotate`` does.
        """
        with self._changing() as now:
            self._store.drop(kid, now)

    def watch(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` after the published set changed in this process, by whatever; what it raises is logged.

        Changes that come with time or from another process are noticed when any method is called. The owner of a
        bound method is held weakly, any other function strongly.
        """
        self._watchers.append(weakref.WeakMethod(callback) if inspect.ismethod(callback) else lambda: callback)

    def __repr__(self) -> str:
        return f"<SigningKeys {self._view.published[0].alg}>"

    def after_fork(self) -> None:
        """In the child: a lock of its own, and a fresh look, because the parent may have been in the midst of one."""
        self._lock = threading.Lock()
        self._store.forget()
        self._view = replace(self._view, until=-math.inf)

    def _current(self) -> _View:
        view, now = self._view, self._clock()
        if view.since <= now < view.until:
            return view
        # While another thread is at it, what is known serves.
        if self._lock.acquire(blocking=False):
            try:
                self._store.look(now)
                changed = self._show(now)
            finally:
                self._lock.release()
            if changed:
                self._notify()
        return self._view

    @contextlib.contextmanager
    def _changing(self) -> Iterator[float]:
        changed = False
        try:
            with self._lock:
                now = self._clock()
                try:
                    yield now
                finally:
                    changed = self._show(now)  # also where it failed, others' changes may have been read
        except (UnusableKeyError, KeyFileError) as error:
            raise KeyChangeError(f"the keys are not changed: {error}") from None
        finally:
            if changed:
                self._notify()

    def _show(self, now: float) -> bool:
        """Put the ring into view; whether other keys are published than before."""
        before, self._view = self._view, self._seen(now)
        return frozenset(before.published) != frozenset(self._view.published)

    def _seen(self, now: float) -> _View:
        ring = self._store.ring
        signer = ring.signer(now)
        others = [entry.key for entry in reversed(ring.alive(now, self.access_lifetime)) if entry.key is not signer]
        (since, until), (looked, look) = ring.span(now, self.access_lifetime), self._store.quiet()
        return _View((signer, *others), ring.secrets, max(since, looked), min(until, look))

    def _notify(self) -> None:
        for held in tuple(self._watchers):
            callback = held()
            if callback is None:
                with contextlib.suppress(ValueError):  # another thread was quicker
                    self._watchers.remove(held)
                continue
            try:
                callback()
            except Exception as error:
                _log.error("a watcher of the signing keys failed: %s", type(error).__name__)
