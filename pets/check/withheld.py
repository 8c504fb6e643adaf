"""Two controls compared: narrower is only what follows, without the records, from what the old one showed.

Raising a minimum is not narrower. Another minimum, another rule of dominance, other known totals withhold other cells,
and which cells are withheld tells of their numbers: tables by minima of 10, 11, 12, ... show every count, whatever they
are rounded to (threat D07). What is narrower is to round what was exact, to round midpoints to bins made of whole ones,
and to hide empty cells like small ones where nothing else depends on them.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from pets.spec.control import Control, effective
from pets.spec.model import Spec
from pets.spec.moments import fit_name, order_name
from pets.spec.pooled import Statement
from pets.spec.protected import protected

Relation = Literal["equal", "narrower", "wider", "incomparable"]

_WITHHOLDS: Final[Mapping[str, str]] = {
    "min_count": "another minimum",
    "dominance": "other rules of dominance",
    "p_percent": "another p",
    "local": "other parties whose own people have to reach the minimum",
    "known_totals": "other totals that recipients know",
}


def compared(old: Control, new: Control) -> Iterator[tuple[str, Relation, str]]:
    """Each knob that differs: its name, how the new control stands to the old one in it, and what that means."""
    for knob, what in _WITHHOLDS.items():
        if getattr(old, knob) != getattr(new, knob):
            yield knob, "incomparable", f"{what}: other cells are withheld, and which they are tells of their numbers"
    if old.zeros != new.zeros:
        hides = new.zeros == "hidden"
        if old.known_totals or new.known_totals or not _zero_is_nobody(old if hides else new):
            yield "zeros", "incomparable", f"empty cells are {new.zeros}, and other cells are withheld for them"
        else:
            told = "empty cells are withheld like small ones" if hides else "empty cells are shown as 0"
            yield "zeros", "narrower" if hides else "wider", told
    if old.steps != new.steps:
        told = "values are rounded to other steps, and two roundings of a value tell more than each of them"
        yield "round_values_to", "incomparable", told
    if (old.round_to, old.rounding) != (new.round_to, new.rounding):
        told = f"counts are rounded to {_rounding(new)} instead of {_rounding(old)}"
        if _coarser(new, old) or _coarser(old, new):
            yield "round_to", "narrower" if _coarser(new, old) else "wider", told
        else:
            yield "round_to", "incomparable", f"{told}, and two roundings of a count tell more than each of them"


def beside(old: tuple[Spec, Statement], new: tuple[Spec, Statement]) -> str:
    """Why other numbers may be withheld for the sake of columns that stand beside them; empty if none are.

    What follows from counts that are shown together has to be enough (``spec/protected.py``). So to leave a column out,
    or to round more coarsely, may show what was withheld: whatever is in both tables has to rest on the same counts.
    """
    one, other = (_rests(spec, query) for spec, query in (old, new))
    if all(one[name] == other[name] for name in one.keys() & other.keys()):
        return ""
    return "columns that count other people stand beside each other, so that other numbers are withheld for them"


def _rests(spec: Spec, query: Statement) -> dict[str, frozenset[str]]:
    """The counts of persons that each sum rests on, by their names; nothing without disclosure control."""
    control = effective(spec)
    if control is None:
        return {}
    found = protected(query, spec, control)
    rests = {found.moments[each.moment].name: each.rests_on for each in found.shown}
    rests |= {order_name(each.what): each.rests_on for each in found.ordered}
    rests |= {fit_name(each.what): each.rests_on for each in found.fits}
    return {name: frozenset(map(found.name, found.sets[own])) for name, own in rests.items()}


def _zero_is_nobody(control: Control) -> bool:
    """True if no count that is shown is rounded to 0."""
    return control.rounded(control.min_count) > 0


def _coarser(one: Control, other: Control) -> bool:
    """True if what ``one`` shows of a count follows from what ``other`` shows of it: whole bins make up each bin."""
    if other.round_to == 1:
        return True
    return one.rounding == other.rounding == "midpoint" and one.round_to % other.round_to == 0


def _rounding(control: Control) -> str:
    if control.round_to == 1:
        return "nothing"
    return f"{'midpoints' if control.rounding == 'midpoint' else 'multiples'} of {control.round_to}"
