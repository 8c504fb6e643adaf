"""helper_join, mode A: join two tables on persons and sum per cell, with a helper who sees one noisy count.

Three roles compute (``party_a``, ``party_b``, ``helper``) and one opens (``result``). The messages, who sends them and
what they carry are on protocols/helper_join_a/card.toml; protocols/helper_join_a/README.md has the argument. All
arithmetic is on words, modulo 2^64. Sizes, order and branches depend on the public parameters only.

Source: the design of the card, section by section: lists, slots and sentinels (1.7), dummies (1.10), zero share (0.9).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, PeerError
from pets.kernels import columns, dummy, join, lists, permute, prf, tags
from pets.kernels.tags import Kind
from pets.protocols import dominance, keyed, modelled, ordered, rows
from pets.protocols.base import Array, Role, Send, receive, receive_columns
from pets.protocols.rep3.sharing import Context, Words
from pets.secret import Secret

PROTOCOL = "helper_join_a"

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What both modes of the join are given: public parameters by the names of their cards, and what is summed.

    ``summed``: for each of ``v`` columns, the column of b (below ``v_g``) and the column of a (below ``x``) it is
    multiplied with, or None. ``fixed_ids``: ids have one public width of at most 13 bytes and enter tags as they are.
    ``keyed``: groups are told apart on shares, and role a's list is in no order of groups.
    """

    n_a: int
    n_b: int
    g: int
    k: int
    t: int
    n_list_a: int
    n_list_b: int
    x: int
    v_g: int
    summed: tuple[tuple[int, int | None], ...]
    fixed_ids: bool
    keyed: bool = False

    @property
    def g_l(self) -> int:
        """Cells that role a's list is in order of."""
        return 1 if self.keyed else self.g

    @property
    def w(self) -> int:
        """Slots for dummies in each list."""
        return self.n_list_a - self.n_a - self.g_l

    @property
    def n(self) -> int:
        return self.n_list_a + self.n_list_b

    @property
    def v(self) -> int:
        return len(self.summed)

    @property
    def factors_b(self) -> tuple[int, ...]:
        """Columns of b that are factors of a product, each once, in order: the columns of Mf."""
        return tuple(sorted({of_b for of_b, of_a in self.summed if of_a is not None}))

    @property
    def products(self) -> tuple[tuple[int, int], ...]:
        """(column of b, column of a) of each product, in the order of ``summed``: the columns of Mw."""
        return tuple((of_b, of_a) for of_b, of_a in self.summed if of_a is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Sizes):
    """Public parameters of one join in mode A: ``s`` is half the number of slots, ``dummies`` the law of how many."""

    s: int
    dummies: dummy.DummyTable


@dataclass(frozen=True, slots=True, repr=False)
class RowsOfA:
    """What role a brings: at most ``n_a`` rows, at most ``k`` of each person.

    Shapes:  ids (n, width) uint8, zero-padded; occurrence (n,) uint16, 1 to k, distinct within a person; cell (n,)
             uint32 below g, or role a's own where groups are told apart on shares; values: x arrays (n,) int64; local
             (v, g) uint64, added to role a's share (unmatched rows of a LEFT JOIN).
    """

    ids: U8
    occurrence: npt.NDArray[np.uint16]
    cell: U32
    values: Sequence[I64]
    local: U64
    compared: Sequence[I64] = ()
    tests: Sequence[npt.NDArray[np.bool_]] = ()
    """What a condition across tables needs of each row; see protocols/rows.py."""

    def __repr__(self) -> str:
        return f"RowsOfA({self.cell.size} rows)"


