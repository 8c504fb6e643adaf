"""Who learns what: facts from the cards, closed over what a coalition can put together, held against what is declared.

The derivation is about a ``Subject`` (subject.py), of a specification or of a plan; ``disclosure`` makes the matrix of
either. Nothing here computes with messages: what a message carries and what a coalition learns is taken from the card,
and what protects it from the shape of its term (protection.py). The second checker, which expands the messages, is
knowledge.py.

How a coalition's knowledge of a value comes about, strongest first:

    own rows                               V  of the columns that its members hold
    a card's ``learns``                    its grade, for every coalition that holds the roles
    a message that they can open           V  of what it carries (rules P1 to P6)
    all shares of a sum, or all its rows   A  of the sum, and of every column in it
    a noised sum or count                  N  of it, and of every column it depends on
    an exact or declared size              S
    a message that ``carries`` it          H  for sender and receiver: masks, shares, tags
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Final

from pets.check import rules, subject, terms, thresholds, trends
from pets.check.budget import run_loss
from pets.check.coalitions import coalitions, matrix_of, within_model
from pets.check.labels import (
    Coalition,
    Fact,
    Finding,
    Grade,
    Item,
    Mark,
    Matrix,
    Verdict,
    exact,
    noised,
    released,
    strongest,
    weakest,
)
from pets.check.protection import made, opened, taken
from pets.check.rules import Asked, Found, rule
from pets.check.subject import Subject, cards_of, join_card
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card, Learns, load_cards
from pets.spec.joins import joins_of
from pets.spec.model import Leakage, Spec
from pets.spec.query import Query

PARTS: Final = (rules, terms, thresholds, trends)
"""Where the registered rules are, besides here."""

RELEASE: Final = "release"
CONTROL: Final = "disclosure_control"

# -- facts ------------------------------------------------------------------------------------------------------------


def _learned(about: Subject, item: str, grade: Grade) -> tuple[Item, ...]:
    """The rows that a card's word stands for. What is inside a table is learned with the rows that WHERE lets pass."""
    if item == "match_count":
        return tuple(count for _, _, count in about.meetings)
    if item == "match":
        return tuple(who for _, who, _ in about.meetings)
    if item == "row_count":
        return tuple(table.size for table in about.tables.values())
    if item == "sums":
        make = noised if grade is Grade.NOISED else exact
        return tuple(make(each.name) for each in about.moments)
    if item == "table":
        return tuple(leaves for _, leaves in about.leaving)
    role, _, part = item.partition(".")
    table = about.tables.get(role)
    if table is not None and part == "key":
        return (*table.items(table.filters | {table.key}), table.tags)  # listed are those whom WHERE lets pass
    if table is not None and part == "values":
        return tuple(table.items(table.masked | table.groups | table.filters))
    if table is not None and part == "groups":
        return tuple(table.items(table.groups))
    raise ValueError(f"a card speaks of {item}, which is nothing that this checker knows")


def _carried(about: Subject, item: str) -> tuple[Item, ...]:
    """The rows that travel, protected, in a message that carries this item: keys as tags, values and groups apart."""
    role, _, part = item.partition(".")
    if item == "sums":
        return tuple(exact(each.name) for each in about.moments)
    if part == "key":
        return (about.tables[role].tags,)
    if part == "values":
        return tuple(about.tables[role].items(about.tables[role].masked))
    return _learned(about, item, Grade.NONE)


def facts(about: Subject, cards: tuple[Card, ...]) -> tuple[Fact, ...]:
    """What the cards say that somebody learns, with parties in the place of roles."""
    return tuple(dict.fromkeys(fact for _, entry in told(about, cards) for fact in facts_of(about, entry)))


def told(about: Subject, cards: tuple[Card, ...]) -> Iterator[tuple[Card, Learns]]:
    """What the cards say that somebody learns, and then what the messages of the join give by how they are made."""
    join, release = cards
    yield from ((card, entry) for card in cards for entry in card.learns)
    yield from ((join, entry) for entry in opened(join, release, absent=about.absent))


