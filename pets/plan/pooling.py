"""Lower sums over one table of many holders to their plan: the counterpart of lower.py.

Whatever decides what is sent (lanes, words, noise, who plays which role) is in the plan.
"""

from fractions import Fraction
from math import ceil, prod
from typing import Final

from pets.check.noised import POOLED, greatest, pooled_columns, pooled_plain
from pets.errors import LeakError, SpecError
from pets.plan.lower import MAX_CELLS, MAX_UNIT, RANGE_BITS, protect, table_of
from pets.spec import lanes, proofs
from pets.spec import moments as taken_apart
from pets.spec.banded import reads
from pets.spec.canonical import spec_digest
from pets.spec.cards import load_cards
from pets.spec.control import effective
from pets.spec.ir import AddNoise, Dimension, Moment, Noisy, Open, Plan, Pool, Protect, Read
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled
from pets.spec.pools import CHECKED, HELD, POOLS, Summing, cast_of, pool_of
from pets.spec.protected import protected

COMMON: Final = "common"
EQUAL: Final = "equal"


def lower(spec: Spec, query: Pooled) -> Plan:
    """The plan of a query that its rules have let pass. Deterministic: every party gets the same digest.

    Raises: SpecError spec.cells; LeakError dp.range if a sum has no room in a word, and what ``pooled_columns`` raises.
    """
    table, control = spec.dataset(query.table), effective(spec)
    dims = taken_apart.dimensions(query, spec, taken_apart.LEFT)
    cells = taken_apart.cells(dims)
    if cells > MAX_CELLS:
        path = f"computation.sql: GROUP BY <- {', '.join(str(d.column) for d in dims)}"
        raise SpecError("spec.cells", path=path, cells=cells, most=MAX_CELLS)
    columns = pooled_columns(spec, query) if control is None else ()
    guarded = None if control is None else protected(query, spec, control)
    moments = (
        tuple(column.moment for column in columns) if guarded is None else pooled_plain(spec, query, guarded.moments)
    )
    read = _read(spec, query, table, dims, moments)
    pool = _pool(spec, read, moments, columns, cells)
    safe: AddNoise | Protect
    if guarded is None or control is None:
        computing = tuple(party for _, party in pool.computing)
        safe = AddNoise("noised", pool.out, pool.card, pool.card_version, computing, columns)
    else:
        three = (pool.party("first"), pool.party("second"), pool.party("third"))
        safe = protect(pool.out, three, moments, guarded, control, cells)
    opened = Open(out="opened", of=safe.out, to=spec.result_party)
    derive = table_of(spec, query, opened.out, dims, moments, (), ())
    return Plan(spec=spec_digest(spec), steps=(read, pool, safe, opened, derive))


def _read(spec: Spec, query: Pooled, table: Dataset, dims: tuple[Dimension, ...], moments: tuple[Moment, ...]) -> Read:
    factors = tuple(dict.fromkeys(moment.a for moment in moments))
    used = [table.key, *(name for each in dims for name in reads(each.column))]
    used += [name for factor in factors for name in factor.touches]
    return Read(
        out="rows",
        party=None,
        dataset=table.name,
        columns=tuple(dict.fromkeys(used)),
        where=query.condition,
        dimensions=dims,
        factors=factors,
        max_rows=table.max_rows,
        rows_per_person=table.rows_per_person,
        truncate=table.truncate,
        per_person=False,
        holders=tuple((party, table.rows_of(party)) for party in spec.holders(table.name)),
    )


