"""Who took part in sums over one table of many holders, who did not, and what is known of the reasons."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pets.ids import PartyId

if TYPE_CHECKING:
    import pandas as pd

SENT: Final = ""
"""The reason of a holder that handed in all parts, as it said: none."""

NOT_VALIDATED: Final = (
    "Inputs are not validated: what each holder handed in was added up as it is, and nobody could look at it."
)
VALIDATED: Final = (
    "Every number that a holder handed in is proved to be within the bounds of the specification; whether it is true "
    "is not."
)

_TOLD: Final[Mapping[str, str]] = {
    SENT: "its upload was late, or did not reach every computing party",
    "link.unreachable": "could not be reached",
    "link.deadline": "did not answer in time",
    "link.cut": "the connection broke",
    "link.busy": "was busy",
    "run.busy": "was busy",
    "run.crashed": "its server stopped",
    "source.not-ready": "its records are not ready",
    "approval.too-few": "its approvers have not signed",
    "peer.upload-late": "uploads were over when it came",
    "budget.epsilon": "its privacy budget is used up",
    "budget.delta": "its privacy budget is used up",
    "budget.rho": "its privacy budget is used up",
    "budget.runs": "it has used up its runs",
    "budget.not-due": "its next run is not due",
}
_MOST_NAMED: Final = 8


def reason(code: str) -> str:
    """Why a holder did not take part, in words, from the code that it, or the network, gave."""
    return _TOLD.get(code, f"refused: {code}")


@dataclass(frozen=True, slots=True)
class Participation:
    """Whose numbers are in a table. ``away``: of the other holders, the code of the reason, if one is known."""

    holders: tuple[PartyId, ...]
    counted: tuple[PartyId, ...]
    away: Mapping[PartyId, str]
    minimum: int
    validated: bool = False

    @property
    def missing(self) -> dict[PartyId, str]:
        """Who did not take part, and why, in words."""
        others = (party for party in self.holders if party not in self.counted)
        return {party: reason(self.away[party]) if party in self.away else "not known why" for party in others}

    def note(self) -> str:
        """A sentence or two under a table or a picture."""
        said = f"{len(self.counted)} of {len(self.holders)} holders took part; at least {self.minimum} had to."
        return f"{said}{missing_note(self.missing)} {VALIDATED if self.validated else NOT_VALIDATED}"

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each holder: its name, whether its numbers are in the table, and if not, why."""
        import pandas as pd

        missing = self.missing
        rows = [(party, party not in missing, missing.get(party, "")) for party in self.holders]
        return pd.DataFrame(rows, columns=["holder", "took_part", "reason"])

    def __repr__(self) -> str:
        return f"Participation({len(self.counted)} of {len(self.holders)} holders)"


def missing_note(missing: Mapping[PartyId, str]) -> str:
    """Who is missing and why, at most eight by name, as a sentence with a blank before it; nothing if nobody is."""
    if not missing:
        return ""
    return f" Missing: {', '.join(_named(missing))}."


def _named(missing: Mapping[PartyId, str]) -> Iterable[str]:
    for party, why in list(missing.items())[:_MOST_NAMED]:
        yield f"{party} ({why})"
    if len(missing) > _MOST_NAMED:
        yield f"and {len(missing) - _MOST_NAMED} more"
