"""Who is measured for which case of a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import contenders, frameworks, hosts, ours, raw
from .hosts import One
from .tokens import Signer

OUR_WSGI, OUR_ASGI, RAW = "ours WSGI", "ours ASGI", "raw cryptography"
PYJWT_WSGI, PYJWT_ASGI = "PyJWT WSGI", "PyJWT ASGI"
BARE_WSGI, BARE_ASGI, BARE_FLASK, EMPTY = "bare WSGI", "bare ASGI", "bare Flask", "empty call"


@dataclass(frozen=True)
class Lane:
    name: str
    build: Callable[[Signer, str], One]  # the key, and a good token to begin with
    item: Callable[[str], Any]  # an Authorization value -> the input of one request
    base: str | None
    remote: Callable[[Signer], One] | None = None  # ours, with keys from a URL
    slow: bool = False
    accepts_unknown_kid: bool = False


def fixed(one: One) -> Callable[[Signer, str], One]:
    return lambda source, prime: one


def raw_item(value: str) -> tuple[bytes, bytes]:
    return raw.split(value.removeprefix("Bearer "))


def raw_refusing(source: Signer, prime: str) -> One:
    return raw.verifier(source)


LANES = [
    Lane(EMPTY, fixed(raw.nothing), raw_item, None),
    Lane(BARE_WSGI, fixed(hosts.call_wsgi(hosts.wsgi_ok)), hosts.environ, None),
    Lane(BARE_ASGI, fixed(hosts.call_asgi(hosts.asgi_ok)), hosts.scope, None),
    Lane(BARE_FLASK, lambda source, prime: hosts.call_wsgi(frameworks.flask_app()), hosts.environ, None, slow=True),
    Lane(RAW, raw_refusing, raw_item, EMPTY),
    Lane(
        OUR_WSGI,
        lambda source, prime: ours.wsgi(ours.auth(source), prime),
        hosts.environ,
        BARE_WSGI,
        lambda source: ours.wsgi(ours.remote(source)),
    ),
    Lane(
        OUR_ASGI,
        lambda source, prime: ours.asgi(ours.auth(source), prime),
        hosts.scope,
        BARE_ASGI,
        lambda source: ours.asgi(ours.remote(source)),
    ),
    Lane(
        PYJWT_WSGI,
        lambda source, prime: hosts.call_wsgi(contenders.PyJWTWSGI(hosts.wsgi_ok, source)),
        hosts.environ,
        BARE_WSGI,
        accepts_unknown_kid=True,
    ),
    Lane(
        PYJWT_ASGI,
        lambda source, prime: hosts.call_asgi(contenders.PyJWTASGI(hosts.asgi_ok, source)),
        hosts.scope,
        BARE_ASGI,
        accepts_unknown_kid=True,
    ),
    Lane(
        "Starlette + PyJWT",
        lambda source, prime: hosts.call_asgi(frameworks.starlette_pyjwt(hosts.asgi_ok, source)),
        hosts.scope,
        BARE_ASGI,
        slow=True,
    ),
    Lane(
        "oidcmsg from_jwt",
        lambda source, prime: hosts.call_wsgi(contenders.oidcmsg_wsgi(hosts.wsgi_ok, source)),
        hosts.environ,
        BARE_WSGI,
        slow=True,
    ),
    Lane(
        "flask-jwt-extended",
        lambda source, prime: hosts.call_wsgi(frameworks.flask_jwt_extended(source)),
        hosts.environ,
        BARE_FLASK,
        slow=True,
    ),
    Lane(
        "Authlib protector",
        lambda source, prime: hosts.call_wsgi(frameworks.authlib_protector(source)),
        hosts.environ,
        BARE_FLASK,
        slow=True,
    ),
]
