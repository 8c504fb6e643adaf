"""What validation accepts, what it refuses and how it says so: one code to everyone, rows and counts to the holder."""

import datetime as dt
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pets.errors import SourceError
from pets.party.files import FileSource, FrameSource, Source
from pets.party.snapshot import commitment, schema_digest, take
from pets.party.sources import Shared, Snapshot
from pets.spec.model import Column, Dataset, Linkage

NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
SALT = bytes(range(32))
VALID = ["9990000018", "9990000026", "9990000034", "9990000042"]

ID = Column(role="person id", scheme="nhs-number")
TEXT_ID = Column(role="person id", scheme="text")
TENURE = Column(role="dimension", type="category", levels=("owner", "rent"))
AGE = Column(role="measure", type="integer", min=0, max=120)
RENT = Column(role="measure", type="decimal", min="-5", max="100.5", places=2)


def dataset(*, most: int = 4, rows: int = 1000, truncate: bool = False, **columns: Column) -> Dataset:
    return Dataset(
        name="housing",
        party="council",
        max_rows_per_person=most,
        max_rows=rows,
        truncate=truncate,
        columns={"id": TEXT_ID} | columns,
    )


def linkage(*steps: Any) -> Linkage:
    return Linkage(on="id", version="1", normalise=steps)


def snap(
    folder: Path, source: Source | pd.DataFrame, declared: Dataset, *steps: Any, salt: bytes = SALT
) -> tuple[Snapshot, pd.DataFrame]:
    source = FrameSource(source) if isinstance(source, pd.DataFrame) else source
    taken = take(source, declared, linkage(*steps), folder / "state", salt=salt, now=NOW)
    return taken, pq.read_table(taken.file).to_pandas()


def csv_file(folder: Path, text: str | bytes) -> FileSource:
    file = folder / "records.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(file)


def refused(folder: Path, source: Source | pd.DataFrame, declared: Dataset, *steps: Any) -> SourceError:
    before = set((folder / "state").glob("*"))
    with pytest.raises(SourceError) as caught:
        snap(folder, source, declared, *steps)
    assert set((folder / "state").iterdir()) == before, "a refused snapshot leaves nothing"
    return caught.value


# -- identifiers ------------------------------------------------------------------------------------------------------


def test_nhs_numbers_as_text_with_spaces_as_integers_and_as_floats_are_one(tmp_path: Path) -> None:
    declared = dataset(id=ID)
    steps = ("strip-spaces", "check-digit")
    written = {
        "text": [*VALID, None],
        "spaced": [*(f" {v[:3]} {v[3:6]}-{v[6:]}\u00a0" for v in VALID), None],
        "float": [*(float(v) for v in VALID), None],
    }
    files = {snap(tmp_path, pd.DataFrame({"id": ids}), declared, *steps)[0].sha256 for ids in written.values()}
    files.add(snap(tmp_path, pd.DataFrame({"id": [int(v) for v in VALID]}), declared, *steps)[0].sha256)
    assert len(files) == 1


def test_an_integer_gets_its_leading_zeros_back(tmp_path: Path) -> None:
    _, kept = snap(tmp_path, pd.DataFrame({"id": [101011234]}), dataset(id=ID))
    assert kept.id.tolist() == [101011234]


def test_every_wrong_check_digit_is_refused(tmp_path: Path) -> None:
    for digit in "012345679":
        error = refused(tmp_path, pd.DataFrame({"id": ["999000001" + digit]}), dataset(id=ID), "check-digit")
        assert error.code == "source.id" and "check digit" in error.local[0]


def test_without_the_step_check_digit_ten_digits_are_enough(tmp_path: Path) -> None:
    _, kept = snap(tmp_path, pd.DataFrame({"id": ["9990000010"]}), dataset(id=ID))
    assert len(kept) == 1


@pytest.mark.parametrize(
    "bad", ["999000001", "99900000181", "+999000001", "1e00000000", "999_000_01", "abcdefghij", ""]
)
def test_what_is_not_ten_digits_is_refused(tmp_path: Path, bad: str) -> None:
    error = refused(tmp_path, pd.DataFrame({"id": [VALID[0], bad]}), dataset(id=ID))
    assert (error.code, error.local[0].split(": ", 1)[1]) == ("source.id", "not ten digits in 1 row: 2")


