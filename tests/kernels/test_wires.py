"""Sums of wires: both back ends against integers, at the edges of lanes, calls and elements."""

import random
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from pets.kernels import flp, wires
from pets.kernels.circuits import Histogram
from pets.kernels.prime import FIELD128

P = FIELD128.modulus
EVERY = pytest.mark.parametrize("backend", wires.features())


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    wires.select(wires.PORTABLE)


def expected(chunk: int, numbers: list[int], r: list[int], weights: list[int]) -> list[int]:
    sums = [0] * (2 * chunk)
    for at, number in enumerate(numbers):
        call, j = divmod(at, chunk)
        sums[2 * j] += number * weights[call] * pow(r[call], j + 1, P)
        sums[2 * j + 1] += number * weights[call]
    return [total % P for total in sums]


def test_portable_is_what_a_process_starts_with() -> None:
    code = "from pets.kernels import wires; print(wires.selected())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == (
        "portable\n"
    )


@EVERY
def test_self_test_passes_and_notices_a_wrong_sum(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wires.self_test(backend)
    monkeypatch.setattr(wires, "_added", lambda *given: FIELD128.zeros(2 * given[1]))
    with pytest.raises(RuntimeError, match="wrongly"):
        wires.self_test(backend)


def test_a_back_end_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="back end"):
        wires.select("abacus")
    with pytest.raises(ValueError, match="abacus"):
        wires._added("abacus", 1, [1], [1], [1])


@EVERY
@pytest.mark.parametrize(
    ("chunk", "calls", "short"),
    [(1, 1, 0), (1, 9, 0), (7, 3, 2), (8, 3, 0), (8, 3, 7), (9, 4, 8), (16, 63, 8), (17, 5, 16), (40, 2, 39)],
)
def test_sums_are_those_of_integers(backend: str, chunk: int, calls: int, short: int) -> None:
    """`short`: elements that the last call lacks."""
    numbers = random.Random(chunk * calls)
    hard = [0, 1, P - 1, P - 2, 2**52 - 1, 2**52, 2**104 - 1, 2**104, 2**127, 2**64 - 1, (2**24 - 2) << 104]

    def some(count: int) -> list[int]:
        return [numbers.choice(hard) if numbers.random() < 0.5 else numbers.randrange(P) for _ in range(count)]

    elements, r, weights = some(chunk * calls - short), some(calls), some(calls)
    got = FIELD128.integers(wires._added(backend, chunk, elements, r, weights))
    assert got == expected(chunk, elements, r, weights)


@EVERY
def test_the_greatest_sums_do_not_overflow(backend: str) -> None:
    """More calls than are added up at a time, with elements and weights whose limbs are all as large as can be."""
    chunk, calls = 9, 1100
    largest = P - 1 if P - 1 < (1 << 128) - 1 else 0
    limbs = ((2**24 - 2) << 104) + (2**104 - 1)
    elements = [limbs if i % 2 else largest for i in range(chunk * calls)]
    r, weights = [1] * calls, [limbs if k % 2 else largest for k in range(calls)]
    got = FIELD128.integers(wires._added(backend, chunk, elements, r, weights))
    assert got == expected(chunk, elements, r, weights)


def test_queries_are_the_same_whatever_the_back_end() -> None:
    circuit = Histogram(100, 11)
    random_ = np.random.default_rng(4)
    shape = {"measurement": circuit.encoded, "proof": circuit.proof, "asked": circuit.query, "joint": circuit.joint}
    rows = {
        name: FIELD128.array([int.from_bytes(random_.bytes(20), "little") for _ in range(5 * count)]).reshape(5, -1, 2)
        for name, count in shape.items()
    }
    made = []
    for backend in wires.features():
        wires.select(backend)
        lies = flp.Rows.of(rows["measurement"]), flp.Rows.of(rows["proof"])
        made.append(flp.query(flp.Tables(circuit, 2), 5, *lies, rows["asked"], rows["joint"])[0])
    assert all(np.array_equal(one, made[0]) for one in made)
