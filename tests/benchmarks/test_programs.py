"""The benchmark of programs: its sources are within the language, and what it finds is the plain result."""

import pytest

from benchmarks import programs
from pets.spec.mpyc_source import check_source


@pytest.mark.parametrize("name", programs.SOURCES)
def test_its_programs_are_within_the_language(name: str) -> None:
    assert programs.terms_of(name, 3).source == check_source(programs.SOURCES[name].encode()).sha256


def test_plain_results_are_those_of_the_three_together() -> None:
    assert programs.plain("sum", 1) == [0 + 7 + 14, 0]
    assert programs.plain("quantile", 1) == [7]


@pytest.mark.long
def test_a_measurement_is_right_and_sends_what_was_counted() -> None:
    case = programs.measure("sum", 2, runs=1)
    assert case.more["right"] and case.bytes == case.more["counted_bytes"] and case.ratio is not None
