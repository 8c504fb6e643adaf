"""Order on replicated shares: an oblivious shuffle, and a stable sort that carries other columns along.

Source:  Laur, Willemson, Zhang, ISC 2011; Araki et al., CCS 2021 (shuffle); Hamada et al., ICISC 2012 (sort by
         comparing shuffled rows); protocols.md 4.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pets.kernels import permute, shares
from pets.kernels.jit import U32Array, U64Array
from pets.protocols.base import Role, Send, receive
from pets.protocols.rep3.compare import to_bits
from pets.protocols.rep3.rank import ranked
from pets.protocols.rep3.sharing import Bits, Context, Words, stacked
from pets.secret import Secret


def shuffled(ctx: Context, added: Sequence[Words], keys: Sequence[Words] = ()) -> Role[tuple[list[Words], list[Words]]]:
    """Rows of all columns in one new order that no party knows. ``keys`` are shared with XOR, ``added`` modulo 2^64.

    Sizes:   ``move``: one word a row and column each way between two parties, three times; 3 rounds.
    Learned: nothing: each party knows two of three permutations, and each part is masked by a stream that the other
             lacks.
    """
    added, keys, _ = yield from _shuffled(ctx, added, keys)
    return added, keys


def _shuffled(
    ctx: Context, added: Sequence[Words], keys: Sequence[Words]
) -> Role[tuple[list[Words], list[Words], tuple[U32Array | None, ...]]]:
    """``shuffled``, and the orders of each two parties, as far as this one knows them."""
    table, orders = [*added, *keys], []
    for first in range(3):
        orders.append(_order_of_two(ctx, first, table[0].rows))
        table = yield from _moved(ctx, first, orders[-1], table, len(added))
    return table[: len(added)], table[len(added) :], tuple(orders)


def _moved(
    ctx: Context, first: int, order: U32Array | None, table: Sequence[Words], added: int, *, last: int | None = None
) -> Role[list[Words]]:
    """Rows of columns at the places of an order that parties ``first`` and the next know; only the ``last`` of them."""
    rows = table[0].rows if last is None else last
    column = ctx.step("move")
    if order is None:
        return [Words(*ctx.zeros.both(rows)) for _ in table]
    peer = ctx.after if ctx.me == first else ctx.before
    parts, masks, moved = [], [], []
    for place, each in enumerate(table):
        xor = place >= added
        before, after = ctx.zeros.both(rows)
        mask = before if ctx.me == first else after
        own = (each.own ^ each.next if xor else each.own + each.next) if ctx.me == first else each.next
        placed = _placed(own, order)[each.rows - rows :]
        parts.append(placed ^ mask if xor else placed - mask)
        masks.append(mask)
    yield Send(peer, "move", np.concatenate(parts), column)
    theirs = (yield from receive(peer, "move", column)).reshape(len(table), rows)
    for place, (part, mask) in enumerate(zip(parts, masks, strict=True)):
        both = part ^ theirs[place] if place >= added else part + theirs[place]
        moved.append(Words(mask, both) if ctx.me == first else Words(both, mask))
    return moved


def _order_of_two(ctx: Context, first: int, rows: int) -> U32Array | None:
    """A permutation that parties ``first`` and ``first + 1`` know and the third does not, from their common stream."""
    if ctx.me == first:
        words = ctx.zeros.after(2)
    elif ctx.me == (first + 1) % 3:
        words = ctx.zeros.before(2)
    else:
        ctx.zeros.take(2)
        return None
    return permute.permutation(Secret(words.tobytes()), rows)


def _placed(values: U64Array, order: U32Array) -> U64Array:
    out = np.empty_like(values)
    out[order] = values
    return out


def sorted_by(ctx: Context, key: Words, bits: int, payload: Sequence[Words] = ()) -> Role[tuple[Words, list[Words]]]:
    """Rows in ascending order of the low ``bits`` bits of the key, equal ones in their old order, payload with them.

    Sizes:   those of ``to_bits``; ``move``: two words a row, and one for each of the payload, each way three times, a
             word more if ``bits`` and the bits of a row number are more than 64; then those of ``rank.ranked``.
    Learned: nothing: what is opened is the order of shuffled rows, which is uniform.
    Raises:  PeerError peer.positions if what is opened is no order.
    """
    (found, *moved), _ = yield from in_order(ctx, key, bits, [key, *payload])
    return found, moved


@dataclass(frozen=True, slots=True, repr=False)
class Way:
    """How rows came into order: the orders of a shuffle that this party knows, and the open one after it."""

    shuffle: tuple[U32Array | None, ...]
    order: U32Array

    def __repr__(self) -> str:
        return "Way(***)"


def in_order(ctx: Context, key: Words, bits: int, columns: Sequence[Words]) -> Role[tuple[list[Words], Way]]:
    """``sorted_by`` of columns alone, and the way back for ``put_back``.

    Sizes:   those of ``sorted_by`` with one column less than here are. Learned, Raises: as ``sorted_by``.
    """
    rows = key.rows
    planes = yield from to_bits(ctx, key, bits)
    number = max(rows - 1, 0).bit_length()
    secret = Words(shares.unplanes(planes.own, rows), shares.unplanes(planes.next, rows))
    counted = _count(ctx, rows)
    together = bits + number <= 64
    hidden = [_behind(secret, number, counted)] if together else [counted, secret]
    table, hidden, orders = yield from _shuffled(ctx, columns, hidden)
    widths = [bits + number] if together else [number, bits]
    order = yield from ranked(ctx, stacked(*(_planes(each, width) for each, width in zip(hidden, widths, strict=True))))
    return [_ordered(each, order) for each in table], Way(orders, order)


def put_back(ctx: Context, way: Way, columns: Sequence[Words], last: int) -> Role[list[Words]]:
    """The ``last`` rows of columns that stand in order, as rows stood before ``in_order``.

    Sizes:   ``move``: a word a row and column each way between two parties, twice, and a word for each of the ``last``
             rows once; 3 rounds.
    Learned: nothing: the same orders, backwards, under fresh masks; nothing is opened after that.
    """
    table = [_unordered(each, way.order) for each in columns]
    for first in (2, 1, 0):
        order = way.shuffle[first]
        back = None if order is None else _inverse(order)
        table = yield from _moved(ctx, first, back, table, len(table), last=last if first == 0 else None)
    return table


def sorted_keys(
    ctx: Context, keys: Sequence[Words], bits: int, payload: Sequence[Words] = ()
) -> Role[tuple[list[Words], list[Words], Way]]:
    """Rows in ascending order of keys that are shared with XOR, payload with them: keys, payload, and the way back.

    ``keys``: words of 64 bits, the lowest first, ``bits`` in all. The low ceil(log2 n) bits take the row's number, by
    which equal keys keep their order. What they were is cleared, part by part: who brings keys cannot make two equal.

    Sizes:   ``move``: a word a row for each word of the keys and each column, each way three times; then those of
             ``rank.ranked``. 3 rounds before it.
    Learned: nothing: what is opened is the order of shuffled rows, which is uniform.
    Raises:  PeerError peer.positions if what is opened is no order.
    """
    number, low = _count(ctx, keys[0].rows), np.uint64((1 << max(keys[0].rows - 1, 0).bit_length()) - 1)
    numbered = [Words(keys[0].own & ~low ^ number.own, keys[0].next & ~low ^ number.next), *keys[1:]]
    moved, hidden, orders = yield from _shuffled(ctx, payload, numbered)
    widths = [min(64, bits - 64 * place) for place in range(len(hidden))]
    order = yield from ranked(ctx, stacked(*(_planes(each, width) for each, width in zip(hidden, widths, strict=True))))
    found = [_ordered(each, order) for each in (*hidden, *moved)]
    return found[: len(hidden)], found[len(hidden) :], Way(orders, order)


def _behind(high: Words, bits: int, low: Words) -> Words:
    """Words under sharing with XOR: ``high`` above the ``bits`` bits of ``low``."""
    shift = np.uint64(bits)
    return Words(high.own << shift ^ low.own, high.next << shift ^ low.next)


def _count(ctx: Context, rows: int) -> Words:
    """0, 1, 2, ... in shares, with XOR as with addition: public numbers as component 0."""
    numbers, zero = np.arange(rows, dtype=np.uint64), np.zeros(rows, np.uint64)
    return Words(numbers if ctx.me == 0 else zero, numbers if ctx.me == 2 else zero)


def _planes(words: Words, bits: int) -> Bits:
    """The low ``bits`` bits of words under sharing with XOR, as planes."""
    return Bits(shares.planes(words.own, bits), shares.planes(words.next, bits), words.rows)


def _ordered(x: Words, order: U32Array) -> Words:
    return Words(x.own[order], x.next[order])


def _unordered(x: Words, order: U32Array) -> Words:
    return Words(_placed(x.own, order), _placed(x.next, order))


def _inverse(order: U32Array) -> U32Array:
    out = np.empty_like(order)
    out[order] = np.arange(order.size, dtype=np.uint32)
    return out
