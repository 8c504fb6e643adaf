"""Rules on single contributions under sharing: what is read of rows, and what is withheld at every boundary."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError
from pets.protocols import control, dominance
from pets.protocols.base import Role
from pets.protocols.control import Count, Shown
from pets.protocols.dominance import Column, Rules, Shape
from pets.protocols.rep3 import sharing
from pets.spec import handover, operations, rowwise
from pets.spec.cards import load_cards
from pets.spec.control import PRESETS, Control
from tests.oracles.control import dominated
from tests.oracles.play import Transcript, play
from tests.protocols.test_control import ROLES, context, families, public

BESIDE = (("13", "12"), ("12", "23"), ("23", "13"))
ACRO = PRESETS["acro-default"].control


def rules_of(held: Control) -> Rules:
    shares = tuple((n, k.numerator, k.denominator) for n, k in held.dominance)
    p = None if held.p_percent is None else (held.p_percent.numerator, held.p_percent.denominator)
    tops = {n for n, _, _ in shares} | ({1, 2} if p else set())
    return Rules(((1, 0),), tuple(sorted(tops)), shares, p)


def read(shape: Shape, columns: Sequence[np.ndarray[Any, Any]], own: Sequence[np.ndarray[Any, Any]]) -> Transcript:
    """All three roles of ``greatest``, then what it gives is opened: ``own`` is a's cell of each row, and factors."""

    def role(me: int) -> Role[Any]:
        ctx = context(me, families(1), *BESIDE[me])
        summed = []
        for column in columns:
            summed.append((yield from sharing.given(ctx, 0, column if me == 0 else None, shape.rows)))
        cell, *factors = own
        brings = dominance.Own(cell, factors) if me == 0 else dominance.Own(None, None)
        found = yield from dominance.greatest(ctx, shape, summed, brings)
        opened = []
        for each in found:
            opened.append((yield from sharing.opened(ctx, each)))
        return opened

    return play({name: role(me) for me, name in enumerate(ROLES)}, seed=1)


