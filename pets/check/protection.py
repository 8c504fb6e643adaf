"""What protects a message, read off the shape of its term: the typing rules P1 to P9 of docs/rules.

``flow`` asks who can open what. A message of words is protected by the masks that are added to it, tags by their key
and their order, places by their order, final shares by each other and by noise. Who receives a message and holds all
that protects it learns what it carries. Nothing here computes: a mask counts if it is written once, where it can hide.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations, product

from pets.spec.cards import Card, Learns, Message
from pets.spec.content import carried
from pets.spec.term import Call, Product, Sum, Term, calls, names

SUMS = "sums"

Mask = tuple[str, str]
"""Key and label of a mask or an order; a share of zero has the label zero."""

Holders = tuple[frozenset[str], ...]
"""Least coalitions that know a key or a mask."""


def opened(card: Card, release: Card, *, absent: frozenset[str]) -> tuple[Learns, ...]:
    """Who learns what from the messages of a card, as the card itself would say it. Least coalitions of roles only.

    ``absent``: numbers of columns that are zero, so that the messages which they count are not sent.
    """
    sent = [message for message in card.messages if message.columns.text not in absent]
    found = [*_final(card, release), *_counted(card), *_together(card, absent=absent)]
    hiding = Hiding(card, sent)
    for message in sent:
        if SUMS not in message.carries:
            found += _of(card, message, hiding)
    return tuple(dict.fromkeys(found))


def _of(card: Card, message: Message, hiding: "Hiding") -> Iterator[Learns]:
    inner, order = _unordered(message.meaning)
    if isinstance(inner, Call) and inner.head == "tags":
        keys = tuple(item for item in message.carries if item.endswith(".key"))
        yield from _learn(message, [_holders(card, str(inner.args[0]))], keys)  # P2
        if order is not SORTED:
            yield from _learn(message, hiding.by(order), ("match",))  # P3
    elif inner == "match" or (isinstance(inner, Call) and inner.head == "ends"):
        yield from _learn(message, hiding.by(order), message.carries)  # P3
    else:
        yield from _learn(message, hiding.of(message), message.carries)  # P1


def _counted(card: Card) -> Iterator[Learns]:
    """Rule P7: who gets the tags of two roles under one key counts those in common, and dummies that it cannot tell."""
    for receiver in card.roles:
        lists = [m for m in card.messages if m.receiver == receiver and any(c.head == "tags" for c in calls(m.meaning))]
        if len({message.sender for message in lists}) > 1:
            dummies = [{str(c.args[0]) for c in calls(m.meaning) if c.head == "dummies"} for m in lists]
            padded = all(_roles(m.meaning, "fillers") == _roles(m.meaning, "keys") != set() for m in lists)
            alone = frozenset({receiver})
            hidden = padded and any(not _knows(card, alone, key) for key in set.intersection(*dummies))
            how = "the number of equal tags, with dummies" if hidden else "the number of equal tags"
            yield Learns((receiver,), "match_count", "noised" if hidden else "count", False, how)


def made(card: Card, *, absent: frozenset[str]) -> tuple[str, ...]:
    """The items that what a card's program makes is made of; none without a program."""
    if card.program is None:
        return ()
    terms: dict[str, tuple[Term, ...]] = {}
    for each in card.shared:
        if "x" not in absent or each.when != "product":
            terms[each.name] = (*terms.get(each.name, ()), each.value)
    return tuple(sorted(carried(card.program.makes, terms)))


def taken(card: Card, *, absent: frozenset[str]) -> tuple[str, ...]:
    """The items of the messages whose content goes into a card's program; none if it takes none."""
    labels = () if card.program is None else card.program.takes
    sent = (message for message in card.messages if message.label in labels and message.columns.text not in absent)
    return tuple(sorted({item for message in sent for item in message.carries}))


def _together(card: Card, *, absent: frozenset[str]) -> Iterator[Learns]:
    """Rule P9: any two parties of a program have all parts of what it makes, or takes, row by row."""
    items = tuple(
        item for item in dict.fromkeys((*made(card, absent=absent), *taken(card, absent=absent))) if item != SUMS
    )
    parties = () if card.program is None else card.program.parties
    for who in combinations(parties, 2):
        for item in items:
            grade = "membership" if item == "match" or item.endswith(".key") else "record"
            yield Learns(who, item, grade, False, "what operations on shares are made of, by two of its three parts")
        if "match" in items:
            yield Learns(who, "match_count", "count", False, "how many rows match, by two of three parts")


def _roles(term: Term, head: str) -> set[str]:
    return {str(call.args[0]) for call in calls(term) if call.head == head}


SORTED: tuple[Mask, ...] = (("", "sorted by tag"),)
"""An order that hides: whoever lacks the tag key sees random strings in their own order."""


def _unordered(term: Term) -> tuple[Term, tuple[Mask, ...]]:
    """What is inside an order, and key and label of that order; none if it stands as it is."""
    match term:
        case Call("sort", (inner,)):
            return inner, SORTED
        case Call("permute", (Call("perm", (str(key), str(label))), inner)):
            return inner, ((key, label),)
    return term, ()


