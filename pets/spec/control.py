"""Disclosure control: which cells of an exact table are withheld, and what the others are rounded to.

Everybody whose records are in a table may ask for control: the author, a preset (``PRESETS``), each holder. What holds
is the strictest of it all, knob by knob (``strictest``), so nobody is protected less because somebody else asked for
less. ``effective(spec)`` is the one answer that checkers, planner, protocol and auditors work with.

    contributors   a statistic of a cell is withheld unless the persons who contribute to *that* statistic are at least
                   ``min_count``; a cell with nobody is shown as 0 only if ``zeros`` are shown, else it looks like any
                   other cell that is withheld
    dominance      (n, k): a sum is withheld if the contributions of n persons are k of the cell's total or more
    p_percent      a sum is withheld if all but the two largest contributions are less than p of the largest, or if all
                   are 0: the second largest contributor could work out the largest that closely
    local          parties whose own contributions to the cell have to reach the minimum, not only those of all
    rounding       counts of persons are rounded; totals and means are made of protected counts
    steps          to which multiples values of a column are rounded where one person's is shown (a median), in its
                   unit, by "dataset.column"; such a value is not shown without
    known_totals   tables whose true numbers recipients know: further cells are withheld so that none follows from them

``tests/oracles/control.py`` has the whole order of work on clear data, with the reasons.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pets.spec.model import DisclosureControl, Knobs, Spec

Zeros = Literal["shown", "hidden"]
Rounding = Literal["nearest", "midpoint"]
PresetName = Literal["acro-default", "opensafely-7-5", "ons-10", "uk-llc-10-with-zero", "nes-1-to-9"]


MOST_ROUNDED: Final = 1_000_000
"""Greatest base to which counts are rounded."""


@dataclass(frozen=True, slots=True)
class Control:
    """What holds for a table, in normal form: two that withhold and round alike are equal.

    Units: ``min_count`` persons; ``dominance`` (n, k) with k a share of the total, no pair implied by another, in
           order of n; ``p_percent`` a share of the largest contribution; ``local`` in alphabetical order;
           ``steps`` by column, in alphabetical order;
           ``known_totals`` grouping columns ("dataset.column", sorted), from the coarsest to the finest.
    """

    min_count: int
    zeros: Zeros = "hidden"
    round_to: int = 1
    rounding: Rounding = "nearest"
    dominance: tuple[tuple[int, Fraction], ...] = ()
    p_percent: Fraction | None = None
    local: tuple[str, ...] = ()
    known_totals: tuple[tuple[str, ...], ...] = ()
    steps: tuple[tuple[str, Fraction], ...] = ()

    def __post_init__(self) -> None:
        if self.min_count < 1 or self.round_to < 1:
            raise ValueError("min_count and round_to are at least 1")
        if self.round_to == 1:  # midpoint and nearest are one
            object.__setattr__(self, "rounding", "nearest")
        least = {(n, k) for n, k in self.dominance if not any(_implies(other, (n, k)) for other in self.dominance)}
        object.__setattr__(self, "dominance", tuple(sorted(least)))
        if any(step <= 0 for _, step in self.steps) or len(dict(self.steps)) < len(self.steps):
            raise ValueError("values are rounded to a step above zero, one a column")
        object.__setattr__(self, "steps", tuple(sorted(self.steps)))
        object.__setattr__(self, "local", tuple(sorted(set(self.local))))
        chain = sorted(
            {tuple(sorted(set(columns))) for columns in self.known_totals}, key=lambda each: (len(each), each)
        )
        for coarse, fine in itertools.pairwise(chain):
            if not set(coarse) < set(fine):
                raise ValueError("known_totals must each divide the one before: only a nested chain is protected")
        object.__setattr__(self, "known_totals", tuple(chain))

    @property
    def on_contributions(self) -> bool:
        """True if sums are held against what single persons add to them."""
        return bool(self.dominance) or self.p_percent is not None

    def enough(self, persons: int) -> bool:
        """True if a statistic to which so many persons contribute may be shown, as far as their number goes."""
        return persons >= self.min_count or (persons == 0 and self.zeros == "shown")

    def rounded(self, count: int) -> int:
        """A count of persons as it is shown. Nobody is 0 under both kinds; ``nearest`` rounds a half up.

        ``midpoint`` gives the middle of the bin ((j - 1) * base, j * base] that the count is in.
        Source: OpenSAFELY documentation, "midpoint 6 rounding": ceiling(x / 6) * 6 - floor(6 / 2).
        """
        base = self.round_to
        if count == 0 or base == 1:
            return count
        if self.rounding == "midpoint":
            return -(-count // base) * base - base // 2
        return (2 * count + base) // (2 * base) * base

    def behind(self, shown: int) -> tuple[int, int]:
        """The least and the greatest count of persons that is shown as ``shown``. ValueError if none is."""
        base = self.round_to
        if base == 1:
            low = high = shown
        elif self.rounding == "midpoint":
            low, high = (0, 0) if shown == 0 else (shown + base // 2 - base + 1, shown + base // 2)
        else:
            low, high = max(0, shown - base // 2), shown + (base - 1) // 2
        if low == 0 and self.zeros == "shown":
            high = high if high >= self.min_count else 0
        else:
            low = max(low, self.min_count)
        if not 0 <= low <= high or self.rounded(low) != shown or self.rounded(high) != shown:
            raise ValueError("no count is shown as this number")
        return low, high


def _implies(one: tuple[int, Fraction], other: tuple[int, Fraction]) -> bool:
    """True if whatever ``other`` withholds is withheld by ``one``: more contributions, or a smaller share."""
    return one != other and one[0] >= other[0] and one[1] <= other[1]


@dataclass(frozen=True, slots=True)
class Preset:
    """A rule that an organisation works by, where it is written, as of when, and what of it is not in ``control``."""

    control: Control
    source: str
    date: str
    beyond: str


PRESETS: Final[Mapping[str, Preset]] = {
    "acro-default": Preset(
        Control(10, "hidden", dominance=((2, Fraction(9, 10)),), p_percent=Fraction(1, 10)),
        "ACRO 1.0.2, acro/default.yaml: safe_threshold 10, safe_nk_n 2, safe_nk_k 0.9, safe_pratio_p 0.1, "
        "zeros_are_disclosive true",
        "2026",
        "ACRO reports and withholds nothing unless told to; degrees of freedom and survival have rules of their own",
    ),
    "opensafely-7-5": Preset(
        Control(8, "hidden", 5, "nearest"),
        "OpenSAFELY documentation, applying statistical disclosure control: redact counts <= 7, then round to the "
        "nearest 5; a redacted count is written as 0 (opensafely-core/ehrql#1746)",
        "2023-11-24",
        "row counts and sizes of files; people look at every output",
    ),
    "ons-10": Preset(
        Control(10, "hidden"),
        "Office for National Statistics, advice on the Longitudinal Study (CeLSIUS): less than 10 observations; it "
        "makes no exception for zeros",
        "read 2026-11",
        "the number is a part of a model of principles: an officer may decide otherwise, a server may not",
    ),
    "uk-llc-10-with-zero": Preset(
        Control(10, "hidden"),
        "UK LLC guidebook, statistical disclosure control: counts < 10, including zero",
        "2026-01-30",
        "masked figures must not follow from others: declare known_totals",
    ),
    "nes-1-to-9": Preset(
        Control(10, "shown"),
        "NHS Education for Scotland, statistical disclosure control policy, version 2: counts from 1 to 9",
        "read 2026-11",
        "its score for small areas and rows of one value is for people to give",
    ),
}
"""By the name that specifications use."""


def effective(spec: "Spec") -> Control | None:
    """What holds for the releases of a specification: None if it asks for no disclosure control.

    Zeros are hidden unless somebody says that they are shown, by a preset or a field, and nobody that they are hidden.
    """
    asked = spec.release.disclosure_control
    return None if asked is None else control_of(asked)


def control_of(asked: "DisclosureControl") -> Control:
    """The strictest of preset, fields and holders.

    Raises: ValueError if nobody gives a minimum, or roundings do not combine.
    """
    holders = asked.holders or ()
    parts = (asked, *holders)
    if not any(part.says_a_minimum for part in parts):
        raise ValueError("nobody says from how many persons on a cell is shown: write min_count, or name a preset")
    local = tuple(str(holder.party) for holder in holders if holder.appetite == "local")
    zeros: Zeros = "shown" if any(part.zeros or part.preset for part in parts) else "hidden"
    rest = Control(1, zeros, local=local, known_totals=asked.known_totals or ())
    return strictest([rest, *(control for part in parts for control in stated(part))])


def stated(part: "Knobs") -> tuple[Control, ...]:
    """What one of those who ask says: its preset, and its own fields. A knob that is left out asks for nothing."""
    own = Control(
        part.min_count or (part.redact_at_or_below or 0) + 1,
        part.zeros or "shown",
        part.round_to or 1,
        part.rounding or "nearest",
        tuple((each.largest, Fraction(each.percent, 100)) for each in part.dominance or ()),
        None if part.p_percent is None else Fraction(part.p_percent, 100),
        steps=tuple((name, Fraction(step)) for name, step in (part.round_values_to or {}).items()),
    )
    return (own,) if part.preset is None else (PRESETS[part.preset].control, own)


def why_weaker(part: "Knobs", preset: Control) -> Iterator[tuple[str, str]]:
    """Fields that say less than the preset beside them, so that they mean nothing: what each does, and its name."""
    least = part.min_count or (part.redact_at_or_below or preset.min_count - 1) + 1
    if least < preset.min_count:
        yield f"shows cells from {least} persons on, below the {preset.min_count} of", "min_count"
    if part.zeros == "shown" and preset.zeros == "hidden":
        yield "shows empty cells against", "zeros"
    if part.round_to is not None and part.round_to < preset.round_to and preset.round_to % part.round_to == 0:
        yield f"rounds to less than the {preset.round_to} of", "round_to"
    if part.p_percent is not None and preset.p_percent is not None and Fraction(part.p_percent, 100) < preset.p_percent:
        yield "is below that of", "p_percent"
    for each in part.dominance or ():
        if any(_implies(known, (each.largest, Fraction(each.percent, 100))) for known in preset.dominance):
            yield f"of {each.largest} with {each.percent} % follows from", "dominance"


def strictest(controls: Iterable[Control]) -> Control:
    """The control that is at least as strict as each, knob by knob; their order does not matter.

    The greatest minimum, hidden over shown, all dominance rules, the greatest p, all local parties. Rounding bases
    combine to their least common multiple, for counts and for values of each column: what is shown is then a multiple
    of each.
    Raises: ValueError for none, where one rounds to midpoints and another to the nearest multiple, and where bases
            have no common multiple up to ``MOST_ROUNDED``.
    """
    found: Control | None = None
    for one in controls:
        found = one if found is None else _both(found, one)
    if found is None:
        raise ValueError("nothing to combine")
    return found


def _both(a: Control, b: Control) -> Control:
    if a.round_to > 1 and b.round_to > 1 and a.rounding != b.rounding:
        raise ValueError(
            "one asks for rounding to the nearest multiple and another for midpoints, which cannot both hold: "
            "agree on one rounding"
        )
    if (base := lcm(a.round_to, b.round_to)) > MOST_ROUNDED:
        raise ValueError(f"roundings to {a.round_to} and to {b.round_to} only combine to {base}: agree on one rounding")
    shares = [p for p in (a.p_percent, b.p_percent) if p is not None]
    return Control(
        min_count=max(a.min_count, b.min_count),
        zeros="hidden" if "hidden" in (a.zeros, b.zeros) else "shown",
        round_to=base,
        rounding=a.rounding if a.round_to > 1 else b.rounding,
        dominance=a.dominance + b.dominance,
        p_percent=max(shares, default=None),
        local=a.local + b.local,
        known_totals=a.known_totals + b.known_totals,
        steps=_steps(dict(a.steps), dict(b.steps)),
    )


def _steps(a: Mapping[str, Fraction], b: Mapping[str, Fraction]) -> tuple[tuple[str, Fraction], ...]:
    """For each column the least common multiple of the steps, where both have one."""
    return tuple((name, _common(a.get(name, b.get(name)), b.get(name, a.get(name)))) for name in sorted({*a, *b}))


def _common(a: Fraction | None, b: Fraction | None) -> Fraction:
    assert a is not None and b is not None
    unit = lcm(a.denominator, b.denominator)
    return Fraction(lcm(int(a * unit), int(b * unit)), unit)
