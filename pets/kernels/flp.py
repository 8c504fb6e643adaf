"""Fully linear proofs that a measurement is valid: made by who knows it, checked on shares of both.

`prove` runs a circuit and writes the gadget's polynomial; `query` reads one share of a measurement and of its proof,
and gives a share of a verifier, which is linear in both; `decide` says of the sum of these which ones hold. A verifier
tells nothing of the measurement beyond that, as every wire has a random seed.

All take n submissions at a time. Rows of measurements and proofs may lie in longer ones, as in messages: `Rows`.
Challenges that would make a verifier tell more than it should (a test point that is a node) are told by `query`.

Source: draft-irtf-cfrg-vdaf-20, 7.3; Boneh et al., eprint 2019/188, theorem 4.3; Faz-Hernandez, eprint 2025/1727.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pets.kernels import wires
from pets.kernels.circuits import Chunked, Circuit, Count
from pets.kernels.jit import Number, U8Array, U64Array, kernel
from pets.kernels.polynomials import Nodes, lagrange_twice, shift
from pets.kernels.prime import add, exponent, is_zero, load, multiply, store, sub
from pets.kernels.wires import add_wires

ARITHMETIC: Final = "204febc6563f133e81790e6e291920880d4d78354430e26e5e1082aea72be80e"
"""SHA-256 of prime.py, polynomials.py and wires.py, with which this file must change, as numba keeps code by file."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of elements within longer rows: `array` flat, row i from element `start + i * stride` on."""

    array: U64Array
    stride: int
    start: int = 0

    @staticmethod
    def of(elements: U64Array) -> "Rows":
        """Rows of an (n, count) or (n, count, 2) array."""
        return Rows(flat(elements), elements.shape[1])


def flat(elements: U64Array) -> U64Array:
    """(n, count) to (n * count,); (n, count, 2) to (n * count, 2)."""
    return np.ascontiguousarray(elements).reshape(-1, *elements.shape[2:])


class Tables:
    """What proofs of one circuit share: its nodes, and those of twice the order, where the gadget's values lie."""

    def __init__(self, circuit: Circuit, shares: int) -> None:
        prime = circuit.prime
        self.circuit: Final = circuit
        self.nodes: Final = Nodes(prime, circuit.order)
        self.double: Final = Nodes(prime, 2 * circuit.order)
        self.square: Final = prime.array([prime.scale], scaled=True)
        self.exponent: Final = exponent(prime)
        self.whole: Final = prime.array([1])
        self.part: Final = prime.array([pow(shares, -1, prime.modulus)])


def prove(tables: Tables, measurements: U64Array, seeds: U64Array, joint: U64Array) -> U64Array:
    """Make the proof of each encoded measurement.

    Shapes:  measurements (n, encoded), seeds (n, arity), joint (n, joint) elements; result (n, proof) elements.
    Learned: by who has a whole proof, the measurement: it is for sharing, never for sending.
    Raises:  ValueError on a wrong shape: our bug. Whether the measurement is valid is not looked at.
    """
    circuit, rows = tables.circuit, len(measurements)
    _check(circuit, rows, (measurements, circuit.encoded), (seeds, circuit.arity), (joint, circuit.joint))
    out = circuit.prime.zeros(rows * circuit.proof)
    wires = circuit.prime.empty(4 * circuit.order)
    nodes = tables.nodes
    made = (nodes.roots, nodes.back, nodes.twist, nodes.share, tables.square, tables.whole)
    sizes = (rows, circuit.encoded, circuit.arity, circuit.calls, circuit.order)
    if isinstance(circuit, Chunked):
        _prove_chunks(flat(measurements), flat(seeds), flat(joint), *sizes, *made, wires, out)
    else:
        _prove_single(flat(measurements), flat(seeds), *sizes, isinstance(circuit, Count), *made, wires, out)
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
    for given, count in ((measurements, circuit.encoded), (proofs, circuit.proof)):
        if rows and (rows - 1) * given.stride + given.start + count > len(given.array):
            raise ValueError("rows end after their array")
    out = circuit.prime.zeros(rows * circuit.verifier)
    bad = np.zeros(rows, np.uint8)
    work = circuit.prime.empty(8 * circuit.order)
    lies = (measurements.array, measurements.stride, measurements.start, proofs.array, proofs.stride, proofs.start)
    sizes = (circuit.encoded, circuit.arity, circuit.calls, circuit.order)
    nodes, double = tables.nodes, tables.double
    points = (nodes.share, double.roots, double.share, nodes.one, tables.exponent, tables.square)
    if isinstance(circuit, Chunked):
        one_hot = circuit.reduced == 2
        scratch = wires.Scratch(circuit.calls)
        more: tuple[Any, ...] = (tables.part, work, scratch.fast, scratch.random, *scratch.arrays(), out, bad)
        _query_chunks(*lies, flat(challenges), flat(joint), *sizes, one_hot, *points, *more)
    else:
        _query_single(*lies, flat(challenges), *sizes, isinstance(circuit, Count), *points, work, out, bad)
    return out.reshape(rows, circuit.verifier, *challenges.shape[2:]), bad


