"""The emitted kernel: its words at the ends of what they can be, its digits, and that its code does not branch."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from pets.kernels import curve, field, ifma, lanes, points
from pets.kernels.field import LIMBS, REDUCED, Field
from tests.oracles import ristretto
from tests.oracles.limbs import ALL, FACTOR, Exact

HERE = curve.IFMA in curve.features()
U64 = npt.NDArray[np.uint64]
Elements = list[list[int]]


def limbs(count: int, below: int, seed: int) -> list[Elements]:
    """`count` elements in each of eight lanes: all zero, all greatest, ends in turn, the rest random."""
    rng = np.random.default_rng(seed)
    found = []
    for lane in range(lanes.LANES):
        rows = rng.integers(0, below, (count, LIMBS), dtype=np.uint64)
        if lane < 2:
            rows[:] = lane * (below - 1)
        elif lane < 4:
            rows = rows % np.uint64(2) * np.uint64(below - 1)
        found.append([[int(x) for x in row] for row in rows])
    return found


def run(kernel: Callable[..., Any], slots: Sequence[int], found: list[Elements], *numbers: object) -> U64:
    """Put elements into slots, run a kernel, and give all slots back: (slot, limb, lane)."""
    work = lanes.scratch()
    cells = work.reshape(ifma.SLOTS, LIMBS, lanes.LANES)
    for lane, elements in enumerate(found):
        for slot, element in zip(slots, elements, strict=True):
            cells[slot, :, lane] = element
    kernel(work, *numbers)
    return cells


def require_same(cells: U64, slots: Sequence[int], expected: list[Any]) -> None:
    for lane, elements in enumerate(expected):
        for slot, element in zip(slots, elements, strict=True):
            assert [int(x) for x in cells[slot, :, lane]] == list(element), (slot, lane)


POINT = (ifma.X, ifma.Y, ifma.Z, ifma.T)
ADDEND = tuple(range(ifma.TABLE, ifma.TABLE + 4))
F = Field(Exact())

EMITTED: dict[str, tuple[Any, Sequence[int], int, tuple[object, ...], Sequence[int], Callable[..., Any]]] = {
    # kernel, slots that it reads, bound of their limbs, numbers, slots that it writes, the same over integers
    "mul": (lanes._mul_at, (ifma.A, ifma.B), FACTOR, (ifma.C, ifma.A, ifma.B), (ifma.C,), lambda a, b: [F.mul(a, b)]),
    "square": (lanes._squares_at, (ifma.A,), FACTOR, (ifma.B, ifma.A, 1), (ifma.B,), lambda a: [F.square(a)]),
    "squares": (
        lanes._squares_at,
        (ifma.A,),
        FACTOR,
        (ifma.A, ifma.A, 3),
        (ifma.A,),
        lambda a: [F.square(F.square(F.square(a)))],
    ),
    "double": (
        lanes._doubled,
        POINT[:3],
        REDUCED,
        (),
        POINT[:3],
        lambda x, y, z: points.double(F, x, y, z, with_t=False),
    ),
    "double with T": (
        lanes._doubled_with_t,
        POINT[:3],
        REDUCED,
        (),
        POINT,
        lambda x, y, z: points.double(F, x, y, z, with_t=True),
    ),
    "add": (
        lanes._added,
        (*POINT, *ADDEND),
        REDUCED,
        (ifma.TABLE,),
        POINT,
        lambda *both: points.add(F, both[:4], both[4:]),
    ),
}


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 4000), marks=pytest.mark.long)], ids=len)
@pytest.mark.parametrize("name", EMITTED)
def test_emitted_words_are_those_of_integers(name: str, seeds: range) -> None:
    """Bit for bit, at zero, at the greatest limbs and at random; the integers refuse to overflow."""
    kernel, reads, below, numbers, writes, exact = EMITTED[name]
    for seed in seeds:
        found = limbs(len(reads), below, seed)
        expected = [exact(*elements) for elements in found]
        assert all(limb < REDUCED for elements in expected for element in elements for limb in element)
        if HERE:
            require_same(run(kernel, reads, found, *numbers), writes, expected)


def test_roots_of_the_vectors() -> None:
    """RFC 9496, A.4, a vector in each lane; and squares of everything near 0 and p."""
    numbers = [(0, 0), (0, 1), (1, 0), (2, 1), (4, 1), (1, 4), (field.P - 1, 1), (5, field.P - 2)]
    numbers += [
        (x * x % field.P, y) for x in (1, 2, 18, 19, field.P - 1, 2**254, 2**255 - 20) for y in (1, 3, field.P - 1)
    ]
    while len(numbers) % lanes.LANES:
        numbers.append((len(numbers), 7))
    for start in range(0, len(numbers), lanes.LANES):
        part = numbers[start : start + lanes.LANES]
        expected = [ristretto.sqrt_ratio(u, v) for u, v in part]
        if HERE:
            found = [[list(F.constant(u)), list(F.constant(v))] for u, v in part]
            cells = run(lanes._rooted, (ifma.U_OF_ROOT, ifma.V_OF_ROOT), found)
            for lane, (square, root) in enumerate(expected):
                assert F.canonical([int(x) for x in cells[ifma.ROOT, :, lane]]) == F.constant(root)
                assert set(cells[ifma.GOOD, :, lane].tolist()) == {ALL if square else 0}


def test_digits_of_scalars_are_masks_that_add_up() -> None:
    rng = np.random.default_rng(5)
    order = ristretto.ORDER
    scalars = [1, 7, 8, 9, 15, 16, order - 1, order // 2, 2**252 - 1, 2**252, int("8" * 63, 16), int("7" * 63, 16)]
    scalars += [int.from_bytes(rng.bytes(32), "little") % order for _ in range(200)]
    for number in scalars:
        masks = np.empty((lanes.DIGITS, ifma.MASKS), np.uint64)
        lanes._masks_of(np.frombuffer(number.to_bytes(32, "little"), np.uint8), masks)
        assert set(masks.ravel().tolist()) <= {0, ALL}
        assert ((masks[:, :9] != 0).sum(axis=1) == 1).all()
        digits = [int(row[:9].argmax()) * (-1 if row[9] else 1) for row in masks]
        assert sum(digit * 16**i for i, digit in enumerate(digits)) == number


def test_scratch_memory_begins_at_a_line_of_the_cache() -> None:
    kept = [lanes.scratch() for _ in range(50)]
    assert all(work.ctypes.data % 64 == 0 and work.size == ifma.SLOTS * ifma.SLOT_WORDS for work in kept)


def machine_code(kernel: Any, *arguments: object) -> list[str]:
    """The instructions of a kernel, compiled anew, without what numba puts around it for calls from Python."""
    compiled = numba.njit(nogil=True, error_model="numpy")(kernel.py_func)
    compiled(*arguments)
    found = []
    name = ""
    for line in compiled.inspect_asm(compiled.signatures[0]).splitlines():
        if label := re.match(r"([A-Za-z_][\w.$]*):", line):
            name = label[1]
        elif re.match(r"\s+[a-z]", line) and name.startswith("_ZN4pets") and kernel.py_func.__name__ in name:
            found.append(line.strip())
    return found


def test_machine_code_of_steps_has_no_branch_and_no_gathered_load() -> None:
    """What jumps is a loop over public numbers, or asks whether a called kernel raised: none in a step."""
    masks, work = np.zeros((lanes.DIGITS, ifma.MASKS), np.uint64), lanes.scratch()
    kernels: list[tuple[Any, tuple[object, ...], int]] = [(lanes._masks_of, (np.zeros(32, np.uint8), masks), 1)]
    if HERE:
        kernels += [(lanes._mul_at, (work, 2, 3, 4), 0), (lanes._squares_at, (work, 2, 3, 4), 2)]
        kernels += [(lanes._doubled, (work,), 0), (lanes._doubled_with_t, (work,), 0), (lanes._added, (work, 20), 0)]
        kernels += [
            (lanes._digit_added, (work, masks, 5), 0),
            (lanes._decoded, (work,), 1),
            (lanes._mapped, (work,), 1),
        ]
    for kernel, arguments, loops in kernels:
        code = machine_code(kernel, *arguments)
        assert len(code) > 50
        assert len([line for line in code if re.match(r"j(?!mp)", line)]) <= loops, kernel
        assert not [line for line in code if re.match(r"v?p?gather|i?div", line)], kernel
