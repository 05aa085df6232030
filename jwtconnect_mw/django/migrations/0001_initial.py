"""The first tables."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RefreshFamily",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("what", models.TextField()),
                ("sequence", models.BigIntegerField(default=0)),
                ("issued_at", models.BigIntegerField(default=0)),
                ("expires_at", models.BigIntegerField(default=0)),
                ("advanced_at", models.FloatField(default=0.0)),
                ("ends", models.FloatField(db_index=True)),
            ],
            options={
                "verbose_name": "refreshed session",
                "verbose_name_plural": "refreshed sessions",
            },
        ),
        migrations.CreateModel(
            name="RevocationEntry",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("kind", models.SmallIntegerField()),
                ("what", models.TextField()),
                ("ends", models.FloatField(db_index=True)),
                ("bound", models.FloatField(default=0.0)),
                ("serial", models.BigIntegerField(db_index=True)),
            ],
            options={
                "verbose_name": "revocation",
            },
        ),
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
        migrations.CreateModel(
            name="RevocationState",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("epoch", models.CharField(max_length=32)),
                ("birth", models.BigIntegerField()),
                ("serial", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "state of the revocation list",
                "verbose_name_plural": "state of the revocation list",
            },
        ),
        migrations.CreateModel(
            name="JWTConnectAuthToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("issued_at", models.DateTimeField(blank=True, null=True)),
                ("access_expire_at", models.DateTimeField(blank=True, null=True)),
                ("refresh_expire_at", models.DateTimeField(blank=True, null=True)),
                ("audience", models.TextField(blank=True, null=True, verbose_name="aud")),
                ("sid", models.CharField(blank=True, max_length=255, null=True, verbose_name="session")),
                ("sub", models.CharField(blank=True, max_length=255, null=True, verbose_name="subject")),
                ("access_jti", models.CharField(blank=True, max_length=255, null=True)),
                ("refresh_jti", models.CharField(blank=True, max_length=255, null=True)),
                ("is_active", models.BooleanField(default=True, verbose_name="not revoked")),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("client_id", models.TextField(blank=True, default="", verbose_name="client")),
                ("scope", models.TextField(blank=True, default="")),
                ("granted_scope", models.TextField(blank=True, default="", verbose_name="scope of the session")),
                ("auth_time", models.BigIntegerField(blank=True, null=True, verbose_name="began at")),
                ("sequence", models.BigIntegerField(default=0)),
                ("issued_second", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("access_end", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("refresh_end", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("issuer", models.TextField(blank=True, default="")),
                ("access_kid", models.TextField(blank=True, default="", verbose_name="key of the access token")),
                ("refresh_kid", models.TextField(blank=True, default="", verbose_name="secret of the refresh token")),
                (
                    "user",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "token pair",
                "indexes": [
                    models.Index(fields=["access_jti"], name="jwtconnect_mw_access_jti"),
                    models.Index(fields=["refresh_jti"], name="jwtconnect_mw_refresh_jti"),
                    models.Index(fields=["sid"], name="jwtconnect_mw_sid"),
                    models.Index(fields=["sub"], name="jwtconnect_mw_sub"),
                    models.Index(fields=["refresh_expire_at", "access_expire_at"], name="jwtconnect_mw_ends"),
                ],
            },
        ),
    ]
