"""From tables to opened sums without servers: snapshot, read, prepare, all roles in one thread, no noise by default.

Real code at every step but the party server around it, so that a query takes a hundredth of a second.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pets import derive
from pets.kernels.prf import Stream
from pets.party import prepare, sources
from pets.party.snapshot import take
from pets.party.sources import FrameSource, Snapshot, Table
from pets.plan.cost import join_of
from pets.plan.lower import lower
from pets.protocols import control
from pets.protocols import helper_join as hj
from pets.protocols.base import Role
from pets.secret import Secret
from pets.spec.ir import AddNoise, Plan, Protect, Read
from pets.spec.model import Spec
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.oracles import sql
from tests.oracles.helper_join import families
from tests.oracles.play import Transcript, play

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)

Change = Callable[[Table], Table]


def freeze(spec: Spec, rows: Mapping[str, sql.Rows], folder: Path) -> dict[str, Snapshot]:
    """Take the snapshots of all datasets of a specification."""
    return {
        d.name: take(FrameSource(sql.arrow(d, rows[d.name])), d, spec.linkage, folder / d.name, salt=bytes(32), now=NOW)
        for d in spec.datasets
    }


@dataclass(frozen=True)
class Direct:
    """A query over frozen tables."""

    spec: Spec
    query: Query
    plan: Plan
    tables: Mapping[str, Table]

    @classmethod
    def of(cls, spec: Spec, frozen: Mapping[str, Snapshot]) -> "Direct":
        query = bind(spec)
        plan = lower(spec, query)
        tables = {
            step.out: sources.read(frozen[step.dataset], step, spec.dataset(step.dataset))
            for step in plan.steps
            if isinstance(step, Read)
        }
        return cls(spec, query, plan, tables)

    def opened(self, *, seed: int = 1, noise: bool = False, keep: Mapping[str, Change] | None = None) -> np.ndarray:
        """The opened sums, (v, g) int64. ``keep`` changes the table of a role, "a" or "b", before it is prepared."""
        return hj.open_shares(*self.played(seed=seed, noise=noise, keep=keep).outputs["result"])

    def played(self, *, seed: int = 1, noise: bool = False, keep: Mapping[str, Change] | None = None) -> Transcript:
        """All messages of a run, and what every role returned."""
        join = join_of(self.plan)
        shape = prepare.shape_of(join)
        reads = {step.out: step for step in self.plan.steps if isinstance(step, Read)}
        change = {"a": _same, "b": _same} | dict(keep or {})
        if isinstance(self.plan.protection, Protect):
            return self._protected(self.plan.protection, seed)
        own = {role: stream(seed, role) for role in "ab"}
        rows = prepare.rows_of_a(reads[join.a], join, shape, change["a"](self.tables[join.a]), own["a"])
        people = prepare.people_of_b(reads[join.b], join, shape, change["b"](self.tables[join.b]), own["b"])
        words = np.zeros((3, shape.v, shape.g), np.uint64)
        if noise:
            step = next(step for step in self.plan.steps if isinstance(step, AddNoise))
            words = np.stack([prepare.noise_of(step, shape, stream(seed, f"noise {party}")) for party in range(3)])
        keys = families(seed)
        computing = (
            [None] * 3
            if (on_rows := prepare.rows_shape(join)) is None
            else [
                hj.OnRows(on_rows, control.context(me, keys[before], keys[after], ("a", "helper", "b")))
                for me, (before, after) in enumerate((("ab@a", "ac@a"), ("ac@c", "bc@c"), ("bc@b", "ab@b")))
            ]
        )
        return play(
            {
                "a": hj.party_a(shape, rows, keys["ab@a"], keys["ac@a"], words[0], computing[0]),
                "b": hj.party_b(shape, people, keys["ab@b"], keys["bc@b"], words[1], computing[2]),
                "helper": hj.helper(shape, keys["ac@c"], keys["bc@c"], words[2], computing[1]),
                "result": hj.result(shape),
            },
            seed=seed,
        )

    def _protected(self, safe: Protect, seed: int) -> np.ndarray:
        """Under disclosure control: what is shown, and which sets of counts are enough, (o + q, h * g) int64."""
        join = join_of(self.plan)
        shape, guarded = prepare.shape_of(join), prepare.control_shape(safe)
        reads = {step.out: step for step in self.plan.steps if isinstance(step, Read)}
        keys, own = families(seed), {role: stream(seed, role) for role in "ab"}
        rows = prepare.rows_of_a(reads[join.a], join, shape, self.tables[join.a], own["a"])
        people = prepare.people_of_b(reads[join.b], join, shape, self.tables[join.b], own["b"])
        order = ("a", "helper", "b")

        def after(join_role: Role[Any], me: int, before: str, following: str) -> Role[None]:
            share = yield from join_role
            yield from control.protect(guarded, me, share, keys[before], keys[following], order)

        played = play(
            {
                "a": after(hj.party_a(shape, rows, keys["ab@a"], keys["ac@a"], None), 0, "ab@a", "ac@a"),
                "helper": after(hj.helper(shape, keys["ac@c"], keys["bc@c"], None), 1, "ac@c", "bc@c"),
                "b": after(hj.party_b(shape, people, keys["ab@b"], keys["bc@b"], None), 2, "bc@b", "ab@b"),
                "result": control.result(guarded, order),
            },
            seed=seed,
        )
        shown, enough = control.open_shown(guarded, *played.outputs["result"])
        return np.concatenate([shown, enough.astype(np.int64)])

    def table(self, opened: np.ndarray) -> pd.DataFrame:
        return derive.table(self.plan, opened)


def stream(seed: int, label: str) -> Stream:
    """A reproducible stream of a party's own randomness."""
    return Stream(Secret((f"{seed} {label}".encode() + bytes(16))[:16]))


def without(person: int) -> Change:
    """Take the rows of one person, by number, out of a table."""

    return lambda table: only(table, table.person != person)


def only(table: Table, keep: np.ndarray) -> Table:
    """The rows of a table that are kept."""
    return replace(
        table,
        ids=np.ascontiguousarray(table.ids[keep]),
        person=table.person[keep],
        cell=table.cell[keep],
        values={name: column[keep] for name, column in table.values.items()},
        present={name: column[keep] for name, column in table.present.items()},
        compared=tuple(column[keep] for column in table.compared),
        tests=tuple(flags[keep] for flags in table.tests),
    )


def _same(table: Table) -> Table:
    return table
