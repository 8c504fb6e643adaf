"""The reference of disclosure control (oracles/control.py): each rule, and what follows from a table for everybody."""

import itertools
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import pytest

from pets.check.withheld import compared
from pets.ids import MISSING
from pets.spec.control import PRESETS, Control
from tests.oracles.control import Cell, Row, Statistic, Table, also_withheld, mean, protect, total

ROWS, PEOPLE, SUM, VALUES, FLAG = (
    Statistic("rows"),
    Statistic("people"),
    Statistic("sum", "x"),
    Statistic("values", "x"),
    Statistic("flag", "f"),
)
ONE = {"ward": ["a"]}


def people(cell: Cell, count: int, *, x: list[int | None] | None = None, f: int = 0, name: str = "p") -> list[Row]:
    """``count`` persons with one row each; ``x``: their values in turn; ``f``: how many have the flag."""
    values = x or [1]
    return [
        Row(f"{name}{'/'.join(cell)}{n}", cell, {"x": values[n % len(values)], "f": int(n < f)}) for n in range(count)
    ]


def only(rows: list[Row], one: Statistic, control: Control, *beside: Statistic) -> int | None:
    return protect(rows, ONE, [one, *beside], control)["a",][one]


# -- one cell ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_withholds_what_it_says(preset: str) -> None:
    """Every count around the threshold, and nothing else, in the words of the preset's source."""
    control = PRESETS[preset].control
    says = {
        "acro-default": lambda n: n if n >= 10 else None,
        "opensafely-7-5": lambda n: None if n <= 7 else 5 * ((n + 2) // 5),
        "ons-10": lambda n: None if n < 10 else n,
        "uk-llc-10-with-zero": lambda n: None if n < 10 else n,
        "nes-1-to-9": lambda n: None if 1 <= n <= 9 else n,
    }[preset]
    for count in range(40):
        assert only(people(("a",), count), ROWS, control) == says(count)


def test_persons_count_and_not_rows() -> None:
    """janus#1414 counted the wrong ones: nine people with many rows are nine."""
    many = [row for row in people(("a",), 9) for _ in range(5)]
    assert only(many, ROWS, Control(10)) is None and only(many, PEOPLE, Control(10)) is None
    assert only(many, ROWS, Control(9)) == 45


def test_who_has_no_value_does_not_contribute_to_its_sum() -> None:
    nine = people(("a",), 9, x=[5]) + people(("a",), 20, x=[None], name="q")
    assert only(nine, SUM, Control(10)) is None
    assert only(nine, SUM, Control(9)) == 45
    assert only(nine, ROWS, Control(10), SUM) == 29


def test_a_count_beside_another_is_withheld_if_few_make_the_difference() -> None:
    rows = people(("a",), 20, x=[5]) + people(("a",), 3, x=[None], name="q")
    assert only(rows, VALUES, Control(10)) == 20
    assert only(rows, VALUES, Control(10), ROWS) is None and only(rows, SUM, Control(10), PEOPLE) is None
    assert only(rows, VALUES, Control(10, round_to=2), ROWS) is None, "24 less 20 are 3 to 5"
    assert only(rows, VALUES, Control(10, round_to=5), ROWS) == 20
    full = people(("a",), 20, x=[5])
    assert only(full, VALUES, Control(10, "shown"), ROWS) == 20
    assert only(full, VALUES, Control(10, "hidden"), ROWS) is None, "nobody would be told apart from one"


@pytest.mark.parametrize(
    ("values", "withheld"),
    [([45, 44, 10], False), ([45, 45, 10], True), ([0, 0, 0], False), ([-45, 45, 10], True), ([1, 1, 1], False)],
)
def test_two_who_are_more_than_ninety_per_cent(values: list[int], withheld: bool) -> None:
    control = Control(3, dominance=((2, Fraction(9, 10)),))
    assert (only(people(("a",), 3, x=[*values]), SUM, control) is None) == withheld


@pytest.mark.parametrize(
    ("values", "withheld"), [([100, 50, 10], False), ([100, 50, 9], True), ([100, 50, 9, 1], False), ([0, 0, 0], True)]
)
def test_the_second_largest_cannot_work_out_the_largest(values: list[int], withheld: bool) -> None:
    control = Control(3, p_percent=Fraction(1, 10))
    assert (only(people(("a",), len(values), x=[*values]), SUM, control) is None) == withheld


def test_dominance_is_of_a_person_and_not_of_a_row() -> None:
    """One person's contribution in many small rows is one large contribution (dsBase#250)."""
    rows = people(("a",), 10, x=[1]) + [Row("rich", ("a",), {"x": 10, "f": 0}) for _ in range(10)]
    assert only(rows, SUM, Control(3, dominance=((1, Fraction(1, 2)),))) is None
    assert only(rows, SUM, Control(3)) == 110


@pytest.mark.parametrize(("zeros", "least"), [("shown", 0), ("hidden", None)])
def test_a_sum_of_flags_is_a_count_of_people(zeros: Literal["shown", "hidden"], least: int | None) -> None:
    control = Control(3, zeros)
    told = [only(people(("a",), 8, f=ones), FLAG, control) for ones in range(9)]
    assert told == [least, None, None, 3, 4, 5, None, None, None if least is None else 8]
    assert only(people(("a",), 30, f=12), FLAG, Control(3, zeros, 5)) == 10


def test_a_holder_that_shows_its_own_only_from_ten_on() -> None:
    """Joint: the persons of both. Local: those of that holder by themselves, too."""
    rows = [
        Row(f"{party}{n}", ("a",), {}, frozenset({party}))
        for party, count in (("h", 4), ("c", 20))
        for n in range(count)
    ]
    assert only(rows, ROWS, Control(10)) == 24
    assert only(rows, ROWS, Control(10, local=("h",))) is None
    assert only(rows, ROWS, Control(10, local=("c",))) == 24
    assert only(rows, ROWS, Control(4, local=("c", "h"))) == 24
    none_of_mine = rows[4:]
    assert only(none_of_mine, ROWS, Control(10, "shown", local=("h",))) == 20
    assert only(none_of_mine, ROWS, Control(10, "hidden", local=("h",))) is None


def test_totals_and_means_are_of_what_is_shown() -> None:
    """180 of 183 beside a hidden 3 (gtsummary#1691): no total gives the 3 away."""
    table = protect(
        people(("a",), 180, x=[2]) + people(("b",), 3, x=[2]) + people(("c",), 17, x=[2]),
        {"ward": ["a", "b", "c"]},
        [ROWS, SUM],
        Control(10, round_to=5),
    )
    assert [table[cell,][ROWS] for cell in "abc"] == [180, None, 15]
    assert total(table, ROWS, table) == 195
    assert [mean(table[cell,], "x", of=ROWS) for cell in "abc"] == [2, None, Fraction(34, 15)]


# -- totals that are known ---------------------------------------------------------------------------------------------


def lines_of(cells: int, people_in_all: int) -> Iterator[tuple[int, ...]]:
    """Every way to have so many people in so many cells."""
    if cells == 1:
        yield (people_in_all,)
        return
    for first in range(people_in_all + 1):
        for rest in lines_of(cells - 1, people_in_all - first):
            yield (first, *rest)


def told_of_line(counts: tuple[int, ...], control: Control, missing: int = 0) -> tuple[int | None, ...]:
    """What is shown of a line of counts, the last so many of which are of people with a level ``(missing)``."""
    line = [(str(n), MISSING if n >= len(counts) - missing else "") for n in range(len(counts))]
    small = {cell for cell, count in zip(line, counts, strict=True) if not control.enough(count)}
    persons = {cell: (count,) for cell, count in zip(line, counts, strict=True)}
    gone = also_withheld(line, small, persons, control)
    return tuple(None if cell in gone else count for cell, count in zip(line, counts, strict=True))


def every_line(cells: int, most: int, control: Control, missing: int = 0) -> int:
    """Hold all lines against what whoever knows the total and the rule can tell; returns how many cells are withheld.

    All lines of one total that are shown alike cannot be told apart. Among them, a withheld cell has every number of
    people from 0 (1 where zeros are shown) to the minimum less one, or to the total where that is smaller already.
    """
    least = 1 if control.zeros == "shown" else 0
    seen = 0
    for people_in_all in range(most + 1):
        alike: dict[tuple[int | None, ...], list[tuple[int, ...]]] = {}
        for counts in lines_of(cells, people_in_all):
            alike.setdefault(told_of_line(counts, control, missing), []).append(counts)
        for told, lines in alike.items():
            for place, number in enumerate(told):
                if number is None:
                    seen += 1
                    found = {counts[place] for counts in lines}
                    asked = set(range(least, min(control.min_count - 1, people_in_all) + 1))
                    assert asked <= found, f"{told} of {people_in_all}: cell {place} is one of {sorted(found)}"
    return seen


@pytest.mark.parametrize("zeros", ["shown", "hidden"])
@pytest.mark.parametrize(("cells", "most"), [(2, 20), (3, 14), (4, 12), (5, 10)])
def test_nobody_can_tell_a_withheld_count_from_another(
    zeros: Literal["shown", "hidden"], cells: int, most: int
) -> None:
    """Not even with the total of the line and the rule itself in hand. Exhaustive for minima of 2 to 4."""
    for minimum, missing in itertools.product((2, 3, 4), (0, 1, 2)):
        assert every_line(cells, most, Control(minimum, zeros), missing) > 0


@pytest.mark.long
@pytest.mark.parametrize("zeros", ["shown", "hidden"])
@pytest.mark.parametrize(("cells", "most", "minimum"), [(4, 30, 10), (6, 14, 3), (8, 11, 3)])
def test_nobody_can_tell_a_withheld_count_in_longer_lines(
    zeros: Literal["shown", "hidden"], cells: int, most: int, minimum: int
) -> None:
    for missing in (0, 1, 2):
        assert every_line(cells, most, Control(minimum, zeros), missing) > 0


@pytest.mark.parametrize("minimum", [2, 3])
def test_nor_can_whoever_knows_that_no_level_is_missing(minimum: int) -> None:
    """Zeros hidden, so that the empty cell of the missing level is withheld, and everybody knows that it is empty."""
    control, seen = Control(minimum), 0
    for cells, people_in_all in itertools.product((2, 3, 4, 5), range(minimum, 10)):
        alike: dict[tuple[int | None, ...], list[tuple[int, ...]]] = {}
        for counts in lines_of(cells, people_in_all):
            alike.setdefault(told_of_line((*counts, 0), control, 1), []).append(counts)
        for told, lines in alike.items():
            for place in (place for place, number in enumerate(told[:-1]) if number is None):
                seen += 1
                assert set(range(minimum)) <= {counts[place] for counts in lines}, (told, place)
    assert seen > 50


def test_smallest_cells_first_would_tell() -> None:
    """Why blocks: the rule that withholds the smallest cells first fails the same test, on (9, 30, 30) for one."""

    def smallest_first(counts: tuple[int, ...], control: Control) -> tuple[int | None, ...]:
        order = sorted(range(len(counts)), key=lambda place: (counts[place], place))
        gone = [place for place in order if not control.enough(counts[place])]
        for place in order[len(gone) :]:
            if gone and (len(gone) < 2 or sum(counts[each] for each in gone) < control.min_count):
                gone.append(place)
        return tuple(None if place in gone else count for place, count in enumerate(counts))

    control = Control(10)
    told = smallest_first((9, 30, 30), control)
    alike = [counts for counts in lines_of(3, 69) if smallest_first(counts, control) == told]
    assert {counts[0] for counts in alike} == {9, 30}
    assert {counts[0] for counts in lines_of(3, 69) if told_of_line(counts, control) == (None, None, None)} > set(
        range(10)
    )


def test_everything_in_a_withheld_block_is_withheld() -> None:
    """A statistic that is shown would bound another: COUNT(x) of 29 says that there are 29 people or more."""
    dimensions = {"ward": ["a"], "age": ["1", "2", "3", "4"]}
    rows = [
        *people(("a", "1"), 9),
        *people(("a", "1"), 21, x=[None], name="q"),
        *people(("a", "2"), 20),
        *people(("a", "2"), 10, x=[None], name="q"),
        *people(("a", "3"), 20),
        *people(("a", "4"), 25),
    ]
    table = protect(rows, dimensions, [ROWS, SUM], Control(10, "shown", known_totals=(("ward",),)))
    assert table["a", "1"] == table["a", "2"] == {ROWS: None, SUM: None}
    assert table["a", "3"] == {ROWS: 20, SUM: 20}
    alone = protect(rows, dimensions, [ROWS, SUM], Control(10, "shown"))
    assert alone["a", "1"] == {ROWS: 30, SUM: None} and alone["a", "2"] == {ROWS: 30, SUM: 20}


def test_a_cell_that_everybody_knows_to_be_empty_hides_nothing() -> None:
    """Neither one that the conditions of the query leave empty nor, as a rule, that of a missing level is a partner."""
    rows = people(("2",), 4) + people(("4",), 20) + people(("5",), 30) + people(("6",), 40)
    control = Control(10, "hidden", known_totals=((),))
    levels = {"age": ["1", "2", "3", "4", "5", "6", MISSING]}
    out = protect(rows, levels, [ROWS], control, impossible=[("1",), ("3",)])
    assert [out[cell,][ROWS] for cell in levels["age"]] == [None, None, None, None, 30, 40, None]
    shown = protect(rows, levels, [ROWS], Control(10, "shown", known_totals=((),)), impossible=[("1",), ("3",)])
    assert [shown[cell,][ROWS] for cell in levels["age"]] == [0, None, 0, None, 30, 40, 0]


def test_lines_are_those_of_the_finest_total() -> None:
    dimensions = {"age": ["1", "2"], "ward": ["a", "b"]}
    counts = {("1", "a"): 4, ("2", "a"): 30, ("1", "b"): 20, ("2", "b"): 25}
    rows = [row for cell, count in counts.items() for row in people(cell, count)]
    for known, gone in (((("ward",), ()), 2), (((),), 2), ((("age",), ()), 2), ((), 1)):
        table = protect(rows, dimensions, [ROWS], Control(10, known_totals=known))
        hidden = [cell for cell in table if table[cell][ROWS] is None]
        assert len(hidden) == gone and ("1", "a") in hidden
        assert known == () or (("2", "a") in hidden) == (known[0] == ("ward",))


def test_whoever_dominates_a_sum_is_not_alone_in_its_block() -> None:
    """Its neighbour is shown to be empty by the count: the next block is withheld with them."""
    rows = [
        *people(("1",), 30, x=[1_000, *[1] * 29]),
        *people(("3",), 20, x=[1, 2]),
        *people(("4",), 20, x=[1, 2]),
        *people(("5",), 20, x=[1, 2]),
        *people(("6",), 20, x=[1, 2]),
    ]
    control = Control(10, "shown", dominance=((1, Fraction(1, 2)),), known_totals=((),))
    table = protect(rows, {"age": list("123456")}, [ROWS, SUM], control)
    assert [table[cell,][SUM] is None for cell in "123456"] == [True, True, True, True, False, False]


# -- narrower ---------------------------------------------------------------------------------------------------------


def controls() -> list[Control]:
    return [
        Control(minimum, zeros, base, rounding, known_totals=known)  # type: ignore[arg-type]
        for minimum, zeros, (base, rounding), known in itertools.product(
            (2, 3),
            ("shown", "hidden"),
            ((1, "nearest"), (2, "midpoint"), (4, "midpoint"), (2, "nearest"), (6, "nearest")),
            ((), ((),)),
        )
    ]


def test_what_is_called_narrower_follows_from_the_old_table() -> None:
    """For all small tables: of two that the old control shows alike, the new one shows the same as well."""
    tables = [dict(zip("abc", counts, strict=True)) for counts in itertools.product(range(7), repeat=3)]
    rows = [[row for ward, count in table.items() for row in people((ward,), count)] for table in tables]
    shown: dict[Control, list[tuple[int | None, ...]]] = {
        control: [_flat(protect(each, {"ward": list("abc")}, [ROWS], control)) for each in rows]
        for control in controls()
    }
    narrower = 0
    for old, new in itertools.permutations(shown, 2):
        if {direction for _, direction, _ in compared(old, new)} <= {"narrower"}:
            narrower += 1
            follows = dict(zip(shown[old], shown[new], strict=True))
            assert all(follows[one] == other for one, other in zip(shown[old], shown[new], strict=True)), (old, new)
    assert narrower >= 40


def _flat(table: Table) -> tuple[int | None, ...]:
    return tuple(number for cell in table.values() for number in cell.values())


def test_a_table_is_made_of_all_cells_in_order_whatever_is_in_them() -> None:
    draw = random.Random("cells")
    dimensions = {"ward": ["a", "b"], "age": ["1", "2", "3"]}
    cells = list(itertools.product(*dimensions.values()))
    for _ in range(20):
        rows = [row for cell in cells for row in people(cell, draw.choice([0, 3, 12]))]
        draw.shuffle(rows)
        assert list(protect(rows, dimensions, [ROWS], Control(10, known_totals=((),)))) == cells
