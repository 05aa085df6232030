"""What is no longer good: the RevocationList protocol and its backends."""

from .memory import MemoryRevocationList as MemoryRevocationList
from .protocol import RevocationList as RevocationList
