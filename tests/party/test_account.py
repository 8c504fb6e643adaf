"""OpenDP's opinion of the plans that we make, and of plans that cost more than they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from pets.errors import InternalError
from pets.party.account import second_opinion
from pets.plan.review import review
from pets.spec.ir import AddNoise, GaussianColumn
from pets.spec.parse import read_spec
from tests.thinned import thinned

CHECK = Path(__file__).parents[1] / "check"
PASSING = sorted((CHECK / "should_pass").glob("*.toml"))
INTERSECTIONS = CHECK / "intersections" / "should_pass"


@pytest.mark.parametrize("path", thinned(PASSING, one_in=3), ids=lambda path: path.stem)
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


def test_opendp_agrees_with_every_intersection_of_the_corpus() -> None:
    for path in sorted(INTERSECTIONS.glob("*.toml")):
        found = review(read_spec(path)).require()
        second_opinion(found.plan, found.spec)


@pytest.mark.parametrize("name", ["number_with_noise", "sums_of_two_columns_with_noise"])
def test_an_intersection_whose_noise_costs_more_than_it_says_is_noticed(name: str) -> None:
    found = review(read_spec(INTERSECTIONS / f"{name}.toml")).require()
    match = found.plan.match
    assert match is not None
    noised = tuple((sensitivity, epsilon * 2) for sensitivity, epsilon in match.noised)
    greedy = replace(match, epsilon=match.epsilon * 2, noised=noised)
    steps = tuple(greedy if step is match else step for step in found.plan.steps)
    with pytest.raises(InternalError, match=r"all: OpenDP accounts for epsilon"):
        second_opinion(replace(found.plan, steps=steps), found.spec)


def test_gaussian_noise_that_costs_more_than_it_says_is_noticed() -> None:
    """A part of half the variance, or one honest party less to add it, doubles the rho of a column."""
    found = review(read_spec(next(path for path in PASSING if path.stem == "gaussian_noise"))).require()
    noise = next(step for step in found.plan.steps if isinstance(step, AddNoise))
    first, *rest = noise.columns
    assert isinstance(first, GaussianColumn)
    for less in (replace(first, variance=first.variance / 2), replace(first, parts=1)):
        columns = (less, *rest)
        steps = tuple(replace(s, columns=columns) if isinstance(s, AddNoise) else s for s in found.plan.steps)
        with pytest.raises(InternalError, match=r"OpenDP accounts for rho 0\.0666"):
            second_opinion(replace(found.plan, steps=steps), found.spec)
