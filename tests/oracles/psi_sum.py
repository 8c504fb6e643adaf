"""psi_sum for tests: groups by dictionaries of Python, and who computes with ciphertexts that hide nothing.

``InClear`` stands where SEAL does: what it calls a ciphertext has the slots as they are. With it a role's messages
follow from what the role draws, so vectors and terms can be held to them, and runs are fast.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pets.kernels import prf, slots
from pets.protocols import base, psi_sum
from pets.protocols.base import Array, Role
from pets.secret import Secret
from pets.spec.cards import load_cards
from tests.oracles.dh_psi import rows_of

CARD = load_cards()[psi_sum.PROTOCOL]
SHARES = load_cards()[psi_sum.SHARES]
SECOND = slice(slots.CIPHER // 2, slots.CIPHER // 2 + slots.RING)
NAMES = ("m_a", "n_b", "g", "v", "primes", "n_list_a", "n_list_b", "blocks", "t")


@dataclass(frozen=True)
class Case:
    """Persons of both sides, a group for each of a's, a row of numbers for each of b's, and declared sizes."""

    people_a: dict[bytes, int]
    people_b: dict[bytes, tuple[int, ...]]
    g: int
    v: int
    m_a: int
    n_b: int
    primes: int
    width: tuple[int, int] = (10, 10)
    control: psi_sum.Control | None = None
    noise_a: tuple[tuple[int, ...], ...] = ()
    noise_b: tuple[tuple[int, ...], ...] = ()

    def public(self) -> dict[str, int]:
        return {"m_a": self.m_a, "n_b": self.n_b, "g": self.g, "v": self.v, "primes": self.primes}

    def counts(self) -> list[int]:
        return [sum(1 for one, of in self.people_a.items() if of == c and one in self.people_b) for c in range(self.g)]

    def oracle(self, *, shares: bool = False) -> psi_sum.Grouped:
        """The result: sums with b's noise, or with both sides'; under control counts and marks as it says."""
        counts, control = self.counts(), self.control
        shown = [control is None or n >= control.minimum or (control.empty and n == 0) for n in counts]
        sums = []
        for column in range(self.v):
            row = []
            for cell in range(self.g):
                total = sum(
                    self.people_b[one][column]
                    for one, of in self.people_a.items()
                    if of == cell and one in self.people_b
                )
                total += self.noise_b[column][cell] if self.noise_b else 0
                total += self.noise_a[1 + column][cell] if shares and self.noise_a else 0
                row.append(total if shown[cell] else 0)
            sums.append(tuple(row))
        if control is not None:
            counts = [(n + control.base // 2) // control.base * control.base for n in counts]
        if shares and self.noise_a:
            counts = [n + extra for n, extra in zip(counts, self.noise_a[0], strict=True)]
        return psi_sum.Grouped(
            tuple(shown), tuple(n if seen else 0 for n, seen in zip(counts, shown, strict=True)), tuple(sums)
        )


def random_case(seed: int) -> Case:
    """Any two sets, from nobody to one against a thousand, in few groups or many, with room to spare or none."""
    rng = random.Random(f"psi_sum {seed}")
    few, many = rng.choice([0, 1, 2, 7]), rng.choice([0, 1, 3, 9, 20])
    if rng.random() < 0.02:
        few, many = rng.choice([0, 1, 5]), 1000
    sizes = [few, many] if rng.random() < 0.5 else [many, few]
    people = [b"%d" % number for number in range(1, max(1, round(sum(sizes) * rng.choice([0.6, 1, 1, 3]))) + 1)]
    sets = [rng.sample(people, min(size, len(people))) for size in sizes]
    if rng.random() < 0.1:
        sets[1] = rng.sample(sets[0], len(sets[0]))
    g, v = rng.choice([1, 1, 2, 3, 9]), rng.choice([0, 1, 1, 2])
    largest = rng.choice([1, 100, 2**28, 2**50])
    people_a = {one: rng.randrange(g) for one in sets[0]}
    fullest = max([0, *([*people_a.values()].count(cell) for cell in range(g))])
    drawn = rng.random() < 0.5
    control = psi_sum.Control(minimum=rng.choice([1, 2, 5]), base=rng.choice([1, 5]), empty=rng.random() < 0.5)
    return Case(
        people_a,
        {one: tuple(rng.randint(-largest, largest) for _ in range(v)) for one in sets[1]},
        g,
        v,
        m_a=fullest + rng.choice([0, 0, 1, 30]),
        n_b=len(sets[1]) + rng.choice([0, 0, 1, 30]),
        primes=0 if not v else slots.primes_for(1100 * largest + 200),
        width=(rng.randrange(5, 12), 10),
        control=None if drawn or rng.random() < 0.3 else control,
        noise_a=_noise(rng, 1 + v, g) if drawn else (),
        noise_b=_noise(rng, v, g) if drawn else (),
    )


def _noise(rng: random.Random, columns: int, g: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(rng.randint(-90, 90) for _ in range(g)) for _ in range(columns))


# -- ciphertexts that hide nothing ------------------------------------------------------------------------------------


class InClear:
    """Slots as they are, in the second polynomial, which flooding leaves alone; 1 in its last word: it is never 0."""

    def __init__(self) -> None:
        self.added: dict[int, list[np.ndarray]] = {}

    def new_key(self, number: int) -> Array:
        return np.full(slots.PUBLIC_KEY, 1 + number, np.uint64)

    def encrypt(self, number: int, filled: Array) -> Array:
        out = np.zeros((len(filled), slots.CIPHER), np.uint64)
        out[:, SECOND], out[:, -1] = filled, 1
        return out

    def decrypt(self, number: int, cipher: Array) -> Array:
        return cipher[SECOND] % np.uint64(slots.PLAIN[number])

    def block(self, number: int, ciphers: Array, masks: Array) -> None:
        new = np.array([row[SECOND] * mask for row in ciphers for mask in masks], np.uint64)
        known = self.added.setdefault(number, [np.zeros(new.shape, np.uint64)])
        known[0] += new

    def sums(self, number: int, key: Array, covers: Iterable[Array]) -> Iterator[Array]:
        assert np.array_equal(key, self.new_key(number))
        for row, cover in zip(self.added.pop(number, [[]])[0], covers, strict=True):
            yield self.encrypt(number, ((row + cover) % np.uint64(slots.PLAIN[number]))[None])[0]


# -- roles -------------------------------------------------------------------------------------------------------------


def entropy(seed: int, role: str) -> Secret[bytes]:
    return Secret(hashlib.shake_256(f"sum {seed} {role}".encode()).digest(psi_sum.ENTROPY_BYTES))


def binding(seed: int) -> base.Binding:
    digest, run_id = (hashlib.sha256(f"{name} {seed}".encode()).digest() for name in ("sum specification", "sum run"))
    return base.Binding(digest=digest, run_id=run_id)


def family(seed: int) -> prf.KeyFamily:
    tied = binding(seed)
    shared = Secret(hashlib.sha256(f"pair {seed}".encode()).digest())
    return prf.KeyFamily(
        shared, run_id=tied.run_id, digest=tied.digest, protocol=psi_sum.SHARES, party_p="a", party_q="b"
    )


def shape(case: Case, code: Any = psi_sum) -> psi_sum.Shape:
    names = CARD.names(case.public())
    return code.Shape(**{name: names[name] for name in NAMES})  # type: ignore[no-any-return]


def words(noise: tuple[tuple[int, ...], ...], columns: int, g: int) -> Array:
    return np.array(noise if noise else np.zeros((columns, g)), np.int64).reshape(columns, g).view(np.uint64)


def people_of(case: Case) -> tuple[psi_sum.PeopleOfA, psi_sum.PeopleOfB]:
    numbers = [np.array([each[c] for each in case.people_b.values()], np.int64) for c in range(case.v)]
    return (
        psi_sum.PeopleOfA(
            rows_of(list(case.people_a), case.width[0]), np.array(list(case.people_a.values()), np.uint32)
        ),
        psi_sum.PeopleOfB(rows_of(list(case.people_b), case.width[1]), numbers),
    )


def roles(
    case: Case,
    seed: int = 1,
    *,
    shares: bool = False,
    code: Any = psi_sum,
    tied: base.Binding | None = None,
    owner: Any = None,
    summer: Any = None,
) -> dict[str, Role[Any]]:
    sizes, tied = shape(case, code), tied or binding(seed)
    of_a, of_b = people_of(case)
    owner, summer = owner or InClear(), summer or InClear()
    a, b = (of_a, tied, summer, entropy(seed, "a")), (of_b, tied, owner, entropy(seed, "b"))
    control = (
        None
        if case.control is None
        else code.Control(minimum=case.control.minimum, base=case.control.base, empty=case.control.empty)
    )
    noise_b = words(case.noise_b, case.v, case.g)
    if not shares:
        return {"a": code.party_a(sizes, *a, control=control), "b": code.party_b(sizes, *b, noise_b)}
    noise_a = words(case.noise_a, 1 + case.v, case.g)
    return {
        "a": code.share_of_a(sizes, *a, noise_a, family(seed), control=control),
        "b": code.share_of_b(sizes, *b, noise_b, family(seed)),
        "result": code.result(sizes),
    }
