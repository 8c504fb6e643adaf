"""The plan: the typed steps that a specification is lowered to. ``plan/`` builds it, ``check/`` judges it.

Differs from ``spec/query.py``: every statistic is taken apart into *moments*, sums over joined rows of a product of one
factor of each side; sides have become the roles a and b of a protocol; every number that decides what is sent is here.
Only moments are ever computed jointly: AVG, VAR, CORR ... are derived from noised moments by the result party.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import prod
from typing import Literal

from pets.ids import PartyId, SpecDigest
from pets.spec.mpyc_terms import Terms
from pets.spec.query import ColumnRef, Predicate, columns_of


@dataclass(frozen=True, slots=True)
class Factor:
    """A function of one row of one side: the product of ``values``, or 1 if there are none.

    It is 0 where a column of ``present`` (a superset of ``values``) is NULL, or a condition of ``when`` is not true.
    With ``people`` it is 1 on one row of each person in each cell and 0 on that person's other rows of the cell (role
    a), or 1 whatever the number of rows (role b). With ``together`` (role a) one of a person's rows in each cell has
    the sum over all of them, and the others 0. Values are integers in units of the last place, rounded half up to
    multiples of ``unit`` and divided by it; ``bound`` is the greatest absolute value that remains, for one row that is
    not added up with others.
    """

    values: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    people: bool = False
    unit: int = 1
    bound: int = 1
    together: bool = False
    when: tuple[Predicate, ...] = ()

    @property
    def is_one(self) -> bool:
        """True if the factor is 1 on every row: it needs no product."""
        return not (self.narrowed or self.people or self.together)

    @property
    def narrowed(self) -> bool:
        """True if it is not 1, or nothing, on some row for what is in the row."""
        return bool(self.values or self.present or self.when)

    @property
    def touches(self) -> tuple[str, ...]:
        """Every column that it looks at, each once."""
        return tuple(dict.fromkeys((*self.present, *(name for each in self.when for name in columns_of(each)))))


@dataclass(frozen=True, slots=True)
class Moment:
    """Sum over the joined rows of a cell of ``a`` times ``b``.

    ``outer``: unmatched rows of the preserved side (always role a) count as joined to one row of NULLs, for which b is
    1 and whose level of every grouping column of b is ``(missing)``.
    ``scale``: what one unit of the sum is worth, in units of the product of the original columns.
    ``others``: in a join of more tables, the factor of each further one.
    """

    name: str
    a: Factor
    b: Factor
    outer: bool
    scale: Fraction
    others: tuple[Factor, ...] = ()

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Of role a, of role b, and of roles d1, d2 ... if there are any."""
        return (self.a, self.b, *self.others)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A grouping column and all its levels in order, ``(missing)`` last."""

    column: ColumnRef
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A holder reads, filters and bounds its own table. Nothing leaves.

    Of a table under shared_join each of ``holders`` does, with the greatest number of rows that it brings; there is no
    ``party`` then, ``max_rows`` is of all together, and ``rows_per_person`` of each.

    ``factors`` are the distinct factors that the moments use of this side (a: one value a row; b: summed per person and
    cell of ``dimensions``). ``columns`` is every column the step touches, the key first. ``compared`` and ``tests`` are
    what a condition across tables needs of each row: numbers, and 1 where a condition on this table alone is true.
    """

    out: str
    party: PartyId | None
    dataset: str
    columns: tuple[str, ...]
    where: Predicate | None
    dimensions: tuple[Dimension, ...]
    factors: tuple[Factor, ...]
    max_rows: int
    rows_per_person: int
    truncate: bool
    per_person: bool
    compared: tuple["Compared", ...] = ()
    tests: tuple[Predicate, ...] = ()
    holders: tuple[tuple[PartyId, int], ...] | None = None

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Who reads."""
        if self.holders is not None:
            return tuple(party for party, _ in self.holders)
        return () if self.party is None else (self.party,)


@dataclass(frozen=True, slots=True)
class Compared:
    """A column that is compared with one of another table: in units of the last place, or days, times ``factor``."""

    column: str
    factor: int


@dataclass(frozen=True, slots=True)
class Pair:
    """``a op b``: numbers of compared columns in two ``Read`` steps, those of these tables: a's is 0, b's 1."""

    a: int
    op: Literal["=", "<>", "<", "<=", ">", ">="]
    b: int
    tables: tuple[int, int] = (0, 1)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A bit of each row: a pair that is compared ("pair"), or a test of the role that it names, by its number."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class AllLeaves:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyLeaves:
    parts: tuple["Condition", ...]


Condition = Leaf | AllLeaves | AnyLeaves


@dataclass(frozen=True, slots=True)
class RowFilter:
    """What three parties compute on rows, on shares (card rep3), before they are summed.

    ``condition``: what rows have to satisfy that needs both tables; None if nothing does. ``ordered``: columns whose
    values are put in order, cell by cell. ``contributions``: sums of which the greatest contributions are read.
    ``fits``: logistic models of all rows. ``keyed``: sums are made cell by cell on shares; None if role a's cells are
    its own knowledge, and role b's are columns of their own. ``cased``: a grouping column over both tables.
    """

    card: str
    card_version: str
    pairs: tuple[Pair, ...]
    condition: Condition | None
    ordered: tuple["Sorted", ...] = ()
    contributions: tuple["Contributions", ...] = ()
    tops: tuple[int, ...] = ()
    """How many of the greatest contributions are added up: each gives one number a cell and sum."""
    fits: tuple["Fit", ...] = ()
    keyed: "Keyed | None" = None
    cased: "Cased | None" = None


@dataclass(frozen=True, slots=True)
class Cased:
    """A grouping column over both tables: of the branches the first whose condition is true gives the level.

    Levels by number; ``otherwise`` where no condition is true.
    """

    branches: tuple[tuple[Condition, int], ...]
    otherwise: int
    levels: int


@dataclass(frozen=True, slots=True)
class Keyed:
    """Groups are told apart on shares: ``a`` and ``b`` cells of each side, and ``levels`` of a CASE over both.

    Cell i of a, j of b at level l is number (i * b + j) * levels + l. Role b brings the number of its cell as one more
    column, the last.
    """

    a: int
    b: int
    levels: int

    @property
    def cells(self) -> int:
        return self.a * self.b * self.levels


@dataclass(frozen=True, slots=True)
class Contributions:
    """A sum of which the greatest contributions are read, cell by cell: each row is what one person adds.

    ``moment``, ``count``: numbers of the moments that are the sum and the number of those who contribute, which says
    which of b's cells a row is in. ``spread``: each row stands for one contribution to every cell of b instead. A
    contribution is below 2^bits - 1.
    """

    moment: int
    count: int
    bits: int
    spread: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place among the values of a cell in ascending order: floor((times (c + 1) + plus) / whole), from 1, of c."""

    times: int
    plus: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order statistic: values at ``places`` (by number), added and divided by ``divisor`` with rounding half up."""

    places: tuple[int, ...]
    divisor: int


@dataclass(frozen=True, slots=True)
class Sorted:
    """A column whose values are put in order, cell by cell.

    ``values``, ``count``: numbers of the moments that are sums of it and of ones. A value less ``base`` is from 1 to
    2^bits - 1. ``whole``: what places are shares of.
    """

    values: int
    count: int
    base: int
    bits: int
    whole: int
    places: tuple[Place, ...]
    statistics: tuple[Ordered, ...]


@dataclass(frozen=True, slots=True)
class FitNumbers:
    """Bits of a logistic model: after the point of rows and of weights, pairs of sums of squares, what is cut off, and
    minus the logarithm of the least eigenvalue that an inverse is good for.

    What each stands for says ``protocols/rep3/logistic.py``, why it is so large docs/adr/0026-logistic-regression.md.
    """

    fraction: int
    weight: int
    pairs: int
    normal: int
    slope: int
    ahead: int
    closer: int
    step: int
    onto: int
    gain: int
    squared: int
    lift: int
    left: int
    least: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A logistic model of y, fitted to all rows on which none of its columns is NULL, in ``iterations`` steps.

    ``count``, ``y``, ``xs``: numbers of the moments that are sums of ones, of y and of each other column over these
    rows. A column's value less its base is from -2^span to 2^span, in units of its last place.
    """

    count: int
    y: int
    xs: tuple[int, ...]
    bases: tuple[int, ...]
    spans: tuple[int, ...]
    iterations: int
    numbers: FitNumbers


