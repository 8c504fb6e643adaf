"""Transfers of an intersection in which a party may cheat: what checks tell, what hides it, and who is held to nothing.

docs/rules/intersections.md, "Where a party may cheat", rules I21 to I24. The rest of the second checker takes it that
every party follows the protocol. Here is asked whether who does not is caught: whoever is not held to what it asks for,
or gives, is taken for a holder of the other side's own key.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from pets.check.sides import Pair, Sent
from pets.spec.term import Call, Term, calls

NOISES: Final = 256
"""Noises of a vector, one in each tree; each is weighed under a product of its own."""

HIDING: Final = {"asked": 256, "products": 2}
"""Entries that a fold of a message takes to hide it: two elements of 128 bits, in bits and in elements."""

ROWS: Final = 128
"""Rows of products: one for each power of x."""

JUDGED: Final = frozenset(
    [
        "half",
        "picks",
        "commits",
        "coin",
        "seed",
        "asked",
        "products",
        "shown",
        "levels",
        "leaves",
        "weighed",
        "answered",
        "written",
        "vector",
        "read",
        "cut",
        "sort",
        "permute",
        "perm",
        "sealed",
        "told",
        "outcome",
        "keys",
        "fillers",
        "agreed",
        "payload",
    ]
)
"""What these rules are about, where a party may cheat."""


def transfers(term: Term) -> bool:
    """I21: a message of checked transfers, which tells nothing to who has the key of one side alone."""
    match term:
        case Call("half" | "picks" | "commits" | "coin", _):
            return True
        case Call("asked" | "products", (own, Call("picks", (other,)))):
            return own != other
        case Call("shown", (own, Call("picks", _) as picks, Call("asked" | "products", (asks, chosen)) as inner)):
            return (own, picks) == (asks, chosen) and transfers(inner)
        case Call("levels", (own, Call("half", (other,)), Call("asked", (asks, Call("picks", (picks,)))) as inner)):
            return (own, other) == (picks, asks) and transfers(inner)
        case Call("leaves", (own, Call("half", (other,)), Call("products", (asks, Call("picks", (picks,)))) as inner)):
            return (own, other) == (picks, asks) and transfers(inner)
        case Call("weighed", (own, Call("leaves", (_, Call("half", (asks,)), _)) as inner)):
            return own == asks and transfers(inner)
        case Call("answered", (own, Call("weighed", (_, Call("leaves", (gives, *_)))) as inner)):
            return own == gives and transfers(inner)
    return False


# -- what hides what is shown -----------------------------------------------------------------------------------------


def bared(pair: Pair, seen: Iterable[Sent]) -> frozenset[str]:
    """I22: own keys of which more is shown in these messages than entries hide.

    Raises: ValueError if something is shown of what is not sent.
    """
    taken: Counter[Call] = Counter()
    for label in {_first(pair, each.label) for each in seen}:
        match _sent(pair, label).term:
            case Call("shown", (_, _, Call() as of)):
                taken[of] += HIDING[of.head]
            case Call("weighed", (_, Call("leaves", (_, _, Call() as of)))):
                taken[of] += NOISES
    return frozenset(str(of.args[0]) for of, number in taken.items() if number > _hiding(pair, of))


def _hiding(pair: Pair, of: Call) -> int:
    """How many entries of a message serve for nothing but to hide what is shown of it."""
    sent = [pair.counts[each.label] for each in _of(pair, of)]
    if not sent:
        raise ValueError(f"check {of.head} that nobody sends")
    return min(sent) - pair.public["transfers"] if of.head == "asked" else min(sent) // ROWS - NOISES


def _first(pair: Pair, label: str) -> str:
    """The message that one passes on; itself if it passes on none."""
    own = _sent(pair, label).own
    return _first(pair, own) if isinstance(own, str) else label


def _sent(pair: Pair, label: str) -> Sent:
    return next(each for each in pair.messages if each.label == label)


# -- who is held to nothing -------------------------------------------------------------------------------------------


def unheld(pair: Pair, roles: frozenset[str]) -> frozenset[str]:
    """I23: keys of others that members of a coalition can work out, because nothing holds them to their own part.

    Raises: ValueError for a message that no rule is about where a party may cheat; for a table read without transfers,
            or without coins (I24).
    """
    if pair.adversary.behaviour != "malicious":
        return frozenset()
    _require_judged(pair)
    found: set[str] = set()
    for message in pair.messages:
        for read, maker in _reads(message):
            reader = str(read.args[0])
            _require_coins(pair, message, read, maker)
            asks, gives = _parts(pair, reader, maker)
            if asks[0].sender in roles and not _asks_rightly(asks, gives, pair):
                found.add(reader)
            if gives[0].sender in roles and not _gives_rightly(asks, gives, pair):
                found.add(maker)
            if asks[0].sender in roles and not _reads_late(message, asks, pair):
                found.add(reader)
    return frozenset(found)


def _require_judged(pair: Pair) -> None:
    for message in pair.messages:
        if other := {call.head for call in calls(message.term)} - JUDGED:
            raise ValueError(f"let parties cheat in {min(other)}, of which no rule is, as {message.label}")


def _reads(message: Sent) -> Iterator[tuple[Call, str]]:
    """What a message reads, and does not only pass on or tell of, each with the own key of a vector in its table."""
    if not isinstance(message.own, str):
        for call in calls(message.own):
            if call.head == "read":
                (read,) = (each for each in calls(message.term) if each.head == "read")
                makers = {str(each.args[0]) for each in calls(read.args[2]) if each.head == "vector"}
                yield from ((read, each) for each in sorted(makers - {str(read.args[0])}))


def _parts(pair: Pair, reader: str, maker: str) -> tuple[list[Sent], list[Sent]]:
    """Messages that ask for a vector, and those that give it. Raises: ValueError if it is not all there."""
    picks, half = Call("picks", (reader,)), Call("half", (maker,))
    asked, products = Call("asked", (maker, picks)), Call("products", (maker, picks))
    asks = [each for term in (asked, products) for each in _of(pair, term)]
    gives = [
        each
        for term in (Call("levels", (reader, half, asked)), Call("leaves", (reader, half, products)))
        for each in _of(pair, term)
    ]
    if len({each.term for each in asks}) < 2 or len({each.term for each in gives}) < 2:
        raise ValueError(f"read by {reader} in a vector of {maker} that no transfers make")
    return asks, gives


def _of(pair: Pair, term: Term) -> list[Sent]:
    """Messages that are this, and pass on no other."""
    return [each for each in pair.messages if not isinstance(each.own, str) and each.term == term]


def _asks_rightly(asks: list[Sent], gives: list[Sent], pair: Pair) -> bool:
    """Both messages that ask are shown to who gives, and that before anything is given."""
    first = min(each.round for each in gives)
    return all(
        any(shown.round < first and (shown.sender, shown.receiver) == (each.sender, gives[0].sender) for shown in found)
        for each in asks
        for found in [_of(pair, _shown(each))]
    )


def _shown(of: Sent) -> Term:
    assert isinstance(of.term, Call)
    return Call("shown", (*of.term.args, of.term))


def _gives_rightly(asks: list[Sent], gives: list[Sent], pair: Pair) -> bool:
    """Trees are weighed when all of them are given, and it is answered before who asked tells anything of them."""
    last, told = max(each.round for each in gives), _told(pair, gives[0].sender)
    weighed = [each for each in _weighed(pair, gives, asks) if each.round > last]
    return any(
        (answer.sender, answer.receiver) == (gives[0].sender, asks[0].sender) and answer.round < told
        for each in weighed
        for answer in _of(pair, Call("answered", (_key(gives[0]), each.term)))
    )


def _weighed(pair: Pair, gives: list[Sent], asks: list[Sent]) -> list[Sent]:
    """What is weighed of the trees, for who gave them."""
    ways = (asks[0].sender, gives[0].sender)
    terms = [Call("weighed", (_key(asks[0]), each.term)) for each in gives]
    return [each for term in terms for each in _of(pair, term) if (each.sender, each.receiver) == ways]


def _told(pair: Pair, role: str) -> int:
    """The first round in which a role is told what was found; after all others if it is not."""
    after = max(each.round for each in pair.messages) + 1
    return min((m.round for m in pair.messages if m.receiver == role and "told" in _heads(m)), default=after)


def _heads(message: Sent) -> set[str]:
    return {call.head for call in calls(message.term)}


def _reads_late(message: Sent, asks: list[Sent], pair: Pair) -> bool:
    """What is read is sent when who asked has shown all that it has to show."""
    shows = [_of(pair, _shown(of)) for of in asks]
    shows.append([m for m in pair.messages if isinstance(m.own, Call) and m.own.head == "weighed"])
    rounds = [[each.round for each in found if each.receiver == message.sender] for found in shows]
    return all(min(found) < message.round for found in rounds if found)


def _key(message: Sent) -> str:
    assert isinstance(message.term, Call)
    return str(message.term.args[0])


def _require_coins(pair: Pair, message: Sent, read: Call, maker: str) -> None:
    """I24: what is read is hashed with coins of both, and nobody knew their sum when it chose its own part.

    The reader's coin is committed to before the other's comes, and shown when the table is there.
    """
    reader, _, table, *_ = read.args
    commits, first, second = (
        _of(pair, Call(head, (key,))) for head, key in (("commits", reader), ("coin", maker), ("coin", reader))
    )
    if not (commits and first and second):
        raise ValueError(f"read by {reader} without coins of both")
    if not commits[0].round < first[0].round < second[0].round <= message.round:
        raise ValueError("toss coins that somebody knows too early")
    if any(each.round >= second[0].round for each in _of(pair, table)):
        raise ValueError("show a coin before a table is there")
