"""The list is born with its tables, and again when they were emptied, so that the first look-up need not write.

A write of its own would be refused inside a transaction of SQLite.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.db import connections, router

from ...revocation.cursors import new_mark
from ..models import RevocationMark, RevocationState


def begin(using: str, **_: Any) -> None:
    """A receiver of ``post_migrate``, which ``flush`` sends too: tests that commit empty the tables between them.

    Its first state has a mark too, so that readers have a place.
    """
    connection = connections[using]
    if not router.allow_migrate_model(using, RevocationState):
        return
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
    if not {model._meta.db_table for model in (RevocationState, RevocationMark)}.issubset(names):
        return  # migrated back, or not yet here
    new = {"epoch": secrets.token_hex(16), "birth": int(time.time())}
    state, is_new = RevocationState._base_manager.using(using).get_or_create(pk=1, defaults=new)
    if is_new:
        RevocationMark._base_manager.using(using).get_or_create(serial=state.serial, defaults={"mark": new_mark()})
