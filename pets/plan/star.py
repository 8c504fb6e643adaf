"""Lower what further tables bring to a join: columns beside those of role b, and the numbers of card star_join."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from pets.spec.cards import load_cards
from pets.spec.ir import Beside, Factor, Gathered, HelperJoin, Moment, Read


def with_further(join: HelperJoin, reads: Sequence[Read], moments: Sequence[Moment]) -> HelperJoin:
    """The join of a and b with what roles d1, d2 ... bring: each summed column is one for each of their cells, too.

    ``reads``: their steps.
    """
    beside = tuple(_beside(read, [moment.others[place] for moment in moments]) for place, read in enumerate(reads))
    summed = tuple(
        replace(
            each,
            others=tuple(
                further.gathered.index(_gathered(read, factor))
                for further, read, factor in zip(beside, reads, moment.others, strict=True)
            ),
        )
        for each, moment in zip(join.summed, moments, strict=True)
    )
    public = dict(join.public)
    public |= {name: public[name] * prod(each.cells for each in beside) for name in ("v", "v_c", "r")}
    return replace(
        join,
        summed=summed,
        beside=beside,
        public=tuple((name, public[name]) for name in load_cards()[join.card].public),
    )


def _beside(read: Read, factors: Sequence[Factor]) -> Beside:
    gathered = tuple(dict.fromkeys(_gathered(read, factor) for factor in factors))
    cells = prod(len(dimension.levels) for dimension in read.dimensions)
    ones = tuple(place for place, each in enumerate(gathered) if cells == 1 and is_ones(read, each))
    brought = len(gathered) * cells + len(read.compared) + len(read.tests)
    return Beside(read.out, read.parties[0], gathered, ones, cells, brought)


def _gathered(read: Read, factor: Factor) -> Gathered:
    return Gathered(read.factors.index(factor), outer=False)


def is_ones(read: Read, gathered: Gathered) -> bool:
    """True if a column of role b, or of a further one, is 1 for every person that it lists, whatever its rows are."""
    factor = read.factors[gathered.factor]
    once = factor.people or read.rows_per_person == 1
    return once and not gathered.outer and not factor.narrowed
