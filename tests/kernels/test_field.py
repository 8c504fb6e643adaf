"""The field and the formulas over it: no input overflows, shown for all at once; values, by integers, at the edges."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.kernels import field, ifma, lanes, points
from pets.kernels.field import LIMB_BITS, LIMBS, REDUCED, Field, P
from tests.oracles import ristretto
from tests.oracles.limbs import ALL, FACTOR, Exact, Range, Ranges

Limbs = list[int]
MOST = [REDUCED - 1] * LIMBS
PRODUCT_MOST = [FACTOR - 1] * LIMBS

# name: function of a field and elements, the same of integers, how many elements
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., int], int]] = {
    "add": (Field.add, lambda a, b: a + b, 2),
    "sub": (Field.sub, lambda a, b: a - b, 2),
    "negate": (Field.negate, lambda a: -a, 1),
    "mul": (Field.mul, lambda a, b: a * b, 2),
    "square": (Field.square, lambda a: a * a, 1),
    "magnitude": (Field.magnitude, ristretto.magnitude, 1),
}


def value(limbs: Sequence[int]) -> int:
    return sum(limb << LIMB_BITS * i for i, limb in enumerate(limbs))


def edges() -> list[Limbs]:
    """Reduced limbs at their ends, and forms of numbers about 0, p and 2p that are not canonical."""
    ends = [[0] * 5, [1, 0, 0, 0, 0], MOST, [field.MASK] * 5, [1 << 51] * 5]
    ends += [[MOST[0] if i == j else 0 for j in range(5)] for i in range(5)]
    ends += [[0 if i == j else MOST[0] for j in range(5)] for i in range(5)]
    for number in (*range(P - 3, P + 25), P // 2, 2**255 - 1, 2 * P - 2**217, ristretto.SQRT_M1, ristretto.D):
        limbs = [number >> LIMB_BITS * i & field.MASK for i in range(4)]
        top = number >> LIMB_BITS * 4
        if top < REDUCED:
            ends.append([*limbs, top])
            if limbs[2] >= 1 and limbs[1] < 1 << 14:
                ends.append([limbs[0], limbs[1] + (1 << 51), limbs[2] - 1, limbs[3], top])
    return ends


def some(count: int, below: int, seed: int) -> list[Limbs]:
    rng = np.random.default_rng(seed)
    return [[int(x) for x in row] for row in rng.integers(0, below, (count, LIMBS), dtype=np.uint64)]


# -- no overflow, for any input ----------------------------------------------------------------------------------------


def ranges(below: int = REDUCED) -> list[Range]:
    return [Range(0, below - 1)] * LIMBS


def require_reduced(element: Sequence[Range], below: int = REDUCED) -> None:
    assert len(element) == LIMBS
    assert max(limb.most for limb in element) < below


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_reduced_input_overflows_and_results_are_reduced(name: str) -> None:
    function, _, count = OPERATIONS[name]
    require_reduced(function(Field(Ranges()), *[ranges()] * count))


def test_products_take_factors_of_52_bits_and_their_sums_are_as_the_docstring_says() -> None:
    for function, count in ((Field.mul, 2), (Field.square, 1)):
        machine = Ranges()
        require_reduced(function(Field(machine), *[ranges(FACTOR)] * count))
        assert machine.greatest_sum <= 267 * 2**52 < 2**61
        carries = [machine.greatest_sum >> LIMB_BITS]
        assert carries[0] <= 534
        assert field.MASK + 19 * 534 < REDUCED


def test_sums_and_differences_are_as_the_docstring_says() -> None:
    for function in (Field.add, Field.sub):
        machine = Ranges()
        function(Field(machine), ranges(), ranges())
        assert machine.greatest_sum < 2**53
    assert max(limb.most for limb in Field(Ranges()).opposite(ranges())) < FACTOR


def test_a_reduced_element_is_below_2p() -> None:
    assert value(MOST) < 2**255 + 2**219 < 2 * P


def test_canonical_limbs_have_51_bits() -> None:
    require_reduced(Field(Ranges()).canonical(ranges()), 1 << LIMB_BITS)


def test_larger_factors_are_noticed() -> None:
    """The proof can fail: a limb more than 52 bits, a sum of sums as a factor, a difference of what is not reduced."""
    f = Field(Ranges())
    with pytest.raises(AssertionError, match="52 bits"):
        f.mul(ranges(FACTOR + 1), ranges())
    total = [f.machine.add(x, y) for x, y in zip(ranges(), ranges(), strict=True)]
    with pytest.raises(AssertionError, match="52 bits"):
        f.square(total)
    with pytest.raises(AssertionError, match="below zero"):
        f.sub(ranges(), ranges(FACTOR))


FORMULAS: dict[str, tuple[Callable[..., Any], int]] = {
    "before_root": (points.before_root, 2),
    "before_decode": (points.before_decode, 1),
    "before_encode": (points.before_encode, 3),
    "before_map": (points.before_map, 1),
    "identity": (points.identity, 0),
    "double": (lambda f, x, y, z: points.double(f, x, y, z, with_t=True), 3),
    "double without T": (lambda f, x, y, z: points.double(f, x, y, z, with_t=False), 3),
    "as_addend": (lambda f, *point: points.as_addend(f, point), 4),
    "addend_of_identity": (points.addend_of_identity, 0),
    "add": (lambda f, *both: points.add(f, both[:4], both[4:]), 8),
    "after_root": (lambda f, *rest: [points.after_root(f, *rest)[0]], 4),
    "after_decode": (lambda f, *rest: points.after_decode(f, *rest, MASK)[0], 5),
    "after_encode": (lambda f, *rest: [points.after_encode(f, rest[:4], *rest[4:])], 7),
    "after_map": (lambda f, *rest: points.after_map(f, *rest, MASK), 4),
}
MASK = Range(0, ALL, True)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_formula_overflows_and_its_elements_are_reduced(name: str) -> None:
    function, count = FORMULAS[name]
    for element in function(Field(Ranges()), *[ranges()] * count):
        require_reduced(element)


def test_masks_of_formulas_are_masks() -> None:
    f = Field(Ranges())
    assert points.after_root(f, *[ranges()] * 4)[1].mask
    assert points.after_decode(f, *[ranges()] * 5, MASK)[1].mask


def test_an_addend_with_a_sign_may_be_added() -> None:
    f = Field(Ranges())
    for element in points.add(f, [ranges()] * 4, points.signed(f, MASK, [ranges()] * 4)):
        require_reduced(element)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_at_the_edges(name: str) -> None:
    function, exact, count = OPERATIONS[name]
    f = Field(Exact())
    for elements in itertools.product([*edges(), *some(5, REDUCED, 1)], repeat=count):
        found = function(f, *elements)
        assert value(found) % P == exact(*(value(e) for e in elements)) % P
        assert max(found) < REDUCED


def test_products_of_52_bits_at_the_edges() -> None:
    f = Field(Exact())
    for a, b in itertools.product([PRODUCT_MOST, [FACTOR - 1, 0, 0, 0, 0], *some(20, FACTOR, 2)], repeat=2):
        assert value(f.mul(a, b)) % P == value(a) * value(b) % P
        assert value(f.square(a)) % P == value(a) ** 2 % P


def test_canonical_forms_and_what_is_asked_of_them() -> None:
    f = Field(Exact())
    for limbs in [*edges(), *some(200, REDUCED, 3)]:
        number = value(limbs) % P
        assert f.canonical(limbs) == [number >> LIMB_BITS * i & field.MASK for i in range(LIMBS)]
        assert f.is_zero(limbs) == (ALL if number == 0 else 0)
        assert f.is_negative(limbs) == (ALL if number % 2 else 0)
        assert f.equal(limbs, f.constant(number)) == ALL
        assert f.equal(limbs, f.constant(number + 1)) == 0


def test_constants_are_those_of_rfc_9496() -> None:
    for name in ("SQRT_AD_MINUS_ONE", "INVSQRT_A_MINUS_D", "ONE_MINUS_D_SQ", "D_MINUS_ONE_SQ", "D"):
        assert getattr(points, name) == getattr(ristretto, name), name
    assert field.SQRT_M1 == ristretto.SQRT_M1


def test_the_signed_addend_of_a_point_is_that_of_its_negative() -> None:
    f = Field(Exact())
    point = ristretto.one_map(bytes(range(32)))
    addend = points.as_addend(f, [f.constant(c) for c in (point.x, point.y, point.z, point.t)])
    negative = points.as_addend(f, [f.constant(c) for c in (-point.x, point.y, point.z, -point.t)])
    for mask, expected in ((0, addend), (ALL, negative)):
        assert [value(e) % P for e in points.signed(f, mask, addend)] == [value(e) % P for e in expected]


def test_kernels_are_compiled_again_when_formulas_change() -> None:
    """numba keeps machine code by the file of a kernel: so lanes.py has to change with what it emits."""
    files = [Path(module.__file__ or "") for module in (field, points, ifma)]
    found = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert found == lanes.FORMULAS, f"set lanes.FORMULAS to {found}"