@dataclass(frozen=True, slots=True, repr=False)
class OnRows:
    """What the three parties compute on rows before they are summed, and this party's part in it.

    ``found``: this party's shares of order statistics and then of models come to stand here, for disclosure control to
    take over, and in ``tops`` those of the greatest contributions.
    """

    shape: rows.Shape
    ctx: Context
    order: ordered.Shape | None = None
    against: dominance.Shape | None = None
    models: tuple[modelled.Model, ...] = ()
    found: list[Words] = field(default_factory=list)
    tops: list[Words] = field(default_factory=list)

    def computed(self, brought: Sequence[U64] | None, own: rows.OwnOfA | None, cell: U64 | None) -> Role[list[Words]]:
        """What is summed, on each row (``rows.filtered``), and beside it ``found``; ``cell`` at role a alone.

        Where groups are told apart on shares it is summed already: one word a cell.
        """
        columns = yield from rows.filtered(self.ctx, self.shape, brought, own)
        key = None if self.shape.keyed is None else columns.pop()
        if self.order is not None:
            own_cell = cell if key is None else None
            self.found.extend((yield from ordered.statistics(self.ctx, self.order, columns, own_cell, key)))
        if self.against is not None:
            factors, own_cell = None if own is None else own.factors, cell if key is None else None
            brings = dominance.Own(own_cell, factors)
            self.tops.extend((yield from dominance.greatest(self.ctx, self.against, columns, brings, key)))
        for model in self.models:
            self.found.extend((yield from modelled.numbers(self.ctx, model, columns)))
        if self.shape.keyed is not None and key is not None:
            columns = yield from keyed.sums(self.ctx, self.shape.keyed, key, columns)
        return columns


@dataclass(frozen=True, slots=True, repr=False)
class PeopleOfB:
    """What role b brings: at most ``n_b`` persons, each once: ids (m, width) uint8; values: v_g arrays (m,) int64."""

    ids: U8
    values: Sequence[I64]

    def __repr__(self) -> str:
        return f"PeopleOfB({len(self.ids)} persons)"


def party_a(
    shape: Shape,
    brought: RowsOfA,
    ab: prf.KeyFamily,
    ac: prf.KeyFamily,
    noise_a: U64 | None,
    on_rows: OnRows | None = None,
) -> Role[U64 | None]:
    """Play input party a: send permuted tags, sum masked values by cell, send a noised share of every sum.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums, for
    another protocol to take over.

    Sizes:   out M1, Me (x columns), M8, M7a; in M3 (v_g columns), M4, Mf; counts on the card.
    Learned: nothing: uniform words, and a uniform injection of list positions.
    Trust:   semi-honest, one corrupt party of three; a lying peer is not caught, a malformed message is.
    Raises:  PeerError peer.positions if M4 repeats a position or leaves the range.
    """
    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    own_cell, brought = brought.cell, in_no_order(shape, brought)
    bounds, first = bounds_of_cells(shape, brought.cell)
    at = lists.list_positions(brought.cell, first, q)
    yield Send("helper", "M1", _tags_of_a(shape, brought, ab, at, q, bounds, first))
    x_in_list = [_in_list(shape, at, values) for values in brought.values]
    for column, placed in enumerate(x_in_list if on_rows is None else ()):
        yield Send("helper", "Me", columns.minus_words(placed, ab.key("u", column)), column)
    last = (bounds[1:] - 1).astype(np.int64)
    position = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)[last]
    yield Send("helper", "M8", position)
    cell_at = lists.cells_by_position(bounds, q)

    masked = yield from receive_columns("b", "M3", shape.v_g)
    tau = yield from receive("helper", "M4")
    check_positions(tau, shape.n, "M4")
    if on_rows is not None:
        own, cell = own_in_list(shape, at, brought, own_cell)
        parts = [columns.gather(each, tau) for each in masked]
        computed = yield from on_rows.computed(parts, own, cell)
        share = yield from computed_by_a(shape, computed, cell_at, position, ab)
        return (yield from released_by_a(shape, share, brought, ab, ac, noise_a))
    opened = dict(zip(shape.factors_b, (yield from receive_columns("helper", "Mf", len(shape.factors_b))), strict=True))

    share = np.empty((shape.v, shape.g), np.uint64)
    product = 0
    for column, (of_b, of_a) in enumerate(shape.summed):
        if of_a is None:
            matched = columns.gather(masked[of_b], tau)
        else:
            matched = columns.gather(masked[of_b], tau)
            columns.product_share_a(matched, x_in_list[of_a], opened[of_b])
            prf.add_words(ab.key("w", product), matched)
            product += 1
        prf.add_words(ac.key("r1", column), matched)
        share[column] = columns.segment_sums(matched, cell_at, shape.g)
        share[column] += difference(prf.words_at(ab.key("r2", column), position))
    return (yield from released_by_a(shape, share, brought, ab, ac, noise_a))


