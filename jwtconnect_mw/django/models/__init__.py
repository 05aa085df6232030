"""What the database holds: identifiers, times and states. Never the text of a token."""

from .revocation import RefreshFamily as RefreshFamily
from .revocation import RevocationEntry as RevocationEntry
from .revocation import RevocationMark as RevocationMark
from .revocation import RevocationState as RevocationState
from .tokens import JWTConnectAuthToken as JWTConnectAuthToken
