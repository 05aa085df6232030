"""The list is born with its tables, so that the first look-up need not write."""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.db import migrations

from ...revocation.cursors import new_mark


def begin(apps: Any, schema_editor: Any) -> None:
    """Its first state has a mark too, so that readers have a place."""
    using = schema_editor.connection.alias
    states = apps.get_model("jwtconnect_mw", "RevocationState").objects.using(using)
    state, _ = states.get_or_create(pk=1, defaults={"epoch": secrets.token_hex(16), "birth": int(time.time())})
    marks = apps.get_model("jwtconnect_mw", "RevocationMark").objects.using(using)
    marks.get_or_create(serial=state.serial, defaults={"mark": new_mark()})


class Migration(migrations.Migration):
    dependencies = [("jwtconnect_mw", "0001_initial")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
