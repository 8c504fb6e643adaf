"""secure_sum_shamir in the clear, its roles from a seed, and its messages by the card's terms, over integers."""

import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pets.protocols import secure_sum_shamir as sh
from pets.protocols.base import Role
from pets.protocols.contributions import Agreement
from pets.protocols.upload import role_of
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many
from pets.spec.term import Call, Sum, Term
from tests.oracles.secure_sum import TIED, losing, stream, without
from tests.oracles.secure_sum_terms import DIGEST, RUN_ID, drawn
from tests.oracles.terms import At, Meaningless, Reading, Tags, aes

P = 2**61 - 1


@dataclass
class Case:
    """``values`` (holders, words) and ``noise`` (computing, words), signed; ``missing``: (holder, computing party)."""

    values: list[list[int]]
    noise: list[list[int]]
    degree: int
    minimum: int = 2
    quorum: int = 0
    agreement: Agreement = Agreement.COMMON
    missing: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    @property
    def shape(self) -> sh.Shape:
        return sh.Shape(
            holders=len(self.values),
            computing=len(self.noise),
            degree=self.degree,
            words=len(self.noise[0]),
            minimum=self.minimum,
            quorum=self.quorum or sh.least_quorum(len(self.noise), self.degree),
            agreement=self.agreement,
        )

    def present(self, lost: frozenset[int] = frozenset()) -> list[bool]:
        """Whose upload every computing party has that is there."""
        gone = {holder for holder, at in self.missing if at not in lost}
        return [number not in gone for number in range(len(self.values))]

    def oracle(self, lost: frozenset[int] = frozenset()) -> list[int]:
        """Sums with sign; the noise of a party that is lost from the beginning is not there."""
        rows = [row for row, there in zip(self.values, self.present(lost), strict=True) if there]
        rows += [row for at, row in enumerate(self.noise) if at not in lost]
        return [sum(column) for column in zip(*rows, strict=True)]

    def public(self) -> dict[str, int]:
        return {"h": len(self.values), "m": len(self.noise), "t": self.degree, "l": len(self.noise[0])}

    def card(self) -> Card:
        counts = {"input": len(self.values), "seeded": self.degree, "given": len(self.noise) - self.degree}
        return with_so_many(load_cards()[sh.PROTOCOL], counts)


def roles(case: Case, seed: int = 1, code: Any = sh) -> dict[str, Role[Any]]:
    """All roles of a case, on channels."""
    shape = case.shape
    found: dict[str, Role[Any]] = {}
    for number, values in enumerate(case.values):
        me = role_of("input", number)
        own = code.input_party(shape, number, sh.field_of(np.array(values)), TIED, stream(seed, me))
        found[me] = losing(own, {shape.servers[at] for holder, at in case.missing if holder == number})
    for at, name in enumerate(shape.servers):
        absent = {role_of("input", holder) for holder, there in case.missing if there == at}
        found[name] = without(computing(case, at, seed, code), absent)
    found["result"] = code.result(shape)
    return found


def computing(case: Case, at: int, seed: int, code: Any = sh) -> Role[Any]:
    shape = case.shape
    uploads = yield from code.heard(shape, at, TIED)
    noise = sh.field_of(np.array(case.noise[at]))
    return (yield from code.computing(shape, at, uploads, TIED, noise, stream(seed, shape.servers[at])))


