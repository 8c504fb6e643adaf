"""Checks by which who cheats in many transfers, products or trees is caught, or guessed right what it did not know.

*Columns.* Behind many transfers are 128 rows of bits, behind products 128 rows of elements. Who asks has a column k_i
for each of the 128, and the other side q_i = k_i + bit_i v, where v is what the first side chooses or brings, and has
to be the same in all of them. Columns are folded to two elements by powers of two points that depend on all that was
sent, and two more entries of each column, which serve for nothing else, hide v. So with fold F the first side shows
F(v) and F(k_i), and F(q_i) = F(k_i) + bit_i F(v) is asked for all i. Two values of v have two folds; a column with
another one than is shown fits for one of the two bits. So all columns that nobody guessed have one v, and b guesses
are all right with probability 2^-b.

*Trees.* One side knows all leaves b of each, the other c = b but for one place, where it has v delta more. It folds
them by powers of a point that it draws after the trees are fixed, and shows the power of its place times v, hidden by
a product that serves for nothing else. The other side answers with a hash of what the fold has to be.

Nothing here sends: arrays in, arrays out.

Source: Roy, CRYPTO 2022 (eprint 2022/192), section 4: a fold of each column, where Keller, Orsini, Scholl, CRYPTO 2015,
        had one of their sum, of which it shows that the proof does not hold; Yang, Weng, Lan, Zhang, Wang, CCS 2020
        (eprint 2020/924) and Weng, Yang, Katz, Wang, IEEE S&P 2021 (eprint 2020/925), for trees; docs/adr/0039.
"""

import hashlib
from typing import Final

import numpy as np

from pets.errors import PeerError
from pets.kernels import gf128
from pets.kernels.jit import I64Array, U8Array, U64Array
from pets.protocols.base import Array, Binding

HIDDEN: Final = 2
"""Entries of each column that hide what is shown, one for each point."""

ANSWER_BYTES: Final = 32

_POINTS: Final = b"pets/1-checked-points-"
_ANSWER: Final = b"pets/1-checked-answer-"


def points(tied: Binding, label: str, *said: Array) -> U64Array:
    """Two elements that nobody knows before all of ``said`` is fixed. Shapes: (2, 2) uint64."""
    state = hashlib.sha256(_POINTS + label.encode() + b"\0" + tied.digest + tied.run_id)
    for each in said:
        state.update(hashlib.sha256(np.ascontiguousarray(each).tobytes()).digest())
    return np.frombuffer(state.digest(), np.uint64).reshape(2, 2)


def show(columns: U64Array, values: U64Array, at: U64Array) -> U64Array:
    """What the first side shows of its columns and of what it chose: the folds of ``values``, then of each column.

    Shapes:  columns (128, n + 2, 2) uint64, values (n + 2, 2), at (2, 2) from ``points``; result (258, 2).
    """
    return _folded(np.concatenate([values[None], columns]), at).reshape(-1, 2)


def require(columns: U64Array, bits: U8Array, shown: U64Array, at: U64Array, *, label: str) -> None:
    """Hold the other side's columns against what is shown.

    Shapes:  columns (128, n + 2, 2) uint64; bits (128,) uint8; shown (258, 2) uint64.
    Raises:  PeerError peer.check: some column was made with other values.
    """
    value, theirs = shown[:HIDDEN], shown[HIDDEN:].reshape(len(columns), HIDDEN, 2)
    expected = theirs ^ value * bits[:, None, None].astype(np.uint64)
    if not np.array_equal(_folded(columns, at), expected):
        raise PeerError("peer.check", label=label)


def _folded(columns: U64Array, at: U64Array) -> U64Array:
    """Of each column, for each point, the sum of its n entries times powers from the first up, plus the point's own.

    Shapes:  columns (k, n + 2, 2) uint64; result (k, 2, 2).
    """
    count = columns.shape[1] - HIDDEN
    whole = np.ascontiguousarray(columns[:, :count]).reshape(-1, 2)
    out = columns[:, count:].copy()
    for i in range(HIDDEN):
        weights = np.tile(weights_of(at[i : i + 1], count), (len(columns), 1))
        out[:, i] ^= np.bitwise_xor.reduce(gf128.multiply(whole, weights).reshape(len(columns), count, 2), axis=1)
    return out


def weights_of(point: U64Array, count: int) -> U64Array:
    """Powers of a point, from the first up. Shapes: point (1, 2) uint64; result (count, 2)."""
    return np.ascontiguousarray(gf128.powers(point, count + 1)[1:])


def sums(leaves: U64Array, weights: U64Array) -> U64Array:
    """The fold of the leaves of each tree. Shapes: leaves (trees * n, 2) uint64, weights (n, 2); result (trees, 2)."""
    parts = [gf128.dot(tree, weights) for tree in leaves.reshape(-1, len(weights), 2)]
    return np.concatenate(parts)


def weighed(holes: I64Array, values: U64Array, masks: U64Array, weights: U64Array) -> U64Array:
    """Of each tree the weight of its noise's place times the noise, hidden. Shapes: (trees, 2) uint64 each."""
    return gf128.multiply(values, weights[holes]) ^ masks


def answer(folds: U64Array, tied: Binding) -> U8Array:
    """A hash of what the folds of all trees have to be; who asked wrongly learns nothing from it but by guessing.

    Shapes:  folds (trees, 2) uint64; result (1, 32) uint8.
    """
    content = _ANSWER + tied.digest + tied.run_id + np.ascontiguousarray(folds).tobytes()
    return np.frombuffer(hashlib.sha256(content).digest(), np.uint8).reshape(1, ANSWER_BYTES)
