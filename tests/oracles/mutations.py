"""Specifications that differ in a few random leaves, for the comparison of two: seeded, and most of them accepted."""

import copy
import datetime as dt
import random
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from pets.spec.model import Spec, frozen

Doc = dict[str, Any]

COLUMNS = (
    "COUNT(*) AS n",
    "AVG(a.minutes) AS mean",
    "SUM(a.minutes) AS total",
    "COUNT(a.minutes) AS known",
    "VAR_SAMP(a.minutes) AS spread",
    "COUNT(DISTINCT a.nhs_number) AS people",
)
CONDITIONS = (
    "a.arrival >= DATE '2026-01-01'",
    "NOT a.arrival < DATE '2026-01-01'",
    "a.arrival >= DATE '2026-03-01'",
    "a.minutes > 60",
    "NOT (a.minutes <= 60 OR a.minutes IS NULL)",
    "a.age_band IN ('16-24', '25-44')",
    "(a.age_band = '25-44' OR a.age_band = '16-24')",
    "a.minutes BETWEEN 60 AND 120",
)
ALTERNATIVES: dict[str, tuple[Any, ...]] = {
    "epsilon": ("1", "1.0", "1/2", "0.5", "2", "4", "1/3"),
    "delta": ("2^-40", "2^-41", "2^-30", "2^-29"),
    "refresh": ("monthly", "quarterly", "frozen"),
    "schedule": ("monthly", "quarterly", "yearly", None),
    "protocol": ("helper_join_a", None),
    "sensitivity": ("personal", "special category"),
}


class Query:
    """The parts of a query that are drawn apart."""

    def __init__(self, draw: random.Random) -> None:
        self.columns = ["COUNT(*) AS n", "AVG(a.minutes) AS mean"]
        self.conditions = [CONDITIONS[0]]
        self.groups = ["h.tenure", "a.age_band"]
        self.left = False
        self.swapped = False

    def change(self, draw: random.Random) -> None:
        what = draw.randrange(9)
        if what <= 2:
            _toggle(draw, self.columns, COLUMNS, least=1)
        elif what == 3:
            _toggle(draw, self.conditions, CONDITIONS, least=0)
        elif what == 4:
            draw.shuffle(self.columns)
            draw.shuffle(self.conditions)
        elif what == 5:
            draw.shuffle(self.groups)
        elif what == 6:
            _toggle(draw, self.groups, ("h.tenure", "a.age_band"), least=1)
        elif what == 7:
            self.swapped = not self.swapped
        else:
            self.left = not self.left

    def text(self, draw: random.Random) -> str:
        one, other = draw.choice((("a", "h"), ("x", "y"), ("h", "a")))
        words = draw.choice((" ", "\n", "  "))
        tables = ["attendances a", "housing h"]
        if self.swapped:
            tables.reverse()
        join = "LEFT JOIN" if self.left else "JOIN"
        text = f"SELECT {', '.join([*self.groups, *self.columns])}{words}FROM {tables[0]} {join} {tables[1]} "
        text += f"ON a.nhs_number = h.nhs_number{words}"
        text += f"WHERE {' AND '.join(self.conditions)}{words}" * bool(self.conditions)
        text += f"GROUP BY {', '.join(self.groups)}"
        for old, new in (
            ("a.", "\0."),
            ("h.", "\1."),
            ("attendances a", "attendances \0"),
            ("housing h", "housing \1"),
        ):
            text = text.replace(old, new)
        return text.replace("\0", one).replace("\1", other)


def _toggle(draw: random.Random, chosen: list[str], among: tuple[str, ...], *, least: int) -> None:
    one = draw.choice(among)
    if one not in chosen:
        chosen.append(one)
    elif len(chosen) > least:
        chosen.remove(one)


class Member:
    """One specification of the family, with what it takes to change it further."""

    def __init__(self, doc: Doc, query: Query, spec: Spec) -> None:
        self.doc, self.query, self.spec = doc, query, spec

    def child(self, draw: random.Random) -> "Member":
        """Another specification, one to three leaves away."""
        while True:
            doc, query = copy.deepcopy(self.doc), copy.deepcopy(self.query)
            for _ in range(draw.randint(1, 3)):
                if draw.random() < 0.35:
                    query.change(draw)
                elif draw.random() < 0.5:
                    draw.choice(_LIKELY)(doc, draw)
                else:
                    _mutate(doc, draw)
            doc["computation"]["sql"] = query.text(draw)
            try:
                return Member(doc, query, Spec.model_validate(frozen(doc)))
            except (ValidationError, ZeroDivisionError):
                continue


def first(text: str, draw: random.Random) -> Member:
    doc, query = tomllib.loads(text), Query(draw)
    doc["computation"]["sql"] = query.text(draw)
    return Member(doc, query, Spec.model_validate(frozen(doc)))


def _runs(doc: Doc, draw: random.Random) -> None:
    doc["validity"]["max_runs"] = draw.choice((1, 6, 12, 24))


def _dates(doc: Doc, draw: random.Random) -> None:
    name = draw.choice(("not_before", "not_after"))
    doc["validity"][name] += dt.timedelta(days=draw.choice((-30, 30)))


def _epsilon(doc: Doc, draw: random.Random) -> None:
    doc["release"]["differential_privacy"]["epsilon"] = draw.choice(ALTERNATIVES["epsilon"])


def _weights(doc: Doc, draw: random.Random) -> None:
    privacy = doc["release"]["differential_privacy"]
    weights = privacy.setdefault("weights", {})
    weights[draw.choice(("count(*)", "sum(attendances.minutes)"))] = draw.choice((1, 2, 3))


def _helper_count(doc: Doc, draw: random.Random) -> None:
    item = next(item for item in doc["security"]["leakage"] if item["item"] == "match_count")
    name = draw.choice(("epsilon", "delta"))
    item["noised"][name] = draw.choice(ALTERNATIVES[name])


def _column(doc: Doc, draw: random.Random) -> None:
    columns = draw.choice(doc["dataset"])["columns"]
    if "spare" in columns:
        del columns["spare"]
    else:
        columns["spare"] = {"role": "filter only", "type": "text"}


def _order(doc: Doc, draw: random.Random) -> None:
    draw.shuffle(draw.choice((doc["party"], doc["dataset"], doc["security"]["leakage"], doc["linkage"]["normalise"])))


def _option(doc: Doc, draw: random.Random) -> None:
    part, name = draw.choice((("validity", "schedule"), ("security", "protocol")))
    value = draw.choice(ALTERNATIVES[name])
    doc[part].pop(name, None)
    if value is not None:
        doc[part][name] = value


_LIKELY: tuple[Callable[[Doc, random.Random], None], ...] = (
    _runs,
    _dates,
    _epsilon,
    _weights,
    _helper_count,
    _column,
    _order,
    _option,
)


def _leaves(value: Any, holder: Any = None, key: Any = None) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, value, name)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _leaves(part, value, place)
    else:
        yield holder, key


def _mutate(doc: Doc, draw: random.Random) -> None:
    """Change one leaf of the document, whichever."""
    holder, key = draw.choice([each for each in _leaves(doc) if each[1] != "sql"])
    value = holder[key]
    if key in ALTERNATIVES:
        holder[key] = draw.choice([each for each in ALTERNATIVES[key] if each is not None])
    elif isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = max(0, value + draw.choice((-1, 1, value)))
    elif isinstance(value, dt.date):
        holder[key] = value + dt.timedelta(days=draw.choice((-1, 1)))
    elif isinstance(value, str):
        holder[key] = value + draw.choice(("x", " x", "0"))