def facts_of(about: Subject, entry: Learns) -> Iterator[Fact]:
    """What one entry of a card says that somebody learns."""
    grade = Grade(entry.grade)
    learners = [frozenset(about.roles[role] for role in entry.who if role != EVERYONE)]
    if EVERYONE in entry.who:
        learners = [frozenset({party}) for party in about.parties]
    for learner in learners:
        yield from (Fact(learner, item, grade) for item in _learned(about, entry.item, grade))


def declared(about: Subject, spec: Spec) -> tuple[Fact, ...]:
    """What the specification says that somebody learns: the release, and the leakage it lists."""
    safe = spec.release.differential_privacy is not None or about.controlled
    to = [frozenset({PartyId(name)}) for name in spec.release.to if safe]
    grade = Grade.AGGREGATE if about.controlled else Grade.NOISED
    table = tuple(Fact(learner, leaves, grade) for learner in to for _, leaves in about.leaving)
    return table + tuple(fact for entry in spec.security.leakage for fact in declared_by(about, entry))


def declared_by(about: Subject, entry: Leakage) -> Iterator[Fact]:
    """What one item of the declared leakage allows somebody to learn."""
    grade = Grade.NOISED if entry.noised is not None else Grade.SIZE
    items: list[Item] = []
    if entry.item == "match_count":
        items = [count for _, _, count in about.meetings]
    elif entry.item == "row_count":
        items = [table.size for table in about.tables.values() if table.dataset in entry.of]
    for learner in about.parties if entry.learner == EVERYONE else (PartyId(entry.learner),):
        yield from (Fact(frozenset({learner}), item, grade) for item in items)


# -- knowledge --------------------------------------------------------------------------------------------------------


def knowledge(
    about: Subject, cards: tuple[Card, ...], learned: tuple[Fact, ...], coalition: frozenset[PartyId]
) -> dict[Item, Mark]:
    """What a coalition knows of every value, given ``learned``. Adding a party or a fact never lowers a mark."""
    marks: dict[Item, Mark] = {}

    def raise_to(item: Item, mark: Mark) -> None:
        if mark.rank > marks.get(item, Mark.NEVER).rank:
            marks[item] = mark

    for card in cards:
        for message in card.messages:
            if message.columns.text in about.absent:
                continue
            if coalition & {about.roles[message.sender], about.roles[message.receiver]}:
                for item in (row for name in message.carries for row in _carried(about, name)):
                    raise_to(item, Mark.HELD)
        if card.program is not None and coalition & {about.roles[role] for role in card.program.parties}:
            inside = (*made(card, absent=about.absent), *taken(card, absent=about.absent))
            for item in (row for name in inside for row in _carried(about, name)):
                raise_to(item, Mark.HELD)
    if coalition & set(about.three):
        for item in (row for name in held_by_three(about) for row in _carried(about, name)):
            raise_to(item, Mark.HELD)
    for table in about.tables.values():
        if table.party in coalition:
            for item in (*table.items(frozenset(table.columns)), table.tags):
                raise_to(item, Mark.VISIBLE)
    for fact in learned:
        if fact.learner <= coalition:
            raise_to(fact.item, fact.grade.mark)
    if about.roles["result"] in coalition:
        for output in about.released:
            if not output.sums:
                raise_to(released(output.name), Mark.VISIBLE)
    _close(about, marks)
    return marks


def held_by_three(about: Subject) -> tuple[str, ...]:
    """What each of the three has a share of while they compute together."""
    others = tuple(f"{role}.{what}" for role in about.tables if role != "a" for what in ("values", "groups"))
    rows = ("a.values", *others, "match") if about.computed else ()
    if about.keyed or about.by_cell:  # a's cells, too
        rows = (*rows, "a.groups")
    return (*rows, *(("sums",) if about.controlled else ()))


