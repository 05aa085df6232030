"""What the package promises as a whole: its names, its imports, its silence."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import jwtconnect_mw
from jwtconnect_mw import AuthError, BearerAuth, TrustedIssuer, errors
from jwtconnect_mw._http import refusal
from jwtconnect_mw._jose import SigningKey
from jwtconnect_mw.errors import NoCredentials
from jwtconnect_mw.testing import FakeIssuer

from .kit import SECRET, jwks, key, policy, token
from .kit import auth as make_auth

PUBLIC = {
    "ANY_AUDIENCE",
    "AccessToken",
    "Anonymous",
    "AuthError",
    "BearerAuth",
    "ConfigurationError",
    "HttpFetch",
    "TrustedIssuer",
}


def test_public_names() -> None:
    names = {
        name
        for name, value in vars(jwtconnect_mw).items()
        if not name.startswith("_") and not hasattr(value, "__path__")
    }
    modules = {name for name in names if isinstance(getattr(jwtconnect_mw, name), type(sys))}
    assert names - modules == PUBLIC


def test_importing_brings_in_no_optional_part() -> None:
    script = "import sys, jwtconnect_mw, jwtconnect_mw.wsgi, jwtconnect_mw.asgi; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "jwtconnect_mw" in loaded
    assert not {"werkzeug", "django", "redis", "oidcmsg", "uvicorn", "starlette"} & set(loaded)


def all_errors(kind: type[AuthError] = AuthError) -> list[type[AuthError]]:
    """Ours, not those of tests."""
    ours = (child for child in kind.__subclasses__() if child.__module__.startswith("jwtconnect_mw."))
    return [kind, *(found for child in ours for found in all_errors(child))]


class OwnError(AuthError):
    """A host's own, with a reason that there is."""

    reason = NoCredentials.reason
    description = "Log in."


def test_an_answer_is_that_of_its_own_error() -> None:
    bearer_auth = make_auth()
    own, ours = bearer_auth.refuse(OwnError()), bearer_auth.refuse(NoCredentials())
    assert own == refusal(OwnError()) != ours == refusal(NoCredentials())
    assert bearer_auth.refuse(OwnError()) == own


@pytest.mark.parametrize("scope", ["a\r\nSet-Cookie: x", "\xe4", "a\x7f", "a\tb"])
def test_a_scope_makes_no_headers(scope: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        errors.InsufficientScope(scope)


def test_every_reason_is_unique_documented_and_well_formed() -> None:
    kinds = all_errors()
    reasons = [kind.reason for kind in kinds]
    assert len(set(reasons)) == len(reasons)
    for kind in kinds[1:]:
        arguments = {"InsufficientScope": ("read",)}.get(
            kind.__name__, (7,) if issubclass(kind, errors.Unavailable) else ()
        )
        error = kind(*arguments)
        assert kind.__name__ in (errors.__doc__ or "")
        assert str(error) == kind.description
        response = refusal(error, realm='a "quoted\\ realm', resource_metadata="https://api.example/.well-known/x")
        headers = dict(response.headers)
        assert response.status == kind.status
        assert int(headers["Content-Length"]) == len(response.body)
        if kind.status == 503:
            assert headers["Retry-After"] == "7"
        else:
            challenge = headers["WWW-Authenticate"]
            assert challenge.startswith('Bearer realm="a \\"quoted\\\\ realm"')
            assert challenge.endswith('resource_metadata="https://api.example/.well-known/x"')
        # RFC 6750 section 3: these values are free of quotes and backslashes.
        assert '"' not in kind.description
        assert "\\" not in kind.description


def test_nothing_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, on the root logger, with every library that is used."""
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG), FakeIssuer() as issuer:
        remote = BearerAuth(TrustedIssuer(issuer.url, audience=issuer.audience))
        shared = make_auth(policy(keys=SECRET, algorithms=["HS256"]))
        secrets = [SECRET.decode(), key()._key.serialize(private=True)["d"]]
        for bearer_auth, text in [
            (remote, issuer.token()),
            (remote, issuer.token(key=SigningKey.generate("ES256"))),
            (remote, issuer.token({"exp": 1})),
            (shared, token()),
            (make_auth(), token()),
            (make_auth(), token({"aud": "x"})),
            (make_auth(), token() + "x"),
        ]:
            secrets += [text, *text.split("."), "alice"]
            try:
                seen.append(repr(bearer_auth.authenticate("Bearer " + text)))
            except AuthError as error:
                seen += [repr(error), str(error), repr(bearer_auth.refuse(error))]
            seen += [repr(bearer_auth), repr(vars(bearer_auth)), repr(bearer_auth.health())]
        seen += [repr(key()), repr(policy()), repr(remote._store.snapshot.find(issuer.keys[0].kid, "ES256"))]
    text = "\n".join([caplog.text, *seen])
    for secret in secrets:
        assert secret not in text


def test_a_foreign_key_of_every_kind_is_compared_by_material() -> None:
    one, same, other = (
        make_auth(policy(keys=jwks(k)))._store.snapshot.find(k.kid, "ES256")[0]
        for k in (key(), key(), key("ES256", "b"))
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "key"


def test_secrets_are_not_generated() -> None:
    with pytest.raises(ValueError, match="shared secret"):
        SigningKey.generate("HS256")
