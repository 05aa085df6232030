"""The signing keys of an issuer and its refresh secret: made or loaded, rotated, published, shared by processes."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._jose import SigningKey
from .._jwk import UnusableKeyError
from .._private import SIGNING_ALGORITHMS
from ..errors import ConfigurationError
from .keydoc import document, new_secret, ring_from_jwks, ring_from_native, ring_from_text
from .keyfile import KeyFile, KeyFileError, Stamp
from .keyring import KeyChangeError, KeyInfo, RefreshSecret, Ring, dropped, new_ring, pruned, rotated

DEFAULT_ALGORITHM = "ES256"
ALGORITHMS = tuple(alg for algs in SIGNING_ALGORITHMS.values() for alg in algs)
LOOK_EVERY = 5.0
"""Seconds of the clock between two looks at the file for a change."""

_log = logging.getLogger("jwtconnect_mw.issuer")


@dataclass(frozen=True, slots=True, repr=False)
class _View:
    """What is true from ``since`` until before ``until``, if nobody changes it."""

    signer: SigningKey
    published: tuple[SigningKey, ...]
    since: float
    until: float


class SigningKeys:
    """The keys of an issuer. Safe for threads and after fork; ``repr`` shows no key.

    ``source``: None makes keys in memory, of one process. A path is the key file: one private JWK set, mode 0600, made
    on first use by exactly one of several processes, changed under a lock and as a whole, read again when it changes.
    A path may also be that of a PEM private key or of any private JWK set; these, PEM text, a JWK set as a mapping and
    a private key object of ``cryptography`` are only read: ``rotate`` and ``drop`` refuse, the first key signs, all
    are published, and without an oct key the refresh secret is derived from the private key.
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
        if algorithm is not None and (not isinstance(algorithm, str) or algorithm not in ALGORITHMS):
            raise ConfigurationError("algorithm", f"one of {', '.join(ALGORITHMS)} is needed")
        if isinstance(access_lifetime, bool) or not isinstance(access_lifetime, (int, float)) or not (
            0 < access_lifetime < math.inf
        ):  # fmt: skip
            raise ConfigurationError("access_lifetime", "a positive number of seconds is needed")
        self._algorithm, self._lifetime, self._clock = algorithm, access_lifetime, clock
        self._watchers: list[Callable[[], Callable[[], object] | None]] = []
        self._failing = False
        self._file: KeyFile | None = None
        self._stamp: Stamp | None = None
        self._looked_at = -math.inf
        self._lock = threading.Lock()
        now = clock()
        try:
            self._ring = self._load(source, now)
        except (UnusableKeyError, KeyFileError) as error:
            raise ConfigurationError("keys", str(error)) from None
        self._looked_at = now
        self._view = self._seen(now)
        _all.add(self)

    def signer(self) -> SigningKey:
        """The key that signs now. Takes no lock and does no I/O unless something is due."""
        return self._current().signer

    def key_set(self) -> dict[str, Any]:
        """The JWK set to publish (RFC 7517 section 5): the next, the current and the retired keys, oldest first.

        A new dict each time, never with a private member or a secret.
        """
        return {"keys": [key.public_jwk() for key in self._current().published]}

    def refresh_secrets(self) -> tuple[RefreshSecret, ...]:
        """The first signs refresh tokens; all verify them."""
        self._current()
        return self._ring.secrets

    def list(self) -> tuple[KeyInfo, ...]:
        """The published keys, oldest first, without key material."""
        self._current()
        return self._ring.describe(self._clock(), self._lifetime)

    def rotate(self, *, at_once: bool = False) -> str:
        """Publish a next key, which signs 3,900 s later; its kid. While one waits, that one stays the next.

        ``at_once``: it signs now, the one that waits as well as a new one; verifiers that know the old key set only
        must fetch it. Raises KeyChangeError if the keys are not ours to change, are too many, or cannot be stored.
        """
        kid = ""

        def change(ring: Ring, now: float) -> Ring:
            nonlocal kid
            ring, kid = rotated(ring, now, lambda: self._make(ring, now), at_once=at_once)
            return ring

        self._change(change)
        return kid

    def drop(self, kid: str) -> None:
        """In an emergency: unpublish a key at once, here; within 5 s of being asked in other processes on the file.

        Its tokens are then refused by whoever reads the key set anew. If it was the signer, the next key signs at
        once, or a new one. The kid of the refresh secret replaces that: all refresh tokens end. Raises KeyError for
        an unknown kid, KeyChangeError as ``rotate`` does.
        """
        self._change(lambda ring, now: dropped(ring, kid, now, lambda: self._make(ring, now), new_secret))

    def watch(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` after the published set changed in this process, by whatever; what it raises is logged.

        Changes that come with time or from another process are noticed when any method is called. The owner of a
        bound method is held weakly, any other function strongly.
        """
        held = weakref.WeakMethod(callback) if hasattr(callback, "__self__") else lambda: callback
        self._watchers.append(held)

    def __repr__(self) -> str:
        return f"<SigningKeys {self._view.signer.alg}>"

    def after_fork(self) -> None:
        """In the child: a lock of its own, and a fresh look, because the parent may have been in the midst of one."""
        self._lock = threading.Lock()
        self._stamp, self._looked_at = None, -math.inf
        self._view = replace(self._view, until=-math.inf)

    def _load(self, source: object, now: float) -> Ring:
        if source is None:
            _log.warning("the signing keys are kept in memory only: all tokens end with this process")
            return self._new(now)
        if isinstance(source, Mapping):
            return ring_from_jwks(source, self._algorithm, {}, ours=False)
        if isinstance(source, (bytes, bytearray)):
            raise UnusableKeyError("bytes are a secret, which cannot be a signing key")
        if isinstance(source, str):
            _check_text(source)
            if source.lstrip().startswith("-----BEGIN"):
                return ring_from_text(source, self._algorithm, {})
        elif not isinstance(source, os.PathLike):
            return ring_from_native(source, self._algorithm)
        self._file = KeyFile(source)
        ring = self._read(self._file, {})
        return self._created(self._file, now) if ring is None else self._told(ring, now)

    def _created(self, file: KeyFile, now: float) -> Ring:
        """Make the file, unless another process was quicker."""
        with file.locked():
            ring = self._read(file, {})
            if ring is None:
                ring = self._new(now)
                self._stamp = file.write(document(ring))
        return ring

    def _told(self, ring: Ring, now: float) -> Ring:
        alg = ring.signer(now).alg
        if self._algorithm not in (None, alg):
            _log.warning("the key file signs with %s; %s begins with the next rotation", alg, self._algorithm)
        return ring

    def _new(self, now: float) -> Ring:
        return new_ring(SigningKey.generate(self._algorithm or DEFAULT_ALGORITHM), new_secret(), now)

    def _make(self, ring: Ring, now: float) -> SigningKey:
        return SigningKey.generate(self._algorithm or ring.signer(now).alg)

    def _read(self, file: KeyFile, known: Mapping[str, SigningKey]) -> Ring | None:
        """The ring of the file, which is parsed once; None if there is no file."""
        found = file.read()
        if found is None:
            return None
        text, stamp = found
        ring = ring_from_text(text, self._algorithm, known)
        self._stamp = stamp
        return ring

    def _current(self) -> _View:
        view, now = self._view, self._clock()
        if view.since <= now < view.until:
            return view
        # While another thread is at it, what is known serves.
        if self._lock.acquire(blocking=False):
            try:
                self._look(now)
                changed = self._show(now)
            finally:
                self._lock.release()
            if changed:
                self._notify()
        return self._view

    def _look(self, now: float) -> None:
        """Read the file if it is time and it is another; whatever is wrong with it, what is known stays."""
        file = self._file
        if file is None or 0 <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        stamp = file.stamp()
        if stamp == self._stamp and stamp is not None:
            return
        try:
            ring = self._read(file, self._known())
            problem = "" if ring is not None else "there is no such file"
        except (UnusableKeyError, KeyFileError) as error:
            ring, problem = None, str(error)
            self._stamp = stamp  # not parsed again until it changes
        if ring is not None:
            self._ring = ring
        if problem and not self._failing:
            _log.error("the key file %s is not usable, what is known stays in use: %s", file.path, problem)
        self._failing = bool(problem)

    def _known(self) -> dict[str, SigningKey]:
        return {entry.key.kid: entry.key for entry in self._ring.entries}

    def _change(self, change: Callable[[Ring, float], Ring]) -> None:
        """Read, change, write, as one step among all threads and processes."""
        with self._lock:
            now = self._clock()
            try:
                if self._file is None:
                    self._ring = self._changed(self._ring, change, now)
                else:
                    self._change_file(self._file, change, now)
            except (UnusableKeyError, KeyFileError) as error:
                raise KeyChangeError(f"the key file is not changed: {error}") from None
            finally:
                changed = self._show(now)
        if changed:
            self._notify()

    def _change_file(self, file: KeyFile, change: Callable[[Ring, float], Ring], now: float) -> None:
        _refuse_fixed(self._ring)
        with file.locked():
            # A file that someone deleted is written anew from what is known; a broken one is for a human.
            present = self._read(file, self._known())
            self._looked_at = now
            ring = self._ring if present is None else present
            self._ring = ring
            made = self._changed(ring, change, now)
            if made is not ring or present is None:
                self._stamp = file.write(document(made))
            self._ring, self._failing = made, False

    def _changed(self, ring: Ring, change: Callable[[Ring, float], Ring], now: float) -> Ring:
        """Without a change the very same ring. What is gone is gone before, so that nothing of it comes back."""
        _refuse_fixed(ring)
        before = pruned(ring, now, self._lifetime)
        made = change(before, now)
        return ring if made is before else made

    def _show(self, now: float) -> bool:
        """Put the ring into view; whether other keys are published than before."""
        before, self._view = self._view.published, self._seen(now)
        return before != self._view.published

    def _seen(self, now: float) -> _View:
        ring = self._ring
        published = tuple(entry.key for entry in ring.alive(now, self._lifetime))
        since, until = ring.span(now, self._lifetime)
        if self._file is not None:
            since, until = max(since, self._looked_at), min(until, self._looked_at + LOOK_EVERY)
        return _View(ring.signer(now), published, since, until)

    def _notify(self) -> None:
        for held in tuple(self._watchers):
            callback = held()
            if callback is None:
                self._watchers.remove(held)
                continue
            try:
                callback()
            except Exception as error:
                _log.error("a watcher of the signing keys failed: %s", type(error).__name__)


def _refuse_fixed(ring: Ring) -> None:
    if ring.fixed:
        raise KeyChangeError("these keys were loaded and are not ours to change; use a key file for rotation")


def _check_text(source: str) -> None:
    """A str is PEM or a path; what was meant to be something else is not made into a file of that name."""
    if not source or "\0" in source:
        raise UnusableKeyError("the path is empty or has a NUL character")
    if source.startswith(("https://", "http://")):
        raise UnusableKeyError("a URL has no private keys")
    if source.lstrip().startswith(("{", "[")):
        raise UnusableKeyError("a JWK set is given as a mapping, or as the path of a file")


_all: weakref.WeakSet[SigningKeys] = weakref.WeakSet()


def _after_fork() -> None:
    for keys in list(_all):
        keys.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # only Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
