"""Finding the columns of a source, the locked engine, and what a run reads of a snapshot against a plain loop."""

import dataclasses
import datetime as dt
import itertools
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pets.errors import SourceError
from pets.ids import PartyId
from pets.party.files import FileSource, FrameSource, Source
from pets.party.snapshot import take
from pets.party.sources import Snapshot, Table, engine, parameter, read, warm
from pets.spec import ir
from pets.spec.model import Column, Dataset, Linkage
from pets.spec.query import All, AnyOf, ColumnRef, Compare, In, IsNull, Not, Predicate

NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
LEVELS = {"tenure": ("owner", "rent", "temporary"), "band": ("16-24", "25+")}


def declared(scheme: Any = "text") -> Dataset:
    return Dataset(
        name="visits",
        party="board",
        max_rows_per_person=1000,
        max_rows=10**6,
        columns={
            "who": Column(role="person id", scheme=scheme),
            "tenure": Column(role="dimension", type="category", levels=LEVELS["tenure"]),
            "band": Column(role="dimension", type="category", levels=LEVELS["band"]),
            "minutes": Column(role="measure", type="integer", min=0, max=1000),
            "cost": Column(role="measure", type="decimal", min="-100", max="100", places=2),
            "day": Column(role="filter only", type="date"),
            "ward": Column(role="filter only", type="text"),
            "fee": Column(role="filter only", type="decimal", places=2),
            "n": Column(role="filter only", type="integer"),
        },
    )


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)

    def some(values: list[Any]) -> list[Any]:
        return [None if rng.random() < 0.1 else values[rng.integers(len(values))] for _ in range(rows)]

    return pd.DataFrame(
        {
            "who": some([f"p{i}" for i in range(max(1, rows // 3))]),
            "tenure": some(list(LEVELS["tenure"])),
            "band": some(list(LEVELS["band"])),
            "minutes": pd.array(some(list(range(1000))), dtype="Int64"),
            "cost": [None if v is None else v / 100 for v in some(list(range(-9999, 9999)))],
            "day": some([dt.date(2026, 1, 1) + dt.timedelta(days=i) for i in range(60)]),
            "ward": some(["north", "o'south", "?", '"']),
            "fee": [None if v is None else Decimal(v) / 100 for v in some(list(range(300)))],
            "n": pd.array(some([-1, 0, 1, 2**40]), dtype="Int64"),
        }
    )


def taken(folder: Path, source: Source | pd.DataFrame, dataset: Dataset | None = None) -> Snapshot:
    source = FrameSource(source) if isinstance(source, pd.DataFrame) else source
    linkage = Linkage(on="who", version="1")
    return take(source, dataset or declared(), linkage, folder / "state", salt=bytes(32), now=NOW)


def step(
    *factors: ir.Factor, where: Predicate | None = None, dimensions: tuple[str, ...] = (), dataset: str = "visits"
) -> ir.Read:
    dims = tuple(ir.Dimension(ColumnRef(dataset, d), (*LEVELS[d], "(missing)")) for d in dimensions)
    return ir.Read(
        out="rows_a",
        party=PartyId("board"),
        dataset=dataset,
        columns=("who",),
        where=where,
        dimensions=dims,
        factors=factors,
        max_rows=10**6,
        rows_per_person=1000,
        truncate=False,
        per_person=False,
    )


MINUTES = ir.Factor(values=("minutes",), present=("minutes",))
COST = ir.Factor(values=("cost", "minutes"), present=("cost", "minutes"))


# -- what a run reads -------------------------------------------------------------------------------------------------

OPS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def truth(predicate: Predicate, row: dict[str, Any]) -> bool | None:
    """Three-valued logic, the slow way."""
    match predicate:
        case Compare(column, op, value):
            return None if row[column] is None else OPS[op](row[column], value)
        case In(column, values, negated):
            return None if row[column] is None else (row[column] in values) != negated
        case IsNull(column, negated):
            return (row[column] is None) != negated
        case Not(part):
            inner = truth(part, row)
            return None if inner is None else not inner
        case All(parts):
            known = [truth(p, row) for p in parts]
            return False if False in known else None if None in known else True
        case AnyOf(parts):
            known = [truth(p, row) for p in parts]
            return True if True in known else None if None in known else False


def plain(data: pd.DataFrame, where: Predicate | None) -> list[tuple[Any, ...]]:
    """(id, tenure code, band code, minutes, cost in pence) of the rows that pass, sorted by id and then the rest."""
    out = []
    for raw in data.to_dict("records"):
        row: dict[str, Any] = {str(k): None if pd.isna(v) else v for k, v in raw.items()}
        row["cost"] = None if row["cost"] is None else Fraction(round(row["cost"] * 100), 100)
        if row["who"] is None or (where is not None and truth(where, row) is not True):
            continue
        codes = [LEVELS[d].index(row[d]) if row[d] is not None else len(LEVELS[d]) for d in ("tenure", "band")]
        cost = None if row["cost"] is None else int(row["cost"] * 100)
        out.append((row["who"], *codes, row["minutes"], cost))
    return sorted(out, key=repr)


def rows_of(table: Table) -> list[tuple[Any, ...]]:
    out = []
    for i in range(table.rows):
        tenure, band = divmod(int(table.cell[i]), 3)
        values = [int(table.values[c][i]) if table.present[c][i] else None for c in ("minutes", "cost")]
        assert all(table.present[c][i] or table.values[c][i] == 0 for c in table.values)
        out.append((table.ids[i].tobytes().rstrip(b"\0").decode(), tenure, band, *values))
    return sorted(out, key=repr)


DAY = dt.date(2026, 1, 20)
PREDICATES: list[Predicate | None] = [
    None,
    Compare("day", ">=", DAY),
    Compare("tenure", "=", "rent"),
    Compare("tenure", "<>", "rent"),
    In("tenure", ("owner", "temporary")),
    In("ward", ("o'south", "?", '"'), negated=True),
    IsNull("band"),
    IsNull("minutes", negated=True),
    Compare("minutes", ">", 500),
    Compare("cost", "<=", Fraction(-1, 100)),
    Compare("cost", "=", Fraction(0)),
    In("cost", (Fraction(1, 2), Fraction(-12345, 100))),
    Compare("fee", "<", Fraction(3, 2)),
    Compare("n", "=", 2**40),
    Not(Compare("day", "<", DAY)),
    Not(In("n", (0, 1))),
    AnyOf((Compare("day", "<", DAY), IsNull("day"), Compare("ward", "=", "north"))),
    All((Compare("minutes", ">=", 10), Not(AnyOf((IsNull("tenure"), Compare("cost", ">", Fraction(50))))))),
    Compare("ward", "=", "'; DROP TABLE x; --"),
]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return frame(600, seed=3)


@pytest.fixture(scope="module")
def snapshot(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return taken(tmp_path_factory.mktemp("s"), data)


@pytest.mark.parametrize("where", PREDICATES, ids=str)
def test_what_is_read_is_what_a_plain_loop_finds(data: pd.DataFrame, snapshot: Snapshot, where: Predicate) -> None:
    table = read(snapshot, step(MINUTES, COST, where=where, dimensions=("tenure", "band")), declared())
    assert rows_of(table) == plain(data, where)


def test_where_on_the_person_id_works(data: pd.DataFrame, snapshot: Snapshot) -> None:
    where = In("who", ("p3", "p5"))
    table = read(snapshot, step(COST, where=where, dimensions=("tenure", "band")), declared())
    assert rows_of(table) == plain(data, where) != []


def test_a_person_is_a_block_of_rows_with_a_number_that_ascends(snapshot: Snapshot) -> None:
    table = read(snapshot, step(MINUTES, where=Compare("minutes", ">", 300)), declared())
    ids = [table.ids[i].tobytes() for i in range(table.rows)]
    assert ids == sorted(ids)
    same = [a == b for a, b in itertools.pairwise(ids)]
    assert same == [bool(s) for s in np.diff(table.person.astype(np.int64)) == 0]
    assert (np.diff(table.person.astype(np.int64)) >= 0).all()


def test_arrays_have_the_types_that_kernels_are_compiled_for(snapshot: Snapshot) -> None:
    table = read(snapshot, step(COST, dimensions=("band",)), declared())
    arrays = [table.ids, table.person, table.cell, *table.values.values(), *table.present.values()]
    assert [a.dtype.name for a in arrays] == ["uint8", "uint32", "uint32", "int64", "int64", "bool", "bool"]
    assert all(a.flags.c_contiguous and a.flags.writeable and len(a) == table.rows for a in arrays)
    assert not table.fixed and table.ids.shape[1] == snapshot.width == 4


def test_without_dimensions_there_is_one_cell_and_without_factors_no_values(snapshot: Snapshot) -> None:
    table = read(snapshot, step(ir.Factor()), declared())
    assert table.rows == snapshot.report.rows and not table.cell.any()
    assert (table.values, table.present) == ({}, {})


def test_presence_alone_reads_no_value(snapshot: Snapshot) -> None:
    table = read(snapshot, step(ir.Factor(present=("cost",))), declared())
    assert table.values == {} and 0 < table.present["cost"].sum() < table.rows


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row(tmp_path: Path, rows: int) -> None:
    one = frame(50).dropna().head(rows)
    table = read(taken(tmp_path, one), step(COST, dimensions=("tenure",)), declared())
    assert table.rows == rows and table.ids.shape[0] == rows


def test_a_table_that_where_leaves_empty(snapshot: Snapshot) -> None:
    table = read(snapshot, step(COST, where=Compare("day", ">", dt.date(2030, 1, 1))), declared())
    assert table.rows == 0 and table.ids.shape == (0, snapshot.width) and table.values["cost"].dtype == np.int64


def test_nhs_numbers_come_as_ten_digits(tmp_path: Path) -> None:
    numbers = [101011234, 9990000018, 9999999999]
    data = frame(3).assign(who=numbers)
    table = read(taken(tmp_path, data, declared("nhs-number")), step(MINUTES), declared("nhs-number"))
    assert table.fixed and [row.tobytes() for row in table.ids] == [b"%010d" % n for n in numbers]


def test_more_rows_than_one_arrow_batch(tmp_path: Path) -> None:
    rows = 1_100_000
    data = pa.table({"who": pa.array([f"p{i:07d}" for i in range(rows)]), "minutes": np.arange(rows) % 1000})
    columns = {k: v for k, v in declared().columns.items() if k in ("who", "minutes")}
    small = declared().model_copy(update={"columns": columns, "one_max_rows": rows})
    table = read(taken(tmp_path, FrameSource(data), small), step(MINUTES), small)
    assert table.person.tolist() == list(range(rows))
    assert (table.values["minutes"] == np.arange(rows) % 1000).all()
    assert table.ids[-1].tobytes() == b"p1099999"


@pytest.mark.parametrize("harm", ["byte", "cut", "gone", "other"])
def test_a_snapshot_that_is_not_what_was_committed_to_is_refused(tmp_path: Path, harm: str) -> None:
    kept = taken(tmp_path, frame(100))
    content = bytearray(kept.file.read_bytes())
    if harm == "byte":
        content[len(content) // 3] ^= 1
        kept.file.write_bytes(content)
    elif harm == "cut":
        kept.file.write_bytes(content[:-100])
    elif harm == "gone":
        kept.file.unlink()
    else:
        kept = dataclasses.replace(kept, file=taken(tmp_path, frame(99)).file)
    with pytest.raises(SourceError) as caught:
        read(kept, step(MINUTES), declared())
    assert caught.value.code == "source.snapshot"
    assert str(caught.value) == "source.snapshot: dataset visits: the snapshot is not the one that was committed to"


def test_a_table_prints_nothing_of_its_rows(snapshot: Snapshot) -> None:
    table = read(snapshot, step(MINUTES), declared())
    assert repr(table) == str(table) == "Table(***)"
    assert "p1" not in repr(FrameSource(frame(5)))


@pytest.mark.parametrize(
    ("value", "text"), [(Fraction(1, 2), "0.5"), (Fraction(-12345, 100), "-123.45"), (Fraction(7), "7")]
)
def test_fractions_become_exact_decimals(value: Fraction, text: str) -> None:
    assert parameter(value) == Decimal(text)


def test_a_fraction_without_a_finite_decimal_is_our_bug() -> None:
    with pytest.raises(ValueError, match="finite"):
        parameter(Fraction(1, 3))


# -- the engine -------------------------------------------------------------------------------------------------------

ATTACKS = [
    "SELECT * FROM read_csv('{other}')",
    "SELECT * FROM read_text('{other}')",
    "SELECT * FROM '{other}'",
    "SELECT * FROM glob('{folder}/*')",
    "COPY (SELECT 1) TO '{folder}/stolen.csv'",
    "ATTACH '{folder}/other.db'",
    "EXPORT DATABASE '{folder}/dump'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('https://example.org/a.csv')",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET allowed_directories = ['/']",
    "RESET allowed_paths",
    "SET threads = 1",
    "SELECT * FROM secret_frame",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("which", ["engine", "warm"])
def test_a_locked_engine_refuses(tmp_path: Path, attack: str, which: str) -> None:
    secret_frame = pd.DataFrame({"a": [1]})  # a view of our variables would find it
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    allowed, other = tmp_path / "in" / "mine.csv", tmp_path / "out" / "other.csv"
    for file in (allowed, other):
        file.write_text("a\n1\n")
    sql = attack.format(other=other, folder=other.parent)

    def attempt(connection: Any) -> None:
        assert connection.execute("SELECT * FROM read_csv(?)", [str(allowed)]).fetchall() == [(1,)]
        connection.execute(sql).fetchall()

    with pytest.raises(duckdb.Error):
        if which == "engine":
            with engine(allowed) as connection:
                attempt(connection)
        else:
            attempt(warm(allowed.parent).cursor())
    assert sorted(f.name for f in other.parent.iterdir()) == ["other.csv"]
    assert len(secret_frame) == 1


# -- columns of a source ----------------------------------------------------------------------------------------------


def two(**more: Column) -> Dataset:
    columns = {"who": Column(role="person id", scheme="text"), "n": Column(role="filter only", type="integer")} | more
    return declared().model_copy(update={"columns": columns})


def csv_file(folder: Path, content: bytes, name: str = "records.csv") -> FileSource:
    (folder / name).write_bytes(content)
    return FileSource(folder / name)


def parquet_file(folder: Path, table: pa.Table) -> FileSource:
    pq.write_table(table, folder / "records.parquet")
    return FileSource(folder / "records.parquet")


def kept_rows(snapshot: Snapshot) -> list[tuple[str, int | None]]:
    table = pq.read_table(snapshot.file)
    return [
        (i.rstrip(b"\0").decode(), n) for i, n in zip(table["id"].to_pylist(), table["c_n"].to_pylist(), strict=True)
    ]


GOOD_CSV = {
    "plain": b"who,n\na,1\nb,2\n",
    "crlf": b"who,n\r\na,1\r\nb,2\r\n",
    "no last line end": b"who,n\na,1\nb,2",
    "bom": b"\xef\xbb\xbfwho,n\na,1\nb,2\n",
    "bom and quotes": b'\xef\xbb\xbf"who","n"\n"a","1"\n"b","2"\n',
    "capitals and order": b"N,WHO\n1,a\n2,b\n",
    "more columns, some without a name or with one name": b'x,who,,x,n\n,a,,3,1\n"q,r",b,,"",2\n',
    "line ends in other values": b'who,note,n\na,"x\ny",1\nb,"x\r\n""y""",2\n',
    "blank lines": b"who,n\n\na,1\n\nb,2\n\n",
}


@pytest.mark.parametrize("content", GOOD_CSV.values(), ids=GOOD_CSV.keys())
def test_csv_files_that_are_read(tmp_path: Path, content: bytes) -> None:
    assert kept_rows(taken(tmp_path, csv_file(tmp_path, content), two())) == [("a", 1), ("b", 2)]


BAD_CSV = {
    "empty": (b"", "no header row"),
    "nul": (b"who,n\na,1\n\0,2\n", "line 3: there is a NUL byte"),
    "utf-16": ("who,n\na,1\n".encode("utf-16"), "NUL byte; is it UTF-16"),
    "latin-1 header": (b"who,n,\xe9\na,1,2\n", "not UTF-8"),
    "latin-1 value": (b"who,n\nCANARY\xe9,1\n", "line 2: the text is not UTF-8"),
    "too few values": (b"who,n\na,1\nCANARY\n", "line 3: the row has 1 values, the header has 2"),
    "too many values": (b"who,n\na,1\nCANARY,2,3\n", "line 3: the row has 3 values, the header has 2"),
    "quote without end": (b'who,n\na,1\n"CANARY,2\n', "line 3: a quoted value does not end"),
    "text after a quote": (b'who,n\n"CANARY"x,2\n', "line 2: a quoted value does not end"),
    "mixed line ends": (b"who,n\nCANARY,1\r\nb,2\nc,3\r\n", "line ends or quotes are mixed"),
    "quoted header without end": (b'who,"n\na,1\n', "line 1: the header"),
    "endless line": (b"who,n\na," + b"1" * 3_000_000 + b"\n", "longer than 2 MB"),
}


@pytest.mark.parametrize(("content", "why"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_csv_files_that_are_refused_with_their_line_and_without_their_values(
    tmp_path: Path, content: bytes, why: str
) -> None:
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, csv_file(tmp_path, content), two())
    error = caught.value
    assert error.code == "source.unreadable" and len(error.local) == 1
    assert error.local[0].startswith("records.csv: ") and why in error.local[0]
    assert "CANARY" not in str(error) + error.local[0] + repr(error.__cause__) + repr(error.fields)


def test_names_of_files_are_never_patterns_or_sql(tmp_path: Path) -> None:
    odd = csv_file(tmp_path, b"who,n\na,1\n", name="re'co\"rds; \\x -- é.csv")
    assert kept_rows(taken(tmp_path, odd, two())) == [("a", 1)]
    for name in ("a*.csv", "a?.csv", "[a].csv"):
        with pytest.raises(SourceError) as caught:
            taken(tmp_path, csv_file(tmp_path, b"who,n\na,1\n", name=name), two())
        assert caught.value.code == "source.unreadable" and "rename" in caught.value.local[0]


def test_a_column_is_renamed_by_the_holder(tmp_path: Path) -> None:
    plain_file = csv_file(tmp_path, b"CHI number,n,who\na,1,x\n")
    source = dataclasses.replace(plain_file, columns={"who": "chi NUMBER"})
    assert kept_rows(taken(tmp_path, source, two())) == [("a", 1)]
    renamed = FrameSource(pd.DataFrame({"CHI number": ["a"], "n": [1]}), columns={"who": "CHI number"})
    assert kept_rows(taken(tmp_path, renamed, two())) == [("a", 1)]


def test_exact_capitals_win_over_others(tmp_path: Path) -> None:
    assert kept_rows(taken(tmp_path, csv_file(tmp_path, b"WHO,who,n\nx,a,1\n"), two())) == [("a", 1)]


@pytest.mark.parametrize("form", ["csv", "parquet", "frame"])
def test_a_missing_and_an_ambiguous_column_are_named(tmp_path: Path, form: str) -> None:
    def source(*names: str) -> Source:
        table = pa.table([pa.array(["1"])] * len(names), names=list(names))
        if form == "csv":
            return csv_file(tmp_path, (",".join(names) + "\n" + ",".join("1" * len(names)) + "\n").encode())
        return parquet_file(tmp_path, table) if form == "parquet" else FrameSource(table)

    for names, code in ((("who", "m"), "source.column"), (("who", "N", "No", "N"), "source.column-twice")):
        with pytest.raises(SourceError) as caught:
            taken(tmp_path, source(*names), two())
        assert (caught.value.code, caught.value.fields["column"]) == (code, "n")


def test_parquet_of_many_types(tmp_path: Path) -> None:
    for ids in (pa.array(["a", "b"]), pa.array([b"a", b"b"]), pa.array(["a", "b"]).dictionary_encode()):
        for numbers in (pa.array([1, 2], pa.uint64()), pa.array([1.0, 2.0]), pa.array(["1", "2"])):
            source = parquet_file(tmp_path, pa.table({"WHO": ids, "n": numbers, "file_row_number": [[1], [2]]}))
            assert kept_rows(taken(tmp_path, source, two())) == [("a", 1), ("b", 2)]


def test_parquet_ids_may_be_integers(tmp_path: Path) -> None:
    source = parquet_file(tmp_path, pa.table({"who": [10, 9], "n": [1, 2]}))
    assert kept_rows(taken(tmp_path, source, two())) == [("10", 1), ("9", 2)]


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not parquet at all, but long enough to look at", b"PAR1" + b"x" * 99]
)
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, FileSource(tmp_path / "x.parquet"), two())
    assert caught.value.code == "source.unreadable"


def test_nested_columns_are_refused_by_name(tmp_path: Path) -> None:
    source = parquet_file(tmp_path, pa.table({"who": ["a"], "n": [[1]]}))
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, source, two())
    assert (caught.value.code, caught.value.fields["column"]) == ("source.type", "n")


def test_a_frame_with_a_column_of_several_types_is_refused_without_its_values(tmp_path: Path) -> None:
    data = pd.DataFrame({"who": ["a", 12345, object()], "n": [1, 2, 3]})
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, data, two())
    assert (caught.value.code, caught.value.fields["column"]) == ("source.type", "who")
    assert "12345" not in str(caught.value.local) and caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.parquet", "nowhere.xlsx", ""])
def test_a_file_that_is_not_there_or_of_no_known_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, FileSource(tmp_path / name), two())
    assert caught.value.code == "source.unreadable"


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        taken(tmp_path, FrameSource({"who": ["a"]}), two())
    assert "dict" in caught.value.local[0]


def test_a_stated_format_wins_over_the_name(tmp_path: Path) -> None:
    plain_file = csv_file(tmp_path, b"who,n\na,1\n", name="records.txt")
    assert kept_rows(taken(tmp_path, dataclasses.replace(plain_file, format="csv"), two())) == [("a", 1)]


def test_columns_of_the_specification_may_have_the_names_of_the_snapshot_s_own(tmp_path: Path) -> None:
    level = Column(role="dimension", type="category", levels=("x", "y"))
    number = Column(role="measure", type="integer", min=0, max=9)
    names = {"person": level, "d_person": number, "m_d_person": Column(role="filter only", type="text"), "row": level}
    dataset = declared().model_copy(update={"columns": {"id": Column(role="person id", scheme="text")} | names})
    data = pd.DataFrame({"id": ["b", "a"], "person": ["x", "y"], "d_person": [1, 2], "m_d_person": ["u", "v"]})
    kept = taken(tmp_path, data.assign(row=["y", None]), dataset)
    where = All((Compare("m_d_person", "<>", "u"), Compare("person", "=", "y"), Compare("d_person", ">", 0)))
    person = ir.Dimension(ColumnRef("visits", "person"), ("x", "y", "(missing)"))
    what = dataclasses.replace(step(ir.Factor(("d_person",), ("d_person",)), where=where), dimensions=(person,))
    table = read(kept, what, dataset)
    assert (table.ids.tobytes(), table.cell.tolist(), table.values["d_person"].tolist()) == (b"a", [1], [2])