@pytest.mark.parametrize("bad", [-1, 10_000_000_000, 1.5])
def test_numbers_that_are_no_nhs_number_are_refused(tmp_path: Path, bad: float) -> None:
    assert refused(tmp_path, pd.DataFrame({"id": [bad]}), dataset(id=ID)).code == "source.id"


def test_text_ids_of_one_to_64_bytes_of_any_unicode_are_kept_byte_for_byte(tmp_path: Path) -> None:
    ids = ["x", "Ω" * 32, "𝄞" * 16, "a b", '"', "'; DROP TABLE staged; --", "é", "e\u0301", "漢字", "\x01", "🏳️‍🌈", "0"]
    taken, kept = snap(tmp_path, pd.DataFrame({"id": ids}), dataset())
    assert taken.width == 64
    assert [i.rstrip(b"\0").decode() for i in kept.id] == sorted(ids, key=str.encode)
    assert all(len(i) == 64 for i in kept.id)
    assert kept.person.tolist() == list(range(len(ids)))


@pytest.mark.parametrize(
    ("bad", "why"),
    [("x" * 65, "longer"), ("é" * 33, "longer"), ("", "empty"), ("a\0b", "NUL"), (b"\xff", "UTF-8")],
)
def test_malformed_text_ids_are_refused(tmp_path: Path, bad: object, why: str) -> None:
    ids = [b"good", bad] if isinstance(bad, bytes) else ["good", bad]
    error = refused(tmp_path, pd.DataFrame({"id": ids}), dataset())
    assert error.code == "source.id" and why in error.local[0] and error.local[0].endswith("in 1 row: 2")


def test_normalising_steps_work_on_text_in_one_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [" e\u0301 a\u2003", "ÉA", "é\ta"]})
    _, kept = snap(tmp_path, frame, dataset(), "nfc", "upper-case", "strip-spaces")
    assert set(kept.id) == {"ÉA".encode()} and kept.person.tolist() == [0, 0, 0]


def test_rows_without_an_identifier_are_dropped_counted_and_not_judged(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", None, None], "age": [5, 500, None]})
    taken, kept = snap(tmp_path, frame, dataset(age=AGE.model_copy(update={"required": True})))
    assert len(kept) == 1
    assert (taken.report.rows, taken.report.people, taken.report.without_id) == (1, 1, 2)
    assert taken.report.missing == {}


# -- dimensions -------------------------------------------------------------------------------------------------------


def test_levels_become_codes_and_null_the_last_one(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": list("abc"), "tenure": ["rent", None, "owner"]})
    taken, kept = snap(tmp_path, frame, dataset(tenure=TENURE))
    assert kept.d_tenure.tolist() == [1, 2, 0] and str(kept.d_tenure.dtype) == "uint16"
    assert taken.report.missing == {"tenure": 1}


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([True, False, None], ("false", "true")),
        ([1, 2, 3], ("1", "2", "3")),
        ([1.0, None, 2.0], ("1", "2")),
        ([0.5, 2.0, None], ("0.5", "2")),
        ([dt.date(2026, 1, 31), None, dt.date(2026, 2, 1)], ("2026-01-31", "2026-02-01")),
        (pd.Categorical(["b", "a", None]), ("a", "b")),
    ],
)
def test_values_of_other_types_are_compared_as_text(tmp_path: Path, values: Any, levels: tuple[str, ...]) -> None:
    column = Column(role="dimension", type="category", levels=levels)
    _, kept = snap(tmp_path, pd.DataFrame({"id": list("abc"), "x": values}), dataset(x=column))
    assert set(kept.d_x) <= set(range(len(levels) + 1))


def test_an_undeclared_level_is_refused_with_rows_and_without_its_value(tmp_path: Path) -> None:
    text = "id,tenure\n" + "a,owner\n" * 3 + "b,Canary\n" * 7
    error = refused(tmp_path, csv_file(tmp_path, text), dataset(most=10, tenure=TENURE))
    assert error.code == "source.level"
    assert error.local == ("records.csv, column tenure: no declared level in 7 rows: 5, 6, 7, 8, 9, ...",)
    assert str(error) == "source.level: dataset housing, column tenure: there are values that are no declared level"


