"""From identifiers to tags: 13 bytes an identifier, blocks of 16, and the first bytes of their encryption.

A block is type, occurrence (2 bytes, big-endian) and 13 bytes: a fixed-width identifier itself, the keyed hash of a
longer one, or a big-endian index for rows that stand for nobody. AES permutes the blocks, so only the cut can collide.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from pets.kernels import aes, blake2
from pets.kernels.jit import U8Array, U16Array, U32Array, U64Array, fetch, kernel, load64, store64, swap64
from pets.secret import Secret

ID_BYTES: Final = 13

_TILE: Final = 1 << 14
"""Blocks of one step: 256 KiB."""


_AHEAD: Final = 32
"""How many rows ahead the memory of a random place is asked for."""


class Kind(IntEnum):
    """What a tag stands for: first byte of its block."""

    ROW = 1
    COMMON_DUMMY = 2
    FILLER_A = 3
    FILLER_B = 4
    SENTINEL = 5
    PADDING_A = 6
    PADDING_B = 7


def tag_rows(key: Secret[bytes], ids: U8Array, occurrence: U16Array, *, width: int) -> U8Array:
    """Map each row to its tag: the first `width` bytes of its block of kind ROW under AES-128.

    Shapes:  ids (n, 13) uint8 as `id_blocks` gives them; occurrence (n,) uint16; (n, width) uint8, same order.
    Units:   width in bytes, 1 to 16; occurrence from 1 for the first row of a person.
    Learned: nothing leaves here; who holds `key` can test any identifier, so never the helper.
    Raises:  ValueError on a wrong shape, dtype or width: our bug.
    Source:  protocols.md 0.7.
    """
    _need(ids, np.uint8, (None, ID_BYTES), "identifiers")
    _need(occurrence, np.uint16, (len(ids),), "occurrences")
    out = _tags(len(ids), width)
    blocks = np.empty((min(_TILE, len(ids)), aes.BLOCK_BYTES), np.uint8)
    for start in range(0, len(ids), _TILE):
        part = slice(start, start + _TILE)
        tile = blocks[: len(out[part])]
        _row_blocks(ids[part], occurrence[part], tile.view(np.uint64))
        aes.encrypt_blocks(key, tile)
        _cut(tile, out[part])
    return out


def tag_indexed(key: Secret[bytes], kind: Kind, start: int, count: int, *, width: int) -> U8Array:
    """Give the tags of rows that stand for nobody: indices `start` ... `start + count - 1` of `kind`.

    Shapes:  (count, width) uint8.
    Raises:  ValueError if `kind` is ROW, or on a negative or too great index: our bug.
    Source:  protocols.md 0.7.
    """
    if kind is Kind.ROW:
        raise ValueError("rows have identifiers, not indices")
    if start < 0 or count < 0 or start + count > 1 << 63:
        raise ValueError("indices of a kind of tag are not negative")
    out = _tags(count, width)
    blocks = np.empty((min(_TILE, count), aes.BLOCK_BYTES), np.uint8)
    for first in range(0, count, _TILE):
        part = slice(first, first + _TILE)
        tile = blocks[: len(out[part])]
        _indexed_blocks(np.uint64(kind), np.uint64(start + first), tile.view(np.uint64))
        aes.encrypt_blocks(key, tile)
        _cut(tile, out[part])
    return out


def take(tags: U8Array, order: U32Array) -> U8Array:
    """Give the rows `tags[order[i]]` in the order of i, tags or identifiers of any width.

    Raises: IndexError if a position is out of range.
    """
    _need(tags, np.uint8, (None, None), "tags")
    _need(order, np.uint32, (None,), "positions")
    if order.size and int(order.max()) >= len(tags):
        raise IndexError("a position is outside the list of tags")
    if tags.shape[1] > aes.BLOCK_BYTES:  # the kernel moves a first and a last word, which is all of a tag
        return tags[order]
    out = _tags(order.size, tags.shape[1])
    _take(tags, order, out)
    return out


def place(tags: U8Array, positions: U32Array, out: U8Array) -> None:
    """Write `tags[i]` to row `positions[i]` of `out`. Raises IndexError if a position is out of range."""
    _need(tags, np.uint8, (None, None), "tags")
    _need(positions, np.uint32, (len(tags),), "positions")
    _need(out, np.uint8, (None, tags.shape[1]), "the list of tags")
    if tags.shape[1] > aes.BLOCK_BYTES:
        raise ValueError("a tag has 1 to 16 bytes")
    if positions.size and int(positions.max()) >= len(out):
        raise IndexError("a position is outside the list of tags")
    _place(tags, positions, out)


def _need(array: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> None:
    if array.dtype != dtype or array.ndim != len(shape) or not array.flags.c_contiguous:
        raise ValueError(f"{what} have a wrong type or are not contiguous")
    if any(wanted is not None and wanted != got for wanted, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{what} have a wrong shape")


def _tags(count: int, width: int) -> U8Array:
    if not 1 <= width <= aes.BLOCK_BYTES:
        raise ValueError("a tag has 1 to 16 bytes")
    return np.empty((count, width), np.uint8)


@kernel
def _row_blocks(ids: U8Array, occurrence: U16Array, blocks: U64Array) -> None:
    for i in range(occurrence.size):
        number = np.uint64(occurrence[i])
        head = np.uint64(1) | (number >> np.uint64(8)) << np.uint64(8) | (number & np.uint64(255)) << np.uint64(16)
        blocks[i, 0] = head | load64(ids, 13 * i) << np.uint64(24)
        blocks[i, 1] = load64(ids, 13 * i + 5)


@kernel
def _indexed_blocks(kind: np.uint64, start: np.uint64, blocks: U64Array) -> None:
    for i in range(blocks.shape[0]):
        blocks[i, 0] = kind
        blocks[i, 1] = swap64(start + np.uint64(i))


@kernel
def _cut(blocks: U8Array, out: U8Array) -> None:
    width = out.shape[1]
    for i in range(out.shape[0]):
        if width >= 8:
            store64(out, width * i, load64(blocks, 16 * i))
            store64(out, width * i + width - 8, load64(blocks, 16 * i + width - 8))
        else:
            for byte in range(width):
                out[i, byte] = blocks[i, byte]


@kernel
def _take(tags: U8Array, order: U32Array, out: U8Array) -> None:
    width = np.uint64(tags.shape[1])
    flat = tags.reshape(-1)
    for i in range(order.size):
        if i + _AHEAD < order.size:
            fetch(flat, width * np.uint64(order[i + _AHEAD]))
        source = np.uint64(order[i])
        if width >= 8:
            store64(out, width * np.uint64(i), load64(tags, width * source))
            store64(
                out,
                width * np.uint64(i + 1) - np.uint64(8),
                load64(tags, width * (source + np.uint64(1)) - np.uint64(8)),
            )
        else:
            for byte in range(width):
                out[i, byte] = tags[source, byte]


@kernel
def _place(tags: U8Array, positions: U32Array, out: U8Array) -> None:
    width = np.uint64(tags.shape[1])
    flat = out.reshape(-1)
    for i in range(positions.size):
        if i + _AHEAD < positions.size:
            ahead = width * np.uint64(positions[i + _AHEAD])
            fetch(flat, ahead)
            fetch(flat, ahead + width - np.uint64(1))
        target = np.uint64(positions[i])
        if width >= 8:
            store64(out, width * target, load64(tags, width * np.uint64(i)))
            store64(
                out,
                width * (target + np.uint64(1)) - np.uint64(8),
                load64(tags, width * np.uint64(i + 1) - np.uint64(8)),
            )
        else:
            for byte in range(width):
                out[target, byte] = tags[i, byte]


@kernel
def _widen(ids: U8Array, out: U8Array) -> None:
    width = np.uint64(ids.shape[1])
    for i in range(ids.shape[0]):
        if width > 8:
            low = load64(ids, width * np.uint64(i))
            high = load64(ids, width * np.uint64(i + 1) - np.uint64(8)) >> np.uint64(8) * (np.uint64(16) - width)
            store64(out, 13 * i, low)
            store64(out, 13 * i + 5, low >> np.uint64(40) | high << np.uint64(24))
        else:
            for byte in range(13):
                out[i, byte] = ids[i, byte] if byte < width else np.uint8(0)


# -- identifiers -------------------------------------------------------------------------------------------------------


def id_blocks(ids: U8Array, *, fixed: bool, key: Secret[bytes] | None = None) -> U8Array:
    """Bring identifiers to 13 bytes: fixed-width ones as they are, others by keyed BLAKE2b.

    Shapes:  ids (n, w) uint8, each row filled up with zero bytes; w <= 13 if fixed, else w <= 64; (n, 13) uint8.
    Units:   a hashed identifier ends at its last byte that is not zero, whatever w is; none may be empty.
    Learned: nothing leaves here; `key` is that of label "idhash".
    Raises:  ValueError on a wrong shape, a missing or needless key, or an empty identifier.
    Source:  RFC 7693; protocols.md 0.7 (two identifiers collide with probability at most n * n * 2**-105).
    """
    _need(ids, np.uint8, (None, None), "identifiers")
    count, width = ids.shape
    if fixed != (key is None):
        raise ValueError("identifiers are hashed, with a key, exactly if their width is not fixed")
    if not 1 <= width <= (ID_BYTES if fixed else blake2.MAX_BYTES):
        raise ValueError("identifiers are wider than the specification allows")
    out = np.empty((count, ID_BYTES), np.uint8)
    if key is None:
        _widen(ids, out)
        return out
    blake2.hash_rows(key, ids, out)
    return out
