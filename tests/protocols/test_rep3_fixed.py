"""Quotients and roots of secrets, and fixed point: against whole numbers, and against their proven bounds."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest

from pets.protocols.base import Role
from pets.protocols.rep3 import fixed, ratio
from pets.protocols.rep3.sharing import Context, Words
from tests.oracles.approximated import Plain
from tests.oracles.shared import I64, run

MANY = 100_000


def wide(rng: np.random.Generator, rows: int, bits: int) -> I64:
    """Numbers of every length up to ``bits``, as many of each."""
    return rng.integers(0, 2**bits, rows) >> rng.integers(0, bits, rows)


def floors(x: I64, y: I64) -> I64:
    return np.where(y == 0, 0, x // np.where(y == 0, 1, y))


# -- quotients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 7, 19, 20, 30])
@pytest.mark.parametrize("digits", [1, 2, 3])
def test_a_quotient_of_secrets_is_exact_to_the_ends_of_its_range(bits: int, digits: int) -> None:
    rng, most = np.random.default_rng(bits + digits), 2 ** (20 * digits) - 1
    ends = [0, 1, 2, 3, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 2, 2**bits - 1]
    y = np.array([end for end in ends if 0 <= end < 2**bits for _ in range(12)], np.int64)
    x = np.array([0, 1, -1, 2, most, most - 1, -most, 1 - most, most // 2, 2**19, 2**19 - 1, -(2**19)], np.int64)
    x = np.concatenate([np.tile(x, len(y) // 12), *(sign * wide(rng, 500, 20 * digits) for sign in (1, -1))])
    y = np.concatenate([y, wide(rng, 1000, bits)])
    close = np.clip(floors(x, y) * y + rng.integers(-1, 2, len(y)), -most, most)  # beside a multiple of the divisor
    for seed, numerator in enumerate((x, close)):
        done = run(lambda ctx, x, y: ratio.ratio(ctx, x, y, bits=bits, digits=digits), numerator, y, seed=seed)
        assert np.array_equal(done.signed, floors(numerator, y))


def test_a_hundred_thousand_quotients_of_counts() -> None:
    """x below 2^40 by y below 2^20, one in three beside a multiple."""
    rng = np.random.default_rng(1)
    y, x = wide(rng, MANY, 20), wide(rng, MANY, 40)
    x = np.where(rng.integers(0, 3, MANY) == 0, np.clip(floors(x, y) * y + rng.integers(-1, 2, MANY), 0, None), x)
    done = run(lambda ctx, x, y: ratio.ratio(ctx, x, y, bits=20, digits=2), x, y)
    assert np.array_equal(done.signed, floors(x, y))


def test_an_approximate_reciprocal_is_within_its_bound_and_no_result_depends_on_the_masks() -> None:
    rng = np.random.default_rng(2)
    d = np.concatenate([rng.integers(2**29, 2**30, MANY), np.arange(2**29, 2**29 + 100), 2**30 - np.arange(100)])
    off = run(ratio.inverted, d).signed - 2.0**60 / d
    assert off.min() > -16
    assert off.max() < 5
    again = run(ratio.inverted, d, seed=1).signed - 2.0**60 / d
    assert (off != again).any(), "the masks show in what is approximate"
    x, y = wide(rng, 5000, 40), wide(rng, 5000, 20)
    exact = [run(lambda c, x, y: ratio.ratio(c, x, y, bits=20, digits=2), x, y, seed=s).signed for s in range(3)]
    assert all(np.array_equal(each, exact[0]) for each in exact)


LOSSES = {
    "nothing": lambda rng: lambda rows: np.zeros(rows, object),
    "always": lambda rng: lambda rows: np.ones(rows, object),
    "by row": lambda rng: lambda rows: np.arange(rows).astype(object) % 2,
    "at random": lambda rng: lambda rows: rng.integers(0, 2, rows).astype(object),
    "now and then": lambda rng: lambda rows: np.full(rows, int(rng.integers(0, 2)), object),
}
"""What truncations lose, in the worst cases and between them."""


@pytest.mark.parametrize("loss", LOSSES)
def test_whatever_truncations_lose_the_bounds_hold(loss: str) -> None:
    """The same steps in the clear: every digit and root within what the last comparison repairs, no word overflows."""
    rng = np.random.default_rng(7)
    for _ in range(16 if loss == "now and then" else 1):
        plain = Plain(LOSSES[loss](rng))
        d = np.concatenate([np.arange(2**29, 2**29 + 20), 2**30 - np.arange(20), rng.integers(2**29, 2**30, 300)])
        off = np.array(
            [
                Fraction(int(w)) - Fraction(2**60, int(at))
                for w, at in zip(plain.inverted(d.astype(object)), d, strict=True)
            ]
        )
        assert off.min() > -16
        assert off.max() < 5
        for bits, digits in ((1, 3), (19, 3), (20, 3), (30, 3), (20, 2), (30, 1)):
            most = 2 ** (20 * digits) - 1
            y = np.concatenate([[1, 2**bits - 1, 2 ** (bits - 1)] * 20, 1 + wide(rng, 200, bits)]).astype(object)
            y = np.minimum(y, 2**bits - 1)
            x = np.concatenate([[0, -1, 1, most, -most, most // 2] * 10, wide(rng, 200, 20 * digits)]).astype(object)
            for sign in (1, -1):
                assert (plain.ratio(sign * x, y, bits, digits) == sign * x // y).all()
        for bits in (2, 34, 60):
            roots = np.concatenate([[2 ** (bits // 2) - 1, 1] * 3, 1 + wide(rng, 200, bits // 2)]).astype(object)
            roots = np.minimum(roots, 2 ** (bits // 2) - 1)
            for x in (roots * roots, roots * roots + 2 * roots, np.maximum(roots * roots - 1, 1)):
                assert (plain.root(x, bits) == [isqrt(each) for each in x]).all()


def test_margins_are_needed_and_enough_where_they_are_tight() -> None:
    """An inverse too great, with all else exact, below a multiple; a root of a square when every truncation loses."""
    rng, rows = np.random.default_rng(8), 20_000
    losses = [np.ones(rows, object)]  # only the first truncation, which makes inverses greater, loses
    y = rng.integers(2**29, 2**30, rows).astype(object)
    x = rng.integers(2**19, 2**20, rows).astype(object) * y - rng.integers(1, 50, rows).astype(object)
    plain = Plain(lambda count: losses.pop() if losses else np.zeros(count, object))
    assert (plain.ratio(x, y, 30, 3) == x // y).all()
    roots = rng.integers(2**29, 2**30, rows).astype(object)
    assert (Plain(lambda count: np.ones(count, object)).root(roots * roots, 60) == roots).all()


# -- roots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 18, 34, 60])
def test_a_root_is_exact_beside_every_square(bits: int) -> None:
    rng = np.random.default_rng(bits)
    roots = np.unique(np.concatenate([wide(rng, 1500, bits // 2), [0, 1, 2, 3, 2 ** (bits // 2) - 1]]))
    near = np.concatenate([roots * roots + by for by in (-1, 0, 1)] + [roots * roots + 2 * roots])
    x = np.concatenate([near[(near >= 0) & (near < 2**bits)], wide(rng, 1500, bits), [2**bits - 1, 2 ** (bits - 1)]])
    for seed in range(2):
        done = run(lambda ctx, x: ratio.root(ctx, x, bits), x, seed=seed)
        assert np.array_equal(done.signed, [isqrt(int(each)) for each in x])


def test_a_hundred_thousand_roots() -> None:
    x = wide(np.random.default_rng(3), MANY, 60)
    assert np.array_equal(run(lambda ctx, x: ratio.root(ctx, x, 60), x).signed, [isqrt(int(each)) for each in x])


# -- fixed point ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [1, 8, 20, 31, 62])
def test_a_product_is_rounded_down_whatever_the_signs(fraction: int) -> None:
    rng = np.random.default_rng(fraction)
    x, y = wide(rng, MANY // 5, 31), wide(rng, MANY // 5, 31)
    x[:6], y[:6] = [2**31, 2**31 - 1, 1, 0, 2**31, 2**31], [2**31, 2**31 - 1, 1, 5, 2**30, 1]
    x, y = x * rng.choice([-1, 1], x.size), y * rng.choice([-1, 1], x.size)
    keep = (x * y < 2**62) & (x * y >= -(2**62))
    x, y = x[keep], y[keep]
    done = run(lambda ctx, x, y: fixed.product(ctx, x, y, fraction), x, y)
    assert np.array_equal(done.signed, (x * y) >> fraction)


def test_quotients_inverses_and_roots_in_fixed_point_are_exact() -> None:
    rng, fraction = np.random.default_rng(4), 16
    x = wide(rng, 3000, 40 - fraction) * rng.choice([-1, 1], 3000)
    y = wide(rng, 3000, 24) * rng.choice([-1, 1], 3000)
    y[:2], x[2:5] = 0, 0
    done = run(lambda c, x, y: fixed.over(c, x, y, fraction=fraction, bits=24, digits=2), x, y)
    assert np.array_equal(done.signed, floors(x << fraction, y))
    size = np.abs(y)
    done = run(lambda c, y: fixed.inverse(c, y, fraction=fraction, bits=24), size)
    assert np.array_equal(done.signed, floors(np.full(3000, 2 ** (2 * fraction)), size))
    done = run(lambda c, y: fixed.root(c, y, fraction=fraction, bits=40), size)
    assert np.array_equal(done.signed, [isqrt(int(each) << fraction) for each in size])


def exponents(fraction: int, *, signed: bool, rows: int) -> I64:
    """Edges of the range and of what is cut off at 16, both sides of every bit that is looked up, and random ones."""
    rng, one = np.random.default_rng(fraction), 2**fraction
    edges = [at * one // 4 + by for at in range(68) for by in (-1, 0, 1)] + [2**12 * one - 1, 17 * one, 100 * one]
    sizes = np.concatenate([np.array([edge for edge in edges if edge >= 0]), wide(rng, rows, fraction + 12)])
    return np.concatenate([sizes, -sizes, [-(2**12) * one]]) if signed else sizes


def test_sigmoid_and_decay_are_within_their_bounds() -> None:
    """In units of the last place, on 10^5 values of each of three fractions; doubles are good to 2^-30 of a unit."""
    for fraction in (8, 14, 20):
        x = exponents(fraction, signed=True, rows=MANY // 6)
        scaled = 2.0**fraction * (0.5 + 0.5 * np.tanh(x / 2.0 ** (fraction + 1)))
        found = run(lambda ctx, x, fraction=fraction: fixed.sigmoid(ctx, x, fraction), x).signed
        assert np.abs(found - scaled).max() < 0.8
        half = 2.0**fraction * (0.5 + 0.5 * np.tanh((x + 0.5) / 2.0 ** (fraction + 1)))
        assert np.abs(found - half).max() < 0.5 + 2.0**fraction * (np.exp(-16) + 2.0**-25)
        assert found.min() == 0 and found.max() == 2**fraction
        t = exponents(fraction, signed=False, rows=MANY // 3)
        found = run(lambda ctx, t, fraction=fraction: fixed.decay(ctx, t, fraction), t).signed
        assert np.abs(found - 2.0**fraction * np.exp(-t / 2.0**fraction)).max() < 1.2


def test_sigmoid_and_decay_are_functions_of_the_value_alone() -> None:
    x = exponents(20, signed=True, rows=500)
    for act in (lambda c, x: fixed.sigmoid(c, x, 20), lambda c, x: fixed.decay(c, x, 20)):
        values = np.abs(x[:-1])
        found = [run(act, values, seed=seed).value for seed in range(3)]
        assert all(np.array_equal(each, found[0]) for each in found)


def test_constants_of_the_exponential_are_what_their_text_says() -> None:
    """Interpolated again in whole numbers: error of the polynomial at most its bound, powers to the nearest unit."""
    with localcontext() as context:
        context.prec = 50
        for power, a in zip(fixed._POWERS, ("0.25", "1", "4"), strict=True):
            assert power == (2**30, *(round((-m * Decimal(a)).exp() * 2**30) for m in range(1, 4)))
        for at in range(2**12 + 1):
            low = Fraction(at, 2**14)
            value = sum(Fraction(c, 2**30) * low**i for i, c in enumerate(fixed._POLYNOMIAL))
            exact = Fraction((-Decimal(at) / 2**14).exp())
            assert abs(value - exact) < Fraction(2, 120 * 16**5) + Fraction(1, 2**30)
            assert value <= 1


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx, x: ratio.ratio(ctx, x, x, bits=31, digits=1),
        lambda ctx, x: ratio.ratio(ctx, x, x, bits=0, digits=1),
        lambda ctx, x: ratio.ratio(ctx, x, x, bits=5, digits=4),
        lambda ctx, x: ratio.ratio(ctx, x, x, bits=5, digits=0),
        lambda ctx, x: ratio.root(ctx, x, 3),
        lambda ctx, x: ratio.root(ctx, x, 62),
        lambda ctx, x: ratio.root(ctx, x, 0),
        lambda ctx, x: fixed.product(ctx, x, x, 63),
        lambda ctx, x: fixed.over(ctx, x, x, fraction=60, bits=5, digits=3),
        lambda ctx, x: fixed.over(ctx, x, x, fraction=-1, bits=5, digits=3),
        lambda ctx, x: fixed.inverse(ctx, x, fraction=30, bits=5),
        lambda ctx, x: fixed.root(ctx, x, fraction=60, bits=60),
        lambda ctx, x: fixed.decay(ctx, x, 7),
        lambda ctx, x: fixed.sigmoid(ctx, x, 21),
    ],
)
def test_public_numbers_out_of_range_are_refused(act: Any) -> None:
    with pytest.raises(ValueError, match="bits"):
        run(act, [1, 2, 3])


def test_one_step_of_newton_for_logistic_regression_in_fixed_point() -> None:
    """What the operations are for: the gradient of a regression, close to the same in floating point."""
    rng, fraction, rows = np.random.default_rng(5), 16, 400
    x = rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-x))).astype(np.int64)
    words = np.round(x * 2**fraction).astype(np.int64)

    def act(ctx: Context, x: Words, y: Words) -> Role[list[Words]]:
        p = yield from fixed.sigmoid(ctx, x, fraction)
        weight = yield from fixed.product(ctx, p, p, fraction)
        slope = yield from fixed.product(ctx, x, y.times(2**fraction) - p, fraction)
        return [p - weight, slope]

    found = run(act, words, y).signed.reshape(2, rows) / 2**fraction
    exact = 1 / (1 + np.exp(-x))
    assert abs(found[0].sum() - (exact * (1 - exact)).sum()) < 4 * rows / 2**fraction
    assert abs(found[1].sum() - (x * (y - exact)).sum()) < 8 * rows / 2**fraction
