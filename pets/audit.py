"""What released tables tell together: the closest bounds of every withheld cell, and whether they are too close.

For output checkers. Tables under disclosure control that are about the same records are put into one system: an unknown
number of rows for each group that all their dimensions and conditions divide people into, and a sum of them for each
number that was released or is known besides. ``audit`` works out (pets/bounds.py) how little and how much each withheld
cell can be. Its policy says from 0 (from 1 where zeros are shown) to the minimum less one; a cell that is bounded more
closely is *too close*: 180 of 183 leaves 3, whichever two tables the numbers are from. So is a group that no table
shows and that follows to be smaller than the minimum: all people less all but a few, or less all who have a value.

    rows     COUNT(*); COUNT(x) is of the rows with a value; they add up
    flags    the sum of a 0/1 column: at most as many as rows with a value; they add up
    people   COUNT(DISTINCT id), where a person may have several rows and be in several cells: at most as many as rows,
             no fewer than rows of so many allow, no fewer than in a part, at most as many as in all parts
    sums     a sum that is shown bounds how many rows it is of, by the range of its column

Tables are believed, and taken to be of the same records: verify them first (``pets verify``). Tables with noise are the
ledger's business.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

import numpy as np

from pets.bounds import I64, MAX_UNKNOWNS, Known, closest, short_of
from pets.check.releases import JOINED, UNKNOWN, populations
from pets.errors import AuditError
from pets.ids import MISSING
from pets.released import Cell, Kind, Number, Released, Totals
from pets.spec.population import EVERY, NONE, Space
from pets.spec.protected import follows
from pets.spec.query import Aggregate, In, IsNull, Output, Query


@dataclass(frozen=True, slots=True)
class Withheld:
    """A withheld cell and the bounds that follow; ``high`` is None if nothing bounds it from above.

    ``allowed``: the bounds that the policy leaves open, or less where a known total is smaller by itself.
    """

    table: str
    cell: Cell
    statistic: str
    low: int
    high: int | None
    allowed: tuple[int, int]

    @property
    def close(self) -> bool:
        """True if more follows than the policy leaves open."""
        return self.low > self.allowed[0] or (self.high is not None and self.high < self.allowed[1])


@dataclass(frozen=True, slots=True)
class Implied:
    """A group that no table shows and that follows from several: so many rows at most, fewer than may be shown.

    ``cell``: levels of all grouping columns of the tables together; ``inside``: tables whose conditions it fulfils.
    """

    cell: Cell
    inside: tuple[str, ...]
    outside: tuple[str, ...]
    high: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What ``audit`` found: every withheld cell of every table, in order, and implied groups that are too small.

    ``groups``: how many groups several tables divide people into together were looked at; None if they are too many.
    """

    withheld: tuple[Withheld, ...]
    implied: tuple[Implied, ...]
    groups: int | None

    @property
    def close(self) -> tuple[Withheld, ...]:
        return tuple(each for each in self.withheld if each.close)

    def require(self) -> "Audit":
        """The audit, if nothing follows too closely. Raises: AuditError audit.too-close, audit.implied."""
        if self.close:
            raise AuditError("audit.too-close", table=self.close[0].table)
        if self.implied:
            raise AuditError("audit.implied", tables=", ".join((*self.implied[0].inside, *self.implied[0].outside)))
        return self


MAX_GROUPS: Final = 5_000
"""Groups of several tables together that are looked at one by one."""


def audit(tables: Sequence[Released], totals: Sequence[Totals] = ()) -> Audit:
    """The closest bounds of every withheld cell, from all the tables and totals together.

    Raises: AuditError if no records have all these tables, if they divide people into too many groups, or if their
            levels, joins or conditions cannot be held together.
    """
    found: list[Withheld] = []
    implied: list[Implied] = []
    groups: int | None = 0
    for about in dict.fromkeys(map(_about, tables)):
        system = _System([table for table in tables if _about(table) == about])
        system.know([each for each in totals if _about(each.of) == about])
        found += system.withheld()
        if len(_conditions(system.tables)) > 1 or len(system.tables) > 1:
            many = len(system.atoms) > MAX_GROUPS
            implied += [] if many else system.implied()
            groups = None if many or groups is None else groups + len(system.atoms)
    return Audit(tuple(found), tuple(implied), groups)


