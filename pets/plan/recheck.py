"""Derive the promise again from the plan that will run, and compare it with what was approved.

Nothing is carried over from lowering but the plan itself: roles, columns, sums, noise and recipients are read off its
steps; sensitivities and sizes are computed anew from the specification. A difference is a bug of ours and stops
everything; no author can cause it.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import zip_longest
from math import prod

from pets.check import budget, flow, shared_noise, subject
from pets.check.labels import Matrix
from pets.check.sensitivity import MAX_VARIANCE, Beside, Sizes, sensitivity, squared_sensitivity
from pets.errors import InternalError
from pets.ids import PartyId
from pets.plan.cost import join_of, parties_of
from pets.plan.wiring import check_wiring, hold_matrix
from pets.spec.banded import levels_of, reads
from pets.spec.cards import Card
from pets.spec.ir import (
    AddNoise,
    Derive,
    Factor,
    GaussianColumn,
    HelperJoin,
    Moment,
    NoisedColumn,
    Noisy,
    Plan,
    Protect,
    Read,
)
from pets.spec.model import Spec, quantity
from pets.spec.predicate import columns_of
from pets.spec.query import ColumnRef
from pets.spec.repeated import BESIDE, role_of, shown


def recheck(plan: Plan, approved: Matrix, spec: Spec, cards: Mapping[str, Card]) -> None:
    """Hold the plan against the matrix that the approvers saw, and its noise and sizes against the specification.

    Raises: InternalError plan.wiring, plan.matrix-differs, plan.noise or plan.sizes.
    """
    check_wiring(plan, spec, cards)
    join, safe = plan.join, plan.protection
    about = subject_of(plan, spec)
    found = flow.disclosure(about, subject.cards_of(subject.join_card(cards[join.card], about), cards[safe.card]))
    hold_matrix(found, approved)
    if isinstance(safe, AddNoise):
        card = cards[safe.card]
        noise_as_said(safe, spec, shared_noise.honest_parts(len(safe.parties), card.adversary.corrupt))
    _match_count(join, spec)
    for moment in safe.moments:
        _bounds(plan, moment, spec)
    for column in safe.columns if isinstance(safe, AddNoise) else ():
        _covers(plan, column, spec)
    _sizes(plan, join, spec)


def subject_of(plan: Plan, spec: Spec) -> subject.Subject:
    """What the plan is about, read off its steps; of the specification only the order of parties and columns."""
    safe = plan.protection
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    reads = _reads(plan)
    names = [moment.name for moment in safe.moments]
    shown = {each.moment for each in safe.shown} if isinstance(safe, Protect) else set(range(len(names)))
    sums = tuple(
        subject.Sum(
            moment.name,
            frozenset(
                ColumnRef(reads[role].dataset, name)
                for role, factor in zip(reads, moment.factors, strict=True)
                for name in factor.touches
            ),
            number in shown,
        )
        for number, moment in enumerate(safe.moments)
    )
    shared = plan.join.shared
    if shared:
        cast, tables = _shown(plan, spec)
    else:
        cast = parties_of(plan)
        tables = {role: _table(read, spec, role == "a" and _counts_persons(plan)) for role, read in reads.items()}
    in_order = safe.ordered if isinstance(safe, Protect) else ()
    sums += tuple(subject.Sum(each.name, frozenset({each.column}), ordered=names[each.values]) for each in in_order)
    models = safe.fits if isinstance(safe, Protect) else ()
    fitted = () if plan.join.rows is None else plan.join.rows.fits
    sums += tuple(
        subject.Sum(each.name, frozenset(each.columns), ordered=names[fit.y])
        for each, fit in zip(models, fitted, strict=True)
    )
    return subject.Subject(
        parties=tuple(PartyId(party.name) for party in spec.parties if not shared or party.name in cast.values()),
        roles=cast,
        tables=tables,
        sums=sums,
        released=tuple(
            subject.Released(
                output.name,
                (in_order[output.ordered].name,)
                if output.ordered is not None
                else (models[output.fit].name,)
                if output.fit is not None
                else tuple(names[number] for number in output.moments),
            )
            for output in derive.outputs
        ),
        products=any(not shared or not reads["a"].factors[number].people for number in join_of(plan).factors_a),
        controlled=isinstance(safe, Protect),
        computed=plan.join.rows is not None,
        keyed=plan.join.keyed is not None,
        by_cell=plan.join.rows is not None and bool(plan.join.rows.ordered or plan.join.rows.contributions),
        shared=shared,
    )


def _shown(plan: Plan, spec: Spec) -> tuple[dict[str, PartyId], dict[str, subject.Table]]:
    """Roles, and parts of tables, of those who stand for all holders of a table, and of the three that compute."""
    join, to = plan.join, parties_of(plan)["result"]
    tables: dict[str, subject.Table] = {}
    for role, read in zip(("left", "right"), plan.reads, strict=True):
        for number, party in enumerate(shown(read.parties, to)):
            tables[role_of(role, number)] = replace(_table(read, spec, False), party=party, shared=True)
    cast = {role: table.party for role, table in tables.items()}
    return cast | {"first": join.role_a, "second": join.helper, "third": join.role_b, "result": to}, tables


def _reads(plan: Plan) -> dict[str, Read]:
    join = join_of(plan)
    by_out = {step.out: step for step in plan.steps if isinstance(step, Read)}
    further = {role_of(BESIDE, number): by_out[each.read] for number, each in enumerate(join.beside)}
    return {"a": by_out[join.a], "b": by_out[join.b], **further}


def _counts_persons(plan: Plan) -> bool:
    factors = _reads(plan)["a"].factors
    return any(factors[number].people or factors[number].together for number in join_of(plan).factors_a)


def _table(read: Read, spec: Spec, counted: bool) -> subject.Table:
    values = frozenset(name for factor in read.factors for name in factor.touches)
    groups = frozenset(name for dimension in read.dimensions for name in reads(dimension.column))
    filters = frozenset(columns_of(read.where)) if read.where is not None else frozenset()
    crossed = frozenset((*(c.column for c in read.compared), *(n for test in read.tests for n in columns_of(test))))
    used = {read.columns[0], *values, *groups, *filters, *crossed}
    return subject.Table(
        dataset=read.dataset,
        party=read.parties[0],
        key=read.columns[0],
        columns=tuple(name for name in spec.dataset(read.dataset).columns if name in used),
        values=values,
        groups=groups,
        filters=filters,
        counted=counted,
        crossed=crossed,
    )


def _sizes(plan: Plan, join: HelperJoin, spec: Spec) -> None:
    """Lists are as long as the declared maxima, cells as many as the declared levels: nothing depends on records."""
    reads = _reads(plan)
    table_a, table_b = (spec.dataset(reads[role].dataset) for role in "ab")
    g, b_cells = (cells_of(reads[role], spec) for role in "ab")
    if join.shared:
        _same_numbers(join, _shared_sizes(plan, join, spec, g, b_cells))
        if isinstance(plan.protection, Protect):
            control_sizes(plan.protection, g, b_cells)
        return
    on_rows, on_cells = join.rows is not None, join.keyed is not None
    ends, levels = (1 if on_cells else g), 1 if join.rows is None or join.rows.cased is None else join.rows.cased.levels
    brought_cells, b_cells = (1 if on_cells else b_cells), b_cells * levels
    if on_cells:
        g, b_cells = g * b_cells, 1
    h = b_cells * prod(cells_of(read, spec) for role, read in reads.items() if role not in ("a", "b"))
    products = [summed for summed in join.summed if summed.a is not None and not on_rows]
    brought = reads["b"].compared, reads["b"].tests
    columns = {
        "v_g": len(join.gathered) * brought_cells + sum(map(len, brought)) + on_cells,
        "v_t": len([number for number in range(len(join.gathered)) if number not in join.ones]) * brought_cells
        + sum(map(len, brought))
        + on_cells,
        "v": len(join.summed) * h,
        "v_m": 0 if on_rows else len(join.summed) * h,
        "v_c": len(join.summed) * h if on_rows and not on_cells else 0,
        "v_k": len(join.summed) if on_cells else 0,
        "x": 0 if on_rows else len(join.factors_a),
        "z": len({summed.gathered for summed in products}) * b_cells,
        "p": len(products) * b_cells,
        "v_p": 0 if on_rows else len([summed for summed in join.summed if summed.gathered not in join.ones]) * b_cells,
        "r": len(join.summed) * h if isinstance(plan.protection, AddNoise) else 0,
    }
    expected = {"n_a": table_a.max_rows, "n_b": table_b.max_rows, "g": g, "g_l": ends, "k": table_a.max_rows_per_person}
    if join.card == "helper_join_b":
        expected |= {name: columns[name] for name in ("v_g", "v_t", "v", "v_m", "v_c", "v_k", "x", "v_p", "r")}
    elif join.beside:
        expected = {"n_a": table_a.max_rows, "n_b": table_b.max_rows, "g": g, "k": table_a.max_rows_per_person}
        expected |= {name: columns[name] for name in ("v_g", "v_t", "v", "v_c", "r")}
    else:
        expected["s"] = budget.dummy_slots(join.helper_epsilon, join.helper_delta, table_a.max_rows_per_person)
        expected |= {name: columns[name] for name in ("v_g", "v", "v_m", "v_c", "v_k", "x", "z", "p", "r")}
    _same_numbers(join, expected)
    if isinstance(plan.protection, Protect):
        control_sizes(plan.protection, g, h)


def _same_numbers(join: HelperJoin, expected: Mapping[str, int]) -> None:
    for got, (name, value) in zip_longest(join.public, expected.items(), fillvalue=("public", len(expected))):
        if got != (name, value):
            raise InternalError("plan.sizes", name=name, got=got, expected=value)


def _shared_sizes(plan: Plan, join: HelperJoin, spec: Spec, g: int, h: int) -> dict[str, int]:
    """What a join of tables of many holders is sized by, from the specification."""
    reads = _reads(plan)
    tables = [spec.dataset(reads[role].dataset) for role in "ab"]
    of_a = [reads["a"].factors[number] for number in join.factors_a]
    of_b = [reads["b"].factors[each.factor] for each in join.gathered]
    apart = any(factor.people for factor in (*of_a, *of_b))
    rows = sum(table.max_rows for table in tables) + len(tables[0].parties) * g
    bits = 34 if tables[0].columns[tables[0].key].scheme == "nhs-number" else 39 + 2 * _bits(rows)
    return {
        "n_a": tables[0].max_rows,
        "n_b": tables[1].max_rows,
        "h_a": len(tables[0].parties),
        "h_b": len(tables[1].parties),
        "g": g,
        "k_i": bits,
        "k_c": _bits(max(g, h)) if apart else 0,
        "k_d": 1 if apart else 0,
        "k_t": _bits(sum(table.max_rows_per_person for table in tables)),
        "x": len([factor for factor in of_a if not factor.people]),
        "v_g": len(join.gathered) * h,
        "v_o": len([factor for factor in of_b if factor.people]) * h,
        "v": len(join.summed) * h,
        "v_p": len([summed for summed in join.summed if summed.a is not None]) * h,
        "r": len(join.summed) * h if isinstance(plan.protection, AddNoise) else 0,
    }


def _bits(things: int) -> int:
    """How many bits tell so many things apart."""
    bits = 0
    while 2**bits < things:
        bits += 1
    return bits


def control_sizes(safe: Protect, g: int, h: int) -> None:
    """What three parties compute on is as long as cells, sums and counts are many."""
    expected = {
        "g": g,
        "h": h,
        "v": len(safe.moments) * h,
        "f": len(safe.counts),
        "e": len([count for count in safe.counts if count.may_be_empty]),
        "q": len(safe.sets),
        "m": max(len(numbers) for numbers in safe.sets),
        "o": len(safe.shown) + len(safe.rows),
        "c": 0 if safe.round_to == 1 else len([each for each in safe.shown if each.rounded]),
        "d": safe.round_to,
        **_comparisons(safe),
        "b_k": 1 if safe.lines else 0,
        "b_y": 1 if safe.lines and safe.counts[0].may_be_empty else 0,
        "b_n": 64 * -(-len([block for line in safe.lines for block in line]) // 64),
        "l_n": 64 * -(-len(safe.lines) // 64),
    }
    for got, (name, value) in zip_longest(safe.public, expected.items(), fillvalue=("public", len(expected))):
        if got != (name, value):
            raise InternalError("plan.sizes", name=name, got=got, expected=value)
    if not all(count.may_be_empty for count in safe.counts[: expected["e"]]):
        raise InternalError("plan.sizes", name="counts", got="an order", expected="those that may be empty first")


def _comparisons(safe: Protect) -> dict[str, int]:
    """A rule compares each sum once; without a rule on shares and one on p together, 0 is found by one more."""
    if safe.dominance is None:
        return {"s_d": 0, "u_d": 0, "t_d": 0}
    held, shares, p = len(safe.dominance.held), len(safe.dominance.shares), safe.dominance.p is not None
    bits = shares + p + (not (shares and p))
    return {"s_d": held, "u_d": held * bits, "t_d": bits - 1 if p else bits - 2}


def cells_of(read: Read, spec: Spec) -> int:
    """Cells of the grouping columns of a table, from the declared levels."""
    cells = 1
    for dimension in read.dimensions:
        cells *= len(levels_of(spec, dimension.column))
    return cells


def noise_as_said(noise: AddNoise, spec: Spec, parts: int) -> None:
    """The law is the declared one, and the shares of epsilon or rho are, and no column costs more than its share.

    ``parts``: of Gaussian noise, how many parts nobody who reads the release knows, at least.
    """
    privacy = spec.release.differential_privacy
    laws = {type(column) for column in noise.columns}
    if privacy is None or laws != {GaussianColumn if privacy.gaussian else NoisedColumn}:
        raise InternalError("plan.noise", column="all", problem="another law than the declared one")
    shares = [column.rho if isinstance(column, GaussianColumn) else column.epsilon for column in noise.columns]
    if sum(shares) != privacy.loss:
        raise InternalError(
            "plan.noise", column="all", problem=f"{privacy.stated_in} does not add up to the declared one"
        )
    whole = sum(privacy.weights.get(column.moment.name, 1) for column in noise.columns)
    for column, share in zip(noise.columns, shares, strict=True):
        name = column.moment.name
        if share * whole != privacy.loss * privacy.weights.get(name, 1):
            raise InternalError("plan.noise", column=name, problem=f"another share of {privacy.stated_in}")
        if isinstance(column, GaussianColumn):
            _gaussian(column, parts)


def _gaussian(column: GaussianColumn, parts: int) -> None:
    """As many parts as are surely honest cost no more than the share, and no narrower ones do; each can be drawn."""
    if column.parts != parts:
        raise InternalError("plan.noise", column=column.moment.name, problem="another number of honest parts")
    if not shared_noise.MIN_VARIANCE <= column.variance <= MAX_VARIANCE or (column.variance * 2**20) % 1:
        raise InternalError("plan.noise", column=column.moment.name, problem="no variance of a part")
    if shared_noise.gaussian_rho(column.squared, column.variance, parts, column.squared) > column.rho:
        raise InternalError("plan.noise", column=column.moment.name, problem="costs more than its share of rho")
    if column.variance != shared_noise.part_variance(column.rho, column.squared, parts, column.squared):
        raise InternalError(
            "plan.noise", column=column.moment.name, problem="more noise than its share of rho asks for"
        )


def _match_count(join: HelperJoin, spec: Spec) -> None:
    """The helper's count is noised as declared."""
    leak = next(
        (item for item in spec.security.leakage if item.learner == join.helper and item.item == "match_count"), None
    )
    declared = (quantity(leak.noised.epsilon), quantity(leak.noised.delta)) if leak and leak.noised else None
    if join.card != "helper_join_a":
        declared = (Fraction(0), Fraction(0))  # there is no count
    if declared != (join.helper_epsilon, join.helper_delta):
        raise InternalError(
            "plan.noise", column="match_count", problem="the helper's count has another epsilon or delta"
        )


