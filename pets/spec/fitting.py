"""Lower logistic regressions: which columns are fitted, in which units, and every public number of the computation.

A column's values are taken off a base and stand for fractions of 2^span, so that they are from -1 to 1 and exact. The
base is 0 wherever that leaves a column room to vary, so that the intercept is that of zeros; else the end of its range
that is nearer to 0. All other numbers follow from how many rows and columns there are (docs/adr/0026).
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final

from pets.errors import LeakError
from pets.spec import moments as taken_apart
from pets.spec.ir import Fit, FitNumbers, ShownFit
from pets.spec.model import Spec
from pets.spec.protected import Protected
from pets.spec.query import ColumnRef

ITERATIONS: Final = 8
LEAST_ITERATIONS: Final = 6
MOST_ITERATIONS: Final = 20

MAX_REGRESSORS: Final = 8

COARSE: Final = 12
"""Bits of a column where products of columns are added up."""

BOUND: Final = 8
"""Coefficients are below 2^8 in size."""

SPREAD: Final = 12
"""Bits that the weights of a step may be smaller than at the first."""

TURNS: Final = 15
"""How often an inverse is brought nearer."""

STEP: Final = 16
"""Coefficients and standard errors are multiples of 2^-16."""

GAIN: Final = 10
"""The square of the last step is a multiple of 2^-10."""

MOST_GAIN: Final = 20
"""It is 2^20 of these at the most; 2^21 more stand for equations without a good solution."""

MOST_LEAST: Final = 12
"""An inverse is good for eigenvalues from 2^-12; where rows have 18 bits only from 2^-11."""

MOST_BITS: Final = 20
LEAST_BITS: Final = 18
"""Bits after the point of rows: as many as sums over all rows leave room for."""

MAX_ROWS: Final = 2**25


def fits(spec: Spec, guarded: Protected, rows: int) -> tuple[tuple[Fit, ...], tuple[ShownFit, ...]]:
    """The models to fit on ``rows`` entries of a list, and what is shown of each, in the same order.

    Raises: LeakError leak.fit-rows, leak.fit-range with the bound that is exceeded.
    """
    found, shown = [], []
    for each in guarded.fits:
        if rows >= MAX_ROWS:
            raise LeakError("leak.fit-rows", path="computation.sql: LOGISTIC_REGRESSION", rows=rows, most=MAX_ROWS)
        _, *xs = each.what.columns
        numbers = numbers_of(rows, 1 + len(xs))
        measured = [measure(spec, column) for column in xs]
        for column, (_, span) in zip(xs, measured, strict=True):
            if span > numbers.fraction:
                path = f"computation.sql: LOGISTIC_REGRESSION <- {column}"
                raise LeakError("leak.fit-range", path=path, column=str(column), bits=numbers.fraction)
        spans = tuple(span for _, span in measured)
        bases = tuple(base for base, _ in measured)
        found.append(Fit(each.count, each.y, each.xs, bases, spans, each.what.iterations, numbers))
        scales = [Fraction(1, 10 ** spec.dataset(c.dataset).columns[c.column].places) for c in xs]
        shown.append(
            ShownFit(
                taken_apart.fit_name(each.what),
                each.what.columns,
                each.rests_on,
                tuple(base * scale for base, scale in zip(bases, scales, strict=True)),
                tuple(2**span * scale for span, scale in zip(spans, scales, strict=True)),
            )
        )
    return tuple(found), tuple(shown)


def measure(spec: Spec, column: ColumnRef) -> tuple[int, int]:
    """The base that a column's values are taken off, and the bits of what remains, in units of its last place."""
    low, high = spec.dataset(column.dataset).columns[column.column].scaled_range
    base = 0
    if low > 0 and 3 * low > high:
        base = low
    elif high < 0 and 3 * high < low:
        base = high
    return base, (max(high - base, base - low, 1) - 1).bit_length()


