"""The specification of ``world.py`` where two hold the stays, and three compute who hold nothing."""

from collections.abc import Mapping
from typing import Any

from pets.ids import PartyId
from tests.party.world import BOARD, COUNCIL, HELPER, SPEC, stays

LEAKAGE = SPEC[SPEC.index("[[security.leakage]]") : SPEC.index("[[security.leakage]]", SPEC.index("match_count"))]
CLINIC, NORTH, SOUTH = map(PartyId, ("clinic", "north", "south"))
PARTY = """[[party]]
name = "{0}"
organisation = "The {0}"
roles = ["{1}"]
san = "spiffe://{0}.example/pets"
"""
LEGAL = SPEC[SPEC.index("[legal.council]") : SPEC.index("[linkage]")]
HELD = (
    ('roles = ["input", "computing"]', 'roles = ["input"]'),
    (
        '[[party]]\nname = "statistics"',
        "".join(PARTY.format(*each) for each in (("clinic", "input"), ("north", "computing"), ("south", "computing")))
        + '[[party]]\nname = "statistics"',
    ),
    (
        'party = "board"\nmax_rows_per_person = 2\nmax_rows = 40\n',
        "max_rows_per_person = 2\n[dataset.holders]\nboard = 12\nclinic = 9\n",
    ),
    (
        'party = "council"\nmax_rows_per_person = 1\nmax_rows = 40\n',
        "max_rows_per_person = 1\n[dataset.holders]\ncouncil = 12\n",
    ),
    ("[linkage]", LEGAL.replace("council", "clinic") + "[linkage]"),
    ('protocol = "helper_join_a"\n', ""),
    (LEAKAGE, ""),
)
"""Stays that two hold, and three who compute."""

HOLDERS: Mapping[str, Any] = {
    "tables": {"clinic/stays": stays(("IDENTITY-ann", "old", 3), ("IDENTITY-dan", "young", 4))},
    "protocols": ("shared_join",),
    "holders": {"stays": (BOARD, CLINIC), "homes": (COUNCIL,)},
    "computing": (HELPER, NORTH, SOUTH),
}
"""What a ``World`` needs for it."""
