"""The second checker of intersections: what every coalition can work out from the messages themselves.

Written from docs/rules/intersections.md alone, beside the first (``check/matched.py``), with which it shares the words
of ``labels.py``, what outcomes are called, and no rule. The first reads off the card what its outputs and its
``learns`` say. This one believes neither, nor what messages ``carry``: it gives every message the term that its card
states, and asks which lists a coalition has under one function, whose places in them it knows, and what it can
evaluate by itself (heard.py; rules I1 to I20). Both must come to the same matrix; ``plan/review.py`` refuses a
specification on which they do not.

What is taken for granted: multiples of different elements by an unknown scalar look like elements drawn at random, a
vector with unknown noises too (docs/rules/terms.md), every party follows the protocol, or is caught (cheating.py), and
identifiers can be guessed.
"""

from collections.abc import Iterator, Mapping

from pets.check.concluded import Marks, coalitions_of, concluded, lift, terms_of, withstood
from pets.check.heard import Trace, trace
from pets.check.labels import MATCHES, MEMBERSHIP, Coalition, Item, Mark, Verdict, weakest
from pets.check.lists import BROUGHT
from pets.check.sides import ENOUGH, Pair, pair_of
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.term import Call, Term, calls, names

# -- from knowledge to marks ------------------------------------------------------------------------------------------


def marks_of(pair: Pair, parties: frozenset[PartyId]) -> Marks:
    """Rules I10 to I12 and the closure: a mark for every item that a coalition has to do with."""
    seen = trace(pair, parties)
    marks = _worked_out(seen)
    for message in seen.seen:
        match message.term:
            case Call("outcome", (str(role),)):
                _handed(marks, pair, pair.cast[role])
            case term:
                _held(marks, pair, term)
    close(pair, marks)
    return marks


def _handed(marks: Marks, pair: Pair, asker: PartyId) -> None:
    """I11: the outcome, as far as the asker works it out alone; columns of persons in both come with it."""
    known = _worked_out(trace(pair, frozenset({asker})))
    for item in (pair.told, *pair.sums):
        lift(marks, [item], known.get(item, Mark.HELD))
    if pair.told is MEMBERSHIP:
        for item in pair.brought:
            lift(marks, [item], weakest((known.get(item, Mark.HELD), Mark.MATCHED)))


def _held(marks: Marks, pair: Pair, term: Term) -> None:
    """I10: whoever has a message has what it is made of, if only protected."""
    made_of = {(call.head, call.args[0]) for call in calls(term) if call.args}
    for side in pair.sides:
        lift(marks, [side.ids] if ("keys", side.role) in made_of else [], Mark.HELD)
        lift(marks, side.grouped if ("groups", side.role) in made_of else [], Mark.HELD)
        for head in BROUGHT:
            lift(marks, _brought(pair, side.role) if (head, side.role) in made_of else [], Mark.HELD)
    lift(marks, [MEMBERSHIP] if "match" in names(term) else [], Mark.HELD)
    lift(marks, pair.sums if any(head in ("covered", "opened") for head, _ in made_of) else [], Mark.HELD)
    lift(marks, [MATCHES, pair.told] if any(head == "share" for head, _ in made_of) else [], Mark.HELD)


def _brought(pair: Pair, role: str) -> tuple[Item, ...]:
    if role != pair.sides[1].role:
        raise ValueError("give columns of who asks")
    return pair.brought


def _worked_out(seen: Trace) -> Marks:
    """What a coalition has of its messages, but for outcomes that it is handed."""
    marks: Marks = {}
    for side in seen.pair.sides:
        lift(marks, [side.size], Mark.SIZE)  # I12
        if side.holder in seen.parties:
            lift(marks, side.own, Mark.VISIBLE)
        if side.role in seen.persons:
            lift(marks, (*side.who, side.ids), Mark.VISIBLE)
        if side.role in seen.places:
            lift(marks, [side.places], Mark.VISIBLE)
        if side.role in seen.groups | seen.met:
            lift(marks, side.grouped, Mark.VISIBLE if side.role in seen.groups else Mark.MATCHED)
        if side.role in seen.values | seen.opened:
            lift(marks, _brought(seen.pair, side.role), Mark.VISIBLE if side.role in seen.values else Mark.MATCHED)
    lift(marks, [MATCHES], seen.count)
    lift(marks, [ENOUGH], seen.enough)
    lift(marks, seen.pair.sums, seen.sums)
    lift(marks, [MEMBERSHIP] if seen.matched else [], Mark.VISIBLE)
    close(seen.pair, marks)
    return marks


