"""A table of words from which every key reads its own word by a sum, and no other key reads anything it could expect.

Keys are *tokens*: 16 bytes that look random to whoever lacks the key that made them. A token says three slots, one in
each third of the table, and a subset of ``DENSE`` further slots; reading is the sum of these words modulo 2^64. It is
linear in the table, so that parties who hold two summands of a table read two summands of the word.

Writing solves the equations: a slot that one key alone has left is that key's to set, so keys are taken off one by one
and set in the opposite order. Where none is left to take (a 2-core), a key is put aside; the dense slots are for those.
Their equations are uniform modulo 2, so they have a solution modulo 2^64 except with probability 2^(aside - DENSE).
With ``slots_of`` more than a handful of keys are put aside with probability below 2^-40.

Source:  Garimella, Pinkas, Rosulek, Trieu, Yanai, CRYPTO 2021; Raghuraman, Rindal, CCS 2022 (eprint 2022/320), whose
         measured law of failures gives the size; docs/adr/0021: binary dense slots and one unbroken table are ours.
"""

from typing import Any, Final

import numpy as np

from pets.kernels.jit import U8Array, U32Array, U64Array, fetch, inlined, kernel, load64, seen

TOKEN_BYTES: Final = 16
DENSE: Final = 56
"""Bits of a token that choose dense slots; the other 72 choose three slots."""

MAX_KEYS: Final = 1 << 24
"""Above this, 72 bits would no longer spread over three thirds."""

_AHEAD: Final = 24
"""How many rows ahead the memory of a random place is asked for."""
_BYTES: Final = DENSE // 8


class Unsolvable(ValueError):
    """The equations have no solution: a chance of 2^-39 for tokens that look random, certain for equal ones."""


def third_of(keys: int) -> int:
    """Slots of each third of the table for at most so many keys; the formula is on the card, too."""
    if not 0 <= keys <= MAX_KEYS:
        raise ValueError("a table is for at most 2^24 keys")
    return 127 * keys // 300 + 73


def slots_of(third: int) -> int:
    """Words of a table: three thirds and the dense slots."""
    return 3 * third + DENSE


class Places:
    """Where tokens read: worked out once, used for every column. Shapes: tokens (n, 16) uint8."""

    def __init__(self, tokens: U8Array, third: int) -> None:
        if tokens.dtype != np.uint8 or tokens.ndim != 2 or tokens.shape[1] != TOKEN_BYTES:
            raise ValueError("tokens are an (n, 16) array of uint8")
        if not 1 <= third <= third_of(MAX_KEYS) or len(tokens) >= 1 << 32:
            raise ValueError("a table has thirds of some slots, and is read less than 2^32 times")
        self.third: Final = third
        self.at: Final[U32Array] = np.empty((len(tokens), 3), np.uint32)
        self.dense: Final[U64Array] = np.empty(len(tokens), np.uint64)
        _places(np.ascontiguousarray(tokens), np.uint64(third), self.at, self.dense)

    @property
    def slots(self) -> int:
        return slots_of(self.third)

    def __repr__(self) -> str:
        return f"Places({len(self.at)} of {self.slots})"


def read(table: U64Array, places: Places) -> U64Array:
    """The word of every token: the sum of its slots modulo 2^64.

    Shapes:  table (slots,) uint64; result (n,) uint64.
    Learned: nothing leaves here; a summand of a table gives a summand of the words.
    Raises:  ValueError if the table is of another size: our bug, for the gate has seen its length.
    """
    if table.dtype != np.uint64 or table.shape != (places.slots,):
        raise ValueError(f"expected a table of {places.slots} words")
    out = np.empty(len(places.at), np.uint64)
    view = seen(table)
    _read(view, places.at, places.dense, _sums_of_bytes(view[3 * places.third :]), out)
    return out


