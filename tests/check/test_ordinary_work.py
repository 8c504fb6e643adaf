"""Ordinary work that the differencing guard must not stop (threats-and-tests.md 5.2): 30 workloads, under each preset.

A workload is what a statistics office asks for over some time. Every release of it is held against all that came
before, as a server would; the policy is one that a careful holder writes: it says which of its cells are large, and
that a quarter changes every cell by the minimum of people.
"""

import datetime as dt
from dataclasses import dataclass, replace

import pytest

from pets.check.differencing import Terms, judge
from pets.check.releases import Entry
from tests.check.releases import ROUNDED, TERMS, asked, large

PRESETS = {
    "ten or more": "min_count = 10",
    "eight or more, rounded to five": ROUNDED,
    "ten or more, rounded to ten": "min_count = 10\nround_to = 10",
    "noise": None,
}
BIG = large(*(f"attendances.{name}" for name in ("sex", "age_band", "country", "department", "year")), "housing.tenure")
POLICY = replace(TERMS, large=(BIG,), joiners="quarterly")


@dataclass(frozen=True)
class Work:
    """Queries in the order in which they are asked; ``changes`` to the specification of each, versions and days."""

    queries: tuple[str, ...]
    changes: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ()
    days: tuple[dt.date, ...] = ()
    runs: int = 1
    terms: Terms = POLICY


def work(*queries: str, **more: object) -> Work:
    return Work(queries, **more)  # type: ignore[arg-type]


def yearly(sql: str, years: tuple[str, ...] = ("2016", "2017", "2018")) -> tuple[str, ...]:
    """A table for one year after the other."""
    return tuple(sql.format(f"a.year = '{year}'") for year in years)


REFRESH = ("max_rows_per_person = 4\n", 'max_rows_per_person = 4\nrefresh = "{}"\n')
QUARTERS = (dt.date(2027, 1, 4), dt.date(2027, 4, 5), dt.date(2027, 7, 5), dt.date(2027, 10, 4))

ALWAYS = tuple((f"max = {most}, clamp = true", f"max = {most}, clamp = true, required = true") for most in (1440, 4000))
"""Minutes and rents that are never missing. Of exact means, each shows how many have a value: two that differ in that
tell how many have one and lack the other."""

