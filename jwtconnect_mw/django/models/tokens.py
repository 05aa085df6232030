"""One row for each token pair: its identifiers and times, for people and for look-ups by ``jti``.

Never asked on the way in of a request, and never what a verdict rests on: that is the revocation list.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.db import models


class JWTConnectAuthToken(models.Model):
    """A token pair. ``sid`` is the ``sid`` claim of both, ``sequence`` the number of the refresh token in its session.

    ``scope``: of the access token. ``granted_scope``: that of the session, which the refresh token has.
    ``auth_time``: when the session began; of a client's own token its ``iat``, if it says nothing else.
    ``access_kid``, ``refresh_kid``: of the key and of the secret that signed them; without a kid, empty.
    ``issued_second``, ``access_end``, ``refresh_end``: the three times in seconds since the epoch. Without time zones a
    date says less: when summer time ends, an hour comes twice.
    ``is_active``: False where the session was revoked, as far as this table was told.
    No column is unique: a lost answer that is asked for again has the same refresh token, and nothing about a record
    may make a refresh fail.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True)
    issued_at = models.DateTimeField(null=True, blank=True)
    access_expire_at = models.DateTimeField(null=True, blank=True)
    refresh_expire_at = models.DateTimeField(null=True, blank=True)
    audience = models.TextField("aud", null=True, blank=True)
    sid = models.CharField("session", max_length=255, null=True, blank=True)
    sub = models.CharField("subject", max_length=255, null=True, blank=True)
    access_jti = models.CharField(max_length=255, null=True, blank=True)
    refresh_jti = models.CharField(max_length=255, null=True, blank=True)
    is_active = models.BooleanField("not revoked", default=True)
    created = models.DateTimeField(auto_now_add=True)
    client_id = models.TextField("client", blank=True, default="")
    scope = models.TextField(blank=True, default="")
    granted_scope = models.TextField("scope of the session", blank=True, default="")
    auth_time = models.BigIntegerField("began at", null=True, blank=True)
    sequence = models.BigIntegerField(default=0)
    issued_second = models.BigIntegerField(null=True, blank=True, editable=False)
    access_end = models.BigIntegerField(null=True, blank=True, editable=False)
    refresh_end = models.BigIntegerField(null=True, blank=True, editable=False)
    issuer = models.TextField(blank=True, default="")
    access_kid = models.TextField("key of the access token", blank=True, default="")
    refresh_kid = models.TextField("secret of the refresh token", blank=True, default="")

    # The texts of a pair that ``create`` has just made; in memory only.
    access_token: str | None = None
    refresh_token: str | None = None

    class Meta:
        verbose_name = "token pair"
        # Not by ``db_index``, which PostgreSQL would give two indexes for each text.
        indexes = (
            models.Index(fields=("access_jti",), name="jwtconnect_mw_access_jti"),
            models.Index(fields=("refresh_jti",), name="jwtconnect_mw_refresh_jti"),
            models.Index(fields=("sid",), name="jwtconnect_mw_sid"),
            models.Index(fields=("sub",), name="jwtconnect_mw_sub"),
            models.Index(fields=("refresh_expire_at", "access_expire_at"), name="jwtconnect_mw_ends"),
        )

    def __str__(self) -> str:
        return f"{self.user or self.sub}: {self.issued_at}"

    @classmethod
    def create(cls, user: Any, *, aud: str | Collection[str] | None = None, **more: Any) -> JWTConnectAuthToken:
        """Issue a token pair to ``user`` and record it; the texts stand in ``access_token`` and ``refresh_token`` of
        what is returned, and nowhere else.

        ``aud``: the audience, None for that of the issuer. ``scope``, ``claims``, ``client_id``: see Issuer.issue.
        Raises what that raises, and ConfigurationError where the settings name no issuer.
        """
        from ..issuing import issue

        tokens, row = issue(user, audience=aud or None, **more)
        if row is None:
            raise ValueError("a name in the tokens is too long to be recorded, or holds NUL")
        row.access_token, row.refresh_token = tokens.access_token, tokens.refresh_token
        return row

    def decode_access(self) -> dict[str, Any]:
        """The claims of the access token of a pair that ``create`` has just made, verified.

        Raises InvalidJWT, for a row that was read from the database always: it has no texts.
        """
        from ..jwts import JWTConnectAuthKeyHandler

        claims: dict[str, Any] = JWTConnectAuthKeyHandler.decode_jwt(self.access_token or "")
        return claims

    def decode_refresh(self) -> dict[str, Any]:
        """The same of the refresh token, while it is the last one of its session."""
        from ..jwts import decode_refresh

        return decode_refresh(self.refresh_token or "")

    @property
    def iat(self) -> int | None:
        """Seconds since the epoch, as are the next two."""
        return _seconds(self.issued_second, self.issued_at)

    @iat.setter
    def iat(self, value: float) -> None:
        self.issued_second, self.issued_at = int(value), moment(value)

    @property
    def access_exp(self) -> int | None:
        return _seconds(self.access_end, self.access_expire_at)

    @access_exp.setter
    def access_exp(self, value: float) -> None:
        self.access_end, self.access_expire_at = int(value), moment(value)

    @property
    def refresh_exp(self) -> int | None:
        return _seconds(self.refresh_end, self.refresh_expire_at)

    @refresh_exp.setter
    def refresh_exp(self, value: float) -> None:
        self.refresh_end, self.refresh_expire_at = int(value), moment(value)

    @property
    def aud(self) -> list[str]:
        return split_names(self.audience or "")

    @aud.setter
    def aud(self, values: Iterable[str]) -> None:
        self.audience = joined_names(values) or None

    def is_access_expired(self) -> bool:
        return _is_over(self.access_exp)

    def is_refresh_expired(self) -> bool:
        return _is_over(self.refresh_exp)


def joined_names(names: Iterable[str]) -> str:
    """Names of an audience as one text: with spaces between them, as it always was, or as JSON where one has spaces."""
    every = list(names)
    is_plain = all(name and not name.startswith("[") and " " not in name for name in every)
    return " ".join(every) if is_plain else json.dumps(every, ensure_ascii=False)


def split_names(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except ValueError:  # of the older package: a name like any other
            pass
    return text.split(" ") if text else []


def moment(seconds: float) -> datetime.datetime:
    """As this project keeps times in its database."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc if settings.USE_TZ else None)


def _seconds(exactly: int | None, time: datetime.datetime | None) -> int | None:
    """Rows of the older package, and those that somebody else wrote, have the date only."""
    if exactly is not None:
        return exactly
    return None if time is None else int(time.timestamp())


def _is_over(end: int | None) -> bool:
    """What has no end recorded counts as over."""
    from ..conf import wiring

    return end is None or end <= wiring().clock()
