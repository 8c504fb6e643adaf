"""Sums over one table of many holders as somebody would ask for them who wants more than they may tell."""

import pytest

from pets.check import legal
from pets.check.differencing import Terms, judge
from pets.check.disclosure import render
from pets.check.releases import Entry, release_of
from pets.plan.review import Review, review
from pets.spec.ir import Protect
from pets.spec.sql import bind
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


def test_the_report_says_what_is_left_when_all_others_take_their_rows_off() -> None:
    """A group is large enough over all holders; of the one that is left it may be one person."""
    said = " ".join(render(review(pooled(**HELD))).split())
    assert "in every group that is shown, however few of its persons are that holder's" in said
    assert "west with north or south: the sums over all holders, exactly, of groups that are withheld, too" in said


def run_of(holders: int, name: str, **options: object) -> Entry:
    spec = pooled(holders=holders, **(HELD | options))  # type: ignore[arg-type]
    return Entry(name, release_of(spec, bind(spec)), {"visits": "as they were"})


def test_sums_of_all_and_of_all_but_one_are_held_against_each_other() -> None:
    """Each of the two is of all holders that it names; the difference is what one brings. Four of five see both."""
    terms = Terms(holder="board-1", minimum=10)
    five, four = run_of(5, "five"), run_of(4, "four")
    for past, new in ((five, four), (four, five)):
        assert {each.rule for each in judge([past], new, terms)} == {"definition"}
        assert "other holders" in judge([past], new, terms)[0].problem
    assert judge([five], run_of(5, "again"), terms) == ()
    assert {each.rule for each in judge([five], run_of(5, "some", sql=YOUNG), terms)} == {"difference"}


def test_an_exact_table_of_five_takes_what_noise_was_to_hide_off_one_of_four() -> None:
    """What is left is the fifth holder's, with noise that this holder has reserved no budget for."""
    noised = run_of(4, "four", computing=2, protection=NOISE)
    for past, new in ((noised, run_of(5, "five")), (run_of(5, "five"), noised)):
        assert {each.rule for each in judge([past], new, Terms(holder="board-1", minimum=10))} == {"mixed"}


def test_two_tables_with_noise_are_the_ledger_s_business() -> None:
    noised = {"computing": 2, "protection": NOISE}
    assert judge([run_of(5, "five", **noised)], run_of(4, "four", **noised), Terms(holder="board-1", minimum=10)) == ()


YOUNG = "SELECT ward, COUNT(*) AS n FROM visits WHERE age < 65 GROUP BY ward"
TWO = """SELECT ward, COUNT(*) AS n, SUM(minutes) AS minutes, SUM(CASE WHEN age >= 65 THEN minutes END) AS old
FROM visits GROUP BY ward"""


def test_two_numbers_that_differ_by_a_few_persons_are_held_to_the_minimum() -> None:
    found = review(pooled(sql=TWO, **HELD))
    assert errors(found) == set() and found.plan is not None and isinstance(found.plan.protection, Protect)
    assert "count(*), and nothing more" in {count.name for count in found.plan.protection.counts}


def test_or_refused_where_nobody_can_count_those_persons() -> None:
    assert errors(review(pooled(sql=TWO, per_person=3, truncate=True, **HELD))) == {"control.complement"}


@pytest.mark.parametrize(
    ("organisation", "minimum", "accepted"),
    [
        ("Analysts", 2, True),
        ("Health board board-2", 2, False),
        ("health board  BOARD-2", 2, False),
        ("Health board board-2", 3, True),
    ],
)
def test_whoever_gets_the_table_takes_its_organisation_s_part_off_a_sum(
    organisation: str, minimum: int, accepted: bool
) -> None:
    """Another name of a holder does so, too: what is left has to be of two others."""
    edits = [('organisation = "Analysts"', f'organisation = "{organisation}"')]
    found = review(pooled(4, minimum=minimum, edits=edits))
    assert errors(found) == (set() if accepted else {"pool.uploads"})
