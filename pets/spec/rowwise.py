"""What three parties send while they compute on rows: operations of the card rep3 in order, from the plan alone."""

from collections.abc import Iterator, Mapping

from pets.spec.ir import Condition, HelperJoin, Leaf

PLANE = 64
"""Rows of one word of bits."""

Used = tuple[str, Mapping[str, int]]
"""An operation of the card, and its public numbers."""


def program(join: HelperJoin, listed: int) -> tuple[Used, ...]:
    """The operations of ``protocols/rows.py`` on a list of ``listed`` entries; none if nothing is computed on rows."""
    return () if join.rows is None else tuple(_used(join, -(-listed // PLANE) * PLANE))


def _used(join: HelperJoin, rows: int) -> Iterator[Used]:
    assert join.rows is not None
    h, pairs = join.b_cells, join.rows.pairs
    factors, compared = len(join.factors_a), 1 + max((pair.a for pair in pairs), default=-1)
    tests = 1 + max((leaf.number for leaf in _leaves(join.rows.condition) if leaf.kind == "a"), default=-1)
    ordered = sum(pair.op not in ("=", "<>") for pair in pairs)
    yield _operation("from_two", join.parameter("v_g") * rows)
    if compared + factors:
        yield _operation("given", (compared + factors) * rows)
    if tests:
        yield _operation("given", tests * (rows // PLANE))
    if ordered:
        yield _operation("negative", ordered * rows)
    if len(pairs) > ordered:
        yield _operation("is_zero", (len(pairs) - ordered) * rows)
    for _ in range(_joints(join.rows.condition)):
        yield _operation("conjoin", rows)
    yield _operation("to_words", rows)
    yield _operation("multiply", len(join.gathered) * h * rows)
    if products := sum(summed.a is not None for summed in join.summed) * h:
        yield _operation("multiply", products * rows)


def _operation(name: str, n: int) -> Used:
    return name, {"n": n, "bits": 1}


def _leaves(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, Leaf):
        yield condition
    else:
        for part in condition.parts:
            yield from _leaves(part)


def _joints(condition: Condition) -> int:
    """Conjunctions and disjunctions of two."""
    if isinstance(condition, Leaf):
        return 0
    return len(condition.parts) - 1 + sum(_joints(part) for part in condition.parts)
