"""Drafts of programs: what is written runs as it stands, with a budget that suffices and was counted."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pets
from pets.errors import ConfigError, SpecError
from pets.local import LocalNetwork
from tests.party.program_specs import OWN

DAYS = {"north": [3, 8], "south": [5, 1], "west": [7, 7]}


def network(**more: Any) -> LocalNetwork:
    tables = {
        party: {"waits": pd.DataFrame({"id": [f"{party}{n}" for n in range(2)], "days": days, "cost": [1.5, 2.25]})}
        for party, days in DAYS.items()
    }
    return pets.local_network({**tables, **more})


def quantiles(**changed: Any) -> Any:
    given = {"inputs": {"value": "waits.days"}, "on": "id", "parameters": {"per_holder": 2, "ranks": [1, 6]}}
    return network().draft(program="quantiles", **{**given, **changed})


def test_a_program_that_comes_along_runs_as_drafted(tmp_path: Path) -> None:
    draft = quantiles(to="south")
    assert draft.check().accepted and draft.spec.release.to == ("south",)
    budget = draft.spec.computation.budget
    assert 50 < budget.rounds < 90 and draft.spec.security.corrupt == 1
    result = network().run(draft)
    assert result.outputs == {"quantile": (1, 8)}
    moved = max(step.size for step in result.steps if step.step == "program")
    assert 2 * budget.bytes * 0.8 < moved <= 2 * budget.bytes
    result.plot(tmp_path / "quantiles.png")
    assert (tmp_path / "quantiles.png").stat().st_size > 5_000


def test_a_program_of_ones_own_takes_numbers_in_units_of_the_last_place() -> None:
    draft = network().draft(
        program=OWN, inputs={"value": "waits.cost"}, on="id", outputs={"total": 1, "square": (1, 0)}, rows={"value": 2}
    )
    assert draft.spec.computation.source == OWN and draft.spec.computation.rows == {"value": 2}
    assert network().run(draft).outputs == {"total": (Fraction(3 * 375),), "square": (Fraction((3 * 375) ** 2),)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": {"value": "stays.days"}}, "no party has a table stays; the tables are waits"),
        ({"inputs": {"value": "waits.weeks"}}, "waits has no column weeks"),
        ({"inputs": {"value": "waits.id"}}, "waits.id has no numbers in a range"),
        ({"on": "chi"}, "waits has no column chi"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        quantiles(**changed)


def test_parameters_and_texts_are_checked() -> None:
    with pytest.raises(SpecError, match="ranks"):
        quantiles(parameters={"per_holder": 2})
    with pytest.raises(SpecError, match="imports"):
        network().draft(program="import os\n\n", inputs={"value": "waits.days"}, on="id", outputs={"x": 1})
    with pytest.raises(ConfigError, match="one of them alone"):
        network().draft("SELECT 1", program="quantiles")
