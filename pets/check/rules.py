"""The rules that a specification must pass before anyone is asked to approve it.

One small function per rule, with a stable id, that carries the builder of its own message. ``RULES`` is the registry;
nothing else decides, so a rule that is taken out is missed by the corpus (tests/check/should_fail). The rule on what
a protocol tells beyond what is declared needs the facts of the cards and is in flow.py; those on noise, declarations
and dates are in terms.py.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pets.check.labels import Finding
from pets.check.registry import Found as Found
from pets.check.registry import Registry, errors_first
from pets.ids import PartyId
from pets.spec import moments as taken_apart
from pets.spec.banded import BandedAcross, Case, Values, across, origins, reads
from pets.spec.cards import Card
from pets.spec.control import Control, effective
from pets.spec.crossing import columns
from pets.spec.joins import SHARED, protocol_of
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Statement
from pets.spec.predicate import columns_of
from pets.spec.protected import protected
from pets.spec.query import Aggregate, ColumnRef, Query, Statistic

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule may look at."""

    spec: Spec
    query: Query
    cards: Mapping[str, Card]

    @property
    def tables(self) -> tuple[Dataset, ...]:
        """The tables of the query, in its order."""
        return tuple(self.spec.dataset(name) for name in self.query.tables)

    @property
    def holders(self) -> frozenset[str]:
        return frozenset(party for table in self.tables for party in table.parties)

    @property
    def roles(self) -> taken_apart.Roles | None:
        """Who plays which role, or nothing if that cannot be said (rule ``spec.helper``)."""
        needed = 3 if self.shared else 1
        return taken_apart.roles(self.spec, self.query) if len(self.helpers) == needed else None

    @property
    def shared(self) -> bool:
        """True if three parties that hold nothing are to join the tables."""
        return self.protocol == SHARED

    @property
    def not_shared(self) -> str:
        """What the query asks for that these three do not do; empty if there is nothing, or another protocol joins."""
        if not self.shared or self.roles is None:
            return ""
        factors = [factor for moment in self.summed for factor in moment.factors]
        return taken_apart.not_shared(self.query, self.spec, self.roles, factors, self.control)

    @property
    def helpers(self) -> tuple[PartyId, ...]:
        return taken_apart.helpers(self.spec, self.query)

    @property
    def measured(self) -> bool:
        """True if the query aggregates measures and counts persons, so that it has moments."""
        return measures(self.spec, self.query)

    @property
    def moments(self) -> tuple[taken_apart.SideMoment, ...]:
        """The sums that are noised; none while the query aggregates what is no measure (``leak.filter-only``)."""
        return taken_apart.moments(self.query, self.spec) if self.measured else ()

    @property
    def summed(self) -> tuple[taken_apart.SideMoment, ...]:
        """All sums that are computed: ``moments``, and under disclosure control the persons that they rest on."""
        if not self.measured or self.control is None:
            return self.moments
        return protected(self.query, self.spec, self.control).moments

    @property
    def control(self) -> Control | None:
        """The disclosure control of the release: what its author, a preset and the holders ask for together."""
        return effective(self.spec)

    @property
    def protocol(self) -> str:
        return protocol_of(self.spec)


def measures(spec: Spec, query: Statement) -> bool:
    """True if whatever a query aggregates is a measure, but for persons, whom it counts."""
    return all(
        spec.dataset(ref.dataset).columns[ref.column].role == "measure"
        for output in query.outputs
        if isinstance(output.what, Aggregate) and output.what.statistic is not Statistic.COUNT_PEOPLE
        for ref in output.what.columns
    )


class Stated(Protocol):
    """What a general rule may look at: what a query and an intersection both have."""

    @property
    def spec(self) -> Spec: ...
    @property
    def cards(self) -> Mapping[str, Card]: ...
    @property
    def tables(self) -> tuple[Dataset, ...]: ...
    @property
    def protocol(self) -> str: ...
    @property
    def helpers(self) -> tuple[PartyId, ...]: ...


