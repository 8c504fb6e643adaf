"""helper_join, mode B: join two tables on persons and sum per cell, with a helper who learns declared sizes only.

The roles are those of mode A, and so is what comes out; protocols/helper_join_b/card.toml has the messages and
protocols/helper_join_b/README.md the argument. Role b writes its persons' words into a table that only tokens of these
persons read (kernels/okvs.py), and sends it to the helper under a mask that a has, too. Role a sends tokens. So a and
the helper hold two summands of what each row reads, right or not; which rows read what b wrote is found out, and
multiplied in, on shares of all three (protocols/rep3). Nobody holds a match. What is left is mode A's way to sums.
Where more is computed on rows (protocols/rows.py), that computation begins with what was read, and finds out the match.

Source: protocols.md 2; the sums by cell are those of mode A (1.7, steps 4 and 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import InternalError, RunError
from pets.kernels import columns, lists, okvs, permute, prf, tags
from pets.kernels.shares import Zeros
from pets.kernels.tags import Kind
from pets.protocols.base import Role, Send, marked, receive, receive_columns
from pets.protocols.helper_join import (
    I64,
    U8,
    U32,
    U64,
    OnRows,
    PeopleOfB,
    RowsOfA,
    Sizes,
    bounds_of_cells,
    cells_by_helper,
    check_positions,
    computed_by_a,
    computed_by_helper,
    difference,
    in_no_order,
    own_in_list,
    released_by_a,
    released_by_b,
    released_by_helper,
)
from pets.protocols.rep3.compare import is_zero, to_words
from pets.protocols.rep3.sharing import Context, Words, from_two, given, joined, multiply

PROTOCOL: Final = "helper_join_b"

PARTIES: Final = ("a", "helper", "b")
"""The roles as parties 0, 1 and 2 of the operations on shares."""

MATCHING: Final = "matching"
"""Label of the streams of these operations: others may follow in the run, under the same families."""

MARK: Final = "j"
"""What the labels of their messages begin with, for the same reason."""

CHECK_BYTES: Final = 8
"""A row that is not b's reads the word it is checked by with probability 2^-64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Sizes):
    """Public parameters of one join in mode B. ``ones``: columns of b that are 1 for every person: they do not travel.

    ``third``: slots of each third of the table.
    """

    ones: frozenset[int]
    third: int

    @property
    def travelling(self) -> tuple[int, ...]:
        """Columns of b in the table, in order."""
        return tuple(column for column in range(self.v_g) if column not in self.ones)

    @property
    def slots(self) -> int:
        return okvs.slots_of(self.third)


def party_a(
    shape: Shape,
    rows: RowsOfA,
    ab: prf.KeyFamily,
    ac: prf.KeyFamily,
    noise_a: U64 | None,
    on_rows: OnRows | None = None,
) -> Role[U64 | None]:
    """Play input party a: send permuted tokens, read the mask of b's table, sum matched words by cell.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums, for
    another protocol to take over.

    Sizes:   out T, M8, M7a, and operations on shares; counts on the card.
    Learned: nothing: uniform words.
    Trust:   semi-honest, one corrupt party of three; a lying peer is not caught, a malformed message is.
    """
    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    own_cell, rows = rows.cell, in_no_order(shape, rows)
    bounds, first = bounds_of_cells(shape, rows.cell)
    at = lists.list_positions(rows.cell, first, q)
    tokens, checks = entries_of_a(shape, rows, ab, at, q, bounds, first)
    yield Send("helper", "T", tokens)
    last = (bounds[1:] - 1).astype(np.int64)
    position = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)[last]
    yield Send("helper", "M8", position)
    read = masks_read_by_a(shape, tokens, checks, ab)
    del tokens, checks
    cell_at = lists.cells_by_position(bounds, q)
    if on_rows is not None:
        own, cell = own_in_list(shape, at, rows, own_cell)
        computed = yield from on_rows.computed(read, own, cell)
        share = yield from computed_by_a(shape, computed, cell_at, position, ab)
        return (yield from released_by_a(shape, share, rows, ab, ac, noise_a))
    x_in_list = np.zeros((shape.x, shape.n_list_a), np.uint64)
    for column, values in enumerate(rows.values):
        columns.scatter_into(x_in_list[column], at, values.view(np.uint64))

    matched = yield from marked(_matched(shape, Context(0, _zeros(ab, ac), roles=PARTIES), read, x_in_list), MARK)

    share = np.empty((shape.v, shape.g), np.uint64)
    for column, words in enumerate(matched):
        share[column] = columns.segment_sums(words.own + words.next, cell_at, shape.g)
        share[column] += difference(prf.words_at(ab.key("r2", column), position))
    return (yield from released_by_a(shape, share, rows, ab, ac, noise_a))


