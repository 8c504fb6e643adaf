"""Tables of many holders: what comes out is what SQL gives of the rows of all holders together (DuckDB)."""

import random
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

import pets
from pets.errors import SourceError
from pets.ids import PartyId
from pets.local import LocalNetwork
from pets.plan.review import review
from tests.oracles.many import boards, councils, many, many_toml, nhs_numbers
from tests.oracles.many_direct import Many, Parts

AGES = ("16-24", "25-44", "45-64", "65+")
TENURES = ("owner", "private rent", "social rent", "temporary")
EXACT = "[release.disclosure_control]\nmin_count = 1\n"
ONCE = (("max_runs = 60", "max_runs = 1"), ('schedule = "monthly"\n', ""))
FIRST = "2026-02-01"


def tables(left: int, right: int, seed: int, *, rows: int = 30, persons: int = 60) -> Parts:
    """Rows of so many holders: persons at several of them, in several rows, and some at one side only."""
    rng, people = np.random.default_rng(seed), nhs_numbers(persons)
    age = {person: rng.choice(AGES) for person in people}

    def of_board() -> pd.DataFrame:
        ids = pd.Series(rng.choice(people, rng.integers(0, rows + 1)), dtype=str)
        ids = ids[ids.groupby(ids).cumcount() < 4]
        same = rng.random(len(ids)) < 0.7
        ages = [age[one] if keep else rng.choice(AGES) for one, keep in zip(ids, same, strict=True)]
        days = pd.to_datetime(FIRST) + pd.to_timedelta(rng.integers(-60, 60, len(ids)), "D")
        frame = pd.DataFrame({"nhs_number": list(ids), "age_band": ages, "minutes": rng.integers(0, 300, len(ids))})
        return frame.assign(arrival=days)

    def of_council() -> pd.DataFrame:
        ids = rng.choice(people, min(persons, rng.integers(0, rows + 1)), replace=False)
        return pd.DataFrame({"nhs_number": ids.astype(str), "tenure": rng.choice(TENURES, len(ids)).astype(str)})

    return {
        "attendances": {party: of_board() for party in boards(left)},
        "housing": {party: of_council() for party in councils(right)},
    }


def in_the_clear(sql: str, parts: Parts) -> pd.DataFrame:
    """The query over UNION ALL of all parts."""
    attendances, housing = (pd.concat(list(each.values()), ignore_index=True) for each in parts.values())
    with duckdb.connect() as db:
        db.register("attendances", attendances)
        db.register("housing", housing)
        return db.sql(sql).df()


def same(found: pd.DataFrame, true: pd.DataFrame, keys: list[str], numbers: list[str]) -> None:
    """Each group that there is has its numbers; each other group of the domain is withheld, for nobody is in it."""
    expected = {tuple(row[key] for key in keys): row for row in true.to_dict("records")}
    if not keys and all(pd.isna(number) or number == 0 for number in expected[()].values()):
        expected = {}  # without GROUP BY, SQL has a row of zeros and NULL for nobody
    for row in found.to_dict("records"):
        group = tuple(row[key] for key in keys)
        for name in numbers:
            if group in expected:
                assert row[name] == pytest.approx(expected[group][name], rel=1e-12), (group, name)
            else:
                assert pd.isna(row[name]), (group, name)
    assert len(found) >= len(expected)


def query(seed: int) -> tuple[str, list[str], list[str]]:
    """A query that the protocol does, its groups and its numbers."""
    rng = random.Random(seed)
    keys = rng.sample(["tenure", "age_band"], rng.randrange(3))
    asked = {
        "n": "COUNT(*)",
        "people": "COUNT(DISTINCT a.nhs_number)",
        "homes": "COUNT(DISTINCT h.nhs_number)",
        "total": "SUM(a.minutes)",
        "mean": "AVG(a.minutes)",
    }
    names = rng.sample(list(asked), rng.randint(1, 3))
    where = rng.choice(
        ["", "", f"WHERE a.arrival >= DATE '{FIRST}'", "WHERE h.tenure <> 'owner'", "WHERE a.minutes > 150"]
    )
    shown = [*(f"{'h' if key == 'tenure' else 'a'}.{key}" for key in keys), *(f"{asked[n]} AS {n}" for n in names)]
    tail = f"GROUP BY {', '.join(keys)}" if keys else ""
    sides = rng.choice(["attendances a JOIN housing h", "housing h JOIN attendances a"])
    return f"SELECT {', '.join(shown)} FROM {sides} ON a.nhs_number = h.nhs_number {where} {tail}", keys, names


def hold(left: int, right: int, seed: int, folder: Path, **sizes: int) -> None:
    sql, keys, numbers = query(seed)
    parts = tables(left, right, seed, **sizes)
    spec = many(left, right, sql=sql, protection=EXACT, truncate=False, edits=ONCE)
    assert review(spec).accepted
    same(Many.of(spec, parts, folder).table(seed), in_the_clear(sql, parts), keys, numbers)


