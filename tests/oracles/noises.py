"""How many bits regular noise over a large field hides, by the attacks that we know: see docs/adr/0032.

Codes have half as many outputs as inputs, and noises lie one in each block of as many inputs.
"""

import math

import numpy as np


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
