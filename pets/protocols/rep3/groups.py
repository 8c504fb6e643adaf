"""Groups of rows that nobody knows: where they begin, their sums, first and last values, and marks inside them.

Rows stand together by group, as after a sort by a key. ``starts`` is 1 in the first row of each group and 0 elsewhere,
``valid`` is 1 in rows that count: those that do not stand at the end, and begin a group of their own. What comes out is
a table of ``most`` rows, one a group in their order, with 1 or 0 for whether there is such a group, and zeros where
there is none; ``most`` is public, and groups beyond it are left out.

Source:  Laur, Willemson, Zhang, ISC 2011 (shuffle, then open places); protocols.md 4.9; our design for ``marked``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pets.errors import PeerError
from pets.kernels import columns as checks
from pets.kernels.jit import U32Array, U64Array
from pets.protocols.base import Role
from pets.protocols.rep3.compare import is_zero, to_words
from pets.protocols.rep3.order import shuffled
from pets.protocols.rep3.rounding import END, quotient
from pets.protocols.rep3.sharing import Context, Words, flipped, joined, multiply, opened, public

Combine = Callable[[Context, list[Words], list[Words]], Role[list[Words]]]
"""An associative operator on rows: those that come first, and those that come after."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A place among c values in ascending order, from 0: floor((times c + plus) / by) + shift. Public numbers."""

    times: int
    plus: int
    by: int
    shift: int

    @classmethod
    def lower(cls, part: int, whole: int) -> "Rank":
        """floor(p (c - 1)) for p = part / whole: the lower of the two values that a quantile lies between."""
        return cls(part, -part, whole, 0)

    @classmethod
    def upper(cls, part: int, whole: int) -> "Rank":
        """ceil(p (c - 1)): the upper of them."""
        return cls(part, whole - 1 - part, whole, 0)

    @classmethod
    def discrete(cls, part: int, whole: int) -> "Rank":
        """ceil(p c) - 1: the first value that a share of p of all does not exceed (PERCENTILE_DISC)."""
        return cls(part, whole - 1, whole, -1)


def starts(ctx: Context, key: Words) -> Role[Words]:
    """1 in the first row and in each whose key is not that of the row before.

    Sizes:   ``is_zero`` and ``to_words`` of a row each; 9 rounds. Learned: nothing.
    """
    first = public(ctx, 1, 1)
    steps = joined(first, key[slice(1, None)] - key[slice(0, -1)])
    (found,) = yield from to_words(ctx, flipped(ctx, (yield from is_zero(ctx, steps))))
    return found


def arranged(ctx: Context, place: Words, columns: Sequence[Words]) -> Role[list[Words]]:
    """Rows of all columns at their places, each from 0 to the last once, in shares.

    Sizes:   ``move``: a word a row and column, and one more, each way between two parties, three times; ``open``: a
             word a row; 4 rounds.
    Learned: nothing: places are opened after a shuffle, a uniform order.
    Raises:  PeerError peer.positions if what is opened is no order.
    """
    (hidden, *moved), _ = yield from shuffled(ctx, [place, *columns])
    found = yield from opened(ctx, hidden)
    try:
        if found.max(initial=np.uint64(0)) >= np.uint64(place.rows or 1):
            raise ValueError("a place is out of range")
        checks.check_injection(found.astype(np.uint32), place.rows)
    except ValueError as error:
        raise PeerError("peer.positions", label="open") from error
    to = found.astype(np.uint32)
    return [Words(_at(each.own, to), _at(each.next, to)) for each in moved]


def fronted(ctx: Context, flags: Words, columns: Sequence[Words]) -> Role[list[Words]]:
    """Rows with a flag before those without, both in their old order. Sizes: ``mul`` of a row, and ``arranged``."""
    running = running_sums(flags)
    total = _everywhere(running[slice(-1, None)], flags.rows)
    behind = total + counted(ctx, flags.rows) - running
    ahead = running - public(ctx, 1, flags.rows)
    return (yield from arranged(ctx, behind + (yield from multiply(ctx, flags, ahead - behind)), columns))