def computed_by_a(shape: Sizes, computed: Sequence[Words], cell_at: U32, position: U32, ab: prf.KeyFamily) -> Role[U64]:
    """Role a's share of the sums, (v, g), of what was computed on rows: with the part that a lacks, which comes in Mr.

    Where groups are told apart on shares, ``computed`` is summed, and the part comes in Mk. ``cell_at``: the cell of
    each entry of its list; ``position``: where each cell ends (M8).
    """
    if shape.keyed:
        third = yield from receive_columns("helper", "Mk", shape.v)
        return np.stack([words.own + words.next + third[column] for column, words in enumerate(computed)])
    third = yield from receive_columns("helper", "Mr", shape.v)
    share = np.empty((shape.v, shape.g), np.uint64)
    for column, words in enumerate(computed):
        whole = words.own[: shape.n_list_a] + words.next[: shape.n_list_a] + third[column]
        share[column] = columns.segment_sums(whole, cell_at, shape.g)
        share[column] += difference(prf.words_at(ab.key("r2", column), position))
    return share


def computed_by_helper(shape: Sizes, computed: Sequence[Words], bc: prf.KeyFamily) -> Role[None]:
    """Of what was computed on rows, the part that a lacks goes to a (Mr), less a mask that b has for its share."""
    for column, words in enumerate(computed):
        third = words.next[: shape.n_list_a].copy()
        prf.sub_words(bc.key("rows", column), third)
        yield Send("a", "Mr", third, column)


def cells_by_helper(
    shape: Sizes, computed: Sequence[Words], ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64 | None
) -> Role[U64 | None]:
    """Sums that three parties have, cell by cell: the helper gives a what a lacks, but for a mask: its own share."""
    masks = np.stack([prf.words(bc.key("cells", column), shape.g) for column in range(shape.v)])
    for column, words in enumerate(computed):
        yield Send("a", "Mk", words.next - masks[column], column)
    return (yield from share_of_helper(shape, masks, ac, noise_c))


def released_by_a(
    shape: Sizes, share: U64, brought: RowsOfA, ab: prf.KeyFamily, ac: prf.KeyFamily, noise_a: U64 | None
) -> Role[U64 | None]:
    """What becomes of role a's share of the sums, (v, g), in either mode: it leaves with noise, or goes on."""
    share += brought.local
    if noise_a is None:
        return share
    for column in range(shape.v):
        share[column] += noise_a[column]
        prf.add_words(ab.key("noise", column), share[column])
        prf.add_words(ac.key("zero", column), share[column])
    for column in range(shape.v):
        yield Send("result", "M7a", share[column], column)
    return None


def in_no_order(shape: Sizes, brought: RowsOfA) -> RowsOfA:
    """The rows as they lie in role a's list: all in one cell, where groups are told apart on shares."""
    return replace(brought, cell=np.zeros_like(brought.cell)) if shape.keyed else brought


def own_in_list(shape: Sizes, at: U32, brought: RowsOfA, own_cell: U32) -> tuple[rows.OwnOfA, U64]:
    """What role a puts into a computation on rows, and the cell of each, in the order of its list."""
    cell = _in_list(shape, at, own_cell.astype(np.int64))
    own = rows.OwnOfA(
        [_in_list(shape, at, values) for values in brought.compared],
        [_in_list(shape, at, values) for values in brought.values],
        [_in_list(shape, at, flags.astype(np.int64)) == 1 for flags in brought.tests],
        cell if shape.keyed else None,
    )
    return own, cell


def _in_list(shape: Sizes, at: U32, values: I64) -> U64:
    """A column of role a's rows where its list has them, and zeros elsewhere."""
    placed = np.zeros(shape.n_list_a, np.uint64)
    columns.scatter_into(placed, at, values.view(np.uint64))
    return placed


