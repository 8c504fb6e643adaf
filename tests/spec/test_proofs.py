"""Numbers of vectors whose bounds are proved: those of the circuits that prove them."""

import random
from fractions import Fraction

import pytest

from pets.kernels import circuits
from pets.kernels.prime import FIELD64, FIELD128
from pets.spec import proofs
from pets.spec.cards import load_cards

CARD = load_cards()["checked_sum"]


def circuit_of(length: int, greatest: int, *, one_cell: bool) -> circuits.Circuit:
    chunk = circuits.best_chunk(length * greatest.bit_length())
    if one_cell:
        return circuits.Histogram(length, chunk)
    return circuits.Count() if (length, greatest) == (1, 1) else circuits.SumVec(length, chunk, greatest)


@pytest.mark.parametrize("seed", range(60))
def test_sizes_are_those_of_the_circuit(seed: int) -> None:
    rng = random.Random(seed)
    length, one_cell = rng.choice([1, 1, 2, rng.randint(1, 3000)]), seed % 3 == 0
    greatest = 1 if one_cell or seed % 4 == 0 else rng.choice([1, 2, 2**63, 2**64 - 1, rng.randrange(1, 2**40)])
    circuit = circuit_of(length, greatest, one_cell=one_cell)
    computing = rng.randint(2, 5)
    public = proofs.public(holders=9, computing=computing, length=length, greatest=greatest, one_cell=one_cell)
    names = CARD.names(public)
    assert (names["e"], names["f"], names["q"]) == (circuit.encoded, circuit.proof, circuit.verifier)
    assert (names["p"], names["w"], names["l"]) == (circuit.order, circuit.prime.words, circuit.outputs)
    assert 2 * names["c"] == circuit.arity and bool(names["j"]) == bool(circuit.joint)
    assert proofs.room(w=names["w"]) == circuit.prime.modulus // 2


@pytest.mark.parametrize("elements", [1, 2, 3, 7, 8, 100, 4095, 4096, 10**6, 2**24])
def test_the_chunk_is_that_of_the_kernels(elements: int) -> None:
    assert proofs.best_chunk(elements) == circuits.best_chunk(elements)


def test_the_error_of_the_card_bounds_that_of_every_vector() -> None:
    """After 2^64 tries, up to the longest ones; a single count has no tries."""
    for length, greatest, one_cell in (
        (1, 1, False),
        (1, 1, True),
        (1000, 1, True),
        (1000, 2**32 - 1, False),
        (1, 2**64 - 1, False),
        (2**24, 1, True),
        (2**18, 2**64 - 1, False),
    ):
        circuit = circuit_of(length, greatest, one_cell=one_cell)
        assert circuit.soundness_error(2**64) <= Fraction(1, 2**51)
    assert CARD.validity is not None and CARD.validity.error == "2^-51"


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"greatest": 0},
        {"greatest": 2**64},
        {"one_cell": True, "greatest": 2},
        {"length": 2**24 + 1, "greatest": 1},
        {"length": 2**20, "greatest": 2**20},
    ],
)
def test_vectors_that_cannot_be_proved_have_no_numbers(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a vector has"):
        proofs.public(**{"holders": 2, "computing": 2, "length": 3, "greatest": 9} | wrong)  # type: ignore[arg-type]


def test_fields_are_those_of_the_kernels() -> None:
    assert proofs.room(w=1) == FIELD64.modulus // 2 and proofs.room(w=2) == FIELD128.modulus // 2
    assert proofs.MAX_ELEMENTS == circuits.MAX_ELEMENTS
