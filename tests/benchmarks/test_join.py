"""What the join benchmark feeds the servers, and the form of what it prints; no server is started here."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import join
from benchmarks.common import Case
from pets.plan.review import review
from pets.spec.parse import parse_toml


def test_made_up_numbers_are_distinct_and_have_valid_check_digits() -> None:
    numbers = join.made_up_numbers(50_000)
    assert numbers.size == np.unique(numbers).size == 50_000
    assert numbers.min() >= 0 and numbers.max() < 10**10
    for number in numbers[:500].tolist():
        digits = [int(digit) for digit in f"{number:010}"]
        weighed = sum(digit * (10 - place) for place, digit in enumerate(digits[:9]))
        assert (11 - weighed % 11) % 11 == digits[9]


def test_records_overlap_by_sixty_percent_and_have_a_row_a_person(tmp_path: Path) -> None:
    first, second = (pq.read_table(file) for file in join.make_records(tmp_path, 1000))
    a, b = (set(table["nhs_number"].to_pylist()) for table in (first, second))
    assert (len(a), len(b), len(a & b)) == (1000, 1000, 600)
    assert {len(number) for number in a | b} == {10}
    assert len(set(first["area"].to_pylist())) == join.GROUPS


def test_its_specification_is_accepted_and_has_no_product() -> None:
    reviewed = review(parse_toml(join.spec_toml(1_000_000))).require()
    assert reviewed.forecast.rounds == 5
    assert {m.label for m in reviewed.forecast.messages if not m.size} == {"Me", "Mw", "Mf", "Mr", "M6c", "Mk"}
    other = review(parse_toml(join.spec_toml(1_000_000, mode="b"))).require()
    assert other.plan.join.card == "helper_join_b"
    assert {m.label for m in other.forecast.messages if not m.size} == {"Mr", "M6c", "Mk"}


def test_a_case_is_printed_with_the_names_that_every_benchmark_has() -> None:
    case = Case("join", 10, [3.0, 1.0, 2.0], 5, 4, 7, {"a M1": 0.5}, {"other": 1.0}, {"more": 1})
    told = case.to_json()
    names = ["name", "size", "seconds", "bytes", "rounds", "peak_rss_mb", "steps", "peers", "ratio"]
    assert list(told)[: len(names)] == names
    assert (told["seconds"], told["ratio"], told["more"]) == (2.0, 0.5, 1)