def test_many_levels_take_wider_codes(tmp_path: Path) -> None:
    levels = tuple(f"l{i}" for i in range(70_000))
    column = Column(role="dimension", type="category", levels=levels)
    _, kept = snap(tmp_path, pd.DataFrame({"id": ["a", "b"], "x": ["l69999", None]}), dataset(x=column))
    assert kept.d_x.tolist() == [69_999, 70_000]


def test_levels_with_quotes_and_sql_in_them_are_text(tmp_path: Path) -> None:
    levels = ("o'wner", '"x"', "'; DROP TABLE staged; --")
    column = Column(role="dimension", type="category", levels=levels)
    _, kept = snap(tmp_path, pd.DataFrame({"id": list("abc"), "x": levels}), dataset(x=column))
    assert kept.d_x.tolist() == [0, 1, 2]


@pytest.mark.parametrize("role", ["dimension", "filter only"])
def test_bytes_that_are_no_text_are_refused_and_not_taken_for_missing(tmp_path: Path, role: Any) -> None:
    column = Column(role=role, type="category", levels=("é", "own"))
    values = pa.array([None, b"own", "é".encode(), b"\xff", b"own\xc3"], pa.binary())
    table = pa.table({"id": list("abcde"), "x": values})
    error = refused(tmp_path, FrameSource(table), dataset(x=column))
    assert error.local == ("data frame, column x: not UTF-8 in 2 rows: 4, 5",)
    taken, _ = snap(tmp_path, FrameSource(table.slice(0, 3)), dataset(x=column))
    assert pq.read_table(taken.file)["c_x"].to_pylist() == [None, "own", "é"]


# -- measures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "frame"])
def test_decimals_are_rounded_half_away_from_zero(tmp_path: Path, form: str) -> None:
    written = ["1.005", "-1.005", "2.675", "0.125", "1e-2", "", "7", "100.499", "+3.", "1.0049999999"]
    expected = [101, -101, 268, 13, 1, None, 700, 10050, 300, 100]
    ids = [f"p{i}" for i in range(len(written))]
    source: Source
    if form == "csv":
        source = csv_file(tmp_path, "id,rent\n" + "".join(f"{i},{v}\n" for i, v in zip(ids, written, strict=True)))
    else:
        source = FrameSource(pd.DataFrame({"id": ids, "rent": [float(v) if v else None for v in written]}))
    _, kept = snap(tmp_path, source, dataset(rent=RENT))
    assert [None if pd.isna(v) else int(v) for v in kept.m_rent] == expected


def test_numbers_of_every_length_are_read_exactly_however_they_are_stored(tmp_path: Path) -> None:
    """Short numbers are read by quicker types than long ones: against Python's decimals, at and about every limit."""
    rng = np.random.default_rng(5)
    written = ["0", "-0", "5.", ".5", "+.005", "-.995", "0.994999999", "0.9949999999", "0.995", "999999999.995"]
    for whole, places in [(w, p) for w in (1, 8, 9, 10, 13, 14, 15) for p in (0, 1, 3, 4, 5, 8, 9, 10, 17)]:
        text = "".join(map(str, rng.integers(1, 10, whole + places)))
        written += [sign + text[:whole] + ("." + text[whole:] if places else "") for sign in ("", "-")]
    limit = 10**13 - 1
    column = Column(role="measure", type="decimal", places=2, min=f"-{limit}", max=str(limit), clamp=True)
    cents = Decimal("0.01")
    bounded = [min(max(Decimal(v).quantize(cents, ROUND_HALF_UP), -Decimal(limit)), Decimal(limit)) for v in written]
    ids = [f"p{i:04}" for i in range(len(written))]
    text_file = csv_file(tmp_path, "id,x\n" + "".join(f"{i},{v}\n" for i, v in zip(ids, written, strict=True)))
    exact = pa.table({"id": ids, "x": pa.array([Decimal(v) for v in written], pa.decimal128(38, 18))})
    for source in (text_file, FrameSource(exact)):
        _, kept = snap(tmp_path, source, dataset(x=column))
        assert kept.m_x.tolist() == [int(v * 100) for v in bounded]