@pytest.mark.parametrize("seed", range(12))
def test_a_query_gives_what_sql_gives_of_all_parts(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    hold(rng.randint(1, 3), rng.randint(1, 4), seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_a_query_gives_what_sql_gives_of_all_parts_many(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    hold(rng.randint(1, 6), rng.randint(1, 6), seed, tmp_path, rows=60, persons=90)


def test_fourteen_boards_and_thirty_two_councils(tmp_path: Path) -> None:
    """Attendances of 14 boards and homes of 32 councils, by tenure and age: rows, persons and minutes."""
    sql = (
        "SELECT h.tenure, a.age_band, COUNT(*) AS n, COUNT(DISTINCT a.nhs_number) AS people, SUM(a.minutes) AS total "
        "FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure, a.age_band"
    )
    parts = tables(14, 32, 1)
    spec = many(14, 32, sql=sql, protection=EXACT, truncate=False, edits=ONCE)
    found, true = Many.of(spec, parts, tmp_path).table(), in_the_clear(sql, parts)
    same(found, true, ["tenure", "age_band"], ["n", "people", "total"])
    assert true["n"].sum() > 1000 and (true["n"] > true["people"]).all(), "persons are at several boards and councils"


# -- the whole way in one process -------------------------------------------------------------------------------------


def network(parts: Parts) -> LocalNetwork:
    own: dict[str, Any] = {name: {} for name in ("north", "south", "west")}
    for table, held in parts.items():
        own |= {party: {table: frame} for party, frame in held.items()}
    return pets.local_network(own)


def test_a_whole_run_shows_no_record_and_keeps_a_receipt_of_every_holder() -> None:
    """Nodes, approvals, snapshots, receipts; every message searched for identifiers and values of records."""
    sql = (
        "SELECT h.tenure, COUNT(*) AS n, SUM(a.minutes) AS total "
        "FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure"
    )
    parts = tables(2, 2, 7, rows=40, persons=30)
    for frame in parts["attendances"].values():
        frame["minutes"] = 1234 + frame["minutes"] % 7
    toml = many_toml(2, 2, sql=sql, protection=EXACT, truncate=False, edits=ONCE)
    result = network(parts).run(toml, record=True)
    same(result.to_pandas(), in_the_clear(sql, parts), ["tenure"], ["n", "total"])
    everyone = {PartyId(name) for name in (*boards(2), *councils(2), "north", "south", "west")}
    assert set(result.receipts) == everyone
    assert result.transcript is not None
    secrets = {int(one) for held in parts.values() for frame in held.values() for one in frame["nhs_number"]}
    secrets |= set(range(1234, 1241))
    words = np.concatenate(
        [np.frombuffer(sent.body, np.uint64) for sent in result.transcript if len(sent.body) % 8 == 0]
    )
    assert words.size > 1000
    assert not secrets & set(words.tolist())
    bodies = b"".join(sent.body for sent in result.transcript)
    assert not [one for one in secrets if one > 10**6 and str(one).encode() in bodies]
    senders = {(sent.sender, sent.to) for sent in result.transcript}
    for holder in (*boards(2), *councils(2)):
        assert {to for sender, to in senders if sender == holder} == {"south"}, "rows go one way, in one part"
        assert holder not in {to for _, to in senders}, "and nothing comes back"


def test_the_result_party_may_be_a_holder() -> None:
    sql = "SELECT h.tenure, COUNT(*) AS n FROM attendances a JOIN housing h USING (nhs_number) GROUP BY h.tenure"
    parts = tables(2, 1, 8)
    toml = many_toml(2, 1, sql=sql, protection=EXACT, truncate=False, edits=ONCE, to="board-02")
    same(network(parts).run(toml).to_pandas(), in_the_clear(sql, parts), ["tenure"], ["n"])


def test_a_holder_with_more_rows_of_a_person_than_declared_refuses_by_itself() -> None:
    parts = tables(2, 1, 9)
    one = parts["attendances"]["board-02"].iloc[[0] * 5]
    wrong = {"attendances": {**parts["attendances"], "board-02": one}, "housing": parts["housing"]}
    toml = many_toml(2, 1, protection=EXACT, truncate=False, edits=ONCE)
    with pytest.raises(SourceError, match=r"source\.not-ready: the records of board-02"):
        network(wrong).run(toml)


def test_a_count_of_persons_holds_the_minimum_wherever_they_were(tmp_path: Path) -> None:
    """Nine persons at each of three boards are nine, and are withheld under ten; ten are shown."""
    sql = "SELECT a.age_band, COUNT(*) AS n FROM attendances a JOIN housing h USING (nhs_number) GROUP BY a.age_band"
    people = nhs_numbers(19)
    rows = pd.DataFrame(
        {
            "nhs_number": people,
            "age_band": [AGES[0]] * 9 + [AGES[1]] * 10,
            "minutes": 1,
            "arrival": pd.to_datetime(FIRST),
        }
    )
    home = pd.DataFrame({"nhs_number": people, "tenure": TENURES[0]})
    parts = {"attendances": dict.fromkeys(boards(3), rows), "housing": dict.fromkeys(councils(2), home)}
    control = "[release.disclosure_control]\nmin_count = 10\n"
    spec = many(3, 2, sql=sql, protection=control, truncate=False, edits=ONCE)
    found = Many.of(spec, parts, tmp_path).table().set_index("age_band")["n"]
    assert pd.isna(found[AGES[0]]) and found[AGES[1]] == 10 * 3 * 2
