"""The key file among processes: made once, changed without loss, whole after kill -9, its permissions looked at."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw.issuer import keyfile
from jwtconnect_mw.issuer.keyfile import KeyFile, KeyFileError, check
from jwtconnect_mw.issuer.keyring import MAX_KEYS, KeyChangeError
from jwtconnect_mw.issuer.keys import SigningKeys
from jwtconnect_mw.issuer.keystore import LOOK_EVERY
from jwtconnect_mw.testing import ManualClock

from .issuing import kids, private_jwk, put, refused, states
from .kit import NOW, key
from .test_fork import Child
from .test_settings import private_pem

ROUNDS = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Results of processes that begin at the same moment."""
    read, write = os.pipe()

    def one(number: int) -> Callable[[], Any]:
        def waiting() -> Any:
            os.close(write)
            os.read(read, 1)  # until the parent lets go
            return work(number)

        return waiting

    children = [Child(one(number)) for number in range(count)]
    os.close(read)
    os.close(write)
    return [child.result() for child in children]


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_processes_that_start_at_once_agree(tmp_path: Path, alg: str) -> None:
    for number in range(ROUNDS if alg == "ES256" else 1):
        path = tmp_path / f"{number}.json"

        def work(_number: int, path: Path = path) -> Any:
            keys = SigningKeys(path, algorithm=alg)
            return [keys.key_set(), [secret.secret.hex() for secret in keys.refresh_secrets()]]

        results = together(8, work)
        assert all(result == results[0] for result in results)
        assert len(results[0][0]["keys"]) == 1
        assert SigningKeys(path).key_set() == results[0][0]


def test_rotations_at_once_lose_nothing(path: Path, clock: ManualClock) -> None:
    keys = SigningKeys(path, clock=clock)
    before = kids(keys)
    made = together(4, lambda _: [keys.rotate(at_once=True) for _ in range(5)])
    clock.advance(LOOK_EVERY)
    added = [kid for kids_of_one in made for kid in kids_of_one]
    assert sorted(kids(keys)) == sorted([*before, *added])
    assert len(set(added)) == 20


def test_staged_rotations_at_once_make_one_key(path: Path, clock: ManualClock) -> None:
    keys = SigningKeys(path, clock=clock)
    made = together(4, lambda _: keys.rotate())
    clock.advance(LOOK_EVERY)
    assert len(set(made)) == 1
    assert list(states(keys).values()) == ["current", "next"]


def test_rotations_and_drops_at_once_lose_nothing(path: Path, clock: ManualClock) -> None:
    """Each process drops what it made but the last; what is left is exactly that, and the secret was replaced."""
    keys = SigningKeys(path, clock=clock)
    first, secret = kids(keys), keys.refresh_secrets()[0]

    def work(number: int) -> Any:
        made = [keys.rotate(at_once=True) for _ in range(4)]
        for kid in made[:-1]:
            keys.drop(kid)
        if number == 0:
            keys.drop(secret.kid)
        return [made[-1], made[:-1]]

    results = together(4, work)
    clock.advance(LOOK_EVERY)
    left = set(kids(keys))
    assert {kept for kept, _ in results} <= left
    assert not left & {kid for _, dropped in results for kid in dropped}
    assert set(first) <= left
    assert secret not in keys.refresh_secrets()
    content = json.loads(path.read_text())
    assert {jwk["kid"] for jwk in content["keys"] if jwk["kty"] != "oct"} == left


WORKER = """
import sys
from jwtconnect_mw.issuer.keys import SigningKeys
keys = SigningKeys(sys.argv[1])
while True:
    kid = keys.rotate(at_once=True)
    print(kid, flush=True)
    keys.drop(kid)
"""


def test_kill_9_amid_writes(path: Path, long: bool) -> None:
    """Whenever it comes, the file is whole, nothing is locked, and at most one temporary file is left over."""
    SigningKeys(path)
    for number in range(60 if long else 12):
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            for _ in range(1 + number % 4):
                assert process.stdout.readline()
            content = json.loads(path.read_text())
        finally:
            process.kill()
            process.communicate()
        assert content["jwtconnect_mw"] == 1
        keys = SigningKeys(path)
        assert len(keys.key_set()["keys"]) <= MAX_KEYS
        assert set(os.listdir(path.parent)) <= {"keys.json", ".keys.json.lock", ".keys.json.tmp"}
        for kid in kids(keys)[1:]:  # what it had no time to drop
            keys.drop(kid)
    keys.drop(keys.rotate(at_once=True))
    assert sorted(os.listdir(path.parent)) == [".keys.json.lock", "keys.json"]


