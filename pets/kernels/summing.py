"""Sums of many masked vectors modulo 2^64: the masks are streams of seeds, and only their sum is ever in memory.

A vector of an input party is split into streams that seeds stand for and one vector of words, the rest. Who has seeds
adds up their streams, a tile at a time: a tile of the total stays in the first-level cache while the streams of a batch
of keys are added to it, so memory is that of the total and of one batch of expanded keys, however many keys there are.

Source: seed compression as in Prio (Corrigan-Gibbs, Boneh, NSDI 2017, section 6); protocols.md 8.1.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

import numpy as np

from pets.kernels import aes, prf
from pets.kernels.aes import STEP_WORDS, ctr_step
from pets.kernels.jit import U64Array, kernel
from pets.secret import Secret

BATCH: Final = 128
"""Keys whose round keys are in memory at a time: 88 KiB, in the second-level cache."""

TILE: Final = 1 << 11
"""Words of the total that are worked on at a time: 16 KiB, in the first-level cache beside a piece of a stream."""

PIECE: Final = 16 * STEP_WORDS
"""Words of a stream that are drawn at a time: 4 KiB."""


def add_streams(keys: Iterable[Secret[bytes]], total: U64Array) -> None:
    """Add the stream of each key to ``total`` in place, modulo 2^64.

    Shapes:  total (n,) uint64, contiguous, writable; any number of keys of 16 bytes, none included.
    Units:   memory beside ``total``: less than 200 KiB, for any number of keys and words.
    Learned: nothing leaves here.
    """
    _combine(keys, total, subtract=False)


def sub_streams(keys: Iterable[Secret[bytes]], total: U64Array) -> None:
    """Take the stream of each key off ``total`` in place, modulo 2^64. As ``add_streams``."""
    _combine(keys, total, subtract=True)


def warm_up() -> None:
    """Compile what adds streams, for the back end that is selected."""
    add_streams([Secret(bytes(aes.KEY_BYTES))], np.zeros(1, np.uint64))


def _combine(keys: Iterable[Secret[bytes]], total: U64Array, *, subtract: bool) -> None:
    if total.dtype != np.uint64 or total.ndim != 1 or not total.flags.c_contiguous or not total.flags.writeable:
        raise ValueError("a total is a contiguous, writable (n,) array of uint64")
    if aes.selected() == aes.PORTABLE:
        for key in keys:
            (prf.sub_words if subtract else prf.add_words)(key, total)
        return
    piece = np.empty(PIECE, np.uint64)
    waiting = iter(keys)
    while batch := [_round_keys(key) for key in islice(waiting, BATCH)]:
        _streams_kernel(np.stack(batch), total, piece, subtract)


def _round_keys(key: Secret[bytes]) -> U64Array:
    expanded = aes.expanded(key)
    if expanded is None:
        raise ValueError("the back end was changed while streams were added")
    return expanded


@kernel
def _streams_kernel(keys: U64Array, total: U64Array, piece: U64Array, subtract: bool) -> None:
    for start in range(0, total.size, TILE):
        stop = min(start + TILE, total.size)
        for number in range(keys.shape[0]):
            own = keys[number]
            for at in range(start, stop, PIECE):
                size = min(PIECE, stop - at)
                for step in range(0, size, STEP_WORDS):
                    ctr_step(own, piece, 8 * step, np.uint64((at + step) // 2))
                if subtract:
                    for i in range(size):
                        total[at + i] -= piece[i]
                else:
                    for i in range(size):
                        total[at + i] += piece[i]
