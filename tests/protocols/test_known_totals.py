"""Known totals under sharing: on all small lines, the cells withheld are those of the reference in the clear."""

import itertools
from typing import Any

import numpy as np
import pytest

from pets.ids import MISSING
from pets.protocols import control
from pets.protocols.control import Count, Shape, Shown
from pets.spec import handover, operations
from pets.spec.control import Control
from tests.oracles.control import Cell, also_withheld, blocks
from tests.protocols.test_control import CARD, public, run

LEAST = 3
NUMBERS = (0, 1, LEAST - 1, LEAST, LEAST + 1, 2 * LEAST)


def line(place: int, cells: int, missing: int) -> list[Cell]:
    """One line of so many cells, the last of which are of a level that is missing."""
    return [(str(place), str(n), MISSING if n >= cells - missing else "") for n in range(cells)]


def lines(cells: int, missing: int, most: int) -> list[tuple[list[Cell], tuple[int, ...]]]:
    """Every line of numbers around the minimum, thinned to ``most`` by a step that hits all kinds."""
    found = list(itertools.product(NUMBERS, repeat=cells))
    step = -(-len(found) // most)
    step += 1 - step % 2
    return [(line(n, cells, missing), numbers) for n, numbers in enumerate(found[::step])]


def shape_of(tables: list[list[Cell]], counts: int, zeros: bool) -> tuple[Shape, list[Cell]]:
    """All lines as one table, with as many counts a cell, each on its own, and a sum of the last."""
    order = [cell for own in tables for cell in own]
    number = {cell: place for place, cell in enumerate(order)}
    cut = tuple(tuple(tuple(number[cell] for cell in block) for block in blocks(own)) for own in tables)
    held = tuple(Count(((n, 1),), zeros) for n in range(counts))
    sets = tuple((n,) for n in range(counts))
    shown = tuple(Shown(n, n, True) for n in range(counts))
    return Shape(len(order), 1, counts, held, sets, shown, LEAST, 1, False, cut), order


@pytest.mark.parametrize("zeros", ["shown", "hidden"])
@pytest.mark.parametrize(("cells", "missing", "second"), [(1, 0, 0), (2, 1, 0), (4, 0, 0), (5, 1, 1), (6, 2, 2)])
def test_cells_of_all_small_lines_are_withheld_as_in_the_clear(
    cells: int, missing: int, second: int, zeros: Any
) -> None:
    """``second``: a second count of each cell, of whom a value is known: all of them, or all but this many."""
    control_of = Control(LEAST, zeros)
    counted = lines(cells, missing, 500)
    counts = 1 + (second > 0)
    shape, order = shape_of([own for own, _ in counted], counts, zeros == "shown")
    people = [n for _, numbers in counted for n in numbers]
    known = [max(0, n - second) for n in people]
    sums = np.array([people, known][:counts], np.int64)
    _, enough = control.open_shown(shape, *run(shape, sums, cells).outputs["result"])
    place = 0
    withheld = 0
    for own, numbers in counted:
        persons = {cell: tuple(int(s) for s in sums[:, place + n]) for n, cell in enumerate(own)}
        small = {cell for cell in own if not all(map(control_of.enough, persons[cell]))}
        gone = also_withheld(own, small, persons, control_of)
        for n, cell in enumerate(own):
            expected = [control_of.enough(number) and cell not in gone for number in persons[cell]]
            assert enough[:, place + n].tolist() == expected, (numbers, cell)
            withheld += cell in gone and cell not in small
        place += len(own)
    assert withheld or cells == 1
    assert len(order) == place


def test_the_messages_are_those_of_the_card_whatever_is_in_the_lines() -> None:
    for zeros in (True, False):
        for counts in (1, 2):
            shape, order = shape_of([line(0, 5, 1), line(1, 3, 0)], counts, zeros)
            names = CARD.names(public(shape))
            steps = list(operations.steps(CARD.operations, "protect", names, handover.Cards()))
            full = run(shape, np.arange(counts * len(order), dtype=np.int64).reshape(counts, -1))
            empty = run(shape, np.zeros((counts, len(order)), np.int64))
            assert full.shape_of_traffic() == empty.shape_of_traffic()
            sent = [(key[2], array.size) for key, array in full.sent if key[2] not in ("Cf", "Cs")]
            assert sorted(sent) == sorted((s.label, s.count) for step in steps for s in step)
            assert CARD.operations[-1].rounds.evaluate(names) == len(steps)
