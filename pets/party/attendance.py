"""Of sums over one table of many holders: who counts, and what a computing party knows of those who do not."""

from dataclasses import dataclass

from pets.ids import PartyId


@dataclass(frozen=True, slots=True)
class Attendance:
    """What a computing party signs of the holders of a run, in the order of the plan.

    ``counted``: whose uploads are in the sum, as all who take uploads have agreed. ``declined``: who told this party
    that it takes no part; another one may have been told by more or by fewer. ``unproved``: whose upload all had, and
    whose numbers they have all found not proved to be within their bounds.
    """

    counted: tuple[PartyId, ...]
    declined: tuple[PartyId, ...] = ()
    unproved: tuple[PartyId, ...] = ()
