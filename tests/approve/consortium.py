"""A small consortium for tests: a specification, its query, approvers with keys, a policy."""

import datetime as dt

from pets.approve.approvals import approve
from pets.approve.envelope import SigningKey, keygen
from pets.approve.policy import Policy, parse_policy
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.spec.canonical import spec_digest
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.query import Aggregate, ColumnRef, Compare, Output, Query, Statistic

SPEC_TOML = '''
pets = 1
title = "Attendance by tenure"

[purpose]
statement = "How many attendances are there to plan for?"
dpv = ["dpv:ProvideOfficialStatistics"]
public_benefit = "Support where it helps."
author = "Alex Author"

[[party]]
name = "board"
organisation = "A health board"
roles = ["input", "computing"]
san = "spiffe://board.example/pets"

[[party]]
name = "council"
organisation = "A council"
roles = ["input", "computing"]
san = "spiffe://council.example/pets"

[[party]]
name = "helper"
organisation = "An office"
roles = ["computing"]
san = "spiffe://helper.example/pets"

[[party]]
name = "statistics"
organisation = "Analysts"
roles = ["result"]
san = "spiffe://statistics.example/pets"

[[dataset]]
name = "attendances"
party = "board"
max_rows_per_person = 4
max_rows = 1000
[dataset.columns]
nhs_number = { role = "person id", scheme = "nhs-number" }
minutes = { role = "measure", type = "integer", min = 0, max = 1440 }
arrival = { role = "filter only", type = "date" }

[[dataset]]
name = "housing"
party = "council"
max_rows_per_person = 1
max_rows = 1000
[dataset.columns]
nhs_number = { role = "person id", scheme = "nhs-number" }
tenure = { role = "dimension", type = "category", levels = ["own", "rent"] }

[legal.board]
controller = "A health board"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
dpia = { id = "1", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "see the web site"

[legal.council]
controller = "A council"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
dpia = { id = "2", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "see the web site"

[linkage]
on = "nhs_number"
version = "1"

[computation]
sql = """
SELECT h.tenure, SUM(a.minutes) AS minutes, COUNT(DISTINCT a.nhs_number) AS people
FROM attendances a JOIN housing h ON a.nhs_number = h.nhs_number
WHERE a.arrival >= DATE '2026-01-01'
GROUP BY h.tenure
"""

[release]
to = ["statistics"]
[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"

[security]
adversary = "semi-honest"
corrupt = 1
protocol = "helper_join_a"
[[security.leakage]]
learner = "helper"
item = "match_count"
noised = { epsilon = "0.5", delta = "2^-40" }

[validity]
not_before = 2026-12-01
not_after = 2027-11-30
max_runs = 12
'''

SPEC: Spec = parse_toml(SPEC_TOML)
DIGEST: SpecDigest = spec_digest(SPEC)
PLAN = PlanDigest("ab" * 32)
BOARD = PartyId("board")
DAY = dt.date(2027, 1, 15)

QUERY = Query(
    left="attendances",
    right="housing",
    join="inner",
    outputs=(
        Output("tenure", ColumnRef("housing", "tenure")),
        Output("minutes", Aggregate(Statistic.SUM, (ColumnRef("attendances", "minutes"),))),
        Output("people", Aggregate(Statistic.COUNT_PEOPLE, (ColumnRef("attendances", "nhs_number"),))),
    ),
    group_by=(ColumnRef("housing", "tenure"),),
    where_left=Compare("arrival", ">=", dt.date(2026, 1, 1)),
)

ANN, ANN_NEW, BOB, CAT, AUTHOR, STRANGER = (keygen() for _ in range(6))

POLICY_TOML = f"""
party = "board"

[approval]
k = 2

[[approval.approvers]]
name = "Ann"
role = "information governance"
organisation = "A health board"
key = "{ANN.text}"

[[approval.approvers]]
name = "Ann"
role = "information governance"
organisation = "A health board"
key = "{ANN_NEW.text}"

[[approval.approvers]]
name = "Bob"
role = "asset owner"
organisation = "A health board"
key = "{BOB.text}"

[[approval.approvers]]
name = "Cat"
role = "asset owner"
organisation = "A university"
key = "{CAT.text}"

[limits]
max_epsilon_per_run = "2"
max_epsilon_per_dataset = "20"
max_delta = "2^-30"
period = "year"
recipients = ["spiffe://statistics.example/pets"]
purposes = ["dpv:ProvideOfficialStatistics"]
protocols = ["helper_join_a"]
adversaries = ["semi-honest"]

[columns.attendances]
nhs_number = ["join key"]
minutes = ["any use", "no group by"]
arrival = ["filter only"]
"""

POLICY: Policy = parse_policy(POLICY_TOML)


def approval(
    key: SigningKey,
    name: str,
    *,
    digest: SpecDigest = DIGEST,
    plan: PlanDigest = PLAN,
    party: str = "board",
    not_before: dt.date = dt.date(2026, 12, 1),
    not_after: dt.date = dt.date(2027, 6, 30),
    max_runs: int = 6,
) -> bytes:
    """A signed approval, right in everything that is not given."""
    return approve(
        digest=digest,
        plan_digest=plan,
        party=party,
        approver=name,
        key=key,
        not_before=not_before,
        not_after=not_after,
        max_runs=max_runs,
    )


def edit(text: str, old: str, new: str) -> str:
    """The text with the first ``old``, which must be there, replaced."""
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)
