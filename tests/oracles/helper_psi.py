"""Intersections with a helper for tests: sets of Python, and the terms of three cards over Python's integers.

``Reading`` follows docs/rules/terms.md and takes nothing of ``pets/kernels`` or ``pets/protocols``: keys, streams,
blocks and the law of dummies are those of tests/oracles/terms.py, hashes are hashlib's.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from pets.protocols import helper_psi, helper_psi_cardinality, helper_psi_threshold
from pets.protocols.base import Role
from pets.spec.cards import Card, Shared, load_cards
from pets.spec.term import Call, Sum, Term
from tests.oracles import helper_join as join
from tests.oracles import terms
from tests.oracles.dh_psi import rows_of
from tests.oracles.terms import Meaningless

WHICH, COUNT, ENOUGH = "helper_psi", "helper_psi_cardinality", "helper_psi_threshold"
CARDS = {name: load_cards()[name] for name in (WHICH, COUNT, ENOUGH)}
CODE: dict[str, ModuleType] = {WHICH: helper_psi, COUNT: helper_psi_cardinality, ENOUGH: helper_psi_threshold}
WORD = 2**64
S = join.slots(1)


@dataclass(frozen=True)
class Case:
    """Persons of both sides, declared sizes, and what the three protocols take besides.

    ``width``: bytes of the columns; ``y``: columns of b; ``noise``: a number of each party, or none.
    """

    ids_a: list[bytes]
    ids_b: list[bytes]
    n_a: int
    n_b: int
    width: tuple[int, int] = (10, 10)
    fixed: bool = False
    y: list[list[int]] = field(default_factory=list)
    both: bool = False
    noise: tuple[int, int, int] | None = None
    min_result: int = 1
    shown: bool = False
    k: int = 1

    def public(self, which: str) -> dict[str, int]:
        own: dict[str, dict[str, int]] = {
            WHICH: {"p_b": len(self.y), "both": int(self.both)},
            COUNT: {"r": int(self.noise is not None)},
            ENOUGH: {
                "min_result": self.min_result,
                "shown": int(self.shown),
                "noised": int(self.noise is not None),
            },
        }
        return {"n_a": self.n_a, "n_b": self.n_b, "s": S, **own[which]}

    def oracle(self, which: str) -> Any:
        """What comes out, by Python's sets: places and values of a, places of b; or a number."""
        common = set(self.ids_a) & set(self.ids_b)
        if which == WHICH:
            places = [i for i, one in enumerate(self.ids_a) if one in common]
            rows = {one: i for i, one in enumerate(self.ids_b)}
            values = [[column[rows[self.ids_a[i]]] for i in places] for column in self.y]
            of_b = [i for i, one in enumerate(self.ids_b) if one in common] if self.both else None
            return places, values, of_b
        number = len(common) + sum(self.noise or ())
        if which == COUNT:
            return number
        return (number if self.shown else 1) if number >= self.min_result else 0


def random_case(seed: int, which: str) -> Case:
    """Any two tables, from nobody to one against a thousand, with room to spare or none.

    Where persons count once they come in several rows, too.
    """
    rng = random.Random(f"helper psi {seed}")
    few, many = rng.choice([0, 1, 2, 7]), rng.choice([0, 1, 3, 9, 20])
    if rng.random() < 0.02:
        few, many = rng.choice([0, 1, 5]), 1000
    sizes = [few, many] if rng.random() < 0.5 else [many, few]
    people = [b"%d" % number for number in range(1, max(1, round(sum(sizes) * rng.choice([0.6, 1, 1, 3]))) + 1)]
    sets = [rng.sample(people, min(size, len(people))) for size in sizes]
    if rng.random() < 0.1:
        sets[1] = list(sets[0])
    declared = [len(one) + rng.choice([0, 0, 1, 30]) for one in sets]
    if which != WHICH:
        sets = [one + rng.choices(one, k=rng.choice([0, 1, 4])) if one else one for one in sets]
    for one in sets:
        rng.shuffle(one)
    fixed = rng.random() < 0.5
    return Case(
        *sets,
        *declared,
        (13, 10) if fixed else (rng.randrange(5, 40), 10),
        fixed,
        y=[[rng.randrange(-(2**63), 2**63) for _ in sets[1]] for _ in range(rng.choice([0, 0, 1, 3]))],
        both=rng.random() < 0.5,
        noise=None if rng.random() < 0.5 else tuple(rng.randrange(-9, 10) for _ in range(3)),  # type: ignore[arg-type]
        min_result=rng.choice([1, 1, 2, 5, max(1, len(set(sets[0]) & set(sets[1]))), 2**32 - 1]),
        shown=rng.random() < 0.5,
    )


