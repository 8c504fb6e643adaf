"""Disclosure control on clear data: from joined rows to the table that may be shown. Slow, obvious, and the reference.

    protect(rows, dimensions, statistics, control)  ->  {cell: {statistic: number or None}}

None is *withheld*, and there is one None: a cell with nobody, one that is small, one that few people dominate and one
that is withheld for the sake of another all look the same. The order of work is fixed (threats-and-tests 5.3):

    1  contributors    persons who contribute to a statistic of a cell; who is NULL in a column does not contribute
    2  withheld        a statistic is withheld unless all of this holds
                         a  its contributors are enough: min_count or more, or nobody where zeros are shown
                         b  so are those of each party in ``local`` alone
                         c  a sum: no dominance, over each person's whole contribution to the cell
                         d  a sum of a 0/1 column is a count of persons: the ones are enough, and so are the others
                         e  what follows from counts that are shown beside each other, and that rounding does not blur
                            (``exact``): those who lack a value that one statistic needs and another does not
                            (``lacking``); second rows, beside persons (``second_rows``)
    3  withheld too    where totals are known: see ``blocks``
    4  rounded         counts of rows and persons, and sums of 0/1 columns, where they are shown
    5  derived         totals and means are made of what is shown (``total``, ``mean``), never of anything else

Contributions count by their size: with negative values (n, k) holds the largest against the total without signs.
What this does not cover: true totals that are known narrow what rounding leaves open, though never a count that is
withheld; and whoever knows the values of a sum beforehand to within a few per cent can count who is in it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Literal

from pets.ids import MISSING
from pets.spec.control import Control

Cell = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One row after the join. ``parties``: whose records it is made of; None, of everybody's."""

    person: str
    cell: Cell
    values: Mapping[str, int | None] = field(default_factory=dict)
    parties: frozenset[str] | None = None


@dataclass(frozen=True)
class Statistic:
    """COUNT(*) ``rows``, COUNT(DISTINCT person) ``people``, COUNT(x) ``values``, SUM(x) ``sum``; of 0/1, ``flag``.

    A sum of products is the ``sum`` of a column of products. ``needs``: the columns that may be NULL and have to be
    there for a row to count; without it, ``column``.
    """

    kind: Literal["rows", "people", "values", "sum", "flag"]
    column: str = ""
    needs: frozenset[str] | None = None

    @property
    def needed(self) -> frozenset[str]:
        if self.needs is not None:
            return self.needs
        return frozenset({self.column} if self.column else ())


Table = dict[Cell, dict[Statistic, int | None]]


def protect(
    rows: Iterable[Row],
    dimensions: Mapping[str, Sequence[str]],
    statistics: Sequence[Statistic],
    control: Control,
    *,
    impossible: Collection[Cell] = (),
    most_rows: int = 1,
) -> Table:
    """The protected table of all cells, in order. ``dimensions``: grouping columns in order, with their levels.
    ``most_rows``: how many joined rows a person can have.

    ``impossible``: cells that the conditions of the query leave empty, as everybody can read in it. They are like other
    empty cells, but no part of a block, where they would hide nothing.
    """
    cells = list(product(*dimensions.values()))
    inside: dict[Cell, list[Row]] = {cell: [] for cell in cells}
    for row in rows:
        inside[row.cell].append(row)
    withheld = {
        cell: {one for one in statistics if not allowed(inside[cell], one, statistics, control, most_rows)}
        for cell in cells
    }
    if control.known_totals:
        finest = [place for place, name in enumerate(dimensions) if name in control.known_totals[-1]]
        persons = {
            cell: [len(contributors(inside[cell], Statistic("people")))]
            + [n for one in statistics for n in held(inside[cell], one, statistics, control, most_rows)]
            for cell in cells
        }
        for line in lines([cell for cell in cells if cell not in impossible], finest):
            for cell in also_withheld(line, {cell for cell in line if withheld[cell]}, persons, control):
                withheld[cell] = set(statistics)
    return {
        cell: {one: None if one in withheld[cell] else shown(inside[cell], one, control) for one in statistics}
        for cell in cells
    }


