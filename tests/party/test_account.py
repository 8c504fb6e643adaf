"""OpenDP's opinion of the plans that we make, and of plans that cost more than they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from pets.errors import InternalError
from pets.party.account import second_opinion
from pets.plan.review import review
from pets.spec.ir import AddNoise
from pets.spec.parse import read_spec

PASSING = sorted((Path(__file__).parents[1] / "check" / "should_pass").glob("*.toml"))


@pytest.mark.parametrize("path", PASSING, ids=lambda path: path.stem)
def test_opendp_agrees_with_every_plan_of_the_corpus(path: Path) -> None:
    found = review(read_spec(path)).require()
    second_opinion(found.plan, found.spec)


def test_a_column_that_takes_more_than_its_share_is_noticed() -> None:
    found = review(read_spec(PASSING[0])).require()
    noise = next(step for step in found.plan.steps if isinstance(step, AddNoise))
    greedy = replace(noise.columns[0], epsilon=noise.columns[0].epsilon * 3 / 2)
    steps = tuple(
        replace(step, columns=(greedy, *step.columns[1:])) if isinstance(step, AddNoise) else step
        for step in found.plan.steps
    )
    with pytest.raises(InternalError, match=r"all: OpenDP accounts for epsilon"):
        second_opinion(replace(found.plan, steps=steps), found.spec)
