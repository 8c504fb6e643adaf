"""HAVING keeps the rows of the released table that the author's SQL keeps, by released numbers and by nothing else."""

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pets.check.diff import compare
from pets.errors import AuditError, SpecError
from pets.having import kept
from pets.local import local_network
from pets.plan.review import review
from pets.released import read
from pets.result import recompute
from pets.spec.model import Spec
from pets.spec.query import Aggregate, All, AnyOf, Compare, In, IsNull, Not, Statistic
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.test_result import HOMES, STAYS, evidence_folder, verify

SUMS = (Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE, Statistic.SUM)


def conditions(draw: random.Random, names: dict[str, bool]) -> str:
    """A condition on some columns of a table, by name; those that are no sums meet no number that they may equal."""
    parts = []
    for _ in range(draw.choice([1, 2, 3])):
        name, number = draw.choice(list(names)), draw.choice(["0", "1", "2", "3", "0.5", "-1.5"])
        number = number if names[name] else draw.choice(["0.1371", "1.7301", "-1.5193", "3.0713"])
        parts.append(
            draw.choice(
                [
                    f"{name} {draw.choice(['=', '<>', '<', '<=', '>', '>='])} {number}",
                    f"{number} < {name}",
                    f"NOT {name} > {number}",
                    f"{name} BETWEEN 0.9173 AND {number}",
                    f"{name} IN (1.0173, 7, {number})",
                    f"{name} NOT IN (0.9173, {number})",
                ]
            )
        )
    return f" {draw.choice(['AND', 'OR'])} ".join(f"({part})" for part in parts)


@pytest.mark.parametrize("seed", range(3))
def test_the_rows_that_are_kept_are_those_of_the_author_s_sql(seed: int, tmp_path: Path) -> None:
    world = drawn.world(seed)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, tmp_path)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    draw, judged, left_out = random.Random(f"having {seed}"), 0, 0
    for number in range(24):
        text = drawn.ask(5000 + 1000 * seed + number, world)
        try:
            names = {
                o.name: o.what.statistic in SUMS
                for o in bind(drawn.spec_of(world, text)).outputs
                if isinstance(o.what, Aggregate)
            }
            spec = drawn.spec_of(world, f"{text} HAVING {conditions(draw, names)}")
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("sql.outer-where", "spec.b-cells", "sql.cross-table"), text
            continue
        if any(c.moment.a.unit * c.moment.b.unit > 1 for c in direct.plan.protection.columns):  # type: ignore[union-attr]
            continue
        having = direct.query.having
        assert having is not None
        outputs = direct.query.outputs
        asked = [output.name for output in outputs if isinstance(output.what, Aggregate)]
        everything = sql.expected(drawn.spec_of(world, text), direct.query, rows)
        wanted = {
            cell: values
            for cell, values in everything.items()
            if sql.holds(having, dict(zip(asked, values, strict=True))) is True
        }
        frame = direct.table(direct.opened(seed=number))
        assert not sql.differences(spec, direct.query, wanted, frame), spec.computation.sql
        judged, left_out = judged + 1, left_out + len(everything) - len(wanted)
        nothing_is_null = [
            cell
            for cell, values in _sql_rows(drawn.spec_of(world, text), direct, rows).items()
            if all(value is not None for value in values)
        ]
        engine = _sql_rows(spec, direct, rows)
        assert {cell for cell in wanted if cell in nothing_is_null} == {c for c in engine if c in nothing_is_null}
    assert judged >= 10 and left_out >= 10


def _sql_rows(spec: object, direct: Direct, rows: dict[str, sql.Rows]) -> dict[tuple[str, ...], list[object]]:
    """What DuckDB gives, by cell."""
    found = {}
    for row in sql.run_sql(spec, rows):  # type: ignore[arg-type]
        pairs = list(zip(row, direct.query.outputs, strict=True))
        cell = tuple("(missing)" if v is None else str(v) for v, o in pairs if not isinstance(o.what, Aggregate))
        found[cell] = [None if v is None or v != v else v for v, o in pairs if isinstance(o.what, Aggregate)]
    return found


def test_what_is_withheld_satisfies_nothing() -> None:
    frame = pd.DataFrame({"n": pd.array([12, None, 3], "Int64"), "m": [0.1, np.nan, 2.0]})
    for condition, wanted in (
        (Compare("n", ">", 5), [True, False, False]),
        (Not(Compare("n", ">", 5)), [False, False, True]),
        (Compare("n", "<>", 3), [True, False, False]),
        (In("n", (3, 4)), [False, False, True]),
        (In("n", (3, 4), negated=True), [True, False, False]),
        (Compare("m", "=", Fraction(1, 10)), [True, False, False]),
        (AnyOf((Compare("n", ">", 0), Compare("m", "<", 0))), [True, False, True]),
        (Not(AnyOf((Compare("n", ">", 100), Compare("m", "<", 0)))), [True, False, True]),
        (All((Compare("n", ">", 0), Compare("m", "<", 1))), [True, False, False]),
        (IsNull("n"), [False, True, False]),
        (IsNull("n", negated=True), [True, False, True]),
    ):
        assert kept(frame, condition).tolist() == wanted, condition


def test_whole_numbers_are_compared_exactly() -> None:
    frame = pd.DataFrame({"n": [2**53 + 1, 2**53]})
    assert kept(frame, Compare("n", ">", 2**53)).tolist() == [True, False]
    assert kept(frame, Compare("n", "<=", Fraction(2**54 + 1, 2))).tolist() == [False, True]


