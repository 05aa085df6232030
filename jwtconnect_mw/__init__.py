"""JWT access-token security in front of any WSGI or ASGI application.

``BearerAuth`` and ``TrustedIssuer`` say what is demanded; ``jwtconnect_mw.wsgi`` and ``jwtconnect_mw.asgi`` put it in
front of an application.
"""

from .auth import BearerAuth as BearerAuth
from .errors import AuthError as AuthError
from .errors import ConfigurationError as ConfigurationError
from .fetch import HttpFetch as HttpFetch
from .policy import ANY_AUDIENCE as ANY_AUDIENCE
from .policy import TrustedIssuer as TrustedIssuer
from .token import AccessToken as AccessToken
from .token import Anonymous as Anonymous
