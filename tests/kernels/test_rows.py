"""Rows against slow twins, on no rows, one row, one person, and everything alike."""

from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from pets.kernels import rows
from pets.kernels.prf import Stream
from pets.secret import Secret

CELLS = 5


class Philox:
    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(seed)
        self.given = 0

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        self.given += n
        return np.asarray(self._bits.random_raw(n), np.uint64).reshape(n)


class Zeros(Philox):
    """Nothing but the word that rejection refuses, for `zeros` words; then words as usual."""

    def __init__(self, zeros: int) -> None:
        super().__init__(1)
        self._zeros = zeros

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        words = super().words(n)
        words[: self._zeros] = 0
        self._zeros = max(0, self._zeros - n)
        return words


def persons(counts: list[int]) -> npt.NDArray[np.uint32]:
    """Person numbers with gaps, as a filter leaves them: `counts` rows each."""
    return np.repeat(np.arange(len(counts), dtype=np.uint32) * 3, counts)


counts_of_rows = st.lists(st.integers(0, 6), max_size=30)


@settings(deadline=None)
@given(counts_of_rows, st.integers(1, 7), st.integers(0, 2**32))
@example([], 1, 0)
@example([1], 1, 0)
@example([40], 3, 0)
@example([1] * 20, 2, 0)
def test_occurrences_of_each_person_are_one_to_n_and_dropped_above_the_limit(
    counts: list[int], limit: int, seed: int
) -> None:
    person = persons(counts)
    occurrence = rows.number_rows(person, limit, Philox(seed))
    assert occurrence.dtype == np.uint16 and occurrence.shape == person.shape
    found = defaultdict(list)
    for number, o in zip(person.tolist(), occurrence.tolist(), strict=True):
        found[number].append(o)
    for numbers in found.values():
        kept = min(len(numbers), limit)
        assert sorted(numbers) == [0] * (len(numbers) - kept) + list(range(1, kept + 1))


def test_order_of_occurrences_is_uniform_over_all_orders() -> None:
    people = 24_000
    occurrence = rows.number_rows(persons([4] * people), 4, Philox(5)).reshape(people, 4)
    counts = Counter(map(tuple, occurrence.tolist()))
    seen = [counts[order] for order in permutations((1, 2, 3, 4))]
    assert sum(seen) == people
    assert stats.chisquare(seen).pvalue > 1e-4


def test_every_row_is_as_likely_to_be_kept() -> None:
    people = 20_000
    kept = rows.number_rows(persons([5] * people), 2, Philox(6)).reshape(people, 5) > 0
    assert kept.sum() == 2 * people
    # counts of kept rows without replacement have less spread than a multinomial: the ratio is (1 - 2/5) / (1 - 1/5)
    seen = kept.sum(axis=0)
    statistic = ((seen - 2 * people / 5) ** 2 / (2 * people / 5)).sum() / 0.75
    assert stats.chi2.sf(statistic, 4) > 1e-4


def test_numbering_is_a_function_of_the_seed() -> None:
    person = persons([9] * 50)
    first, again, other = (
        rows.number_rows(person, 3, Stream(Secret(seed))).tolist() for seed in (b"a" * 16, b"a" * 16, b"b" * 16)
    )
    assert first == again != other


def test_rejected_words_are_replaced_by_more_words() -> None:
    """The word 0 is rejected wherever the bound does not divide 2^32: at the third and the fifth row of a person."""
    stream = Zeros(8)
    occurrence = rows.number_rows(persons([5]), 5, stream)
    assert sorted(occurrence.tolist()) == [1, 2, 3, 4, 5] and stream.given == 4 + 64


def test_one_word_for_each_row_but_the_first_of_a_person() -> None:
    stream = Philox(1)
    rows.number_rows(persons([1, 1, 1, 4]), 2, stream)
    assert stream.given == 3


def test_persons_out_of_order_are_refused_everywhere() -> None:
    person = np.array([1, 0], np.uint32)
    cell = np.zeros(2, np.uint32)
    with pytest.raises(ValueError, match="decreases"):
        rows.number_rows(person, 1, Philox(1))
    with pytest.raises(ValueError, match="decreases"):
        rows.person_starts(person)
    with pytest.raises(ValueError, match="decreases"):
        rows.first_in_cell(person, cell, 1)
    with pytest.raises(ValueError, match="decreases"):
        rows.per_person_sums(person, cell, 1, np.ones(2, np.int64))


@pytest.mark.parametrize("limit", [0, 2**16])
def test_limit_outside_two_bytes_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        rows.number_rows(persons([1]), limit, Philox(1))


def test_limit_of_two_bytes_is_kept_in_full() -> None:
    occurrence = rows.number_rows(persons([2**16 + 5]), 2**16 - 1, Philox(7))
    assert np.array_equal(np.sort(occurrence), np.concatenate([np.zeros(6), np.arange(1, 2**16)]))


@settings(deadline=None)
@given(counts_of_rows)
@example([])
def test_person_starts_are_the_first_rows(counts: list[int]) -> None:
    person = persons(counts)
    starts = rows.person_starts(person)
    assert starts.dtype == np.uint32
    assert starts.tolist() == np.unique(person, return_index=True)[1].tolist()


