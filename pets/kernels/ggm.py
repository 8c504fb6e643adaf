"""Trees of seeds: who knows the root knows all leaves, who knows one sum of each level knows all leaves but one.

A node gives two: AES of it under either of two keys of the run, plus the node. Of each level the sender knows the sum
of all left and of all right nodes. The receiver asks for one of the two, by oblivious transfer: that on the side its
own path does not take. It knows all other nodes on that side, so it finds the one beside its path, and with it all
below. Only as many nodes as the leaves need are made: of each level the first ones.

Source: Goldreich, Goldwasser, Micali, JACM 33 (1986); Boyle, Couteau, Gilboa, Ishai, CCS 2018 and 2019 (eprint
        2019/1159), "puncturable PRF"; Guo, Yang, Wang et al., EUROCRYPT 2023 (one AES with a fixed key a node);
        protocols.md 5.3 and 5.4.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pets.kernels import aes
from pets.kernels.aes import BLOCK_BYTES, encrypt_step
from pets.kernels.jit import I64Array, U8Array, U64Array, add16, copy16, kernel
from pets.secret import Secret

_STEP: Final = 16
"""Nodes that are encrypted at a time."""

Keys = tuple[Secret[bytes], Secret[bytes]]
"""Of left and of right nodes: fresh for each run, known to both parties."""


def depth_of(leaves: int) -> int:
    """Levels below the root."""
    if leaves < 2:
        raise ValueError("a tree has two leaves at least")
    return (leaves - 1).bit_length()


def sides(holes: I64Array, leaves: int) -> U8Array:
    """Which sum of each level the receiver asks for: 0 left, 1 right. As secret as the holes.

    Shapes:  holes (trees,) int64, each from 0 to leaves - 1; result (trees, depth) uint8, first level first.
    """
    depth = depth_of(leaves)
    if holes.dtype != np.int64 or holes.ndim != 1 or (holes.size and not 0 <= holes.min() <= holes.max() < leaves):
        raise ValueError("a hole is one of the leaves")
    bits = holes[:, None] >> np.arange(depth - 1, -1, -1) & 1
    return (1 - bits).astype(np.uint8)


def expand(seeds: U64Array, leaves: int, keys: Keys) -> tuple[U64Array, U64Array, U64Array]:
    """All leaves of each tree, the sums of each level, and the sum of all leaves of each tree.

    Shapes:  seeds (trees, 2) uint64; result (trees * leaves, 2), tree after tree; (trees, depth, 2, 2): level, side,
             word; (trees, 2). All secret.
    """
    if seeds.dtype != np.uint64 or seeds.ndim != 2 or seeds.shape[1] != 2:
        raise ValueError("seeds are an (n, 2) array of uint64")
    out, sums = np.zeros((len(seeds), leaves, 2), np.uint64), np.zeros((len(seeds), depth_of(leaves), 2, 2), np.uint64)
    out[:, 0] = seeds
    total = _expanded(out, np.full(len(seeds), -1), sums, keys)
    return out.reshape(-1, 2), sums, total


def expand_but(holes: I64Array, asked: U64Array, leaves: int, keys: Keys) -> tuple[U64Array, U64Array]:
    """All leaves of each tree but that of its hole, which is 0 here, and the sum of all others of the tree.

    Shapes:  holes (trees,) int64; asked (trees, depth, 2) uint64, the sums on the ``sides`` of the holes; result
             (trees * leaves, 2) and (trees, 2). Memory is written at places that follow from the holes.
    """
    depth = sides(holes, leaves).shape[1]
    if asked.dtype != np.uint64 or asked.shape != (holes.size, depth, 2):
        raise ValueError("one sum of each level of each tree")
    sums = np.zeros((holes.size, depth, 2, 2), np.uint64)
    sums[:, :, 0] = asked
    out = np.zeros((holes.size, leaves, 2), np.uint64)
    total = _expanded(out, holes, sums, keys)
    return out.reshape(-1, 2), total


def _expanded(out: U64Array, holes: I64Array, sums: U64Array, keys: Keys) -> U64Array:
    """Fill ``out`` from the roots in its first column. ``holes``: -1 for a sender, whose ``sums`` are filled."""
    total = np.zeros((len(out), 2), np.uint64)
    left, right = map(aes.expanded, keys)
    if left is None or right is None:
        _expand_portable(out, holes, sums, keys, total)
    else:
        _expand_kernel(left, right, out, holes, sums, np.empty((3, 2 * _STEP), np.uint64), total)
    return total


def _widths(leaves: int) -> Sequence[int]:
    """How many nodes each level has, from the first below the root on."""
    depth = depth_of(leaves)
    return [-(-leaves >> depth - level) for level in range(1, depth + 1)]


def _expand_portable(out: U64Array, holes: I64Array, sums: U64Array, keys: Keys, total: U64Array) -> None:
    """Level by level, all trees at once."""
    nodes, trees, depth = out[:, :1].copy(), np.arange(len(out)), sums.shape[1]
    for level, width in enumerate(_widths(out.shape[1])):
        children = np.empty((len(out), 2 * nodes.shape[1], 2), np.uint64)
        for side, key in enumerate(keys):
            blocks = nodes.copy()
            aes.encrypt_blocks(key, blocks.reshape(-1).view(np.uint8).reshape(-1, BLOCK_BYTES))
            children[:, side::2] = blocks ^ nodes
        nodes = np.ascontiguousarray(children[:, :width])
        for tree in trees[holes >= 0]:
            _mend(nodes, tree, int(holes[tree]) >> depth - 1 - level, sums[tree, level, 0])
        for side in range(2):
            both = np.bitwise_xor.reduce(nodes[:, side::2], axis=1)
            sums[holes < 0, level, side] = both[holes < 0]
    out[:] = nodes
    total[:] = np.bitwise_xor.reduce(nodes, axis=1)


def _mend(nodes: U64Array, tree: int, hole: int, asked: U64Array) -> None:
    """Set a node on the path to 0, and the one beside it to what is missing from its side's sum."""
    beside = hole ^ 1
    nodes[tree, hole] = 0
    if beside < nodes.shape[1]:
        nodes[tree, beside] = 0
        nodes[tree, beside] = asked ^ np.bitwise_xor.reduce(nodes[tree, beside & 1 :: 2], axis=0)