def _learn(message: Message, hidden_by: list[Holders], items: tuple[str, ...]) -> Iterator[Learns]:
    """What each least coalition learns that opens a message."""
    for who in _openers(message, hidden_by):
        for item in items:
            grade = "membership" if item == "match" or item.endswith(".key") else "record"
            yield Learns(who, item, grade, False, f"what message {message.label} carries, by its keys")
        if {"a.values", "b.values"} & set(items):  # matched rows are those with a value, dummies have none
            yield Learns(who, "match_count", "count", False, f"how many rows match, from message {message.label}")


def _openers(message: Message, hidden_by: list[Holders]) -> Iterator[tuple[str, ...]]:
    """The receiver, with one holder of whatever it lacks. The sender, who knows what it sends, adds nothing."""
    alone = frozenset({message.receiver})
    lacking = [holders for holders in hidden_by if alone not in holders]
    for chosen in product(*([h for h in holders if message.sender not in h] for holders in lacking)):
        yield tuple(dict.fromkeys((message.receiver, *(role for holder in chosen for role in sorted(holder)))))


def _holders(card: Card, key: str) -> Holders:
    """Who has a key: single roles, in the order of the card."""
    found = next((each.holders for each in card.keys if each.name == key), ())
    return tuple(frozenset({role}) for role in found)


class Hiding:
    """Rule P4: which masks hide the messages of a card, and from whom.

    A mask is fresh if it is added to one thing only, counted by the message's own columns, and not spoken of by a
    message that has no fresh mask. Who opens a message learns every mask and every order that it speaks of.
    """

    def __init__(self, card: Card, sent: list[Message]) -> None:
        self._card = card
        words = [m for m in sent if SUMS not in m.carries and m.element == "word"]
        added = {(mask, m.meaning) for m in words for mask in _masks(m.meaning, m.index)}
        uses = Counter(mask for mask, _ in added)
        uses.update((str(call.args[0]), call.head) for m in sent for call in calls(m.meaning) if call.head == "zero")
        self._fresh = {mask for mask, times in uses.items() if times == 1}
        while spoilt := self._spoilt(words):
            self._fresh -= spoilt
        self._told: dict[Mask, list[frozenset[str]]] = {}
        for message in words:
            for who in _openers(message, [_holders(card, key) for key, _ in self._own(message)]):
                for told in (*_mentioned(message.meaning), *_orders(message.meaning)):
                    self._told.setdefault(told, []).append(frozenset(who))

    def of(self, message: Message) -> list[Holders]:
        """For each mask that hides a message, who knows it."""
        return [(*_holders(self._card, mask[0]), *self._others(mask, message)) for mask in self._own(message)]

    def by(self, orders: tuple[Mask, ...]) -> list[Holders]:
        """For each order, who knows it: the holders of its key, and who can open words that lie in it."""
        return [(*_holders(self._card, order[0]), *self._told.get(order, [])) for order in orders]

    def _own(self, message: Message) -> list[Mask]:
        return [mask for mask in _masks(message.meaning, message.index) if mask in self._fresh]

    def _spoilt(self, words: list[Message]) -> set[Mask]:
        return self._fresh & {mask for m in words if not self._own(m) for mask in _mentioned(m.meaning)}

    def _others(self, mask: Mask, message: Message) -> list[frozenset[str]]:
        """Coalitions that learn a mask from another message. Its own tells those who know what it hides already."""
        own = {frozenset(who) for who in _openers(message, [_holders(self._card, mask[0])])}
        return [who for who in self._told.get(mask, []) if who not in own]


def _masks(term: Term, index: str) -> list[Mask]:
    """The masks that are added to all of a term once, one for each column, and are nowhere else in it."""
    added = (part for part in _summands(term) if part.head == "mask" and part.args[2] == index)
    spoken = _once((str(call.args[0]), str(call.args[1])) for call in calls(term) if call.head == "mask")
    return [mask for mask in _once((str(part.args[0]), str(part.args[1])) for part in added) if mask in spoken]


def _summands(term: Term) -> Iterator[Call]:
    """The calls that a term is a sum of, besides anything else."""
    for part in (part for _, part in term.parts) if isinstance(term, Sum) else (term,):
        if isinstance(part, Call):
            yield part


def _once(masks: Iterable[Mask]) -> list[Mask]:
    """Those that are there once: twice a mask leaves the last bit, and its negative beside it leaves all."""
    return [mask for mask, times in Counter(masks).items() if times == 1]


def _mentioned(term: Term) -> Iterator[Mask]:
    """The masks that a term gives away if nothing hides it."""
    for part in (part for _, part in term.parts) if isinstance(term, Sum) else (term,):
        for each in part.factors if isinstance(part, Product) else (part,):
            for call in calls(each):
                if call.head == "mask":
                    yield str(call.args[0]), str(call.args[1])


def _orders(term: Term) -> Iterator[Mask]:
    """The orders that a term speaks of."""
    for call in calls(term):
        if call.head == "perm":
            yield str(call.args[0]), str(call.args[1])


