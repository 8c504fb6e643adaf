"""A list of persons brought back to its file: against a loop over rows, in its order, as it writes them."""

import csv
import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pets.errors import SourceError
from pets.local import local_network
from pets.party.files import FileSource
from pets.party.order import in_order, persons_of
from pets.spec.model import Dataset, Linkage
from pets.spec.pairing import pairing_of
from pets.spec.query import Predicate


def asked(frame: pd.DataFrame, key: str, where: str | None = None) -> tuple[Dataset, Linkage, Predicate | None]:
    """The declaration of a table that asks, how ids are normalised, and which of its rows count."""
    other = pd.DataFrame({key: pd.Series(["x"], dtype="string")})
    spec = local_network({"a": {"own": frame}, "b": {"other": other}}).draft(psi="intersection", on=key, where=where)
    linkage = spec.spec.linkage.model_copy(update={"normalise": ("strip-spaces", "nfc")})
    return spec.spec.dataset("own"), linkage, pairing_of(spec.spec).where_asks


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_come_in_their_order_as_they_are_written_each_of_a_person(tmp_path: Path, form: str) -> None:
    draw = random.Random(form)
    ids = [f"{number:03d} é{number % 7}" for number in range(60)]
    rows = [(draw.choice(ids), draw.choice(["a,b", 'say "x"', "", "007"]), str(draw.randrange(9))) for _ in range(400)]
    rows += [("", "nobody", "1")]
    frame = pd.DataFrame(rows, columns=["pid", "note", "stay"]).astype("string").replace({"pid": {"": pd.NA}})
    file = tmp_path / f"own.{form}"
    frame.to_csv(file, index=False) if form == "csv" else frame.to_parquet(file)
    dataset, linkage, _ = asked(frame, "pid")
    chosen = draw.sample(ids, 20)
    found = pa.table({"pid": sorted(each.replace(" ", "") for each in chosen)})
    ordered = in_order(FileSource(file), dataset, linkage, found)
    expected = [row for row in rows if row[0] in chosen]
    got = [tuple(value or "" for value in row.values()) for row in ordered.table.to_pylist()]
    assert got == expected and ordered.table.column_names == ["pid", "note", "stay"]
    assert ordered.persons == len({row[0] for row in expected})
    counts = pd.Series([row[0] for row in rows if row[0]]).value_counts()
    assert persons_of(FileSource(file), dataset, linkage) == (len(counts), counts.max())


def test_a_condition_leaves_the_rows_on_which_it_is_true(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pid": ["b", "a", "b", "c"], "stay": [5, 7, 1, 9], "kind": ["x", "x", "y", "x"]})
    frame.to_csv(tmp_path / "own.csv", index=False)
    dataset, linkage, where = asked(frame, "pid", "own.stay >= 2 AND own.kind = 'x'")
    found = pa.table({"pid": ["a", "b"]})
    ordered = in_order(FileSource(tmp_path / "own.csv"), dataset, linkage, found, where=where)
    assert [(row["pid"], row["stay"]) for row in ordered.table.to_pylist()] == [("b", "5"), ("a", "7")]


def test_what_came_along_stands_behind_under_a_name_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("pid,stay\nb,1\na,2\nb,3\n")
    dataset, linkage, _ = asked(pd.read_csv(file), "pid")
    found = pd.DataFrame(
        {"pid": ["a", "b"], "stay": pd.array([70, pd.NA], dtype="Int64"), "ward": pd.Categorical(["north", "south"])}
    )
    ordered = in_order(FileSource(file), dataset, linkage, found)
    rows = [tuple(row.values()) for row in ordered.table.to_pylist()]
    assert ordered.table.column_names == ["pid", "stay", "stay2", "ward"]
    assert rows == [("b", "1", None, "south"), ("a", "2", 70, "north"), ("b", "3", None, "south")]
    ordered.write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "pid,stay,stay2,ward\nb,1,,south\na,2,70,north\nb,3,,south\n"


def test_nhs_numbers_are_found_however_they_are_spaced(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("NHS number,name\n943 476 5919,A\n0000000000,B\n94347659,C\n9434765919,D\n")
    dataset, linkage, _ = asked(pd.read_csv(file, dtype="string").rename(columns={"NHS number": "pid"}), "pid")
    body = dataset.model_copy(
        update={"columns": {"pid": dataset.columns["pid"].model_copy(update={"scheme": "nhs-number"})}}
    )
    found = pa.table({"pid": ["0000000000", "9434765919"]})
    ordered = in_order(FileSource(file, None, {"pid": "NHS number"}), body, linkage, found)
    assert [row["name"] for row in ordered.table.to_pylist()] == ["A", "B", "D"]


def test_persons_who_are_not_in_the_file_are_counted_out(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("pid\nb\na\n")
    dataset, linkage, _ = asked(pd.read_csv(file), "pid")
    ordered = in_order(FileSource(file), dataset, linkage, pa.table({"pid": ["a", "zz"]}))
    assert (ordered.table.num_rows, ordered.persons) == (1, 1)
    none = in_order(FileSource(file), dataset, linkage, pa.table({"pid": pa.array([], pa.string())}))
    assert (none.table.num_rows, none.persons, none.table.column_names) == (0, 0, ["pid"])
    assert "a" not in repr(ordered).lower().replace("ordered", "")


def test_a_file_that_has_gone_is_an_error_without_a_value(tmp_path: Path) -> None:
    dataset, linkage, _ = asked(pd.DataFrame({"pid": ["IDENTITY-1"]}), "pid")
    with pytest.raises(SourceError) as caught:
        in_order(FileSource(tmp_path / "own.csv"), dataset, linkage, pa.table({"pid": ["IDENTITY-1"]}))
    assert caught.value.code == "source.unreadable" and "IDENTITY" not in str(caught.value.local)


def test_the_reader_of_the_test_agrees_on_what_a_csv_row_is(tmp_path: Path) -> None:
    """Quoted line ends and commas: one row stays one row."""
    file = tmp_path / "own.csv"
    file.write_text('pid,note\na,"two\nlines, one row"\nb,plain\n')
    dataset, linkage, _ = asked(pd.read_csv(file), "pid")
    ordered = in_order(FileSource(file), dataset, linkage, pa.table({"pid": ["a", "b"]}))
    with file.open(newline="") as text:
        assert [list(row.values()) for row in ordered.table.to_pylist()] == list(csv.reader(text))[1:]
    ordered.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes()
