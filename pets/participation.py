"""Who took part in sums over one table of many holders, who did not, and what is known of the reasons."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pets.approve.envelope import claimed
from pets.errors import ApprovalError
from pets.ids import PartyId

if TYPE_CHECKING:
    import pandas as pd

SENT: Final = ""
"""The reason of a holder that handed in all parts, as it said: none."""

DECLINED: Final = "peer.declined"
"""What computing parties say of a holder that told them that it takes no part."""

UNPROVED: Final = "peer.proof"
"""What they say of one whose numbers are not proved to be in range."""

NOT_VALIDATED: Final = (
    "Inputs are not validated: what each holder handed in was added up as it is, and nobody could look at it."
)
VALIDATED: Final = (
    "Every number in it is proved to be within the widest range of the specification, if all computing parties follow "
    "the protocol; whether it is true is not."
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
    UNPROVED: "left out: its numbers were not proved to be within their bounds",
    "peer.upload-late": "uploads were over when it came",
    "budget.epsilon": "its privacy budget is used up",
    "budget.delta": "its privacy budget is used up",
    "budget.rho": "its privacy budget is used up",
    "budget.runs": "it has used up its runs",
    "budget.not-due": "its next run is not due",
}
_MOST_NAMED: Final = 8


_NO_REASON: Final = ("link.", "run.busy")
"""How codes begin by which a client has heard nothing of a holder's decision."""


def reason(code: str) -> str:
    """Why a holder did not take part, in words, from the code that it, or the network, gave."""
    return _TOLD.get(code, f"refused: {code}")


@dataclass(frozen=True, slots=True)
class Participation:
    """Whose numbers are in a table. ``away``: of the other holders, the code of the reason, if one is known.

    ``said``: of those, what a computing party says of them: DECLINED, UNPROVED.
    """

    holders: tuple[PartyId, ...]
    counted: tuple[PartyId, ...]
    away: Mapping[PartyId, str]
    minimum: int
    validated: bool = False
    said: Mapping[PartyId, str] = field(default_factory=dict)

    @property
    def missing(self) -> dict[PartyId, str]:
        """Who did not take part, and why, in words."""
        others = (party for party in self.holders if party not in self.counted)
        return {party: self._why(party) for party in others}

    def _why(self, party: PartyId) -> str:
        code, said = self.away.get(party), self.said.get(party)
        if said == UNPROVED:
            return _TOLD[UNPROVED]
        if said == DECLINED:
            told = code and not code.startswith(_NO_REASON)
            return f"declined: {_TOLD.get(code, code)}" if code and told else "declined"
        return "not known why" if code is None else reason(code)

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


def said_in(receipts: Iterable[bytes]) -> dict[PartyId, str]:
    """What receipts of computing parties say of holders that do not count: ``Participation.said``.

    One that cannot be read says nothing.
    """
    found: dict[PartyId, str] = {}
    for receipt in receipts:
        with contextlib.suppress(ApprovalError, KeyError, TypeError, AttributeError):
            said = claimed(receipt)["predicate"]
            for field_, code in (("declined", DECLINED), ("unproved", UNPROVED)):
                found |= {PartyId(party): code for party in said.get(field_, ())}
    return found


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
