"""What must work, whole runs with the noise off: the released table is exactly what SQL says, over the full domain."""

import random
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import pytest

from pets.kernels.prf import Stream
from pets.party import prepare
from pets.party.prepare import noise_of
from pets.protocols.helper_join import Shape
from pets.result import Result
from pets.spec.ir import AddNoise
from tests.party.world import BOARD, COUNCIL, SPEC, World, altered, homes, stays, without_noise

BANDS = ("young", "old", "(missing)")
TENURES = ("own", "rent", "(missing)")
ORACLE = """
SELECT coalesce(s.band, '(missing)') AS band, coalesce(h.tenure, '(missing)') AS tenure, count(*) AS n,
       coalesce(sum(s.minutes), 0)::BIGINT AS minutes
FROM (SELECT * FROM stays WHERE arrival >= DATE '2020-01-01' AND pid IS NOT NULL) s
     {join} JOIN (SELECT * FROM homes WHERE pid IS NOT NULL) h ON s.pid = h.pid
GROUP BY ALL
"""
LEFT = altered(("FROM stays s JOIN", "FROM stays s LEFT JOIN"))


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)


def table(result: Result) -> dict[tuple[str, str], tuple[int, int]]:
    frame = result.to_pandas()
    return {(row.band, row.tenure): (int(row.n), int(row.minutes)) for row in frame.itertuples()}


def oracle(stays: pd.DataFrame, homes: pd.DataFrame, join: str = "INNER") -> dict[tuple[str, str], tuple[int, int]]:
    cells = {(band, tenure): (0, 0) for band in BANDS for tenure in TENURES}
    for band, tenure, n, minutes in duckdb.sql(ORACLE.format(join=join)).fetchall():
        cells[band, tenure] = (n, minutes)
    return cells


def check(make: Callable[..., World], left: pd.DataFrame, right: pd.DataFrame) -> World:
    """Run the inner and the left join of two tables and hold both against the oracle."""
    world = make({"stays": left, "homes": right})
    for toml, join in ((SPEC, "INNER"), (LEFT, "LEFT")):
        world.ready(toml)
        assert table(world.run(toml)) == oracle(left, right, join)
    return world


SOME = homes(("IDENTITY-a", "own"), ("IDENTITY-b", "rent"))


def test_no_overlap(make_world: Callable[..., World]) -> None:
    check(make_world, stays(("IDENTITY-x", "old", 3), ("IDENTITY-y", "young", 4)), SOME)


def test_full_overlap(make_world: Callable[..., World]) -> None:
    check(make_world, stays(("IDENTITY-a", "old", 3), ("IDENTITY-b", "young", 4), ("IDENTITY-b", "young", 100)), SOME)


def test_empty_groups_are_released_too(make_world: Callable[..., World]) -> None:
    world = make_world({"stays": stays(("IDENTITY-a", "old", 3)), "homes": SOME})
    world.ready()
    released = table(world.run())
    assert set(released) == {(band, tenure) for band in BANDS for tenure in TENURES}
    assert released.pop(("old", "own")) == (1, 3)
    assert set(released.values()) == {(0, 0)}


def test_one_row_at_each_side(make_world: Callable[..., World]) -> None:
    check(make_world, stays(("IDENTITY-a", "old", 3)), homes(("IDENTITY-a", "rent")))


@pytest.mark.parametrize("empty", ["left", "right", "both"])
def test_a_table_without_rows(make_world: Callable[..., World], empty: str) -> None:
    left = stays() if empty != "right" else stays(("IDENTITY-a", "old", 3))
    right = homes() if empty != "left" else SOME
    check(make_world, left, right)


def test_a_table_that_where_leaves_empty(make_world: Callable[..., World]) -> None:
    long_ago = pd.Timestamp("1999-12-31")
    check(make_world, stays(("IDENTITY-a", "old", 3, long_ago), ("IDENTITY-b", "young", 7, long_ago)), SOME)


