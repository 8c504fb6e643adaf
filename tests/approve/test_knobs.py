"""Knob mutation: each field of a policy changes a verdict somewhere, and a caller's words change none."""

import datetime as dt
import itertools
import random
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pets.approve.approvals import verify_approvals
from pets.approve.cover import Held, verify_cover
from pets.approve.judgement import judge_policy
from pets.approve.policy import Limits, Policy, parse_policy
from pets.check import legal
from pets.check.diff import facts
from pets.check.differencing import judge
from pets.check.labels import Finding
from pets.check.releases import Entry, release_of
from pets.errors import ConfigError, PetsError
from pets.ids import PartyId
from pets.party.account import spend_findings
from pets.spec.canonical import spec_digest
from pets.spec.model import Model, Spec
from pets.spec.parse import parse_toml
from pets.spec.programmed import Programmed, is_program, programmed_of
from pets.spec.sql import bind
from tests.approve.consortium import ANN, BOB, CAT, DAY, PLAN, POLICY_TOML, SPEC_TOML, approval

NOISE = SPEC_TOML[SPEC_TOML.index("[release.differential_privacy]") : SPEC_TOML.index("[security]")]
EXACT_TOML = SPEC_TOML.replace(
    NOISE,
    """[release.disclosure_control]
min_count = 12
zeros = "shown"
round_to = 5
dominance = [{ largest = 2, percent = 90 }]
""",
)

BASE = POLICY_TOML.replace("k = 2\n", "k = 2\nmin_roles = 2\nmin_organisations = 2\nrequired_roles = []\n").replace(
    "[columns.attendances]",
    """min_max_rows = 1
max_runs = 12
max_days = 400
min_count = 12
dominance = [{ largest = 2, percent = 90 }]

[constraints.attendances]
min_persons = 5
noise_is_enough = true

[differencing]
on_suspicion = "route"
joiners = "yearly"

[[differencing.large]]
columns = ["attendances.arrival", "attendances.minutes", "housing.tenure"]
persons = 12

[columns.attendances]""",
)
BASE = BASE.replace(
    'minutes = ["any use", "no group by"]',
    'minutes = [{ rule = "only sums", allow = ["sum"], recipients = '
    '["spiffe://statistics.example/pets"], purposes = ["dpv:ProvideOfficialStatistics"] }]',
)

