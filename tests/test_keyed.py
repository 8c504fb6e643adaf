"""Groups of both sides told apart on shares: the tables are those that the author's SQL gives, however many groups."""

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pets
from pets.errors import ConfigError, SpecError
from pets.kernels import prf
from pets.plan import wiring
from pets.plan.review import review
from pets.protocols import helper_join
from pets.spec import moments
from tests import test_controlled as controlled
from tests import test_crossing as crossing
from tests import test_order_statistics as in_order
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.oracles.helper_join import families
from tests.oracles.projected import as_planned
from tests.test_queries import agrees, extreme_world, most_moved

QUERIES = 4


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of role b are many already, so that small tables and every construct of the language serve."""
    for module in (moments, wiring):
        monkeypatch.setattr(module, "MAX_B_CELLS", 1)


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
    """Hold queries of one world against DuckDB; those whose groups are told apart on shares. Every other in mode B."""
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
        if len(ran) % 2:
            spec = in_mode_b(spec)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.outer-across", "sql.outer-where", "sql.cross-table"), text
            continue
        if direct.plan.join.keyed is None:
            continue
        ran.append(direct)
        agrees(direct, rows, number)
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
        as_planned(direct.plan, transcript)


def test_both_checkers_agree_and_the_plan_is_wired(few: None) -> None:
    seen = 0
    for seed in range(40):
        draw = random.Random(seed)
        world = one_row(drawn.world(seed), draw)
        spec = drawn.spec_of(world, drawn.ask(seed, world))
        for each in (spec, in_mode_b(spec)):
            found = review(each)  # raises plan.checkers-differ where they do not
            seen += found.plan is not None and found.plan.join.keyed is not None
    assert seen > 16


def test_traffic_depends_on_nobody_s_groups(few: None, tmp_path: Path) -> None:
    for direct in run_world(5, tmp_path)[:2]:
        full = direct.played(seed=1).shape_of_traffic()
        empty = direct.played(seed=1, keep={"a": crossing._none, "b": crossing._none}).shape_of_traffic()
        assert full == empty


def test_the_message_that_ends_it_is_its_term(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mk with what a has is the sum of each cell less mask(s_bc, cells); the helper's part alone shows no sum."""
    kept: dict[int, Any] = {}
    real = helper_join.keyed.sums

    def noting(ctx: Any, *args: Any) -> Any:
        kept[ctx.me] = yield from real(ctx, *args)
        return kept[ctx.me]

    monkeypatch.setattr(helper_join.keyed, "sums", noting)
    direct = run_world(2, tmp_path)[0]
    transcript, key = direct.played(seed=5), families(5)["bc@c"]
    for column in range(len(direct.plan.join.summed)):
        own, third = kept[0][column], kept[1][column]
        sums = own.own + own.next + third.next
        mask = prf.words(key.key("cells", column), sums.size)
        assert np.array_equal(own.own + own.next + transcript.array("Mk", column), sums - mask)
        assert third.next.min() > 2**40 and third.own.min() > 2**40, "a part shows a sum"


@pytest.mark.parametrize(
    ("join", "group"), [("JOIN", "a.ward, b.tenure"), ("LEFT JOIN", "b.tenure"), ("LEFT JOIN", "a.ward, b.tenure")]
)
def test_one_person_moves_no_noised_column_by_more_than_its_sensitivity(
    group: str, join: str, few: None, tmp_path: Path
) -> None:
    text = f"COUNT(*) AS n, COUNT(DISTINCT a.id) AS i, SUM(a.nights) AS s FROM stays a {join} homes b ON a.id = b.id"
    world = extreme_world(1, (2, 1))
    spec = drawn.spec_of(world, f"SELECT {group}, {text} GROUP BY {group}")
    direct = Direct.of(spec, freeze(spec, world.rows, tmp_path))
    assert direct.plan.join.keyed is not None
    reached = most_moved(direct)
    assert max(reached.values()) <= 1
    assert 1 in reached.values(), reached


def test_exact_tables_and_order_statistics_are_what_the_references_show(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Direct] = []
    real = Direct.of
    monkeypatch.setattr(Direct, "of", classmethod(lambda cls, *args: made.append(real(*args)) or made[-1]))
    for seed in range(3):
        controlled.run_world(seed, tmp_path / f"exact {seed}")
    exact = sum(each.plan.join.keyed is not None for each in made)
    for seed in range(3):
        for direct, tables in in_order.run_world(seed, tmp_path / f"order {seed}"):
            in_order.compared(direct, tables, seed)
    together = sum(each.plan.join.keyed is not None for each in made)
    assert exact > 2 and together - exact > 1, (exact, together)


