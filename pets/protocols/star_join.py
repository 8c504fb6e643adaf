"""star_join: join three tables on persons and sum per cell, with a helper who learns declared sizes only.

Role a has the rows in the middle. Role b and role d each write what they hold of a person into a table that only
tokens of these persons read, and send it to the helper under a mask that a has, too: mode B of helper_join, twice, with
keys of a and b and with keys of a and d. Role a reads both tables at the rows of one list in one order. So a and the
helper hold two summands of what each row reads in both; a, the helper and b find out on shares (protocols/rows.py) who
is in all tables, and multiply. Nobody holds a match, nor how many there are of any two tables. Role d sends its tables
and is done: it receives nothing. The card is protocols/star_join/card.toml, the argument protocols/star_join/README.md.

Source: helper_join mode B (protocols.md 2); in the place of the star join of protocols.md 1.13, which counts for the
helper who matches in each set of tables (docs/adr/0028-three-tables.md).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.kernels import lists, permute, prf
from pets.protocols import helper_join_b as mode_b
from pets.protocols.base import Role, Send, receive, receive_columns
from pets.protocols.helper_join import (
    U64,
    OnRows,
    PeopleOfB,
    RowsOfA,
    bounds_of_cells,
    check_positions,
    computed_by_a,
    computed_by_helper,
    own_in_list,
    released_by_a,
    released_by_helper,
)

PROTOCOL: Final = "star_join"

OF_D: Final = ("Pdc", "Pd")
"""Labels of role d's tables: of its words of check, and of each column that travels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(mode_b.Shape):
    """Public parameters: those of mode B for roles a and b, and the same for role d."""

    n_d: int
    n_list_d: int
    d_g: int
    ones_d: frozenset[int]
    third_d: int

    @property
    def of_d(self) -> mode_b.Shape:
        """The table of role d as mode B has that of role b."""
        return mode_b.Shape(
            n_a=self.n_a,
            n_b=self.n_d,
            g=self.g,
            k=self.k,
            t=self.t,
            n_list_a=self.n_list_a,
            n_list_b=self.n_list_d,
            x=0,
            v_g=self.d_g,
            summed=(),
            fixed_ids=self.fixed_ids,
            ones=self.ones_d,
            third=self.third_d,
        )


def party_a(
    shape: Shape,
    rows: RowsOfA,
    ab: prf.KeyFamily,
    ad: prf.KeyFamily,
    ac: prf.KeyFamily,
    noise_a: U64 | None,
    on_rows: OnRows,
) -> Role[U64 | None]:
    """Play input party a: send two lists of permuted tokens, read the masks of both tables, sum by cell.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums.

    Sizes:   out T, Td, M8, M7a, and operations on shares; in Mr; counts on the card.
    Learned: nothing: uniform words.
    Trust:   semi-honest, one corrupt party of four; a lying peer is not caught, a malformed message is.
    """
    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    bounds, first = bounds_of_cells(shape, rows.cell)
    at = lists.list_positions(rows.cell, first, q)
    read = []
    for label, table, family in (("T", shape, ab), ("Td", shape.of_d, ad)):
        tokens, checks = mode_b.entries_of_a(table, rows, family, at, q, bounds, first)
        yield Send("helper", label, tokens)
        read.append(mode_b.masks_read_by_a(table, tokens, checks, family))
        del tokens, checks
    last = (bounds[1:] - 1).astype(np.int64)
    position = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)[last]
    yield Send("helper", "M8", position)
    own, cell = own_in_list(shape, at, rows, rows.cell)
    computed = yield from on_rows.computed(in_order(*read), own, cell)
    share = yield from computed_by_a(shape, computed, lists.cells_by_position(bounds, q), position, ab)
    return (yield from released_by_a(shape, share, rows, ab, ac, noise_a))


def party_b(
    shape: Shape, people: PeopleOfB, ab: prf.KeyFamily, bc: prf.KeyFamily, noise_b: U64 | None, on_rows: OnRows
) -> Role[None]:
    """Play input party b, to the letter as in mode B: send its masked tables, compute, sum a part in a hidden order."""
    yield from mode_b.party_b(shape, people, ab, bc, noise_b, on_rows)


def party_d(shape: Shape, people: PeopleOfB, ad: prf.KeyFamily) -> Role[None]:
    """Play input party d: send its masked tables. Nothing comes in.

    Sizes:   out Pdc, Pd (a column for each that travels).
    Learned: nothing: it receives no message.
    Raises:  RunError run.table if the table cannot be written: a chance of 2^-39 that says nothing of the records.
    """
    yield from mode_b.tables_of_b(shape.of_d, people, ad, OF_D)


def helper(
    shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64 | None, on_rows: OnRows
) -> Role[U64 | None]:
    """Play the helper: read two masked tables at tokens, work on shares, send a noised share of every sum.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums.

    Sizes:   in T, Td, M8, Pc, P, Pdc, Pd, M6c, Mn; out Mr, M7c; and operations on shares; counts on the card.
    Learned: nothing but the declared sizes: the two tokens of a row are of two keys that it lacks.
    Trust:   must collude with none of a, b and d: with a key of tokens it could try all identifiers.
    Raises:  PeerError peer.positions on a bad M8.
    """
    of_b = yield from receive("a", "T")
    of_d = yield from receive("a", "Td")
    position = yield from receive("a", "M8")
    check_positions(position, shape.n_list_a, "M8")
    first = yield from mode_b.tables_read_by_helper(shape, of_b)
    second = yield from mode_b.tables_read_by_helper(shape.of_d, of_d, "d", OF_D)
    del of_b, of_d
    computed = yield from on_rows.computed(in_order(first, second), None, None)
    yield from computed_by_helper(shape, computed, bc)
    sums = yield from receive_columns("b", "M6c", shape.v)
    return (yield from released_by_helper(shape, sums, position, ac, noise_c))


def in_order(of_b: list[U64], of_d: list[U64]) -> list[U64]:
    """What was read as the computation on rows takes it: both words of check, then the columns of b, then of d."""
    return [of_b[0], of_d[0], *of_b[1:], *of_d[1:]]
