"""The rules on what leaves sums over one table of many holders, and the first checker's judgement of them.

Rules that look at no query are those of rules.py and terms.py (``general``), those on what a column may be used for are
rules.py's too (``selecting``), those on who takes part pool_rules.py's.
"""

from collections.abc import Mapping

from pets.check import noised, rules, summed, terms, thresholds, trends
from pets.check.budget import run_loss
from pets.check.coalitions import within_model
from pets.check.labels import Fact, Finding, Mark, Matrix, Verdict
from pets.check.pool_rules import Asked, findings_of, rule
from pets.check.registry import Found, errors_first
from pets.errors import LeakError
from pets.spec.cards import EVERYONE, Card
from pets.spec.model import Spec
from pets.spec.pooled import Pooled

assert terms and thresholds and trends  # their rules are registered when they are imported


# -- what leaves ------------------------------------------------------------------------------------------------------


@rule("pool.control")
def controlled(asked: Asked) -> Found:
    """Of totals over all holders nobody knows what single persons, or one holder's persons, add to them."""
    control, path = asked.control, "release.disclosure_control"
    if control is None:
        return
    if control.on_contributions:
        yield (
            path,
            "has rules on single contributions (dominance or p_percent), and holders bring totals of their own rows",
            "leave them out, choose a preset without such a rule (ons-10), or release with noise",
        )
    if control.local:
        yield (
            f"{path}.holder",
            f"holds the own persons of {', '.join(control.local)} to the minimum, and only totals are compared with it",
            'write appetite = "joint", or leave it out',
        )
    if control.known_totals:
        yield (
            f"{path}.known_totals",
            "protects against recipients who know totals, which sums over one table are not made for yet",
            "leave it out, and group by less where recipients know totals",
        )


@rule("pool.own-part")
def own_part(asked: Asked) -> Found:
    """Who gets exact sums brings no part of them: it would take its own rows off, and see what a few others add."""
    if asked.control is None:
        return
    for name in asked.spec.release.to:
        own = rules.organisation(asked.spec.party(name).organisation)
        for holder in asked.holders:
            if rules.organisation(asked.spec.party(holder).organisation) == own:
                part = "brings a part" if holder == name else f"is one organisation with {holder}, which brings a part"
                yield (
                    f"release.to <- {name}",
                    f"{name} gets the table and {part} of {asked.table.name}: it takes its own rows off exact numbers, "
                    f"and what is left may be of fewer than {asked.control.min_count} persons",
                    "release to a party that brings nothing, or with noise",
                )


@rule("pool.persons", "warning")
def persons(asked: Asked) -> Found:
    """Nobody can tell whether two holders have rows of one person, so somebody at both counts twice."""
    if asked.control is not None and asked.table.most_holders > 1:
        yield (
            "release.disclosure_control.min_count",
            f"counts the persons of each holder and adds them up: somebody with rows of {asked.table.name} at several "
            f"holders counts once at each, so that fewer than {asked.control.min_count} may be behind a number",
            "declare max_holders_per_person if persons are at one holder each; else ask for noise, or a larger minimum",
        )


@rule("pool.holders", "warning")
def bounded(asked: Asked) -> Found:
    """At how many holders a person is at most is what holders say: nobody can look."""
    table = asked.table
    if table.most_holders < len(asked.holders):
        more = "is hidden less than this says" if asked.control is None else "is counted at each"
        yield (
            f"dataset.{table.name}.max_holders_per_person",
            f"says that nobody has rows at more than {table.most_holders} of {len(asked.holders)} holders, which no "
            f"party can check: somebody who has {more}",
            "state it where records are kept so (one practice a patient), and leave it out everywhere else",
        )


