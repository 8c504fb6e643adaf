"""What the benchmark of star joins feeds the servers, and that it tells a wrong table from a right one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from benchmarks import join, star
from pets.plan.review import review
from pets.spec.parse import parse_toml


@pytest.mark.parametrize("tables", [3, 8])
@pytest.mark.parametrize("release", [join.NOISE, join.CONTROL])
def test_its_specification_is_accepted(tables: int, release: str) -> None:
    reviewed = review(parse_toml(star.spec_toml(1_000, tables, release))).require()
    assert reviewed.plan.join.card == "star_join" and len(reviewed.plan.join.beside) == tables - 2


def test_each_table_has_sixty_percent_of_the_first_in_it(tmp_path: Path) -> None:
    files = star.make_records(tmp_path, 1_000, 4)
    held = {name: set(duckdb.read_parquet(str(file)).df()["nhs_number"]) for name, file in files.items()}
    assert {name: len(ids) for name, ids in held.items()} == dict.fromkeys("abcd", 1_000)
    assert {len(held["a"] & held[name]) for name in "bcd"} == {600}
    assert 0 < len(held["a"] & held["b"] & held["c"]) < 600, "each has others of them"


def test_a_wrong_table_ends_it() -> None:
    expected = {"area 00": (52, 1_000, 2_000)}

    def of(people: float, first: float, second: float) -> Any:
        frame = pd.DataFrame({"area": ["area 00"], "people": [people], "of_b": [first], "of_c": [second]})
        return SimpleNamespace(to_pandas=lambda: frame)

    star.check(of(50, 1_000, 2_000), expected, exact=True)
    star.check(of(60, 1_300, 1_900), expected, exact=False)
    for wrong, exact in ((of(52, 1_000, 2_000), True), (of(50, 1_001, 2_000), True), (of(52 + 400, 0, 0), False)):
        with pytest.raises(SystemExit):
            star.check(wrong, expected, exact=exact)
