"""Where the ring of an issuer is: in memory, or in a file that several processes share. Their owner locks them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping

from .._jose import SigningKey
from .._jwk import UnusableKeyError
from .keydoc import document, new_secret, ring_from_jwks, ring_from_native, ring_from_text
from .keyfile import KeyFile, KeyFileError, Stamp
from .keyring import KeyChangeError, Ring, dropped, new_ring, pruned, rotated

DEFAULT_ALGORITHM = "ES256"
LOOK_EVERY = 5.0
"""Seconds of the clock between two looks at the file for a change."""

Change = Callable[[Ring], Ring]

_log = logging.getLogger("jwtconnect_mw.issuer")


class RingStore:
    """A ring that was made or loaded; of ``lifetime`` seconds are the tokens that its keys sign."""

    def __init__(self, ring: Ring, algorithm: str | None, lifetime: float) -> None:
        self.ring = ring
        self._algorithm, self._lifetime = algorithm, lifetime

    def look(self, _now: float) -> None:
        """Take in what others changed."""

    def quiet(self) -> tuple[float, float]:
        """From when until when there is no need to look."""
        return -math.inf, math.inf

    def forget(self) -> None:
        """The next look is a thorough one."""

    def rotate(self, now: float, *, at_once: bool) -> str:
        """See SigningKeys. Raises UnusableKeyError and KeyFileError as well as what is said there."""
        kids: list[str] = []

        def change(ring: Ring) -> Ring:
            made, kid = rotated(ring, now, lambda: self._make(ring, now), at_once=at_once)
            kids.append(kid)
            return made

        self._change(change, now)
        return kids[0]

    def drop(self, kid: str, now: float) -> None:
        """See SigningKeys; raises like ``rotate``."""
        self._change(lambda ring: dropped(ring, kid, now, lambda: self._make(ring, now), new_secret), now)

    def _change(self, change: Change, now: float) -> None:
        self.ring = self._changed(self.ring, change, now)

    def _changed(self, ring: Ring, change: Change, now: float) -> Ring:
        """Without a change the very same ring. What is gone is gone before, so that nothing of it comes back."""
        if ring.fixed:
            raise KeyChangeError("these keys were loaded and are not ours to change; a key file can be rotated")
        before = pruned(ring, now, self._lifetime)
        made = change(before)
        return ring if made is before else made

    def _make(self, ring: Ring, now: float) -> SigningKey:
        return SigningKey.generate(self._algorithm or ring.signer(now).alg)


class FileRingStore(RingStore):
    """The ring of a file, parsed once per change of it. Raises UnusableKeyError and KeyFileError when built."""

    def __init__(self, path: str | os.PathLike[str], algorithm: str | None, lifetime: float, now: float) -> None:
        self._file = KeyFile(path)
        self._stamp: Stamp | None = None
        self._looked_at = now
        self._failing = False
        self._algorithm = algorithm
        super().__init__(self._read({}) or self._created(now), algorithm, lifetime)
        alg = self.ring.signer(now).alg
        if algorithm not in (None, alg):
            _log.warning("the key file signs with %s; %s begins with the next rotation", alg, algorithm)

    def look(self, now: float) -> None:
        """Read the file if it is time and it is another; whatever is wrong with it, what is known stays."""
        if 0 <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        stamp = self._file.stamp()
        if stamp is not None and stamp == self._stamp:
            return
        problem = ""
        try:
            self.ring = self._read(self._known()) or self._missing()
        except (UnusableKeyError, KeyFileError) as error:
            problem, self._stamp = str(error), stamp  # not parsed again until it changes
        if problem and not self._failing:
            _log.error("the key file %s cannot be used, what is known stays in use: %s", self._file.path, problem)
        self._failing = bool(problem)

    def quiet(self) -> tuple[float, float]:
        return self._looked_at, self._looked_at + LOOK_EVERY

    def forget(self) -> None:
        self._stamp, self._looked_at = None, -math.inf

    def _change(self, change: Change, now: float) -> None:
        if self.ring.fixed:
            self._changed(self.ring, change, now)  # refuses, and leaves no lock file beside what is not ours
        with self._file.locked():
            # A file that someone deleted is written anew from what is known; a broken one is for a human to look at.
            present = self._read(self._known())
            self.ring = present or self.ring
            made = self._changed(self.ring, change, now)
            if made is not present:
                self._stamp = self._file.write(document(made))
            self.ring, self._looked_at, self._failing = made, now, False

    def _created(self, now: float) -> Ring:
        """Make the file, unless another process was quicker."""
        with self._file.locked():
            ring = self._read({})
            if ring is None:
                ring = made_ring(self._algorithm, now)
                self._stamp = self._file.write(document(ring))
        return ring

    def _read(self, known: Mapping[str, SigningKey]) -> Ring | None:
        found = self._file.read()
        if found is None:
            return None
        text, stamp = found
        ring = ring_from_text(text, self._algorithm, known)
        self._stamp = stamp
        return ring

    def _missing(self) -> Ring:
        raise KeyFileError("there is no such file")

    def _known(self) -> dict[str, SigningKey]:
        return {entry.key.kid: entry.key for entry in self.ring.entries}


def open_store(source: object, algorithm: str | None, lifetime: float, now: float) -> RingStore:
    """See SigningKeys for what ``source`` may be. Raises UnusableKeyError and KeyFileError."""
    if isinstance(source, os.PathLike) or (isinstance(source, str) and not _is_pem(source)):
        return FileRingStore(_path(source), algorithm, lifetime, now)
    if source is None:
        _log.warning("the signing keys are kept in memory only: all tokens end with this process")
        ring = made_ring(algorithm, now)
    elif isinstance(source, str):
        ring = ring_from_text(source, algorithm, {})
    elif isinstance(source, Mapping):
        ring = ring_from_jwks(source, algorithm, {}, stored=False)
    elif isinstance(source, (bytes, bytearray)):
        raise UnusableKeyError("bytes are a secret, which cannot be a signing key")
    else:
        ring = ring_from_native(source, algorithm)
    return RingStore(ring, algorithm, lifetime)


def made_ring(algorithm: str | None, now: float) -> Ring:
    return new_ring(SigningKey.generate(algorithm or DEFAULT_ALGORITHM), new_secret(), now)


def _is_pem(source: str) -> bool:
    return source.lstrip().startswith("-----BEGIN")


def _path(source: str | os.PathLike[str]) -> str:
    """What was meant to be something else is not made into a file of that name."""
    path = os.fsdecode(source)
    if not path or not path.isprintable():
        raise UnusableKeyError("neither PEM nor a path")
    if path.startswith(("https://", "http://")):
        raise UnusableKeyError("a URL has no private keys")
    if path.startswith(("{", "[")):
        raise UnusableKeyError("a JWK set is given as a mapping, or as the path of a file")
    if isinstance(source, str) and not os.path.exists(path) and not {os.sep, os.altsep, "."}.intersection(path):
        raise UnusableKeyError("a secret, or a path? A file to be made has a dot or a separator in its name")
    return path