class Writer:
    """Writes columns of words for one set of tokens, all distinct. The order of solving is worked out once.

    Raises:  Unsolvable. The run ends then, and nothing is tried again: a second try with other tokens would choose them
             by what the keys are.
    """

    def __init__(self, tokens: U8Array, third: int) -> None:
        if len(tokens) > MAX_KEYS:
            raise ValueError("a table is for at most 2^24 keys")
        self.places: Final = Places(tokens, third)
        count, slots = len(tokens), 3 * third
        self._order, self._pivot = np.empty(count, np.uint32), np.empty(count, np.uint32)
        aside, first = np.empty(DENSE, np.uint32), np.zeros(1, np.int64)
        left, alone = np.zeros((slots, 2), np.uint32), np.empty(slots + 1, np.uint32)
        put = peel(self.places.at, left, alone, np.zeros(count, np.uint8), self._order, self._pivot, aside, first)
        if put < 0:
            raise Unsolvable("too many keys are left aside")
        self._aside: Final = aside[:put]
        self._order, self._pivot = self._order[: count - put], self._pivot[: count - put]
        self._core: Final = slice(int(first[0]), count - put)
        self._steps: Final = _eliminated(self._equations())

    @property
    def aside(self) -> int:
        """Keys whose equations the dense slots solve."""
        return len(self._aside)

    def write(self, words: U64Array) -> U64Array:
        """A table from which token i reads ``words[i]``. Slots that no token needs are 0.

        Shapes:  words (n,) uint64; result (slots,) uint64.
        """
        if words.dtype != np.uint64 or words.shape != (len(self.places.at),):
            raise ValueError("a table takes one word for each token")
        table = np.zeros(self.places.slots, np.uint64)
        third = 3 * self.places.third
        if self.aside:
            self._back(words, table, self._core, np.zeros((_BYTES, 256), np.uint64))
            rest = words[self._aside] - table[self.places.at[self._aside]].sum(axis=1, dtype=np.uint64)
            table[third:] = _solved(self._steps, [int(word) for word in rest])
            table[:third] = 0
        self._back(words, table, slice(0, len(self._order)), _sums_of_bytes(table[third:]))
        return table

    def _back(self, words: U64Array, table: U64Array, rows: slice, sums: U64Array) -> None:
        order, pivot = self._order[rows], self._pivot[rows]
        _set_back(order, pivot, self.places.at, self.places.dense, words, sums, bool(sums.any()), table)

    def _equations(self) -> list[list[int]]:
        """The equations of the keys put aside, in the dense slots alone: one row of coefficients each.

        What a slot of the core comes to is a sum of words and dense slots; slots outside it are set later, or are 0.
        """
        if not self.aside:
            return []
        of_slot: dict[int, U64Array] = {}
        order, pivot = self._order[self._core], self._pivot[self._core]
        for row, slot in zip(order[::-1].tolist(), pivot[::-1].tolist(), strict=True):
            of_slot[slot] = np.uint64(0) - self._sum_of(of_slot, row)
        return [[int(word) for word in self._sum_of(of_slot, row)] for row in self._aside.tolist()]

    def _sum_of(self, of_slot: dict[int, U64Array], row: int) -> U64Array:
        total: U64Array = (self.places.dense[row] >> np.arange(DENSE, dtype=np.uint64)) & np.uint64(1)
        for slot in self.places.at[row].tolist():
            if slot in of_slot:
                total = total + of_slot[slot]
        return total


# -- a few equations modulo 2^64 --------------------------------------------------------------------------------------

_MODULUS: Final = 1 << 64
_Steps = list[tuple[int, list[int], list[int]]]
"""For each equation in turn: the unknown it is solved for, its coefficients, and what it takes of those before it."""


def _eliminated(rows: list[list[int]]) -> _Steps:
    """Bring equations into steps: each has a unit at an unknown of its own, where all later ones have none.

    Raises: Unsolvable if an equation has no odd coefficient left.
    """
    steps: _Steps = []
    for row in rows:
        left, taken = list(row), []
        for unknown, other, _ in steps:
            times = left[unknown] * pow(other[unknown], -1, _MODULUS) % _MODULUS
            left = [(x - times * y) % _MODULUS for x, y in zip(left, other, strict=True)]
            taken.append(times)
        odd = next((at for at, x in enumerate(left) if x & 1), None)
        if odd is None:
            raise Unsolvable("the dense slots have no solution")
        steps.append((odd, left, taken))
    return steps


def _solved(steps: _Steps, words: list[int]) -> U64Array:
    """The dense slots: unknowns of no step are 0."""
    rest: list[int] = []
    for (_, _, taken), word in zip(steps, words, strict=True):
        rest.append((word - sum(t * r for t, r in zip(taken, rest, strict=True))) % _MODULUS)
    found = [0] * DENSE
    for (unknown, row, _), word in zip(reversed(steps), reversed(rest), strict=True):
        known = sum(x * value for x, value in zip(row, found, strict=True))
        found[unknown] = (word - known) * pow(row[unknown], -1, _MODULUS) % _MODULUS
    return np.array(found, np.uint64)


# -- kernels ----------------------------------------------------------------------------------------------------------


@inlined
def digit(low: Any, more: Any, third: Any) -> Any:
    """First digit to the base ``third`` of a fraction of 72 bits, and the 72 bits of what is left."""
    half = np.uint64(32)
    carried = more * third
    upper = (low >> half) * third
    lower = (low & np.uint64(0xFFFFFFFF)) * third
    whole = (upper + (lower >> half)) >> half
    left = low * third
    rest = left + (carried >> np.uint64(8))
    return whole + (np.uint64(1) if rest < left else np.uint64(0)), rest, carried & np.uint64(255)


@kernel
def _places(tokens: Any, third: Any, at: Any, dense: Any) -> None:
    for i in range(at.shape[0]):
        low, high = load64(tokens, 16 * i), load64(tokens, 16 * i + 8)
        more = high & np.uint64(255)
        dense[i] = high >> np.uint64(8)
        first, low, more = digit(low, more, third)
        second, low, more = digit(low, more, third)
        last, low, more = digit(low, more, third)
        at[i, 0] = first
        at[i, 1] = third + second
        at[i, 2] = third + third + last


