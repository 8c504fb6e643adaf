"""Sensitivities and rounding units, against an enumeration of every neighbour on small domains."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import pytest

from pets.check import shared_noise
from pets.check.sensitivity import (
    MAX_SCALE,
    MAX_VARIANCE,
    Beside,
    Sizes,
    coarse,
    coarse_squared,
    rounded,
    sensitivity,
    squared_sensitivity,
)
from pets.errors import LeakError
from pets.spec.ir import Factor

# -- the enumeration: the moments of one person, from the definition of SQL, without any of our factors --

Row = tuple[int, int | None]
"""Cell of the side's own grouping columns (the last one is ``(missing)``), and a value or NULL."""

VALUES = (None, -3, 2)


@dataclass(frozen=True)
class Shape:
    """A query over two tables: how many cells each side groups by (1: not at all), rows per person, the join."""

    g: int
    h: int
    k_a: int
    k_b: int
    left_join: bool

    @property
    def sizes(self) -> Sizes:
        return Sizes(k_a=self.k_a, k_b=self.k_b, g=self.g, h=self.h, b_grouped=self.h > 1)


@dataclass(frozen=True)
class Case:
    """A moment as SQL would say it (``of``: a joined row's weight; ``None`` right row: unmatched), and as factors."""

    name: str
    a: Factor
    b: Factor
    outer_in_left_join: bool
    people: bool = False


X = Factor(values=("x",), present=("x",), bound=3)
XX = Factor(values=("x", "x"), present=("x",), bound=9)
PRESENT = Factor(present=("x",))
ONE = Factor()
PEOPLE = Factor(people=True)

ONCE = Sizes(k_a=1, k_b=1, g=1, h=1, b_grouped=False)

CASES = (
    Case("count(*)", ONE, ONE, True),
    Case("count(a.x)", PRESENT, ONE, True),
    Case("count(b.x)", ONE, PRESENT, False),
    Case("count(b.x) of a required column", ONE, ONE, False),
    Case("sum(a.x)", X, ONE, True),
    Case("sum(b.x)", ONE, X, False),
    Case("sum(a.x*a.x)", XX, ONE, True),
    Case("sum(b.x*b.x)", ONE, XX, False),
    Case("sum(a.x*b.x)", X, X, False),
    Case("sum(a.x) where b.x present", X, PRESENT, False),
    Case("sum(a.x*a.x) where b.x present", XX, PRESENT, False),
    Case("sum(b.x) where a.x present", PRESENT, X, False),
    Case("people of a", PEOPLE, PEOPLE, True, people=True),
    Case("people of b", PEOPLE, PEOPLE, False, people=True),
)


def weight(factor: Factor, value: int | None) -> int:
    """A factor on one row, from its definition."""
    if value is None and factor.present:
        return 0
    out = 1
    for _ in factor.values:
        out *= value or 0
    return out


def contribution(
    case: Case, shape: Shape, rows_a: tuple[Row, ...], rows_b: tuple[Row, ...]
) -> Counter[tuple[int, int]]:
    """What one person adds to every cell of the table."""
    out: Counter[tuple[int, int]] = Counter()
    outer = shape.left_join and case.outer_in_left_join
    if case.people:
        matched = {h for h, _ in rows_b}
        for g in {g for g, _ in rows_a}:
            for h in matched or ({shape.h - 1} if outer else set()):
                out[g, h] = 1
        return out
    for g, x in rows_a:
        if not rows_b and outer:
            out[g, shape.h - 1] += weight(case.a, x)
        for h, y in rows_b:
            out[g, h] += weight(case.a, x) * weight(case.b, y)
    return out


def row_sets(cells: int, limit: int) -> Iterator[tuple[Row, ...]]:
    rows = tuple(itertools.product(range(cells), VALUES))
    for size in range(limit + 1):
        yield from itertools.combinations_with_replacement(rows, size)


def greatest_change(case: Case, shape: Shape, power: int = 1) -> int:
    """The greatest L1 distance between tables that differ in the person's rows in a, in b, or in both.

    ``power``: 2 for the square of the greatest L2 distance.
    """
    greatest = 0
    for rows_a in row_sets(shape.g, shape.k_a):
        for rows_b in row_sets(shape.h, shape.k_b):
            states = [contribution(case, shape, own_a, own_b) for own_a in {rows_a, ()} for own_b in {rows_b, ()}]
            for one, two in itertools.combinations(states, 2):
                greatest = max(greatest, sum(abs(one[cell] - two[cell]) ** power for cell in one.keys() | two.keys()))
    return greatest


