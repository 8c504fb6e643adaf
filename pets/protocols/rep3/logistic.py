"""A logistic model of columns that nobody knows: Newton's steps of maximum likelihood, and standard errors.

Rows that do not count hold 0 everywhere. Columns are whole numbers of at most 2^span, which stands for 1. Every step
solves p equations whose matrix is scaled twice by secret powers of two: once by the length of each column, once by the
weights of the step, so that it does not matter how many rows count, how rare y is, or how wide a column's range is
declared. All sums of products are exact, hence the matrix is positive semidefinite whatever the rows are, and limits
keep coefficients below 2^BOUND: no value leaves its words, also where y is separated or columns follow from others.

What is found tells if it means anything: the length of the last step in standard errors, or that the equations had no
solution that is good.

Source:  McCullagh, Nelder, Generalized Linear Models, 1989, section 2.5; our design of the scales and its bounds:
         docs/adr/0026-logistic-regression.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.protocols.base import Role
from pets.protocols.rep3 import fixed
from pets.protocols.rep3.compare import negative, to_words
from pets.protocols.rep3.linear import approached
from pets.protocols.rep3.products import matrix_product
from pets.protocols.rep3.ratio import root, scale_of
from pets.protocols.rep3.rounding import shifted
from pets.protocols.rep3.sharing import Context, Words, flipped, inner_product, joined, multiply, public

COARSE: Final = 12
"""Bits of a column where products of columns are added up."""

BOUND: Final = 8
"""Coefficients are below 2^8 in size: of y's log odds over the whole range of a column."""

SPREAD: Final = 12
"""Bits that the weights of a step may be smaller than at the first."""

TURNS: Final = 15
"""How often an inverse is brought nearer: at least ``linear.turns`` for every design."""

STEP: Final = 16
"""Coefficients and standard errors are rounded to multiples of 2^-16."""

GAIN: Final = 10
"""The square of the last step, in standard errors, is rounded to multiples of 2^-10."""

MOST_GAIN: Final = 20
"""It is 2^10 at the most, in such units 2^20; 2^21 more stand for equations without a good solution."""


@dataclass(frozen=True, slots=True)
class Design:
    """Public numbers of a model, from the plan. ``spans``: of each column beside the intercept, its values' bits.

    ``fraction``: bits after the point of rows; ``weight``: of weights; ``pairs``: of bits that sums of squares have.
    The others are bits that are cut off: of matrices (``normal``), of the gradient (``slope``, ``ahead``, ``closer``),
    of a step (``step``, ``onto``), of its length (``gain``, ``squared``), of errors (``left``); ``lift`` is how many
    are put on before their roots are taken. ``least``: an inverse is good for eigenvalues from 2^-least of a scaled
    matrix, whose eigenvalues add up to less than 1.
    """

    rows: int
    spans: tuple[int, ...]
    iterations: int
    fraction: int
    weight: int
    pairs: int
    normal: int
    slope: int
    ahead: int
    closer: int
    step: int
    onto: int
    gain: int
    squared: int
    lift: int
    left: int
    least: int

    def __post_init__(self) -> None:
        cuts = (self.normal, self.slope, self.ahead, self.closer, self.step, self.onto, self.gain, self.squared)
        if not all(1 <= cut <= 62 for cut in (*cuts, self.left, self.fraction - STEP)) or self.lift < 0:
            raise ValueError("numbers of a design that do not fit together")
        if not all(0 <= span <= self.fraction for span in self.spans) or not self.spans or self.iterations < 1:
            raise ValueError("columns of at most as many bits as the fraction, and one step at least")

    @property
    def columns(self) -> int:
        return 1 + len(self.spans)


