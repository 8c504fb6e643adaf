"""kkrt_psi for tests: its terms, a second time; cases and their answers are those of vole_psi.

``Reading`` follows docs/rules/terms.md: over hashlib, Python's integers and the slow bins of tests/oracles. Multiples
of elements are those of ``pets/kernels/curve.py``: that transfers are made of the right ones is held against the slow
group by the terms of vole_psi.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from pets.errors import PeerError
from pets.kernels import curve
from pets.protocols import kkrt_psi
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.term import Call, Term
from tests.oracles import cuckoo, terms, vole_psi
from tests.oracles.intersections import binding, drawn, rows_of
from tests.oracles.terms import Meaningless
from tests.oracles.vole_psi import Case, davies_meyer, fixed, stream, xor

CARD = load_cards()[kkrt_psi.PROTOCOL]


def entropy(seed: int, role: str) -> Secret[bytes]:
    return drawn(seed, role, kkrt_psi.ENTROPY_BYTES)


def shape(case: Case) -> kkrt_psi.Shape:
    names = CARD.names(case.public())
    sizes = {name: names[name] for name in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    return kkrt_psi.Shape(**sizes, fixed_ids=fixed(case))


def roles(case: Case, seed: int = 1, *, code: Any = kkrt_psi, tied: Binding | None = None) -> dict[str, Role[Any]]:
    sizes, tied = shape(case), tied or binding(seed)
    values = np.array(case.values, np.uint64).reshape(len(case.values), len(case.ids_s))
    return {
        "receiver": code.receiver(sizes, rows_of(case.ids_r, case.width[0]), tied, entropy(seed, "receiver")),
        "sender": code.sender(sizes, rows_of(case.ids_s, case.width[1]), tied, entropy(seed, "sender"), values),
    }


@cache
def multiple(element: bytes, scalar: int) -> bytes:
    rows = np.frombuffer(element, np.uint8).reshape(1, -1)
    try:
        return curve.multiply(rows, Secret(scalar.to_bytes(32, "little"))).tobytes()
    except (PeerError, ValueError) as error:
        raise Meaningless("what is no element is multiplied") from error


def columns(keys: list[bytes], rows: int) -> np.ndarray:
    """Streams of keys as columns of bits: (rows, keys)."""
    streams = b"".join(stream(key, -(-rows // 8)) for key in keys)
    bits = np.unpackbits(np.frombuffer(streams, np.uint8).reshape(len(keys), -1), axis=1, bitorder="little")
    return bits[:, :rows].T


def in_bytes(bits: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(bits, axis=1, bitorder="little")]


@dataclass
class Reading(vole_psi.Reading):
    """What the terms of the card come to in one run."""

    card: Card = CARD

    begun: ClassVar[bytes] = b"pets/1-kkrt-psi-"
    first: ClassVar[int] = 512
    skipped: ClassVar[int] = 4
    nobody: ClassVar[int] = 1
    multiple: ClassVar[Callable[[bytes, int], bytes]] = staticmethod(multiple)

    def value(self, term: Term) -> list[bytes]:
        match term:
            case Call("seed" | "vector" | "written" | "asked" | "products" | "levels" | "leaves" | "read", _):
                raise Meaningless("this card has no vectors")
            case Call("coded", (str(key), points, *lists)):
                return self.coded(key, self.value(points), lists)
            case Call("abreast", (Call("cut", (Call("evaluated") as inner,)),)):
                return [row[i][: self.names["t"]] for i in range(3) for row, _ in self.in_order(inner)]
            case Call("apart", (Call("evaluated") as inner,)):
                if not (self.names["p"] or self.names["both"]):
                    return []
                return [xor(row[0][16:], row[i][16:]) for i in (1, 2) for row, _ in self.in_order(inner)]
        return super().value(term)

    def bits(self, key: str) -> int:
        return int.from_bytes(stream(self.secrets[key][0], 64), "little")

    def code(self, entry: bytes) -> bytes:
        return b"".join(terms.aes(self.public(b"code" + bytes([part])), entry) for part in range(4))

    def bins_of(self, entry: bytes) -> list[int]:
        return cuckoo.places(davies_meyer(self.public(b"bins"), entry), self.names["bins"] // 3)

    def coded(self, key: str, points: list[bytes], lists: list[Term]) -> list[bytes]:
        entries, bins = [row.tobytes() for row in self.entries(lists)], self.names["bins"]
        if len(entries) != self.names["n_list_r"]:
            raise Meaningless("bins are for as many entries as the list has")
        pairs = self.both_keys(key, points)
        where = cuckoo.placed([self.bins_of(entry) for entry in entries])
        if where is None:
            raise Meaningless("an entry is there four times")
        free = stream(self.secrets["own_r"][2], 16 * bins)
        filled = [bytes([3]) + free[16 * i + 1 : 16 * i + 16] for i in range(bins)]
        for entry, place in zip(entries, where, strict=True):
            filled[place] = entry
        both = columns([one for one, _ in pairs], bins) ^ columns([two for _, two in pairs], bins)
        rows = [xor(row, self.code(entry)) for row, entry in zip(in_bytes(both), filled, strict=True)]
        return [row[at : at + 16] for row in rows for at in range(0, 64, 16)]

    def in_order(self, inner: Call) -> list[tuple[list[bytes], bytes]]:
        """Three digests and the entry, of each entry, by the first output."""
        key, points, coded, *lists = inner.args
        if not isinstance(key, str):
            raise Meaningless("a choice is drawn from a key")
        sent, bins = self.value(coded), self.names["bins"]
        if len(sent) != 4 * bins:
            raise Meaningless("a code has four parts")
        keys, choice = self.chosen_keys(key, self.value(points)), self.bits(key).to_bytes(64, "little")
        rows = in_bytes(columns(keys, bins))
        chosen = [xor(row, both(b"".join(sent[4 * i : 4 * i + 4]), choice)) for i, row in enumerate(rows)]
        under = hashlib.sha256(self.begun + b"hash" + self.tied.digest + self.tied.run_id).digest()
        found = []
        for entry in (row.tobytes() for row in self.entries(lists)):
            part = both(self.code(entry), choice)
            row = [hashlib.blake2s(xor(chosen[place], part), key=under).digest() for place in self.bins_of(entry)]
            found.append((row, entry))
        return sorted(found, key=lambda each: each[0][0][: self.names["t"]])

    def by_output(self, inner: Call) -> list[tuple[bytes, bytes, bytes]]:
        if inner.head != "evaluated":
            raise Meaningless("values go with what is evaluated")
        return [(row[0][: self.names["t"]], row[0][16:], entry) for row, entry in self.in_order(inner)]


def both(a: bytes, b: bytes) -> bytes:
    """The bits that are set in both."""
    return bytes(x & y for x, y in zip(a, b, strict=True))
