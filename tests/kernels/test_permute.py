"""Permutations: the slow twin, every back end, and uniformity."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from pets.kernels import aes, permute, prf
from pets.secret import Secret

KNOWN = [3, 2, 9, 6, 8, 7, 4, 5, 1, 0]
KNOWN_DIGEST = "4719b554373d9a0045228ac332276a4d57b32b91044abc6dba7d1047f4704fdd"
"""Under key 00 01 ... 0f: the permutation of 10, and SHA-256 of that of 100,000 as little-endian words."""


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)


def key(number: int) -> Secret[bytes]:
    return Secret(hashlib.sha256(number.to_bytes(8, "big")).digest()[:16])


def slow_twin(secret: Secret[bytes], length: int) -> list[int]:
    """The text of `permutation`, word for word."""
    byte_words = (length + 7) // 8
    words = prf.words(secret, byte_words + length + 64)
    byte = words.view(np.uint8)
    halves = iter(words[byte_words:].view(np.uint32).tolist())
    result: list[int] = []
    for bucket in range(256):
        entries = [i for i in range(length) if byte[i] == bucket]
        for e in range(len(entries) - 1, 0, -1):
            low = -1
            while low < 2**32 % (e + 1):
                high, low = divmod((e + 1) * next(halves), 2**32)
            entries[e], entries[high] = entries[high], entries[e]
        result += entries
    return result


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("length", [0, 1, 2, 3, 8, 9, 255, 256, 257, 4001])
def test_equals_the_slow_twin(backend: str, length: int) -> None:
    aes.select(backend)
    for number in range(3):
        assert permute.permutation(key(number), length).tolist() == slow_twin(key(number), length)


@pytest.mark.parametrize("length", [0, 1, 2, 9, 256, 4001, 100_000])
def test_two_steps_make_the_same_permutation(length: int) -> None:
    """First to buckets, in order; then each place takes from its own bucket."""
    buckets, starts, order = permute.in_two_steps(key(3), length)
    thrown = np.argsort(buckets, kind="stable")
    assert np.array_equal(thrown[order], permute.permutation(key(3), length))
    bucket_of_place = np.repeat(np.arange(256), np.diff(starts.astype(np.int64)))
    assert np.array_equal(bucket_of_place, bucket_of_place[order]), "no place takes from another bucket"
    assert np.array_equal(bucket_of_place, np.sort(buckets))


def test_backends_agree_over_many_tiles() -> None:
    results = []
    for backend in aes.features():
        aes.select(backend)
        results.append(permute.permutation(key(1), 300_007).tobytes())
    assert len(set(results)) == 1
    drawn = np.frombuffer(results[0], np.uint32)
    assert np.array_equal(np.sort(drawn), np.arange(300_007))


def test_known_answer() -> None:
    """Fixes the bytes: two parties of different releases must draw the same permutation."""
    drawn = permute.permutation(Secret(bytes(range(16))), 10)
    assert drawn.dtype == np.uint32
    assert drawn.tolist() == slow_twin(Secret(bytes(range(16))), 10) == KNOWN
    digest = hashlib.sha256(permute.permutation(Secret(bytes(range(16))), 100_000).astype("<u4").tobytes())
    assert digest.hexdigest() == KNOWN_DIGEST


def test_rejected_halves_are_skipped() -> None:
    """With bounds near 2**32 every second draw is rejected; the kernel must go on from the next half word."""
    rng = np.random.default_rng(4)
    halves = rng.integers(0, 2**32, 64, dtype=np.uint32)
    halves[0] = 0  # low half 0 is below 2**32 mod 3: rejected
    starts = np.full(257, 3, np.uint64)
    starts[0] = 0
    state = np.zeros(2, np.uint64)
    out = np.array([10, 11, 12], np.uint32)
    permute._shuffle(halves, starts, state, out)
    expected = [10, 11, 12]
    other = int(halves[1]) * 3 >> 32
    expected[2], expected[other] = expected[other], expected[2]
    other = int(halves[2]) * 2 >> 32
    expected[1], expected[other] = expected[other], expected[1]
    assert out.tolist() == expected
    assert state[0] == 256


def test_shuffle_goes_on_where_the_half_words_ended() -> None:
    rng = np.random.default_rng(5)
    halves = rng.integers(0, 2**32, 5000, dtype=np.uint32)
    starts = np.sort(rng.integers(0, 2000, 257, dtype=np.uint64))
    starts[0], starts[-1] = 0, 2000
    whole = np.arange(2000, dtype=np.uint32)
    permute._shuffle(halves, starts, np.zeros(2, np.uint64), whole)
    pieces = np.arange(2000, dtype=np.uint32)
    state = np.zeros(2, np.uint64)
    for at in range(0, halves.size, 7):
        permute._shuffle(halves[at : at + 7], starts, state, pieces)
    assert state[0] == 256
    assert np.array_equal(whole, pieces)


def all_orders(samples: int, length: int) -> float:
    """p-value of all `length`! orders being equally likely."""
    seen = Counter(tuple(permute.permutation(key(number), length).tolist()) for number in range(samples))
    counts = [seen[order] for order in permutations(range(length))]
    assert sum(counts) == samples
    return float(stats.chisquare(counts).pvalue)


def places(samples: int, length: int) -> float:
    """p-value of every index being equally likely at every place."""
    table = np.zeros((length, length))
    for number in range(samples):
        table[np.arange(length), permute.permutation(key(number), length)] += 1
    expected = samples / length
    statistic = float(((table - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic * (length - 1) / length, (length - 1) ** 2))


def test_orders_are_uniform() -> None:
    assert all_orders(4800, 4) > 1e-6


def test_places_are_uniform() -> None:
    assert places(3000, 30) > 1e-6


@pytest.mark.long
def test_orders_are_uniform_over_many_keys() -> None:
    assert all_orders(200 * math.factorial(6), 6) > 1e-6


@pytest.mark.long
def test_places_are_uniform_over_many_keys() -> None:
    assert places(50_000, 300) > 1e-6


@pytest.mark.long
def test_cycles_of_a_large_permutation_are_as_many_as_expected() -> None:
    """The mean number of cycles is the harmonic number, 14.5 for 10**6; its variance is about 12.8."""
    total = 0
    for number in range(60):
        step = permute.permutation(key(number), 1_000_000)
        seen = np.zeros(step.size, bool)
        for start in range(step.size):
            if not seen[start]:
                total += 1
                at = start
                while not seen[at]:
                    seen[at] = True
                    at = int(step[at])
    assert abs(total / 60 - 14.39) < 6 * (12.8 / 60) ** 0.5


@pytest.mark.parametrize("length", [-1, 2**32])
def test_impossible_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="2\\*\\*32"):
        permute.permutation(key(0), length)