def _final(card: Card, release: Card) -> Iterator[Learns]:
    """Rules P5, P6: who has every share of the sums opens them, with the parts of the noise that it does not know."""
    finals = [message for message in card.messages if SUMS in message.carries]
    owners = _owners(finals, card)
    needed = len(release.adversary.among) - release.adversary.corrupt
    told: list[tuple[frozenset[str], bool]] = []
    roles = tuple(card.roles)
    for who in (frozenset(each) for count in range(1, len(roles) + 1) for each in combinations(roles, count)):
        got = [message for message in finals if message.receiver in who]
        if not owners or not owners <= who | _owners(got, card) or _masked(card, got, who):
            continue
        noise = set() if owners <= who else _added(card, finals) - who - _overheard(card, who)
        whole = not any(_spoilt(card, message, "share") for message in got)
        enough = whole and len(noise) >= needed and not any(_traced(card, message, who, owners) for message in got)
        if not any(less <= who and (enough or not was) for less, was in told):
            told.append((who, enough))
            learners = tuple(role for role in roles if role in who)
            yield Learns(learners, SUMS, "noised" if enough else "aggregate", False, "the sums, by all their shares")


def _masked(card: Card, got: Iterable[Message], who: frozenset[str]) -> bool:
    """Rule P8: a mask hides the shares that somebody got if it is not known, nor in anything else that was got.

    Nor if it cancels between them: taken twice, it leaves the last bit.
    """
    nets: Counter[Mask] = Counter()
    finals = list(got)
    for message in finals:
        for sign, part in _expanded(card, message.meaning):
            if part.head == "mask":
                nets[str(part.args[0]), str(part.args[1])] += sign
    others = [m for m in card.messages if m not in finals and m.receiver in who]
    heard = {(str(c.args[0]), str(c.args[1])) for m in others for c in calls(m.meaning) if c.head == "mask"}
    return any(net % 2 and mask not in heard and not _knows(card, who, mask[0]) for mask, net in nets.items())


def _owners(finals: Iterable[Message], card: Card) -> set[str]:
    """The roles whose shares of the sums are in final shares."""
    found = (call for message in finals for call in _spoken(card, message.meaning) if call.head == "share")
    return {str(call.args[0]) for call in found if call.args[1] == SUMS}


def _added(card: Card, finals: list[Message]) -> set[str]:
    """The roles whose part of the noise is added to a final share: once, and in none of them in another way."""
    found = {str(c.args[0]) for m in finals for _, c in _expanded(card, m.meaning) if c.head == "noise"}
    return found - {role for m in finals for role in _spoilt(card, m, "noise")}


def _spoilt(card: Card, message: Message, head: str) -> set[str]:
    """The roles whose noise, or whose share, is in a message other than added to it, or taken off it, once."""
    nets: Counter[str] = Counter()
    for sign, part in _expanded(card, message.meaning):
        nets[str(part.args[0])] += sign * (part.head == head)
    spoken = {str(call.args[0]) for call in _spoken(card, message.meaning) if call.head == head}
    return {role for role in spoken if abs(nets[role]) != 1}


def _expanded(card: Card, term: Term) -> Iterator[tuple[int, Call]]:
    """The calls that a term is a sum of, each with its sign, and those of the messages that it is a sum of."""
    passed = {message.label: message.meaning for message in card.messages}
    for sign, part in term.parts if isinstance(term, Sum) else ((1, term),):
        if isinstance(part, Call):
            yield sign, part
        elif isinstance(part, Sum) or part in passed:
            inner = part if isinstance(part, Sum) else passed[str(part)]
            yield from ((sign * other, call) for other, call in _expanded(card, inner))


def _spoken(card: Card, term: Term) -> Iterator[Call]:
    """Every call in a term and in the messages that it is made with, however deep."""
    passed = {message.label: message.meaning for message in card.messages}
    yield from calls(term)
    for name in names(term):
        if name in passed:
            yield from _spoken(card, passed[name])


def _knows(card: Card, who: frozenset[str], key: str) -> bool:
    return any(holder <= who for holder in _holders(card, key))


def _overheard(card: Card, who: frozenset[str]) -> set[str]:
    """Roles whose part of the noise is in a message that nothing hides from ``who``, under whatever map."""
    found: set[str] = set()
    for message in card.messages:
        if SUMS not in message.carries and message.receiver in who:
            masks = _masks(message.meaning, message.index)
            if all(_knows(card, who, key) for key, _ in masks):
                found |= {str(call.args[0]) for call in _spoken(card, message.meaning) if call.head == "noise"}
    return found


def _traced(card: Card, message: Message, who: frozenset[str], owners: set[str]) -> bool:
    """Rule P6: a final share without a share of zero is found again by a role that made or saw a part of it.

    Not by one that has a share of the sums of its own, to which the other final share only adds noise.
    """
    zeros = _once((str(part.args[0]), part.head) for _, part in _expanded(card, message.meaning) if part.head == "zero")
    hidden = any(not _knows(card, who, key) for key, _ in zeros)
    others = who & (set(card.adversary.among) - {message.sender})
    return bool(others) and not hidden and message.sender not in who and not who & owners
