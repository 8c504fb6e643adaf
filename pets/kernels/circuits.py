"""Validity circuits of Prio3: how a measurement becomes field elements, and which of them are valid.

All have one gadget of degree 2. `Count` and `Sum` (Field64) multiply each element by itself less one; `SumVec` and
`Histogram` (Field128) do so for chunks of elements at a time, each weighed by a power of joint randomness.

Encoding and decoding take whole columns of measurements; nothing branches on one. A measurement that a circuit does not
allow cannot be encoded: ValueError, so the holder's own table must have been checked before.

Source: draft-irtf-cfrg-vdaf-20, 7.1.1 and 7.4; Boneh et al., eprint 2019/188, theorem 4.3 and section 4.4.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import Number, U64Array, kernel
from pets.kernels.prime import FIELD64, FIELD128, Prime, add, doubled_and, load, multiply, store

ARITHMETIC: Final = "69732b9c19cc20b8d9d4bb0997bd4951110fdd15a8db89bbc79ee128e3f679eb"
"""SHA-256 of prime.py: numba keeps machine code by this file alone, so it changes with that one."""

Measurements = npt.NDArray[Any]

MAX_ELEMENTS: Final = 1 << 24
"""Elements of one encoded measurement: 256 MiB in Field128."""


@dataclass(frozen=True, slots=True)
class Circuit(ABC):
    """What all circuits have. Sizes are counts of elements, and follow from the fields of each.

    algorithm: the number of Prio3's variant; prime: the field; encoded: elements of a measurement; outputs: what is
    added up of it; calls: uses of the gadget; arity: its inputs; joint: joint randomness; reduced: outputs of the
    circuit, which are reduced to one.
    """

    @property
    @abstractmethod
    def algorithm(self) -> int: ...

    @property
    def prime(self) -> Prime:
        return FIELD64

    @property
    @abstractmethod
    def encoded(self) -> int: ...

    @property
    def outputs(self) -> int:
        return 1

    @property
    def calls(self) -> int:
        return self.encoded

    @property
    def arity(self) -> int:
        return 1

    @property
    def joint(self) -> int:
        return 0

    @property
    def reduced(self) -> int:
        return 1

    @property
    def order(self) -> int:
        """The least power of two that has room for a seed and all calls: nodes of a wire's polynomial."""
        return 1 << self.calls.bit_length()

    @property
    def proof(self) -> int:
        """Elements of a proof: a seed of each wire, and values of the gadget's polynomial."""
        return self.arity + 2 * self.order - 1

    @property
    def verifier(self) -> int:
        """Elements of a verifier: the circuit's output, each wire and the gadget at the test point."""
        return self.arity + 2

    @property
    def query(self) -> int:
        """Elements of query randomness."""
        return 1 + (self.reduced if self.reduced > 1 else 0)

    def soundness_error(self, tries: int) -> Fraction:
        """A bound on the chance that a submission that is not valid is accepted, if all who verify follow the protocol.

        Units:   tries, how many sets of shares its sender hashes to choose the best: joint randomness is what shares
                 hash to, so each is another chance that wrong elements cancel when they are weighed by powers of it, a
                 polynomial of degree `arity / 2`. The test point is chosen by a key that the sender does not know: one
                 chance for a polynomial of degree 2 (order - 1) that is none of the gadget's, and one that outputs
                 which are not 0 are reduced to 0.
        Source:  Boneh et al., eprint 2019/188, theorem 4.3; draft 9.7.
        """
        p, order = self.prime.modulus, self.order
        cancelled = Fraction(tries * (self.arity // 2), p) if self.joint else Fraction(0)
        return cancelled + Fraction(2 * (order - 1), p - order) + Fraction(1 if self.reduced > 1 else 0, p)

    @abstractmethod
    def encode(self, measurements: Measurements) -> U64Array:
        """Encode measurements. Shapes: result (n, encoded) or (n, encoded, 2) uint64. ValueError: not allowed."""

    def truncate(self, encoded: U64Array) -> U64Array:
        """What is added up of encoded measurements, or of shares of them. Shapes: (n, outputs) or (n, outputs, 2)."""
        return encoded

    def parameters(self) -> tuple[int, ...]:
        """All that two parties must agree on for proofs of one to be proofs for the other."""
        return (self.algorithm,)


@dataclass(frozen=True, slots=True)
class Count(Circuit):
    """0 or 1. Measurements: (n,) integers; the sum is how many are 1."""

    @property
    def algorithm(self) -> int:
        return 1

    @property
    def encoded(self) -> int:
        return 1

    @property
    def arity(self) -> int:
        return 2

    def encode(self, measurements: Measurements) -> U64Array:
        return _within(measurements, 1, 1).reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class Sum(Circuit):
    """A whole number from 0 to `greatest`, below 2^63. Measurements: (n,) integers."""

    greatest: int

    def __post_init__(self) -> None:
        if not 1 <= self.greatest < 1 << 63:
            raise ValueError("a bound is at least 1 and below 2^63")

    @property
    def algorithm(self) -> int:
        return 2

    @property
    def encoded(self) -> int:
        return self.greatest.bit_length()

    @property
    def reduced(self) -> int:
        return self.encoded

    def encode(self, measurements: Measurements) -> U64Array:
        return _bits(_within(measurements, 1, self.greatest), self.greatest)

    def truncate(self, encoded: U64Array) -> U64Array:
        return _weighed(FIELD64, encoded, self.greatest, 1)

    def parameters(self) -> tuple[int, ...]:
        return (self.algorithm, self.greatest)


@dataclass(frozen=True, slots=True)
class Chunked(Circuit):
    """A circuit that looks at `chunk` elements at a time; the proof is shortest near the root of `encoded`."""

    length: int
    chunk: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.chunk < 1:
            raise ValueError("a length and a chunk are at least 1")
        if self.encoded > MAX_ELEMENTS or self.chunk > MAX_ELEMENTS:
            raise ValueError(f"a measurement has at most {MAX_ELEMENTS} elements")

    @property
    def prime(self) -> Prime:
        return FIELD128

    @property
    def encoded(self) -> int:
        return self.length

    @property
    def outputs(self) -> int:
        return self.length

    @property
    def calls(self) -> int:
        return -(-self.encoded // self.chunk)

    @property
    def arity(self) -> int:
        return 2 * self.chunk

    @property
    def joint(self) -> int:
        return self.calls


@dataclass(frozen=True, slots=True)
class SumVec(Chunked):
    """`length` whole numbers from 0 to `greatest`, below 2^64. Measurements: (n, length) integers."""

    greatest: int

    def __post_init__(self) -> None:
        if not 1 <= self.greatest < 1 << 64:
            raise ValueError("a bound is at least 1 and below 2^64")
        Chunked.__post_init__(self)

    @property
    def algorithm(self) -> int:
        return 3

    @property
    def encoded(self) -> int:
        return self.length * self.greatest.bit_length()

    def encode(self, measurements: Measurements) -> U64Array:
        bits = _bits(_within(measurements, 2, self.greatest, self.length), self.greatest)
        return _wide(bits.reshape(len(measurements), self.encoded))

    def truncate(self, encoded: U64Array) -> U64Array:
        return _weighed(FIELD128, encoded, self.greatest, self.length)

    def parameters(self) -> tuple[int, ...]:
        return (self.algorithm, self.length, self.greatest, self.chunk)


@dataclass(frozen=True, slots=True)
class Histogram(Chunked):
    """One of `length` cells. Measurements: (n,) integers, the number of the cell from 0."""

    @property
    def algorithm(self) -> int:
        return 4

    @property
    def reduced(self) -> int:
        return 2

    def encode(self, measurements: Measurements) -> U64Array:
        cells = _within(measurements, 1, self.length - 1)
        return _wide((cells[:, None] == np.arange(self.length, dtype=np.uint64)).astype(np.uint64))

    def parameters(self) -> tuple[int, ...]:
        return (self.algorithm, self.length, self.chunk)


def best_chunk(elements: int) -> int:
    """The chunk that makes the proof of so many elements shortest; the larger one of two that do."""
    choices = []
    for bits in range(1, elements.bit_length() + 1):
        chunk = -(-elements // ((1 << bits) - 1))
        choices.append((2 * chunk + 2 * (1 << bits) - 1, -chunk))
    return -min(choices)[1]


def _within(measurements: Measurements, dimensions: int, greatest: int, length: int | None = None) -> U64Array:
    array = np.asarray(measurements)
    if array.ndim != dimensions or array.dtype.kind not in "iu" or (length is not None and array.shape[1] != length):
        raise ValueError("measurements are whole numbers, in the shape of their circuit")
    if array.size and (int(array.min()) < 0 or int(array.max()) > greatest):
        raise ValueError("a measurement is out of its range")
    return array.astype(np.uint64)


def _bits(values: U64Array, greatest: int) -> U64Array:
    """Values as bits, on a new last axis: all have the weight of their place but the last, which fills up to the bound.

    No sum of weights is above the bound, so no bits stand for a value out of range.
    """
    bits = greatest.bit_length()
    rest = (1 << bits - 1) - 1
    top = (values > np.uint64(rest)).astype(np.uint64)
    low = values - top * np.uint64(greatest - rest)
    places = low[..., None] >> np.arange(bits - 1, dtype=np.uint64) & np.uint64(1)
    return np.concatenate([places, top[..., None]], axis=-1)


def _wide(small: U64Array) -> U64Array:
    """Small numbers as elements of Field128."""
    out = np.zeros((*small.shape, 2), np.uint64)
    out[..., 0] = small
    return out


def _weighed(prime: Prime, encoded: U64Array, greatest: int, length: int) -> U64Array:
    bits = greatest.bit_length()
    last = prime.array([greatest - ((1 << bits - 1) - 1), 1 << 128, 1], scaled=True)
    rows = len(encoded)
    out = prime.zeros(rows * length)
    elements = np.ascontiguousarray(encoded).reshape(rows * encoded.shape[1], *encoded.shape[2:])
    (_weigh if prime.words == 1 else _weigh_wide)(elements, bits, last, out)
    return out.reshape(rows, length, *encoded.shape[2:])


@kernel
def _weigh(encoded: U64Array, bits: Number, last: U64Array, out: U64Array) -> None:
    weight = load(last, 0)
    for i in range(out.shape[0]):
        total = load(out, i)
        for bit in range(bits - 2, -1, -1):
            total = add(add(total, total), load(encoded, i * bits + bit))
        store(out, i, add(total, multiply(load(encoded, i * bits + bits - 1), weight)))


@kernel
def _weigh_wide(encoded: U64Array, bits: Number, last: U64Array, out: U64Array) -> None:
    """At most 63 bits of weights and 128 of an element are below 2^192, so nothing is reduced before the end."""
    weight, above, one = load(last, 0), load(last, 1), load(last, 2)
    none = np.uint64(0)
    for i in range(out.shape[0]):
        total = (none, none, none)
        for bit in range(bits - 2, -1, -1):
            total = doubled_and(total, load(encoded, i * bits + bit))
        low, middle, high = total
        value = add(multiply((low, middle), one), multiply((high, none), above))
        store(out, i, add(value, multiply(load(encoded, i * bits + bits - 1), weight)))
