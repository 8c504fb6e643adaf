"""From a holder's rows to what a role takes, against plain loops over the same rows."""

from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pets.errors import SourceError
from pets.kernels.prf import Stream
from pets.party import prepare
from pets.party.sources import Table
from pets.party.warm import prepare_kernels
from pets.plan.cost import join_of
from pets.protocols.helper_join import Shape
from pets.secret import Secret
from pets.spec.ir import AddNoise, HelperJoin, Read
from tests.party.world import SPEC, altered, reviewed_of

TRUNCATED = altered(("max_rows_per_person = 2", "max_rows_per_person = 2\ntruncate = true"))
LEFT = altered(("FROM stays s JOIN", "FROM stays s LEFT JOIN"), base=TRUNCATED)


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare_kernels()


def stream(number: int = 0) -> Stream:
    return Stream(Secret(number.to_bytes(16, "big")))


def parts(toml: str) -> tuple[HelperJoin, Shape, dict[str, Read], AddNoise]:
    plan = reviewed_of(toml).plan
    join = join_of(plan)
    shape = prepare.shape_of(plan)
    reads = {step.dataset: step for step in plan.steps if isinstance(step, Read)}
    return join, shape, reads, next(step for step in plan.steps if isinstance(step, AddNoise))


def table(people: list[int], cells: list[int], minutes: list[int | None] | None = None) -> Table:
    """Rows of people in blocks; ids are their numbers in text."""
    ids = np.array([list(f"{person:08d}".encode()) for person in people], np.uint8).reshape(len(people), 8)
    values: dict[str, npt.NDArray[np.int64]] = {}
    present: dict[str, npt.NDArray[np.bool_]] = {}
    if minutes is not None:
        values = {"minutes": np.array([m or 0 for m in minutes], np.int64)}
        present = {"minutes": np.array([m is not None for m in minutes], np.bool_)}
    return Table(ids, False, np.array(people, np.uint32), np.array(cells, np.uint32), values, present)


def test_the_shape_is_the_plan_s() -> None:
    join, shape, _, noise = parts(SPEC)
    assert (shape.n_a, shape.n_b, shape.k, shape.g) == (40, 40, 2, 3)
    assert shape.v == len(noise.columns) * 3  # every noised column in each of b's cells: own, rent, missing
    assert shape.v == join.parameter("v")
    assert not shape.fixed_ids


def test_rows_within_the_bound_are_all_brought_and_numbered_within_their_person() -> None:
    join, shape, reads, _ = parts(SPEC)
    brought = prepare.rows_of_a(reads["stays"], join, shape, table([1, 1, 2], [0, 1, 1], [5, 6, 7]), stream())
    assert brought.occurrence.tolist()[2] == 1
    assert sorted(brought.occurrence.tolist()[:2]) == [1, 2]
    assert brought.cell.tolist() == [0, 1, 1]
    assert [column.tolist() for column in brought.values] == [[5, 6, 7]]
    assert not brought.local.any()


def test_more_rows_a_person_than_declared_are_refused_again_when_a_run_reads_them() -> None:
    """A snapshot has none; what comes to a run past it is refused by the run itself."""
    join, shape, reads, _ = parts(SPEC)
    with pytest.raises(SourceError) as caught:
        prepare.rows_of_a(reads["stays"], join, shape, table([1, 1, 1], [0, 1, 1], [5, 6, 7]), stream())
    assert caught.value.code == "source.rows-per-person"
    with pytest.raises(SourceError):
        prepare.people_of_b(reads["homes"], join, shape, table([1, 1], [0, 1]), stream())


