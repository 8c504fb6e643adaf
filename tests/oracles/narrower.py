"""When one specification lets nobody learn more than another: the order itself, read off plans instead of changes.

``within(new, old)`` asks one question of two whole specifications; ``pets.check.diff`` walks their differences. Sizes,
noise and who plays which role come from the lowered plan, the condition on rows is tried on rows, matrix and losses are
the checker's. Everything that has no order must be the same.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from pets.check import flow
from pets.check.budget import Loss
from pets.errors import PetsError
from pets.plan.cost import join_of
from pets.plan.lower import lower
from pets.spec.cards import load_cards
from pets.spec.ir import AddNoise, Read
from pets.spec.model import Leakage, Spec, quantity
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate
from pets.spec.sql import bind

ROWS = [
    {"arrival": day, "minutes": minutes, "age_band": band}
    for day, minutes, band in product(
        [None, *(dt.date(2026, month, day) for month in (1, 3, 6) for day in (1, 2)), dt.date(2025, 12, 31)],
        [None, 0, 59, 60, 61, 120, 121],
        [None, "16-24", "25-44", "65+"],
    )
]


@dataclass(frozen=True)
class Subject:
    """What the order looks at, derived once."""

    spec: Spec
    rest: Any
    tables: list[Any]
    outputs: frozenset[tuple[str, str]]
    noise: dict[Any, Fraction]
    sizes: tuple[int, ...]
    atoms: dict[Any, Leakage]
    cells: dict[Any, int]
    losses: Mapping[str, Loss]


def subject(spec: Spec) -> Subject | None:
    """What the order is about; None if the check refuses the specification."""
    try:
        query = bind(spec)
        verdict = flow.judge(spec, query, load_cards()).require()
        plan = lower(spec, query)
    except PetsError:
        return None
    names = {output.name: repr(output.what) for output in query.outputs}
    noise = next(step for step in plan.steps if isinstance(step, AddNoise))
    join = join_of(plan)
    return Subject(
        spec=spec,
        rest=_rest(spec),
        tables=[
            (
                read.party,
                read.dataset,
                {d.column: d.levels for d in read.dimensions},
                [_holds(read.where, row) for row in ROWS],
                query.join,
            )
            for read in plan.steps
            if isinstance(read, Read)
        ],
        outputs=frozenset((what, name) for name, what in names.items()),
        noise={(c.moment, c.sensitivity): c.epsilon / c.sensitivity for c in noise.columns},
        sizes=tuple(join.parameter(name) for name in ("n_a", "n_b", "g", "k")),
        atoms={
            (who, item.item, of): item
            for item in spec.security.leakage
            for who in ([p.name for p in spec.parties] if item.learner == "everyone" else [item.learner])
            for of in item.of or (None,)
        },
        cells={
            (r.kind, names[r.value] if r.kind == "released" else r.value, frozenset(c.parties)): r.cells[c.label].rank
            for r in verdict.matrix.rows
            for c in verdict.matrix.columns
        },
        losses=verdict.losses,
    )


def relation(old: Subject, new: Subject) -> str:
    less, more = within(new, old), within(old, new)
    return {(True, True): "equal", (True, False): "narrower", (False, True): "wider"}.get((less, more), "incomparable")


def within(new: Subject, old: Subject) -> bool:
    return (
        new.rest == old.rest
        and new.tables == old.tables
        and new.outputs <= old.outputs
        and new.sizes == old.sizes
        and all(key in old.noise and ratio <= old.noise[key] for key, ratio in new.noise.items())
        and all(rank <= old.cells.get(key, 0) for key, rank in new.cells.items())
        and all(loss.within(old.losses[name]) for name, loss in new.losses.items())
        and all(key in old.atoms and _tells_less(item, old.atoms[key]) for key, item in new.atoms.items())
        and _declared(new.spec, old.spec)
        and _validity(new.spec, old.spec)
    )


def _rest(spec: Spec) -> Any:
    """All that has no order, without the order of lists that mean sets and without two spellings of one number."""
    doc = spec.model_dump(exclude={"computation", "validity"})
    doc["parties"] = {party["name"]: {**party, "roles": set(party["roles"])} for party in doc["parties"]}
    doc["purpose"]["dpv"] = set(doc["purpose"]["dpv"])
    doc["datasets"] = {table["name"]: {**table, "columns": None} for table in doc["datasets"]}
    doc["linkage"]["normalise"] = set(doc["linkage"]["normalise"])
    on = doc["linkage"]["on"]
    doc["linkage"]["on"] = dict.fromkeys(doc["datasets"], on) if isinstance(on, str) else on
    doc["release"]["differential_privacy"] |= {"epsilon": None, "weights": None}
    del doc["security"]["leakage"], doc["security"]["protocol"]
    return doc


def _declared(new: Spec, old: Spec) -> bool:
    """Columns that the new one declares are declared the same in the old one; a named protocol may stay named."""
    for table in new.datasets:
        known = old.dataset(table.name).columns
        for name, column in table.columns.items():
            if name not in known or _numbers(known[name].model_dump()) != _numbers(column.model_dump()):
                return False
    return new.security.protocol is not None or old.security.protocol is None


def _numbers(column: dict[str, Any]) -> dict[str, Any]:
    return {k: Fraction(v) if k in ("min", "max") and v is not None else v for k, v in column.items()}


def _holds(where: Predicate | None, row: dict[str, Any]) -> bool | None:
    """Three-valued logic, straight from the standard."""
    match where:
        case None:
            return True
        case IsNull(column, negated):
            return (row[column] is None) != negated
        case Not(part):
            held = _holds(part, row)
            return None if held is None else not held
        case All(parts):
            held_of = [_holds(part, row) for part in parts]
            return False if False in held_of else None if None in held_of else True
        case AnyOf(parts):
            held_of = [_holds(part, row) for part in parts]
            return True if True in held_of else None if None in held_of else False
        case In(column, values, negated):
            return None if row[column] is None else (row[column] in values) != negated
        case Compare(column, op, value):
            x = row[column]
            if x is None:
                return None
            return bool({"=": x == value, "<>": x != value, "<": x < value, "<=": x <= value}.get(op, x > value)) or (
                op == ">=" and x == value
            )
    raise AssertionError(where)


def _tells_less(new: Leakage, old: Leakage) -> bool:
    """Declared noise no smaller; where it differs, deltas at which the two laws cannot be told apart."""
    if new.extent == "exact" and old.extent != "exact":
        return False
    if new.noised is None or old.noised is None:
        return new.noised is not None or old.noised is None
    now, then = ((quantity(n.epsilon), quantity(n.delta)) for n in (new.noised, old.noised))
    near = all(delta * 2**30 <= epsilon for epsilon, delta in (now, then))
    return now == then or (now[0] <= then[0] and now[1] <= then[1] and near)


def _validity(new: Spec, old: Spec) -> bool:
    slow = ["yearly", "quarterly", "monthly", "weekly", "daily", None]
    now, then = new.validity, old.validity
    return (
        now.not_before >= then.not_before
        and now.not_after <= then.not_after
        and now.max_runs <= then.max_runs
        and slow.index(now.schedule) <= slow.index(then.schedule)
    )
