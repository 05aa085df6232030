"""Carries over the table of django-jwtconnect-auth: identifiers and times. The texts of the tokens are not read, nor
the ``sid``, which was the key of a Django session and as good as a password. The older table stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps.registry import Apps
from django.contrib.auth import get_user_model
from django.db import connections, models, transaction
from django.utils import timezone

from .models import JWTConnectAuthToken

TABLE = "jwtconnect_auth_jwtconnectauthtoken"
_COPIED = (
    "user_id",
    "issued_at",
    "access_expire_at",
    "refresh_expire_at",
    "audience",
    "sub",
    "access_jti",
    "refresh_jti",
    "is_active",
    "created",
)


class Carried(NamedTuple):
    """How many rows were copied, were there already, and had no user or no identifier to be known by."""

    copied: int = 0
    known: int = 0
    left: int = 0


class NoOldTable(LookupError):
    """There is no table of that name, or it has other columns."""


def carry_over(*, using: str = "default", table: str = TABLE, batch: int = 1000) -> Iterator[Carried]:
    """After each batch, which is one transaction: the numbers so far. Rows that were copied before are left alone.

    Raises NoOldTable.
    """
    rows = _old_model(using, table)._base_manager.using(using).order_by("pk").only("pk", *_COPIED)
    last, total = None, Carried()
    while page := list((rows if last is None else rows.filter(pk__gt=last))[:batch]):
        with transaction.atomic(using):
            found = _copied(page, using)
        last, total = page[-1].pk, Carried(*map(sum, zip(total, found, strict=True)))
        yield total


def _old_model(using: str, table: str) -> Any:
    """The columns of the older package's last version, but those that are not to be read."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            raise NoOldTable(f"there is no table {table}")
        columns = {column.name for column in connection.introspection.get_table_description(cursor, table)}
    if not columns.issuperset(_COPIED):
        raise NoOldTable(f"{table} is not of the last version of the older package: run its own migrations first")
    times = {name: models.DateTimeField(null=True) for name in _COPIED if name.endswith(("_at", "created"))}
    names = {name: models.TextField(null=True) for name in ("audience", "sub", "access_jti", "refresh_jti")}
    options = type("Meta", (), {"app_label": "older", "db_table": table, "managed": False, "apps": Apps()})
    return type(
        "Older",
        (models.Model,),
        {
            "__module__": __name__,
            "Meta": options,
            "id": models.BigAutoField(primary_key=True),
            "user_id": _user_key(),
            "is_active": models.BooleanField(default=True),
            **times,
            **names,
        },
    )


def _user_key() -> Any:
    key: Any = get_user_model()._meta.pk
    while key.remote_field:  # of a model that it inherits from, in whose table the value is made
        key = key.target_field
    _, _, args, options = key.deconstruct()
    if isinstance(key, models.AutoField | models.BigAutoField | models.SmallAutoField):
        return models.BigIntegerField(db_column="user_id")
    return type(key)(*args, **{**options, "primary_key": False, "db_column": "user_id", "name": "user_id"})


def _copied(page: list[Any], using: str) -> Carried:
    """Who is known already, or belongs to nobody, is found out for all of them at once."""
    new = JWTConnectAuthToken._base_manager.using(using)
    users = get_user_model()._base_manager.using(using)
    users_there = set(users.filter(pk__in={row.user_id for row in page}).values_list("pk", flat=True))
    known: set[str | None] = set()
    for name in ("access_jti", "refresh_jti"):
        given = {getattr(row, name) for row in page} - {None}
        known |= set(new.filter(**{f"{name}__in": given}).values_list(name, flat=True))
    rows, there, left = [], 0, 0
    for row in page:
        if row.user_id not in users_there or not (row.access_jti or row.refresh_jti):
            left += 1
        elif {row.access_jti, row.refresh_jti} & known:
            there += 1
        else:
            rows.append(JWTConnectAuthToken(**{name: getattr(row, name) or None for name in _COPIED}))
            rows[-1].is_active, rows[-1].created = row.is_active, row.created or timezone.now()
    for row in rows:
        row.save_base(raw=True, force_insert=True, using=using)  # as fixtures are loaded: ``created`` stays as it is
    return Carried(len(rows), there, left)