@dataclass(frozen=True, slots=True)
class Gathered:
    """A column that role b brings, once for each cell of its own dimensions: factor number, summed per person.

    ``outer``: less 1 in the all-missing cell, because role a adds its own unmatched-or-not row itself.
    """

    factor: int
    outer: bool


@dataclass(frozen=True, slots=True)
class Summed:
    """One moment in the join: ``gathered`` column, times factor ``a`` of role a unless that is 1 on every row.

    ``others``: in a join of more tables, the gathered column of each further one that it is multiplied with.
    """

    gathered: int
    a: int | None
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """A further table of a join (card star_join): what its role brings, as ``HelperJoin`` says it of role b.

    ``read``: its step; ``cells``: of its grouping columns. ``brought``: its columns, of which those that are compared
    and tests are the last.
    """

    read: str
    role: PartyId
    gathered: tuple[Gathered, ...]
    ones: tuple[int, ...]
    cells: int
    brought: int

    @property
    def travels(self) -> int:
        """Columns that it sends."""
        return self.brought - len(self.ones)


@dataclass(frozen=True, slots=True)
class HelperJoin:
    """Join and sum per cell with a helper (cards helper_join_a and _b). Result: additive shares at a and the helper.

    Under shared_join the three hold none of the tables: ``role_a``, ``helper`` and ``role_b`` are its first, second and
    third, and the holders are those of the two ``Read`` steps.

    ``public`` are the public parameters by the names of the card; every message count is a formula in them.
    ``gathered`` and ``summed`` are per cell of b's dimensions: b-cell h of column c is number ``c * h_cells + h``.
    ``factors_a``: numbers of role a's factors in its ``Read`` that are multiplied, in the order of ``Summed.a``.
    ``local_a``: the moments (``outer``) to which role a adds the sum of its own factor over its own rows, as pairs of
    the moment's number and the factor's number in its ``Read``.
    ``ones``: the gathered columns that are 1 for every person: in mode B they do not travel; none in mode A.
    ``fixed_ids``: identifiers have one public width and enter tags as they are; else they are hashed first.
    ``rows``: a condition across tables. Then role b brings its compared columns and tests behind the gathered ones.
    ``helper_epsilon``, ``helper_delta``: of the helper's count; both 0 in mode B, which tells none.
    """

    out: str
    card: str
    card_version: str
    a: str
    b: str
    role_a: PartyId
    role_b: PartyId
    helper: PartyId
    gathered: tuple[Gathered, ...]
    summed: tuple[Summed, ...]
    factors_a: tuple[int, ...]
    local_a: tuple[tuple[int, int], ...]
    ones: tuple[int, ...]
    fixed_ids: bool
    helper_epsilon: Fraction
    helper_delta: Fraction
    public: tuple[tuple[str, int], ...]
    rows: RowFilter | None = None
    beside: tuple[Beside, ...] = ()

    @property
    def shared(self) -> bool:
        """True if none of the three holds a table."""
        return self.card == "shared_join"

    @property
    def b_cells(self) -> int:
        """Cells that are columns of their own: of grouping columns of all but role a, and of a CASE over both tables.

        1 where groups are told apart on shares.
        """
        return self.parameter("v") // len(self.summed)

    @property
    def levels(self) -> int:
        """Levels of a CASE over both tables that are columns of their own; 1 without."""
        cased = None if self.rows is None or self.rows.keyed is not None else self.rows.cased
        return 1 if cased is None else cased.levels

    @property
    def brought_cells(self) -> int:
        """Cells of role b's grouping columns, for each of which it brings its columns."""
        return self.b_cells // self.levels // self.d_cells

    @property
    def d_cells(self) -> int:
        """Cells of the grouping columns of all further tables together; 1 without any."""
        return prod(each.cells for each in self.beside)

    @property
    def checks(self) -> int:
        """Words of check of each row, where computing on rows begins with finding out what matches (mode B)."""
        if self.rows is None or "v_t" not in dict(self.public):
            return 0
        return 1 + len(self.beside)

    @property
    def products(self) -> tuple[tuple[int, tuple[int, ...], int | None], ...]:
        """What each summed column is the product of, cell by cell: of b, of each further table, and the factor of a."""
        h, levels = self.brought_cells, self.levels
        return tuple(
            (
                (s.gathered * h + of_b) * levels + level,
                tuple(
                    number * each.cells + cell for number, each, cell in zip(s.others, self.beside, cells, strict=True)
                ),
                s.a,
            )
            for s in self.summed
            for of_b in range(h)
            for cells in product(*(range(each.cells) for each in self.beside))
            for level in range(levels)
        )

    @property
    def keyed(self) -> Keyed | None:
        """How groups are told apart on shares, if they are."""
        return None if self.rows is None else self.rows.keyed

    def parameter(self, name: str) -> int:
        return dict(self.public)[name]


