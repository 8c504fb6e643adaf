"""The second checker: what every coalition can work out from the messages themselves.

Written from docs/rules alone, beside ``check/flow.py``, with which it shares the words of ``labels.py`` and no rule.
``flow`` reads off the cards what is learned and how messages are protected. This one believes no ``learns`` and no
``carries``: it expands the plan into its messages, gives each the term that its card states, and lets every coalition
put together what its members hold, send and receive until nothing new follows (view.py; rules K1 to K12). Both must
come to the same matrix; ``plan/review.py`` refuses a specification on which they do not.

What is taken for granted: AES and HKDF are a pseudorandom function, X25519 keys are known to the two that agree on
them, every party follows the protocol, and identifiers can be guessed: who holds a tag key and tags has the persons.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

from pets.check.case import Case, case_of
from pets.check.concluded import Marks, coalitions_of, concluded, lift, terms_of, withstood
from pets.check.labels import Coalition, Item, Mark, Verdict, exact, noised, released, strongest, weakest
from pets.check.view import View, view
from pets.ids import PartyId
from pets.spec import rowwise
from pets.spec.cards import EVERYONE, Card, load_cards
from pets.spec.ir import Plan
from pets.spec.model import Leakage, Spec
from pets.spec.operations import Operation, Step, Use
from pets.spec.term import Call, Product, Sum, Term

# -- from knowledge to marks ------------------------------------------------------------------------------------------


def marks_of(seen: View) -> Marks:
    """Rule K12 and the closure: a mark for every item that a coalition has to do with."""
    case, marks = seen.case, _held(seen)
    for role, side in case.sides.items():
        if role in seen.persons:
            lift(marks, (*side.items({side.key, *side.filters}), side.ids), Mark.VISIBLE)
        if role in seen.values:
            lift(marks, side.items(side.masked | side.groups | side.filters), Mark.VISIBLE)
        if role in seen.groups:
            lift(marks, side.items(side.groups), Mark.VISIBLE)
        if side.holder in seen.parties:
            lift(marks, (*side.items(side.columns), side.ids), Mark.VISIBLE)
        lift(marks, [side.size], Mark.SIZE)
    for meeting in case.meetings:
        if meeting.roles <= seen.matched and meeting.roles & seen.placed:
            lift(marks, [meeting.who], Mark.VISIBLE)
        lift(marks, [meeting.count], seen.count(meeting.roles))
    lift(marks, map(exact, seen.exact), Mark.AGGREGATE)
    lift(marks, map(noised, seen.noised), Mark.NOISED)
    if case.roles["result"] in seen.parties:
        if case.controlled:  # K13
            lift(marks, case.leaving.values(), Mark.AGGREGATE)
        lift(marks, (released(name) for name, sums in case.outputs.items() if not sums), Mark.VISIBLE)
    close(case, marks)
    return marks


def close(case: Case, marks: Marks) -> None:
    """The closure rules C1 to C6 of docs/rules: what follows from marks, whoever has them."""
    sides = tuple(case.sides.values())
    for meeting in case.meetings:
        if all(marks.get(item) is Mark.VISIBLE for side in meeting.sides for item in side.items([side.key])):
            lift(marks, [meeting.who], Mark.VISIBLE)
            lift(marks, [meeting.count], Mark.SIZE)
    joined = [i for side in sides for i in side.items((side.summed | side.groups | side.crossed) - {side.key})]
    rows = all(marks.get(item) is Mark.VISIBLE for item in (*(meeting.who for meeting in case.meetings), *joined))
    if rows or all(marks.get(item) is Mark.VISIBLE for side in sides for item in side.items(side.columns)):
        lift(marks, map(exact, case.sums), Mark.AGGREGATE)
    for name, leaves in case.leaving.items():
        made_of = case.ordered[name][0] if name in case.ordered else name
        if marks.get(exact(made_of)) is Mark.AGGREGATE:
            lift(marks, [leaves], Mark.AGGREGATE)
    for name, sums in case.outputs.items():
        if sums:
            least = weakest(_mark(marks, case.leaving[each]) for each in sums)
            lift(marks, [released(name)], least)
    inside = dict(case.sums) | {name: items for name, (_, items) in case.ordered.items()}
    told = {name: mark for name in inside if (mark := _told(case, marks, name)).rank > Mark.HELD.rank}
    for name, mark in told.items():
        lift(marks, inside[name], mark)
        for side in sides:
            lift(marks, side.items(side.groups | side.filters | side.crossed | {side.key}), mark)
    for meeting in case.meetings:
        if (mark := _mark(marks, meeting.count)).rank > Mark.HELD.rank:
            for side in meeting.sides:
                lift(marks, side.items(side.filters | {side.key}), mark)


def _told(case: Case, marks: Marks, name: str) -> Mark:
    """What a sum tells of the columns in it: by itself, or by what becomes of it."""
    items = [exact(name), *(item for item in [case.leaving.get(name)] if item is not None)]
    return strongest(_mark(marks, item) for item in items)


def _held(seen: View) -> Marks:
    """Rule K12: whoever sends or receives a message has what its term depends on, if only in protected form."""
    marks: Marks = {}
    made_of = [depends(seen.case, m.meaning) for m in seen.seen if seen.case.columns[m.columns.text]]
    program = seen.case.join.program
    if program is not None and seen.roles & set(program.parties):
        made_of.append(_of_name(seen.case, program.makes))
        made_of += [
            depends(seen.case, m.meaning)
            for m in seen.case.join.messages
            if m.label in program.takes and seen.case.columns[m.columns.text]
        ]
    if seen.roles & set(seen.case.three):  # what three compute on, each has a share of
        if seen.case.computed:
            made_of.append(depends(seen.case, Call("computed", ("summed",))))
        if seen.case.by_cell or seen.case.keyed:  # a's cells, too
            made_of.append(frozenset({("a", "groups")}))
        if seen.case.controlled:
            made_of.append(frozenset({("", "sums")}))
    for role, what in sorted(frozenset().union(*made_of)):
        side = seen.case.sides.get(role)
        if what == "sums":
            lift(marks, map(exact, seen.case.sums), Mark.HELD)
        elif what == "match":
            lift(marks, [meeting.who for meeting in seen.case.meetings], Mark.HELD)
        elif side is not None and what == "keys":
            lift(marks, [side.ids], Mark.HELD)
        elif side is not None:
            lift(marks, side.items(side.masked if what == "values" else side.groups), Mark.HELD)
    return marks


def depends(case: Case, term: Term) -> frozenset[tuple[str, str]]:
    """(role, kind) of all that a term is made of: keys, values and groups of a role; the match; the sums."""
    match term:
        case "match":
            return frozenset({("", "match")})
        case str():
            return _of_name(case, term)
        case Sum(parts):
            return frozenset().union(*(depends(case, part) for _, part in parts))
        case Product(factors):
            return frozenset().union(*(depends(case, factor) for factor in factors))
        case Call("values", (str(role), "gathered")):  # one column for each cell of that role's own grouping
            return frozenset({(role, "values"), (role, "groups")})
        case Call("local", (str(role), _)):
            return frozenset({(role, "values")})
        case Call("computed", _):
            groups = ((role, "groups") for role in case.sides if role != "a")
            return frozenset({*((role, "values") for role in case.sides), *groups, ("", "match")})
        case Call("values" | "keys" | "groups" as what, (str(role), *_)):
            return frozenset({(role, what)})
        case Call("checks", (_, str(role))):
            return frozenset({(role, "keys")})
        case Call("part", (_, str(name), _)):
            return _of_name(case, name)
        case Call("share", (str(), "sums")):
            return frozenset({("", "sums")})
        case Call("share", (str(), str(name))):
            return _of_name(case, name)
        case Call(_, args):
            inner = (depends(case, arg) for arg in args if not isinstance(arg, str) or arg in _labels(case))
            return frozenset().union(*inner)


def _of_name(case: Case, name: str) -> frozenset[tuple[str, str]]:
    if name in _labels(case):
        return depends(case, next(m.meaning for m in case.join.messages if m.label == name))
    found = {at: case.words.shared_or_none(name, at) for at in case.columns["v"]}
    used = list({id(each): each for each in found.values() if each is not None}.values())
    return frozenset().union(*(depends(case, each.value) for each in used))


def _labels(case: Case) -> frozenset[str]:
    return frozenset({"match", *(message.label for message in case.join.messages)})


def _mark(marks: Marks, item: Item) -> Mark:
    return marks.get(item, Mark.NEVER)


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge a plan: its matrix, and a finding for everything that a coalition works out and nobody declared.

    Raises: InternalError plan.terms if a card's terms are none of the protocol's, or its shares do not add up.
    """
    case = case_of(plan, spec, cards)
    with terms_of(case.join.id):
        _shares_add_up(case)
        _nothing_else_shown(case)
        _nothing_told_by_rows(plan)
        known = {each: marks_of(view(case, frozenset(each.parties))) for each in _coalitions(case)}
    return concluded(known, _items(case), lambda parties: _allowed(case, spec, parties))


