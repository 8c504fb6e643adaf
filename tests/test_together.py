"""Exact releases of queries that have several parts of the language at once: nothing holds alone and not together.

Conditions across tables and on one, groups by CASE, HAVING, known totals, rounding, holders' own minimum, both modes of
the join: each drawn by chance, and what is opened held against the reference of disclosure control, which is fed with
rows that this file selects and groups by itself.
"""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets.check import flow
from pets.errors import SpecError
from pets.spec.cards import load_cards
from pets.spec.control import effective
from pets.spec.ir import Derive
from pets.spec.query import Aggregate
from pets.spec.sql import bind
from tests import test_controlled as alone
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze

QUERIES = 6
Row = Mapping[str, Any]
Truth = bool | None

OPS = {
    "=": lambda x, y: x == y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


# -- conditions: as text, and what they say of two rows ---------------------------------------------------------------


def leaf(draw: random.Random, sides: str) -> tuple[Any, ...]:
    """A comparison within one table, or of both (``ab``)."""
    op = draw.choice(list(OPS))
    if sides == "ab":
        return ("pair", draw.choice("fxyr") + "a", op, draw.choice("fxyr") + "b")
    column = draw.choice("xyr") + sides
    if draw.random() < 0.2:
        return ("null", column)
    return ("value", column, op, draw.randint(-1, 6))


def tree(draw: random.Random, sides: str, depth: int) -> tuple[Any, ...]:
    if depth == 0 or draw.random() < 0.4:
        return leaf(draw, sides)
    kind = draw.choice(["AND", "OR", "NOT"])
    side = draw.choice(["ab", "a", "b"]) if sides == "ab" else sides
    if kind == "NOT":
        return ("NOT", tree(draw, sides, depth - 1))
    return (kind, tree(draw, sides, depth - 1), tree(draw, side, depth - 1))


def text_of(condition: tuple[Any, ...]) -> str:
    match condition:
        case ("pair", one, op, two):
            return f"a.{one} {op} b.{two}"
        case ("value", column, op, value):
            return f"{column[1]}.{column} {op} {value}"
        case ("null", column):
            return f"{column[1]}.{column} IS NULL"
        case ("NOT", part):
            return f"NOT ({text_of(part)})"
        case (kind, one, two):
            return f"({text_of(one)} {kind} {text_of(two)})"
    raise AssertionError(condition)


def said(condition: tuple[Any, ...], rows: Row) -> Truth:
    """SQL's three values. ``rows``: columns of both rows, whose names differ."""
    match condition:
        case ("pair", one, op, two):
            return None if rows[one] is None or rows[two] is None else OPS[op](rows[one], rows[two])
        case ("value", column, op, value):
            return None if rows[column] is None else OPS[op](rows[column], value)
        case ("null", column):
            return rows[column] is None
        case ("NOT", part):
            inner = said(part, rows)
            return None if inner is None else not inner
        case (kind, one, two):
            both = (said(one, rows), said(two, rows))
            deciding = kind == "OR"
            if deciding in both:
                return deciding
            return None if None in both else not deciding
    raise AssertionError(condition)


# -- queries ----------------------------------------------------------------------------------------------------------


def world(seed: int) -> drawn.World:
    """A world of ``test_controlled`` in which nobody has two rows: conditions across tables need that."""
    found = alone.world(seed, people=70)
    for dataset, column in zip(found.datasets, ("da", "db"), strict=True):
        dataset["max_rows_per_person"] = 1
        if seed % 4 == 3:  # so many groups at both holders that they are told apart on shares
            dataset["columns"][column]["levels"] = ("n", "s", "rare", *(f"empty {n}" for n in range(31)))
        seen: set[str] = set()
        rows = found.rows[dataset["name"]]
        rows[:] = [row for row in rows if not (row["id"] in seen or seen.add(row["id"]))]  # type: ignore[func-returns-value]
    return found


class Asked:
    """A query, and what its parts say in Python."""

    def __init__(self, draw: random.Random) -> None:
        self.across = tree(draw, "ab", 2) if draw.random() < 0.7 else None
        self.own = tree(draw, draw.choice("ab"), 1) if draw.random() < 0.4 else None
        self.bands = [side for side in "ab" if draw.random() < 0.4]
        self.branches = {
            side: [(tree(draw, side, 1), level) for level in draw.choice([("low",), ("low", "high")])]
            for side in self.bands
        }
        self.otherwise = {side: draw.choice([None, "other", "low"]) for side in self.bands}
        self.having = draw.randint(1, 5) if draw.random() < 0.4 else None
        self.mode_b = draw.random() < 0.5
        by = [f"{side}.d{side}" for side in "ab" if side not in self.bands and draw.random() < 0.6]
        cases = [f"{self.case(side)} AS g{side}" for side in self.bands]
        measures = draw.sample(["a.fa", "a.xa", "a.ya", "a.ra", "b.fb", "b.xb", "b.yb", "b.rb"], 2)
        statistics = draw.sample(
            [f"SUM({measures[0]})", f"AVG({measures[1]})", f"COUNT({measures[0]})", f"CORR({', '.join(measures)})"],
            draw.choice([0, 1, 2]),
        )
        shown = ["COUNT(*) AS n", *(f"{each} AS s{number}" for number, each in enumerate(statistics))]
        where = [text_of(each) for each in (self.across, self.own) if each is not None]
        groups = [*by, *(f"g{side}" for side in self.bands)]
        self.by = by
        self.sql = f"SELECT {', '.join([*by, *cases, *shown])} FROM stays a JOIN homes b ON a.id = b.id"
        self.sql += f" WHERE {' AND '.join(where)}" * bool(where)
        self.sql += f" GROUP BY {', '.join(groups)}" * bool(groups)
        self.sql += f" HAVING n >= {self.having}" * (self.having is not None)

    def case(self, side: str) -> str:
        branches = "".join(f" WHEN {text_of(when)} THEN '{level}'" for when, level in self.branches[side])
        end = "" if self.otherwise[side] is None else f" ELSE '{self.otherwise[side]}'"
        return f"CASE{branches}{end} END"

    def level(self, side: str, row: Row) -> str | None:
        """The group of a row, by CASE."""
        return next((level for when, level in self.branches[side] if said(when, row) is True), self.otherwise[side])

    def meets(self, one: Row, other: Row) -> Truth:
        rows = {**one, **other}
        return all(said(each, rows) is True for each in (self.across, self.own) if each is not None)


def run_world(seed: int, folder: Path) -> Counter[str]:
    found = world(seed)
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, found.rows, folder)
    clear = {d.name: sql.counted(whole, d, found.rows[d.name]) for d in whole.datasets}
    draw, seen = random.Random(f"together {seed}"), Counter[str]()
    for number in range(40 * QUERIES):
        asked = Asked(draw)
        control = alone.asking(draw) | (alone.known(draw, asked.sql) if not asked.bands else {})
        if draw.random() < 0.3:  # rules on who contributes how much of a sum
            rules: dict[str, Any] = {"dominance": ({"largest": 2, "percent": 80},), "p_percent": 15}
            control |= dict(draw.sample(list(rules.items()), draw.choice([1, 2])))
        spec = alone.spec_of(found, asked.sql, control)
        if asked.mode_b:
            spec = in_mode_b(spec)
        try:
            query = bind(spec)
            errors = flow.judge(spec, query, load_cards()).errors
            if refused := [each for each in errors if not each.rule.startswith(("legal", "gb"))]:
                seen[refused[0].rule] += 1
                continue
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("sql.cross-table", "sql.literal", "sql.group", "sql.unsupported"), asked.sql
            seen[error.code] += 1
            continue
        tables = {
            name: [row | ({f"g{side}": asked.level(side, row)} if side in asked.bands else {}) for row in clear[name]]
            for name, side in (("stays", "a"), ("homes", "b"))
        }
        seen += together(direct, tables, number, asked)
        seen["apart"] += direct.plan.join.keyed is not None
        seen["dominance"] += getattr(direct.plan.protection, "dominance", None) is not None
        seen["run"] += 1
        if seen["run"] == QUERIES:
            break
    return seen