@pytest.mark.parametrize(
    ("having", "code", "construct"),
    [
        ("COUNT(*) > 3", "sql.group", "COUNT"),
        ("avg(b.ib) > 3", "sql.group", "avg"),
        ("a.ia > 3", "sql.group", "stays.ia"),
        ("a.d0a = 'x'", "sql.group", "stays.d0a"),
        ("s > 'x'", "sql.literal", "'x'"),
        ("s > DATE '2026-01-01'", "sql.literal", "DATE '2026-01-01'"),
        ("s > 12345678901234567890", "sql.literal", "12345678901234567890"),
        ("s IS NOT NULL", "sql.group", "IS NULL"),
        ("s", "sql.group", "HAVING"),
        ("s + 1 > 3", "sql.unsupported", "an expression"),
        ("s > (SELECT 1)", "sql.unsupported", "a subquery"),
        ("sx > 3", "sql.column", "sx"),
        ("ia > 3", "sql.group", "ia"),
        ("MODE(a.ia) > 3", "sql.function", "MODE"),
    ],
)
def test_what_a_group_cannot_be_judged_by_is_named(having: str, code: str, construct: str) -> None:
    world = drawn.world(0)
    key = (world.keys[0], world.keys[1])
    text = f"SELECT SUM(a.ia) AS s, SUM(a.wa) AS ia FROM stays a JOIN homes b ON a.{key[0]} = b.{key[1]} HAVING "
    with pytest.raises(SpecError) as caught:
        bind(drawn.spec_of(world, text + having))
    assert (caught.value.code, caught.value.fields["construct"]) == (code, construct)
    assert "HAVING" in str(caught.value.fields.get("path", "HAVING"))


SQL = "SELECT ward, COUNT(*) AS n, AVG(rent) AS rent FROM stays JOIN homes USING (id) GROUP BY ward"


def test_a_run_keeps_evidence_and_verifies(tmp_path: Path) -> None:
    net = local_network({"nhs": {"stays": STAYS}, "council": {"homes": HOMES}, "helper": {}})
    result = net.run(net.draft(SQL + " HAVING COUNT(*) > 10 AND NOT AVG(rent) > 100", epsilon="4"))
    assert result.to_pandas()["ward"].tolist() == ["n"]
    assert "COUNT" not in result.disclosure.split("Rows that are left out")[1].split("n > 10")[0]
    result.save(tmp_path / "out" / "rents.csv")
    folder = evidence_folder(tmp_path / "out" / "rents.csv")
    assert verify(folder)
    toml = (folder / "spec.toml").read_text()
    shares = {p.stem: p.read_bytes() for p in (folder / "shares").iterdir()}
    again = recompute(toml)((folder / "plan.json").read_bytes(), shares)
    assert again == (folder / "result.csv").read_bytes() and again.count(b"\n") == 2


def test_no_row_left_is_a_table_without_rows(tmp_path: Path) -> None:
    net = local_network({"nhs": {"stays": STAYS}, "council": {"homes": HOMES}, "helper": {}})
    result = net.run(net.draft(SQL + " HAVING n > 100000", epsilon="4"))
    assert len(result.to_pandas()) == 0
    assert result.to_csv() == b"ward,n,n_low,n_high,rent,rent_low,rent_high\n"
    assert "<tbody></tbody>" in result._repr_html_()
    result.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_audit_does_not_take_rows_that_are_left_out_for_withheld(tmp_path: Path) -> None:
    net = local_network({"nhs": {"stays": STAYS}, "council": {"homes": HOMES}, "helper": {}})
    draft = net.draft(SQL.replace(", AVG(rent) AS rent", "") + " HAVING n > 1", control={"min_count": 10})
    (tmp_path / "spec.toml").write_text(draft.toml)
    (tmp_path / "result.csv").write_text("ward,n,n_low,n_high\n")
    with pytest.raises(AuditError) as caught:
        read(tmp_path)
    assert caught.value.code == "audit.having"


def test_a_plan_has_the_condition_and_a_plan_without_it_is_another() -> None:
    world = drawn.world(0)
    text = f"SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.{world.keys[0]} = b.{world.keys[1]}"
    one, other = (review(drawn.spec_of(world, text + more)).settled() for more in ("", " HAVING n > 3"))
    assert one.plan.steps[:-1] == other.plan.steps[:-1] and one.plan.steps[-1] != other.plan.steps[-1]


def test_how_a_condition_on_groups_stands_to_another() -> None:
    world = drawn.world(0)
    key = world.keys

    def spec(select: str, having: str = "") -> Spec:
        return drawn.spec_of(world, f"SELECT {select} FROM stays a JOIN homes b ON a.{key[0]} = b.{key[1]} {having}")

    plain, more = spec("COUNT(*) AS n"), spec("COUNT(*) AS n", "HAVING n > 10")
    assert compare(plain, more).relation == "narrower"
    assert compare(more, plain).relation == "wider"
    assert compare(more, spec("COUNT(*) AS n", "HAVING n > 11")).relation == "incomparable"
    assert compare(more, spec("COUNT(*) AS n", "HAVING 10 < COUNT(*)")).relation == "equal"
    (said,) = [reason.sentence for reason in compare(plain, more).reasons if "HAVING" in reason.path]
    assert said == "rows are kept where COUNT(*) > 10"
