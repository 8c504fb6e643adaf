"""Fully linear proofs that a measurement is valid: made by who knows it, checked on shares of both.

`prove` runs a circuit and writes the gadget's polynomial; `query` reads one share of a measurement and of its proof,
and gives a share of a verifier, which is linear in both; `decide` says of the sum of these which ones hold. A verifier
tells nothing of the measurement beyond that, as every wire has a random seed.

All take n submissions at a time. Rows of measurements and proofs may lie in longer ones, as in messages: `Rows`.
Challenges that would make a verifier tell more than it should (a test point that is a node) are told by `query`.

Source: draft-irtf-cfrg-vdaf-20, 7.3; Boneh et al., eprint 2019/188, theorem 4.3; Faz-Hernandez, eprint 2025/1727.
"""

from typing import Final, NamedTuple

import numpy as np

from pets.kernels import wires
from pets.kernels.circuits import Chunked, Circuit
from pets.kernels.jit import Number, U8Array, U64Array, inlined, kernel
from pets.kernels.polynomials import Nodes, lagrange_twice, shift
from pets.kernels.prime import add, exponent, is_zero, load, multiply, store, sub
from pets.kernels.wires import add_wires

ARITHMETIC: Final = "80eb9b2af336db108895ccf1fd7c5ad1c43552ab778f02f7bd0e174e674f5b14"
"""SHA-256 of prime.py, polynomials.py and wires.py, with which this file must change, as numba keeps code by file."""


class Rows(NamedTuple):
    """Rows of elements within longer rows: `array` flat, row i from element `start + i * stride` on."""

    array: U64Array
    stride: int
    start: int = 0

    @staticmethod
    def of(elements: U64Array) -> "Rows":
        """Rows of an (n, count) or (n, count, 2) array."""
        return Rows(flat(elements), elements.shape[1])


class Sizes(NamedTuple):
    """Of a circuit, for kernels: as ``Circuit`` has them."""

    encoded: int
    arity: int
    calls: int
    order: int
    query: int


class Making(NamedTuple):
    """What makes a proof: of ``Nodes`` roots, back, twist and share; R^2 and 1; and memory of four wires."""

    roots: U64Array
    back: U64Array
    twist: U64Array
    share: U64Array
    square: U64Array
    whole: U64Array
    wires: U64Array


class Asking(NamedTuple):
    """What queries a proof: of nodes their share and one, of those of twice the order roots and share; the exponent of
    an inverse; R^2; a party's share of 1; and memory for what wires and the gadget's values weigh.
    """

    share: U64Array
    double_roots: U64Array
    double_share: U64Array
    one: U64Array
    power: U64Array
    square: U64Array
    part: U64Array
    work: U64Array


def flat(elements: U64Array) -> U64Array:
    """(n, count) to (n * count,); (n, count, 2) to (n * count, 2)."""
    return np.ascontiguousarray(elements).reshape(-1, *elements.shape[2:])


class Tables:
    """What proofs of one circuit share: its nodes, and those of twice the order, where the gadget's values lie."""

    def __init__(self, circuit: Circuit, shares: int) -> None:
        prime = circuit.prime
        self.circuit: Final = circuit
        self.sizes: Final = Sizes(circuit.encoded, circuit.arity, circuit.calls, circuit.order, circuit.query)
        self.square: Final = prime.array([prime.scale], scaled=True)
        self._nodes: Final = Nodes(prime, circuit.order)
        self._double: Final = Nodes(prime, 2 * circuit.order)
        self._exponent: Final = exponent(prime)
        self._whole: Final = prime.array([1])
        self._part: Final = prime.array([pow(shares, -1, prime.modulus)])

    def making(self) -> Making:
        """With memory of its own, as each call from another thread needs it."""
        nodes, wires = self._nodes, self.circuit.prime.empty(4 * self.circuit.order)
        return Making(nodes.roots, nodes.back, nodes.twist, nodes.share, self.square, self._whole, wires)

    def asking(self) -> Asking:
        """The same for queries."""
        nodes, double, work = self._nodes, self._double, self.circuit.prime.empty(8 * self.circuit.order)
        ends = (nodes.one, self._exponent, self.square, self._part, work)
        return Asking(nodes.share, double.roots, double.share, *ends)


