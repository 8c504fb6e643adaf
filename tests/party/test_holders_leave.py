"""Who only brings rows is done when they have arrived: it signs then, and need not be there at the end."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pets import result
from pets.approve.envelope import claimed, sign
from pets.errors import LinkError, PetsError, ReceiptError
from pets.ids import PartyId, RunHandle
from pets.party.evidence import PartyKeys, verify_evidence
from pets.party.receipts import verify_receipt
from pets.party.state import RunState
from pets.spec.cards import load_cards
from pets.spec.repeated import with_so_many
from pets.transport.memory import Passing
from tests.party.held import CLINIC, HELD, HOLDERS
from tests.party.world import BOARD, COUNCIL, altered, reviewed_of
from tests.party.world import World as AnyWorld

TOML = altered(*HELD, ("max_runs = 3", "max_runs = 5"))
BRINGING = (BOARD, CLINIC, COUNCIL)
NUMBER = {m.label: m.number for m in with_so_many(load_cards()["shared_join"], {"left": 2, "right": 1}).messages}
FINAL = {NUMBER["Fa"], NUMBER["Fb"]}
HANDLE = RunHandle("5e" * 16)


@pytest.fixture
def world(make_world: Callable[..., AnyWorld]) -> AnyWorld:
    made = make_world(**HOLDERS)
    made.ready(TOML)
    return made


def before_the_last(world: AnyWorld, act: Callable[[], object]) -> None:
    """Do something once, when all is computed and before the first share leaves for the result party."""
    done: list[object] = []

    def tap(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message in FINAL and not done:
            done.append(None)
            act()
        return (passing.data,)

    world.hooks.taps.append(tap)


def sent(world: AnyWorld, handle: RunHandle = HANDLE) -> bool:
    return all(world.states[party].run(handle).state is RunState.SENT for party in BRINGING)


class Leaving:
    """The servers of a world, of which those that only bring rows are gone once they were asked for their receipt."""

    def __init__(self, world: AnyWorld) -> None:
        self.gone: set[PartyId] = set()
        self._world, self._server = world, world.server

    def server(self, party: PartyId, caller: PartyId) -> Any:
        return _Leaving(self, party, self._server(party, caller))


class _Leaving:
    def __init__(self, all_of: Leaving, party: PartyId, server: Any) -> None:
        self._all, self._party, self._server = all_of, party, server

    def __getattr__(self, name: str) -> Any:
        if self._party in self._all.gone:
            raise LinkError("link.unreachable", peer=self._party)
        return getattr(self._server, name)

    def receipt(self, handle: RunHandle) -> bytes:
        if self._party in self._all.gone:
            raise LinkError("link.unreachable", peer=self._party)
        found: bytes = self._server.receipt(handle)
        if self._party in BRINGING:
            self._all.gone.add(self._party)
        return found


class Gone:
    """A party that nobody reaches."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of a party that has left")


def keys(world: AnyWorld) -> dict[str, PartyKeys]:
    return {
        party: PartyKeys(world.signing[party].public, {name: key.public for name, key in world.people[party].items()})
        for party in world.servers
    }


@pytest.fixture
def evidence(world: AnyWorld, tmp_path: Path) -> Path:
    """The folder of a run that nobody was there to see end but those who compute."""
    leaving = Leaving(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "server", leaving.server)

        def leave() -> None:
            world.wait_for(lambda: leaving.gone == set(BRINGING))
            for party in BRINGING:
                patch.setitem(world.nodes, party, Gone())

        before_the_last(world, leave)
        released = world.run(TOML, handle=HANDLE)
    assert set(released.receipts) == set(world.servers)
    return released.save(tmp_path / "result.csv")


def test_a_run_ends_well_though_its_holders_have_left(world: AnyWorld, evidence: Path) -> None:
    lines = verify_evidence(evidence, keys=keys(world), recompute=result.recompute(TOML))
    for party in world.servers:
        (line,) = [line for line in lines if line.startswith(f"{party}: receipt is signed")]
        assert ("when they had arrived" in line) == (party in BRINGING)
    assert lines[-1] == "result.csv is what the shares add up to"
    for party in BRINGING:
        kinds = world.kinds(party)
        assert "run.sent" in kinds and "run.finished" not in kinds and "budget.settled" in kinds


def test_a_receipt_that_says_more_or_less_than_its_signer_can_know_is_refused(world: AnyWorld, evidence: Path) -> None:
    """A holder does not know that a run finished; one of the three that only sent does not stand by the table."""
    for party, outcome in ((BOARD, "finished"), (PartyId("north"), "sent"), (COUNCIL, "aborted")):
        file = evidence / "receipts" / f"{party}.json"
        genuine = file.read_bytes()
        said = claimed(genuine)
        said["predicate"]["outcome"] = outcome
        file.write_bytes(sign(said, world.signing[party]))
        with pytest.raises(ReceiptError, match=r"receipt\.statement"):
            verify_evidence(evidence, keys=keys(world), recompute=result.recompute(TOML))
        file.write_bytes(genuine)
    assert verify_evidence(evidence, keys=keys(world), recompute=result.recompute(TOML))


def fails(world: AnyWorld) -> PetsError:
    with pytest.raises(PetsError) as caught:
        world.run(TOML, handle=HANDLE)
    world.settle()
    assert not any(each.slot.message in FINAL and each.to == "statistics:result" for each in world.transcript)
    return caught.value


def test_a_holder_that_revokes_after_its_part_has_arrived_still_ends_the_run(world: AnyWorld) -> None:
    reviewed = reviewed_of(TOML)

    def revoke() -> None:
        world.wait_for(lambda: sent(world))
        world.nodes[BOARD].revoke(world.caller(BOARD), world.revocation(reviewed, BOARD))

    before_any_of_the_program(world, revoke)
    assert "approval.revoked" in fails(world).text
    for party in reviewed.spec.computing:
        assert world.states[party].run(HANDLE).state is RunState.ABORTED
    assert world.states[BOARD].run(HANDLE).state is RunState.SENT


def test_what_a_holder_signed_of_a_run_that_was_aborted_says_that_it_was_sent(world: AnyWorld) -> None:
    """It was charged, as every run is whose records were sent; its receipt makes no table stand."""
    reviewed = reviewed_of(TOML)

    def stop() -> None:
        world.wait_for(lambda: sent(world))
        world.nodes[PartyId("north")].stop(world.caller(PartyId("north")), HANDLE)

    before_any_of_the_program(world, stop)
    fails(world)
    signing = {party: key.public for party, key in world.signing.items()}
    for party in BRINGING:
        stored = world.states[party].run(HANDLE)
        assert stored.receipt is not None
        assert verify_receipt(stored.receipt, signing, party=party).outcome == "sent"
    assert {world.states[party].run(HANDLE).receipt for party in reviewed.spec.computing} == {None}
    assert world.spent(BOARD, "stays") == world.spent(COUNCIL, "homes") == "1"


def before_any_of_the_program(world: AnyWorld, act: Callable[[], object]) -> None:
    """Do something once, when the three begin to compute: what the holders sent has arrived."""
    done: list[object] = []

    def tap(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message not in NUMBER.values() and not done:
            done.append(None)
            act()
        return (passing.data,)

    world.hooks.taps.append(tap)
