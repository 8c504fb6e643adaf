"""secure_sum in the clear, and its roles with everything they start from made from a seed.

The slow twin adds up Python's integers of those who take part. A case says who is lost, and where: input parties whose
upload reaches nobody, or some computing parties alone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from pets.kernels import prf
from pets.protocols import secure_sum as ss
from pets.protocols.base import Binding, Hear, Role, Send
from pets.protocols.contributions import Agreement
from pets.protocols.upload import role_of
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import with_so_many

TIED = Binding(digest=b"\2" * 32, run_id=b"\1" * 32)


@dataclass
class Case:
    """``values`` (holders, words); ``noise`` (computing, words), signed; ``missing``: (holder, computing party)."""

    values: list[list[int]]
    noise: list[list[int]]
    minimum: int = 2
    agreement: Agreement = Agreement.COMMON
    missing: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    @property
    def shape(self) -> ss.Shape:
        sizes = {"holders": len(self.values), "computing": len(self.noise), "words": len(self.noise[0])}
        return ss.Shape(**sizes, minimum=self.minimum, agreement=self.agreement)

    def present(self) -> list[bool]:
        """Whose upload every computing party has."""
        lost = {holder for holder, _ in self.missing}
        return [number not in lost for number in range(len(self.values))]

    def oracle(self) -> list[int]:
        """Sums of those present, with all noise, modulo 2^64."""
        rows = [row for row, there in zip(self.values, self.present(), strict=True) if there] + self.noise
        return [sum(column) % 2**64 for column in zip(*rows, strict=True)]

    def public(self) -> dict[str, int]:
        return {"h": len(self.values), "m": len(self.noise), "l": len(self.noise[0])}

    def card(self) -> Card:
        counts = {"input": len(self.values), "server": len(self.noise) - 1}
        return with_so_many(load_cards()[ss.PROTOCOL], counts)


def words_of(values: list[int]) -> np.ndarray:
    """Signed or not, modulo 2^64."""
    return np.array([value % 2**64 for value in values], np.uint64)


def stream(seed: int, who: str) -> prf.Stream:
    return prf.Stream(Secret(random.Random(f"{seed} {who}").randbytes(16)))


def family(seed: int, one: str, other: str) -> prf.KeyFamily:
    secret = random.Random(f"{seed} {[one, other]}").randbytes(32)
    return prf.KeyFamily(
        Secret(secret),
        run_id=TIED.run_id,
        digest=TIED.digest,
        protocol=ss.PROTOCOL,
        party_p=one,
        party_q=other,
    )


def losing(role: Role[Any], lost: set[str]) -> Role[Any]:
    """A role whose messages to some never arrive."""
    answer = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(act, Send) and act.to in lost:
            answer = None
            continue
        answer = yield act


def stopping(role: Role[Any], after: int) -> Role[Any]:
    """A role that is lost after so many acts."""
    answer = None
    for _ in range(after):
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield act
    return None


def without(role: Role[Any], absent: set[str]) -> Role[Any]:
    """A role that hears nothing of some: what they sent did not arrive."""
    answer = None
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(act, Hear) and act.from_ in absent:
            answer = None
            continue
        answer = yield act


def roles(case: Case, seed: int = 1, code: Any = ss) -> dict[str, Role[Any]]:
    """All roles of a case, on channels."""
    shape, tied = case.shape, TIED
    found: dict[str, Role[Any]] = {}
    for number, values in enumerate(case.values):
        me = role_of("input", number)
        own = code.input_party(shape, number, words_of(values), tied, stream(seed, me))
        found[me] = losing(own, {shape.servers[at] for holder, at in case.missing if holder == number})
    for at, name in enumerate(shape.servers):
        absent = {role_of("input", holder) for holder, there in case.missing if there == at}
        found[name] = without(computing(case, at, seed, code), absent)
    found["result"] = code.result(shape)
    return found


def computing(case: Case, at: int, seed: int, code: Any = ss) -> Role[Any]:
    """A computing party that hears uploads on channels."""
    shape, noise = case.shape, words_of(case.noise[at])
    if at == shape.seeded:
        uploads = yield from code.heard_words(shape)
        families = [family(seed, name, "last") for name in shape.servers[:-1]]
        return (yield from code.last(shape, uploads, TIED, families, noise))
    uploads = yield from code.heard_seeds(shape, at, TIED)
    return (yield from code.server(shape, at, uploads, TIED, family(seed, role_of("server", at), "last"), noise))


def random_case(seed: int, *, holders: int = 9, computing: int = 5, words: int = 40) -> Case:
    """Any number of parties and words; who is lost; noise or none; never fewer than asked for."""
    rng = random.Random(seed)
    n, m, size = (
        rng.randint(2, holders),
        rng.randint(2, computing),
        rng.choice([1, 2, 31, 32, 33, rng.randint(1, words)]),
    )
    draw = partial(rng.choice, [0, 1, -1, 2**63 - 1, -(2**63), rng.randrange(-(2**40), 2**40)])
    values = [[draw() if rng.random() < 0.5 else rng.randrange(-(2**63), 2**63) for _ in range(size)] for _ in range(n)]
    noise = [[rng.randrange(-(2**20), 2**20) if seed % 3 else 0 for _ in range(size)] for _ in range(m)]
    gone = rng.sample(range(n), rng.randint(0, n - 2))
    missing = frozenset((holder, at) for holder in gone for at in _some(rng, m))
    return Case(values, noise, rng.randint(2, n - len(gone)), Agreement.COMMON, missing)


def _some(rng: random.Random, of: int) -> Iterator[int]:
    yield from rng.sample(range(of), rng.randint(1, of))
