"""Three tables and more of as many holders, and queries over them that nobody wrote, drawn from a seed."""

import random
from typing import Any

from tests.oracles import random_queries as drawn
from tests.oracles.sql import Rows

TABLES = (
    ("stays", "board"),
    ("homes", "council"),
    ("schools", "trust"),
    ("visits", "practice"),
    ("courts", "ministry"),
)


OPS = ("=", "<>", "<", "<=", ">", ">=")


def world(seed: int, *, alone: bool = False, tables: int = 3) -> drawn.World:
    """Draw so many tables. ``alone``: nobody has two rows but in one of them, if that."""
    draw = random.Random(f"{tables} tables {seed}")
    scheme = draw.choice(["text", "text", "nhs-number"])
    people = drawn._ids(draw, scheme, draw.choice([0, 1, 6, 8, 10, 12, 14]))
    keys = draw.choice([("id",) * 5, ("nhs_no", "person", "who", "pid", "number"), ("Id", "ID", "id", "iD", "id")])[
        :tables
    ]
    datasets: list[dict[str, Any]] = []
    rows: dict[str, Rows] = {}
    several = draw.choice(["", *"abcuv"[:tables]])
    for (name, party), key, side in zip(TABLES, keys, "abcuv", strict=False):
        k = 1 if alone and side != several else draw.choice([1, 1, 2, 3])
        columns = drawn._columns(draw, key, scheme, side, False)
        rows[name] = drawn._rows(draw, columns, key, people, k)
        datasets.append(
            {
                "name": name,
                "party": party,
                "max_rows_per_person": k,
                "max_rows": max(1, len(rows[name]) + draw.choice([0, 0, 3])),
                "truncate": draw.random() < 0.5,
                "columns": columns,
            }
        )
    return drawn.World(tuple(datasets), rows, keys, (), draw.choice(["1", "0.5", "10"]))


def ask(seed: int, found: drawn.World) -> str:
    """Draw a query over all tables: joined on the first, or one after the other, with columns of all."""
    draw = random.Random(f"{len(found.datasets)} query {seed}")
    tables = draw.sample(found.datasets, len(found.datasets))
    aliases = draw.choice([tuple("abcde"[: len(tables)]), tuple(table["name"] for table in tables)])
    both = list(zip(aliases, tables, strict=True))
    by: list[str] = []
    for alias, table in both:
        dims = [n for n, c in table["columns"].items() if c["role"] == "dimension"]
        by += [f"{alias}.{n}" for n in draw.sample(dims, draw.choice([0, 0, 1, 1, 2]))]
    draw.shuffle(by)
    measures = [f"{alias}.{n}" for alias, t in both for n, c in t["columns"].items() if c["role"] == "measure"]
    keys = [f"{alias}.{drawn._key(table)}" for alias, table in both]
    stats = [drawn._statistic(draw, measures, keys) for _ in range(draw.choice([1, 1, 2, 3]))]
    columns = [*by, *(f"{text} AS s{number}" for number, text in enumerate(stats))]
    shown = [t["name"] + ("" if alias == t["name"] else f" {alias}") for alias, t in both]
    conditions = [drawn._condition(draw, *own, 2) for own in both for _ in range(draw.choice([0, 0, 0, 1]))]
    lines = [f"SELECT {', '.join(columns)}", f"FROM {shown[0]}"]
    same = len({drawn._key(table).lower() for table in tables}) == 1
    if same and draw.random() < 0.3 and not any("DISTINCT" in text for text in stats):
        lines += [f"JOIN {name} USING ({drawn._key(tables[0])})" for name in shown[1:]]
    else:
        for number in range(1, len(tables)):
            pair = [keys[draw.randrange(number)], keys[number]]
            draw.shuffle(pair)
            lines.append(f"{draw.choice(['JOIN', 'INNER JOIN'])} {shown[number]} ON {' = '.join(pair)}")
    if conditions:
        lines.append("WHERE " + " AND ".join(conditions))
    if by:
        lines.append("GROUP BY " + ", ".join(by))
    return "\n".join(lines)


