"""Tables of elements in bins: against the slow twin, with keys put aside, and where no table can be written."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pets.kernels import aes, binned, gf128
from pets.kernels.okvs import Unsolvable
from pets.kernels.prf import Stream
from pets.secret import Secret
from tests.oracles import binned as twin
from tests.oracles.gf128 import numbers


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)
    gf128.select(gf128.PORTABLE)


@pytest.fixture
def small_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binned, "BIN", 1 << 10)


def some(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)


def fill(seed: int = 0) -> Stream:
    return Stream(Secret(seed.to_bytes(16, "big")))


def planted(count: int, pairs: int, *, alike: int = 2) -> np.ndarray:
    """Hashes of which ``pairs`` times ``alike`` have the same three slots, and differ in bits beyond."""
    hashes = some(count + pairs, count)
    for pair in range(pairs):
        rows = np.arange(alike) * pairs + pair
        hashes[rows, 0] = hashes[rows[0], 0]
        hashes[rows, 1] = hashes[rows, 1] & ~np.uint64(255) | hashes[rows[0], 1] & np.uint64(255)
    return hashes


@pytest.mark.parametrize("count", [1, 2, 3, 50, 700])
def test_reading_is_that_of_the_slow_twin(count: int) -> None:
    size, hashes = binned.Size(count), some(count, 30)
    table = some(7, size.slots)
    slots = numbers(table)
    expected = [twin.read(slots, hashed, size.bins, size.third) for hashed in numbers(hashes)]
    assert numbers(binned.read(table, hashes, size)) == expected


def test_reading_in_bins_is_that_of_the_slow_twin(small_bins: None) -> None:
    size, hashes = binned.Size(5000), some(5, 200)
    assert size.bins == 5
    table = some(7, size.slots)
    slots = numbers(table)
    expected = [twin.read(slots, hashed, size.bins, size.third) for hashed in numbers(hashes)]
    assert numbers(binned.read(table, hashes, size)) == expected


@pytest.mark.parametrize("count", [1, 2, 5, 63, 64, 65, 1000, 2**14 - 1, 2**14, 2**14 + 1, 2**16 + 1])
def test_every_key_reads_its_element(count: int) -> None:
    size, hashes, elements = binned.Size(count), some(count, count), some(1, count)
    table = binned.write(hashes, elements, size, fill())
    assert table.shape == (size.slots, 2)
    assert np.array_equal(binned.read(table, hashes, size), elements)


def test_many_bins_of_unequal_numbers_of_keys(small_bins: None) -> None:
    size, hashes, elements = binned.Size(33_333), some(4, 33_333), some(1, 33_333)
    assert size.bins == 33
    table = binned.write(hashes, elements, size, fill())
    assert np.array_equal(binned.read(table, hashes, size), elements)


@pytest.mark.parametrize("bins", [1, 5])
@pytest.mark.parametrize(("pairs", "alike"), [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (1, 3), (2, 3), (1, 5)])
def test_keys_put_aside_are_solved_by_the_dense_slots(
    pairs: int, alike: int, bins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binned, "BIN", 1000 // bins)
    hashes, elements, size = planted(1000, pairs, alike=alike), some(1, 1000), binned.Size(1000)
    aside = binned._Bins(hashes, elements, size).put
    assert aside.sum() == pairs * (alike - 1)
    table = binned.write(hashes, elements, size, fill(3))
    assert np.array_equal(binned.read(table, hashes, size), elements)


def test_what_cannot_be_written_ends_and_is_not_tried_again(small_bins: None) -> None:
    same = some(1, 100)
    same[40] = same[50]
    crowded = some(1, 5000)
    crowded[:, 0] >>= np.uint64(2)  # the first two of five bins
    for hashes, why in (
        (same, "no solution"),
        (planted(100, 5), "left aside"),
        (planted(100, 1, alike=6), "left aside"),
        (crowded, "more keys than"),
    ):
        with pytest.raises(Unsolvable, match=why):
            binned.write(hashes, some(2, len(hashes)), binned.Size(len(hashes)), fill())


def test_equal_keys_are_refused_whatever_they_are_to_read() -> None:
    keys = some(1, 100)
    keys[7] = keys[93]
    hashes = binned.hashed(keys, Secret(bytes(16)))
    with pytest.raises(Unsolvable):
        binned.write(hashes, np.zeros((100, 2), np.uint64), binned.Size(100), fill())


def test_a_mask_times_a_number_reads_as_the_protocol_needs_it() -> None:
    """K = B + A delta with A = P + A': a key of P reads delta times its element, plus what C' = A' delta + B reads."""
    size, hashes, elements, delta = binned.Size(3000), some(1, 3000), some(2, 3000), some(3, 1)
    table = binned.write(hashes, elements, size, fill())
    mask, other = some(4, size.slots), some(5, size.slots)
    key = other ^ gf128.multiply(table ^ mask, delta)
    expected = binned.read(other ^ gf128.multiply(mask, delta), hashes, size)
    assert np.array_equal(binned.read(key, hashes, size) ^ gf128.multiply(elements, delta), expected)


