"""What WHERE and CASEs leave of a column's range: held against every value that a row may have."""

import random
from itertools import product
from typing import Any

import pytest

from pets.check.narrowed import spans
from pets.plan.review import review
from pets.spec.banded import reads
from pets.spec.population import Undecided
from pets.spec.query import ColumnRef, Query
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles.sql import holds
from tests.test_controlled import spec_of

X = ColumnRef("stays", "x")
LOW, HIGH = -3, 6


def world(*, clamp: bool = False) -> drawn.World:
    key = {"role": "person id", "scheme": "text"}
    of_a: dict[str, Any] = {
        "id": key,
        "x": {"role": "measure", "type": "integer", "min": LOW, "max": HIGH, "clamp": clamp},
        "z": {"role": "measure", "type": "integer", "min": 0, "max": 9},
        "d": {"role": "dimension", "type": "category", "levels": ("n", "s")},
    }
    of_b = {"id": key, "y": {"role": "measure", "type": "integer", "min": 0, "max": 90}}
    base = {"max_rows_per_person": 1, "max_rows": 100, "truncate": False}
    return drawn.World(
        (
            {"name": "stays", "party": "board", **base, "columns": of_a},
            {"name": "homes", "party": "council", **base, "columns": of_b},
        ),
        {"stays": [], "homes": []},
        ("id", "id"),
        (),
        "1",
    )


def condition(draw: random.Random, depth: int) -> str:
    kind = draw.choice(["leaf", "leaf", "AND", "OR", "NOT"] if depth else ["leaf"])
    if kind == "leaf":
        number = draw.randint(LOW - 1, HIGH + 1)
        return draw.choice(
            [
                f"a.x {draw.choice(['=', '<>', '<', '<=', '>', '>='])} {number}",
                f"a.x BETWEEN {number} AND {number + draw.randint(0, 4)}",
                f"a.x IN ({number}, {number + 2})",
                "a.x IS NULL",
                "a.d = 'n'",
                f"a.z > {draw.randint(0, 8)}",
            ]
        )
    if kind == "NOT":
        return f"NOT ({condition(draw, depth - 1)})"
    return f"({condition(draw, depth - 1)} {kind} {condition(draw, depth - 1)})"


def asked(where: str, cases: list[str], across: str = "") -> Query:
    by = [f"{case} AS g{n}" for n, case in enumerate(cases)]
    text = f"SELECT {', '.join([*by, 'COUNT(*) AS n', 'SUM(a.x) AS s'])} FROM stays a JOIN homes b ON a.id = b.id"
    conditions = [each for each in (where, across) if each]
    text += f" WHERE {' AND '.join(conditions)}" * bool(conditions)
    text += f" GROUP BY {', '.join(f'g{n}' for n in range(len(cases)))}" * bool(cases)
    return bind(spec_of(world(), text, {"min_count": 5}))


@pytest.mark.parametrize("seed", range(120))
def test_no_value_is_beyond_and_the_ends_are_there(seed: int) -> None:
    draw = random.Random(f"narrowed {seed}")
    where = condition(draw, 2)
    cases = [
        f"CASE WHEN {condition(draw, 1)} THEN 'p' WHEN {condition(draw, 1)} THEN '{draw.choice('pq')}' "
        + draw.choice(["", "ELSE 'r'"])
        + " END"
        for _ in range(draw.choice([0, 1, 1, 2]))
    ]
    query = asked(where, cases)
    found = list(
        spans(query, spec_of(world(), "SELECT COUNT(*) FROM stays a JOIN homes b ON a.id = b.id", {"min_count": 5}), X)
    )
    cells: dict[tuple[Any, ...], list[int]] = {}
    for x, z, d in product([None, *range(LOW, HIGH + 1)], range(10), ["n", "s", None]):
        row = {"x": x, "z": z, "d": d}
        if x is not None and holds(query.where_left, row) is True:
            levels = [
                next((level for when, level in by.branches if holds(when, row) is True), by.otherwise)  # type: ignore[attr-defined]
                for by in query.group_by
                if "x" in reads(by)
            ]
            cells.setdefault(tuple(levels), []).append(x)
    wanted = {(min(values), max(values)) for values in cells.values()}
    assert wanted == set(found), query


def test_values_beyond_the_range_are_moved_into_it() -> None:
    text = "SELECT SUM(a.x) AS s FROM stays a JOIN homes b ON a.id = b.id WHERE a.x > 5"
    for clamp, wanted in ((False, [(6, 6)]), (True, [(6, 6)])):
        spec = spec_of(world(clamp=clamp), text, {"min_count": 5})
        assert list(spans(bind(spec), spec, X)) == wanted
    below = spec_of(world(clamp=True), text.replace("> 5", "< -7"), {"min_count": 5})
    assert list(spans(bind(below), below, X)) == [(LOW, LOW)]


def test_what_a_condition_on_both_tables_asks_of_one_counts_and_a_choice_does_not() -> None:
    spec = spec_of(world(), "SELECT COUNT(*) FROM stays a JOIN homes b ON a.id = b.id", {"min_count": 5})
    both = asked("", [], "(a.x BETWEEN 2 AND 3 AND a.z > b.y)")
    assert list(spans(both, spec, X)) == [(2, 3)]
    either = asked("", [], "(a.x BETWEEN 2 AND 3 OR a.z > b.y)")
    assert list(spans(either, spec, X)) == [(LOW, HIGH)]
    with pytest.raises(Undecided):
        list(spans(asked("", ["CASE WHEN a.x = 3 AND a.z > b.y THEN 'p' ELSE 'q' END"]), spec, X))


@pytest.mark.parametrize(
    ("where", "by", "refused"),
    [
        ("b.y BETWEEN 49 AND 51", "", True),
        ("b.y = 50", "", True),
        ("b.y BETWEEN 5 AND 90", "", False),
        ("b.y < 2", "", False),  # the sum of zeros and ones is not far from zero
        ("", "CASE WHEN b.y BETWEEN 49 AND 51 THEN 'some' ELSE 'others' END", True),
        ("", "CASE WHEN b.y < 40 THEN 'some' ELSE 'others' END", False),
        ("b.y > 40", "CASE WHEN b.y < 42 THEN 'some' ELSE 'others' END", True),
    ],
)
def test_a_sum_that_tells_a_rounded_count_is_refused(where: str, by: str, refused: bool) -> None:
    """WHERE x BETWEEN 49 AND 51 with an exact sum of x gives the count beside it that rounding hides."""
    text = "SELECT COUNT(*) AS n, SUM(b.y) AS s"
    text = text.replace("SELECT", f"SELECT {by} AS g,") if by else text
    text += " FROM stays a JOIN homes b ON a.id = b.id" + f" WHERE {where}" * bool(where) + " GROUP BY g" * bool(by)
    for round_to in (5, 1):
        found = review(spec_of(world(), text, {"min_count": 10, "round_to": round_to}))
        assert ("control.range" in {each.rule for each in found.verdict.errors}) == (refused and round_to > 1), round_to
