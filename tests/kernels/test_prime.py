"""Field64 and Field128 against Python's integers: edges, random elements, roots, inverses, scales."""

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.kernels import circuits, flp, polynomials, prime, wires
from pets.kernels.prime import FIELD64, FIELD128, Prime

BOTH = pytest.mark.parametrize("field", [FIELD64, FIELD128], ids=lambda field: field.name)


def edges(field: Prime) -> list[int]:
    """Numbers at which a carry, a borrow or a reduction could go wrong."""
    p = field.modulus
    powers = [2**k % p for k in (31, 32, 33, 62, 63, 64, 65, 95, 96, 97, 126, 127, 128)]
    near = [n + d for n in [0, p, *powers] for d in (-29, -28, -2, -1, 0, 1, 2, 28)]
    words = [0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF00000000, 0xFFFFFFFF, 28 << 64, (2**64 - 28) << 64, (2**64 - 29) << 64]
    return sorted({n % p for n in [*near, *words, p // 2, p // 3, p // 28]})


def some(field: Prime, count: int, seed: int) -> list[int]:
    numbers = random.Random(seed)
    return [numbers.randrange(field.modulus) for _ in range(count)]


@BOTH
def test_parameters_are_the_drafts(field: Prime) -> None:
    expected = {"Field64": 2**32 * 4294967295 + 1, "Field128": 2**66 * 4611686018427387897 + 1}
    assert field.modulus == expected[field.name]
    assert field.bytes == {"Field64": 8, "Field128": 16}[field.name]
    odd = field.modulus - 1 >> field.two_adicity
    assert odd % 2 == 1
    assert field.root(1 << field.two_adicity) == pow(7, odd, field.modulus)
    assert pow(field.root(1 << field.two_adicity), 1 << field.two_adicity - 1, field.modulus) == field.modulus - 1
    assert all(pow(a, field.modulus - 1, field.modulus) == 1 for a in (2, 3, 5, 7))


@BOTH
def test_sums_differences_and_products_are_those_of_integers(field: Prime) -> None:
    p, ends = field.modulus, edges(field)
    pairs = [(a, b) for a in ends for b in ends]
    pairs += zip(some(field, 5000, 1), some(field, 5000, 2), strict=True)
    a, b = (field.array(side) for side in zip(*pairs, strict=True))
    back = pow(field.scale, -1, p)
    assert field.integers(prime.added(a, b)) == [(x + y) % p for x, y in pairs]
    assert field.integers(prime.subtracted(a, b)) == [(x - y) % p for x, y in pairs]
    assert field.integers(prime.multiplied(a, b)) == [x * y * back % p for x, y in pairs]


@BOTH
def test_scaled_times_plain_is_plain(field: Prime) -> None:
    p, a, b = field.modulus, some(field, 100, 3), some(field, 100, 4)
    product = prime.multiplied(field.array(a, scaled=True), field.array(b))
    assert field.integers(product) == [x * y % p for x, y in zip(a, b, strict=True)]
    both = prime.multiplied(field.array(a, scaled=True), field.array(b, scaled=True))
    assert field.integers(both) == [x * y * field.scale % p for x, y in zip(a, b, strict=True)]


@BOTH
def test_inverses_of_many_by_one_inversion(field: Prime) -> None:
    numbers = [n for n in edges(field) if n] + some(field, 200, 5)
    a = field.array(numbers, scaled=True)
    one = prime.multiplied(prime.inverses(field, a), a)
    assert field.integers(one) == [field.scale % field.modulus] * len(numbers)
    assert field.integers(prime.inverses(field, field.array([3, 0, 5], scaled=True))) == [0, 0, 0]
    assert len(prime.inverses(field, field.empty(0))) == 0


@BOTH
@pytest.mark.parametrize(("rows", "width"), [(0, 3), (1, 1), (7, 5), (40, 1)])
def test_rows_are_added_place_by_place(field: Prime, rows: int, width: int) -> None:
    numbers = some(field, rows * width, rows)
    got = field.integers(prime.totals(field.array(numbers), width))
    assert got == [sum(numbers[i::width]) % field.modulus for i in range(width)]


@BOTH
def test_roots_are_all_powers(field: Prime) -> None:
    for order in (1, 2, 8, 64):
        roots = field.integers(prime.multiplied(field.roots(order), field.array([1] * order)))
        assert roots == [pow(field.root(order), k, field.modulus) for k in range(order)]
        assert len(set(roots)) == order
    for order in (0, 3, 12, -2, 1 << field.two_adicity + 1):
        with pytest.raises(ValueError, match="root of one"):
            field.root(order)


@BOTH
def test_integers_of_either_sign_become_canonical(field: Prime) -> None:
    p = field.modulus
    assert field.integers(field.array([-1, p, p + 5, 2**200, -p])) == [p - 1, 0, 5, 2**200 % p, 0]
    assert field.array([1, 2]).shape == ((2,) if field.words == 1 else (2, 2))


@BOTH
def test_signed_words_become_elements(field: Prime) -> None:
    numbers = [0, 1, -1, -2, 2, 2**63 - 1, -(2**63), -(2**32), 12345, -12345]
    assert field.integers(field.signed(np.array(numbers))) == [n % field.modulus for n in numbers]


@BOTH
def test_only_numbers_below_the_modulus_are_encodings(field: Prime) -> None:
    p, top = field.modulus, 2 ** (8 * field.bytes) - 1
    good = [n for n in edges(field) if n < p]
    bad = [p, p + 1, top, (p >> 64) + 1 << 64 if field.words > 1 else top - 1]
    rows = [[n, 0] for n in good] + [[n, 0] for n in bad] + [[0, n] for n in bad]
    data = b"".join(n.to_bytes(field.bytes, "little") for row in rows for n in row)
    words = np.frombuffer(data, np.uint64).reshape(len(rows), -1)
    assert prime.encodes(field, words, 2).tolist() == [1] * len(good) + [0] * 2 * len(bad)
    assert prime.encodes(field, words, 1).tolist() == [1] * len(good) + [0] * len(bad) + [1] * len(bad)


def test_arrays_of_two_fields_do_not_meet() -> None:
    with pytest.raises(ValueError, match="elements"):
        prime.added(FIELD64.array([1, 2]), FIELD128.array([1, 2]))
    with pytest.raises(ValueError, match="elements"):
        prime.added(FIELD64.array([1]), FIELD64.array([1]).astype(np.int64))
    with pytest.raises(ValueError, match="elements"):
        prime.multiplied(np.zeros((2, 3), np.uint64), np.zeros((2, 3), np.uint64))


@pytest.mark.parametrize(
    ("module", "made_of"),
    [
        (polynomials, ["prime"]),
        (wires, ["prime"]),
        (circuits, ["prime"]),
        (flp, ["prime", "polynomials", "wires"]),
    ],
    ids=lambda part: part.__name__ if hasattr(part, "__name__") else None,
)
def test_a_kernel_is_compiled_again_when_the_arithmetic_in_it_changes(module: Any, made_of: list[str]) -> None:
    folder = Path(prime.__file__).parent
    found = hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in made_of)).hexdigest()
    assert found == module.ARITHMETIC, f"set ARITHMETIC of {module.__name__} to {found}"
