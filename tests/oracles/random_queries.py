"""Specifications, tables and queries that nobody wrote: every construct of the language, drawn from a seed.

A ``World`` is two tables with columns of every type and role, full of NULLs and awkward values; ``ask`` draws a query
over them. Nobody has more rows than count, unless ``excess`` says so.
"""

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pets.spec.model import Spec
from tests.oracles.sql import Rows, is_space

PARTIES = ("board", "council", "helper", "office")
_LETTERS = "aZ09_- '\"\\é́ßĸΩжשש中文字😀🏳‍🌈​#?%;\t"
_LEVELS = ("north", "it's", 'ü "x"', "0", "1.0", "中", "a b", "NULL", "😀", "-", "(other)")


@dataclass(frozen=True)
class World:
    """Two tables of two holders, or three of three. ``rows`` are raw, as a holder brings them."""

    datasets: tuple[dict[str, Any], ...]
    rows: dict[str, Rows]
    keys: tuple[str, ...]
    normalise: tuple[str, ...]
    epsilon: str


def world(seed: int, *, excess: bool = False, wide: bool | None = None) -> World:
    """Draw two tables."""
    draw = random.Random(f"world {seed}")
    scheme = draw.choice(["text", "text", "nhs-number"])
    people = _ids(draw, scheme, draw.choice([0, 1, 3, 6, 8, 10, 12, 14]))
    keys = draw.choice([("id", "id"), ("nhs_no", "person"), ("Id", "ID")])
    datasets, rows = [], {}
    for place, (name, party) in enumerate((("stays", "board"), ("homes", "council"))):
        k = draw.choice([1, 1, 2, 3])
        columns = _columns(draw, keys[place], scheme, "ab"[place], draw.random() < 0.3 if wide is None else wide)
        own = _rows(draw, columns, keys[place], people, k + (draw.choice([1, 3]) if excess else 0))
        datasets.append(
            {
                "name": name,
                "party": party,
                "max_rows_per_person": k,
                "max_rows": max(1, len(own) + draw.choice([0, 0, 3])),
                "truncate": excess or draw.random() < 0.5,
                "columns": columns,
            }
        )
        rows[name] = own
    normalise = draw.choice([(), (), ("nfc",), ("strip-spaces",)]) if scheme == "text" else ()
    if normalise and not excess:  # two ids may become one, and one person have more rows
        for dataset in datasets:
            dataset["max_rows_per_person"] = max(dataset["max_rows_per_person"], len(rows[dataset["name"]]))
    return World((datasets[0], datasets[1]), rows, keys, normalise, draw.choice(["1", "0.5", "10"]))