def _bounds(plan: Plan, moment: Moment, spec: Spec) -> None:
    """What one row adds to a sum at most follows from the declared ranges."""
    reads = _reads(plan)
    for role, factor in zip(reads, moment.factors, strict=True):
        table, greatest = spec.dataset(reads[role].dataset), 1
        for name in factor.values:
            greatest *= max(1, *(abs(end) for end in table.columns[name].scaled_range))
        if (greatest + factor.unit // 2) // factor.unit != factor.bound:
            raise InternalError("plan.noise", column=moment.name, problem="another bound of a factor")


def _beside(factor: Factor, read: Read, spec: Spec) -> Beside:
    return Beside(factor, spec.dataset(read.dataset).max_rows_per_person, cells_of(read, spec))


def _covers(plan: Plan, column: Noisy, spec: Spec) -> None:
    """A column is noised for the sensitivity that it has."""
    reads = _reads(plan)
    table_a, table_b = (spec.dataset(reads[role].dataset) for role in "ab")
    sizes = Sizes(
        k_a=table_a.max_rows_per_person,
        k_b=table_b.max_rows_per_person,
        g=cells_of(reads["a"], spec),
        h=cells_of(reads["b"], spec),
        b_grouped=bool(reads["b"].dimensions),
    )
    further = [
        _beside(factor, read, spec) for factor, read in zip(column.moment.others, list(reads.values())[2:], strict=True)
    ]
    norm = squared_sensitivity if isinstance(column, GaussianColumn) else sensitivity
    needed = norm(column.moment.a, column.moment.b, column.moment.outer, sizes, further)
    if (column.squared if isinstance(column, GaussianColumn) else column.sensitivity) != needed:
        raise InternalError("plan.noise", column=column.moment.name, problem="another sensitivity")
