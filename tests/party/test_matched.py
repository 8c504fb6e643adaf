"""Intersections between nodes that fail in the middle, bring too many, bring something else, or repeat an earlier run.

Every time: a typed error at who asked, nothing handed over, and both logs say why. The faults of single messages are in
test_faults.py.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pets.errors import LinkError, PeerError, PetsError, RunError
from pets.party import gate
from pets.transport import frame
from pets.transport.memory import Passing
from tests.party.test_faults import PAIRS, TOMLS
from tests.party.world import BOARD, COUNCIL, World, altered, homes, reviewed_of, stays

ROWS = [f"IDENTITY-{n}" for n in range(8)]
TABLES = {"stays": stays(*((pid, "old", 5) for pid in ROWS[:5])), "homes": homes(*((pid, "own") for pid in ROWS[3:]))}
OTHER = {"which": "sender", "how many": "b"}
"""Role of the other holder, the council."""
HANDED = "R1"

MakeWorld = Callable[..., World]


@pytest.fixture(params=list(PAIRS))
def plan(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def made(make_world: MakeWorld, plan: str, **options: Any) -> World:
    return make_world(TABLES, **{**PAIRS[plan], "deadline_s": 20.0, **options})


def labels(plan: str) -> dict[int, str]:
    return dict(gate.labels_of(reviewed_of(TOMLS[plan]).plan))


def handed(world: World, plan: str) -> bool:
    """Whether an outcome left the asker's server in any run."""
    return any(labels(plan)[sent.slot.message] == HANDED for sent in world.transcript)


def why(world: World, kind: str = "run.aborted") -> dict[str, str]:
    """The last word of each party's log on a run that ended, and of a peer's end its reason."""
    world.settle()
    found = {}
    for party in (BOARD, COUNCIL):
        (*_, body) = [body for each, body in world.log(party) if each == kind]
        found[party] = body["reason"] if body["code"] == "peer.aborted" else body["code"]
    return found


def test_the_same_deployment_runs_without_a_fault(make_world: MakeWorld, plan: str) -> None:
    world = made(make_world, plan)
    world.ready(TOMLS[plan])
    frame_ = world.run(TOMLS[plan]).to_pandas()
    assert handed(world, plan)
    if plan == "which":
        assert (list(frame_["pid"]), list(frame_["tenure"])) == (ROWS[3:5], ["own", "own"])
    else:
        assert frame_.iloc[0, 0] == 2


@pytest.mark.parametrize("at", [0, -1])
def test_a_peer_that_stops_half_way_is_given_up(make_world: MakeWorld, plan: str, at: int) -> None:
    """The council's server goes silent at its first message, or at its last."""
    world = made(make_world, plan, deadline_s=1.0)
    reviewed = world.ready(TOMLS[plan])
    roles = {"receiver": BOARD, "sender": COUNCIL, "a": BOARD, "b": COUNCIL}
    asked = gate.project_plan(reviewed.plan, {**roles, "result": BOARD}, OTHER[plan])
    sent = [each.slot for each in asked if each.sending]
    silent = {(COUNCIL, slot) for slot in sent[at:]}

    def tap(passing: Passing) -> Iterable[bytes]:
        return () if (passing.sender, passing.head.slot) in silent else (passing.data,)

    world.hooks.taps.append(tap)
    with pytest.raises((LinkError, PeerError, RunError)) as caught:
        world.run(TOMLS[plan])
    said = why(world)
    assert set(said.values()) == {"link.deadline"}, said
    assert caught.value.code in ("link.deadline", "peer.aborted", "run.ended")
    assert not handed(world, plan)


@pytest.mark.parametrize("dataset", ["stays", "homes"])
def test_a_set_that_is_larger_than_declared_is_refused_at_its_holder(
    make_world: MakeWorld, plan: str, dataset: str
) -> None:
    before = f'name = "{dataset}"\nparty = "{BOARD if dataset == "stays" else COUNCIL}"'
    toml = TOMLS[plan]
    head, tail = toml.split(before)
    toml = head + before + tail.replace("max_rows = 40", "max_rows = 4", 1)
    world = made(make_world, plan)
    world.ready(toml)
    with pytest.raises(PetsError) as caught:
        world.run(toml)
    world.settle()
    holder = BOARD if dataset == "stays" else COUNCIL
    assert caught.value.code in ("source.not-ready", "run.ended", "peer.aborted")
    assert "source.max-rows" in world.codes(holder, "run.refused") + world.codes(holder, "snapshot.refused")
    assert any("rows with an identifier" in line for line in world.consoles[holder])
    other = COUNCIL if holder == BOARD else BOARD
    assert not any("rows with an identifier" in line for line in world.consoles[other]), "how many is its holder's"
    ends = world.codes(other, "run.refused") + world.codes(other)
    assert ends and set(ends) <= {"source.not-ready", "peer.aborted", "run.stopped"}, ends
    assert not world.transcript


