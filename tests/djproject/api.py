"""A URLconf for the case table: every path is the same view, plain, async, or of Django REST framework."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import re_path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

from jwtconnect_mw.django.authentication import JWTConnectAuthBearer

from ..adapters import seen


def _answer(token: Any) -> HttpResponse:
    return HttpResponse(seen(token, token and token.claims), content_type="application/json")


def plain(request: Any) -> HttpResponse:
    return _answer(request.jwt)


async def asynchronous(request: Any) -> HttpResponse:
    return _answer(request.jwt)


METHODS = ["GET", "OPTIONS", "POST"]


@api_view(METHODS)
@authentication_classes([JWTConnectAuthBearer])
@permission_classes([IsAuthenticated])
def rest(request: Any) -> Response:
    return Response({"authenticated": True, "claims": request.auth.claims})


@api_view(METHODS)
@authentication_classes([JWTConnectAuthBearer])
@permission_classes([AllowAny])
def rest_behind(request: Any) -> Response:
    token = request.auth
    return Response({"authenticated": token is not None, "claims": token and token.claims})


class Urls:
    """A URLconf is any object with this name."""

    def __init__(self, view: Any) -> None:
        self.urlpatterns = [re_path("", view)]
