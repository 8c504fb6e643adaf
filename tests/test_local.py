"""A network in memory: whole runs against the plaintext oracle, every kind of table, and clear refusals."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pets.errors import ConfigError, LeakError, PetsError
from pets.local import LocalNetwork, local_network
from pets.party import prepare
from pets.plan.cost import join_of
from pets.plan.review import review
from pets.result import Result
from pets.spec.ir import AddNoise
from pets.spec.model import Spec
from pets.spec.write import to_toml
from tests.oracles import random_queries as drawn
from tests.oracles import sql

NHS = pd.DataFrame({"id": ["p", "p", "q", "r", None], "ward": ["n", "s", None, "n", "n"], "nights": [5, 1, 2, 0, 3]})
COUNCIL = pd.DataFrame({"id": ["p", "q", "z"], "tenure": ["own", None, "rent"], "rent": [1.5, None, 2.25]})
QUESTION = "SELECT ward, COUNT(*) AS n, SUM(rent) AS rent FROM stays JOIN homes USING (id) GROUP BY ward"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No noise: only tests can do this, there is no switch."""

    def zeros(step: AddNoise, shape: Any, own: Any) -> np.ndarray:
        return np.zeros((shape.v, shape.g), np.uint64)

    monkeypatch.setattr(prepare, "noise_of", zeros)


def network(stays: Any = NHS, homes: Any = COUNCIL) -> LocalNetwork:
    return local_network({"nhs": {"stays": stays}, "council": {"homes": homes}, "helper": {}})


def values(result: Result) -> list[list[Any]]:
    table = result.to_pandas()[[*result.grouping, *result.statistics]]
    return [[None if pd.isna(v) else v for v in row] for row in table.to_numpy(object).tolist()]


EXPECTED = [["n", 1, 1.5], ["s", 1, 1.5], ["(missing)", 1, 0.0]]


def drawn_spec(seed: int) -> tuple[drawn.World, Spec]:
    """A query that every rule accepts; the result goes to the office, or to one of the two holders."""
    world = drawn.world(seed)
    for number in itertools.count():
        text = drawn.ask(1000 * seed + number, world)
        spec = drawn.spec_of(
            world, text, result=("office", "council", "board")[seed % 3], only=drawn.touched(world, text)
        )
        if review(spec).accepted:
            return world, spec
    raise AssertionError


def whole_run(seed: int) -> None:
    world, spec = drawn_spec(seed)
    rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
    raw = {d.name: sql.arrow(d, world.rows[d.name]) for d in spec.datasets}
    net = local_network({"board": {"stays": raw["stays"]}, "council": {"homes": raw["homes"]}, "helper": {}})
    result = net.run(spec)
    found = result.review
    assert np.array_equal(result.opened, sql.moments(spec, result.plan, rows))
    noise = next(step for step in result.plan.steps if isinstance(step, AddNoise))
    assert found.query is not None
    if all(c.moment.a.unit * c.moment.b.unit == 1 for c in noise.columns):
        cells = sql.expected(spec, found.query, rows)
        assert not sql.differences(spec, found.query, cells, result.to_pandas()), spec.computation.sql
    assert set(result.receipts) == {"board", "council", "helper"}


