"""How each operation of the card rep3 that is made of others is run, and with which public numbers it is tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import numpy as np

from pets.protocols.base import Role
from pets.protocols.rep3 import (
    compare,
    fixed,
    groups,
    linear,
    logistic,
    order,
    products,
    quantiles,
    ratio,
    regression,
    rounding,
    sharing,
    tables,
)
from pets.protocols.rep3.groups import Rank, grouped, marked
from pets.protocols.rep3.regression import Design
from pets.protocols.rep3.sharing import Bits, Context, Words
from tests.oracles.shared import Run


@dataclass(frozen=True)
class Made:
    """``act`` takes a context, columns, and the public numbers by name."""

    act: Run
    columns: int
    publics: tuple[Mapping[str, int], ...]
    rows: tuple[int, ...] = (1, 64, 100)
    values: tuple[int, ...] = field(default=())
    """What stands in each column, to be sure that no value shows in what is sent: 0 without."""


def _bits(*numbers: int) -> tuple[Mapping[str, int], ...]:
    return tuple({"bits": number} for number in numbers)


def _planes(x: Words, count: int) -> Bits:
    zero = np.zeros((count, -(-x.rows // 64)), np.uint64)
    return Bits(zero, zero, x.rows)


def _carried(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    return (yield from compare.carried(ctx, _planes(x, bits), _planes(x, bits)))


def _injected(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    zero = np.zeros(bits * x.rows, np.uint64)
    return (yield from products.injected(ctx, _planes(x, bits), Words(zero, zero)))


def _all_before(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    return (yield from ratio.all_before(ctx, _planes(x, bits)))


def _decayed(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    return (yield from fixed._decayed(ctx, x, [x] * 6, [x] * 3, 10, bits))


RATIOS = tuple({"bits": bits, "digits": digits} for bits in (1, 2, 19, 20, 30) for digits in (1, 2, 3))
"""Widths on both sides of what is done otherwise."""

PARTS = {
    "sort_compare",
    "sort_step",
    "sort_digits",
    "digit_above",
    "running_step",
    "running_turn",
    "matrix_turn",
    "ahead",
}
"""Operations of the card that only others use."""


def _columns(x: Words, count: int) -> list[Words]:
    return [x] * count


def _starting(ctx: Context, rows: int) -> Words:
    return sharing.joined(sharing.public(ctx, 1, 1), sharing.public(ctx, 0, rows - 1))


def _arranged(ctx: Context, x: Words, *, columns: int) -> Role[Any]:
    return (yield from groups.arranged(ctx, groups.counted(ctx, x.rows), _columns(x, columns)))


def _fronted(ctx: Context, x: Words, *, columns: int) -> Role[Any]:
    return (yield from groups.fronted(ctx, _starting(ctx, x.rows), _columns(x, columns)))


def _grouped(ctx: Context, x: Words, *, columns: int, groups: int) -> Role[Any]:
    begins, valid = _starting(ctx, x.rows), sharing.public(ctx, 1, x.rows)
    lasts, firsts = _columns(x, columns // 3), _columns(x, columns // 2)
    sums = _columns(x, columns - len(lasts) - len(firsts))
    there, found = yield from grouped(ctx, begins, valid, most=groups, sums=sums, firsts=firsts, lasts=lasts)
    return [there, *found]


def _marked(ctx: Context, x: Words, *, bits: int, points: int, groups: int) -> Role[Any]:
    ranks = [Rank.lower(1, bits)] * points
    begins, valid = _starting(ctx, x.rows), sharing.public(ctx, 1, x.rows)
    return (yield from marked(ctx, begins, valid, ranks, groups))


def _leading(ctx: Context, x: Words, *, points: int) -> Role[Any]:
    return (yield from groups.leading(ctx, _starting(ctx, x.rows), points))


def _running(ctx: Context, x: Words, *, columns: int, turns: int) -> Role[Any]:
    reach = x.rows if 2**turns > x.rows else 2**turns
    assert groups.turns_of(reach, x.rows) == turns
    return (yield from groups.running(ctx, _starting(ctx, x.rows), _columns(x, columns), reach))


def _picked(ctx: Context, x: Words, *, columns: int) -> Role[Any]:
    return (yield from groups.picked(ctx, _starting(ctx, x.rows), _columns(x, columns), 1))


def _sorted_keys(ctx: Context, x: Words, *, bits: int, columns: int) -> Role[Any]:
    zero = np.zeros(x.rows, np.uint64)
    keys = [Words(zero, zero)] * -(-bits // 64)
    _, moved, _ = yield from order.sorted_keys(ctx, keys, bits, _columns(x, columns))
    return moved


def _restored(ctx: Context, x: Words, *, columns: int, groups: int) -> Role[Any]:
    same = np.arange(x.rows, dtype=np.uint32)
    passes = tuple(None if ctx.me == (first + 2) % 3 else same for first in range(3))
    return (yield from order.put_back(ctx, order.Way(passes, same), _columns(x, columns), groups))


def greater_of(ctx: Context, earlier: list[Words], later: list[Words]) -> Role[list[Words]]:
    return [(yield from quantiles.greater(ctx, earlier[0], later[0]))]


def _running_greatest(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    return (yield from groups.scanned(ctx, _starting(ctx, x.rows), [x], greater_of))


def _greatest(ctx: Context, x: Words, *, columns: int) -> Role[Any]:
    return (yield from quantiles.greatest(ctx, sharing.joined(*_columns(x, columns)), columns))


def _all_of(ctx: Context, x: Words, *, bits: int) -> Role[Any]:
    return (yield from compare.all_of(ctx, _planes(x, bits)))


def _at_ranks(ctx: Context, x: Words, *, points: int) -> Role[Any]:
    return (yield from quantiles.at_ranks(ctx, x, sharing.public(ctx, 0, points)))


def _quantiles(ctx: Context, x: Words, *, bits: int, points: int) -> Role[Any]:
    ranks = [Rank.upper(1, bits)] * points
    return (yield from quantiles.quantiles(ctx, x, sharing.public(ctx, x.rows, 1), ranks))


def _ordered(ctx: Context, x: Words, *, bits: int, columns: int) -> Role[Any]:
    key, there, moved = yield from tables.ordered(ctx, x, bits, x, _columns(x, columns))
    return [key, there, *moved]


def _group_by(ctx: Context, x: Words, *, bits: int, columns: int, groups: int) -> Role[Any]:
    there, keys, sums = yield from tables.group_by(ctx, x, bits, x, _columns(x, columns), groups)
    return [there, keys, *sums]


def _summed_by(ctx: Context, x: Words, *, bits: int, columns: int, groups: int) -> Role[Any]:
    key = x[slice(0, x.rows - groups)]
    return (yield from tables.summed_by(ctx, key, bits, _columns(key, columns), groups))


def _group_by_value(
    ctx: Context, x: Words, *, bits: int, value: int, whole: int, points: int, groups: int
) -> Role[Any]:
    ranks = [Rank.lower(1, whole)] * points
    there, keys, found = yield from tables.group_by_value(ctx, x, bits, x, value, x, ranks, groups)
    return [there, keys, *found]


def _column_quantiles(ctx: Context, x: Words, *, bits: int, whole: int, points: int) -> Role[Any]:
    return (yield from tables.column_quantiles(ctx, x, bits, x, [Rank.lower(1, whole)] * points))


def _top_by_group(ctx: Context, x: Words, *, bits: int, value: int, points: int, groups: int) -> Role[Any]:
    there, keys, found, values = yield from tables.top_by_group(ctx, x, bits, x, value, x, points, groups)
    return [there, keys, *found, *values]


LEAST = {(22, 13): 10, (20, 10): 7, (26, 5): 2}
"""The least eigenvalue for bits after the point and turns, with matrices of 2 to 4 columns."""


def _matrix_inverse(ctx: Context, x: Words, *, n: int, bits: int, turns: int) -> Role[Any]:
    size, least = isqrt(n), LEAST[bits, turns]
    whole = sharing.joined(*_columns(x, n))[slice(0, n)]
    return (yield from linear.inverted(ctx, whole, size=size, fraction=bits, least=least))


def _solved(ctx: Context, x: Words, *, bits: int, n: int, cut: int) -> Role[Any]:
    whole = sharing.joined(*_columns(x, n * n))[slice(0, n * n)]
    column = whole[slice(0, n)]
    least = {8: 10, 0: 2}[cut]
    return (yield from linear.solved(ctx, whole, whole, column, size=n, fraction=bits, least=least))


def _least(columns: int, bits: int, turns: int) -> int:
    return next(least for least in range(1, 20) if linear.turns(columns, bits, least) == turns)


def _least_squares(ctx: Context, x: Words, *, columns: int, bits: int, turns: int, cut: int) -> Role[Any]:
    design = Design(x.rows, columns, bits, _least(columns, bits, turns))
    assert design.cut == cut
    return [*(yield from regression.least_squares(ctx, design, _columns(x, columns), x))]


def _deviations(ctx: Context, x: Words, *, columns: int, cut: int) -> Role[Any]:
    design = Design(x.rows, columns, 20, 2)
    whole = sharing.joined(*_columns(x, columns * columns))[slice(0, columns * columns)]
    return (yield from regression.deviations(ctx, design, whole, -20 - cut))


def _by(**numbers: tuple[int, ...]) -> tuple[Mapping[str, int], ...]:
    return tuple(dict(zip(numbers, each, strict=True)) for each in zip(*numbers.values(), strict=True))


DIVISORS = _bits(1, 2, 3, 5, 8, 1000, 2**20 + 7, 2**61)

MADE: Mapping[str, Made] = {
    "carried": Made(_carried, 1, _bits(1, 2, 3, 31, 62)),
    "quotient": Made(lambda ctx, x, *, bits: rounding.quotient(ctx, x, bits), 1, DIVISORS),
    "midpoint": Made(lambda ctx, x, *, bits: rounding.midpoint(ctx, x, bits), 1, DIVISORS),
    "shifted": Made(lambda ctx, x, *, bits: rounding.shifted(ctx, x, bits), 1, _bits(1, 2, 20, 31, 62)),
    "roughly": Made(lambda ctx, x, *, bits: rounding.roughly(ctx, x, bits), 1, _bits(1, 31, 62)),
    "injected": Made(_injected, 1, _bits(1, 2, 5)),
    "all_before": Made(_all_before, 1, _bits(1, 2, 3, 5, 30, 33)),
    "rough_product": Made(lambda ctx, x, y, *, bits: ratio._product(ctx, x, y), 2, _bits(1)),
    "inverted": Made(lambda ctx, x, *, bits: ratio.inverted(ctx, x), 1, _bits(1), values=(2**29,)),
    "ratio": Made(
        lambda ctx, x, y, *, bits, digits: ratio.ratio(ctx, x, y, bits=bits, digits=digits), 2, RATIOS, rows=(1, 70)
    ),
    "root": Made(lambda ctx, x, *, bits: ratio.root(ctx, x, bits), 1, _bits(2, 4, 6, 34, 60), rows=(1, 70)),
    "fixed_product": Made(lambda ctx, x, y, *, bits: fixed.product(ctx, x, y, bits), 2, _bits(1, 20, 62)),
    "over": Made(
        lambda ctx, x, y, *, bits, digits: fixed.over(ctx, x, y, fraction=0, bits=bits, digits=digits), 2, RATIOS[::4]
    ),
    "decayed": Made(_decayed, 1, _bits(31, 40, 52)),
    "decay": Made(lambda ctx, x, *, bits: fixed.decay(ctx, x, bits), 1, _bits(8, 20)),
    "sigmoid": Made(lambda ctx, x, *, bits: fixed.sigmoid(ctx, x, bits), 1, _bits(8, 20)),
    "sorted_keys": Made(_sorted_keys, 1, _by(bits=(7, 64, 65, 128), columns=(1, 2, 0, 1)), rows=(70, 100)),
    "restored": Made(_restored, 1, _by(columns=(1, 3), groups=(1, 60)), rows=(64, 100)),
    "running": Made(_running, 1, _by(columns=(1, 3, 2), turns=(1, 6, 2)), rows=(64,)),
    "picked": Made(_picked, 1, _by(columns=(1, 3))),
    "starts": Made(lambda ctx, x, *, bits: groups.starts(ctx, x), 1, _bits(1)),
    "arranged": Made(_arranged, 1, _by(columns=(1, 3))),
    "fronted": Made(_fronted, 1, _by(columns=(1, 3))),
    "grouped": Made(_grouped, 1, _by(columns=(1, 4, 1), groups=(1, 60, 2)), rows=(63, 64, 100)),
    "marked": Made(_marked, 1, _by(bits=(2, 4, 100), points=(1, 3, 2), groups=(1, 7, 60)), rows=(63, 64, 100)),
    "leading": Made(_leading, 1, _by(points=(1, 5)), rows=(5, 64)),
    "greater": Made(lambda ctx, x, y, *, bits: quantiles.greater(ctx, x, y), 2, _bits(1)),
    "running_greatest": Made(_running_greatest, 1, _bits(1), rows=(1, 2, 64, 100)),
    "greatest": Made(_greatest, 1, _by(columns=(1, 3)), rows=(1, 2, 3, 64, 100)),
    "all_of": Made(_all_of, 1, _bits(1, 2, 3, 33)),
    "at_ranks": Made(_at_ranks, 1, _by(points=(1, 3)), rows=(1, 2, 63, 64, 100)),
    "quantiles": Made(_quantiles, 1, _by(bits=(2, 100), points=(1, 3)), rows=(1, 64, 100)),
    "ordered": Made(_ordered, 1, _by(bits=(1, 20, 62), columns=(1, 2, 1)), rows=(2, 70)),
    "group_by": Made(_group_by, 1, _by(bits=(1, 20), columns=(1, 3), groups=(1, 60)), rows=(64, 100)),
    "summed_by": Made(_summed_by, 1, _by(bits=(1, 20), columns=(1, 3), groups=(2, 60)), rows=(63, 64, 100)),
    "group_by_value": Made(
        _group_by_value,
        1,
        _by(bits=(1, 20), value=(5, 42), whole=(2, 100), points=(1, 3), groups=(1, 60)),
        rows=(64, 100),
    ),
    "column_quantiles": Made(_column_quantiles, 1, _by(bits=(1, 40), whole=(2, 100), points=(1, 3)), rows=(64, 100)),
    "top_by_group": Made(
        _top_by_group, 1, _by(bits=(1, 9), value=(5, 12), points=(1, 4), groups=(1, 60)), rows=(64, 100)
    ),
    "matrix_inverse": Made(_matrix_inverse, 1, _by(n=(9, 16, 4), bits=(22, 20, 26), turns=(13, 10, 5)), rows=(1,)),
    "solved": Made(_solved, 1, _by(bits=(22, 26), n=(2, 2), cut=(8, 0)), rows=(1,)),
    "least_squares": Made(
        _least_squares, 1, _by(columns=(1, 3), bits=(20, 16), turns=(5, 7), cut=(13, 5)), rows=(100,)
    ),
    "limited": Made(lambda ctx, x, *, bits: logistic.limited(ctx, x, 2**61), 1, _bits(1)),
    "scale_of": Made(lambda ctx, x, *, bits: ratio.scale_of(ctx, x, bits, 1), 1, _bits(2, 4, 6, 34, 60)),
    "deviations": Made(_deviations, 1, _by(columns=(1, 3), cut=(0, 5)), rows=(1, 64)),
    "inner_products": Made(lambda ctx, x, y, *, bits: products.inner_products(ctx, x, y, 1), 2, _bits(1)),
}
