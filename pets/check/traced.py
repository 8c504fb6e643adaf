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

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from pets.check.heard import Trace, trace
from pets.check.labels import (
    MATCHES,
    MEMBERSHIP,
    Coalition,
    Finding,
    Item,
    Mark,
    Matrix,
    Row,
    Verdict,
)
from pets.check.lists import BROUGHT
from pets.check.sides import ENOUGH, Pair, pair_of
from pets.errors import InternalError
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.term import Call, Term, calls, names

Marks = dict[Item, Mark]


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
        _raise(marks, [item], known.get(item, Mark.HELD))
    if pair.told is MEMBERSHIP:
        for item in pair.brought:
            _raise(marks, [item], min(known.get(item, Mark.HELD), Mark.MATCHED, key=lambda mark: mark.rank))


def _held(marks: Marks, pair: Pair, term: Term) -> None:
    """I10: whoever has a message has what it is made of, if only protected."""
    made_of = {(call.head, call.args[0]) for call in calls(term) if call.args}
    for side in pair.sides:
        _raise(marks, [side.ids] if ("keys", side.role) in made_of else [], Mark.HELD)
        _raise(marks, side.grouped if ("groups", side.role) in made_of else [], Mark.HELD)
        for head in BROUGHT:
            _raise(marks, _brought(pair, side.role) if (head, side.role) in made_of else [], Mark.HELD)
    _raise(marks, [MEMBERSHIP] if "match" in names(term) else [], Mark.HELD)
    _raise(marks, pair.sums if any(head in ("covered", "opened") for head, _ in made_of) else [], Mark.HELD)
    _raise(marks, [MATCHES, pair.told] if any(head == "share" for head, _ in made_of) else [], Mark.HELD)


def _brought(pair: Pair, role: str) -> tuple[Item, ...]:
    if role != pair.sides[1].role:
        raise ValueError("give columns of who asks")
    return pair.brought


def _worked_out(seen: Trace) -> Marks:
    """What a coalition has of its messages, but for outcomes that it is handed."""
    marks: Marks = {}
    for side in seen.pair.sides:
        _raise(marks, [side.size], Mark.SIZE)  # I12
        if side.holder in seen.parties:
            _raise(marks, side.own, Mark.VISIBLE)
        if side.role in seen.persons:
            _raise(marks, (*side.who, side.ids), Mark.VISIBLE)
        if side.role in seen.places:
            _raise(marks, [side.places], Mark.VISIBLE)
        if side.role in seen.groups | seen.met:
            _raise(marks, side.grouped, Mark.VISIBLE if side.role in seen.groups else Mark.MATCHED)
        if side.role in seen.values | seen.opened:
            _raise(marks, _brought(seen.pair, side.role), Mark.VISIBLE if side.role in seen.values else Mark.MATCHED)
    _raise(marks, [MATCHES], seen.count)
    _raise(marks, [ENOUGH], seen.enough)
    _raise(marks, seen.pair.sums, seen.sums)
    _raise(marks, [MEMBERSHIP] if seen.matched else [], Mark.VISIBLE)
    close(seen.pair, marks)
    return marks


def close(pair: Pair, marks: Marks) -> None:
    """The closure J1 to J7 of docs/rules: what follows from marks, whoever has them."""
    keys = [item for side in pair.sides for item in side.items([side.key])]
    who = [item for side in pair.sides for item in side.who]
    if all(marks.get(item) is Mark.VISIBLE for item in keys):
        _raise(marks, [MEMBERSHIP], Mark.VISIBLE)
    if marks.get(MEMBERSHIP) is Mark.VISIBLE:
        _raise(marks, [MATCHES], Mark.SIZE)
        _raise(marks, who, Mark.MATCHED)
    if ENOUGH in (pair.told, *marks):  # else nobody asks
        _raise(marks, [ENOUGH], marks.get(MATCHES, Mark.NEVER))
    _summed(pair, marks)
    who += [item for side in pair.sides for item in side.grouped]
    for number in (MATCHES, ENOUGH, *pair.sums):
        if (mark := marks.get(number, Mark.NEVER)).rank > Mark.HELD.rank:
            _raise(marks, who, min(mark, Mark.SIZE, key=lambda mark: mark.rank))
    told = [marks.get(item, Mark.NEVER) for item in pair.sums or (pair.told,)]
    _raise(marks, [pair.outcome], min(told, key=lambda mark: mark.rank))


