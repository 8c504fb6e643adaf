"""Lower rules on single contributions: which sums are held against them, what is read of their rows, what is compared.

Every sum that is shown, and that is no count of persons, is held against every rule, over what each person adds to it
in a cell. What a person adds is never below zero, by the declared ranges, so that a share of a sum is one.

    (n, k)   withheld if the greatest n contributions are k of the sum or more, and the sum is not 0
    p %      withheld if all but the greatest two are less than p of the greatest, or all are 0

In whole numbers, with the sum T, the greatest n together S_n, k = a / b and p = c / d: shown if b S_n < a T or T = 0;
if d (T - S_2) >= c S_1 and T > 0. Where both rules hold, the first says T > 0 already.

Source:  tests/oracles/control.py, ``dominated``, the rules in the clear, which agree with ACRO 1.0.2.
"""

from dataclasses import dataclass
from math import prod
from typing import Final

from pets.errors import LeakError
from pets.spec.control import Control
from pets.spec.ir import Contributions, Dominance, Moment
from pets.spec.model import Spec
from pets.spec.moments import SideMoment
from pets.spec.protected import Protected
from pets.spec.query import Query

RANGE_BITS: Final = 62
"""What is compared, and a cell with a contribution in it, stay below 2^62."""


def rules(guarded: Protected, control: Control) -> Dominance | None:
    """What is compared, from what a control says; None if no sum is held against it."""
    if not guarded.held:
        return None
    shares = tuple((n, share.numerator, share.denominator) for n, share in control.dominance)
    p = None if control.p_percent is None else (control.p_percent.numerator, control.p_percent.denominator)
    tops = {n for n, _, _ in shares} | (set() if p is None else {1, 2})
    return Dominance(tuple((each.moment, each.counted) for each in guarded.held), tuple(sorted(tops)), shares, p)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Cells of the grouping columns of role a, and of all others; most rows of a person in each table, a's first."""

    g: int
    h: int
    rows: tuple[int, ...]


def contributions(guarded: Protected, moments: tuple[Moment, ...], sizes: Sizes) -> tuple[Contributions, ...]:
    """Of each sum that is held: which columns its rows have, and how great what a person adds may be.

    Where a person has several rows at another role, or none and is counted all the same, it may add to several of their
    cells: then its row is spread, one for each of them.

    Raises: LeakError leak.dominance-range if a cell with a contribution leaves ``RANGE_BITS``.
    """
    found = []
    for each in guarded.held:
        moment = moments[each.moment]
        most = prod(factor.bound for factor in moment.factors) * prod(sizes.rows)
        bits = (most + 1).bit_length()
        if 2 * sizes.g * sizes.h << bits >= 2**RANGE_BITS:
            raise _too_wide(moment, "what one person adds, beside its group,")
        spread = sizes.h > 1 and (max(sizes.rows[1:]) > 1 or moment.outer)
        found.append(Contributions(each.moment, each.support, bits, spread))
    return tuple(found)


def check_range(rules: Dominance | None, moments: tuple[Moment, ...], rows: int) -> None:
    """``rows``: of all tables together, at most. Raises: LeakError leak.dominance-range if 62 bits do not do."""
    if rules is None:
        return
    factor = max([whole for _, _, whole in rules.shares] + list(rules.p or ()))
    for number, _ in rules.held:
        moment = moments[number]
        if factor * rows * prod(each.bound for each in moment.factors) >= 2**RANGE_BITS:
            raise _too_wide(moment, f"{factor} times its greatest possible sum")


def _too_wide(moment: Moment, what: str) -> LeakError:
    return LeakError(
        "leak.dominance-range", path="release.disclosure_control", column=moment.name, what=what, bits=RANGE_BITS
    )


def below_zero(moment: SideMoment, query: Query, spec: Spec) -> tuple[str, ...]:
    """Columns whose range makes what one row adds to a sum negative, by themselves or in a product; not in squares."""
    found = []
    for table, factor in zip(query.tables, moment.factors, strict=True):
        for name in dict.fromkeys(factor.values):
            low, _ = spec.dataset(table).columns[name].scaled_range
            if factor.values.count(name) % 2 and low < 0:
                found.append(f"{table}.{name}")
    return tuple(found)
