"""The one decision of ``advance``. Every backend asks it, under its own lock or in its own transaction."""

from __future__ import annotations

from typing import NamedTuple

from .entries import known_end
from .protocol import Family, Step


class Record(NamedTuple):
    """What is kept of a family that was refreshed: its current number, the ``iat`` and ``exp`` of that token, when it
    took its place (all in seconds), and until when the record is needed. No record means number 0.
    """

    sequence: int
    issued_at: int
    expires_at: int
    advanced_at: float
    ends: float


class Outcome(NamedTuple):
    """The answer, and what must be true before it is given: ``record`` stored, the session revoked until then."""

    step: Step
    record: Record | None = None
    revoke_until: float | None = None


def decide(
    record: Record | None,
    family: Family,
    presented: int,
    *,
    revoked: bool,
    birth: int,
    client_id: str,
    issued_at: int,
    expires_at: int,
    keep_until: float,
    now: float,
    grace: float,
) -> Outcome:
    """See ``RevocationList.advance``. ``revoked``: of the session or the subject, as the same transaction read it.

    ``birth``: the whole second before which the list knows nothing. ``record`` is None where there is none.
    """
    ends = known_end(keep_until)
    if revoked:
        return Outcome(Step("revoked"))
    current, same_client = 0, client_id == family.client_id
    if record is not None:
        current, ends = record.sequence, max(ends, record.ends)
    if family.started < birth or presented > current or (presented == current and not same_client):
        return Outcome(Step("unknown"))
    if presented == current:
        successor = Record(current + 1, issued_at, expires_at, now, ends)
        return Outcome(Step("advanced", *successor[:3]), successor)
    # A clock that went back, or another host's that is behind, is inside as far as it would be outside when ahead: the
    # usual step is small and the retry honest, a large one is refused.
    if record is not None and presented == current - 1 and same_client and abs(now - record.advanced_at) < grace:
        return Outcome(Step("again", *record[:3]), record._replace(ends=ends) if ends > record.ends else None)
    return Outcome(Step("reuse"), revoke_until=ends)