def prove(tables: Tables, measurements: U64Array, seeds: U64Array, joint: U64Array) -> U64Array:
    """Make the proof of each encoded measurement.

    Shapes:  measurements (n, encoded), seeds (n, arity), joint (n, joint) elements; result (n, proof) elements.
    Learned: by who has a whole proof, the measurement: it is for sharing, never for sending.
    Raises:  ValueError on a wrong shape: our bug. Whether the measurement is valid is not looked at.
    """
    circuit, rows = tables.circuit, len(measurements)
    _check(circuit, rows, (measurements, circuit.encoded), (seeds, circuit.arity), (joint, circuit.joint))
    out = circuit.prime.zeros(rows * circuit.proof)
    if isinstance(circuit, Chunked):
        _prove_chunks(flat(measurements), flat(seeds), flat(joint), rows, tables.sizes, tables.making(), out)
    else:
        _prove_single(flat(measurements), flat(seeds), rows, tables.sizes, tables.making(), out)
    return out.reshape(rows, circuit.proof, *measurements.shape[2:])


def query(
    tables: Tables, rows: int, measurements: Rows, proofs: Rows, challenges: U64Array, joint: U64Array
) -> tuple[U64Array, U8Array]:
    """Query one share of each measurement and its proof at its challenges: a share of its verifier.

    Shapes:  challenges (n, query), joint (n, joint) elements; result (n, verifier) elements, and (n,) uint8: 1 where
             the test point is a node, so that the verifier would tell an input and must not be sent.
    Raises:  ValueError on a wrong shape: our bug.
    """
    circuit = tables.circuit
    _check(circuit, rows, (challenges, circuit.query), (joint, circuit.joint))
    for lies, count in ((measurements, circuit.encoded), (proofs, circuit.proof)):
        if rows and (rows - 1) * lies.stride + lies.start + count > len(lies.array):
            raise ValueError("rows end after their array")
    out = circuit.prime.zeros(rows * circuit.verifier)
    bad = np.zeros(rows, np.uint8)
    given = (measurements, proofs, flat(challenges))
    if isinstance(circuit, Chunked):
        scratch = wires.scratch(circuit.calls)
        _query_chunks(*given, flat(joint), tables.sizes, tables.asking(), scratch, out, bad)
    else:
        _query_single(*given, tables.sizes, tables.asking(), out, bad)
    return out.reshape(rows, circuit.verifier, *challenges.shape[2:]), bad


