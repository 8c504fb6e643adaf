"""Three tables and more, each of another holder: what comes out is what the author's SQL gives, nobody learns more."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets.approve.columns import uses_of
from pets.audit import audit
from pets.check.diff import compare
from pets.check.differencing import Terms, judge
from pets.check.noised import noised_columns
from pets.check.releases import Entry, release_of
from pets.errors import SpecError
from pets.local import local_network
from pets.party.evidence import verify_evidence
from pets.plan.cost import parties_of
from pets.plan.review import review
from pets.released import read
from pets.result import evidence_keys, recompute
from pets.spec.model import Spec
from pets.spec.moments import roles
from pets.spec.query import ColumnRef
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles import several_tables, sql
from tests.oracles.direct import Direct, freeze
from tests.oracles.projected import as_planned
from tests.test_controlled import compared
from tests.test_controlled import spec_of as controlled
from tests.test_queries import agrees

QUERIES = 3


def frozen(found: drawn.World, folder: Path) -> tuple[dict[str, Any], dict[str, sql.Rows]]:
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    rows = {d.name: sql.counted(whole, d, found.rows[d.name]) for d in whole.datasets}
    return freeze(whole, found.rows, folder), rows


def run_world(seed: int, folder: Path, tables: int = 3) -> list[Direct]:
    """Hold queries over one world against DuckDB."""
    found = several_tables.world(seed, tables=tables)
    snapshots, own = frozen(found, folder)
    ran: list[Direct] = []
    for number in range(8 * QUERIES):
        text = several_tables.ask(1000 * seed + number, found)
        try:
            direct = Direct.of(drawn.spec_of(found, text), snapshots)
        except SpecError as error:
            assert error.code == "spec.b-cells", text
            continue
        ran.append(direct)
        agrees(direct, own, number)
        if len(ran) == QUERIES:
            break
    return ran


@pytest.mark.parametrize("seed", range(8))
def test_what_comes_out_is_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path)


@pytest.mark.parametrize(("tables", "seed"), [(4, 0), (4, 1), (4, 2), (5, 0), (5, 1)])
def test_what_comes_out_of_more_tables_is_what_the_author_s_sql_gives(tables: int, seed: int, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path, tables)


def across_world(seed: int, folder: Path, tables: int) -> list[Direct]:
    """Hold queries with conditions across tables, and CASEs over several, against DuckDB."""
    found = several_tables.world(seed, tables=tables, alone=True)
    snapshots, own = frozen(found, folder)
    ran: list[Direct] = []
    for number in range(12 * QUERIES):
        text = several_tables.ask_across(1000 * seed + number, found)
        spec = drawn.spec_of(found, text)
        try:
            direct = Direct.of(spec, snapshots)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.group", "sql.ambiguous", "sql.name"), f"{text}\n{error}"
            continue
        errors = {f.rule for f in review(spec).verdict.errors}  # raises where the checkers differ
        assert errors <= {"leak.filter-only"}, (text, errors)
        if not direct.query.compares:
            continue
        ran.append(direct)
        agrees(direct, own, number)
        as_planned(direct.plan, direct.played(seed=1))
        if len(ran) == QUERIES:
            break
    return ran


@pytest.mark.parametrize(("tables", "seed"), [(3, 0), (3, 1), (3, 2), (3, 3), (4, 0), (5, 0)])
def test_conditions_across_tables_give_what_the_author_s_sql_gives(tables: int, seed: int, tmp_path: Path) -> None:
    assert across_world(seed, tmp_path, tables)


@pytest.mark.long
@pytest.mark.parametrize("tables", [3, 4, 5])
@pytest.mark.parametrize("seed", range(100, 180))
def test_many_conditions_across_tables(seed: int, tables: int, tmp_path: Path) -> None:
    across_world(seed, tmp_path, tables)


@pytest.mark.long
@pytest.mark.parametrize("tables", [3, 4, 5])
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_queries(seed: int, tables: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path, tables)


# -- exact tables -----------------------------------------------------------------------------------------------------


def people(seed: int, tables: int = 3) -> drawn.World:
    """So many tables with one row a person, few groups, gaps."""
    draw = random.Random(f"three people {seed}")
    datasets, rows = [], {}
    for (name, party), side in zip(several_tables.TABLES[:tables], "abcuv", strict=False):
        columns: dict[str, Any] = {
            "id": {"role": "person id", "scheme": "text"},
            "d" + side: {"role": "dimension", "type": "category", "levels": ("n", "s")},
            "x" + side: {"role": "measure", "type": "integer", "min": -7, "max": 40},
        }
        rows[name] = [
            {
                "id": f"p{person}",
                "d" + side: draw.choice(["n", "s", "s", None]),
                "x" + side: draw.choice([None, *range(-7, 41)]),
            }
            for person in range(90)
            if draw.random() < 0.85
        ]
        table = {"name": name, "party": party, "max_rows_per_person": 1, "max_rows": 90, "truncate": False}
        datasets.append({**table, "columns": columns})
    return drawn.World(tuple(datasets), rows, ("id",) * tables, (), "1")


JOINED = "FROM stays a JOIN homes b ON a.id = b.id JOIN schools c ON a.id = c.id"
EXACT = (
    ("SELECT a.da, c.dc, COUNT(*) AS n, SUM(b.xb) AS s " + JOINED + " GROUP BY a.da, c.dc", {"min_count": 6}),
    ("SELECT b.db, c.dc, COUNT(*) AS n " + JOINED + " GROUP BY b.db, c.dc", {"min_count": 5, "zeros": "shown"}),
    ("SELECT a.da, COUNT(*) AS n " + JOINED + " WHERE c.xc > -7 GROUP BY a.da", {"min_count": 8, "round_to": 5}),
    (
        "SELECT c.dc, MEDIAN(c.xc) AS m, MAX(b.xb) AS t " + JOINED + " GROUP BY c.dc",
        {"min_count": 6, "round_values_to": {"schools.xc": 1, "homes.xb": 1}},
    ),
    (
        "SELECT a.da, COUNT(*) AS n, SUM(c.xc) AS s " + JOINED + " WHERE a.xa > b.xb OR c.xc >= a.xa GROUP BY a.da",
        {"min_count": 6},
    ),
    (
        "SELECT CASE WHEN a.xa > c.xc THEN 'm' WHEN b.xb < c.xc THEN 'l' END AS z, b.db, COUNT(*) AS n "
        + JOINED
        + " GROUP BY z, b.db",
        {"min_count": 4},
    ),
)


@pytest.mark.parametrize("which", range(len(EXACT)))
def test_exact_tables_show_what_enough_persons_of_all_three_are_in(which: int, tmp_path: Path) -> None:
    found = people(which)
    snapshots, own = frozen(found, tmp_path)
    text, control = EXACT[which]
    spec = controlled(found, text, control)
    assert review(spec).accepted, [f.text for f in review(spec).verdict.errors]
    direct = Direct.of(spec, snapshots)
    frame = direct.table(direct.opened(seed=which))
    asked = [output.name for output in direct.query.outputs if output.name in ("n", "s", "m", "t")]
    by = [output.name for output in direct.query.outputs if output.name not in asked]
    counted = text.replace("SUM(b.xb)", "COUNT(b.xb)").replace("MEDIAN(c.xc)", "COUNT(c.xc)")
    counted = counted.replace("SUM(c.xc)", "COUNT(c.xc)")
    counts = controlled(found, counted.replace("MAX(b.xb)", "COUNT(b.xb)"), {"min_count": control["min_count"]})
    values, persons = (sql.expected(each, bind(each), own) for each in (spec, counts))
    seen: Counter[str] = Counter()
    for _, row in frame.iterrows():
        cell = tuple(str(row[name]) for name in by)
        for place, name in enumerate(asked):
            few = persons[cell][place] < control["min_count"]
            if few and not (persons[cell][place] == 0 and control.get("zeros") == "shown"):
                assert pd.isna(row[name]), (cell, name)
                seen["withheld"] += 1
            elif not pd.isna(row[name]):  # else another count is too small beside it
                base = control.get("round_to", 1) if name == "n" else 1
                assert row[name] == (values[cell][place] + base // 2) // base * base, (cell, name)
                seen["shown"] += 1
    assert seen["shown"] and (seen["withheld"] or which > 1), seen


def exact_world(seed: int, folder: Path) -> Counter[str]:
    """Hold exact releases of one world against the reference of disclosure control in the clear."""
    found = several_tables.for_exact(seed)
    snapshots, own = frozen(found, folder)
    draw = random.Random(f"three controlled {seed}")
    seen: Counter[str] = Counter()
    for number in range(40):
        text = several_tables.ask_exact(draw)
        control: dict[str, Any] = {"min_count": draw.choice([2, 3, 5]), "zeros": draw.choice(["shown", "hidden"])}
        if draw.random() < 0.3:
            control |= {"round_to": draw.choice([2, 3]), "rounding": draw.choice(["nearest", "midpoint"])}
        if draw.random() < 0.3:
            control["holder"] = ({"party": draw.choice(["board", "trust"]), "min_count": 2, "appetite": "local"},)
        if draw.random() < 0.2 and "WHERE" not in text:  # whose empty cells the reference does not know
            control["known_totals"] = ((),)
        spec = controlled(found, text, control)
        errors = review(spec).verdict.errors  # raises where the checkers differ
        if errors:
            seen[errors[0].rule] += 1
            continue
        seen["run"] += 1
        seen += compared(Direct.of(spec, snapshots), own, number)
        if seen["run"] == QUERIES:
            break
    return seen


def test_exact_tables_of_five_show_what_enough_persons_of_all_are_in(tmp_path: Path) -> None:
    found = people(7, tables=5)
    snapshots, own = frozen(found, tmp_path)
    text = (
        "SELECT a.da, v.dv, COUNT(*) AS n, SUM(b.xb) AS s, AVG(u.xu) AS m " + JOINED + " JOIN visits u ON c.id = u.id "
        "JOIN courts v ON a.id = v.id GROUP BY a.da, v.dv"
    )
    spec = controlled(found, text, {"min_count": 5})
    assert review(spec).accepted, [f.text for f in review(spec).verdict.errors]
    seen = compared(Direct.of(spec, snapshots), own, 7)
    assert min(seen["shown"], seen["withheld"]) > 1, seen


def test_exact_releases_are_what_the_reference_shows(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(9):
        seen += exact_world(seed, tmp_path / str(seed))
    assert seen["run"] == 9 * QUERIES and min(seen["shown"], seen["withheld"]) > 10
    assert not {"flag", "rounded", "mean", "known totals", "local"} - seen.keys(), seen


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_exact_releases_are_what_the_reference_shows(seed: int, tmp_path: Path) -> None:
    exact_world(seed, tmp_path)


# -- the specification ------------------------------------------------------------------------------------------------


def asking(text: str, found: drawn.World | None = None) -> Spec:
    return drawn.spec_of(found or people(0), text)


def test_both_checkers_agree_and_accept() -> None:
    for seed in range(12):
        found = several_tables.world(seed)
        reviewed = review(drawn.spec_of(found, several_tables.ask(seed, found)))  # raises where they differ
        assert {f.rule for f in reviewed.verdict.errors} <= {"spec.b-cells"}


def test_who_learns_what() -> None:
    """Nobody in the model anything; role d with the helper who is in a's table and no more; a with d nothing of b."""
    text = "SELECT a.da, COUNT(*) AS n, SUM(b.xb) AS s, SUM(c.xc) AS t " + JOINED + " GROUP BY a.da"
    found = review(asking(text))
    matrix, roles = found.verdict.matrix, parties_of(found.plan)  # type: ignore[arg-type]
    assert (roles["a"], roles["b"], roles["d1"]) == ("board", "council", "trust")
    assert {matrix.mark(f"{t}.id", "helper") for t in ("stays", "homes", "schools")} == {"-"}
    for table in ("homes", "schools"):
        assert matrix.mark(f"number of rows of stays that match in {table}", "helper") == "-"
        assert matrix.mark(f"which persons are in both stays and {table}", "helper") == "H"
    assert matrix.mark("stays.id", "trust+helper") == "V"
    for value in ("stays.da", "homes.xb", "homes.id"):
        assert matrix.mark(value, "trust+helper") in ("H", "-")
    for pair in ("board+trust", "council+trust"):
        other = "homes.xb" if pair.startswith("board") else "stays.da"
        assert matrix.mark(other, pair) in ("H", "-")
    assert matrix.mark("which persons are in both stays and homes", "board+trust") in ("H", "-")
    assert matrix.mark("which persons are in both stays and schools", "board+council") == "V"
    assert matrix.mark("schools.xc", "board+council") == "V", "two of the three that compute"
    assert matrix.mark("schools.id", "board+council") != "V"


