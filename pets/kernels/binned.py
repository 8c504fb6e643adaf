"""A table of elements of GF(2^128), in bins, from which every key reads its own; other keys read what looks random.

Reading is linear: the sum of three slots of the key's bin, one in each third, and of ``DENSE`` more times powers of
what the key hashes to. So whoever holds A times a number plus a table reads the same of what the table gives. Bins
stay in the cache; each is written by itself, as ``okvs`` writes its one table: keys are taken off one by one and set in
the opposite order, the few that are left have equations in the dense slots alone. Slots that no key needs are random:
without that a table would tell which ones they are, and they depend on the keys.

Source: Raghuraman, Rindal, CCS 2022 (eprint 2022/320): clustered tables of weight 3 and their measured law of failures;
        protocols.md 5.5; sizes: docs/adr/0032.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from pets.kernels import aes, gf128
from pets.kernels.gf128 import TOGETHER, Field, in_a_row, place_of
from pets.kernels.jit import (
    U32Array,
    U64Array,
    add16,
    copy16,
    fetch,
    inlined,
    is_contiguous,
    kernel,
    seen,
    typed_intrinsic,
)
from pets.kernels.okvs import Unsolvable, digit, peel
from pets.kernels.prf import Stream
from pets.secret import Secret

DENSE: Final = 4
"""Dense slots of each bin: as many keys may be put aside."""

BIN: Final = 1 << 16
"""Keys of a bin, at most, if they were spread evenly."""

MAX_KEYS: Final = 1 << 26

_AHEAD: Final = 12
"""How many keys ahead memory is asked for."""

_TILE: Final = 64
"""Keys whose slots are asked for before the first of them is read."""


@dataclass(frozen=True, slots=True)
class Size:
    """The table for so many keys: a function of their number alone, in whole numbers, as the card has it.

    A table cannot be written with probability at most 2^-40, from three causes, each summed over the bins:

    * a bin gets more keys than its ``capacity``: 2^-42 (the tail of a binomial distribution)
    * a bin's keys leave more than a handful aside: 2^-41, by the law of failures that eprint 2022/320 measured, at
      41 + log2(bins) bits: slots = (50.2 + log2(bins)) / slope + 1.223 for each key of the capacity, log2(slope) =
      0.555 log2(capacity) + 2.336. That grows like a root, so its tangent at 20,000 keys is above it everywhere
    * more than ``DENSE`` pairs of keys have the same three slots: below 2^-48
    """

    keys: int

    def __post_init__(self) -> None:
        if not 1 <= self.keys <= MAX_KEYS:
            raise ValueError("a table is for 1 to 2^26 keys")

    @property
    def bins(self) -> int:
        return -(-self.keys // BIN)

    @property
    def _bits(self) -> int:
        """Bits that the bound on each bin has more than that on all of them: log2 of their number, rounded up."""
        return (self.bins - 1).bit_length()

    @property
    def capacity(self) -> int:
        """Keys of a bin, at most."""
        return self.keys if self.bins == 1 else -(-self.keys // self.bins) + 1750 + 40 * self._bits

    @property
    def third(self) -> int:
        """Slots of each third of a bin."""
        return (1242 * self.capacity // 1000 + 460 + 34 * self._bits) // 3 + 1

    @property
    def of_bin(self) -> int:
        """Slots of a bin: three thirds, then the dense ones."""
        return 3 * self.third + DENSE

    @property
    def slots(self) -> int:
        return self.bins * self.of_bin


def hashed(keys: U64Array, seed: Secret[bytes]) -> U64Array:
    """What places a key: AES of it under the seed, plus the key itself. Who holds the seed can hash any key.

    Shapes:  keys (n, 2) uint64, all distinct; result (n, 2). The seed is 16 fresh bytes of the writer, known to both.
    """
    out = np.ascontiguousarray(keys).copy()
    aes.encrypt_blocks(seed, out.view(np.uint8))
    out ^= keys
    return out


def read(table: U64Array, hashes: U64Array, size: Size) -> U64Array:
    """The element of every key.

    Shapes:  table (slots, 2) uint64; hashes (n, 2) uint64; result (n, 2). All may be secret, places in memory follow
             from the hashes.
    """
    if table.dtype != np.uint64 or table.shape != (size.slots, 2) or not table.flags.c_contiguous:
        raise ValueError(f"expected a table of {size.slots} elements")
    _check(hashes)
    out = np.empty((len(hashes), 2), np.uint64)
    tile, slots = np.zeros((2 * _TILE, 2), np.uint64), np.zeros((_TILE, 4), np.int64)
    _read(gf128.how(), seen(table), seen(hashes), np.uint64(size.bins), np.uint64(size.third), slots, tile, out)
    return out


def write(hashes: U64Array, elements: U64Array, size: Size, fill: Stream) -> U64Array:
    """A table from which key i reads ``elements[i]``; slots that no key needs are taken from ``fill``.

    Shapes:  hashes and elements (keys, 2) uint64; result (slots, 2). ``fill`` gives 2 slots words, whatever the keys.
    Raises:  Unsolvable, with probability 2^-40 for distinct keys and a fresh seed, and for keys that are equal. The run
             ends then, and nothing is tried again: a second seed would be chosen by what the keys are.
    """
    _check(hashes, elements)
    if not len(hashes) == len(elements) == size.keys:
        raise ValueError("a table takes as many keys and elements as it is for")
    bins = _Bins(hashes, elements, size)
    table = fill.words(2 * size.slots).reshape(size.bins, size.of_bin, 2)
    for number in np.flatnonzero(bins.put):
        table[number, 3 * size.third :] = bins.dense(int(number), table[number])
    bins.set_all(table)
    return table.reshape(size.slots, 2)


def _check(*arrays: U64Array) -> None:
    for array in arrays:
        if array.dtype != np.uint64 or array.ndim != 2 or array.shape[1] != 2:
            raise ValueError("keys, hashes and elements are (n, 2) arrays of uint64")


class _Bins:
    """Keys sorted by their bin, each bin's in the order in which they are taken off. ``put``: keys put aside."""

    def __init__(self, hashes: U64Array, elements: U64Array, size: Size) -> None:
        count, bins = len(hashes), size.bins
        self.size: Final = size
        following = np.zeros(bins + 1, np.int64)
        hashes, elements = seen(hashes), seen(elements)
        _count(hashes, np.uint64(bins), following)
        if int(following.max()) > size.capacity:
            raise Unsolvable("a bin gets more keys than it has room for")
        self._starts: Final = np.cumsum(following)
        following = self._starts[:-1].copy()
        self._at: Final[U32Array] = np.empty((count, 3), np.uint32)
        self._hashes, self._elements = np.zeros((count + TOGETHER, 2), np.uint64), np.empty((count, 2), np.uint64)
        _sort(
            hashes,
            elements,
            np.uint64(bins),
            np.uint64(size.third),
            following,
            self._at,
            self._hashes,
            self._elements,
        )
        self._order, self._pivot = np.empty(count, np.uint32), np.empty(count, np.uint32)
        self._aside, self.put = np.empty((bins, DENSE), np.uint32), np.empty(bins, np.int64)
        left, alone = np.zeros((3 * size.third, 2), np.uint32), np.empty(3 * size.third + 1, np.uint32)
        gone = np.zeros(count, np.uint8)
        _peel_bins(self._at, self._starts, left, alone, gone, self._order, self._pivot, self._aside, self.put)
        if int(self.put.min()) < 0:
            raise Unsolvable("too many keys of a bin are left aside")

    def set_all(self, table: U64Array) -> None:
        """Set the slots of all keys in a table whose other slots are final."""
        for number in range(self.size.bins):
            self._set(number, table[number], self._elements)

    def dense(self, number: int, filled: U64Array) -> U64Array:
        """The dense slots with which all keys of a bin read right, of those put aside, too.

        What a key put aside reads is linear in the dense slots, if those taken off are set as they have to be. So it is
        measured: what is missing with none of them, then what each of them adds where nothing else is asked for.
        """
        bin_, third = slice(*self._starts[number : number + 2]), 3 * self.size.third
        rows = self._aside[number, : self.put[number]]
        tried = filled.copy()
        tried[third:] = 0
        missing = self._elements[bin_][rows] ^ self._tried(number, tried, self._elements, rows)
        zeros, parts = np.zeros_like(self._elements), []
        for slot in range(DENSE):
            tried[:] = 0
            tried[third + slot, 0] = 1
            parts.append(self._tried(number, tried, zeros, rows))
        return _solved(np.stack(parts, axis=1), missing, filled[third:])

    def _tried(self, number: int, table: U64Array, elements: U64Array, rows: U32Array) -> U64Array:
        """What ``rows`` of a bin read once its other keys are set."""
        self._set(number, table, elements)
        at = self._at[slice(*self._starts[number : number + 2])][rows]
        hashes = self._hashes[slice(*self._starts[number : number + 2])][rows]
        total: U64Array = np.bitwise_xor.reduce(table[at], axis=1)
        power = hashes
        for element in table[3 * self.size.third :]:
            total ^= gf128.multiply(power, element[None])
            power = gf128.multiply(power, hashes)
        return total

    def _set(self, number: int, table: U64Array, elements: U64Array) -> None:
        start, stop = self._starts[number : number + 2]
        rest = np.empty((stop - start + TOGETHER, 2), np.uint64)
        _less_dense(gf128.how(), self._hashes[start:], elements[start:stop], table, self.size.third, rest)
        taken = stop - start - self.put[number]
        order, pivot = self._order[start : start + taken], self._pivot[start : start + taken]
        _set_back(order, pivot, self._at[start:stop], rest, table)


