"""What the benchmark of many holders feeds the servers, and what it holds their table against; no server is started."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import many
from pets.plan.review import review
from pets.spec.parse import parse_toml


def test_its_specification_is_accepted_with_all_holders() -> None:
    for release in (many.CONTROL, many.join.NOISE):
        reviewed = review(parse_toml(many.spec_toml(100_003, release=release))).require()
        assert reviewed.plan.join.card == "shared_join"
        assert [len(table.parties) for table in reviewed.spec.datasets] == [14, 32]
        assert [table.max_rows for table in reviewed.spec.datasets] == [100_003, 100_003]
        assert reviewed.spec.computing == many.COMPUTING


def test_parts_are_of_the_declared_sizes_and_people_are_at_several_holders(tmp_path: Path) -> None:
    files = many.make_records(tmp_path, 1000, 3, 4)
    assert list(files) == [f"board-{n:02}/a" for n in (1, 2, 3)] + [f"council-{n:02}/b" for n in (1, 2, 3, 4)]
    held = {key: pq.read_table(file)["nhs_number"].to_pylist() for key, file in files.items()}
    assert [len(ids) for ids in held.values()] == [*many.parts_of(1000, 3), *many.parts_of(1000, 4)]
    assert all(len(set(ids)) == len(ids) for ids in held.values()), "a row a person and holder"
    sides = [Counter(one for key, ids in held.items() if key.endswith(table) for one in ids) for table in "ab"]
    assert all(max(counts.values()) > 1 for counts in sides)
    assert 0.2 < len(sides[0].keys() & sides[1].keys()) / len(sides[0]) < 0.8


def test_the_peer_s_table_is_the_union_of_all_parts(tmp_path: Path) -> None:
    files = many.make_records(tmp_path, 400, 3, 4)
    found = many.in_the_clear(files)()
    rows: dict[str, list[tuple[str, int]]] = {}
    amounts: dict[str, list[int]] = {}
    for key, file in files.items():
        if key.endswith("/b"):
            for one in pq.read_table(file).to_pylist():
                amounts.setdefault(one["nhs_number"], []).append(one["amount"])
    for key, file in files.items():
        if key.endswith("/a"):
            for one in pq.read_table(file).to_pylist():
                pairs = [(one["nhs_number"], amount) for amount in amounts.get(one["nhs_number"], [])]
                rows.setdefault(one["area"], []).extend(pairs)
    expected = {
        area: (len(pairs), len({person for person, _ in pairs}), sum(amount for _, amount in pairs))
        for area, pairs in rows.items()
        if pairs
    }
    assert found == expected


class Released:
    """A table as ``check`` reads it."""

    def __init__(self, rows: dict[str, tuple[int | None, int | None, int | None]]) -> None:
        self.rows = rows

    def to_pandas(self) -> object:
        import pandas as pd

        records = [{"area": area, "n": n, "people": p, "amount": s} for area, (n, p, s) in self.rows.items()]
        return pd.DataFrame(records).astype({"n": "Int64", "people": "Int64", "amount": "Int64"})


def test_a_wrong_number_ends_the_benchmark() -> None:
    true = {"area 00": (30, 20, 900), "area 01": (12, 9, 70)}
    many.check(Released({"area 00": (30, 20, 900), "area 01": (None, None, None)}), true, noise=False)  # type: ignore[arg-type]
    for wrong in ((30, 20, 901), (30, 19, 900), (None, None, None)):
        with pytest.raises(SystemExit, match="area 00"):
            many.check(Released({"area 00": wrong}), true, noise=False)  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match="area 01"):
        many.check(Released({"area 01": (12, 9, 70)}), true, noise=False)  # type: ignore[arg-type]