def close(pair: Pair, marks: Marks) -> None:
    """The closure J1 to J7 of docs/rules: what follows from marks, whoever has them."""
    keys = [item for side in pair.sides for item in side.items([side.key])]
    who = [item for side in pair.sides for item in side.who]
    if all(marks.get(item) is Mark.VISIBLE for item in keys):
        lift(marks, [MEMBERSHIP], Mark.VISIBLE)
    if marks.get(MEMBERSHIP) is Mark.VISIBLE:
        lift(marks, [MATCHES], Mark.SIZE)
        lift(marks, who, Mark.MATCHED)
    if ENOUGH in (pair.told, *marks):  # else nobody asks
        lift(marks, [ENOUGH], marks.get(MATCHES, Mark.NEVER))
    _summed(pair, marks)
    who += [item for side in pair.sides for item in side.grouped]
    for number in (MATCHES, ENOUGH, *pair.sums):
        if (mark := marks.get(number, Mark.NEVER)).rank > Mark.HELD.rank:
            lift(marks, who, weakest((mark, Mark.SIZE)))
    told = [marks.get(item, Mark.NEVER) for item in pair.sums or (pair.told,)]
    lift(marks, [pair.outcome], weakest(told))


def _summed(pair: Pair, marks: Marks) -> None:
    """J6 and J7: sums, and the columns in them."""
    groups = [item for side in pair.sides for item in side.grouped]
    for total, measure in pair.sums.items():
        everything = [marks.get(item, Mark.NEVER).rank >= Mark.MATCHED.rank for item in (MEMBERSHIP, measure, *groups)]
        lift(marks, [total] if all(everything) else [], Mark.AGGREGATE)
        if marks.get(total, Mark.NEVER).rank > Mark.HELD.rank:
            lift(marks, [measure], marks[total])


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge the plan of an intersection: its matrix, and a finding for all that a coalition works out undeclared.

    Raises: InternalError plan.terms if a card's terms are none that a rule is about.
    """
    with terms_of(plan.match.card if plan.match is not None else "none"):
        pair = pair_of(plan, spec, cards)
        known = {each: marks_of(pair, frozenset(each.parties)) for each in _coalitions(pair)}
    return concluded(known, _items(pair), lambda parties: _allowed(pair, spec, parties))


def _items(pair: Pair) -> Iterator[Item]:
    """The rows of the matrix."""
    for side in pair.sides:
        yield from side.items(side.columns)
    yield from (side.ids for side in pair.sides)
    yield from (MEMBERSHIP, MATCHES)
    yield from (side.size for side in pair.sides)
    yield from pair.sums
    yield pair.outcome


def _coalitions(pair: Pair) -> Iterator[Coalition]:
    """The columns of the matrix."""
    return coalitions_of(
        pair.parties, pair.cast.values(), lambda parties: withstood(pair.adversary, pair.cast, parties)
    )


def _allowed(pair: Pair, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own rows, the outcome if it is for it, what is declared to it, what follows."""
    marks: Marks = {}
    for side in pair.sides:
        if side.holder in parties:
            lift(marks, side.own, Mark.VISIBLE)
    if parties & {PartyId(name) for name in spec.release.to}:
        noisy = spec.release.differential_privacy is not None
        number = Mark.NOISED if noisy else Mark.SIZE
        lift(marks, pair.sums, Mark.NOISED if noisy else Mark.AGGREGATE)
        lift(marks, [] if pair.sums else [pair.told], Mark.VISIBLE if pair.told is MEMBERSHIP else number)
        lift(marks, [ENOUGH] if pair.told is MATCHES else [], number)
        lift(marks, pair.brought if pair.told is MEMBERSHIP else (), Mark.MATCHED)
    for entry in spec.security.leakage:
        if entry.learner == EVERYONE or PartyId(entry.learner) in parties:
            if entry.item == "match_count":
                lift(marks, [MATCHES], Mark.NOISED if entry.noised is not None else Mark.SIZE)
            elif entry.item == "row_count":
                lift(marks, (side.size for side in pair.sides if side.dataset in entry.of), Mark.SIZE)
    close(pair, marks)
    return marks
