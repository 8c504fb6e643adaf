"""Where rows lie in role a's list: group order, then the shared permutation. Numba kernels, no allocation inside."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import fetch, kernel

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

_AHEAD: Final = 32
"""How many rows ahead the memory of a random place is asked for."""


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
        out[row] = q[np.uint64(following[c])]
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
        far = max(bounds[c + 1] - _AHEAD, bounds[c])
        for i in range(bounds[c], far):
            fetch(out, q[i + _AHEAD])
            out[q[i]] = c
        for i in range(far, bounds[c + 1]):
            out[q[i]] = c


def follow(order: U32, rho: U32, count: int) -> U32:
    """Where the first ``count`` entries of a list end up: sorted by ``order``, then place j going to ``rho[j]``.

    Shapes:  order (n,) uint32, a permutation; rho (at least n,) uint32; result (count,) uint32:
             ``result[order[j]] == rho[j]`` for every j with ``order[j] < count``.
    """
    if rho.size < order.size or not 0 <= count <= order.size:
        raise ValueError("rho covers the list, and no more entries are followed than it has")
    out = np.empty(order.size, np.uint32)
    _follow(order, rho, out)
    return out[:count]


@kernel
def _follow(order: Any, rho: Any, out: Any) -> None:
    far = max(order.size - _AHEAD, 0)
    for j in range(far):
        fetch(out, order[j + _AHEAD])
        out[order[j]] = rho[j]
    for j in range(far, order.size):
        out[order[j]] = rho[j]
