"""How many dummies a list gets, so that a helper counts matches only give or take noise: an exact table, and its proof.

Source: protocols.md 1.10.
"""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Final

from pets.kernels.exponential import GUARD_BITS, SLACK, exp_minus

DRAW_BITS: Final = 128
WEIGHT_BITS: Final = 192
MAX_SLOTS: Final = 2**20


@dataclass(frozen=True, slots=True)
class DummyTable:
    """The law of the number of dummies D in 0..2s: discrete Laplace around s, cut to that range.

    ``thresholds``: D is the number of thresholds that a 128-bit draw reaches; ``weights``: fixed point of 192 bits.
    ``digest``: SHA-256 over the parameters and weights, compared in the hello round.
    """

    epsilon: Fraction
    delta: Fraction
    k: int
    s: int
    weights: tuple[int, ...] = field(repr=False)
    thresholds: tuple[int, ...] = field(repr=False)
    digest: str


def dummy_table(epsilon: Fraction, delta: Fraction, k: int, s: int) -> DummyTable:
    """Make the table for neighbours whose counts differ by at most ``k``, and prove its (epsilon, delta).

    Units:   ``s`` is half the number of slots, from ``check.budget.dummy_slots``.
    Raises:  ValueError if the table as it will be drawn from, rounding included, has a greater delta.
    Source:  protocols.md 1.10.
    """
    if epsilon <= 0 or not 0 < delta < 1 or k < 1 or not k <= s <= MAX_SLOTS:
        raise ValueError("dummies need epsilon > 0, 0 < delta < 1, k >= 1 and k <= s <= 2^20")
    ratio = exp_minus(epsilon / k)
    side, power = [], 1 << GUARD_BITS
    for _ in range(s + 1):
        side.append(power >> (GUARD_BITS - WEIGHT_BITS))
        power = power * ratio >> GUARD_BITS
    weights = (*reversed(side[1:]), *side)
    total, reached, thresholds = sum(weights), 0, []
    for weight in weights[:-1]:
        reached += weight
        thresholds.append(-((-reached << DRAW_BITS) // total))
    hasher = hashlib.sha256(b"pets/1 dummies\0" + f"{epsilon} {delta} {k} {s}\0".encode())
    for weight in weights:
        hasher.update(weight.to_bytes(WEIGHT_BITS // 8 + 1, "big"))
    table = DummyTable(epsilon, delta, k, s, weights, tuple(thresholds), hasher.hexdigest())
    if helper_delta(table) > delta:
        raise ValueError(f"{2 * s} slots are too few for this epsilon and delta")
    return table


def draw_dummies(table: DummyTable, draw: int) -> int:
    """The number of dummies for one uniform draw of 128 bits; every threshold is compared, whatever the draw."""
    if not 0 <= draw < 1 << DRAW_BITS:
        raise ValueError("a draw has 128 bits")
    return sum([draw >= threshold for threshold in table.thresholds])


def helper_delta(table: DummyTable) -> Fraction:
    """Greatest delta at the table's epsilon between counts that differ by k: exact, but for rounding upwards of e^eps.

    Sums, over all numbers m of tags that the helper might see, what P(m) has above e^epsilon P'(m); both directions.
    The 2^128 draws are counted one for one, so the rounding of weights and thresholds is in it. Fewer than k rows of
    difference give less: the sum is over a shorter end of the table.
    """
    edges = (0, *table.thresholds, 1 << DRAW_BITS)
    draws = [above - below for below, above in pairwise(edges)]
    apart = [0] * table.k
    at_most = (1 << 2 * GUARD_BITS) // (exp_minus(table.epsilon) + SLACK)  # e^epsilon, rounded down
    worst = 0
    for mine, other in ((draws + apart, apart + draws), (apart + draws, draws + apart)):
        excess = sum(max(0, (p << GUARD_BITS) - at_most * q) for p, q in zip(mine, other, strict=True))
        worst = max(worst, excess)
    return Fraction(worst, 1 << (GUARD_BITS + DRAW_BITS))
