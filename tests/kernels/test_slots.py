"""Slots of ciphertexts against Python's integers: how numbers lie in them, what hides sums, which sizes are covered."""

import numpy as np
import pytest

from pets.kernels import prf, slots
from pets.secret import Secret
from tests.oracles import bfv

RNG = np.random.default_rng(36)


def stream(number: int) -> prf.Stream:
    return prf.Stream(Secret(bytes([number] * 16)))


def test_primes_are_what_the_scheme_needs() -> None:
    """Distinct primes that are 1 modulo 2 RING, each the largest below its power of two; 218 bits in all."""
    primes = (*slots.PRIMES, slots.SPECIAL, *slots.PLAIN)
    assert len(set(primes)) == 6
    assert all(bfv.is_prime(each) and each % (2 * slots.RING) == 1 for each in primes)
    for power, found in ((60, slots.PRIMES[::-1]), (38, (slots.SPECIAL,)), (40, slots.PLAIN)):
        step, largest = 2 * slots.RING, []
        number = (2**power - 1) // step * step + 1
        while len(largest) < len(found):
            largest += [number] if bfv.is_prime(number) else []
            number -= step
        assert largest == list(found)
    product = slots.SPECIAL * slots.modulus()
    assert sum(each.bit_length() for each in (*slots.PRIMES, slots.SPECIAL)) == 218 and product.bit_length() <= 218


