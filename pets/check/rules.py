"""The rules that a specification must pass before anyone is asked to approve it.

One small function per rule, with a stable id, that carries the builder of its own message. ``RULES`` is the registry;
nothing else decides, so a rule that is taken out is missed by the corpus (tests/check/should_fail). The rule on what
a protocol tells beyond what is declared needs the facts of the cards and is in flow.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Final, Literal

from pets.check import budget
from pets.check.labels import Finding
from pets.errors import PetsError
from pets.ids import PartyId
from pets.spec import moments as taken_apart
from pets.spec.cards import Card
from pets.spec.ir import Dimension
from pets.spec.model import DESIGN, Dataset, Spec, quantity
from pets.spec.predicate import columns_of
from pets.spec.query import Aggregate, ColumnRef, Query, Statistic

Severity = Literal["error", "warning", "note"]

JOINS: Final = ("helper_join_a",)
"""Protocols that can run a two-table join. The first is taken where the specification leaves the choice open."""

MAX_WINDOW: Final = timedelta(days=5 * 366)
WEAK_EPSILON: Final = Fraction(10)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule may look at."""

    spec: Spec
    query: Query
    cards: Mapping[str, Card]

    @property
    def tables(self) -> tuple[Dataset, Dataset]:
        """The tables of the query, left and right."""
        return self.spec.dataset(self.query.left), self.spec.dataset(self.query.right)

    @property
    def holders(self) -> frozenset[str]:
        return frozenset(table.party for table in self.tables)

    @property
    def roles(self) -> taken_apart.Roles | None:
        """Who plays which role, or nothing if that cannot be said (rule ``spec.helper``)."""
        return taken_apart.roles(self.spec, self.query) if len(self.helpers) == 1 else None

    @property
    def helpers(self) -> tuple[PartyId, ...]:
        return taken_apart.helpers(self.spec, self.query)

    @property
    def measured(self) -> bool:
        """True if the query aggregates measures and counts persons, so that it has moments."""
        return all(
            self.spec.dataset(ref.dataset).columns[ref.column].role == "measure"
            for output in self.query.outputs
            if isinstance(output.what, Aggregate) and output.what.statistic is not Statistic.COUNT_PEOPLE
            for ref in output.what.columns
        )

    @property
    def moments(self) -> tuple[taken_apart.SideMoment, ...]:
        """The sums that are noised; none while the query aggregates what is no measure (``leak.filter-only``)."""
        return taken_apart.moments(self.query, self.spec) if self.measured else ()

    @property
    def protocol(self) -> str:
        return self.spec.security.protocol or JOINS[0]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: ``check`` yields (path, message, hint) for everything that it finds."""

    id: str
    severity: Severity
    check: Callable[[Asked], Iterator[tuple[str, str, str]]]

    def findings(self, asked: Asked) -> Iterator[Finding]:
        for path, message, hint in self.check(asked):
            yield Finding(self.id, self.severity, path, message, hint)


RULES: Final[dict[str, Rule]] = {}
"""The registry, in the order in which findings are told."""

Found = Iterator[tuple[str, str, str]]


def rule(id: str, severity: Severity = "error") -> Callable[[Callable[[Asked], Found]], Callable[[Asked], Found]]:
    """Enter a function into the registry."""

    def enter(check: Callable[[Asked], Found]) -> Callable[[Asked], Found]:
        if id in RULES:
            raise ValueError(f"two rules are called {id}")
        RULES[id] = Rule(id, severity, check)
        return check

    return enter


def find(asked: Asked) -> tuple[Finding, ...]:
    """Everything that the rules say, errors first."""
    found = [finding for each in tuple(RULES.values()) for finding in each.findings(asked)]
    order = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def touched(query: Query, spec: Spec, dataset: str) -> tuple[str, ...]:
    """Columns of a dataset that the query touches, in the order of the specification; the person id always is."""
    table = spec.dataset(dataset)
    used = {table.key, *filters(query, dataset)}
    for output in query.outputs:
        refs = output.what.columns if isinstance(output.what, Aggregate) else (output.what,)
        used |= {ref.column for ref in refs if ref.dataset == dataset}
    used |= {ref.column for ref in query.group_by if ref.dataset == dataset}
    return tuple(name for name in table.columns if name in used)


def filters(query: Query, dataset: str) -> frozenset[str]:
    """Columns of a dataset that its WHERE looks at."""
    where = query.where_left if dataset == query.left else query.where_right
    return frozenset(columns_of(where)) if where is not None and dataset in (query.left, query.right) else frozenset()


# -- what a column may be used for ------------------------------------------------------------------------------------


def _uses(query: Query) -> Iterator[tuple[str, ColumnRef, str]]:
    """(place, column, use) for every use of a column in what is released."""
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            use = "count people" if output.what.statistic is Statistic.COUNT_PEOPLE else "aggregate"
            for ref in output.what.columns:
                yield f"output {output.name} <- {output.what.statistic.value} <- {ref}", ref, use
        else:
            yield f"output {output.name} <- {output.what}", output.what, "output"
    released = {output.what for output in query.outputs}
    for ref in query.group_by:
        if ref not in released:
            yield f"GROUP BY <- {ref}", ref, "output"


@rule("leak.person-id")
def person_id(asked: Asked) -> Found:
    """A person id is joined on and counted (COUNT(DISTINCT id)), never shown, grouped by or summed."""
    for place, ref, use in _uses(asked.query):
        if asked.spec.dataset(ref.dataset).columns[ref.column].role == "person id" and use != "count people":
            yield (
                f"computation.sql: {place}",
                f"{ref} is a person id and would be released to {asked.spec.result_party}",
                "count persons with COUNT(DISTINCT id), or leave the column out",
            )


@rule("leak.filter-only")
def filter_only(asked: Asked) -> Found:
    """A filter-only column chooses rows at its holder and is in nothing that is released."""
    for place, ref, _ in _uses(asked.query):
        if asked.spec.dataset(ref.dataset).columns[ref.column].role == "filter only":
            yield (
                f"computation.sql: {place}",
                f"{ref} may only choose rows, and here it shapes what is released",
                'use it in WHERE only; whether it may be a "dimension" or "measure" is for its holder to say',
            )


@rule("leak.group-by-measure")
def group_by_measure(asked: Asked) -> Found:
    """A grouping column has declared levels: which values exist is then known before, and tells nothing."""
    for place, ref, use in _uses(asked.query):
        if use == "output" and asked.spec.dataset(ref.dataset).columns[ref.column].role == "measure":
            yield (
                f"computation.sql: {place}",
                f"the groups would show which values of {ref} occur",
                'group by a column with the role "dimension" and declared levels, for example bands of the measure',
            )


# -- who plays which part ---------------------------------------------------------------------------------------------


@rule("spec.one-holder")
def one_holder(asked: Asked) -> Found:
    """A joint query joins tables of two organisations."""
    left, right = asked.tables
    if left.party == right.party:
        yield (
            f"dataset.{right.name}.party",
            f"{left.party} holds both tables, so there is nothing to compute jointly",
            "let it compute the table by itself",
        )


@rule("spec.helper")
def one_helper(asked: Asked) -> Found:
    """Exactly one computing party holds no table of the query."""
    if len(asked.helpers) != 1:
        yield (
            "party",
            f"the join needs exactly one computing party that holds none of its tables, found "
            f"{', '.join(asked.helpers) or 'none'}",
            'give one independent party without a dataset the role "computing"',
        )


@rule("leak.helper-holds-data")
def helper_holds_data(asked: Asked) -> Found:
    """A helper with records of its own is an input party, and two input parties together see everything."""
    for name in asked.helpers:
        if "input" in asked.spec.party(name).roles:
            yield (
                f"party.{name}.roles",
                f'{name} is to be the helper and has the role "input"; a helper brings no records',
                "choose a helper that brings no dataset",
            )


@rule("leak.helper-result")
def helper_result(asked: Asked) -> Found:
    """Whoever sees the noisy match count does not get the table too (protocols.md 1.2)."""
    for name in asked.helpers:
        if name in asked.spec.release.to:
            yield (
                f"release.to <- {name}",
                f"{name} is the helper and would get the result too: the table less its own noise, and the match count",
                "release to an input party or to a party of its own",
            )


@rule("spec.one-result")
def one_result(asked: Asked) -> Found:
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
    for name in sorted(asked.holders):
        if "computing" not in asked.spec.party(name).roles:
            yield (
                f"party.{name}.roles",
                f"{name} holds a table of the join, so its own server has to take part in computing",
                'add the role "computing"',
            )


@rule("spec.idle-party")
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


@rule("spec.idle-dataset")
def idle_dataset(asked: Asked) -> Found:
    """Approval of a table that the query does not touch is approval for nothing, or for something unsaid."""
    for dataset in asked.spec.datasets:
        if dataset.name not in (asked.query.left, asked.query.right):
            yield (f"dataset.{dataset.name}", f"the query does not touch {dataset.name}", "leave it out")


@rule("spec.idle-column", "note")
def idle_column(asked: Asked) -> Found:
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


@rule("spec.link-check-digit")
def link_check_digit(asked: Asked) -> Found:
    """A check digit is a property of a numbering scheme."""
    if "check-digit" in asked.spec.linkage.normalise:
        for table in asked.tables:
            if table.columns[table.key].scheme == "text":
                yield (
                    "linkage.normalise",
                    f"asks for check digits, and the ids of {table.name} are plain text",
                    'declare the scheme of the ids, or leave "check-digit" out',
                )


# -- noise ------------------------------------------------------------------------------------------------------------


@rule("spec.no-noise")
def no_noise(asked: Asked) -> Found:
    """Exact sums of a joint table are not released: nothing would stop a second query from undoing them."""
    if asked.spec.release.differential_privacy is None:
        yield (
            "release",
            "has no [release.differential_privacy], so exact sums would be released",
            'add it, with epsilon (for example "1") and neighbours',
        )


@rule("spec.disclosure-control")
def disclosure_control(asked: Asked) -> Found:
    """Thresholds and rounding of exact counts need a protocol that compares under sharing; this one does not."""
    if asked.spec.release.disclosure_control is not None:
        yield (
            "release.disclosure_control",
            f"{asked.protocol} cannot compare counts before they are opened",
            "take it out: the noise covers small groups, and empty groups are released like all others",
        )


@rule("dp.exact-rows")
def exact_rows(asked: Asked) -> Found:
    """With exact row counts known, a person cannot be added unseen, and the noise would have to be twice as wide."""
    for place, item in enumerate(asked.spec.security.leakage):
        if item.item == "row_count" and item.extent == "exact":
            yield (
                f"security.leakage.{place}.as",
                f"tells how many rows {', '.join(item.of)} has exactly, which the noise does not protect",
                'write as = "declared maximum"',
            )


@rule("dp.weights")
def weights(asked: Asked) -> Found:
    """A weight for a column that is not there changes nothing, and its author thinks it does."""
    privacy = asked.spec.release.differential_privacy
    known = [moment.name for moment in asked.moments]
    for name in sorted(set(privacy.weights) - set(known)) if privacy and known else ():
        yield (
            f"release.differential_privacy.weights.{name}",
            "is not a noised column of this query",
            f"the noised columns are: {', '.join(known)}",
        )


@rule("dp.scale")
def scale(asked: Asked) -> Found:
    """Noise that no rounding unit brings within reach of the sampler would bury the answer anyway."""
    privacy, roles = asked.spec.release.differential_privacy, asked.roles
    found = asked.moments
    if privacy is None or roles is None or not found:
        return
    known = {name: weight for name, weight in privacy.weights.items() if name in {m.name for m in found}}
    shares = budget.split_epsilon(quantity(privacy.epsilon), [m.name for m in found], known)
    left, right = asked.tables
    a, b = (left, right) if roles.a_side == "left" else (right, left)
    dims_a, dims_b = (taken_apart.dimensions(asked.query, asked.spec, s) for s in (roles.a_side, roles.b_side))
    for m in found:
        plain = (m.left, m.right) if roles.a_side == "left" else (m.right, m.left)
        fit = partial(budget.coarse, *plain, m.outer, epsilon=shares[m.name], name=m.name)
        try:
            fit(
                k_a=a.max_rows_per_person,
                k_b=b.max_rows_per_person,
                g=taken_apart.cells(dims_a),
                h=taken_apart.cells(dims_b),
                b_grouped=bool(dims_b),
            )
        except PetsError as error:
            yield ("release.differential_privacy.epsilon", error.text.removeprefix("dp.scale: "), error.hint)


@rule("dp.delta")
def delta(asked: Asked) -> Found:
    """A delta that one table's rows use up lets somebody's presence be told outright."""
    rows = max(table.max_rows for table in asked.tables)
    for place, item in enumerate(asked.spec.security.leakage):
        if item.noised is not None and not quantity(item.noised.delta) * rows < 1:
            yield (
                f"security.leakage.{place}.noised.delta",
                f"{item.noised.delta} is not below one in {rows:,} rows".replace(",", " "),
                'write a delta far below that, for example "2^-40"',
            )


@rule("dp.weak", "warning")
def weak(asked: Asked) -> Found:
    """Above this the guarantee says next to nothing: odds may change by a factor of e^10 = 22 000."""
    loss = budget.release_loss(asked.spec) + budget.helper_loss(asked.spec)
    if loss.epsilon > WEAK_EPSILON:
        yield (
            "release.differential_privacy.epsilon",
            f"a run costs epsilon {budget.decimal(loss.epsilon)}, which protects hardly anyone",
            "values up to about 1 are customary",
        )


@rule("spec.b-cells")
def b_cells(asked: Asked) -> Found:
    """Every cell of role b's own grouping is one more column on the wire."""
    if (roles := asked.roles) is None:
        return
    dims = taken_apart.dimensions(asked.query, asked.spec, roles.b_side)
    if (h := taken_apart.cells(dims)) > taken_apart.MAX_B_CELLS:
        table = asked.query.left if roles.b_side == "left" else asked.query.right
        yield (
            f"computation.sql: GROUP BY <- {', '.join(str(d.column) for d in dims)}",
            f"{table} is grouped into {h} cells, {h_of(dims)}; the most for now is {taken_apart.MAX_B_CELLS}",
            "group by fewer columns of this table, or by coarser ones",
        )


