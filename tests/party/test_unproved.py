"""Whole runs in which a holder hands in what is not proved to be in range: left out, or the end, in memory and over
real servers."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets.approve.envelope import claimed, sign, statement
from pets.errors import PeerError, ReceiptError, RunError
from pets.ids import PartyId
from pets.kernels.prime import FIELD128
from pets.network import Network
from pets.party import contribute
from pets.party.receipts import RECEIPT
from pets.protocols import checked_sum
from tests.party.loopback import LoopbackWorld
from tests.party.pool_world import PoolWorld, hasten, parts, toml_of
from tests.party.test_pooled_grpc import network as over_network
from tests.party.test_pooled_runs import exact, verified, without  # noqa: F401
from tests.party.test_pooling import NORTH, SOUTH, SQL

BAD = PartyId("board-2")
WHY = "left out: its numbers were not proved to be within their bounds"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


@pytest.fixture(autouse=True)
def lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """One board hands in another vector than the one it has proved."""
    now, honest_parts, honest_split = threading.local(), contribute.parts, checked_sum.split

    def parts_of(plan: Any, party: PartyId, *given: Any, **named: Any) -> Any:
        now.lies = party == BAD
        return honest_parts(plan, party, *given, **named)

    def split(*given: Any) -> Any:
        made = honest_split(*given)
        if getattr(now, "lies", False):
            made.words[0] ^= np.uint64(1)
        return made

    monkeypatch.setattr(contribute, "parts", parts_of)
    monkeypatch.setattr(checked_sum, "split", split)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PoolWorld]]:
    made: list[PoolWorld] = []

    def of(computing: int = 2, **options: Any) -> PoolWorld:
        toml = toml_of(4, computing, sql=SQL, protocol="checked_sum", **options)
        made.append(PoolWorld(tmp_path / "world", toml, parts(4)))
        made[-1].prepared()
        return made[-1]

    yield of
    for world in made:
        world.close()


def counts(frames: Mapping[PartyId, pd.DataFrame]) -> dict[str, int]:
    return pd.concat(list(frames.values())).groupby("ward").size().to_dict()  # type: ignore[return-value]


def found_counts(table: pd.DataFrame) -> dict[str, int]:
    return {ward: round(n) for ward, n in table.set_index("ward")["n"].items() if round(n)}  # type: ignore[misc]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("computing", [2, pytest.param(3, marks=pytest.mark.long)])
def test_it_is_left_out_named_and_signed_for(make: Callable[..., PoolWorld], tmp_path: Path, computing: int) -> None:
    world = make(computing, minimum=3)
    found = world.run(world.toml)
    assert found_counts(found.to_pandas()) == counts(without(parts(4), BAD))
    assert found.participation is not None
    assert found.participation.missing == {BAD: WHY}
    assert f"{BAD} ({WHY})" in found.participation.note()
    for party in world.spec.computing:
        said = claimed(found.receipts[party])["predicate"]
        assert (said["unproved"], said["declined"]) == ([BAD], []) and BAD not in said["contributors"]
    line = f"{BAD}: it uploaded, and is not in the table: its numbers were not proved to be within their bounds"
    assert line in verified(world, found, tmp_path / "evidence")
    assert world.ends(BAD) == ["sent"] and world.spent(BAD, "visits") == "4", "what left counts as spent"


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("unproved", "minimum"), [("end the run", 2), pytest.param(None, 4, marks=pytest.mark.long)])
def test_the_run_ends_where_it_is_to_or_too_few_are_left(
    make: Callable[..., PoolWorld], unproved: str | None, minimum: int
) -> None:
    world = make(unproved=unproved, minimum=minimum)
    with pytest.raises(RunError) as caught:
        world.run(world.toml)
    assert caught.value.fields["reason"] == "peer.proof"
    assert "peer.proof" in {*world.codes(NORTH), *world.codes(SOUTH)}
    assert all(sent.to in world.spec.computing for sent in world.transcript), "no share of a sum was sent"


@pytest.mark.parametrize("more", [1 << 40, 1 << 70])
@pytest.mark.usefixtures("exact")
def test_a_sum_that_no_numbers_within_bounds_add_up_to_is_refused(make: Callable[..., PoolWorld], more: int) -> None:
    world = make(minimum=3)
    found = world.run(world.toml)
    share = found.shares[SOUTH].copy()
    last = int.from_bytes(share[-16:].tobytes(), "little")
    share[-16:] = np.frombuffer(((last + more) % FIELD128.modulus).to_bytes(16, "little"), np.uint8)
    object.__setattr__(found, "shares", {**found.shares, SOUTH: share})
    with pytest.raises(PeerError, match=r"peer\.check"):
        _ = found.opened


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_computing_parties_that_sign_different_sets_are_refused(make: Callable[..., PoolWorld], tmp_path: Path) -> None:
    world = make(minimum=3)
    found = world.run(world.toml)
    said = {**claimed(found.receipts[SOUTH])["predicate"], "unproved": []}
    subject = {"specification": said["spec"], "run": said["run"]}
    other = sign(statement(RECEIPT, subject, said), world.signing[SOUTH])
    object.__setattr__(found, "receipts", {**found.receipts, SOUTH: other})
    with pytest.raises(ReceiptError, match=r"receipt\.differs"):
        verified(world, found, tmp_path / "evidence")


@pytest.mark.usefixtures("exact")
@pytest.mark.long
def test_it_is_left_out_over_the_network(tmp_path: Path) -> None:
    toml = toml_of(4, 2, sql=SQL, protocol="checked_sum", minimum=3)
    world = LoopbackWorld(tmp_path / "loopback", toml, parts(4))
    try:
        world.prepared()
        network: Network = over_network(world)
        found = network.run(toml)
    finally:
        world.close()
    assert found_counts(found.to_pandas()) == counts(without(parts(4), BAD))
    assert found.participation is not None and found.participation.missing == {BAD: WHY}