def shape(which: str, case: Case, code: Any = None) -> Any:
    names = CARDS[which].names(case.public(which))
    sizes = {name: names[name] for name in ("n_a", "n_b", "s", "t", "n_list_a", "n_list_b")}
    own: dict[str, dict[str, Any]] = {
        WHICH: {"p_b": len(case.y), "both": case.both},
        COUNT: {"noised": case.noise is not None},
        ENOUGH: {"min_result": case.min_result, "shown": case.shown, "noised": case.noise is not None},
    }
    made = (code or CODE[which]).Shape
    return made(**sizes, **own[which], fixed_ids=case.fixed, dummies=join.dummies(1, S))


def noise_of(case: Case, number: int) -> np.ndarray | None:
    return None if case.noise is None else np.array([[case.noise[number] % WORD]], np.uint64)


def roles(which: str, case: Case, seed: int = 1, *, code: Any = None, **keys: Any) -> dict[str, Role[Any]]:
    """All roles of a card. ``code``: a mutant, to be caught; ``keys``: see ``helper_join.families``."""
    sizes, held = shape(which, case, code), join.families(seed, protocol=which, **keys)
    of = code or CODE[which]
    rows = [rows_of(ids, width) for ids, width in zip((case.ids_a, case.ids_b), case.width, strict=True)]
    ab, ac, bc = ("ab@a", "ac@a", "ab@b"), ("ac@c", "bc@c"), "bc@b"
    if which == WHICH:
        values = [np.array(column, np.int64) for column in case.y]
        return {
            "a": of.party_a(sizes, rows[0], held[ab[0]], held[ab[1]]),
            "b": of.party_b(sizes, rows[1], values, held[ab[2]], held[bc]),
            "helper": of.helper(sizes, held[ac[0]], held[ac[1]]),
        }
    drawn = [noise_of(case, number) for number in range(3)]
    return {
        "a": of.party_a(sizes, rows[0], held[ab[0]], held[ab[1]], drawn[0]),
        "b": of.party_b(sizes, rows[1], held[ab[2]], held[bc], drawn[1]),
        "helper": of.helper(sizes, held[ac[0]], held[ac[1]], drawn[2]),
        "result": of.result(sizes) if which == COUNT else of.result(),
    }


def found(which: str, case: Case, outputs: dict[str, Any], code: Any = None) -> Any:
    """What the roles returned, as ``Case.oracle`` says it."""
    if which == WHICH:
        assert outputs["helper"] is None
        of_b = outputs["b"]
        values = [column.tolist() for column in outputs["a"].values]
        return outputs["a"].places.tolist(), values, None if of_b is None else of_b.tolist()
    assert all(outputs[role] is None for role in ("a", "b", "helper"))
    return (code or CODE[which]).open_shares(shape(which, case, code), outputs["result"])


# -- the terms --------------------------------------------------------------------------------------------------------


class _Run(terms.Run):
    """Keys, streams and blocks; the rest is ``Reading``'s."""

    def __init__(self, case: Case, seed: int, names: dict[str, int], protocol: str) -> None:
        self.case, self.seed, self.names, self.protocol, self._kept = case, seed, names, protocol, {}  # type: ignore[assignment]


Value = list[bytes] | list[int]
"""Tags, or words."""


