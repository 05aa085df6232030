"""Strict application/x-www-form-urlencoded (RFC 6749 appendix B): one body, one meaning, bounded work."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

MAX_BODY = 64 * 1024
"""Greatest size of a request body, in octets."""
MAX_FIELDS = 32

# A parameter of a media type may be quoted (RFC 9110 section 8.3.1); utf-8 is the only encoding there is.
_CONTENT_TYPE = re.compile(
    r'application/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset=(?:utf-8|"utf-8")[ \t]*)?)?', re.IGNORECASE | re.ASCII
)
_LONGEST_CONTENT_TYPE = 128
_HALF_AN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 8707 section 2 lets this one be repeated; RFC 6749 section 3.2 lets none.
_LISTS = frozenset({"resource"})

Form = dict[str, "str | list[str]"]


class MalformedMessage(ValueError):
    """A request is not what it should be. Its text is constant, or names a parameter of ours; nothing of the input."""


def read_form(content_type: str | None, body: bytes) -> Form:
    """The parameters of a form, those without a value left out (RFC 6749 section 3.2). ``resource`` is a list.

    Raises MalformedMessage for another content type, an encoding other than UTF-8, half an escape, a repeated
    parameter (one without a value counts) and more than 32 fields.
    """
    if content_type is None or len(content_type) > _LONGEST_CONTENT_TYPE or not _CONTENT_TYPE.fullmatch(content_type):
        raise MalformedMessage("The content type must be application/x-www-form-urlencoded.")
    if not body.isascii():
        raise MalformedMessage("The form is not UTF-8, percent-encoded.")
    text = body.decode("ascii")
    if _HALF_AN_ESCAPE.search(text):
        raise MalformedMessage("The form has a malformed escape.")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise MalformedMessage("The form is not UTF-8, percent-encoded.") from None
    except ValueError:
        raise MalformedMessage("The form has too many fields.") from None
    form: Form = {}
    named = set[str]()
    for name, value in pairs:
        if name in _LISTS:
            if value:
                form.setdefault(name, []).append(value)  # type: ignore[union-attr]  # a list for these names only
        elif name in named:
            raise MalformedMessage("A parameter is repeated.")
        elif value:
            form[name] = value
        named.add(name)
    return form
