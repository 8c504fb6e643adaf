"""Lower what a third table brings to a join: its columns beside those of role b, and the numbers of card star_join."""

from dataclasses import replace

from pets.spec.cards import load_cards
from pets.spec.ir import Gathered, HelperJoin, Moment, Read, Third


def with_third(join: HelperJoin, read: Read, moments: tuple[Moment, ...], cells: int) -> HelperJoin:
    """The join of a and b with what role d brings: each summed column is one for each cell of d, too.

    ``read``: role d's step; ``cells``: of its grouping columns.
    """
    factors = [read.factors.index(m.d) for m in moments if m.d is not None]
    gathered = tuple(Gathered(number, outer=False) for number in dict.fromkeys(factors))
    ones = tuple(place for place, each in enumerate(gathered) if cells == 1 and is_ones(read, each))
    summed = tuple(
        replace(each, d=gathered.index(Gathered(number, outer=False)))
        for each, number in zip(join.summed, factors, strict=True)
    )
    public = dict(join.public) | {
        "n_d": read.max_rows,
        "d_g": len(gathered) * cells,
        "d_t": len(gathered) * cells - len(ones),
    }
    public |= {name: public[name] * cells for name in ("v", "v_c", "r")}
    third = Third(read.out, read.parties[0], gathered, ones, cells)
    return replace(
        join, summed=summed, third=third, public=tuple((name, public[name]) for name in load_cards()[join.card].public)
    )


def is_ones(read: Read, gathered: Gathered) -> bool:
    """True if a column of role b, or of d, is 1 for every person that it lists, whatever its rows are."""
    factor = read.factors[gathered.factor]
    once = factor.people or read.rows_per_person == 1
    return once and not gathered.outer and not factor.narrowed