def party_b(
    shape: Shape,
    people: PeopleOfB,
    ab: prf.KeyFamily,
    bc: prf.KeyFamily,
    noise_b: U64 | None,
    on_rows: OnRows | None = None,
) -> Role[None]:
    """Play input party b: send sorted tags and masked values, then sum masked words in an order only a and b know.

    Without noise there is no Mn.

    Sizes:   out M2, M3 (v_g columns), Mw (one column a product), M6 (v columns), Mn (v columns); in M5 (v columns).
    Learned: nothing: uniform words.
    Trust:   semi-honest, one corrupt party of three; a lying peer is not caught.
    """
    persons = len(people.ids)
    order, listed = join.sort_tags(_tags_of_b(shape, people, ab))
    yield Send("helper", "M2", listed)
    del listed
    rho = permute.permutation(bc.key("rho", purpose="permutation"), shape.n)
    target = lists.follow(order, rho, shape.k * persons)
    del order, rho
    for column, values in enumerate(people.values):
        masked = np.zeros(shape.n, np.uint64)
        prf.sub_words(bc.key("r", column), masked)
        for occurrence in range(shape.k):
            of_occurrence = target[occurrence * persons : (occurrence + 1) * persons]
            columns.scatter_into(masked, of_occurrence, values.view(np.uint64))
        yield Send("a", "M3", masked, column)
    products = shape.products if on_rows is None else ()
    u = {of_a: prf.words(ab.key("u", of_a), shape.n_list_a) for of_a in sorted({x for _, x in products})}
    v = {of_b: prf.words(bc.key("v", of_b), shape.n_list_a) for of_b in (shape.factors_b if products else ())}
    for product, (of_b, of_a) in enumerate(products):
        dealt = u[of_a] * v[of_b]
        prf.sub_words(ab.key("w", product), dealt)
        yield Send("helper", "Mw", dealt, product)
    del u, v
    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    rho2 = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)
    sums = []
    if on_rows is not None:
        yield from on_rows.computed(None, None, None)
    for column in () if shape.keyed else range(shape.v):  # each column while the next one is on its way
        if on_rows is None:
            words = yield from receive("helper", "M5", column)
        else:
            words = prf.words(bc.key("rows", column), shape.n_list_a)
        hidden = np.empty(shape.n_list_a, np.uint64)
        columns.prefix_scatter(words, q, rho2, hidden)
        prf.sub_words(ab.key("r2", column), hidden)
        sums.append(hidden)
    del q, rho2
    for column, hidden in enumerate(sums):
        yield Send("helper", "M6" if on_rows is None else "M6c", hidden, column)
    yield from released_by_b(shape, ab, noise_b)


def released_by_b(shape: Sizes, ab: prf.KeyFamily, noise_b: U64 | None) -> Role[None]:
    """What role b adds to the sums in either mode: its noise under a mask that a has, or nothing."""
    if noise_b is None:
        return
    for column in range(shape.v):
        hidden = noise_b[column].copy()
        prf.sub_words(ab.key("noise", column), hidden)
        yield Send("helper", "Mn", hidden, column)