def test_modes(path: Path, clock: ManualClock) -> None:
    """0600 whatever the umask is, also of what stands beside it."""
    before = os.umask(0)
    try:
        SigningKeys(path, clock=clock).rotate()
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.name == "keys.json" or file.stat().st_size == 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_file_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    SigningKeys(path)
    path.chmod(mode)
    assert "chmod 600" in refused(path)
    path.chmod(0o400)
    SigningKeys(path)


def test_the_file_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    keys, other = SigningKeys("keys.json"), SigningKeys(here / "keys.json")
    kid = keys.signer().kid
    assert other.signer().kid == kid
    monkeypatch.chdir(there)
    keys.drop(kid)
    assert list(there.iterdir()) == []
    assert kid not in (here / "keys.json").read_text()


@pytest.mark.parametrize("secret", ["correct horse battery staple, an HS256 secret of 48 bytes!!", "MIIBVgIBADANBgkq"])
def test_a_secret_does_not_become_the_name_of_a_file(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="a secret, or a path") as caught:
        SigningKeys(secret)
    assert secret not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    made = SigningKeys("./keys")
    assert SigningKeys("keys").list() == made.list()  # now that it is there


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "user", "expected"),
    [
        (0o600, 1000, 1000, False),
        (0o644, 1000, 1000, "other users may read"),
        (0o440, 0, 1000, False),  # as a container platform mounts a secret for a group
        (0o444, 0, 1000, True),
        (0o600, 1001, 1000, "belongs to another user"),
        (0o644, 1001, 1000, "belongs to another user"),
        (0o600, 1001, 0, False),
        (0o644, 0, 0, "other users may read"),
        (0o644, 1001, 0, True),
        (0o666, 1001, 0, "other users may write"),
        (0o464, 0, 1000, "other users may write"),
        (0o446, 0, 1000, "other users may write"),
    ],
)
def test_whose_file_it_may_be(mode: int, owner: int, user: int, expected: object) -> None:
    if not isinstance(expected, str):
        assert check(status(stat.S_IFREG | mode, owner), user) is expected
        return
    with pytest.raises(KeyFileError, match=expected):
        check(status(stat.S_IFREG | mode, owner), user)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_file_of_roots_that_everybody_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a secret that is mounted: used, with a warning."""
    path = tmp_path / "keys.json"
    kid = SigningKeys(path).signer().kid
    path.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert SigningKeys(path).signer().kid == kid
    assert "every user may read" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_files_of_another_user(caplog: pytest.LogCaptureFixture) -> None:
    """What root changes stays the user's; and a world-readable file of root's is warned about."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are not for other users
        os.chmod(folder, 0o777)
        check_as_another_user(Path(folder) / "keys.json", caplog)


def check_as_another_user(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SigningKeys(path)
    os.chown(path, 12345, 12345)
    (path.parent / ".keys.json.lock").unlink()
    kid = SigningKeys(path).rotate()
    for file in path.parent.iterdir():
        assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)

    def work() -> Any:
        os.setuid(12345)
        keys = SigningKeys(path)
        return [keys.rotate(), keys.rotate(at_once=True)]

    assert Child(work).result() == [kid, kid]
    os.chown(path, 0, 0)
    path.chmod(0o444)

    def as_user() -> Any:
        os.setuid(12345)
        before = len(caplog.records)
        keys = SigningKeys(path)
        return [kids(keys)[0], [record.getMessage() for record in caplog.records[before:]]]

    assert Child(as_user).result() == [kid, [f"every user may read the signing keys in {path}"]]


def test_a_file_of_root_that_all_may_read(caplog: pytest.LogCaptureFixture) -> None:
    """Not ours to mend, unless we are root."""
    file = KeyFile("/etc/passwd")
    if os.geteuid() == 0:
        with pytest.raises(KeyFileError, match="chmod 600"):
            file.read()
    else:
        assert file.read()
        assert caplog.messages == ["every user may read the signing keys in /etc/passwd"]


