"""The field of 2^61 - 1 elements against Python's integers, at the edges and at random."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest

from pets.kernels import aes, mersenne, prf
from pets.kernels.mersenne import P
from pets.secret import Secret

EDGES = [0, 1, 2, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 2**60, 2**60 - 1, P // 2, P - 2, P - 1]


@pytest.fixture(autouse=True)
def fastest_again() -> Iterator[None]:
    yield
    aes.select(aes.features()[0])


def array(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


def some(seed: int, count: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.choice(EDGES) if rng.random() < 0.3 else rng.randrange(P) for _ in range(count)]


def test_p_is_a_prime() -> None:
    """Lucas and Lehmer."""
    residue = 4
    for _ in range(mersenne.BITS - 2):
        residue = (residue * residue - 2) % P
    assert residue == 0


@pytest.mark.parametrize("factor", [*EDGES, *some(1, 20)])
def test_products_are_those_of_integers(factor: int) -> None:
    values = [*EDGES, *some(factor, 200)]
    assert mersenne.interpolated([factor], [array(values)]).tolist() == [factor * value % P for value in values]


def test_sums_are_those_of_integers() -> None:
    pairs = list(itertools.product(EDGES, EDGES))
    total = array([a for a, _ in pairs])
    mersenne.add(total, array([b for _, b in pairs]))
    assert total.tolist() == [(a + b) % P for a, b in pairs]
    mersenne.sub(total, array([b for _, b in pairs]))
    assert total.tolist() == [a for a, _ in pairs]


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("size", [0, 1, 31, 32, 513, 2049, 5003])
@pytest.mark.parametrize("count", [0, 1, 2, 129])
def test_streams_are_words_less_three_bits(backend: str, size: int, count: int) -> None:
    aes.select(backend)
    keys = [Secret(number.to_bytes(16, "big")) for number in range(count)]
    start = some(size, size)
    total = array(start)
    mersenne.add_streams(keys, total)
    expected = [
        (value + sum(column)) % P
        for value, *column in zip(start, *([int(w) & P for w in prf.words(key, size)] for key in keys), strict=True)
    ]
    assert total.tolist() == expected


@pytest.mark.parametrize("backend", aes.features())
def test_a_word_that_is_p_is_replaced_by_one_further_on(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is known whose stream has one, so p is made smaller for this test: words of four bits that are 15."""
    aes.select(aes.PORTABLE)
    key, size = Secret(b"\x07" * 16), 3000
    near, far = prf.words(key, size), prf.words(key, size, first=mersenne.AGAIN)
    monkeypatch.setattr(mersenne, "P", 15)
    monkeypatch.setattr(mersenne, "_P", np.uint64(15))
    aes.select(backend)
    total = np.array([int(word) & 15 if int(word) & 15 < 15 else 0 for word in near], np.uint64)
    mersenne._replace(key, total)
    expected = [int(a) & 15 if int(a) & 15 < 15 else (int(b) & 15) % 15 for a, b in zip(near, far, strict=True)]
    assert total.tolist() == expected
    assert any(int(word) & 15 == 15 for word in near)


@pytest.mark.parametrize("backend", [each for each in aes.features() if each != aes.PORTABLE])
def test_a_stream_with_such_a_word_is_flagged(backend: str) -> None:
    """The kernel by itself, under round keys that are made up: no key is known that gives such a word."""
    aes.select(backend)
    expanded = [mersenne._round_keys(Secret(number.to_bytes(16, "big"))) for number in range(mersenne.TOGETHER)]
    keys = np.stack([*expanded, mersenne._round_keys(Secret(b"\1" * 16))])
    want = np.full(16, 0xFF, np.uint8)
    plain = np.zeros((1, 16), np.uint8)
    aes.encrypt_blocks(Secret(b"\1" * 16), plain)
    shift = (plain[0] ^ want).view(np.uint64)  # the last round key is XORed to the state: block 0 becomes all ones
    last = keys[-1, -1].reshape(-1, 2)
    last ^= shift
    flagged, total = np.zeros(2, np.bool_), np.zeros(40, np.uint64)
    pieces = np.zeros((mersenne.TOGETHER, mersenne.PIECE), np.uint64)
    mersenne._streams_kernel(np.ascontiguousarray(keys), total, pieces, flagged)
    assert flagged.tolist() == [False, True]
    drawn = [prf.words(Secret(number.to_bytes(16, "big")), 2) for number in range(mersenne.TOGETHER)]
    assert total[:2].tolist() == [sum(int(word) & P for word in column) % P for column in zip(*drawn, strict=True)]
    out = np.empty(40, np.uint64)
    assert mersenne._draw(np.ascontiguousarray(keys[-1]), out, np.empty(aes.STEP_WORDS, np.uint64))
    assert out[:2].tolist() == [0, 0] and not mersenne._draw(np.ascontiguousarray(keys[0]), out, pieces[0])
    out = np.empty(5, np.uint64)
    assert mersenne._draw(np.ascontiguousarray(keys[-1]), out, pieces[0]) and out[:2].tolist() == [0, 0]


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 511, 512, 513, 5003])
def test_elements_of_one_stream(backend: str, size: int) -> None:
    aes.select(backend)
    key = Secret(b"\5" * 16)
    assert mersenne.elements(key, size).tolist() == [int(word) & P for word in prf.words(key, size)]


