"""The benchmark of vectors and tables finds what both have, or says so by its exit code."""

import numpy as np
import pytest

from benchmarks import vole as bench
from pets.kernels import binned, vole
from pets.kernels.blkacc import Code


def play(count: int, common: int) -> dict[str, float]:
    size, step = binned.Size(count), bench.Steps()
    keys = np.arange(2 * (2 * count - common), dtype=np.uint64).reshape(-1, 2)
    bench.play(step, Code(vole.Shape(size.slots).width), size, keys, common)
    return step.seconds


@pytest.mark.parametrize(("count", "common"), [(1, 1), (300, 40), (300, 300)])
def test_what_is_measured_is_an_intersection(count: int, common: int) -> None:
    seconds = play(count, common)
    assert len(seconds) == 13
    assert 0 < bench.core(seconds) < sum(seconds.values())


def test_a_wrong_result_is_not_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vole.noise
    monkeypatch.setattr(vole, "noise", lambda *a: right(*a) ^ np.uint64(1))
    with pytest.raises(SystemExit):
        play(300, 40)
