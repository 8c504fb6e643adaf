"""Lower a specification and its query to the plan that will run. Deterministic: every party gets the same digest.

Passes in order: roles, moments, epsilon and rounding, the two reads, the join, the release, the table. Whatever decides
what is sent (sizes, columns, noise) is in the plan; nothing is left for a party to choose.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod

from pets.check import budget
from pets.check.noised import greatest as greatest_noise
from pets.check.noised import noised_columns, plain
from pets.errors import LeakError, SpecError
from pets.ids import PartyId
from pets.plan.crossed import ROWS_CARD, filtered, greatest
from pets.plan.star import is_ones, with_further
from pets.spec import dominance, rowwise
from pets.spec import moments as taken_apart
from pets.spec.banded import across, reads
from pets.spec.canonical import spec_digest
from pets.spec.cards import Card, load_cards
from pets.spec.control import Control, effective
from pets.spec.fitting import fits
from pets.spec.ir import (
    AddNoise,
    Derive,
    Derived,
    Dimension,
    Dominance,
    Factor,
    Gathered,
    HelperJoin,
    Keyed,
    Moment,
    Noisy,
    Open,
    Plan,
    Protect,
    Read,
    RowFilter,
    ShownFit,
    ShownOrder,
    Sorted,
    Summed,
)
from pets.spec.joins import MODE_B, SHARED, STAR, joins_of, protocol_of
from pets.spec.lines import Lines, lines
from pets.spec.model import Dataset, Leakage, Spec, quantity
from pets.spec.moments import MAX_B_CELLS, Roles, Side
from pets.spec.ordering import sorts
from pets.spec.pooled import Pooled, Statement
from pets.spec.protected import Protected, protected
from pets.spec.query import FITTED, LINEAR, ORDER, Aggregate, Query

RELEASE_CARD = "release"
CONTROL_CARD = "disclosure_control"

RANGE_BITS = 62
"""Sums and noise stay below 2^62, so that two's complement in 64 bits never wraps."""

MAX_UNIT = 2**53
"""A rounding unit is a number in the canonical form of the plan."""

MAX_LIST = 2**32
"""Positions are u32."""

MAX_READ = 2**24
"""Rows of a, and persons of b by their occurrences, in mode B: each row is taken for b's by chance once in 2^64."""

MAX_KEY = 128
"""Bits by which rows of many holders are put in order."""

NHS_BITS = 34
"""Of a number of ten digits."""

MAX_DUMMIES = 2**20
"""Half the number of dummy slots; their law is a table of this size."""

MAX_CELLS = 2**20
"""Cells of the released table."""