def _solved(parts: U64Array, missing: U64Array, free: U64Array) -> U64Array:
    """The dense slots x with parts x = missing; those that no equation needs are ``free``. Raises Unsolvable.

    Shapes:  parts (k, DENSE, 2) uint64, missing (k, 2), free (DENSE, 2); result (DENSE, 2).
    """
    rows = np.concatenate([parts, missing[:, None]], axis=1)
    pivots: list[int] = []
    for number in range(len(rows)):
        columns = np.flatnonzero(rows[number, :DENSE].any(axis=1))
        if not columns.size:
            raise Unsolvable("the dense slots have no solution")
        pivots.append(int(columns[0]))
        rows[number] = gf128.multiply(rows[number], gf128.inverse(rows[number, pivots[-1]][None]))
        for other in range(len(rows)):
            if other != number:
                rows[other] ^= gf128.multiply(rows[number], rows[other, pivots[-1]][None])
    out = free.copy()
    for number, pivot in enumerate(pivots):
        others = [column for column in range(DENSE) if column not in pivots]
        out[pivot] = rows[number, DENSE] ^ gf128.dot(rows[number, others], free[others])[0]
    return out


# -- kernels ----------------------------------------------------------------------------------------------------------


@inlined
def _slots(low: Any, high: Any, bins: Any, third: Any) -> Any:
    """The bin and the three slots in it that a hash says: digits of a fraction of 72 bits."""
    number, low, more = digit(low, high & np.uint64(255), bins)
    first, low, more = digit(low, more, third)
    second, low, more = digit(low, more, third)
    last, low, more = digit(low, more, third)
    return number, first, third + second, third + third + last


