"""The Response value of the core as Django's."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from .._http import Response


def to_django(response: Response, method: str | None) -> Any:
    """A new HttpResponse each time: middleware writes into it."""
    body = b"" if method == "HEAD" else response.body
    return HttpResponse(body, status=response.status, headers=dict(response.headers))