class Selecting(Stated, Protocol):
    """What a rule may look at that is about what SQL asks for: of joined tables, and of one table of many holders."""

    @property
    def query(self) -> Statement: ...
    @property
    def control(self) -> Control | None: ...
    @property
    def measured(self) -> bool: ...
    @property
    def moments(self) -> tuple[taken_apart.SideMoment, ...]: ...


_REGISTRY: Final = Registry[Asked]()
RULES: Final = _REGISTRY.rules
"""The rules on queries, in the order in which findings are told."""
rule: Final = _REGISTRY.rule

GENERAL: Final[dict[str, tuple[Severity, Callable[[Stated], Found]]]] = {}
"""Those of the registry that look at no query: they hold for intersections, too."""


SELECTING: Final[dict[str, tuple[Severity, Callable[[Selecting], Found]]]] = {}
"""Those of the registry that hold for queries over one table of many holders, too."""


def selecting_rule(
    id: str, severity: Severity = "error"
) -> Callable[[Callable[[Selecting], Found]], Callable[[Selecting], Found]]:
    """Enter a function into the registry, and into that of rules on whatever SQL asks for."""

    def enter(check: Callable[[Selecting], Found]) -> Callable[[Selecting], Found]:
        rule(id, severity)(check)
        SELECTING[id] = (severity, check)
        return check

    return enter


def selecting(asked: Selecting) -> Iterator[Finding]:
    """What the rules on whatever SQL asks for say."""
    for id, (severity, check) in SELECTING.items():
        for path, message, hint in check(asked):
            yield Finding(id, severity, path, message, hint)


def general_rule(
    id: str, severity: Severity = "error"
) -> Callable[[Callable[[Stated], Found]], Callable[[Stated], Found]]:
    """Enter a function into the registry, and into that of rules which look at no query."""

    def enter(check: Callable[[Stated], Found]) -> Callable[[Stated], Found]:
        rule(id, severity)(check)
        GENERAL[id] = (severity, check)
        return check

    return enter


def general(stated: Stated) -> Iterator[Finding]:
    """What the general rules say."""
    for id, (severity, check) in GENERAL.items():
        for path, message, hint in check(stated):
            yield Finding(id, severity, path, message, hint)


def find(asked: Asked) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    return errors_first(_REGISTRY.findings(asked))


def touched(query: Statement, spec: Spec, dataset: str) -> tuple[str, ...]:
    """Columns of a dataset that the query touches, in the order of the specification; the person id always is."""
    table = spec.dataset(dataset)
    used = {table.key, *filters(query, dataset)}
    for output in query.outputs:
        refs = output.what.columns if isinstance(output.what, Aggregate) else tuple(origins(output.what))
        refs = (*refs, *conditions(output.what))
        used |= {ref.column for ref in refs if ref.dataset == dataset}
    used |= {name for ref in query.group_by if ref.dataset == dataset for name in reads(ref)}
    return tuple(name for name in table.columns if name in used)


def filters(query: Statement, dataset: str, *, alone: bool = False) -> frozenset[str]:
    """Columns of a dataset that WHERE looks at: beside columns of the other table, too, unless ``alone``."""
    where = query.where(dataset)
    own = frozenset(columns_of(where)) if where is not None else frozenset()
    return own if alone else own | crossed(query, dataset)


def crossed(query: Statement, dataset: str) -> frozenset[str]:
    """Columns of a dataset in a condition across tables, or in a CASE over both."""
    case = across(query.group_by)
    own = (*columns(query.rows), *(() if case is None else origins(case)))
    return frozenset(ref.column for ref in own if ref.dataset == dataset)


def conditions(what: ColumnRef | Aggregate) -> tuple[ColumnRef, ...]:
    """Columns that a CASE inside a statistic looks at, each once."""
    when = what.when if isinstance(what, Aggregate) else ()
    return tuple(dict.fromkeys(ColumnRef(own.dataset, name) for own in when for name in columns_of(own.predicate)))


# -- what a column may be used for ------------------------------------------------------------------------------------