def bound(blocks: int) -> int:
    """The bound of the README, as a fraction with the denominator 2, rounded up."""
    ring, plain, special = slots.RING, max(slots.PLAIN), slots.SPECIAL
    products = blocks * ring * ((plain - 1) // 2) * (2 * 21 + 1)
    zero = (ring + 1) + 2 * (21 * (2 * ring + 1) // special + 1)
    return (products + zero + 1 + 1) // 2


@pytest.mark.parametrize("blocks", [0, 1, 2, 129, 2049])
def test_the_bound_on_noise_is_that_of_the_readme(blocks: int) -> None:
    assert slots.worst_noise(blocks) == bound(blocks)


def covered(entries: int, sums: int) -> bool:
    try:
        slots.require_drowned(entries=entries, sums=sums)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("entries", "sums"), [(1, 390_167), (2**20, 3_024), (10**7, 319), (2**24, 190)])
def test_sizes_are_covered_up_to_the_last_and_no_further(entries: int, sums: int) -> None:
    """The distance of all coefficients of all sums from uniform ones is 2^-40 at most, exactly counted."""
    assert covered(entries, sums) and not covered(entries, sums + 1)
    noise = slots.worst_noise(slots.blocks_of(entries))
    assert sums * slots.RING * noise * 2**40 <= 2**128 < (sums + 1) * slots.RING * noise * 2**40


def test_eight_bits_of_the_budget_are_left_and_more() -> None:
    """Whatever the sizes: decryption is right while noise stays below Q / 2t, and 12 bits are left."""
    for entries in (1, 2**20, 2**30):
        noise = slots.worst_noise(slots.blocks_of(entries)) + 2**127
        assert 2**11 < slots.modulus() // (2 * max(slots.PLAIN) * noise) < 2**13


def test_as_many_primes_as_tell_sums_apart() -> None:
    assert [slots.primes_for(each) for each in (0, 2**39 - 73728, 2**39, 2**78)] == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="larger than"):
        slots.primes_for(2**79)
    for numbers in (1, 2):
        product = int(np.prod([np.array(slots.PLAIN[:numbers], object)]))
        for value in (0, 1, -1, product // 2, -(product // 2), 12345, -98765):
            assert slots.signed([value % prime for prime in slots.PLAIN[:numbers]]) == value


@pytest.mark.parametrize("count", [1, 8190, 8191, 8192, 20_000])
def test_numbers_lie_in_order_with_one_in_slot_0(count: int) -> None:
    numbers = RNG.integers(-(2**60), 2**60, count)
    for plain in slots.PLAIN:
        made = slots.packed(numbers.view(np.uint64), plain)
        assert made.shape == (slots.blocks_of(count), slots.RING) and (made[:, 0] == 1).all()
        flat = made[:, 1:].reshape(-1)
        assert flat[:count].tolist() == [int(each) % plain for each in numbers] and not flat[count:].any()


def test_masks_take_slot_0_and_what_is_in_the_group() -> None:
    cells = RNG.integers(-1, 3, 10_000)
    found = np.concatenate([slots.masks(cells, 3, block)[:, 1:] for block in range(2)], axis=1)
    for cell in range(3):
        assert np.array_equal(np.flatnonzero(found[cell]), np.flatnonzero(cells == cell))
    assert all((slots.masks(cells, 3, block)[:, 0] == 1).all() for block in range(3))


@pytest.mark.parametrize("plain", slots.PLAIN)
def test_covers_are_uniform_and_take_the_ones_off(plain: int) -> None:
    drawn = [slots.cover(each, plain, 7) for each in [stream(1)] * 20]
    rest = np.concatenate([each[1:] for each in drawn])
    assert all(int(each[0]) == plain - 7 for each in drawn) and len(set(rest.tolist())) == rest.size
    assert int(rest.max()) < plain
    counts = np.bincount((rest >> np.uint64(34)).astype(np.int64), minlength=64)
    assert ((counts - rest.size / 64) ** 2 / (rest.size / 64)).sum() < 130  # 63 degrees of freedom: one in a million
    total = slots.summed(drawn[0], plain)
    assert total == sum(map(int, drawn[0][1:])) % plain


def test_a_number_that_is_too_large_is_left_out_and_not_reduced() -> None:
    class Words(prf.Stream):
        def words(self, count: int) -> slots.U64Array:
            return np.array([2**64 - 1, slots.PLAIN[0] << 24, (slots.PLAIN[0] - 1) << 24, *range(count - 3)], np.uint64)

    assert slots.share_of_zero(Words(Secret(bytes(16))), slots.PLAIN[0], 3).tolist() == [slots.PLAIN[0] - 1, 0, 0]
    assert slots.cover(Words(Secret(bytes(16))), slots.PLAIN[0], 1)[1] == slots.PLAIN[0] - 1


def test_flooding_adds_128_uniform_bits_centred_to_the_first_polynomial_alone() -> None:
    cipher = np.concatenate([RNG.integers(0, p, slots.RING).astype(np.uint64) for p in (*slots.PRIMES, *slots.PRIMES)])
    drawn = stream(3).words(2 * slots.RING).astype(object).reshape(2, slots.RING)
    flood = drawn[0] + drawn[1] * 2**64 - 2**127
    made = slots.drown(cipher, stream(3))
    assert np.array_equal(made[slots.CIPHER // 2 :], cipher[slots.CIPHER // 2 :])
    (before, _), (after, _) = bfv.polys_of(cipher), bfv.polys_of(made)
    assert np.array_equal((after - before - flood) % bfv.Q, np.zeros(slots.RING))
    assert max(flood) > 2**126 and min(flood) < -(2**126)
    ends = np.array([2**64 - 1, 0, 1, 2**63], np.uint64)
    for prime in slots.PRIMES:
        for low in ends:
            found = slots._modulo(np.full(4, low), ends, prime)
            assert found.tolist() == [(int(low) + (int(high) << 64) - 2**127) % prime for high in ends]


def test_a_stream_gives_no_cover_and_no_flood_twice() -> None:
    one = stream(5)
    assert not np.array_equal(slots.cover(one, slots.PLAIN[0], 1), slots.cover(one, slots.PLAIN[0], 1))
    cipher = np.zeros(slots.CIPHER, np.uint64)
    assert not np.array_equal(slots.drown(cipher, one), slots.drown(cipher, one))


def test_what_comes_in_is_looked_through_to_its_last_word() -> None:
    words = np.ones(2 * slots.CIPHER, np.uint64)
    assert slots.first_too_large(words, slots.PRIMES) == slots.first_transparent(words, slots.CIPHER) == -1
    for place in (0, slots.RING, 3 * slots.RING - 1, slots.CIPHER, 2 * slots.CIPHER - 1):
        prime = slots.PRIMES[place // slots.RING % 3]
        for value, expected in ((prime - 1, -1), (prime, place), (2**64 - 1, place)):
            changed = words.copy()
            changed[place] = value
            assert slots.first_too_large(changed, slots.PRIMES) == expected
    words[slots.CIPHER + slots.CIPHER // 2 :] = 0
    assert slots.first_transparent(words, slots.CIPHER) == 1
    words[-1] = 1
    assert slots.first_transparent(words, slots.CIPHER) == -1
