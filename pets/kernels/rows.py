"""Rows of one table: number each person's rows, evaluate factors, sum per person. Nothing leaves the holder.

``person`` is the number of the person in each row; it never decreases, so the rows of one person are adjacent. A row
with occurrence 0 was dropped by ``number_rows``; functions that take ``occurrence`` leave such rows out.

Raises throughout: ValueError on a wrong dtype, shape, order or index: our bug.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import U16Array, U32Array, U64Array, inlined, kernel

I64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_LIMIT: Final = 2**16 - 1
"""Most rows a person may have: an occurrence has two bytes in a tag block."""

_LIMIT_OF_PRODUCTS: Final = 2**62


class Words(Protocol):
    """Uniform words of the party's own: ``prf.Stream``."""

    def words(self, n: int, /) -> U64Array:
        """The next n words."""


def number_rows(person: U32Array, limit: int, stream: Words) -> U16Array:
    """Number each person's rows 1, 2, ... in an order uniform over all orders; 0 where the number is above ``limit``.

    So of a person with more than ``limit`` rows, a uniform choice is kept. Exact: bounded numbers by rejection.

    Shapes:  person (n,) uint32; result (n,) uint16.
    Units:   limit, rows a person, 1 to 65535; takes one word for each row but the first of a person, rarely more.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be 1 to {MAX_LIMIT}")
    person = _vector(person, np.uint32)
    out = np.empty(person.size, np.uint16)
    persons = _count_persons(person)
    if persons < 0:
        raise ValueError("person decreases")
    words = stream.words(person.size - persons)
    order = np.empty(person.size, np.uint32)
    while not _number(person, np.uint32(limit), _vector(words, np.uint64), order, out):
        words = np.concatenate([words, stream.words(64)])
    return out


def person_starts(person: U32Array) -> U32Array:
    """First row of every person. Shapes: person (n,) uint32; result (m,) uint32, in order; m persons occur."""
    person = _vector(person, np.uint32)
    persons = _count_persons(person)
    if persons < 0:
        raise ValueError("person decreases")
    out = np.empty(persons + 1, np.uint32)
    _person_starts(person, out)
    return out[:persons]


def factor_rows(values: Sequence[I64Array], present: Sequence[BoolArray], unit: int, rows: int) -> I64Array:
    """Evaluate a factor: the product of ``values`` (1 if none), rounded half up to units, 0 where not ``present``.

    Shapes:  each of values (rows,) int64 and of present (rows,) bool; result (rows,) int64.
    Units:   the result is in multiples of ``unit``: (product + unit // 2) // unit, rounded down.
    Raises:  ValueError too if a product might pass 2^62: the ranges of the specification rule that out.
    """
    if unit < 1:
        raise ValueError("unit must be at least 1")
    out = np.ones(rows, np.int64)
    bound = 1
    for column in values:
        column = _vector(column, np.int64, rows)
        if rows:
            bound *= max(int(column.max()), -int(column.min()), 1)
        if bound + unit >= _LIMIT_OF_PRODUCTS:
            raise ValueError("a product might pass 2^62")
        _multiply(out, column)
    if unit > 1:
        _round(out, np.int64(unit // 2), np.int64(unit))
    for flags in present:
        _blank(out, _vector(flags, np.bool_, rows).view(np.uint8))
    return out


def first_in_cell(person: U32Array, cell: U32Array, cells: int, occurrence: U16Array | None = None) -> I64Array:
    """The factor "people": 1 on the first row of each person in each cell, else 0; 0 on dropped rows.

    Shapes:  person, cell (n,) uint32, cell below ``cells``; occurrence (n,) uint16 or all kept; result (n,) int64.
    """
    person, cell, kept = _table(person, cell, cells, occurrence)
    out = np.empty(person.size, np.int64)
    if not _first_in_cell(person, cell, kept, np.zeros(cells, np.int64), out):
        raise ValueError("person decreases")
    return out


def together_in_cell(
    person: U32Array, cell: U32Array, cells: int, factor: I64Array, occurrence: U16Array | None = None
) -> I64Array:
    """Add a factor up over the kept rows of each person in each cell, on the first of them; 0 on all other rows.

    Shapes:  person, cell (n,) uint32, cell below ``cells``; factor (n,) int64; occurrence (n,) uint16 or all kept;
             result (n,) int64. Units: those of the factor; rows a person times its bound stay below 2^62 by the plan.
    """
    person, cell, kept = _table(person, cell, cells, occurrence)
    factor = _vector(factor, np.int64, person.size)
    out = np.empty(person.size, np.int64)
    if not _together_in_cell(person, cell, kept, factor, np.zeros(cells, np.int64), out):
        raise ValueError("person decreases")
    return out


def per_person_sums(
    person: U32Array, cell: U32Array, cells: int, factor: I64Array, occurrence: U16Array | None = None
) -> I64Array:
    """Sum a factor over the kept rows of each person in each cell.

    Shapes:  person, cell (n,) uint32, cell below ``cells``; factor (n,) int64; occurrence (n,) uint16 or all kept;
             result (m, cells) int64, persons in the order of ``person_starts``; each column ``[:, h]`` is contiguous.
    Units:   those of the factor; rows a person times its bound stay below 2^62 by the plan.
    """
    person, cell, kept = _table(person, cell, cells, occurrence)
    factor = _vector(factor, np.int64, person.size)
    persons = _count_persons(person)
    if persons < 0:
        raise ValueError("person decreases")
    if cells == 1 and persons == person.size and kept.all():
        return factor.reshape(-1, 1)  # each row is a person's sum
    out = np.zeros((cells, persons), np.int64)
    _per_person_sums(person, cell, kept, factor, out)
    return out.T


def warm_up() -> None:
    """Compile every kernel of this module."""

    class _Zeros:
        def words(self, n: int, /) -> U64Array:
            return np.zeros(n, np.uint64)

    one = np.zeros(1, np.uint32)
    occurrence = number_rows(one, 1, _Zeros())
    person_starts(one)
    factor = factor_rows([np.ones(1, np.int64)], [np.ones(1, np.bool_)], 2, 1)
    first_in_cell(one, one, 1, occurrence)
    per_person_sums(one, one, 2, factor, occurrence)
    together_in_cell(one, one, 2, factor, occurrence)


def _vector(array: npt.NDArray[Any], dtype: npt.DTypeLike, size: int | None = None) -> npt.NDArray[Any]:
    """The array as a read-only, contiguous vector of exactly this dtype."""
    if array.dtype != dtype or array.ndim != 1 or (size is not None and array.size != size):
        raise ValueError(f"expected a vector of {np.dtype(dtype)}{'' if size is None else f' of length {size}'}")
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _table(
    person: U32Array, cell: U32Array, cells: int, occurrence: U16Array | None
) -> tuple[U32Array, U32Array, U16Array]:
    person = _vector(person, np.uint32)
    cell = _vector(cell, np.uint32, person.size)
    if cell.size and int(cell.max()) >= cells:
        raise ValueError("a cell is out of range")
    kept = np.ones(person.size, np.uint16) if occurrence is None else occurrence
    return person, cell, _vector(kept, np.uint16, person.size)


@kernel
def _count_persons(person: Any) -> int:
    """How many persons occur, or -1 if the numbers decrease somewhere."""
    persons, falls = min(person.size, 1), 0
    for i in range(1, person.size):
        persons += person[i] != person[i - 1]
        falls += person[i] < person[i - 1]
    return -1 if falls else persons


@kernel
def _person_starts(person: Any, out: Any) -> None:
    """Every row is written where the next start belongs, so the last place of ``out`` is left over."""
    persons = np.uint64(0)
    for i in range(person.size):
        out[persons] = i
        persons += np.uint64(i == 0 or person[i] != person[i - 1])


@inlined
def _below(bound: Any, words: Any, at: int) -> Any:
    """A uniform number below ``bound`` (at most 2^32) from words[at:], and the next place; -1 if they run out.

    Upper half of each word times the bound, with rejection of the words that would favour some numbers (Lemire 2019).
    """
    low_half = np.uint64(0xFFFFFFFF)
    while at < words.size:
        product = (words[at] >> np.uint64(32)) * bound
        at += 1
        low = product & low_half
        if low >= bound or low >= (low_half + np.uint64(1) - bound) % bound:
            return product >> np.uint64(32), at
    return np.uint64(0), -1


@kernel
def _number(person: Any, limit: Any, words: Any, order: Any, out: Any) -> bool:
    """Insert the rows of each person one by one at a uniform place among those before (inside-out Fisher-Yates)."""
    at, start = 0, 0
    for i in range(person.size):
        if i > 0 and person[i] == person[i - 1]:
            place, at = _below(np.uint64(i - start + 1), words, at)
            if at < 0:
                return False
            other = start + np.int64(place)
            order[i] = order[other]
            order[other] = np.uint32(i - start + 1)
        else:
            start = i
            order[i] = np.uint32(1)
    for i in range(person.size):
        out[i] = order[i] if order[i] <= limit else np.uint32(0)
    return True


@kernel
def _multiply(out: Any, column: Any) -> None:
    for i in range(out.size):
        out[i] *= column[i]


@kernel
def _round(out: Any, half: Any, unit: Any) -> None:
    for i in range(out.size):
        out[i] = (out[i] + half) // unit


@kernel
def _blank(out: Any, present: Any) -> None:
    for i in range(out.size):
        out[i] = out[i] if present[i] else np.int64(0)


@kernel
def _first_in_cell(person: Any, cell: Any, kept: Any, last: Any, out: Any) -> bool:
    """``last[c]``: one more than the first row of the last person seen in cell c."""
    start = 0
    for i in range(person.size):
        if i == 0 or person[i] != person[i - 1]:
            if i > 0 and person[i] < person[i - 1]:
                return False
            start = i + 1
        fresh = kept[i] != 0 and last[cell[i]] != start
        out[i] = fresh
        if fresh:
            last[cell[i]] = start
    return True


@kernel
def _together_in_cell(person: Any, cell: Any, kept: Any, factor: Any, last: Any, out: Any) -> bool:
    """``last[c]``: one more than the first kept row in cell c of the last person that has one there."""
    start = 0
    for i in range(person.size):
        out[i] = 0
        if i == 0 or person[i] != person[i - 1]:
            if i > 0 and person[i] < person[i - 1]:
                return False
            start = i + 1
        if kept[i] != 0:
            if last[cell[i]] < start:
                last[cell[i]] = i + 1
            out[last[cell[i]] - 1] += factor[i]
    return True


@kernel
def _per_person_sums(person: Any, cell: Any, kept: Any, factor: Any, out: Any) -> None:
    number = -1
    for i in range(person.size):
        if i == 0 or person[i] != person[i - 1]:
            number += 1
        if kept[i] != 0:
            out[cell[i], number] += factor[i]
