"""The rules on specifications that ask for a program for MPyC, and the first checker's judgement of them.

Rules that look at no query are those of rules.py and terms.py (``general``); what follows is about a program. None
reads its text: that is approvers' work, and no rule takes it from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pets.check import executed, rules, terms
from pets.check.budget import run_loss
from pets.check.labels import Finding, Mark, Verdict
from pets.check.registry import Found, Registry, errors_first
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.joins import PROGRAM, protocol_of
from pets.spec.model import Dataset, Spec
from pets.spec.programmed import Programmed

assert terms  # its general rules are registered when it is imported


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule on programs may look at."""

    spec: Spec
    program: Programmed
    cards: Mapping[str, Card]

    @property
    def tables(self) -> tuple[Dataset, ...]:
        """The datasets that the program reads."""
        return tuple(self.spec.dataset(name) for name in self.program.tables)

    @property
    def protocol(self) -> str:
        return protocol_of(self.spec)

    @property
    def helpers(self) -> tuple[PartyId, ...]:
        """Nobody helps: all who compute are alike."""
        return ()


_REGISTRY: Final = Registry[Asked](rules.RULES)
RULES: Final = _REGISTRY.rules
"""The rules, in the order in which findings are told."""
rule: Final = _REGISTRY.rule
findings_of: Final = _REGISTRY.findings


# -- who takes part ---------------------------------------------------------------------------------------------------


@rule("program.protocol")
def protocol(asked: Asked) -> Found:
    """Programs run under one protocol."""
    if asked.protocol != PROGRAM:
        yield (
            "security.protocol",
            f"{asked.protocol} runs no programs",
            f'write protocol = "{PROGRAM}", or leave it out',
        )


@rule("program.organisations")
def organisations(asked: Asked) -> Found:
    """More than the threshold of those who compute have everything, so each is another organisation."""
    seen: dict[str, str] = {}
    for name in asked.spec.computing:
        first = seen.setdefault(rules.organisation(asked.spec.party(name).organisation), name)
        if first != name:
            yield (
                f"party.{name}.organisation",
                f"{first} and {name} both compute and are one organisation, which counts as two of those that may "
                "not work together",
                "let one of the two compute, or find another organisation",
            )


@rule("program.to")
def to(asked: Asked) -> Found:
    """What a program releases is opened by one client."""
    if len(asked.spec.release.to) > 1:
        yield (
            "release.to",
            f"names {len(asked.spec.release.to)} parties; shares of what a program releases go to one",
            "release to one party, which may pass the numbers on",
        )


@rule("program.idle-party", "warning")
def idle(asked: Asked) -> Found:
    """A specification names nobody without a part, and no dataset that is not read."""
    part = {*asked.spec.computing, *asked.spec.release.to}
    for party in asked.spec.parties:
        if party.name not in part and not any(party.name in table.parties for table in asked.tables):
            yield (
                f"party.{party.name}",
                f"{party.name} brings nothing, computes nothing, receives nothing",
                "leave it out",
            )
    for table in asked.spec.datasets:
        if table.name not in asked.program.tables:
            yield f"dataset.{table.name}", f"no input is of {table.name}", "leave it out"


# -- what goes in -----------------------------------------------------------------------------------------------------


@rule("program.rows")
def rows(asked: Asked) -> Found:
    """Every holder brings exactly as many numbers as the terms say, so its declared size has room for them."""
    for given, ref in asked.program.brought:
        table = asked.spec.dataset(ref.dataset)
        for party in asked.spec.holders(ref.dataset):
            if table.rows_of(party) < given.rows:
                yield (
                    f"computation.inputs.{given.name} <- {ref}",
                    f"{party} brings {given.rows:,} numbers of {ref}, and at most {table.rows_of(party):,} rows",
                    "declare as many rows, or ask for fewer numbers",
                )


@rule("program.missing")
def missing(asked: Asked) -> Found:
    """A number that may be missing has no place among shares."""
    for name, ref in asked.program.columns:
        if not asked.spec.dataset(ref.dataset).columns[ref.column].required:
            yield (
                f"computation.inputs.{name} <- {ref}",
                f"{ref} may be missing in a row, and a program takes a number of every row",
                "name a measure with required = true",
            )