def judged(cells: Sequence[Sequence[int]], held: Control) -> list[int | None]:
    """The sum of each cell's contributions where it is shown: all on shares, from rows to what is opened."""
    rules, zeros = rules_of(held), held.zeros == "shown"
    n = max(1, len(cells))
    rows = -(-max(1, sum(map(len, cells))) // 64) * 64
    value, cell = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
    flat = [(number, one) for number, own in enumerate(cells) for one in own]
    random.Random("rows").shuffle(flat)
    for place, (number, one) in enumerate(flat):
        cell[place], value[place] = number, one
    bits = (max((one for _, one in flat), default=0) + 1).bit_length()
    of_rows = Shape(rows, n, 1, (Column(0, 0, bits, False, None),), rules.tops)
    of_cells = control.Shape(
        n,
        1,
        2,
        (Count(((0, 1),), zeros),),
        ((0,), (0, 1)),
        (Shown(0, 0, True), Shown(1, 1, False)),
        held.min_count,
        1,
        False,
        against=rules,
    )
    sums = np.array([[len(own) for own in cells], [sum(own) for own in cells]], np.int64).reshape(2, n)
    part = np.random.default_rng(1).integers(0, 2**64, sums.shape, dtype=np.uint64)
    shares = (part, sums.view(np.uint64) - part, None)

    def role(me: int) -> Role[None]:
        keys = families(1)
        ctx = context(me, keys, *BESIDE[me])
        summed = yield from sharing.given(ctx, 0, value if me == 0 else None, rows)
        own = dominance.Own(cell, ()) if me == 0 else dominance.Own(None, None)
        tops = yield from dominance.greatest(ctx, of_rows, [summed], own)
        before, after = (keys[name] for name in BESIDE[me])
        yield from control.protect(of_cells, ctx, shares[me], before, after, (), tops)

    roles = {name: role(me) for me, name in enumerate(ROLES)} | {"result": control.result(of_cells, ROLES)}
    shown, enough = control.open_shown(of_cells, *play(roles, seed=1).outputs["result"])
    assert enough[0].tolist() == [held.enough(len(own)) for own in cells]  # counts are shown whatever the sums are
    return [int(v) if there else None for v, there in zip(shown[1], enough[1], strict=True)]


def clear(cells: Sequence[Sequence[int]], held: Control) -> list[int | None]:
    """The same by the reference in the clear."""
    fine = [held.enough(len(own)) and not dominated(sorted(own, reverse=True), held) for own in cells]
    return [sum(own) if shown else None for own, shown in zip(cells, fine, strict=True)]


def small_cells(most: int, top: int) -> list[tuple[int, ...]]:
    """All cells of up to ``most`` contributions of 0 to ``top``."""
    numbers = range(top, -1, -1)
    return [each for n in range(most + 1) for each in itertools.combinations_with_replacement(numbers, n)]


CONTROLS = [
    Control(1, zeros, dominance=shares, p_percent=p)
    for zeros in ("hidden", "shown")
    for shares, p in [
        (ACRO.dominance, ACRO.p_percent),
        (ACRO.dominance, None),
        ((), ACRO.p_percent),
        (((1, ACRO.dominance[0][1]), (3, 19 * ACRO.p_percent / 2)), None),  # type: ignore[operator]
        (((1, ACRO.dominance[0][1]), (3, 19 * ACRO.p_percent / 2)), 10 * ACRO.p_percent),  # type: ignore[operator]
    ]
]
"""(2, 90 %) and 10 %, each alone, two rules on shares, and those with 100 %; empty cells hidden and shown."""


@pytest.mark.parametrize("held", CONTROLS, ids=str)
def test_every_small_cell_is_withheld_as_in_the_clear(held: Control) -> None:
    cells = small_cells(4, 10)
    got = judged(cells, held)
    assert got == clear(cells, held)
    assert 100 < got.count(None) < len(cells)


def test_just_below_at_and_just_above_each_boundary() -> None:
    """(2, 90 %) withholds at 90 %, 10 % shows at 10 %, and one unit decides: also of large numbers."""
    unit = 10**9
    edges = {  # two of 45 and ten of 1: exactly 90 %
        (45, 45, *[1] * 10): None,
        (45, 44, *[1] * 10): 99,
        (45, 46, *[1] * 10): None,
        (45 * unit, 45 * unit - 1, *[unit] * 10): 100 * unit - 1,
        (45 * unit, 45 * unit, *[unit] * 10): None,
    }
    held = Control(1, "hidden", dominance=ACRO.dominance)
    assert judged(list(edges), held) == list(edges.values())
    tenth = Control(1, "hidden", p_percent=ACRO.p_percent)
    found = {(100, 50, 10): 160, (100, 50, 9): None, (100, 50, 5, 5): 160, (100, 100, 9): None, (101, 50, 10): None}
    found |= {(10 * unit, unit, unit): 12 * unit, (10 * unit, unit, unit - 1): None, (10 * unit + 1, unit, unit): None}
    found |= {(0, 0, 0): None, (0,): None, (1,): None, (1, 1): None, (1, 1, 1): 3}
    assert judged(list(found), tenth) == list(found.values())


def test_nobody_and_somebody_with_nothing_are_told_apart_where_zeros_are_shown() -> None:
    """A cell of nobody is 0; one in which all contribute 0 is withheld by p %, and shown by (n, k) alone."""
    cells: list[tuple[int, ...]] = [(), (0, 0, 0), (5, 5, 5)]
    both = Control(3, "shown", dominance=ACRO.dominance, p_percent=ACRO.p_percent)
    assert judged(cells, both) == [0, None, 15] if not dominated([5, 5, 5], both) else [0, None, None]
    assert judged(cells, Control(3, "shown", p_percent=ACRO.p_percent)) == [0, None, 15]
    assert judged(cells, Control(3, "shown", dominance=ACRO.dominance)) == [0, 0, 15]
    assert judged(cells, Control(3, "hidden", p_percent=ACRO.p_percent)) == [None, None, 15]


def test_few_and_dominated_look_alike_to_the_result_party() -> None:
    """Zero words and a zero bit, whatever the reason, and the same messages."""
    held = Control(3, "hidden", dominance=ACRO.dominance, p_percent=ACRO.p_percent)
    assert judged([(5, 5), (90, 1, 1, 1), (), (0, 0, 0, 0), (9, 9, 9, 9, 9)], held) == [None, None, None, None, 45]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_read_are_the_greatest_of_each_cell(seed: int) -> None:
    """With b's cells: a row is in one of them, or is spread over all; role a's own rows stand in the last."""
    draw = np.random.default_rng(seed)
    g, h, rows = [(1, 1), (3, 1), (2, 3), (5, 2), (64, 2), (1, 4)][seed], 0, 192
    (g, h), spread, outer = g, seed % 2 == 1, seed in (1, 3)  # type: ignore[misc]
    bits, tops = 11, ((1,), (1, 2), (2, 5), (10,), (1, 2, 3), (3,))[seed]
    cell = draw.integers(0, g, rows).astype(np.uint64)
    of_b = draw.integers(0, h, rows)
    values = np.zeros((h, rows), np.uint64)
    ones = np.zeros((h, rows), np.uint64)
    for row in range(rows):
        places = range(h) if spread else [of_b[row]]
        for place in places:
            values[place, row] = draw.choice([0, 1, 7, 7, draw.integers(0, 2**bits - 1)])
            ones[place, row] = 1
    added = values.copy()
    own = draw.integers(0, 20, rows).astype(np.uint64) if outer else np.zeros(rows, np.uint64)
    added[-1] = np.minimum(added[-1] + own, 2**bits - 2)
    own = added[-1] - values[-1]
    shape = Shape(rows, g, h, (Column(0, h, bits, spread, 0 if outer else None),), tops)
    got = read(shape, [*values, *ones], [cell, own]).outputs["first"]
    for top, opened in zip(tops, got, strict=True):
        for place, number in itertools.product(range(h), range(g)):
            inside = added[place][(cell == number) & (spread | (of_b == place) | (h == 1))]
            expected = int(np.sort(inside)[::-1][:top].sum())
            assert opened[place * g + number] == expected, (place, number)


def test_what_reading_sends_is_what_its_operations_list() -> None:
    card, shape = (
        load_cards()["rep3"],
        Shape(64, 3, 2, (Column(0, 2, 6, True, 0), Column(4, 6, 9, False, None)), (1, 2)),
    )
    columns = [np.zeros(64, np.uint64)] * 8
    sent = [(k[0], k[2], a.size) for k, a in read(shape, columns, [np.zeros(64, np.uint64)] * 2).sent]
    used: list[rowwise.Used] = [("given", {"n": 64, "bits": 1})] * 8 + [("given", {"n": 128, "bits": 1})]
    for rows, bits in ((128 + 12, 9), (64 + 12, 12)):
        used += [
            ("sorted_by", {"n": rows, "bits": bits, "columns": 2}),
            ("fronted", {"n": rows, "bits": 1, "columns": 2}),
        ]
    used += [("opened", {"n": 6, "bits": 1})] * 4
    listed = [
        (ROLES[each.sender], each.label, each.count)
        for name, numbers in used
        for step in operations.steps(card.operations, name, card.names(dict(numbers)), handover.Cards())
        for each in step
    ]
    assert sorted(sent) == sorted(listed)


def test_comparisons_are_as_many_as_the_card_lists() -> None:
    """By kind of rule: u_d and t_d of the plan, which the gate goes by, are those of the protocol."""
    for held in CONTROLS:
        rules = rules_of(held)
        shape = control.Shape(
            3, 1, 2, (Count(((0, 1),), True),), ((0,), (0, 1)), (Shown(1, 1, False),), 1, 1, False, against=rules
        )
        names = load_cards()["disclosure_control"].names(public(shape))
        assert names["u_d"] == rules.comparisons


def test_parties_that_bring_the_wrong_things_are_our_bug() -> None:
    shape = Shape(64, 1, 1, (Column(0, 0, 3, False, None),), (1,))
    with pytest.raises(InternalError):
        next(dominance.greatest(context(0, families(1), *BESIDE[0]), shape, [], dominance.Own(None, None)))