def _close(about: Subject, marks: dict[Item, Mark]) -> None:
    """Whatever follows from what is known: first upwards to sums and counts, then down to the columns in them."""

    def raise_to(item: Item, mark: Mark) -> None:
        if mark.rank > marks.get(item, Mark.NEVER).rank:
            marks[item] = mark

    tables = tuple(about.tables.values())
    whole = {t.item(name) for t in tables for name in t.columns}
    for together, who, count in about.meetings:
        if all(marks.get(item) is Mark.VISIBLE for t in together for item in t.items(frozenset({t.key}))):
            raise_to(who, Mark.VISIBLE)
            raise_to(count, Mark.SIZE)
    summed = {item for t in tables for item in t.items((t.values | t.groups | t.crossed) - {t.key})}
    rows = all(marks.get(item) is Mark.VISIBLE for item in (*(who for _, who, _ in about.meetings), *summed))
    if rows or all(marks.get(item) is Mark.VISIBLE for item in whole):
        for each in about.moments:
            raise_to(exact(each.name), Mark.AGGREGATE)
    leaving = dict(about.leaving)
    ordered = {each.name: each.ordered for each in about.sums if each.ordered}
    for name, leaves in leaving.items():
        if marks.get(exact(ordered.get(name, name)), Mark.NEVER).rank >= Mark.AGGREGATE.rank:
            raise_to(leaves, Mark.AGGREGATE)
    for output in about.released:
        if output.sums:
            raise_to(released(output.name), weakest(marks.get(leaving[name], Mark.NEVER) for name in output.sums))
    most = Mark.NEVER
    for each in about.sums:
        items = (exact(each.name), leaving.get(each.name, exact(each.name)))
        seen = strongest(marks.get(item, Mark.NEVER) for item in items)
        if seen.rank > Mark.HELD.rank:
            most = strongest((most, seen))
            for name in {ref.column for ref in each.columns}:
                for table in tables:
                    if name in table.values:
                        raise_to(table.item(name), seen)
    if most is not Mark.NEVER:
        for table in tables:
            for item in table.items(table.groups | table.filters | table.crossed | {table.key}):
                raise_to(item, most)
    for pair, _, count in about.meetings:
        counted = marks.get(count, Mark.NEVER)
        if counted.rank > Mark.HELD.rank:
            for table in pair:
                for item in table.items(table.filters | {table.key}):
                    raise_to(item, counted)


# -- the matrix -------------------------------------------------------------------------------------------------------


def columns_of(about: Subject, cards: tuple[Card, ...]) -> tuple[Coalition, ...]:
    """The columns of the matrix; where any number of parties hold the tables some stand for all."""
    return _of_many(about, cards) if about.shared else coalitions(about, cards)


def _of_many(about: Subject, cards: tuple[Card, ...]) -> tuple[Coalition, ...]:
    """The same where any number of parties hold the tables: all of them but one of each table, with one of the three.

    What fewer learn, these do. The result party is with them, as the three that compute may each be with it.
    """
    others = {table.party for role, table in about.tables.items() if not role.endswith("1")} | {about.roles["result"]}

    def ordered(parties: set[PartyId]) -> tuple[PartyId, ...]:
        return tuple(party for party in about.parties if party in parties)

    wide = [others | {party} for party in about.three]
    pairs = [set(pair) for pair in combinations(about.three, 2)]
    sets = dict.fromkeys(
        ordered(each) for each in (*wide, *pairs)
    )  # some are the same, if the result is for one of them
    larger = [Coalition(s, not within_model(about, cards, frozenset(s))) for s in sets if len(s) > 1]
    inside = [each for each in larger if not each.beyond_model]
    outside = [each for each in larger if each.beyond_model]
    return (*(Coalition((party,)) for party in about.parties), *inside, *outside)


def disclosure(about: Subject, cards: tuple[Card, ...]) -> Matrix:
    """The disclosure matrix of a subject under its join's card and the card of the release."""
    learned = facts(about, cards)
    columns = columns_of(about, cards)
    known = {c.label: knowledge(about, cards, learned, frozenset(c.parties)) for c in columns}
    return matrix_of(columns, _rows(about), known)


def _rows(about: Subject) -> Iterator[Item]:
    tables = tuple(about.tables.values())
    for table in tables:
        yield from table.items(frozenset(table.columns))
    yield from (table.tags for table in tables)
    yield from (who for _, who, _ in about.meetings)
    yield from (count for _, _, count in about.meetings)
    yield from (table.size for table in tables)
    yield from (exact(each.name) for each in about.moments)
    yield from (leaves for _, leaves in about.leaving)
    yield from (released(each.name) for each in about.released)


# -- the judgement ----------------------------------------------------------------------------------------------------


