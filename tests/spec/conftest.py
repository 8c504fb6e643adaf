"""A specification with a column of every type, and a way to give it another query."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pets.spec.model import Spec
from pets.spec.parse import parse_toml, read_spec

settings.register_profile("spec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spec")

ROOT = Path(__file__).parents[2]

TOML = """
pets = 1
title = "Stays and homes"
[purpose]
statement = "A test."
dpv = ["dpv:ScientificResearch"]
public_benefit = "None."
author = "author@example"
[[party]]
name = "board"
organisation = "A board"
roles = ["input", "computing"]
san = "spiffe://board.example/pets"
[[party]]
name = "council"
organisation = "A council"
roles = ["input", "computing"]
san = "spiffe://council.example/pets"
[[party]]
name = "helper"
organisation = "A helper"
roles = ["computing"]
san = "spiffe://helper.example/pets"
[[party]]
name = "office"
organisation = "An office"
roles = ["result"]
san = "spiffe://office.example/pets"
[[dataset]]
name = "stays"
party = "board"
max_rows_per_person = 3
max_rows = 1000
[dataset.columns]
id = { role = "person id", scheme = "text" }
ward = { role = "dimension", type = "category", levels = ["north", "south", "it's"] }
nights = { role = "measure", type = "integer", min = 0, max = 30 }
cost = { role = "measure", type = "decimal", places = 2, min = "-1.50", max = "99.99" }
day = { role = "filter only", type = "date" }
note = { role = "filter only", type = "text" }
[[dataset]]
name = "homes"
party = "council"
max_rows_per_person = 1
max_rows = 500
[dataset.columns]
id = { role = "person id", scheme = "text" }
tenure = { role = "dimension", type = "category", levels = ["owner", "rent"] }
rent = { role = "measure", type = "integer", min = 0, max = 5000, clamp = true }
year = { role = "filter only", type = "integer" }
[legal.board]
controller = "A board"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e"
dpia = { id = "1", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "none"
[legal.council]
controller = "A council"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e"
dpia = { id = "2", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }
retention = "none"
notice = "none"
[linkage]
on = "id"
version = "1"
[computation]
sql = "SELECT COUNT(*) FROM stays s JOIN homes h ON s.id = h.id"
[release]
to = ["office"]
[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"
[security]
adversary = "semi-honest"
corrupt = 1
[[security.leakage]]
learner = "everyone"
item = "row_count"
of = ["stays", "homes"]
as = "declared maximum"
[validity]
not_before = 2026-01-01
not_after = 2027-01-01
max_runs = 3
"""

Ask = Callable[[str], Spec]


@pytest.fixture(scope="session")
def toml() -> str:
    return TOML


@pytest.fixture(scope="session")
def spec() -> Spec:
    return parse_toml(TOML)


@pytest.fixture(scope="session")
def ask(spec: Spec) -> Ask:
    """The specification with another query, past the model's own cap on its length."""
    return lambda sql: spec.model_copy(update={"computation": spec.computation.model_copy(update={"sql": sql})})


@pytest.fixture(scope="session")
def demo() -> Spec:
    return read_spec(ROOT / "parties" / "demo" / "ae_by_tenure.spec.toml")
