"""What is no longer good: the RevocationList protocol and its backends."""

from .memory import MemoryRevocationList as MemoryRevocationList
from .protocol import Family as Family
from .protocol import RevocationList as RevocationList
from .protocol import RevocationLookup as RevocationLookup
from .protocol import Step as Step
from .protocol import SubjectRevokedError as SubjectRevokedError