def party_b(
    shape: Shape,
    people: PeopleOfB,
    ab: prf.KeyFamily,
    bc: prf.KeyFamily,
    noise_b: U64 | None,
    on_rows: OnRows | None = None,
) -> Role[None]:
    """Play input party b: send its masked table, then sum shares in an order that only a and b know.

    Without noise there is no Mn.

    Sizes:   out Pc, P (a column for each that travels), M6 and Mn (v columns), and operations on shares.
    Learned: nothing: uniform words.
    Trust:   semi-honest, one corrupt party of three; a lying peer is not caught.
    Raises:  RunError run.table if the table cannot be written: a chance of 2^-39 that says nothing of the records.
    """
    yield from tables_of_b(shape, people, ab)

    if on_rows is None:
        matched = yield from marked(_matched(shape, Context(2, _zeros(bc, ab), roles=PARTIES)), MARK)
        own = [product.own for product in matched]
    else:
        yield from on_rows.computed(None, None, None)
        sums = () if shape.keyed else range(shape.v)
        own = [prf.words(bc.key("rows", column), shape.n_list_a) for column in sums]

    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    rho2 = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)
    for column, part in enumerate(own):
        hidden = np.empty(shape.n_list_a, np.uint64)
        columns.prefix_scatter(part, q, rho2, hidden)
        prf.sub_words(ab.key("r2", column), hidden)
        yield Send("helper", "M6" if on_rows is None else "M6c", hidden, column)
    yield from released_by_b(shape, ab, noise_b)


def helper(
    shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64 | None, on_rows: OnRows | None = None
) -> Role[U64 | None]:
    """Play the helper: read a masked table at tokens, work on shares, send a noised share of every sum.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums, for
    another protocol to take over.

    Sizes:   in T, M8, Pc, P, M6, Mn; out M7c; and operations on shares; counts on the card.
    Learned: nothing but the declared sizes: tokens are random strings, all distinct, whatever the rows are.
    Trust:   must not collude with a or with b: with the keys of tokens it could try all identifiers.
    Raises:  PeerError peer.positions on a bad M8.
    """
    tokens = yield from receive("a", "T")
    position = yield from receive("a", "M8")
    check_positions(position, shape.n_list_a, "M8")
    read = yield from tables_read_by_helper(shape, tokens)
    del tokens

    if on_rows is None:
        yield from marked(_matched(shape, Context(1, _zeros(ac, bc), roles=PARTIES), read), MARK)
        sums = yield from receive_columns("b", "M6", shape.v)
    else:
        computed = yield from on_rows.computed(read, None, None)
        if shape.keyed:
            return (yield from cells_by_helper(shape, computed, ac, bc, noise_c))
        yield from computed_by_helper(shape, computed, bc)
        sums = yield from receive_columns("b", "M6c", shape.v)
    return (yield from released_by_helper(shape, sums, position, ac, noise_c))


def tables_of_b(
    shape: Shape, people: PeopleOfB, ab: prf.KeyFamily, labels: tuple[str, str] = ("Pc", "P")
) -> Role[None]:
    """Send the helper a table of words of check, and one of each column that travels, masked with keys of a and b.

    Raises: RunError run.table if it cannot be written.
    """
    tokens, checks = _entries_of_b(shape, people, ab)
    try:
        writer = okvs.Writer(tokens, shape.third)
    except okvs.Unsolvable as error:
        raise RunError("run.table") from error
    del tokens
    yield Send("helper", labels[0], columns.minus_words(writer.write(checks), ab.key("rc", 0)))
    for place, column in enumerate(shape.travelling):
        words = np.tile(people.values[column].view(np.uint64), shape.k)
        yield Send("helper", labels[1], columns.minus_words(writer.write(words), ab.key("r", column)), place)


def masks_read_by_a(shape: Shape, tokens: U8, checks: U64, ab: prf.KeyFamily) -> list[U64]:
    """Role a's summand of what its tokens read: of the words of check, less its own, and of columns that travel."""
    places = okvs.Places(tokens, shape.third)
    read = [okvs.read(prf.words(ab.key("rc", 0), shape.slots), places) - checks]
    for column in shape.travelling:
        read.append(okvs.read(prf.words(ab.key("r", column), shape.slots), places))
    return read


def tables_read_by_helper(shape: Shape, tokens: U8) -> Role[list[U64]]:
    """The helper's summand: the tables that b sends, read at a's tokens."""
    places = okvs.Places(tokens, shape.third)
    read = [okvs.read((yield from receive("b", "Pc")), places)]
    return read + (yield from columns_read_by_helper(shape, places, "b", "P"))


def columns_read_by_helper(shape: Shape, places: okvs.Places, sender: str, label: str) -> Role[list[U64]]:
    """The columns that travel of a table that ``sender`` sends, read at these places."""
    read = []
    for place in range(len(shape.travelling)):
        read.append(okvs.read((yield from receive(sender, label, place)), places))
    return read


