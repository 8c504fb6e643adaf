"""Sums of many streams: every back end gives what adding them up one by one gives."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from pets.kernels import aes, prf, summing
from pets.secret import Secret
from tests.oracles.play import words


@pytest.fixture(autouse=True)
def fastest_again() -> Iterator[None]:
    yield
    aes.select(aes.features()[0])


def keys_of(count: int) -> list[Secret[bytes]]:
    return [Secret(number.to_bytes(16, "big")) for number in range(count)]


SIZES = [0, 1, 2, 31, 32, 33, 511, 512, 513, 2047, 2048, 2049, 5003]


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 1, 3, summing.BATCH, summing.BATCH + 1])
def test_streams_are_added_and_taken_off(backend: str, size: int, count: int) -> None:
    aes.select(backend)
    start, keys = words(size, size), keys_of(count)
    expected = start + sum((prf.words(key, size) for key in keys), np.zeros(size, np.uint64))
    total = start.copy()
    summing.add_streams(keys, total)
    assert np.array_equal(total, expected)
    summing.sub_streams(iter(keys), total)
    assert np.array_equal(total, start)


@pytest.mark.parametrize(
    "total",
    [np.zeros(4, np.int64), np.zeros((2, 2), np.uint64), np.zeros(8, np.uint64)[::2], np.zeros(4, np.uint32)],
    ids=["signed", "two dimensions", "strided", "half words"],
)
def test_a_wrong_total_is_refused(total: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        summing.add_streams([], total)


def test_a_read_only_total_is_refused() -> None:
    total = np.zeros(4, np.uint64)
    total.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        summing.add_streams(keys_of(1), total)


@pytest.mark.parametrize("backend", aes.features())
def test_memory_does_not_grow_with_the_number_of_keys(backend: str) -> None:
    aes.select(backend)
    total = np.zeros(1 << 15, np.uint64)
    summing.add_streams(keys_of(1), total)
    peaks = []
    for count in (10, 1000):
        tracemalloc.start()
        summing.add_streams((Secret(number.to_bytes(16, "big")) for number in range(count)), total)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 500_000, peaks


def test_the_back_end_may_not_change_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aes, "expanded", lambda key: None)
    if aes.selected() != aes.PORTABLE:
        with pytest.raises(ValueError, match="back end"):
            summing.add_streams(keys_of(1), np.zeros(4, np.uint64))
