"""The recheck of a plan: every field of it, changed alone, is found out."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pets.check import flow
from pets.errors import InternalError
from pets.plan.lower import lower
from pets.plan.recheck import recheck
from pets.spec.cards import load_cards
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles import several_tables
from tests.oracles.many import CONTROL, many
from tests.thinned import thinned

CORPUS = Path(__file__).parents[1] / "check" / "should_pass"
PASS = [
    CORPUS / f"{name}.toml"
    for name in (
        *("ae_by_tenure", "correlation_across_tables", "edge_global_agg", "left_join_with_people"),
        *("one_run_on_frozen_rows", "required_measure_shares_the_count", "result_to_the_council"),
        *("roles_swapped_result_to_role_b", "variance_with_weights", "mode_b_by_name"),
        *("dominance", "order_statistics", "exact_with_known_totals", "condition_across_tables"),
        *("groups_on_both_sides", "case_over_both_tables", "scql_184_sums_of_cases", "logistic_regression"),
        *("gaussian_noise", "gaussian_noise_of_many_holders"),
    )
]
"""Every field of each plan is changed in turn, so a few plans that differ will do."""


def specs() -> Iterator[tuple[str, Spec]]:
    for file in PASS:
        yield file.stem, parse_toml(file.read_text())
    world = drawn.world(4, wide=True)
    for name, text in (
        ("left join", "SELECT a.d0a, b.d0b, AVG(b.wb) AS m, COUNT(DISTINCT a.{a}) AS n, VAR_POP(a.wa) AS v "
                      "FROM stays a LEFT JOIN homes b ON a.{a} = b.{b} WHERE a.na > 1 GROUP BY a.d0a, b.d0b"),
        ("no groups", "SELECT CORR(a.wa, b.eb) AS r FROM stays a JOIN homes b ON a.{a} = b.{b}"),
    ):  # fmt: skip
        yield name, drawn.spec_of(world, text.format(a=world.keys[0], b=world.keys[1]))
    world = several_tables.world(1)
    text = (
        "SELECT a.d0a, b.d0b, c.d1c, SUM(b.wb) AS s, CORR(a.ea, c.ec) AS r FROM stays a JOIN homes b ON a.{a} = b.{b} "
        "JOIN schools c ON c.{c} = b.{b} WHERE c.nc > 1 GROUP BY a.d0a, b.d0b, c.d1c"
    )
    yield "three tables", drawn.spec_of(world, text.format(a=world.keys[0], b=world.keys[1], c=world.keys[2]))
    yield "many holders", many(2, 1, sql=MANY)
    yield "many holders, exact", many(1, 2, sql=MANY, protection=CONTROL, truncate=False, edits=ONCE)


MANY = (
    "SELECT h.tenure, AVG(a.minutes) AS m, COUNT(DISTINCT a.nhs_number) AS n "
    "FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure"
)
ONCE = (("max_runs = 60", "max_runs = 1"), ('schedule = "monthly"\n', ""))


PARTS = 4
NUMBERS = {name: number for number, (name, _) in enumerate(specs())}


def changes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value that differs from this one in one leaf, and where."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            for where, other in changes(getattr(value, field.name), f"{path}.{field.name}"):
                yield where, dataclasses.replace(value, **{field.name: other})
        return
    match value:
        case bool():
            yield path, not value
        case int():
            yield path, value + 1
            yield path, value - 1
        case Fraction():
            yield path, value * 2 or Fraction(1)
            yield path, value / 2 or Fraction(1, 2)
        case str():
            yield path, value + "x"
        case None:
            yield path, 0
        case dt.date():
            yield path, value + dt.timedelta(1)
        case tuple():
            if value:
                yield f"{path} shorter", value[:-1]
                yield f"{path} longer", (*value, value[0])
            if len(set(value)) > 1:
                yield f"{path} reversed", value[::-1]
            for place, inner in enumerate(value):
                for where, other in changes(inner, f"{path}[{place}]"):
                    yield where, (*value[:place], other, *value[place + 1 :])
        case _:
            raise AssertionError(f"{path}: {value!r}")


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, PARTS))])
@pytest.mark.parametrize(
    ("name", "spec"), thinned(specs(), one_in=3), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_plan_changed_in_one_field_is_refused(name: str, spec: Spec, part: int) -> None:
    """All changes in all parts; the first part of each plan has others than that of the next."""
    first = (part + NUMBERS[name]) % PARTS
    cards = load_cards()
    query = bind(spec)
    plan = lower(spec, query)
    approved = flow.judge(spec, query, cards).matrix
    recheck(plan, approved, spec, cards)
    missed = []
    for where, changed in islice(changes(plan, "plan"), first, None, PARTS):
        assert isinstance(changed, Plan) and changed != plan
        try:
            recheck(changed, approved, spec, cards)
        except InternalError as error:
            assert error.code.startswith("plan.")
        else:
            missed.append(where)
    assert not missed


def test_a_plan_that_discloses_more_than_was_approved_is_refused() -> None:
    spec = parse_toml(PASS[0].read_text())
    query, cards = bind(spec), load_cards()
    plan = lower(spec, query)
    approved = flow.judge(spec, query, cards).matrix
    less = dataclasses.replace(approved, rows=approved.rows[1:])
    with pytest.raises(InternalError) as caught:
        recheck(plan, less, spec, cards)
    assert caught.value.code == "plan.matrix-differs"


def test_the_plan_of_another_specification_is_refused() -> None:
    spec = parse_toml(PASS[0].read_text())
    other = spec.model_copy(update={"title": "Another title"})
    query, cards = bind(spec), load_cards()
    plan, approved = lower(spec, query), flow.judge(spec, query, cards).matrix
    with pytest.raises(InternalError) as caught:
        recheck(plan, approved, other, cards)
    assert caught.value.code == "plan.wiring"