def _subject(asked: Asked) -> tuple[Subject, tuple[Card, ...]] | None:
    """The subject and its cards, if the roles and the protocol are clear."""
    able = joins_of(asked.query)
    if asked.roles is None or not asked.measured or asked.protocol not in able or asked.protocol not in asked.cards:
        return None
    if asked.spec.release.differential_privacy is not None and asked.control is not None:
        return None
    if asked.roles.shared and asked.not_shared:
        return None
    about = subject.of(asked.spec, asked.query)
    join = join_card(asked.cards[asked.protocol], about)
    return about, cards_of(join, asked.cards[CONTROL if about.controlled else RELEASE])


@rule("leak.undeclared")
def undeclared(asked: Asked) -> Found:
    """Whatever the protocol tells a coalition that it has to withstand is declared, or it does not run.

    Refuses: every fact of the cards that does not follow from own rows, the release and the declared leakage.
    Not here: what coalitions beyond the model learn; the matrix shows it.
    """
    if (found := _subject(asked)) is None:
        return
    about, cards = found
    if asked.spec.release.differential_privacy is None and not about.controlled:
        return
    allowed = declared(about, asked.spec)

    @cache
    def known(learner: frozenset[PartyId]) -> Mapping[Item, Mark]:
        return knowledge(about, cards, allowed, learner)

    named = {role: about.tables[role].dataset for role in about.tables}
    reported: set[Fact] = set()
    for card, entry in told(about, cards):
        these = tuple(fact for fact in facts_of(about, entry) if within_model(about, cards, fact.learner))
        missing = [
            fact
            for fact in these
            if fact not in reported and fact.grade.mark.rank > known(fact.learner).get(fact.item, Mark.NEVER).rank
        ]
        if missing:
            reported.update(missing)
            who = EVERYONE if EVERYONE in entry.who else " with ".join(about.roles[role] for role in entry.who)
            yield (
                f"security.leakage <- {who} <- {', '.join(dict.fromkeys(fact.item.value for fact in missing))}",
                f"{card.id} tells {who} {entry.sentence.format_map(named)}, and that is not declared",
                _declare(about, entry, who, frozenset(fact.item for fact in missing)),
            )


def _declare(about: Subject, entry: Learns, who: str, missing: frozenset[Item]) -> str:
    """The smallest change that would pass, as text to paste."""
    if entry.item == "match_count":
        noise = 'noised = { epsilon = "0.5", delta = "2^-40" }'
        return f'add [[security.leakage]] learner = "{who}", item = "match_count", {noise}'
    if entry.item == "row_count":
        of = ", ".join(f'"{table.dataset}"' for table in about.tables.values() if table.size in missing)
        return f'add [[security.leakage]] learner = "{who}", item = "row_count", of = [{of}], as = "declared maximum"'
    return "no declaration covers this: choose another protocol"


@rule("leak.surplus", "warning")
def surplus(asked: Asked) -> Found:
    """What is declared is what the protocol tells: approvers do not sign for leaks that nobody needs."""
    if (found := _subject(asked)) is None:
        return
    about, cards = found
    learned = facts(about, cards)

    @cache
    def known(learner: frozenset[PartyId]) -> Mapping[Item, Mark]:
        return knowledge(about, cards, learned, learner)

    for place, entry in enumerate(asked.spec.security.leakage):
        if any(
            fact.grade.mark.rank > known(fact.learner).get(fact.item, Mark.NEVER).rank
            for fact in declared_by(about, entry)
        ):
            yield (
                f"security.leakage.{place} <- {entry.learner}",
                f"declares that {entry.learner} learns {entry.item}, which {asked.protocol} does not tell it",
                "take the entry out",
            )


def check_query(spec: Spec, query: Query, cards: Mapping[str, Card] | None = None) -> tuple[Finding, ...]:
    """Everything that the rules say of a specification and its query, errors first."""
    return rules.find(Asked(spec, query, load_cards() if cards is None else cards))


def judge(spec: Spec, query: Query, cards: Mapping[str, Card]) -> Verdict:
    """Judge a specification: findings, the disclosure matrix, and what one run costs each dataset.

    The matrix is empty if the roles or the protocol are not clear; there is then an error that says so.
    """
    asked = Asked(spec, query, cards)
    found = _subject(asked)
    return Verdict(rules.find(asked), disclosure(*found) if found else Matrix(), run_loss(spec))
