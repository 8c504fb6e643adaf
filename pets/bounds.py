"""The closest bounds of sums of unknown counts, from what is known of other sums: linear programmes, solved by HiGHS.

An unknown is a number of rows or people that nobody released: at least 0, at most ``most``. What was released says that
certain sums of unknowns lie between two numbers. ``closest`` asks how little and how much another sum can be.

Unknowns that no sum connects do not depend on each other, so one programme answers a question of each such component at
once: a table of a thousand lines takes as many programmes as its longest line has questions, times two.

The programmes are over real numbers, which leaves more open than whole numbers do; the bounds are rounded inwards. What
an attacker may know besides is not in them: by which rule cells were withheld (docs/adr/0017).

Source: A. J. Hundepool et al., "Statistical Disclosure Control", Wiley 2012, section 4.3 (the auditing problem); scipy
        ``linprog`` with method "highs".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pets.errors import AuditError

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_NEAR: Final = 1e-4
"""What is this near to a whole number is taken for it: far above HiGHS' tolerance, far below one person."""

MAX_UNKNOWNS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Known:
    """The sum of ``weights`` times the unknowns ``members`` (numbers from 0) lies between ``low`` and ``high``."""

    members: I64
    low: float
    high: float
    weights: F64 | None = None


def closest(unknowns: int, known: Sequence[Known], asked: Sequence[I64], *, most: int) -> list[tuple[int, int]]:
    """The least and the greatest value of each asked sum of unknowns that all that is known leaves open.

    Shapes: ``asked``, sets of unknowns, none empty; one pair of bounds for each, in order.
    Raises: AuditError audit.contradiction if nothing fulfils all that is known; audit.size above MAX_UNKNOWNS.
    """
    system = _System(unknowns, known, asked, most)
    if known and not asked:
        system.solve((), 1.0)
    bounds = [[0, 0] for _ in asked]
    for places in _rounds(system.component_of(range(len(asked)))):
        for end, sign in ((0, 1.0), (1, -1.0)):
            found = system.solve(places, sign)
            for place in places:
                value = float(found[asked[place]].sum())
                bounds[place][end] = ceil(value - _NEAR) if end == 0 else floor(value + _NEAR)
    return [(least, greatest) for least, greatest in bounds]


def short_of(
    unknowns: int, known: Sequence[Known], asked: Sequence[I64], need: Sequence[int], *, most: int
) -> dict[int, int]:
    """Which of the asked sums cannot be as great as needed: the greatest value of each of them, by its place.

    Whatever one programme makes great enough is asked no more, so this takes far fewer of them than ``closest``.
    Raises: as ``closest``.
    """
    system, left, short = _System(unknowns, known, asked, most), list(range(len(asked))), dict[int, int]()
    while left:
        places = [left[each] for each in _rounds(system.component_of(left))[0]]
        found = system.solve(places, -1.0)
        values = {place: floor(float(found[asked[place]].sum()) + _NEAR) for place in left}
        short |= {place: values[place] for place in places if values[place] < need[place]}
        left = [place for place in left if values[place] < need[place] and place not in short]
    return short


class _System:
    """What is known, as a matrix; and which unknowns stand in one row with one another, directly or not."""

    def __init__(self, unknowns: int, known: Sequence[Known], asked: Sequence[I64], most: int) -> None:
        if unknowns > MAX_UNKNOWNS:
            raise AuditError("audit.size", size=unknowns, limit=MAX_UNKNOWNS)
        rows = [*known, *(Known(each, -np.inf, np.inf) for each in asked)]
        self.asked: Final = asked
        self.most: Final = most
        self.matrix: Any = None
        self.low, self.high = np.empty(0), np.empty(0)
        self.component = np.arange(unknowns, dtype=np.int32)
        if rows:
            self.matrix, self.low, self.high = _matrix(unknowns, rows)
            self.component = _components(self.matrix)

    def component_of(self, places: Iterable[int]) -> list[int]:
        return [int(self.component[self.asked[place][0]]) for place in places]

    def solve(self, places: Sequence[int], sign: float) -> F64:
        """Values of all unknowns at which the asked sums are least (``sign`` 1) or greatest (-1) together."""
        cost = np.zeros(len(self.component))
        for place in places:
            cost[self.asked[place]] = sign
        return _solve(cost, self.matrix, self.low, self.high, self.most)


def _matrix(unknowns: int, rows: Sequence[Known]) -> tuple[Any, F64, F64]:
    from scipy import sparse

    sizes = [len(row.members) for row in rows]
    members = np.concatenate([row.members for row in rows])
    weights = np.concatenate([np.ones(len(row.members)) if row.weights is None else row.weights for row in rows])
    place = np.repeat(np.arange(len(rows)), sizes)
    matrix = sparse.csr_matrix((weights, (place, members)), shape=(len(rows), unknowns))
    return matrix, np.array([row.low for row in rows]), np.array([row.high for row in rows])


def _components(matrix: Any) -> npt.NDArray[np.int32]:
    """The component of each unknown: two that stand in one row are in one."""
    from scipy import sparse

    rows, unknowns = matrix.shape
    graph = sparse.bmat([[None, matrix], [matrix.T, None]], format="csr")
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    found: npt.NDArray[np.int32] = label[rows : rows + unknowns]
    return found


def _rounds(component: Sequence[int]) -> list[list[int]]:
    """Questions, put together so that no two of one component are asked at once."""
    rounds: list[list[int]] = []
    asked: dict[int, int] = {}
    for place, each in enumerate(component):
        turn = asked.get(each, 0)
        asked[each] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(place)
    return rounds


def _solve(cost: F64, matrix: Any, low: F64, high: F64, most: int) -> F64:
    from scipy import sparse
    from scipy.optimize import linprog

    equal = low == high
    above, below = np.isfinite(high) & ~equal, np.isfinite(low) & ~equal
    found = linprog(
        cost,
        A_ub=sparse.vstack([matrix[above], -matrix[below]], format="csr") if (above | below).any() else None,
        b_ub=np.concatenate([high[above], -low[below]]) if (above | below).any() else None,
        A_eq=matrix[equal] if equal.any() else None,
        b_eq=low[equal] if equal.any() else None,
        bounds=(0, most),
        method="highs",
    )
    if found.status != 0:  # bounded on all sides, so there is an optimum unless nothing fulfils it
        raise AuditError("audit.contradiction")
    solution: F64 = found.x
    return solution
