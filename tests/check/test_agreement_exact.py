"""The two checkers on exact releases: one matrix on plans nobody wrote, and no planted leak that one of them misses.

Leaks are edits of the card of disclosure control, one each: what passes the shares on without a mask that hides it.
"""

import itertools
import random
from collections.abc import Mapping
from functools import cache

import pytest

from pets.check import flow, knowledge
from pets.errors import SpecError
from pets.plan.lower import lower
from pets.spec.cards import Card, cards_folder, load_cards, parse_card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.test_controlled import ask, asking, spec_of, world

TEXT = (cards_folder() / "disclosure_control" / "card.toml").read_text(encoding="utf-8")
CF, CS = '"share(first, sums) - mask(s_13, two, summed)"', '"share(second, sums) - mask(s_23, two, summed)"'

LEAKS = {
    "Cf without its mask": (CF, '"share(first, sums)"'),
    "Cf under a mask of the receiver": (CF, '"share(first, sums) - mask(s_12, two, summed)"'),
    "Cf whose mask is taken off again": (
        CF,
        '"share(first, sums) - mask(s_13, two, summed) + mask(s_13, two, summed)"',
    ),
    "Cs without its mask": (CS, '"share(second, sums)"'),
    "Cs under a mask of the receiver": (CS, '"share(second, sums) - mask(s_12, two, summed)"'),
    "Cs under twice its mask": (CS, '"share(second, sums) - mask(s_23, two, summed) - mask(s_23, two, summed)"'),
}
HARMLESS = {
    "as it is": (CF, CF),
    "Cf with its mask added": (CF, '"share(first, sums) + mask(s_13, two, summed)"'),
    "Cs with its share taken off": (CS, '"mask(s_23, two, summed) - share(second, sums)"'),
}


@cache
def cards_with(edit: tuple[str, str]) -> Mapping[str, Card]:
    assert TEXT.count(edit[0]) == 1
    card = parse_card(TEXT.replace(*edit).encode(), file="planted")
    return {**load_cards(), card.id: card}


@cache
def planned(seed: int) -> tuple[Spec, Query, Plan]:
    draw = random.Random(f"exact agreement {seed}")
    for _ in itertools.count():
        spec = spec_of(world(seed), ask(draw), asking(draw))
        try:
            query = bind(spec)
            if flow.judge(spec, query, load_cards()).accepted:
                return spec, query, lower(spec, query)
        except SpecError:
            continue
    raise AssertionError


@pytest.mark.parametrize("name", HARMLESS)
def test_they_agree_on_exact_plans(name: str) -> None:
    for seed in range(12):
        spec, query, plan = planned(seed)
        cards = cards_with(HARMLESS[name])
        first, second = flow.judge(spec, query, cards), knowledge.judge(plan, spec, cards)
        assert first.accepted and second.accepted, spec.computation.sql
        assert first.matrix.differences(second.matrix) == (), spec.computation.sql


@pytest.mark.parametrize("name", LEAKS)
def test_each_finds_each_leak_of_shares_that_are_passed_on(name: str) -> None:
    for seed in range(12):
        spec, query, plan = planned(seed)
        cards = cards_with(LEAKS[name])
        assert not flow.judge(spec, query, cards).accepted, spec.computation.sql
        assert not knowledge.judge(plan, spec, cards).accepted, spec.computation.sql
