"""Plans of sums over one table, made by hand, and rows for them: for tests of a holder's part alone."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.kernels.packed import FIELD_BITS, RING_BITS, Layout, Numbers
from pets.party.sources import Table
from pets.spec.ir import Dimension, Factor, Moment, Plan, Pool, Read
from pets.spec.query import ColumnRef

DIGEST = SpecDigest("a" * 64)
PLAN = PlanDigest("b" * 64)
MOST = 100
NOISE = 2**20
ONE, X, SQUARE = Factor(), Factor(("x",), ("x",), bound=MOST), Factor(("x", "x"), ("x",), bound=MOST**2)
PEOPLE = Factor(people=True)


def holders(count: int) -> tuple[PartyId, ...]:
    return tuple(PartyId(f"board-{number}") for number in range(1, count + 1))


def servers(count: int) -> tuple[PartyId, ...]:
    return tuple(PartyId(name) for name in ("north", "south", "west", "east", "centre")[:count])


def plan(
    *,
    cells: int = 3,
    count: int = 4,
    computing: int = 2,
    rows: int = 50,
    per_person: int = 1,
    truncate: bool = False,
    shamir: bool = False,
    **changes: Any,
) -> Plan:
    """A plan of COUNT(*), COUNT(DISTINCT id), SUM(x) and SUM(x * x) by ward. ``changes``: of its ``Pool``."""
    levels = tuple(str(level) for level in range(cells))
    boards = holders(count)
    read = Read(
        out="rows",
        party=None,
        dataset="visits",
        columns=("id", "ward", "x"),
        where=None,
        dimensions=(Dimension(ColumnRef("visits", "ward"), levels),),
        factors=(ONE, PEOPLE, X, SQUARE),
        max_rows=rows * count,
        rows_per_person=per_person,
        truncate=truncate,
        per_person=False,
        holders=tuple((board, rows) for board in boards),
    )
    factors = {"count": ONE, "people": PEOPLE, "sum of x": X, "sum of x x": SQUARE}
    moments = tuple(Moment(name, factor, ONE, False, Fraction(1)) for name, factor in factors.items())
    ranges = tuple((0, rows * factor.bound) for factor in factors.values())
    lists = [Numbers(str(number), cells, *each) for number, each in enumerate(ranges)]
    layout = Layout(lists, parties=count, noise=NOISE, bits=FIELD_BITS if shamir else RING_BITS)
    t = (computing - 1) // 2
    names = [f"seeded{n}" for n in range(1, t + 1)] + [f"given{n}" for n in range(1, computing - t + 1)]
    names = names if shamir else [*(f"server{n}" for n in range(1, computing)), "last"]
    inputs = tuple((f"input{number}", board) for number, board in enumerate(boards, 1))
    pool = Pool(
        out="sums",
        card="secure_sum_shamir" if shamir else "secure_sum",
        card_version="1",
        of="rows",
        roles=(*inputs, *zip(names, servers(computing), strict=True)),
        moments=moments,
        ranges=ranges,
        lanes=tuple(layout.lane_of(each.name) for each in lists),
        noise=NOISE,
        parts=computing - t if shamir else 1,
        minimum=2,
        minutes=1,
        agreement="common",
        unproved="",
        public=(("h", count), ("m", computing), ("l", layout.words), *([("t", t)] if shamir else [])),
    )
    return Plan(DIGEST, (read, replace(pool, **changes)))


def table(persons: list[int], cells: list[int], x: list[int], present: list[bool] | None = None) -> Table:
    """Rows of so many persons, who are named by numbers in ascending order."""
    there = np.ones(len(persons), np.bool_) if present is None else np.array(present, np.bool_)
    return Table(
        ids=np.zeros((len(persons), 10), np.uint8),
        fixed=True,
        person=np.array(persons, np.uint32),
        cell=np.array(cells, np.uint32),
        values={"x": np.array(x, np.int64)},
        present={"x": there},
    )


@dataclass(frozen=True)
class Spec:
    """What a holder's session asks of a specification."""

    computing: tuple[PartyId, ...]


@dataclass(frozen=True)
class Reviewed:
    """What it asks of a review."""

    plan: Plan
    spec: Spec
    digest: SpecDigest = DIGEST
    plan_digest: PlanDigest = PLAN
    cards: str = "c" * 64


def reviewed(made: Plan) -> Any:
    assert made.pool is not None
    return Reviewed(made, Spec(tuple(party for _, party in made.pool.computing)))