def _sums_of_bytes(dense: U64Array) -> U64Array:
    """For each byte of a choice of dense slots, the sum of the slots that it chooses: (bytes, 256)."""
    sums = np.zeros((_BYTES, 256), np.uint64)
    _sum_bytes(np.ascontiguousarray(dense), sums)
    return sums


@kernel
def _sum_bytes(dense: Any, sums: Any) -> None:
    for byte in range(sums.shape[0]):
        for choice in range(1, 256):
            bit = 0
            while not choice >> bit & 1:
                bit += 1
            sums[byte, choice] = sums[byte, choice & (choice - 1)] + dense[8 * byte + bit]


@inlined
def _of_dense(choice: Any, sums: Any) -> Any:
    total = np.uint64(0)
    for byte in range(7):
        total += sums[byte, choice >> np.uint64(8 * byte) & np.uint64(255)]
    return total


@kernel
def _read(table: Any, at: Any, dense: Any, sums: Any, out: Any) -> None:
    for i in range(out.size):
        ahead = min(i + _AHEAD, out.size - 1)
        fetch(table, np.uint64(at[ahead, 0]))
        fetch(table, np.uint64(at[ahead, 1]))
        fetch(table, np.uint64(at[ahead, 2]))
        out[i] = table[at[i, 0]] + table[at[i, 1]] + table[at[i, 2]] + _of_dense(dense[i], sums)


@inlined
def _take_off(row: Any, at: Any, left: Any, alone: Any, waiting: Any) -> Any:
    """Take a key off its slots; slots that one key alone has left are added to those that wait."""
    for j in range(3):
        slot = at[row, j]
        left[slot, 0] -= np.uint32(1)
        left[slot, 1] ^= row
        alone[waiting] = slot  # kept only if it counts: whether it does is as good as chance, and branches would guess
        waiting += left[slot, 0] == 1
    return waiting


@kernel
def peel(at: Any, left: Any, alone: Any, gone: Any, order: Any, pivot: Any, aside: Any, first: Any) -> int:
    """Take keys off; how many were put aside, or -1 if that is more than there is room for.

    ``left``: for each slot how many keys have it, and the XOR of their numbers; ``alone``: room for one more than there
    are slots; ``first``: keys taken off before any was put aside.
    """
    count = at.shape[0]
    for i in range(count):
        ahead = min(i + _AHEAD, count - 1)
        for j in range(3):
            fetch(left, 2 * np.uint64(at[ahead, j]))
        for j in range(3):
            slot = at[i, j]
            left[slot, 0] += np.uint32(1)
            left[slot, 1] ^= np.uint32(i)
    waiting = 0
    for slot in range(left.shape[0]):
        alone[waiting] = slot
        waiting += left[slot, 0] == 1
    done, put, following, next_slot = 0, 0, 0, 0
    while True:
        while next_slot < waiting:  # first come, first taken: what comes next is known, and can be asked for ahead
            if next_slot + _AHEAD < waiting:
                fetch(left, 2 * np.uint64(alone[next_slot + _AHEAD]))
                fetch(at, 3 * np.uint64(left[alone[next_slot + _AHEAD // 2], 1]))
                soon = left[alone[next_slot + _AHEAD // 4], 1]
                for j in range(3):
                    fetch(left, 2 * np.uint64(at[soon, j]))
            slot = alone[next_slot]
            next_slot += 1
            if left[slot, 0] != 1:
                continue
            row = left[slot, 1]
            order[done], pivot[done], gone[row] = row, slot, 1
            done += 1
            waiting = _take_off(row, at, left, alone, waiting)
        if not put:
            first[0] = done
        if done + put == count:
            return put
        if put == aside.size:
            return -1
        while gone[following]:
            following += 1
        aside[put], gone[following] = following, 1
        put += 1
        waiting = _take_off(np.uint32(following), at, left, alone, waiting)


@kernel
def _set_back(order: Any, pivot: Any, at: Any, dense: Any, words: Any, sums: Any, has_dense: bool, table: Any) -> None:
    """Set the slot of each key, the last one taken off first; the slot itself is still 0 when it is read."""
    for back in range(order.size):
        i = order.size - 1 - back
        ahead = order[max(i - _AHEAD, 0)]
        far = order[max(i - 2 * _AHEAD, 0)]
        fetch(words, np.uint64(far))
        fetch(at, np.uint64(3) * np.uint64(far))
        for j in range(3):
            fetch(table, np.uint64(at[ahead, j]))
        row = order[i]
        word = words[row] - table[at[row, 0]] - table[at[row, 1]] - table[at[row, 2]]
        if has_dense:
            word -= _of_dense(dense[row], sums)
        table[pivot[i]] = word
