"""The made-up records: valid, never issued numbers; the published shape; the effect; equal seeds."""

import hashlib
import re
from pathlib import Path

import nhs_number
import numpy as np
import pandas as pd
import pytest

from pets.demo.data import data_file, demo_folder
from pets.demo.people import AGE_BANDS, TENURES, DemoFiles, make_people, nhs_numbers, published


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return make_people(tmp_path_factory.mktemp("demo"), people=20_000, overlap=0.6, seed=5)


@pytest.fixture(scope="module")
def tables(files: DemoFiles) -> tuple[pd.DataFrame, pd.DataFrame]:
    text = {"nhs_number": "str"}
    return pd.read_csv(files.health, dtype=text), pd.read_csv(files.council, dtype=text)


def test_numbers_are_distinct_valid_and_of_the_range_that_is_never_issued() -> None:
    numbers = nhs_numbers(5_000, np.random.default_rng(1))
    assert len(set(numbers.tolist())) == 5_000
    for number in numbers[:500].tolist():
        assert 9_990_000_000 <= number <= 9_999_999_999
        assert nhs_number.is_valid(str(number), for_region=nhs_number.REGION_SYNTHETIC)


def test_more_people_than_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="NHS numbers"):
        nhs_numbers(950_000, np.random.default_rng(1))


def test_people_and_overlap_are_as_asked(files: DemoFiles, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    health, council = (set(table.nhs_number.dropna()) for table in tables)
    assert (files.people, files.both) == (20_000, 12_000)
    assert 19_980 <= len(health) <= 20_000 and 19_980 <= len(council) <= 20_000
    assert 11_980 <= len(health & council) <= 12_000


def test_columns_and_levels_are_those_of_the_specification(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    health, council = tables
    assert list(health) == ["nhs_number", "age_band", "area", "department", "arrival", "minutes"]
    assert list(council) == ["nhs_number", "tenure", "area"]
    assert set(health.age_band.dropna()) == set(AGE_BANDS)
    assert set(council.tenure.dropna()) == set(TENURES)
    assert health.minutes.notna().all() and health.arrival.between("2025-10-01", "2026-09-30").all()


def test_some_identifiers_and_dimensions_are_missing_and_some_people_have_many_rows(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    health, council = tables
    assert health.nhs_number.isna().any() and council.nhs_number.isna().any()
    assert health.age_band.isna().any() and council.tenure.isna().any()
    rows = health.nhs_number.value_counts()
    assert (rows == 1).any() and (rows > 4).any()
    assert council.nhs_number.value_counts().max() == 1


def test_temporary_accommodation_attends_more_often(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    health, council = tables
    joined = health.merge(council.dropna(), on="nhs_number").groupby("tenure").nhs_number
    a_person = joined.size() / joined.nunique()
    assert a_person["temporary"] > 1.5 * a_person["owner"]


def test_departments_months_and_waits_follow_the_published_table(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    health, _ = tables
    raw = pd.read_csv(data_file("ae_attendances.csv"))
    of_kind = raw.groupby("type")[["attendances", "breaches"]].sum()
    shares = health.department.value_counts(normalize=True)
    for kind, name in (("1", "major"), ("2", "single specialty"), ("other", "minor injuries")):
        assert abs(shares[name] - of_kind.attendances[kind] / of_kind.attendances.sum()) < 0.02
        late = (health.minutes[health.department == name] > 240).mean()
        assert abs(late - of_kind.breaches[kind] / of_kind.attendances[kind]) < 0.02
    table = published()
    assert table.shares.shape == (12, 3) and abs(table.shares.sum() - 1) < 1e-12


def test_areas_are_real(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    known = set(pd.read_csv(data_file("gb_areas.csv")).name)
    assert set(tables[0].area.dropna()) | set(tables[1].area) <= known


def test_equal_seeds_give_equal_files_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        make_people(tmp_path / name, people=300, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.health.read_bytes() == again.health.read_bytes()
    assert first.council.read_bytes() == again.council.read_bytes()
    assert first.health.read_bytes() != other.health.read_bytes()


def test_parquet_holds_the_same_records_as_csv(tmp_path: Path) -> None:
    plain = make_people(tmp_path, people=200, seed=3)
    packed = make_people(tmp_path, people=200, seed=3, form="parquet")
    text = {"nhs_number": "str"}
    left = pd.read_csv(plain.health, dtype=text, parse_dates=["arrival"])
    right = pd.read_parquet(packed.health)
    assert left.nhs_number.fillna("").tolist() == right.nhs_number.fillna("").tolist()
    assert left.minutes.tolist() == right.minutes.tolist()
    assert left.arrival.dt.date.tolist() == right.arrival.tolist()


@pytest.mark.parametrize(("people", "overlap"), [(1, 0.0), (1, 1.0), (7, 0.5)])
def test_few_people_and_no_overlap_work(tmp_path: Path, people: int, overlap: float) -> None:
    files = make_people(tmp_path, people=people, overlap=overlap, seed=1)
    assert files.both == round(people * overlap)
    assert len(pd.read_csv(files.council)) == people


@pytest.mark.parametrize(("people", "overlap"), [(0, 0.5), (10, 1.5), (10, -0.1)])
def test_senseless_sizes_are_refused(tmp_path: Path, people: int, overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap"):
        make_people(tmp_path, people=people, overlap=overlap, seed=1)


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    told: list[float] = []
    make_people(tmp_path, people=50, seed=1, progress=lambda what, share: told.append(share))
    assert told == sorted(told) and told[0] == 0.0 and told[-1] == 1.0


def test_the_open_data_is_what_its_readme_says() -> None:
    readme = (demo_folder() / "data" / "README.md").read_text(encoding="utf-8")
    sums = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", readme, re.MULTILINE)
    assert sorted(name for _, name in sums) == ["ae_attendances.csv", "gb_areas.csv", "randhie.csv"]
    for digest, name in sums:
        assert hashlib.sha256(data_file(name).read_bytes()).hexdigest() == digest
