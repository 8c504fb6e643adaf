"""The terms of psi_sum and psi_sum_shares over Python's integers, with ciphertexts that hide nothing.

Follows docs/rules/terms.md and takes nothing of ``pets/kernels`` or ``pets/protocols``: the group is that of
tests/oracles/ristretto.py, hashes are hashlib's, streams and orders those of tests/oracles/terms.py. What SEAL makes of
slots is what `InClear` of tests/oracles/psi_sum.py makes of them, told once more here.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from pets.spec.cards import Card
from pets.spec.term import Call, Sum, Term
from tests.oracles import ristretto, terms
from tests.oracles.dh_psi import KINDS, hashed
from tests.oracles.psi_sum import CARD, Case, binding, entropy
from tests.oracles.terms import Meaningless

RING = 8192
PRIMES = tuple(2**60 - CARD.names(Case({}, {}, 1, 0, 0, 0, 0).public())[f"q_{k}"] for k in (1, 2, 3))
PLAIN = tuple(2**40 - CARD.names(Case({}, {}, 1, 0, 0, 0, 0).public())[f"t_{k}"] for k in (1, 2))
KEYS = {"scalar": slice(0, 64), "own": slice(64, 80), "nobody": slice(80, 96), "cover": slice(112, 128)}
FLOOD = slice(128, 144)


class _Orders(terms.Run):
    def __init__(self, secrets: dict[str, bytes]) -> None:
        self._kept, self._secrets = {}, secrets

    def key(self, family: str, label: str, column: int | None = None) -> bytes:
        if not family.startswith("own_") or label != "order":
            raise Meaningless(f"no order {label} of {family}")
        return self._secrets[family.removeprefix("own_")][KEYS["own"]]


def stream(key: bytes, first: int, count: int) -> list[int]:
    """Words of AES in counter mode; ``first`` is even."""
    counters = b"".join(number.to_bytes(16, "big") for number in range(first // 2, (first + count + 1) // 2))
    data = terms.aes(key, counters)
    return [int.from_bytes(data[8 * i : 8 * i + 8], "little") for i in range(first % 2, first % 2 + count)]


def below(drawn: list[int], plain: int, count: int) -> list[int]:
    return [word >> 24 for word in drawn if word >> 24 < plain][:count]


@dataclass
class Reading:
    """What the terms of a card come to in one run. A message is a list of rows, or of whole numbers."""

    case: Case
    seed: int
    card: Card = CARD
    _known: dict[tuple[str, int], list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = self.card.names(self.case.public())
        self.secrets = {role: entropy(self.seed, role).expose("a test") for role in ("a", "b")}
        self.orders = _Orders(self.secrets)
        self.tied = binding(self.seed)

    def sent(self, label: str, column: int = 0) -> bytes:
        """The bytes of one column of a message."""
        made = self.message(label, column)
        element = next(m.element for m in self.card.messages if m.label == label)
        if element in ("word", "residue"):
            modulus = PLAIN[column % self.case.primes] if element == "residue" and label in ("R", "Fa", "Fb") else 2**64
            if not all(isinstance(each, int) for each in made):
                raise Meaningless(f"{label} has rows and no numbers")
            return b"".join((each % modulus).to_bytes(8, "little") for each in made)
        if not all(isinstance(each, bytes) for each in made):
            raise Meaningless(f"{label} has numbers and no rows")
        return b"".join(made)

    def message(self, label: str, column: int = 0) -> list[Any]:
        if (label, column) not in self._known:
            found = [message for message in self.card.messages if message.label == label]
            if not found:
                raise Meaningless(f"{label} is no message")
            self._known[label, column] = self.value(found[0].meaning, column)
        return self._known[label, column]

    # -- terms ---------------------------------------------------------------------------------------------------------

    def value(self, term: Term, column: int) -> list[Any]:
        match term:
            case str():
                return self.message(term, column if term in ("K", "Y", "S", "R", "Fa", "Fb") else 0)
            case Sum(parts):
                listed = [[sign * each for each in self.numbers(part, column)] for sign, part in parts]
                if len({len(each) for each in listed}) != 1:
                    raise Meaningless("a sum of other lengths")
                return [sum(each) for each in zip(*listed, strict=True)]
            case Call("permute", (Call("perm", (str(key), str(label))), inner)):
                listed = self.value(inner, column)
                order = self.orders.order(key, label, len(listed)).tolist()
                return [listed[i] for i in sorted(range(len(listed)), key=order.__getitem__)]
            case Call("permute_within", (Call("perm", (str(key), str(label))), inner)):
                listed = self.value(inner, column)
                order = self.orders.order(key, label, len(listed) - 1).tolist()
                groups = [sorted(each, key=order.__getitem__) for each in self.groups(listed)]
                return [listed[i] for each in groups for i in each] + [listed[-1]]
            case Call("points", lists):
                tag = b"pets/1-psisum-" + self.tied.digest
                return [hashed(entry, tag).encode() for entry in self.entries(lists)]
            case Call("times", (str(key), inner)):
                secret = self.secret(key, "scalar")
                elements = [ristretto.decode(each) for each in self.rows(inner, column, 32)]
                if None in elements:
                    raise Meaningless("what is no element is multiplied")
                scalar = int.from_bytes(secret, "little") % ristretto.ORDER
                return [each.times(scalar).encode() for each in elements if each is not None]
            case Call("cut", (inner,)):
                return [self.tag(each) for each in self.rows(inner, column, 32)]
            case Call("sort", (inner,)):
                return sorted(self.rows(inner, column, self.names["t"]))
            case Call("sort_within", (inner,)):
                listed = self.rows(inner, column, self.names["t"])
                groups = [sorted(listed[i] for i in each) for each in self.groups(listed)]
                return [each for group in groups for each in group] + [listed[-1]]
            case Call("values", (str(role), "summed")) if role == "b":
                rows = [each[column // self.case.primes] for each in self.case.people_b.values()]
                return rows + [0] * (self.names["n_list_b"] - len(rows))
            case Call("noise", (str(role), "summed")) if role in ("a", "b"):
                drawn = self.case.noise_a[1:] if role == "a" else self.case.noise_b
                return list(drawn[column // self.case.primes])
            case Call("zero", ("s_ab", "summed")):
                plain = self.plain(column)
                return below(stream(self.pair_key(f"zero.{column}"), 0, self.case.g + 64), plain, self.case.g)
        return self.enciphered(term, column)

    def enciphered(self, term: Term, column: int) -> list[Any]:
        """Terms of keys, ciphertexts and what is counted beside them."""
        match term:
            case Call("public", (str(key),)):
                self.of_b(key)
                return [1 + column] * self.names["public_key"]
            case Call("under", (str(key), inner)):
                self.of_b(key)
                numbers, out = self.numbers(inner, column), list[int]()
                for start in range(0, len(numbers), RING - 1):
                    held = [each % self.plain(column) for each in numbers[start : start + RING - 1]]
                    out += [0] * 3 * RING + [1, *held, *[0] * (RING - 1 - len(held))] + [0] * (2 * RING - 1) + [1]
                return out
            case Call("opened", (str(key), inner)):
                self.of_b(key)
                return [sum(slots[1:]) for slots in self.slots(inner, column)]
            case Call("covers", (str(key),)):
                return [sum(each) for each in self.covers(key, column)]
            case Call("covered", (str(key), public, under, elements, asked)):
                number = column % self.case.primes
                if self.value(public, number) != [1 + number] * self.names["public_key"]:
                    raise Meaningless("no public key")
                kept = [slots[1:] for slots in self.slots(under, column)]
                listed, out = [each for block in kept for each in block], list[int]()
                groups = self.matched(elements, asked)
                shown = self.shown([len(each) for each in groups])
                for cell, cover in enumerate(self.covers(key, column)):
                    slots = [0, *cover]
                    for place in groups[cell] if shown[cell] else ():
                        at = 1 + place % (RING - 1)
                        slots[at] = (slots[at] + listed[place]) % self.plain(column)
                    out += self.flood(column, cell) + slots + [0] * (2 * RING - 1) + [1]
                return out
            case Call("marks", (elements, asked)):
                return [int(each) for each in self.shown([len(each) for each in self.matched(elements, asked)])]
            case Call("tally", (elements, asked)):
                counts = [len(each) for each in self.matched(elements, asked)]
                if (control := self.case.control) is None:
                    return [n + extra for n, extra in zip(counts, self.case.noise_a[0], strict=True)]
                rounded = [(n + control.base // 2) // control.base * control.base for n in counts]
                return [n if seen else 0 for n, seen in zip(rounded, self.shown(counts), strict=True)]
        raise Meaningless(f"{term} says nothing")

    # -- lists and matches ---------------------------------------------------------------------------------------------

    def entries(self, lists: tuple[Term, ...]) -> list[bytes]:
        match lists:
            case (
                Call("keys", (str(role),)),
                Call("groups", (str(of),)),
                Call("fillers", (str(filling),)),
                *rest,
            ) if role == of == filling == "a":
                return self.by_group() + [entry for each in rest for entry in self.list_(each)]
        if any(isinstance(each, Call) and each.head == "groups" for each in lists):
            raise Meaningless("groups without persons, or without what fills them up")
        return [entry for each in lists for entry in self.list_(each)]

    def list_(self, term: Term) -> list[bytes]:
        match term:
            case Call("keys", (str(role),)) if role in ("a", "b"):
                return [bytes([KINDS["person"]]) + one for one in self.persons(role)]
            case Call("fillers", (str(role),)) if role in ("a", "b"):
                return self.fillers(role)
            case Call("agreed", (str(role),)) if role in ("a", "b"):
                return [bytes([KINDS["agreed"]])]
        raise Meaningless(f"{term} is no list")

    def by_group(self) -> list[bytes]:
        fillers, out = iter(self.fillers("a")), list[bytes]()
        for cell in range(self.case.g):
            mine = [b"\x01" + one for one, of in self.case.people_a.items() if of == cell]
            out += mine + [next(fillers) for _ in range(self.case.m_a - len(mine))]
        return out

    def persons(self, role: str) -> list[bytes]:
        return list(self.case.people_a if role == "a" else self.case.people_b)

    def fillers(self, role: str) -> list[bytes]:
        size = self.case.g * self.case.m_a if role == "a" else self.case.n_b
        count = size - len(self.persons(role))
        counters = b"".join(number.to_bytes(16, "big") for number in range(count))
        drawn = terms.aes(self.secrets[role][KEYS["nobody"]], counters)
        return [(bytes([KINDS[role]]) + drawn[16 * i : 16 * i + 16]).rstrip(b"\0") for i in range(count)]

    def groups(self, listed: list[Any]) -> list[range]:
        if len(listed) != self.names["n_list_a"]:
            raise Meaningless("no list by groups")
        return [range(k * self.case.m_a, (k + 1) * self.case.m_a) for k in range(self.case.g)]

    def matched(self, elements: Term, asked: Term) -> list[list[int]]:
        """By group the places of elements whose tag is in it."""
        tags = self.rows(asked, 0, self.names["t"])
        held = [{tags[i] for i in each} for each in self.groups(tags)]
        found = [self.tag(each) for each in self.rows(elements, 0, 32)]
        if len(found) != self.names["n_list_b"] or tags[-1] not in found:
            raise Meaningless("elements and tags of no run")
        return [[place for place, tag in enumerate(found) if tag in each] for each in held]

    def shown(self, counts: list[int]) -> list[bool]:
        if (control := self.case.control) is None:
            return [True] * len(counts)
        return [n >= control.minimum or (control.empty and n == 0) for n in counts]

    # -- secrets, streams, numbers -------------------------------------------------------------------------------------

    def secret(self, key: str, kind: str) -> bytes:
        if not key.startswith(f"{kind}_"):
            raise Meaningless(f"{key} is no {kind}")
        return self.secrets[key.removeprefix(f"{kind}_")][KEYS[kind]]

    def of_b(self, key: str) -> None:
        if key != "secret_b":
            raise Meaningless(f"{key} is no key of ciphertexts")

    def pair_key(self, label: str) -> bytes:
        prk = hmac.digest(self.tied.run_id, hashlib.sha256(f"pair {self.seed}".encode()).digest(), "sha256")
        parts = [b"pets/1", self.tied.digest, self.tied.run_id, b"psi_sum_shares", b"a", b"b", label.encode()]
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(prk, info + b"\x01", "sha256")[:16]

    def plain(self, column: int) -> int:
        return PLAIN[column % self.case.primes]

    def place(self, column: int, cell: int) -> int:
        """How many sums come before: prime by prime, column by column, group by group."""
        number, of = column % self.case.primes, column // self.case.primes
        return (number * self.case.v + of) * self.case.g + cell

    def covers(self, key: str, column: int) -> list[list[int]]:
        secret, each = self.secret(key, "cover"), RING - 1 + 64
        found = []
        for cell in range(self.case.g):
            first = self.place(column, cell) * each
            drawn = stream(secret, first - first % 2, each + first % 2)[first % 2 :]
            found.append(below(drawn, self.plain(column), RING - 1))
        return found

    def flood(self, column: int, cell: int) -> list[int]:
        drawn = stream(self.secrets["a"][FLOOD], 2 * RING * self.place(column, cell), 2 * RING)
        noise = [low + high * 2**64 - 2**127 for low, high in zip(drawn[:RING], drawn[RING:], strict=True)]
        return [each % prime for prime in PRIMES for each in noise]

    def slots(self, term: Term, column: int) -> list[list[int]]:
        words, size = self.numbers(term, column), self.names["cipher"]
        if len(words) % size:
            raise Meaningless("no ciphertexts")
        return [words[at + size // 2 : at + size // 2 + RING] for at in range(0, len(words), size)]

    def numbers(self, term: Term, column: int) -> list[int]:
        found = self.value(term, column)
        if not all(isinstance(each, int) for each in found):
            raise Meaningless("rows where numbers are due")
        return found

    def rows(self, term: Term, column: int, width: int) -> list[bytes]:
        found = self.value(term, column)
        if not all(isinstance(each, bytes) and len(each) == width for each in found):
            raise Meaningless("numbers, or rows of another width")
        return found

    def tag(self, element: bytes) -> bytes:
        key = hashlib.sha256(b"pets/1-psisum-tags-" + self.tied.run_id).digest()[:16]
        return hashlib.blake2b(element + b"\1", digest_size=13, key=key).digest()[: self.names["t"]]