# -- 1 and 2: one statistic of one cell -------------------------------------------------------------------------------


def contributors(rows: Iterable[Row], one: Statistic) -> set[str]:
    """The persons who contribute to a statistic."""
    return {row.person for row in rows if counts(row, one)}


def counts(row: Row, one: Statistic) -> bool:
    """Whether a row counts for a statistic."""
    return all(row.values[name] is not None for name in one.needed)


def contributions(rows: Iterable[Row], one: Statistic) -> list[int]:
    """What each contributor adds to a sum, without its sign, the largest first."""
    added: dict[str, int] = {}
    for row in rows:
        value = row.values[one.column]
        if value is not None and counts(row, one):
            added[row.person] = added.get(row.person, 0) + value
    return sorted(map(abs, added.values()), reverse=True)


def dominated(largest_first: Sequence[int], control: Control) -> bool:
    """True if the largest n are k of the total or more, or if what is left beside two is less than p of the largest.

    Where all contribute 0, the largest is known exactly: p % withholds it. In whole numbers, with p in per cent, that
    is 100 * rest < max(p * largest, 1).
    """
    total, p = sum(largest_first), control.p_percent
    if total and any(sum(largest_first[:n]) >= share * total for n, share in control.dominance):
        return True
    if p is None or not largest_first:
        return False
    return total == 0 or sum(largest_first[2:]) < p * largest_first[0]


def allowed(
    rows: Sequence[Row], one: Statistic, beside: Sequence[Statistic], control: Control, most_rows: int = 1
) -> bool:
    """Whether a statistic of a cell may be shown as far as the cell itself goes (step 2)."""
    if one.kind == "sum" and dominated(contributions(rows, one), control):
        return False
    return all(map(control.enough, held(rows, one, beside, control, most_rows)))


def held(
    rows: Sequence[Row], one: Statistic, beside: Sequence[Statistic], control: Control, most_rows: int
) -> list[int]:
    """The counts of persons that have to be enough for a statistic to be shown."""
    found = [len(contributors(rows, one))]
    for party in control.local:
        own = [row for row in rows if row.parties is None or party in row.parties]
        found.append(len(contributors(own, one)))
    if one.kind == "flag":
        there = [row for row in rows if counts(row, one)]
        found += [len({row.person for row in there if row.values[one.column] == bit}) for bit in (0, 1)]
    if exact(control):
        found += [*lacking(rows, one, beside), *second_rows(rows, one, beside, most_rows)]
    return found


def exact(control: Control) -> bool:
    """Whether a small difference of two counts shows: they are not rounded, or more finely than to half the minimum."""
    return control.min_count > 1 and (control.round_to == 1 or 2 * control.round_to < control.min_count)


def lacking(rows: Sequence[Row], one: Statistic, beside: Sequence[Statistic]) -> list[int]:
    """How many persons have what another statistic needs and not what this one does.

    Where what statistics need overlaps in part, sums and differences of several counts tell more. Then every set of
    persons that can be told apart by what they lack has to be enough.
    """
    if not one.needed:
        return []
    family = {each.needed for each in beside} | {one.needed}
    group = linked(one.needed, family)
    if not tangled(group):
        return [
            len(contributors(rows, Statistic("values", needs=wide)) - contributors(rows, one))
            for wide in family
            if wide < one.needed
        ]
    seen: dict[frozenset[frozenset[str]], int] = {}
    patterns = {frozenset[frozenset[str]]()} if frozenset() in family else set()
    columns = sorted(frozenset().union(*group))
    for flags in product((True, False), repeat=len(columns)):
        has = {name for name, there in zip(columns, flags, strict=True) if there}
        patterns.add(frozenset(need for need in group if need <= has))
    for row in rows:
        has = {name for name in columns if row.values[name] is not None}
        pattern = frozenset(need for need in group if need <= has)
        seen[pattern] = seen.get(pattern, 0) + 1
    return [seen.get(pattern, 0) for pattern in patterns if pattern or frozenset() in family]


