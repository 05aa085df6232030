"""The tables of the revocation list. Only ``OrmRevocationList`` reads and writes them.

Names come from tokens: they are long, differ in case only, hold NUL (which PostgreSQL refuses) or anything else. So
rows are found by a digest, and ``what`` is ASCII: the JSON text of the list of issuer and name.
"""

from __future__ import annotations

from django.db import models


class RevocationEntry(models.Model):
    """A revoked token, session or subject. ``ends`` and ``bound`` are seconds since the epoch; see ``revocation``.

    ``serial`` is new whenever the entry changes, and larger than any other that is committed.
    """

    key = models.CharField(max_length=64, primary_key=True)
    kind = models.SmallIntegerField()
    what = models.TextField()
    ends = models.FloatField(db_index=True)
    bound = models.FloatField(default=0.0)
    serial = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name = "revocation"

    def __str__(self) -> str:
        return str(self.key)


class RefreshFamily(models.Model):
    """A session that was refreshed: see ``revocation.rotation.Record``. A row with number 0 says nothing."""

    key = models.CharField(max_length=64, primary_key=True)
    what = models.TextField()
    sequence = models.BigIntegerField(default=0)
    issued_at = models.BigIntegerField(default=0)
    expires_at = models.BigIntegerField(default=0)
    advanced_at = models.FloatField(default=0.0)
    ends = models.FloatField(db_index=True)

    class Meta:
        verbose_name = "refreshed session"
        verbose_name_plural = "refreshed sessions"

    def __str__(self) -> str:
        return str(self.key)


class RevocationState(models.Model):
    """The one row that every write of an entry locks and counts up. ``birth``: the second in which it was made."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.CharField(max_length=32)
    birth = models.BigIntegerField()
    serial = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "state of the revocation list"
        verbose_name_plural = "state of the revocation list"

    def __str__(self) -> str:
        return str(self.epoch)


class RevocationMark(models.Model):
    """One for each of the last writes of entries, by the state's serial: see ``revocation.cursors``."""

    serial = models.BigIntegerField(primary_key=True)
    mark = models.BigIntegerField(unique=True)

    class Meta:
        verbose_name = "mark of a revocation"
        verbose_name_plural = "marks of revocations"

    def __str__(self) -> str:
        return str(self.serial)