def helper(
    shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64 | None, on_rows: OnRows | None = None
) -> Role[U64 | None]:
    """Play the helper: match tags, hand each side what it needs, send a noised share of every sum.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums, for
    another protocol to take over.

    Sizes:   in M1, M2, Me, Mw, M8, M6, Mn; out M4, Mf, M5, M7c; counts on the card.
    Learned: the number of equal tags, which is the number of matched rows plus a number of dummies that only a and b
             know (MATCH_COUNT); nothing about which rows, cells, persons or values.
    Trust:   must not collude with a or with b: with the tag key it could try all identifiers.
    Raises:  PeerError peer.tags if a list repeats a tag or M2 is not sorted; peer.positions on a bad M8.
    """
    rho = permute.permutation(bc.key("rho", purpose="permutation"), shape.n)
    tags_a = yield from receive("a", "M1")
    tags_b = yield from receive("b", "M2")
    e = yield from receive_columns("a", "Me", shape.x if on_rows is None else 0)
    dealt = yield from receive_columns("b", "Mw", len(shape.products) if on_rows is None else 0)
    position = yield from receive("a", "M8")
    check_positions(position, shape.n_list_a, "M8")
    try:
        match = join.match(tags_a, tags_b)
    except ValueError as error:
        raise PeerError("peer.tags", problem=str(error)) from error
    tau = columns.compose(rho, match, shape.n_list_b)
    del match
    yield Send("a", "M4", tau)

    def gathered(column: int) -> U64:
        return prf.words_at(bc.key("r", column), tau)

    if on_rows is not None:
        computed = yield from on_rows.computed([gathered(column) for column in range(shape.v_g)], None, None)
        if shape.keyed:
            return (yield from cells_by_helper(shape, computed, ac, bc, noise_c))
        yield from computed_by_helper(shape, computed, bc)
    share, v = {}, {}
    for place, of_b in enumerate(shape.factors_b if on_rows is None else ()):
        share[of_b] = gathered(of_b)
        v[of_b] = prf.words(bc.key("v", of_b), shape.n_list_a)
        yield Send("a", "Mf", share[of_b] - v[of_b], place)
    product = 0
    for column, (of_b, of_a) in enumerate(shape.summed if on_rows is None else ()):
        if of_a is None:
            word = share[of_b].copy() if of_b in share else gathered(of_b)
        else:
            word = e[of_a] * v[of_b]
            word += dealt[product]
            product += 1
        prf.sub_words(ac.key("r1", column), word)
        yield Send("b", "M5", word, column)
    del share, v, e, dealt, rho

    sums = yield from receive_columns("b", "M6" if on_rows is None else "M6c", shape.v)
    return (yield from released_by_helper(shape, sums, position, ac, noise_c))


def released_by_helper(
    shape: Sizes, sums: Sequence[U64], position: U32, ac: prf.KeyFamily, noise_c: U64 | None
) -> Role[U64 | None]:
    """What becomes of the helper's share of the sums in either mode: it leaves with noise, or goes on.

    ``sums``: v columns of M6 or M6c, (n_list_a,) each; ``position``: (g,), where each cell ends in them (M8).
    """
    own_share = np.empty((shape.v, shape.g), np.uint64)
    for column in range(shape.v):
        own_share[column] = difference(columns.gather(sums[column], position))
    return (yield from share_of_helper(shape, own_share, ac, noise_c))


def share_of_helper(shape: Sizes, own_share: U64, ac: prf.KeyFamily, noise_c: U64 | None) -> Role[U64 | None]:
    """What becomes of the helper's share of the sums, (v, g): it leaves with its noise and b's, or goes on."""
    if noise_c is None:
        return own_share
    hidden = yield from receive_columns("b", "Mn", shape.v)
    for column in range(shape.v):
        own = own_share[column]
        own += noise_c[column]
        own += hidden[column]
        prf.sub_words(ac.key("zero", column), own)
        yield Send("result", "M7c", own, column)
    return None


def result(shape: Sizes) -> Role[tuple[U64, U64]]:
    """Play the result party: receive both final shares; ``open_shares`` adds them once all are in.

    Learned: the noised sums of every cell, and nothing from either share alone.
    Returns: the shares of a and of the helper, each (v, g) uint64.
    """
    of_a = yield from receive_columns("a", "M7a", shape.v)
    of_c = yield from receive_columns("helper", "M7c", shape.v)
    empty = np.empty((0, shape.g), np.uint64)
    return (np.stack(of_a) if of_a else empty), (np.stack(of_c) if of_c else empty)


def open_shares(of_a: U64, of_c: U64) -> I64:
    """Open noised sums: add the two shares modulo 2^64 and read two's complement. (v, g) int64."""
    if of_a.shape != of_c.shape:
        raise InternalError("internal.bug", where="open_shares")
    opened: I64 = (of_a + of_c).view(np.int64)
    return opened


