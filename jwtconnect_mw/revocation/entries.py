"""When an entry ends, which families a subject's entry takes in, and when a new family starts: for every backend."""

from __future__ import annotations

import math

from .protocol import FAMILY_LIFETIME, KEEP_AFTER, SubjectRevokedError

MOST_AHEAD = 60
"""Seconds that the bound of a subject may be ahead of the clock, or of the list's birth, where a new family starts."""


def entry_end(expires_at: float | None, now: float) -> float:
    """When an entry ends that meets nothing later than ``expires_at``. Raises ValueError for what is not a number."""
    return known_end((now + FAMILY_LIFETIME if expires_at is None else expires_at) + KEEP_AFTER)


def known_end(end: float) -> float:
    """``end``, unless it is not a number: compared with any time, such an entry would be over."""
    if math.isnan(end):
        raise ValueError("an end that is not a number")
    return float(end)


def subject_bound(before: float | None, known: float | None, birth: int, now: float) -> float:
    """The bound of a subject's entry: families that started before it are revoked. See ``revoke_subject``.

    ``known``: the bound of the entry that is there; ``birth``: the whole second before which the list knows nothing.
    Without ``before``, families that were started ahead of the clock (see ``family_start``) are taken in as well; how
    often it is called moves the bound no further than they can be.
    """
    moment = float(now if before is None else before)
    if not math.isfinite(moment):
        raise ValueError("a time that is not finite")
    bound = moment + 1 if moment == int(moment) else moment
    latest = birth if known is None else max(birth, math.ceil(known))
    if before is None and latest >= bound and not _is_out_of_reach(known, birth, now):
        bound = latest + 0.5
    return bound if known is None else max(bound, known)


def _is_out_of_reach(known: float | None, birth: int, now: float) -> bool:
    """Whether no family starts as late as ``known``. One that had to be alone did if that is a whole second."""
    # Twice that, because it may start by the clock of another host.
    return known is not None and known != int(known) and known > max(now, birth) + 2 * MOST_AHEAD


def family_start(known: float | None, birth: int, now: float, *, alone: bool) -> int:
    """The ``auth_time`` of a new family, and with ``alone`` the new bound of its subject. See ``start_family``."""
    start = max(math.floor(now), birth)
    if known is None:
        return start
    if known > max(now, birth) + MOST_AHEAD:
        raise SubjectRevokedError
    # The family that the last call with ``alone`` started has exactly the bound as its auth_time: the next needs more.
    return max(start, math.floor(known) + 1 if alone else math.ceil(known))