def random_case(seed: int, *, holders: int = 7, degree: int = 3, words: int = 34) -> Case:
    """Any number of parties and words, somebody missing somewhere, never fewer than asked for."""
    rng = random.Random(seed)
    t = rng.randint(1, degree)
    n, m, size = (
        rng.randint(2, holders),
        rng.randint(2 * t + 1, 2 * t + 3),
        rng.choice([1, 2, 31, 33, rng.randint(1, words)]),
    )
    bound = 2**59 // (n + m)
    values = [
        [rng.choice([0, 1, -1, bound, -bound, rng.randint(-bound, bound)]) for _ in range(size)] for _ in range(n)
    ]
    noise = [[rng.randint(-(2**20), 2**20) if seed % 3 else 0 for _ in range(size)] for _ in range(m)]
    gone = rng.sample(range(n), rng.randint(0, n - 2))
    missing = frozenset((holder, at) for holder in gone for at in rng.sample(range(m), rng.randint(1, m)))
    minimum, quorum = rng.randint(2, n - len(gone)), rng.randint((m + t) // 2 + 1, m)
    return Case(values, noise, t, minimum, quorum, Agreement.COMMON, missing)


# -- messages by terms ------------------------------------------------------------------------------------------------


def at_point(secret: int, others: list[int], point: int) -> int:
    """The polynomial that is ``secret`` at 0 and these at 1, 2, ..., at a point: Lagrange over integers."""
    known, total = [secret, *others], 0
    for i, value in enumerate(known):
        above = below = 1
        for j in range(len(known)):
            if j != i:
                above, below = above * (point - j), below * (i - j)
        total += value * above * pow(below, -1, P)
    return total % P


@dataclass
class Run:
    """Everything that a run starts from. All parties are there."""

    case: Case
    seed: int
    names: dict[str, int]

    @cached_property
    def servers(self) -> list[str]:
        return list(self.case.shape.servers)

    def point(self, role: str) -> int:
        if role not in self.servers:
            raise Meaningless(f"{role} has no point")
        return self.servers.index(role) + 1

    def upload(self, holder: str) -> tuple[bytes, list[bytes]]:
        said = drawn(self.seed, holder, 16 + 32 * self.case.degree)
        return said[:16], [said[at : at + 32] for at in range(16, len(said), 32)]

    def secret(self, key: str) -> tuple[bytes, str, str]:
        if key[:1] != "k":
            raise Meaningless(f"{key} is no key")
        holder, seeded = key[1:].split("x")
        return self.upload(f"input{holder}")[1][int(seeded) - 1], f"input{holder}", f"seeded{seeded}"

    def stream(self, key: str, label: str, column: int, count: int) -> np.ndarray:
        secret, one, other = self.secret(key)
        prk = hmac.digest(RUN_ID, secret, "sha256")
        said = [
            b"pets/1",
            DIGEST,
            RUN_ID,
            b"secure_sum_shamir",
            one.encode(),
            other.encode(),
            f"{label}.{column}".encode(),
        ]
        info = b"".join(len(part).to_bytes(4, "big") + part for part in said)
        own = hmac.digest(prk, info + b"\x01", "sha256")[:16]
        return _elements(own, count)

    @cached_property
    def dealt(self) -> Mapping[str, list[list[int]]]:
        """By who deals, the points of its noise: for each computing party, word by word."""
        found = {}
        for at, role in enumerate(self.servers):
            keys = drawn(self.seed, role, 16 * self.case.degree)
            streams = [
                _elements(keys[16 * j : 16 * j + 16], len(self.case.noise[at])).tolist()
                for j in range(self.case.degree)
            ]
            found[role] = [
                [
                    at_point(secret, list(others), point)
                    for secret, *others in zip(self.case.noise[at], *streams, strict=True)
                ]
                for point in range(1, len(self.servers) + 1)
            ]
        return found

    @cached_property
    def list_of(self) -> list[bytes]:
        return [self.upload(f"input{n + 1}")[0] for n in range(len(self.case.values))] + [b"\1" * 16] * len(
            self.servers
        )

    @cached_property
    def confirmed(self) -> bytes:
        text = b"pets/1 contributors" + RUN_ID + DIGEST
        for role in sorted(self.servers):
            for part in (role.encode(), b"".join(self.list_of)):
                text += len(part).to_bytes(4, "big") + part
        return hashlib.sha256(text).digest()


def _elements(key: bytes, count: int) -> np.ndarray:
    counters = b"".join(block.to_bytes(16, "big") for block in range(count // 2 + 1))
    return np.array([int(word) & P for word in np.frombuffer(aes(key, counters), "<u8")[:count]], np.uint64)


@dataclass
class ShamirReading(Reading):
    """The card read over one run, modulo p; ``to`` is who the message that is read goes to."""

    run: Run
    to: str = ""

    def of_formula(self, text: str) -> list[At]:
        return {"1": [At()], "v": [At(summed=0)]}[text]

    def message(self, label: str, at: At) -> Any:
        message = next((m for m in self.card.messages if m.label == label), None)
        if message is None or not message.index:
            raise Meaningless(f"{label} has no such column")
        at.index("summed")
        return ShamirReading(self.card, self.run, to=message.receiver).value(message.meaning, at, self.size(message))

    def read(self, message: Any) -> list[bytes]:
        own = ShamirReading(self.card, self.run, to=message.receiver)
        return list(own.sent(message))

    def value(self, term: Term, at: At, size: int) -> Any:
        run, case = self.run, self.run.case
        inputs = [f"input{n + 1}" for n in range(len(case.values))]
        match term:
            case Sum(parts):
                total = [0] * size
                for sign, part in parts:
                    words = self.words(part, at, size).tolist()
                    if len(words) != len(total):
                        raise Meaningless("two sizes in one sum")
                    total = [(a + sign * b) % P for a, b in zip(total, words, strict=True)]
                return np.array(total, np.uint64)
            case Call("values", (str(role), "summed")) if role in inputs:
                at.index("summed")
                return np.array([value % P for value in case.values[inputs.index(role)]], np.uint64)
            case Call("noise", (str(role), "summed")) if role in run.servers:
                at.index("summed")
                return np.array([value % P for value in case.noise[run.servers.index(role)]], np.uint64)
            case Call("curve", (inner, *others)):
                if len(others) != case.degree:
                    raise Meaningless("a polynomial of another degree")
                columns = [self.words(part, at, size).tolist() for part in (inner, *others)]
                point = run.point(self.to)
                return np.array(
                    [at_point(first, rest, point) for first, *rest in zip(*columns, strict=True)], np.uint64
                )
            case Call("dealt", (Call("noise", (str(role), "summed")),)) if role in run.servers:
                at.index("summed")
                return np.array(run.dealt[role][run.point(self.to) - 1], np.uint64)
            case Call("dealings", (str(role),)):
                own = run.point(role) - 1
                return np.array(
                    [sum(column) % P for column in zip(*(d[own] for d in run.dealt.values()), strict=True)], np.uint64
                )
            case Call("handed", (str(key),)):
                secret, holder, _ = run.secret(key)
                return Tags((run.upload(holder)[0] + secret,))
            case Call("marked", (str(role),)) if role in inputs:
                return Tags((run.upload(role)[0],))
            case Call("heard", ("input",)):
                return Tags(tuple(run.list_of))
            case Call("confirmed", ("input",)):
                return Tags((run.confirmed,))
            case Call("present", ("input",)):
                return Tags(((2 ** len(run.list_of) - 1).to_bytes(run.names["bits"], "little"),))
            case Call("mask", (str(key), str(label), str(index))):
                return run.stream(key, label, at.index(index), size)
            case str():
                return self.message(term, at)
        raise Meaningless(f"{term} says nothing")


def read(card: Card, run: Run) -> dict[tuple[str, int], bytes]:
    """Every message of a card as its terms say, by label and column."""
    reading = ShamirReading(card, run)
    return {(m.label, column): sent for m in card.messages for column, sent in enumerate(reading.read(m))}
