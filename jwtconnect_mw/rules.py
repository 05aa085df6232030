"""Which requests need no token. A path counts only in normal form: an odd one never matches a public rule."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from .errors import ConfigurationError

# Printable ASCII segments, none of them "." or "..", no empty one but the last, no escape or backslash left over.
_SEGMENT = r"(?!\.{1,2}(?:/|$))[!-$&-.0-\[\]-~]+"
_NORMAL = re.compile(rf"(?:/{_SEGMENT})+/?")
_SCOPE = re.compile(r"[!#-\[\]-~]+")


class Rules:
    """Public path prefixes, matched by whole segments: "/docs" covers "/docs" and "/docs/a", not "/docs2"."""

    def __init__(self, public: Collection[str]) -> None:
        if isinstance(public, (str, bytes)) or not isinstance(public, Iterable):
            raise ConfigurationError("public", "a collection of path prefixes is needed")
        public = tuple(public)
        for prefix in public:
            if not isinstance(prefix, str) or not _NORMAL.fullmatch(prefix):
                raise ConfigurationError("public", "each prefix is a path in normal form, such as '/health'")
        self._prefixes = tuple(sorted({prefix.rstrip("/") + "/" for prefix in public}))

    def is_public(self, path: str | None) -> bool:
        """Whether ``path`` (decoded, as the application sees it) needs no token. None, like any odd path, does."""
        if not self._prefixes or path is None or not _NORMAL.fullmatch(path):
            return False
        return (path.rstrip("/") + "/").startswith(self._prefixes)


def checked_scopes(field: str, scopes: Collection[str]) -> tuple[str, ...]:
    """The scopes of a setting, each a scope-token (RFC 6749 section 3.3). Raises ConfigurationError."""
    if isinstance(scopes, (str, bytes)) or not isinstance(scopes, Iterable):
        raise ConfigurationError(field, "a collection of scopes is needed")
    checked = tuple(scopes)
    if not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in checked):
        raise ConfigurationError(field, "each scope is one or more characters of %x21 / %x23-5B / %x5D-7E")
    return checked