@dataclass(frozen=True, slots=True)
class NoisedColumn:
    """One moment under noise: discrete Laplace of ratio exp(-epsilon / sensitivity), any two parties' share of it.

    ``sensitivity``: greatest sum over all cells of the change that one person's rows make, in units of the moment.
    """

    moment: Moment
    sensitivity: int
    epsilon: Fraction


@dataclass(frozen=True, slots=True)
class GaussianColumn:
    """One moment under noise: every party's part is N_Z(0, variance), with P(x) proportional to exp(-x^2 / 2 variance).

    ``squared``: greatest sum over all cells of the squares of the changes that one person's rows make, in units of the
    moment. ``rho``: its share of what the release costs. ``variance``: a multiple of 2^-20. ``parts``: how many parts
    whoever reads the release does not know, at least; that many cost no more than ``rho``.
    """

    moment: Moment
    squared: int
    rho: Fraction
    variance: Fraction
    parts: int


Noisy = NoisedColumn | GaussianColumn
"""One moment under noise of either law."""


@dataclass(frozen=True, slots=True)
class AddNoise:
    """Every computing party adds its part of the noise to its share (card release). All columns have one law."""

    out: str
    of: str
    card: str
    card_version: str
    parties: tuple[PartyId, ...]
    columns: tuple[Noisy, ...]

    @property
    def moments(self) -> tuple[Moment, ...]:
        return tuple(column.moment for column in self.columns)