def test_ids_of_one_to_64_bytes_of_any_unicode(make_world: Callable[..., World]) -> None:
    rng = random.Random(11)
    alphabet = ["a", "Z", "0", " ", "'", '"', ";", "%", "\x01", "\x7f", "é", "ß", "\u0301", "\u202e", "漢", "\ufffd"]
    alphabet += ["😀", "\U0010ffff", "\ufeff", "\\", "\n"]
    ids: set[str] = {"é", "e\u0301", "I", "ı", "ID", "id", " ID", "ID ", "😀" * 16, "a" * 64, "é" * 32, "'; DROP TABLE"}
    while len(ids) < 36:
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 40)))
        while len(text.encode()) > 64:
            text = text[:-1]
        ids.add(text)
    assert {len(one.encode()) for one in ids} >= {1, 2, 64}
    every = sorted(ids)
    left = stays(*((one, rng.choice(BANDS[:2]), rng.randint(0, 100)) for one in every))
    right = homes(*((one, rng.choice(TENURES[:2])) for one in every[::2]))
    check(make_world, left, right)


def test_a_null_measure_is_ignored_as_sql_does(make_world: Callable[..., World]) -> None:
    left = stays(("IDENTITY-a", "old", None), ("IDENTITY-a", "old", 9), ("IDENTITY-b", "old", None))
    world = check(make_world, left, SOME)
    assert "stays: minutes: 2 values missing" in world.consoles[BOARD]


def test_a_null_id_is_dropped_and_counted_for_its_holder_alone(make_world: Callable[..., World]) -> None:
    left = stays((None, "old", 50), ("IDENTITY-a", "old", 9), (None, "young", 50))
    world = check(make_world, left, homes((None, "own"), ("IDENTITY-a", "rent")))
    assert "stays: 2 rows without an identifier left out" in world.consoles[BOARD]
    assert "homes: 1 rows without an identifier left out" in world.consoles[COUNCIL]
    assert not any("stays" in line for line in world.consoles[COUNCIL])


def test_a_null_dimension_is_the_level_missing(make_world: Callable[..., World]) -> None:
    left = stays(("IDENTITY-a", None, 9), ("IDENTITY-b", "old", 8))
    world = make_world({"stays": left, "homes": homes(("IDENTITY-a", None), ("IDENTITY-b", None))})
    world.ready()
    released = table(world.run())
    assert released["(missing)", "(missing)"] == (1, 9)
    assert released["old", "(missing)"] == (1, 8)


def test_rows_that_a_left_join_does_not_match_are_the_level_missing(make_world: Callable[..., World]) -> None:
    world = make_world({"stays": stays(("IDENTITY-x", "old", 9), ("IDENTITY-a", "old", 8)), "homes": SOME})
    world.ready(LEFT)
    released = table(world.run(LEFT))
    assert released["old", "(missing)"] == (1, 9)
    assert released["old", "own"] == (1, 8)


def test_more_rows_a_person_than_declared_are_cut_to_it_only_if_declared(make_world: Callable[..., World]) -> None:
    rows = stays(*(("IDENTITY-a", "old", 1) for _ in range(7)), ("IDENTITY-b", "old", 1))
    world = make_world({"stays": rows, "homes": SOME})
    toml = altered(("max_rows_per_person = 2", "max_rows_per_person = 2\ntruncate = true"))
    world.ready(toml)
    released = table(world.run(toml))
    assert released["old", "own"] == (2, 2)
    assert released["old", "rent"] == (1, 1)


def test_measures_outside_their_range_are_moved_into_it_only_if_declared(make_world: Callable[..., World]) -> None:
    world = make_world({"stays": stays(("IDENTITY-a", "old", 5000), ("IDENTITY-b", "old", -7)), "homes": SOME})
    toml = altered(("max = 100 }", "max = 100, clamp = true }"))
    world.ready(toml)
    released = table(world.run(toml))
    assert released["old", "own"] == (1, 100)
    assert released["old", "rent"] == (1, 0)
    assert "stays: minutes: 2 values moved into the declared range" in world.consoles[BOARD]


def test_the_declared_sizes_can_be_reached(make_world: Callable[..., World]) -> None:
    full: list[tuple[Any, ...]] = [(f"IDENTITY-{i // 2}", BANDS[i % 2], i) for i in range(40)]
    check(make_world, stays(*full), homes(*((f"IDENTITY-{i}", TENURES[i % 2]) for i in range(40))))


def test_every_party_draws_noise_in_every_run(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, int]] = []

    def count(step: AddNoise, shape: Shape, own: Stream) -> prepare.U64:
        drawn.append((shape.v, shape.g))
        return noise_of(step, shape, own)

    monkeypatch.setattr(prepare, "noise_of", count)
    world = make_world()
    world.ready()
    tables = [table(world.run()) for _ in range(2)]
    assert len(drawn) == 6
    assert tables[0] != tables[1]
