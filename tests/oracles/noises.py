"""How many bits regular noise over a large field hides, by the attacks that we know: see docs/adr/0032.

Codes have half as many outputs as inputs, and noises lie one in each block of as many inputs.
"""

import math

import numpy as np
import numpy.typing as npt

from pets.kernels import gf128, permute, prf
from tests.oracles import blkacc

U64 = npt.NDArray[np.uint64]


def covered(density: float, runs: float) -> float:
    """Which part of all places the longest gaps cover between places taken at random with this density.

    ``runs``: how many gaps, for each place. A gap counts the taken place at its end, so gaps of length 1 are none.
    """
    lengths = np.arange(1, 1000)
    each = density**2 * (1 - density) ** (lengths - 1)
    longest, total = each[::-1].cumsum(), (each * lengths)[::-1].cumsum()
    whole = int(np.searchsorted(longest, runs))
    if whole == len(lengths):
        return float(total[-1])
    before = longest[whole - 1] if whole else 0.0
    return float((total[whole - 1] if whole else 0.0) + (runs - before) * lengths[::-1][whole])


def places_free_at_most() -> float:
    """The largest part of the code's inputs that a sum of its outputs can leave out, by the way we know.

    A sum of m outputs can be chosen freely in m coefficients, each of which makes one thing 0. Left to itself that
    frees half of the 2 m inputs. But a sum over all values so far that is 0 stays 0 until the next value that counts:
    so use a part of the blocks only, make the longest such runs 0 in the second round, and the rest in the first, where
    what the second left is spread at random.
    """
    best = 0.0
    for density in np.linspace(0.02, 1, 50):  # of values that count after the blocks; half of them can be chosen
        for spent in np.linspace(0, density / 2, 51):
            left = 1 - covered(density, spent)
            best = max(best, covered(left, density / 2 - spent) if left > 1e-6 else 0.0)
    return best


def sum_that_leaves_out(width: int, part: float) -> tuple[float, float]:
    """Make such a sum for the code itself: what part of the inputs it should leave out, and what part it does.

    ``part``: of the blocks that are used. Conditions are linear in the coefficients of their outputs; one is left free.
    """
    count = round(part * width / 32) * 32
    factors = [prf.words(blkacc.key(0, number, width), 4 * width).reshape(-1, 2) for number in range(2)]
    order = [permute.permutation(blkacc.key(1, number, width), 2 * width).astype(np.int64) for number in range(2)]
    after_blocks = blkacc.block_matrix(width)[:count]
    second = _summed(after_blocks, order[1], factors[1])
    first = _summed(second, order[0], factors[0])

    ends = np.flatnonzero(_moved(after_blocks, order[1]).any(axis=(0, 2)))  # a run of equal coefficients ends at each
    run_of = np.searchsorted(ends, np.arange(2 * width))
    longest = np.argsort(-np.bincount(run_of, minlength=len(ends))[: len(ends)], kind="stable")
    best, conditions = 0.0, np.empty(0, np.int64)
    for spent in range(0, count - 1, 4):
        zero = np.zeros(len(ends) + 1, bool)
        zero[longest[:spent]] = zero[-1] = True
        last = np.sort(order[0][~zero[run_of]])
        gaps = np.diff(last, prepend=-1)
        chosen = np.argsort(-gaps, kind="stable")[: count - spent - 1]
        free = (gaps[chosen].sum() + 2 * width - 1 - last[-1]) / (2 * width)
        if free > best:
            best = float(free)
            conditions = np.concatenate([second[:, ends[longest[:spent]]], first[:, last[chosen]]], axis=1)
    coefficients = _orthogonal(conditions.transpose(1, 0, 2).copy())
    left = np.zeros((2 * width, 2), np.uint64)
    for row, coefficient in zip(first, coefficients, strict=True):
        left ^= gf128.multiply(row, coefficient[None])
    return best, float(1 - left.any(axis=1).mean())


def _moved(rows: U64, order: npt.NDArray[np.int64]) -> U64:
    out = np.zeros_like(rows)
    out[:, order] = rows
    return out


def _summed(rows: U64, order: npt.NDArray[np.int64], factors: U64) -> U64:
    """Coefficients before a round, from those after it: moved back, times the factors, summed from the end."""
    moved = _moved(rows, order)
    times = gf128.multiply(moved.reshape(-1, 2), np.tile(factors, (len(rows), 1))).reshape(moved.shape)
    summed: U64 = np.bitwise_xor.accumulate(times[:, ::-1], axis=1)[:, ::-1]
    return summed


def _orthogonal(rows: U64) -> U64:
    """A vector that is not 0 whose product with each row is; there is one row less than columns."""
    pivots: list[int] = []
    for row in range(len(rows)):
        column = int(np.flatnonzero(rows[row].any(axis=1))[0])
        rows[row] = gf128.multiply(rows[row], gf128.inverse(rows[row, column][None]))
        others = np.flatnonzero(rows[:, column].any(axis=1))
        others = others[others != row]
        both = gf128.multiply(
            np.tile(rows[row], (len(others), 1)), np.repeat(rows[others, column], rows.shape[1], axis=0)
        )
        rows[others] ^= both.reshape(len(others), -1, 2)
        pivots.append(column)
    (free,) = set(range(rows.shape[1])) - set(pivots)
    out = np.zeros((rows.shape[1], 2), np.uint64)
    out[free, 0] = 1
    out[pivots] = rows[:, free]
    return out


def algebraic_bits(noises: int, block: int) -> float:
    """Solving for the noise by its equations: two places of one block multiply to 0, and outputs are linear.

    Some places of each block are guessed to be free; with all that can be, that is guessing alone (Prange). The degree
    is where the Hilbert series of the rest, (1 + (b - 1) z)^t (1 - z)^(m - t), is no longer positive; the cost is the
    square of the number of monomials of that degree. Source: Briaud, Oygarden, EUROCRYPT 2023 (eprint 2023/176).
    """
    outputs, best = noises * block // 2, math.inf
    for part in range(41):
        left = block - round(block * part / 80)
        guess = noises * math.log2(block / left)
        if left * noises <= outputs:
            return min(best, guess + 2 * math.log2(outputs))
        degree = _degree(noises, left, outputs)
        each = max(
            _log2_comb(noises, i) + i * math.log2(left) + _log2_comb(degree - 1, i - 1) for i in range(1, degree + 1)
        )
        best = min(best, guess + 2 * each)
    return best


def _degree(noises: int, block: int, outputs: int) -> int:
    for degree in range(1, noises):
        terms = (
            math.comb(noises, i) * (block - 1) ** i * (-1) ** (degree - i) * math.comb(outputs - noises, degree - i)
            for i in range(degree + 1)
        )
        if sum(terms) <= 0:
            return degree
    return noises


def _log2_comb(n: int, k: int) -> float:
    return math.log2(math.comb(n, k))