def numbers_of(rows: int, columns: int) -> FitNumbers:
    """The public numbers of a model of so many rows and columns, the intercept among them."""
    k, p = rows.bit_length(), (columns - 1).bit_length()
    fraction = min(MOST_BITS, (61 - k) // 2)
    weight = min(fraction, 36 - k)
    pairs = (k + 2 * COARSE + 1) // 2
    unit = 2 * pairs + p - 2 * COARSE - 2
    gradient = min(2 * fraction - 1, 62 - k - pairs)
    scaled = min(38 - k + pairs + p - SPREAD, gradient + unit - 1)
    ahead = min(58 - fraction - TURNS - p, scaled - 1)
    step = min(61 - BOUND - 1 - pairs, fraction + ahead - 1)
    gain = 52 - k - fraction - p
    root = (61 - TURNS - SPREAD + unit) // 2
    return FitNumbers(
        fraction=fraction,
        weight=weight,
        pairs=pairs,
        normal=weight - 2 + 2 * pairs + p - fraction - SPREAD,
        slope=2 * fraction - gradient,
        ahead=gradient + unit - scaled,
        closer=scaled - ahead,
        step=fraction + ahead - step,
        onto=step - fraction,
        gain=gradient - gain,
        squared=gain + fraction - GAIN,
        lift=2 * root - fraction - unit,
        left=root - STEP,
        least=MOST_LEAST if fraction > LEAST_BITS else MOST_LEAST - 1,
    )


def operations(fit: Fit, rows: int) -> Iterator[tuple[str, Mapping[str, int]]]:
    """What three parties do for one model, in order: operations of the card rep3 with their public numbers."""
    at, p, f = fit.numbers, 1 + len(fit.spans), fit.numbers.fraction
    for span in fit.spans:
        if span > COARSE:
            yield _operation("shifted", rows, span - COARSE)
    yield _operation("inner_products", p * p)
    yield _operation("scale_of", p, 2 * at.pairs)
    yield _operation("multiply", p * p)
    for number in range(fit.iterations):
        if number:
            yield _operation("inner_product", rows)
            yield _operation("shifted", rows, f)
            yield _operation("sigmoid", rows, f)
            yield _operation("multiply", rows)
            yield _operation("shifted", rows, 2 * f - at.weight)
            yield _operation("multiply", p * rows)
            yield _operation("inner_products", p * p)
        yield from _solved(at, p)
    yield _operation("shifted", p, f - STEP)
    yield _operation("multiply", p)
    yield _operation("root", p, 60)
    yield _operation("multiply", p)
    yield _operation("shifted", p, at.left)
    yield _operation("shifted", p, at.gain)
    yield _operation("inner_products", 1)
    yield _operation("shifted", 1, at.squared)
    yield _operation("limited", 1)
    yield _operation("negative", 1)
    yield _operation("to_words", 1)


def _solved(at: FitNumbers, p: int) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The equations of one step."""
    yield _operation("multiply", p * p)
    yield _operation("shifted", p * p, at.normal)
    yield _operation("shifted", 1, at.fraction)
    yield _operation("scale_of", 1, SPREAD)
    yield _operation("multiply", p * p)
    yield _operation("shifted", p * p, SPREAD)
    yield "matrix_inverse", {"n": p * p, "bits": at.fraction, "turns": TURNS}
    yield _operation("inner_products", p)
    yield _operation("shifted", p, at.slope)
    yield _operation("multiply", p)
    yield _operation("shifted", p, at.ahead)
    yield _operation("multiply", p)
    yield _operation("limited", p)
    yield _operation("shifted", p, at.closer)
    yield _operation("inner_products", p)
    yield _operation("shifted", p, at.step)
    yield _operation("limited", p)
    yield _operation("multiply", p)
    yield _operation("shifted", p, at.onto)
    yield _operation("limited", p)


def _operation(name: str, n: int, bits: int = 1) -> tuple[str, Mapping[str, int]]:
    return name, {"n": n, "bits": bits}
