"""Columns of words modulo 2^64: gather, scatter, prefix sums through permutations, sums per cell, products.

``scatter`` puts ``values[i]`` at ``index[i]`` and ``gather`` takes ``values[index[i]]``, as in every formula of the
design. The plain functions check dtype, shape and range of every index (a kernel that is handed a wrong one would write
anywhere); the kernels below them make one pass and allocate nothing. Every input is handed on as a read-only view, so
each kernel has one compiled form, whoever owns the array.

Raises throughout: ValueError on a wrong dtype, shape or index. That is our bug, or, for indices that a peer sent and
``check_injection`` has not seen, the peer's.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pets.kernels import prf
from pets.kernels.jit import U32Array, U64Array, fetch, kernel
from pets.secret import Secret


def gather(values: U64Array, index: U32Array) -> U64Array:
    """Take ``values[index[i]]`` for every i.

    Shapes:  values (N,) uint64; index (n,) uint32 below N; result (n,) uint64.
    """
    out = np.empty(index.size, np.uint64)
    _gather(_read(values, np.uint64), _index(index, values.size), out)
    return out


def gather_into(out: U64Array, values: U64Array, index: U32Array) -> None:
    """Add ``values[index[i]]`` to ``out[i]``, in place.

    Shapes:  out (n,) uint64; values (N,) uint64; index (n,) uint32 below N.
    """
    _gather_into(_written(out, index.size), _read(values, np.uint64), _index(index, values.size))


def scatter_into(out: U64Array, index: U32Array, values: U64Array) -> None:
    """Add ``values[i]`` to ``out[index[i]]``, in place; an index may repeat.

    Shapes:  out (N,) uint64; index (n,) uint32 below N; values (n,) uint64.
    """
    _scatter_into(_written(out), _index(index, out.size), _read(values, np.uint64, index.size))


def segment_sums(values: U64Array, group: U32Array, groups: int) -> U64Array:
    """Sum the values of every group.

    Shapes:  values (n,) uint64; group (n,) uint32 below ``groups``; result (groups,) uint64, 0 for an empty group.
    """
    out = np.zeros(groups, np.uint64)
    _scatter_into(out, _index(group, groups), _read(values, np.uint64, group.size))
    return out


def prefix_scatter(values: U64Array, q: U32Array, rho2: U32Array, out: U64Array) -> None:
    """Write the running sum of the values, taken in the order ``q``, to places of its own.

    ``out[rho2[i]] = values[q[0]] + ... + values[q[i]]`` for every i. ``out`` is written, not added to.

    Shapes:  values, out (n,) uint64, not the same array; q, rho2 (n,) uint32, permutations of n.
    """
    n = values.size
    if q.size != n or rho2.size != n or np.may_share_memory(values, out):
        raise ValueError("prefix_scatter takes two permutations of the values' length, and another array to write to")
    _prefix_scatter(_read(values, np.uint64), _index(q, n), _index(rho2, n), _written(out, n))


def compose(rho: U32Array, sigma: npt.NDArray[Any], n_b: int) -> U32Array:
    """Follow each row of a to where its partner of b went; an unmatched row p goes to its own slot ``rho[n_b + p]``.

    Shapes:  rho (N,) uint32, a permutation, N = n_b + n; sigma (n,) int64 or uint32: below n_b where matched, anything
             else (-1, or 2^32 - 1) where not; result (n,) uint32, distinct if the matches in sigma are.
    """
    if rho.size != n_b + sigma.size or sigma.dtype not in (np.dtype(np.int64), np.dtype(np.uint32)):
        raise ValueError("rho covers n_b partners and one slot for each row; sigma is int64 or uint32")
    out = np.empty(sigma.size, np.uint32)
    wide = sigma.view(np.uint64) if sigma.dtype == np.int64 else sigma
    _compose(_read(rho, np.uint32), _read(wide, wide.dtype), np.uint64(n_b), out)
    return out


def check_injection(tau: U32Array, n: int) -> None:
    """Refuse indices that repeat or are not below ``n``.

    Shapes:  tau (m,) uint32, from a peer.
    Raises:  ValueError, without saying which: the driver ends the run either way.
    """
    seen = np.zeros((n + 63) // 64, np.uint64)
    found = _check_injection(_read(tau, np.uint32), np.uint64(n), seen)
    if found == _OUT_OF_RANGE:
        raise ValueError("an index is out of range")
    if found == _REPEATED:
        raise ValueError("an index occurs twice")


def multiply_into(out: U64Array, x: U64Array, y: U64Array) -> None:
    """Add ``x[i] * y[i]`` to ``out[i]``, in place. Shapes: all (n,) uint64."""
    _multiply_into(_written(out), _read(x, np.uint64, out.size), _read(y, np.uint64, out.size))


def product_share_a(share: U64Array, x: U64Array, opened: U64Array) -> None:
    """Turn role a's share of a gathered column into ``x * (share + opened)``, in place; the mask w is added elsewhere.

    Shapes:  all (n,) uint64.
    Source:  helper_join_a, step 3: x*z_a + x*f, where f is what the helper's share differs from the dealer's v by.
    """
    _product_share_a(_written(share), _read(x, np.uint64, share.size), _read(opened, np.uint64, share.size))


def minus_words(values: U64Array, key: Secret[bytes]) -> U64Array:
    """The values less the stream of ``key``: a one-time pad, in a new array. Shapes: (n,) uint64."""
    out = values.copy()
    prf.sub_words(key, out)
    return out


def warm_up() -> None:
    """Compile every kernel of this module."""
    one, at = np.ones(1, np.uint64), np.zeros(1, np.uint32)
    gather(one, at)
    gather_into(one.copy(), one, at)
    segment_sums(one, at, 1)
    prefix_scatter(one, at, at, one.copy())
    compose(np.zeros(2, np.uint32), np.zeros(1, np.int64), 1)
    compose(np.zeros(2, np.uint32), at, 1)
    check_injection(at, 1)
    multiply_into(one.copy(), one, one)
    product_share_a(one.copy(), one, one)


def _read(array: npt.NDArray[Any], dtype: npt.DTypeLike, size: int | None = None) -> npt.NDArray[Any]:
    """The array as a read-only, contiguous vector of exactly this dtype."""
    if array.dtype != dtype or array.ndim != 1 or (size is not None and array.size != size):
        raise ValueError(f"expected a vector of {np.dtype(dtype)}{'' if size is None else f' of length {size}'}")
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _index(index: U32Array, below: int) -> U32Array:
    view = _read(index, np.uint32)
    if view.size and int(view.max()) >= below:
        raise ValueError("an index is out of range")
    return view


def _written(out: U64Array, size: int | None = None) -> U64Array:
    if out.dtype != np.uint64 or out.ndim != 1 or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("expected a contiguous vector of uint64 to write to")
    if size is not None and out.size != size:
        raise ValueError(f"expected a vector of length {size} to write to")
    return out


_OUT_OF_RANGE: Final = 1
_REPEATED: Final = 2
_AHEAD: Final = 32
"""How many rows ahead the memory of a random place is asked for."""


@kernel
def _gather(values: Any, index: Any, out: Any) -> None:
    far = max(index.size - _AHEAD, 0)
    for i in range(far):
        fetch(values, index[i + _AHEAD])
        out[i] = values[index[i]]
    for i in range(far, index.size):
        out[i] = values[index[i]]


@kernel
def _gather_into(out: Any, values: Any, index: Any) -> None:
    for i in range(index.size):
        out[i] += values[index[i]]


@kernel
def _scatter_into(out: Any, index: Any, values: Any) -> None:
    far = max(index.size - _AHEAD, 0)
    for i in range(far):
        fetch(out, index[i + _AHEAD])
        out[index[i]] += values[i]
    for i in range(far, index.size):
        out[index[i]] += values[i]


@kernel
def _prefix_scatter(values: Any, q: Any, rho2: Any, out: Any) -> None:
    run = np.uint64(0)
    far = max(q.size - _AHEAD, 0)
    for i in range(far):
        fetch(values, q[i + _AHEAD])
        fetch(out, rho2[i + _AHEAD])
        run += values[q[i]]
        out[rho2[i]] = run
    for i in range(far, q.size):
        run += values[q[i]]
        out[rho2[i]] = run


@kernel
def _compose(rho: Any, sigma: Any, n_b: Any, out: Any) -> None:
    for p in range(sigma.size):
        partner = np.uint64(sigma[p])
        out[p] = rho[partner if partner < n_b else n_b + np.uint64(p)]


@kernel
def _check_injection(tau: Any, n: Any, seen: Any) -> int:
    """One bit an index; says which of the two faults came first, or 0."""
    for p in range(tau.size):
        at = np.uint64(tau[p])
        if at >= n:
            return _OUT_OF_RANGE
        word = at >> np.uint64(6)
        bit = np.uint64(1) << (at & np.uint64(63))
        if seen[word] & bit:
            return _REPEATED
        seen[word] |= bit
    return 0


@kernel
def _multiply_into(out: Any, x: Any, y: Any) -> None:
    for i in range(out.size):
        out[i] += x[i] * y[i]


@kernel
def _product_share_a(share: Any, x: Any, opened: Any) -> None:
    for i in range(share.size):
        share[i] = x[i] * (share[i] + opened[i])
