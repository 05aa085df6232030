"""What the rows of the list have in common: by what they are found, until when they are kept, how they go."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from django.db import connections
from django.db.models import QuerySet

TOKEN, SESSION, SUBJECT = range(3)
_FARTHEST = 1e300  # what every database can hold


def what_of(issuer: str, name: str) -> str:
    return json.dumps([issuer, name])


def key_of(kind: int, issuer: str, name: str) -> str:
    return sha256(f"{kind} {what_of(issuer, name)}".encode()).hexdigest()


def kept(ends: float) -> float:
    return min(max(ends, -_FARTHEST), _FARTHEST)


def purge(rows: QuerySet[Any], now: float, limit: int) -> int:
    """Drop at most ``limit`` rows whose end has come. Those that somebody else has locked are left to the next time."""
    skip = connections[rows.db].features.has_select_for_update_skip_locked
    ended = rows.select_for_update(skip_locked=skip).filter(ends__lte=now).order_by("ends")
    keys = list(ended.values_list("key", flat=True)[:limit])
    return rows.filter(key__in=keys).delete()[0] if keys else 0
