"""star_join: join three tables or more on persons and sum per cell, with a helper who learns declared sizes only.

Role a has the rows in the middle. Role b and roles d1, d2 ... each write what they hold of a person into a table that
only tokens of these persons read, and send it to the helper under a mask that a has, too: mode B of helper_join for
each of them, with keys of a and that one. Role a reads all tables at the rows of one list in one order. So a and the
helper hold two summands of what each row reads in each; a, the helper and b find out on shares (protocols/rows.py) who
is in all tables, and multiply. Nobody holds a match, nor how many there are of any two tables. Role d1 and those after
it send their tables and are done: they receive nothing. The card is protocols/star_join/card.toml, the argument
protocols/star_join/README.md.

Source: helper_join mode B (protocols.md 2); in the place of the star join of protocols.md 1.13, which counts for the
helper who matches in each set of tables (docs/adr/0028-three-tables.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.kernels import lists, okvs, permute, prf
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
"""Labels of the tables of a further role: of its words of check, and of each column that travels; less its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A further table: its persons at most, its columns, those that are 1 for everybody, slots of a third of it."""

    n: int
    columns: int
    ones: frozenset[int]
    third: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(mode_b.Shape):
    """Public parameters: those of mode B for roles a and b, and what further tables have instead of b's."""

    beside: tuple[Beside, ...]

    def of_further(self, number: int) -> mode_b.Shape:
        """A further table, from number 0, as mode B has that of role b."""
        one = self.beside[number]
        return mode_b.Shape(
            n_a=self.n_a,
            n_b=one.n,
            g=self.g,
            k=self.k,
            t=self.t,
            n_list_a=self.n_list_a,
            n_list_b=self.k * one.n,
            x=0,
            v_g=one.columns,
            summed=(),
            fixed_ids=self.fixed_ids,
            ones=one.ones,
            third=one.third,
        )


def role_of(number: int) -> str:
    """The role of a further table, from number 0."""
    return f"d{number + 1}"


def _labels(number: int) -> tuple[str, str]:
    first, second = OF_D
    return f"{first}{number + 1}", f"{second}{number + 1}"


def party_a(
    shape: Shape,
    rows: RowsOfA,
    ab: prf.KeyFamily,
    ads: Sequence[prf.KeyFamily],
    ac: prf.KeyFamily,
    noise_a: U64 | None,
    on_rows: OnRows,
) -> Role[U64 | None]:
    """Play input party a: send a list of permuted tokens for each table, read the masks of all, sum by cell.

    ``ads``: what it has in common with each further role.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums.

    Sizes:   out T, Td1 ..., M8, M7a, and operations on shares; in Mr; counts on the card.
    Learned: nothing: uniform words.
    Trust:   semi-honest, one corrupt party of all; a lying peer is not caught, a malformed message is.
    """
    q = permute.permutation(ab.key("q", purpose="permutation"), shape.n_list_a)
    bounds, first = bounds_of_cells(shape, rows.cell)
    at = lists.list_positions(rows.cell, first, q)
    read = []
    further = ((f"Td{number + 1}", shape.of_further(number), family) for number, family in enumerate(ads))
    for label, table, family in (("T", shape, ab), *further):
        tokens, checks = mode_b.entries_of_a(table, rows, family, at, q, bounds, first)
        yield Send("helper", label, tokens)
        read.append(mode_b.masks_read_by_a(table, tokens, checks, family))
        del tokens, checks
    last = (bounds[1:] - 1).astype(np.int64)
    position = permute.permutation(ab.key("rho2", purpose="permutation"), shape.n_list_a)[last]
    yield Send("helper", "M8", position)
    own, cell = own_in_list(shape, at, rows, rows.cell)
    computed = yield from on_rows.computed(in_order(read), own, cell)
    share = yield from computed_by_a(shape, computed, lists.cells_by_position(bounds, q), position, ab)
    return (yield from released_by_a(shape, share, rows, ab, ac, noise_a))


def party_b(
    shape: Shape, people: PeopleOfB, ab: prf.KeyFamily, bc: prf.KeyFamily, noise_b: U64 | None, on_rows: OnRows
) -> Role[None]:
    """Play input party b, to the letter as in mode B: send its masked tables, compute, sum a part in a hidden order."""
    yield from mode_b.party_b(shape, people, ab, bc, noise_b, on_rows)


def party_d(shape: Shape, number: int, people: PeopleOfB, ad: prf.KeyFamily) -> Role[None]:
    """Play a further input party, from number 0: send its masked tables. Nothing comes in.

    Sizes:   out Pdc1, Pd1 (a column for each that travels), with its number.
    Learned: nothing: it receives no message.
    Raises:  RunError run.table if the table cannot be written: a chance of 2^-39 that says nothing of the records.
    """
    yield from mode_b.tables_of_b(shape.of_further(number), people, ad, _labels(number))


def helper(
    shape: Shape, ac: prf.KeyFamily, bc: prf.KeyFamily, noise_c: U64 | None, on_rows: OnRows
) -> Role[U64 | None]:
    """Play the helper: read masked tables at tokens, work on shares, send a noised share of every sum.

    Without noise nothing is sent in the end: what is returned, (v, g) uint64, is this party's share of the sums.

    Sizes:   in T, Td1 ..., M8, Pc, P, Pdc1 ..., Pd1 ..., M6c, Mn; out Mr, M7c; and operations; counts on the card.
    Learned: nothing but the declared sizes: the tokens of a row are of as many keys, which it lacks.
    Trust:   must collude with no holder: with a key of tokens it could try all identifiers.
    Raises:  PeerError peer.positions on a bad M8.
    """
    tokens = [(yield from receive("a", "T"))]
    for number in range(len(shape.beside)):
        tokens.append((yield from receive("a", f"Td{number + 1}")))
    position = yield from receive("a", "M8")
    check_positions(position, shape.n_list_a, "M8")
    read = [(yield from mode_b.tables_read_by_helper(shape, tokens[0]))]
    further = [shape.of_further(number) for number in range(len(shape.beside))]
    places = [okvs.Places(own, table.third) for own, table in zip(tokens[1:], further, strict=True)]
    del tokens
    for number, own in enumerate(places):
        read.append([okvs.read((yield from receive(role_of(number), _labels(number)[0])), own)])
    for number, (own, table) in enumerate(zip(places, further, strict=True)):
        sender, label = role_of(number), _labels(number)[1]
        read[1 + number] += yield from mode_b.columns_read_by_helper(table, own, sender, label)
    computed = yield from on_rows.computed(in_order(read), None, None)
    yield from computed_by_helper(shape, computed, bc)
    sums = yield from receive_columns("b", "M6c", shape.v)
    return (yield from released_by_helper(shape, sums, position, ac, noise_c))


def in_order(read: Sequence[Sequence[U64]]) -> list[U64]:
    """What was read of each table as the computation on rows takes it: words of check, then columns table by table."""
    checks = [table[0] for table in read]
    return [*checks, *(column for table in read for column in table[1:])]
