"""Sums over one table of many holders: the promise of their plan derived again, and every field held against the text.

The counterpart of recheck.py and wiring.py. Nothing is carried over from lowering but the plan itself.
"""

from collections.abc import Iterator, Mapping
from math import ceil, isqrt
from typing import Any, Final

from pets.check import summed
from pets.check.labels import Matrix
from pets.check.sensitivity import Sizes, sensitivity, squared_sensitivity
from pets.errors import InternalError
from pets.ids import PartyId
from pets.plan.recheck import cells_of, control_sizes, noise_as_said
from pets.plan.wiring import Check, control_as_said, hold, hold_matrix, meaning, read_as_said, table_as_said
from pets.spec import moments as taken_apart
from pets.spec import proofs
from pets.spec.canonical import spec_digest
from pets.spec.cards import Card
from pets.spec.control import effective
from pets.spec.ir import AddNoise, Derive, Factor, GaussianColumn, Moment, Noisy, Open, Plan, Pool, Protect, Read
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled
from pets.spec.protected import protected

_STEPS: Final = ((Read, Pool, AddNoise, Open, Derive), (Read, Pool, Protect, Open, Derive))
"""The steps of a plan."""

_WORD: Final = {"secure_sum_shamir": 60}
"""Bits of a word that lanes may take, where they are not 64."""

_TAIL: Final = 64
"""A party's noise is within so many scales, but once in 2^90 draws."""

_ROOTS: Final = 16
"""The same of Gaussian noise, in roots of its variance, but once in 2^183 draws."""


def recheck(plan: Plan, approved: Matrix, spec: Spec, query: Pooled, cards: Mapping[str, Card]) -> None:
    """Hold the plan against the specification and the matrix that the approvers saw.

    Raises: InternalError plan.wiring, plan.matrix-differs, plan.noise or plan.sizes: a bug of ours, which no author can
            cause.
    """
    if tuple(type(step) for step in plan.steps) not in _STEPS:
        raise InternalError("plan.wiring", field="steps")
    hold(_checks(plan, spec, query, cards))
    hold_matrix(summed.disclosure(summed.about_plan(plan, spec), cards), approved)
    if isinstance(safe := plan.protection, AddNoise):
        assert plan.pool is not None
        noise_as_said(safe, spec, plan.pool.parts)
        _covers(plan.reads[0], safe, spec)
    else:
        control_sizes(safe, cells_of(plan.reads[0], spec), 1)


def _checks(plan: Plan, spec: Spec, query: Pooled, cards: Mapping[str, Card]) -> Iterator[Check]:
    read, pool, safe, opened, derive = plan.steps
    assert isinstance(read, Read) and isinstance(pool, Pool) and isinstance(safe, AddNoise | Protect)
    assert isinstance(opened, Open) and isinstance(derive, Derive)
    control = effective(spec)
    yield "format", (plan.format, plan.spec), (1, spec_digest(spec))
    yield "of", (pool.of, safe.of, opened.of, derive.of), (read.out, pool.out, safe.out, opened.out)
    last = ("protected" if control is not None else "noised", "opened", "table")
    yield "out", tuple(step.out for step in plan.steps), ("rows", "sums", *last)
    yield "protection", isinstance(safe, Protect), control is not None
    yield "to", [opened.to], [PartyId(name) for name in spec.release.to]
    yield from read_as_said(spec, query, read)
    (table,) = spec.datasets
    yield "dataset", (read.dataset, query.table), (table.name,) * 2
    yield "per_person", (read.per_person, read.party, read.compared, read.tests), (False, None, (), ())
    held = [PartyId(party.name) for party in spec.parties if party.name in table.parties]
    yield "holders", read.holders, tuple((party, table.rows_of(party)) for party in held)
    yield from _cast(pool, safe, spec, held, cards)
    yield from _terms(pool, spec)
    moments = safe.moments
    yield "moments", pool.moments, moments
    if isinstance(safe, Protect) and control is not None:
        wanted = protected(query, spec, control)
        parts = wanted.moments
        yield from control_as_said(safe, wanted, control)
        yield "nothing computed on rows", (safe.lines, safe.ordered, safe.dominance, safe.fits), ((), (), None, ())
    else:
        parts = taken_apart.moments(query, spec)
    yield "summed columns", [moment.name for moment in moments], [part.name for part in parts]
    yield "factors", read.factors, tuple(dict.fromkeys(moment.a for moment in moments))
    for moment, part in zip(moments, parts, strict=True):
        (factor,) = part.factors
        yield "factor", meaning(moment.a), meaning(factor)
        yield from _numbers(moment, table)
    yield from _sizes(pool, read, safe, spec, table, cards)
    yield from table_as_said(spec, query, (read,), safe, derive)


def _cast(
    pool: Pool, safe: AddNoise | Protect, spec: Spec, held: list[PartyId], cards: Mapping[str, Card]
) -> Iterator[Check]:
    """Who plays which role, of which card."""
    computing = [PartyId(party.name) for party in spec.parties if "computing" in party.roles]
    wanted = spec.security.protocol or ("secure_sum" if isinstance(safe, AddNoise) else "secure_sum_held")
    yield "card", (pool.card, pool.card_version), (wanted, cards[wanted].version)
    yield "nobody holds and computes", set(held) & set(computing), set()
    yield "holders' roles", pool.roles[: len(held)], tuple((f"input{n}", each) for n, each in enumerate(held, 1))
    m, t = len(computing), spec.security.corrupt
    names = [*(f"server{n}" for n in range(1, m)), "last"]
    if wanted == "secure_sum_shamir":
        names = [*(f"seeded{n}" for n in range(1, t + 1)), *(f"given{n}" for n in range(1, m - t + 1))]
    if wanted == "secure_sum_held":
        names = ["first", "second", "third"]
    yield "computing roles", pool.roles[len(held) :], tuple(zip(names, computing, strict=True))
    if isinstance(safe, Protect):
        yield "control", (safe.card, safe.card_version), ("disclosure_control", cards["disclosure_control"].version)
        yield "three", safe.parties, tuple(computing)
    else:
        yield "noise", (safe.card, safe.card_version, safe.parties), (wanted, cards[wanted].version, tuple(computing))