@kernel
def _expand_kernel(left: Any, right: Any, out: Any, holes: Any, sums: Any, scratch: Any, total: Any) -> None:
    """Tree by tree: a tree stays in the second-level cache. Each level takes the place of the one before."""
    depth, leaves = sums.shape[1], out.shape[1]
    for tree in range(out.shape[0]):
        base = 16 * leaves * tree
        width = 1
        for level in range(depth):
            children = (leaves + (1 << (depth - 1 - level)) - 1) >> (depth - 1 - level)
            for back in range((width + _STEP - 1) // _STEP):  # from the last to the first: a node's are behind it
                start = ((width + _STEP - 1) // _STEP - 1 - back) * _STEP
                count = min(_STEP, width - start)
                for i in range(count):
                    copy16(scratch, 16 * i, out, base + 16 * (start + i))
                    copy16(scratch, 256 + 16 * i, scratch, 16 * i)
                    copy16(scratch, 512 + 16 * i, scratch, 16 * i)
                encrypt_step(left, scratch, 256)
                encrypt_step(right, scratch, 512)
                for i in range(count):
                    child = 2 * (start + i)
                    add16(out, base + 16 * child, scratch, 16 * i, scratch, 256 + 16 * i)
                    if child + 1 < children:
                        add16(out, base + 16 * (child + 1), scratch, 16 * i, scratch, 512 + 16 * i)
            width = children
            hole = holes[tree] >> (depth - 1 - level)
            if hole >= 0:
                for word in range(2):
                    out[tree, hole, word] = 0
                    if hole ^ 1 < width:
                        out[tree, hole ^ 1, word] = 0
            for word in range(2):
                even, odd = np.uint64(0), np.uint64(0)
                for i in range(0, width - 1, 2):
                    even ^= out[tree, i, word]
                    odd ^= out[tree, i + 1, word]
                if width & 1:
                    even ^= out[tree, width - 1, word]
                if hole < 0:
                    sums[tree, level, 0, word] = even
                    sums[tree, level, 1, word] = odd
                elif hole ^ 1 < width:
                    missing = sums[tree, level, 0, word] ^ (odd if hole & 1 == 0 else even)
                    out[tree, hole ^ 1, word] = missing
                    even ^= missing
                total[tree, word] = even ^ odd
