"""Groups of both sides told apart on shares: the tables are those that the author's SQL gives, however many groups."""

import random
from pathlib import Path
from typing import Any

import pytest

from pets.errors import SpecError
from pets.party import gate
from pets.plan.cost import forecast
from pets.plan.review import review
from pets.spec import moments
from pets.spec.cards import load_cards
from pets.spec.ir import HelperJoin
from tests import test_crossing as crossing
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.test_queries import rounds

QUERIES = 4


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of role b are many already, so that small tables and every construct of the language serve."""
    monkeypatch.setattr(moments, "MAX_B_CELLS", 1)


def one_row(world: drawn.World, draw: random.Random) -> drawn.World:
    """One of the tables has one row a person."""
    draw.choice(world.datasets)["max_rows_per_person"] = 1
    for dataset in world.datasets:
        if dataset["max_rows_per_person"] == 1:
            seen: set[Any] = set()
            key, rows = drawn._key(dataset), world.rows[dataset["name"]]
            rows[:] = [r for r in rows if r[key] is None or (r[key] not in seen and not seen.add(r[key]))]  # type: ignore[func-returns-value]
    return world


def run_world(seed: int, folder: Path) -> list[Direct]:
    """Hold queries of one world against DuckDB; those whose groups are told apart on shares."""
    draw = random.Random(f"keyed {seed}")
    world = one_row(drawn.world(seed), draw)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran: list[Direct] = []
    for number in range(20 * QUERIES):
        made = crossing.asked if draw.random() < 0.3 else drawn.ask
        text = made(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.outer-across", "sql.outer-where", "sql.cross-table"), text
            continue
        if direct.plan.join.keyed is None:
            continue
        ran.append(direct)
        if not rounds(direct):
            opened = direct.opened(seed=number)
            wrong = sql.differences(spec, direct.query, sql.expected(spec, direct.query, rows), direct.table(opened))
            assert not wrong, f"{text}\n{wrong}"
        if len(ran) == QUERIES:
            break
    return ran


@pytest.mark.parametrize("seed", range(8))
def test_groups_on_shares_give_what_the_author_s_sql_gives(seed: int, few: None, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 220))
def test_many_groups_on_shares(seed: int, few: None, tmp_path: Path) -> None:
    run_world(seed, tmp_path)


def test_what_is_sent_is_what_gate_and_forecast_say(few: None, tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone."""
    for direct in run_world(3, tmp_path):
        transcript = direct.played(seed=1)
        found = forecast(direct.plan, load_cards())
        assert sum(message.size for message in found.messages) == found.size == transcript.bytes()
        join = next(step for step in direct.plan.steps if isinstance(step, HelperJoin))
        roles = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": direct.plan.steps[-2].to}  # type: ignore[union-attr]
        named = {role: party if role != "result" else f"{party}:result" for role, party in roles.items()}
        for role in ("a", "b", "helper"):
            projected = [
                (e.role, e.label, e.slot.column, e.count)
                for e in gate.project_plan(direct.plan, named, role)  # type: ignore[arg-type]
                if e.sending
            ]
            assert projected == [(key[1], key[2], key[3], len(array)) for key, array in transcript.sent if key[0] == role]


def test_both_checkers_agree_and_the_plan_is_wired(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from pets.plan import wiring

    monkeypatch.setattr(wiring, "MAX_B_CELLS", 1)
    seen = 0
    for seed in range(40):
        draw = random.Random(seed)
        world = one_row(drawn.world(seed), draw)
        found = review(drawn.spec_of(world, drawn.ask(seed, world)))  # raises plan.checkers-differ where they do not
        seen += found.plan is not None and found.plan.join.keyed is not None
    assert seen > 8
