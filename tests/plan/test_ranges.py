"""Ranges that do not fit are refused when the plan is made: never in a run, where failing would depend on records."""

from pathlib import Path

import numpy as np
import pytest

from pets.kernels import rows
from pets.plan.review import review
from pets.spec.ir import AddNoise
from pets.spec.parse import parse_toml

TEXT = (Path(__file__).parent.parent / "check/should_pass/variance_with_weights.toml").read_text()


def with_range(most: int) -> str:
    assert TEXT.count("max = 1_440") == 1
    return TEXT.replace("max = 1_440", f"max = {most}")


@pytest.mark.parametrize("power", [31, 32, 40, 52])
def test_a_square_that_leaves_64_bits_is_refused_before_any_record_is_read(power: int) -> None:
    found = review(parse_toml(with_range(2**power)))
    assert not found.accepted
    assert [finding.rule for finding in found.verdict.errors] == ["dp.range"]


def test_the_greatest_range_that_is_accepted_can_be_computed() -> None:
    found = review(parse_toml(with_range(2**30)))
    assert found.plan is not None
    step = next(step for step in found.plan.steps if isinstance(step, AddNoise))
    factor = next(
        c.moment.b if len(c.moment.b.values) == 2 else c.moment.a
        for c in step.columns
        if c.moment.name == "sum(attendances.minutes*attendances.minutes)"
    )
    worst = np.array([2**30, -(2**30)], np.int64)
    assert rows.factor_rows([worst, worst], [], factor.unit, 2).max() <= factor.bound


def test_a_unit_that_the_plan_cannot_write_is_refused() -> None:
    text = with_range(2**30).replace('epsilon = "1"', 'epsilon = "0.001"')
    found = review(parse_toml(text))
    assert not found.accepted
    assert [finding.rule for finding in found.verdict.errors] == ["dp.scale"]
