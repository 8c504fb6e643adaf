"""A first specification from a query and tables: what is read off, what is declared, what is missing."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import pets
from pets.draft import Given, draft
from pets.errors import ConfigError
from pets.ids import PartyId
from pets.local import LocalNetwork
from pets.party.files import FileSource, FrameSource
from pets.spec.model import DESIGN, Column, Dataset
from pets.spec.parse import parse_toml

NHS, COUNCIL, HELPER = PartyId("nhs"), PartyId("council"), PartyId("helper")

STAYS = pd.DataFrame(
    {
        "id": ["p", "p", "p", "q", None],
        "ward": ["n", "s", None, "n", "n"],
        "nights": [5, -1, 2, 0, 3],
        "cost": [1.25, 2.5, None, 0.5, 7.0],
        "day": pd.to_datetime(["2026-01-01"] * 5),
        "urgent": [True, False, True, None, True],
        "unused": [1, 2, 3, 4, 5],
    }
)
HOMES = pd.DataFrame({"id": ["p", "q"], "tenure": ["own", "rent"], "rooms": [3.0, np.nan]})
SQL = """
SELECT s.ward, COUNT(*) AS n, SUM(s.nights) AS nights, AVG(s.cost) AS cost
FROM stays s JOIN homes h ON s.id = h.id WHERE s.day >= DATE '2026-01-01' AND h.rooms > 1 AND s.urgent = 'true'
GROUP BY s.ward
"""


def made(sql: str = SQL, stays: Any = STAYS, homes: Any = HOMES, **options: Any) -> dict[str, Dataset]:
    return {d.name: d for d in drafted(sql, stays, homes, **options).spec.datasets}


def drafted(sql: str = SQL, stays: Any = STAYS, homes: Any = HOMES, **options: Any) -> Any:
    given = [Given(NHS, "stays", FrameSource(stays)), Given(COUNCIL, "homes", FrameSource(homes))]
    options = {"parties": [NHS, COUNCIL, HELPER], "given": given, "epsilon": "1"} | options
    return draft(sql, **options)


def columns(dataset: Dataset) -> dict[str, Column]:
    return dict(dataset.columns)


def test_only_the_columns_of_the_query_are_declared() -> None:
    found = made()
    assert list(found["stays"].columns) == ["id", "ward", "nights", "cost", "day", "urgent"]
    assert list(found["homes"].columns) == ["id", "rooms"]


def test_ranges_levels_and_places_are_read_off() -> None:
    stays = columns(made()["stays"])
    assert stays["ward"].levels == ("n", "s")
    nights, cost = stays["nights"], stays["cost"]
    assert (nights.type, nights.min, nights.max, nights.required, nights.clamp) == ("integer", -1, 5, True, True)
    assert (cost.type, cost.places, cost.min, cost.max, cost.required) == ("decimal", 2, "0.50", "7.00", False)
    assert (stays["day"].role, stays["day"].type) == ("filter only", "date")
    assert stays["urgent"].levels == ("false", "true")
    assert columns(made()["homes"])["rooms"].type == "integer"


def test_rows_per_person_are_the_most_that_occur_unless_said() -> None:
    assert made()["stays"].max_rows_per_person == 3
    assert made()["homes"].max_rows_per_person == 1
    assert made(rows_per_person=2)["homes"].max_rows_per_person == 2
    one = made(rows_per_person={"stays": 1})
    assert (one["stays"].max_rows_per_person, one["homes"].max_rows_per_person) == (1, 1)
    assert one["stays"].truncate
    assert made()["stays"].max_rows == 5


def test_given_declarations_replace_what_is_read_off() -> None:
    own = {"stays": {"nights": {"role": "measure", "type": "integer", "min": 0, "max": 30, "clamp": True}}}
    assert columns(made(columns=own)["stays"])["nights"].max == 30


def test_a_draft_is_accepted_and_says_that_it_is_one() -> None:
    found = drafted()
    review = found.check()
    assert review.accepted
    assert "spec.design" in {finding.rule for finding in review.verdict.findings}
    assert found.spec.purpose.statement == found.spec.legal["nhs"].law == DESIGN
    assert found.spec.validity.not_before == dt.datetime.now(dt.UTC).date()
    assert parse_toml(found.toml) == found.spec


def test_an_id_that_both_tables_have_is_found_or_must_be_named() -> None:
    both = HOMES.assign(ward="x")
    with pytest.raises(ConfigError, match="columns of both tables: id, ward"):
        drafted(homes=both)
    assert drafted(homes=both, on="id").spec.linkage.on == {"stays": "id", "homes": "id"}
    renamed = HOMES.rename(columns={"id": "person"})
    with pytest.raises(ConfigError, match="none"):
        drafted(homes=renamed)
    sql = SQL.replace("h.id", "h.person")
    on = {"stays": "id", "homes": "person"}
    assert drafted(sql, homes=renamed, on=on).spec.linkage.on == on
    with pytest.raises(ConfigError, match="homes has no column other"):
        drafted(on={"stays": "id", "homes": "other"})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="no helper"):
        drafted(parties=[NHS, COUNCIL])
    with pytest.raises(ConfigError, match="names 1 of the tables stays, homes"):
        drafted("SELECT COUNT(*) FROM stays")
    many = pd.DataFrame({"id": [str(n) for n in range(12_000)], "ward": [f"w{n}" for n in range(12_000)]})
    with pytest.raises(ConfigError, match=r"stays\.ward has 12000 levels"):
        drafted("SELECT ward, COUNT(*) AS n FROM stays JOIN homes USING (id) GROUP BY ward", stays=many)


def test_a_column_with_many_values_that_is_not_grouped_by_is_text() -> None:
    many = pd.DataFrame({"id": [str(n) for n in range(1200)], "note": [f"w{n}" for n in range(1200)]})
    found = made("SELECT COUNT(*) AS n FROM stays JOIN homes USING (id) WHERE note = 'w1'", stays=many)
    assert columns(found["stays"])["note"].type == "text"


def test_numbers_that_are_grouped_by_become_levels() -> None:
    sql = "SELECT rooms, COUNT(*) AS n FROM stays JOIN homes USING (id) GROUP BY rooms"
    assert columns(made(sql)["homes"])["rooms"].levels == ("3",)


@pytest.mark.parametrize("group", ["GROUP BY 1", "GROUP BY w", "group\n by s.WARD"])
def test_grouping_by_place_alias_or_capitals_is_grouping(group: str) -> None:
    text = f"SELECT s.rooms AS w, COUNT(*) AS n FROM stays s JOIN homes h ON s.id = h.id {group}"
    stays = STAYS.assign(rooms=[1, 2, 3, 1, 2])
    text = text if "WARD" not in group else text.replace("s.rooms AS w", "s.ward")
    found = drafted(text, stays=stays, homes=HOMES[["id", "tenure"]])
    assert found.check().accepted, found.check()


def test_an_empty_table_gives_a_draft_too() -> None:
    found = drafted(SQL.replace("AND s.urgent = 'true'", ""), stays=STAYS.iloc[:0], homes=HOMES.iloc[:0])
    assert found.spec.dataset("stays").max_rows == 1
    assert found.check().accepted, found.check()


def test_all_values_missing_or_all_zero() -> None:
    stays = STAYS.assign(nights=0, cost=[None] * 5, ward=[None] * 5)
    found = drafted(stays=stays.astype({"cost": "float64"}))
    assert found.check().accepted, found.check()


def test_polars_and_files_give_the_same_draft(tmp_path: Path) -> None:
    stays, homes = STAYS[["id", "ward", "nights", "cost"]], HOMES
    sql = "SELECT ward, COUNT(*) AS n, AVG(cost) AS c, SUM(nights) AS k FROM stays JOIN homes USING (id) GROUP BY ward"
    stays.to_csv(tmp_path / "stays.csv", index=False)
    homes.to_parquet(tmp_path / "homes.parquet")
    files = [
        Given(NHS, "stays", FileSource(tmp_path / "stays.csv")),
        Given(COUNCIL, "homes", FileSource(tmp_path / "homes.parquet")),
    ]
    expected = drafted(sql, stays, homes).spec.datasets
    assert drafted(sql, pl.from_pandas(stays), pl.from_pandas(homes)).spec.datasets == expected
    assert drafted(sql, given=files).spec.datasets == expected


def test_a_draft_shows_itself_and_can_be_saved(tmp_path: Path) -> None:
    found = drafted(title="Nights by ward")
    assert repr(found) == "Draft('Nights by ward')"
    assert found._repr_html_().startswith("<iframe ")
    assert found.save(tmp_path / "x.toml").read_text(encoding="utf-8") == found.toml


HAND = {"id": ["a", "b", "c"], "v": [1, 2, 3]}
OTHER = {"id": ["a", "b"], "tenure": ["x", "y"]}
COUNTED = "SELECT tenure, COUNT(*) FROM one JOIN two USING (id) GROUP BY tenure"


def by_hand(**columns: list[object]) -> LocalNetwork:
    one = pd.DataFrame({**HAND, **columns})
    return pets.local_network({"p": {"one": one}, "q": {"two": pd.DataFrame(OTHER)}, "h": {}})


@pytest.mark.parametrize("epsilon", ["0", "-1", "abc", 0.5])
def test_an_epsilon_that_is_none_is_refused_by_its_field(epsilon: object) -> None:
    with pytest.raises(pets.PetsError) as refused:
        by_hand().draft(COUNTED, epsilon=epsilon)  # type: ignore[arg-type]
    assert refused.value.fields["path"] == "release.differential_privacy.epsilon"


@pytest.mark.parametrize("values", [[1.0, float("inf"), 2.0], [1j, 2, 3], [2**62] * 3])
def test_numbers_that_no_column_can_hold_are_refused_by_name(values: list[object]) -> None:
    with pytest.raises(pets.PetsError, match="one"):
        by_hand(v=values).draft("SELECT SUM(v) FROM one JOIN two USING (id)")


def test_decimals_are_numbers() -> None:
    drafted = by_hand(v=[Decimal("1.25"), None, Decimal("-2")]).draft("SELECT SUM(v) FROM one JOIN two USING (id)")
    column = drafted.spec.dataset("one").columns["v"]
    assert (column.role, column.places, column.min, column.max) == ("measure", 2, "-2.00", "1.25")


def test_a_misspelt_column_is_told_the_one_that_is_meant() -> None:
    with pytest.raises(pets.PetsError) as refused:
        by_hand().draft(COUNTED.replace("tenure", "tenrue")).check().settled()
    assert refused.value.hint == "did you mean tenure?"


@pytest.mark.parametrize(
    "parties",
    [
        [pd.DataFrame(HAND)],
        {"p": pd.DataFrame(HAND)},
        {"A party": {}},
        {"analyst": {}},
    ],
)
def test_what_is_no_network_is_refused_before_a_table_is_read(parties: object) -> None:
    with pytest.raises(pets.PetsError, match=r"config\.local"):
        pets.local_network(parties)  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_named() -> None:
    net = pets.local_network({"p": {"one": "nowhere.csv"}, "q": {"two": pd.DataFrame(OTHER)}, "h": {}})
    with pytest.raises(pets.PetsError, match=r"nowhere\.csv: no such file"):
        net.draft(COUNTED)
