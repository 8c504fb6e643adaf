"""Discrete Gaussian noise in specifications: its columns, its recheck, comparisons, and both checkers."""

from dataclasses import replace
from fractions import Fraction
from math import exp, log2, sqrt

import pytest

from pets.check import flow, knowledge, noised, shared_noise
from pets.check.case import case_of
from pets.check.diff import compare
from pets.check.labels import Mark
from pets.errors import InternalError
from pets.plan.lower import lower
from pets.plan.recheck import recheck
from pets.plan.review import review
from pets.spec.canonical import plan_digest
from pets.spec.cards import load_cards
from pets.spec.ir import AddNoise, GaussianColumn, NoisedColumn, Plan
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests.check.corpus import HERE
from tests.pooled import pooled_toml

TEXT = (HERE / "should_pass" / "gaussian_noise.toml").read_text()
RHO = 'rho = "0.1"'


def spec_of(*changes: tuple[str, str]) -> Spec:
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_toml(text)


def planned(spec: Spec) -> tuple[Plan, tuple[GaussianColumn, ...]]:
    plan = lower(spec, bind(spec))
    assert isinstance(plan.protection, AddNoise)
    columns = tuple(c for c in plan.protection.columns if isinstance(c, GaussianColumn))
    assert len(columns) == len(plan.protection.columns)
    return plan, columns


# -- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", ["0.1", "1/3", "3", "2^-20"])
@pytest.mark.parametrize("weights", ["", '\nweights = { "sum(attendances.minutes)" = 5, "count(*)" = 2 }'])
def test_columns_cost_their_shares_of_rho_and_all_of_it_together(rho: str, weights: str) -> None:
    spec = spec_of((RHO, f'rho = "{rho}"{weights}'))
    _, columns = planned(spec)
    privacy = spec.release.differential_privacy
    assert privacy is not None and sum(column.rho for column in columns) == privacy.loss
    for column in columns:
        assert column.parts == 2
        costs = shared_noise.gaussian_rho(column.squared, column.variance, 2, column.squared)
        narrower = column.variance - Fraction(1, 2**20)
        assert costs <= column.rho
        assert narrower < shared_noise.MIN_VARIANCE or column.rho < shared_noise.gaussian_rho(
            column.squared, narrower, 2, column.squared
        )


def test_a_plan_with_laplace_noise_has_the_form_that_it_had() -> None:
    plan = lower(laplace := parse_toml((HERE / "should_pass" / "ae_by_tenure.toml").read_text()), bind(laplace))
    assert isinstance(plan.protection, AddNoise)
    assert all(type(column) is NoisedColumn for column in plan.protection.columns)
    assert plan_digest(plan) != plan_digest(planned(spec_of())[0])


def test_a_specification_is_written_and_read_again() -> None:
    spec = spec_of()
    assert parse_toml(to_toml(spec)) == spec
    assert 'mechanism = "discrete gaussian"\nrho = "0.1"\ndelta = "2^-30"\n' in to_toml(spec)


def test_the_delta_changes_nothing_of_the_noise() -> None:
    assert planned(spec_of())[1] == planned(spec_of(('delta = "2^-30"\n', "")))[1]


def test_no_noise_is_beyond_the_room_that_is_left_for_it() -> None:
    """2 exp(-t^2 / 2 v) bounds the chance of a part: of 2^119 parts all are within, but for 2^-64."""
    _, columns = planned(spec_of())
    for column in columns:
        reach = float(noised.greatest(column, 1))
        assert reach >= noised.GAUSSIAN_TAIL * sqrt(column.variance)
        assert noised.greatest(column, 3) == 3 * noised.greatest(column, 1)
    assert log2(2 * exp(-(noised.GAUSSIAN_TAIL**2) / 2)) + 119 < -64


# -- sums over one table of many holders ------------------------------------------------------------------------------


def test_sums_of_many_holders_get_noise_of_which_one_part_is_the_whole() -> None:
    text = pooled_toml().replace('epsilon = "4"', 'mechanism = "discrete gaussian"\nrho = "0.5"')
    spec = parse_toml(text)
    found = review(spec)
    assert found.plan is not None and found.plan.pool is not None and isinstance(found.plan.protection, AddNoise)
    for column in found.plan.protection.columns:
        assert isinstance(column, GaussianColumn) and column.parts == found.plan.pool.parts == 1
        assert shared_noise.gaussian_rho(column.squared, column.variance, 1, column.squared) <= column.rho
        assert found.plan.pool.noise >= noised.greatest(column, len(spec.computing))


# -- the recheck ------------------------------------------------------------------------------------------------------