def _about(table: Released) -> frozenset[str]:
    return table.records


@dataclass(frozen=True, slots=True)
class _Count:
    """A count in a table: the groups that it is of, the unknowns that it is the sum of, and what is shown of it."""

    table: Released
    cell: Cell
    name: str
    atoms: I64
    members: I64
    shown: int | None


class _System:
    """Tables about two datasets. Atoms are the groups that nothing divides further; each has an unknown number of rows.

    Further unknowns, for flags and people, come after those of rows.
    """

    def __init__(self, tables: Sequence[Released]) -> None:
        self.tables: Final = tables
        self.columns: Final = _columns(tables)
        self.atoms: Final = list(_atoms(tables, self.columns))
        self.size = len(self.atoms)
        self.covers: Final = np.full(self.size, np.iinfo(np.int64).max)
        """For each atom the smallest known total that it is a part of."""
        self.close: Final[set[int]] = set()
        """Atoms of cells that are too close."""
        self.known: Final[list[Known]] = []
        self.counts: Final[list[_Count]] = []
        self.flags: Final[dict[tuple[str, int], int]] = {}
        """The unknown of each 0/1 column and atom."""
        self.people: Final[list[tuple[I64, int]]] = []
        """The atoms of each count of people, and its unknown."""

    def know(self, totals: Sequence[Totals]) -> None:
        """Put all that was released, and what is known besides, into the system."""
        for table in self.tables:
            self._state(table)
        self._people_of_parts()
        for each in totals:
            atoms = self._of(each.columns, populations(each.of.spec, each.of.query)[0])
            for cell, number in each.numbers.items():
                inside = atoms.get(cell, np.empty(0, np.int64))
                self.known.append(Known(inside, number, number))
                self.covers[inside] = np.minimum(self.covers[inside], number)

    def withheld(self) -> Iterator[Withheld]:
        """Every withheld cell that somebody can be in, with its bounds."""
        asked = [count for count in self.counts if count.shown is None and len(count.members)]
        most = self._most()
        bounds = closest(self.size, self.known, [count.members for count in asked], most=most)
        for count, (low, high) in zip(asked, bounds, strict=True):
            control = count.table.control
            least, cover = int(control.zeros == "shown"), int(self.covers[count.atoms].min())
            allowed = (min(least, cover), min(control.min_count - 1, cover))
            found = Withheld(count.table.name, count.cell, count.name, low, high if high < most else None, allowed)
            self.close.update(count.atoms.tolist() if found.close else ())
            yield found

    def implied(self) -> Iterator[Implied]:
        """Groups of rows that follow to be too small, after ``withheld``.

        Left out are those that are cells by themselves, and parts of cells that are too close already. That nobody is
        in a group may be shown where zeros are, and always of those without a value in a column; how many they are, if
        rounding hides it (spec/protected.py).
        """
        cells = {tuple(count.atoms.tolist()) for count in self.counts}
        rows = {table.name: populations(table.spec, table.query) for table in self.tables}
        atoms, about, missing = [], [], []
        for atom, (_, fulfils) in enumerate(self.atoms):
            inside = [table for table in self.tables if rows[table.name][0] in fulfils]
            without = [table for table in inside if any(text not in fulfils for text in rows[table.name][1].values())]
            if (atom,) not in cells and atom not in self.close and all(follows(table.control) for table in without):
                atoms.append(atom)
                about.append(inside)
                missing.append(bool(without))
        need = [
            min(max((table.control.min_count for table in inside), default=1) - 1, int(self.covers[atom]))
            for atom, inside in zip(atoms, about, strict=True)
        ]
        found = short_of(self.size, self.known, [np.array([atom]) for atom in atoms], need, most=self._most())
        for place, high in found.items():
            if high > 0 or (not missing[place] and all(t.control.zeros == "hidden" for t in about[place])):
                names = tuple(table.name for table in about[place])
                outside = tuple(table.name for table in self.tables if table.name not in names)
                yield Implied(self.atoms[atoms[place]][0], names, outside, high)

    def _of(self, columns: Sequence[str], rows: str) -> dict[Cell, I64]:
        """The atoms of each cell of a grouping, among those that a condition selects."""
        places = [list(self.columns).index(column) for column in columns]
        found: dict[Cell, list[int]] = {}
        for atom, (cell, inside) in enumerate(self.atoms):
            if rows in inside:
                found.setdefault(tuple(cell[place] for place in places), []).append(atom)
        return {cell: np.array(atoms, np.int64) for cell, atoms in found.items()}

    def _state(self, table: Released) -> None:
        """Put the numbers of a table into the system."""
        rows = populations(table.spec, table.query)[1]
        for output in table.query.outputs:
            if isinstance(output.what, Aggregate) and (kind := table.kind(output.what)) is not None:
                atoms, numbers = self._of(list(table.dimensions), rows[output.name]), table.numbers(output.name)
                if kind == "sum":
                    self._sums(table, output.what, atoms, numbers)
                else:
                    self._counts(table, output, kind, atoms, numbers)

    def _counts(
        self, table: Released, output: Output, kind: Kind, atoms: Mapping[Cell, I64], numbers: Mapping[Cell, Number]
    ) -> None:
        name = output.name
        for cell, number in numbers.items():
            inside = atoms.get(cell, np.empty(0, np.int64))
            members = self._members(table, output, kind, inside)
            shown = None if number is None else int(number)
            self.counts.append(_Count(table, cell, name, inside, members, shown))
            if shown is None:
                continue
            try:
                low, high = table.control.behind(shown)
            except ValueError:
                problem = f"{name} has a number that its disclosure control does not show"
                raise AuditError("audit.table", file=table.name, problem=problem) from None
            if shown != number or (low > 0 and not len(members)):
                raise AuditError("audit.table", file=table.name, problem=f"{name} has a number that is no count")
            self.known.append(Known(members, low, high))

    def _members(self, table: Released, output: Output, kind: Kind, atoms: I64) -> I64:
        """The unknowns that a count of these atoms is the sum of."""
        if kind == "rows" or not len(atoms):
            return atoms
        if kind == "flags":
            assert isinstance(output.what, Aggregate)
            return np.array([self._flag(str(output.what.columns[0]), atom) for atom in atoms.tolist()])
        fresh = np.array([self._fresh()])
        self.people.append((atoms, int(fresh[0])))
        members, ones = np.concatenate([atoms, fresh]), np.ones(len(atoms))
        self.known.append(Known(members, 0, np.inf, np.concatenate([ones, [-1.0]])))
        self.known.append(Known(members, -np.inf, 0, np.concatenate([ones, [-float(table.rows_of_one)]])))
        return fresh

    def _flag(self, column: str, atom: int) -> int:
        if (column, atom) not in self.flags:
            self.flags[column, atom] = flag = self._fresh()
            self.known.append(Known(np.array([atom, flag]), 0, np.inf, np.array([1.0, -1.0])))
        return self.flags[column, atom]

    def _fresh(self) -> int:
        self.size += 1
        return self.size - 1

    def _people_of_parts(self) -> None:
        """People of a group are no fewer than those of a part of it, and no more than those of all parts of it."""
        sets = [(frozenset(atoms.tolist()), people) for atoms, people in self.people]
        by_atom: dict[int, list[int]] = {}
        for place, (atoms, _) in enumerate(sets):
            for atom in atoms:
                by_atom.setdefault(atom, []).append(place)
        for place, (whole, people) in enumerate(sets):
            near = {other for atom in whole for other in by_atom[atom]} - {place}
            parts = [sets[other] for other in near if sets[other][0] <= whole]
            for _, part in parts:
                self.known.append(Known(np.array([people, part]), 0, np.inf, np.array([1.0, -1.0])))
            if parts and frozenset().union(*(atoms for atoms, _ in parts)) == whole:
                members = np.array([people, *(part for _, part in parts)])
                self.known.append(Known(members, 0, np.inf, np.array([-1.0, *[1.0] * len(parts)])))

    def _sums(
        self, table: Released, what: Aggregate, atoms: Mapping[Cell, I64], numbers: Mapping[Cell, Number]
    ) -> None:
        low, high = map(float, table.range_of(what))
        for cell, number in numbers.items():
            inside = atoms.get(cell, np.empty(0, np.int64))
            if number is None or not len(inside):
                continue
            ones = np.ones(len(inside))
            if high > 0:
                self.known.append(Known(inside, float(number), np.inf, high * ones))
            if low > 0:
                self.known.append(Known(inside, -np.inf, float(number), low * ones))

    def _most(self) -> int:
        """More than anything that is known: bounds that reach it are none."""
        told = [abs(end) for row in self.known for end in (row.low, row.high) if np.isfinite(end)]
        return int(2 * max([*told, *(1000.0 * table.control.min_count for table in self.tables)]))


