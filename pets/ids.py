"""Plain words that all three towers share. Imports nothing of ours."""

import re
from typing import Final, NewType

PartyId = NewType("PartyId", str)
"""Name of a party in one specification and in a directory file: ``board``, ``council``."""

SpecDigest = NewType("SpecDigest", str)
"""SHA-256 of the canonical form of a specification, 64 lower-case hex digits."""

PlanDigest = NewType("PlanDigest", str)
"""SHA-256 of the canonical form of a plan, 64 lower-case hex digits."""

RunHandle = NewType("RunHandle", str)
"""16 random bytes in hex by which a client names a run before its run id exists."""

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""What a party, dataset or column may be called (columns may also use capitals, see spec/model.py)."""

RUN_ID_BYTES: Final = 32

MISSING: Final = "(missing)"
"""The level that holds NULL dimensions and the unmatched rows of a LEFT JOIN. Always in a domain."""

WITHHELD: Final = "withheld"
"""What stands in a released table in the place of a number that disclosure control withholds."""