WORKLOADS: dict[str, Work] = {
    "annual tables by country and sex": work(
        *yearly("SELECT a.country, a.sex, COUNT(*) AS n WHERE {} GROUP BY a.country, a.sex")
    ),
    "annual tables by council area and age band": work(
        *yearly("SELECT a.council, a.age_band, COUNT(*) AS n WHERE {} GROUP BY a.council, a.age_band")
    ),
    "attendances by month and provider, year after year": work(
        *yearly("SELECT a.month, a.provider, COUNT(*) AS n WHERE {} GROUP BY a.month, a.provider")
    ),
    "breaches of four hours by month and department": work(
        "SELECT a.month, a.department, SUM(a.breach) AS breaches GROUP BY a.month, a.department"
    ),
    "rates per thousand by country": work("SELECT a.country, AVG(a.breach) AS rate GROUP BY a.country"),
    "rates by band and department, two years": work(
        *yearly("SELECT a.age_band, a.department, AVG(a.breach) AS rate WHERE {} GROUP BY a.age_band, a.department")
    ),
    "top-level totals beside regional ones": work(
        "SELECT a.country, COUNT(*) AS n GROUP BY a.country", "SELECT COUNT(*) AS n"
    ),
    "regional sums, then the national one": work(
        "SELECT a.country, SUM(a.cost) AS c GROUP BY a.country", "SELECT SUM(a.cost) AS c"
    ),
    "year on year with disjoint years": work(*yearly("SELECT COUNT(*) AS n, AVG(a.minutes) AS mean WHERE {}")),
    "year on year by dates of arrival": work(
        *(
            f"SELECT h.tenure, AVG(a.minutes) AS mean WHERE a.arrival >= DATE '{year}-01-01' "
            f"AND a.arrival < DATE '{year + 1}-01-01' GROUP BY h.tenure"
            for year in (2024, 2025, 2026)
        )
    ),
    "two outcomes on one cohort": work(
        "SELECT a.country, AVG(a.minutes) AS mean WHERE a.age >= 65 GROUP BY a.country",
        "SELECT a.country, AVG(a.cost) AS mean WHERE a.age >= 65 GROUP BY a.country",
        changes=ALWAYS,
    ),
    "a second statistic of the same cells": work(
        "SELECT h.tenure, AVG(a.minutes) AS mean GROUP BY h.tenure",
        "SELECT h.tenure, STDDEV_SAMP(a.minutes) AS spread, COUNT(*) AS n GROUP BY h.tenure",
        changes=ALWAYS,
    ),
    "the same specification again on an unchanged snapshot": work(
        *["SELECT h.tenure, COUNT(*) AS n, AVG(a.minutes) AS mean GROUP BY h.tenure"] * 3,
        versions=("1", "1", "1"),
        days=QUARTERS[:3],
        runs=12,
    ),
    "the same table for another team, in other words": work(
        "SELECT a.sex, COUNT(*) AS n WHERE a.age >= 18 AND a.country = 'Wales' GROUP BY a.sex",
        "SELECT a.sex AS gender, COUNT(*) AS people WHERE a.country = 'Wales' AND NOT a.age < 18 GROUP BY a.sex",
    ),
    "quarterly refresh": work(
        *["SELECT a.country, a.sex, COUNT(*) AS n GROUP BY a.country, a.sex"] * 4,
        changes=((REFRESH[0], REFRESH[1].format("quarterly")),),
        versions=("1", "2", "3", "4"),
        days=QUARTERS,
        runs=4,
    ),
    "yearly refresh": work(
        *["SELECT a.council, COUNT(*) AS n GROUP BY a.council"] * 2,
        changes=((REFRESH[0], REFRESH[1].format("yearly")),),
        versions=("1", "2"),
        days=(dt.date(2026, 1, 5), dt.date(2027, 1, 6)),
        runs=2,
    ),
    "regression of waiting on rent": work(
        "SELECT REGR_SLOPE(a.minutes, h.rent) AS slope, REGR_INTERCEPT(a.minutes, h.rent) AS base, "
        "CORR(a.minutes, h.rent) AS r, COUNT(*) AS n"
    ),
    "regression beside means of both": work(
        "SELECT a.sex, REGR_SLOPE(a.minutes, h.rent) AS slope GROUP BY a.sex",
        "SELECT a.sex, AVG(a.minutes) AS m, AVG(h.rent) AS rent GROUP BY a.sex",
        changes=ALWAYS,
    ),
    "standardised ratios: observed by area, expected by band": work(
        "SELECT a.country, a.age_band, COUNT(*) AS n GROUP BY a.country, a.age_band",
        "SELECT a.age_band, COUNT(*) AS n GROUP BY a.age_band",
    ),
    "standardised rates of an indicator": work(
        "SELECT a.country, a.sex, AVG(a.breach) AS rate GROUP BY a.country, a.sex",
        "SELECT a.sex, AVG(a.breach) AS rate GROUP BY a.sex",
    ),
    "survival at published intervals": work(
        "SELECT a.interval, a.outcome, COUNT(*) AS n GROUP BY a.interval, a.outcome"
    ),
    "survival of two cohorts": work(
        "SELECT a.interval, COUNT(*) AS n WHERE a.sex = 'females' GROUP BY a.interval",
        "SELECT a.interval, COUNT(*) AS n WHERE a.sex = 'males' GROUP BY a.interval",
    ),
    "linkage quality: everybody, by sex, matched or not": work(
        "SELECT h.tenure, a.sex, COUNT(*) AS n FROM attendances a LEFT JOIN housing h "
        "ON a.nhs_number = h.nhs_number GROUP BY h.tenure, a.sex"
    ),
    "population pyramid, national": work("SELECT a.sex, a.age_band, COUNT(*) AS n GROUP BY a.sex, a.age_band"),
    "pyramid by country, then by sex alone": work(
        "SELECT a.country, a.sex, COUNT(*) AS n GROUP BY a.country, a.sex", "SELECT a.sex, COUNT(*) AS n GROUP BY a.sex"
    ),
    "people and visits": work(
        "SELECT h.tenure, COUNT(*) AS visits, COUNT(DISTINCT a.nhs_number) AS people GROUP BY h.tenure"
    ),
    "one country after the other": work(
        *(
            f"SELECT a.sex, COUNT(*) AS n, AVG(a.minutes) AS mean WHERE a.country = '{name}' GROUP BY a.sex"
            for name in ("England", "Wales", "Scotland")
        )
    ),
    "one year in a table of its own, then all years": work(
        "SELECT a.country, COUNT(*) AS n WHERE a.year = '2018' GROUP BY a.country",
        "SELECT a.country, a.year, COUNT(*) AS n GROUP BY a.country, a.year",
    ),
    "costs and attendances of different years": work(
        "SELECT a.department, SUM(a.cost) AS c WHERE a.year = '2017' GROUP BY a.department",
        "SELECT a.department, a.sex, COUNT(*) AS n WHERE a.year = '2018' GROUP BY a.department, a.sex",
    ),
    "young and old by tenure": work(
        "SELECT h.tenure, AVG(a.minutes) AS mean WHERE a.age < 18 GROUP BY h.tenure",
        "SELECT h.tenure, AVG(a.minutes) AS mean WHERE a.age >= 65 GROUP BY h.tenure",
    ),
}


def releases(one: Work, control: str | None) -> list[Entry]:
    return [
        asked(
            sql,
            *one.changes,
            control=control or "",
            noise=control is None,
            runs=one.runs,
            versions={"attendances": one.versions[place]} if one.versions else None,
            day=one.days[place] if one.days else None,
        )
        for place, sql in enumerate(one.queries)
    ]


def test_there_are_thirty() -> None:
    assert len(WORKLOADS) == 30


@pytest.mark.parametrize("name", WORKLOADS)
def test_ordinary_work_is_not_stopped(name: str) -> None:
    for preset, control in PRESETS.items():
        history: list[Entry] = []
        for new in releases(WORKLOADS[name], control):
            assert not judge(history, new, WORKLOADS[name].terms), preset
            history.append(new)
        for number in range(len(history)):  # and in any other order
            rest = [entry for place, entry in enumerate(history) if place != number]
            assert not judge(rest, history[number], WORKLOADS[name].terms), preset


def test_all_of_it_together_under_one_policy() -> None:
    """Thirty teams, one history, noise: nobody is ever asked, whoever came before."""
    history = [entry for one in WORKLOADS.values() for entry in releases(one, None)]
    for new in history:
        assert not judge(history, new, POLICY)
