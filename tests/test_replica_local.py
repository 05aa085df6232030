"""The entries of a copy: what is put, found, dropped, and missing elsewhere."""

from __future__ import annotations

import math
import sys
import threading

import pytest

from jwtconnect_mw.revocation import Change
from jwtconnect_mw.revocation.local import LocalCopy
from jwtconnect_mw.revocation.sieve import Sieve
from jwtconnect_mw.testing.revocation.backend import revoked

from .kit import ISSUER, NOW

END = NOW + 100.0
OTHER = "https://other.example"
ALL = [
    Change("token", ISSUER, "x", END),
    Change("session", ISSUER, "x", END),
    Change("subject", ISSUER, "x", END, NOW + 1.0),
]


@pytest.fixture
def copy() -> LocalCopy:
    copy = LocalCopy()
    copy.put(ALL, NOW)
    return copy


def found(copy: LocalCopy, name: str = "x", issuer: str = ISSUER, now: float = NOW) -> list[bool]:
    """By token, by session, by subject."""
    asked = ((name, None, None), (None, name, None), (None, None, name))
    return [copy.is_revoked(issuer, *one, NOW, now) for one in asked]


def test_what_is_found(copy: LocalCopy) -> None:
    assert found(copy) == [True] * 3
    assert found(copy, "y") == found(copy, issuer=OTHER) == found(copy, now=END) == [False] * 3
    assert not copy.is_revoked(ISSUER, None, None, "x", NOW + 1, NOW)
    assert copy.is_revoked(ISSUER, None, None, "x", None, NOW)
    assert copy.is_revoked(ISSUER, "y", "x", None, None, NOW)
    assert not copy.is_revoked(ISSUER, "y", "y", "y", None, NOW)
    assert len(copy) == 3


def test_nothing_is_shortened(copy: LocalCopy) -> None:
    copy.put([Change(kind, ISSUER, "x", NOW + 1.0, 5.0) for kind in ("token", "session", "subject")], NOW)
    assert list(copy.beyond(LocalCopy(), NOW)) == ALL
    more = [change._replace(ends=END + 1, bound=change.bound and NOW + 2.0) for change in ALL]
    copy.put(more, NOW)
    assert list(copy.beyond(LocalCopy(), NOW)) == more
    assert len(copy) == 3


def test_what_ended_is_not_kept(copy: LocalCopy) -> None:
    copy.put([Change("token", ISSUER, name, ends) for name, ends in (("a", NOW), ("b", math.nan))], NOW)
    assert len(copy) == 3
    copy.put([Change("subject", ISSUER, "x", END + 50, 5.0)], END)
    assert copy.is_revoked(ISSUER, None, None, "x", 4, END)
    assert not copy.is_revoked(ISSUER, None, None, "x", NOW, END)


def test_bounds_of_subjects(copy: LocalCopy) -> None:
    assert copy.bound(ISSUER, "x", NOW) == NOW + 1
    assert copy.bound(ISSUER, "x", END) is None
    assert copy.bound(ISSUER, "y", NOW) is None
    assert copy.bound(OTHER, "x", NOW) is None


def test_sweeping_drops_a_little_at_a_time() -> None:
    copy = LocalCopy()
    copy.put([Change("token", ISSUER, f"{number}", END + number % 2) for number in range(5120)], NOW)
    copy.put([Change("session", ISSUER, f"{number}", END) for number in range(100)], NOW)
    copy.put([Change("subject", OTHER, f"{number}", END + number % 2, NOW) for number in range(100)], NOW)
    before = len(copy)
    left = []
    for _ in range(32):
        copy.sweep(END)
        left.append(len(copy))
    assert left[-1] == 2560 + 50
    assert max(a - b for a, b in zip([before, *left], left, strict=False)) < 400
    for _ in range(32):
        copy.sweep(END + 1)
    assert len(copy) == 0
    copy.put(ALL, NOW)
    assert found(copy) == [True] * 3


@pytest.mark.parametrize(("count", "limit", "most"), [(10, 10, 0), (5000, 500, 4500), (5000, 0, 4999), (0, 5, 0)])
def test_purging_looks_at_about_as_many_as_it_may(count: int, limit: int, most: int) -> None:
    copy = LocalCopy()
    copy.put([Change("token", ISSUER, f"{number}", END) for number in range(count)], NOW)
    copy.purge(END, limit)
    assert most - 400 <= len(copy) <= most


