"""vole_psi for tests: sets of Python, and its terms, a second time.

``Reading`` follows docs/rules/terms.md. Transfers, products, hashes and lists are written again, over hashlib, Python's
integers and the slow group of tests/oracles; tables, trees and the code are those of ``pets/kernels``, which
tests/kernels hold to slow ones of their own.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np

from pets.kernels import binned, ggm, prf, vole
from pets.kernels.blkacc import Code
from pets.protocols import vole_psi
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.term import Call, Sum, Term
from tests.oracles import ristretto, terms
from tests.oracles.intersections import binding, drawn, hashed, people, rows_of
from tests.oracles.terms import Meaningless

CARD = load_cards()[vole_psi.PROTOCOL]
OWN = {"own_r": "receiver", "own_s": "sender"}
POLYNOMIAL = 0x87
WORDS = (0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF)


@dataclass(frozen=True)
class Case:
    """Persons of both sides, each once, and declared sizes. ``width``: bytes of their columns.

    ``values``: columns that the sender gives; ``both``: 1 if it learns places, too.
    """

    ids_r: list[bytes]
    ids_s: list[bytes]
    n_r: int
    n_s: int
    width: tuple[int, int] = (10, 10)
    values: tuple[tuple[int, ...], ...] = ()
    both: int = 0

    def public(self) -> dict[str, int]:
        return {"n_r": self.n_r, "n_s": self.n_s, "p": len(self.values), "both": self.both}

    def oracle(self) -> list[int]:
        theirs = set(self.ids_s)
        return [place for place, one in enumerate(self.ids_r) if one in theirs]

    def given(self) -> list[list[int]]:
        """The sender's columns at whom both have, in the receiver's order."""
        at = [self.ids_s.index(self.ids_r[place]) for place in self.oracle()]
        return [[column[place] for place in at] for column in self.values]

    def told(self) -> list[int] | None:
        mine = set(self.ids_r)
        return [place for place, one in enumerate(self.ids_s) if one in mine] if self.both else None


def random_case(seed: int) -> Case:
    """Any two sets, from nobody to one against a thousand, with room to spare or none."""
    rng = random.Random(f"vole {seed}")
    few, many = rng.choice([0, 1, 2, 7]), rng.choice([0, 1, 3, 9, 20, 60])
    if rng.random() < 0.05:
        few, many = rng.choice([0, 1, 5]), 1000
    sizes = [few, many] if rng.random() < 0.5 else [many, few]
    known = people(*range(1, max(1, round(sum(sizes) * rng.choice([0.6, 1, 1, 3]))) + 1))
    sets = [rng.sample(known, min(size, len(known))) for size in sizes]
    if rng.random() < 0.1:
        sets[1] = rng.sample(sets[0], len(sets[0]))
    widths = rng.choice([(10, 10), (10, 10), (13, 10), (14, 40)])
    declared = [len(one) + rng.choice([0, 0, 1, 30]) for one in sets]
    values = tuple(tuple(rng.choices(WORDS, k=len(sets[1]))) for _ in range(rng.choice([0, 0, 1, 2, 5])))
    return Case(sets[0], sets[1], declared[0], declared[1], widths, values, rng.randrange(2))


def entropy(seed: int, role: str) -> Secret[bytes]:
    return drawn(seed, role, vole_psi.ENTROPY_BYTES)


def fixed(case: Case) -> bool:
    return max(case.width) <= 13


def shape(case: Case) -> vole_psi.Shape:
    names = CARD.names(case.public())
    sizes = {name: names[name] for name in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    return vole_psi.Shape(**sizes, fixed_ids=fixed(case))


def roles(case: Case, seed: int = 1, *, code: Any = vole_psi, tied: Binding | None = None) -> dict[str, Role[Any]]:
    sizes, tied = shape(case), tied or binding(seed)
    values = np.array(case.values, np.uint64).reshape(len(case.values), len(case.ids_s))
    return {
        "receiver": code.receiver(sizes, rows_of(case.ids_r, case.width[0]), tied, entropy(seed, "receiver")),
        "sender": code.sender(sizes, rows_of(case.ids_s, case.width[1]), tied, entropy(seed, "sender"), values),
    }


# -- the terms --------------------------------------------------------------------------------------------------------


def xor(*rows: bytes) -> bytes:
    total = 0
    for row in rows:
        total ^= int.from_bytes(row, "little")
    return total.to_bytes(len(rows[0]), "little")


def times(a: int, b: int) -> int:
    """The product in GF(2^128), bit i the coefficient of x^i."""
    out = 0
    while b:
        out ^= a if b & 1 else 0
        b, a = b >> 1, a << 1
        if a >> 128:
            a ^= 1 << 128 | POLYNOMIAL
    return out


def stream(key: bytes, count: int, first: int = 0) -> bytes:
    """Bytes of a stream from a block on."""
    blocks = range(first, first + -(-count // 16))
    return terms.aes(key, b"".join(block.to_bytes(16, "big") for block in blocks))[:count]


def davies_meyer(key: bytes, block: bytes) -> bytes:
    return xor(terms.aes(key, block), block)


@cache
def multiple(element: bytes, scalar: int) -> bytes:
    found = ristretto.decode(element)
    if found is None:
        raise Meaningless("what is no element is multiplied")
    return found.times(scalar).encode()


@cache
def code_of(width: int) -> Code:
    return Code(width)


@dataclass
class Reading:
    """What the terms of the card come to in one run."""

    case: Case
    seed: int
    card: Card = CARD
    _known: dict[str, list[bytes]] = field(default_factory=dict)

    begun: ClassVar[bytes] = b"pets/1-vole-psi-"
    first: ClassVar[int] = 256
    """First transfers."""
    skipped: ClassVar[int] = 1
    """Blocks that are drawn before the scalars of choices."""
    nobody: ClassVar[int] = 3
    """Which of a role's secrets draws entries of nobody."""
    multiple: ClassVar[Callable[[bytes, int], bytes]] = staticmethod(multiple)

    def __post_init__(self) -> None:
        self.names = self.card.names(self.case.public())
        self.tied = binding(self.seed)
        self.secrets = {}
        for key, role in OWN.items():
            drawn = entropy(self.seed, role).expose("a test")
            self.secrets[key] = [drawn[at : at + 16] for at in range(0, 64, 16)]

    @property
    def size(self) -> binned.Size:
        return binned.Size(self.names["n_list_r"])

    @property
    def vector(self) -> vole.Shape:
        return vole.Shape(self.names["slots"])

    def public(self, label: bytes, begun: bytes | None = None) -> bytes:
        begun = self.begun if begun is None else begun
        return hashlib.sha256(begun + label + self.tied.digest + self.tied.run_id).digest()[:16]

    def message(self, label: str) -> list[bytes]:
        if label not in self._known:
            found = [message for message in self.card.messages if message.label == label]
            if not found:
                raise Meaningless(f"{label} is no message")
            self._known[label] = self.value(found[0].meaning)
        return self._known[label]

    def value(self, term: Term) -> list[bytes]:
        match term:
            case str():
                return self.message(term)
            case Sum(parts) if all(sign == 1 for sign, _ in parts):
                values = [self.value(part) for _, part in parts]
                if len({len(value) for value in values}) > 1:
                    raise Meaningless("what is added has two lengths")
                return [xor(*row) for row in zip(*values, strict=True)]
            case Call("offers", (str(key),)):
                return [self.multiple(base, self.scalar(key, i, 0)) for i, base in enumerate(self.bases())]
            case Call("choices", (str(key),)):
                bases, bits = self.bases(), self.bits(key)
                return [
                    self.multiple(bases[bits >> j & 1], self.scalar(key, j, self.skipped)) for j in range(self.first)
                ]
            case Call("seed", (str(key),)):
                return [stream(self.secrets[key][2], 16)]
            case Call("vector", (str(key),)):
                return self.vector_of(key)
            case Call("written", (seed, *lists)):
                return self.written(self.value(seed), lists)
            case Call("asked", (str(key), points)):
                return self.asked(key, self.value(points))
            case Call("products", (str(key), points)):
                return self.products(key, self.value(points))
            case Call("levels", (str(key), points, asked)):
                return self.levels(key, self.value(points), self.value(asked))
            case Call("leaves", (str(key), points, products)):
                return self.leaves(key, self.value(points), self.value(products))
            case Call("cut", (inner,)):
                return [row[: self.names["t"]] for row in self.value(inner)]
            case Call("sealed", (Call() as inner, Call("payload", (str(role),)))):
                return self.sealed(inner, role)
            case Call("told", (str(label), *lists)):
                return self.told(label, lists)
            case Call("sort", (inner,)):
                return sorted(self.value(inner))
            case Call("read", (str(key), seed, table, *lists)):
                return self.read(key, self.value(seed), self.value(table), lists)
        raise Meaningless(f"{term} says nothing")

    # transfers

    def bases(self) -> list[bytes]:
        tag = b"pets/1-transfers-" + self.tied.digest + self.tied.run_id
        return [hashed(bytes([i]), tag).encode() for i in range(2)]

    def scalar(self, key: str, number: int, skipped: int) -> int:
        """``skipped``: blocks of the stream before the first scalar."""
        drawn = stream(self.secrets[key][0], 64, skipped + 4 * number)
        return int.from_bytes(drawn, "little") % ristretto.ORDER

    def delta(self, key: str) -> int:
        return int.from_bytes(stream(self.secrets[key][1], 16), "little")

    def bits(self, key: str) -> int:
        return int.from_bytes(stream(self.secrets[key][0], 16), "little") | self.delta(key) << 128

    def hashed_key(self, number: int, side: int, point: bytes, offered: list[bytes], chosen: list[bytes]) -> bytes:
        said = hashlib.sha256(
            b"pets/1-transfers-keys-" + self.tied.digest + self.tied.run_id + b"".join(offered) + b"".join(chosen)
        ).digest()
        return hashlib.sha256(said + number.to_bytes(4, "big") + bytes([side]) + point).digest()[:16]

    def both_keys(self, key: str, chosen: list[bytes]) -> list[tuple[bytes, bytes]]:
        offered = self.value(Call("offers", (key,)))
        if len(chosen) != self.first:
            raise Meaningless("other elements are chosen")
        out = []
        for j, point in enumerate(chosen):
            pair = [self.multiple(point, self.scalar(key, i, 0)) for i in range(2)]
            out.append(
                (self.hashed_key(j, 0, pair[0], offered, chosen), self.hashed_key(j, 1, pair[1], offered, chosen))
            )
        return out

    def chosen_keys(self, key: str, offered: list[bytes]) -> list[bytes]:
        if len(offered) != 2:
            raise Meaningless("two elements are offered")
        chosen, bits = self.value(Call("choices", (key,))), self.bits(key)
        found = []
        for j in range(self.first):
            side = bits >> j & 1
            point = self.multiple(offered[side], self.scalar(key, j, self.skipped))
            found.append(self.hashed_key(j, side, point, offered, chosen))
        return found

    def pad(self, number: int, row: int) -> bytes:
        key = hashlib.sha256(b"pets/1-transfers-hash-" + self.tied.run_id).digest()[:16]
        once = terms.aes(key, row.to_bytes(16, "little"))
        return xor(terms.aes(key, xor(once, number.to_bytes(16, "little"))), once)

    def turned(self, rows: list[bytes]) -> list[int]:
        bits = [int.from_bytes(row, "little") for row in rows]
        return [sum((row >> j & 1) << i for i, row in enumerate(bits)) for j in range(8 * len(rows[0]))]

    def asked(self, key: str, points: list[bytes]) -> list[bytes]:
        few, wanted = self.both_keys(key, points)[:128], self.wanted(key)
        count = len(wanted)
        rows = b"".join(xor(stream(first, count), stream(second, count), wanted) for first, second in few)
        return [rows[at : at + 16] for at in range(0, len(rows), 16)]

    def wanted(self, key: str) -> bytes:
        """The bits of which sums of levels are asked for."""
        sides = ggm.sides(self.holes(key)[0], self.vector.leaves).reshape(-1)
        return sum(int(side) << j for j, side in enumerate(sides)).to_bytes(self.names["transfers"] // 8, "little")

    def multiplied_values(self, key: str) -> list[int]:
        """What is multiplied with delta."""
        return [int.from_bytes(row.tobytes(), "little") for row in self.holes(key)[1]]

    def products(self, key: str, points: list[bytes]) -> list[bytes]:
        values, out = self.multiplied_values(key), []
        for i, (first, second) in enumerate(self.both_keys(key, points)[128:]):
            drawn = xor(stream(first, 16 * len(values)), stream(second, 16 * len(values)))
            out += [
                xor(drawn[16 * n : 16 * n + 16], times(v, 1 << i).to_bytes(16, "little")) for n, v in enumerate(values)
            ]
        return out

    # vectors and tables

    def holes(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        drawn = prf.Stream(Secret(self.secrets[key][1]))
        holes = vole.draw_holes(self.vector, drawn)
        return holes, drawn.words(512).reshape(-1, 2)

    def vector_of(self, key: str) -> list[bytes]:
        found = vole.noise(self.vector, code_of(self.vector.width), *self.holes(key))
        return [row.tobytes() for row in found]

    def trees(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        drawn = np.frombuffer(stream(self.secrets[key][1], 16 * 256, 1), np.uint64).reshape(-1, 2)
        sides = Secret(self.public(b"left")), Secret(self.public(b"right"))
        return vole.send(self.vector, code_of(self.vector.width), drawn, sides)

    def levels(self, key: str, points: list[bytes], asked: list[bytes]) -> list[bytes]:
        rows, apart = self.answered_rows(key, points, asked), self.bits(key) & (1 << 128) - 1
        sums = self.trees(key)[1].reshape(-1, 2, 2)
        out = []
        for j, row in enumerate(self.turned(rows)[: self.names["transfers"]]):
            out += [xor(sums[j, side].tobytes(), self.pad(j, row ^ apart * side)) for side in range(2)]
        return out

    HIDING, VALUES = 0, 256
    """Transfers beyond those of levels, and values that are multiplied with delta."""

    def answered_rows(self, key: str, points: list[bytes], asked: list[bytes]) -> list[bytes]:
        count, whole, bits = (self.names["transfers"] + self.HIDING) // 8, b"".join(asked), self.bits(key)
        if len(whole) != 128 * count:
            raise Meaningless("a matrix has 128 rows")
        keys, rows = self.chosen_keys(key, points), []
        for i in range(128):
            row = stream(keys[i], count)
            rows.append(xor(row, whole[i * count : (i + 1) * count]) if bits >> i & 1 else row)
        return rows

    def parts(self, key: str, points: list[bytes], products: list[bytes]) -> list[bytes]:
        """What the sender's shares of products are the sums of, one of each transfer."""
        if len(products) != 128 * self.VALUES:
            raise Meaningless("a product has 128 parts")
        keys, delta, size = self.chosen_keys(key, points)[128:], self.delta(key), 16 * self.VALUES
        out = []
        for i, each in enumerate(keys):
            part = b"".join(products[self.VALUES * i : self.VALUES * (i + 1)])
            out.append(xor(stream(each, size), part if delta >> i & 1 else bytes(size)))
        return out

    def leaves(self, key: str, points: list[bytes], products: list[bytes]) -> list[bytes]:
        shares, total = xor(*self.parts(key, points, products)), self.trees(key)[2].tobytes()
        return [xor(shares[at : at + 16], total[at : at + 16]) for at in range(0, 16 * 256, 16)]

    def entries(self, lists: list[Term]) -> np.ndarray:
        rows = b"".join(row for each in lists for row in self.listed(each))
        return np.frombuffer(rows, np.uint64).reshape(-1, 2)

    def listed(self, term: Term) -> list[bytes]:
        match term:
            case Call("keys", (str(role),)) if role in OWN.values():
                ids = self.case.ids_r if role == "receiver" else self.case.ids_s
                if fixed(self.case):
                    return [bytes([1, 0, 0]) + one.ljust(13, b"\0") for one in ids]
                key = self.public(b"ids")
                return [bytes([1, 0, 0]) + hashlib.blake2b(one, digest_size=13, key=key).digest() for one in ids]
            case Call("fillers", (str(role),)) if role in OWN.values():
                ids, declared = (
                    (self.case.ids_r, self.case.n_r) if role == "receiver" else (self.case.ids_s, self.case.n_s)
                )
                kind, key = (6, "own_r") if role == "receiver" else (7, "own_s")
                drawn = stream(self.secrets[key][self.nobody], 16 * (declared - len(ids)))
                return [bytes([kind]) + drawn[at + 1 : at + 16] for at in range(0, len(drawn), 16)]
            case Call("agreed", (str(role),)) if role in OWN.values():
                return [bytes([2]) + bytes(15)]
        raise Meaningless(f"{term} is no list")

    def hashes(self, key: bytes, entries: np.ndarray) -> np.ndarray:
        rows = b"".join(davies_meyer(key, row.tobytes()) for row in entries)
        return np.frombuffer(rows, np.uint64).reshape(-1, 2)

    def written(self, seed: list[bytes], lists: list[Term]) -> list[bytes]:
        entries = self.entries(lists)
        if len(entries) != self.size.keys or [len(row) for row in seed] != [16]:
            raise Meaningless("a table is for as many entries as its list has")
        fill = prf.Stream(Secret(self.secrets["own_r"][2]))
        fill.words(2)
        hashes = self.hashes(seed[0], entries)
        try:
            table = binned.write(hashes, self.contents(entries), self.size, fill)
        except binned.Unsolvable as error:
            raise Meaningless("an entry is in a table twice") from error
        return [row.tobytes() for row in table]

    def read(self, key: str, seed: list[bytes], table: list[bytes], lists: list[Term]) -> list[bytes]:
        elements, entries = self.elements(key, seed, table, lists), self.entries(lists)
        return [self.output(row, entry.tobytes()) for row, entry in zip(elements, entries, strict=True)]

    def contents(self, entries: np.ndarray) -> np.ndarray:
        """What a table gives each entry."""
        return self.hashes(self.public(b"read"), entries)

    def output(self, element: bytes, entry: bytes) -> bytes:
        return davies_meyer(self.public(b"output"), element)

    def sealing(self, element: bytes, entry: bytes) -> bytes:
        """What values are sealed under."""
        return element

    def elements(self, key: str, seed: list[bytes], table: list[bytes], lists: list[Term]) -> list[bytes]:
        entries, delta = self.entries(lists), self.delta(key)
        if len(table) != self.names["slots"] or [len(row) for row in seed] != [16]:
            raise Meaningless("a table has as many slots as the card says")
        b = self.trees(key)[0]
        whole = [xor(own.tobytes(), self.multiplied(row, delta)) for own, row in zip(b, table, strict=True)]
        found = binned.read(
            np.frombuffer(b"".join(whole), np.uint64).reshape(-1, 2), self.hashes(seed[0], entries), self.size
        )
        less = self.contents(entries)
        return [xor(one.tobytes(), self.multiplied(two.tobytes(), delta)) for one, two in zip(found, less, strict=True)]

    # values with persons, and a word back

    def by_output(self, inner: Call) -> list[tuple[bytes, bytes, bytes]]:
        """Output, element and entry of each entry, in the order of outputs."""
        key, seed, table, *lists = inner.args
        if inner.head != "read" or not isinstance(key, str):
            raise Meaningless("values go with what is read")
        elements = self.elements(key, self.value(seed), self.value(table), lists)
        entries = [row.tobytes() for row in self.entries(lists)]
        both = list(zip(elements, entries, strict=True))
        return sorted((self.output(*each)[: self.names["t"]], self.sealing(*each), each[1]) for each in both)

    def matched_key(self, label: bytes) -> bytes:
        begun = b"pets/1-matched-" + self.card.id.encode() + b"-"
        return self.public(label, begun)

    def sealed(self, inner: Call, role: str) -> list[bytes]:
        if role != "sender":
            raise Meaningless("the receiver has no values")
        persons = [row.tobytes() for row in self.entries([Call("keys", ("sender",))])]
        rows = []
        for _, element, entry in self.by_output(inner):
            at = persons.index(entry) if entry in persons else None
            words = [0 if at is None else column[at] for column in self.case.values]
            if not words:
                continue
            blocks = -(-(len(words) + 1) // 2)
            pads = b"".join(
                davies_meyer(self.matched_key(b"pad"), xor(element, block.to_bytes(16, "little")))
                for block in range(blocks)
            )
            point = int.from_bytes(davies_meyer(self.matched_key(b"check"), element), "little")
            check = 0
            for first in range(0, len(words), 2):
                block = sum(word << 64 * i for i, word in enumerate(words[first : first + 2]))
                check = times(check ^ block, point)
            plain = b"".join(word.to_bytes(8, "little") for word in (*words, check & (1 << 64) - 1))
            rows.append(xor(plain, pads[: len(plain)]))
        return rows

    def told(self, label: str, lists: list[Term]) -> list[bytes]:
        meant = [message.meaning for message in self.card.messages if message.label == label]
        match meant:
            case [Call("sort" | "abreast", (Call("cut", (Call() as inner,)),))]:
                pass
            case _:
                raise Meaningless("what is told is of a sorted list")
        if not self.case.both:
            return []
        wanted = {row.tobytes() for row in self.entries(lists)}
        bits, found = 0, b""
        for place, (_, element, entry) in enumerate(self.by_output(inner)):
            if entry in wanted:
                bits, found = bits | 1 << place, found + element
        said = bits.to_bytes(-(-self.names["n_list_s"] // 8), "little")
        proof = hashlib.blake2b(said + found, key=self.matched_key(b"told"), digest_size=16).digest()
        return [bytes([byte]) for byte in said + proof]

    def multiplied(self, row: bytes, delta: int) -> bytes:
        return times(int.from_bytes(row, "little"), delta).to_bytes(16, "little")