def linked(one: frozenset[str], family: Collection[frozenset[str]]) -> set[frozenset[str]]:
    """The sets that have something in common with one, or with a set that has."""
    found = {one}
    while more := {other for other in family if other not in found and any(other & each for each in found)}:
        found |= more
    return found


def tangled(group: Collection[frozenset[str]]) -> bool:
    """Whether a sum of counts can be small though no difference of two is: tried on everybody who may have what.

    A sum with factors that is nowhere below nothing, and that is no sum of differences of one count and the next larger
    one, is what the next statement is about; it exists unless sets are chains or have nothing to do with each other.
    """
    columns = sorted(frozenset().union(*group))
    has = [
        {name for name, there in zip(columns, flags, strict=True) if there}
        for flags in product((True, False), repeat=len(columns))
    ]
    seen = {frozenset(need for need in group if need <= who) for who in has}
    free = {
        frozenset(chosen)
        for flags in product((True, False), repeat=len(group))
        for chosen in [{need for need, there in zip(sorted(group, key=sorted), flags, strict=True) if there}]
        if all(smaller in chosen for need in chosen for smaller in group if smaller < need)
    }
    chains = all(a <= b or b <= a for need in group for a in group if a < need for b in group if b < need)
    return seen != free or not chains


def second_rows(rows: Sequence[Row], one: Statistic, beside: Sequence[Statistic], most: int) -> list[int]:
    """Beside the number of persons: rows beyond the first of each, and rows that are missing to ``most`` of each."""
    persons = any(each.kind == "people" and each.needed == one.needed for each in beside)
    if one.kind not in ("rows", "values") or not persons or most == 1:
        return []
    number, who = sum(counts(row, one) for row in rows), len(contributors(rows, one))
    return [number - who, most * who - number]


# -- 3: totals that are known -----------------------------------------------------------------------------------------


def lines(cells: Sequence[Cell], finest: Sequence[int]) -> list[list[Cell]]:
    """The cells that make up each total of the finest known grouping, in the order of the table.

    Coarser totals of the chain are sums of these, so they tell nothing more.
    """
    found: dict[Cell, list[Cell]] = {}
    for cell in cells:
        found.setdefault(tuple(cell[place] for place in finest), []).append(cell)
    return list(found.values())


def blocks(line: Sequence[Cell]) -> list[list[Cell]]:
    """A line cut into pairs of neighbours, in the order of levels; the last has three cells if their number is odd.

    Cells with a level ``(missing)`` are a block of their own, the last. Often everybody knows that nobody is in them,
    and then they would hide nothing in a pair.
    """
    known = [cell for cell in line if MISSING not in cell]
    cuts = [known[place : place + 2] for place in range(0, len(known), 2)]
    if len(cuts) > 1 and len(cuts[-1]) == 1:
        cuts[-2:] = [cuts[-2] + cuts[-1]]
    missing = [cell for cell in line if MISSING in cell]
    return [*cuts, missing] if missing else cuts