@dataclass(frozen=True, slots=True)
class PersonCount:
    """A count of persons that has to be enough: moments by their place in ``Protect.moments``, each times a factor.

    ``may_be_empty``: nobody at all is shown, too.
    """

    name: str
    terms: tuple[tuple[int, int], ...]
    may_be_empty: bool


@dataclass(frozen=True, slots=True)
class ShownMoment:
    """A moment that is shown in every cell in which all counts of the set ``rests_on`` are enough.

    ``rounded``: it counts rows or persons, and is shown rounded.
    """

    moment: int
    rests_on: int
    rounded: bool


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order statistic that is shown in every cell in which all counts of the set ``rests_on`` are enough.

    ``values``: number of the moment whose summands are put in order; ``parts``: of how many values it is the mean. What
    is shown is a number k: the statistic is k steps above ``base``, and 0 stands for none; times ``scale``.
    """

    name: str
    column: ColumnRef
    values: int
    rests_on: int
    parts: int
    base: int
    step: int
    scale: Fraction


@dataclass(frozen=True, slots=True)
class Dominance:
    """Rules on single contributions to sums.

    ``held``: number of each moment that is held against them, and of the count of persons that it rests on. ``tops``:
    of how many of the greatest contributions the sums are known, ascending. ``shares``: (n, a, b) withholds what the
    greatest n are a / b of, or more. ``p``: (c, d) withholds if all but two are less than c / d of the greatest.
    """

    held: tuple[tuple[int, int], ...]
    tops: tuple[int, ...]
    shares: tuple[tuple[int, int, int], ...]
    p: tuple[int, int] | None

    @property
    def comparisons(self) -> int:
        """Of each sum that is held: one a rule, and whether it is 0 where no rule says so."""
        return max(len(self.shares), 1) + 1

    @property
    def conjunctions(self) -> int:
        """Of what the comparisons give, one after another."""
        return max(len(self.shares), 1) - (self.p is None)


@dataclass(frozen=True, slots=True)
class ShownFit:
    """A logistic model that is shown if all counts of the set ``rests_on`` are enough: all its numbers, or none.

    ``columns``: y, then the others. What is shown are coefficients of the intercept and of each, their standard errors,
    and how far the last step went: 2 p + 1 numbers for p coefficients. A column's coefficient is that of ``widths`` of
    its units, and the intercept that of ``bases``.
    """

    name: str
    columns: tuple[ColumnRef, ...]
    rests_on: int
    bases: tuple[Fraction, ...]
    widths: tuple[Fraction, ...]

    @property
    def numbers(self) -> int:
        """How many numbers are shown of it."""
        return 2 * len(self.columns) + 1


@dataclass(frozen=True, slots=True)
class Protect:
    """Disclosure control before anything is opened (card disclosure_control).

    ``parties``: the two that hold shares of the sums, and the third. ``moments``: all that were summed, shown or only
    held against the minimum. ``counts``: those that may be empty first. ``sets``: numbers of counts. ``rounding``:
    nearest (half up) or midpoint. ``lines``: where totals are known, the cells of each, in blocks; cells are numbered
    in the order of the table. The first count is then that of everybody. ``public``: the parameters of the card.
    ``ordered``: order statistics, as the join's ``rows`` compute them, one after another; shown behind the moments.
    ``dominance``: rules on the contributions that the join's ``rows`` read; in ``sets`` a sum that is held against
    them has a number behind those of the counts.
    ``fits``: logistic models, as these compute them; shown behind order statistics.
    """

    out: str
    of: str
    card: str
    card_version: str
    parties: tuple[PartyId, PartyId, PartyId]
    moments: tuple[Moment, ...]
    counts: tuple[PersonCount, ...]
    sets: tuple[tuple[int, ...], ...]
    shown: tuple[ShownMoment, ...]
    min_count: int
    round_to: int
    rounding: Literal["nearest", "midpoint"]
    lines: tuple[tuple[tuple[int, ...], ...], ...]
    public: tuple[tuple[str, int], ...]
    ordered: tuple[ShownOrder, ...] = ()
    dominance: Dominance | None = None
    fits: tuple[ShownFit, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The set of each number that is computed on rows, in the order in which they are shown behind the moments."""
        return (*(each.rests_on for each in self.ordered), *(f.rests_on for f in self.fits for _ in range(f.numbers)))

    def parameter(self, name: str) -> int:
        return dict(self.public)[name]