def _shares_add_up(case: Case) -> None:
    """A card that states shares which do not add up to their value says nothing about its protocol."""
    for each in case.join.shared:
        for at in case.columns["v"]:
            if each is case.words.shared_or_none(each.name, at):
                total = Sum(tuple((1, share) for share in each.shares.values()))
                if case.words.expand(total, at) != case.words.expand(each.value, at):
                    raise ValueError(f"give shares of {each.name} that do not add up to it")


def _nothing_else_shown(case: Case) -> None:
    """Rule K13: what three parties compute on shares tells them nothing, and its end is for the result party alone."""
    if not case.controlled:
        return
    operations = case.release.operations
    *before, last = operations[-1].parts
    if not isinstance(last, Step) or last.who != "each to the result":
        raise ValueError("end without showing anything to the result party")
    for part in before:
        used = _used(part, case.release) if isinstance(part, Use) else None
        if used is None or used.learns != "nothing":
            raise ValueError(f"open something before the end, or send what is no operation: {part}")


def _nothing_told_by_rows(plan: Plan) -> None:
    """Rule K13 for what is computed on rows: every operation of it tells nothing."""
    if plan.join.rows is not None:
        listed = {each.name: each for each in load_cards()[plan.join.rows.card].operations}
        for name, _ in rowwise.program(plan.join, rowwise.PLANE):
            if listed[name].learns != "nothing":
                raise ValueError(f"compute on rows with {name}, which opens something")


