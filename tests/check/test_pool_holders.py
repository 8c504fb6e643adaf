"""At how many holders a person is at most: what the noise of sums over one table covers, and who says so."""

import pytest

from pets.errors import SpecError
from pets.plan.review import review
from pets.spec.ir import AddNoise
from pets.spec.parse import parse_toml
from tests.pooled import CONTROL, pooled, pooled_toml

SAID = ("max_rows_per_person = 1\n", "max_rows_per_person = 1\nmax_holders_per_person = {}\n")
PEOPLE = "SELECT ward, COUNT(DISTINCT nhs_number) AS people FROM visits GROUP BY ward"


def said(number: int) -> tuple[str, str]:
    return SAID[0], SAID[1].format(number)


def sensitivities(**options: object) -> list[int]:
    plan = review(pooled(**options)).plan  # type: ignore[arg-type]
    assert plan is not None and isinstance(plan.protection, AddNoise)
    return [column.sensitivity for column in plan.protection.columns]


@pytest.mark.parametrize("most", [1, 3, 5])
def test_noise_covers_a_person_at_as_many_holders_as_may_be(most: int) -> None:
    everywhere = sensitivities(holders=5)
    assert sensitivities(holders=5, edits=(said(most),)) == [each * most // 5 for each in everywhere]
    assert sensitivities(holders=5, edits=(said(5),)) == everywhere


def test_it_is_told_as_something_that_nobody_can_check() -> None:
    found = review(pooled(holders=5, edits=(said(2),)))
    (warning,) = (each for each in found.findings if each.rule == "pool.holders")
    assert warning.severity == "warning" and found.accepted
    assert "nobody has rows at more than 2 of 5 holders, which no party can check" in warning.message
    assert not [each for each in review(pooled(holders=5)).findings if each.rule == "pool.holders"]


def test_persons_can_be_counted_where_each_is_at_one_holder() -> None:
    assert [each.rule for each in review(pooled(sql=PEOPLE)).findings if each.severity == "error"] == ["sql.argument"]
    found = review(pooled(sql=PEOPLE, edits=(said(1),)))
    assert found.accepted and found.plan is not None and found.plan.pool is not None
    assert [moment.name for moment in found.plan.pool.moments] == ["count(*)"]
    several = review(
        pooled(
            sql=PEOPLE,
            per_person=3,
            edits=(("max_rows_per_person = 3\n", "max_rows_per_person = 3\nmax_holders_per_person = 1\n"),),
        )
    )
    assert several.accepted and several.plan is not None and several.plan.pool is not None
    assert [moment.a.people for moment in several.plan.pool.moments] == [True]


def test_a_minimum_counts_persons_where_each_is_at_one_holder() -> None:
    rules = {each.rule for each in review(pooled(computing=3, protection=CONTROL)).findings}
    assert "pool.persons" in rules
    rules = {each.rule for each in review(pooled(computing=3, protection=CONTROL, edits=(said(1),))).findings}
    assert "pool.persons" not in rules and "pool.holders" in rules


@pytest.mark.parametrize(("number", "problem"), [(6, "no more than these"), (0, "1")])
def test_more_than_all_and_none_are_refused(number: int, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        pooled(holders=5, edits=(said(number),))


def test_it_is_no_word_of_a_table_of_one_party_or_of_a_join() -> None:
    toml = pooled_toml(holders=5, edits=(said(2),))
    start, end = toml.index("[dataset.holders]"), toml.index("[dataset.columns]")
    with pytest.raises(SpecError, match="is of the holders of a table"):
        parse_toml(
            toml[:start].replace('name = "visits"', 'name = "visits"\nparty = "board-1"\nmax_rows = 9') + toml[end:]
        )
    other = '[[dataset]]\nname = "homes"\nparty = "board-1"\nmax_rows_per_person = 1\nmax_rows = 9\n[dataset.columns]\n'
    other += 'nhs_number = { role = "person id", scheme = "nhs-number" }\n'
    linked = '[linkage]\non = "nhs_number"\nversion = "1"\n'
    with pytest.raises(SpecError, match="a join finds a person at every holder"):
        parse_toml(toml.replace("[legal.board-1]", other + linked + "[legal.board-1]"))
