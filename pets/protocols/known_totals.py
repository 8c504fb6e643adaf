"""Where totals are known: which cells of a line are withheld for the sake of others, on shares.

A line is cut into blocks of cells, by their places alone. A block is withheld as a whole if anything in it is. If the
withheld blocks of a line have too few people between them, the first other block with enough is withheld as well, and
if there is none, the whole line. Nobody learns which: the same messages are sent whatever the counts are.

Source: our design, docs/adr/0017-cells-withheld-by-blocks.md; the reference in clear is tests/oracles/control.py.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pets.kernels.shares import PLANE
from pets.protocols.base import Role
from pets.protocols.rep3 import compare, sharing
from pets.protocols.rep3.sharing import Bits, Context, Words

U64 = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]


class Lines(Protocol):
    """What is public of a table: its lines and blocks, in cells; the minimum; counts that may be empty come first."""

    @property
    def lines(self) -> tuple[tuple[tuple[int, ...], ...], ...]: ...
    @property
    def min_count(self) -> int: ...
    @property
    def empties(self) -> int: ...
    @property
    def sets(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def rows(self) -> int: ...


class _Layout:
    """Where blocks and lines are: blocks after each other, line after line, each up to a whole number of planes."""

    def __init__(self, shape: Lines) -> None:
        blocks = [block for line in shape.lines for block in line]
        self.blocks, self.lines = padded(len(blocks)), padded(len(shape.lines))
        self.cells = np.array([cell for block in blocks for cell in block], np.intp)
        self.size = np.array([len(block) for block in blocks], np.uint64)
        self.block_starts = _starts([len(block) for block in blocks])
        self.line_starts = _starts([len(line) for line in shape.lines])
        self.line_of_block = np.repeat(np.arange(len(shape.lines)), [len(line) for line in shape.lines])
        self.block_of_cell = np.full(shape.rows, -1, np.intp)
        for number, block in enumerate(blocks):
            self.block_of_cell[list(block)] = number

    def by_block(self, cells: Words) -> Words:
        """Sums over the cells of each block."""
        return self._added(cells, self.cells, self.block_starts, self.blocks)

    def by_line(self, blocks: Words) -> Words:
        """Sums over the blocks of each line."""
        return self._added(blocks, np.arange(self.size.size), self.line_starts, self.lines)

    def sized(self, blocks: Words) -> Words:
        """Each block times the number of its cells."""
        size = _up_to(self.size, self.blocks)
        return Words(blocks.own * size, blocks.next * size)

    def before(self, blocks: Words) -> Words:
        """Of each block, the sum over those of its line that come before it."""
        own, following = (self._before(part) for part in (blocks.own, blocks.next))
        return Words(own, following)

    def _before(self, part: U64) -> U64:
        own = part[: self.size.size]
        sums = np.cumsum(own) - own
        return _up_to(sums - sums[self.line_starts][self.line_of_block], self.blocks)

    @staticmethod
    def _added(words: Words, order: Places, starts: Places, rows: int) -> Words:
        own, following = (_up_to(np.add.reduceat(part[order], starts), rows) for part in (words.own, words.next))
        return Words(own, following)


def padded(count: int) -> int:
    """Up to a whole number of planes."""
    return -(-count // PLANE) * PLANE


def _starts(sizes: Sequence[int]) -> Places:
    return np.cumsum([0, *sizes[:-1]], dtype=np.intp)


def _up_to(part: U64, rows: int) -> U64:
    return np.concatenate([part, np.zeros(rows - part.size, np.uint64)])


def also_withheld(ctx: Context, shape: Lines, counts: Sequence[Words], enough: Bits) -> Role[Bits]:
    """Take out of ``enough``, one bit a set and cell, what is withheld for the sake of other cells.

    ``counts``: every count of persons in every cell, everybody first.
    Sizes:   operation ``withheld_too`` of the card. Learned: nothing.
    """
    at, shows = _Layout(shape), shape.empties > 0
    whole = yield from _conjoined(ctx, _parts(enough, len(shape.sets)))
    (small,) = yield from compare.to_words(ctx, sharing.flipped(ctx, whole))
    untouched = yield from compare.is_zero(ctx, at.by_block(small))
    chosen = sharing.flipped(ctx, untouched)
    (word,) = yield from compare.to_words(ctx, chosen)
    sums = [at.by_block(count) for count in counts]
    few, fine = yield from _too_few(ctx, shape, at, counts[0] if shows else None, word, sums)
    ok = yield from _large(ctx, shape, at, sums, untouched, fine if shows else [])
    (large,) = yield from compare.to_words(ctx, ok)
    none = yield from compare.is_zero(ctx, sharing.joined(at.before(large), at.by_line(large)))
    first = yield from sharing.conjoin(ctx, ok, _rows(none, 0, at.blocks))
    nowhere = _picked(_rows(none, at.blocks, at.lines), at.line_of_block, at.blocks)
    needed = _picked(few, at.line_of_block, at.blocks)
    more = yield from sharing.conjoin(ctx, needed, first ^ nowhere)
    twice = yield from sharing.conjoin(ctx, chosen, more)
    gone = _picked(chosen ^ more ^ twice, at.block_of_cell, shape.rows)
    kept = sharing.flipped(ctx, _after_each_other([gone] * len(shape.sets)))
    return (yield from sharing.conjoin(ctx, enough, kept))


def _too_few(
    ctx: Context, shape: Lines, at: _Layout, everybody: Words | None, word: Words, sums: Sequence[Words]
) -> Role[tuple[Bits, list[Bits]]]:
    """One bit a line: something in it is withheld, and by that alone a number would follow; and for which counts not.

    The second are for all counts but that of everybody.

    Enough are the minimum in every count, and where zeros are shown (``everybody``) one more for each further block,
    who could be its small cell; a count of nobody; and at least two cells, two of them peopled where that is seen.
    """
    columns = [*sums]
    if everybody is not None:
        empty = yield from compare.is_zero(ctx, everybody)
        (peopled,) = yield from compare.to_words(ctx, sharing.flipped(ctx, empty))
        columns.append(at.by_block(peopled))
    inside = yield from sharing.multiply(ctx, sharing.joined(*[word] * len(columns)), sharing.joined(*columns))
    held = [at.by_line(inside[slice(n * at.blocks, (n + 1) * at.blocks)]) for n in range(len(columns))]
    blocks = at.by_line(word)
    least, one, two = (sharing.public(ctx, number, at.lines) for number in (shape.min_count, 1, 2))
    tests = [held[0] - least if everybody is None else held[0] - least - blocks + one]
    tests += [held[n] - least for n in range(1, len(sums))]
    tests += [at.by_line(at.sized(word)) - two, *(each - two for each in held[len(sums) :]), blocks - one]
    below = yield from compare.negative(ctx, sharing.joined(*tests))
    passed = _parts(sharing.flipped(ctx, below), len(tests))
    if everybody is not None and len(sums) > 1:
        nobody = yield from compare.is_zero(ctx, sharing.joined(*held[1 : len(sums)]))
        passed[1 : len(sums)] = [a ^ b for a, b in zip(passed[1:], _parts(nobody, len(sums) - 1), strict=False)]
    *tested, some = passed
    fine = yield from _conjoined(ctx, tested)
    return (yield from sharing.conjoin(ctx, some, sharing.flipped(ctx, fine))), passed[1 : len(sums)]


def _large(
    ctx: Context, shape: Lines, at: _Layout, sums: Sequence[Words], untouched: Bits, fine: Sequence[Bits]
) -> Role[Bits]:
    """One bit a block: nothing in it is withheld, and with it the withheld blocks of its line have enough people.

    Every count is enough; where zeros are shown, others than that of everybody may be of nobody, if those that are
    withheld were enough (``fine``, one bit a line) without it.
    """
    least = sharing.public(ctx, shape.min_count, at.blocks)
    below = yield from compare.negative(ctx, sharing.joined(*(each - least for each in sums)))
    passed = _parts(sharing.flipped(ctx, below), len(sums))
    if fine:
        nobody = yield from compare.is_zero(ctx, sharing.joined(*sums[1:]))
        lines = _after_each_other([_picked(each, at.line_of_block, at.blocks) for each in fine])
        allowed = yield from sharing.conjoin(ctx, nobody, lines)
        passed[1:] = [a ^ b for a, b in zip(passed[1:], _parts(allowed, len(fine)), strict=True)]
    return (yield from _conjoined(ctx, [*passed, untouched]))


def _conjoined(ctx: Context, bits: Sequence[Bits]) -> Role[Bits]:
    """All of them: one step for each but the first."""
    whole = bits[0]
    for each in bits[1:]:
        whole = yield from sharing.conjoin(ctx, whole, each)
    return whole


def _parts(bits: Bits, count: int) -> list[Bits]:
    """One plane cut into ``count`` of equal size, each a whole number of words."""
    rows = bits.rows // count
    return [_rows(bits, n * rows, rows) for n in range(count)]


def _rows(bits: Bits, first: int, rows: int) -> Bits:
    cut = slice(first // PLANE, (first + rows) // PLANE)
    return Bits(np.ascontiguousarray(bits.own[:, cut]), np.ascontiguousarray(bits.next[:, cut]), rows)


def _after_each_other(bits: Sequence[Bits]) -> Bits:
    own, following = (np.concatenate([getattr(b, name) for b in bits], axis=1) for name in ("own", "next"))
    return Bits(own, following, sum(b.rows for b in bits))


def _picked(bits: Bits, places: Places, rows: int) -> Bits:
    """The bits at public places, up to ``rows``; 0 at a place of -1, and after the last."""
    own, following = (_picked_words(part, places, rows) for part in (bits.own, bits.next))
    return Bits(own, following, rows)


def _picked_words(part: U64, places: Places, rows: int) -> U64:
    flags = np.unpackbits(part[0].view(np.uint8), bitorder="little")
    chosen = np.zeros(rows, np.uint8)
    chosen[: places.size] = np.where(places < 0, 0, flags[places])
    return np.packbits(chosen, bitorder="little").view(np.uint64)[None, :]
