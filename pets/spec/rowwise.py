"""What three parties send while they compute on rows: operations of the card rep3 in order, from the plan alone."""

from collections.abc import Iterator, Mapping

from pets.spec import fitting
from pets.spec.ir import Condition, HelperJoin, Leaf, Sorted

PLANE = 64
"""Rows of one word of bits."""

Used = tuple[str, Mapping[str, int]]
"""An operation of the card, and its public numbers."""


def program(join: HelperJoin, listed: int) -> tuple[Used, ...]:
    """The operations of ``protocols/rows.py`` on a list of ``listed`` entries; none if nothing is computed on rows."""
    if join.rows is None:
        return ()
    rows = rows_of(listed)
    fits = (used for fit in join.rows.fits for used in fitting.operations(fit, rows))
    return (*_used(join, rows), *_ordered(join, rows), *_contributions(join, rows), *fits, *_keyed(join, rows))


def rows_of(listed: int) -> int:
    """Entries of a list, up to a whole number of planes."""
    return -(-listed // PLANE) * PLANE


def _used(join: HelperJoin, rows: int) -> Iterator[Used]:
    """Row by row: ``protocols/rows.py``."""
    assert join.rows is not None
    h, pairs, keyed, cased = join.b_cells, join.rows.pairs, join.rows.keyed, join.rows.cased
    factors, compared = len(join.factors_a), 1 + max((pair.a for pair in pairs if pair.tables[0] == 0), default=-1)
    condition = join.rows.condition
    branches = () if cased is None else tuple(when for when, _ in cased.branches)
    of_a = (leaf.number for each in (condition, *branches) for leaf in leaves(each) if leaf.kind == "a")
    tests = 1 + max(of_a, default=-1)
    ordered = sum(pair.op not in ("=", "<>") for pair in pairs)
    checks = join.checks
    columns = join.parameter("v_g") - len(join.ones)
    columns += sum(each.travels for each in join.beside)
    yield _operation("from_two", (checks + columns) * rows)
    if own := compared + factors + (keyed is not None):
        yield _operation("given", own * rows)
    if tests:
        yield _operation("given", tests * (rows // PLANE))
    if checks:
        yield _operation("is_zero", checks * rows)
    if ordered:
        yield _operation("negative", ordered * rows)
    if len(pairs) > ordered:
        yield _operation("is_zero", (len(pairs) - ordered) * rows)
    if filters := checks + (condition is not None):
        for _ in range(_joints(condition) + filters - 1):
            yield _operation("conjoin", rows)
    if cased is not None:
        for _ in range(sum(map(_joints, branches)) + len(branches) - (not filters)):
            yield _operation("conjoin", rows)
    if filters or cased is not None:
        levels = 1 if cased is None else len({*(level for _, level in cased.branches), cased.otherwise})
        yield "to_words", {"n": rows, "bits": levels}
    travelling = len(join.gathered) * join.brought_cells - len(join.ones)
    columns = travelling * join.levels + (keyed is not None and checks > 0)
    if columns and (filters or (cased is not None and keyed is None)):
        yield _operation("multiply", columns * rows)
    for place, each in enumerate(join.beside):
        made = {(of_b, of_d[: place + 1]) for of_b, of_d, _ in join.products if of_d[place] not in each.ones}
        if made:
            yield _operation("multiply", len(made) * rows)
    if products := sum(summed.a is not None for summed in join.summed) * h:
        yield _operation("multiply", products * rows)


def _ordered(join: HelperJoin, rows: int) -> Iterator[Used]:
    """Values in order, column by column: ``protocols/ordered.py``."""
    assert join.rows is not None
    cells = join.parameter("g") * join.b_cells
    if join.rows.ordered and join.rows.keyed is None:
        yield _operation("given", rows)
    for each in join.rows.ordered:
        n, points = rows + cells + 1, len(each.places)
        yield _operation("multiply", rows)
        yield "sorted_by", {"n": n, "bits": key_bits(each, cells), "columns": 3}
        yield "marked", {"n": n, "bits": each.whole, "points": points, "groups": cells}
        yield _operation("multiply", points * n)
        yield "grouped", {"n": n, "bits": 1, "columns": points, "groups": cells}
        for statistic in each.statistics:
            if statistic.divisor > 1:
                yield "quotient", {"n": cells, "bits": statistic.divisor}


def _keyed(join: HelperJoin, rows: int) -> Iterator[Used]:
    """Groups told apart: ``protocols/keyed.py``."""
    if (keyed := join.keyed) is not None:
        bits, columns = max(1, (keyed.cells - 1).bit_length()), len(join.summed)
        yield "summed_by", {"n": rows + keyed.cells, "bits": bits, "columns": columns, "groups": keyed.cells}


def _contributions(join: HelperJoin, rows: int) -> Iterator[Used]:
    """The greatest contributions to sums, sum by sum: ``protocols/dominance.py``."""
    assert join.rows is not None
    h, tops, keyed = join.b_cells, join.rows.tops, join.rows.keyed
    cells, local = join.parameter("g") * h, {number for number, _ in join.local_a}
    outer = sum(each.moment in local for each in join.rows.contributions)
    if join.rows.contributions and (own := outer + (keyed is None)):
        yield _operation("given", rows * own)
    for each in join.rows.contributions:
        n = rows * (h if each.spread else 1) + cells * max(tops)
        beyond = keyed.b - 1 if keyed is not None and each.moment in local else 0
        yield "sorted_by", {"n": n, "bits": ((cells + beyond) << each.bits).bit_length(), "columns": 2}
        yield "fronted", {"n": n, "bits": 1, "columns": len(tops)}


def key_bits(each: Sorted, cells: int) -> int:
    """Bits of a cell and a value together: below the end of all cells, and one more for rows that do not count."""
    return ((cells << each.bits) + 1).bit_length()


def _operation(name: str, n: int) -> Used:
    return name, {"n": n, "bits": 1}


def leaves(condition: Condition | None) -> Iterator[Leaf]:
    """Every leaf of a condition, in order, with repetitions."""
    if condition is None:
        return
    if isinstance(condition, Leaf):
        yield condition
    else:
        for part in condition.parts:
            yield from leaves(part)


def _joints(condition: Condition | None) -> int:
    """Conjunctions and disjunctions of two."""
    if condition is None or isinstance(condition, Leaf):
        return 0
    return len(condition.parts) - 1 + sum(_joints(part) for part in condition.parts)
