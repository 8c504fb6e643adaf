"""What parties bring to statistics over rows that are split among them: its sums give what all rows together give."""

import numpy as np
import pytest

from pets.kernels import sufficient
from pets.kernels.packed import FIELD_BITS, RING_BITS, Layout, OutOfRangeError
from pets.kernels.sufficient import Column, Logistic
from pets.protocols.secure_sum_shamir import field_of, signed

P = 2**61 - 1
PARTIES = 5


def summed(layout: Layout, brought: list[dict[str, np.ndarray]], bits: int = RING_BITS) -> dict[str, np.ndarray]:
    vectors = [layout.packed(each) for each in brought]
    if bits == RING_BITS:
        return layout.unpacked(np.sum([each.view(np.uint64) for each in vectors], axis=0, dtype=np.uint64))
    columns = zip(*(field_of(each).tolist() for each in vectors), strict=True)
    return layout.unpacked(signed(np.array([sum(column) % P for column in columns], np.uint64)))


def rows(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    age, dose = rng.integers(18, 100, count), rng.integers(-500, 500, count)
    return age, dose, 3 * age - 2 * dose + rng.integers(-50, 51, count)


COLUMNS = [Column("age", 0, 120), Column("dose", -500, 500), Column("y", -2000, 2000)]


@pytest.mark.parametrize("bits", [RING_BITS, FIELD_BITS])
def test_least_squares_over_split_rows_is_that_over_all(bits: int) -> None:
    parts = [rows(seed, 40 + seed) for seed in range(PARTIES)]
    layout = Layout(sufficient.products("fit", COLUMNS, rows=100), parties=PARTIES, bits=bits)
    brought = [sufficient.multiplied("fit", COLUMNS, part, rows=100) for part in parts]
    matrix = np.array(sufficient.gram("fit", 3, summed(layout, brought, bits)))
    everybody = [np.concatenate(column) for column in zip(*parts, strict=True)]
    whole = np.column_stack([np.ones(len(everybody[0]), int), *everybody])
    assert matrix.tolist() == (whole.T @ whole).tolist()
    found = np.linalg.solve(matrix[:3, :3].astype(float), matrix[:3, 3].astype(float))
    expected = np.linalg.lstsq(whole[:, :3].astype(float), whole[:, 3].astype(float), rcond=None)[0]
    assert np.allclose(found, expected, rtol=1e-8)
    n, mean = matrix[0, 0], matrix[0, 1] / matrix[0, 0]
    assert np.isclose(mean, everybody[0].mean())
    assert np.isclose((matrix[1, 1] - n * mean**2) / (n - 1), everybody[0].var(ddof=1))


def test_tables_and_sums_by_cell_over_split_rows() -> None:
    rng, brought = np.random.default_rng(3), []
    column, everything = Column("amount", -50, 900), []
    lists = [sufficient.counts("table", 6, rows=200), sufficient.sums("amount", column, 6, rows=200)]
    layout = Layout(lists, parties=PARTIES)
    for _ in range(PARTIES):
        sex, band, amount = rng.integers(0, 2, 80), rng.integers(0, 3, 80), rng.integers(-50, 901, 80)
        cell = sufficient.crossed([sex, band], [2, 3])
        brought.append({"table": sufficient.counted(cell, 6), "amount": sufficient.summed(column, amount, cell, 6)})
        everything.append((sex, band, amount))
    opened = summed(layout, brought)
    sex, band, amount = (np.concatenate(each) for each in zip(*everything, strict=True))
    for a in range(2):
        for b in range(3):
            here = (sex == a) & (band == b)
            assert opened["table"][3 * a + b] == here.sum()
            assert opened["amount"][3 * a + b] == amount[here].sum()
    assert layout.words < 12


@pytest.mark.parametrize("bits", [RING_BITS, FIELD_BITS])
def test_a_logistic_model_over_split_rows_is_that_over_all(bits: int) -> None:
    rng = np.random.default_rng(5)
    model = Logistic((Column("age", 0, 120), Column("dose", -500, 500)), (60, 250), 2**24, 300)
    parts = []
    for _ in range(PARTIES):
        age, dose = rng.integers(18, 100, 250), rng.integers(-500, 500, 250)
        chance = 1 / (1 + np.exp(-(-1 + 0.8 * age / 60 - 1.5 * dose / 250)))
        parts.append(([age, dose], (rng.random(250) < chance).astype(int)))
    layout = Layout(model.lists(), parties=PARTIES, bits=bits)
    at = np.zeros(3)
    for _ in range(8):
        at = model.step(summed(layout, [model.brought(*part, at) for part in parts], bits), at)
    x = np.column_stack(
        [np.ones(1250), *(np.concatenate([p[0][k] for p in parts]) / s for k, s in ((0, 60), (1, 250)))]
    )
    y, direct = np.concatenate([part[1] for part in parts]), np.zeros(3)
    for _ in range(25):
        fitted = 1 / (1 + np.exp(-x @ direct))
        direct += np.linalg.solve(x.T @ ((fitted * (1 - fitted))[:, None] * x), x.T @ (y - fitted))
    assert np.allclose(at, direct, atol=1e-6)


def test_every_round_stays_in_its_range_whatever_the_rows() -> None:
    model = Logistic((Column("a", -7, 7),), (1,), 2**20, 4)
    layout = Layout(model.lists(), parties=3)
    for sign in (-1, 1):
        for outcome in (0, 1):
            for at in (-1e6, 0.0, 1e6):
                part = model.brought([np.full(4, 7 * sign)], np.full(4, outcome), np.array([at, at]))
                opened = summed(layout, [part] * 3)
                assert opened["gradient.0"][0] == 3 * part["gradient.0"][0]


def test_measurements_become_whole_units() -> None:
    column = Column("weight", 0, 3000)
    assert sufficient.in_units(column, np.array([0.0, 70.25, 299.96]), per_unit=10).tolist() == [0, 702, 3000]
    for wrong in (np.nan, np.inf, -0.1, 300.06, 1e30):
        with pytest.raises(OutOfRangeError):
            sufficient.in_units(column, np.array([1.0, wrong]), per_unit=10)


def test_what_is_outside_is_refused_with_its_place() -> None:
    column = Column("a", -1, 1)
    refusals = [
        lambda: sufficient.checked(column, np.array([0, 2])),
        lambda: sufficient.counted(np.array([0, 3]), 3),
        lambda: sufficient.counted(np.array([0, -1]), 3),
        lambda: sufficient.crossed([np.array([0, 0]), np.array([0, 2])], [1, 2]),
        lambda: sufficient.summed(column, np.array([0, -2]), np.array([0, 0]), 1),
    ]
    for refused in refusals:
        with pytest.raises(OutOfRangeError) as caught:
            refused()
        assert caught.value.place == 1
    with pytest.raises(OutOfRangeError):
        sufficient.multiplied("fit", [column], [np.zeros(4, np.int64)], rows=3)
    model = Logistic((column,), (1,), 1, 3)
    for values, outcome in ((np.zeros(4), np.zeros(4)), (np.array([0]), np.array([2])), (np.array([5]), np.array([0]))):
        with pytest.raises(OutOfRangeError):
            model.brought([values.astype(np.int64)], outcome.astype(np.int64), np.zeros(2))


def test_ranges_of_products_hold_at_all_corners() -> None:
    for low, high in ((-3, 5), (2, 5), (-5, -2)):
        columns = [Column("a", low, high), Column("b", -7, 1)]
        lists = {each.name: each for each in sufficient.products("p", columns, rows=2)}
        for a in (low, high):
            for b in (-7, 1):
                part = sufficient.multiplied("p", columns, [np.array([a, a]), np.array([b, b])], rows=2)
                assert all(lists[name].low <= int(own[0]) <= lists[name].high for name, own in part.items())