def _pool(spec: Spec, read: Read, moments: tuple[Moment, ...], columns: tuple[Noisy, ...], cells: int) -> Pool:
    asked, table = spec.computation, spec.dataset(read.dataset)
    protocol = pool_of(spec)
    way, card = POOLS[protocol], load_cards()[protocol]
    if asked.min_contributors is None or asked.upload_minutes is None:
        problem = "does not say min_contributors and upload_minutes"
        raise SpecError("spec.field", path="computation", problem=problem, advice="write both")
    roles = cast_of(spec, protocol)
    rows = max(most for _, most in read.holders or ())
    ranges = tuple(_range(moment, table, rows) for moment in moments)
    noise = noise_of(columns, len(spec.computing))
    found = _lanes(moments, ranges, way, table, holders=len(read.parties), noise=noise)
    return Pool(
        out="sums",
        card=card.id,
        card_version=card.version,
        of=read.out,
        roles=tuple(roles.items()),
        moments=moments,
        ranges=ranges,
        lanes=found,
        noise=noise,
        parts=POOLED,
        minimum=asked.min_contributors,
        minutes=asked.upload_minutes,
        agreement=EQUAL if asked.partial_uploads == "end the run" else COMMON,
        unproved=(asked.unproved_uploads or "leave out") if way.checked else "",
        public=_public(spec, protocol, len(read.parties), cells, ranges, lanes.words(cells, found, way.bits)),
    )


def _public(
    spec: Spec, protocol: str, holders: int, cells: int, ranges: tuple[tuple[int, int], ...], words: int
) -> tuple[tuple[str, int], ...]:
    """The public numbers of the card. Raises: SpecError spec.proof if proofs of so many numbers cannot be made."""
    computing, count = len(spec.computing), cells * len(ranges)
    numbers = {"h": holders, "m": computing, "l": words, "t": spec.security.corrupt}
    if protocol == HELD:
        numbers = {"h_i": holders, "g": cells, "v": len(ranges)}
    if protocol == CHECKED:
        try:
            numbers = proofs.public(holders=holders, computing=computing, length=count, greatest=widest(ranges))
        except ValueError as error:
            bits = count * widest(ranges).bit_length()
            raise SpecError("spec.proof", path="computation.sql", bits=bits, most=proofs.MAX_ELEMENTS) from error
    return tuple((name, numbers[name]) for name in load_cards()[protocol].public)


def widest(ranges: tuple[tuple[int, int], ...]) -> int:
    """What every number of a vector is proved to be at most above its least, whichever number it is."""
    return max(high - low for low, high in ranges)


def noise_of(columns: tuple[Noisy, ...], computing: int) -> int:
    """The greatest size of the noise of all computing parties on one number: each may add as much as all of it."""
    return ceil(max((greatest(column, computing) for column in columns), default=Fraction(0)))


def _range(moment: Moment, table: Dataset, rows: int) -> tuple[int, int]:
    """What a holder may bring for a cell. Raises: LeakError dp.range or dp.scale if it cannot be computed."""
    product = prod(max(abs(end) for end in table.columns[name].scaled_range) for name in moment.a.values)
    low, high = lanes.span(moment.a, table, rows)
    if max(product + moment.a.unit, high, -low) >= 2**RANGE_BITS:
        raise LeakError("dp.range", path=_way(moment, table), column=moment.name, bits=RANGE_BITS)
    if moment.a.unit >= MAX_UNIT:
        raise LeakError("dp.scale", column=moment.name)
    return low, high


def _lanes(
    moments: tuple[Moment, ...],
    ranges: tuple[tuple[int, int], ...],
    way: Summing,
    table: Dataset,
    *,
    holders: int,
    noise: int,
) -> tuple[int, ...]:
    """Bits of each number's sum. Raises: LeakError dp.range if one takes more than a word, or than is computed with."""
    found = tuple(lanes.lane(low, high, holders=holders, noise=noise) for low, high in ranges)
    most = way.bits if way.packed else RANGE_BITS
    for moment, lane in zip(moments, found, strict=True):
        if lane > most:
            raise LeakError("dp.range", path=_way(moment, table), column=moment.name, bits=most - 1)
    return found if way.packed else tuple(way.bits for _ in found)


def _way(moment: Moment, table: Dataset) -> str:
    """From a sum back to the measures in it."""
    names = dict.fromkeys(f"{table.name}.{name}" for name in moment.a.values)
    return f"computation.sql: {moment.name} <- {', '.join(names)}"
