"""For the tests of those who use the package: an issuer that runs on loopback, and a clock that is moved by hand."""

from .clock import ManualClock as ManualClock
from .issuer import FakeIssuer as FakeIssuer
