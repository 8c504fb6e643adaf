"""What disclosure control keeps back, as parts of the report: the rules, who asks for them, what is counted."""

from fractions import Fraction

from pets.check.blocks import Block, Grid, Pairs, listed
from pets.check.budget import exact
from pets.check.checked import Checked
from pets.spec.control import PRESETS, control_of
from pets.spec.ir import Dominance, Protect
from pets.spec.model import DisclosureControl, Knobs


def withheld(review: Checked, step: Protect) -> list[Block]:
    """The rules that hold, who asks for which, and each count of persons that has to be enough."""
    asked = review.spec.release.disclosure_control
    return [Pairs(_rules(step, asked)), _counts(step)] if asked is not None else []


def _rules(step: Protect, asked: DisclosureControl) -> tuple[tuple[str, str], ...]:
    control = control_of(asked)
    few = f"A number to which fewer than {step.min_count} persons contribute is withheld"
    if control.zeros == "hidden":
        few += f". Nobody, and {step.min_count - 1} persons, look the same"
    else:
        few += ". A group of nobody is shown as 0"
    rounding = "Not at all"
    if step.round_to > 1:
        middle = "the middle of bands of" if step.rounding == "midpoint" else "the nearest multiple of"
        rounding = f"Counts, to {middle} {step.round_to}. Means are made of rounded counts"
    if step.ordered:
        named = {each.name: exact(each.step * each.scale) for each in step.ordered}
        said = listed([f"{name} to multiples of {each}" for name, each in named.items()])
        rounding += f". {said[:1].upper()}{said[1:]}. Each is the value of one person of the group, so rounded"
    pairs = [("Small groups", f"{few}."), ("Rounding", f"{rounding}."), ("Asked for by", _asked(asked))]
    if step.dominance is not None:
        pairs.append(("Single contributions", _contributions(step.dominance)))
    for each in step.fits:
        told = (
            f"Of {each.name} the coefficients, their standard errors and the length of the last step leave, all or "
            "none, fitted to rows that nobody reads. Persons with the outcome and without, and in each cell that it "
            "makes with a column of 0 and 1, have to be enough. Coefficients are of everybody together: somebody whose "
            "values are far from all others' moves them more than others do."
        )
        pairs.append(("A model", told))
    if step.lines:
        cells = sum(len(block) for line in step.lines for block in line)
        pairs.append(
            (
                "Known totals",
                f"Recipients know totals of {len(step.lines)} lines of this table, {cells} cells in all. Of a line in "
                "which something is withheld, neighbouring cells are withheld as well, so many that none follows.",
            )
        )
    pairs.append(
        (
            "When",
            "Before anything is opened. Three servers compare and round numbers that none of them can read. Which "
            "numbers are withheld is seen by the result party only.",
        )
    )
    return tuple(pairs)


def _contributions(against: Dominance) -> str:
    """When a sum is withheld for what single persons add to it."""
    said = [f"the greatest {n} come to {exact(Fraction(100 * a, b))} % of it or more" for n, a, b in against.shares]
    if against.p is not None:
        percent = exact(100 * Fraction(*against.p))
        said.append(f"all but the greatest two come to less than {percent} % of the greatest, or all are 0")
    return (
        f"A sum of a group is withheld if of what single persons add to it {', or '.join(said)}. What is made of it "
        "is withheld as well. Who sees the number of its persons beside it learns that it was withheld for that."
    )


def _asked(asked: DisclosureControl) -> str:
    """Who asks for what; the strictest holds."""
    said = [f"the author ({words})"] if (words := _words(asked)) else []
    for holder in asked.holders or ():
        local = ["also of its own persons alone"] if holder.appetite == "local" else []
        said.append(f"{holder.party} ({'; '.join(filter(None, (_words(holder), *local))) or 'nothing more'})")
    return f"{listed(said)}. The strictest of all holds."


def _words(knobs: Knobs) -> str:
    """The knobs that somebody sets."""
    least = knobs.min_count or (knobs.redact_at_or_below + 1 if knobs.redact_at_or_below is not None else None)
    said = [
        f"{knobs.preset}, from {PRESETS[knobs.preset].source}" if knobs.preset else "",
        f"from {least} persons on" if least is not None else "",
        f"zeros {knobs.zeros}" if knobs.zeros else "",
        f"rounded to {knobs.round_to}" if knobs.round_to else "",
        *(f"no {each.largest} with {each.percent} % of a sum" for each in knobs.dominance or ()),
        f"p of {knobs.p_percent} %" if knobs.p_percent else "",
        *(f"values of {name} rounded to {step}" for name, step in (knobs.round_values_to or {}).items()),
    ]
    return "; ".join(filter(None, said))


def _counts(step: Protect) -> Grid:
    """What is counted, and what rests on it."""
    rows = []
    for number, count in enumerate(step.counts):
        on = [step.moments[s.moment].name for s in step.shown if number in step.sets[s.rests_on]]
        on += [each.name for each in step.ordered if number in step.sets[each.rests_on]]
        on += [each.name for each in step.fits if number in step.sets[each.rests_on]]
        empty = "yes" if count.may_be_empty else "no"
        rows.append((count.name, str(step.min_count), empty, ", ".join(on)))
    return Grid(
        "Counts of persons that are held against the minimum in every group, and the sums that are withheld if one of "
        "them is too small.",
        ("Persons", "At least", "Or nobody", "Sums that rest on it"),
        tuple(rows),
        numbers=frozenset({1}),
        code=frozenset({0, 3}),
    )