# -- a whole run ------------------------------------------------------------------------------------------------------

WARDS = [f"w{number:02}" for number in range(45)]


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """45 wards at the one, 40 ages at the other, three of four in both; values that would be found in a transcript."""
    rng = np.random.default_rng(7)
    people = [f"PERSON-{number}" for number in range(3000)]
    left = pd.DataFrame({"id": people, "age": [f"a{age:02}" for age in rng.integers(0, 40, 3000)]})
    left["minutes"] = rng.integers(10**9, 2 * 10**9, 3000)
    right = pd.DataFrame({"id": people[:2250], "ward": rng.choice(WARDS[:30], 2250)})
    left.loc[:30, "age"], right.loc[:30, "ward"] = "a00", "w00"
    return left, right


SQL = "SELECT ward, age, COUNT(*) AS n, SUM(minutes) AS m FROM a {} h USING (id) GROUP BY ward, age"


def test_a_whole_run_gives_every_cell_and_no_message_shows_a_value(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    net = pets.local_network({"board": {"a": tables[0]}, "council": {"h": tables[1]}, "helper": {}})
    result = net.run(net.draft(SQL.format("JOIN"), control={"min_count": 5}), record=True)
    frame = result.to_pandas()
    assert len(frame) == 31 * 41
    true = tables[0].merge(tables[1], on="id").groupby(["ward", "age"])["minutes"].agg(["count", "sum"])
    shown = frame[frame["n"].notna()].set_index(["ward", "age"])
    wanted = true[true["count"] >= 5]
    assert len(wanted) > 5 and set(shown.index) == set(wanted.index)
    for cell in wanted.index:
        assert (shown.loc[cell, "n"], shown.loc[cell, "m"]) == tuple(wanted.loc[cell])
    numbers = {int(total) for total in true["sum"]} | set(map(int, tables[0]["minutes"]))
    words = {struct.pack(order, number) for number in numbers for order in ("<Q", ">Q")}
    for message in result.transcript:
        body = bytes(message.body)
        assert b"PERSON-" not in body
        assert len(body) % 8 or not words & {body[at : at + 8] for at in range(0, len(body), 8)}


def test_a_draft_declares_thousands_of_levels_to_group_by(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    left, right = (table.copy() for table in tables)
    right["ward"] = [f"w{number % 2000:04}" for number in range(len(right))]
    net = pets.local_network({"board": {"a": left}, "council": {"h": right}, "helper": {}})
    draft = net.draft(SQL.format("JOIN"), control={"min_count": 5})
    assert len(draft.spec.dataset("h").columns["ward"].levels) == 2000
    assert review(draft.spec).settled().plan.join.keyed is not None
    people = [f"PERSON-{number}" for number in range(12_000)]
    more = pd.DataFrame({"id": people, "ward": people})
    net = pets.local_network({"board": {"a": left}, "council": {"h": more}, "helper": {}})
    with pytest.raises(ConfigError):
        net.draft(SQL.format("JOIN"), control={"min_count": 5})


def test_unmatched_rows_of_a_left_join_are_missing_at_the_other(
    tables: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pets.kernels import noise

    monkeypatch.setattr(noise, "laplace_part", lambda ratio, parts, count, own: np.zeros(count, np.int64))
    net = pets.local_network({"board": {"a": tables[0]}, "council": {"h": tables[1]}, "helper": {}})
    frame = net.run(net.draft(SQL.format("LEFT JOIN"), epsilon="1")).to_pandas().set_index(["ward", "age"])
    true = tables[0].merge(tables[1], on="id", how="left").fillna({"ward": "(missing)"})
    wanted = true.groupby(["ward", "age"])["minutes"].agg(["count", "sum"])
    for cell, (count, total) in zip(wanted.index, wanted.to_numpy(), strict=True):
        assert frame.loc[cell, "n"] == count
        assert frame.loc[cell, "m"] == pytest.approx(total, rel=1e-5)  # rounded to the unit of the noise
    assert frame["n"].sum() == 3000
