"""Rows computed on by three parties between a join and its sums: a condition across tables, then what it lets count.

``filtered`` is run alike by the three computing parties of helper_join, inside their roles, once the join has placed
role b's columns beside role a's rows in shares of two. In mode A these are zeros where nobody matched; in mode B
words of check come with them, and a row whose word is not zero reads what is nobody's. What it sends is operations of
the card rep3, in the order and sizes that ``pets/spec/rowwise.py`` lists from the plan alone; nothing depends on
records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError
from pets.kernels import shares
from pets.kernels.shares import PLANE
from pets.protocols.base import Role
from pets.protocols.keyed import Shape as Keyed
from pets.protocols.rep3 import compare, sharing
from pets.protocols.rep3.sharing import Bits, Context, Words

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

A, HELPER, B = range(3)
"""Numbers of the parties: the first two hold the shares."""

Compared = tuple[int, int]
"""A column that is compared: the number of its table (0 is role a's, 1 role b's, 2 that of d1 ...), its own there."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A bit of each row: a pair that is compared, or a test of a ``table`` (0 is role a's, 1 b's), by its number."""

    kind: Literal["pair", "test"]
    number: int
    table: int = 0


@dataclass(frozen=True, slots=True)
class Joint:
    """All of two or more conditions, or any of them."""

    every: bool
    parts: tuple["Condition", ...]


Condition = Leaf | Joint