def rechecked(spec: Spec, *columns: GaussianColumn | NoisedColumn) -> str:
    """Why a plan with other noised columns is refused."""
    plan, _ = planned(spec)
    steps = tuple(replace(step, columns=columns) if isinstance(step, AddNoise) else step for step in plan.steps)
    approved = flow.judge(spec, bind(spec), load_cards()).matrix
    with pytest.raises(InternalError) as caught:
        recheck(replace(plan, steps=steps), approved, spec, load_cards())
    return str(caught.value.fields.get("problem", caught.value.code))


@pytest.mark.parametrize(
    ("rows", "delta", "refused"), [(1000, "", False), (600_000, "", True), (600_000, 'delta = "2^-40"\n', False)]
)
def test_rho_is_told_at_no_delta_that_the_rows_use_up(rows: int, delta: str, refused: bool) -> None:
    """Left out it is 10^-6, and five parts of 600 000 rows are more than a million."""
    noise = f'[release.differential_privacy]\nmechanism = "discrete gaussian"\nrho = "0.1"\n{delta}'
    noise += 'neighbours = "one person\'s rows added or removed"\n'
    found = review(parse_toml(pooled_toml(5, rows=rows, protection=noise)))
    assert ("dp.delta" in {each.rule for each in found.verdict.errors}) == refused


def test_a_plan_with_other_noise_is_refused() -> None:
    spec = spec_of()
    _, (first, *rest) = planned(spec)
    as_laplace = NoisedColumn(first.moment, 4, first.rho)
    assert rechecked(spec, as_laplace, *rest) == "another law than the declared one"
    assert rechecked(spec, replace(first, parts=3), *rest) == "another number of honest parts"
    assert rechecked(spec, replace(first, variance=first.variance / 2), *rest) == "no variance of a part"
    less = Fraction(int(first.variance * 2**19), 2**20)
    assert rechecked(spec, replace(first, variance=less), *rest) == "costs more than its share of rho"
    assert rechecked(spec, replace(first, rho=first.rho * 2), *rest) == "rho does not add up to the declared one"
    more = replace(first, variance=first.variance + 1)
    assert rechecked(spec, more, *rest) == "more noise than its share of rho asks for"
    variance = shared_noise.part_variance(first.rho, first.squared // 2, 2, first.squared // 2)
    fewer = replace(first, squared=first.squared // 2, variance=variance)
    assert rechecked(spec, fewer, *rest) == "another sensitivity"


# -- comparisons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rho", "relation"),
    [("0.1", "equal"), ("0.05", "narrower"), ("0.2", "wider"), ("0.09999999999", "incomparable"), ("1/10", "equal")],
)
def test_less_rho_is_stricter_if_it_is_clearly_less(rho: str, relation: str) -> None:
    """So little less that the laws of the parts tell apart what was never released is no narrower release."""
    assert compare(spec_of(), spec_of((RHO, f'rho = "{rho}"'))).relation == relation


def test_what_is_narrower_can_be_made_by_adding_noise() -> None:
    """The two laws, added up exactly: a part of the old variance and one of the difference, against the new one."""
    old, new = 9.0, 30.0
    reach = 80
    assert old * (new - old) >= 4 * new

    def law(variance: float) -> dict[int, float]:
        weights = {x: exp(-x * x / (2 * variance)) for x in range(-reach, reach + 1)}
        return {x: weight / sum(weights.values()) for x, weight in weights.items()}

    made: dict[int, float] = {}
    for x, p in law(old).items():
        for y, q in law(new - old).items():
            made[x + y] = made.get(x + y, 0.0) + p * q
    wanted = law(new)
    assert sum(abs(made[x] - wanted.get(x, 0.0)) for x in made) < 1e-13


def test_the_delta_at_which_rho_is_read_is_agreed_on() -> None:
    found = compare(spec_of(), spec_of(('delta = "2^-30"', 'delta = "2^-40"')))
    assert found.relation == "incomparable"
    assert [reason.path for reason in found.reasons if reason.direction == "incomparable"] == [
        "release.differential_privacy.delta"
    ]


# -- the second checker -----------------------------------------------------------------------------------------------


def test_noise_is_noise_with_as_many_parts_as_the_plan_says_only() -> None:
    """Were three parts needed in the place of two, any computing party with the result party would see less noise."""
    spec = spec_of()
    plan, columns = planned(spec)
    cards = load_cards()
    assert case_of(plan, spec, cards).parts == 2
    steps = tuple(
        replace(step, columns=tuple(replace(c, parts=3) for c in columns)) if isinstance(step, AddNoise) else step
        for step in plan.steps
    )
    three = knowledge.judge(replace(plan, steps=steps), spec, cards)
    assert not knowledge.judge(plan, spec, cards).errors
    (row,) = (row for row in three.matrix.rows if row.value == "count(*)" and row.kind == "exact sum")
    joint = next(column for column in three.matrix.columns if set(column.parties) == {"board", "statistics"})
    assert row.cells[joint.label] is Mark.AGGREGATE