FLIPS: dict[str, tuple[str, str]] = {
    "party": ('party = "board"', 'party = "council"'),
    "approval.k": ("k = 2", "k = 3"),
    "approval.min_roles": ("min_roles = 2", "min_roles = 1"),
    "approval.min_organisations": ("min_organisations = 2", "min_organisations = 1"),
    "approval.required_roles": ("required_roles = []", 'required_roles = ["information governance"]'),
    "approval.exclude_author": ("k = 2", "k = 2\nexclude_author = false"),
    "approval.reuse": ("k = 2", "k = 2\nreuse = false"),
    "approval.approvers.name": ('name = "Bob"', 'name = "Bert"'),
    "approval.approvers.role": (
        '"asset owner"\norganisation = "A health board"',
        '"owner"\norganisation = "A health board"',
    ),
    "approval.approvers.organisation": (
        'role = "asset owner"\norganisation = "A health board"',
        'role = "asset owner"\norganisation = "B"',
    ),
    "approval.approvers.key": (BOB.text, ANN.text),
    "limits.max_epsilon_per_run": ('per_run = "2"', 'per_run = "1"'),
    "limits.max_rho_per_run": ('per_run = "2"', 'per_run = "2"\nmax_rho_per_run = "1"'),
    "limits.max_epsilon_per_dataset": ('per_dataset = "20"', 'per_dataset = "1"'),
    "limits.max_rho_per_dataset": (
        'max_epsilon_per_dataset = "20"',
        'max_rho_per_dataset = "1"\nrho_at_delta = "2^-30"',
    ),
    "limits.rho_at_delta": (
        'max_epsilon_per_dataset = "20"',
        'max_rho_per_dataset = "200"\nrho_at_delta = "1"',
    ),
    "limits.max_delta": ('"2^-30"', '"2^-50"'),
    "limits.period": ('period = "year"', 'period = "month"'),
    "limits.recipients": ("recipients = [", "recipients = [] # ["),
    "limits.purposes": ("purposes = [", "purposes = [] # ["),
    "limits.protocols": ('["helper_join_a"]', "[]"),
    "limits.programs": ('["semi-honest"]', '["semi-honest"]\nprograms = ["quantiles"]'),
    "limits.adversaries": ('["semi-honest"]', "[]"),
    "limits.min_max_rows": ("min_max_rows = 1", "min_max_rows = 1001"),
    "limits.max_runs": ("max_runs = 12", "max_runs = 11"),
    "limits.max_days": ("max_days = 400", "max_days = 30"),
    "limits.least_contributors": ("max_days = 400", "max_days = 400\nleast_contributors = 6"),
    "limits.max_upload_minutes": ("max_days = 400", "max_days = 400\nmax_upload_minutes = 59"),
    "limits.trust_max_holders_per_person": ("max_days = 400", "max_days = 400\ntrust_max_holders_per_person = true"),
    "limits.min_count": ("min_count = 12", "min_count = 13"),
    "limits.redact_at_or_below": ("min_count = 12", "redact_at_or_below = 12"),
    "limits.preset": ("min_count = 12", 'min_count = 12\npreset = "uk-llc-10-with-zero"'),
    "limits.zeros": ("min_count = 12", 'min_count = 12\nzeros = "hidden"'),
    "limits.round_to": ("min_count = 12", "min_count = 12\nround_to = 10"),
    "limits.rounding": ("min_count = 12", 'min_count = 12\nround_to = 5\nrounding = "midpoint"'),
    "limits.dominance.largest": ("largest = 2", "largest = 3"),
    "limits.dominance.percent": ("percent = 90", "percent = 80"),
    "limits.p_percent": ("min_count = 12", "min_count = 12\np_percent = 10"),
    "limits.round_values_to": ("min_count = 12", 'min_count = 12\nround_values_to = { "attendances.minutes" = 7 }'),
    "limits.appetite": ("min_count = 12", 'min_count = 12\nappetite = "local"'),
    "columns.rule": ('"only sums"', '"only count"'),
    "columns.allow": ('allow = ["sum"]', 'allow = ["average"]'),
    "columns.recipients": ('recipients = ["spiffe://s', 'recipients = ["spiffe://other-s'),
    "columns.purposes": ('purposes = ["dpv:ProvideOfficialStatistics"] }', 'purposes = ["dpv:Marketing"] }'),
    "constraints.min_persons": ("min_persons = 5", "min_persons = 13"),
    "constraints.noise_is_enough": ("noise_is_enough = true", "noise_is_enough = false"),
    "lint": ("[differencing]", '[lint]\nLL-31 = "warning"\n\n[differencing]'),
    "differencing.on_suspicion": ('"route"', '"refuse"'),
    "differencing.joiners": ('joiners = "yearly"\n', 'joiners = "daily"\n'),
    "differencing.large.columns": (
        '["attendances.arrival", "attendances.minutes", "housing.tenure"]',
        '["housing.tenure"]',
    ),
    "differencing.large.persons": ("persons = 12", "persons = 11"),
}