@dataclass
class Reading:
    """What the terms of a card come to in one run. ``parts``: what the program left with the holders of each family."""

    which: str
    case: Case
    seed: int
    card: Card
    parts: dict[str, int] = field(default_factory=dict)
    known: dict[tuple[str, int], Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = self.card.names(self.case.public(self.which))
        self.run = _Run(self.case, self.seed, self.names, self.which)

    def columns(self, label: str) -> int:
        message = next(m for m in self.card.messages if m.label == label)
        return message.columns.evaluate(self.names)

    def sent(self) -> Iterator[tuple[tuple[str, int], bytes]]:
        """Every column of every message, as bytes."""
        for message in self.card.messages:
            for column in range(self.columns(message.label)):
                yield (message.label, column), self.as_bytes(message.label, column)

    def as_bytes(self, label: str, column: int) -> bytes:
        value = self.message(label, column)
        return b"".join(one if isinstance(one, bytes) else one.to_bytes(8, "little") for one in value)

    def message(self, label: str, column: int) -> Value:
        if (label, column) not in self.known:
            listed = [message for message in self.card.messages if message.label == label]
            if not listed or column >= self.columns(label):
                raise Meaningless(f"{label} is no message")
            self.known[label, column] = self.value(listed[0].meaning, column, listed[0].index)
        return self.known[label, column]

    def words(self, term: Term, column: int, index: str) -> list[int]:
        value = self.value(term, column, index)
        if any(isinstance(one, bytes) for one in value):
            raise Meaningless("words are expected")
        return value  # type: ignore[return-value]

    def value(self, term: Term, column: int, index: str) -> Value:
        match term:
            case Sum(parts):
                signed = [(sign, self.words(part, column, index)) for sign, part in parts]
                if len({len(words) for _, words in signed}) > 1:
                    raise Meaningless("two sizes in one sum")
                return [
                    sum(sign * word for sign, word in zip([s for s, _ in signed], row, strict=True)) % WORD
                    for row in zip(*(words for _, words in signed), strict=True)
                ]
            case str() if any(term == m.label for m in self.card.messages):
                return self.message(term, column)
            case Call("sort", (inner,)):
                return sorted(self.value(inner, column, index))  # type: ignore[type-var]
            case Call("tags", ("tag", *lists)):
                return self.tags(lists)
            case Call("values", ("b", str(named))) if named == index == "brought":
                if column >= len(self.case.y):
                    raise Meaningless("b has no such column")
                blocks = self.listed("b")
                of_list = [*self.case.y[column], *[0] * (len(blocks) - len(self.case.ids_b))]
                return [value % WORD for value in self.in_order("b", blocks, of_list)]
            case Call("pads", ("pad", str(role), str(named))) if named == index == "brought":
                key, blocks = self.run.key("s_ab", "pad", column), self.listed(role)
                pads = [int.from_bytes(terms.aes(key, block)[:8], "little") for block in blocks]
                return self.in_order(role, blocks, pads)
            case Call("gather", (inner, "match")):
                words = self.words(inner, column, index)
                if len(words) != self.names["n_list_b"]:
                    raise Meaningless("places in another list")
                words = words + [0] * self.names["n_list_a"]
                return [words[place] for place in self.match()]
            case Call("flags", (str(key), str(role), "match")) if role in ("a", "b"):
                count, there = self.names["n_list_b"], self.match()
                flags = [p < count for p in there] if role == "a" else [i in set(there) for i in range(count)]
                packed = sum(1 << i for i, flag in enumerate(flags) if flag).to_bytes(
                    -(-len(flags) // 64) * 8, "little"
                )
                packed += hashlib.blake2b(packed, key=self.run.key(key, "flags"), digest_size=16).digest()
                return np.frombuffer(packed, "<u8").tolist()
            case Call("count", ("match",)):
                return [sum(place < self.names["n_list_b"] for place in self.match())]
            case Call("number", (Call("dummies", (str(key),)),)):
                return [self.run.number_of_dummies(key)]
            case Call("reached", (inner,)):
                words = self.words(inner, column, index)
                number = (words[0] + sum(self.case.noise or ())) % WORD
                enough = number < WORD // 2 and number >= self.case.min_result
                return [(number if self.case.shown else 1) if enough else 0]
            case Call("noise", (str(role), str(named))) if role in ("a", "b", "helper") and named == index == "summed":
                if self.case.noise is None:
                    raise Meaningless("there is no noise")
                return [self.case.noise[("a", "b", "helper").index(role)] % WORD]
            case Call("zero", (str(key), str(named))) if named == index == "summed":
                return [int(self.run.stream(key, "zero", column, 1)[0])]
            case Call("part", (str(key), "sums", str(named))) if named == index == "summed":
                if key not in self.parts:
                    raise Meaningless(f"nothing leaves {key} a part")
                return [self.parts[key]]
            case Call("share", (str(role), str(name))):
                shares = self.shared(name).shares
                if role not in shares:
                    raise Meaningless(f"{role} has no share of {name}")
                return self.value(shares[role], column, index)
        raise Meaningless(f"{term} says nothing")

    def shared(self, name: str) -> Shared:
        found = [each for each in self.card.shared if each.name == name]
        if len(found) != 1:
            raise Meaningless(f"{name} is not shared")
        return found[0]

    def opened(self) -> tuple[int, int]:
        """The shared value, and the sum of its shares."""
        shared = self.shared("sums")
        value = self.words(shared.value, 0, "summed")[0]
        return value, sum(self.words(term, 0, "summed")[0] for term in shared.shares.values()) % WORD

    # -- lists -------------------------------------------------------------------------------------------------------

    def persons(self, role: str) -> list[bytes]:
        if role not in ("a", "b"):
            raise Meaningless(f"{role} brings no keys")
        return list(dict.fromkeys(self.case.ids_a if role == "a" else self.case.ids_b))

    def entries(self, term: Term, dummies: int) -> list[bytes]:
        match term:
            case Call("keys", (str(role),)):
                return [self.run.block(one, 1) for one in self.persons(role)]
            case Call("dummies", (str(key),)):
                return [block for _, block in self.run.dummies(key).entries]
            case Call("fillers", (str(role),)):
                persons = self.persons(role)
                missing = self.names[f"n_{role}"] - len(persons)
                slots = [terms._indexed(terms.FILLER[role], i) for i in range(self.names["w"] - dummies)]
                return slots + [terms._indexed(terms.PADDING[role], i) for i in range(missing)]
        raise Meaningless(f"{term} is no list")

    def tags(self, lists: list[Term]) -> list[bytes]:
        dummies = sum(
            self.run.number_of_dummies(str(one.args[0]))
            for one in lists
            if isinstance(one, Call) and one.head == "dummies"
        )
        return self.tags_of([block for one in lists for block in self.entries(one, dummies)])

    def tags_of(self, blocks: list[bytes]) -> list[bytes]:
        data = terms.aes(self.run.key("s_ab", "tag"), b"".join(blocks))
        return [data[i : i + self.names["t"]] for i in range(0, len(data), 16)]

    def listed(self, role: str) -> list[bytes]:
        """The blocks of a role's list, before it is sorted."""
        dummies = self.run.number_of_dummies("s_ab")
        lists = (Call("keys", (role,)), Call("dummies", ("s_ab",)), Call("fillers", (role,)))
        return [block for one in lists for block in self.entries(one, dummies)]

    def in_order(self, role: str, blocks: list[bytes], of_list: list[int]) -> list[int]:
        tags = self.tags_of(blocks)
        return [of_list[i] for i in sorted(range(len(tags)), key=tags.__getitem__)]

    def match(self) -> list[int]:
        of_a, of_b = self.message("H1a", 0), self.message("H1b", 0)
        place = {tag: i for i, tag in enumerate(of_b)}
        return [place.get(tag, len(of_b) + i) for i, tag in enumerate(of_a)]
