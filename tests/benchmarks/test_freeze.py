"""The benchmark of freezing measures what it says: as many rows as were made, and of a month those of the month."""

from pathlib import Path

import pytest

from benchmarks import freeze

ROWS = 3_000
OF_DECEMBER = sum(i * 17 % 365 >= 334 for i in range(1, ROWS + 1))
"""Of days 17, 34, ... of the year, those from its 335th on."""


@pytest.mark.parametrize("kind", ["parquet", "csv", "postgres"])
def test_what_is_measured_is_done(tmp_path: Path, kind: str) -> None:
    month = freeze.WHERE[", one month"]
    with freeze.made(kind, ROWS, tmp_path) as source:
        taken = {name: freeze.freeze(source, ROWS, tmp_path / "state", where) for name, where in freeze.WHERE.items()}
        assert taken[""]["rows"] == ROWS
        assert taken[", one month"]["rows"] == (OF_DECEMBER if kind == "postgres" else ROWS)
        for found in taken.values():
            assert freeze.load(found["taken"], ROWS, month)["rows"] == OF_DECEMBER
        assert freeze.aggregate(taken[""]["taken"], ROWS, None)["rows"] == ROWS