def _uses(query: Statement) -> Iterator[tuple[str, ColumnRef, str]]:
    """(place, column, use) for every use of a column in what is released."""
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            use = "count people" if output.what.statistic is Statistic.COUNT_PEOPLE else "aggregate"
            for ref in output.what.columns:
                yield f"output {output.name} <- {output.what.statistic.value} <- {ref}", ref, use
            for ref in conditions(output.what):
                yield f"output {output.name} <- CASE <- {ref}", ref, "band"
        else:
            use = "band" if isinstance(output.what, Case) else "output"
            alone = output.what.compared if isinstance(output.what, BandedAcross) else frozenset()
            for ref in origins(output.what):
                yield f"output {output.name} <- {ref}", ref, "compared" if ref in alone else use
    released = {output.what for output in query.outputs}
    for ref in query.group_by:
        if ref not in released and not isinstance(ref, Values):  # whose columns are those of the model
            yield f"GROUP BY <- {ref}", ref, "output"


@selecting_rule("leak.person-id")
def person_id(asked: Selecting) -> Found:
    """A person id is joined on and counted (COUNT(DISTINCT id)), never shown, grouped by or summed."""
    for place, ref, use in _uses(asked.query):
        if asked.spec.dataset(ref.dataset).columns[ref.column].role == "person id" and use != "count people":
            yield (
                f"computation.sql: {place}",
                f"{ref} is a person id and would be released to {asked.spec.result_party}",
                "count persons with COUNT(DISTINCT id), or leave the column out",
            )


@selecting_rule("leak.filter-only")
def filter_only(asked: Selecting) -> Found:
    """A filter-only column chooses rows at its holder and is in nothing that is released.

    As in WHERE it may be compared with a column of the other table: what a CASE over both shows is the outcome.
    """
    for place, ref, use in _uses(asked.query):
        if use != "compared" and asked.spec.dataset(ref.dataset).columns[ref.column].role == "filter only":
            yield (
                f"computation.sql: {place}",
                f"{ref} may only choose rows, and here it shapes what is released",
                'use it in WHERE only; whether it may be a "dimension" or "measure" is for its holder to say',
            )


@selecting_rule("leak.group-by-measure")
def group_by_measure(asked: Selecting) -> Found:
    """A grouping column has declared levels: which values exist is then known before, and tells nothing."""
    for place, ref, use in _uses(asked.query):
        if use == "output" and asked.spec.dataset(ref.dataset).columns[ref.column].role == "measure":
            yield (
                f"computation.sql: {place}",
                f"the groups would show which values of {ref} occur",
                'group by a column with the role "dimension" and declared levels, for example bands of the measure',
            )


@general_rule("spec.alike-levels")
def alike_levels(asked: Stated) -> Found:
    """Levels that look the same are signed as one and counted as two."""
    for table in asked.tables:
        for name, column in table.columns.items():
            seen: dict[str, int] = {}
            for place, level in enumerate(column.levels, start=1):
                first = seen.setdefault(" ".join(unicodedata.normalize("NFKC", level).split()), place)
                if first != place:
                    yield (
                        f"dataset.{table.name}.columns.{name}.levels",
                        f"levels {first} and {place} differ in spaces or in encoding, which nobody sees",
                        "keep one of them, and recode the records",
                    )


# -- who plays which part ---------------------------------------------------------------------------------------------


@rule("spec.one-holder")
def one_holder(asked: Asked) -> Found:
    """A joint query joins tables of two organisations, or each table of another one."""
    tables = asked.tables
    for number, table in enumerate(tables):
        both = sorted(table.parties & {party for earlier in tables[:number] for party in earlier.parties})
        if both and asked.shared:
            yield (
                f"dataset.{table.name}.holders",
                f"{both[0]} holds a part of both tables, and would play two parts in a run",
                "let it join these two parts by itself, or give them two servers",
            )
        elif both:
            yield (
                f"dataset.{table.name}.party",
                f"{both[0]} holds both tables, so there is nothing to compute jointly"
                if len(tables) == 2
                else f"{both[0]} holds two of the tables, and each is another holder's",
                "let it compute the table by itself"
                if len(tables) == 2
                else f"let {both[0]} join its own tables into one, and join that with the others",
            )