@pytest.mark.parametrize("value", ["12.0", "123456789012.0", "12345678901234568.0", "1e3", "1000000000"])
def test_whole_numbers_of_every_length_are_whole(tmp_path: Path, value: str) -> None:
    about = dataset(x=Column(role="filter only", type="integer"))
    of_file = csv_file(tmp_path, f"id,x\na,{value}\n")
    for source in (of_file, FrameSource(pd.DataFrame({"id": ["a"], "x": [float(value)]}))):
        _, kept = snap(tmp_path, source, about)
        assert kept.c_x.tolist() == [int(float(value))]
    not_whole = csv_file(tmp_path, "id,x\na,123456789012.0001\nb,1.000000001\nc,12345678901234.5\n")
    assert refused(tmp_path, not_whole, about).local[0].endswith("no whole number in 3 rows: 2, 3, 4")


def test_whole_numbers_written_as_decimals_are_whole_numbers(tmp_path: Path) -> None:
    _, kept = snap(tmp_path, csv_file(tmp_path, "id,age\na,3.0\nb, 4 \nc,5e0\n"), dataset(age=AGE))
    assert kept.m_age.tolist() == [3, 4, 5]


@pytest.mark.parametrize("bad", ["x", "3.5", "1,5", "0x10", "1_0", "nan", "inf", "12-1", "1e40", "--1", "٣"])
def test_what_is_no_whole_number_is_refused(tmp_path: Path, bad: str) -> None:
    error = refused(tmp_path, csv_file(tmp_path, f'id,age\na,1\nb,"{bad}"\n'), dataset(age=AGE))
    assert error.code == "source.type" and error.local[0].endswith("no whole number in 1 row: 3")


