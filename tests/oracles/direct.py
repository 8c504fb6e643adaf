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
from pets.party import gate, prepare, sources
from pets.party.files import FrameSource
from pets.party.snapshot import take
from pets.party.sources import Snapshot, Table
from pets.plan.cost import join_of, parties_of
from pets.plan.lower import lower
from pets.protocols import control, star_join
from pets.protocols import helper_join as hj
from pets.protocols import helper_join_b as mode_b
from pets.protocols.base import Role
from pets.secret import Secret
from pets.spec.ir import AddNoise, Plan, Protect, Read
from pets.spec.model import Spec
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.oracles import sql
from tests.oracles.gated import OPENING, gated
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
        """The opened sums, (v, g) int64. ``keep`` changes the table of a role, "a" or "b", before it is prepared.

        Under disclosure control: what is shown, and which sets of counts are enough, (o + q, h * g) int64.
        """
        parts = self.played(seed=seed, noise=noise, keep=keep).outputs["result"]
        if not isinstance(self.plan.protection, Protect):
            return hj.open_shares(*parts)
        shown, enough = control.open_shown(prepare.control_shape(self.plan.protection), *parts)
        return np.concatenate([shown, enough.astype(np.int64)])

    def played(
        self,
        *,
        seed: int = 1,
        noise: bool = False,
        keep: Mapping[str, Change] | None = None,
        alter: Callable[[Any, Any], Any] = lambda key, array: array,
        gates: bool = False,
    ) -> Transcript:
        """All messages of a run, and what every role returned. ``alter``: what becomes of a message on its way.

        ``gates``: each role behind its gate, as in a party.
        """

        def behind(role: str, honest: Role[Any]) -> Role[Any]:
            if not gates:
                return honest
            named = {
                name: party if name != "result" else f"{party}:result" for name, party in parties_of(self.plan).items()
            }
            return gated(honest, gate.Gate(gate.project_plan(self.plan, named, role), opening=OPENING))  # type: ignore[arg-type]

        join, safe = join_of(self.plan), self.plan.protection
        shape = prepare.shape_of(self.plan)
        reads = {step.out: step for step in self.plan.steps if isinstance(step, Read)}
        change = dict.fromkeys(parties_of(self.plan), _same) | dict(keep or {})
        own = {role: stream(seed, role) for role in parties_of(self.plan)}
        rows = prepare.rows_of_a(reads[join.a], join, shape, change["a"](self.tables[join.a]), own["a"])
        people = prepare.people_of_b(reads[join.b], join, shape, change["b"](self.tables[join.b]), own["b"])
        words: Any = [None] * 3 if isinstance(safe, Protect) else np.zeros((3, shape.v, shape.g), np.uint64)
        if noise and isinstance(safe, AddNoise):
            words = np.stack([prepare.noise_of(safe, shape, stream(seed, f"noise {party}")) for party in range(3)])
        keys = families(seed)
        beside = (("ab@a", "ac@a"), ("ac@c", "bc@c"), ("bc@b", "ab@b"))
        ring = [
            control.context(me, keys[before], keys[after], ("a", "helper", "b"))
            for me, (before, after) in enumerate(beside)
        ]
        on_rows = prepare.rows_shape(join)
        more = (prepare.order_shape(join), prepare.against_shape(join), prepare.models_of(join))
        computing = [None if on_rows is None else hj.OnRows(on_rows, ctx, *more) for ctx in ring]

        def with_control(me: int, role: Role[Any]) -> Role[Any]:
            share = yield from role
            if isinstance(safe, Protect):
                before, after = (keys[name] for name in beside[me])
                on_my_rows = computing[me]
                found = ((), ()) if on_my_rows is None else (on_my_rows.found, on_my_rows.tops)
                yield from control.protect(prepare.control_shape(safe), ring[me], share, before, after, *found)

        result: Role[Any] = hj.result(shape)
        if isinstance(safe, Protect):
            result = control.result(prepare.control_shape(safe), ("a", "helper", "b"))
        if isinstance(shape, star_join.Shape):
            further = {}
            for number, each in enumerate(join.beside):
                role = star_join.role_of(number)
                table = change[role](self.tables[each.read])
                theirs = prepare.people_of_b(reads[each.read], join, shape, table, own[role])
                further[role] = star_join.party_d(shape, number, theirs, keys[f"a{role}@{role}"])
            assert computing[0] is not None and computing[1] is not None and computing[2] is not None
            families_a = (keys["ab@a"], [keys[f"a{role}@a"] for role in further], keys["ac@a"])
            star = star_join
            return play(
                {
                    role: behind(role, own_role)
                    for role, own_role in {
                        "a": with_control(0, star.party_a(shape, rows, *families_a, words[0], computing[0])),
                        "b": with_control(
                            2, star.party_b(shape, people, keys["ab@b"], keys["bc@b"], words[1], computing[2])
                        ),
                        **further,
                        "helper": with_control(
                            1, star.helper(shape, keys["ac@c"], keys["bc@c"], words[2], computing[1])
                        ),
                        "result": result,
                    }.items()
                },
                seed=seed,
                alter=alter,
            )
        code: Any = mode_b if isinstance(shape, mode_b.Shape) else hj
        return play(
            {
                "a": with_control(0, code.party_a(shape, rows, keys["ab@a"], keys["ac@a"], words[0], computing[0])),
                "b": with_control(2, code.party_b(shape, people, keys["ab@b"], keys["bc@b"], words[1], computing[2])),
                "helper": with_control(1, code.helper(shape, keys["ac@c"], keys["bc@c"], words[2], computing[1])),
                "result": result,
            },
            seed=seed,
            alter=alter,
        )

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
        chosen={each: flags[keep] for each, flags in table.chosen.items()},
    )


def _same(table: Table) -> Table:
    return table
