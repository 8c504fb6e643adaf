"""What a holder brings to sums over one table of many holders: its vector, and that vector in sealed parts.

The vector is of the holder's own frozen rows, by the numbers of the plan alone: for each moment the sum of its factor
in each cell, in lanes of words whose sums over all holders cannot overflow (pets/kernels/packed.py). Nothing here
sends.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError, SourceError
from pets.ids import PartyId
from pets.kernels import columns
from pets.kernels.packed import FIELD_BITS, RING_BITS, Layout, Numbers, OutOfRangeError
from pets.kernels.prf import Stream
from pets.party.prepare import factor_of, number_rows
from pets.party.sources import Table
from pets.protocols import checked_sum, secure_sum, secure_sum_held, secure_sum_shamir
from pets.protocols.base import Binding
from pets.protocols.checked_inputs import PROTOCOL as CHECKED
from pets.protocols.checked_inputs import circuit_of
from pets.protocols.contributions import Agreement, Present
from pets.spec.ir import Plan, Pool

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

Shape = secure_sum.Shape | secure_sum_held.Shape | secure_sum_shamir.Shape | checked_sum.Shape

MINUTE_S: Final = 60.0

PLAIN: Final = frozenset({secure_sum_held.PROTOCOL, CHECKED})
"""Protocols under which one word is one number: what comes after compares words, or each number has a proof."""

_BITS: Final[Mapping[str, int]] = {secure_sum.PROTOCOL: RING_BITS, secure_sum_shamir.PROTOCOL: FIELD_BITS}


def pool_of(plan: Plan) -> Pool:
    """The step that adds up. Raises: InternalError internal.bug if the plan has none."""
    if plan.pool is None:
        raise InternalError("internal.bug", where="a plan without sums over one table of many holders")
    return plan.pool


def named(plan: Plan, present: Present) -> tuple[PartyId, ...]:
    """The holders who count, in the order of their roles. ``present``: by number of the holder, (holders,) bool."""
    return tuple(party for party, counts in zip(pool_of(plan).holders, present, strict=True) if counts)


def upload_s(plan: Plan) -> float:
    """How long uploads are taken, once computing parties have agreed on a run: seconds."""
    return MINUTE_S * pool_of(plan).minutes


def cells_of(plan: Plan) -> int:
    """Cells of each moment: those of all grouping columns together."""
    return prod(len(dimension.levels) for dimension in plan.reads[0].dimensions)


def layout_of(plan: Plan) -> Layout:
    """Where each number of a holder's vector lies, if several share a word: the lists are the moments, by their number.

    Raises: InternalError internal.bug if that is not what the plan says of words and lanes, by which it was approved.
    """
    pool, cells = pool_of(plan), cells_of(plan)
    lists = [Numbers(str(number), cells, low, high) for number, (low, high) in enumerate(pool.ranges)]
    found = Layout(lists, parties=len(pool.holders), noise=pool.noise, bits=_BITS[pool.card])
    lanes = tuple(found.lane_of(each.name) for each in lists)
    if (found.words, lanes, len(lists)) != (pool.parameter("l"), pool.lanes, len(pool.moments)):
        raise InternalError("internal.bug", where="a vector that is laid out as the plan does not say")
    return found


def shape_of(plan: Plan) -> Shape:
    """The parameters of the protocol, from the plan."""
    pool = pool_of(plan)
    agreement = Agreement(pool.agreement)
    if pool.card == secure_sum_held.PROTOCOL:
        return secure_sum_held.Shape(
            holders=len(pool.holders),
            cells=cells_of(plan),
            moments=len(pool.moments),
            minimum=pool.minimum,
            agreement=agreement,
        )
    holders, computing, words = len(pool.holders), len(pool.computing), pool.parameter("l")
    if pool.card == CHECKED:
        return checked_sum.Shape(
            circuit=circuit_of(
                length=words,
                greatest=pool.parameter("u"),
                chunk=pool.parameter("c"),
                one_cell=bool(pool.parameter("x")),
            ),
            holders=holders,
            computing=computing,
            minimum=pool.minimum,
            agreement=agreement,
            unproved=checked_sum.Unproved(pool.unproved),
        )
    if pool.card == secure_sum.PROTOCOL:
        return secure_sum.Shape(
            holders=holders, computing=computing, words=words, minimum=pool.minimum, agreement=agreement
        )
    return secure_sum_shamir.Shape(
        holders=holders,
        computing=computing,
        degree=pool.parameter("t"),
        words=words,
        minimum=pool.minimum,
        quorum=secure_sum_shamir.least_quorum(computing, pool.parameter("t")),
        agreement=agreement,
    )


def moments(plan: Plan, table: Table, own: Stream) -> list[I64]:
    """The sum of each moment's factor in each cell over a holder's rows: (cells,) int64 each.

    ``own``: chooses which rows of a person count, where the plan keeps some of them.
    Raises: SourceError source.rows-per-person if there are more rows a person and the plan does not truncate.
    """
    read, cells = plan.reads[0], cells_of(plan)
    occurrence = number_rows(read, table, own)
    dropped = None if occurrence.all() else occurrence == 0
    sums: list[I64] = []
    for moment in pool_of(plan).moments:
        by_row = factor_of(moment.a, table, cells, occurrence)
        if dropped is not None:
            by_row[dropped] = 0
        sums.append(columns.segment_sums(by_row.view(np.uint64), table.cell, cells).view(np.int64))
    return sums


def vector(plan: Plan, table: Table, own: Stream) -> I64:
    """A holder's vector: (words,) int64.

    Raises: SourceError source.rows-per-person, source.sum; InternalError internal.bug.
    """
    pool, found = pool_of(plan), moments(plan, table, own)
    try:
        if pool.card in PLAIN:
            return _plain(plan, found)
        return layout_of(plan).packed({str(number): each for number, each in enumerate(found)})
    except OutOfRangeError as error:
        moment = pool.moments[int(error.name)].name
        local = f"{moment}: the sum of cell {error.place} is outside of what the specification lets one holder bring"
        raise SourceError("source.sum", dataset=plan.reads[0].dataset, local=(local,)) from None


def _plain(plan: Plan, sums: Sequence[I64]) -> I64:
    """A vector whose words are numbers; where they are proved to be from 0 to a greatest one, less the least of each.

    Raises: OutOfRangeError; InternalError internal.bug if the plan says another length, or less room.
    """
    pool = pool_of(plan)
    for number, (each, (low, high)) in enumerate(zip(sums, pool.ranges, strict=True)):
        outside = np.flatnonzero((each < low) | (each > high))
        if outside.size:
            raise OutOfRangeError(str(number), int(outside[0]))
    words, least = len(pool.moments) * cells_of(plan), least_of(plan)
    fits = pool.card != CHECKED or (
        pool.parameter("l") == words
        and all(high - low <= pool.parameter("u") for low, (_, high) in zip(least, pool.ranges, strict=True))
    )
    if not fits or words != sum(each.size for each in sums):
        raise InternalError("internal.bug", where="a vector that is laid out as the plan does not say")
    return np.concatenate([each - low for each, low in zip(sums, least, strict=True)])


def least_of(plan: Plan) -> tuple[int, ...]:
    """What is taken off each moment's numbers before they are handed in, once a holder: 0 where nothing is."""
    pool = pool_of(plan)
    return tuple(low if pool.card == CHECKED else 0 for low, _ in pool.ranges)


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A part of an upload, sealed to one computing party."""

    to: PartyId
    body: bytes

    @property
    def sha256(self) -> str:
        """Of its bytes, as they travel: 64 hex digits."""
        return hashlib.sha256(self.body).hexdigest()

    def __repr__(self) -> str:
        return f"Part({self.to}, {len(self.body)} bytes)"


def parts(
    plan: Plan, party: PartyId, values: I64, *, tied: Binding, drawn: Stream, publics: Mapping[PartyId, bytes]
) -> tuple[Part, ...]:
    """A holder's upload: its vector split and sealed, a part for each computing party that takes one, in the order of
    the card.

    ``drawn``: fresh for each upload, and used for nothing else. ``publics``: keys of the run, by computing party.
    """
    pool, shape = pool_of(plan), shape_of(plan)
    number = pool.holders.index(party)
    to = [pool.party(role) for role in shape.servers]
    keys: Sequence[bytes] = [publics[computing] for computing in to]
    if isinstance(shape, secure_sum_shamir.Shape):
        made = secure_sum_shamir.sealed_parts(shape, number, secure_sum_shamir.field_of(values), tied, drawn, keys)
    elif isinstance(shape, checked_sum.Shape):
        made = checked_sum.sealed_parts(shape, number, values.view(np.uint64), tied, drawn, keys)
    elif isinstance(shape, secure_sum_held.Shape):
        made = secure_sum_held.sealed_parts(shape, number, values.view(np.uint64), tied, drawn, keys)
    else:
        made = secure_sum.sealed_parts(shape, number, values.view(np.uint64), tied, drawn, keys)
    return tuple(Part(computing, body) for computing, body in zip(to, made, strict=True))
