"""The Response value of the core as Django's."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from .._http import Response


def to_django(response: Response, method: str | None) -> Any:
    """A new HttpResponse each time: middleware writes into it."""
    body = b"" if method == "HEAD" else response.body
    headers = dict(response.headers)
    answer = HttpResponse(body, status=response.status, headers=headers)
    if "Content-Type" not in headers:  # of a 304, to which Django adds its own
        del answer["Content-Type"]
    return answer
