"""Where rows lie in role a's list: group order, then the shared permutation. Numba kernels, no allocation inside."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import kernel

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def list_positions(cell: U32, first: I64, q: U32) -> U32:
    """List position of every row: row number j of cell c goes to ``q[first[c] + j]``.

    Shapes:  cell (n,) uint32 below G; first (G,) int64, where each cell starts in group order; q (N,) uint32;
             result (n,) uint32, distinct. ``first`` is not changed.
    """
    out = np.empty(cell.size, np.uint32)
    _list_positions(cell, first.copy(), q, out)
    return out


@kernel
def _list_positions(cell: Any, following: Any, q: Any, out: Any) -> None:
    for row in range(cell.size):
        c = cell[row]
        out[row] = q[following[c]]
        following[c] += 1


def cells_by_position(bounds: I64, q: U32) -> U32:
    """Cell of every list position: position ``q[i]`` has cell c for ``bounds[c] <= i < bounds[c + 1]``.

    Shapes:  bounds (G + 1,) int64, from 0 to N; q (N,) uint32, a permutation; result (N,) uint32.
    """
    out = np.empty(q.size, np.uint32)
    _cells_by_position(bounds, q, out)
    return out


@kernel
def _cells_by_position(bounds: Any, q: Any, out: Any) -> None:
    for c in range(bounds.size - 1):
        for i in range(bounds[c], bounds[c + 1]):
            out[q[i]] = c


def inverse(order: U32) -> U32:
    """Inverse of a permutation: ``inverse(order)[order[j]] == j``."""
    out = np.empty(order.size, np.uint32)
    _inverse(order, out)
    return out


@kernel
def _inverse(order: Any, out: Any) -> None:
    for j in range(order.size):
        out[order[j]] = j