@pytest.mark.parametrize("party", [BOARD, COUNCIL])
def test_a_set_that_was_changed_after_it_was_committed_to_is_not_brought(
    make_world: MakeWorld, plan: str, party: Any
) -> None:
    world = made(make_world, plan)
    reviewed = world.ready(TOMLS[plan])
    world.nodes[party].snapshot(world.caller(party), reviewed.digest)
    (file,) = (world.folder / party).glob("*.parquet")
    body = bytearray(file.read_bytes())
    at = bytes(body).rindex(b"IDENTITY-4")
    body[at : at + 10] = b"IDENTITY-9"
    file.write_bytes(bytes(body))
    with pytest.raises(PetsError) as caught:
        world.run(TOMLS[plan])
    assert "source." in caught.value.text
    said = why(world)
    assert said.pop(party) == "source.not-ready"
    # The other one hears it from its peer or, if that is quicker, from the client that has heard it.
    assert set(said.values()) <= {"source.not-ready", "link.closed", "run.ended", "run.stopped"}, said
    assert any("source.snapshot" in line for line in world.consoles[party])
    assert any("changed or gone since it was taken" in line for line in world.consoles[party])
    assert not handed(world, plan)


@pytest.mark.parametrize("whose", [BOARD, COUNCIL])
def test_messages_of_another_run_are_found_out(make_world: MakeWorld, plan: str, whose: Any) -> None:
    """A party, or who holds its link, sends what it sent in an earlier run, under the headers of this one."""
    world = made(make_world, plan)
    world.ready(TOMLS[plan])
    earlier: dict[tuple[str, object], bytes] = {}

    def note(passing: Passing) -> Iterable[bytes]:
        if passing.sender == whose and not passing.to.endswith(":result"):
            earlier[passing.to, passing.head.slot] = frame.read(passing.data)[1].tobytes()
        return (passing.data,)

    def repeat(passing: Passing) -> Iterable[bytes]:
        body = earlier.get((passing.to, passing.head.slot)) if passing.sender == whose else None
        if body is None:
            return (passing.data,)
        return tuple(frame.frames(passing.head.run_id, passing.head.slot, memoryview(body)))

    world.hooks.taps.append(note)
    world.run(TOMLS[plan])
    world.hooks.taps[:] = [repeat]
    before = len(world.transcript)
    with pytest.raises(PetsError) as caught:
        world.run(TOMLS[plan])
    said = why(world)
    assert set(said.values()) <= {"peer.other-set", "peer.element", "peer.tags", "peer.positions"}, said
    assert caught.value.code.startswith(("peer.", "run."))
    later = [labels(plan)[sent.slot.message] for sent in world.transcript[before:]]
    assert later and HANDED not in later


def test_a_frame_of_another_run_is_not_taken_in(make_world: MakeWorld, plan: str) -> None:
    world = made(make_world, plan)
    world.ready(TOMLS[plan])
    frames: list[Passing] = []

    def note(passing: Passing) -> Iterable[bytes]:
        frames.append(passing)
        return (passing.data,)

    world.hooks.taps.append(note)
    world.run(TOMLS[plan])
    old = {(each.sender, each.to, each.head.slot): each.data for each in frames}

    def repeat(passing: Passing) -> Iterable[bytes]:
        return (old[passing.sender, passing.to, passing.head.slot],)

    world.hooks.taps[:] = [repeat]
    with pytest.raises(PetsError) as caught:
        world.run(TOMLS[plan])
    assert set(why(world).values()) == {"peer.other-run"}
    assert "peer.other-run" in caught.value.text


def test_two_runs_of_one_specification_are_of_different_ids_and_both_are_logged(
    make_world: MakeWorld, plan: str
) -> None:
    world = made(make_world, plan)
    toml = altered(("max_runs = 1000000", "max_runs = 2"), base=TOMLS[plan])
    world.ready(toml)
    receipts = [world.run(toml).receipts[COUNCIL] for _ in range(2)]
    assert receipts[0] != receipts[1] and len(world.networks) == 2
    for party in (BOARD, COUNCIL):
        assert world.kinds(party).count("run.finished") == 2
    with pytest.raises(PetsError, match=r"budget\.runs"):
        world.run(toml)
