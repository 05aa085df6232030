"""A tiny issuer: hands tokens out, refreshes, introspects and revokes them (RFC 6749, 7009, 7662, 8414, 9068)."""

from .app import IssuerApp as IssuerApp
from .errors import GrantError as GrantError
from .keys import SigningKeys as SigningKeys
from .service import Issuer as Issuer
from .tokens import Tokens as Tokens