@kernel
def _count(hashes: Any, bins: Any, counts: Any) -> None:
    """Keys of each bin, at the place after its own."""
    for i in range(hashes.shape[0]):
        number, _, _ = digit(hashes[i, 0], hashes[i, 1] & np.uint64(255), bins)
        counts[np.int64(number) + 1] += 1


@kernel
def _sort(
    hashes: Any, elements: Any, bins: Any, third: Any, following: Any, at: Any, hashes_out: Any, elements_out: Any
) -> None:
    for i in range(hashes.shape[0]):
        number, first, second, last = _slots(hashes[i, 0], hashes[i, 1], bins, third)
        place = following[np.int64(number)]
        following[np.int64(number)] = place + 1
        at[place, 0], at[place, 1], at[place, 2] = first, second, last
        copy16(hashes_out, 16 * place, hashes, 16 * i)
        copy16(elements_out, 16 * place, elements, 16 * i)


@kernel
def _peel_bins(
    at: Any, starts: Any, left: Any, alone: Any, gone: Any, order: Any, pivot: Any, aside: Any, put: Any
) -> None:
    first = np.zeros(1, np.int64)
    for number in range(put.size):
        left[:] = 0
        start, stop = starts[number], starts[number + 1]
        put[number] = peel(
            at[start:stop], left, alone, gone[start:stop], order[start:stop], pivot[start:stop], aside[number], first
        )


