"""Exact division by public numbers, against whole numbers of Python: edge values of each range, and random ones."""

from typing import Any

import numpy as np
import pytest

from pets.protocols.base import Role
from pets.protocols.rep3 import compare, products, rounding, sharing
from pets.protocols.rep3.sharing import Context, Words
from tests.oracles.shared import I64, U64, run

DIVISORS = [1, 2, 3, 5, 7, 10, 63, 64, 65, 1000, 2**31 - 1, 2**31, 2**32 + 1, 10**12, 3**37, 2**61 - 1, 2**61]
SIZES = (1, 2, 63, 64, 65, 130)


def edges(divisor: int, least: int, end: int, seed: int, random: int = 60) -> I64:
    """Multiples of the divisor and their neighbours, near nothing and at both ends of the range; random ones beside."""
    near = [0, 1, -1, least, least + 1, end - 1, end - 2, end // 2, least // 2]
    for start in (0, end - 3 * divisor, least + 3 * divisor):
        near += [start // divisor * divisor + k * divisor + by for k in range(-3, 4) for by in (-1, 0, 1)]
    rng = np.random.default_rng(seed)
    wide = [int(rng.integers(least, end)) >> int(rng.integers(0, 60)) for _ in range(random)]
    return np.array([x for x in near + wide if least <= x < end], np.int64)


def over(x: I64, divisor: int) -> I64:
    return np.array([int(each) // divisor for each in x], np.int64)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_a_quotient_is_exact_to_the_ends_of_its_range(divisor: int) -> None:
    x = edges(divisor, rounding.LEAST, rounding.END, divisor % 97)
    for seed in range(3):
        done = run(lambda ctx, x: rounding.quotient(ctx, x, divisor), x, seed=seed)
        assert np.array_equal(done.signed, over(x, divisor))
    rest = run(lambda ctx, x: rounding.remainder(ctx, x, divisor), x)
    assert np.array_equal(rest.signed, x - over(x, divisor) * divisor)


@pytest.mark.parametrize("rows", SIZES)
def test_a_quotient_of_any_number_of_rows(rows: int) -> None:
    x = edges(7, rounding.LEAST, rounding.END, rows, 130)[-rows:]
    assert np.array_equal(run(lambda ctx, x: rounding.quotient(ctx, x, 7), x).signed, over(x, 7))


@pytest.mark.parametrize("divisor", [1, 2, 3, 8, 1000, 2**40 + 15, 2**61])
def test_both_summands_at_every_threshold(divisor: int) -> None:
    """The shares are chosen: remainders of both summands beside every threshold, with either top bit and with none."""
    lift = -(rounding.LEAST // divisor) * divisor
    rest = 2**64 % divisor
    marks = {at % divisor for mark in (0, rest, divisor - rest, divisor // 2) for at in (mark - 1, mark, mark + 1)}
    starts = (0, 2**62 // divisor * divisor, -(-(2**63) // divisor) * divisor, (2**64 - divisor) // divisor * divisor)
    summands = sorted({start + mark for start in starts for mark in marks if start + mark < 2**64})
    pairs = [(u, v) for u in summands for v in summands if (u + v) % 2**64 < 2**62 + lift]
    x = np.array([(u + v) % 2**64 - lift for u, v in pairs], np.int64)
    assert len({(u >> 63, v >> 63) for u, v in pairs}) == 4
    u, v = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    first = u - np.uint64(lift)  # the lift is added to component 0
    masks = words(divisor % 97, len(x))
    done = run(lambda ctx, x: rounding.quotient(ctx, x, divisor), parts=[[first - masks, masks, v]])
    assert np.array_equal(done.signed, over(x, divisor))


@pytest.mark.parametrize("base", [1, 2, 5, 7, 10, 100, 2**40 + 1])
def test_rounding_to_a_base(base: int) -> None:
    x = edges(base, rounding.LEAST, rounding.END - base, base)
    down = over(x + base // 2, base) * base
    assert np.array_equal(run(lambda ctx, x: rounding.nearest(ctx, x, base), x).signed, down)
    counts = edges(base, 0, rounding.END - base + 1, base)
    up = np.array([0 if c == 0 else base * -(-int(c) // base) - base // 2 for c in counts], np.int64)
    assert np.array_equal(run(lambda ctx, x: rounding.midpoint(ctx, x, base), counts).signed, up)


def test_one_band_of_midpoint_rounding_in_full() -> None:
    """The table that statisticians know: 0, then 1 to 10 as 5, 11 to 20 as 15; to base 5: 3, 8."""
    found = run(lambda ctx, x: rounding.midpoint(ctx, x, 10), np.arange(22)).signed
    assert found.tolist() == [0] + [5] * 10 + [15] * 10 + [25]
    assert run(lambda ctx, x: rounding.midpoint(ctx, x, 5), np.arange(11)).signed.tolist() == [0] + [3] * 5 + [8] * 5


@pytest.mark.parametrize("bits", [1, 2, 3, 20, 31, 32, 61, 62])
def test_shifts(bits: int) -> None:
    x = edges(2**bits if bits < 62 else 2**61, -(2**62), 2**62, bits)
    for seed in range(3):
        assert np.array_equal(run(lambda ctx, x: rounding.shifted(ctx, x, bits), x, seed=seed).signed, x >> bits)
        rough = run(lambda ctx, x: rounding.roughly(ctx, x, bits), x, seed=seed).signed
        assert set(np.unique((x >> bits) - rough)) <= {0, 1}


@pytest.mark.parametrize("wrong", [-1, 0, 2**61 + 1])
def test_a_public_divisor_out_of_range_is_refused_before_anything_is_sent(wrong: int) -> None:
    for act in (rounding.quotient, rounding.remainder, rounding.nearest, rounding.midpoint):
        with pytest.raises(ValueError, match="2\\^61"):
            run(lambda ctx, x, act=act: act(ctx, x, wrong), [1, 2, 3])


@pytest.mark.parametrize("wrong", [-1, 0, 63])
def test_a_shift_out_of_range_is_refused_before_anything_is_sent(wrong: int) -> None:
    for act in (rounding.shifted, rounding.roughly):
        with pytest.raises(ValueError, match="62 bits"):
            run(lambda ctx, x, act=act: act(ctx, x, wrong), [1, 2, 3])


# -- products ---------------------------------------------------------------------------------------------------------


def words(seed: int, rows: int) -> U64:
    return np.random.default_rng(seed).integers(0, 2**64, rows, np.uint64)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("planes", [1, 3])
def test_bits_times_words(rows: int, planes: int) -> None:
    bits, x, y = words(1, rows), words(2, rows * planes), words(3, rows * planes)
    mask = np.concatenate([(bits >> np.uint64(at)) & np.uint64(1) for at in range(planes)])

    def act(ctx: Context, bits: Words, x: Words, y: Words) -> Role[list[Words]]:
        secret = yield from compare.to_bits(ctx, bits, planes)
        kept = yield from products.injected(ctx, secret, x)
        return [kept, (yield from products.chosen(ctx, secret, x, y))]

    assert np.array_equal(run(act, bits, x, y).value, np.concatenate([mask * x, np.where(mask == 1, x, y)]))


@pytest.mark.parametrize(("outputs", "length"), [(1, 1), (1, 130), (5, 3), (64, 2)])
def test_sums_of_products_of_many_outputs(outputs: int, length: int) -> None:
    x, y = words(1, outputs * length), words(2, outputs * length)
    done = run(lambda ctx, x, y: products.inner_products(ctx, x, y, length), x, y)
    assert np.array_equal(done.value, (x * y).reshape(outputs, length).sum(axis=1, dtype=np.uint64))
    assert [each.count for each in done.sent_by(0)] == [outputs]


@pytest.mark.parametrize(("outer", "across", "inner"), [(1, 1, 1), (3, 2, 50), (2, 5, 7), (4, 4, 1)])
def test_products_of_matrices_send_as_much_as_comes_out(outer: int, across: int, inner: int) -> None:
    x, y = words(1, outer * inner), words(2, across * inner)
    done = run(lambda ctx, x, y: products.matrix_product(ctx, x, y, inner), x, y)
    whole = x.reshape(outer, inner).astype(object) @ y.reshape(across, inner).astype(object).T
    assert done.value.tolist() == [int(each) % 2**64 for each in whole.ravel()]
    assert [each.count for each in done.sent_by(0)] == [outer * across]


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx, x: products.inner_products(ctx, x, x, 4),
        lambda ctx, x: products.inner_products(ctx, x, x, 0),
        lambda ctx, x: products.inner_products(ctx, x, x[0:3], 3),
        lambda ctx, x: products.matrix_product(ctx, x, x, 4),
        lambda ctx, x: products.matrix_product(ctx, x, x, 0),
        lambda ctx, x: products.injected(ctx, sharing.planes_known_to_two(ctx, 0, None, 2, 5), x),
    ],
)
def test_shapes_that_do_not_fit_are_refused_before_anything_is_sent(act: Any) -> None:
    with pytest.raises(ValueError, match=r"vectors|row for each"):
        run(act, np.zeros(6, np.int64))
