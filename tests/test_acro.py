"""The rules of disclosure control against ACRO 1.0.2, on pooled clear data: the same cells are withheld.

ACRO counts records, so it is given one record for each person and cell. It runs in an environment of its own
(``make .venv-acro/done``), because it needs another pandas. Where the two differ, a test says how and why.
"""

import itertools
import json
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pets.spec.control import PRESETS, Control
from tests.oracles.control import Row, Statistic, protect
from tests.protocols.test_dominance import judged, small_cells

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-acro" / "bin" / "python"
COUNT, SUM = Statistic("rows"), Statistic("sum", "x")
WITHHOLD = ("MinimumThresholdCheck", "PresenceOfZeroCheck", "NKCheck", "PPercentCheck")

Cells = Sequence[Sequence[Sequence[int | None]]]
"""Contributions by row, column and person; None is a person without a value."""


class Acro:
    """A conversation with ACRO's process."""

    def __init__(self) -> None:
        assert PYTHON.exists(), "make .venv-acro/done makes the environment of ACRO"
        self.child = subprocess.Popen(
            [PYTHON, "-W", "ignore", ROOT / "tests" / "acro" / "judge.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, control: Control, **table: Any) -> Mapping[str, Any]:
        """ACRO's answer about one table; ``counts`` or ``values`` as in acro/judge.py."""
        assert self.child.stdin is not None and self.child.stdout is not None
        (dominance,) = control.dominance or (None,)
        asked = {
            "threshold": control.min_count,
            "zeros": control.zeros == "hidden",
            "nk": dominance and [dominance[0], float(dominance[1])],
            "p": control.p_percent and float(control.p_percent),
            "base": control.round_to if control.round_to > 1 else None,
            **table,
        }
        self.child.stdin.write(json.dumps(asked) + "\n")
        self.child.stdin.flush()
        answer: Mapping[str, Any] = json.loads(self.child.stdout.readline())
        return answer

    def withheld(self, control: Control, **table: Any) -> set[tuple[int, int]]:
        """The cells that any of ACRO's checks holds to be disclosive."""
        cells = self.ask(control, **table)["cells"]
        return {(row, column) for check in WITHHOLD for row, column in cells.get(check, [])}


@pytest.fixture(scope="module")
def acro() -> Iterator[Acro]:
    found = Acro()
    yield found
    assert found.child.stdin is not None
    found.child.stdin.close()
    assert found.child.wait(60) == 0


def ours(control: Control, cells: Cells, one: Statistic) -> dict[tuple[int, int], int | None]:
    """What the reference shows of the same table."""
    wide, high = range(len(cells[0])), range(len(cells))
    rows = [
        Row(f"{r},{c},{n}", (str(r), str(c)), {"x": value})
        for r in high
        for c in wide
        for n, value in enumerate(cells[r][c])
    ]
    table = protect(rows, {"row": [*map(str, high)], "column": [*map(str, wide)]}, [one], control)
    return {(int(r), int(c)): numbers[one] for (r, c), numbers in table.items()}


def people(counts: Sequence[Sequence[int]]) -> Cells:
    return [[[1] * count for count in row] for row in counts]


# -- counts -----------------------------------------------------------------------------------------------------------


def counts_agree(acro: Acro, control: Control, tables: Sequence[Sequence[Sequence[int]]]) -> int:
    """Hold tables of one width against ACRO, which is given them as one tall table: a check looks at single cells.

    Returns how many cells are withheld. With zeros shown ACRO still finds empty cells below its threshold: see below.
    """
    tall = [row for table in tables for row in table]
    answer = acro.ask(control, counts=tall)
    gone = {(row, column) for check in WITHHOLD for row, column in answer["cells"].get(check, [])}
    if control.zeros == "shown":
        gone = {(row, column) for row, column in gone if tall[row][column] > 0}
    place = 0
    for table in tables:
        for (row, column), shown in ours(control, people(table), COUNT).items():
            assert (shown is None) == ((place + row, column) in gone), (table, row, column)
            if shown is not None:
                assert shown == (answer["table"][place + row][column] or 0), (table, row, column)
        place += len(table)
    return len(gone)


@pytest.mark.parametrize("preset", PRESETS)
def test_counts_of_every_preset_on_a_sample_of_small_tables(acro: Acro, preset: str) -> None:
    control, draw = PRESETS[preset].control, random.Random(preset)
    top = control.min_count + 1
    tables = [[[draw.randint(0, top) for _ in "ab"] for _ in "ab"] for _ in range(250)]
    tables += [[[draw.choice([0, top - 2, top - 1, top, 40]) for _ in "ab"] for _ in "ab"] for _ in range(50)]
    assert counts_agree(acro, control, tables) > 100


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_asked_one_by_one_are_judged_as_in_one_tall_table(acro: Acro, preset: str) -> None:
    control, draw = PRESETS[preset].control, random.Random(preset)
    for columns in (2, 3):
        for _ in range(3):
            table = [[draw.randint(0, control.min_count + 1) for _ in range(columns)] for _ in "ab"]
            counts_agree(acro, control, [table])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("preset", PRESETS)
def test_counts_of_every_preset_on_all_small_tables(acro: Acro, preset: str) -> None:
    """All tables of two by two with counts of 0 to the threshold and one more, each of them one by one in ours.

    Of two by three, all rows: neither ACRO's checks nor our rule look beyond a cell, so that every table of two rows is
    judged with them; two thousand whole tables, drawn at random, are held against both as well.
    """
    control, draw = PRESETS[preset].control, random.Random(preset)
    numbers = range(control.min_count + 2)
    every = [[[a, b], [c, d]] for a, b, c, d in itertools.product(numbers, repeat=4)]
    assert counts_agree(acro, control, every) > len(every)
    rows = [[[*row]] for row in itertools.product(numbers, repeat=3)]
    assert counts_agree(acro, control, rows) > len(rows)
    tables = [[[draw.choice(numbers) for _ in "abc"] for _ in "ab"] for _ in range(2000)]
    assert counts_agree(acro, control, tables) > len(tables)


# -- sums -------------------------------------------------------------------------------------------------------------


def shapes(least: int) -> list[list[int]]:
    """Contributions around every boundary of (2, 90 %) and 10 %: two large ones, and a rest of equal ones."""
    found = []
    for largest, second, rest in itertools.product((0, 1, 9, 10, 45, 90, 100), (0, 1, 9, 45, 50, 90), (0, 1, 2, 5, 10)):
        for number in (0, 1, 2, least - 2, least - 1, 2 * least):
            found.append([largest, second, *[rest] * max(0, number)])
    return [each for each in found if each[0] >= each[1] >= max(each[2:], default=0)]


def sums_agree(acro: Acro, control: Control, contributions: Sequence[Sequence[int]]) -> int:
    cells = [[each] for each in contributions]
    gone = acro.withheld(control, values=cells)
    for (row, column), shown in ours(control, cells, SUM).items():
        assert (shown is None) == ((row, column) in gone), contributions[row]
    return len(gone)


@pytest.mark.parametrize("minimum", [1, 3, 10])
def test_sums_are_withheld_for_dominance_where_acro_finds_it(acro: Acro, minimum: int) -> None:
    base = PRESETS["acro-default"].control
    control = Control(minimum, "hidden", dominance=base.dominance, p_percent=base.p_percent)
    every = shapes(minimum)
    assert 50 < sums_agree(acro, control, random.Random(minimum).sample(every, 250)) < 250


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minimum", [1, 3, 10])
def test_sums_of_all_small_cells(acro: Acro, minimum: int) -> None:
    """All cells of up to four contributions of 0 to 10, and all shapes around the boundaries."""
    base = PRESETS["acro-default"].control
    control = Control(minimum, "hidden", dominance=base.dominance, p_percent=base.p_percent)
    small = [
        [*each] for number in range(1, 5) for each in itertools.combinations_with_replacement(range(10, -1, -1), number)
    ]
    assert sums_agree(acro, control, [*small, *shapes(minimum)]) > 100


def test_sums_in_a_table_of_two_by_two(acro: Acro) -> None:
    control, draw = PRESETS["acro-default"].control, random.Random("sums")
    for _ in range(4):
        cells = [[[draw.choice([1, 5, 60]) for _ in range(draw.choice([9, 10, 14]))] for _ in "ab"] for _ in "ab"]
        gone = acro.withheld(control, values=cells)
        assert {place for place, shown in ours(control, cells, SUM).items() if shown is None} == gone


# -- on shares --------------------------------------------------------------------------------------------------------


def on_shares_agree(acro: Acro, control: Control, contributions: Sequence[Sequence[int]]) -> int:
    """The same cells are withheld where three parties compare contributions that none of them can read."""
    gone = acro.withheld(control, values=[[each] for each in contributions])
    for row, shown in enumerate(judged(contributions, control)):
        assert (shown is None) == ((row, 0) in gone), contributions[row]
    return len(gone)


@pytest.mark.parametrize("minimum", [1, 3, 10])
def test_shares_of_all_small_cells(acro: Acro, minimum: int) -> None:
    """All cells of up to four contributions of 0 to 10, and all shapes around the boundaries, on shares."""
    base = PRESETS["acro-default"].control
    control = Control(minimum, "hidden", dominance=base.dominance, p_percent=base.p_percent)
    assert on_shares_agree(acro, control, [*small_cells(4, 10)[1:], *shapes(minimum)]) > 100


def test_means_are_withheld_where_sums_are(acro: Acro) -> None:
    """Of a mean ACRO compares the same contributions; so a mean made of a sum that is held needs no rule of its own."""
    control = PRESETS["acro-default"].control
    cells = [[each] for each in random.Random("means").sample(shapes(10), 200)]
    of_sums = acro.withheld(control, values=cells)
    assert 50 < len(of_sums) < 200
    assert acro.withheld(control, values=cells, of="mean") == of_sums


def test_acro_holds_spread_against_degrees_of_freedom_and_we_against_dominance_too(acro: Acro) -> None:
    control = PRESETS["acro-default"].control
    cell = [100, 100, *[1] * 10]
    assert acro.withheld(control, values=[[cell]]) == {(0, 0)}
    assert acro.withheld(control, values=[[cell]], of="std") == set()
    assert judged([[value * value for value in cell]], control) == [None]


# -- where the two differ ---------------------------------------------------------------------------------------------


def test_acro_counts_records_and_we_count_people(acro: Acro) -> None:
    """Nine people with two rows each: eighteen records to ACRO, which passes them, and nine people to us."""
    assert acro.withheld(Control(10), counts=[[18]]) == set()
    rows = [Row(f"p{n // 2}", ("a",), {"x": 1}) for n in range(18)]
    assert protect(rows, {"ward": ["a"]}, [COUNT], Control(10))["a",][COUNT] is None


def test_acro_counts_those_without_a_value_and_we_do_not(acro: Acro) -> None:
    """Nine values and five without one: ACRO's count table has fourteen records, the sum is of nine people."""
    cell = [*[5] * 9, *[None] * 5]
    assert acro.withheld(Control(10), values=[[cell]]) == set()
    assert ours(Control(10), [[cell]], SUM) == {(0, 0): None}
    assert ours(Control(10), [[[5] * 10]], SUM) == {(0, 0): 50}


def test_acro_cannot_show_empty_cells(acro: Acro) -> None:
    """Zeros that are not disclosive are below the threshold all the same: a count of 0 is less than 10."""
    control = PRESETS["nes-1-to-9"].control
    assert acro.withheld(control, counts=[[0, 12]]) == {(0, 0)}
    assert ours(control, people([[0, 12]]), COUNT) == {(0, 0): 0, (0, 1): 12}


def test_acro_leaves_negative_values_to_a_person_and_we_go_by_size(acro: Acro) -> None:
    """One of -100 among ones of 1 is as easy to tell as one of 100; ACRO says that a person should look."""
    control = PRESETS["acro-default"].control
    cell = [-100, *[1] * 12]
    answer = acro.ask(control, values=[[cell]])
    assert (answer["status"]["NKCheck"], answer["status"]["PPercentCheck"]) == ("review", "review")
    assert ours(control, [[cell]], SUM) == {(0, 0): None}


def test_acro_rounds_a_half_to_even_and_we_round_it_up(acro: Acro) -> None:
    """Of the presets only 5 is a base, which has no half. To a base of 4, 18 is 16 to ACRO and 20 to us."""
    control = Control(10, round_to=4)
    assert acro.ask(control, counts=[[18, 22]])["table"] == [[16, 24]]
    assert ours(control, people([[18, 22]]), COUNT) == {(0, 0): 20, (0, 1): 24}


def test_acro_withholds_nothing_by_itself(acro: Acro) -> None:
    """ACRO#91: without a mitigation it reports and shows everything. We have one way, which is to withhold."""
    control = PRESETS["acro-default"].control
    answer = acro.ask(control, counts=[[3, 12]])
    assert answer["table"] == [[3, 12]] and answer["status"]["MinimumThresholdCheck"] == "fail"
    assert ours(control, people([[3, 12]]), COUNT) == {(0, 0): None, (0, 1): 12}
