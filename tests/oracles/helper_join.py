"""helper_join for tests: keys from a seed, a plaintext twin of its functionality, and all roles at once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from pets.check.budget import dummy_slots
from pets.kernels import dummy, prf
from pets.protocols import helper_join as hj
from pets.protocols.base import Role
from pets.secret import Secret
from pets.spec.cards import load_cards

EPSILON, DELTA = Fraction(1, 2), Fraction(1, 2**40)


@dataclass
class Case:
    """Plain inputs: ids may be any bytes up to 64; occurrence, cell and x per row of a; columns per person of b."""

    g: int
    k: int
    ids_a: list[bytes]
    cell: list[int]
    x: list[list[int]]
    ids_b: list[bytes]
    y: list[list[int]]
    summed: list[tuple[int, int | None]]
    n_a: int
    n_b: int
    fixed: bool = False

    def occurrences(self) -> list[int]:
        seen: dict[bytes, int] = {}
        out = []
        for one in self.ids_a:
            seen[one] = seen.get(one, 0) + 1
            out.append(seen[one])
        return out

    def oracle(self) -> np.ndarray:
        """The functionality in the clear: (v, g) sums as Python integers modulo 2^64, read as signed."""
        people = {one: row for row, one in enumerate(self.ids_b)}
        out = [[0] * self.g for _ in self.summed]
        for row, (one, occurrence) in enumerate(zip(self.ids_a, self.occurrences(), strict=True)):
            if one in people and occurrence <= self.k:
                for column, (of_b, of_a) in enumerate(self.summed):
                    factor = 1 if of_a is None else self.x[of_a][row]
                    out[column][self.cell[row]] += factor * self.y[of_b][people[one]]
        return np.array([[(value + 2**63) % 2**64 - 2**63 for value in column] for column in out], np.int64).reshape(
            len(self.summed), self.g
        )

    def public(self) -> dict[str, int]:
        products = [of_b for of_b, of_a in self.summed if of_a is not None]
        return {
            "n_a": self.n_a,
            "n_b": self.n_b,
            "g": self.g,
            "g_l": self.g,
            "k": self.k,
            "s": slots(self.k),
            "v_g": len(self.y),
            "v": len(self.summed),
            "x": len(self.x),
            "z": len(set(products)),
            "p": len(products),
            "r": len(self.summed),
            "v_m": len(self.summed),
            "v_c": 0,
            "v_k": 0,
        }

    def shape(self) -> hj.Shape:
        names = load_cards()["helper_join_a"].names(self.public())
        return hj.Shape(
            n_a=self.n_a,
            n_b=self.n_b,
            g=self.g,
            k=self.k,
            s=names["s"],
            t=names["t"],
            n_list_a=names["n_list_a"],
            n_list_b=names["n_list_b"],
            x=len(self.x),
            v_g=len(self.y),
            summed=tuple(self.summed),
            fixed_ids=self.fixed,
            dummies=dummies(self.k, names["s"]),
        )

    def rows_of_a(self, local: np.ndarray | None = None) -> hj.RowsOfA:
        occurrence = np.array(self.occurrences(), np.uint16)
        keep = occurrence <= self.k
        zeros = np.zeros((len(self.summed), self.g), np.uint64)
        return hj.RowsOfA(
            ids=ids([one for one, kept in zip(self.ids_a, keep, strict=True) if kept]),
            occurrence=occurrence[keep],
            cell=np.array(self.cell, np.uint32)[keep],
            values=[np.array(column, np.int64)[keep] for column in self.x],
            local=zeros if local is None else local,
        )

    def people_of_b(self) -> hj.PeopleOfB:
        return hj.PeopleOfB(ids(self.ids_b), [np.array(column, np.int64) for column in self.y])


@lru_cache
def dummies(k: int, s: int) -> dummy.DummyTable:
    return dummy.dummy_table(EPSILON, DELTA, k, s)


@lru_cache
def slots(k: int) -> int:
    return dummy_slots(EPSILON, DELTA, k)


def ids(values: Sequence[bytes]) -> np.ndarray:
    width = max((len(value) for value in values), default=1)
    data = np.zeros((len(values), width), np.uint8)
    for row, value in enumerate(values):
        data[row, : len(value)] = list(value)
    return data


class Audited(prf.KeyFamily):
    """A key family that remembers what was asked of it: (label, column, purpose), in order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.uses: list[tuple[str, int | None, str]] = []

    def key(self, label: str, column: int | None = None, *, purpose: str = "words") -> Secret[bytes]:
        self.uses.append((label, column, purpose))
        return super().key(label, column, purpose=purpose)


