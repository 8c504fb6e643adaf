"""The second checker of sums over one table of many holders: what each coalition works out from the messages alone.

Written from docs/rules/pools.md alone, beside the first checker, with which it shares the words of ``labels.py`` and no
rule. It believes no ``learns`` and no ``carries`` of a card. It gives every message the form that its term comes to
(spread.py), lets a coalition put in what its members hold, brought and were handed, and takes all streams out that it
lacks (spanned.py): what is left is what it knows. Both must come to the same matrix; ``plan/review.py`` refuses a
specification on which they do not.

What is taken for granted: AES and HKDF are a pseudorandom function, uploads are sealed to who is to read them, whoever
a seed is handed to was meant to have it, and every party follows the protocol.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pets.check.concluded import Marks, concluded, lift, terms_of, withstood
from pets.check.gathering import ABOUT_UPLOADS, BROUGHT, Gathering, gathering_of
from pets.check.labels import Coalition, Item, Mark, Verdict, exact, released, strongest, weakest
from pets.check.spanned import told
from pets.check.spread import Form, Unknown, numbers
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card, Message
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.term import Call, Term, calls, names

# -- what a coalition has ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Trace:
    """A coalition, what it has, and what it works out."""

    about: Gathering
    parties: frozenset[PartyId]
    opened: set[str] = field(default_factory=set)
    """Holders whose vectors it can read."""
    held: set[str] = field(default_factory=set)
    """Holders whose vectors are in messages that it has."""
    exact: bool = False
    noised: bool = False

    roles: frozenset[str] = field(init=False)
    seen: tuple[Message, ...] = field(init=False)
    keys: frozenset[str] = field(init=False)
    shares: bool = field(init=False)
    """It has a message of a share of the sums."""

    def __post_init__(self) -> None:
        self.roles = self.about.roles_of(self.parties)
        self.seen = tuple(m for m in self.about.card.messages if {m.sender, m.receiver} & self.roles)  # G2
        held = {key.name for key in self.about.card.keys if self.roles & set(key.holders)}
        self.keys = frozenset(held | {key for message in self.seen for key in _handed(message)})  # G2
        self.shares = any(call.head == "share" for message in self.seen for call in calls(message.meaning))

    def knows(self, unknown: Unknown) -> bool:
        """Rules G1 and G2: it brought the value, drew the noise, or has the key."""
        if unknown.kind == "stream":
            return unknown.of in self.keys
        return unknown.of in self.roles


def trace(about: Gathering, parties: frozenset[PartyId]) -> Trace:
    """All that a coalition works out. Raises: ValueError for a term of no rule."""
    seen = Trace(about, parties)
    rows = []
    for message in seen.seen:
        if numbers(message):
            rows.append(about.forms.of(message))
        elif not (isinstance(message.meaning, Call) and message.meaning.head in ABOUT_UPLOADS):
            raise ValueError(f"send what no rule is about, as {message.label}")
    found = told(rows, about.modulus, seen.knows)
    for form in found.exact:
        _exact(seen, form)
    if len(found.noised) == 1 and _covered(seen, found.noised[0]):
        seen.noised = True
    else:  # G6: one noise covers one look
        for form in found.noised:
            _exact(seen, form)
    seen.held = {role for message in seen.seen for role in _brought(about, message.meaning)}  # G9
    return seen


def _brought(about: Gathering, term: Term) -> Iterator[str]:
    """The holders whose values are in a term, or in messages that it names; a share of a sum is of no one holder."""
    passed = {message.label: message.meaning for message in about.card.messages}
    yield from (str(call.args[0]) for call in calls(term) if call.head in BROUGHT)
    for name in names(term):
        yield from _brought(about, passed[name]) if name in passed else ()


def _handed(message: Message) -> Iterator[str]:
    """The keys whose secrets a message hands over."""
    yield from (str(call.args[0]) for call in calls(message.meaning) if call.head == "handed")


def _exact(seen: Trace, form: Form) -> None:
    """Rule G5: a form without noise is the sum of all vectors that it lacks, or opens those that are in it."""
    values = {unknown.of: c for unknown, c in form.items() if unknown.kind == "value"}
    lacking = {each.role for each in seen.about.holders} - seen.roles
    if values.keys() == lacking and len(lacking) > 1 and _once(seen.about.modulus, values.values()):
        seen.exact = True
    else:
        seen.opened |= values.keys()


def _covered(seen: Trace, form: Form) -> bool:
    """Rule G6: a form is the sum of all that it lacks, with enough noise that it lacks, each of it as often."""
    about = seen.about
    values = {unknown.of: c for unknown, c in form.items() if unknown.kind == "value"}
    if values.keys() != {each.role for each in about.holders} - seen.roles or not _once(about.modulus, values.values()):
        return False
    signs = {next(iter(values.values())), -next(iter(values.values())) % about.modulus}
    parts = sum(c in signs for unknown, c in form.items() if unknown.kind == "noise")
    missing = len(about.computing) - about.certain
    return parts - missing >= about.pool.parts


def _once(modulus: int, coefficients: Iterable[int]) -> bool:
    """All are 1, or all are -1: whatever a form is divided by, its noise is then as large as drawn."""
    return set(coefficients) in ({1}, {modulus - 1})


# -- from knowledge to marks ------------------------------------------------------------------------------------------


def marks_of(about: Gathering, parties: frozenset[PartyId]) -> Marks:
    """Rules G1 to G10 and the closure: a mark for every item that a coalition has to do with."""
    seen, marks = trace(about, parties), _public(about)
    for holder in about.holders:
        if holder.role in seen.held:  # G9
            lift(
                marks, (*map(holder.own, about.sums), *holder.items(frozenset().union(*about.sums.values()))), Mark.HELD
            )
        if holder.party in parties:
            lift(marks, holder.items(holder.columns), Mark.VISIBLE)
        if holder.party in parties or holder.role in seen.opened:
            lift(marks, map(holder.own, about.sums), Mark.AGGREGATE)
    if seen.shares or seen.roles & about.three:  # G9
        lift(marks, map(exact, about.sums), Mark.HELD)
    if seen.exact:
        lift(marks, map(exact, about.sums), Mark.AGGREGATE)
    if seen.noised:
        lift(marks, about.leaving.values(), Mark.NOISED)
    if about.cast["result"] in parties:
        lift(marks, about.leaving.values() if about.controlled else (), Mark.AGGREGATE)  # G10
        lift(marks, (released(name) for name, sums in about.outputs.items() if not sums), Mark.VISIBLE)
    close(about, marks)
    return marks


def _public(about: Gathering) -> Marks:
    """Rule G0: declared sizes are for everybody to know."""
    return {each.size: Mark.SIZE for each in about.holders}


def close(about: Gathering, marks: Marks) -> None:
    """The closure H1 to H5 of docs/rules: what follows from marks, whoever has them.

    The second holder stands for all but the first, in the column of it alone, too.
    """

    def mark(item: Item) -> Mark:
        return marks.get(item, Mark.NEVER)

    for name in about.sums:
        if all(mark(holder.own(name)) is Mark.AGGREGATE for holder in about.holders):
            lift(marks, [exact(name)], Mark.AGGREGATE)  # H1
    for name, leaves in about.leaving.items():
        if mark(exact(name)) is Mark.AGGREGATE:
            lift(marks, [leaves], Mark.AGGREGATE)  # H2
    for name, sums in about.outputs.items():
        if sums:
            lift(marks, [released(name)], weakest(mark(about.leaving[each]) for each in sums))  # H3
    for name, measures in about.sums.items():
        whole = strongest((mark(exact(name)), mark(about.leaving.get(name, exact(name)))))
        for holder in about.holders:
            others = (mark(other.own(name)) for other in about.holders if other is not holder)
            if whole.rank > Mark.HELD.rank and all(each is Mark.AGGREGATE for each in others):
                lift(marks, [holder.own(name)], whole)  # H4
            seen = strongest((whole, mark(holder.own(name))))
            if seen.rank > Mark.HELD.rank:
                lift(marks, holder.items(measures | holder.moved), seen)  # H5


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge the plan of sums of many holders: its matrix, and a finding for all that a coalition works out undeclared.

    Raises: InternalError plan.terms if a card's terms are none that a rule is about, or its messages lack what rules
            ask for.
    """
    with terms_of(plan.pool.card if plan.pool is not None else "none"):
        about = gathering_of(plan, spec, cards)
        known = {each: marks_of(about, frozenset(each.parties)) for each in _coalitions(about)}
    return concluded(known, _items(about), lambda parties: _allowed(about, spec, parties))


