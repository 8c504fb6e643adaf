"""The columns of a first checker's matrix, and the matrix: which parties may put together what they see."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Protocol

from pets.check.labels import Coalition, Item, Mark, Matrix, Row
from pets.ids import PartyId
from pets.spec.cards import Card


class Cast(Protocol):
    """Who takes part, and who plays which role of the cards; "result" is one of them."""

    @property
    def parties(self) -> tuple[PartyId, ...]: ...
    @property
    def roles(self) -> Mapping[str, PartyId]: ...


def within_model(cast: Cast, cards: tuple[Card, ...], coalition: frozenset[PartyId]) -> bool:
    """True if every card stands for its promise against this coalition."""
    for card in cards:
        bad = {role for role in card.adversary.among if cast.roles[role] in coalition}
        if len(bad) > card.adversary.corrupt:
            return False
        if cast.roles["result"] in coalition and not bad <= set(card.adversary.with_result):
            return False
    return True


def coalitions(cast: Cast, cards: tuple[Card, ...]) -> tuple[Coalition, ...]:
    """The columns: each party alone, every larger coalition within the model, and all other pairs beyond it."""
    active = [party for party in cast.parties if party in cast.roles.values()]
    sets = [group for size in range(2, len(active) + 1) for group in combinations(active, size)]
    inside = [Coalition(group) for group in sets if within_model(cast, cards, frozenset(group))]
    outside = [
        Coalition(group, beyond_model=True)
        for group in sets
        if len(group) == 2 and not within_model(cast, cards, frozenset(group))
    ]
    return (*(Coalition((party,)) for party in cast.parties), *inside, *outside)


def matrix_of(
    columns: tuple[Coalition, ...], items: Iterable[Item], known: Mapping[str, Mapping[Item, Mark]]
) -> Matrix:
    """The matrix with these columns and rows; ``known``: marks by the label of the column."""
    return Matrix(
        columns,
        tuple(
            Row(item.value, item.kind, {label: marks.get(item, Mark.NEVER) for label, marks in known.items()})
            for item in items
        ),
    )


def bare(matrix: Matrix, allowed: Mapping[str, Mapping[Item, Mark]]) -> Iterator[str]:
    """Cells within the model that say more than is allowed, in words. ``allowed``: marks by the label of the column."""
    for column in matrix.columns:
        if column.beyond_model:
            continue
        for row in matrix.rows:
            least = allowed[column.label].get(Item(row.kind, row.value), Mark.NEVER)
            if row.cells[column.label].rank > least.rank:
                yield f"{column.label}: {row.value}, {row.cells[column.label].value}"
