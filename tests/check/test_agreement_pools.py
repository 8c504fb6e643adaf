"""Both checkers of sums of many holders on random specifications: what is accepted has one matrix, none fails."""

from collections import Counter

import pytest

from pets.check import legal
from pets.plan.review import review
from pets.spec.parse import parse_toml
from tests.oracles.random_pools import random_toml


def reviewed(seeds: range) -> Counter[str]:
    """How many are accepted, by protocol; ``review`` raises where the checkers differ."""
    found: Counter[str] = Counter()
    for seed in seeds:
        said = review(parse_toml(random_toml(seed)))
        refused = [each for each in said.verdict.errors if each.rule not in legal.RULES]
        assert bool(refused) is (said.plan is None), seed
        if said.plan is not None and said.plan.pool is not None:
            assert len(said.checkers) == 2, seed
            found[said.plan.pool.card] += 1
    return found


def test_on_some_specifications() -> None:
    found = reviewed(range(40))
    assert found.total() >= 20 and len(found) == 4


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_on_thousands_of_specifications(part: int) -> None:
    assert reviewed(range(1000 + 300 * part, 1300 + 300 * part)).total() >= 150
