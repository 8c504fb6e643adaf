"""What the check benchmark feeds the check, and what it says of SQL that no parser may see; no time is asserted."""

import pytest
import sqlglot

from benchmarks import check
from pets.errors import SpecError
from pets.plan.cost import join_of
from pets.plan.review import review
from pets.spec.parse import parse_toml


@pytest.mark.parametrize("name", check.GROWING)
def test_specifications_that_grow_are_accepted_and_their_plans_grow(name: str) -> None:
    text_of, factor = check.GROWING[name]
    small, large = (review(parse_toml(text_of(factor * size))).require() for size in (1, 4))
    if name in ("columns", "outputs"):
        assert len(large.query.outputs) > len(small.query.outputs)
    if name == "columns":
        assert dict(join_of(large.plan).public)["v"] > dict(join_of(small.plan).public)["v"]
    if name == "levels":
        assert dict(join_of(large.plan).public)["g"] > 3 * dict(join_of(small.plan).public)["g"]
    if name == "holders":
        assert (small.spec.servers[-4:][0], len(small.spec.servers), len(large.spec.servers)) == (
            *("practice-0015", 19),
            67,
        )
    if name == "predicates":
        assert len(str(large.query.where_left)) > 3 * len(str(small.query.where_left))


@pytest.mark.parametrize(("name", "sql"), list(check.hostile()), ids=[name for name, _ in check.hostile()])
def test_deep_and_long_sql_is_refused_by_every_way_in_before_a_parser_sees_it(
    name: str, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = check.ways_in(sql)

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("the parser was reached")

    for entry in ("parse", "parse_one", "tokenize"):
        monkeypatch.setattr(sqlglot, entry, reached)
    monkeypatch.setattr(sqlglot.Dialect, "parse", reached)
    monkeypatch.setattr(sqlglot.Dialect, "tokenize", reached)
    for act in ways.values():
        with pytest.raises(SpecError):
            act()
    with pytest.raises(AssertionError, match="reached"):  # and it is by these that it would have been
        check.ways_in("SELECT 1")["python"]()


def test_the_largest_specification_is_one_of_the_accepted_ones() -> None:
    assert check.DEMO in check.CORPUS
    assert len(check.CORPUS) > 8
    assert all(check.checked(file.read_text()).accepted for file in check.CORPUS[:3])


def test_a_thousand_holders_are_the_most_that_grow_and_what_one_of_them_does_is_an_upload_for_three() -> None:
    assert len(parse_toml(check.pooled(2048)).servers) == 1003
    assert len(check.uploading(check.pooled(16))()) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "text"), list(check.endless()), ids=[name for name, _ in check.endless()])
def test_endless_texts_are_as_long_as_one_may_be_and_get_past_the_parser(name: str, text: str) -> None:
    assert check.MAX_TOML - 256 < len(text.encode()) <= check.MAX_TOML
    assert parse_toml(text)