@rule("spec.helper")
def one_helper(asked: Asked) -> Found:
    """Exactly one computing party holds no table of the query; three where the tables have several holders."""
    if asked.shared:
        if len(asked.helpers) != 3:
            yield (
                "party",
                f"tables of several holders need exactly three computing parties that hold none of them, found "
                f"{', '.join(asked.helpers) or 'none'}",
                'give three independent parties without a dataset the role "computing", and nobody else',
            )
        return
    if len(asked.helpers) != 1 and len(asked.holders) == len(asked.tables):
        yield (
            "party",
            f"the join needs exactly one computing party that holds none of its tables, found "
            f"{', '.join(asked.helpers) or 'none'}",
            f'leave the role "computing" to one of {", ".join(asked.helpers)}'
            if asked.helpers
            else 'give one independent party without a dataset the role "computing"',
        )


def organisation(name: str) -> str:
    """The name of an organisation as it is compared: neither case nor spacing makes two of one."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


@rule("leak.same-organisation")
def same_organisation(asked: Asked) -> Found:
    """A helper that is the same organisation as a holder or the result party is not independent of it.

    Refuses: two party names under one organisation, if one of them is the helper: what the protocol promises against
             either of them alone, the organisation has together.
    Not here: two holders of one organisation, who have both tables anyway (``spec.one-holder`` for one party).
    """
    if asked.shared:
        yield from _same_computers(asked)
        return
    for helper in asked.helpers if len(asked.helpers) == 1 else ():
        own = organisation(asked.spec.party(helper).organisation)
        for name in (p.name for p in asked.spec.parties if p.name in asked.holders or p.name in asked.spec.release.to):
            if name != helper and organisation(asked.spec.party(name).organisation) == own:
                what = "holds a table" if name in asked.holders else "gets the result"
                yield (
                    f"party.{helper}.organisation",
                    f"{helper} is the helper and belongs to the same organisation as {name}, which {what}",
                    "choose a helper of another organisation: the secrecy of both tables rests on it",
                )


def _same_computers(asked: Asked) -> Found:
    """Any two of three who compute have all rows: they are three organisations."""
    seen: dict[str, str] = {}
    for name in asked.helpers:
        first = seen.setdefault(organisation(asked.spec.party(name).organisation), name)
        if first != name:
            yield (
                f"party.{name}.organisation",
                f"{first} and {name} both compute and are one organisation, which then has all rows of all holders",
                "choose three organisations that are independent of each other: the secrecy of all tables rests on it",
            )


@rule("spec.same-domain", "warning")
def same_domain(asked: Asked) -> Found:
    """Certificates of one domain are given out by one authority: is the helper another organisation's server?

    Not here: a consortium with one domain for all of its parties.
    """
    domains = {party.name: party.san.removeprefix("spiffe://").partition("/")[0] for party in asked.spec.parties}
    for helper in asked.helpers if len(asked.helpers) == 1 and len(set(domains.values())) > 1 else ():
        for name in (p.name for p in asked.spec.parties if p.name in asked.holders or p.name in asked.spec.release.to):
            if name != helper and domains[name] == domains[helper]:
                yield (
                    f"party.{helper}.san",
                    f"{helper} is the helper and has its certificate of the domain of {name}, {domains[name]}",
                    "make sure that it is another organisation's server, under a domain of its own",
                )


@rule("leak.helper-holds-data")
def helper_holds_data(asked: Asked) -> Found:
    """A helper with records of its own is an input party, and two input parties together see everything."""
    for name in asked.helpers if len(asked.holders) == len(asked.tables) and not asked.shared else ():
        if "input" in asked.spec.party(name).roles:
            yield (
                f"party.{name}.roles",
                f'{name} is to be the helper and has the role "input"; a helper brings no records',
                'take the role "input" away, or choose a helper that brings no dataset',
            )


@rule("leak.helper-result")
def helper_result(asked: Asked) -> Found:
    """Whoever sees the noisy match count does not get the table too (protocols.md 1.2)."""
    for name in asked.helpers if len(asked.helpers) == 1 else ():
        if name in asked.spec.release.to:
            yield (
                f"release.to <- {name}",
                f"{name} is the helper and would get the result too: the table less its own noise, and the match count",
                "release to an input party or to a party of its own",
            )


@selecting_rule("spec.one-result")
def one_result(asked: Selecting) -> Found:
    """One table goes to one party. Two copies are two releases."""
    if len(asked.spec.release.to) > 1:
        yield (
            "release.to",
            f"names {len(asked.spec.release.to)} result parties; this protocol opens the shares to one",
            "release to one party, which may pass the table on",
        )


@rule("spec.holder-computes")
def holder_computes(asked: Asked) -> Found:
    """The holders of the tables run the protocol themselves: nobody else may have their rows."""
    if asked.shared:
        for name in sorted(asked.holders):
            if "computing" in asked.spec.party(name).roles:
                yield (
                    f"party.{name}.roles",
                    f"{name} holds a table and would compute, too; under {SHARED} those who compute bring no records",
                    'take the role "computing" away from it',
                )
        return
    for name in sorted(asked.holders):
        if "computing" not in asked.spec.party(name).roles:
            yield (
                f"party.{name}.roles",
                f"{name} holds a table of the join, so its own server has to take part in computing",
                'add the role "computing"',
            )


@rule("spec.idle-party", "warning")
def idle_party(asked: Asked) -> Found:
    """A specification names nobody without a part: approvers read the list of names as the list of those who learn."""
    for party in asked.spec.parties:
        has_part = (
            party.name in asked.holders
            or party.name in asked.spec.release.to
            or ("computing" in party.roles and party.name in asked.helpers)
        )
        if not has_part:
            yield (
                f"party.{party.name}",
                f"{party.name} brings no table of the query, computes nothing and receives nothing",
                "leave it out",
            )
        elif "result" in party.roles and party.name not in asked.spec.release.to:
            yield (
                f"party.{party.name}.roles",
                f'{party.name} has the role "result", and nothing is released to it',
                'take away the role "result", or name it in release.to',
            )


@selecting_rule("spec.idle-dataset", "warning")
def idle_dataset(asked: Selecting) -> Found:
    """Approval of a table that the query does not touch is approval for nothing, or for something unsaid."""
    for dataset in asked.spec.datasets:
        if dataset.name not in asked.query.tables:
            yield (f"dataset.{dataset.name}", f"the query does not touch {dataset.name}", "leave it out")


@selecting_rule("spec.idle-column", "note")
def idle_column(asked: Selecting) -> Found:
    """Columns that are declared and not used stay with their holder; fewer are easier to approve."""
    for table in asked.tables:
        used = touched(asked.query, asked.spec, table.name)
        if idle := [name for name in table.columns if name not in used]:
            yield (
                f"dataset.{table.name}.columns",
                f"declared and not used: {', '.join(idle)}",
                "leave out what is not needed",
            )


# -- linkage ----------------------------------------------------------------------------------------------------------


@general_rule("spec.link-check-digit")
def link_check_digit(asked: Stated) -> Found:
    """A check digit is a property of a numbering scheme."""
    if "check-digit" in asked.spec.linking.normalise:
        for table in asked.tables:
            if table.columns[table.key].scheme == "text":
                yield (
                    "linkage.normalise",
                    f"asks for check digits, and the ids of {table.name} are plain text",
                    'declare the scheme of the ids, or leave "check-digit" out',
                )


# -- what rules of several registries say -----------------------------------------------------------------------------


def unmatched(asked: Stated) -> Found:
    """A number of matches is declared, and nothing is matched."""
    for place, entry in enumerate(asked.spec.security.leakage):
        if entry.item == "match_count":
            yield (
                f"security.leakage.{place} <- {entry.learner}",
                f"declares that {entry.learner} learns match_count, and nothing is matched",
                "take the entry out",
            )