FOREIGN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "neither a JWK set nor PEM"),
    "text": ("hello", "neither a JWK set nor PEM"),
    "truncated": (json.dumps(private_jwk("ES256"))[:-5], "neither a JWK set nor PEM"),
    "list": ("[]", "neither a JWK set nor PEM"),
    "another object": ('{"a": 1}', "unknown key type"),
    "public set": (json.dumps({"keys": [key().public_jwk()]}), "the private half is missing"),
    "not UTF-8": (b"\xff\xfe", "neither a JWK set nor PEM"),
    "large": (" " * (keyfile.MAX_SIZE + 1), "too large"),
    "duplicate member": ('{"keys": [], "keys": []}', "neither a JWK set nor PEM"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_refused_and_left_alone(path: Path, what: str) -> None:
    content, problem = FOREIGN[what]
    octets = content.encode() if isinstance(content, str) else content
    path.write_bytes(octets)
    path.chmod(0o600)
    assert problem in refused(path)
    assert path.read_bytes() == octets
    assert os.listdir(path.parent) == ["keys.json"]


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "not a regular file" in refused(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "not a regular file" in refused(tmp_path / "fifo")
    assert "directory is missing" in refused(tmp_path / "missing" / "keys.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in refused(tmp_path / "loop")
    assert "cannot be read" in refused("./" + "k" * 5000)


@pytest.mark.parametrize("target_exists", [True, False])
def test_a_link_is_followed(tmp_path: Path, target_exists: bool, clock: ManualClock) -> None:
    """The target is made and replaced, the link stays; processes that use either name share one lock."""
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "keys.json", tmp_path / "link.json"
    link.symlink_to(target)
    if target_exists:
        SigningKeys(target, clock=clock)
    keys = SigningKeys(link, clock=clock)
    made = together(4, lambda number: (SigningKeys((link, target)[number % 2], clock=clock)).rotate(at_once=True))
    clock.advance(LOOK_EVERY)
    assert set(made) <= set(kids(keys))
    assert link.is_symlink()
    assert os.listdir(tmp_path / "real") != os.listdir(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["link.json", "real"]


def test_a_link_that_is_pointed_elsewhere(tmp_path: Path, clock: ManualClock) -> None:
    """As container platforms replace a mounted secret."""
    for name in ("one", "two"):
        put(tmp_path / name, private_jwk("ES256", name))
    link = tmp_path / "link"
    link.symlink_to("one")
    keys = SigningKeys(link, clock=clock)
    assert kids(keys) == ["one-ES256"]
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", link)
    clock.advance(LOOK_EVERY)
    assert kids(keys) == ["two-ES256"]


@pytest.mark.parametrize("content", [None, "", "{", '{"keys": []}', "world-readable", "folder"])
def test_a_file_that_breaks_later(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    """What is known stays, one line is logged, nothing fails; when it is whole again it is read again."""
    keys = SigningKeys(path, clock=clock)
    before, good = keys.key_set(), path.read_text()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content == "world-readable":
        put(path, good).chmod(0o644)
    elif content is not None:
        put(path, content)
    for _ in range(3):
        clock.advance(LOOK_EVERY)
        assert keys.key_set() == before
        assert keys.signer().sign_access_token({})
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"the key file {path} cannot be used, what is known stays in use: ")
    if content is not None:
        with pytest.raises(KeyChangeError, match="the keys are not changed"):
            keys.rotate()
        assert not path.is_file() or path.read_text() == (good if content == "world-readable" else content)
        path.rmdir() if content == "folder" else path.unlink()
    put(path, good)
    clock.advance(LOOK_EVERY)
    keys.rotate()
    assert kids(SigningKeys(path, clock=clock)) == kids(keys)
    path.unlink()
    clock.advance(LOOK_EVERY)
    keys.signer()
    assert len(caplog.messages) == 2, "the next time it is said again"


@pytest.mark.parametrize("change", ["rotate", "drop", "waiting"])
def test_a_deleted_file_is_written_anew_from_what_is_known(path: Path, clock: ManualClock, change: str) -> None:
    keys = SigningKeys(path, clock=clock)
    known = keys.rotate()
    path.unlink()
    if change == "drop":
        keys.drop(known)
    elif change == "rotate":
        keys.rotate(at_once=True)
    else:
        assert keys.rotate() == known
    other = SigningKeys(path, clock=clock)
    assert other.key_set() == keys.key_set()
    assert other.refresh_secrets() == keys.refresh_secrets()


def test_the_file_is_parsed_once_per_change(path: Path, clock: ManualClock) -> None:
    """And a key that was there before is the same object: parsing an RSA key takes tens of milliseconds."""
    keys, other = (SigningKeys(path, algorithm="RS256", clock=clock) for _ in range(2))
    signer, ring = keys.signer(), keys._store.ring
    for _ in range(3):
        clock.advance(LOOK_EVERY)
        assert keys.signer() is signer
    assert keys._store.ring is ring
    other.rotate()
    clock.advance(LOOK_EVERY)
    assert len(kids(keys)) == 2
    assert keys.signer() is signer


def test_retired_keys_leave_the_file_at_the_next_write(path: Path, clock: ManualClock) -> None:
    keys = SigningKeys(path, access_lifetime=60, clock=clock)
    old = keys.signer().kid
    keys.rotate(at_once=True)
    clock.advance(60 + 300 + 60)
    assert old not in kids(keys)
    assert old in path.read_text()
    keys.rotate()
    assert old not in path.read_text()


def test_another_kid_for_known_material_is_another_key(path: Path, clock: ManualClock) -> None:
    put(path, private_jwk("ES256"))
    keys = SigningKeys(path, clock=clock)
    put(path, {**private_jwk("ES256"), "d": private_jwk("ES256", "b")["d"], "kid": "main-ES256"})
    clock.advance(LOOK_EVERY)
    assert keys.key_set()["keys"] == [key("ES256").public_jwk()], "broken: the halves do not fit"
    put(path, {**private_jwk("ES256", "b"), "kid": "main-ES256"})
    clock.advance(LOOK_EVERY)
    assert keys.key_set()["keys"] == [{**key("ES256", "b").public_jwk(), "kid": "main-ES256"}]


def test_a_pem_file_that_is_replaced(tmp_path: Path, clock: ManualClock) -> None:
    path = put(tmp_path / "key.pem", private_pem(key()))
    keys = SigningKeys(path, clock=clock)
    secret = keys.refresh_secrets()
    put(tmp_path / "new.pem", private_pem(key("EdDSA")))
    os.replace(tmp_path / "new.pem", path)
    clock.advance(LOOK_EVERY)
    assert keys.signer().alg == "EdDSA"
    assert keys.refresh_secrets() != secret


def test_every_write_has_a_later_stamp(path: Path, clock: ManualClock) -> None:
    """Also within one tick of the file system's clock, or after that was set back: a reused inode could hide it."""
    keys = SigningKeys(path, clock=clock)
    file, future = KeyFile(path), path.stat().st_mtime_ns + 10**12
    os.utime(path, ns=(future, future))
    with file.locked():
        for number in range(1, 4):
            stamp = file.write(b"x")
            assert stamp == file.stamp()
            assert stamp.mtime_ns == future + number
    assert keys.signer()


def test_a_lock_that_another_process_keeps(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing goes on; the change is refused when the time is up."""
    monkeypatch.setattr(keyfile, "LOCK_WAIT", 0.05)
    keys = SigningKeys(path, clock=clock)
    with open(path.with_name(".keys.json.lock"), "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KeyChangeError, match="another process keeps the file locked"):
            keys.rotate()
        assert keys.signer()
    keys.rotate()


def test_without_locks_nothing_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a file can only be loaded."""
    monkeypatch.setattr(keyfile, "fcntl", None)
    assert "only where Python has fcntl" in refused(path)
    assert kids(SigningKeys(put(path, private_jwk("ES256")))) == ["main-ES256"]


def test_a_file_that_cannot_be_locked() -> None:
    def fails() -> None:
        raise OSError("not supported")

    with pytest.raises(KeyFileError, match="cannot lock files"):
        keyfile._tried(fails)


def test_a_write_that_fails_leaves_the_file(path: Path, clock: ManualClock) -> None:
    keys = SigningKeys(path, clock=clock)
    before, content = keys.key_set(), path.read_bytes()
    (path.parent / ".keys.json.tmp").mkdir()
    for change in (keys.rotate, lambda: keys.drop(before["keys"][0]["kid"])):
        with pytest.raises(KeyChangeError, match="the file cannot be written"):
            change()
    assert keys.key_set() == before
    assert path.read_bytes() == content
    with KeyFile(path).locked(), pytest.raises(KeyFileError, match="would be too large"):
        KeyFile(path).write(b" " * (keyfile.MAX_SIZE + 1))
    assert path.read_bytes() == content


def test_after_a_fork_amid_a_change(path: Path, clock: ManualClock) -> None:
    """The child has a lock of its own, and the lock of the file does not stay with it."""
    keys = SigningKeys(path, clock=clock)
    with keys._lock:
        child = Child(lambda: [keys.signer().kid, keys.rotate()])
        kid, waiting = child.result()
    assert kid == keys.signer().kid
    assert keys.rotate() == waiting
    read, write = os.pipe()
    with keys._store._file.locked():  # type: ignore[attr-defined]
        holder = Child(lambda: os.read(read, 1).decode())
    assert keys.rotate() == waiting
    os.write(write, b"x")
    assert holder.result() == "x"
    os.close(read)
    os.close(write)


def test_a_path_that_says_it_is_one_needs_no_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    SigningKeys(Path("keys"))
    assert (tmp_path / "keys").exists()


def test_a_change_that_is_read_is_no_problem(path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    one, other = SigningKeys(path, clock=clock), SigningKeys(path, clock=clock)
    kid = one.rotate(at_once=True)
    clock.advance(5)
    assert other.signer().kid == kid
    assert caplog.records == []


def test_what_changes_nothing_writes_nothing(path: Path, clock: ManualClock) -> None:
    keys = SigningKeys(path, clock=clock)
    kid = keys.rotate()
    before = path.stat()
    assert keys.rotate() == kid
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_child_without_the_file_says_so(path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    keys = SigningKeys(path, clock=clock)
    path.unlink()
    keys.after_fork()
    assert keys.signer()
    assert "there is no such file" in caplog.text