def also_withheld(
    line: Sequence[Cell], small: set[Cell], persons: Mapping[Cell, Sequence[int]], control: Control
) -> set[Cell]:
    """The cells of a line of which everything is withheld, given those of which something is (``small``).

    A block is withheld as a whole, with all its statistics, if anything in it is. Whoever knows the total of the line
    then knows the sum over the withheld blocks. If that is of too few people, the first block that has enough people
    (``_completes``) is withheld as well, and if there is none, the whole line.

    ``persons``: the counts that have to be enough for each statistic of the table, those of everybody first.

    Why not the smallest cells first, which would withhold fewer people: because the choice tells of their numbers. Of
    (9, 30, 30) in a line of 69 it withholds 9 and one 30; whoever knows the rule knows that neither of the two is above
    the 30 that is shown, and their sum of 39 leaves 9 and 30. Blocks are the same whatever the numbers are. So:

    With m = min_count, U the withheld blocks of a line and H the people in them, a withheld cell may have any number of
    people from 0 (1 where zeros are shown) to m - 1, as far as anyone can tell who knows all totals, all that is shown
    and this rule: give it that number, let one cell of each other block of U have 0 (or 1), and put the rest into its
    neighbour. Each block of U has a small cell then, and the sum is H, which is at least m (and |U| - 1 more where
    zeros are shown), so that this very U is withheld. Where the whole line is withheld for want of people, its total is
    known to be small already. tests/test_disclosure_control.py tries it on all small lines.
    """
    cut = blocks(line)
    chosen = [block for block in cut if small & set(block)]
    if not chosen:
        return set()
    if not _sufficient(chosen, persons, control):
        more = [block for block in cut if block not in chosen and _completes(block, chosen, persons, control)]
        chosen = [*chosen, more[0]] if more else cut
    return {cell for block in chosen for cell in block}


def _sufficient(chosen: Sequence[Sequence[Cell]], persons: Mapping[Cell, Sequence[int]], control: Control) -> bool:
    """Whether withheld blocks have enough people between them, in every statistic, and no cell is alone.

    Where zeros are shown, a cell is alone too if all others are empty: the count beside a sum that is withheld says so.
    """
    if sum(map(len, chosen)) < 2:
        return False
    shows = control.zeros == "shown"
    everybody, *others = _sums(chosen, persons)
    least = control.min_count + (len(chosen) - 1 if shows else 0)
    peopled = sum(persons[cell][0] > 0 for block in chosen for cell in block)
    return (
        everybody >= least
        and all(count >= control.min_count or (count == 0 and shows) for count in others)
        and (peopled >= 2 or not shows)
    )


def _completes(
    block: Sequence[Cell],
    chosen: Sequence[Sequence[Cell]],
    persons: Mapping[Cell, Sequence[int]],
    control: Control,
) -> bool:
    """Whether withheld blocks have enough people between them with one more, that has enough.

    Where zeros are shown, it need not have anybody in a count that is enough without it.
    """
    everybody, *others = _sums([block], persons)
    _, *before = _sums(chosen, persons)
    return everybody >= control.min_count and all(
        count >= control.min_count or (count == 0 and control.zeros == "shown" and control.enough(held))
        for count, held in zip(others, before, strict=True)
    )


def _sums(chosen: Sequence[Sequence[Cell]], persons: Mapping[Cell, Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*(persons[cell] for block in chosen for cell in block), strict=True)]


# -- 4 and 5: what is shown, and what follows -------------------------------------------------------------------------


def shown(rows: Sequence[Row], one: Statistic, control: Control) -> int:
    """A statistic as it is shown: counts are rounded, sums are exact."""
    if one.kind == "people":
        return control.rounded(len(contributors(rows, one)))
    if one.kind == "rows":
        return control.rounded(sum(counts(row, one) for row in rows))
    there = [row for row in rows if counts(row, one)]
    if one.kind == "values":
        return control.rounded(len(there))
    values = [value for row in there if (value := row.values[one.column]) is not None]
    return control.rounded(sum(values)) if one.kind == "flag" else sum(values)


def total(table: Table, one: Statistic, cells: Iterable[Cell]) -> int:
    """A total of what is shown: what is withheld is not in it."""
    return sum(number for cell in cells if (number := table[cell][one]) is not None)


def mean(cell: Mapping[Statistic, int | None], column: str, *, of: Statistic | None = None) -> Fraction | None:
    """A mean of what is shown; None if its sum or its count (COUNT(x), or ``of``) is withheld, or the count is 0."""
    added, count = cell.get(Statistic("sum", column)), cell[of or Statistic("values", column)]
    return None if added is None or not count else Fraction(added, count)