def _summed(pair: Pair, marks: Marks) -> None:
    """J6 and J7: sums, and the columns in them."""
    groups = [item for side in pair.sides for item in side.grouped]
    for total, measure in pair.sums.items():
        everything = [marks.get(item, Mark.NEVER).rank >= Mark.MATCHED.rank for item in (MEMBERSHIP, measure, *groups)]
        _raise(marks, [total] if all(everything) else [], Mark.AGGREGATE)
        if marks.get(total, Mark.NEVER).rank > Mark.HELD.rank:
            _raise(marks, [measure], marks[total])


def _raise(marks: Marks, items: Iterable[Item], mark: Mark) -> None:
    for item in items:
        if mark.rank > marks.get(item, Mark.NEVER).rank:
            marks[item] = mark


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge the plan of an intersection: its matrix, and a finding for all that a coalition works out undeclared.

    Raises: InternalError plan.terms if a card's terms are none that a rule is about.
    """
    try:
        pair = pair_of(plan, spec, cards)
        columns = tuple(_coalitions(pair))
        known = {each.label: marks_of(pair, frozenset(each.parties)) for each in columns}
    except (ValueError, KeyError, StopIteration) as error:
        card = plan.match.card if plan.match is not None else "none"
        raise InternalError("plan.terms", card=card, problem=str(error) or "speak of what is not there") from error
    rows = tuple(
        Row(item.value, item.kind, {label: marks.get(item, Mark.NEVER) for label, marks in known.items()})
        for item in _items(pair)
    )
    found = tuple(
        Finding(
            "leak.undeclared",
            "error",
            f"security.leakage <- {each.label} <- {item.value}",
            f"{each.label} can work out {item.value} ({known[each.label][item].meaning}), and that is not declared",
            "declare it under [[security.leakage]], or choose another protocol",
        )
        for each in columns
        if not each.beyond_model
        for item in _undeclared(pair, spec, each, known[each.label])
    )
    return Verdict(found, Matrix(columns, rows))


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
    """The columns of the matrix: single parties, larger sets within the model, pairs beyond it."""
    yield from (Coalition((party,)) for party in pair.parties)
    active = [party for party in pair.parties if party in pair.cast.values()]
    larger = [each for count in range(2, len(active) + 1) for each in combinations(active, count)]
    yield from (Coalition(each) for each in larger if _within(pair, each))
    yield from (Coalition(each, beyond_model=True) for each in larger if len(each) == 2 and not _within(pair, each))


def _within(pair: Pair, parties: tuple[PartyId, ...]) -> bool:
    corrupt = {role for role in pair.adversary.among if pair.cast[role] in parties}
    if pair.cast["result"] in parties and not corrupt <= set(pair.adversary.with_result):
        return False
    return len(corrupt) <= pair.adversary.corrupt


def _undeclared(pair: Pair, spec: Spec, who: Coalition, found: Marks) -> Iterator[Item]:
    allowed = _allowed(pair, spec, frozenset(who.parties))
    for item, mark in found.items():
        if mark.rank > max(allowed.get(item, Mark.NEVER).rank, Mark.HELD.rank):
            yield item


def _allowed(pair: Pair, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own rows, the outcome if it is for it, what is declared to it, what follows."""
    marks: Marks = {}
    for side in pair.sides:
        if side.holder in parties:
            _raise(marks, side.own, Mark.VISIBLE)
    if parties & {PartyId(name) for name in spec.release.to}:
        noisy = spec.release.differential_privacy is not None
        number = Mark.NOISED if noisy else Mark.SIZE
        _raise(marks, pair.sums, Mark.NOISED if noisy else Mark.AGGREGATE)
        _raise(marks, [] if pair.sums else [pair.told], Mark.VISIBLE if pair.told is MEMBERSHIP else number)
        _raise(marks, [ENOUGH] if pair.told is MATCHES else [], number)
        _raise(marks, pair.brought if pair.told is MEMBERSHIP else (), Mark.MATCHED)
    for entry in spec.security.leakage:
        if entry.learner == EVERYONE or PartyId(entry.learner) in parties:
            if entry.item == "match_count":
                _raise(marks, [MATCHES], Mark.NOISED if entry.noised is not None else Mark.SIZE)
            elif entry.item == "row_count":
                _raise(marks, (side.size for side in pair.sides if side.dataset in entry.of), Mark.SIZE)
    close(pair, marks)
    return marks