def spec_of(world: World, sql: str, *, result: str = "office", only: Sequence[set[str]] | None = None) -> Spec:
    """A specification of a query over a world; ``only``: the columns of each table that it declares."""
    datasets = []
    for place, dataset in enumerate(world.datasets):
        kept = {n: c for n, c in dataset["columns"].items() if only is None or n in only[place]}
        datasets.append(dataset | {"columns": kept})
    parties = []
    three = len(world.datasets) > 2
    for name in (PARTIES[0], PARTIES[1], *(table["party"] for table in world.datasets[2:]), *PARTIES[2:]):
        roles = {"helper": ("computing",), "office": ("result",)}.get(name, ("input", "computing"))
        if name == result != "office":
            roles = (*roles, "result")
        if name != "office" or result == "office":
            parties.append(
                {"name": name, "organisation": name, "roles": roles, "san": f"spiffe://local.invalid/{name}"}
            )
    legal = {
        "controller": "A controller",
        "law": "legal-gb:law-GDPR",
        "jurisdiction": "loc:GB-SCT",
        "article6": "eu-gdpr:A6-1-e",
        "retention": "none",
        "notice": "see the web site",
        "dpia": {"id": "1", "outcome": "eu-gdpr:DPIAOutcomeRisksMitigated"},
    }
    today = dt.datetime.now(dt.UTC).date()
    return Spec.model_validate(
        {
            "pets": 1,
            "title": "A query that nobody wrote",
            "purpose": {
                "statement": "What does a query that nobody wrote say?",
                "dpv": ("dpv:ScientificResearch",),
                "public_benefit": "The engine that answers it is right.",
                "author": "author@local.invalid",
            },
            "party": tuple(parties),
            "dataset": tuple(datasets),
            "legal": {table["party"]: legal for table in world.datasets},
            "linkage": {
                "on": {table["name"]: key for table, key in zip(world.datasets, world.keys, strict=True)},
                "normalise": world.normalise,
                "version": "1",
            },
            "computation": {"sql": sql},
            "release": {
                "to": (result,),
                "differential_privacy": {"epsilon": world.epsilon, "neighbours": "one person's rows added or removed"},
            },
            "security": {
                "adversary": "semi-honest",
                "corrupt": 1,
                "protocol": "star_join" if three else "helper_join_a",
                "leakage": (
                    *(
                        {"learner": "helper", "item": "match_count", "noised": {"epsilon": "1", "delta": "2^-20"}}
                        for _ in range(0 if three else 1)
                    ),
                    {
                        "learner": "everyone",
                        "item": "row_count",
                        "of": tuple(table["name"] for table in world.datasets),
                        "as": "declared maximum",
                    },
                ),
            },
            "validity": {"not_before": today, "not_after": today + dt.timedelta(300), "max_runs": 1000},
        }
    )


# -- tables -----------------------------------------------------------------------------------------------------------


def _ids(draw: random.Random, scheme: str, count: int) -> list[str]:
    if scheme == "nhs-number":
        return [f"{draw.choice([0, 7, draw.randrange(10**10)]):010d}" for _ in range(count)]
    out = []
    for _ in range(count):
        text = "".join(draw.choices(_LETTERS, k=draw.choice([1, 2, 9, 30])))
        while len(text.encode()) > 64:
            text = text[:-1]
        out.append("x" if all(map(is_space, text)) else text)
    return out