@dataclass(frozen=True, slots=True)
class Open:
    """The shares are opened to ``to`` and to nobody else."""

    out: str
    of: str
    to: PartyId


@dataclass(frozen=True, slots=True)
class Derived:
    """One column of the table. A dimension, or a statistic of moments by their place in the step that releases them.

    ``moments`` in the order that ``statistic`` takes (see derive.py): for AVG (sum, count), for VAR (sum of squares,
    sum, count), for two columns (sum y*x, sum y, sum x, sum y*y, sum x*x, count), each that the statistic needs.
    Of a linear regression as ``regression.fit`` takes them; ``of``: the regressor from 1, or 0 for the intercept, of a
    logistic one, too.
    """

    name: str
    statistic: str
    dimension: ColumnRef | None = None
    moments: tuple[int, ...] = ()
    of: int | None = None
    ordered: int | None = None
    """Of an order statistic: its place in ``Protect.ordered``."""
    fit: int | None = None
    """Of a logistic model: its place in ``Protect.fits``."""


@dataclass(frozen=True, slots=True)
class Derive:
    """The result party computes the table from what was opened. Post-processing: tells nothing more.

    ``having``: a condition on numbers of the table, by the names of its columns; rows on which it is not true are left
    out of the table. The result party has what was opened of them all the same.
    """

    out: str
    of: str
    dimensions: tuple[Dimension, ...]
    outputs: tuple[Derived, ...]
    having: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A private set intersection: which persons of ``asks`` are in ``of``, too, or how many, by the card's protocol.

    Or, of a sum: for each cell of the dimensions of ``asks`` how many, and sums of ``columns`` over these: measures.
    ``noised``: by column the greatest change that one person makes, and its part of ``epsilon``.
    ``min_count``: cells of fewer are withheld, if it is not 0, and other counts rounded to ``round_to``; a cell of
    nobody is shown all the same if ``empty``.

    ``asks``, ``of``: the ``Read`` steps of the two sets. ``roles``: who plays which role of the card.
    ``columns``: of ``of``, those whose values come with each person in both: the measures of its factors, which have so
    many ``places`` after the point, and its dimensions, taken together.
    ``both``: the holder of ``of`` learns which of its persons are in both, too.
    ``id_words``: words of an identifier in the result; 0 if it has none. ``public``: the parameters of the card.
    ``helper_epsilon``, ``helper_delta``: of the helper's count; ``epsilon``: of the outcome, if it has noise.
    ``handed_by``: the card by which the asker's server hands the outcome to the asker's own people; "" if the protocol
    opens it to the result party itself.
    """

    out: str
    card: str
    card_version: str
    outcome: Literal["intersection", "cardinality", "threshold", "sum"]
    asks: str
    of: str
    roles: tuple[tuple[str, PartyId], ...]
    columns: tuple[str, ...]
    places: tuple[int, ...]
    both: bool
    at_least: int
    min_result: int
    fixed_ids: bool
    id_words: int
    public: tuple[tuple[str, int], ...]
    handed_by: str
    handed_version: str
    helper_epsilon: Fraction = Fraction(0)
    helper_delta: Fraction = Fraction(0)
    epsilon: Fraction = Fraction(0)
    noised: tuple[tuple[int, Fraction], ...] = ()
    min_count: int = 0
    round_to: int = 1
    empty: bool = False

    def parameter(self, name: str) -> int:
        return dict(self.public)[name]

    def party(self, role: str) -> PartyId:
        """Who plays a role of the card."""
        return dict(self.roles)[role]


@dataclass(frozen=True, slots=True)
class Pool:
    """Sums over one table that many holders bring: each uploads one vector, and computing parties add these up.

    A vector has the cells of each moment, moment after moment. ``of``: the ``Read`` step. ``roles``: who plays which
    role of the card; input1, input2, ... are the holders in the order of ``Read.holders``.
    ``moments``: their factor is ``a``; ``b`` is one. ``ranges``: the least and the greatest number of each that a
    holder may bring for a cell. ``lanes``: bits of a word that its sum takes. ``noise``: the greatest size of all noise
    on one number that lanes have room for. ``parts``: of noise, how many computing parties' parts are the whole of it.
    ``minimum``: holders without whom nothing is opened. ``minutes``: how long uploads are taken, once computing parties
    have agreed on a run. ``agreement``: where not all computing parties have a holder's upload, it is left out
    ("common"), or the run ends ("equal"). ``unproved``: where a holder's numbers are not proved to be in range, it is
    left out, or the run ends; "" where nothing is proved. ``public``: the parameters of the card.
    """

    out: str
    card: str
    card_version: str
    of: str
    roles: tuple[tuple[str, PartyId], ...]
    moments: tuple[Moment, ...]
    ranges: tuple[tuple[int, int], ...]
    lanes: tuple[int, ...]
    noise: int
    parts: int
    minimum: int
    minutes: int
    agreement: Literal["common", "equal"]
    unproved: Literal["leave out", "end the run", ""]
    public: tuple[tuple[str, int], ...]

    def parameter(self, name: str) -> int:
        return dict(self.public)[name]

    def party(self, role: str) -> PartyId:
        """Who plays a role of the card."""
        return dict(self.roles)[role]

    @property
    def computing(self) -> tuple[tuple[str, PartyId], ...]:
        """The computing roles and who plays them, in the order of the card."""
        return tuple((role, party) for role, party in self.roles if not role.startswith(INPUT))

    @property
    def holders(self) -> tuple[PartyId, ...]:
        """Who brings a part of the table, in the order of their roles."""
        return tuple(party for role, party in self.roles if role.startswith(INPUT))


INPUT = "input"
"""The role of a holder under a ``Pool``, before its number."""


@dataclass(frozen=True, slots=True)
class Execute:
    """A program for MPyC runs between the parties of its terms, on columns of what ``Read`` steps give.

    ``columns``: by input of the terms, its step and the column. ``public``: the parameters of the card. What is
    released is opened to the client of the result party, who gets a share of each number from every party.
    """

    out: str
    card: str
    card_version: str
    terms: Terms
    columns: tuple[tuple[str, str, str], ...]
    public: tuple[tuple[str, int], ...]

    def parameter(self, name: str) -> int:
        return dict(self.public)[name]

    @property
    def roles(self) -> tuple[tuple[str, PartyId], ...]:
        """Who plays which role of the card."""
        return tuple((f"{PARTY}{number}", party) for number, party in enumerate(self.terms.parties, 1))


PARTY = "party"
"""The role of who runs a program, before its number."""


Step = Read | HelperJoin | AddNoise | Protect | Open | Derive | Match | Pool | Execute


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order; each names the values it takes by the ``out`` of an earlier step.

    ``dimensions_a`` times ``dimensions_b`` is the full domain of cells, row-major, a's dimensions first.
    """

    spec: SpecDigest
    steps: tuple[Step, ...]
    format: Literal[1] = 1

    @property
    def join(self) -> HelperJoin:
        """The join. Raises: StopIteration for an intersection."""
        return next(step for step in self.steps if isinstance(step, HelperJoin))

    @property
    def match(self) -> Match | None:
        """The intersection, if the plan is one."""
        return next((step for step in self.steps if isinstance(step, Match)), None)

    @property
    def pool(self) -> Pool | None:
        """The sums over one table of many holders, if the plan is of these."""
        return next((step for step in self.steps if isinstance(step, Pool)), None)

    @property
    def program(self) -> Execute | None:
        """The program for MPyC, if the plan is one."""
        return next((step for step in self.steps if isinstance(step, Execute)), None)

    @property
    def shared(self) -> bool:
        """True if the tables of a join may have any number of holders."""
        return self.match is None and self.pool is None and self.program is None and self.join.shared

    @property
    def reads(self) -> tuple[Read, ...]:
        """The reads of role a's table, of role b's, and of those of d1, d2 ... if there are any; of the asker's first.

        An intersection has two, sums over one table have one, and a program one for each dataset.
        """
        by_out = {step.out: step for step in self.steps if isinstance(step, Read)}
        if self.program is not None:
            return tuple(by_out.values())
        if (pool := self.pool) is not None:
            return (by_out[pool.of],)
        if (match := self.match) is not None:
            return by_out[match.asks], by_out[match.of]
        names = (self.join.a, self.join.b, *(each.read for each in self.join.beside))
        return tuple(by_out[name] for name in names)

    @property
    def protection(self) -> AddNoise | Protect:
        """The step between sums and opening: noise, or disclosure control."""
        return next(step for step in self.steps if isinstance(step, AddNoise | Protect))
