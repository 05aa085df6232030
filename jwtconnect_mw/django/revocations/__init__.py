"""A revocation list in the project's database: for all its processes and hosts, over a restart or a crash."""

from .orm import OrmRevocationList as OrmRevocationList