@typed_intrinsic
def _dense_step(
    typing_context: Any, how: Any, hashes: Any, at: Any, table: Any, a: Any, b: Any, c: Any, d: Any, out: Any, to: Any
) -> Any:
    """`_dense_step(how, hashes, at, table, a, b, c, d, out, to)`: what four hashes in a row read of dense slots.

    ``a`` to ``d``: the byte where the dense slots of each begin; ``at`` and ``to``: bytes, too. A hash x reads slot k
    times x^(k + 1). Nothing checks the bounds.
    """
    if not is_contiguous(how, hashes, table, out):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        field, rest = Field(builder, how.ndim), (context, builder, signature, arguments)

        def slot(k: int) -> Any:
            return field.load([place_of(*rest, 3, arguments[4 + i], 16 * k) for i in range(TOGETHER)], in_a_row=False)

        points, total = field.load(in_a_row(*rest, 1)), slot(DENSE - 1)
        for k in range(DENSE - 2, -1, -1):
            total = field.sum(field.product(total, points), slot(k))
        field.store(field.product(total, points), in_a_row(*rest, 8))
        return context.get_dummy_value()

    byte = types.intp
    return types.void(how, hashes, byte, table, byte, byte, byte, byte, out, byte), emit


@typed_intrinsic
def _add_three(
    typing_context: Any, out: Any, to: Any, base: Any, at: Any, table: Any, first: Any, second: Any, last: Any
) -> Any:
    """`_add_three(out, to, base, at, table, first, second, last)`: an element and three of a table, by their numbers.

    ``to`` and ``at``: bytes. Nothing checks the bounds.
    """
    if not is_contiguous(out, base, table):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair, shift, rest = (
            ir.VectorType(ir.IntType(64), 2),
            ir.IntType(64)(4),
            (context, builder, signature, arguments),
        )
        places = [place_of(*rest, 2, arguments[3])]
        places += [place_of(*rest, 4, builder.shl(slot, shift)) for slot in arguments[5:]]
        total = reduce(builder.xor, [builder.load(place(0, pair), align=1) for place in places])
        builder.store(total, place_of(*rest, 0, arguments[1])(0, pair), align=1)
        return context.get_dummy_value()

    number = types.intp
    return types.void(out, number, base, number, table, number, number, number), emit


@kernel
def _less_dense(how: Any, hashes: Any, elements: Any, table: Any, third: int, rest: Any) -> None:
    """What each key's three slots have to come to: its element less what it reads of the dense slots of its bin.

    Hashes and result have rows up to the next multiple of four, which do not matter.
    """
    dense = 48 * third
    for i in range(0, elements.shape[0], TOGETHER):
        _dense_step(how, hashes, 16 * i, table, dense, dense, dense, dense, rest, 16 * i)
    for i in range(elements.shape[0]):
        add16(rest, 16 * i, rest, 16 * i, elements, 16 * i)


@kernel
def _set_back(order: Any, pivot: Any, at: Any, rest: Any, table: Any) -> None:
    """Set the slot of each key, the last one taken off first; the slot itself is 0 when it is read."""
    for i in range(order.size):
        for word in range(2):
            table[pivot[i], word] = 0
    for back in range(order.size):
        i = order.size - 1 - back
        soon = np.uint64(order[max(i - _AHEAD, 0)])
        fetch(at, np.uint64(3) * soon)
        fetch(rest, np.uint64(2) * soon)
        row = np.int64(order[i])
        _add_three(table, 16 * np.int64(pivot[i]), rest, 16 * row, table, at[row, 0], at[row, 1], at[row, 2])


@kernel
def _read(how: Any, table: Any, hashes: Any, bins: Any, third: Any, slots: Any, tile: Any, out: Any) -> None:
    """``slots`` and ``tile``: for the keys of one tile, three slots and the dense ones; their hashes and dense sums."""
    of_bin = np.int64(third) * 3 + DENSE
    for start in range(0, out.shape[0], _TILE):
        count = min(_TILE, out.shape[0] - start)
        for i in range(count):
            number, first, second, last = _slots(hashes[start + i, 0], hashes[start + i, 1], bins, third)
            base = np.int64(number) * of_bin
            slots[i, 0], slots[i, 1] = base + np.int64(first), base + np.int64(second)
            slots[i, 2], slots[i, 3] = base + np.int64(last), base + of_bin - DENSE
            for j in range(3):
                fetch(table, np.uint64(2 * slots[i, j]))
            copy16(tile, 16 * i, hashes, 16 * (start + i))
        for i in range(0, count, TOGETHER):
            a, b, c, d = 16 * slots[i, 3], 16 * slots[i + 1, 3], 16 * slots[i + 2, 3], 16 * slots[i + 3, 3]
            _dense_step(how, tile, 16 * i, table, a, b, c, d, tile, 16 * (_TILE + i))
        for i in range(count):
            _add_three(out, 16 * (start + i), tile, 16 * (_TILE + i), table, slots[i, 0], slots[i, 1], slots[i, 2])