@pytest.mark.parametrize("pairs", [0, 3])
def test_slots_that_no_key_needs_are_random(pairs: int) -> None:
    """Each slot is as in the fill, or one that a key set: as many as there are keys, and these look random, too."""
    hashes, elements, size = planted(500, pairs), np.zeros((500, 2), np.uint64), binned.Size(500)
    table, filled = binned.write(hashes, elements, size, fill(9)), fill(9).words(2 * size.slots).reshape(-1, 2)
    assert int((table != filled).any(axis=1).sum()) == 500
    assert len({row.tobytes() for row in table}) == size.slots
    ones = int(np.unpackbits(table.view(np.uint8)).sum())
    assert abs(ones - 64 * size.slots) < 5 * math.sqrt(32 * size.slots)
    other = binned.write(hashes, elements, size, fill(10))
    assert not (table == other).all(axis=1).any()


def test_all_back_ends_write_and_read_the_same_bytes() -> None:
    keys, elements, size = some(1, 3001), some(2, 3001), binned.Size(3001)
    seed, done = Secret(b"some public seed"), []
    for cipher, field in zip(aes.features(), gf128.features(), strict=False):
        aes.select(cipher)
        gf128.select(field)
        hashes = binned.hashed(keys, seed)
        done.append((hashes, table := binned.write(hashes, elements, size, fill()), binned.read(table, keys, size)))
    for other in done:
        assert all(np.array_equal(x, y) for x, y in zip(done[0], other, strict=True))


def test_a_hash_is_aes_of_the_key_plus_the_key() -> None:
    block = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint64).reshape(1, 2)
    hashed = binned.hashed(block, Secret(bytes(range(16)))) ^ block
    assert hashed.tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a", "FIPS 197, C.1"


EVERY_SIZE = sorted({int(1.03**i) for i in range(610)} | {b * 2**16 + d for b in (1, 2, 3, 512) for d in (-1, 0, 1)})


def test_bounds_hold_for_every_number_of_keys() -> None:
    """The three causes of failure that ``Size`` lists, summed over the bins: together at most 2^-40."""
    for keys in EVERY_SIZE:
        size = binned.Size(keys)
        bits = math.log2(size.bins)
        assert size.capacity == keys or twin.overflow_bits(keys, size.bins, size.capacity) >= 42 + bits, keys
        assert 3 * size.third >= twin.law(size.capacity, 41 + bits), keys
        assert twin.alike_bits(size.capacity, size.third) >= 48 + bits, keys
    assert max(EVERY_SIZE) > 2**25


def test_sizes_stay_small() -> None:
    assert binned.Size(1).slots < 500
    assert binned.Size(10_000).slots < 1.30 * 10_000
    for keys in (2**20, 10**7, 2**24, 2**26):
        assert binned.Size(keys).slots < 1.30 * keys
    for keys in (0, -1, 2**26 + 1):
        with pytest.raises(ValueError, match="1 to 2"):
            binned.Size(keys)


@pytest.mark.parametrize(
    "call",
    [
        lambda: binned.read(some(1, 10), some(1, 3), binned.Size(3)),
        lambda: binned.read(np.zeros((binned.Size(3).slots, 2), np.int64), some(1, 3), binned.Size(3)),
        lambda: binned.read(some(1, binned.Size(3).slots), np.zeros((3, 3), np.uint64), binned.Size(3)),
        lambda: binned.write(some(1, 4), some(1, 3), binned.Size(3), fill()),
        lambda: binned.write(some(1, 3), some(1, 4), binned.Size(3), fill()),
        lambda: binned.write(some(1, 4), some(1, 4), binned.Size(3), fill()),
    ],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"table|arrays"):
        call()


@pytest.mark.long
@pytest.mark.parametrize(("keys", "bits"), [(1000, 5), (4000, 5), (16_000, 4), (65_536, 3)])
def test_failures_are_rarer_than_the_law_that_sizes_are_from(
    keys: int, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With slots for which eprint 2022/320 predicts failures with probability 2^-bits, no more are seen."""
    monkeypatch.setattr(binned.Size, "third", int(twin.law(keys, bits) / 3))
    size, tries, failed = binned.Size(keys), 20_000_000 // keys, 0
    for seed in range(tries):
        try:
            binned._Bins(some(seed, keys), some(0, keys), size)
        except Unsolvable:
            failed += 1
    assert failed <= tries / 2**bits


@pytest.mark.long
def test_keys_are_hardly_ever_put_aside() -> None:
    """Pairs with the same three slots are nearly all there is, and as many as expected."""
    size, aside, tries = binned.Size(1000), 0, 20_000
    for seed in range(tries):
        aside += int(binned._Bins(some(seed, 1000), some(0, 1000), size).put.sum())
    expected = tries * 1000 * 999 / 2 / size.third**3
    assert abs(aside - expected) < 6 * math.sqrt(expected)