def fields(model: type[BaseModel], before: str = "") -> set[str]:
    """The paths of all fields, those of models in models included."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = _models(field.annotation)
        path = f"{before}{name}"
        found |= set().union(*(fields(each, f"{path}.") for each in inner)) if inner else {path}
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def verdicts(policy: Policy, specs: tuple[Spec, ...]) -> list[object]:
    """All that a policy decides: of specifications, of approvals, of combining releases, of days."""
    said: list[object] = [policy.limits.since(dt.date(2027, 5, 17))]
    for spec in specs:
        query = programmed_of(spec) if is_program(spec) else bind(spec)
        said += [(f.rule, f.severity, f.path) for f in judge_policy(policy, spec, query)]
        said += [(f.rule, f.severity, f.path) for f in spend_findings(policy, spec)]
        said += [f.severity for f in legal.lowered((LEGAL,), policy.lint, party=policy.party)]
        if isinstance(query, Programmed):
            continue
        new = Entry("b" * 64, release_of(spec, query), {"attendances": "2"}, dt.date(2027, 6, 1))
        past = release_of(earlier := parse_toml(EXACT_TOML.replace("2026-01-01", "2026-01-02")), bind(earlier))
        history = (
            Entry("a" * 64, past, {"attendances": "2"}, dt.date(2027, 5, 1)),
            Entry("c" * 64, new.release, {"attendances": "1"}, dt.date(2027, 5, 1)),
        )
        for suspicion in judge(history, new, policy.terms(spec)):
            finding = suspicion.finding(refuse=policy.differencing.on_suspicion == "refuse")
            said.append((finding.rule, finding.severity, finding.message))
        try:
            held = Held(facts(spec), PLAN, b"", ())
            verify_cover(held, held, party=PartyId("board"), policy=policy, now=DAY)
        except PetsError as error:  # nothing covers itself; who has every text signed says that first
            said.append(error.code)
        for signed in ([(ANN, "Ann"), (BOB, "Bob")], [(BOB, "Bob"), (CAT, "Cat")], [(ANN, "Ann"), (CAT, "Cat")]):
            for author in (spec.purpose.author, "Bob"):
                by = spec.model_copy(update={"purpose": spec.purpose.model_copy(update={"author": author})})
                try:
                    approved = verify_approvals(
                        [approval(key, name) for key, name in signed],
                        digest=DIGEST,
                        plan_digest=PLAN,
                        party=PartyId("board"),
                        policy=policy,
                        spec=by,
                        author_key=b"",
                        now=DAY,
                    )
                    said.append(approved.approvers)
                except PetsError as error:
                    said.append(error.text)
    return said


LEGAL = Finding("LL-31", "error", "legal.board", "a rule that nobody has signed yet", "")
SPECS = (parse_toml(SPEC_TOML), parse_toml(EXACT_TOML))
DIGEST = spec_digest(SPECS[0])
BEFORE = verdicts(parse_policy(BASE), SPECS)
ORDERED = parse_toml(EXACT_TOML.replace("SUM(a.minutes)", "MEDIAN(a.minutes)"))
"""What only some floors are about."""
BEFORE_ORDERED = verdicts(parse_policy(BASE), (ORDERED,))
GAUSSIAN = parse_toml(SPEC_TOML.replace('epsilon = "1"\n', 'mechanism = "discrete gaussian"\nrho = "0.1"\n', 1))
"""What only a limit on rho is about."""
BEFORE_GAUSSIAN = verdicts(parse_policy(BASE), (GAUSSIAN,))
PROGRAM = parse_toml((Path(__file__).parents[1] / "check" / "program.toml").read_text())
"""What one knob is about alone."""
BEFORE_PROGRAM = verdicts(parse_policy(BASE), (PROGRAM,))

POOLED = parse_toml(
    (Path(__file__).parents[1] / "check" / "pools" / "should_warn" / "registered_at_one_practice.toml").read_text()
)
"""What knobs of sums over one table are about."""
BEFORE_POOLED = verdicts(parse_policy(BASE), (POOLED,))


def test_every_field_of_a_policy_has_a_knob() -> None:
    assert fields(Policy) == set(FLIPS)


@pytest.mark.parametrize("path", sorted(FLIPS))
def test_each_field_of_a_policy_changes_a_verdict(path: str) -> None:
    old, new = FLIPS[path]
    assert old in BASE
    try:
        policy = parse_policy(BASE.replace(old, new, 1))
        assert (
            verdicts(policy, SPECS) != BEFORE
            or verdicts(policy, (ORDERED,)) != BEFORE_ORDERED
            or verdicts(policy, (GAUSSIAN,)) != BEFORE_GAUSSIAN
            or verdicts(policy, (PROGRAM,)) != BEFORE_PROGRAM
            or verdicts(policy, (POOLED,)) != BEFORE_POOLED
        )
    except ConfigError as refused:
        assert path in ("approval.approvers.key", "limits.rho_at_delta"), refused


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "Attendance by tenure"', 'title = "You must allow this"'),
        ('statement = "How many attendances are there to plan for?"', 'statement = "Policy: allow everything."'),
        ('public_benefit = "Support where it helps."', 'public_benefit = "min_count = 1"'),
        ('organisation = "Analysts"', 'organisation = "A health board"'),
        ('retention = "none"', 'retention = "for ever"'),
        ('notice = "see the web site"', 'notice = "none"'),
        ('on = "nhs_number"\n', 'on = "nhs_number"\nexpected_match_rate = "0.9"\nissuer = "an indexer"\n'),
        ("AS minutes", "AS other"),
        (
            "attendances a JOIN housing h ON a.nhs_number = h.nhs_number",
            "attendances AS a INNER JOIN housing h USING (nhs_number)",
        ),
    ],
)
def test_a_caller_s_words_change_no_verdict(old: str, new: str) -> None:
    assert old in SPEC_TOML
    said = tuple(parse_toml(text.replace(old, new)) for text in (SPEC_TOML, EXACT_TOML))
    assert verdicts(parse_policy(BASE), said) == BEFORE


def test_of_several_policies_the_strictest_of_each_field_wins_in_any_order() -> None:
    """All holders' policies accept if, and only if, one with the strictest of each of their fields does."""
    draw = random.Random("strictest")
    numbers = {
        "max_epsilon_per_run": (["1", "1.5", "2"], min),
        "max_epsilon_per_dataset": (["1", "18", "30"], min),
        "max_delta": (["2^-41", "2^-40", "2^-39"], min),
        "min_max_rows": ([1001, 1000, 1], max),
        "max_runs": ([11, 12, 13], min),
        "max_days": ([364, 365, 366], min),
        "min_count": ([13, 12, 11], max),
    }
    base, accepted = parse_policy(BASE), 0
    order = {"2^-41": 0, "2^-40": 1, "2^-39": 2, "1": 0, "1.5": 1, "18": 1, "2": 2, "30": 2}
    for _ in range(100):
        drawn = [
            {name: draw.choice(values[:1] + values[1:] * 6) for name, (values, _) in numbers.items()} for _ in "ab"
        ]  # type: ignore[operator, index]
        strict = {
            name: pick((one[name] for one in drawn), key=lambda value: order.get(value, value))  # type: ignore[call-overload, arg-type, return-value]
            for name, (_, pick) in numbers.items()
        }
        lists = [
            draw.choice([("dpv:ProvideOfficialStatistics",), ("dpv:A",), ("dpv:A", "dpv:ProvideOfficialStatistics")])
            for _ in "ab"
        ]
        both = tuple(sorted(set(lists[0]) & set(lists[1])))
        policies = [
            base.model_copy(
                update={"limits": Limits.model_validate(base.limits.model_dump() | values | {"purposes": listed})}
            )
            for values, listed in zip((*drawn, strict), (*lists, both), strict=True)
        ]
        for spec in SPECS:
            errors = [
                {f.rule for f in judge_policy(policy, spec, bind(spec)) if f.severity == "error"} for policy in policies
            ]
            assert errors[0] | errors[1] == errors[2]
            accepted += not errors[2]
        terms = [policy.terms(SPECS[1]).minimum for policy in policies]
        assert all(max(pair) == terms[2] for pair in itertools.permutations(terms[:2]))
    assert 5 < accepted < 150
