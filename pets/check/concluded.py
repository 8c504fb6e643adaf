"""The second checker's verdict: a matrix of what coalitions work out, and a finding for all of it that is not declared.

What a coalition works out, and what it may, say knowledge.py, traced.py, gathered.py and shares.py, each by its own
rules. The first checker takes nothing from here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations

from pets.check.labels import Coalition, Finding, Item, Mark, Matrix, Row, Verdict
from pets.errors import InternalError
from pets.ids import PartyId
from pets.spec.cards import Adversary

Marks = dict[Item, Mark]
"""What somebody has of each item; of one that is not there, nothing."""


def lift(marks: Marks, items: Iterable[Item], mark: Mark) -> None:
    """Give items a mark, but for those that have one that tells more."""
    for item in items:
        if mark.rank > marks.get(item, Mark.NEVER).rank:
            marks[item] = mark


@contextmanager
def terms_of(card: str) -> Iterator[None]:
    """Where terms of a card are read. Raises: InternalError plan.terms if they are none that a rule is about."""
    try:
        yield
    except (ValueError, KeyError, StopIteration) as error:
        raise InternalError("plan.terms", card=card, problem=str(error) or "speak of what is not there") from error


def withstood(adversary: Adversary, cast: Mapping[str, PartyId], parties: Iterable[PartyId]) -> bool:
    """True if a card promises to withstand these parties together."""
    together = set(parties)
    corrupt = {role for role in adversary.among if cast[role] in together}
    if cast["result"] in together and not corrupt <= set(adversary.with_result):
        return False
    return len(corrupt) <= adversary.corrupt


def coalitions_of(
    parties: Sequence[PartyId], active: Iterable[PartyId], within: Callable[[tuple[PartyId, ...]], bool]
) -> Iterator[Coalition]:
    """Single parties, larger sets of those that are active within the model, and pairs beyond it."""
    yield from (Coalition((party,)) for party in parties)
    playing = set(active)
    those = [party for party in parties if party in playing]
    larger = [each for count in range(2, len(those) + 1) for each in combinations(those, count)]
    yield from (Coalition(each) for each in larger if within(each))
    yield from (Coalition(each, beyond_model=True) for each in larger if len(each) == 2 and not within(each))


def concluded(
    known: Mapping[Coalition, Marks],
    items: Iterable[Item],
    allowed: Callable[[frozenset[PartyId]], Marks],
    *,
    otherwise: str = "choose another protocol",
) -> Verdict:
    """The verdict on what coalitions know.

    ``known``: the columns of the matrix, and what each works out; ``items``: its rows; ``allowed``: what parties may
    know together; ``otherwise``: what can be done but to declare it. Beyond the model everything is allowed.
    """
    rows = tuple(
        Row(item.value, item.kind, {who.label: marks.get(item, Mark.NEVER) for who, marks in known.items()})
        for item in items
    )
    found = tuple(
        Finding(
            "leak.undeclared",
            "error",
            f"security.leakage <- {who.label} <- {item.value}",
            f"{who.label} can work out {item.value} ({marks[item].meaning}), and that is not declared",
            f"declare it under [[security.leakage]], or {otherwise}",
        )
        for who, marks in known.items()
        if not who.beyond_model
        for item in _undeclared(marks, allowed(frozenset(who.parties)))
    )
    return Verdict(found, Matrix(tuple(known), rows))


def _undeclared(marks: Marks, allowed: Marks) -> Iterator[Item]:
    """What is known beyond what may be; what is only held tells nothing."""
    for item, mark in marks.items():
        if mark.rank > max(allowed.get(item, Mark.NEVER).rank, Mark.HELD.rank):
            yield item
