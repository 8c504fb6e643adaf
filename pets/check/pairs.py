"""The rules on specifications that ask for an intersection, and the first checker's judgement of them.

Rules that look at no query are those of rules.py and terms.py (``general``); what follows is about two sets of persons.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pets.check import matched, rules, terms
from pets.check.budget import run_loss
from pets.check.coalitions import within_model
from pets.check.labels import Fact, Finding, Grade, Mark, Matrix, Verdict
from pets.check.rules import Found, Severity
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.control import effective
from pets.spec.model import Dataset, Spec
from pets.spec.pairing import Pairing
from pets.spec.ways import WAYS, Way, able, way_of

assert terms  # its general rules are registered when it is imported

MAX_PERSONS: Final = 2**26 - 1
"""Of a set: what the cards of intersections are good for."""

SLOTS: Final = 8191
"""Persons whose numbers are in one ciphertext of psi_sum."""

MAX_DROWNED: Final = 90_000
"""Sums times ciphertexts: the noise of so many is drowned (protocols/psi_sum/README.md)."""


@dataclass(frozen=True, slots=True)
class Paired:
    """What a rule on intersections may look at."""

    spec: Spec
    pairing: Pairing
    cards: Mapping[str, Card]

    @property
    def tables(self) -> tuple[Dataset, ...]:
        """The asker's dataset, and the other one."""
        return tuple(self.spec.dataset(name) for name in self.pairing.tables)

    @property
    def protocol(self) -> str:
        return way_of(self.spec)

    @property
    def way(self) -> Way | None:
        """What the protocol can do, if it is one of intersections and has a card here."""
        return WAYS.get(self.protocol) if self.protocol in self.cards else None

    @property
    def helpers(self) -> tuple[PartyId, ...]:
        """Those who compute and bring none of the two sets."""
        holders = {table.party for table in self.tables}
        return tuple(party for party in self.spec.computing if party not in holders)

    @property
    def able(self) -> tuple[str, ...]:
        """Protocols with a card that give what is asked for."""
        return tuple(name for name in able(self.spec) if name in self.cards)

    @property
    def cast(self) -> bool:
        """True if it can be said who plays which role."""
        way, (asks, other) = self.way, self.tables
        return (
            way is not None
            and self.protocol in self.able
            and asks.party != other.party
            and len(self.helpers) == bool(way.helper)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: ``check`` yields (path, message, hint) for everything that it finds."""

    id: str
    severity: Severity
    check: Callable[[Paired], Found]


RULES: Final[dict[str, Rule]] = {}
"""The registry, in the order in which findings are told."""


def rule(id: str, severity: Severity = "error") -> Callable[[Callable[[Paired], Found]], Callable[[Paired], Found]]:
    """Enter a function into the registry."""

    def enter(check: Callable[[Paired], Found]) -> Callable[[Paired], Found]:
        if id in RULES or id in rules.RULES:
            raise ValueError(f"two rules are called {id}")
        RULES[id] = Rule(id, severity, check)
        return check

    return enter


# -- who takes part ---------------------------------------------------------------------------------------------------


@rule("psi.holders")
def holders(asked: Paired) -> Found:
    """An intersection is of the persons of two organisations; both compute, and nobody does who has no part in it."""
    first, second = asked.tables
    if first.party == second.party:
        yield (
            f"dataset.{second.name}.party",
            f"{first.party} holds both datasets, so there is nothing to find out jointly",
            "let it compare the two by itself",
        )
    for table in asked.tables:
        if "computing" not in asked.spec.party(table.party).roles:
            yield (
                f"party.{table.party}.roles",
                f"{table.party} holds {table.name}, so its own server has to take part in computing",
                'add the role "computing"',
            )
    if (way := asked.way) is None or first.party == second.party:
        return
    if not way.helper:
        for name in asked.helpers:
            yield (
                f"party.{name}.roles",
                f"{name} would compute, and {asked.protocol} is run by the two holders alone",
                'take the role "computing" away from it, or choose a protocol with a helper',
            )
    elif len(asked.helpers) != 1:
        yield (
            "party",
            f"{asked.protocol} needs exactly one computing party that holds none of the datasets, found "
            f"{', '.join(asked.helpers) or 'none'}",
            'give one independent party without a dataset the role "computing"',
        )


@rule("psi.helper")
def independent(asked: Paired) -> Found:
    """A helper is another organisation than the holders and than who gets the result, and brings no records."""
    for helper in asked.helpers if (way := asked.way) is not None and way.helper else ():
        own = asked.spec.party(helper)
        if "input" in own.roles:
            yield (
                f"party.{helper}.roles",
                f'{helper} is to be the helper and has the role "input"; a helper brings no records',
                'take the role "input" away, or choose another helper',
            )
        if helper in asked.spec.release.to:
            yield (
                f"release.to <- {helper}",
                f"{helper} is the helper and would get the result, too",
                "release to a holder, or to a party of its own",
            )
        others = {table.party for table in asked.tables} | set(asked.spec.release.to)
        for name in (party.name for party in asked.spec.parties if party.name in others and party.name != helper):
            if rules.organisation(own.organisation) == rules.organisation(asked.spec.party(name).organisation):
                yield (
                    f"party.{helper}.organisation",
                    f"{helper} is the helper and belongs to the same organisation as {name}",
                    "choose a helper of another organisation: the secrecy of both sets rests on it",
                )


@rule("psi.idle-party", "warning")
def idle(asked: Paired) -> Found:
    """A specification names nobody without a part: approvers read the list of names as the list of those who learn."""
    part = {table.party for table in asked.tables} | set(asked.helpers) | set(asked.spec.release.to)
    for party in asked.spec.parties:
        if party.name not in part:
            yield (
                f"party.{party.name}",
                f"{party.name} brings nothing, computes nothing, receives nothing",
                "leave it out",
            )


# -- what is asked ----------------------------------------------------------------------------------------------------


@rule("psi.protocol")
def protocol(asked: Paired) -> Found:
    """The protocol has a card here and gives what is asked for."""
    way = asked.way
    if way is None or asked.pairing.outcome not in way.outcomes:
        known = asked.protocol in asked.cards
        gives = f"gives no {asked.pairing.outcome}" if known else "has no card in this installation"
        yield (
            "security.protocol",
            f"{asked.protocol or 'no protocol'} {gives}",
            f"write {' or '.join(asked.able)}" if asked.able else "ask for another outcome",
        )


@rule("psi.to")
def to(asked: Paired) -> Found:
    """The asker's server learns the outcome, so it is released to the asker; to both only where the card tells both."""
    way, to = asked.way, asked.spec.release.to
    if way is None:
        return
    first, second = (table.party for table in asked.tables)
    if way.opens:
        if len(to) > 1:
            yield "release.to", f"names {len(to)} parties; {asked.protocol} opens to one", "release to one party"
        return
    if to[0] != first:
        yield (
            "release.to",
            f"{first} asks, and its server learns the outcome; it is released to {to[0]}",
            f'write to = ["{first}"], or let {to[0]} ask',
        )
    for name in to[1:]:
        if name != second:
            yield f"release.to <- {name}", f"{name} holds none of the two datasets", "release to the holders alone"
        elif not way.both or asked.pairing.outcome != "intersection":
            yield f"release.to <- {name}", f"{asked.protocol} tells the asker alone", f'write to = ["{first}"]'


@rule("psi.columns")
def columns(asked: Paired) -> Found:
    """What comes with a person is what its holder lets leave: dimensions and measures, of one row a person."""
    way, (_, other) = asked.way, asked.tables
    if asked.pairing.outcome == "sum":
        return
    for place, ref in enumerate(asked.pairing.columns):
        path, own = f"computation.columns.{place}", other.columns[ref.column]
        if own.role not in ("dimension", "measure"):
            yield (
                path,
                f'{ref} has the role "{own.role}", which leaves its holder for nobody',
                'leave it out; whether it may be a "dimension" or "measure" is for its holder to say',
            )
        if ref in asked.pairing.columns[:place]:
            yield path, f"{ref} is named twice", "leave it out here"
    if asked.pairing.columns and other.max_rows_per_person > 1:
        yield (
            f"dataset.{other.name}.max_rows_per_person",
            f"a person may have {other.max_rows_per_person} rows of {other.name}: values of which would come along?",
            "bring one row a person, or leave out computation.columns",
        )
    if asked.pairing.columns and way is not None and not way.columns:
        yield "computation.columns", f"{asked.protocol} tells who is in both, and nothing else", "leave them out"


@rule("psi.least")
def least(asked: Paired) -> Found:
    """A least size holds if nothing is opened below it, and not if a server that has the outcome is to keep it."""
    way, pairing = asked.way, asked.pairing
    if way is None or pairing.outcome not in way.outcomes:
        return
    if pairing.min_result and not way.least:
        yield (
            "computation.min_result",
            f"{asked.protocol} tells the outcome before anybody could hold it back",
            f'write protocol = "{asked.able[0]}" and name a helper: it opens nothing below that'
            if asked.able
            else "leave it out: no protocol here gives this outcome and can hold it back",
        )
    if way.least and pairing.outcome == "cardinality" and not pairing.min_result:
        yield (
            "computation.min_result",
            f"{asked.protocol} compares a number with the least one that is told, and none is given",
            "write min_result = 10, or another; or choose a protocol that tells any number",
        )


@rule("psi.release")
def release(asked: Paired) -> Found:
    """Noise and thresholds are of tables. An intersection is exact, and the report says so."""
    terms = asked.spec.release
    if asked.pairing.outcome == "sum":
        return
    noisy = asked.way is not None and asked.way.noise
    for said, name in (
        (None if noisy else terms.differential_privacy, "differential_privacy"),
        (terms.disclosure_control, "disclosure_control"),
    ):
        if said is not None:
            yield (
                f"release.{name}",
                f"means nothing for {'an' if asked.pairing.outcome == 'intersection' else 'a'} {asked.pairing.outcome}",
                "leave it out; ask for a query with COUNT(DISTINCT id) for a protected number",
            )


@rule("psi.size")
def sizes(asked: Paired) -> Found:
    """A set has a declared greatest number of persons, which the protocol can take."""
    for table in asked.tables:
        if table.max_rows > MAX_PERSONS:
            yield (
                f"dataset.{table.name}.max_rows",
                f"{table.max_rows:,} persons are more than {MAX_PERSONS:,}, the most of a set",
                "declare fewer, or split the set",
            )
        if table.truncate:
            yield (
                f"dataset.{table.name}.truncate",
                "a person is in a set or not, however many rows it has: there is nothing to truncate",
                "leave it out",
            )


@rule("psi.guessing", "warning")
def guessing(asked: Paired) -> Found:
    """Who asks may list persons that it does not know: a set far larger than the other's looks like a dictionary."""
    asks, other = asked.tables
    if asks.max_rows > 1000 * other.max_rows:
        yield (
            f"dataset.{asks.name}.max_rows",
            f"{asks.party} may ask about {asks.max_rows:,} persons, over a thousand for each of {other.name}",
            "declare the size of a list of real persons: nothing shows whether somebody made one up",
        )


@rule("psi.record-level", "warning")
def record_level(asked: Paired) -> Found:
    """The outcome is about single persons: approvers are told, and purpose and notice have to say so."""
    if asked.pairing.outcome == "intersection":
        yield (
            "computation.psi",
            f"{asked.spec.release.to[0]} learns of single persons that they are in {asked.pairing.other}",
            'where a number is enough, ask for psi = "cardinality" or for a query',
        )


@rule("psi.sum")
def sums(asked: Paired) -> Found:
    """What is added up is a number of every person; groups are the asker's; sums have noise, or enough persons."""
    if asked.pairing.outcome != "sum":
        return
    asks, other = asked.tables
    terms, control = asked.spec.release, effective(asked.spec)
    for place, ref in enumerate(asked.pairing.columns):
        own = other.columns[ref.column]
        if own.role != "measure" or not own.required:
            yield (
                f"computation.columns.{place}",
                f"{ref} is no measure that every row has: a missing value would count as 0",
                "name a measure with required = true",
            )
    for place, ref in enumerate(asked.pairing.by):
        if asks.columns[ref.column].role != "dimension":
            yield f"computation.by.{place}", f"{ref} is no dimension with declared levels", "group by dimensions"
    for table in asked.tables:
        if table.max_rows_per_person > 1:
            yield (
                f"dataset.{table.name}.max_rows_per_person",
                f"a person may have {table.max_rows_per_person} rows of {table.name}, and a sum is of one",
                "bring one row a person",
            )
    if (terms.differential_privacy is None) == (control is None):
        yield (
            "release",
            "sums leave with noise, or where enough persons are in a group; one of the two is needed, and not both",
            "add [release.differential_privacy] or [release.disclosure_control]",
        )
    if control is not None and (
        control.on_contributions or control.known_totals or control.local or control.rounding != "nearest"
    ):
        yield (
            "release.disclosure_control",
            "asks for more than a minimum and counts rounded to the nearest multiple, and one party holds the counts",
            "leave that out, or ask for a query, whose counts nobody holds",
        )
    least = 2 if control is None else max(control.min_count, 2)
    if asked.pairing.max_group < least:
        yield (
            "computation.max_group",
            f"a group has at most {asked.pairing.max_group} persons, and {asks.party} learns how many of them "
            "are in both",
            f"group by coarser columns, of {least} persons or more",
        )
    if asked.cast and "primes" in (numbers := matched.public_of(asked.spec, asked.pairing, WAYS[asked.protocol])):
        listed = numbers["g"] * numbers["m_a"]
        drowned = numbers["g"] * numbers["v"] * numbers["primes"] * (numbers["n_b"] // SLOTS + 1)
        if listed > MAX_PERSONS or drowned > MAX_DROWNED:
            yield (
                "computation.max_group",
                f"{numbers['g']:,} groups of {numbers['m_a']:,} persons, with {numbers['v']} columns, are more than a "
                "run can take",
                "declare the greatest number of persons in one group with max_group, or ask for fewer groups",
            )


# -- what is told -----------------------------------------------------------------------------------------------------


@rule("psi.undeclared")
def undeclared(asked: Paired) -> Found:
    """Whatever the protocol tells a coalition that it has to withstand is declared, or it does not run."""
    if not asked.cast:
        return
    told, card = matched.about(asked.spec, asked.pairing), asked.cards[asked.protocol]
    allowed, seen = matched.declared(told, asked.spec), set[Fact]()
    for fact in matched.facts(told, card):
        known = matched.knowledge(told, card, allowed, fact.learner)
        if fact in seen or not within_model(told, (card,), fact.learner):
            continue
        if fact.grade.mark.rank > known.get(fact.item, Mark.NEVER).rank:
            seen.add(fact)
            who = " with ".join(party for party in told.parties if party in fact.learner)
            yield (
                f"security.leakage <- {who} <- {fact.item.value}",
                f"{card.id} tells {who} {fact.item.value}, and that is not declared",
                _declare(told, fact, who),
            )


def _declare(told: matched.About, fact: Fact, who: str) -> str:
    """The smallest change that would pass, as text to paste."""
    sizes = [each.dataset for each in told.sets.values() if each.size == fact.item]
    if sizes:
        of = ", ".join(f'"{name}"' for name in sizes)
        return (
            f'add [[security.leakage]] learner = "{EVERYONE}", item = "row_count", of = [{of}], as = "declared maximum"'
        )
    if fact.item.kind == "count":
        terms = 'as = "exact"' if fact.grade is Grade.COUNT else 'noised = { epsilon = "0.5", delta = "2^-40" }'
        return f'add [[security.leakage]] learner = "{who}", item = "match_count", {terms}'
    return "no declaration covers this: choose another protocol"


@rule("psi.surplus", "warning")
def surplus(asked: Paired) -> Found:
    """What is declared is what the protocol tells: approvers do not sign for leaks that nobody needs."""
    if not asked.cast:
        return
    told, card = matched.about(asked.spec, asked.pairing), asked.cards[asked.protocol]
    learned = matched.facts(told, card)
    outcome = {fact.item for fact in matched.of_outcome(told, frozenset(), "match_count")}
    for place, entry in enumerate(asked.spec.security.leakage):
        if entry.item != "match_count":
            continue
        known = matched.knowledge(told, card, learned, frozenset({PartyId(entry.learner)}))
        if all(known.get(item, Mark.NEVER).rank < Mark.NOISED.rank for item in outcome):
            yield (
                f"security.leakage.{place} <- {entry.learner}",
                f"declares that {entry.learner} learns match_count, which {asked.protocol} does not tell it",
                "take the entry out",
            )


def findings(asked: Paired) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    found = [
        Finding(each.id, each.severity, path, message, hint)
        for each in RULES.values()
        for path, message, hint in each.check(asked)
    ]
    found += rules.general(asked)
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def judge(spec: Spec, pairing: Pairing, cards: Mapping[str, Card]) -> Verdict:
    """Judge a specification: findings, the disclosure matrix, and what one run costs each dataset.

    The matrix is empty if it is not clear who plays which role; there is then an error that says so.
    """
    asked = Paired(spec, pairing, cards)
    matrix = matched.disclosure(matched.about(spec, pairing), cards) if asked.cast else Matrix()
    return Verdict(findings(asked), matrix, run_loss(spec))
