"""Ten digits of a number, against Python's own formatting."""

import numpy as np
import pytest

from pets.kernels.digits import ten_digits


def test_digits_are_those_that_python_writes() -> None:
    edges = [10**k + d for k in range(10) for d in (-1, 0, 1)] + [9_999_999_999, 99_999_999, 100_000_000]
    numbers = np.concatenate(
        [np.array(edges), np.random.default_rng(0).integers(0, 10**10, 20_000), np.arange(20_000) * 10_000]
    ).astype(np.int64)
    expected = b"".join(b"%010d" % n for n in numbers.tolist())
    assert ten_digits(numbers).tobytes() == expected


def test_no_numbers_give_no_rows() -> None:
    assert ten_digits(np.empty(0, np.int64)).shape == (0, 10)


@pytest.mark.parametrize("wrong", [np.zeros(3, np.int32), np.zeros((2, 2), np.int64)])
def test_another_type_or_shape_is_our_bug(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="int64"):
        ten_digits(wrong)
