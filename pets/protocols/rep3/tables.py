"""Tables from rows in any order: GROUP BY a key that nobody knows, with sums, order statistics or the greatest values.

Rows that do not count, ``valid`` 0, go to the end; neither how many there are, nor how many groups, is told. A table
has ``most`` rows, one a group in ascending order of its key, and zeros where there is no group.

Ranges:  0 <= key < 2^bits and 0 <= x < 2^value_bits in rows that count, any number in others.
Source:  protocols.md 4.9 and 4.10.
"""

from collections.abc import Sequence

from pets.protocols.base import Role
from pets.protocols.rep3.groups import Rank, counted, grouped, increments, leading, marked, running_sums, starts, summed
from pets.protocols.rep3.order import in_order, put_back, sorted_by
from pets.protocols.rep3.quantiles import quantiles
from pets.protocols.rep3.sharing import Context, Words, joined, multiply, public


def ordered(
    ctx: Context, key: Words, bits: int, valid: Words, payload: Sequence[Words] = ()
) -> Role[tuple[Words, Words, list[Words]]]:
    """Rows that count in ascending order of their key, then the others: key, which of them count, payload.

    The key of rows that do not count is 2^bits.

    Sizes:   ``mul``: a word a row; ``sorted_by`` by a bit more with a column more.
    Learned: nothing. Raises: ValueError on ``bits`` other than 1 to 62; PeerError peer.positions as ``sorted_by``.
    """
    _check(bits)
    (masked,) = yield from _masked(ctx, [(key, bits)], valid)
    found, (there, *moved) = yield from sorted_by(ctx, masked, bits + 1, [valid, *payload])
    return found, there, moved


def group_by(
    ctx: Context, key: Words, bits: int, valid: Words, sums: Sequence[Words], most: int
) -> Role[tuple[Words, Words, list[Words]]]:
    """Keys that there are, and sums of columns over the rows of each: whether there is such a group, key, sums.

    Sizes:   ``ordered``, ``starts`` and ``grouped``. Learned: nothing. Raises: as they do.
    """
    found, there, moved = yield from ordered(ctx, key, bits, valid, sums)
    begins = yield from starts(ctx, found)
    groups, (*totals, keys) = yield from grouped(ctx, begins, there, most=most, sums=moved, firsts=[found])
    return groups, keys, totals


def summed_by(ctx: Context, key: Words, bits: int, columns: Sequence[Words], groups: int) -> Role[list[Words]]:
    """Sums of columns over the rows of each key from 0 to ``groups`` - 1, in their order: 0 where there are no rows.

    Behind the rows come one more for each key, which everybody knows, with 0 in every column. In order of their keys
    each stands last in its group, so that running sums there, put back where it was, differ by the sum of its group.

    Ranges:  0 <= key < groups <= 2^bits in all rows: one that does not count has 0 in every column.
    Shapes:  key, columns (n,); results (groups,).
    Sizes:   those of ``sorted_by`` of n + groups rows with one column less than these; ``move``: a word a row and
             column each way between two parties, twice, and a word a group and column once; 3 rounds more.
    Learned: nothing. Raises: ValueError on ``bits`` other than 1 to 62, or too few; PeerError peer.positions as there.
    Source:  the way back as in Araki et al., CCS 2021; the row more in each group is our design (ADR 0029).
    """
    _check(bits)
    if not 1 <= groups <= 2**bits or not columns:
        raise ValueError("one or more keys of so many bits, and a column")
    keys = joined(key, counted(ctx, groups))
    whole = [joined(column, public(ctx, 0, groups)) for column in columns]
    moved, way = yield from in_order(ctx, keys, bits, whole)
    found = yield from put_back(ctx, way, [running_sums(column) for column in moved], groups)
    return [increments(ctx, each) for each in found]


