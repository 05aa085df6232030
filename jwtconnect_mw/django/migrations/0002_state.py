"""The list is born with its tables, so that the first look-up need not write."""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.db import migrations


def begin(apps: Any, schema_editor: Any) -> None:
    rows = apps.get_model("jwtconnect_mw", "RevocationState").objects.using(schema_editor.connection.alias)
    rows.get_or_create(pk=1, defaults={"epoch": secrets.token_hex(16), "birth": int(time.time())})


class Migration(migrations.Migration):
    dependencies = [("jwtconnect_mw", "0001_initial")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
