"""What messages of an intersection are: lists of entries under functions, words under pads, tables, transfers.

Of every list is said under which function it lies, whose persons are in it, in which orders, and whether its places
tell their groups (docs/rules/intersections.md, "Lists"). What a coalition makes of them is in heard.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from pets.check import cheating
from pets.spec.term import Call, Sum, Term

Order = tuple[str, str]
"""Key and label of an order."""

SORTED: Final[Order] = ("", "sorted")
"""The order that no key gives back."""

FIRST: Final = "a"
"""The role whose list's entries ``match`` is about."""

BROUGHT: Final = ("payload", "values")
"""Heads of the columns that come with persons in both."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Entries under a function, in a list (I3).

    ``function``: what they are hashed by, or read in; ``keys``: what else it takes, each as often as it is applied.
    ``cut``: no key can be applied to it any more, nor taken off. ``roles``: whose persons are in it. ``orders``: those
    that lie between it and the rows. ``dummies``: keys that the number of entries comes from that both lists have.
    ``brings``: roles of whose columns it has words under a pad for each entry. ``marks``: it is not the list itself,
    but says of each of its entries whether a person of these roles is the same. ``within``: it lies group by group.
    ``tells``: roles of whose persons it tells the groups.
    """

    function: Term
    keys: tuple[str, ...]
    cut: bool
    roles: frozenset[str]
    orders: tuple[Order, ...] = ()
    dummies: frozenset[str] = frozenset()
    brings: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    within: bool = False
    tells: frozenset[str] = frozenset()

    def unknown(self, held: frozenset[str]) -> tuple[str, ...]:
        """The keys that are not held."""
        return tuple(key for key in self.keys if key not in held)

    def equals(self, other: "Listed", held: frozenset[str]) -> bool:
        """I5: entries of both can be compared: they are, or can be made, values of one function."""
        if self.function != other.function:
            return False
        if self.cut and other.cut:
            return self.keys == other.keys
        return self.unknown(held) == other.unknown(held)

    def beside(self, other: "Listed") -> bool:
        """I5: one place in both is one entry: the same entries lie in the same order."""
        return SORTED not in self.orders and self.lies == other.lies

    @property
    def lies(self) -> tuple[frozenset[str], bool, tuple[Order, ...]]:
        """Whose entries, and in which orders."""
        return self.roles, self.within, self.orders

    def persons(self, held: frozenset[str]) -> frozenset[str]:
        """I4: whoever holds all its keys tries every identifier."""
        return frozenset() if self.marks or self.unknown(held) else self.roles

    def placed(self, held: frozenset[str], loose: frozenset[Order]) -> bool:
        """I6: whoever holds these keys, and finds these orders, knows which row lies where."""
        return all(order[0] in held or order in loose for order in self.orders)


def listed(term: Term) -> Listed | None:
    """The list that a term is, if it is one. Raises: ValueError for one that no rule is about."""
    match term:
        case Call("permute" | "permute_within" as head, (Call("perm", (str(key), str(label))), inner)):
            found = listed(inner)
            if found is not None and found.within != (head == "permute_within"):
                raise ValueError(f"{head} what does{' not' * (not found.within)} lie group by group")
            return None if found is None else replace(found, orders=(*found.orders, (key, label)))
        case Call("sort" | "abreast" | "apart", (inner,)):
            found = listed(inner)
            return None if found is None else replace(found, orders=(SORTED,), within=False, tells=frozenset())
        case Call("sort_within", (inner,)):
            found = listed(inner)
            if found is not None and not found.within:
                raise ValueError("sort_within what does not lie group by group")
            return None if found is None else replace(found, orders=(SORTED,))
        case Call("cut", (inner,)):
            found = listed(inner)
            return None if found is None else replace(found, cut=True)
        case Call("times", (str(key), inner)):
            found = listed(inner)
            if found is None or found.cut:
                raise ValueError("multiply what is no element")
            return replace(found, keys=tuple(sorted((*found.keys, key))))
        case Call("points", lists):
            return _grouped(lists)
        case Call("tags", (str(key), *lists)):
            return _entries(Call("tags", ()), (key,), True, lists)
        case Call("read", (str(key), Call("seed", _), table, *lists)):
            return _entries(table, (key,), True, lists)
        case Call("evaluated", (str(key), Call("offers", (of,)), Call("coded", (asks, choices, *_)) as table, *lists)):
            if of != asks or choices != Call("choices", (key,)):
                raise ValueError("evaluate what was not coded for it")
            return _entries(table, (key,), True, lists)
        case Call("sealed", (Call("read" | "evaluated", _) as inner, Call("payload", (str(role),)))):
            found = listed(inner)
            return None if found is None else replace(found, orders=(SORTED,), brings=frozenset({role}))
        case Call("told", (inner, *lists)):
            found = listed(inner)
            return None if found is None else replace(found, brings=frozenset(), marks=_inside(lists)["keys"])
    return None


