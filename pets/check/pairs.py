"""The rules on specifications that ask for an intersection, and the first checker's judgement of them.

Rules that look at no query are those of rules.py and terms.py (``general``); what follows is about two sets of persons.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pets.check import matched, rules, terms
from pets.check.budget import run_loss
from pets.check.coalitions import within_model
from pets.check.labels import Fact, Finding, Grade, Mark, Matrix, Verdict
from pets.check.registry import Found, Registry, errors_first
from pets.errors import SpecError
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
    def fitting(self) -> tuple[str, ...]:
        """Those of them that the parties which compute can run, if there are any."""
        return tuple(name for name in self.able if bool(WAYS[name].helper) == bool(self.helpers)) or self.able

    @property
    def cast(self) -> bool:
        """True if it can be said who plays which role, with which public numbers."""
        way, (asks, other) = self.way, self.tables
        return (
            way is not None
            and self.protocol in self.able
            and asks.party != other.party
            and len(self.helpers) == bool(way.helper)
            and not list(unmeasured(self))
            and self.unreckoned is None
        )

    @property
    def unreckoned(self) -> SpecError | None:
        """Why noise that is promised cannot be drawn, if it cannot."""
        try:
            matched.dummies(self.spec)
            if not list(unmeasured(self)):
                matched.noised(self.spec, self.pairing)
        except SpecError as error:
            return error
        return None


_REGISTRY: Final = Registry[Paired](rules.RULES)
RULES: Final = _REGISTRY.rules
"""The rules, in the order in which findings are told."""
rule: Final = _REGISTRY.rule
findings_of: Final = _REGISTRY.findings


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
        if not asked.protocol and any(True for rule in (least, release) for _ in rule(asked)):
            return  # what no protocol does is said there
        known = asked.protocol in asked.cards
        gives = f"gives no {asked.pairing.outcome}" if known else "has no card in this installation"
        names = " or ".join(f'protocol = "{name}"' for name in asked.fitting)
        yield (
            "security.protocol",
            f"{asked.protocol} {gives}" if asked.protocol else f"no protocol here gives this {asked.pairing.outcome}",
            f"write {names}" if names else "ask for another outcome",
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
    holding = [name for name, each in WAYS.items() if each.least and pairing.outcome in each.outcomes]
    if not asked.protocol and pairing.min_result and not holding:
        yield (
            "computation.min_result",
            f"no protocol here gives {_a(pairing.outcome)} and can hold it back",
            "leave it out, or ask for a number of persons",
        )
    if way is None or pairing.outcome not in way.outcomes:
        return
    if pairing.min_result and pairing.outcome == "threshold":
        yield (
            "computation.min_result",
            f"the answer is whether there are {pairing.at_least:,}; there is no number in it to be held back",
            "leave it out; how many are enough is at_least",
        )
    also = "" if asked.helpers else " and name a helper"
    if pairing.min_result and not way.least:
        yield (
            "computation.min_result",
            f"{asked.protocol} tells the outcome before anybody could hold it back",
            f'write protocol = "{holding[0]}"{also}: it opens nothing below that'
            if holding
            else f"leave it out: no protocol here gives {_a(pairing.outcome)} and can hold it back",
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
    noisy, what = asked.way is not None and asked.way.noise, _a(asked.pairing.outcome)
    hint = "leave it out; a query with COUNT(DISTINCT id) gives a protected number"
    if terms.differential_privacy is not None and not noisy:
        counted = asked.pairing.outcome == "cardinality" and not asked.pairing.min_result
        adds = f"{asked.protocol} adds none" if asked.protocol else "no protocol here adds any"
        yield (
            "release.differential_privacy",
            f"promises noise, and {adds} to {what}",
            "leave it out, or let helper_psi_cardinality add it, with a helper" if counted else hint,
        )
    if terms.disclosure_control is not None:
        yield "release.disclosure_control", f"is about cells of a table, and {what} has none", hint


def _many(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number:,} {what}s"


def _a(outcome: str) -> str:
    return f"{'an' if outcome == 'intersection' else 'a'} {outcome}"


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
    asks, other = asked.tables
    for name in asked.spec.release.to if asked.pairing.outcome == "intersection" else ():
        yield (
            "computation.psi",
            f"{name} learns of single persons that they are in {asks.name if name == other.party else other.name}",
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
        if own.role != "measure":
            yield (
                f"computation.columns.{place}",
                f"{ref} is no measure, and only measures are added up",
                "name a measure with required = true",
            )
        elif not own.required:
            yield (
                f"computation.columns.{place}",
                f"{ref} may be missing in a row, and would count as 0 there",
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
            f"a group has at most {_many(asked.pairing.max_group, 'person')}, and {asks.party} learns how many of "
            "them are in both",
            f"write max_group = {least}, or more, and group by coarser columns if there are not so many",
        )
    if asked.cast and "primes" in (numbers := matched.public_of(asked.spec, asked.pairing, WAYS[asked.protocol])):
        listed = numbers["g"] * numbers["m_a"]
        drowned = numbers["g"] * numbers["v"] * numbers["primes"] * (numbers["n_b"] // SLOTS + 1)
        if listed > MAX_PERSONS or drowned > MAX_DROWNED:
            yield (
                "computation.max_group",
                f"{numbers['g']:,} groups of {numbers['m_a']:,} persons, with {_many(numbers['v'], 'column')}, are "
                "more than a run can take",
                "declare the greatest number of persons in one group with max_group, or ask for fewer groups",
            )


def unmeasured(asked: Paired) -> Iterator[str]:
    """Columns to be added up that are no measures, which have no range."""
    if asked.pairing.outcome == "sum":
        columns = asked.tables[1].columns
        yield from (str(ref) for ref in asked.pairing.columns if columns[ref.column].role != "measure")


@rule("psi.noise")
def noise(asked: Paired) -> Found:
    """Noise that is promised is there: on what is released, and on what a helper counts, which is told to it alone."""
    if asked.pairing.outcome == "sum" and not asked.pairing.columns and asked.spec.release.differential_privacy:
        yield (
            "release.differential_privacy",
            "nothing is added up, so nothing gets noise: how many persons of each group are in both is told exactly",
            "name columns to be added up, or ask for [release.disclosure_control] in its place",
        )
    match asked.unreckoned:
        case SpecError(code="dp.weights", fields={"unknown": unknown, "known": known}):
            yield (
                "release.differential_privacy.weights",
                f"gives a weight to {unknown}, which is not added up",
                f"name what is: {known}",
            )
        case SpecError() as error:
            yield str(error.fields.get("path", "release")), error.text.removeprefix(f"{error.code}: "), error.hint
    if (way := asked.way) is None or not way.helper or len(asked.helpers) != 1:
        return
    (helper,) = asked.helpers
    for place, entry in enumerate(asked.spec.security.leakage):
        path = f"security.leakage.{place} <- {entry.learner}"
        if entry.item != "match_count" or (entry.learner == helper) is (entry.noised is not None):
            continue
        if entry.learner == helper:
            yield (
                path,
                f"declares an exact number to {helper}, and {asked.protocol} gives a helper a number with noise alone",
                'write noised = { epsilon = "0.5", delta = "2^-40" } in its place',
            )
        elif entry.learner != EVERYONE:  # of which leak.unclear speaks
            yield (
                path,
                f"declares noise on a number for {entry.learner}; the noise declared here is on what {helper} counts",
                "take the entry out",
            )


# -- what is told -----------------------------------------------------------------------------------------------------


@rule("psi.undeclared")
def undeclared(asked: Paired) -> Found:
    """Whatever the protocol tells a coalition that it has to withstand is declared, or it does not run."""
    if not asked.cast:
        return
    told, card = matched.about(asked.spec, asked.pairing), asked.cards[asked.protocol]
    allowed, learned, seen = matched.declared(told, asked.spec), matched.facts(told, card), set[Fact]()
    for fact in learned:
        known = matched.knowledge(told, card, allowed, fact.learner)
        if fact in seen or not within_model(told, (card,), fact.learner):
            continue
        if fact.grade.mark.rank > known.get(fact.item, Mark.NEVER).rank:
            sized = fact.item.kind == "size"  # told to all alike: said once
            seen |= {other for other in learned if other.item == fact.item} if sized else {fact}
            who = EVERYONE if sized else " with ".join(party for party in told.parties if party in fact.learner)
            yield (
                f"security.leakage <- {who} <- {fact.item.value}",
                f"{card.id} tells {who} {fact.item.value}, and that is not declared",
                _declare(told, fact, who, asked.spec),
            )


def _declare(told: matched.About, fact: Fact, who: str, spec: Spec) -> str:
    """The smallest change that would pass, as text to paste."""
    sizes = [each.dataset for each in told.sets.values() if each.size == fact.item]
    if sizes:
        of = ", ".join(f'"{name}"' for name in sizes)
        return (
            f'add [[security.leakage]] learner = "{EVERYONE}", item = "row_count", of = [{of}], as = "declared maximum"'
        )
    if fact.item.kind == "count":
        terms = 'as = "exact"' if fact.grade is Grade.COUNT else 'noised = { epsilon = "0.5", delta = "2^-40" }'
        for place, entry in enumerate(spec.security.leakage):
            if entry.item == "match_count" and entry.learner == who:
                return f"write {terms} in security.leakage.{place}, which says less"
        return f'add [[security.leakage]] learner = "{who}", item = "match_count", {terms}'
    return f"release the outcome to {who}, or choose another protocol: no declaration covers this"


@rule("psi.surplus", "warning")
def surplus(asked: Paired) -> Found:
    """What is declared is what the protocol tells: approvers do not sign for leaks that nobody needs."""
    if not asked.cast:
        return
    told, card = matched.about(asked.spec, asked.pairing), asked.cards[asked.protocol]
    learned = matched.facts(told, card)
    outcome = {fact.item for fact in matched.of_outcome(told, frozenset(), "match_count")}
    counting = [
        party
        for party in told.parties
        if any(
            matched.knowledge(told, card, learned, frozenset({party})).get(item, Mark.NEVER).rank >= Mark.NOISED.rank
            for item in outcome
        )
    ]
    for place, entry in enumerate(asked.spec.security.leakage):
        if entry.item != "match_count" or PartyId(entry.learner) in counting:
            continue
        if entry.learner == EVERYONE and asked.helpers:
            continue  # leak.unclear speaks of it
        alone = entry.learner == EVERYONE and len(counting) == 1
        yield (
            f"security.leakage.{place} <- {entry.learner}",
            f"declares that {entry.learner} learns match_count, which {asked.protocol} "
            + (f"tells {counting[0]} alone" if alone else "does not tell it"),
            f'write learner = "{counting[0]}"' if alone else "take the entry out",
        )


def findings(asked: Paired) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    return errors_first((*findings_of(asked), *rules.general(asked)))


def judge(spec: Spec, pairing: Pairing, cards: Mapping[str, Card]) -> Verdict:
    """Judge a specification: findings, the disclosure matrix, and what one run costs each dataset.

    The matrix is empty if it is not clear who plays which role; there is then an error that says so.
    """
    asked = Paired(spec, pairing, cards)
    matrix = matched.disclosure(matched.about(spec, pairing), cards) if asked.cast else Matrix()
    return Verdict(findings(asked), matrix, run_loss(spec))
