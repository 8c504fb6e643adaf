"""Sums over one table of many holders as somebody would ask for them who wants more than they may tell."""

import pytest

from pets.check import legal
from pets.plan.review import Review, review
from pets.spec.ir import Protect
from tests.pooled import CONTROL, NOISE, pooled

HELD = {"computing": 3, "protection": CONTROL}


def errors(found: Review) -> set[str]:
    return {finding.rule for finding in found.verdict.errors if finding.rule not in legal.RULES}


@pytest.mark.parametrize("to", ["board-1", "board-3"])
def test_who_takes_its_own_rows_off_gets_no_exact_numbers(to: str) -> None:
    """Nine of its own persons and one of another's are ten: shown, and then one."""
    assert errors(review(pooled(to=to, **HELD))) == {"pool.own-part"}
    assert errors(review(pooled(to=to, protection=NOISE))) == set()


def test_nor_does_another_name_of_a_holder() -> None:
    edits = [('organisation = "Analysts"', 'organisation = "HEALTH BOARD board-2"')]
    found = review(pooled(edits=edits, **HELD))
    assert errors(found) == {"pool.own-part"}
    assert "board-2" in next(each.message for each in found.findings if each.rule == "pool.own-part")


TWO = """SELECT ward, COUNT(*) AS n, SUM(minutes) AS minutes, SUM(CASE WHEN age >= 65 THEN minutes END) AS old
FROM visits GROUP BY ward"""


def test_two_numbers_that_differ_by_a_few_persons_are_held_to_the_minimum() -> None:
    found = review(pooled(sql=TWO, **HELD))
    assert errors(found) == set() and found.plan is not None and isinstance(found.plan.protection, Protect)
    assert "count(*), and nothing more" in {count.name for count in found.plan.protection.counts}


def test_or_refused_where_nobody_can_count_those_persons() -> None:
    assert errors(review(pooled(sql=TWO, per_person=3, truncate=True, **HELD))) == {"control.complement"}
