"""Releases for the differencing guard, each from a real specification: parsed, bound, read off.

The tables have columns like those of the open data in parties/demo/data (attendances by month, provider and type) and
of population tables (sex, single year of age, area). Nothing without noise can be run yet; the guard decides already.
"""

import datetime as dt
from collections.abc import Mapping
from hashlib import sha256

from pets.check.differencing import Large, Suspicion, Terms, judge
from pets.check.releases import Entry, release_of
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from pets.spec.sql import bind
from tests.approve.consortium import SPEC_TOML

AREAS = {
    "England": ["North East", "London"],
    "Wales": ["Gwynedd"],
    "Scotland": ["Fife", "Highland"],
    "Northern Ireland": ["Belfast"],
}
COUNTRIES, COUNCILS = list(AREAS), [name for names in AREAS.values() for name in names]
BANDS = ["0-15", "16-44", "45-64", "65-84", "85+"]
MONTHS = [f"2018-{month:02d}" for month in range(4, 13)] + [f"2019-{month:02d}" for month in range(1, 4)]
YEARS = ["2016", "2017", "2018", "2019"]

TABLES = f"""
[[dataset]]
name = "attendances"
party = "board"
max_rows_per_person = 4
max_rows = 1000000
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
sex = {{ role = "dimension", type = "category", levels = ["females", "males"] }}
age_band = {{ role = "dimension", type = "category", levels = {BANDS} }}
country = {{ role = "dimension", type = "category", levels = {COUNTRIES} }}
council = {{ role = "dimension", type = "category", levels = {COUNCILS} }}
provider = {{ role = "dimension", type = "category", levels = ["RA7", "RJ1", "RQM", "RYJ"] }}
department = {{ role = "dimension", type = "category", levels = ["1", "2", "other"] }}
code = {{ role = "dimension", type = "category", levels = ["A01", "B02", "C03", "Z99"] }}
month = {{ role = "dimension", type = "category", levels = {MONTHS} }}
year = {{ role = "dimension", type = "category", levels = {YEARS} }}
interval = {{ role = "dimension", type = "category", levels = ["0-30 days", "31-365 days", "over a year"] }}
outcome = {{ role = "dimension", type = "category", levels = ["admitted", "discharged", "died"] }}
minutes = {{ role = "measure", type = "integer", min = 0, max = 1440, clamp = true }}
cost = {{ role = "measure", type = "decimal", places = 2, min = "0", max = "9000", required = true }}
breach = {{ role = "measure", type = "integer", min = 0, max = 1, required = true }}
age = {{ role = "measure", type = "integer", min = 0, max = 120, required = true }}
arrival = {{ role = "filter only", type = "date" }}

[[dataset]]
name = "housing"
party = "council"
max_rows_per_person = 1
max_rows = 1000000
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
tenure = {{ role = "dimension", type = "category", levels = ["own", "rent"] }}
rent = {{ role = "measure", type = "integer", min = 0, max = 4000, clamp = true }}

"""
HEAD, REST = SPEC_TOML[: SPEC_TOML.index("[[dataset]]")], SPEC_TOML[SPEC_TOML.index("[legal.board]") :]
NOISE = REST[REST.index("[release.differential_privacy]") : REST.index("[security]")]
JOIN = "FROM attendances a JOIN housing h ON a.nhs_number = h.nhs_number"

TERMS = Terms(holder="board", minimum=10)
TEN = "min_count = 10"
ROUNDED = "min_count = 8\nround_to = 5"
"""As OpenSAFELY releases: seven and fewer withheld, then rounded to five."""


def spec_of(sql: str, *changes: tuple[str, str], control: str = TEN, runs: int = 1, noise: bool = False) -> Spec:
    """A specification with a query and a release of its own; the query's FROM may be left out."""
    query = sql if " FROM " in sql else _with_join(sql)
    text = HEAD + TABLES + REST
    start, end = text.index('sql = """'), text.index('"""\n\n[release]')
    text = f'{text[:start]}sql = """{query}{text[end:]}'
    if not noise:
        text = text.replace(NOISE, f"[release.disclosure_control]\n{control}\n")
    text = text.replace("max_runs = 12", f"max_runs = {runs}")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_toml(text)


def _with_join(sql: str) -> str:
    for word in (" WHERE ", " GROUP BY "):
        if word in sql:
            return sql.replace(word, f" {JOIN}{word}", 1)
    return f"{sql} {JOIN}"


def asked(
    sql: str,
    *changes: tuple[str, str],
    control: str = TEN,
    runs: int = 1,
    noise: bool = False,
    versions: Mapping[str, str] | None = None,
    day: dt.date | None = None,
) -> Entry:
    """A release that is asked for, or that was made."""
    spec = spec_of(sql, *changes, control=control, runs=runs, noise=noise)
    digest = sha256(repr((sql, changes, control, runs, noise)).encode()).hexdigest()
    return Entry(digest, release_of(spec, bind(spec)), versions or {}, day)


def rules(history: list[Entry], new: Entry, terms: Terms = TERMS) -> set[str]:
    return {suspicion.rule for suspicion in judge(history, new, terms)}


def suspicions(history: list[Entry], new: Entry, terms: Terms = TERMS) -> tuple[Suspicion, ...]:
    return judge(history, new, terms)


def large(*columns: str, persons: int = 1000) -> Large:
    return Large(frozenset(columns), persons)