def test_of_too_many_rows_a_random_choice_of_the_declared_number_is_brought() -> None:
    join, shape, reads, _ = parts(TRUNCATED)
    rows = table([1] * 6 + [2], [0] * 7, [1, 2, 4, 8, 16, 32, 64])
    chosen: dict[tuple[int, ...], int] = defaultdict(int)
    for seed in range(200):
        brought = prepare.rows_of_a(reads["stays"], join, shape, rows, stream(seed))
        values = brought.values[0].tolist()
        assert values[-1] == 64
        assert len(values) == 3
        chosen[tuple(values[:2])] += 1
    assert len(chosen) == 15  # every pair of six rows comes up; each is missed with probability (14/15)^200 < 1e-6
    again = [prepare.rows_of_a(reads["stays"], join, shape, rows, stream(3)).values[0].tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_rows_left_out_take_no_part_in_anything() -> None:
    join, shape, reads, _ = parts(LEFT)
    rows = table([1] * 6, [2] * 6, [10] * 6)
    brought = prepare.rows_of_a(reads["stays"], join, shape, rows, stream())
    assert (brought.ids.shape, brought.cell.tolist()) == ((2, 8), [2, 2])
    counted = {int(value) for value in brought.local.ravel() if value}
    assert counted == {2, 20}  # two rows counted, twenty minutes summed: not six and sixty


def test_the_unmatched_part_of_a_left_join_is_all_rows_in_the_last_cell_of_b() -> None:
    """b takes matched rows out of it again: its value there is one less, so that unmatched rows are what remains."""
    join, shape, reads, _ = parts(LEFT)
    brought = prepare.rows_of_a(reads["stays"], join, shape, table([1, 2], [0, 1], [5, None]), stream())
    by_b_cell = brought.local.reshape(-1, 3, shape.g)
    assert not by_b_cell[:, :2].any()
    assert sorted(map(tuple, by_b_cell[:, 2].tolist())) == [(1, 1, 0), (5, 0, 0)]


def test_people_of_b_are_their_own_cells() -> None:
    join, shape, reads, _ = parts(SPEC)
    brought = prepare.people_of_b(reads["homes"], join, shape, table([4, 5, 9], [0, 2, 1]), stream())
    assert [bytes(row).decode() for row in brought.ids] == ["00000004", "00000005", "00000009"]
    assert [values.tolist() for values in brought.values] == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_people_of_b_in_a_left_join_take_their_rows_out_of_the_last_cell() -> None:
    join, shape, reads, _ = parts(LEFT)
    brought = prepare.people_of_b(reads["homes"], join, shape, table([4, 5], [0, 2]), stream())
    assert [values.tolist() for values in brought.values] == [[1, 0], [0, 0], [-1, 0]]


def test_no_rows_are_brought_as_no_rows() -> None:
    join, shape, reads, _ = parts(SPEC)
    of_a = prepare.rows_of_a(reads["stays"], join, shape, table([], [], []), stream())
    of_b = prepare.people_of_b(reads["homes"], join, shape, table([], []), stream())
    assert (of_a.cell.size, len(of_b.ids)) == (0, 0)
    assert [values.size for values in (*of_a.values, *of_b.values)] == [0] * (shape.x + shape.v_g)


def test_what_is_brought_does_not_print_its_rows() -> None:
    join, shape, reads, _ = parts(SPEC)
    brought: Any = prepare.rows_of_a(reads["stays"], join, shape, table([17], [0], [93]), stream())
    assert "93" not in repr(brought)
    assert "17" not in repr(brought)


def test_every_cell_of_every_noised_column_gets_noise_of_its_own_scale() -> None:
    _, shape, _, step = parts(SPEC)
    drawn = np.stack([prepare.noise_of(step, shape, stream(seed)).view(np.int64) for seed in range(400)])
    assert drawn.shape == (400, shape.v, shape.g)
    by_column = drawn.reshape(400, len(step.columns), 3, shape.g)
    for number, column in enumerate(step.columns):
        scale = Fraction(column.sensitivity) / column.epsilon
        variance = by_column[:, number].astype(float).var()
        expected = float(scale) ** 2  # of NB(1/2) - NB(1/2) with mean 0 and ratio exp(-1 / scale), for large scales
        assert 0.6 * expected < variance < 1.6 * expected, column.name
    assert (by_column.std(axis=0) > 0).all()
    first, second = (prepare.noise_of(step, shape, stream(5)) for _ in range(2))
    assert (first == second).all()