def fitted(ctx: Context, design: Design, there: Words, y: Words, values: Sequence[Words]) -> Role[Words]:
    """Coefficients, their standard errors, and the square of the last step: 2 p + 1 numbers for p columns.

    Coefficients are those of an intercept and of columns from 0 to 1, in units of 2^-STEP as their errors are, which
    belong to the coefficients before the last step. The step is in standard errors, its square in units of 2^-GAIN.

    Shapes:  there: 1 on rows that count, else 0; y and ``values`` (rows,): y is 0 or 1, both 0 where a row does not
             count; result (2 p + 1,).
    Errors:  coefficients: docs/adr/0026-logistic-regression.md; they are a function of the values alone.
    Sizes:   pets/spec/fitting.py lists the operations.
    Learned: nothing; the number of steps is public, and nothing tells if it was needed.
    Raises:  ValueError on other shapes.
    """
    if len(values) != len(design.spans) or any(each.rows != design.rows for each in (there, y, *values)):
        raise ValueError("as many columns and rows as the design says")
    f, p = design.fraction, design.columns
    fine = [there.times(2**f), *(z.times(2 ** (f - span)) for z, span in zip(values, design.spans, strict=True))]
    coarse = [there.times(2**COARSE)]
    for z, span in zip(values, design.spans, strict=True):
        coarse.append(z.times(2 ** (COARSE - span)) if span <= COARSE else (yield from nearest(ctx, z, span - COARSE)))
    model = _Model(ctx, design, y, fine, joined(*fine), joined(*coarse))
    squares = yield from matrix_product(ctx, model.coarse, model.coarse, design.rows)
    scale = yield from scale_of(ctx, _diagonal(squares, p), 2 * design.pairs, 1)
    both = yield from multiply(ctx, _rows(scale, p), _columns(scale, p))
    b, step = public(ctx, 0, p), _Step.none(ctx, p)
    for number in range(design.iterations):
        if number == 0:  # every mean is 1/2
            square, residue = squares.times(2 ** (design.weight - 2)), y.times(2**f) - there.times(2 ** (f - 1))
        else:
            square, residue = yield from model.weighted(b)
        step = yield from model.step(b, square, residue, scale, both)
        b = step.after
    return (yield from model.told(step, scale))


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step leaves: coefficients before and after it, the gradient, the inverse and its scale."""

    before: Words
    after: Words
    gradient: Words
    inverse: Words
    scale: Words

    @classmethod
    def none(cls, ctx: Context, p: int) -> "_Step":
        nothing = public(ctx, 0, p)
        return cls(nothing, nothing, nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class _Model:
    """The columns, one by one and after each other, and coarser ones."""

    ctx: Context
    design: Design
    y: Words
    fine: list[Words]
    x: Words
    coarse: Words

    def weighted(self, b: Words) -> Role[tuple[Words, Words]]:
        """Sums of products of columns, weighted with the variance of each row's y, and what the means leave of y."""
        ctx, design, f = self.ctx, self.design, self.design.fraction
        pairs = [(each, _spread(b[slice(at, at + 1)], design.rows)) for at, each in enumerate(self.fine)]
        score = yield from shifted(ctx, (yield from inner_product(ctx, pairs)), f)
        mean = yield from fixed.sigmoid(ctx, score, f)
        variance = yield from multiply(ctx, mean, public(ctx, 2**f, design.rows) - mean)
        weight = yield from nearest(ctx, variance, 2 * f - design.weight)
        weighted = yield from multiply(ctx, joined(*[weight] * design.columns), self.coarse)
        square = yield from matrix_product(ctx, weighted, self.coarse, design.rows)
        return square, self.y.times(2**f) - mean

    def step(self, b: Words, square: Words, residue: Words, scale: Words, both: Words) -> Role[_Step]:
        """Coefficients after one step: b and D X D g, where X is the inverse of the matrix that D scales."""
        ctx, design, p = self.ctx, self.design, self.design.columns
        scaled = yield from nearest(ctx, (yield from multiply(ctx, square, both)), design.normal)
        trace = yield from shifted(ctx, _total(_diagonal(scaled, p)), design.fraction)
        s = yield from scale_of(ctx, trace, SPREAD, 2)
        a = yield from nearest(ctx, (yield from multiply(ctx, scaled, _spread(s, p * p))), SPREAD)
        inverse = yield from approached(ctx, a, size=p, fraction=design.fraction, turns=TURNS)
        slope = yield from matrix_product(ctx, self.x, residue, design.rows)
        gradient = yield from nearest(ctx, slope, design.slope)
        ahead = yield from nearest(ctx, (yield from multiply(ctx, gradient, scale)), design.ahead)
        ahead = yield from multiply(ctx, ahead, _spread(s, p))
        after_step = design.fraction + design.onto
        after_product = after_step + design.step - design.fraction
        ahead = yield from limited(ctx, ahead, 2 ** (after_product + design.closer + 2))
        ahead = yield from nearest(ctx, ahead, design.closer)
        moved = yield from nearest(ctx, (yield from matrix_product(ctx, inverse, ahead, p)), design.step)
        moved = yield from limited(ctx, moved, 2 ** (after_step + BOUND + 1))
        moved = yield from nearest(ctx, (yield from multiply(ctx, moved, scale)), design.onto)
        after = yield from limited(ctx, b + moved, 2 ** (design.fraction + BOUND))
        return _Step(b, after, gradient, inverse, s)

    def told(self, last: _Step, scale: Words) -> Role[Words]:
        """What is found, rounded: coefficients, standard errors, and how far the last step went."""
        ctx, design, p = self.ctx, self.design, self.design.columns
        b = yield from nearest(ctx, last.after, design.fraction - STEP)
        diagonal = _diagonal(last.inverse, p)
        variance = yield from multiply(ctx, diagonal, _spread(last.scale, p))
        deviation = yield from root(ctx, variance.times(2**design.lift), 60)
        deviation = yield from nearest(ctx, (yield from multiply(ctx, deviation, scale)), design.left)
        gradient = yield from nearest(ctx, last.gradient, design.gain)
        square = yield from matrix_product(ctx, gradient, last.after - last.before, p)
        square = yield from nearest(ctx, square, design.squared)
        square = yield from limited(ctx, square, 2**MOST_GAIN)
        below = yield from negative(ctx, _total(diagonal) - public(ctx, (2**design.least - 1) * 2**design.fraction, 1))
        (bad,) = yield from to_words(ctx, flipped(ctx, below))
        return joined(b, deviation, square + bad.times(2 ** (MOST_GAIN + 1)))


