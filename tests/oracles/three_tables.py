"""Three tables of three holders and queries over them that nobody wrote, drawn from a seed."""

import random
from typing import Any

from tests.oracles import random_queries as drawn
from tests.oracles.sql import Rows

TABLES = (("stays", "board"), ("homes", "council"), ("schools", "trust"))


def world(seed: int, *, alone: bool = False) -> drawn.World:
    """Draw three tables. ``alone``: nobody has two rows in one."""
    draw = random.Random(f"three {seed}")
    scheme = draw.choice(["text", "text", "nhs-number"])
    people = drawn._ids(draw, scheme, draw.choice([0, 1, 6, 8, 10, 12, 14]))
    keys = draw.choice([("id", "id", "id"), ("nhs_no", "person", "who"), ("Id", "ID", "id")])
    datasets: list[dict[str, Any]] = []
    rows: dict[str, Rows] = {}
    for (name, party), key, side in zip(TABLES, keys, "abc", strict=True):
        k = 1 if alone else draw.choice([1, 1, 2, 3])
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
    """Draw a query over three tables: joined on the first, or one after the other, with columns of all."""
    draw = random.Random(f"three query {seed}")
    tables = draw.sample(found.datasets, 3)
    aliases = draw.choice([("a", "b", "c"), tuple(table["name"] for table in tables)])
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
        for number in (1, 2):
            pair = [keys[draw.randrange(number)], keys[number]]
            draw.shuffle(pair)
            lines.append(f"{draw.choice(['JOIN', 'INNER JOIN'])} {shown[number]} ON {' = '.join(pair)}")
    if conditions:
        lines.append("WHERE " + " AND ".join(conditions))
    if by:
        lines.append("GROUP BY " + ", ".join(by))
    return "\n".join(lines)
