"""Populations: equal sets of rows have one form, whatever the words; set operations agree with rows looked at."""

import datetime as dt
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import pytest

from pets.spec.model import Column, Dataset
from pets.spec.population import EVERY, MAX_NODES, NONE, Space, Undecided
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value
from tests.oracles.sql import holds

Row = Mapping[str, Value | None]

TABLE = Dataset(
    name="t",
    party="p",
    max_rows_per_person=1,
    max_rows=10,
    columns={
        "id": Column(role="person id", scheme="text"),
        "c": Column(role="dimension", type="category", levels=("a", "b", "c")),
        "n": Column(role="measure", type="integer", min=0, max=3),
        "m": Column(role="measure", type="integer", min=1, max=3, required=True),
        "x": Column(role="measure", type="decimal", places=1, min="0", max="1", clamp=True),
        "d": Column(role="filter only", type="date"),
        "s": Column(role="filter only", type="text"),
    },
)
DAY = dt.date(2026, 1, 1)
VALUES: dict[str, tuple[Value | None, ...]] = {
    "c": ("a", "b", "c", None),
    "n": (0, 1, 2, 3, None),
    "m": (1, 2, 3),
    "x": (Fraction(-1), Fraction(0), Fraction(1, 10), Fraction(1), Fraction(2), None),
    "d": (DAY, DAY + dt.timedelta(1), DAY + dt.timedelta(2), None),
    "s": ("", "u", "v", None),
}


BEYOND: dict[str, tuple[Value, ...]] = {
    "x": tuple(Fraction(tenths, 10) for tenths in (-11, -5, 5, 15, 21)),
    "d": (DAY - dt.timedelta(1), DAY + dt.timedelta(3)),
    "s": ("w",),
}
"""Values between and beyond those that predicates name."""


def drawn(draw: random.Random, names: Sequence[str], depth: int = 2) -> Predicate:
    """A predicate over some columns, of every form."""
    form = draw.choice(("atom", "not", "and", "or")) if depth else "atom"
    if form == "not":
        return Not(drawn(draw, names, depth - 1))
    if form != "atom":
        parts = tuple(drawn(draw, names, depth - 1) for _ in range(draw.choice((2, 2, 3))))
        return All(parts) if form == "and" else AnyOf(parts)
    name = draw.choice(names)
    known = [value for value in VALUES[name] if value is not None]
    if (kind := draw.random()) < 0.2:
        return IsNull(name, draw.random() < 0.5)
    if kind < 0.5:
        return In(name, tuple(draw.sample(known, draw.randint(1, len(known)))), draw.random() < 0.5)
    return Compare(
        name, draw.choice(("=", "<>") if name in "cs" else ("=", "<>", "<", "<=", ">", ">=")), draw.choice(known)
    )


def pairs(number: int) -> Iterator[tuple[Predicate, Predicate]]:
    draw = random.Random("populations")
    for _ in range(number):
        names = draw.sample(list(VALUES), 3)
        yield drawn(draw, names), drawn(draw, names)


def rows(*predicates: Predicate) -> list[Row]:
    """Every row that the predicates could tell from another one."""
    text = repr(predicates)
    names = [name for name in VALUES if f"column='{name}'" in text]
    cells_of = [VALUES[name] + BEYOND.get(name, ()) for name in names]
    return [dict(zip(names, cells, strict=True)) for cells in itertools.product(*cells_of)]


def test_operations_on_populations_are_operations_on_rows() -> None:
    for one, two in pairs(600):
        space, every = Space(), rows(one, two)
        here, there = space.of(one, TABLE), space.of(two, TABLE)
        first = {number for number, row in enumerate(every) if holds(one, row) is True}
        second = {number for number, row in enumerate(every) if holds(two, row) is True}
        assert (here == there) == (first == second), (one, two)
        assert (space.both(here, there) == NONE) == (not first & second), (one, two)
        assert (space.without(here, there) == NONE) == (first <= second), (one, two)
        assert (space.either(here, there) == EVERY) == (len(first | second) == len(every)), (one, two)
        assert (space.differ(here, there) == NONE) == (first == second), (one, two)