def test_what_is_here_and_not_there(copy: LocalCopy) -> None:
    other = LocalCopy()
    assert list(copy.beyond(other, NOW)) == ALL
    assert list(copy.beyond(other, END)) == []
    other.put([change._replace(issuer=OTHER) for change in ALL], NOW)
    assert list(copy.beyond(other, NOW)) == ALL
    other.put([change._replace(ends=END - 1) for change in ALL], NOW)
    assert list(copy.beyond(other, NOW)) == ALL
    other = LocalCopy()
    other.put([change._replace(bound=change.bound - 1) for change in ALL], NOW)
    assert list(copy.beyond(other, NOW)) == ALL[2:]
    asked = copy.beyond(other, NOW)
    other.put(ALL, NOW)
    assert list(asked) == []


def test_the_sieve_lets_nothing_through_unseen_and_is_made_anew() -> None:
    """While the copy grows, while it shrinks, while things are put that were there, and after a fork in the middle."""
    copy = LocalCopy()
    for start in range(0, 6000, 100):
        copy.put([Change("token", ISSUER, f"{number}", END + number % 4) for number in range(start, start + 100)], NOW)
    kept = [f"{number}" for number in range(3, 6000, 4)]
    large = len(copy._sieve.bits)
    for forks in (False, True):
        for step in range(70):
            copy.sweep(END + 2)
            copy.put([Change("session", ISSUER, f"s {step}", END + 100), Change("token", ISSUER, "3", END + 3)], NOW)
            assert all(copy.is_revoked(ISSUER, name, None, None, None, END + 2) for name in kept)
            assert all(copy.is_revoked(ISSUER, "x", f"s {number}", None, None, NOW) for number in range(step + 1))
            if forks and step == 40:
                copy.after_fork()
    assert len(copy._sieve.bits) < large
    strangers = sum(_lets_through(copy._sieve, f"stranger {number}") for number in range(3000))
    assert strangers < 600
    copy.put([Change("token", ISSUER, f"more {number}", END + 100) for number in range(6000)], NOW)
    assert copy.is_revoked(ISSUER, "more 5999", None, None, None, NOW)
    assert copy.is_revoked(ISSUER, kept[-1], None, None, None, NOW)


def test_a_sieve_that_is_being_made_when_the_copy_grows() -> None:
    copy = LocalCopy()
    copy.put([Change("token", ISSUER, f"{number}", END + number % 4) for number in range(2000)], NOW)
    for _ in range(40):  # the second round makes it anew, and has not ended yet
        copy.sweep(END + 2)
    assert copy._coming is not None
    copy.put([Change("token", ISSUER, f"more {number}", END + 100) for number in range(9000)], NOW)
    for _ in range(64):
        assert all(
            copy.is_revoked(ISSUER, name, None, None, None, NOW) for name in ("3", "1999", "more 0", "more 8999")
        )
        copy.sweep(END + 2)


def _lets_through(sieve: Sieve, name: str) -> bool:
    return bool(sieve.bits[hash(name) >> 8 & sieve.mask] >> (hash(name) >> 5 & 7) & 1)


def test_where_to_begin() -> None:
    """Each of several processes elsewhere, and each tells all."""
    copy, other = LocalCopy(), LocalCopy()
    copy.put([Change("token", ISSUER, f"{number}", END) for number in range(500)], NOW)
    told = [list(copy.beyond(other, NOW, start)) for start in (0.0, 0.3, 0.7, 1.0)]
    assert [sorted(one) for one in told] == [sorted(told[0])] * 4
    assert len({one[0] for one in told[:3]}) == 3
    assert told[0] == told[3]


def test_counting_while_issuers_come_in() -> None:
    """A probe counts without a lock."""
    copy = LocalCopy()
    copy.put([Change("token", f"https://{number}.example", "x", END) for number in range(300)], NOW)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        writer = threading.Thread(
            target=lambda: [copy.put([Change("token", f"{number}", "x", END)], NOW) for number in range(3000)]
        )
        writer.start()
        while writer.is_alive():
            assert 300 <= len(copy) <= 3300
        writer.join()
    finally:
        sys.setswitchinterval(before)
    assert len(copy) == 3300


@pytest.mark.parametrize("kind", ["token", "session", "subject"])
def test_a_name_that_no_list_can_hold(kind: str) -> None:
    """A lone surrogate, which JSON can hold: it can never have been revoked, so it is not taken for good."""
    with pytest.raises(ValueError, match="surrogates"):
        revoked(LocalCopy(), **{kind: "\ud800"})
    assert not revoked(LocalCopy(), **{kind: "\u00fc\U0001f511"})
