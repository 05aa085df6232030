"""What every revocation list must do, as tests. A list of your own passes them if an issuer may rely on it.

    class TestMyList(RevocationListConformance):
        def make(self, clock):
            return MyList(empty_place(), clock=clock)

pytest runs the methods. ``pytest.register_assert_rewrite("jwtconnect_mw.testing.revocation")`` in conftest.py makes it
show what was compared.
"""

from __future__ import annotations

from .durability import Durability
from .entries import Entries
from .families import Families
from .processes import Processes
from .races import Races
from .rotation import Rotation


class RevocationListConformance(Entries, Families, Rotation, Durability, Races, Processes):
    """Override ``make``, and ``reopen`` if the data outlives the object; ``beside`` where another handle is had in
    another way. Each test calls ``make`` once.
    """
