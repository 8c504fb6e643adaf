"""What approvers read, as content: plain sentences, lists and tables in the order of the Five Safes.

``disclosure.py`` prints it as text, ``page.py`` as a page; both say the same because both print this. Everything is
taken from what was checked: specification, matrix, cards, plan and forecast. Same input, same bytes.
"""

from collections.abc import Mapping

from pets.check import budget, computed, flow, lawful, legal, rules
from pets.check.blocks import MANY, Block, Grid, Pairs, Points, Report, Section, Text, about, levels, listed, odds
from pets.check.checked import Checked, cells_of, full_name, helper_width, join_of
from pets.check.labels import Verdict
from pets.spec.model import Dataset, Spec
from pets.spec.query import Aggregate, Query

# -- the whole -------------------------------------------------------------------------------------------------------


def report(review: Checked) -> Report:
    """Compose the report of a review, whether it was accepted or refused."""
    spec, verdict = review.spec, review.verdict
    accepted = verdict.accepted and review.plan is not None
    sections = [
        _projects(spec, verdict),
        _people(review),
        _data(review),
        computed.settings(review),
        computed.outputs(review),
        _dates(review),
    ]
    if verdict.matrix.columns:
        sections.insert(4, computed.matrix(review))
        sections.insert(5, computed.limits(review))
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


def _summary(review: Checked) -> tuple[str, ...]:
    spec, join = review.spec, join_of(review)
    if join is None or review.query is None:
        return ()
    left, right = spec.dataset(review.query.left), spec.dataset(review.query.right)
    groups = f"{cells_of(review):,} group{'s' * (cells_of(review) > 1)}"
    loss = budget.total((budget.release_loss(spec), budget.helper_loss(spec)))
    return (
        f"{full_name(spec, left.party)} and {full_name(spec, right.party)} keep their records. "
        "No record and no person id leaves its holder in readable form.",
        f"{full_name(spec, spec.result_party)} gets one table of {groups}. Every number in it carries noise.",
        f"{full_name(spec, join.helper)} helps to compute. It sees codes in place of ids, and masked numbers. "
        f"It learns how many rows match, give or take {about(helper_width(join))}.",
        f"Whatever anyone suspects about one person, a run can change the odds by a factor of {odds(loss.epsilon)} at "
        f"most (epsilon {budget.exact(loss.epsilon)}).",
        f"All this rests on one promise: {join.helper} works together with neither {join.role_a} nor {join.role_b}.",
    )


def _findings(verdict: Verdict) -> tuple[Points, ...]:
    tones = {"error": ("Why it is refused", "bad"), "warning": ("Warnings", "warn"), "note": ("Notes", "plain")}
    out = []
    for severity, (title, tone) in tones.items():
        told = tuple(
            f"{f.path}: {f.message}. What would help: {f.hint}. (Rule {f.source})"
            for f in verdict.findings
            if f.severity == severity and (severity == "error" or f.rule not in legal.RULES)
        )
        if told:
            out.append(Points(title, told, tone))
    return tuple(out)


# -- safe projects, people, data --------------------------------------------------------------------------------------


def _projects(spec: Spec, verdict: Verdict) -> Section:
    purpose = spec.purpose
    fields = (
        *(("controller", "Controller"), ("law", "Law"), ("jurisdiction", "Jurisdiction")),
        *(("article6", "Lawful basis (Article 6)"), ("article9", "Condition (Article 9)")),
        *(("schedule1", "Schedule 1 condition"), ("gateway", "Statutory gateway")),
        *(("confidentiality", "Confidentiality"), ("retention", "Retention"), ("notice", "Privacy notice")),
        *(("agreement", "Agreement"), ("agreement_until", "Agreement ends"), ("transfer", "Transfer abroad")),
        *(("processing_agreement", "Processing agreement"), ("not_personal_from", "No longer personal from")),
    )
    holders = tuple(spec.legal)
    rows = [
        (label, *(str(getattr(spec.legal[party], field) or "not stated") for party in holders))
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
            *lawful.said(verdict),
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
                f"{dataset.name}, held by {full_name(spec, dataset.party)}: at most {dataset.max_rows:,} rows, {more} "
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
