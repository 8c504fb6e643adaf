"""Prio3 with integers and loops, for one submission: the slow twin of `pets.kernels.prio3` and all below it.

Written from the text of the draft: sums, products and polynomials are what their definitions say (interpolation is a
sum over all nodes), Keccak works on 25 integers. Messages are bytes. Nothing here is constant-time or fast.

Source: draft-irtf-cfrg-vdaf-20, sections 6 and 7; FIPS 202; RFC 9861.
"""

from collections.abc import Iterator
from dataclasses import dataclass

F64 = 2**64 - 2**32 + 1
F128 = 2**128 - 7 * 2**66 + 1
SIZES = {F64: 8, F128: 16}


# -- TurboSHAKE128 -----------------------------------------------------------------------------------------------------


def _bit(t: int) -> int:
    """Output t of the shift register of Keccak's constants."""
    register = [1, 0, 0, 0, 0, 0, 0, 0]
    for _ in range(t % 255):
        register = [0, *register]
        for place in (0, 4, 5, 6):
            register[place] ^= register[8]
        register = register[:8]
    return register[0]


CONSTANTS = [sum(_bit(j + 7 * i) << (2**j - 1) for j in range(7)) for i in range(24)]


def permute(lanes: list[list[int]], rounds: int) -> list[list[int]]:
    """Keccak-p[1600, rounds] of lanes[x][y]."""
    mask = 2**64 - 1

    def turn(word: int, by: int) -> int:
        return (word << by % 64 | word >> 64 - by % 64) & mask

    for constant in CONSTANTS[24 - rounds :]:
        parity = [a ^ b ^ c ^ d ^ e for a, b, c, d, e in lanes]
        lanes = [[lanes[x][y] ^ parity[x - 1] ^ turn(parity[(x + 1) % 5], 1) for y in range(5)] for x in range(5)]
        moved = [[0] * 5 for _ in range(5)]
        x, y, word = 1, 0, lanes[1][0]
        moved[0][0] = lanes[0][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            moved[x][y], word = turn(word, (t + 1) * (t + 2) // 2), lanes[x][y]
        lanes = [[moved[x][y] ^ (~moved[(x + 1) % 5][y] & moved[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        lanes[0][0] ^= constant
    return lanes


def sponge(message: bytes, domain: int, rounds: int = 12) -> Iterator[int]:
    """The bytes of TurboSHAKE128 without an end, or of SHAKE128 with 24 rounds and domain 0x1f."""
    padded = bytearray(message + bytes([domain]))
    padded += bytes(-len(padded) % 168)
    padded[-1] ^= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), 168):
        for i in range(21):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        lanes = permute(lanes, rounds)
    while True:
        for i in range(21):
            yield from lanes[i % 5][i // 5].to_bytes(8, "little")
        lanes = permute(lanes, rounds)


def xof(seed: bytes, algorithm: int, usage: int, context: bytes, binder: bytes) -> Iterator[int]:
    tag = bytes([18, 0]) + algorithm.to_bytes(4, "big") + usage.to_bytes(2, "big") + context
    return sponge(len(tag).to_bytes(2, "little") + tag + bytes([len(seed)]) + seed + binder, 1)


def taken(stream: Iterator[int], count: int) -> bytes:
    return bytes(next(stream) for _ in range(count))


def elements(stream: Iterator[int], p: int, count: int) -> list[int]:
    """The first `count` numbers below p, which are drawn from as many bits as p has."""
    found: list[int] = []
    while len(found) < count:
        number = int.from_bytes(taken(stream, SIZES[p]), "little")
        if number < p:
            found.append(number)
    return found


def encoded(values: list[int], p: int) -> bytes:
    return b"".join(value.to_bytes(SIZES[p], "little") for value in values)


# -- circuits ----------------------------------------------------------------------------------------------------------


@dataclass
class Circuit:
    """`kind`: count, sum, vector or histogram; `greatest` of a sum or vector, `length` and `chunk` of the last two."""

    kind: str
    greatest: int = 1
    length: int = 1
    chunk: int = 1

    @property
    def p(self) -> int:
        return F64 if self.kind in ("count", "sum") else F128

    @property
    def algorithm(self) -> int:
        return ["count", "sum", "vector", "histogram"].index(self.kind) + 1

    @property
    def weights(self) -> list[int]:
        """What the bits of one number weigh."""
        bits = self.greatest.bit_length()
        low = [2**i for i in range(bits - 1)]
        return [*low, self.greatest - sum(low)]

    @property
    def size(self) -> int:
        return {"count": 1, "histogram": self.length}.get(self.kind, self.length * len(self.weights))

    @property
    def chunked(self) -> bool:
        return self.p == F128

    @property
    def calls(self) -> int:
        return -(-self.size // self.chunk) if self.chunked else self.size

    @property
    def wires(self) -> int:
        return 2 * self.chunk if self.chunked else {"count": 2, "sum": 1}[self.kind]

    @property
    def nodes(self) -> int:
        n = 1
        while n < self.calls + 1:
            n *= 2
        return n

    @property
    def outputs(self) -> int:
        """Outputs of the circuit before they are reduced to one."""
        return {"sum": self.size, "histogram": 2}.get(self.kind, 1)

    def encode(self, measurement: int | list[int]) -> list[int]:
        if self.kind == "count":
            return [int(measurement)]  # type: ignore[arg-type]
        if self.kind == "histogram":
            return [int(cell == measurement) for cell in range(self.length)]
        out: list[int] = []
        for number in [measurement] if isinstance(measurement, int) else measurement:
            top = number > sum(self.weights[:-1])
            rest = number - self.weights[-1] * top
            out += [rest >> i & 1 for i in range(len(self.weights) - 1)] + [int(top)]
        return out

    def truncate(self, share: list[int]) -> list[int]:
        if self.kind in ("count", "histogram"):
            return share
        step = len(self.weights)
        return [
            sum(w * x for w, x in zip(self.weights, share[i : i + step], strict=True)) % self.p
            for i in range(0, len(share), step)
        ]

    def gadget(self, inputs: list[int]) -> int:
        if self.kind == "sum":
            return (inputs[0] ** 2 - inputs[0]) % self.p
        return sum(a * b for a, b in zip(inputs[::2], inputs[1::2], strict=True)) % self.p

    def inputs(self, share: list[int], joint: list[int], shares: int) -> list[list[int]]:
        """What goes into the gadget, call by call."""
        if self.kind == "count":
            return [[share[0], share[0]]]
        if self.kind == "sum":
            return [[x] for x in share]
        part = pow(shares, -1, self.p)
        padded = share + [0] * (self.calls * self.chunk - len(share))
        calls = []
        for call, r in enumerate(joint):
            row: list[int] = []
            for j in range(self.chunk):
                x = padded[call * self.chunk + j]
                row += [pow(r, j + 1, self.p) * x % self.p, (x - part) % self.p]
            calls.append(row)
        return calls

    def result(self, share: list[int], gadgets: list[int], shares: int) -> list[int]:
        """The circuit's outputs, from what the gadget gives in each call."""
        if self.kind == "count":
            return [(gadgets[0] - share[0]) % self.p]
        if self.kind == "sum":
            return gadgets
        if self.kind == "vector":
            return [sum(gadgets) % self.p]
        return [sum(gadgets) % self.p, (sum(share) - pow(shares, -1, self.p)) % self.p]


def at(values: list[int], x: int, p: int) -> int:
    """The polynomial with these values at the powers of a root of their number, at x: by its coefficients."""
    n = len(values)
    root = pow(7, (p - 1) // n, p)
    total = 0
    for i in range(n):
        coefficient = sum(v * pow(root, -i * k % n, p) for k, v in enumerate(values)) * pow(n, -1, p)
        total += coefficient * pow(x, i, p)
    return total % p


def columns(circuit: Circuit, seeds: list[int], calls: list[list[int]]) -> list[list[int]]:
    """The values of each wire's polynomial at the nodes: seed, calls, zeros."""
    rest = [0] * (circuit.nodes - 1 - len(calls))
    return [[seed, *(call[wire] for call in calls), *rest] for wire, seed in enumerate(seeds)]


def prove(circuit: Circuit, measurement: list[int], seeds: list[int], joint: list[int]) -> list[int]:
    p, n = circuit.p, circuit.nodes
    wires = columns(circuit, seeds, circuit.inputs(measurement, joint, 1))
    root = pow(7, (p - 1) // (2 * n), p)
    points = [pow(root, k, p) for k in range(2 * n - 1)]
    return seeds + [circuit.gadget([at(wire, x, p) for wire in wires]) for x in points]


def query(
    circuit: Circuit, share: list[int], proof: list[int], challenges: list[int], joint: list[int], shares: int
) -> list[int]:
    p, n = circuit.p, circuit.nodes
    seeds, values = proof[: circuit.wires], proof[circuit.wires :]
    root = pow(7, (p - 1) // (2 * n), p)
    missing = -sum(v * pow(root, k, p) for k, v in enumerate(values)) * root % p
    gadget = [*values, missing]
    outputs = circuit.result(share, [gadget[2 * k] for k in range(1, circuit.calls + 1)], shares)
    if len(outputs) > 1:
        outputs = [sum(c * o for c, o in zip(challenges, outputs, strict=False)) % p]
    x = challenges[-1]
    wires = columns(circuit, seeds, circuit.inputs(share, joint, shares))
    return [*outputs, *(at(wire, x, p) for wire in wires), at(gadget, x, p)]


def decide(circuit: Circuit, verifier: list[int]) -> bool:
    return verifier[0] == 0 and circuit.gadget(verifier[1:-1]) == verifier[-1]


# -- Prio3 -------------------------------------------------------------------------------------------------------------


@dataclass
class Prio3:
    circuit: Circuit
    parties: int
    context: bytes
    nonce: bytes

    def _xof(self, seed: bytes, usage: int, binder: bytes) -> Iterator[int]:
        return xof(seed, self.circuit.algorithm, usage, self.context, binder)

    def _share(self, party: int, seed: bytes) -> tuple[list[int], list[int]]:
        c = self.circuit
        measurement = elements(self._xof(seed, 1, bytes([party])), c.p, c.size)
        return measurement, elements(self._xof(seed, 2, bytes([1, party])), c.p, c.wires + 2 * c.nodes - 1)

    def _part(self, party: int, blind: bytes, share: list[int]) -> bytes:
        return taken(self._xof(blind, 7, bytes([party]) + self.nonce + encoded(share, self.circuit.p)), 32)

    def _seed(self, parts: list[bytes]) -> bytes:
        return taken(self._xof(bytes(32), 6, b"".join(parts)), 32)

    def _joint(self, seed: bytes) -> list[int]:
        return elements(self._xof(seed, 3, b"\1"), self.circuit.p, self.circuit.calls)

    def shard(self, measurement: int | list[int], coins: bytes) -> tuple[bytes, list[bytes]]:
        c, p = self.circuit, self.circuit.p
        seeds = [coins[i : i + 32] for i in range(0, len(coins), 32)]
        helpers = [[seeds.pop(0), seeds.pop(0)] if c.chunked else [seeds.pop(0)] for _ in range(self.parties - 1)]
        shares = [self._share(party, helper[0]) for party, helper in enumerate(helpers, 1)]
        whole = c.encode(measurement)
        own = [(x - sum(share[0][i] for share in shares)) % p for i, x in enumerate(whole)]
        public, joint, blind = [], [], b""
        if c.chunked:
            blind = seeds.pop(0)
            public = [self._part(0, blind, own)]
            public += [self._part(i, helpers[i - 1][1], shares[i - 1][0]) for i in range(1, self.parties)]
            joint = self._joint(self._seed(public))
        proof = prove(c, whole, elements(self._xof(seeds.pop(0), 4, b"\1"), p, c.wires), joint)
        rest = [(x - sum(share[1][i] for share in shares)) % p for i, x in enumerate(proof)]
        return b"".join(public), [encoded(own + rest, p) + blind, *(b"".join(helper) for helper in helpers)]

    def begin(self, key: bytes, party: int, public: bytes, share: bytes) -> tuple[list[int], bytes, bytes]:
        """A share of the outputs, the joint randomness seed, a share of a verifier."""
        c, p = self.circuit, self.circuit.p
        if party:
            measurement, proof = self._share(party, share[:32])
        else:
            width = SIZES[p]
            numbers = [int.from_bytes(share[i : i + width], "little") for i in range(0, len(share), width)]
            measurement, proof = numbers[: c.size], numbers[c.size : c.size + c.wires + 2 * c.nodes - 1]
        part, seed, joint = b"", b"", []
        if c.chunked:
            part = self._part(party, share[-32:], measurement)
            parts = [public[i : i + 32] for i in range(0, len(public), 32)]
            parts[party] = part
            seed = self._seed(parts)
            joint = self._joint(seed)
        asked = 1 + (c.outputs if c.outputs > 1 else 0)
        challenges = elements(self._xof(key, 5, b"\1" + self.nonce), p, asked)
        verifier = query(c, measurement, proof, challenges, joint, self.parties)
        return c.truncate(measurement), seed, encoded(verifier, p) + part