# -- factors -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3, st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from([1, 2, 5, 7, 10, 1000]),
)
@example([], 2, 1, 10)
@example([(-(10**6), 10**6, -1, True, True)], 3, 2, 10)
def test_factor_is_the_rounded_product_where_present(
    table: list[tuple[int, int, int, bool, bool]], values: int, present: int, unit: int
) -> None:
    columns = [np.array([row[c] for row in table], np.int64) for c in range(values)]
    flags = [np.array([row[3 + c] for row in table], np.bool_) for c in range(present)]
    expected = []
    for row in table:
        product = 1
        for value in row[:values]:
            product *= value
        expected.append((product + unit // 2) // unit if all(row[3 : 3 + present]) else 0)
    before = [column.copy() for column in columns]
    assert rows.factor_rows(columns, flags, unit, len(table)).tolist() == expected
    assert all(np.array_equal(column, copy) for column, copy in zip(columns, before, strict=True))


def test_halves_round_up_and_negatives_round_down() -> None:
    values = np.array([-15, -14, -6, -5, -4, 4, 5, 14, 15], np.int64)
    assert rows.factor_rows([values], [], 10, 9).tolist() == [-1, -1, -1, 0, 0, 0, 1, 1, 2]


def test_product_that_might_pass_the_words_is_refused() -> None:
    big = np.array([2**31, 1], np.int64)
    assert rows.factor_rows([big], [], 1, 2).tolist() == [2**31, 1]
    with pytest.raises(ValueError, match="2\\^62"):
        rows.factor_rows([big, big], [], 1, 2)
    with pytest.raises(ValueError, match="2\\^62"):
        rows.factor_rows([np.array([-(2**63)], np.int64)], [], 1, 1)
    with pytest.raises(ValueError, match="unit"):
        rows.factor_rows([], [], 0, 1)


# -- persons and cells -------------------------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16] | None]:
    person = persons(draw(counts_of_rows))
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    cell = seed.integers(0, draw(st.integers(1, CELLS)), person.size).astype(np.uint32)
    occurrence = seed.integers(0, 3, person.size).astype(np.uint16) if draw(st.booleans()) else None
    return person, cell, occurrence


@settings(deadline=None)
@given(tables())
def test_people_is_one_on_the_first_kept_row_of_a_person_in_a_cell(
    table: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16] | None],
) -> None:
    person, cell, occurrence = table
    seen, expected = set(), []
    for i in range(person.size):
        key = (int(person[i]), int(cell[i]))
        kept = occurrence is None or occurrence[i] > 0
        expected.append(int(kept and key not in seen))
        if kept:
            seen.add(key)
    assert rows.first_in_cell(person, cell, CELLS, occurrence).tolist() == expected


@settings(deadline=None)
@given(tables())
def test_sums_of_each_person_and_cell_are_those_of_a_dictionary(
    table: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16] | None],
) -> None:
    person, cell, occurrence = table
    factor = np.random.default_rng(person.size).integers(-(2**40), 2**40, person.size)
    sums: Counter[tuple[int, int]] = Counter()
    for i in range(person.size):
        if occurrence is None or occurrence[i] > 0:
            sums[int(person[i]), int(cell[i])] += int(factor[i])
    expected = [[sums[number, h] for h in range(CELLS)] for number in np.unique(person).tolist()]
    found = rows.per_person_sums(person, cell, CELLS, factor, occurrence)
    assert found.shape == (len(expected), CELLS) and found.dtype == np.int64
    assert found.tolist() == expected
    assert all(found[:, h].flags.c_contiguous for h in range(CELLS))


def test_people_summed_per_person_is_at_most_one_in_each_cell() -> None:
    person, cell = persons([3, 2, 0, 1]), np.array([0, 0, 1, 2, 2, 0], np.uint32)
    people = rows.first_in_cell(person, cell, 3)
    assert rows.per_person_sums(person, cell, 3, people).tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_arrays_of_other_types_lengths_or_cells_are_refused() -> None:
    person, cell, factor = persons([2]), np.zeros(2, np.uint32), np.ones(2, np.int64)
    for wrong in (
        lambda: rows.first_in_cell(person, cell + np.uint32(1), 1),
        lambda: rows.first_in_cell(person, cell[:1], 1),
        lambda: rows.first_in_cell(person.astype(np.int64), cell, 1),
        lambda: rows.per_person_sums(person, cell, 1, factor[:1]),
        lambda: rows.per_person_sums(person, cell, 1, factor, np.ones(1, np.uint16)),
        lambda: rows.per_person_sums(person, cell, 0, factor),
        lambda: rows.factor_rows([factor], [], 1, 3),
        lambda: rows.factor_rows([], [np.ones(2, np.int8)], 1, 2),
        lambda: rows.number_rows(person.reshape(1, 2), 1, Philox(1)),
    ):
        with pytest.raises(ValueError, match=r"expected a vector|out of range"):
            wrong()