@rule("pool.scale")
def scale(asked: Asked) -> Found:
    """Noise that no rounding unit brings within reach of the sampler would bury the answer anyway."""
    privacy = asked.spec.release.differential_privacy
    if privacy is None or asked.control is not None or not asked.moments:
        return
    try:
        noised.pooled_columns(asked.spec, asked.query)
    except LeakError as error:
        if error.code == "dp.weights":  # said of every query
            return
        yield (
            f"release.differential_privacy.{privacy.stated_in}",
            error.text.removeprefix(f"{error.code}: "),
            f"ask for a larger {privacy.stated_in}: noise covers a person with {asked.table.rows_per_person} rows at "
            f"each of {asked.table.most_holders} holders; or declare narrower ranges, or ask for fewer sums",
        )


# -- what is told -----------------------------------------------------------------------------------------------------


@rule("pool.undeclared")
def undeclared(asked: Asked) -> Found:
    """Whatever the protocol tells a coalition that it has to withstand is declared, or it does not run."""
    protects = asked.control is not None or asked.spec.release.differential_privacy is not None
    if not asked.clear or not protects:
        return
    told = summed.about(asked.spec, asked.query)
    cards = summed.cards_of(told, asked.cards)
    allowed, seen = summed.declared(told, asked.spec), set[str]()
    for fact in summed.facts(told, cards):
        known = summed.knowledge(told, cards, allowed, fact.learner)
        sized = fact.item.kind == "size"
        item = "row_count" if sized else fact.item.value  # told to all alike: said once
        if item in seen or not within_model(told, cards, fact.learner):
            continue
        if fact.grade.mark.rank > known.get(fact.item, Mark.NEVER).rank:
            seen.add(item)
            yield _missing(asked, told, fact, sized)


def _missing(asked: Asked, told: summed.About, fact: Fact, sized: bool) -> tuple[str, str, str]:
    """One fact that is not declared, with the smallest change that would pass."""
    who = EVERYONE if sized else " with ".join(party for party in told.parties if party in fact.learner)
    what = "which holders took part, of declared greatest sizes" if sized else fact.item.value
    entry = f'learner = "{EVERYONE}", item = "row_count", of = ["{asked.table.name}"], as = "declared maximum"'
    return (
        f"security.leakage <- {who} <- {'row_count' if sized else fact.item.value}",
        f"{asked.protocol} tells {who} {what}, and that is not declared",
        f"add [[security.leakage]] {entry}" if sized else "no declaration covers this: choose another protocol",
    )


@rule("pool.validity")
def validity(asked: Asked) -> Found:
    """Where holders prove that their numbers are in range, everybody learns whether somebody's were not."""
    card = asked.cards.get(asked.protocol)
    if card is None or asked.way is None or card.validity is None:
        return
    declared = {
        entry.learner
        for entry in asked.spec.security.leakage
        if entry.item == summed.VALIDITY and asked.table.name in entry.of
    }
    missing = [party.name for party in asked.spec.parties if party.name not in declared]
    if EVERYONE not in declared and missing:
        entry = f'learner = "{EVERYONE}", item = "{summed.VALIDITY}", of = ["{asked.table.name}"]'
        yield (
            f"security.leakage <- {EVERYONE} <- {summed.VALIDITY}",
            f"{asked.protocol} tells everyone whose numbers are not within their bounds, and that is not declared",
            f"add [[security.leakage]] {entry}",
        )


@rule("pool.surplus", "warning")
def surplus(asked: Asked) -> Found:
    """What is declared is what the protocol tells: approvers do not sign for leaks that nobody needs."""
    return rules.unmatched(asked)


def findings(asked: Asked) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    return errors_first((*findings_of(asked), *rules.selecting(asked), *rules.general(asked)))


def judge(spec: Spec, query: Pooled, cards: Mapping[str, Card]) -> Verdict:
    """Judge a specification: findings, the disclosure matrix, and what one run costs each dataset.

    The matrix is empty if it is not clear who plays which role; there is then an error that says so.
    """
    asked = Asked(spec, query, cards)
    matrix = summed.disclosure(summed.about(spec, query), cards) if asked.clear else Matrix()
    return Verdict(findings(asked), matrix, run_loss(spec))
