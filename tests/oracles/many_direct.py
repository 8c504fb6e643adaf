"""From the parts of tables of many holders to opened sums without servers: as ``direct`` does it for two holders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pets import derive
from pets.party import opening, prepare, sources
from pets.party.files import FrameSource
from pets.party.snapshot import take
from pets.plan.lower import lower
from pets.protocols import control, shared_join
from pets.protocols.base import Role
from pets.spec.ir import Plan, Protect
from pets.spec.model import Spec
from pets.spec.sql import bind
from tests.oracles.direct import NOW, stream
from tests.oracles.play import Transcript, play
from tests.oracles.shared_join import HASHED_BY, family

Parts = Mapping[str, Mapping[str, pd.DataFrame]]
"""By table and holder."""


@dataclass(frozen=True)
class Many:
    """A query over the frozen parts of all holders."""

    plan: Plan
    roles: Mapping[str, Any]

    @classmethod
    def of(cls, spec: Spec, parts: Parts, folder: Path) -> "Many":
        plan = lower(spec, bind(spec))
        brought: dict[str, Any] = {}
        makers = (("left", prepare.left_rows), ("right", prepare.right_rows))
        for (role, make), read in zip(makers, plan.reads, strict=True):
            for number, party in enumerate(read.parties):
                part = spec.dataset(read.dataset).part(party)
                source = FrameSource(parts[read.dataset][party])
                frozen = take(source, part, spec.linkage, folder / f"{party}-{role}", salt=bytes(32), now=NOW)
                table = sources.read(frozen, read, part)
                brought[f"{role}{number + 1}"] = make(plan, table, stream(1, party))
        return cls(plan, brought)

    def played(self, seed: int = 1) -> Transcript:
        """All messages of a run without noise, and what every role returned."""
        plan, safe = self.plan, self.plan.protection
        shape = prepare.shape_of(plan)
        assert isinstance(shape, shared_join.Shape)
        noise = None if isinstance(safe, Protect) else np.zeros((shape.v, shape.g), np.uint64)

        def of(one: str, other: str) -> Any:
            return family(seed, one, other)

        ring = shared_join.PARTIES
        ways = {me: (of(ring[at - 1], me), of(me, ring[(at + 1) % 3])) for at, me in enumerate(ring)}

        def whole(me: str, role: Role[Any]) -> Role[Any]:
            share = yield from role
            if isinstance(safe, Protect):
                ctx = control.context(ring.index(me), *ways[me], ring)
                yield from control.protect(prepare.control_shape(safe), ctx, share, *ways[me])

        roles: dict[str, Role[Any]] = {}
        for role, rows in self.roles.items():
            act: Any = shared_join.left if role.startswith("left") else shared_join.right
            number = int(role.removeprefix("left").removeprefix("right")) - 1
            roles[role] = act(shape, number, rows, of(role, "first"), HASHED_BY)
        holders = tuple([of(f"{side}{n + 1}", "first") for n in range(len(sizes))] for side, sizes in _sides(shape))
        before, after = ways["first"]
        roles["first"] = whole("first", shared_join.first(shape, (holders[0], holders[1]), after, before, noise))
        roles["second"] = whole("second", shared_join.second(shape, *ways["second"], noise))
        before, after = ways["third"]
        roles["third"] = whole("third", shared_join.third(shape, after, before, noise))
        if isinstance(safe, Protect):
            roles["result"] = control.result(prepare.control_shape(safe), ring)
        else:
            roles["result"] = shared_join.result(shape)
        return play(roles, seed=seed)

    def table(self, seed: int = 1) -> pd.DataFrame:
        """The released table."""
        parts = self.played(seed).outputs["result"]
        senders = opening.senders(self.plan)
        shares = {party: part.reshape(-1) for party, part in zip(senders, parts, strict=True)}
        return derive.table(self.plan, opening.opened(self.plan, shares))


def _sides(shape: shared_join.Shape) -> tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]:
    return ("left", shape.left), ("right", shape.right)