def together(direct: Direct, tables: dict[str, sql.Rows], number: int, asked: Asked) -> Counter[str]:
    """Hold what is opened against the reference, and the rows of the table against HAVING; which parts there were."""
    seen = opened_and_kept(direct, tables, number, asked)
    parts = [asked.across, asked.own, asked.bands or None, asked.having, asked.mode_b or None]
    seen["parts at once"] += sum(part is not None for part in parts) >= 3
    names = ("across", "own", "bands", "having", "mode b")
    seen.update(name for name, part in zip(names, parts, strict=True) if part is not None)
    return seen


def opened_and_kept(direct: Direct, tables: dict[str, sql.Rows], number: int, asked: Asked) -> Counter[str]:
    if asked.having is None:
        return alone.compared(direct, tables, number, asked.meets)
    control = effective(direct.spec)
    assert control is not None
    statistics, table = alone.reference(direct, tables, control, asked.meets)
    opened = direct.opened(seed=number)
    alone.held(direct, opened, statistics, table)
    derive = next(step for step in direct.plan.steps if isinstance(step, Derive))
    names = {output.dimension: output.name for output in derive.outputs if output.dimension is not None}
    frame: pd.DataFrame = direct.table(opened)
    by = [names[d.column] for d in derive.dimensions]
    kept = set(map(tuple, frame[by].to_numpy(object).tolist())) if by else {()} if len(frame) else set()
    count = statistics["count(*)"]
    assert kept == {cell for cell, found in table.items() if (n := found[count]) is not None and n >= asked.having}
    outputs = [output.name for output in direct.query.outputs if isinstance(output.what, Aggregate)]
    assert set(outputs) <= set(frame.columns)
    return Counter({"kept": len(kept), "left out": len(table) - len(kept)})


def test_parts_of_the_language_hold_together(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(8):
        seen += run_world(seed, tmp_path / str(seed))
    assert seen["run"] == 8 * QUERIES
    assert min(seen["shown"], seen["withheld"], seen["kept"], seen["left out"]) > 10
    asked = {"across", "own", "bands", "having", "mode b", "known totals", "rounded", "local", "parts at once"}
    asked |= {"dominance", "apart"}
    assert not asked - seen.keys(), asked - seen.keys()
    assert seen["parts at once"] > 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_parts_of_the_language_hold_together_in_many_queries(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)
