"""What the package of the issuer promises as a whole: its names, and what importing it brings in."""

from __future__ import annotations

import subprocess
import sys

import jwtconnect_mw.issuer


def test_public_names() -> None:
    public = {
        name
        for name, value in vars(jwtconnect_mw.issuer).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == {"GrantError", "Issuer", "IssuerApp", "SigningKeys", "Tokens"}


def test_only_what_needs_the_issuer_pays_for_it() -> None:
    script = (
        "import sys, jwtconnect_mw, jwtconnect_mw.wsgi, jwtconnect_mw.asgi, jwtconnect_mw.revocation, "
        "jwtconnect_mw.testing; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"werkzeug", "oidcmsg", "jwtconnect_mw.issuer"} & set(loaded)
    script = "import sys, jwtconnect_mw.issuer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"werkzeug", "oidcmsg"} <= set(loaded)
    # Its clock is wrong, and it does not compile without a warning.
    assert not {"oidcmsg.oidc", "oidcmsg.time_util", "django", "redis", "starlette"} & set(loaded)
