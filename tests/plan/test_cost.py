"""The forecast is what is sent, message by message."""

from pathlib import Path

import pytest

from pets.plan.cost import BETWEEN_SITES, ONE_MACHINE, SETTINGS, Forecast, forecast, join_card, join_of, parties_of
from pets.plan.lower import lower
from pets.plan.review import review
from pets.spec.cards import load_cards
from pets.spec.handover import joined
from pets.spec.ir import Protect
from pets.spec.joins import MODE_A, MODE_B, SHARED
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn

PASS = sorted((Path(__file__).parents[1] / "check" / "should_pass").glob("*.toml"))


@pytest.mark.parametrize("file", PASS, ids=lambda file: file.stem)
def test_messages_add_up_to_the_card_s_formula_for_all_bytes(file: Path) -> None:
    spec = parse_toml(file.read_text())
    plan = lower(spec, bind(spec))
    found = forecast(plan, load_cards())
    assert sum(message.size for message in found.messages) == found.size
    listed = [message.label for message in found.messages if message.term]
    join, after = join_card(plan), load_cards()[plan.protection.card]
    exact = isinstance(plan.protection, Protect)
    assert listed == [m.label for m in (joined(join, after) if exact else join).messages]
    assert {m.sender for m in found.messages} <= set(spec.servers)
    computed = exact or plan.join.rows is not None or plan.join.card in (MODE_B, SHARED)
    assert computed == (len(found.messages) > len(listed))
    assert (found.rounds == 5) is not computed


def test_forecast_times_grow_with_bytes_rounds_and_distance() -> None:
    """What a run takes is told for one machine and for sites apart, and never less for more."""
    few, many = (Forecast((), size, 5) for size in (10**6, 10**9))
    more = Forecast((), 10**6, 50)
    for setting in SETTINGS:
        assert few.milliseconds(setting) < more.milliseconds(setting) < many.milliseconds(setting)
    assert few.milliseconds(ONE_MACHINE) < few.milliseconds(BETWEEN_SITES)
    assert Forecast((), 10**6, 5, drawn=400_000).milliseconds() == few.milliseconds() + 800
    assert dict(few.times)[ONE_MACHINE.name] == few.milliseconds()


def test_a_forecast_names_the_parties_of_the_roles() -> None:
    spec = parse_toml(PASS[0].read_text())
    plan = lower(spec, bind(spec))
    parties = parties_of(plan)
    for message, listed in zip(forecast(plan, load_cards()).messages, load_cards()[MODE_A].messages, strict=True):
        assert (message.sender, message.receiver) == (parties[listed.sender], parties[listed.receiver])


@pytest.mark.parametrize("seed", range(20))
def test_forecasts_of_random_queries_depend_on_public_numbers_only(seed: int) -> None:
    world = drawn.world(seed)
    for number in range(40):
        spec = drawn.spec_of(world, drawn.ask(number, world), only=None)
        found = review(spec)
        if found.plan is None or found.forecast is None:
            continue
        names = load_cards()[MODE_A].names(dict(join_of(found.plan).public))
        for message, listed in zip(found.forecast.messages, load_cards()[MODE_A].messages, strict=True):
            width = listed.element_under(names).width
            assert message.size == listed.columns.evaluate(names) * listed.count.evaluate(names) * width
        return
