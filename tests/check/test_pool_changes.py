"""Specifications of sums over one table that change, and releases of them beside each other."""

import pytest

from pets.check.diff import compare
from pets.check.differencing import Terms, judge
from pets.check.releases import Entry, release_of
from pets.errors import SpecError
from pets.spec.canonical import spec_digest
from pets.spec.model import Spec
from pets.spec.sql import bind
from tests.pooled import CONTROL, NOISE, SQL, pooled

CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "a smaller minimum": ({"minimum": 3}, "wider"),
    "a greater minimum": ({"minimum": 5}, "narrower"),
    "more time": ({"minutes": 61}, "incomparable"),
    "less time": ({"minutes": 59}, "incomparable"),
    "runs that end": ({"partial": "end the run"}, "incomparable"),
    "what holds anyway": ({"partial": "leave out"}, "equal"),
    "the protocol by its name": ({"protocol": "secure_sum"}, "narrower"),
    "another protocol": ({"protocol": "secure_sum_shamir"}, "incomparable"),
    "fewer who may collude": ({"corrupt": 1}, "wider"),
    "more noise": ({"protection": NOISE.replace('"4"', '"3"')}, "narrower"),
    "less noise": ({"protection": NOISE.replace('"4"', '"5"')}, "wider"),
    "other rows": ({"sql": SQL.replace("2026-01-01", "2026-02-01")}, "incomparable"),
    "the same in other words": ({"sql": SQL.replace("FROM visits", "FROM visits AS v")}, "equal"),
    "a condition on groups": ({"sql": SQL + "\nHAVING COUNT(*) > 9"}, "narrower"),
    "no groups": ({"sql": "SELECT COUNT(*) AS n FROM visits"}, "incomparable"),
}


@pytest.mark.parametrize(("said", "relation"), [("leave out", "equal"), ("end the run", "incomparable")])
def test_what_becomes_of_who_has_not_proved_its_numbers_is_approved(said: str, relation: str) -> None:
    found = compare(pooled(5, 3, protocol="checked_sum"), pooled(5, 3, protocol="checked_sum", unproved=said))
    assert found.relation == relation, found.text


@pytest.mark.parametrize("protocol", [None, "secure_sum_shamir"])
def test_it_is_not_said_where_nothing_is_proved(protocol: str | None) -> None:
    with pytest.raises(SpecError, match="unproved_uploads belongs to checked_sum"):
        pooled(5, 3, protocol=protocol, unproved="leave out")


@pytest.mark.parametrize("name", CHANGES)
def test_what_may_change_under_a_standing_approval(name: str) -> None:
    options, relation = CHANGES[name]
    found = compare(pooled(5, 3, minimum=4), pooled(5, 3, **{"minimum": 4, **options}))
    assert found.relation == relation, found.text


def test_another_holder_needs_an_approval_of_its_own() -> None:
    assert compare(pooled(5, 3), pooled(6, 3)).relation == "incomparable"
    assert compare(pooled(6, 3), pooled(5, 3)).relation == "incomparable"


def entry(spec: Spec) -> Entry:
    return Entry(spec_digest(spec), release_of(spec, bind(spec)), {})


def rules(past: Spec, new: Spec) -> set[str]:
    return {found.rule for found in judge([entry(past)], entry(new), Terms("board-1", 10))}


def frozen(holders: int, **options: object) -> Spec:
    edits = [('refresh = "monthly"', 'refresh = "frozen"')]
    return pooled(holders, 3, edits=edits, **{"protection": CONTROL, **options})


def test_a_release_of_all_holders_beside_one_of_all_but_one_is_suspicious() -> None:
    assert rules(frozen(5), frozen(5, runs=1)) == set()
    assert rules(frozen(5), frozen(4)) == {"definition"}
    assert rules(frozen(4), frozen(5)) == {"definition"}
    assert rules(frozen(5), frozen(4, protection=NOISE)) == {"mixed"}


def test_two_releases_with_noise_are_for_the_budget() -> None:
    assert rules(frozen(5, protection=NOISE), frozen(4, protection=NOISE)) == set()


def test_other_rows_of_the_same_holders_are_suspicious_too() -> None:
    assert "difference" in rules(frozen(5), frozen(5, sql=SQL.replace("2026-01-01", "2026-01-02")))
    assert "linked" in rules(frozen(5), frozen(5, sql=SQL.replace("ward, ", "", 1).replace("GROUP BY ward", "")))
