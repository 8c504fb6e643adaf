"""Order on replicated shares: an oblivious shuffle, and a stable sort that carries other columns along.

Source:  Laur, Willemson, Zhang, ISC 2011, and Asharov et al., CCS 2022 (eprint 2022/1595): shuffle, radix sort;
         Chida et al., eprint 2019/695 (places by prefix sums); protocols.md 4.7 and 4.8.
"""

from collections.abc import Sequence

import numpy as np

from pets.errors import PeerError
from pets.kernels import columns, permute, shares
from pets.kernels.jit import U32Array, U64Array
from pets.protocols.base import Role, Send, receive
from pets.protocols.rep3.compare import to_bits, to_words
from pets.protocols.rep3.sharing import Bits, Context, Words, multiply, opened, public
from pets.secret import Secret


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

    Sizes:   a bit: ``in`` and ``mul``, two words a row; ``move``, three words a row each way three times; ``open``, a
             word a row. At the end ``move`` and ``open`` twice for the payload.
    Learned: nothing: what is opened is a uniform permutation, because rows were shuffled before.
    Raises:  PeerError peer.positions if what is opened is no permutation.
    """
    rows = key.rows
    planes = yield from to_bits(ctx, key, bits)
    secret = Words(shares.unplanes(planes.own, rows), shares.unplanes(planes.next, rows))
    index = _count(ctx, rows)
    for bit in range(bits):
        (ones,) = yield from to_words(ctx, _plane(secret, bit))
        place = yield from _places(ctx, ones)
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


def _places(ctx: Context, ones: Words) -> Role[Words]:
    """Where each row goes when those with 0 come first and order is kept: counted from 0."""
    zeros = public(ctx, 1, ones.rows) - ones
    before = _running(zeros)
    total = Words(np.repeat(before.own[-1:], ones.rows), np.repeat(before.next[-1:], ones.rows))
    after = _running(ones) + total
    return before + (yield from multiply(ctx, ones, after - before)) - public(ctx, 1, ones.rows)


def _running(x: Words) -> Words:
    return Words(np.cumsum(x.own, dtype=np.uint64), np.cumsum(x.next, dtype=np.uint64))


def _count(ctx: Context, rows: int) -> Words:
    """0, 1, 2, ... in shares: public numbers as component 0."""
    numbers, zero = np.arange(rows, dtype=np.uint64), np.zeros(rows, np.uint64)
    return Words(numbers if ctx.me == 0 else zero, numbers if ctx.me == 2 else zero)


def _plane(secret: Words, bit: int) -> Bits:
    """One bit of every row, as a plane."""
    shift = np.uint64(bit)
    return Bits(shares.planes(secret.own >> shift, 1), shares.planes(secret.next >> shift, 1), secret.rows)


def _moved(x: Words, to: U32Array) -> Words:
    return Words(_placed(x.own, to), _placed(x.next, to))