def h_of(dims: tuple[Dimension, ...]) -> str:
    """How a number of cells comes about: ``6 x 7 with (missing)``."""
    return f"{' x '.join(str(len(d.levels)) for d in dims)} levels with {dims[0].levels[-1]}"


# -- what is declared and what the protocol stands for ----------------------------------------------------------------


@rule("spec.protocol")
def protocol(asked: Asked) -> Found:
    """The protocol has a card here, and it is one that joins."""
    if asked.protocol not in JOINS:
        known = asked.protocol in asked.cards
        yield (
            "security.protocol",
            f"{asked.protocol} {'does not join tables' if known else 'has no card in this installation'}",
            f"write {' or '.join(JOINS)}, or leave the choice to the planner",
        )


@rule("spec.adversary")
def adversary(asked: Asked) -> Found:
    """The adversary that the specification asks for is a floor. It is never lowered."""
    card = asked.cards.get(asked.protocol)
    if card and asked.spec.security.adversary == "malicious" and card.adversary.behaviour != "malicious":
        yield (
            "security.adversary",
            f"asks for protection from malicious parties; {card.id} protects from {card.adversary.behaviour} ones",
            "accept semi-honest, if every party's approvers do: a party that deviates is then not always caught",
        )


@rule("spec.corrupt")
def corrupt(asked: Asked) -> Found:
    """The number of colluding parties that the specification asks to withstand is a floor too."""
    card = asked.cards.get(asked.protocol)
    if card and asked.spec.security.corrupt > card.adversary.corrupt:
        yield (
            "security.corrupt",
            f"asks to withstand {asked.spec.security.corrupt} colluding parties; {card.id} withstands "
            f"{card.adversary.corrupt} of {len(card.adversary.among)}",
            f"write corrupt = {card.adversary.corrupt}, if every party's approvers accept it",
        )