def _columns(draw: random.Random, key: str, scheme: str, side: str, wide: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {key: {"role": "person id", "scheme": scheme}}
    for number in range(3):
        levels = tuple(draw.sample(_LEVELS, draw.choice([1, 2, 3])))
        columns[f"d{number}{side}"] = {"role": "dimension", "type": "category", "levels": levels}
    low = draw.choice([-5, 0, -9])
    columns["i" + side] = {"role": "measure", "type": "integer", "min": low, "max": low + draw.choice([0, 7, 20])}
    columns["e" + side] = {
        "role": "measure",
        "type": "decimal",
        "places": draw.choice([1, 2]),
        "min": "-1.5",
        "max": "2.5",
    }
    big = draw.choice([10**4, 10**7, 10**9])
    columns["w" + side] = (
        {"role": "measure", "type": "integer", "min": -big, "max": big}
        if wide
        else {"role": "measure", "type": "integer", "min": -3, "max": 3}
    )
    for name in ("i", "e", "w"):
        columns[name + side] |= {"clamp": draw.random() < 0.4, "required": draw.random() < 0.4}
    columns["n" + side] = {"role": "filter only", "type": "integer"}
    columns["f" + side] = {"role": "filter only", "type": "decimal", "places": 2}
    columns["t" + side] = {"role": "filter only", "type": "text"}
    columns["day" + side] = {"role": "filter only", "type": "date"}
    return columns


def _rows(draw: random.Random, columns: dict[str, Any], key: str, people: list[str], most: int) -> Rows:
    own = [who for who in dict.fromkeys(people) if draw.random() < 0.8]
    ids: list[str | None] = [who for who in own for _ in range(draw.randint(1, most))]
    ids += [None] * draw.choice([0, 0, 2])
    draw.shuffle(ids)
    nulls = draw.choice([0.0, 0.2, 0.2, 0.8])
    return [{n: who if n == key else _value(draw, c, nulls) for n, c in columns.items()} for who in ids]


def _value(draw: random.Random, column: dict[str, Any], nulls: float) -> Any:
    if not column.get("required") and draw.random() < nulls:
        return None
    if column["role"] == "dimension":
        return draw.choice(column["levels"])
    kind = column["type"]
    if kind == "text":
        return draw.choice(["", "x", "it's", "é", "NULL", "0"])
    if kind == "date":
        return dt.date(2026, 1, 1) + dt.timedelta(draw.randrange(0, 60, 10))
    if column["role"] != "measure":
        return draw.randint(-3, 3) if kind == "integer" else Decimal(draw.randint(-300, 300)) / 100
    low, high = Decimal(column["min"]), Decimal(column["max"])
    beyond = Decimal(5) if column["clamp"] and draw.random() < 0.3 else Decimal(0)
    if kind == "integer":
        return draw.choice([int(low - beyond), int(high + beyond), draw.randint(int(low), int(high))])
    places = column["places"] + (1 if column["clamp"] else 0)
    steps = int((high - low) * 10**places)
    return draw.choice([low - beyond, high + beyond, low + Decimal(draw.randint(0, steps)).scaleb(-places)])


# -- queries ----------------------------------------------------------------------------------------------------------

_ONE = (
    *("SUM",) * 5, *("AVG",) * 2, *("COUNT",) * 2,
    "MEAN", "VAR_SAMP", "VAR_POP", "VARIANCE", "STDDEV", "STDDEV_SAMP", "STDDEV_POP",
)  # fmt: skip
_TWO = ("CORR", "COVAR_SAMP", "COVAR_POP", "REGR_SLOPE", "REGR_INTERCEPT")


def ask(seed: int, world: World) -> str:
    """Draw a query over a world. The language may refuse it: WHERE that keeps unmatched rows, too many cells."""
    draw = random.Random(f"query {seed}")
    first = draw.choice([0, 0, 1])
    tables = (world.datasets[first], world.datasets[1 - first])
    aliases = draw.choice([("a", "b"), (tables[0]["name"], tables[1]["name"]), ("left_t", "R2")])
    join = draw.choice(["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "LEFT JOIN"])
    by: list[str] = []
    for alias, table in zip(aliases, tables, strict=True):
        dims = [n for n, c in table["columns"].items() if c["role"] == "dimension"]
        by += [f"{alias}.{_case(draw, n)}" for n in draw.sample(dims, draw.choice([0, 1, 1, 2]))]
    draw.shuffle(by)
    measures = [
        f"{alias}.{n}"
        for alias, t in zip(aliases, tables, strict=True)
        for n, c in t["columns"].items()
        if c["role"] == "measure"
    ]
    keys = [f"{alias}.{_key(table)}" for alias, table in zip(aliases, tables, strict=True)]
    stats = [_statistic(draw, measures, keys) for _ in range(draw.choice([1, 1, 2, 3]))]
    columns = [(text, None) for text in by] + [(text, f"s{i}") for i, text in enumerate(stats)]
    draw.shuffle(columns)
    named = [(text, name or (f"g{i}" if draw.random() < 0.3 else None)) for i, (text, name) in enumerate(columns)]
    lines = ["SELECT " + ", ".join(text + (f" AS {name}" if name else "") for text, name in named)]
    shown = [
        table["name"] + ("" if alias == table["name"] else draw.choice([" ", " AS "]) + alias)
        for alias, table in zip(aliases, tables, strict=True)
    ]
    lines.append(f"FROM {shown[0]}")
    conditions = [
        [_condition(draw, alias, table, 2) for _ in range(draw.choice([0, 0, 0, 0, 1, 2]))]
        for alias, table in zip(aliases, tables, strict=True)
    ]
    on_both = keys if draw.random() < 0.5 else keys[::-1]
    same = _key(tables[0]).lower() == _key(tables[1]).lower()
    extra = [] if join.startswith("LEFT") else conditions[0][:1] if draw.random() < 0.5 else []
    extra += conditions[1][:1] if draw.random() < 0.6 else []
    if same and not extra and draw.random() < 0.4 and not any("DISTINCT" in s for s in stats):
        lines.append(f"{join} {shown[1]} USING ({_key(tables[0])})")
    else:
        lines.append(f"{join} {shown[1]} ON " + " AND ".join([" = ".join(on_both), *extra]))
    where = [part for side in conditions for part in side if part not in extra]
    if where:
        draw.shuffle(where)
        lines.append("WHERE " + " AND ".join(where))
    if by:
        names = []
        for text in by:
            place = next(i for i, (own, _) in enumerate(named) if own == text)
            names.append(draw.choice([text, text, str(place + 1), named[place][1] or text]))
        lines.append("GROUP BY " + ", ".join(names))
    return "\n".join(lines)


def _key(table: dict[str, Any]) -> str:
    return next(name for name, column in table["columns"].items() if column["role"] == "person id")


def _case(draw: random.Random, name: str) -> str:
    return name.upper() if draw.random() < 0.1 else name


def _statistic(draw: random.Random, measures: list[str], keys: list[str]) -> str:
    kind = draw.choice(["rows", "people", "one", "one", "one", "two", "two"])
    if kind == "rows":
        return "COUNT(*)"
    if kind == "people":
        return f"COUNT(DISTINCT {draw.choice(keys)})"
    if kind == "one":
        return f"{draw.choice(_ONE)}({draw.choice(measures)})"
    y, x = draw.sample(measures, 2)
    return f"{draw.choice(_TWO)}({y}, {x})"


def _condition(draw: random.Random, alias: str, table: dict[str, Any], depth: int) -> str:
    if depth and draw.random() < 0.3:
        parts = [_condition(draw, alias, table, depth - 1) for _ in range(2)]
        return draw.choice([f"({parts[0]} OR {parts[1]})", f"({parts[0]} AND {parts[1]})", f"NOT ({parts[0]})"])
    name = draw.choice([n for n, c in table["columns"].items() if c["role"] != "person id"])
    column, own = table["columns"][name], f"{alias}.{name}"
    if draw.random() < 0.15:
        return draw.choice([f"{own} IS NULL", f"{own} IS NOT NULL", f"NOT {own} IS NULL"])
    literals = [_literal(draw, column) for _ in range(3)]
    kinds = ["=", "<>", "!=", "IN", "NOT IN"]
    if column["type"] in ("integer", "decimal", "date"):
        kinds += ["<", "<=", ">", ">=", "BETWEEN", "flipped"]
    kind = draw.choice(kinds)
    if kind in ("IN", "NOT IN"):
        return f"{own} {kind} ({', '.join(literals[: draw.choice([1, 2, 3])])})"
    if kind == "BETWEEN":
        return f"{own} {draw.choice(['', 'NOT '])}BETWEEN {literals[0]} AND {literals[1]}"
    if kind == "flipped":
        return f"{literals[0]} >= {own}"
    return f"{own} {kind} {literals[0]}"


def _literal(draw: random.Random, column: dict[str, Any]) -> str:
    if column["role"] == "dimension":
        return "'" + draw.choice(column["levels"]).replace("'", "''") + "'"
    match column["type"]:
        case "text":
            return draw.choice(["''", "'x'", "'it''s'", "'é'"])
        case "date":
            return draw.choice(["DATE '2026-01-11'", "DATE '2026-02-01'"])
        case "decimal":
            return draw.choice(["0.5", "-1.5", "2", "0"])
    return str(draw.randint(-3, 3))


def touched(world: World, sql: str) -> list[set[str]]:
    """The columns of each table that a query mentions, and the key: what a specification of it may declare."""
    words = sql.lower().replace("(", " ").replace(")", " ").replace(",", " ").replace(".", " ").split()
    return [
        {n for n, c in table["columns"].items() if n.lower() in words or c["role"] == "person id"}
        for table in world.datasets
    ]