@pytest.mark.parametrize("seed", range(500, 509))
def test_a_whole_run_gives_what_the_author_s_sql_gives(seed: int, quiet: None) -> None:
    whole_run(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_two_hundred_whole_runs_give_what_the_author_s_sql_gives(seed: int, quiet: None) -> None:
    whole_run(seed)


def test_every_kind_of_table_gives_the_same_result(quiet: None, tmp_path: Path) -> None:
    NHS.to_csv(tmp_path / "stays.csv", index=False)
    COUNCIL.to_parquet(tmp_path / "homes.parquet")
    kinds = [
        (NHS, COUNCIL),
        (pl.from_pandas(NHS), pa.Table.from_pandas(COUNCIL)),
        (tmp_path / "stays.csv", str(tmp_path / "homes.parquet")),
    ]
    for stays, homes in kinds:
        net = network(stays, homes)
        assert values(net.run(net.draft(QUESTION))) == EXPECTED


def test_a_draft_can_be_saved_changed_and_run_from_its_file(quiet: None, tmp_path: Path) -> None:
    net = network()
    draft = net.draft(QUESTION, title="Rents")
    file = draft.save(tmp_path / "rents.spec.toml")
    text = file.read_text().replace('"Rents"', '"Rents by ward"')
    assert values(net.run(file)) == values(net.run(text)) == values(net.run(draft.spec)) == EXPECTED
    assert net.run(text).review.spec.title == "Rents by ward"


def test_the_same_specification_runs_again_and_noise_is_fresh() -> None:
    net = network()
    draft = net.draft(QUESTION, epsilon="0.01")
    first, second = net.run(draft), net.run(draft)
    assert not np.array_equal(first.opened, second.opened)
    assert first.review.digest == second.review.digest
    assert first.receipts["nhs"] != second.receipts["nhs"]


def test_the_transcript_is_there_only_on_demand_and_shows_what_the_card_says() -> None:
    named = {letter: f"identifier-{letter}" for letter in "pqrz"}  # three letters are in random bytes now and then
    net = network(NHS.replace({"id": named}), COUNCIL.replace({"id": named, "tenure": {"own": "identifier-own"}}))
    draft = net.draft(QUESTION)
    assert net.run(draft).transcript == ()
    result = net.run(draft, record=True)
    forecast = review(draft.spec).require().forecast
    sent = sum(len(message.body) for message in result.transcript)
    by_direction = result.cost.groupby("direction")["bytes"].sum()
    assert sent == forecast.size == by_direction["sent"]
    assert by_direction["own"] == 0
    opened = sum(m.size for m in forecast.messages if m.receiver == "analyst")
    assert by_direction["received"] == sent - opened
    pairs = {(m.sender, str(m.to).removesuffix(":result")) for m in result.transcript}
    assert pairs == {(m.sender, m.receiver) for m in forecast.messages}
    assert not any(b"identifier" in message.body for message in result.transcript)


def test_two_data_sets_with_equal_declarations_have_equal_traffic(quiet: None) -> None:
    other = COUNCIL.assign(id=["x", "y", "z"])
    spec = network().draft(QUESTION).spec
    shapes = []
    for homes in (COUNCIL, other):
        sent = network(homes=homes).run(spec, record=True).transcript
        shapes.append(sorted((m.sender, m.to, m.slot.message, m.slot.column, len(m.body)) for m in sent))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("party", ["nhs", "council"])
def test_an_input_party_may_receive_the_result(party: str, quiet: None) -> None:
    spec = network().draft(QUESTION).spec
    parties = tuple(
        p.model_copy(update={"roles": (*p.roles, "result")}) if p.name == party else p
        for p in spec.parties
        if p.name != "analyst"
    )
    release = spec.release.model_copy(update={"to": (party,)})
    changed = spec.model_copy(update={"parties": parties, "release": release})
    assert values(network().run(to_toml(changed))) == EXPECTED


def test_what_the_network_lacks_is_named_before_anything_runs() -> None:
    draft = network().draft(QUESTION)
    alone = local_network({"nhs": {"stays": NHS}, "council": {"houses": COUNCIL}, "helper": {}})
    with pytest.raises(ConfigError, match="council has no table homes"):
        alone.run(draft)
    without = local_network({"nhs": {"stays": NHS}, "council": {"homes": COUNCIL}})
    with pytest.raises(ConfigError, match="helper, which is not here"):
        without.run(draft)
    with pytest.raises(ConfigError, match="analyst is the name"):
        local_network({"analyst": {}})


def test_a_refused_specification_is_refused_before_any_node_sees_it() -> None:
    net = network()
    spec = net.draft(QUESTION).spec
    told = spec.model_copy(update={"security": spec.security.model_copy(update={"leakage": spec.security.leakage[1:]})})
    with pytest.raises(LeakError) as caught:
        net.run(told)
    assert "leak.undeclared" in caught.value.text and "match_count" in caught.value.hint


def test_bad_records_end_the_run_with_one_code_and_tell_only_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    draft = network().draft(QUESTION)
    with pytest.raises(PetsError) as caught:
        network(NHS.assign(ward=["n", "s", None, "SECRET", "n"])).run(draft)
    assert caught.value.code == "source.not-ready"
    assert "SECRET" not in caught.value.text + capsys.readouterr().out


def test_the_demonstration_s_specification_runs_here_too() -> None:
    ids = [f"{n:010d}" for n in (4505577104, 9434765919)]
    stays = pd.DataFrame(
        {"nhs_number": ids, "age_band": ["65+", "16-24"], "minutes": [10, 20], "arrival": ["2026-02-01", "2026-03-01"]}
    )
    homes = pd.DataFrame({"nhs_number": ids, "tenure": ["owner", "temporary"]})
    net = local_network({"board": {"attendances": stays}, "council": {"housing": homes}, "helper": {}})
    demo = Path(__file__).parents[1] / "parties" / "demo" / "ae_by_tenure.spec.toml"
    result = net.run(demo)
    assert len(result.to_pandas()) == 25
    assert join_of(result.plan).fixed_ids


# -- a helper that learns declared sizes only -------------------------------------------------------------------------


@pytest.mark.parametrize("count", ["0.5", None], ids=["with a count", "sizes only"])
def test_either_protocol_gives_the_same_table(quiet: None, count: str | None) -> None:
    net = network()
    draft = net.draft(QUESTION, helper_epsilon=count)
    assert draft.spec.security.protocol == ("helper_join_a" if count else "helper_join_b")
    assert [item.item for item in draft.spec.security.leakage if item.learner == "helper"] == ["match_count"] * bool(
        count
    )
    assert values(net.run(draft)) == EXPECTED


def test_exact_tables_come_from_mode_b_too() -> None:
    net = network()
    control = {"min_count": 1}
    one, other = (net.run(net.draft(QUESTION, control=control, helper_epsilon=count)) for count in ("0.5", None))
    assert values(one) == values(other)


def test_in_mode_b_the_transcript_is_the_forecast_and_matches_change_no_size(quiet: None) -> None:
    spec = network().draft(QUESTION, helper_epsilon=None).spec
    forecast = review(spec).require().forecast
    shapes = []
    for homes in (COUNCIL, COUNCIL.assign(id=["x", "y", "z"])):
        sent = network(homes=homes).run(spec, record=True).transcript
        assert sum(len(message.body) for message in sent) == forecast.size
        shapes.append(sorted((m.sender, m.to, m.slot.message, m.slot.column, len(m.body)) for m in sent))
    assert shapes[0] == shapes[1]
    assert len({shape[:4] for shape in shapes[0]}) == len(shapes[0])