def _used(part: Use, card: Card) -> Operation | None:
    """The operation that a part stands for, if there is one, and nothing in it goes to a fourth."""
    listed = load_cards()[part.card].operations if part.card else card.operations
    return next((each for each in listed if each.name == part.operation), None)


def _allowed(case: Case, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own rows, the release to it, what is declared to it, and what follows."""
    marks: Marks = {}
    for side in case.sides.values():
        if side.holder in parties:
            lift(marks, (*side.items(side.columns), side.ids), Mark.VISIBLE)
    asked = spec.release.disclosure_control if case.controlled else spec.release.differential_privacy
    if parties & {PartyId(name) for name in spec.release.to} and asked is not None:
        lift(marks, case.leaving.values(), Mark.AGGREGATE if case.controlled else Mark.NOISED)
        lift(marks, (released(name) for name, sums in case.outputs.items() if not sums), Mark.VISIBLE)
    for entry in spec.security.leakage:
        if entry.learner == EVERYONE or PartyId(entry.learner) in parties:
            lift(marks, _named(case, entry), Mark.NOISED if entry.noised is not None else Mark.SIZE)
    close(case, marks)
    return marks


def _named(case: Case, entry: Leakage) -> Iterator[Item]:
    if entry.item == "match_count":
        yield from (meeting.count for meeting in case.meetings)
    elif entry.item == "row_count":
        yield from (side.size for side in case.sides.values() if side.dataset in entry.of)


def _coalitions(case: Case) -> Iterator[Coalition]:
    """The columns of the matrix."""
    if case.shared:
        return _coalitions_of_many(case)
    return coalitions_of(case.parties, case.roles.values(), lambda parties: _within(case, parties))


def _coalitions_of_many(case: Case) -> Iterator[Coalition]:
    """Where some holders stand for all: every one but the first of each table, with the result party and one computer.

    Whatever set of parties withstands less has a computer more; whatever set of fewer parties knows less.
    """
    yield from (Coalition((party,)) for party in case.parties)
    first = {case.roles[role] for role in case.sides if role.endswith("1")}
    fixed = ({side.holder for side in case.sides.values()} - first) | {case.roles["result"]}
    computers = [case.roles[role] for role in case.three]
    asked = [fixed | {party} for party in computers] + [{one, two} for one, two in combinations(computers, 2)]
    sets = dict.fromkeys(tuple(party for party in case.parties if party in each) for each in asked)
    found = [each for each in sets if len(each) > 1]
    yield from (Coalition(each) for each in found if _within(case, each))
    yield from (Coalition(each, beyond_model=True) for each in found if not _within(case, each))


def _within(case: Case, parties: tuple[PartyId, ...]) -> bool:
    """True if both cards promise to withstand these parties together."""
    return all(withstood(card.adversary, case.roles, parties) for card in (case.join, case.release))


def _items(case: Case) -> Iterator[Item]:
    """The rows of the matrix."""
    sides = tuple(case.sides.values())
    for side in sides:
        yield from side.items(side.columns)
    yield from (side.ids for side in sides)
    yield from (meeting.who for meeting in case.meetings)
    yield from (meeting.count for meeting in case.meetings)
    yield from (side.size for side in sides)
    yield from map(exact, case.sums)
    yield from case.leaving.values()
    yield from map(released, case.outputs)