@rule("leak.twice")
def twice(asked: Asked) -> Found:
    """Two entries on one thing: a reader believes the first, a machine the last (edge_overwrite)."""
    seen: dict[tuple[str, str, str], int] = {}
    for place, item in enumerate(asked.spec.security.leakage):
        for of in item.of or ("",):
            first = seen.setdefault((item.learner, item.item, of), place)
            if first != place:
                yield (
                    f"security.leakage.{place}",
                    f"declares {item.item}{' of ' + of if of else ''} to {item.learner} again, after entry {first}",
                    "keep one of them",
                )


# -- when and how often -----------------------------------------------------------------------------------------------

_DAYS: Final = {"daily": 1, "weekly": 7, "monthly": 28, "quarterly": 90, "yearly": 365}


@rule("spec.window")
def window(asked: Asked) -> Found:
    """An approval that does not end is one that nobody remembers giving."""
    validity = asked.spec.validity
    if validity.not_after - validity.not_before > MAX_WINDOW:
        yield (
            "validity.not_after",
            f"is {(validity.not_after - validity.not_before).days} days after not_before; five years are the most",
            "ask again in five years",
        )


@rule("spec.schedule")
def schedule(asked: Asked) -> Found:
    """Runs come no faster than new records: a second run on the same rows only averages the noise away."""
    validity = asked.spec.validity
    if validity.schedule is None:
        return
    for table in asked.tables:
        days = 0 if table.refresh == "each run" else _DAYS.get(table.refresh)
        if days is None or days > _DAYS[validity.schedule]:
            yield (
                "validity.schedule",
                f"runs {validity.schedule} on {table.name}, whose records are "
                f"{'frozen' if days is None else 'refreshed ' + table.refresh}: the same rows would be asked again",
                "run no more often than every table is refreshed",
            )