# -- on shares --------------------------------------------------------------------------------------------------------


def _zeros(before: prf.KeyFamily, after: prf.KeyFamily) -> Zeros:
    """The two streams of a party of the operations: with the one before it and the one after it."""
    purpose = "shares of zero"
    return Zeros(before.key(MATCHING, purpose=purpose), after.key(MATCHING, purpose=purpose))


def _matched(
    shape: Shape, ctx: Context, read: Sequence[U64] | None = None, x_in_list: U64 | None = None
) -> Role[list[Words]]:
    """For each summed column and row the product of its two columns, or 0 for a row that is not b's: on shares.

    ``read``: what a or the helper has read, the check first; ``x_in_list``: the factors of a. The operations are those
    of the card's program, in its order.
    """
    rows, tables = shape.n_list_a, 1 + len(shape.travelling)
    words = yield from from_two(ctx, 0, None if read is None else np.concatenate(read), rows * tables)
    of_table = [words[slice(rows * place, rows * (place + 1))] for place in range(tables)]
    del words, read
    (match,) = yield from to_words(ctx, (yield from is_zero(ctx, of_table[0])))
    values = dict(zip(shape.travelling, of_table[1:], strict=True))
    left: dict[int | None, Words] = {None: match}
    if shape.x:
        flat = x_in_list.reshape(-1) if ctx.me == 0 and x_in_list is not None else None
        factors = yield from given(ctx, 0, flat, rows * shape.x)
        of_matched = yield from multiply(ctx, joined(*[match] * shape.x), factors)
        for column in range(shape.x):
            left[column] = of_matched[slice(rows * column, rows * (column + 1))]
    multiplied = [(of_b, of_a) for of_b, of_a in shape.summed if of_b not in shape.ones]
    found: list[Words] = []
    if multiplied:
        both = yield from multiply(
            ctx,
            joined(*(left[of_a] for _, of_a in multiplied)),
            joined(*(values[of_b] for of_b, _ in multiplied)),
        )
        found = [both[slice(rows * place, rows * (place + 1))] for place in range(len(multiplied))]
    products = iter(found)
    return [left[of_a] if of_b in shape.ones else next(products) for of_b, of_a in shape.summed]


# -- lists ------------------------------------------------------------------------------------------------------------


def entries_of_a(
    shape: Shape, rows: RowsOfA, ab: prf.KeyFamily, at: U32, q: U32, bounds: I64, first: I64
) -> tuple[U8, U64]:
    """Tokens and words of check of list T of the card: real rows, in cell 0 the padding, and a sentinel in each cell.

    Every entry has a word of check of its own, so that none that is nobody's row reads it by more than chance.
    """
    blocks = _id_blocks(shape, rows.ids, ab)
    start = first[0] + int(np.count_nonzero(rows.cell == 0))
    padding, sentinels = q[start : bounds[1] - 1], q[bounds[1:] - 1]
    found = []
    for label, width in (("tag", okvs.TOKEN_BYTES), ("check", CHECK_BYTES)):
        key = ab.key(label, purpose="tags")
        out = np.empty((shape.n_list_a, width), np.uint8)
        tags.place(tags.tag_rows(key, blocks, rows.occurrence, width=width), at, out)
        tags.place(tags.tag_indexed(key, Kind.PADDING_A, 0, padding.size, width=width), padding, out)
        tags.place(tags.tag_indexed(key, Kind.SENTINEL, 0, shape.g_l, width=width), sentinels, out)
        found.append(out)
    tokens, checks = found
    return tokens, checks.reshape(-1).view(np.uint64)


def _entries_of_b(shape: Shape, people: PeopleOfB, ab: prf.KeyFamily) -> tuple[U8, U64]:
    """k tokens of each person, occurrence by occurrence, and their words of check."""
    persons = len(people.ids)
    if persons > shape.n_b:
        raise InternalError("internal.bug", where="persons of role b outside the declared sizes")
    if not all(np.all(people.values[column] == 1) for column in shape.ones):
        raise InternalError("internal.bug", where="a column of role b that does not travel is not 1 for everyone")
    blocks = _id_blocks(shape, people.ids, ab)
    found = []
    for label, width in (("tag", okvs.TOKEN_BYTES), ("check", CHECK_BYTES)):
        key = ab.key(label, purpose="tags")
        parts = [
            tags.tag_rows(key, blocks, np.full(persons, occurrence, np.uint16), width=width)
            for occurrence in range(1, shape.k + 1)
        ]
        found.append(np.concatenate(parts))
    tokens, checks = found
    return tokens, checks.reshape(-1).view(np.uint64)


def _id_blocks(shape: Shape, ids: U8, ab: prf.KeyFamily) -> U8:
    key = None if shape.fixed_ids else ab.key("idhash", purpose="hash of identifiers")
    return tags.id_blocks(ids, fixed=shape.fixed_ids, key=key)