@rule("program.truncate")
def truncate(asked: Asked) -> Found:
    """Of rows that are drawn nobody could say how many are left."""
    for table in asked.tables:
        if table.truncate:
            yield (
                f"dataset.{table.name}.truncate",
                f"would leave a random choice of a person's rows of {table.name}, and a program takes exactly so many",
                "prepare the rows, and leave it out",
            )


@rule("program.width", "warning")
def width(asked: Asked) -> Found:
    """A number that outgrows its type is hidden less: a sum of all that goes in is one that programs make."""
    bits = asked.program.terms.bits
    for given in asked.program.terms.inputs:
        most = max(abs(given.low), abs(given.high)) * given.rows * len(given.holders)
        if most >= 1 << (bits - 1):
            yield (
                f"computation.inputs.{given.name}",
                f"all numbers of {given.name} together may add up to {most:,}, which {bits} bits do not hold",
                "make sure that the program makes no such number, or declare narrower ranges",
            )


# -- what comes out ---------------------------------------------------------------------------------------------------


@rule("program.release")
def release(asked: Asked) -> Found:
    """A program adds no noise and withholds nothing that its text does not withhold: nobody may promise that here."""
    said = asked.spec.release
    hint = "leave it out; ask for a query where noise or a minimum is needed"
    if said.differential_privacy is not None:
        yield "release.differential_privacy", "promises noise, and what a program releases is exact", hint
    if said.disclosure_control is not None:
        yield "release.disclosure_control", "is about cells of a table, and a program has none", hint


@rule("program.exact", "warning")
def exact(asked: Asked) -> Found:
    """Every output is an exact release, whatever it is: one person's number too. Approvers read the text."""
    for told in asked.program.terms.outputs:
        what = "a number" if told.count == 1 else f"{told.count:,} numbers"
        yield (
            f"computation <- {told.name}",
            f"{told.name} releases {what} to {asked.spec.result_party}, exactly, with no noise and no least number of "
            "persons",
            "read the program: nothing but its text says what the numbers tell of a single record",
        )


@rule("program.own", "warning")
def own(asked: Asked) -> Found:
    """A program of the author's own has nobody's word for what it does."""
    if asked.program.declared is None:
        yield (
            "computation.source",
            "the author brings the program, and no declaration says what it tells",
            "let somebody who reads programs for MPyC read it",
        )


# -- what is told -----------------------------------------------------------------------------------------------------


@rule("program.undeclared")
def undeclared(asked: Asked) -> Found:
    """Whatever the protocol tells a coalition that it has to withstand is declared, or it does not run."""
    if asked.protocol != PROGRAM:
        return
    told, card = executed.about(asked.spec, asked.program), asked.cards[PROGRAM]
    allowed, learned = executed.declared(told, asked.spec), executed.facts(told, card)
    seen = set()
    for fact in learned:
        known = executed.knowledge(told, card, allowed, fact.learner)
        if fact.item in seen or fact.grade.mark.rank <= known.get(fact.item, Mark.NEVER).rank:
            continue
        seen.add(fact.item)
        names = ", ".join(f'"{name}"' for name in asked.program.tables)
        yield (
            f"security.leakage <- {EVERYONE} <- {fact.item.value}",
            f"{card.id} tells {EVERYONE} how many rows of {fact.item.value.rpartition(' ')[2]} go in, and that is not "
            "declared",
            f'add [[security.leakage]] learner = "{EVERYONE}", item = "row_count", of = [{names}], as = "exact"',
        )


@rule("program.surplus", "warning")
def surplus(asked: Asked) -> Found:
    """What is declared is what the protocol tells: approvers do not sign for leaks that nobody needs."""
    return rules.unmatched(asked)


def findings(asked: Asked) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    return errors_first((*findings_of(asked), *rules.general(asked)))


def judge(spec: Spec, program: Programmed, cards: Mapping[str, Card]) -> Verdict:
    """Judge a specification: findings, the disclosure matrix, and what one run costs each dataset."""
    asked = Asked(spec, program, cards)
    matrix = executed.disclosure(executed.about(spec, program), cards)
    return Verdict(findings(asked), matrix, run_loss(spec))