def _items(about: Gathering) -> Iterator[Item]:
    """The rows of the matrix."""
    for holder in about.holders:
        yield from holder.items(holder.columns)
    yield from (holder.size for holder in about.holders)
    for holder in about.holders:
        yield from map(holder.own, about.sums)
    yield from map(exact, about.sums)
    yield from about.leaving.values()
    yield from map(released, about.outputs)


def _coalitions(about: Gathering) -> Iterator[Coalition]:
    """The columns of the matrix: single parties, larger sets within the model, and the least beyond it.

    Within it as many computing parties as may be corrupt, with the result party and all holders but the first; beyond
    it one computing party more. Those who follow each other on the card stand for all as many.
    """
    yield from (Coalition((party,)) for party in about.parties)
    limit = about.card.adversary.corrupt
    others = {each.party for each in about.holders[1:]} | {about.cast["result"]}
    wide = [others | {about.cast[role] for role in some} for some in _in_a_row(about.computing, limit)]
    beyond = [{about.cast[role] for role in some} for some in _in_a_row(about.computing, limit + 1)]
    sets = dict.fromkeys(tuple(p for p in about.parties if p in each) for each in (*wide, *beyond))
    larger = [each for each in sets if len(each) > 1]
    who = about.card.adversary
    yield from (Coalition(each) for each in larger if withstood(who, about.cast, each))
    yield from (Coalition(each, beyond_model=True) for each in larger if not withstood(who, about.cast, each))


def _in_a_row(roles: tuple[str, ...], count: int) -> Iterator[tuple[str, ...]]:
    """So many roles that follow each other, the first after the last."""
    if count >= len(roles):
        yield roles
        return
    yield from (tuple((roles * 2)[start : start + count]) for start in range(len(roles)))


def _allowed(about: Gathering, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own rows, the release to it, what is declared to it, and what follows."""
    marks: Marks = {}
    for holder in about.holders:
        if holder.party in parties:
            lift(marks, holder.items(holder.columns), Mark.VISIBLE)
            lift(marks, map(holder.own, about.sums), Mark.AGGREGATE)
    asked = spec.release.disclosure_control if about.controlled else spec.release.differential_privacy
    if parties & {PartyId(name) for name in spec.release.to} and asked is not None:
        lift(marks, about.leaving.values(), Mark.AGGREGATE if about.controlled else Mark.NOISED)
        lift(marks, (released(name) for name, sums in about.outputs.items() if not sums), Mark.VISIBLE)
    for entry in spec.security.leakage:
        if entry.item == "row_count" and (entry.learner == EVERYONE or PartyId(entry.learner) in parties):
            lift(marks, (each.size for each in about.holders if each.dataset in entry.of), Mark.SIZE)
    close(about, marks)
    return marks
