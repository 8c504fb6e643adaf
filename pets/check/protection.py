"""What protects a message, read off the shape of its term: the typing rules P1 to P6 of docs/rules.

``flow`` asks who can open what. A message of words is protected by the masks that are added to it, tags by their key
and their order, places by their order, final shares by each other and by noise. Who receives a message and holds all
that protects it learns what it carries. Nothing here computes: a mask counts if it is written once, where it can hide.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

from pets.spec.cards import Card, Learns, Message
from pets.spec.term import Call, Product, Sum, Term, calls

SUMS = "sums"
OF_PRODUCTS = ("x", "z", "p")
"""Numbers of columns that are none without products."""

Mask = tuple[str, str]
"""Key and label; a share of zero has no label."""


def opened(card: Card, release: Card, *, products: bool) -> tuple[Learns, ...]:
    """Who learns what from the messages of a card, as the card itself would say it. Least coalitions of roles only.

    ``products``: something of role a is multiplied; without that the messages of products have no columns.
    """
    sent = [message for message in card.messages if products or message.columns.text not in OF_PRODUCTS]
    found = [*_final(card, release), *_counted(card)]
    fresh = _fresh(sent)
    for message in sent:
        if SUMS not in message.carries:
            found += _of(card, message, fresh)
    return tuple(dict.fromkeys(found))


def _of(card: Card, message: Message, fresh: frozenset[Mask]) -> Iterator[Learns]:
    inner, order = _unordered(message.meaning)
    if isinstance(inner, Call) and inner.head == "tags":
        keys = tuple(item for item in message.carries if item.endswith(".key"))
        yield from _learn(card, message, (str(inner.args[0]),), keys)  # P2
        if order != SORTED:
            yield from _learn(card, message, order, ("match",))  # P3
    elif inner == "match" or (isinstance(inner, Call) and inner.head == "ends"):
        yield from _learn(card, message, order, message.carries)  # P3
    else:
        masks = [m for m in _masks(message.meaning, message.index) if m in fresh]
        yield from _learn(card, message, tuple(key for key, _ in masks), message.carries)  # P1


def _counted(card: Card) -> Iterator[Learns]:
    """Rule P7: who gets the tags of two roles under one key counts those in common, and dummies that it cannot tell."""
    for receiver in card.roles:
        lists = [m for m in card.messages if m.receiver == receiver and any(c.head == "tags" for c in calls(m.meaning))]
        if len({message.sender for message in lists}) > 1:
            dummies = [{str(c.args[0]) for c in calls(m.meaning) if c.head == "dummies"} for m in lists]
            hidden = any(receiver not in _holders(card, key) for key in set.intersection(*dummies))
            how = "the number of equal tags, with dummies" if hidden else "the number of equal tags"
            yield Learns((receiver,), "match_count", "noised" if hidden else "count", False, how)


SORTED = ("sorted by tag",)
"""An order that hides: whoever lacks the tag key sees random strings in their own order."""


def _unordered(term: Term) -> tuple[Term, tuple[str, ...]]:
    """What is inside an order, and the keys that order needs; none if it stands as it is."""
    match term:
        case Call("sort", (inner,)):
            return inner, SORTED
        case Call("permute", (Call("perm", (str(key), str())), inner)):
            return inner, (key,)
    return term, ()


def _learn(card: Card, message: Message, keys: tuple[str, ...], items: tuple[str, ...]) -> Iterator[Learns]:
    """The receiver, with one holder of each key that it lacks. The sender, who knows what it sends, adds nothing."""
    lacking = [set(_holders(card, key)) for key in dict.fromkeys(keys) if message.receiver not in _holders(card, key)]
    for chosen in product(*(sorted(holders - {message.sender}) for holders in lacking)):
        who = tuple(dict.fromkeys((message.receiver, *chosen)))
        for item in items:
            grade = "membership" if item == "match" or item.endswith(".key") else "record"
            yield Learns(who, item, grade, False, f"what message {message.label} carries, by its keys")
        if "b.values" in items:  # matched rows are those with a value, dummies have none
            yield Learns(who, "match_count", "count", False, f"how many rows match, from message {message.label}")


def _holders(card: Card, key: str) -> tuple[str, ...]:
    return next((each.holders for each in card.keys if each.name == key), ())


def _fresh(sent: list[Message]) -> frozenset[Mask]:
    """Rule P4: masks that are added in one message only, and that no message without such a mask speaks of."""
    open_ones = [m for m in sent if SUMS not in m.carries and m.element == "word"]
    uses = Counter(mask for m in open_ones for mask in _masks(m.meaning, m.index))
    uses.update((str(call.args[0]), call.head) for m in sent for call in calls(m.meaning) if call.head == "zero")
    once = {mask for mask, times in uses.items() if times == 1}
    while True:
        bare = [m for m in open_ones if not once & set(_masks(m.meaning, m.index))]
        spoilt = {mask for m in bare for mask in _mentioned(m.meaning)}
        if not once & spoilt:
            return frozenset(once)
        once -= spoilt


def _masks(term: Term, index: str) -> Iterator[Mask]:
    """The masks that are added to all of a term, one for each column."""
    for part in (part for _, part in term.parts) if isinstance(term, Sum) else (term,):
        if isinstance(part, Call) and part.head == "mask" and part.args[2] == index:
            yield str(part.args[0]), str(part.args[1])


def _mentioned(term: Term) -> Iterator[Mask]:
    """The masks that a term gives away if nothing hides it."""
    for part in (part for _, part in term.parts) if isinstance(term, Sum) else (term,):
        for each in part.factors if isinstance(part, Product) else (part,):
            for call in calls(each):
                if call.head == "mask":
                    yield str(call.args[0]), str(call.args[1])


def _final(card: Card, release: Card) -> Iterator[Learns]:
    """Rules P5, P6: who has every share of the sums opens them, with the parts of the noise that it does not know."""
    finals = [message for message in card.messages if SUMS in message.carries]
    owners = {message.sender for message in finals}
    needed = len(release.adversary.among) - release.adversary.corrupt
    added = {role for message in finals for role in _noise(card, message.meaning)}
    told: list[tuple[frozenset[str], bool]] = []
    roles = tuple(card.roles)
    for who in (frozenset(each) for count in range(1, len(roles) + 1) for each in combinations(roles, count)):
        got = [message for message in finals if message.receiver in who]
        if not owners or not owners <= who | {message.sender for message in got}:
            continue
        noise = set() if owners <= who else added - who - _overheard(card, who)
        enough = len(noise) >= needed and not any(_traced(card, message, who) for message in got)
        if not any(less <= who and (enough or not was) for less, was in told):
            told.append((who, enough))
            names = tuple(role for role in roles if role in who)
            yield Learns(names, SUMS, "noised" if enough else "aggregate", False, "the sums, by all their shares")


def _noise(card: Card, term: Term) -> Iterator[str]:
    """The roles whose noise is in a message, or in one that it was made with."""
    for part in (part for _, part in term.parts) if isinstance(term, Sum) else (term,):
        if isinstance(part, Call) and part.head == "noise":
            yield str(part.args[0])
        elif isinstance(part, str):
            for message in card.messages:
                if message.label == part:
                    yield from _noise(card, message.meaning)


def _overheard(card: Card, who: frozenset[str]) -> set[str]:
    """Roles whose part of the noise comes in a message that nothing hides from ``who``."""
    found: set[str] = set()
    for message in card.messages:
        if SUMS not in message.carries and message.receiver in who:
            masks = _masks(message.meaning, message.index)
            if all(who & set(_holders(card, key)) for key, _ in masks):
                found |= set(_noise(card, message.meaning))
    return found


def _traced(card: Card, message: Message, who: frozenset[str]) -> bool:
    """Rule P6: a final share without a share of zero is found again by a role that made or saw a part of it."""
    zeros = [call for call in calls(message.meaning) if call.head == "zero"]
    hidden = any(not who & set(_holders(card, str(call.args[0]))) for call in zeros)
    others = who & (set(card.adversary.among) - {message.sender})
    return bool(others) and not hidden and message.sender not in who and not _owns(card, who)


def _owns(card: Card, who: frozenset[str]) -> bool:
    """True if ``who`` has a share of the sums of its own, to which the other final share only adds noise."""
    return bool(who & {message.sender for message in card.messages if SUMS in message.carries})