def decide(tables: Tables, verifiers: U64Array) -> U8Array:
    """Which verifiers, added up over all shares, belong to valid measurements: 1, else 0. Verifiers are public.

    Shapes:  verifiers (n, verifier) elements; result (n,) uint8.
    Raises:  ValueError on a wrong shape: our bug.
    """
    circuit = tables.circuit
    _check(circuit, len(verifiers), (verifiers, circuit.verifier))
    out = np.zeros(len(verifiers), np.uint8)
    _decide(flat(verifiers), circuit.verifier, circuit.arity // 2, tables.square, out)
    return out


def _check(circuit: Circuit, rows: int, *given: tuple[U64Array, int]) -> None:
    tail = (circuit.prime.words,) if circuit.prime.words > 1 else ()
    for array, count in given:
        if array.dtype != np.uint64 or array.shape != (rows, count, *tail):
            raise ValueError(f"expected {(rows, count, *tail)} words, got {array.shape} of {array.dtype}")


@kernel
def _prove_chunks(
    measurements: U64Array, seeds: U64Array, joint: U64Array, rows: Number, sizes: Sizes, by: Making, out: U64Array
) -> None:
    """In memory: two wires of a product, then joint randomness and its powers. Values are added up without a scale."""
    encoded, arity, calls, order, _ = sizes
    wires, square = by.wires, load(by.square, 0)
    random, power = 2 * order, 3 * order
    proof, one = arity + 2 * order - 1, load(by.whole, 0)
    zero = sub(one, one)
    for row in range(rows):
        gadget = row * proof + arity
        for call in range(calls):
            r = multiply(load(joint, row * calls + call), square)
            store(wires, random + call, r)
            store(wires, power + call, r)
        for j in range(arity // 2):
            for side in range(2):
                _seed(seeds, row * arity + 2 * j + side, wires, side * order, out, row * proof + 2 * j + side)
            for call in range(order - 1):
                left, right = zero, zero
                if call < calls:
                    at = call * (arity // 2) + j
                    element = load(measurements, row * encoded + at) if at < encoded else zero
                    weight = load(wires, power + call)
                    left, right = multiply(weight, element), sub(element, one)
                    store(wires, power + call, multiply(weight, load(wires, random + call)))
                store(wires, call + 1, left)
                store(wires, order + call + 1, right)
            _add_products(wires, order, out, gadget, 0)
            for side in range(2):
                shift(wires, side * order, order, by.roots, by.back, by.twist, by.share)
            _add_products(wires, order, out, gadget, 1)
        for i in range(2 * order - 1):
            store(out, gadget + i, multiply(load(out, gadget + i), square))


@inlined
def _seed(seeds: U64Array, at: Number, wires: U64Array, wire: Number, out: U64Array, place: Number) -> None:
    """The first value of a wire is its seed, which is sent."""
    seed = load(seeds, at)
    store(wires, wire, seed)
    store(out, place, seed)


@kernel
def _add_products(wires: U64Array, order: Number, out: U64Array, gadget: Number, side: Number) -> None:
    for i in range(order - side):  # the last value of all is not sent: it follows from the others
        at = gadget + 2 * i + side
        store(out, at, add(load(out, at), multiply(load(wires, i), load(wires, order + i))))


@kernel
def _prove_single(
    measurements: U64Array, seeds: U64Array, rows: Number, sizes: Sizes, by: Making, out: U64Array
) -> None:
    """Count: the product of two wires that bring the measurement. Sum: x^2 - x of one wire."""
    encoded, arity, calls, order, _ = sizes
    wires, square, pair = by.wires, load(by.square, 0), arity == 2
    proof = arity + 2 * order - 1
    zero = sub(square, square)
    for row in range(rows):
        gadget = row * proof + arity
        for wire in range(arity):
            _seed(seeds, row * arity + wire, wires, wire * order, out, row * proof + wire)
            for call in range(order - 1):
                bit = load(measurements, row * encoded + call) if call < calls else zero
                store(wires, wire * order + call + 1, bit)
        for side in range(2):
            for i in range(order - side):
                first = load(wires, i)
                second = load(wires, order + i) if pair else first
                value = multiply(multiply(first, second), square)
                store(out, gadget + 2 * i + side, value if pair else sub(value, first))
            if side == 0:
                for wire in range(arity):
                    shift(wires, wire * order, order, by.roots, by.back, by.twist, by.share)


@kernel
def _begin(
    proofs: Rows, row: Number, sizes: Sizes, challenges: U64Array, by: Asking, out: U64Array
) -> tuple[Number, Number]:
    """Write what is alike for all circuits: what wires weigh to `by.work`, the gadget's value, and each wire's seed.

    The gadget's last value follows from the others, as the polynomial's degree is below 2 * order - 1: all together,
    each times its node, are 0. Returns 1 if the point is a node of the wires, and where the gadget's values begin.
    """
    _, arity, _, order, asked = sizes
    seeds, place = proofs.start + row * proofs.stride, row * (arity + 2)
    gadget, double = seeds + arity, by.double_roots
    weights = by.work[order + 1 :]
    x = multiply(load(challenges, (row + 1) * asked - 1), load(by.square, 0))
    bad = lagrange_twice(x, order, double, by.share, by.double_share, by.one, by.power, by.work, weights)
    last = sub(x, x)
    for i in range(2 * order - 1):
        last = add(last, multiply(load(proofs.array, gadget + i), load(double, i)))
    last = sub(sub(last, last), multiply(last, load(double, 1)))
    value = multiply(last, load(weights, 2 * order - 1))
    for i in range(2 * order - 1):
        value = add(value, multiply(load(proofs.array, gadget + i), load(weights, i)))
    store(out, place + arity + 1, value)
    for wire in range(arity):
        store(out, place + 1 + wire, multiply(load(proofs.array, seeds + wire), load(by.work, 0)))
    return bad, gadget


@kernel
def _query_chunks(
    measurements: Rows,
    proofs: Rows,
    challenges: U64Array,
    joint: U64Array,
    sizes: Sizes,
    by: Asking,
    scratch: wires.Scratch,
    out: U64Array,
    bad: U8Array,
) -> None:
    """Two challenges of a histogram weigh that products add up to 0 and elements to 1; the last one is the point."""
    encoded, arity, calls, _, asked = sizes
    chunk, one_hot = arity // 2, asked > 1
    part, square = load(by.part, 0), load(by.square, 0)
    zero = sub(part, part)
    for row in range(bad.shape[0]):
        bad[row], gadget = _begin(proofs, row, sizes, challenges, by, out)
        first, place = measurements.start + row * measurements.stride, row * (arity + 2)
        total = zero
        for call in range(1, calls + 1):
            total = add(total, load(proofs.array, gadget + 2 * call))
        taken = zero  # what all odd wires lack: the weights of all calls times the share of 1
        for call in range(calls):
            store(scratch.random, call, multiply(load(joint, row * calls + call), square))
            taken = add(taken, multiply(part, load(by.work, call + 1)))
        weights = by.work[1 : calls + 1]
        add_wires(measurements.array, first, encoded, chunk, calls, weights, scratch, out, place + 1)
        for j in range(chunk):
            store(out, place + 2 + 2 * j, sub(load(out, place + 2 + 2 * j), taken))
        if one_hot:
            number = sub(zero, part)
            for i in range(encoded):
                number = add(number, load(measurements.array, first + i))
            products, whole = load(challenges, row * asked), load(challenges, row * asked + 1)
            total = multiply(total, multiply(products, square))
            total = add(total, multiply(number, multiply(whole, square)))
        store(out, place, total)


@kernel
def _query_single(
    measurements: Rows,
    proofs: Rows,
    challenges: U64Array,
    sizes: Sizes,
    by: Asking,
    out: U64Array,
    bad: U8Array,
) -> None:
    """A challenge for each call weighs its output, if there are several; the last is the point."""
    _, arity, calls, _, asked = sizes
    square = load(by.square, 0)
    for row in range(bad.shape[0]):
        bad[row], gadget = _begin(proofs, row, sizes, challenges, by, out)
        first, place = measurements.start + row * measurements.stride, row * (arity + 2)
        total = sub(square, square)
        for call in range(calls):
            value = load(proofs.array, gadget + 2 * (call + 1))
            if asked > 1:
                value = multiply(value, multiply(load(challenges, row * asked + call), square))
            total = add(total, value)
        if arity == 2:  # of a Count the product less its one element
            total = sub(total, load(measurements.array, first))
        store(out, place, total)
        for wire in range(arity):
            value = load(out, place + 1 + wire)
            for call in range(calls):
                value = add(value, multiply(load(measurements.array, first + call), load(by.work, call + 1)))
            store(out, place + 1 + wire, value)


@kernel
def _decide(verifiers: U64Array, verifier: Number, pairs: Number, square: U64Array, out: U8Array) -> None:
    """`pairs` of wires are multiplied and added up; without any, the one wire is x of x^2 - x."""
    for row in range(out.shape[0]):
        at = row * verifier
        if pairs:
            value = multiply(load(verifiers, at + 1), load(verifiers, at + 2))
            for j in range(1, pairs):
                value = add(value, multiply(load(verifiers, at + 1 + 2 * j), load(verifiers, at + 2 + 2 * j)))
            value = multiply(value, load(square, 0))
        else:
            x = load(verifiers, at + 1)
            value = sub(multiply(multiply(x, x), load(square, 0)), x)
        good = is_zero(load(verifiers, at)) and is_zero(sub(value, load(verifiers, at + verifier - 1)))
        out[row] = 1 if good else 0