def nearest(ctx: Context, x: Words, bits: int) -> Role[Words]:
    """x / 2^bits to the nearest whole number, the higher of two. Sizes and ranges: those of ``shifted``."""
    return (yield from shifted(ctx, x + public(ctx, 2 ** (bits - 1), x.rows), bits))


def limited(ctx: Context, x: Words, most: int) -> Role[Words]:
    """x, or the nearer end of -most to most where it is beyond; |x| + most < 2^63.

    Sizes:   ``negative``, ``to_words`` and ``multiply`` of two rows a row; 10 rounds. Learned: nothing.
    """
    end = public(ctx, most, x.rows)
    room = joined(end - x, x + end)
    (beyond,) = yield from to_words(ctx, (yield from negative(ctx, room)))
    off = yield from multiply(ctx, beyond, room)
    return x + off[slice(0, x.rows)] - off[slice(x.rows, None)]


# -- parts ------------------------------------------------------------------------------------------------------------


def _picked(x: Words, places: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Words:
    return Words(x.own[places], x.next[places])


def _spread(x: Words, rows: int) -> Words:
    """One word in every row."""
    return Words(np.repeat(x.own, rows), np.repeat(x.next, rows))


def _diagonal(x: Words, p: int) -> Words:
    return _picked(x, np.arange(p) * (p + 1))


def _rows(x: Words, p: int) -> Words:
    """Of a vector, for each entry of a matrix that of its row."""
    return _picked(x, np.repeat(np.arange(p), p))


def _columns(x: Words, p: int) -> Words:
    return _picked(x, np.tile(np.arange(p), p))


def _total(x: Words) -> Words:
    own, following = (each.sum(keepdims=True, dtype=np.uint64) for each in (x.own, x.next))
    return Words(own, following)