def _entries(function: Term, keys: tuple[str, ...], cut: bool, lists: Iterable[Term]) -> Listed:
    inside = _inside(lists)
    if inside["keys"] != inside["fillers"]:
        raise ValueError("list persons without entries of nobody, which tells how many they are")
    return Listed(function, keys, cut, inside["keys"], dummies=inside["dummies"])


def _grouped(lists: tuple[Term, ...]) -> Listed:
    """Points, which lie group by group if groups are among their lists."""
    groups = {str(each.args[0]) for each in lists if isinstance(each, Call) and each.head == "groups"}
    found = _entries(Call("points", ()), (), False, [each for each in lists if each not in map(_groups, groups)])
    if groups and groups != found.roles:
        raise ValueError("list persons without their groups among those with groups")
    return replace(found, within=bool(groups), tells=frozenset(groups))


def _groups(role: str) -> Term:
    return Call("groups", (role,))


def _inside(lists: Iterable[Term]) -> dict[str, frozenset[str]]:
    """Of each kind of entries the roles, or of dummies the keys."""
    inside: dict[str, frozenset[str]] = dict.fromkeys(("keys", "fillers", "agreed", "dummies"), frozenset())
    for each in lists:
        if not isinstance(each, Call) or each.head not in inside:
            raise ValueError("list what is no entry")
        inside[each.head] |= {str(each.args[0])}
    return inside


def padded(term: Term) -> tuple[str, tuple[str, ...]] | None:
    """Words of a role's columns, for each entry of its list, and the keys of their pads; None if they are none."""
    parts = [part for _, part in term.parts] if isinstance(term, Sum) else [term]
    values = [part for part in parts if isinstance(part, Call) and part.head == "values"]
    pads = [part for part in parts if isinstance(part, Call) and part.head == "pads"]
    if len(values) != 1 or len(pads) != len(parts) - 1 or values[0].args[1] != "brought":
        return None
    if any(each.args[1:] != values[0].args for each in pads):
        return None
    return str(values[0].args[0]), tuple(str(each.args[0]) for each in pads)


def added(term: Term) -> tuple[Call, ...]:
    """The tables and vectors that a message of elements is the sum of; none if it is no such message (I8).

    What lies coded in bins is a table, and the streams on it are a vector of the own randomness.
    """
    match term:
        case Call("coded", (str(key), Call("choices", (other,)), *lists)) if other != key:
            return Call("written", (key, *lists)), Call("vector", (key,))
    parts = tuple(part for _, part in term.parts) if isinstance(term, Sum) else (term,)
    found = tuple(part for part in parts if isinstance(part, Call) and part.head in ("written", "vector"))
    return found if len(found) == len(parts) else ()


def written(term: Term) -> frozenset[str]:
    """Whose persons are written into a table, or a sum of tables."""
    of = (_entries(part, (), True, part.args[1:]).roles for part in added(term) if part.head == "written")
    return frozenset().union(*of)


def vectors(*terms: Term) -> frozenset[str]:
    """The keys of vectors that are left in a sum of these: what is added twice is not there."""
    drawn = [str(part.args[0]) for term in terms for part in added(term) if part.head == "vector"]
    return frozenset(key for key in drawn if drawn.count(key) % 2)


def transfers(term: Term) -> bool:
    """I9: a message of transfers, which tells nothing to who has the key of one side alone.

    What is asked for, and given, is so only under the other side's choices and offers.
    """
    match term:
        case Call("offers" | "choices" | "seed", _):
            return True
        case _ if cheating.transfers(term):
            return True
        case Call("asked" | "products", (own, Call("choices", (other,)))):
            return own != other
        case Call("levels", (own, Call("offers", (other,)), Call("asked", (asks, _)) as inner)):
            return other == asks and inner == Call("asked", (asks, Call("choices", (own,)))) and transfers(inner)
        case Call("leaves", (own, Call("offers", (other,)), Call("products", (asks, _)) as inner)):
            return other == asks and inner == Call("products", (asks, Call("choices", (own,)))) and transfers(inner)
    return False