def ask_across(seed: int, found: drawn.World) -> str:
    """Such a query with a condition across its tables, or a CASE over them as a group, or both."""
    draw = random.Random(f"across {len(found.datasets)} {seed}")
    while "DISTINCT" in (text := ask(draw.randrange(10**9), found)) or "USING" in text:
        pass
    lines = text.split("\n")
    names = {table["name"]: table for table in found.datasets}
    shown = [line.removeprefix("FROM ").split("JOIN ")[-1].split(" ON ")[0].split() for line in lines if _joins(line)]
    both = [(each[-1], names[each[0]]) for each in shown]
    kind = draw.choice(["where", "where", "case", "both"])
    if kind != "case":
        extra = _across(draw, both, 2)
        place = next((at for at, line in enumerate(lines) if line.startswith("WHERE ")), None)
        if place is None:
            lines.insert(1 + len(both), f"WHERE {extra}")
        else:
            lines[place] += f" AND {extra}"
    if kind != "where":
        branches = "".join(
            f"WHEN {_across(draw, both, 1)} THEN '{level}' " for level in "xyx"[: draw.choice([1, 2, 3])]
        )
        otherwise = draw.choice(["", "ELSE 'z' "])
        case = f"CASE {branches}{otherwise}END AS level"
        lines[0] = lines[0].replace("SELECT ", f"SELECT {case}, ", 1)
        if lines[-1].startswith("GROUP BY "):
            lines[-1] += ", level"
        else:
            lines.append("GROUP BY level")
    return "\n".join(lines)


def _joins(line: str) -> bool:
    return line.startswith("FROM ") or "JOIN " in line


def _across(draw: random.Random, both: list[tuple[str, dict[str, Any]]], depth: int) -> str:
    """A condition on two tables or more, with conditions on one of them under the same AND, OR, NOT."""
    if depth and draw.random() < 0.6:
        parts = [_across(draw, both, depth - 1)]
        parts.append(
            _across(draw, both, depth - 1) if draw.random() < 0.6 else drawn._condition(draw, *draw.choice(both), 1)
        )
        return draw.choice([f"({parts[0]} OR {parts[1]})", f"({parts[1]} AND {parts[0]})", f"NOT ({parts[0]})"])
    pair = draw.sample(both, 2)
    of_type = [
        [[f"{alias}.{n}" for n, c in table["columns"].items() if is_such(c)] for alias, table in pair]
        for is_such in (lambda c: c["role"] == "measure", lambda c: c.get("type") == "date")
    ]
    left, right = draw.choice([columns for columns in of_type if all(columns)])
    return f"{draw.choice(left)} {draw.choice(OPS)} {draw.choice(right)}"


def for_exact(seed: int) -> drawn.World:
    """Three tables with few groups, gaps, ties, zeros and ones, and in some of them two rows a person."""
    draw = random.Random(f"three exact {seed}")
    datasets: list[dict[str, Any]] = []
    rows: dict[str, Rows] = {}
    for (name, party), side in zip(TABLES[:3], "abc", strict=True):
        most = draw.choice([1, 1, 2])
        columns: dict[str, Any] = {
            "id": {"role": "person id", "scheme": "text"},
            "d" + side: {"role": "dimension", "type": "category", "levels": ("n", "s")},
            "f" + side: {"role": "measure", "type": "integer", "min": 0, "max": 1},
            "x" + side: {"role": "measure", "type": "integer", "min": -3, "max": draw.choice([9, 40])},
            "r" + side: {"role": "measure", "type": "integer", "min": 0, "max": 9, "required": True},
        }
        rows[name] = [
            {
                "id": f"p{person}",
                "d" + side: draw.choice(["n", "s", None]),
                "f" + side: draw.choice([0, 1, 1, None]),
                "x" + side: draw.choice([None, *range(-3, 9)]),
                "r" + side: draw.randint(0, 9),
            }
            for person in range(24)
            if draw.random() < 0.85
            for _ in range(draw.randint(1, most))
        ]
        table = {"name": name, "party": party, "max_rows_per_person": most, "max_rows": 60, "truncate": False}
        datasets.append({**table, "columns": columns})
    return drawn.World(tuple(datasets), rows, ("id", "id", "id"), (), "1")


def ask_exact(draw: random.Random) -> str:
    """One to three statistics of columns of all three tables, by up to three columns."""
    by = draw.sample(["a.da", "b.db", "c.dc"], draw.choice([0, 1, 1, 2]))
    measures = draw.sample([f"{side}.{kind}{side}" for side in "abc" for kind in "fxr"], 3)
    some = ["COUNT(*)", "COUNT(DISTINCT b.id)", *(f"{f}({m})" for m in measures for f in ("SUM", "AVG", "COUNT"))]
    some.append(f"CORR({measures[0]}, {measures[1]})")
    names = [f"{text} AS s{number}" for number, text in enumerate(draw.sample(some, draw.choice([1, 2, 3])))]
    where = draw.choice(["", "", " WHERE c.xc > -2", " WHERE b.db = 'n' AND a.ra < 8"])
    text = f"SELECT {', '.join([*by, *names])} FROM stays a JOIN homes b ON a.id = b.id JOIN schools c ON b.id = c.id"
    return text + where + (f" GROUP BY {', '.join(by)}" if by else "")