def test_values_outside_the_range_are_refused_or_moved_if_that_is_declared(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": list("abcd"), "age": [-1, 0, 120, 10**15]})
    error = refused(tmp_path, frame, dataset(age=AGE))
    assert error.code == "source.range" and error.local[0].endswith("outside 0 to 120 in 2 rows: 1, 4")
    taken, kept = snap(tmp_path, frame, dataset(age=AGE.model_copy(update={"clamp": True})))
    assert kept.m_age.tolist() == [0, 0, 120, 120] and taken.report.clipped == {"age": 2}


def test_null_measures_stay_null_and_are_refused_if_required(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": list("ab"), "age": [None, 3]})
    _, kept = snap(tmp_path, frame, dataset(age=AGE))
    assert pd.isna(kept.m_age[0]) and kept.m_age[1] == 3
    error = refused(tmp_path, frame, dataset(age=AGE.model_copy(update={"required": True})))
    assert error.code == "source.null" and error.local[0].endswith("missing in 1 row: 1")


def test_booleans_are_measures_of_zero_and_one(tmp_path: Path) -> None:
    _, kept = snap(tmp_path, pd.DataFrame({"id": list("ab"), "age": [True, False]}), dataset(age=AGE))
    assert kept.m_age.tolist() == [1, 0]


# -- filter-only ------------------------------------------------------------------------------------------------------


def test_dates_come_as_dates_timestamps_and_iso_text(tmp_path: Path) -> None:
    column = Column(role="filter only", type="date")
    day = dt.date(2026, 2, 28)
    for values in ([day], pd.to_datetime(["2026-02-28 23:59:59.9"]), ["2026-02-28"], ["2026-02-28T01:02"]):
        _, kept = snap(tmp_path, pd.DataFrame({"id": ["a"], "d": values}), dataset(d=column))
        assert kept.c_d.tolist() == [day]


@pytest.mark.parametrize("bad", ["28/02/2026", "2026-02-30", "2026-2-3", "yesterday", "2026-02-28 24:00Z"])
def test_other_dates_are_refused(tmp_path: Path, bad: str) -> None:
    error = refused(
        tmp_path, csv_file(tmp_path, f"id,d\na,{bad}\n"), dataset(d=Column(role="filter only", type="date"))
    )
    assert error.code == "source.type" and "2026-12-31" in error.local[0]


def test_a_time_with_a_zone_is_no_date(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "d": pd.to_datetime(["2026-02-28T00:00Z"])})
    assert refused(tmp_path, frame, dataset(d=Column(role="filter only", type="date"))).code == "source.type"


def test_filters_keep_their_own_types(tmp_path: Path) -> None:
    columns = {
        "n": Column(role="filter only", type="integer"),
        "x": Column(role="filter only", type="decimal", places=1),
        "t": Column(role="filter only", type="text"),
        "k": Column(role="filter only", type="category", levels=("a", "b")),
    }
    taken, _ = snap(tmp_path, csv_file(tmp_path, "id,n,x,t,k\np,12,1.25,w,a\nq,,,,\n"), dataset(**columns))
    kept = pq.read_table(taken.file)
    assert [str(kept.schema.field("c_" + c).type) for c in "nxtk"] == ["int64", "decimal128(19, 1)", "string", "string"]
    assert kept["c_x"].to_pylist()[0] == Decimal("1.3") and kept["c_t"].to_pylist() == ["w", None]
    assert refused(tmp_path, csv_file(tmp_path, "id,n,x,t,k\np,1,1,w,z\n"), dataset(**columns)).code == "source.level"


# -- rows -------------------------------------------------------------------------------------------------------------


def test_more_rows_a_person_than_declared_are_refused_unless_truncated(tmp_path: Path) -> None:
    source = csv_file(tmp_path, "id\n" + "a\nb\na\nb\na\nc\nb\n")
    error = refused(tmp_path, source, dataset(most=2))
    assert error.code == "source.rows-per-person"
    assert error.local == ("records.csv, column id: 2 people have more than 2 rows, beginning at row 2, 3",)
    taken, kept = snap(tmp_path, source, dataset(most=2, truncate=True))
    assert kept.person.tolist() == [0, 0, 0, 1, 1, 1, 2] and taken.report.people == 3


def test_more_rows_than_declared_are_refused_and_rows_without_id_do_not_count(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c", None, None]})
    assert refused(tmp_path, frame, dataset(rows=2)).code == "source.max-rows"
    assert snap(tmp_path, frame, dataset(rows=3))[0].report.rows == 3


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row_work(tmp_path: Path, rows: int) -> None:
    source = csv_file(tmp_path, "id,tenure,age\n" + "a,owner,3\n" * rows)
    taken, kept = snap(tmp_path, source, dataset(tenure=TENURE, age=AGE))
    assert (len(kept), taken.report.rows, taken.report.people, taken.width) == (rows, rows, rows, 1)


def test_an_empty_data_frame_works(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [], "tenure": [], "age": []})
    assert snap(tmp_path, frame, dataset(tenure=TENURE, age=AGE))[0].report.rows == 0


def test_all_faults_are_told_at_once_and_never_a_value(tmp_path: Path) -> None:
    text = "id,tenure,age\nCANARY1" + "x" * 64 + ",owner,1\nb,CANARY2,CANARY3\nc,rent,987654\n"
    error = refused(tmp_path, csv_file(tmp_path, text), dataset(tenure=TENURE, age=AGE))
    assert len(error.local) == 4
    said = " ".join([str(error), error.hint, repr(error), repr(error.fields), *error.local])
    assert "CANARY" not in said and "987654" not in said


def test_numbers_of_people_match_a_plain_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ids = [f"p{i}" for i in rng.integers(0, 3_000, 10_000)]
    age = rng.integers(0, 120, 10_000)
    _, kept = snap(tmp_path, pd.DataFrame({"id": ids, "age": age}), dataset(most=100, rows=10_000, age=AGE))
    expected = sorted(zip((i.encode() for i in ids), age.tolist(), strict=True))
    assert [(i.rstrip(b"\0"), a) for i, a in zip(kept.id, kept.m_age, strict=True)] == expected
    order = {i: n for n, i in enumerate(sorted(set(ids), key=str.encode))}
    assert kept.person.tolist() == [order[i.decode()] for i, _ in expected]


# -- the file and its commitment --------------------------------------------------------------------------------------


def test_the_file_is_private_named_by_its_commitment_and_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        taken, _ = snap(tmp_path, pd.DataFrame({"id": ["a"]}), dataset())
    finally:
        os.umask(old)
    assert stat.S_IMODE(taken.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(taken.file.parent.stat().st_mode) == 0o700
    assert [f.name for f in taken.file.parent.iterdir()] == [f"housing-{taken.commitment[:16]}.parquet"]


def test_the_commitment_binds_file_salt_dataset_and_schema(tmp_path: Path) -> None:
    declared, frame = dataset(age=AGE), pd.DataFrame({"id": ["a"], "age": [1]})
    first, _ = snap(tmp_path, frame, declared)
    assert first.sha256 == hashlib.sha256(first.file.read_bytes()).hexdigest()
    assert first.schema_digest == schema_digest(declared, linkage())
    parts = (SALT, b"housing", bytes.fromhex(first.schema_digest), bytes.fromhex(first.sha256))
    joined = b"".join(len(p).to_bytes(4, "big") + p for p in parts)
    assert first.commitment == hashlib.sha256(b"pets/1 snapshot" + joined).hexdigest()
    others = {
        snap(tmp_path, frame, declared, salt=bytes(32))[0].commitment,
        snap(tmp_path, pd.DataFrame({"id": ["a"], "age": [2]}), declared)[0].commitment,
        snap(tmp_path, frame, declared, "nfc")[0].commitment,
        snap(tmp_path, frame, dataset(most=5, age=AGE))[0].commitment,
    }
    assert len(others | {first.commitment}) == 5


def test_a_short_salt_is_our_bug() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(salt=b"short", dataset="d", schema="00", sha256="00")


def test_equal_records_in_any_order_give_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"id": rng.integers(0, 50, 200).astype(str), "age": rng.integers(0, 99, 200)})
    declared = dataset(most=100, age=AGE)
    files = {snap(tmp_path, f, declared)[0].sha256 for f in (frame, frame.sample(frac=1, random_state=1))}
    assert len(files) == 1