@rule("spec.runs")
def runs(asked: Asked) -> Found:
    """The number of runs fits the schedule and the dates."""
    validity = asked.spec.validity
    if validity.schedule is None:
        return
    slots = (validity.not_after - validity.not_before).days // _DAYS[validity.schedule] + 1
    if validity.max_runs > slots:
        yield (
            "validity.max_runs",
            f"{validity.max_runs} {validity.schedule} runs do not fit between the dates; {slots} do",
            f"write max_runs = {slots} or fewer",
        )


@rule("spec.repeat", "warning")
def repeat(asked: Asked) -> Found:
    """Several runs without a schedule may come at once, on the same rows."""
    validity = asked.spec.validity
    if validity.max_runs > 1 and validity.schedule is None:
        loss = (budget.release_loss(asked.spec) + budget.helper_loss(asked.spec)) * validity.max_runs
        yield (
            "validity.max_runs",
            f"{validity.max_runs} runs may follow each other on the same rows and cost epsilon "
            f"{budget.decimal(loss.epsilon)} together",
            "add a schedule, or ask for one run",
        )


@rule("spec.delegation")
def delegation(asked: Asked) -> Found:
    """Approval on another's behalf is not enforced yet, so it is not accepted."""
    for place, item in enumerate(asked.spec.delegation):
        yield (
            f"delegation.{place}",
            f"lets {item.to} approve for {item.by}, which no server enforces yet",
            "take it out: every party's own approvers sign",
        )


@rule("spec.design", "warning")
def design(asked: Asked) -> Found:
    """A draft says so in its legal and purpose fields; a party server refuses it."""
    if fields := design_fields(asked.spec):
        yield (
            fields[0],
            f'{len(fields)} field(s) still say "{DESIGN}": this is a draft, and no party server runs it',
            "fill them in before it is submitted",
        )


def design_fields(spec: Spec) -> tuple[str, ...]:
    """Paths of legal and purpose fields that still hold the placeholder of a draft."""
    paths: list[str] = []

    def walk(value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(part, f"{path}.{key}")
        elif isinstance(value, (tuple, list)):
            for place, part in enumerate(value):
                walk(part, f"{path}.{place}")
        elif value == DESIGN:
            paths.append(path)

    walk(spec.purpose.model_dump(), "purpose")
    for party, legal in spec.legal.items():
        walk(legal.model_dump(), f"legal.{party}")
    return tuple(paths)