SHAPES = tuple(
    Shape(g, h, k_a, k_b, left_join)
    for g, h, k_a, k_b, left_join in itertools.product((1, 2, 3), (1, 2, 3), (1, 2), (1, 2), (False, True))
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sensitivity_is_the_greatest_change_of_one_person(case: Case) -> None:
    for shape in SHAPES:
        outer = shape.left_join and case.outer_in_left_join
        claimed = sensitivity(case.a, case.b, outer, shape.sizes)
        assert greatest_change(case, shape) == claimed, shape


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_squared_sensitivity_is_the_greatest_change_of_one_person(case: Case) -> None:
    for shape in SHAPES:
        outer = shape.left_join and case.outer_in_left_join
        claimed = squared_sensitivity(case.a, case.b, outer, shape.sizes)
        assert greatest_change(case, shape, 2) == claimed, shape


def test_squared_sensitivity_of_three_tables_is_the_greatest_change_of_one_person() -> None:
    """Sums and persons of one more table, which is grouped or not, over every placement of up to two rows in each."""
    for (g, h, further), (k_a, k_d) in itertools.product(
        itertools.product((1, 2), (1, 2), (1, 2)), itertools.product((1, 2), (1, 2))
    ):
        for people in (False, True):
            factors = (PEOPLE, PEOPLE, PEOPLE) if people else (X, PRESENT, X)
            greatest = 0
            for rows in itertools.product(row_sets(g, k_a), row_sets(h, 1), row_sets(further, k_d)):
                greatest = max(greatest, sum(value**2 for value in product_of(factors, rows, people).values()))
            beside = [Beside(factors[2], k_d, further)]
            sizes = Sizes(k_a=k_a, k_b=1, g=g, h=h, b_grouped=h > 1)
            claimed = squared_sensitivity(factors[0], factors[1], False, sizes, beside)
            assert greatest == claimed, (g, h, further, k_a, k_d, people)


def product_of(
    factors: tuple[Factor, ...], rows: tuple[tuple[Row, ...], ...], people: bool
) -> Counter[tuple[int, ...]]:
    """What one person adds to every cell of an inner join of more tables."""
    out: Counter[tuple[int, ...]] = Counter()
    for joined in itertools.product(*rows):
        cell = tuple(place for place, _ in joined)
        one = prod(weight(factor, value) for factor, (_, value) in zip(factors, joined, strict=True))
        out[cell] = 1 if people else out[cell] + one
    return out


def test_squared_sensitivity_of_many_rows_is_never_above_that_of_sums_squared() -> None:
    for case, shape in itertools.product(CASES, SHAPES):
        outer = shape.left_join and case.outer_in_left_join
        one = sensitivity(case.a, case.b, outer, shape.sizes)
        squared = squared_sensitivity(case.a, case.b, outer, shape.sizes)
        assert one <= squared <= one**2, "of whole numbers, the L1 norm, its square, and what lies between"


@pytest.mark.parametrize("k_b", (1, 2, 3))
def test_people_of_a_left_join_with_more_rows_than_levels(k_b: int) -> None:
    """A person who enters b leaves ``(missing)``; with rows in all others that is all cells, no more."""
    case = next(case for case in CASES if case.name == "people of a")
    shape = Shape(2, 2, 3, k_b, True)
    assert greatest_change(case, shape) == sensitivity(PEOPLE, PEOPLE, True, shape.sizes) == 4


def test_sensitivity_adds_over_no_other_person() -> None:
    """With a bystander in both tables the change is the same: contributions of persons add up."""
    shape = Shape(2, 2, 1, 1, True)
    bystander = contribution(CASES[0], shape, ((0, 2),), ((1, 2),))
    with_person = bystander + contribution(CASES[0], shape, ((1, 2),), ())
    changed = bystander + contribution(CASES[0], shape, ((1, 2),), ((0, 2),))
    assert sum(abs(with_person[c] - changed[c]) for c in with_person.keys() | changed.keys()) == 2


def test_an_outer_moment_has_no_values_of_the_other_side() -> None:
    with pytest.raises(ValueError, match="unmatched"):
        sensitivity(ONE, X, True, ONCE)


# -- rounding units --


@pytest.mark.parametrize("unit", (1, 2, 3, 5, 10, 20, 50, 100))
def test_no_value_rounds_beyond_the_bound(unit: int) -> None:
    for bound in range(120):
        factor = rounded(Factor(values=("x",), present=("x",), bound=bound), unit)
        ends = [abs((value + unit // 2) // unit) for value in range(-bound, bound + 1)]
        assert max(ends) == factor.bound


def test_a_column_that_needs_no_rounding_gets_none() -> None:
    (a, b), width = coarse(
        X, ONE, False, Sizes(k_a=4, k_b=1, g=5, h=1, b_grouped=False), epsilon=Fraction(1, 3), name="sum(a.x)"
    )
    assert (a.unit, b.unit, width) == (1, 1, 12)


def test_rounding_is_the_finest_that_the_sampler_can_carry() -> None:
    wide = Factor(values=("x", "x"), present=("x",), bound=144_000_000)
    (a, b), width = coarse(
        wide, ONE, False, Sizes(k_a=4, k_b=1, g=5, h=1, b_grouped=False), epsilon=Fraction(1, 3), name="sum(a.x*a.x)"
    )
    assert (a.unit, b.unit) == (2_000, 1)
    assert (
        width * 3
        <= MAX_SCALE
        < sensitivity(rounded(wide, 1_000), ONE, False, Sizes(k_a=4, k_b=1, g=5, h=1, b_grouped=False)) * 3
    )


def test_both_factors_of_a_product_are_rounded_evenly() -> None:
    left, right = (Factor(values=(c,), present=(c,), bound=1_000_000) for c in "xy")
    (a, b), width = coarse(
        left, right, False, Sizes(k_a=1, k_b=1, g=1, h=1, b_grouped=False), epsilon=Fraction(1), name="p"
    )
    assert (a.unit, b.unit, a.bound, b.bound, width) == (1_000, 1_000, 1_000, 1_000, 1_000_000)


def test_noise_that_no_unit_can_carry_is_refused() -> None:
    with pytest.raises(LeakError, match=r"dp\.scale: count"):
        coarse(
            ONE,
            ONE,
            False,
            Sizes(k_a=100, k_b=1, g=1, h=1, b_grouped=False),
            epsilon=Fraction(1, 10**5),
            name="count(*)",
        )
    with pytest.raises(LeakError, match=r"dp\.scale"):
        coarse(X, ONE, False, Sizes(k_a=100, k_b=100, g=1, h=1, b_grouped=False), epsilon=Fraction(1, 10**6), name="s")


@pytest.mark.parametrize("parts", (1, 2, 5))
def test_gaussian_noise_is_rounded_to_the_finest_unit_that_can_be_drawn(parts: int) -> None:
    wide = Factor(values=("x", "x"), present=("x",), bound=144_000_000)
    sizes = Sizes(k_a=4, k_b=1, g=5, h=1, b_grouped=False)
    rho = Fraction(1, 20)
    (a, b), squared = coarse_squared(wide, ONE, False, sizes, rho=rho, parts=parts, name="s")
    assert b.unit == 1 and squared == squared_sensitivity(a, b, False, sizes)
    assert shared_noise.part_variance(rho, squared, parts, squared) <= MAX_VARIANCE
    assert a.unit > 1
    unit = a.unit // 2 if str(a.unit)[0] != "5" else a.unit * 2 // 5
    before = squared_sensitivity(rounded(wide, unit), ONE, False, sizes)
    assert shared_noise.gaussian_rho(before, MAX_VARIANCE, parts, before) > rho


def test_gaussian_noise_that_no_unit_can_carry_is_refused() -> None:
    sizes = Sizes(k_a=100, k_b=1, g=1, h=1, b_grouped=False)
    with pytest.raises(LeakError, match=r"dp\.scale: count"):
        coarse_squared(ONE, ONE, False, sizes, rho=Fraction(1, 10**10), parts=2, name="count(*)")