def _terms(pool: Pool, spec: Spec) -> Iterator[Check]:
    """How long uploads are taken, how many have to count, and what becomes of others than these."""
    asked = spec.computation
    yield "uploads", (pool.minimum, pool.minutes), (asked.min_contributors, asked.upload_minutes)
    yield "agreement", pool.agreement, "equal" if asked.partial_uploads == "end the run" else "common"
    proved = pool.card == "checked_sum"
    yield "not proved", pool.unproved, (asked.unproved_uploads or "leave out") if proved else ""


def _numbers(moment: Moment, table: Dataset) -> Iterator[Check]:
    """One factor, of the one table, in units that its scale says."""
    yield "one table", (moment.b, moment.others, moment.outer), (Factor(), (), False)
    yield "unit", moment.a.unit >= 1 and (moment.a.unit == 1 or bool(moment.a.values)), True
    places = greatest = 1
    for name in moment.a.values:
        places *= 10 ** table.columns[name].places
        greatest *= max(1, *(abs(end) for end in table.columns[name].scaled_range))
    yield "scale", moment.scale * places, moment.a.unit
    yield "bound", moment.a.bound, (greatest + moment.a.unit // 2) // moment.a.unit


def _sizes(
    pool: Pool, read: Read, safe: AddNoise | Protect, spec: Spec, table: Dataset, cards: Mapping[str, Card]
) -> Iterator[tuple[str, Any, Any]]:
    """Sums of all holders with noise have room in their lanes, and the vector has as many words as these take."""
    holders, computing, cells = len(table.parties), len(spec.computing), cells_of(read, spec)
    rows = max(table.rows_of(party) for party in table.parties)
    word, apart = _WORD.get(pool.card, 64), pool.card in ("checked_sum", "secure_sum_held")
    noise = 0
    for column in safe.columns if isinstance(safe, AddNoise) else ():
        noise = max(noise, _widest(column, computing))
    yield "noise", (pool.noise, pool.parts), (noise, 1)
    yield "ranges", (len(pool.ranges), len(pool.lanes)), (len(pool.moments),) * 2
    words = 0
    for moment, (low, high), lane in zip(pool.moments, pool.ranges, pool.lanes, strict=True):
        ends = _ends(moment.a, table)
        yield "range", (low, high), (rows * min(0, *ends), rows * max(0, *ends))
        yield "bound", max(-low, high) <= rows * moment.a.bound, True
        least, greatest = holders * low - noise, holders * high + noise
        room = next(bits for bits in range(1, 128) if -(2 ** (bits - 1)) <= least and greatest < 2 ** (bits - 1))
        yield "room", room <= (62 if apart else word), True
        yield "lane", lane, word if apart else room
        words += -(-cells // (word // lane))
    numbers = {"h": holders, "m": computing, "l": words, "t": spec.security.corrupt}
    if pool.card == "secure_sum_held":
        numbers = {"h_i": holders, "g": cells, "v": len(pool.moments)}
    if pool.card == "checked_sum":
        greatest = max(high - low for low, high in pool.ranges)
        numbers = proofs.public(holders=holders, computing=computing, length=words, greatest=greatest)
        yield "field", holders * greatest + noise < proofs.room(w=numbers["w"]), True
    yield "parameters", pool.public, tuple((name, numbers[name]) for name in cards[pool.card].public)


def _widest(column: Noisy, computing: int) -> int:
    """How large the noise of all computing parties may become: once in 2^90 draws of one of them it is more."""
    if isinstance(column, GaussianColumn):
        return computing * _ROOTS * (isqrt(ceil(column.variance)) + 1)
    return -(-computing * _TAIL * column.sensitivity // column.epsilon)


def _ends(factor: Factor, table: Dataset) -> list[int]:
    """Values of a factor at all ends of its columns' ranges, rounded as rows are; 0 in the middle of them, too."""
    found = [1]
    for name in dict.fromkeys(factor.values):
        low, high = table.columns[name].scaled_range
        times = factor.values.count(name)
        points = {low, high, *([0] if low < 0 < high else [])}
        found = [product * end**times for product in found for end in points]
    return [(each + factor.unit // 2) // factor.unit for each in found]


def _covers(read: Read, safe: AddNoise, spec: Spec) -> None:
    """A column is noised for the sensitivity that it has: of a person who is at as many holders as may be."""
    table = spec.dataset(read.dataset)
    k = table.rows_per_person * min(len(read.parties), table.holders_per_person or len(read.parties))
    sizes = Sizes(k_a=k, k_b=1, g=cells_of(read, spec), h=1, b_grouped=False)
    for column in safe.columns:
        norm = squared_sensitivity if isinstance(column, GaussianColumn) else sensitivity
        needed = norm(column.moment.a, Factor(), False, sizes)
        if (column.squared if isinstance(column, GaussianColumn) else column.sensitivity) != needed:
            raise InternalError("plan.noise", column=column.moment.name, problem="another sensitivity")