def group_by_value(
    ctx: Context, key: Words, bits: int, x: Words, value_bits: int, valid: Words, ranks: Sequence[Rank], most: int
) -> Role[tuple[Words, Words, list[Words]]]:
    """Order statistics of x in each group: whether there is such a group, key, least, greatest, value at each rank.

    Sizes:   ``mul``: two words a row; ``sorted_by`` by bits + value_bits + 1 bits with three columns, ``starts``,
             ``marked``, ``mul``: a word a row and rank, ``grouped``.
    Learned: nothing. Raises: ValueError on more than 62 bits together, and as they do.
    """
    _check(bits, value_bits)
    begins, there, found, value = yield from _in_groups(ctx, key, bits, x, x, value_bits, valid)
    marks = yield from marked(ctx, begins, there, ranks, most)
    kept = yield from _times(ctx, marks, value)
    groups, (*at_ranks, keys, least, greatest) = yield from grouped(
        ctx, begins, there, most=most, sums=kept, firsts=[found, value], lasts=[value]
    )
    return groups, keys, [least, greatest, *at_ranks]


def top_by_group(
    ctx: Context, key: Words, bits: int, x: Words, value_bits: int, valid: Words, places: int, most: int
) -> Role[tuple[Words, Words, list[Words], list[Words]]]:
    """The greatest values of x in each group, from the first: whether there is a group, key, which are there, values.

    With a key of 0 everywhere it is the top of a column.

    Sizes:   ``mul``: two words a row; ``sorted_by`` by bits + value_bits + 1 bits with three columns, ``starts``,
             ``leading``, ``mul``: a word a row and place, ``grouped``.
    Learned: nothing. Raises: ValueError on more than 62 bits together, and as they do.
    """
    _check(bits, value_bits)
    downwards = public(ctx, 2**value_bits - 1, x.rows) - x
    begins, there, found, value = yield from _in_groups(ctx, key, bits, downwards, x, value_bits, valid)
    marks = yield from leading(ctx, begins, places)
    values = yield from _times(ctx, marks, value)
    groups, (*both, keys) = yield from grouped(ctx, begins, there, most=most, sums=[*marks, *values], firsts=[found])
    return groups, keys, both[:places], both[places:]


def column_quantiles(ctx: Context, x: Words, bits: int, valid: Words, ranks: Sequence[Rank]) -> Role[Words]:
    """Values of x at ranks among the rows that count, whose number is not told; 0 if none does.

    Shapes:  x, valid (n,); result (ranks,).
    Sizes:   ``ordered`` without payload, ``quantiles``, ``mul``: a word a rank.
    Learned: nothing. Raises: as ``ordered`` and ``quantiles``.
    """
    found, there, _ = yield from ordered(ctx, x, bits, valid)
    values = yield from quantiles(ctx, found, summed(there), ranks)
    return (yield from multiply(ctx, values, joined(*([there[slice(0, 1)]] * len(ranks)))))


# -- parts ------------------------------------------------------------------------------------------------------------


def _check(bits: int, value_bits: int = 0) -> None:
    if bits < 1 or value_bits < 0 or bits + value_bits > 62:
        raise ValueError("a key, with the value that rows are in order of, has 1 to 62 bits")


def _masked(ctx: Context, keys: Sequence[tuple[Words, int]], valid: Words) -> Role[list[Words]]:
    """Keys in rows that count, 2 to their bits in others."""
    beyond = [public(ctx, 2**bits, valid.rows) for _, bits in keys]
    parts = yield from _times(ctx, [key - end for (key, _), end in zip(keys, beyond, strict=True)], valid)
    return [end + part for end, part in zip(beyond, parts, strict=True)]


def _in_groups(
    ctx: Context, key: Words, bits: int, rank: Words, x: Words, value_bits: int, valid: Words
) -> Role[tuple[Words, Words, Words, Words]]:
    """Rows that count in order of key, then rank: where groups begin, which rows count, key, x."""
    whole = key.times(2**value_bits) + rank
    masked, order = yield from _masked(ctx, [(key, bits), (whole, bits + value_bits)], valid)
    _, (there, found, value) = yield from sorted_by(ctx, order, bits + value_bits + 1, [valid, masked, x])
    return (yield from starts(ctx, found)), there, found, value


def _times(ctx: Context, columns: Sequence[Words], x: Words) -> Role[list[Words]]:
    """Each column times x, in one message."""
    kept = yield from multiply(ctx, joined(*columns), joined(*([x] * len(columns))))
    return [kept[slice(at * x.rows, (at + 1) * x.rows)] for at in range(len(columns))]
