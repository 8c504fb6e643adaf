"""The code of silent VOLE: against its matrix, and what its factors are there for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pets.kernels import aes, blkacc, gf128
from tests.oracles import blkacc as twin


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)
    gf128.select(gf128.PORTABLE)


def some(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)


def noise(seed: int, width: int, blocks: int) -> tuple[np.ndarray, list[int]]:
    """A value that is not 0 in each of so many blocks, and where."""
    rng = np.random.default_rng(seed)
    size = 2 * width // blocks
    places = [block * size + int(rng.integers(size)) for block in range(blocks)]
    values = np.zeros((2 * width, 2), np.uint64)
    values[places] = some(seed, blocks)
    return values, places


def unit_matrix(code: blkacc.Code) -> np.ndarray:
    """The matrix of a code without factors, from its effect on ones: 128 columns at a time, one a bit."""
    out = np.zeros((code.width, 2 * code.width, 2), np.uint64)
    for first in range(0, 2 * code.width, 128):
        ones = np.zeros((2 * code.width, 2), np.uint64)
        for bit in range(128):
            ones[first + bit, bit // 64] = np.uint64(1) << np.uint64(bit % 64)
        words = code.encode(ones)
        for bit in range(128):
            out[:, first + bit, 0] = words[:, bit // 64] >> np.uint64(bit % 64) & np.uint64(1)
    return out


@pytest.fixture
def no_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = blkacc._round_kernel

    def plain(how: Any, first: int, source: Any, order: Any, factors: Any, *more: Any) -> None:
        factors[0::2], factors[1::2] = 1, 0
        right(how, first, source, order, factors, *more)

    monkeypatch.setattr(blkacc, "_round_kernel", plain)


@pytest.mark.parametrize("width", [32, 96, 160])
def test_a_code_is_its_matrix(width: int) -> None:
    values, matrix = some(width, 2 * width), twin.matrix(width)
    assert np.array_equal(blkacc.Code(width).encode(values.copy()), twin.encoded(matrix, values))
    assert matrix[:, : width // 2].any(axis=2).mean() > 0.9, "nearly no coefficient is 0"


@pytest.mark.parametrize("width", [32, 1024, 20_000 // 32 * 32])
def test_a_code_is_linear(width: int) -> None:
    code, x, y, factor = blkacc.Code(width), some(1, 2 * width), some(2, 2 * width), some(3, 1)
    assert code.encode(x.copy()).shape == (width, 2)
    both = code.encode(x ^ gf128.multiply(y, factor))
    assert np.array_equal(both, code.encode(x.copy()) ^ gf128.multiply(code.encode(y.copy()), factor))
    assert not code.encode(np.zeros((2 * width, 2), np.uint64)).any()


def test_all_back_ends_give_the_same_bytes_over_many_tiles() -> None:
    width = 3 * blkacc._TILE // 2 + 96
    values = some(5, 2 * width)
    expected = blkacc.Code(width).encode(values.copy())
    for cipher, field in zip(aes.features(), gf128.features(), strict=False):
        aes.select(cipher)
        gf128.select(field)
        assert np.array_equal(blkacc.Code(width).encode(values.copy()), expected)


def test_codes_of_two_widths_share_nothing() -> None:
    assert not np.array_equal(twin.matrix(32)[:32, :32], twin.matrix(64)[:32, :32])


def test_without_factors_all_noise_is_found_by_linear_algebra(no_factors: None) -> None:
    """A code of zeros and ones, values of 128 bits, 128 blocks: what protocols.md 5.4 says hides nothing."""
    code = blkacc.Code(1024)
    values, places = noise(7, 1024, 128)
    values[places[120:]] = 0  # the bits of 120 values are independent as good as always, those of 128 in 29 of 100 runs
    outputs = code.encode(values)
    assert len(twin.relations(outputs)) == 1024 - 120
    found = twin.found_without_factors(outputs, unit_matrix(code))
    assert found >= set(places[:120])
    assert len(found) < 130


def test_with_factors_the_same_finds_nothing() -> None:
    code = blkacc.Code(160)
    values, _ = noise(7, 160, 40)
    outputs = code.encode(values)
    assert len(twin.relations(outputs)) == 160 - 128, "bits of 40 noises span all 128"
    assert not twin.found_without_factors(outputs, twin.matrix(160))


@pytest.mark.parametrize("width", [0, 31, 33, -32, blkacc.MAX_WIDTH + 32])
def test_wrong_widths_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="blocks of 32"):
        blkacc.Code(width)


@pytest.mark.parametrize(
    "values", [np.zeros((63, 2), np.uint64), np.zeros((64, 2), np.int64), np.zeros((128, 2), np.uint64)[::2]]
)
def test_wrong_values_are_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="twice as many"):
        blkacc.Code(32).encode(values)
