"""The URL of a Redis or Valkey server: only what redis-py reads as it was meant."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from ..errors import ConfigurationError

_OPTIONS = re.compile(r"db|username|password|client_name|ssl_[a-z_]+")

_SAFE = {"ssl_cert_reqs": ("required",), "ssl_check_hostname": ("true",)}  # what redis-py may be told of these


def checked_scheme(url: str) -> str:
    """The scheme. Raises ConfigurationError for what redis-py would read as something else than was meant."""
    problem, scheme = "redis://, rediss:// or unix:// and a server are needed", ""
    with suppress(ValueError):  # whose text may hold a part of a password that was not percent-encoded
        parts = urlsplit(url)
        scheme, port = parts.scheme, parts.port
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        place = parts.path if scheme == "unix" else parts.hostname
        if scheme not in ("redis", "rediss", "unix") or not place:
            pass
        elif parts.fragment or not all(_OPTIONS.fullmatch(name) for name in options):
            problem = (
                "only the options db, username, password, client_name and ssl_* are known; encode # and ? as %23, %3F"
            )
        elif any(value.lower() not in _SAFE[name] for name in _SAFE for value in options.get(name, ())):
            problem = "the server's certificate, and the host that it is for, are always checked"
        elif port == 0:
            problem = "0 is no port"
        elif scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
            problem = "the path is the number of a database"
        else:
            problem = ""
    if problem:
        raise ConfigurationError("url", problem)
    return scheme
