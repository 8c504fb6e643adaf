"""dh_psi_cardinality for tests: sets of Python, and its terms over Python's integers.

``Reading`` follows docs/rules/terms.md and takes nothing of ``pets/kernels`` or ``pets/protocols``: the group is that
of tests/oracles/ristretto.py, hashes are hashlib's, the order of a list is drawn by tests/oracles/terms.py.
"""

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

from pets.protocols import dh_psi
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.term import Call, Term
from tests.oracles import ristretto, terms
from tests.oracles.intersections import binding, drawn, hashed, rows_of
from tests.oracles.terms import Meaningless

CARD = load_cards()[dh_psi.PROTOCOL]
KINDS = {"person": 1, "agreed": 2, "a": 6, "b": 7}


@dataclass(frozen=True)
class Case:
    """Rows of both sides, several of one person as they come, and declared sizes. ``width``: bytes of their columns."""

    ids_a: list[bytes]
    ids_b: list[bytes]
    n_a: int
    n_b: int
    width: tuple[int, int] = (10, 10)

    def public(self) -> dict[str, int]:
        return {"n_a": self.n_a, "n_b": self.n_b}

    def oracle(self) -> int:
        return len(set(self.ids_a) & set(self.ids_b))


def random_case(seed: int) -> Case:
    """Any two sets, from nobody to one against a thousand, with repeated rows and room to spare or none."""
    rng = random.Random(f"psi {seed}")
    few, many = rng.choice([0, 1, 2, 7]), rng.choice([0, 1, 3, 9, 20])
    if rng.random() < 0.02:
        few, many = rng.choice([0, 1, 5]), 1000
    sizes = [few, many] if rng.random() < 0.5 else [many, few]
    people = [b"%d" % number for number in range(1, max(1, round(sum(sizes) * rng.choice([0.6, 1, 1, 3]))) + 1)]
    sets = [rng.sample(people, min(size, len(people))) for size in sizes]
    if rng.random() < 0.1:
        sets[1] = list(sets[0])
    rows = [one + rng.choices(one, k=rng.choice([0, 1, 4])) if one else one for one in sets]
    for one in rows:
        rng.shuffle(one)
    return Case(*rows, *(len(one) + rng.choice([0, 0, 1, 30]) for one in sets), (rng.randrange(5, 12), 10))


def entropy(seed: int, role: str) -> Secret[bytes]:
    return drawn(seed, role, dh_psi.ENTROPY_BYTES)


def shape(case: Case) -> dh_psi.Shape:
    names = CARD.names(case.public())
    return dh_psi.Shape(**{name: names[name] for name in ("n_a", "n_b", "n_list_a", "n_list_b", "t")})


def roles(case: Case, seed: int = 1, *, code: Any = dh_psi, tied: Binding | None = None) -> dict[str, Role[Any]]:
    sizes, tied = shape(case), tied or binding(seed)
    return {
        "a": code.party_a(sizes, rows_of(case.ids_a, case.width[0]), tied, entropy(seed, "a")),
        "b": code.party_b(sizes, rows_of(case.ids_b, case.width[1]), tied, entropy(seed, "b")),
    }


# -- the terms --------------------------------------------------------------------------------------------------------


class _Orders(terms.Run):
    """Orders from a party's own randomness."""

    def __init__(self, secrets: dict[str, bytes]) -> None:
        self._kept, self._secrets = {}, secrets

    def key(self, family: str, label: str, column: int | None = None) -> bytes:
        if not family.startswith("own_") or label != "order":
            raise Meaningless(f"no order {label} of {family}")
        return self._secrets[family.removeprefix("own_")][64:80]


@dataclass
class Reading:
    """What the terms of the card come to in one run."""

    case: Case
    seed: int
    card: Card = CARD
    _known: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = self.card.names(self.case.public())
        self.secrets = {role: entropy(self.seed, role).expose("a test") for role in ("a", "b")}
        self.orders = _Orders(self.secrets)
        self.tied = binding(self.seed)

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
            case Call("permute", (Call("perm", (str(key), str(label))), inner)):
                listed = self.value(inner)
                order = self.orders.order(key, label, len(listed)).tolist()
                return [listed[i] for i in sorted(range(len(listed)), key=order.__getitem__)]
            case Call("points", lists):
                entries = [entry for each in lists for entry in self.entries(each)]
                return [hashed(entry, b"pets/1-dhpsi-" + self.tied.digest).encode() for entry in entries]
            case Call("times", (str(key), inner)):
                if not key.startswith("scalar_"):
                    raise Meaningless(f"{key} is no scalar")
                secret = self.secrets[key.removeprefix("scalar_")][:64]
                elements = [ristretto.decode(each) for each in self.value(inner)]
                if None in elements:
                    raise Meaningless("what is no element is multiplied")
                scalar = int.from_bytes(secret, "little") % ristretto.ORDER
                return [each.times(scalar).encode() for each in elements if each is not None]
            case Call("cut", (inner,)):
                key = hashlib.sha256(b"pets/1-dhpsi-tags-" + self.tied.run_id).digest()[:16]
                hashes = (hashlib.blake2b(each + b"\1", digest_size=13, key=key) for each in self.value(inner))
                return [each.digest()[: self.names["t"]] for each in hashes]
            case Call("sort", (inner,)):
                return sorted(self.value(inner))
        raise Meaningless(f"{term} says nothing")

    def entries(self, term: Term) -> list[bytes]:
        match term:
            case Call("keys", (str(role),)) if role in ("a", "b"):
                return [bytes([KINDS["person"]]) + one for one in self.persons(role)]
            case Call("fillers", (str(role),)) if role in ("a", "b"):
                count = self.names[f"n_{role}"] - len(self.persons(role))
                counters = b"".join(number.to_bytes(16, "big") for number in range(count))
                drawn = terms.aes(self.secrets[role][80:96], counters)
                return [(bytes([KINDS[role]]) + drawn[16 * i : 16 * i + 16]).rstrip(b"\0") for i in range(count)]
            case Call("agreed", (str(role),)) if role in ("a", "b"):
                return [bytes([KINDS["agreed"]])]
        raise Meaningless(f"{term} is no list")

    def persons(self, role: str) -> list[bytes]:
        return list(dict.fromkeys(self.case.ids_a if role == "a" else self.case.ids_b))