# -- the groups -------------------------------------------------------------------------------------------------------


def _columns(tables: Sequence[Released]) -> dict[str, tuple[str, ...]]:
    """The grouping columns of all tables, each with its levels."""
    found: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for column, levels in table.dimensions.items():
            if found.setdefault(column, levels) != levels:
                raise AuditError("audit.apart", file=table.name, problem=f"{column} has other levels")
    if (size := prod(map(len, found.values()))) > MAX_UNKNOWNS:
        raise AuditError("audit.size", size=size, limit=MAX_UNKNOWNS)
    return found


def _atoms(tables: Sequence[Released], columns: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Cell, frozenset[str]]]:
    """Every combination of levels and conditions that some row can have: levels, and the conditions it fulfils."""
    outer = {
        table.query.right: table.name
        for table in tables
        if isinstance(table.query, Query) and table.query.join == "left"
    }
    if len(outer) > 1:
        raise AuditError("audit.apart", file=[*outer.values()][1], problem="its LEFT JOIN keeps the other dataset")
    space, conditions = Space(), _conditions(tables)
    selected = {text: space.read(json.loads(text)) for text in conditions}
    matched = space.named(f"{JOINED}{'+'.join(sorted(_about(tables[0])))}", "yes")
    for rows, alone in ((matched, False), (space.without(EVERY, matched), True)) if outer else ((EVERY, False),):
        for cell in product(*columns.values()):
            region = rows
            for column, level in zip(columns, cell, strict=True):
                dataset, _, name = column.partition(".")
                if alone and dataset in outer:  # a row without a match has no level of that dataset
                    region = region if level == MISSING else NONE
                else:
                    where = IsNull(name) if level == MISSING else In(name, (level,))
                    region = space.both(region, space.of(where, tables[0].spec.dataset(dataset)))
            for inside in _split(space, region, selected):
                yield cell, inside


def _conditions(tables: Sequence[Released]) -> list[str]:
    found: set[str] = set()
    for table in tables:
        whole, each = populations(table.spec, table.query)
        if UNKNOWN in (whole, *each.values()):
            raise AuditError("audit.apart", file=table.name, problem="its conditions are too many to be compared")
        found |= {whole, *each.values()}
    return sorted(found)


def _split(space: Space, region: int, selected: Mapping[str, int]) -> Iterator[frozenset[str]]:
    """The sets of conditions that rows of a region can fulfil together, those that fulfil none left out."""
    regions: list[tuple[int, frozenset[str]]] = [(region, frozenset())] if region != NONE else []
    for text, condition in selected.items():
        regions = [
            (part, inside | {text} if fulfils else inside)
            for rows, inside in regions
            for fulfils, part in ((True, space.both(rows, condition)), (False, space.without(rows, condition)))
            if part != NONE
        ]
    return (inside for _, inside in regions if inside)
