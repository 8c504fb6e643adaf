"""From a holder's own rows to what a role of the join takes: number, bound, evaluate factors, sum per person.

All of it happens at the holder, before anything is sent, by the numbers of the plan alone.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from pets.check.noised import JOINED
from pets.errors import SourceError
from pets.kernels import columns, dummy, gaussian, noise, rows, tags
from pets.kernels.prf import Stream
from pets.party.sources import Table
from pets.plan.cost import join_numbers
from pets.protocols import control, dominance, helper_join_b, keyed, modelled, ordered, shared_join, star_join
from pets.protocols import rows as rows_protocol
from pets.protocols.helper_join import PeopleOfB, RowsOfA, Shape, Sizes
from pets.protocols.rep3.groups import Rank
from pets.protocols.rep3.logistic import Design
from pets.spec import ir
from pets.spec.cards import load_cards
from pets.spec.ir import AddNoise, Factor, GaussianColumn, HelperJoin, Noisy, Plan, Protect, Read
from pets.spec.repeated import BESIDE, own_of, role_of, table_of

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def shape_of(plan: Plan) -> Shape | helper_join_b.Shape | shared_join.Shape:
    """The parameters of the protocol, from the plan: b-cell h of gathered or summed column c is number c * H + h."""
    join = plan.join
    if join.shared:
        return _shared_shape(plan)
    names = join_numbers(plan)
    summed = tuple((of_b, of_a) for of_b, _, of_a in join.products)
    if join.beside:
        return star_join.Shape(
            n_a=names["n_a"],
            n_b=names["n_b"],
            g=names["g"],
            k=names["k"],
            t=names["t"],
            n_list_a=names["n_list_a"],
            n_list_b=names["n_list_b"],
            x=0,
            v_g=names["v_g"],
            summed=summed,
            fixed_ids=join.fixed_ids,
            ones=frozenset(join.ones),
            third=names["third"],
            beside=tuple(
                star_join.Beside(
                    n=read.max_rows,
                    columns=each.brought,
                    ones=frozenset(each.ones),
                    third=names[own_of("third_d", role_of(BESIDE, number))],
                )
                for number, (each, read) in enumerate(zip(join.beside, plan.reads[2:], strict=True))
            ),
        )
    if join.card == helper_join_b.PROTOCOL:
        return helper_join_b.Shape(
            n_a=names["n_a"],
            n_b=names["n_b"],
            g=names["g"],
            k=names["k"],
            t=names["t"],
            n_list_a=names["n_list_a"],
            n_list_b=names["n_list_b"],
            x=names["x"],
            v_g=names["v_g"],
            summed=summed,
            fixed_ids=join.fixed_ids,
            ones=frozenset(join.ones),
            third=names["third"],
            keyed=join.keyed is not None,
        )
    return Shape(
        n_a=names["n_a"],
        n_b=names["n_b"],
        g=names["g"],
        k=names["k"],
        s=names["s"],
        t=names["t"],
        n_list_a=names["n_list_a"],
        n_list_b=names["n_list_b"],
        x=names["x"],
        v_g=names["v_g"],
        summed=summed,
        fixed_ids=join.fixed_ids,
        keyed=join.keyed is not None,
        dummies=dummy.dummy_table(join.helper_epsilon, join.helper_delta, names["k"], names["s"]),
    )


def _shared_shape(plan: Plan) -> shared_join.Shape:
    join, (read_a, read_b), h = plan.join, plan.reads, plan.join.b_cells
    people = [read_a.factors[number].people for number in join.factors_a]
    columns = list(accumulate((not each for each in people), initial=0))
    summed = []
    for each in join.summed:
        once = each.a is not None and people[each.a]
        factor = None if each.a is None or once else columns[each.a]
        summed += [shared_join.Summed(each.gathered * h + cell, factor, once) for cell in range(h)]
    return shared_join.Shape(
        left=tuple(rows for _, rows in read_a.holders or ()),
        right=tuple(rows for _, rows in read_b.holders or ()),
        cells=join.parameter("g"),
        right_cells=h,
        x=join.parameter("x"),
        v_g=join.parameter("v_g"),
        once=frozenset(
            number * h + cell
            for number, each in enumerate(join.gathered)
            if read_b.factors[each.factor].people
            for cell in range(h)
        ),
        summed=tuple(summed),
        reach=2 ** join.parameter("k_t"),
        id_bits=join.parameter("k_i"),
        fixed=join.fixed_ids,
    )


def left_rows(plan: Plan, table: Table, own: Stream) -> shared_join.LeftRows:
    """What a holder of role a's table brings under shared_join: its rows, with the factors that are multiplied.

    Raises: SourceError source.rows-per-person if there are more rows a person and the plan does not truncate.
    """
    join, (read, _) = plan.join, plan.reads
    occurrence = number_rows(read, table, own)
    kept = np.flatnonzero(occurrence)
    factors = [read.factors[number] for number in join.factors_a]
    values = [
        factor_of(factor, table, join.parameter("g"), occurrence)[kept] for factor in factors if not factor.people
    ]
    return shared_join.LeftRows(table.ids[kept], table.cell[kept], values)


def right_rows(plan: Plan, table: Table, own: Stream) -> shared_join.RightRows:
    """What a holder of role b's table brings under shared_join: its rows, each factor once for each cell.

    Raises: SourceError source.rows-per-person if there are more rows a person and the plan does not truncate.
    """
    join, (_, read), h = plan.join, plan.reads, plan.join.b_cells
    occurrence = number_rows(read, table, own)
    kept = np.flatnonzero(occurrence)
    cell = table.cell[kept]
    values: list[I64] = []
    for gathered in join.gathered:
        factor = read.factors[gathered.factor]
        one = np.ones(kept.size, np.int64)  # of these the first of each person and cell counts
        column = one if factor.people else factor_of(factor, table, h, occurrence)[kept]
        values += [np.where(cell == number, column, 0) for number in range(h)]
    return shared_join.RightRows(table.ids[kept], cell, values)


def rows_shape(join: HelperJoin) -> rows_protocol.Shape | None:
    """What three parties compute on each row, from the plan; None if nothing is."""
    if join.rows is None:
        return None
    of_others = tuple(_beside(join, place) for place in range(len(join.beside)))
    return rows_protocol.Shape(
        listed=load_cards()[join.card].names(dict(join.public))["n_list_a"],
        brought=join.checks + join.parameter("v_g") - len(join.ones) + sum(each.travels for each in join.beside),
        gathered=len(join.gathered) * join.brought_cells,
        compared_a=_compared(join.rows, 0),
        compared_b=_compared(join.rows, 1),
        pairs=tuple(((pair.tables[0], pair.a), pair.op, (pair.tables[1], pair.b)) for pair in join.rows.pairs),
        condition=None if join.rows.condition is None else _condition(join.rows.condition),
        factors_a=len(join.factors_a),
        summed=tuple((of_b, of_a) for of_b, _, of_a in join.products),
        checks=join.checks,
        ones=frozenset(join.ones),
        keyed=_keyed(join),
        cased=_cased(join.rows),
        beside=of_others,
    )


def _beside(join: HelperJoin, place: int) -> rows_protocol.Beside:
    each, factors = join.beside[place], tuple(of_others[place] for _, of_others, _ in join.products)
    gathered, compared = len(each.gathered) * each.cells, _compared(join.rows, place + 2)
    tests = each.brought - gathered - compared
    return rows_protocol.Beside(gathered, frozenset(each.ones), factors, compared, tests)


def _compared(rows: ir.RowFilter | None, table: int) -> int:
    """How many columns of a table are compared."""
    pairs = () if rows is None else rows.pairs
    ends = (end for pair in pairs for end in zip(pair.tables, (pair.a, pair.b), strict=True))
    return 1 + max((number for of, number in ends if of == table), default=-1)


def _cased(rows: ir.RowFilter) -> rows_protocol.Cased | None:
    if rows.cased is None:
        return None
    branches = tuple((_condition(when), level) for when, level in rows.cased.branches)
    return rows_protocol.Cased(branches, rows.cased.otherwise, rows.cased.levels)


def _keyed(join: HelperJoin) -> keyed.Shape | None:
    if join.keyed is None:
        return None
    return keyed.Shape(join.keyed.a, join.keyed.b, join.keyed.levels, tuple(moment for moment, _ in join.local_a))


def order_shape(join: HelperJoin) -> ordered.Shape | None:
    """The columns that three parties put in order, from the plan; None if there are none."""
    rows, h = rows_shape(join), join.b_cells
    if join.rows is None or rows is None or not join.rows.ordered:
        return None
    return ordered.Shape(
        rows.rows,
        join.parameter("g"),
        h,
        tuple(
            ordered.Column(
                each.values * h,
                each.count * h,
                each.base,
                each.bits,
                tuple(Rank(place.times, place.plus, each.whole, 0) for place in each.places),
                tuple(ordered.Statistic(one.places, one.divisor) for one in each.statistics),
            )
            for each in join.rows.ordered
        ),
    )


def against_shape(join: HelperJoin) -> dominance.Shape | None:
    """The sums whose greatest contributions three parties read, from the plan; None if there are none."""
    rows, h, local = rows_shape(join), join.b_cells, {number for number, _ in join.local_a}
    if join.rows is None or rows is None or not join.rows.contributions:
        return None
    columns = tuple(
        dominance.Column(
            each.moment * h,
            each.count * h,
            each.bits,
            each.spread,
            join.summed[each.moment].a if each.moment in local else None,
        )
        for each in join.rows.contributions
    )
    last = 0 if join.keyed is None else join.keyed.b - 1
    return dominance.Shape(rows.rows, join.parameter("g"), h, columns, join.rows.tops, last)


def models_of(join: HelperJoin) -> tuple[modelled.Model, ...]:
    """The logistic models that three parties fit, from the plan."""
    rows = rows_shape(join)
    if join.rows is None or rows is None:
        return ()
    return tuple(
        modelled.Model(
            each.count,
            each.y,
            each.xs,
            each.bases,
            Design(rows.rows, each.spans, each.iterations, **dataclasses.asdict(each.numbers)),
        )
        for each in join.rows.fits
    )


def _condition(condition: ir.Condition) -> rows_protocol.Condition:
    if isinstance(condition, ir.Leaf):
        if condition.kind == "pair":
            return rows_protocol.Leaf("pair", condition.number)
        return rows_protocol.Leaf("test", condition.number, table_of(condition.kind))
    parts = tuple(_condition(part) for part in condition.parts)
    return rows_protocol.Joint(isinstance(condition, ir.AllLeaves), parts)


def control_shape(step: Protect) -> control.Shape:
    """The parameters of disclosure control, from the plan. Midpoints are bands that end at their multiple."""
    g, h = step.parameter("g"), step.parameter("h")
    return control.Shape(
        g=g,
        h=h,
        moments=len(step.moments),
        counts=tuple(control.Count(count.terms, count.may_be_empty) for count in step.counts),
        sets=step.sets,
        shown=tuple(control.Shown(each.moment, each.rests_on, each.rounded) for each in step.shown),
        min_count=step.min_count,
        band=step.round_to,
        upwards=step.rounding == "midpoint",
        lines=tuple(tuple(tuple((n % h) * g + n // h for n in block) for block in line) for line in step.lines),
        ordered=step.rows,
        against=_rules(step.dominance),
    )


def _rules(against: ir.Dominance | None) -> dominance.Rules:
    if against is None:
        return dominance.NONE
    return dominance.Rules(against.held, against.tops, against.shares, against.p)


def rows_of_a(read: Read, join: HelperJoin, shape: Sizes, table: Table, own: Stream) -> RowsOfA:
    """What role a brings: its rows, at most k a person in random order, with the factors that are multiplied.

    Raises: SourceError source.rows-per-person if there are more rows a person and the plan does not truncate.
    """
    occurrence = number_rows(read, table, own)
    g = shape.g if join.keyed is None else join.keyed.a
    factors = [factor_of(factor, table, g, occurrence) for factor in read.factors]
    local = np.zeros((shape.v, shape.g), np.uint64)
    b_cells = shape.v // len(join.summed)
    for moment, factor in join.local_a:
        kept = np.where(occurrence > 0, factors[factor], 0).view(np.uint64)
        sums = columns.segment_sums(kept, table.cell, g)
        if join.keyed is None:
            local[moment * b_cells + b_cells - 1] = sums
        else:  # in the last cell of b
            local[moment, join.keyed.b - 1 :: join.keyed.b] = sums
    values = [factors[number] for number in join.factors_a]
    ids, cell, compared, tests = table.ids, table.cell, list(table.compared), list(table.tests)
    if not occurrence.all():
        kept_rows = np.flatnonzero(occurrence)
        ids, cell, occurrence = ids[kept_rows], cell[kept_rows], occurrence[kept_rows]
        values, compared = ([column[kept_rows] for column in each] for each in (values, compared))
        tests = [flags[kept_rows] for flags in tests]
    return RowsOfA(ids, occurrence, cell, values, local, compared, tests)


def people_of_b(read: Read, join: HelperJoin, shape: Sizes, table: Table, own: Stream) -> PeopleOfB:
    """What role b brings, or a further one: each person once, every factor summed over its rows in each of its cells.

    Raises: SourceError source.rows-per-person if there are more rows a person and the plan does not truncate.
    """
    occurrence = number_rows(read, table, own)
    b_cells, brought, cells = join.brought_cells, join.gathered, table.cell
    if (further := next((each for each in join.beside if each.read == read.out), None)) is not None:
        b_cells, brought = further.cells, further.gathered
    if join.keyed is not None:  # one row a person: the number of its cell goes along
        table = replace(table, cell=np.zeros_like(cells))
    sums: list[I64] = []
    for factor in read.factors:
        by_row = factor_of(factor, table, b_cells, occurrence)
        sums.append(rows.per_person_sums(table.person, table.cell, b_cells, by_row, occurrence))
    values: list[I64] = []
    for gathered in brought:
        for cell in range(b_cells):
            column = sums[gathered.factor][:, cell]
            less = gathered.outer and cell == b_cells - 1 and join.keyed is None
            values.append(np.ascontiguousarray(column - 1 if less else column))
    starts = rows.person_starts(table.person)
    if table.compared or table.tests or join.keyed is not None:  # one row a person: the one that is kept
        kept = np.flatnonzero(occurrence == 1)
        values += [np.ascontiguousarray(column[kept]) for column in table.compared]
        values += [np.ascontiguousarray(column[kept]).astype(np.int64) for column in table.tests]
        values += [] if join.keyed is None else [cells[kept].astype(np.int64)]
    return PeopleOfB(table.ids if starts.size == table.rows else tags.take(table.ids, starts), values)


def noise_of(step: AddNoise | Protect, shape: Sizes | shared_join.Shape, own: Stream) -> U64 | None:
    """This party's part of the noise of every cell, (v, g) uint64: drawn in one batch before the run begins.

    None under disclosure control, which adds none.
    """
    if isinstance(step, Protect):
        return None
    b_cells = shape.v // len(step.columns)
    drawn = [part_of(column, JOINED, b_cells * shape.g, own).reshape(b_cells, shape.g) for column in step.columns]
    return np.concatenate(drawn).view(np.uint64)


def part_of(column: Noisy, parts: int, count: int, own: Stream) -> I64:
    """One party's part of the noise of ``count`` cells of a column, (count,) int64.

    ``parts``: of Laplace noise, how many parts are the whole of it. A Gaussian column says the variance of a part.
    """
    if isinstance(column, GaussianColumn):
        return gaussian.gaussian_part(column.variance, count, own)
    return noise.laplace_part(column.epsilon / column.sensitivity, parts, count, own)


def number_rows(read: Read, table: Table, own: Stream) -> npt.NDArray[np.uint16]:
    """The rows of each person numbered in random order, those that are too many 0: (n,) uint16.

    Raises: SourceError source.rows-per-person if there are such rows and the plan does not truncate.
    """
    occurrence = rows.number_rows(table.person, read.rows_per_person, own)
    if not read.truncate and not occurrence.all():
        raise SourceError("source.rows-per-person", dataset=read.dataset, most=read.rows_per_person)
    return occurrence


def factor_of(factor: Factor, table: Table, cells: int, occurrence: npt.NDArray[np.uint16]) -> I64:
    """A factor of each row: (n,) int64; of rows that ``number_rows`` left out it is not always 0."""
    flags = [*(table.present[name] for name in factor.present), *(table.chosen[each] for each in factor.when)]
    if factor.people:
        there = occurrence
        for each in flags:
            there = np.where(each, there, 0).astype(np.uint16)
        return rows.first_in_cell(table.person, table.cell, cells, there)
    if factor.together:
        there, alone = occurrence, replace(factor, together=False)
        for each in flags:
            there = np.where(each, there, 0).astype(np.uint16)
        by_row = factor_of(alone, table, cells, occurrence)
        return rows.together_in_cell(table.person, table.cell, cells, by_row, there)
    values: Sequence[I64] = [table.values[name] for name in factor.values]
    return rows.factor_rows(values, flags, factor.unit, len(table.person))