def test_records_that_change_afterwards_do_not_change_the_snapshot(tmp_path: Path) -> None:
    source = csv_file(tmp_path, "id,age\na,1\n")
    taken, kept = snap(tmp_path, source, dataset(age=AGE))
    csv_file(tmp_path, "id,age\na,99\n")
    assert pq.read_table(taken.file).to_pandas().equals(kept)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SourceError) as caught:
        take(FrameSource(pd.DataFrame({"id": ["a"]})), dataset(), linkage(), blocked / "x", salt=SALT, now=NOW)
    assert caught.value.code == "source.unwritable"


def test_a_snapshot_of_polars_or_arrow_streams_works(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(["b", "a"]).dictionary_encode(), "age": pa.array([1, 2], pa.uint8())})
    _, kept = snap(tmp_path, FrameSource(table), dataset(age=AGE))
    assert kept.m_age.tolist() == [2, 1]


def test_a_folder_that_reads_as_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        take(FrameSource(pd.DataFrame({"id": ["a"]})), dataset(), linkage(), tmp_path / "a[1]", salt=SALT, now=NOW)
    assert caught.value.code == "source.unwritable"


def test_parties_that_share_an_engine_write_what_each_would_alone(tmp_path: Path) -> None:
    """Side by side, with tables of the same names in it; and the engine touches nothing outside of its folder."""
    frames = {name: pd.DataFrame({"id": [f"{name}{row}" for row in range(40)]}) for name in ("a", "b", "c", "d")}
    shared = Shared(tmp_path)

    def frozen(name: str, engine: Shared | None, folder: str) -> Snapshot:
        source, about = FrameSource(frames[name]), dataset(id=TEXT_ID)
        return take(source, about, linkage(), tmp_path / folder / name, salt=SALT, now=NOW, shared=engine)

    with ThreadPoolExecutor(4) as side_by_side:
        found = list(side_by_side.map(lambda name: frozen(name, shared, "shared"), [*frames] * 5))
    alone = {name: frozen(name, None, "alone") for name in frames}
    assert [each.sha256 for each in found] == [alone[name].sha256 for name in frames] * 5
    with pytest.raises(SourceError, match=r"source\.unreadable"):
        take(FrameSource(frames["a"]), dataset(id=TEXT_ID), linkage(), tmp_path.parent / "x", salt=SALT, now=NOW,
             shared=shared)  # fmt: skip
    with shared.cursor() as one, shared.cursor() as other:
        one.execute("CREATE TEMP TABLE mine AS SELECT 1")
        with pytest.raises(duckdb.CatalogException):
            other.execute("SELECT * FROM mine")
        with pytest.raises(duckdb.InvalidInputException):
            other.execute("SET threads = 2")
    shared.close()
