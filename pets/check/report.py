"""What approvers read, as content: plain sentences, lists and tables in the order of the Five Safes.

``disclosure.py`` prints it as text, ``page.py`` as a page; both say the same because both print this. Everything is
taken from what was checked: specification, matrix, cards, plan and forecast. Same input, same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence

from pets.check import computed, each_holder, execution, intersected, lawful, learned, legal, rules, uploaded
from pets.check.alike import alike, cut, holders_as_fields, legal_as_fields, parties_as_fields
from pets.check.blocks import (
    MANY,
    Block,
    Cases,
    Grid,
    Pairs,
    Points,
    Report,
    Section,
    Text,
    day,
    levels,
    listed,
    plural,
)
from pets.check.checked import Checked, card_ids, holders_of, several
from pets.check.declared import Declared, declared
from pets.check.labels import Verdict
from pets.check.minute import minute, validity
from pets.spec.banded import Values, origins
from pets.spec.joins import SHARED
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled, Statement
from pets.spec.query import BOTH, Aggregate

# -- the whole -------------------------------------------------------------------------------------------------------


def report(review: Checked, found: Declared | None = None) -> Report:
    """Compose the report of a review, whether it was accepted or refused.

    ``found``: what ``found_declared`` says, of who has asked it already.
    """
    spec, verdict = review.spec, review.verdict
    accepted = verdict.accepted and review.plan is not None
    middle = []
    if verdict.matrix.columns:
        middle.append(learned.matrix(review))
        found = found or found_declared(review)
        if found is not None:
            middle.append(learned.leakage(found))
        middle.append(learned.limits(review))
    fields = tuple(_fields(spec))
    sections = (
        _projects(review),
        _people(review),
        _data(review),
        _settings(review),
        *middle,
        _outputs(review),
        _dates(review),
        _every_field(fields),
        *each_holder.section(spec),
    )
    return Report(
        title=spec.title,
        accepted=accepted,
        state=_state(verdict, accepted),
        verdict=_verdict(verdict, accepted),
        minute=minute(review, accepted),
        findings=_findings(verdict),
        sections=sections,
        omitted=tuple((path, count) for path, _, count in fields if count),
        digest=review.digest,
        plan_digest=review.plan_digest,
        validity=validity(spec),
    )


def found_declared(review: Checked) -> Declared | None:
    """Declared against computed, of whatever is asked for."""
    if isinstance(review.query, Pooled):
        return uploaded.declared(review)
    if review.program is not None:
        return execution.declared(review)
    return declared(review) if review.pairing is None else intersected.declared(review)


def _outputs(review: Checked) -> Section:
    if review.program is not None:
        return execution.outputs(review)
    return computed.outputs(review) if review.pairing is None else intersected.outputs(review)


def _settings(review: Checked) -> Section:
    if isinstance(review.query, Pooled):
        return uploaded.settings(review)
    if review.program is not None:
        return execution.settings(review)
    return computed.settings(review) if review.pairing is None else intersected.settings(review)


def _state(verdict: Verdict, accepted: bool) -> str:
    if not accepted:
        return "Refused"
    warnings = sum(f.severity == "warning" and f.rule not in legal.RULES for f in verdict.findings)
    if not warnings:
        return "Ready for approval"
    return f"Ready for approval, with {'a warning' if warnings == 1 else f'{warnings} warnings'}"


def _verdict(verdict: Verdict, accepted: bool) -> str:
    if not accepted:
        count = len(verdict.errors)
        stand = f"{'One finding stands' if count == 1 else f'{count} findings stand'} against it."
        if all(f.rule in legal.RULES for f in verdict.errors):
            return f"{stand} No server will run it whose own policy does not lower the legal rule."
        return f"{stand} No server will run it."
    told = "The checker finds nothing that is told to anyone and not declared below. Approval is yours to give."
    points = sum(f.rule in legal.RULES for f in verdict.findings)
    return f"{told} The legal rules raise {plural(points, 'point')}, under Safe projects." if points else told


def _findings(verdict: Verdict) -> tuple[Cases, ...]:
    tones = {"error": ("Why it is refused", "bad"), "warning": ("Warnings", "warn"), "note": ("Notes", "plain")}
    out = []
    for severity, (title, tone) in tones.items():
        shown = (f for f in verdict.findings if f.severity == severity)
        if told := tuple(f for f in shown if severity == "error" or f.rule not in legal.RULES):
            out.append(Cases(title, each_holder.few(told), tone))
    return tuple(out)


# -- safe projects, people, data --------------------------------------------------------------------------------------


def _projects(review: Checked) -> Section:
    spec = review.spec
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
    texts = {p: [str(getattr(spec.legal[p], field) or "not stated") for field, _ in fields] for p in holders}
    texts = {p: [*text, f"{spec.legal[p].dpia.id}: {spec.legal[p].dpia.outcome}"] for p, text in texts.items()}
    alike: dict[tuple[str, ...], list[str]] = {}
    for party, text in texts.items():
        alike.setdefault((*text, "" if _shared(spec) else party), []).append(party)
    if len(alike) > MANY and each_holder.very_many(spec):
        alike = _together(texts, each_holder.holders(spec))
    columns = tuple(several(parties) for parties in alike.values())
    rows = [
        (label, *said)
        for label, *said in zip((*(label for _, label in fields), "DPIA", ""), *alike, strict=True)
        if label and any(each != "not stated" for each in said)
    ]
    return Section(
        "projects",
        "Safe projects",
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
            Grid("Legal ground, as each party states it", ("", *columns), tuple(rows)),
            *lawful.said(review.verdict),
        ),
    )


def _together(texts: Mapping[str, list[str]], holders: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    """The grounds of very many holders in one column: of each field what all state, or how much it differs."""
    fields = zip(*(texts[party] for party in holders), strict=True)
    said = tuple(each_holder.together(dict(zip(holders, values, strict=True))) for values in fields)
    return {(*said, ""): list(holders)} | {(*texts[p], p): [p] for p in texts if p not in holders}


def _shared(spec: Spec) -> bool:
    return any(dataset.several for dataset in spec.datasets) or spec.security.protocol == SHARED


def _people(review: Checked) -> Section:
    spec = review.spec
    rows = []
    for group in alike(spec):
        party = group[0]
        part = [_brings(d, [each.name for each in group]) for d in spec.datasets if party.name in d.parties]
        if "computing" in party.roles:
            alone = sum(p.name in spec.computing for p in spec.parties) == 3 and not _shared(spec)
            helps = " (helper)" if alone and not spec.computation.is_program else ""
            part.append("computes" if part else f"computes, without records of its own{helps}")
        if party.name in spec.release.to:
            part.append("receives the result")
        if len(group) == 1:
            rows.append((party.name, party.organisation, listed(part), party.san))
        else:
            of_each = [several([getattr(each, what) for each in group], "") for what in ("organisation", "san")]
            rows.append((several([each.name for each in group]), of_each[0], listed(part), of_each[1]))
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


def _brings(dataset: Dataset, parties: list[str]) -> str:
    """What parties that are alike bring of a table."""
    if not dataset.several:
        return f"brings {dataset.name}"
    rows = [dataset.rows_of(party) for party in parties]
    if len(rows) == 1:
        return f"brings a part of {dataset.name}, at most {rows[0]:,} rows"
    most = f"{rows[0]:,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    return f"each bring a part of {dataset.name}, at most {most} rows, {sum(rows):,} in all"


def _data(review: Checked) -> Section:
    spec = review.spec
    blocks: list[Block] = []
    for dataset in spec.datasets:
        more = f"no more than {dataset.rows_per_person} row{'s' if dataset.rows_per_person > 1 else ''} a person" + (
            " at each of them" if dataset.several else ""
        )
        if dataset.says_fewer_holders:
            more += f", and nobody at more than {plural(dataset.most_holders, 'holder')} as these say"
        over = "of more, a random choice is used" if dataset.truncate else "more are refused"
        blocks.append(
            Text(
                f"{dataset.name}, held by {holders_of(spec, dataset.name)}: at most {dataset.max_rows:,} rows, {more} "
                f"({over}); {'frozen' if dataset.refresh == 'frozen' else 'refreshed ' + dataset.refresh}. "
                f"What is protected is one {dataset.privacy_unit}."
            )
        )
        blocks.append(
            Grid(
                f"Columns of {dataset.name}. No other column exists for this computation.",
                ("Column", "Role", "Used here to", "Values", "Sensitivity"),
                tuple(
                    (
                        name,
                        column.role,
                        _used(review, dataset, name),
                        levels(column),
                        column.sensitivity,
                    )
                    for name, column in dataset.columns.items()
                ),
            )
        )
    if spec.computation.is_program:
        told = "Nothing is linked: rows go in as each holder has them, in the order of their ids."
        return Section("data", "Safe data", "Which records and columns are used?", (*blocks, Text(told)))
    if spec.linkage is None:
        return Section(
            "data",
            "Safe data",
            "Which records and columns are used?",
            (*blocks, Text("Nothing is linked: each holder tells its own persons apart by their ids, as they are.")),
        )
    link = spec.linking
    on = link.on if isinstance(link.on, str) else ", ".join(f"{table}.{name}" for table, name in link.on.items())
    pairs = [
        ("Linked on", on),
        ("Normalised by", ", ".join(link.normalise) or "nothing"),
        ("Rules' version", link.version),
    ]
    pairs += [("Ids issued by", link.issuer)] if link.issuer else []
    pairs += [("Expected match rate", link.expected_match_rate)] if link.expected_match_rate else []
    return Section("data", "Safe data", "Which records and columns are used?", (*blocks, Pairs(tuple(pairs))))


def _used(review: Checked, dataset: Dataset, name: str) -> str:
    if review.program is not None:
        return execution.use(review, dataset.name, name)
    if review.pairing is not None:
        return intersected.use(review, dataset.name, name)
    return _use(review.query, review.spec, dataset, name)


def _use(query: Statement | None, spec: Spec, dataset: Dataset, name: str) -> str:
    if query is None or dataset.name not in query.tables:
        return "nothing"
    uses = ["find the same person"] if name == dataset.key else []
    if uses and len(query.tables) == 1:
        uses = ["count rows of one person, at each holder"]
    in_model = {ref.of.column for ref in query.group_by if isinstance(ref, Values)}
    if name in in_model:
        uses.append("count rows by its values, for a model")
    elif name in {own.column for ref in query.group_by for own in origins(ref) if own.dataset == dataset.name}:
        uses.append("form groups")
    if name not in in_model and any(
        isinstance(o.what, Aggregate) and name in {r.column for r in o.what.columns if r.dataset == dataset.name}
        for o in query.outputs
    ):
        uses.append("count persons" if name == dataset.key else "add up")
    if any(
        name == ref.column for o in query.outputs for ref in rules.conditions(o.what) if ref.dataset == dataset.name
    ):
        uses.append("choose what is added up")
    in_case = {own.column for ref in query.group_by if ref.dataset == BOTH for own in origins(ref)}
    if name in rules.filters(query, dataset.name, alone=name in in_case):
        uses.append("choose rows, at its holder")
    return listed(uses)


# -- dates, digests, every field --------------------------------------------------------------------------------------


def _dates(review: Checked) -> Section:
    spec = review.spec
    v = spec.validity
    pairs = [
        ("May start from", day(v.not_before)),
        ("Ends after", day(v.not_after)),
        ("Runs", f"{v.max_runs:,}{f', {v.schedule}' if v.schedule else ''}"),
        ("Specification", review.digest),
    ]
    if review.plan_digest is not None:
        pairs.append(("Plan", review.plan_digest))
    pairs += [(f"Card {card_id}", review.cards[card_id].digest) for card_id in card_ids(review)]
    return Section(
        "dates",
        "What is signed",
        "When does it end, and what exactly is signed?",
        (
            Pairs(tuple(pairs)),
            Text(
                "An approval names the digest of the specification. One changed letter gives another digest. "
                "Compare it with the one that your own server shows. Your signature also holds for a later text that "
                "your own server finds equal to this one, or narrower: it tells nobody more, and uses up these runs. "
                "Whatever asks for more needs a signature of its own."
            ),
        ),
    )


def _fields(spec: Spec) -> Iterator[tuple[str, str, int]]:
    """Every field with its value in words, and how many of its values are left out."""

    def walk(value: object, path: str) -> Iterator[tuple[str, str, int]]:
        if isinstance(value, Mapping):
            for key, part in value.items():
                yield from walk(part, f"{path}.{key}" if path else str(key))
        elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], (Mapping, list, tuple)):
            yield path, *cut(value)
        elif isinstance(value, (list, tuple)):
            for place, part in enumerate(value):
                yield from walk(part, f"{path}[{place}]")
        elif value is not None:
            yield path, "yes" if value is True else "no" if value is False else " ".join(str(value).split()), 0

    for key, value in spec.model_dump(mode="json", by_alias=True, exclude_none=True).items():
        if key == "party":
            parts = tuple(parties_as_fields(spec))
        elif key == "legal":
            parts = tuple(legal_as_fields(spec))
        elif key == "dataset":
            parts = ((key, [holders_as_fields(each) for each in value]),)
        else:
            parts = ((key, value),)
        for path, part in parts:
            yield from walk(part, path)


def _every_field(fields: tuple[tuple[str, str, int], ...]) -> Section:
    short = [
        f"{path} has {count + MANY:,} values; the first {MANY} are on this page, the other {count:,} are not."
        for path, _, count in fields
        if count
    ]
    blocks: list[Block] = [
        Grid(
            "All fields of the specification with their values, defaults included.",
            ("Field", "Value"),
            tuple((path, said) for path, said, _ in fields),
            code=frozenset({0}),
        ),
        Points("Left out of this page", tuple(short), "warn") if short else Text("Nothing is left out of this page."),
    ]
    return Section("fields", "Every field, as signed", "Is anything left out above?", tuple(blocks))
