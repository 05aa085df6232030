"""The key file on disk: read with its permissions looked at, replaced as a whole, locked between processes.

A crash leaves the old content or the new one, never a part. A symbolic link is followed and its target replaced. The
lock is ``flock`` on the empty ``.NAME.lock`` beside it; where Python has no ``fcntl`` (Windows) a file can be loaded,
but neither made nor changed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows
    fcntl = None  # type: ignore[assignment]  # Windows has none; what needs it is refused there

MAX_SIZE = 262_144
LOCK_WAIT = 10.0
"""Seconds to wait for another process that is changing the file."""
_LOCK_PAUSE = 0.01

_log = logging.getLogger("jwtconnect_mw.issuer")


class KeyFileError(Exception):
    """The file cannot be used. The text is constant and safe to log."""


class Stamp(NamedTuple):
    """What tells one content of the file from the next."""

    device: int
    inode: int
    mtime_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


class KeyFile:
    """One file that holds private keys. What a link names is found anew each time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.fsdecode(path)).absolute()  # a host may change its directory later

    def stamp(self) -> Stamp | None:
        """Of the present content; None if it cannot be had."""
        try:
            return Stamp.of(os.stat(self.path))
        except OSError:
            return None

    def read(self) -> tuple[str, Stamp] | None:
        """The content and its stamp; None if there is no such file. Raises KeyFileError."""
        try:
            # A FIFO in the place of the file must not hold us up.
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            return None
        except OSError:
            raise KeyFileError("the file cannot be read") from None
        try:
            status = os.fstat(descriptor)
            if hasattr(os, "geteuid") and check(status, os.geteuid()):  # Windows has other permissions
                _log.warning("every user may read the signing keys in %s", self.path)
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_SIZE + 1)
            text = content.decode()
        except (OSError, ValueError):
            raise KeyFileError("the file is neither a JWK set nor PEM") from None
        finally:
            os.close(descriptor)
        if len(content) > MAX_SIZE:
            raise KeyFileError("the file is too large")
        return text, Stamp.of(status)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that changes the file. Raises KeyFileError after 10 s, or where it cannot be locked."""
        target = self._target()
        if fcntl is None:
            raise KeyFileError("the file can be made and changed only where Python has fcntl")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(target.with_name(f".{target.name}.lock"), flags, 0o600)
        except OSError:
            raise KeyFileError("the directory is missing, or nothing can be written there") from None
        try:
            _same_owner(descriptor, target)
            until = time.monotonic() + LOCK_WAIT
            while not _tried(partial(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)):
                if time.monotonic() >= until:
                    raise KeyFileError("another process keeps the file locked")
                time.sleep(_LOCK_PAUSE)
            yield
        finally:
            # Said, not left to the closing: a child that was forked meanwhile holds the same lock.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def write(self, content: bytes) -> Stamp:
        """Replace the content, under the lock. Raises KeyFileError; the file is then whole, and as it was or new."""
        target = self._target()
        temporary = target.with_name(f".{target.name}.tmp")
        if len(content) > MAX_SIZE:
            raise KeyFileError("the file would be too large")
        try:
            temporary.unlink(missing_ok=True)  # of a process that was killed: we hold the lock
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                _same_owner(descriptor, target)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
                _later(descriptor, target)
                stamp = Stamp.of(os.fstat(descriptor))
            os.replace(temporary, target)
            _sync_directory(target.parent)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise KeyFileError("the file cannot be written") from None
        return stamp

    def _target(self) -> Path:
        return Path(os.path.realpath(self.path))


def check(status: os.stat_result, user: int) -> bool:
    """Whether every user may read the file, which is warned about; raises KeyFileError where it is refused.

    Like OpenSSH: our own file that others may read or write is refused, because we can mend it; one of root's, as
    container platforms mount secrets, is not ours to mend. One of anyone else may be a key that they know.
    """
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError("not a regular file")
    if status.st_uid == user and status.st_mode & 0o077:
        raise KeyFileError("other users may read or write the file: chmod 600 it")
    if status.st_uid not in (user, 0) and user != 0:
        raise KeyFileError("the file belongs to another user")
    if status.st_mode & 0o022:
        raise KeyFileError("other users may write the file")
    return bool(status.st_mode & 0o007)


def _tried(lock: Callable[[], object]) -> bool:
    try:
        lock()
    except BlockingIOError:
        return False
    except OSError:
        raise KeyFileError("the file system cannot lock files") from None
    return True


def _same_owner(descriptor: int, target: Path) -> None:
    """What root makes beside or in the place of the file is for the user whose file it is."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        owner = os.stat(target)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _later(descriptor: int, target: Path) -> None:
    """Two changes within one tick of the file system's clock, the second in a reused inode, would have one stamp."""
    with contextlib.suppress(FileNotFoundError):
        last = os.stat(target).st_mtime_ns
        if os.fstat(descriptor).st_mtime_ns <= last:
            os.utime(descriptor, ns=(last + 1, last + 1))


def _sync_directory(directory: Path) -> None:
    """Or the new name may be lost with the power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