def lower(spec: Spec, query: Query) -> Plan:
    """Build the plan.

    Raises: LeakError plan-time refusals (too many cells of role b, a scale no unit mends, a sum out of range);
            SpecError if nothing protects the release (``check_query`` says it first).
    """
    roles = taken_apart.roles(spec, query)
    dims_a = taken_apart.dimensions(query, spec, roles.a_side)
    dims_b = taken_apart.dimensions(query, spec, roles.b_side)
    g, h = taken_apart.cells(dims_a), taken_apart.cells(dims_b)
    of_others = tuple(taken_apart.dimensions(query, spec, side) for side in roles.d_sides)
    dims_d = tuple(dimension for dims in of_others for dimension in dims)
    h_d = taken_apart.cells(dims_d)
    over_both = taken_apart.on_shares(query, spec)
    levels = taken_apart.cells(over_both)
    keyed = Keyed(g, h, levels) if taken_apart.keyed(query, spec, roles) else None
    if keyed is not None and (roles.d_sides or _dataset(spec, query, roles.b_side).max_rows_per_person > 1):
        names = [_dataset(spec, query, side).name for role, side in roles.sides.items() if role != "a"]
        raise SpecError("spec.b-cells", dataset=" and ".join(names), cells=h * h_d, most=MAX_B_CELLS)
    h *= h_d
    if g * h * levels > MAX_CELLS:
        named = ", ".join(str(d.column) for d in (*dims_a, *dims_b, *dims_d, *over_both))
        path = f"computation.sql: GROUP BY <- {named}"
        raise SpecError("spec.cells", path=path, cells=g * h * levels, most=MAX_CELLS)
    tables = tuple(_dataset(spec, query, side) for side in roles.sides.values())
    control = effective(spec)
    columns = noised_columns(spec, query, roles) if control is None else ()
    guarded = None if control is None else protected(query, spec, control)
    moments = tuple(c.moment for c in columns) if guarded is None else plain(spec, query, roles, guarded.moments)
    one_a, one_b = (None, None) if roles.shared else (roles.a, roles.b)
    out_b = "rows_b" if roles.shared else "people_b"
    read_a = _read(spec, query, roles.a_side, one_a, dims_a, tuple(m.a for m in moments), "rows_a")
    read_b = _read(spec, query, roles.b_side, one_b, dims_b, tuple(m.b for m in moments), out_b)
    further = tuple(
        _read(spec, query, side, party, dims, tuple(m.others[place] for m in moments), f"people_d{place + 1}")
        for place, (side, party, dims) in enumerate(zip(roles.d_sides, roles.ds, of_others, strict=True))
    )
    rows: RowFilter | None = None
    if further:
        rows = RowFilter(ROWS_CARD, load_cards()[ROWS_CARD].version, (), None)
    if query.compares:
        case = across(query.group_by)
        conditions = [query.rows, *(when for when, _ in (() if case is None else case.branches))]
        if 2 * greatest(spec, filter(None, conditions)) >= 2**RANGE_BITS:
            place = "WHERE" if case is None else "WHERE, CASE"
            raise LeakError("leak.compare-range", path=f"computation.sql: {place}", bits=RANGE_BITS)
        (read_a, read_b, *others), rows = filtered(spec, query.rows, case, (read_a, read_b, *further))
        further = tuple(others)
    in_order: tuple[Sorted, ...] = ()
    statistics: tuple[ShownOrder, ...] = ()
    if guarded is not None and control is not None:
        in_order, statistics = sorts(spec, guarded, control)
    against = None if guarded is None or control is None else dominance.rules(guarded, control)
    if in_order or keyed is not None or against is not None or query.fitted:
        rows = rows or RowFilter(ROWS_CARD, load_cards()[ROWS_CARD].version, (), None)
        rows = replace(rows, ordered=in_order, keyed=keyed)
    g, h = (g, h * levels) if keyed is None else (keyed.cells, 1)
    if rows is not None and guarded is not None and against is not None:
        sizes = dominance.Sizes(g, h, tuple(table.max_rows_per_person for table in tables))
        rows = replace(rows, tops=against.tops, contributions=dominance.contributions(guarded, moments, sizes))
    if (protocol := protocol_of(spec)) not in joins_of(query):
        raise SpecError("spec.protocol", path="security.protocol", protocol=protocol)
    card = load_cards()[protocol]
    asked = [factor for moment in moments for factor in moment.factors]
    problem = taken_apart.not_shared(query, spec, roles, asked, control)
    if roles.shared and problem:
        raise SpecError("spec.shared", path="computation.sql", problem=problem)
    join = _join(spec, roles, read_a, read_b, moments, g, h // h_d, card, rows, noised=guarded is None)
    if further:
        join = with_further(join, further, moments)
    models: tuple[ShownFit, ...] = ()
    if guarded is not None and guarded.fits and join.rows is not None:
        fitted, models = fits(spec, guarded, rowwise.rows_of(card.names(dict(join.public))["n_list_a"]))
        join = replace(join, rows=replace(join.rows, fits=fitted))
    reads = (read_a, read_b, *further)
    if not join.shared:
        _check_lists(card, dict(join.public), reads)
    _check_range(card, join, moments, columns, tables)
    safe: AddNoise | Protect
    if control is None or guarded is None:
        release = load_cards()[RELEASE_CARD]
        safe = AddNoise(
            out="noised",
            of=join.out,
            card=release.id,
            card_version=release.version,
            parties=(roles.a, roles.b, roles.helper),
            columns=columns,
        )
    else:
        cut = lines(query, spec, control)
        safe = _protect(join, reads, moments, guarded, control, statistics, models, against, cut, g, h)
    opened = Open(out="opened", of=safe.out, to=roles.result)
    table = table_of(spec, query, opened.out, (*dims_a, *dims_b, *dims_d, *over_both), moments, statistics, models)
    return Plan(spec=spec_digest(spec), steps=(*reads, join, safe, opened, table))


def _protect(
    join: HelperJoin,
    reads: tuple[Read, ...],
    moments: tuple[Moment, ...],
    guarded: Protected,
    control: Control,
    statistics: tuple[ShownOrder, ...],
    models: tuple[ShownFit, ...],
    against: Dominance | None,
    cut: Lines,
    g: int,
    h: int,
) -> Protect:
    """Disclosure control by the three parties of the join: the two that hold shares of the sums, and the third."""
    rows = listed_rows(load_cards()[join.card], join)
    rows *= prod(read.rows_per_person * len(read.parties) for read in reads[1:])
    dominance.check_range(against, moments, rows)
    parties = (join.role_a, join.helper, join.role_b)
    return protect(join.out, parties, moments, guarded, control, g, h, statistics, models, against, cut)


def protect(
    of: str,
    parties: tuple[PartyId, PartyId, PartyId],
    moments: tuple[Moment, ...],
    guarded: Protected,
    control: Control,
    g: int,
    h: int = 1,
    statistics: tuple[ShownOrder, ...] = (),
    models: tuple[ShownFit, ...] = (),
    against: Dominance | None = None,
    cut: Lines = (),
) -> Protect:
    """Disclosure control of sums by three parties, of whom the first two hold shares of them."""
    card = load_cards()[CONTROL_CARD]
    rounded = sum(each.rounded for each in guarded.shown) if control.round_to > 1 else 0
    return Protect(
        out="protected",
        of=of,
        card=card.id,
        card_version=card.version,
        parties=parties,
        moments=moments,
        counts=guarded.counts,
        sets=guarded.sets,
        shown=guarded.shown,
        min_count=control.min_count,
        round_to=control.round_to,
        rounding=control.rounding,
        lines=cut,
        public=(
            ("g", g),
            ("h", h),
            ("v", len(moments) * h),
            ("f", len(guarded.counts)),
            ("e", sum(count.may_be_empty for count in guarded.counts)),
            ("q", len(guarded.sets)),
            ("m", max(map(len, guarded.sets))),
            ("o", len(guarded.shown) + len(statistics) + sum(each.numbers for each in models)),
            ("c", rounded),
            ("d", control.round_to),
            ("s_d", 0 if against is None else len(against.held)),
            ("u_d", 0 if against is None else len(against.held) * against.comparisons),
            ("t_d", 0 if against is None else against.conjunctions),
            ("b_k", int(bool(cut))),
            ("b_y", int(bool(cut) and control.zeros == "shown")),
            ("b_n", _planes(sum(map(len, cut)))),
            ("l_n", _planes(len(cut))),
        ),
        ordered=statistics,
        dominance=against,
        fits=models,
    )


def _planes(count: int) -> int:
    """Up to a whole number of words of 64 bits."""
    return -(-count // 64) * 64


def _dataset(spec: Spec, query: Query, side: Side) -> Dataset:
    return spec.dataset(taken_apart.table_of(query, side))


def _read(
    spec: Spec,
    query: Query,
    side: Side,
    party: PartyId | None,
    dims: tuple[Dimension, ...],
    factors: tuple[Factor, ...],
    out: str,
) -> Read:
    table = _dataset(spec, query, side)
    distinct = tuple(dict.fromkeys(factors))
    used = [table.key, *(name for d in dims for name in reads(d.column))]
    for factor in distinct:
        used += factor.touches
    return Read(
        out=out,
        party=party,
        dataset=table.name,
        columns=tuple(dict.fromkeys(used)),
        where=query.where(table.name),
        dimensions=dims,
        factors=distinct,
        max_rows=table.max_rows,
        rows_per_person=table.rows_per_person,
        truncate=table.truncate,
        per_person=out.startswith("people_"),
        holders=None if party is not None else tuple((p, table.rows_of(p)) for p in spec.holders(table.name)),
    )


def _join(
    spec: Spec,
    roles: Roles,
    read_a: Read,
    read_b: Read,
    moments: tuple[Moment, ...],
    g: int,
    h: int,
    card: Card,
    rows: RowFilter | None,
    *,
    noised: bool,
) -> HelperJoin:
    gathered = tuple(dict.fromkeys(Gathered(read_b.factors.index(m.b), m.outer) for m in moments))
    factors_a = tuple(dict.fromkeys(read_a.factors.index(m.a) for m in moments if not m.a.is_one))
    summed = tuple(
        Summed(
            gathered.index(Gathered(read_b.factors.index(m.b), m.outer)),
            None if m.a.is_one else factors_a.index(read_a.factors.index(m.a)),
        )
        for m in moments
    )
    local_a = tuple((number, read_a.factors.index(m.a)) for number, m in enumerate(moments) if m.outer)
    keyed = None if rows is None else rows.keyed
    cased = None if rows is None or keyed is not None else rows.cased
    own = h if cased is None else h // cased.levels
    public = {
        "n_a": read_a.max_rows,
        "n_b": read_b.max_rows,
        "g": g,
        "g_l": g if keyed is None else 1,
        "k": read_a.rows_per_person,
        "v_g": len(gathered) * own + len(read_b.compared) + len(read_b.tests) + (keyed is not None),
        "v": len(summed) * h,
        "x": len(factors_a) if rows is None else 0,
        "r": len(summed) * h if noised else 0,
    }
    ones: tuple[int, ...] = ()
    epsilon = delta = Fraction(0)
    products = [each for each in summed if each.a is not None and rows is None]
    public["v_m"] = len(summed) * h if rows is None else 0
    public["v_c"] = 0 if rows is None or keyed is not None else len(summed) * h
    public["v_k"] = 0 if keyed is None else len(summed) * h
    if card.id == SHARED:
        return _shared(spec, roles, read_a, read_b, moments, h, card, public, gathered, summed, factors_a)
    if card.id in (MODE_B, STAR):
        ones = tuple(number for number, each in enumerate(gathered) if own == 1 and is_ones(read_b, each))
        public["v_t"] = public["v_g"] - len(ones)
        public["v_p"] = sum(each.gathered not in ones for each in summed) * h if rows is None else 0
    else:
        epsilon, delta, public["s"] = _dummies(spec, roles.helper, read_a.rows_per_person)
        public["z"] = len({each.gathered for each in products}) * h
        public["p"] = len(products) * h
    public = {name: public[name] for name in card.public if name in public}
    return HelperJoin(
        out="sums",
        card=card.id,
        card_version=card.version,
        a=read_a.out,
        b=read_b.out,
        role_a=roles.a,
        role_b=roles.b,
        helper=roles.helper,
        gathered=gathered,
        summed=summed,
        factors_a=factors_a,
        local_a=local_a,
        ones=ones,
        fixed_ids=spec.dataset(read_a.dataset).columns[spec.dataset(read_a.dataset).key].scheme == "nhs-number",
        helper_epsilon=epsilon,
        helper_delta=delta,
        public=tuple(public.items()),
        rows=rows,
    )


def _shared(
    spec: Spec,
    roles: Roles,
    read_a: Read,
    read_b: Read,
    moments: tuple[Moment, ...],
    h: int,
    card: Card,
    public: Mapping[str, int],
    gathered: tuple[Gathered, ...],
    summed: tuple[Summed, ...],
    factors_a: tuple[int, ...],
) -> HelperJoin:
    """The join of tables of any number of holders, by three parties that hold none."""
    table_a, table_b = spec.dataset(read_a.dataset), spec.dataset(read_b.dataset)
    fixed = table_a.columns[table_a.key].scheme == "nhs-number"
    holders_a, holders_b = read_a.holders or (), read_b.holders or ()
    rows = read_a.max_rows + len(holders_a) * public["g"] + read_b.max_rows
    once = sum(read_b.factors[each.factor].people for each in gathered)
    persons = bool(once) or any(moment.a.people for moment in moments)
    numbers = {
        **public,
        "h_a": len(holders_a),
        "h_b": len(holders_b),
        "k_i": NHS_BITS if fixed else 39 + 2 * ceil_log2(rows),
        "k_c": ceil_log2(max(public["g"], h)) if persons else 0,
        "k_d": int(persons),
        "k_t": ceil_log2(table_a.max_rows_per_person + table_b.max_rows_per_person),
        "x": sum(not read_a.factors[number].people for number in factors_a),
        "v_g": len(gathered) * h,
        "v_o": once * h,
        "v_p": sum(each.a is not None for each in summed) * h,
    }
    numbers = {name: numbers[name] for name in card.public}
    names = card.names(numbers)
    path = f"dataset.{read_a.dataset}.holders, dataset.{read_b.dataset}.holders"
    if names["n"] >= MAX_READ:
        raise SpecError("spec.rows", path=path, rows=names["n"], most=MAX_READ)
    if names["key"] > MAX_KEY:
        raise SpecError("spec.key-bits", path=path, bits=names["key"], most=MAX_KEY)
    return HelperJoin(
        out="sums",
        card=card.id,
        card_version=card.version,
        a=read_a.out,
        b=read_b.out,
        role_a=roles.a,
        role_b=roles.b,
        helper=roles.helper,
        gathered=gathered,
        summed=summed,
        factors_a=factors_a,
        local_a=(),
        ones=(),
        fixed_ids=fixed,
        helper_epsilon=Fraction(0),
        helper_delta=Fraction(0),
        public=tuple(numbers.items()),
    )


def ceil_log2(number: int) -> int:
    """Bits that tell so many things apart."""
    return (number - 1).bit_length()


def _dummies(spec: Spec, helper: PartyId, rows_per_person: int) -> tuple[Fraction, Fraction, int]:
    """Epsilon and delta of the helper's count, and half the number of slots for dummies."""
    leak = match_count(spec, helper)
    epsilon, delta = quantity(leak.noised.epsilon), quantity(leak.noised.delta)  # type: ignore[union-attr]
    try:
        slots = budget.dummy_slots(epsilon, delta, rows_per_person)
    except ValueError as error:
        raise LeakError(
            "dp.match-count", path="security.leakage", epsilon=budget.exact(epsilon), delta=budget.exact(delta)
        ) from error
    if slots > MAX_DUMMIES:
        raise SpecError("spec.dummies", path="security.leakage", slots=2 * slots, most=2 * MAX_DUMMIES)
    return epsilon, delta, slots


def _check_lists(card: Card, public: Mapping[str, int], reads: tuple[Read, ...]) -> None:
    """Lists are short enough for positions of 32 bits; in mode B for its chance of a wrong match, too."""
    names = card.names(public)
    longest, most = names["n_list_a"] + names["n_list_b"], MAX_LIST
    if card.id in (MODE_B, STAR):
        of_others = (names["k"] * read.max_rows for read in reads[1:])
        longest, most = max(names["n_list_a"], *of_others), MAX_READ
    if longest >= most:
        path = ", ".join(f"dataset.{read.dataset}.max_rows" for read in reads)
        raise SpecError("spec.rows", path=path, rows=longest, most=most)


def match_count(spec: Spec, helper: PartyId) -> Leakage:
    """The declared leak of the noisy match count to the helper; LeakError if it is not declared."""
    for item in spec.security.leakage:
        if item.item == "match_count" and item.learner == helper and item.noised is not None:
            return item
    raise LeakError("leak.undeclared", learner=helper, item="match_count")


def _check_range(
    card: Card,
    join: HelperJoin,
    moments: tuple[Moment, ...],
    columns: tuple[Noisy, ...],
    tables: tuple[Dataset, ...],
) -> None:
    """Nothing that a holder computes, before or after rounding, leaves 64 bits, whatever its records are.

    What is checked here for the declared ranges cannot depend on records later: a run that failed only for great
    values would tell that there are some.
    """
    rows = listed_rows(card, join)
    noise = {column.moment.name: greatest_noise(column, 3) for column in columns}
    for moment in moments:
        for factor, table in zip(moment.factors, tables, strict=True):
            product = prod(max(abs(end) for end in table.columns[name].scaled_range) for name in factor.values)
            if product + factor.unit >= 2**RANGE_BITS:
                raise LeakError("dp.range", path=_way(moment, tables), column=moment.name, bits=RANGE_BITS)
            if factor.unit >= MAX_UNIT:
                raise LeakError("dp.scale", column=moment.name)
        greatest = rows * moment.a.bound
        for factor, table in zip(moment.factors[1:], tables[1:], strict=True):
            greatest *= factor.bound * table.max_rows_per_person
        if greatest + noise.get(moment.name, 0) >= 2**RANGE_BITS:
            raise LeakError("dp.range", path=_way(moment, tables), column=moment.name, bits=RANGE_BITS)


def listed_rows(card: Card, join: HelperJoin) -> int:
    """Entries of the lists of role a's table."""
    return card.names(dict(join.public))["n_l" if join.shared else "n_list_a"]


def _way(moment: Moment, tables: tuple[Dataset, ...]) -> str:
    """From a sum back to the measures in it."""
    sides = tuple(zip(tables, moment.factors, strict=True))
    names = dict.fromkeys(f"{table.name}.{name}" for table, factor in sides for name in factor.values)
    return f"computation.sql: {moment.name} <- {', '.join(names)}"


def table_of(
    spec: Spec,
    query: Statement,
    opened: str,
    dims: tuple[Dimension, ...],
    summed: tuple[Moment, ...],
    statistics: tuple[ShownOrder, ...],
    models: tuple[ShownFit, ...],
) -> Derive:
    """The table that the result party makes of what is opened."""
    numbers = {moment.name: number for number, moment in enumerate(summed)}
    of = {output.name: names for output, names in taken_apart.statistics(query, spec)}
    outputs = []
    for output in query.outputs:
        if isinstance(output.what, Aggregate) and output.what.statistic in ORDER:
            name, kind = taken_apart.order_name(output.what), output.what.statistic.value
            outputs.append(Derived(output.name, kind, ordered=[each.name for each in statistics].index(name)))
        elif isinstance(output.what, Aggregate) and output.what.statistic in FITTED and not isinstance(query, Pooled):
            name, kind = taken_apart.fit_name(output.what), output.what.statistic.value
            place = [each.name for each in models].index(name)
            outputs.append(Derived(output.name, kind, of=output.what.of, fit=place))
        elif isinstance(output.what, Aggregate):
            moments = tuple(numbers[name] for name in of[output.name])
            of_which = output.what.of if output.what.statistic in LINEAR | FITTED else None
            outputs.append(Derived(output.name, output.what.statistic.value, moments=moments, of=of_which))
        else:
            outputs.append(Derived(output.name, "dimension", dimension=output.what))
    return Derive(out="table", of=opened, dimensions=dims, outputs=tuple(outputs), having=query.having)
