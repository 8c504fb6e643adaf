"""The benchmark of the group compares bytes, and says which provider it timed; no time is asserted."""

import numpy as np
import pytest

from benchmarks import curve as benchmark
from pets.kernels import curve


def test_both_cases_are_measured_beside_libsodium() -> None:
    cases = benchmark.cases(20)
    assert [case.name for case in cases] == ["multiply", "hash"]
    for case in cases:
        told = case.to_json()
        assert told["provider"] == curve.features()[0] == curve.selected()
        assert list(told["peers"]) == [curve.LIBSODIUM] and told["per_second"] > 0


def test_other_bytes_end_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work gives other bytes each time."""
    count = iter(range(1000))
    with pytest.raises(SystemExit, match="different bytes"):
        benchmark.compared("wrong", 1, lambda: np.full((1, 32), next(count), np.uint8), steps=dict)
