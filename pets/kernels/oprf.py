"""Outputs that one party has of one entry in each bin, and the other of any entry in any bin.

512 pairs of keys, of each of which the other party has one, as 512 bits of its own say. Streams of keys are columns of
a matrix of bits with a row for each bin: t of the first keys, q of those that were chosen. What is sent is both streams
and the code of the bin's entry; so q = t + (code and choice), and q + (code of another entry and choice) is t for the
entry of the bin and differs from it in a hundred unknown bits for every other. Outputs are hashes of rows.

Codes are four ciphertexts of an entry under public keys of the run: two entries differ in at least 128 of 512 places
but with a probability of 2^-102, as ``tests/kernels/test_oprf.py`` works out.

Source: Kolesnikov, Kumaresan, Rosulek, Trieu, CCS 2016 (eprint 2016/799), figures 1 and 2; protocols.md 5.7.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pets.kernels import aes, blake2
from pets.kernels.jit import U8Array, U32Array, U64Array, fetch, inlined, kernel, seen, store64
from pets.secret import Secret

COLUMNS: Final = 512
"""Bits of a code, so pairs of keys."""

WORDS: Final = COLUMNS // 64

PARTS: Final = COLUMNS // (8 * aes.BLOCK_BYTES)
"""Ciphertexts that make a code."""

LEAST: Final = 128
"""Places in which two codes differ, but with a negligible probability."""

_TILE: Final = 1 << 12
"""Rows of one step: 512 columns of them stay in the second-level cache."""

_PORTABLE_TILE: Final = 1 << 15
"""The same where each column of a step is a call of a library."""

_STEP: Final = blake2.ROW_LANES
"""Rows that are hashed at a time."""

_AHEAD: Final = 24
"""How many entries ahead the row of a bin is asked for."""

_LINE: Final = 64


@dataclass(frozen=True, slots=True)
class Public:
    """What both parties know of one run: keys of the code and of the hash, bytes of an output.

    ``elements``: whether the second half of each hash is asked for, too, for what goes with an output.
    """

    code: Sequence[Secret[bytes]]
    hash: Secret[bytes]
    width: int
    elements: bool

    def __post_init__(self) -> None:
        if len(self.code) != PARTS or not 1 <= self.width < aes.BLOCK_BYTES:
            raise ValueError("a code has four keys, an output 1 to 15 bytes")

    def state(self) -> U32Array:
        return blake2.state_of_rows(self.hash)


class Hashed(NamedTuple):
    """Of each row the first bytes of its hash, which are compared, and the last 16, if they are asked for.

    Shapes: outputs (..., width) uint8; elements (..., 2) uint64, or none.
    """

    outputs: U8Array
    elements: U64Array


class Columns:
    """The streams of 512 keys, as rows of bits. Shapes: keys (512, 16) uint8, secret."""

    def __init__(self, keys: U8Array) -> None:
        if keys.shape != (COLUMNS, aes.KEY_BYTES):
            raise ValueError("a matrix has 512 columns, each with its key")
        self._keys: Final = [Secret(key.tobytes()) for key in keys]
        rounds = [expanded for expanded in map(aes.expanded, self._keys) if expanded is not None]
        self._rounds: Final = np.stack(rounds) if rounds else None
        self.tile: Final = _PORTABLE_TILE if self._rounds is None else _TILE
        self._columns: Final = np.empty((COLUMNS, self.tile // 64), np.uint64)

    def rows(self, start: int, out: U64Array) -> None:
        """Write rows ``start`` ... of the matrix; at most ``tile``, from a multiple of it on. Shapes: out (n, 8)."""
        first = start // 64
        if self._rounds is None:
            for key, column in zip(self._keys, self._columns, strict=True):
                aes.ctr_words(key, first, column)
        else:
            _fill(self._rounds, np.uint64(first // 2), self._columns)
        _turn(self._columns, np.empty((64, WORDS), np.uint64), out)


def asked(first: Columns, second: Columns, blocks: U64Array, public: Public) -> tuple[U64Array, Hashed]:
    """What is sent for one entry in each bin, and what these hash to.

    Shapes:  blocks (bins, 2) uint64; result (bins, 8) uint64, and ``Hashed`` of as many.
    """
    message, hashed = np.empty((len(blocks), WORDS), np.uint64), _hashed(1, len(blocks), public)
    one, two = (np.empty((first.tile, WORDS), np.uint64) for _ in range(2))
    state, lanes = public.state(), _lanes()
    for part in _tiles(len(blocks), first.tile):
        count = part.stop - part.start
        first.rows(part.start, one[:count])
        second.rows(part.start, two[:count])
        _ask(one, two, _coded(blocks[part], public), message[part])
        _hash(state, one, lanes, hashed.outputs[0, part], hashed.elements[0, part])
    return message, Hashed(hashed.outputs[0], hashed.elements[0])


def received(chosen: Columns, choice: U64Array, message: U64Array) -> U64Array:
    """The rows q of all bins, with the keys that ``choice`` chose. Shapes: (8,), (bins, 8) uint64; result (bins, 8)."""
    out = _table(len(message))
    for part in _tiles(len(message), chosen.tile):
        chosen.rows(part.start, out[part])
        _receive(seen(message[part]), choice, out[part])
    return out


def evaluated(rows: U64Array, choice: U64Array, blocks: U64Array, places: U32Array, public: Public) -> Hashed:
    """What each entry hashes to in each of its bins.

    Shapes:  rows (bins, 8) uint64 as ``received`` gives them; choice (8,); blocks (n, 2) uint64; places (n, k) uint32,
             each less than bins; result ``Hashed`` of (k, n). Rows are read at places that follow from the entries.
    """
    if places.max(initial=0) >= max(len(rows), 1) or len(places) != len(blocks):
        raise ValueError("every entry has bins that exist")
    out = _hashed(places.shape[1], len(blocks), public)
    state, lanes = public.state(), _lanes()
    for part in _tiles(len(blocks), _TILE):
        code = _coded(blocks[part], public)
        for number in range(places.shape[1]):
            hashed = out.outputs[number, part], out.elements[number, part]
            _evaluate(rows, choice, code, places[part], number, state, lanes, *hashed)
    return out


def _hashed(lists: int, count: int, public: Public) -> Hashed:
    elements = np.empty((lists, count if public.elements else 0, 2), np.uint64)
    return Hashed(np.empty((lists, count, public.width), np.uint8), elements)


def _tiles(count: int, tile: int) -> Iterator[slice]:
    for start in range(0, count, tile):
        yield slice(start, min(start + tile, count))


def _table(rows: int) -> U64Array:
    """Memory for rows of 64 bytes, each in one line of the cache."""
    room = np.empty(rows * WORDS + _LINE // 8, np.uint64)
    start = -room.ctypes.data % _LINE // 8
    return room[start : start + rows * WORDS].reshape(rows, WORDS)


def _lanes() -> U32Array:
    return np.zeros((16, _STEP), np.uint32)


def _coded(blocks: U64Array, public: Public) -> U64Array:
    """Codes in parts, one for each key: (4, n, 2) uint64."""
    out = np.empty((PARTS, len(blocks), 2), np.uint64)
    out[:] = blocks
    for key, part in zip(public.code, out, strict=True):
        aes.encrypt_blocks(key, part.view(np.uint8))
    return out


# -- kernels ----------------------------------------------------------------------------------------------------------


@kernel
def _fill(rounds: Any, block: Any, columns: Any) -> None:
    """So many words of the stream of each key, from ``block`` on."""
    width = columns.shape[1]
    for j in range(columns.shape[0]):
        keys = rounds[j]
        for at in range(0, width, aes.STEP_WORDS):
            aes.ctr_step(keys, columns, 8 * (j * width + at), block + np.uint64(at // 2))


@kernel
def _turn(columns: Any, square: Any, out: Any) -> None:
    """Columns of bits to rows, 64 at a time, in eight squares side by side. Source: Warren, Hacker's Delight, 7-3."""
    for word in range((out.shape[0] + 63) // 64):
        for i in range(64):
            for k in range(WORDS):
                square[i, k] = columns[64 * k + i, word]
        width = 32
        mask = np.uint64(0x00000000FFFFFFFF)
        while width:
            shift = np.uint64(width)
            for i in range(64):
                if not i & width:
                    for k in range(WORDS):
                        moved = ((square[i, k] >> shift) ^ square[i + width, k]) & mask
                        square[i + width, k] ^= moved
                        square[i, k] ^= moved << shift
            width >>= 1
            mask ^= mask << np.uint64(width)
        for i in range(min(64, out.shape[0] - 64 * word)):
            for k in range(WORDS):
                out[64 * word + i, k] = square[i, k]


@kernel
def _ask(one: Any, two: Any, code: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        for part in range(PARTS):
            for word in range(2):
                k = 2 * part + word
                out[i, k] = one[i, k] ^ two[i, k] ^ code[part, i, word]


@kernel
def _receive(message: Any, choice: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        for k in range(WORDS):
            out[i, k] ^= message[i, k] & choice[k]


@kernel
def _hash(state: Any, rows: Any, lanes: Any, out: Any, elements: Any) -> None:
    """Hashes of rows as they are."""
    for start in range(0, out.shape[0], _STEP):
        count = min(_STEP, out.shape[0] - start)
        for lane in range(count):
            for k in range(WORDS):
                word = rows[start + lane, k]
                lanes[2 * k, lane] = np.uint32(word)
                lanes[2 * k + 1, lane] = np.uint32(word >> np.uint64(32))
        blake2.hash_lanes(state, lanes)
        for lane in range(count):
            _store(lanes, lane, out, elements, start + lane)


@kernel
def _evaluate(
    rows: Any, choice: Any, code: Any, places: Any, number: int, state: Any, lanes: Any, out: Any, elements: Any
) -> None:
    """Hashes of entries in their bins of one number."""
    for start in range(0, out.shape[0], _STEP):
        count = min(_STEP, out.shape[0] - start)
        for lane in range(count):
            i = start + lane
            soon = np.uint64(places[min(i + _AHEAD, out.shape[0] - 1), number])
            fetch(rows, soon * np.uint64(WORDS))
            place = places[i, number]
            for k in range(WORDS):
                word = rows[place, k] ^ (code[k // 2, i, k % 2] & choice[k])
                lanes[2 * k, lane] = np.uint32(word)
                lanes[2 * k + 1, lane] = np.uint32(word >> np.uint64(32))
        blake2.hash_lanes(state, lanes)
        for lane in range(count):
            _store(lanes, lane, out, elements, start + lane)


@inlined
def _word(lanes: Any, number: Any, lane: Any) -> Any:
    """Eight bytes of a digest."""
    return np.uint64(lanes[2 * number, lane]) | np.uint64(lanes[2 * number + 1, lane]) << np.uint64(32)


@inlined
def _store(lanes: Any, lane: Any, out: Any, elements: Any, row: Any) -> None:
    """The first bytes of a digest, and its last 16 if there is room for them."""
    width = out.shape[1]
    low, high = _word(lanes, 0, lane), _word(lanes, 1, lane)
    if width > 8:
        over = np.uint64(8 * (width - 8))
        store64(out, width * row, low)
        store64(out, width * (row + 1) - 8, (low >> over) | high << (np.uint64(64) - over))
    else:
        for byte in range(width):
            out[row, byte] = np.uint8(low >> np.uint64(8 * byte))
    if elements.shape[0]:
        elements[row, 0], elements[row, 1] = _word(lanes, 2, lane), _word(lanes, 3, lane)
