"""Order on replicated shares: an oblivious shuffle, and a stable sort that carries other columns along.

Source:  Laur, Willemson, Zhang, ISC 2011, and Asharov et al., CCS 2022 (eprint 2022/1595): shuffle, radix sort;
         Chida et al., eprint 2019/695 (places by prefix sums); protocols.md 4.7 and 4.8.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pets.errors import PeerError
from pets.kernels import columns, permute, shares
from pets.kernels.jit import U32Array, U64Array
from pets.protocols.base import Role, Send, receive
from pets.protocols.rep3.compare import to_bits, to_words
from pets.protocols.rep3.sharing import Bits, Context, Words, inner_product, multiply, opened, public
from pets.secret import Secret

DIGIT: Final = 2
"""Bits of a pass: two halve the shuffles, three would need four products more."""


def shuffled(ctx: Context, added: Sequence[Words], keys: Sequence[Words] = ()) -> Role[tuple[list[Words], list[Words]]]:
    """Rows of all columns in one new order that no party knows. ``keys`` are shared with XOR, ``added`` modulo 2^64.

    Sizes:   ``move``: one word a row and column each way between two parties, three times; 3 rounds.
    Learned: nothing: each party knows two of three permutations, and each part is masked by a stream that the other
             lacks.
    """
    count, rows = len(added) + len(keys), (*added, *keys)[0].rows
    table = [*added, *keys]
    for first in range(3):
        order = _order_of_two(ctx, first, rows)
        column = ctx.step("move")
        moved = []
        if ctx.me == (first + 2) % 3:
            for _ in range(count):
                moved.append(Words(*ctx.zeros.both(rows)))
        else:
            assert order is not None
            peer = ctx.after if ctx.me == first else ctx.before
            parts, masks = [], []
            for place, each in enumerate(table):
                xor = place >= len(added)
                before, after = ctx.zeros.both(rows)
                mask = before if ctx.me == first else after
                own = (each.own ^ each.next if xor else each.own + each.next) if ctx.me == first else each.next
                placed = _placed(own, order)
                parts.append(placed ^ mask if xor else placed - mask)
                masks.append(mask)
            yield Send(peer, "move", np.concatenate(parts), column)
            theirs = (yield from receive(peer, "move", column)).reshape(count, rows)
            for place, (part, mask) in enumerate(zip(parts, masks, strict=True)):
                both = part ^ theirs[place] if place >= len(added) else part + theirs[place]
                moved.append(Words(mask, both) if ctx.me == first else Words(both, mask))
        table = moved
    return table[: len(added)], table[len(added) :]


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

    Sizes:   two bits: ``in`` and ``mul``, two words a row; ``mul`` and ``dot``, one; ``move``, three words a row each
             way three times; ``open``, one. At the end ``move`` and ``open`` twice for the payload.
    Learned: nothing: what is opened is a uniform permutation, because rows were shuffled before.
    Raises:  PeerError peer.positions if what is opened is no permutation.
    """
    rows = key.rows
    planes = yield from to_bits(ctx, key, bits)
    secret = Words(shares.unplanes(planes.own, rows), shares.unplanes(planes.next, rows))
    index = _count(ctx, rows)
    for bit in range(0, bits, DIGIT):
        place = yield from _places(ctx, (yield from _buckets(ctx, secret, bit, min(DIGIT, bits - bit))))
        (place, index), (secret,) = yield from shuffled(ctx, [place, index], [secret])
        to = yield from _order_opened(ctx, place)
        index, secret = _moved(index, to), _moved(secret, to)
    (index, rank), _ = yield from shuffled(ctx, [index, _count(ctx, rows)])
    at = yield from _order_opened(ctx, index)
    rank = _moved(rank, at)
    (rank, *moved), _ = yield from shuffled(ctx, [rank, key, *payload])
    to = yield from _order_opened(ctx, rank)
    found = [_moved(each, to) for each in moved]
    return found[0], found[1:]


def _order_opened(ctx: Context, place: Words) -> Role[U32Array]:
    """Open where rows go. Raises: PeerError peer.positions if that is no order of all rows: a peer has lied."""
    found = yield from opened(ctx, place)
    try:
        if found.max(initial=np.uint64(0)) >= np.uint64(place.rows or 1):
            raise ValueError("a place is out of range")
        columns.check_injection(found.astype(np.uint32), place.rows)
    except ValueError as error:
        raise PeerError("peer.positions", label="open") from error
    return found.astype(np.uint32)


def _buckets(ctx: Context, secret: Words, bit: int, digit: int) -> Role[list[Words]]:
    """For each value of a digit of one or two bits, 1 in the rows that have it: they add up to 1."""
    one = public(ctx, 1, secret.rows)
    if digit == 1:
        (low,) = yield from to_words(ctx, _planes(secret, bit, 1))
        return [one - low, low]
    low, high = yield from to_words(ctx, _planes(secret, bit, 2))
    both = yield from multiply(ctx, low, high)
    return [one - low - high + both, low - both, high - both, both]


def _places(ctx: Context, buckets: list[Words]) -> Role[Words]:
    """Where each row goes, counted from 0: bucket by bucket, in each in the old order."""
    pairs, before = [], public(ctx, -1, buckets[0].rows)
    for bucket in buckets:
        running = _running(bucket)
        pairs.append((bucket, before + running))
        last = slice(-1, None)
        before = before + Words(np.repeat(running.own[last], bucket.rows), np.repeat(running.next[last], bucket.rows))
    return (yield from inner_product(ctx, pairs))


def _running(x: Words) -> Words:
    return Words(np.cumsum(x.own, dtype=np.uint64), np.cumsum(x.next, dtype=np.uint64))


def _count(ctx: Context, rows: int) -> Words:
    """0, 1, 2, ... in shares: public numbers as component 0."""
    numbers, zero = np.arange(rows, dtype=np.uint64), np.zeros(rows, np.uint64)
    return Words(numbers if ctx.me == 0 else zero, numbers if ctx.me == 2 else zero)


def _planes(secret: Words, bit: int, count: int) -> Bits:
    """Some bits of every row, as planes."""
    shift = np.uint64(bit)
    return Bits(shares.planes(secret.own >> shift, count), shares.planes(secret.next >> shift, count), secret.rows)


def _moved(x: Words, to: U32Array) -> Words:
    return Words(_placed(x.own, to), _placed(x.next, to))
