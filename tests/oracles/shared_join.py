"""shared_join for tests: random tables of many holders, a plaintext twin of its functionality, all roles at once."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pets.kernels import prf
from pets.protocols import shared_join as sj
from pets.protocols.base import Role
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.repeated import numbers_of, with_so_many
from tests.oracles.helper_join import ids

HASHED_BY = bytes(range(16))

Row = tuple[bytes, int, tuple[int, ...]]
"""Identifier, cell, and the values of its columns."""


@dataclass
class Case:
    """Plain inputs: the rows of each holder of either table, and what is summed."""

    left: list[list[Row]]
    right: list[list[Row]]
    most_left: list[int]
    most_right: list[int]
    cells: int
    right_cells: int
    x: int
    v_g: int
    once: frozenset[int]
    summed: list[sj.Summed]
    fixed: bool = False

    def oracle(self) -> np.ndarray:
        """The functionality in the clear: (v, cells) sums as Python integers modulo 2^64, read as signed."""
        lefts = [row for rows in self.left for row in rows]
        of_right: dict[bytes, list[int]] = {}
        seen: set[tuple[bytes, int]] = set()
        for one, cell, values in (row for rows in self.right for row in rows):
            totals = of_right.setdefault(one, [0] * self.v_g)
            for column, value in enumerate(values):
                if column not in self.once or (one, cell) not in seen:
                    totals[column] += value
            seen.add((one, cell))
        out = [[0] * self.cells for _ in self.summed]
        met: set[tuple[bytes, int]] = set()
        for one, cell, values in lefts:
            for column, each in enumerate(self.summed):
                factor = 1 if each.factor is None else values[each.factor]
                if each.once and (one, cell) in met:
                    factor = 0
                out[column][cell] += factor * of_right.get(one, [0] * self.v_g)[each.gathered]
            met.add((one, cell))
        signed = [[(value + 2**63) % 2**64 - 2**63 for value in column] for column in out]
        return np.array(signed, np.int64).reshape(len(self.summed), self.cells)

    @property
    def reach(self) -> int:
        """Rows of the person who has most."""
        count: dict[bytes, int] = {}
        for one, _, _ in (row for rows in (*self.left, *self.right) for row in rows):
            count[one] = count.get(one, 0) + 1
        return max(count.values(), default=1)

    def shape(self, reach: int = 0) -> sj.Shape:
        rows = sum(self.most_left) + self.cells * len(self.left) + sum(self.most_right)
        return sj.Shape(
            left=tuple(self.most_left),
            right=tuple(self.most_right),
            cells=self.cells,
            right_cells=self.right_cells,
            x=self.x,
            v_g=self.v_g,
            once=self.once,
            summed=tuple(self.summed),
            reach=reach or self.reach,
            id_bits=sj.NHS_BITS if self.fixed else 39 + 2 * (rows - 1).bit_length(),
            fixed=self.fixed,
        )


def brought(rows: Sequence[Row], columns: int, kind: type[Any]) -> Any:
    """Rows of one holder as a role takes them."""
    values = [np.array([row[2][at] for row in rows], np.int64) for at in range(columns)]
    return kind(ids([row[0] for row in rows]), np.array([row[1] for row in rows], np.uint32), values)


def family(seed: int, one: str, other: str) -> prf.KeyFamily:
    """What two roles have in common: the same at both."""
    names = sorted((one, other))
    secret = random.Random(f"{seed} {names}").randbytes(32)
    return prf.KeyFamily(
        Secret(secret), run_id=b"\1" * 32, digest=b"\2" * 32, protocol=sj.PROTOCOL, party_p=names[0], party_q=names[1]
    )


def roles(
    case: Case, seed: int = 1, *, noise_words: np.ndarray | None = None, release: bool = True, reach: int = 0
) -> dict[str, Role[Any]]:
    """All roles of a case. ``noise_words`` (3, v, cells) uint64, or zero; ``release``: else shares are returned."""
    shape = case.shape(reach)
    drawn: Any = np.zeros((3, shape.v, shape.cells), np.uint64) if noise_words is None else noise_words
    if not release:
        drawn = (None, None, None)
    lefts = [f"left{number}" for number in range(1, len(case.left) + 1)]
    rights = [f"right{number}" for number in range(1, len(case.right) + 1)]

    def of(one: str, other: str) -> prf.KeyFamily:
        return family(seed, one, other)

    found: dict[str, Role[Any]] = {}
    for number, (role, rows) in enumerate(zip(lefts, case.left, strict=True)):
        found[role] = sj.left(shape, number, brought(rows, case.x, sj.LeftRows), of(role, "first"), HASHED_BY)
    for number, (role, rows) in enumerate(zip(rights, case.right, strict=True)):
        found[role] = sj.right(shape, number, brought(rows, case.v_g, sj.RightRows), of(role, "first"), HASHED_BY)
    families = ([of(role, "first") for role in lefts], [of(role, "first") for role in rights])
    found["first"] = sj.first(shape, families, of("first", "second"), of("first", "third"), drawn[0])
    found["second"] = sj.second(shape, of("first", "second"), of("second", "third"), drawn[1])
    found["third"] = sj.third(shape, of("first", "third"), of("second", "third"), drawn[2])
    if release:
        found["result"] = sj.result(shape)
    return found


def random_case(seed: int, *, most: int = 12, holders: int = 3) -> Case:
    """Any union: holders without rows, persons in several tables and in several rows, cells without anybody."""
    rng = random.Random(seed)
    fixed = rng.random() < 0.5
    people = [f"{rng.randrange(10**10):010}".encode() for _ in range(rng.randint(1, most))]
    if not fixed:
        people = [person[: rng.randint(1, 10)] + b"x" for person in people]
    cells, right_cells = rng.choice([1, 2, 3, 7]), rng.choice([1, 1, 2, 3])
    x, v_g = rng.randint(0, 2), rng.randint(1, 3)

    def table(columns: int, of_cells: int) -> list[list[Row]]:
        return [
            [
                (
                    rng.choice(people),
                    rng.randrange(of_cells),
                    tuple(rng.choice([0, 1, -3, rng.randrange(-(2**40), 2**40)]) for _ in range(columns)),
                )
                for _ in range(rng.randint(0, most))
            ]
            for _ in range(rng.randint(1, holders))
        ]

    left, right = table(x, cells), table(v_g, right_cells)
    summed = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(["plain", "once", "factor"] if x else ["plain", "once"])
        factor = rng.randrange(x) if kind == "factor" else None
        summed.append(sj.Summed(rng.randrange(v_g), factor, kind == "once"))
    return Case(
        left,
        right,
        [len(rows) + rng.choice([0, 0, 1, 5]) or 1 for rows in left],
        [len(rows) + rng.choice([0, 0, 1, 5]) or 1 for rows in right],
        cells,
        right_cells,
        x,
        v_g,
        frozenset(column for column in range(v_g) if rng.random() < 0.3),
        summed,
        fixed,
    )


def public(case: Case) -> dict[str, int]:
    """The public numbers of the card."""
    shape = case.shape()
    return {
        "n_a": sum(case.most_left),
        "n_b": sum(case.most_right),
        "h_a": len(case.left),
        "h_b": len(case.right),
        "g": case.cells,
        "k_i": shape.id_bits,
        "k_c": shape.cell_bits,
        "k_d": int(shape.persons),
        "k_t": (shape.reach - 1).bit_length(),
        "x": case.x,
        "v_g": case.v_g,
        "v_o": len(case.once),
        "v": shape.v,
        "v_p": len(shape.products),
        "r": shape.v,
        **numbers_of("left", [{"own": most} for most in case.most_left]),
        **numbers_of("right", [{"own": most} for most in case.most_right]),
    }


def card(case: Case) -> Card:
    """The card of a run with the holders of a case."""
    return with_so_many(load_cards()[sj.PROTOCOL], {"left": len(case.left), "right": len(case.right)})