def test_what_is_left_of_a_population_on_some_columns() -> None:
    for number, (one, two) in enumerate(pairs(300)):
        space, every = Space(), rows(one, two)
        names = list(every[0])[: number % 3]
        columns = frozenset(f"t.{name}" for name in names)
        left, right = (
            {tuple(row[name] for name in names) for row in every if holds(predicate, row) is True}
            for predicate in (one, two)
        )
        here, there = (space.onto(space.of(predicate, TABLE), columns) for predicate in (one, two))
        assert (here == there) == (left == right), (one, two, names)
        assert (space.both(here, there) == NONE) == (not left & right), (one, two, names)


def test_a_population_comes_back_from_its_text() -> None:
    for predicate, _ in pairs(300):
        space, other = Space(), Space()
        number = space.of(predicate, TABLE)
        other.of(IsNull("s"), TABLE)  # other numbers of nodes, the same text
        written = json.loads(json.dumps(space.write(number)))
        assert space.read(written) == number
        assert other.write(other.read(written)) == written == other.write(other.of(predicate, TABLE))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Compare("c", "<>", "a"), In("c", ("c", "b"))),
        (Not(In("n", (1, 2))), AnyOf((Compare("n", "<", 1), Compare("n", ">", 2)))),
        (Compare("n", ">", 1), Compare("n", ">=", 2)),
        (Compare("n", ">=", 0), IsNull("n", negated=True)),
        (Compare("x", ">", Fraction(1, 2)), Compare("x", ">=", Fraction(6, 10))),
        (Not(All((Compare("c", "=", "a"), IsNull("n")))), AnyOf((IsNull("n", negated=True), In("c", ("b", "c"))))),
        (Compare("d", ">", DAY), Compare("d", ">=", DAY + dt.timedelta(1))),
        (
            All((Compare("n", ">", 1), Compare("c", "=", "a"))),
            All((Compare("c", "=", "a"), Not(Compare("n", "<=", 1)))),
        ),
    ],
)
def test_other_words_for_the_same_rows_have_one_form(one: Predicate, two: Predicate) -> None:
    space, other = Space(), Space()
    assert space.of(one, TABLE) == space.of(two, TABLE)
    assert space.write(space.of(one, TABLE)) == other.write(other.of(two, TABLE))


def test_what_a_specification_rules_out_is_no_row() -> None:
    space = Space()
    assert space.of(Compare("m", ">=", 1), TABLE) == EVERY == space.present(TABLE, "m")
    assert space.of(IsNull("m"), TABLE) == NONE == space.of(Compare("n", ">", 3), TABLE)
    assert space.of(Compare("x", ">", Fraction(1)), TABLE) != NONE, "clamping comes after WHERE"
    assert space.columns(space.of(All((Compare("m", ">=", 1), Compare("n", ">", 1))), TABLE)) == {"t.n"}


def test_too_many_conditions_are_not_compared_for_ever() -> None:
    space = Space()
    table = TABLE.model_copy(
        update={"columns": {f"n{i}": Column(role="filter only", type="integer") for i in range(40)}}
    )
    pairs = tuple(All((Compare(f"n{i}", ">", 1), Compare(f"n{i + 20}", ">", 1))) for i in range(20))
    with pytest.raises(Undecided):
        space.of(AnyOf(pairs), table)
    assert MAX_NODES < 2**20


@pytest.mark.parametrize("written", [[[1]], [["t.c", "tree", 0, 0, []]], [["t.c", "set", 0, 9, []]], [["t.c"]]])
def test_what_is_no_population_is_not_read(written: list[list[object]]) -> None:
    with pytest.raises(ValueError, match=r"population|unpack"):
        Space().read(written)