REFUSED = (
    ("SELECT COUNT(*) AS n FROM stays a LEFT JOIN homes b ON a.id = b.id JOIN schools c ON a.id = c.id", "sql.tables"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id LEFT JOIN schools c ON a.id = c.id", "sql.tables"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = c.id JOIN schools c ON a.id = c.id", "sql.join"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id JOIN schools c ON a.id = b.id", "sql.join"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id JOIN schools c ON a.xa = c.xc", "sql.join"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b USING (id) JOIN schools c ON a.id = c.id", "sql.join"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id JOIN stays c ON a.id = c.id", "sql.tables"),
    ("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id JOIN schools a ON b.id = a.id", "sql.tables"),
    ("SELECT COUNT(*) AS n " + JOINED + " JOIN homes e ON a.id = e.id", "sql.tables"),
    ("SELECT COUNT(*) AS n " + JOINED + "".join(f" JOIN t{n} ON a.id = t{n}.id" for n in range(6)), "sql.tables"),
)


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_what_several_tables_do_not_take_is_refused_by_name(text: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        bind(asking(text))
    assert caught.value.code == code and caught.value.fields["advice"]


def test_conditions_of_on_are_those_of_where() -> None:
    on = "SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id AND b.xb > 3 JOIN schools c ON b.id = c.id AND "
    one_way, other = (
        bind(asking(t))
        for t in (
            on + "a.xa < 2 AND c.dc = 'n'",
            "SELECT COUNT(*) AS n " + JOINED + " WHERE c.dc = 'n' AND b.xb > 3 AND a.xa < 2",
        )
    )
    assert one_way == other


@pytest.mark.parametrize(("protocol", "hint"), [("helper_join_a", "star_join"), (None, "star_join")])
def test_another_protocol_is_refused(protocol: str | None, hint: str) -> None:
    spec = asking("SELECT COUNT(*) AS n " + JOINED)
    spec = spec.model_copy(update={"security": spec.security.model_copy(update={"protocol": protocol})})
    (error,) = [f for f in review(spec).verdict.errors if f.rule == "spec.protocol"]
    assert hint in error.hint


def test_two_tables_take_another_protocol() -> None:
    spec = asking("SELECT COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id")
    assert "spec.protocol" in {f.rule for f in review(spec).verdict.errors}


def test_two_tables_of_one_holder_are_refused() -> None:
    found = people(0)
    tables = (found.datasets[0], found.datasets[1], {**found.datasets[2], "party": "board"})
    spec = asking("SELECT COUNT(*) AS n " + JOINED)
    datasets = tuple(d.model_copy(update={"one_party": t["party"]}) for d, t in zip(spec.datasets, tables, strict=True))
    errors = review(spec.model_copy(update={"datasets": datasets})).verdict.errors
    assert "spec.one-holder" in {f.rule for f in errors}


def test_b_cells_are_those_of_both_tables_together() -> None:
    found = people(0)
    for table, side in zip(found.datasets, "abc", strict=True):
        table["columns"]["d" + side]["levels"] = tuple("nsabcd")
    spec = asking("SELECT a.da, b.db, c.dc, COUNT(*) AS n " + JOINED + " GROUP BY a.da, b.db, c.dc", found)
    assert [f.rule for f in review(spec).verdict.errors] == ["spec.b-cells"]


# -- what else looks at a query ---------------------------------------------------------------------------------------


def test_two_specifications_are_compared_with_the_rows_of_all_three() -> None:
    control = {"min_count": 5}
    base = controlled(people(0), "SELECT a.da, COUNT(*) AS n, SUM(b.xb) AS s " + JOINED + " GROUP BY a.da", control)
    less = controlled(people(0), "SELECT a.da, COUNT(*) AS n " + JOINED + " GROUP BY a.da", control)
    other = controlled(people(0), "SELECT a.da, COUNT(*) AS n " + JOINED + " WHERE c.dc = 'n' GROUP BY a.da", control)
    assert compare(base, less).relation == "narrower"
    assert compare(less, other).relation == "incomparable"
    reasons = [r for r in compare(less, other).reasons if r.sentence.startswith("other rows of schools")]
    assert [r.direction for r in reasons] == ["incomparable"]
    swapped = "FROM schools c JOIN homes b ON c.id = b.id JOIN stays a ON a.id = b.id"
    same = controlled(people(0), "SELECT a.da, COUNT(*) AS n " + swapped + " GROUP BY a.da", control)
    assert compare(less, same).relation != "equal", "the third holder is another one"


def entry(text: str, control: dict[str, Any]) -> Entry:
    spec = controlled(people(0), text, control)
    return Entry(text, release_of(spec, bind(spec)), {"stays": "1", "homes": "1", "schools": "1"})


@pytest.mark.parametrize("holder", ["board", "council", "trust"])
def test_the_guard_takes_a_third_table_for_other_rows(holder: str) -> None:
    """The same three tables in other words pass; with a condition on the third, or without it, it may be few less."""
    control = {"min_count": 10}
    text = "SELECT a.da, COUNT(*) AS n " + JOINED
    whole = entry(text + " GROUP BY a.da", control)
    in_other_words = "SELECT x.da, COUNT(*) AS m FROM schools z JOIN stays x ON x.id = z.id JOIN homes y ON y.id = z.id"
    terms = Terms(holder=holder, minimum=10)
    assert not judge([whole], entry(in_other_words + " GROUP BY x.da", control), terms)
    fewer = entry(text + " WHERE c.xc < 39 GROUP BY a.da", control)
    assert {s.rule for s in judge([whole], fewer, terms)} >= {"difference"}
    two = entry("SELECT a.da, COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id GROUP BY a.da", control)
    found = {s.rule for s in judge([two], whole, terms)}
    assert found >= {"difference"} if holder != "trust" else not found


def test_policies_see_what_is_done_with_columns_of_the_third_table() -> None:
    query = bind(asking("SELECT c.dc, SUM(c.xc) AS s " + JOINED + " WHERE c.xc > 3 GROUP BY c.dc"))
    uses = uses_of(query, asking("SELECT COUNT(*) AS n " + JOINED))
    assert {use.value for use in uses[ColumnRef("schools", "xc")]} == {"sum", "filter"}
    assert {use.value for use in uses[ColumnRef("schools", "dc")]} == {"group by"}
    assert {use.value for use in uses[ColumnRef("schools", "id")]} == {"join"}


def test_noise_is_for_one_person_in_all_three() -> None:
    """The sensitivity of a sum is the product of what one person adds in each table; rounding units are in it, too."""
    found = several_tables.for_exact(0)
    for table, most in zip(found.datasets, (3, 2, 2), strict=True):
        table["max_rows_per_person"] = most
    spec = asking("SELECT a.da, b.db, c.dc, COUNT(*) AS n, SUM(c.xc) AS s, COUNT(DISTINCT a.id) AS p " + JOINED
                  + " GROUP BY a.da, b.db, c.dc", found)  # fmt: skip
    columns = {c.moment.name: c for c in noised_columns(spec, bind(spec), roles(spec, bind(spec)))}
    assert columns["count(*)"].sensitivity == 3 * 2 * 2
    assert columns["people"].sensitivity == 3 * 2 * 2, "a row in as many groups"
    most = spec.dataset("schools").columns["xc"].max
    assert columns["sum(schools.xc)"].sensitivity == 3 * 2 * 2 * int(most)


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_a_whole_run_gives_the_table(tmp_path: Path) -> None:
    """Four servers in memory, approvals, sealed rows, gates: what the roles alone give, with evidence that is verified.

    No message has an identifier in it, or a number of the table that is withheld; an audit of the table passes.
    """
    found = people(5)
    for rows_of in found.rows.values():
        for row in rows_of:
            row["id"] = f"PERSON-{row['id']}"
    text, control = EXACT[0]
    spec = controlled(found, text, control)
    direct = Direct.of(spec, frozen(found, tmp_path)[0])
    raw = {d.name: sql.arrow(d, found.rows[d.name]) for d in spec.datasets}
    tables = {d.party: {d.name: raw[d.name]} for d in spec.datasets}
    net = local_network({**tables, "helper": {}})
    result = net.run(spec, record=True)
    table, expected = result.to_pandas(), direct.table(direct.opened(seed=1))
    pd.testing.assert_frame_equal(table[list(expected)], expected, check_dtype=False, check_categorical=False)
    folder = result.save(tmp_path / "table.csv")
    assert verify_evidence(folder, keys=evidence_keys(folder / "directory.toml"), recompute=recompute(result.toml))
    assert sorted(each.stem for each in (folder / "receipts").iterdir()) == ["board", "council", "helper", "trust"]
    audit([read(folder)]).require()
    assert not any(b"PERSON-" in bytes(message.body) for message in result.transcript)
    assert {message.to for message in result.transcript if message.sender == "trust"} == {"helper"}
    assert not [message for message in result.transcript if message.to == "trust"]
    final = [message for message in result.transcript if str(message.to).endswith(":result")]
    assert {message.sender for message in final} == {"board", "council", "helper"}


def test_a_whole_run_of_five_tables_gives_the_table(tmp_path: Path) -> None:
    """Six servers in memory; the three further holders send to the helper and receive nothing."""
    found = people(9, tables=5)
    text = "SELECT a.da, COUNT(*) AS n, SUM(u.xu) AS s " + JOINED + " JOIN visits u ON a.id = u.id "
    spec = controlled(found, text + "JOIN courts v ON a.id = v.id GROUP BY a.da", {"min_count": 5})
    direct = Direct.of(spec, frozen(found, tmp_path)[0])
    raw = {d.name: sql.arrow(d, found.rows[d.name]) for d in spec.datasets}
    net = local_network({**{d.party: {d.name: raw[d.name]} for d in spec.datasets}, "helper": {}})
    result = net.run(spec, record=True)
    table, expected = result.to_pandas(), direct.table(direct.opened(seed=1))
    pd.testing.assert_frame_equal(table[list(expected)], expected, check_dtype=False, check_categorical=False)
    folder = result.save(tmp_path / "table.csv")
    assert verify_evidence(folder, keys=evidence_keys(folder / "directory.toml"), recompute=recompute(result.toml))
    for one in ("trust", "practice", "ministry"):
        assert {message.to for message in result.transcript if message.sender == one} == {"helper"}
        assert not [message for message in result.transcript if message.to == one]


def test_a_draft_of_three_tables_runs() -> None:
    frames = {
        "board": {"stays": pd.DataFrame({"id": [f"p{i}" for i in range(60)], "x": range(60)})},
        "council": {"homes": pd.DataFrame({"id": [f"p{i}" for i in range(20, 80)], "d": ["n", "s"] * 30})},
        "trust": {"schools": pd.DataFrame({"id": [f"p{i}" for i in range(0, 70, 2)], "y": range(35)})},
    }
    net = local_network({**frames, "helper": {}})
    text = "SELECT d, COUNT(*) AS n, SUM(x) AS s, SUM(y) AS t FROM stays JOIN homes USING (id) JOIN schools USING (id)"
    draft = net.draft(f"{text} GROUP BY d", control={"min_count": 5})
    assert draft.spec.security.protocol == "star_join"
    got = net.run(draft.spec).to_pandas().set_index("d")
    assert got.loc["n", ["n", "s", "t"]].tolist() == [20, sum(range(20, 60, 2)), sum(range(10, 30))]
    assert pd.isna(got.loc["s", "n"])


def test_all_holders_are_charged() -> None:
    spec = asking("SELECT COUNT(*) AS n " + JOINED)
    assert set(review(spec).verdict.losses) == {"stays", "homes", "schools"}
