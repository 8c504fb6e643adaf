"""shared_join: join two tables, each held by any number of input parties, and sum per cell.

Every input party sends its rows once, masked, and may leave: what it sends to ``second`` and the masks that ``first``
draws by itself are two parts of them. Three computing parties, of which none holds a row, put all rows in the order of
their persons, on shares of three; add up what the right table has of a person beside each of the person's rows of the
left one; take the rows back to where they came from, where products and sums by cell are made; and end with shares of
the sums. protocols/shared_join/card.toml has the messages, protocols/shared_join/README.md the argument.

A person may have rows in several tables of either side: what is summed is what SQL sums over UNION ALL of them.

Source: our design after Mohassel, Rindal, Rosulek, eprint 2019/518 (its goal) and protocols.md 4.7 and 4.9 (its parts);
docs/adr/0030-tables-of-many-holders.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError
from pets.kernels import prf, shares, tags
from pets.kernels.shares import Zeros
from pets.protocols import upload
from pets.protocols.base import Role, Send, marked, receive_columns
from pets.protocols.rep3.compare import all_of, to_words
from pets.protocols.rep3.groups import picked, running
from pets.protocols.rep3.order import put_back, sorted_keys
from pets.protocols.rep3.sharing import Bits, Context, Words, conjoin, flipped, from_two, joined, multiply, public
from pets.protocols.upload import FIRST, SECOND
from pets.secret import Secret

PROTOCOL: Final = "shared_join"

THIRD: Final = "third"

PARTIES: Final = (FIRST, SECOND, THIRD)
"""The computing roles as parties 0, 1 and 2 of the operations on shares."""

STREAMS: Final = "matching"
"""Label of the streams of these operations: others may follow in the run, under the same families."""

MARK: Final = "j"
"""What the labels of their messages begin with, for the same reason."""

HASH_BYTES: Final = 16
"""Of what all holders hash identifiers under: it is no secret, and another in every run."""

WORD: Final = 64
MAX_KEY_BITS: Final = 128
"""Two words, and as many digits as a sort compares."""

NHS_BITS: Final = 34
"""Ten decimal digits."""

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Summed:
    """What is added up over the rows of the left table: a column of the right one, times one factor at most.

    ``factor``: a column of the left table. ``once``: only the first row of each person in each cell counts.
    """

    gathered: int
    factor: int | None = None
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Public parameters. ``left``, ``right``: the greatest number of rows of each holder, in the order of holders.

    ``cells``, ``right_cells``: cells of each table's grouping columns. ``once``: columns of the right table that count
    the first row of each person in each cell alone. ``reach``: rows that one person has in both tables, at most.
    ``id_bits``: of an identifier as a number; ``fixed``: it is one, and not hashed.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    cells: int
    right_cells: int
    x: int
    v_g: int
    once: frozenset[int]
    summed: tuple[Summed, ...]
    reach: int
    id_bits: int
    fixed: bool

    def __post_init__(self) -> None:
        if self.bits > MAX_KEY_BITS:
            raise InternalError("internal.bug", where="keys of more than two words")

    @property
    def listed(self) -> tuple[int, ...]:
        """Entries of each left list: its rows, and one that ends each cell."""
        return tuple(rows + self.cells for rows in self.left)

    @property
    def n_left(self) -> int:
        return sum(self.listed)

    @property
    def rows(self) -> int:
        return self.n_left + sum(self.right)

    @property
    def persons(self) -> bool:
        """Persons are told apart from rows."""
        return bool(self.once) or any(each.once for each in self.summed)

    @property
    def number_bits(self) -> int:
        return (self.rows - 1).bit_length()

    @property
    def cell_bits(self) -> int:
        return (max(self.cells, self.right_cells) - 1).bit_length() if self.persons else 0

    @property
    def bits(self) -> int:
        """Of a key, from the lowest: number of the row, cell, table, identifier, and whether it is nobody's."""
        return self.number_bits + self.cell_bits + self.id_bits + 2

    @property
    def words(self) -> int:
        """Words of a key."""
        return -(-self.bits // WORD)

    @property
    def g(self) -> int:
        """The cells by which sums are made, as other joins call them."""
        return self.cells

    @property
    def v(self) -> int:
        return len(self.summed)

    @property
    def products(self) -> tuple[int, ...]:
        """Places in ``summed`` of what has a factor of the left table."""
        return tuple(at for at, each in enumerate(self.summed) if each.factor is not None or each.once)


@dataclass(frozen=True, slots=True, repr=False)
class LeftRows:
    """What a holder of the left table brings: ids (n, width) uint8, zero-padded; cell (n,) uint32; x columns (n,)."""

    ids: U8
    cell: U32
    values: Sequence[I64]

    def __repr__(self) -> str:
        return f"LeftRows({self.cell.size} rows)"


@dataclass(frozen=True, slots=True, repr=False)
class RightRows:
    """What a holder of the right table brings: ids (n, width) uint8; cell (n,) uint32; v_g columns (n,)."""

    ids: U8
    cell: U32
    values: Sequence[I64]

    def __repr__(self) -> str:
        return f"RightRows({self.cell.size} rows)"


# -- input parties ----------------------------------------------------------------------------------------------------


def left(shape: Shape, number: int, brought: LeftRows, with_first: prf.KeyFamily, hashed_by: bytes) -> Role[None]:
    """Play holder ``number`` of the left table: send its list, masked. It gets nothing and may leave then.

    The list has rows in the order of their cells, behind each cell an entry that ends it, then entries of nobody.

    Shapes:  ``hashed_by``: 16 public bytes, the same for all holders.
    Sizes:   out Lk (a column a word of the keys), Le, Lv (x columns), of ``shape.listed[number]`` words.
    Learned: nothing: no message comes in.
    Trust:   sends what it wants; lists that are not as they should be are refused or spoil the sums.
    """
    listed = shape.listed[number]
    if brought.cell.size > shape.left[number] or len(brought.values) != shape.x:
        raise InternalError("internal.bug", where="rows of the left table outside the declared sizes")
    order = np.argsort(brought.cell, kind="stable")
    cells = brought.cell[order].astype(np.int64)
    at = np.arange(order.size, dtype=np.int64) + cells
    ends = np.cumsum(np.bincount(cells, minlength=shape.cells), dtype=np.int64) + np.arange(shape.cells)
    numbers = np.zeros(listed, np.uint64)
    numbers[ends] = np.arange(shape.cells, dtype=np.uint64) + np.uint64(number * shape.cells + 1)
    columns = []
    for values in brought.values:
        column = np.zeros(listed, np.uint64)
        column[at] = values.view(np.uint64)[order]
        columns.append(column)
    keys = _keys(shape, brought.ids[order], cells.astype(np.uint64), at, listed, table=1, hashed_by=hashed_by)
    yield from upload.sent(upload.label_of("Lk", number), "uk", keys, with_first, xor=True)
    yield from upload.sent(upload.label_of("Le", number), "ue", [numbers], with_first)
    yield from upload.sent(upload.label_of("Lv", number), "uv", columns, with_first)


def right(shape: Shape, number: int, brought: RightRows, with_first: prf.KeyFamily, hashed_by: bytes) -> Role[None]:
    """Play holder ``number`` of the right table: send its rows, masked. It gets nothing and may leave then.

    Sizes:   out Rk (a column a word of the keys), Rv (v_g columns), of ``shape.right[number]`` words.
    Learned: nothing: no message comes in.
    """
    listed = shape.right[number]
    if brought.cell.size > listed or len(brought.values) != shape.v_g:
        raise InternalError("internal.bug", where="rows of the right table outside the declared sizes")
    at = np.arange(brought.cell.size, dtype=np.int64)
    columns = []
    for values in brought.values:
        column = np.zeros(listed, np.uint64)
        column[at] = values.view(np.uint64)
        columns.append(column)
    keys = _keys(shape, brought.ids, brought.cell.astype(np.uint64), at, listed, table=0, hashed_by=hashed_by)
    yield from upload.sent(upload.label_of("Rk", number), "uk", keys, with_first, xor=True)
    yield from upload.sent(upload.label_of("Rv", number), "uv", columns, with_first)


def _keys(shape: Shape, ids: U8, cell: U64, at: I64, listed: int, *, table: int, hashed_by: bytes) -> list[U64]:
    """The keys of a list: of real rows at ``at``, and elsewhere of nobody, who come after everybody."""
    low, high = _numbers(shape, ids, hashed_by)
    shift = shape.number_bits + shape.cell_bits + 1
    below = np.full(len(ids), table << (shift - 1), np.uint64)
    if shape.persons:
        below |= cell << np.uint64(shape.number_bits)
    found = [np.zeros(listed, np.uint64) for _ in range(2)]
    nobody = shape.bits - 1
    found[nobody // WORD][:] = np.uint64(1 << nobody % WORD)
    found[0][at] = low << np.uint64(shift) | below
    found[1][at] = high << np.uint64(shift) | low >> np.uint64(WORD - shift)
    return found[: shape.words]


def _numbers(shape: Shape, ids: U8, hashed_by: bytes) -> tuple[U64, U64]:
    """Identifiers as numbers of ``shape.id_bits`` bits: low and high words."""
    if shape.fixed:
        number = np.zeros(len(ids), np.uint64)
        for digit in range(ids.shape[1]):
            number = number * np.uint64(10) + (ids[:, digit] - np.uint8(ord("0"))).astype(np.uint64)
        return number, np.zeros(len(ids), np.uint64)
    wide = np.zeros((len(ids), 16), np.uint8)
    if len(ids):
        wide[:, : tags.ID_BYTES] = tags.id_blocks(np.ascontiguousarray(ids), fixed=False, key=Secret(hashed_by))
    words = wide.view(np.uint64)
    low, high = words[:, 0].copy(), words[:, 1].copy()
    if shape.id_bits < WORD:
        low &= np.uint64((1 << shape.id_bits) - 1)
    high &= np.uint64((1 << max(shape.id_bits - WORD, 0)) - 1)
    return low, high


# -- computing parties ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Uploads:
    """One party's parts of all rows: masks at ``first``, what came in at ``second``. Columns of words, end to end."""

    keys: U64
    values: U64

    def __repr__(self) -> str:
        return "Uploads(***)"


def first(
    shape: Shape,
    holders: tuple[Sequence[prf.KeyFamily], Sequence[prf.KeyFamily]],
    s_12: prf.KeyFamily,
    s_13: prf.KeyFamily,
    noise: U64 | None,
) -> Role[U64 | None]:
    """Play the first computing party: it draws the masks of all holders and hears nothing from them.

    ``holders``: the families that it has with each holder of the left and of the right table, in their order. Without
    noise nothing is sent in the end: what is returned, (v, cells) uint64, is this party's share of the sums, for
    another protocol to take over.

    Sizes:   operations on shares; out Fa.
    Learned: nothing: every word that comes in is masked by a stream that this party lacks.
    Trust:   semi-honest, one corrupt party of three with any number of holders; a lying peer is not caught.
    Raises:  PeerError peer.positions if a list does not end every cell once, or what is opened is no order.
    """

    lefts, rights = holders
    keys = [upload.drawn(lefts, shape.listed, shape.words, "uk"), upload.drawn(rights, shape.right, shape.words, "uk")]
    values = [
        upload.drawn(lefts, shape.listed, 1, "ue"),
        upload.drawn(lefts, shape.listed, shape.x, "uv"),
        upload.drawn(rights, shape.right, shape.v_g, "uv"),
    ]
    parts = Uploads(_side_by_side(shape, *keys), np.concatenate(values))
    del keys, values
    sums = yield from marked(_joined(shape, Context(0, _zeros(s_13, s_12), roles=PARTIES), parts), MARK)
    share = sums.own + sums.next
    if noise is None:
        return share.reshape(shape.v, shape.cells)
    for column, words in enumerate(share.reshape(shape.v, shape.cells)):
        words += noise[column]
        prf.add_words(s_13.key("noise", column), words)
        prf.add_words(s_12.key("zero", column), words)
        yield Send("result", "Fa", words, column)
    return None


def second(shape: Shape, s_12: prf.KeyFamily, s_23: prf.KeyFamily, noise: U64 | None) -> Role[U64 | None]:
    """Play the second computing party: it receives the masked rows of all holders.

    Sizes:   in Lk, Le, Lv of each holder of the left table, Rk, Rv of each of the right one, Mn; operations on shares;
             out Fb. Without noise as ``first``.
    Learned: nothing: every word that comes in is masked by a stream that this party lacks.
    """
    p, m = len(shape.left), len(shape.right)
    of_left = yield from upload.received("left", p, shape.words, "Lk")
    values = [(yield from upload.received("left", p, 1, "Le"))]
    values.append((yield from upload.received("left", p, shape.x, "Lv")))
    of_right = yield from upload.received("right", m, shape.words, "Rk")
    values.append((yield from upload.received("right", m, shape.v_g, "Rv")))
    parts = Uploads(_side_by_side(shape, of_left, of_right), np.concatenate(values))
    del of_left, of_right, values
    sums = yield from marked(_joined(shape, Context(1, _zeros(s_12, s_23), roles=PARTIES), parts), MARK)
    share = sums.next.reshape(shape.v, shape.cells).copy()
    if noise is None:
        return share
    hidden = yield from receive_columns(THIRD, "Mn", shape.v)
    for column, words in enumerate(share):
        words += noise[column] + hidden[column]
        prf.sub_words(s_12.key("zero", column), words)
        yield Send("result", "Fb", words, column)
    return None


def third(shape: Shape, s_13: prf.KeyFamily, s_23: prf.KeyFamily, noise: U64 | None) -> Role[None]:
    """Play the third computing party. Sizes: operations on shares; out Mn, if there is noise. Learned: nothing."""
    yield from marked(_joined(shape, Context(2, _zeros(s_23, s_13), roles=PARTIES), None), MARK)
    if noise is None:
        return
    for column in range(shape.v):
        hidden = noise[column].copy()
        prf.sub_words(s_13.key("noise", column), hidden)
        yield Send(SECOND, "Mn", hidden, column)


def result(shape: Shape) -> Role[tuple[U64, U64]]:
    """Play the result party: receive both final shares, (v, cells) uint64 each; ``helper_join.open_shares`` adds them.

    Learned: the noised sums of every cell, and nothing from either share alone.
    """
    of_first = yield from receive_columns(FIRST, "Fa", shape.v)
    of_second = yield from receive_columns(SECOND, "Fb", shape.v)
    return np.stack(of_first), np.stack(of_second)


def _side_by_side(shape: Shape, of_left: U64, of_right: U64) -> U64:
    """Keys of both tables, word after word, those of the left one last: their rows are taken back."""
    both = (of_right.reshape(shape.words, -1), of_left.reshape(shape.words, -1))
    return np.concatenate(both, axis=1).reshape(-1)


def _zeros(before: prf.KeyFamily, after: prf.KeyFamily) -> Zeros:
    """The two streams of a party of the operations: with the one before it and the one after it."""
    purpose = "shares of zero"
    return Zeros(before.key(STREAMS, purpose=purpose), after.key(STREAMS, purpose=purpose))


# -- on shares --------------------------------------------------------------------------------------------------------


def _joined(shape: Shape, ctx: Context, parts: Uploads | None) -> Role[Words]:
    """Shares of the sums, (v * cells,), from two parts of all rows. The operations are the card's, in its order."""
    rows, n_left = shape.rows, shape.n_left
    keys = yield from from_two(ctx, 0, None if parts is None else parts.keys, rows * shape.words, xor=True)
    count = n_left * (shape.x + 1) + (rows - n_left) * shape.v_g
    values = yield from from_two(ctx, 0, None if parts is None else parts.values, count)
    del parts
    of_left = _columns(values[slice(0, n_left * (shape.x + 1))], shape.x + 1)
    of_right = _columns(values[slice(n_left * (shape.x + 1), None)], shape.v_g)
    del values
    none = public(ctx, 0, n_left)
    brought = [joined(column, none) for column in of_right]
    ordered, moved, way = yield from sorted_keys(ctx, _columns(keys, shape.words), shape.bits, brought)
    del keys, of_right, brought, none
    begins, fresh = yield from _beginnings(ctx, shape, ordered)
    del ordered
    if shape.once:
        assert fresh is not None
        which = sorted(shape.once)
        kept = yield from multiply(ctx, joined(*[fresh] * len(which)), joined(*(moved[column] for column in which)))
        for column, words in zip(which, _columns(kept, len(which)), strict=True):
            moved[column] = words
    there = yield from running(ctx, begins, moved, shape.reach)
    del moved, begins
    if fresh is not None:
        there.append(fresh)
    back = yield from put_back(ctx, way, there, n_left)
    del there, fresh, way
    numbers, *factors = of_left
    found = [back[each.gathered] for each in shape.summed]
    if shape.products:
        lefts = (back[-1] if shape.summed[at].once else factors[shape.summed[at].factor or 0] for at in shape.products)
        product = yield from multiply(ctx, joined(*lefts), joined(*(found[at] for at in shape.products)))
        for at, words in zip(shape.products, _columns(product, len(shape.products)), strict=True):
            found[at] = words
    ends = yield from picked(ctx, numbers, [_so_far(shape, column) for column in found], len(shape.left) * shape.cells)
    return joined(*(_by_cell(shape, column) for column in ends))


def _columns(words: Words, count: int) -> list[Words]:
    """Columns of one length that stand after each other."""
    rows = words.rows // count if count else 0
    return [words[slice(at * rows, (at + 1) * rows)] for at in range(count)]


def _beginnings(ctx: Context, shape: Shape, ordered: Sequence[Words]) -> Role[tuple[Words, Words | None]]:
    """1 in the first row of each person and, if persons are told apart, of each person, table and cell."""
    planes: list[Bits] = []
    for place, word in enumerate(ordered):
        width = min(WORD, shape.bits - WORD * place)
        own, following = (shares.planes(part ^ _before(part), width) for part in (word.own, word.next))
        planes.append(Bits(own, following, shape.rows))
    changes = Bits(
        np.concatenate([each.own for each in planes]), np.concatenate([each.next for each in planes]), shape.rows
    )
    person = shape.number_bits + shape.cell_bits + 1
    same = yield from all_of(ctx, flipped(ctx, changes[slice(person, None)]))
    flags = [flipped(ctx, same)]
    if shape.persons:
        beside = yield from all_of(ctx, flipped(ctx, changes[slice(shape.number_bits, person)]))
        flags.append(flipped(ctx, (yield from conjoin(ctx, same, beside))))
    both = Bits(np.concatenate([f.own for f in flags]), np.concatenate([f.next for f in flags]), shape.rows)
    words = [joined(public(ctx, 1, 1), column[slice(1, None)]) for column in (yield from to_words(ctx, both))]
    return words[0], words[1] if shape.persons else None


def _before(words: U64) -> U64:
    """Each row's predecessor; the first has none, and what stands there is not used."""
    out = np.empty_like(words)
    out[:1], out[1:] = 0, words[:-1]
    return out


def _so_far(shape: Shape, column: Words) -> Words:
    """Running sums of a column in the order of the lists, from the beginning of each list."""
    ends = np.cumsum(shape.listed)[:-1]
    own, following = (
        np.concatenate([np.cumsum(part, dtype=np.uint64) for part in np.split(words, ends)])
        for words in (column.own, column.next)
    )
    return Words(own, following)


def _by_cell(shape: Shape, ends: Words) -> Words:
    """From running sums where cells end, list by list, to the sums of all lists by cell: (cells,)."""
    own, following = (
        np.diff(words.reshape(len(shape.left), shape.cells), axis=1, prepend=np.uint64(0)).sum(axis=0, dtype=np.uint64)
        for words in (ends.own, ends.next)
    )
    return Words(own, following)
