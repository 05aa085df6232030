"""By which a reader of the list's changes notices that the database was put back from an older copy."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from ...revocation.cursors import new_mark


def begin(apps: Any, schema_editor: Any) -> None:
    """What is there has a mark too, so that readers have a place."""
    using = schema_editor.connection.alias
    marks = apps.get_model("jwtconnect_mw", "RevocationMark").objects.using(using)
    for state in apps.get_model("jwtconnect_mw", "RevocationState").objects.using(using):
        marks.create(serial=state.serial, mark=new_mark())


class Migration(migrations.Migration):
    dependencies = [("jwtconnect_mw", "0002_state")]
    operations = [
        migrations.CreateModel(
            name="RevocationMark",
            fields=[
                ("serial", models.BigIntegerField(primary_key=True, serialize=False)),
                ("mark", models.BigIntegerField(unique=True)),
            ],
            options={
                "verbose_name": "mark of a revocation",
                "verbose_name_plural": "marks of revocations",
            },
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