def decide(tables: Tables, verifiers: U64Array) -> U8Array:
    """Which verifiers, added up over all shares, belong to valid measurements: 1, else 0. Verifiers are public.

    Shapes:  verifiers (n, verifier) elements; result (n,) uint8.
    Raises:  ValueError on a wrong shape: our bug.
    """
    circuit = tables.circuit
    _check(circuit, len(verifiers), (verifiers, circuit.verifier))
    out = np.zeros(len(verifiers), np.uint8)
    pairs = circuit.arity // 2
    _decide(flat(verifiers), circuit.verifier, pairs, tables.square, out)
    return out


def _check(circuit: Circuit, rows: int, *given: tuple[U64Array, int]) -> None:
    tail = (circuit.prime.words,) if circuit.prime.words > 1 else ()
    for array, count in given:
        if array.dtype != np.uint64 or array.shape != (rows, count, *tail):
            raise ValueError(f"expected {(rows, count, *tail)} words, got {array.shape} of {array.dtype}")


@kernel
def _prove_chunks(
    measurements: U64Array,
    seeds: U64Array,
    joint: U64Array,
    rows: Number,
    encoded: Number,
    arity: Number,
    calls: Number,
    order: Number,
    roots: U64Array,
    back: U64Array,
    twist: U64Array,
    share: U64Array,
    square: U64Array,
    whole: U64Array,
    wires: U64Array,
    out: U64Array,
) -> None:
    """`wires`: two wires of a product, then joint randomness and its powers. Values are added up without a scale."""
    even, odd, random, power = 0, order, 2 * order, 3 * order
    proof, one = arity + 2 * order - 1, load(whole, 0)
    zero = sub(one, one)
    for row in range(rows):
        gadget = row * proof + arity
        for call in range(calls):
            r = multiply(load(joint, row * calls + call), load(square, 0))
            store(wires, random + call, r)
            store(wires, power + call, r)
        for j in range(arity // 2):
            for side in range(2):
                seed = load(seeds, row * arity + 2 * j + side)
                store(wires, side * order, seed)
                store(out, row * proof + 2 * j + side, seed)
            for call in range(order - 1):
                left, right = zero, zero
                if call < calls:
                    at = call * (arity // 2) + j
                    element = load(measurements, row * encoded + at) if at < encoded else zero
                    weight = load(wires, power + call)
                    left, right = multiply(weight, element), sub(element, one)
                    store(wires, power + call, multiply(weight, load(wires, random + call)))
                store(wires, even + call + 1, left)
                store(wires, odd + call + 1, right)
            _add_products(wires, order, out, gadget, 0)
            shift(wires, even, order, roots, back, twist, share)
            shift(wires, odd, order, roots, back, twist, share)
            _add_products(wires, order, out, gadget, 1)
        for i in range(2 * order - 1):
            store(out, gadget + i, multiply(load(out, gadget + i), load(square, 0)))


@kernel
def _add_products(wires: U64Array, order: Number, out: U64Array, gadget: Number, side: Number) -> None:
    for i in range(order - side):  # the last value of all is not sent: it follows from the others
        at = gadget + 2 * i + side
        store(out, at, add(load(out, at), multiply(load(wires, i), load(wires, order + i))))


@kernel
def _prove_single(
    measurements: U64Array,
    seeds: U64Array,
    rows: Number,
    encoded: Number,
    arity: Number,
    calls: Number,
    order: Number,
    square_only: Number,
    roots: U64Array,
    back: U64Array,
    twist: U64Array,
    share: U64Array,
    square: U64Array,
    whole: U64Array,
    wires: U64Array,
    out: U64Array,
) -> None:
    """Count (`square_only`): the product of two wires that bring the measurement. Sum: x^2 - x of one wire."""
    proof = arity + 2 * order - 1
    zero = sub(load(whole, 0), load(whole, 0))
    for row in range(rows):
        gadget = row * proof + arity
        for wire in range(arity):
            seed = load(seeds, row * arity + wire)
            store(wires, wire * order, seed)
            store(out, row * proof + wire, seed)
            for call in range(order - 1):
                bit = load(measurements, row * encoded + call) if call < calls else zero
                store(wires, wire * order + call + 1, bit)
        for side in range(2):
            for i in range(order - side):
                first = load(wires, i)
                second = load(wires, order + i) if square_only else first
                value = multiply(multiply(first, second), load(square, 0))
                store(out, gadget + 2 * i + side, value if square_only else sub(value, first))
            if side == 0:
                for wire in range(arity):
                    shift(wires, wire * order, order, roots, back, twist, share)


@kernel
def _gadget(
    proofs: U64Array,
    at: Number,
    order: Number,
    share: U64Array,
    double_roots: U64Array,
    double_share: U64Array,
    one: U64Array,
    power: U64Array,
    point: U64Array,
    square: U64Array,
    work: U64Array,
    out: U64Array,
    place: Number,
) -> Number:
    """Write what wires weigh to `work`, and the gadget's value to `out[place]`.

    The last value follows from the others, as the polynomial's degree is below 2 * order - 1: all together, each times
    its node, are 0. Returns 1 if the point is a node of the wires.
    """
    x = multiply(load(point, 0), load(square, 0))
    weights = work[order + 1 :]
    bad = lagrange_twice(x, order, double_roots, share, double_share, one, power, work, weights)
    last = sub(load(one, 0), load(one, 0))
    for i in range(2 * order - 1):
        last = add(last, multiply(load(proofs, at + i), load(double_roots, i)))
    last = sub(sub(last, last), multiply(last, load(double_roots, 1)))
    value = multiply(last, load(weights, 2 * order - 1))
    for i in range(2 * order - 1):
        value = add(value, multiply(load(proofs, at + i), load(weights, i)))
    store(out, place, value)
    return bad


@kernel
def _query_chunks(
    measurements: U64Array,
    stride: Number,
    start: Number,
    proofs: U64Array,
    proof_stride: Number,
    proof_start: Number,
    challenges: U64Array,
    joint: U64Array,
    encoded: Number,
    arity: Number,
    calls: Number,
    order: Number,
    one_hot: Number,
    share: U64Array,
    double_roots: U64Array,
    double_share: U64Array,
    one: U64Array,
    power: U64Array,
    square: U64Array,
    part: U64Array,
    work: U64Array,
    fast: Number,
    random: U64Array,
    powers: U64Array,
    per_call: U64Array,
    columns: U64Array,
    mask: U64Array,
    tail: U64Array,
    constants: U64Array,
    shifts: U64Array,
    out: U64Array,
    bad: U8Array,
) -> None:
    """`one_hot`: two more challenges weigh the sum of products, and that the elements add up to 1."""
    chunk, verifier, asked = arity // 2, arity + 2, 3 if one_hot else 1
    for row in range(bad.shape[0]):
        seeds = proof_start + row * proof_stride
        gadget = seeds + arity
        first, place = start + row * stride, row * verifier
        point = challenges[(row + 1) * asked - 1 : (row + 1) * asked]
        bad[row] = _gadget(
            proofs, gadget, order, share, double_roots, double_share, one, power, point, square, work,
            out, place + verifier - 1,
        )  # fmt: skip
        total = sub(load(part, 0), load(part, 0))
        zero = total
        for call in range(1, calls + 1):
            total = add(total, load(proofs, gadget + 2 * call))
        for wire in range(arity):
            store(out, place + 1 + wire, multiply(load(proofs, seeds + wire), load(work, 0)))
        taken = zero  # what all odd wires lack: the weights of all calls times the share of 1
        for call in range(calls):
            store(random, call, multiply(load(joint, row * calls + call), load(square, 0)))
            taken = add(taken, multiply(load(part, 0), load(work, call + 1)))
        add_wires(
            fast, measurements, first, encoded, chunk, calls, random, work[1 : calls + 1],
            powers, per_call, columns, mask, tail, constants, shifts, out, place + 1,
        )  # fmt: skip
        for j in range(chunk):
            store(out, place + 2 + 2 * j, sub(load(out, place + 2 + 2 * j), taken))
        if one_hot:
            number = sub(zero, load(part, 0))
            for i in range(encoded):
                number = add(number, load(measurements, first + i))
            by, other = load(challenges, row * asked), load(challenges, row * asked + 1)
            total = multiply(total, multiply(by, load(square, 0)))
            total = add(total, multiply(number, multiply(other, load(square, 0))))
        store(out, place, total)


@kernel
def _query_single(
    measurements: U64Array,
    stride: Number,
    start: Number,
    proofs: U64Array,
    proof_stride: Number,
    proof_start: Number,
    challenges: U64Array,
    encoded: Number,
    arity: Number,
    calls: Number,
    order: Number,
    square_only: Number,
    share: U64Array,
    double_roots: U64Array,
    double_share: U64Array,
    one: U64Array,
    power: U64Array,
    square: U64Array,
    work: U64Array,
    out: U64Array,
    bad: U8Array,
) -> None:
    verifier, asked = arity + 2, calls + 1 if calls > 1 else 1
    for row in range(bad.shape[0]):
        seeds = proof_start + row * proof_stride
        gadget = seeds + arity
        first, place = start + row * stride, row * verifier
        point = challenges[(row + 1) * asked - 1 : (row + 1) * asked]
        bad[row] = _gadget(
            proofs, gadget, order, share, double_roots, double_share, one, power, point, square, work,
            out, place + verifier - 1,
        )  # fmt: skip
        total = sub(load(proofs, gadget), load(proofs, gadget))
        for call in range(calls):
            value = load(proofs, gadget + 2 * (call + 1))
            if asked > 1:
                value = multiply(value, multiply(load(challenges, row * asked + call), load(square, 0)))
            total = add(total, value)
        if square_only:
            total = sub(total, load(measurements, first))
        store(out, place, total)
        for wire in range(arity):
            value = multiply(load(proofs, seeds + wire), load(work, 0))
            for call in range(calls):
                value = add(value, multiply(load(measurements, first + call), load(work, call + 1)))
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