def test_words_that_are_elements_are_added_and_others_leave_the_total_as_it_was() -> None:
    total, values = array(some(1, 400)), array(some(2, 400))
    before = total.tolist()
    assert mersenne.add_checked(total, values) is None
    assert total.tolist() == [(a + b) % P for a, b in zip(before, values.tolist(), strict=True)]
    for wrong, place in ((P, 0), (2**64 - 1, 399), (2**61, 17), (P + 1, 200), (2 * P, 3), (2**63, 250)):
        spoilt, after = values.copy(), total.tolist()
        spoilt[place] = wrong
        assert mersenne.add_checked(total, spoilt) == place
        assert total.tolist() == after


@pytest.mark.parametrize("count", range(1, 8))
def test_products_are_added_up_as_integers_are(count: int) -> None:
    """The greatest of all: nothing leaves a word before it is reduced."""
    columns = [[P - 1, 2**60, *some(count + at, 60)] for at in range(count)]
    for factors in ([P - 1] * count, [2**60] * count, some(count, count)):
        expected = [sum(f * v for f, v in zip(factors, row, strict=True)) % P for row in zip(*columns, strict=True)]
        assert mersenne.interpolated(factors, list(map(array, columns))).tolist() == expected


@pytest.mark.parametrize("count", [1, 5, 6, 7, 12, 13, 127, 128, 130])
def test_the_greatest_streams_do_not_leave_a_word(count: int) -> None:
    """All but the last group of streams of a word below p each, the total just below p: by the kernel's own sum."""
    keys = [Secret(number.to_bytes(16, "big")) for number in range(count)]
    total = np.full(70, P - 1, np.uint64)
    mersenne.add_streams(keys, total)
    drawn = [[int(word) & P for word in prf.words(key, 70)] for key in keys]
    assert total.tolist() == [(P - 1 + sum(column)) % P for column in zip(*drawn, strict=True)]


@pytest.mark.parametrize("seed", range(50))
def test_a_polynomial_is_found_at_any_point(seed: int) -> None:
    rng = random.Random(seed)
    degree = rng.randrange(0, 8)
    coefficients = [rng.randrange(P) for _ in range(degree + 1)]
    points = [point or 0 for point in rng.sample([*range(40), P - 1, P - 2, 2**60], degree + 1)]

    def at(point: int) -> int:
        return sum(coefficient * pow(point, power, P) for power, coefficient in enumerate(coefficients)) % P

    for target in (0, rng.randrange(P), points[0]):
        values = [array([at(point)]) for point in points]
        assert mersenne.interpolated(mersenne.weights(points, target), values).tolist() == [at(target)]


@pytest.mark.parametrize("points", [[0, 1], [P, 1], [1, 1], [1, P + 1], [2 * P, 3], [-1, P - 1], [3, P + 4]])
def test_points_that_hide_nothing_or_are_one_are_refused(points: list[int]) -> None:
    with pytest.raises(ValueError, match="point"):
        mersenne.checked_points(points)


def test_points_that_are_fine_are_given_back() -> None:
    assert mersenne.checked_points([3, 1, P - 1]) == (3, 1, P - 1)


def test_weights_of_equal_points_are_refused() -> None:
    with pytest.raises(ValueError, match="equal"):
        mersenne.weights([1, P + 1], 0)


@pytest.mark.parametrize(
    "value", [0, 1, -1, 2**60 - 1, 1 - 2**60, 2**60, -(2**60), 2**61, 2**63 - 1, -(2**63), -(2**61)]
)
def test_numbers_with_a_sign_are_elements_below_2_to_the_60(value: int) -> None:
    for place in (0, 37):
        values = np.arange(-20, 20)
        values[place] = value
        found = mersenne.of_signed(values)
        assert (found is None) is (abs(value) >= 2**60)
        assert found is None or found.tolist() == [int(each) % P for each in values]
    assert mersenne.of_signed(np.arange(8)[::2]).tolist() == [0, 2, 4, 6]  # type: ignore[union-attr]


def test_what_is_no_vector_of_numbers_with_a_sign_is_refused() -> None:
    for wrong in (np.zeros(2, np.uint64), np.zeros((2, 2), np.int64)):
        with pytest.raises(ValueError, match="with a sign"):
            mersenne.of_signed(wrong)


def test_the_first_word_that_is_no_element_is_found() -> None:
    assert mersenne.outside(array([0, P - 1])) is None
    assert mersenne.outside(array([0, P - 1, P, 2**64 - 1])) == 2


def test_what_is_no_vector_of_one_length_is_refused() -> None:
    for wrong in (np.zeros(3, np.int64), np.zeros((3, 1), np.uint64), np.zeros(6, np.uint64)[::2], array([1])):
        with pytest.raises(ValueError, match="elements are"):
            mersenne.add(np.zeros(3, np.uint64), wrong)
    with pytest.raises(ValueError, match="as many"):
        mersenne.interpolated([1], [])
    frozen = np.zeros(3, np.uint64)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        mersenne.add_streams([], frozen)


def test_elements_are_uniform() -> None:
    drawn = mersenne.elements(Secret(b"\5" * 16), 1 << 16)
    assert drawn.max() < P
    bits = (drawn[:, None] >> np.arange(61, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
    assert np.all(np.abs(bits - 0.5) < 0.012)  # 6 sigma
