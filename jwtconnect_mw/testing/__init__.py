"""For the tests of those who use the package: an issuer on loopback, a clock that is moved by hand, and what a
revocation list must do.
"""

from .clock import ManualClock as ManualClock
from .issuer import FakeIssuer as FakeIssuer
from .revocation import RevocationListConformance as RevocationListConformance
