"""A login that hands out tokens, notes that need one, and a page that says what to try."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from jwtconnect_mw.django import issuing
from jwtconnect_mw.django.decorators import public, scopes_required

from .models import Note

SCOPE = "read write introspect"
PAGE = """\
Log in:        curl -d username=NAME -d password=PASSWORD {url}/login
Read notes:    curl -H "Authorization: Bearer $ACCESS" {url}/notes
Write one:     curl -H "Authorization: Bearer $ACCESS" -d text=hello {url}/notes
Refresh:       curl -d grant_type=refresh_token -d refresh_token=$REFRESH {url}/oauth/token
Introspect:    curl -H "Authorization: Bearer $ACCESS" -d token=$ACCESS {url}/oauth/introspect
As of old:     curl -d token=$REFRESH {url}/token/refresh
               curl -H "Authorization: Bearer $ACCESS" -d jti=JTI {url}/token/introspection
Log out:       curl -H "Authorization: Bearer $ACCESS" -X POST {url}/logout
Issued tokens: {url}/admin/jwtconnect_mw/jwtconnectauthtoken/
Metadata:      {url}/.well-known/oauth-authorization-server
"""


@public
def index(_request: Any) -> HttpResponse:
    return HttpResponse(PAGE.format(url=settings.URL), content_type="text/plain; charset=utf-8")


@csrf_exempt  # it sets no cookie, so there is nothing that another site could make a browser do
@public
@require_POST
@never_cache
@sensitive_post_parameters("password")
def login(request: Any) -> JsonResponse:
    user = authenticate(request, username=request.POST.get("username"), password=request.POST.get("password"))
    if user is None:
        return JsonResponse({"error": "wrong name or password"}, status=403)
    tokens, _ = issuing.issue(user, scope=SCOPE)
    return JsonResponse(tokens.to_dict())


@require_POST
def logout(request: Any) -> HttpResponse:
    issuing.issuer().revoke(session=request.jwt.claims["sid"])
    return HttpResponse(status=204)


@require_http_methods(["GET", "HEAD", "POST"])
@scopes_required("read")
def notes(request: Any) -> HttpResponse:
    return add(request) if request.method == "POST" else mine(request)


def mine(request: Any) -> JsonResponse:
    found = Note.objects.filter(owner=request.user).order_by("pk")
    return JsonResponse({"user": request.user.get_username(), "notes": [note.text for note in found]})


@scopes_required("write")
def add(request: Any) -> HttpResponse:
    text = request.POST.get("text", "")
    if not 0 < len(text) <= Note._meta.get_field("text").max_length or "\0" in text:
        return JsonResponse({"error": "a note has 1 to 200 characters"}, status=400)
    Note.objects.create(owner=request.user, text=text)
    return HttpResponse(status=201)
