"""A deployment in memory of holders of one table, and of those who add it up: a ``World`` of visits of boards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pets import client as clients
from pets import gathering
from pets.approve.permitting import permitting
from pets.approve.policy import Approver, Policy
from pets.ids import PartyId
from pets.kernels import prf
from pets.party import contribute, holder, leaving, pooling
from pets.plan.review import Reviewed
from pets.secret import Secret
from pets.spec.ir import Plan
from pets.spec.parse import parse_toml
from tests.oracles.many import nhs_numbers
from tests.party.world import ANALYST, World
from tests.pooled import boards, pooled_toml

LASTS = (("not_after = 2026-12-31", "not_after = 2027-12-31"),)
"""The clock of a world stands in January 2027."""

WARDS = ("medical", "surgical", "other")


def hasten(monkeypatch: pytest.MonkeyPatch, *, minute_s: float = 20.0) -> None:
    """Make the pauses of clients and holders short. ``minute_s``: of uploads; long enough where everybody comes."""
    monkeypatch.setattr(contribute, "MINUTE_S", minute_s)
    monkeypatch.setattr(clients, "END_S", 1.0)
    for module, first, longest in ((holder, 0.01, 0.05), (gathering, 0.02, 0.1), (leaving, 0.01, 0.05)):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", first)
        monkeypatch.setattr(module, "LONGEST_PAUSE_S", longest)


def toml_of(holders: int = 4, computing: int = 2, *, edits: Sequence[tuple[str, str]] = (), **options: Any) -> str:
    """A specification that runs in a world. Uploads are taken for a minute, of which a test makes less."""
    given = {"minutes": 1, "runs": 3} | options
    return pooled_toml(holders, computing, edits=(*LASTS, *edits), **given)


def visits(rows: int, seed: int = 0, *, most: int = 1, ages: float = 0.9) -> pd.DataFrame:
    """Rows of one board: of so many persons, or of fewer who have up to ``most`` each."""
    rng = np.random.default_rng(seed)
    people = nhs_numbers(400 + 40 * rows)[40 * rows :]
    ids = rng.permutation([one for one in people[:rows] for _ in range(most)])[:rows]
    age = pd.array(rng.integers(0, 111, rows), "Int64")
    age[rng.random(rows) > ages] = pd.NA
    return pd.DataFrame(
        {
            "nhs_number": ids,
            "ward": rng.choice(WARDS, rows),
            "arrival": pd.to_datetime("2026-01-01") + pd.to_timedelta(rng.integers(-30, 200, rows), "D"),
            "minutes": rng.integers(0, 601, rows),
            "age": age,
            "cost": np.round(rng.integers(-5000, 95051, rows) / 100, 2),
            "died": rng.integers(0, 2, rows),
        }
    )


def parts(holders: int = 4, *, rows: int = 30, **options: Any) -> dict[PartyId, pd.DataFrame]:
    """A table in so many parts."""
    return {PartyId(name): visits(rows + n, n, **options) for n, name in enumerate(boards(holders), 1)}


def pooled(frames: Mapping[PartyId, pd.DataFrame]) -> pd.DataFrame:
    """All rows, as nobody ever sees them."""
    return pd.concat(list(frames.values()), ignore_index=True)


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every computing party draw zeros, so that the released table is the exact one."""

    def zeros(plan: Plan, own: object) -> npt.NDArray[np.uint64] | None:
        drawn = pooling_noise(plan, prf.Stream(Secret(bytes(16))))
        return None if drawn is None else np.zeros_like(drawn)

    pooling_noise = pooling.noise_of
    monkeypatch.setattr(pooling, "noise_of", zeros)


class PoolWorld(World):
    """``frames``: each holder's part. ``limits``: changes of every policy's limits."""

    def __init__(self, folder: Path, toml: str, frames: Mapping[PartyId, pd.DataFrame], **options: Any) -> None:
        self.toml, self.spec = toml, parse_toml(toml)
        super().__init__(
            folder,
            {"visits": next(iter(frames.values())), **{f"{party}/visits": frame for party, frame in frames.items()}},
            holders={"visits": tuple(frames)},
            computing=self.spec.computing,
            protocols=(),
            **options,
        )
        self.boards = tuple(frames)

    def policy(self, party: PartyId) -> Policy:
        people = self.people[party].items()
        approvers = [
            Approver(name=name, role="owner", key=key.text, organisation=f"Of {party}") for name, key in people
        ]
        made = permitting(self.spec, party, approvers, k=self.k)
        return made.model_copy(update={"limits": made.limits.model_copy(update=dict(self.limits))})

    def prepared(self, *, without: Sequence[PartyId] = ()) -> Reviewed:
        """Submit everywhere, and approve everywhere but where it is left out."""
        reviewed = self.submit(self.toml)
        self.approve(reviewed, *(party for party in self.servers if party not in without))
        return reviewed

    def ends(self, party: PartyId) -> list[str]:
        """How runs ended at a party: sent, finished, or the code of their abort, or of the refusal to start."""
        found = []
        for kind, body in self.log(party):
            if kind in ("run.sent", "run.finished"):
                found.append(kind.removeprefix("run."))
            elif kind in ("run.aborted", "run.refused"):
                found.append(body["code"])
        return found


__all__ = ["ANALYST", "PoolWorld", "parts", "pooled", "toml_of", "visits", "without_noise"]


@contextmanager
def worlds(folder: Path) -> Iterator[Callable[..., PoolWorld]]:
    """Makes worlds below ``folder`` from frames and a specification, and closes all of them at the end."""
    made: list[PoolWorld] = []

    def of(frames: Mapping[PartyId, pd.DataFrame], toml: str, **options: Any) -> PoolWorld:
        made.append(PoolWorld(folder / f"world{len(made)}", toml, frames, **options))
        return made[-1]

    try:
        yield of
    finally:
        for world in made:
            world.close()
