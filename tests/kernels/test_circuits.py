"""Encodings: what can be encoded, that it is decoded to itself, and that nothing out of range can be."""

from fractions import Fraction

import numpy as np
import pytest

from pets.kernels import prime
from pets.kernels.circuits import Circuit, Count, Histogram, Sum, SumVec, best_chunk
from pets.kernels.prime import FIELD64, FIELD128
from tests.oracles import prio3 as twin

BOUNDS = [1, 2, 3, 4, 5, 7, 8, 100, 255, 256, 1337, 2**32 - 1, 2**62, 2**63 - 1]


def numbers_up_to(greatest: int) -> list[int]:
    middle = (1 << greatest.bit_length() - 1) - 1
    return sorted({n for n in (0, 1, middle - 1, middle, middle + 1, greatest // 3, greatest - 1, greatest) if n >= 0})


@pytest.mark.parametrize("greatest", BOUNDS)
def test_numbers_within_the_bound_come_back(greatest: int) -> None:
    numbers = [n for n in numbers_up_to(greatest) if n <= greatest]
    circuit = Sum(greatest)
    encoded = circuit.encode(np.array(numbers, np.uint64))
    assert set(np.unique(encoded)) <= {0, 1}
    assert FIELD64.integers(circuit.truncate(encoded)) == numbers
    for number, bits in zip(numbers, encoded.tolist(), strict=True):
        assert bits == twin.Circuit("sum", greatest).encode(number)


@pytest.mark.parametrize("greatest", [*BOUNDS, 2**64 - 1])
def test_vectors_within_the_bound_come_back(greatest: int) -> None:
    numbers = [n for n in numbers_up_to(greatest) if n <= greatest]
    circuit = SumVec(len(numbers), 3, greatest)
    encoded = circuit.encode(np.array([numbers, numbers[::-1]], np.uint64))
    assert encoded.shape == (2, circuit.encoded, 2)
    assert FIELD128.integers(circuit.truncate(encoded)) == numbers + numbers[::-1]


@pytest.mark.parametrize("greatest", [1, 2, 3, 5, 6, 7, 8, 11, 100])
def test_no_bits_stand_for_a_number_out_of_range(greatest: int) -> None:
    """All strings of bits: their values are all numbers up to the bound, and no other."""
    bits = greatest.bit_length()
    every = (np.arange(1 << bits, dtype=np.uint64)[:, None] >> np.arange(bits, dtype=np.uint64)) & np.uint64(1)
    assert set(FIELD64.integers(Sum(greatest).truncate(every))) == set(range(greatest + 1))


def test_truncation_is_linear() -> None:
    """So that shares are truncated one by one: of random elements, not of bits alone."""
    random = np.random.default_rng(3)
    for circuit, field in ((Sum(1337), FIELD64), (SumVec(5, 2, 2**64 - 1), FIELD128), (SumVec(3, 2, 1000), FIELD128)):
        values = [[int.from_bytes(random.bytes(16), "little") for _ in range(circuit.encoded)] for _ in range(4)]
        shape = (4, circuit.encoded) if field.words == 1 else (4, circuit.encoded, 2)
        elements = field.array([v for row in values for v in row]).reshape(shape)
        weights = twin.Circuit("sum", circuit.greatest).weights
        step = len(weights)
        expected = [
            sum(w * x for w, x in zip(weights, row[i : i + step], strict=True)) % field.modulus
            for row in values
            for i in range(0, len(row), step)
        ]
        assert field.integers(circuit.truncate(elements)) == expected


def test_histograms_are_one_hot() -> None:
    encoded = Histogram(5, 2).encode(np.array([0, 4, 2]))
    assert encoded[..., 0].tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert not encoded[..., 1].any()
    assert Histogram(5, 2).truncate(encoded) is encoded


@pytest.mark.parametrize(
    ("circuit", "measurements"),
    [
        (Count(), [2]),
        (Count(), [0, 1, -1]),
        (Sum(10), [11]),
        (Sum(10), [-1]),
        (Sum(10), [2**64]),
        (Sum(2**63 - 1), [2**63]),
        (SumVec(2, 2, 10), [[0, 11]]),
        (SumVec(2, 2, 10), [[3, -1]]),
        (Histogram(4, 2), [4]),
        (Histogram(4, 2), [-1]),
    ],
)
def test_a_measurement_out_of_its_range_cannot_be_encoded(circuit: Circuit, measurements: list[int]) -> None:
    with pytest.raises(ValueError, match=r"range|whole numbers"):
        circuit.encode(np.array(measurements))


@pytest.mark.parametrize(
    ("circuit", "measurements"),
    [
        (Count(), np.array([1.0])),
        (Count(), np.array([True])),
        (Count(), np.array([[1]])),
        (SumVec(2, 2, 10), np.array([1, 2])),
        (SumVec(2, 2, 10), np.array([[1, 2, 3]])),
        (Histogram(4, 2), np.array(["1"])),
    ],
)
def test_measurements_of_another_shape_or_kind_are_refused(circuit: Circuit, measurements: np.ndarray) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        circuit.encode(measurements)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sum(0),
        lambda: Sum(2**63),
        lambda: SumVec(0, 1, 1),
        lambda: SumVec(1, 0, 1),
        lambda: SumVec(1, 1, 0),
        lambda: SumVec(1, 1, 2**64),
        lambda: Histogram(0, 1),
        lambda: Histogram(1, 0),
        lambda: Histogram(1 << 25, 10),
        lambda: SumVec(1 << 20, 10, 2**63),
    ],
)
def test_circuits_that_are_none_cannot_be_made(make: object) -> None:
    with pytest.raises(ValueError, match="at"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("elements", [1, 2, 3, 10, 100, 1000, 32_000, 123_457])
def test_the_best_chunk_makes_the_shortest_proof(elements: int) -> None:
    chunk = best_chunk(elements)
    around = {*range(max(1, chunk - 40), chunk + 40), 1, elements, max(1, int(elements**0.5))}
    assert Histogram(elements, chunk).proof == min(Histogram(elements, c).proof for c in around)


def test_parameters_tell_circuits_apart() -> None:
    circuits = [Count(), Sum(1), Sum(2), SumVec(1, 2, 3), SumVec(1, 3, 3), SumVec(2, 2, 3), SumVec(1, 2, 4)]
    circuits += [Histogram(1, 2), Histogram(2, 2), Histogram(1, 3)]
    assert len({circuit.parameters() for circuit in circuits}) == len(circuits)


def test_sizes_are_those_of_the_twin() -> None:
    for circuit, slow in (
        (Count(), twin.Circuit("count")),
        (Sum(255), twin.Circuit("sum", 255)),
        (SumVec(3, 7, 32000), twin.Circuit("vector", 32000, 3, 7)),
        (Histogram(11, 3), twin.Circuit("histogram", length=11, chunk=3)),
        (Histogram(7, 1), twin.Circuit("histogram", length=7, chunk=1)),
        (Histogram(7, 9), twin.Circuit("histogram", length=7, chunk=9)),
    ):
        assert (circuit.encoded, circuit.arity, circuit.calls, circuit.order, circuit.reduced) == (
            *(slow.size, slow.wires, slow.calls, slow.nodes, slow.outputs),
        )
    assert prime.FIELD128 is Histogram(1, 1).prime


def test_a_false_submission_is_accepted_with_a_small_chance() -> None:
    """The figures that docs/adr/0041 has."""
    vector = SumVec(1_000, best_chunk(32_000), 2**32 - 1)
    histogram = Histogram(1_000, best_chunk(1_000))
    bounds = [
        (Count(), 1, -63, -62),
        (Sum(2**63 - 1), 1, -58, -57),
        (Sum(1337), 1, -60, -59),
        (vector, 1, -120, -119),
        (vector, 2**64, -57, -56),
        (histogram, 1, -122, -121),
        (histogram, 2**64, -59, -58),
    ]
    for circuit, tries, above, below in bounds:
        assert Fraction(2) ** above < circuit.soundness_error(tries) < Fraction(2) ** below