@dataclass(frozen=True, slots=True)
class Cased:
    """A level a row: that of the first branch whose condition is true, else ``otherwise``; of so many ``levels``."""

    branches: tuple[tuple[Condition, int], ...]
    otherwise: int
    levels: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Public parameters. ``listed``: entries of role a's list; ``brought``: columns of role b.

    Without a condition all matched rows count. Of the columns the first ``checks`` are words of check, then come
    ``gathered`` that are factors of sums, but for ``ones``, which are 1 for all that are b's and do not come; then
    compared columns, then tests, and last, where groups are told apart on shares (``keyed``), the number of b's group.
    ``pairs``: a compared column, an operator, another one; each by its table and its number there.
    ``summed``: the gathered column and the factor of a, or None. With ``cased`` every gathered column is there once for
    each level, column c at level l being number c * levels + l; with ``keyed`` the level is part of the key instead.
    ``beside``: what further tables bring, if there are any.
    """

    listed: int
    brought: int
    gathered: int
    compared_a: int
    compared_b: int
    pairs: tuple[tuple[Compared, str, Compared], ...]
    condition: Condition | None
    factors_a: int
    summed: tuple[tuple[int, int | None], ...]
    checks: int = 0
    ones: frozenset[int] = frozenset()
    keyed: Keyed | None = None
    cased: Cased | None = None
    beside: tuple["Beside", ...] = ()

    @property
    def travelling(self) -> tuple[int, ...]:
        """Gathered columns that come, in order."""
        return tuple(number for number in range(self.gathered) if number not in self.ones)

    @property
    def first_beside(self) -> int:
        """Where, among all columns that are brought, those of further tables begin."""
        return self.brought - sum(each.brought for each in self.beside)

    def first_compared(self, table: int) -> int:
        """Where, among all columns that are brought, those of a table begin that are compared."""
        if table == 1:
            return self.checks + len(self.travelling)
        before = sum(each.brought for each in self.beside[: table - 2])
        return self.first_beside + before + len(self.beside[table - 2].travelling)

    def first_test(self, table: int) -> int:
        """Where those begin that are tests."""
        return self.first_compared(table) + (self.compared_b if table == 1 else self.beside[table - 2].compared)

    @property
    def masks_key(self) -> bool:
        """True if what a row that is nobody's reads as b's group is any number, and has to become 0."""
        return self.keyed is not None and self.checks > 0

    @property
    def rows(self) -> int:
        """Entries of the list, up to a whole number of planes."""
        return -(-self.listed // PLANE) * PLANE

    @property
    def levels(self) -> int:
        """How often a gathered column is there."""
        return 1 if self.cased is None or self.keyed is not None else self.cased.levels

    @property
    def filters(self) -> bool:
        """True if some rows do not count, by their words of check or a condition."""
        return self.checks > 0 or self.condition is not None

    @property
    def tests_a(self) -> int:
        branches = () if self.cased is None else (when for when, _ in self.cased.branches)
        found = (leaf for each in (self.condition, *branches) for leaf in leaves(each))
        return 1 + max((leaf.number for leaf in found if leaf.kind == "test" and leaf.table == 0), default=-1)

    @property
    def ordered(self) -> tuple[int, ...]:
        """Pairs that are compared by order; the others are compared for equality."""
        return tuple(i for i, (_, op, _) in enumerate(self.pairs) if op not in ("=", "<>"))

    @property
    def products(self) -> tuple[tuple[int, int], ...]:
        return tuple((of_b, of_a) for of_b, of_a in self.summed if of_a is not None)


@dataclass(frozen=True, slots=True)
class Beside:
    """The columns of a further table, behind all before it: ``gathered`` but for ``ones``, which do not come.

    Behind them ``compared`` columns, and ``tests``. ``factors``: for each summed column, the one of those that are
    gathered that it is multiplied with.
    """

    gathered: int
    ones: frozenset[int]
    factors: tuple[int, ...]
    compared: int = 0
    tests: int = 0

    @property
    def brought(self) -> int:
        """Columns that come."""
        return len(self.travelling) + self.compared + self.tests

    @property
    def travelling(self) -> tuple[int, ...]:
        """Gathered columns that come, in order."""
        return tuple(number for number in range(self.gathered) if number not in self.ones)


@dataclass(frozen=True, slots=True, repr=False)
class OwnOfA:
    """What role a puts in, in the order of its list: columns (listed,), zeros where no row lies.

    ``cell``: its own cell of each row; put in where groups are told apart on shares.
    """

    compared: Sequence[U64]
    factors: Sequence[U64]
    tests: Sequence[Flags]
    cell: U64 | None = None

    def __repr__(self) -> str:
        return "OwnOfA(***)"


def leaves(condition: Condition | None) -> tuple[Leaf, ...]:
    """Every leaf of a condition."""
    if condition is None:
        return ()
    if isinstance(condition, Leaf):
        return (condition,)
    return tuple(leaf for part in condition.parts for leaf in leaves(part))


def filtered(ctx: Context, shape: Shape, brought: Sequence[U64] | None, own: OwnOfA | None) -> Role[list[Words]]:
    """What each summed column is made of on each row: the product of its factors where the condition is true, else 0.

    Shapes:  ``brought``: this party's parts of role b's columns beside role a's rows, (listed,) each, at a and the
             helper; ``own`` at a alone. Returns shares, padded to ``shape.rows``, one for each summed column; then,
             with ``shape.keyed``, the key of each row.
    Learned: nothing: only operations of rep3 that tell nothing.
    """
    if (brought is None) != (ctx.me == B) or (own is None) != (ctx.me != A):
        raise InternalError("internal.bug", where="what parties bring to a computation on rows")
    part = None if brought is None else np.concatenate([_brought(ctx, shape, *each) for each in enumerate(brought)])
    columns = yield from sharing.from_two(ctx, A, part, shape.brought * shape.rows)
    values: Words | None = None
    if count := shape.compared_a + shape.factors_a + (shape.keyed is not None):
        mine = None if own is None else np.concatenate([_padded(c, shape.rows) for c in _of_a(shape, own)])
        values = yield from sharing.given(ctx, A, mine, count * shape.rows)
    tests: Bits | None = None
    if count := shape.tests_a:
        planes = None
        if own is not None:
            planes = np.stack([_plane(flags, shape.rows) for flags in own.tests])
        tests = yield from sharing.given_planes(ctx, A, planes, count, shape.rows)
    kept = yield from _kept(ctx, shape, columns, values, tests)
    gathered = {at: columns[_place(shape, shape.checks + place)] for place, at in enumerate(shape.travelling)}
    of_b = columns[_place(shape, shape.brought - 1)]
    if kept is not None and (shape.filters or shape.keyed is None):
        chosen = kept if shape.keyed is None else [_added(kept)]
        pairs = [(each, level) for each in gathered.values() for level in chosen]
        pairs += [(of_b, chosen[0])] if shape.masks_key else []
        numbers = [at * shape.levels + level for at in gathered for level in range(shape.levels)]
        gathered = {at * shape.levels + level: each for at in shape.ones for level, each in enumerate(chosen)}
        if pairs:
            left, right = (sharing.joined(*side) for side in zip(*pairs, strict=True))
            both = yield from sharing.multiply(ctx, left, right)
            gathered |= {number: both[_place(shape, place)] for place, number in enumerate(numbers)}
            of_b = both[_place(shape, len(pairs) - 1)] if shape.masks_key else of_b
    found = [gathered[number] for number, _ in shape.summed]
    if shape.beside:
        found = yield from _with_further(ctx, shape, found, columns)
    if shape.products:
        assert values is not None
        left = sharing.joined(*(found[at] for at, (_, of_a) in enumerate(shape.summed) if of_a is not None))
        right = sharing.joined(*(values[_place(shape, shape.compared_a + of_a)] for _, of_a in shape.products))
        product = yield from sharing.multiply(ctx, left, right)
        numbers = [at for at, (_, of_a) in enumerate(shape.summed) if of_a is not None]
        for number, at in enumerate(numbers):
            found[at] = product[_place(shape, number)]
    if shape.keyed is not None:
        assert values is not None
        levels = kept[1:] if shape.cased is not None and kept is not None else ()
        found.append(shape.keyed.key(values[_place(shape, shape.compared_a + shape.factors_a)], of_b, levels))
    return found


def _added(parts: Sequence[Words]) -> Words:
    whole, *others = parts
    for other in others:
        whole = whole + other
    return whole


def _with_further(ctx: Context, shape: Shape, found: Sequence[Words], columns: Words) -> Role[list[Words]]:
    """What is left of role b times the columns of further tables: each product once, however often it is summed."""
    made: list[tuple[int, ...]] = [(of_b,) for of_b, _ in shape.summed]
    first = shape.first_beside
    for each in shape.beside:
        places = {number: first + place for place, number in enumerate(each.travelling)}
        first += each.brought
        made = [(*before, of_d) for before, of_d in zip(made, each.factors, strict=True)]
        left = dict(zip(made, found, strict=True))
        wanted = [factors for factors in left if factors[-1] in places]
        if wanted:
            mine = sharing.joined(*(left[factors] for factors in wanted))
            theirs = sharing.joined(*(columns[_place(shape, places[factors[-1]])] for factors in wanted))
            both = yield from sharing.multiply(ctx, mine, theirs)
            left |= {factors: both[_place(shape, number)] for number, factors in enumerate(wanted)}
        found = [left[factors] for factors in made]
    return list(found)


def _kept(
    ctx: Context, shape: Shape, columns: Words, values: Words | None, tests: Bits | None
) -> Role[list[Words] | None]:
    """1 where a row counts, by its words of check and the condition, else 0; for each level of a CASE, if there is one.

    None if all rows count that are not 0.
    """
    true: list[Bits] = []
    if shape.checks:
        bits = yield from compare.is_zero(ctx, columns[slice(0, shape.checks * shape.rows)])
        true += [_part(shape, bits, number) for number in range(shape.checks)]
    bits_of = _Bits(ctx, shape, (yield from _compared(ctx, shape, columns, values)), tests, columns)
    if shape.condition is not None:
        true.append((yield from bits_of.of(shape.condition)))
    counts = true[0] if true else None
    for other in true[1:]:
        assert counts is not None
        counts = yield from sharing.conjoin(ctx, counts, other)
    if shape.cased is not None:
        return (yield from _levels(ctx, shape, shape.cased, bits_of, counts))
    return None if counts is None else (yield from compare.to_words(ctx, counts))


def _levels(ctx: Context, shape: Shape, cased: Cased, bits_of: "_Bits", counts: Bits | None) -> Role[list[Words]]:
    """For each level 1 where a row counts and is at it, else 0: no row is at two.

    ``counts``: which rows count; None for all. Of what the branches before have left, each takes its own.
    """
    left, at = counts, dict[int, Bits]()

    def put(level: int, bits: Bits) -> None:
        at[level] = at[level] ^ bits if level in at else bits

    for condition, level in cased.branches:
        bits = yield from bits_of.of(condition)
        taken = bits if left is None else (yield from sharing.conjoin(ctx, left, bits))
        left = sharing.flipped(ctx, bits) if left is None else left ^ taken
        put(level, taken)
    assert left is not None
    put(cased.otherwise, left)
    words = dict(zip(at, (yield from compare.to_words(ctx, sharing.stacked(*at.values()))), strict=True))
    nobody = sharing.public(ctx, 0, shape.rows)
    return [words.get(level, nobody) for level in range(cased.levels)]


def _of_a(shape: Shape, own: OwnOfA) -> Sequence[U64]:
    if shape.keyed is None:
        return (*own.compared, *own.factors)
    if own.cell is None:
        raise InternalError("internal.bug", where="groups that are told apart on shares")
    return (*own.compared, *own.factors, own.cell)


def _compared(ctx: Context, shape: Shape, columns: Words, values: Words | None) -> Role[list[Bits]]:
    """One bit a pair and row: in two goes, for all that are ordered and for all that are equal."""
    if not shape.pairs:
        return []

    def column(of: Compared) -> Words:
        table, number = of
        if table == 0:
            assert values is not None
            return values[_place(shape, number)]
        return columns[_place(shape, shape.first_compared(table) + number)]

    differences = []
    for one, op, other in shape.pairs:
        x, y = column(one), column(other)
        differences.append(y - x if op in (">", "<=") else x - y)
    found: dict[int, Bits] = {}
    ordered = shape.ordered
    equal = tuple(at for at in range(len(shape.pairs)) if at not in ordered)
    if ordered:
        bits = yield from compare.negative(ctx, sharing.joined(*(differences[at] for at in ordered)))
        found |= {at: _part(shape, bits, number) for number, at in enumerate(ordered)}
    if equal:
        bits = yield from compare.is_zero(ctx, sharing.joined(*(differences[at] for at in equal)))
        found |= {at: _part(shape, bits, number) for number, at in enumerate(equal)}
    turned = (">=", "<=", "<>")
    return [sharing.flipped(ctx, found[at]) if op in turned else found[at] for at, (_, op, _) in enumerate(shape.pairs)]


@dataclass(frozen=True, slots=True)
class _Bits:
    """The condition, evaluated on bits: AND is a product, OR is a ^ b ^ ab."""

    ctx: Context
    shape: Shape
    pairs: list[Bits]
    tests: Bits | None
    columns: Words

    def of(self, condition: Condition) -> Role[Bits]:
        if isinstance(condition, Leaf):
            return self._leaf(condition)
        whole = yield from self.of(condition.parts[0])
        for part in condition.parts[1:]:
            other = yield from self.of(part)
            both = yield from sharing.conjoin(self.ctx, whole, other)
            whole = both if condition.every else whole ^ other ^ both
        return whole

    def _leaf(self, leaf: Leaf) -> Bits:
        if leaf.kind == "pair":
            return self.pairs[leaf.number]
        if leaf.table == 0:
            assert self.tests is not None
            return self.tests[slice(leaf.number, leaf.number + 1)]
        word = self.columns[_place(self.shape, self.shape.first_test(leaf.table) + leaf.number)]
        # A word that is 0 or 1 is shared as a bit by the last bits of its parts: their sum and their XOR agree there.
        own, following = (shares.planes(part & np.uint64(1), 1) for part in (word.own, word.next))
        return Bits(own, following, self.shape.rows)


def _place(shape: Shape, number: int) -> slice:
    return slice(number * shape.rows, (number + 1) * shape.rows)


def _part(shape: Shape, bits: Bits, number: int) -> Bits:
    words = shape.rows // PLANE
    at = slice(number * words, (number + 1) * words)
    return Bits(np.ascontiguousarray(bits.own[:, at]), np.ascontiguousarray(bits.next[:, at]), shape.rows)


def _brought(ctx: Context, shape: Shape, number: int, column: U64) -> U64:
    """A column of role b at its full length. Where nothing is listed the word of check is 1: it is nobody's."""
    out = _padded(column, shape.rows)
    if number < shape.checks and ctx.me == A:
        out[column.size :] = 1
    return out


def _padded(column: U64, rows: int) -> U64:
    out = np.zeros(rows, np.uint64)
    out[: column.size] = column
    return out


def _plane(flags: Flags, rows: int) -> U64:
    plane: U64 = shares.planes(_padded(flags.astype(np.uint64), rows), 1)[0]
    return plane