PAIRS = {"ab": ("A", "B"), "ac": ("A", "C"), "bc": ("B", "C")}
FURTHER = {f"ad{number}": ("A", f"D{number}") for number in range(1, 8)}
"""The pairs of a join of more tables: roles d1, d2 ... agree on keys with role a alone."""


def families(seed: int, run: str | None = None, *, protocol: str = hj.PROTOCOL, **other: int) -> dict[str, Audited]:
    """Fresh key families of the pairs ab, ac, bc for each holder: "ab@a", "ab@b", ...

    ``other``: another seed for one pair, so that a test can hold all that one party knows and vary the rest; ``run``
    names the run where it should stay the same then.
    """
    run_id = hashlib.sha256(f"run {seed if run is None else run}".encode()).digest()
    out = {}
    for pair, (first, second) in (PAIRS | FURTHER).items():
        shared = hashlib.sha256(f"{other.get(pair, seed)} {pair}".encode()).digest()
        for holder in (pair[0], pair[1:]):
            out[f"{pair}@{holder}"] = Audited(
                Secret(shared),
                run_id=run_id,
                digest=bytes(32),
                protocol=protocol,
                party_p=first,
                party_q=second,
            )
    return out


def roles(
    case: Case,
    seed: int = 1,
    *,
    noise_words: np.ndarray | None = None,
    local: np.ndarray | None = None,
    keys: Mapping[str, prf.KeyFamily] | None = None,
    code: Any = hj,
) -> dict[str, Role[Any]]:
    """All four roles of a case. ``noise_words`` (3, v, g) uint64; zero without it. ``code``: a mutant, to be caught."""
    shape, keys = case.shape(), families(seed) if keys is None else keys
    drawn = np.zeros((3, shape.v, shape.g), np.uint64) if noise_words is None else noise_words
    return {
        "a": code.party_a(shape, case.rows_of_a(local), keys["ab@a"], keys["ac@a"], drawn[0]),
        "b": code.party_b(shape, case.people_of_b(), keys["ab@b"], keys["bc@b"], drawn[1]),
        "helper": code.helper(shape, keys["ac@c"], keys["bc@c"], drawn[2]),
        "result": code.result(shape),
    }


def random_case(seed: int) -> Case:
    """A random small case: empty tables, cells without rows, no match, all matched, k above 1, extreme values."""
    rng = np.random.default_rng(seed)
    g, k = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    universe = [f"{i:010d}".encode() for i in range(int(rng.integers(1, 30)))]
    of_b = [one for one in universe if rng.random() < rng.choice([0.0, 0.5, 1.0])]
    rows = int(rng.integers(0, 40))
    ids_a = [universe[int(rng.integers(len(universe)))] for _ in range(rows)]
    extreme = [0, 1, -1, 2**40, -(2**40)]
    columns, x = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    summed: list[tuple[int, int | None]] = [(0, None)]
    summed += [(int(rng.integers(columns)), None if x == 0 else int(rng.integers(-1, x))) for _ in range(3)]
    summed = [(c, None if f is None or f < 0 else f) for c, f in summed]
    used = sorted({f for _, f in summed if f is not None})
    summed = [(c, None if f is None else used.index(f)) for c, f in summed]
    return Case(
        g=g,
        k=k,
        ids_a=ids_a,
        cell=[int(c) for c in rng.integers(0, g, rows)],
        x=[[extreme[int(i)] for i in rng.integers(0, 5, rows)] for _ in used],
        ids_b=of_b,
        y=[[1] * len(of_b)] + [[extreme[int(i)] for i in rng.integers(0, 5, len(of_b))] for _ in range(columns - 1)],
        summed=summed,
        n_a=rows + int(rng.integers(0, 9)) or 1,
        n_b=len(of_b) + int(rng.integers(0, 9)) or 1,
        fixed=bool(rng.integers(2)),
    )
