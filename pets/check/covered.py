"""Sums over an intersection under a key of the other side: words under it, what covers sums of them, who opens them.

docs/rules/intersections.md, "Sums" and rules I18 to I20. What the scheme and its noise hide is taken for granted, as on
docs/rules/terms.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pets.check.lists import Listed, Order, listed
from pets.spec.term import Call, Term, calls


@dataclass(frozen=True, slots=True)
class Words:
    """Columns that are summed, of each entry of a role's list, in these orders."""

    role: str
    orders: tuple[Order, ...]

    @property
    def lies(self) -> tuple[frozenset[str], bool, tuple[Order, ...]]:
        """As of a list: whose entries, and in which orders."""
        return frozenset({self.role}), False, self.orders


@dataclass(frozen=True, slots=True)
class Covered:
    """Sums that ``cover`` covers and ``secret`` opens: of entries of ``added`` that are ``into`` a group, their words.

    ``under``: the words, as they lie under the key.
    """

    cover: str
    secret: str
    under: Term
    added: Listed
    into: Listed

    @property
    def empty(self) -> bool:
        """Whether nothing is added up: no entry of the one list is in the other."""
        lists = (self.added, self.into)
        return len({(each.function, each.keys) for each in lists}) > 1


def summed(term: Term) -> Words:
    """The words that lie under a key. Raises: ValueError for others."""
    match term:
        case Call("values", (str(role), "summed")):
            return Words(role, ())
        case Call("permute", (Call("perm", (str(key), str(label))), inner)):
            found = summed(inner)
            return Words(found.role, (*found.orders, (key, label)))
    raise ValueError("put under a key what is not summed")


def of(term: Term) -> Covered:
    """What a term covers. Raises: ValueError for anything else, or what cannot be added up."""
    match term:
        case Call("covered", (str(cover), Call("public", (key,)), Call("under", (str(secret), words)) as under, *both)):
            added, into = (listed(each) for each in both)
            if key != secret:
                raise ValueError("cover sums with a key that does not open them")
            if added is None or added.lies != summed(words).lies:
                raise ValueError("sum words that do not lie as persons do")
            if into is None or not into.within:
                raise ValueError("sum into what are no groups")
            return Covered(cover, secret, under, added, into)
    raise ValueError("open what is not covered")


def alike(terms: Iterable[Term]) -> None:
    """All sums of a run are of the same words into the same groups: their differences would tell more than each.

    Raises: ValueError if they are not.
    """
    if len({call.args[1:] for term in terms for call in calls(term) if call.head == "covered"}) > 1:
        raise ValueError("sum in more than one way")