def grouped(
    ctx: Context,
    begins: Words,
    valid: Words,
    *,
    most: int,
    sums: Sequence[Words] = (),
    firsts: Sequence[Words] = (),
    lasts: Sequence[Words] = (),
) -> Role[tuple[Words, list[Words]]]:
    """A table of groups: whether there is one, then sums of columns in it, and values in its first and its last row.

    With a key as one of ``firsts`` it is a GROUP BY; with rows in order of a value in their group, first and last are
    least and greatest.

    Sizes:   ``mul``: a row and then one more, n + 1; ``arranged`` of n + 1 rows with two columns more than asked for;
             ``mul``: a word a group and column; 7 rounds.
    Learned: nothing. Raises: ValueError if nothing is asked for; PeerError peer.positions as ``arranged``.
    """
    rows, asked = begins.rows, [*sums, *firsts, *lasts]
    if not asked or not 1 <= most <= rows:
        raise ValueError("a table of 1 to as many groups as rows, with a column")
    one, nothing = public(ctx, 1, 1), public(ctx, 0, 1)
    real = joined((yield from multiply(ctx, begins, valid)), nothing)
    before = [joined(nothing, running_sums(each)) for each in sums]
    first = [joined(each, nothing) for each in firsts]
    last = [joined(nothing, each) for each in lasts]
    table = yield from fronted(ctx, joined(begins, one), [real, *before, *first, *last])
    here, after = slice(0, most), slice(1, most + 1)
    found = [each[after] - each[here] for each in table[1 : 1 + len(sums)]]
    found += [each[here] for each in table[1 + len(sums) : 1 + len(sums) + len(firsts)]]
    found += [each[after] for each in table[1 + len(sums) + len(firsts) :]]
    there = table[0][here]
    kept = yield from multiply(ctx, joined(*([there] * len(found))), joined(*found))
    return there, [kept[slice(at * most, (at + 1) * most)] for at in range(len(found))]


def marked(ctx: Context, begins: Words, valid: Words, ranks: Sequence[Rank], most: int) -> Role[list[Words]]:
    """For each rank, 1 in the row of that rank in its group, among the first ``most`` groups.

    A mark times a column, given to ``grouped`` as one of ``sums``, is that quantile of the column in each group, where
    rows stand in ascending order in their group. A rank that is in no row of its group marks none.

    Public:  ranks by one number, with |times| (n + 1) + |plus| < 2^61.
    Sizes:   those of ``fronted`` of n + 1 rows with three columns, ``quotient`` and ``mul`` twice of a group and rank,
             ``arranged`` with a column a rank, ``is_zero`` and ``to_words`` of a row and rank; for ranks by d, 26 +
             ceil(log2(ceil(log2 d) + 1)) rounds.
    Learned: nothing. Raises: ValueError on ranks out of range; PeerError peer.positions as ``arranged``.
    """
    rows = begins.rows
    divisor = check_ranks(ranks, rows + 1)
    if not 1 <= most <= rows:
        raise ValueError("a table of 1 to as many groups as rows")
    one, nothing = public(ctx, 1, 1), public(ctx, 0, 1)
    real = joined((yield from multiply(ctx, begins, valid)), nothing)
    flags, index = joined(begins, one), counted(ctx, rows + 1)
    begin, there, at = yield from fronted(ctx, flags, [flags, real, index])
    here, after = slice(0, most), slice(1, most + 1)
    counts = at[after] - at[here]
    asked = [counts.times(rank.times) + public(ctx, rank.plus, most) for rank in ranks]
    found = yield from quotient(ctx, joined(*asked), divisor)
    shifts = joined(*(public(ctx, rank.shift + 1, most) for rank in ranks))
    place = found + shifts + joined(*([at[here]] * len(ranks)))
    kept = yield from multiply(ctx, joined(*([there[here]] * len(ranks))), place)
    steps = [increments(ctx, kept[slice(number * most, (number + 1) * most)]) for number in range(len(ranks))]
    only = yield from multiply(ctx, joined(*([begin[here]] * len(ranks))), joined(*steps))
    rest = public(ctx, 0, rows + 1 - most)
    columns = [joined(only[slice(number * most, (number + 1) * most)], rest) for number in range(len(ranks))]
    back = yield from arranged(ctx, at, columns)
    targets = [running_sums(each)[slice(0, rows)] - counted(ctx, rows) - public(ctx, 1, rows) for each in back]
    (marks,) = yield from to_words(ctx, (yield from is_zero(ctx, joined(*targets))))
    return [marks[slice(number * rows, (number + 1) * rows)] for number in range(len(ranks))]


def leading(ctx: Context, begins: Words, places: int) -> Role[list[Words]]:
    """For each place from 0, 1 in the row that is so far behind the first of its group: the first k of each, marked.

    Sizes:   ``mul``: a word a row, for each place but the first; as many rounds. Learned: nothing.
    Raises:  ValueError unless there are as many rows as places, and one place at least.
    """
    if not 1 <= places <= begins.rows:
        raise ValueError("1 to as many places as rows")
    marks, goes_on = [begins], public(ctx, 1, begins.rows) - begins
    for _ in range(places - 1):
        moved = joined(public(ctx, 0, 1), marks[-1][slice(0, -1)])
        marks.append((yield from multiply(ctx, moved, goes_on)))
    return marks


