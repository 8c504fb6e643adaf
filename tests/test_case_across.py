"""CASE over both tables as a group: each row at the level that the author's SQL gives it, and nobody learns which."""

import random
from pathlib import Path

import pytest

from pets.errors import SpecError
from pets.party import gate
from pets.plan import wiring
from pets.plan.cost import forecast
from pets.plan.review import review
from pets.spec import moments
from pets.spec.banded import across
from pets.spec.cards import load_cards
from pets.spec.ir import HelperJoin
from tests import test_crossing as crossing
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.test_keyed import one_row
from tests.test_queries import rounds

QUERIES = 3


def asked(seed: int, world: drawn.World) -> str:
    """A query of the language with a CASE over both tables among its groups."""
    draw = random.Random(f"case {seed}")
    while True:
        text = drawn.ask(draw.randrange(10**9), world)
        lines = text.split("\n")
        if " LEFT " not in f" {lines[2]}" and "DISTINCT" not in text and "HAVING" not in text and "CASE" not in text:
            break
    shown = [lines[1].removeprefix("FROM "), lines[2].split("JOIN ")[1].split(" ON ")[0].split(" USING ")[0]]
    aliases = (shown[0].split()[-1], shown[1].split()[-1])
    first = 0 if shown[0].split()[0] == world.datasets[0]["name"] else 1
    conditions = [
        crossing.condition(draw, aliases, world, first, draw.choice([0, 1])) for _ in range(draw.choice([1, 2, 3]))
    ]
    levels = draw.sample(["before", "after", "it's", "same"], 2)
    branches = " ".join(
        f"WHEN {each} THEN '{draw.choice(levels).replace(chr(39), chr(39) * 2)}'" for each in conditions
    )
    end = draw.choice(["", " ELSE 'after'", " ELSE 'other'"])
    lines[0] = lines[0].replace("SELECT ", f"SELECT CASE {branches}{end} END AS level, ", 1)
    group = next((at for at, line in enumerate(lines) if line.startswith("GROUP BY ")), None)
    if group is None:
        lines.append("GROUP BY level")
    else:
        lines[group] += ", level"
    if draw.random() < 0.3:
        extra = crossing.condition(draw, aliases, world, first, 1)
        where = next((at for at, line in enumerate(lines) if line.startswith("WHERE ")), None)
        if where is not None:
            lines[where] += f" AND {extra}"
        else:
            lines.insert(3, f"WHERE {extra}")
    return "\n".join(lines)


def run_world(seed: int, folder: Path) -> list[Direct]:
    """Hold queries of one world against DuckDB; every other in mode B."""
    draw = random.Random(f"case world {seed}")
    world = one_row(drawn.world(seed), draw)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran: list[Direct] = []
    for number in range(20 * QUERIES):
        text = asked(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        if len(ran) % 2:
            spec = in_mode_b(spec)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.group", "sql.ambiguous", "sql.cross-table", "sql.name"), (
                f"{text}\n{error}"
            )
            continue
        if across(direct.query.group_by) is None:
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
def test_rows_are_at_the_level_that_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path)


@pytest.mark.parametrize("seed", range(20, 24))
def test_the_same_where_levels_are_part_of_a_key(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (moments, wiring):
        monkeypatch.setattr(module, "MAX_B_CELLS", 1)
    assert all(direct.plan.join.keyed is not None for direct in run_world(seed, tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 220))
def test_many_cases_over_both_tables(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(moments, "MAX_B_CELLS", 1)
    run_world(seed, tmp_path)


def test_what_is_sent_is_what_gate_and_forecast_say(tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone."""
    for direct in [*run_world(3, tmp_path / "3"), *run_world(4, tmp_path / "4")]:
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
            assert projected == [
                (key[1], key[2], key[3], len(array)) for key, array in transcript.sent if key[0] == role
            ]
        empty = direct.played(seed=1, keep={"a": crossing._none, "b": crossing._none})
        assert transcript.shape_of_traffic() == empty.shape_of_traffic()


def test_both_checkers_agree_and_the_plan_is_wired() -> None:
    seen = 0
    for seed in range(40):
        world = one_row(drawn.world(seed), random.Random(seed))
        spec = drawn.spec_of(world, asked(seed, world))
        for each in (spec, in_mode_b(spec)):
            found = review(each)  # raises plan.checkers-differ where they do not
            seen += (
                found.plan is not None and found.plan.join.rows is not None and found.plan.join.rows.cased is not None
            )
    assert seen > 16
