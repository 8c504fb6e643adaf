"""What approvers read, as content: plain sentences, lists and tables in the order of the Five Safes.

``disclosure.py`` prints it as text, ``page.py`` as a page; both say the same because both print this. Everything is
taken from what was checked: specification, matrix, cards, plan and forecast. Same input, same bytes.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, Protocol

from pets.check import budget, flow, rules
from pets.check.blocks import (
    MANY,
    Block,
    Code,
    Flow,
    Grid,
    Line,
    Marks,
    Pairs,
    Picture,
    Points,
    Report,
    Section,
    Text,
    about,
    levels,
    listed,
    odds,
    size,
)
from pets.check.labels import Coalition, Mark, Row, Verdict
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.spec.cards import Card
from pets.spec.ir import AddNoise, HelperJoin, NoisedColumn, Plan
from pets.spec.model import Dataset, Spec
from pets.spec.query import Aggregate, Query, Statistic

TAIL: Final = Fraction(3604, 1000)
"""The noise of three parties (NB(3/2) - NB(3/2)) stays within this many scales in 95 of 100 draws."""
HELPER_TAIL: Final = Fraction(2996, 1000)
"""The same for the helper's count (discrete Laplace): ln 20."""


class Message(Protocol):
    """One message of the forecast: plan/cost.py."""

    @property
    def label(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def sender(self) -> PartyId: ...
    @property
    def receiver(self) -> PartyId: ...
    @property
    def size(self) -> int: ...


class Forecast(Protocol):
    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def size(self) -> int: ...
    @property
    def rounds(self) -> int: ...


class Checked(Protocol):
    """A review of a specification (plan/review.py). What was refused early has no query, no plan, no forecast."""

    @property
    def spec(self) -> Spec: ...
    @property
    def digest(self) -> SpecDigest: ...
    @property
    def query(self) -> Query | None: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def plan_digest(self) -> PlanDigest | None: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def cards(self) -> Mapping[str, Card]: ...
    @property
    def forecast(self) -> Forecast | None: ...


class Names:
    """Names of parties in prose."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def full(self, party: str) -> str:
        return f"{self.spec.party(party).organisation} ({party})"


# -- the whole -------------------------------------------------------------------------------------------------------


def report(review: Checked) -> Report:
    """Compose the report of a review, whether it was accepted or refused."""
    spec, verdict = review.spec, review.verdict
    accepted = verdict.accepted and review.plan is not None
    sections = [_projects(spec), _people(review), _data(review), _settings(review), _outputs(review), _dates(review)]
    if verdict.matrix.columns:
        sections.insert(4, _matrix(review))
        sections.insert(5, _limits(review))
    sections.append(_fields(spec))
    return Report(
        title=spec.title,
        accepted=accepted,
        verdict=_verdict(review, accepted),
        summary=_summary(review) if accepted else (),
        findings=_findings(verdict),
        sections=tuple(section for section in sections if section.blocks),
        digest=review.digest,
        plan_digest=review.plan_digest,
        validity=_validity(spec),
    )


def _verdict(review: Checked, accepted: bool) -> str:
    if accepted:
        return "The checker finds nothing that is told to anyone and not declared below. Approval is yours to give."
    count = len(review.verdict.errors)
    return f"{'One finding stands' if count == 1 else f'{count} findings stand'} against it. No server will run it."


def _validity(spec: Spec) -> str:
    v = spec.validity
    runs = "once" if v.max_runs == 1 else f"up to {v.max_runs} times"
    return f"{v.not_before.isoformat()} to {v.not_after.isoformat()}, {runs}{f', {v.schedule}' if v.schedule else ''}"


def _join(review: Checked) -> HelperJoin | None:
    return next((s for s in review.plan.steps if isinstance(s, HelperJoin)), None) if review.plan else None


def _noise(review: Checked) -> tuple[NoisedColumn, ...]:
    return next((s.columns for s in review.plan.steps if isinstance(s, AddNoise)), ()) if review.plan else ()


def _summary(review: Checked) -> tuple[str, ...]:
    spec, names, join = review.spec, Names(review.spec), _join(review)
    if join is None or review.query is None:
        return ()
    left, right = spec.dataset(review.query.left), spec.dataset(review.query.right)
    loss = budget.total((budget.release_loss(spec), budget.helper_loss(spec)))
    return (
        f"{names.full(left.party)} and {names.full(right.party)} keep their records. No record and no person id "
        "leaves its holder in readable form.",
        f"{names.full(spec.result_party)} gets one table of {_cells(review):,} groups. Every number in it "
        "carries noise.",
        f"{names.full(join.helper)} helps to compute. It sees codes in place of ids, and masked numbers. It learns how "
        f"many rows match, give or take {about(_helper_width(join))}.",
        f"Whatever anyone suspects about one person, a run can change the odds by a factor of {odds(loss.epsilon)} at "
        f"most (epsilon {budget.decimal(loss.epsilon)}).",
        f"All this rests on one promise: {join.helper} works together with neither {join.role_a} nor {join.role_b}.",
    )


def _roles(review: Checked, join: HelperJoin) -> dict[str, PartyId]:
    return {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": review.spec.result_party}


def _helper_width(join: HelperJoin) -> Fraction:
    """95 of 100 draws of the helper's noise are within this."""
    return Fraction(-(-HELPER_TAIL * join.parameter("k") / join.helper_epsilon // 1))


def _cells(review: Checked) -> int:
    join = _join(review)
    return join.parameter("g") * (join.parameter("v_g") // len(join.gathered)) if join else 0


def _findings(verdict: Verdict) -> tuple[Points, ...]:
    tones = {"error": ("Why it is refused", "bad"), "warning": ("Warnings", "warn"), "note": ("Notes", "plain")}
    out = []
    for severity, (title, tone) in tones.items():
        told = tuple(
            f"{f.path}: {f.message}. What would help: {f.hint}. (Rule {f.rule})"
            for f in verdict.findings
            if f.severity == severity
        )
        if told:
            out.append(Points(title, told, tone))
    return tuple(out)


# -- safe projects, people, data --------------------------------------------------------------------------------------


def _projects(spec: Spec) -> Section:
    purpose = spec.purpose
    fields = (
        *(("controller", "Controller"), ("law", "Law"), ("jurisdiction", "Jurisdiction")),
        *(("article6", "Lawful basis (Article 6)"), ("article9", "Condition (Article 9)")),
        *(("schedule1", "Schedule 1 condition"), ("gateway", "Statutory gateway")),
        *(("confidentiality", "Confidentiality"), ("retention", "Retention"), ("notice", "Privacy notice")),
        ("agreement", "Agreement"),
    )
    holders = tuple(spec.legal)
    rows = [
        (label, *(getattr(spec.legal[party], field) or "not stated" for party in holders))
        for field, label in fields
        if any(getattr(spec.legal[party], field) for party in holders)
    ]
    rows.append(("DPIA", *(f"{spec.legal[p].dpia.id}: {spec.legal[p].dpia.outcome}" for p in holders)))
    return Section(
        "projects",
        "Safe project",
        "What is it for, and on what legal ground?",
        (
            Pairs(
                (
                    ("Question", purpose.statement),
                    ("Public benefit", purpose.public_benefit),
                    ("Purposes", ", ".join(purpose.dpv)),
                    ("Author", purpose.author),
                )
            ),
            Grid("Legal ground, as each party states it", ("", *holders), tuple(rows)),
        ),
    )


def _people(review: Checked) -> Section:
    spec = review.spec
    rows = []
    for party in spec.parties:
        part = [f"brings {d.name}" for d in spec.datasets if d.party == party.name]
        if "computing" in party.roles:
            part.append("computes" if part else "computes, without records of its own (helper)")
        if party.name in spec.release.to:
            part.append("receives the result")
        rows.append((party.name, party.organisation, listed(part), party.san))
    return Section(
        "people",
        "Safe people",
        "Who takes part, and who receives the result?",
        (
            Grid(
                "Parties, and the name in each one's certificate. Nobody else takes part.",
                ("Name", "Organisation", "Part", "Server's identity"),
                tuple(rows),
                code=frozenset({3}),
            ),
        ),
    )


def _data(review: Checked) -> Section:
    spec, query = review.spec, review.query
    blocks: list[Block] = []
    for dataset in spec.datasets:
        more = (
            f"no more than {dataset.max_rows_per_person} row{'s' if dataset.max_rows_per_person > 1 else ''} a person"
        )
        over = "of more, a random choice is used" if dataset.truncate else "more are refused"
        blocks.append(
            Text(
                f"{dataset.name}, held by {Names(spec).full(dataset.party)}: at most {dataset.max_rows:,} rows, {more} "
                f"({over}); {'frozen' if dataset.refresh == 'frozen' else 'refreshed ' + dataset.refresh}. "
                f"What is protected is one {dataset.privacy_unit}."
            )
        )
        blocks.append(
            Grid(
                f"Columns of {dataset.name}. No other column exists for this computation.",
                ("Column", "Role", "Used here to", "Values", "Sensitivity"),
                tuple(
                    (name, column.role, _use(query, spec, dataset, name), levels(column), column.sensitivity)
                    for name, column in dataset.columns.items()
                ),
            )
        )
    link = spec.linkage
    on = link.on if isinstance(link.on, str) else ", ".join(f"{table}.{name}" for table, name in link.on.items())
    pairs = [
        ("Linked on", on),
        ("Normalised by", ", ".join(link.normalise) or "nothing"),
        ("Rules' version", link.version),
    ]
    pairs += [("Ids issued by", link.issuer)] if link.issuer else []
    pairs += [("Expected match rate", link.expected_match_rate)] if link.expected_match_rate else []
    return Section("data", "Safe data", "Which records and columns are used?", (*blocks, Pairs(tuple(pairs))))


def _use(query: Query | None, spec: Spec, dataset: Dataset, name: str) -> str:
    if query is None or dataset.name not in (query.left, query.right):
        return "nothing"
    uses = ["find the same person"] if name == dataset.key else []
    if name in {ref.column for ref in query.group_by if ref.dataset == dataset.name}:
        uses.append("form groups")
    if any(
        isinstance(o.what, Aggregate) and name in {r.column for r in o.what.columns if r.dataset == dataset.name}
        for o in query.outputs
    ):
        uses.append("count persons" if name == dataset.key else "add up")
    if name in rules.filters(query, dataset.name):
        uses.append("choose rows, at its holder")
    return listed(uses)


# -- safe settings ----------------------------------------------------------------------------------------------------


def _settings(review: Checked) -> Section:
    spec, join, forecast = review.spec, _join(review), review.forecast
    security = spec.security
    card = review.cards.get(security.protocol or "helper_join_a")
    blocks: list[Block] = []
    if join is not None and forecast is not None and card is not None:
        blocks.append(_picture(review, join, card, forecast))
    doing = "looking at all it gets" if security.adversary == "semi-honest" else "doing whatever it likes"
    many = "any one party" if security.corrupt == 1 else f"any {security.corrupt} parties, each"
    pairs = [("Protects from", f"{many}, {doing} ({security.adversary})")]
    if card is not None:
        pairs = [
            ("Protocol", f"{card.title} ({card.id}, version {card.version})"),
            ("Its status", card.status),
            *pairs,
            ("What it does", card.functionality),
            ("Wrong result", f"by chance, at most once in {card.cost.wrong_result.replace('2^-', '2^')} runs"),
            ("Sources", "; ".join(card.source)),
        ]
    if join is not None:
        pairs.append(("Roles", ", ".join(f"{role}: {party}" for role, party in _roles(review, join).items())))
    if forecast is not None:
        pairs.append(("Cost of a run", f"{size(forecast.size)} in {forecast.rounds} rounds"))
    blocks.append(Pairs(tuple(pairs)))
    if join is not None and forecast is not None and card is not None:
        inside = {m.label: _inside(m.carries, m.receiver) for m in card.messages}
        blocks.append(
            Grid(
                "Every message of a run. A server sends nothing else, and takes nothing else.",
                ("Round", "From", "To", "What is inside", "Size", "Card"),
                tuple(
                    (str(m.round), m.sender, m.receiver, inside[m.label], size(m.size), m.label)
                    for m in forecast.messages
                    if m.size and m.sender != m.receiver
                ),
                numbers=frozenset({4}),
            )
        )
    return Section("settings", "Safe settings", "How is it computed, and what is sent to whom?", tuple(blocks))


def _inside(carries: tuple[str, ...], receiver: str) -> str:
    """What a message holds, in words, from what its card says it carries."""
    if any(item.endswith(".key") for item in carries):
        return "codes in place of person ids, under a key that the receiver does not have"
    if "sums" in carries:
        return "one share of every sum, with noise: random alone, the noised sums together"
    if any(item.endswith(".values") for item in carries):
        return "masked values: random numbers to the receiver"
    if "match" in carries:
        return "masked positions of matches, in an order that tells nothing"
    if any(item.endswith(".groups") for item in carries):
        return "masked ends of groups"
    return "random numbers: masks and noise"


def _picture(review: Checked, join: HelperJoin, card: Card, forecast: Forecast) -> Picture:
    spec = review.spec
    carries = {m.label: m.carries for m in card.messages}
    flows: dict[tuple[PartyId, PartyId], list[Message]] = {}
    for message in forecast.messages:
        if message.sender != message.receiver and message.size:
            flows.setdefault((message.sender, message.receiver), []).append(message)
    keeps = {p: "keeps its records" + ", gets the table" * (p == spec.result_party) for p in (join.role_a, join.role_b)}
    boxes = [
        ("a", join.role_a, keeps[join.role_a]),
        ("b", join.role_b, keeps[join.role_b]),
        ("helper", join.helper, "brings no records"),
    ]
    if spec.result_party not in (join.role_a, join.role_b):
        boxes.append(("result", spec.result_party, "gets the noised table"))
    return Picture(
        "Who sends what to whom in one run. Records stay where they are.",
        tuple(boxes),
        tuple(
            Flow(sender, receiver, sum(m.size for m in sent), _short({c for m in sent for c in carries[m.label]}))
            for (sender, receiver), sent in flows.items()
        ),
    )


def _short(carried: set[str]) -> str:
    words = []
    if any(item.endswith(".key") for item in carried):
        words.append("codes for ids")
    if any(item.endswith(".values") for item in carried):
        words.append("masked values")
    if "match" in carried and not words:
        words.append("masked positions")
    if "sums" in carried:
        words.append("noised shares")
    return ", ".join(words) or "random masks"


# -- who learns what --------------------------------------------------------------------------------------------------

_HEADINGS: Final = {
    "tags": "Person ids as codes",
    "membership": "Matching",
    "count": "Matching",
    "size": "Sizes",
    "exact sum": "Exact sums: never put together",
    "noised sum": "Sums with noise",
    "released": "The released table",
}


def _matrix(review: Checked) -> Section:
    matrix, spec = review.verdict.matrix, review.spec
    groups: dict[str, list[Line]] = {}
    for row in matrix.rows:
        heading, name, holder = _HEADINGS.get(row.kind, ""), row.value, ""
        if row.kind in ("column", "tags"):
            dataset, _, column_name = row.value.partition(".")
            holder = spec.dataset(dataset).party
            name = column_name if row.kind == "column" else row.value.removesuffix(" as tags")
            heading = heading or f"Columns of {dataset} ({holder})"
        elif row.kind == "released":
            holder = spec.result_party
        told = row.kind != "released"
        own = frozenset(c.label for c in matrix.columns if holder in c.parties and not (told and c.beyond_model))
        groups.setdefault(heading, []).append(Line(name, row, own))
    sentences = tuple(
        Points(Names(review.spec).full(column.parties[0]), _told(review, column))
        for column in matrix.columns
        if len(column.parties) == 1
    )
    return Section(
        "matrix",
        "Who learns what",
        "What does each party see, alone or together with others?",
        (*sentences, Marks(matrix, tuple((heading, tuple(lines)) for heading, lines in groups.items()))),
    )


def _told(review: Checked, column: Coalition) -> tuple[str, ...]:
    """The matrix column of one party in sentences, strongest marks first."""
    matrix, spec, join = review.verdict.matrix, review.spec, _join(review)
    party, label = column.parties[0], column.label
    by: dict[Mark, list[Row]] = {mark: [row for row in matrix.rows if row.cells[label] is mark] for mark in Mark}
    out = []
    own = [d.name for d in spec.datasets if d.party == party]
    if own:
        out.append(f"Keeps its own records of {listed(own)} and sees them, as before.")
    strange = [r.value for r in by[Mark.VISIBLE] if r.kind == "column" and r.value.split(".")[0] not in own]
    if strange:
        out.append(f"Sees the values of {listed(strange)}.")
    tables = [row.value for row in by[Mark.NOISED] if row.kind == "released"]
    if tables:
        out.append(f"Gets the table, with noise in every number: {listed(tables)}.")
    if any(row.kind == "count" for row in by[Mark.NOISED]) and join is not None:
        out.append(f"Learns how many rows match, give or take {about(_helper_width(join))} (95 times in 100).")
    if any(row.kind == "size" for row in by[Mark.SIZE]):
        out.append("Knows the declared greatest number of rows of each table. Never the true number of another's.")
    held = by[Mark.HELD]
    kinds = []
    if tags := [row.value.removesuffix(" as tags") for row in held if row.kind == "tags"]:
        kinds.append(f"codes for {listed(tags)}")
    if values := [row.value for row in held if row.kind == "column"]:
        kinds.append(f"masked values of {listed(values)}")
    if any(row.kind == "membership" for row in held):
        kinds.append("masked positions of matches")
    if any(row.kind == "exact sum" for row in held):
        kinds.append("one share of each sum")
    if kinds:
        out.append(f"Holds, and cannot read: {listed(kinds)}.")
    if never := [row.value for row in by[Mark.NEVER] if row.kind == "column"]:
        out.append(f"Never has, in any form: {listed(never)}.")
    return tuple(out)


def _limits(review: Checked) -> Section:
    spec, join = review.spec, _join(review)
    card = review.cards[spec.security.protocol or "helper_join_a"]
    not_protected = [
        "The question itself. Everyone named here can read this specification.",
        "The declared sizes, and when and how much is sent. The network sees that too. No record can be read off it.",
        "Truth of the records. A party that brings wrong or made-up rows is not noticed by the protocol.",
        "What is true of a whole group. Noise hides one person in it, not the group.",
        "Availability. Any party can refuse or stop a run. Nothing is released then.",
    ]
    if card.adversary.behaviour == "semi-honest":
        not_protected.insert(
            3,
            "Sabotage. A party whose software departs from the protocol can spoil the result and is not always caught.",
        )
    if "not independently reviewed" in card.status:
        not_protected.append(
            "Errors in the protocol's own proof: it is our design and has not been reviewed independently."
        )
    blocks: list[Block] = [Points("What is not protected", tuple(not_protected), "warn")]
    if join is not None:
        blocks.append(Points("What working together would reveal", _collusion(review, join), "bad"))
    return Section("limits", "What could still go wrong", "Where does the protection end?", tuple(blocks))


def _collusion(review: Checked, join: HelperJoin) -> tuple[str, ...]:
    roles: dict[str, PartyId] = _roles(review, join)
    tables = {"a": "", "b": ""}
    for role, step in (("a", join.a), ("b", join.b)):
        read = next(s for s in review.plan.steps if getattr(s, "out", "") == step) if review.plan else None
        tables[role] = getattr(read, "dataset", "")
    out: dict[str, list[str]] = {}
    order: dict[str, int] = {party.name: place for place, party in enumerate(review.spec.parties)}
    for card_id in dict.fromkeys((join.card, flow.RELEASE)):
        for entry in review.cards[card_id].learns:
            parties = sorted({roles[role] for role in entry.who if role in roles}, key=lambda party: order[party])
            if entry.beyond_model and len(parties) > 1:
                out.setdefault(" with ".join(parties), []).append(entry.sentence.format_map(tables))
    lines = [f"{who}: {'; '.join(dict.fromkeys(what))}." for who, what in out.items()]
    both = " with ".join(sorted((join.role_a, join.role_b), key=lambda party: order[party]))
    lines.insert(0, f"{both}: both tables, as two holders who show each other their records always can.")
    return tuple(lines)


# -- safe outputs -----------------------------------------------------------------------------------------------------


def _outputs(review: Checked) -> Section:
    spec, query = review.spec, review.query
    blocks: list[Block] = [Code("The query, as signed", spec.computation.sql.strip())]
    columns = _noise(review)
    if query is not None and columns:
        blocks.append(_table_of(review, query))
        rows = []
        for column in columns:
            width = TAIL * column.sensitivity / column.epsilon * column.moment.scale
            rows.append(
                (
                    column.moment.name,
                    budget.decimal(column.epsilon),
                    about(column.sensitivity * column.moment.scale),
                    _rounding(column),
                    f"± {about(width)}",
                )
            )
        blocks.append(
            Grid(
                "Sums that are computed jointly. Noise is added before anyone sees them; 95 of 100 sums lie within the "
                "last column.",
                ("Sum", "Share of epsilon", "One person moves it by at most", "Rounded to", "Noise"),
                tuple(rows),
                numbers=frozenset({1, 2, 3, 4}),
                code=frozenset({0}),
            )
        )
    if query is not None and query.notes:
        blocks.append(Points("About the query", query.notes))
    if (cost := _price(review)) is not None:
        blocks.append(cost)
    return Section("outputs", "Safe outputs", "What is released, and how much noise does it carry?", tuple(blocks))


_STATISTICS: Final = {
    Statistic.COUNT_ROWS: "number of rows",
    Statistic.COUNT_VALUES: "number of values",
    Statistic.COUNT_PEOPLE: "number of persons, by distinct values",
    Statistic.SUM: "sum",
    Statistic.AVG: "mean",
    Statistic.VAR_SAMP: "variance (sample)",
    Statistic.VAR_POP: "variance (population)",
    Statistic.STDDEV_SAMP: "standard deviation (sample)",
    Statistic.STDDEV_POP: "standard deviation (population)",
    Statistic.CORR: "correlation",
    Statistic.COVAR_SAMP: "covariance (sample)",
    Statistic.COVAR_POP: "covariance (population)",
    Statistic.REGR_SLOPE: "slope of the regression line (y, x)",
    Statistic.REGR_INTERCEPT: "intercept of the regression line (y, x)",
}


def _table_of(review: Checked, query: Query) -> Grid:
    rows = []
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            of = ", ".join(str(ref) for ref in output.what.columns)
            words = _STATISTICS[output.what.statistic]
            rows.append((output.name, f"{words}{f' of {of}' if of else ''}", "computed from noised sums"))
        else:
            rows.append((output.name, f"group of {output.what}", "all declared levels, also empty ones"))
    return Grid(
        f"Columns of the released table: {_cells(review):,} rows, whatever the records are.",
        ("Column", "What it is", "How"),
        tuple(rows),
        code=frozenset({0}),
    )


def _rounding(column: NoisedColumn) -> str:
    units = [f"{'*'.join(f.values)} to {f.unit}" for f in (column.moment.a, column.moment.b) if f.unit > 1]
    return f"rows: {', '.join(units)} units of the last place" if units else "-"


def _price(review: Checked) -> Block | None:
    spec = review.spec
    if not review.verdict.losses:
        return None
    release, helper = budget.release_loss(spec), budget.helper_loss(spec)
    rows = []
    for dataset, loss in review.verdict.losses.items():
        every = loss * spec.validity.max_runs
        rows.append(
            (
                dataset,
                budget.decimal(release.epsilon),
                budget.decimal(helper.epsilon),
                budget.decimal(loss.epsilon),
                budget.decimal(loss.delta) if loss.delta else "0",
                budget.decimal(every.epsilon),
            )
        )
    runs = spec.validity.max_runs
    return Grid(
        "What it costs the privacy budget of each table: epsilon for the table, and for the helper's count.",
        ("Table", "Release", "Helper's count", "One run", "Delta", f"All {runs} run{'s' if runs > 1 else ''}"),
        tuple(rows),
        numbers=frozenset({1, 2, 3, 4, 5}),
    )


# -- dates, digests, every field --------------------------------------------------------------------------------------


def _dates(review: Checked) -> Section:
    spec = review.spec
    v = spec.validity
    pairs = [
        ("May start from", v.not_before.isoformat()),
        ("Ends after", v.not_after.isoformat()),
        ("Runs", f"{v.max_runs}{f', {v.schedule}' if v.schedule else ''}"),
        ("Specification", review.digest),
    ]
    if review.plan_digest is not None:
        pairs.append(("Plan", review.plan_digest))
    for card_id in dict.fromkeys((spec.security.protocol or "helper_join_a", flow.RELEASE)):
        if card_id in review.cards:
            pairs.append((f"Card {card_id}", review.cards[card_id].digest))
    return Section(
        "dates",
        "Dates and digests",
        "When does it end, and what exactly is signed?",
        (
            Pairs(tuple(pairs)),
            Text(
                "An approval names the digest of the specification. One changed letter gives another digest, and every "
                "server then refuses to run. Compare it with the one that your own server shows."
            ),
        ),
    )


def _fields(spec: Spec) -> Section:
    rows: list[tuple[str, str]] = []

    def walk(value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(part, f"{path}.{key}" if path else str(key))
        elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], (Mapping, list, tuple)):
            more = len(value) - MANY
            rest = f" and {more:,} more (in the specification)" if more > 0 else ""
            rows.append((path, ", ".join(map(str, value[:MANY])) + rest))
        elif isinstance(value, (list, tuple)):
            for place, part in enumerate(value):
                walk(part, f"{path}[{place}]")
        elif value is not None:
            rows.append((path, "yes" if value is True else "no" if value is False else " ".join(str(value).split())))

    walk(spec.model_dump(mode="json", by_alias=True, exclude_none=True), "")
    return Section(
        "fields",
        "Every field, as signed",
        "Is anything left out above?",
        (
            Grid(
                "All fields of the specification with their values, defaults included.",
                ("Field", "Value"),
                tuple(rows),
                code=frozenset({0}),
            ),
        ),
    )