def scanned(ctx: Context, begins: Words, columns: Sequence[Words], combine: Combine) -> Role[list[Words]]:
    """Each row of the columns combined with all before it in its group, by any associative operator.

    Sizes:   ceil(log2 n) times those of ``combine`` on all rows, and ``mul`` of a word a row and column and one more.
    Learned: nothing.
    """
    rows, flags, values = begins.rows, begins, list(columns)
    step = 1
    while step < rows:
        earlier = [_moved(ctx, each, step, 0) for each in values]
        reached = yield from combine(ctx, earlier, values)
        goes_on = public(ctx, 1, rows) - flags
        gains = [_moved(ctx, flags, step, 1), *(new - old for new, old in zip(reached, values, strict=True))]
        taken = yield from multiply(ctx, joined(*([goes_on] * len(gains))), joined(*gains))
        parts = [taken[slice(at * rows, (at + 1) * rows)] for at in range(len(gains))]
        flags = flags + parts[0]
        values = [old + part for old, part in zip(values, parts[1:], strict=True)]
        step *= 2
    return values


def running(ctx: Context, begins: Words, columns: Sequence[Words], reach: int) -> Role[list[Words]]:
    """Each row of the columns and those before it in its group, added up, in groups of at most ``reach`` rows.

    In a longer group at least the last ``reach`` rows are, the row itself included.

    Sizes:   with t = ceil(log2 reach): ``mul``: a word a row and column, and one more but for the last time, t times; t
             rounds. Learned: nothing.
    """
    rows, flags, values = begins.rows, begins, list(columns)
    turns = turns_of(reach, rows)
    for turn in range(turns):
        step = 1 << turn
        goes_on = public(ctx, 1, rows) - flags
        gains = [_moved(ctx, each, step, 0) for each in values]
        if turn < turns - 1:
            gains.append(_moved(ctx, flags, step, 1))
        taken = yield from multiply(ctx, joined(*([goes_on] * len(gains))), joined(*gains))
        parts = [taken[slice(at * rows, (at + 1) * rows)] for at in range(len(gains))]
        values = [old + part for old, part in zip(values, parts[: len(values)], strict=True)]
        if turn < turns - 1:
            flags = flags + parts[-1]
    return values


def turns_of(reach: int, rows: int) -> int:
    """How often ``running`` doubles what it has added up."""
    return (min(reach, rows) - 1).bit_length()


def picked(ctx: Context, numbers: Words, columns: Sequence[Words], count: int) -> Role[list[Words]]:
    """The rows that have the numbers 1 to ``count``, each once, in that order; all others have the number 0.

    Sizes:   ``move``: a word a row and column, and one more, each way between two parties, three times; ``open``: a
             word a row; 4 rounds.
    Learned: nothing: which numbers there are is public, and they are opened after a shuffle.
    Raises:  PeerError peer.positions if what is opened is anything else.
    """
    (hidden, *moved), _ = yield from shuffled(ctx, [numbers, *columns])
    found = yield from opened(ctx, hidden)
    at = np.flatnonzero(found)
    order = np.argsort(found[at], kind="stable")
    if not np.array_equal(found[at][order], np.arange(1, count + 1, dtype=np.uint64)):
        raise PeerError("peer.positions", label="open")
    return [Words(each.own[at[order]], each.next[at[order]]) for each in moved]


def summed(x: Words) -> Words:
    """The sum of all rows. Shapes: (n,) gives (1,)."""
    own, following = (np.array([each.sum(dtype=np.uint64)]) for each in (x.own, x.next))
    return Words(own, following)


def check_ranks(ranks: Sequence[Rank], most: int) -> int:
    """What all ranks are by. Raises: ValueError if they differ in it, or leave the range of ``quotient``."""
    if len({rank.by for rank in ranks}) != 1:
        raise ValueError("one or more ranks, by one number")
    if any(abs(rank.times) * most + abs(rank.plus) >= END // 2 for rank in ranks):
        raise ValueError("ranks within 2^61")
    return ranks[0].by


# -- parts ------------------------------------------------------------------------------------------------------------


def _at(values: U64Array, to: U32Array) -> U64Array:
    out = np.empty_like(values)
    out[to] = values
    return out


def running_sums(x: Words) -> Words:
    """Each row and all before it, added up."""
    return Words(np.cumsum(x.own, dtype=np.uint64), np.cumsum(x.next, dtype=np.uint64))


def _everywhere(x: Words, rows: int) -> Words:
    return Words(np.repeat(x.own, rows), np.repeat(x.next, rows))


def counted(ctx: Context, rows: int) -> Words:
    """0, 1, 2, ...: public numbers."""
    one = public(ctx, 1, rows)
    return running_sums(one) - one


def increments(ctx: Context, x: Words) -> Words:
    """What each row has more than the one before: 0 before the first."""
    return x - joined(public(ctx, 0, 1), x[slice(0, -1)])


def _moved(ctx: Context, x: Words, step: int, first: int) -> Words:
    """Each row's ``step``-th before it; ``first`` where there is none."""
    return joined(public(ctx, first, step), x[slice(0, -step)])