def bounds_of_cells(shape: Sizes, cell: U32) -> tuple[I64, I64]:
    """Group order: where every cell starts and ends ((g + 1,) int64), and where its real rows start ((g,) int64).

    Cell 0 also holds the slots and the size padding; every cell ends with its sentinel, so no cell is empty and the
    last rows of the cells are distinct whatever the data. Order inside a cell is free: nobody sees it (ADR 0004).
    """
    sizes = np.bincount(cell, minlength=shape.g_l).astype(np.int64) + 1
    if sizes.size != shape.g_l or cell.size > shape.n_a:
        raise InternalError("internal.bug", where="rows of role a outside the declared sizes")
    sizes[0] += shape.w + shape.n_a - cell.size
    bounds = np.zeros(shape.g_l + 1, np.int64)
    np.cumsum(sizes, out=bounds[1:])
    return bounds, bounds[:-1].copy()


def _tags_of_a(shape: Shape, brought: RowsOfA, ab: prf.KeyFamily, at: U32, q: U32, bounds: I64, first: I64) -> Array:
    """List T of the card: real rows, then in cell 0 the slots and padding, and a sentinel at the end of each cell."""
    key = ab.key("tag", purpose="tags")
    out = np.empty((shape.n_list_a, shape.t), np.uint8)
    blocks = tags.id_blocks(
        brought.ids,
        fixed=shape.fixed_ids,
        key=None if shape.fixed_ids else ab.key("idhash", purpose="hash of identifiers"),
    )
    tags.place(tags.tag_rows(key, blocks, brought.occurrence, width=shape.t), at, out)
    in_first_cell = int(np.count_nonzero(brought.cell == 0))
    free = q[first[0] + in_first_cell : bounds[1] - 1]
    missing = shape.n_a - brought.cell.size
    tags.place(_slots_and_padding(shape, ab, key, Kind.FILLER_A, Kind.PADDING_A, missing), free, out)
    tags.place(tags.tag_indexed(key, Kind.SENTINEL, 0, shape.g_l, width=shape.t), q[bounds[1:] - 1], out)
    return out


def _tags_of_b(shape: Shape, people: PeopleOfB, ab: prf.KeyFamily) -> U8:
    """List S before sorting: k tags of each person (occurrence by occurrence), the slots, the padding."""
    key = ab.key("tag", purpose="tags")
    persons = len(people.ids)
    if persons > shape.n_b:
        raise InternalError("internal.bug", where="persons of role b outside the declared sizes")
    blocks = tags.id_blocks(
        people.ids,
        fixed=shape.fixed_ids,
        key=None if shape.fixed_ids else ab.key("idhash", purpose="hash of identifiers"),
    )
    parts = [
        tags.tag_rows(key, blocks, np.full(persons, occurrence, np.uint16), width=shape.t)
        for occurrence in range(1, shape.k + 1)
    ]
    missing = shape.k * (shape.n_b - persons)
    parts.append(_slots_and_padding(shape, ab, key, Kind.FILLER_B, Kind.PADDING_B, missing))
    return np.concatenate(parts)


def _slots_and_padding(
    shape: Shape, ab: prf.KeyFamily, key: Secret[bytes], filler: Kind, padding: Kind, missing: int
) -> U8:
    """The w slots, of which D are dummies that both lists have, and ``missing`` rows up to the declared size."""
    low, high = (int(word) for word in prf.words(ab.key("D", purpose="draw of dummies"), 2))
    dummies = dummy.draw_dummies(shape.dummies, low | (high << 64))
    return np.concatenate(
        [
            tags.tag_indexed(key, Kind.COMMON_DUMMY, 0, dummies, width=shape.t),
            tags.tag_indexed(key, filler, 0, shape.w - dummies, width=shape.t),
            tags.tag_indexed(key, padding, 0, missing, width=shape.t),
        ]
    )


def check_positions(positions: Array, below: int, label: str) -> None:
    try:
        columns.check_injection(positions, below)
    except ValueError as error:
        raise PeerError("peer.positions", label=label) from error


def difference(values: U64) -> U64:
    """``values[g] - values[g - 1]``, the first one as it is, modulo 2^64."""
    out = values.copy()
    out[1:] -= values[:-1]
    return out
