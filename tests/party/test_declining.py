"""Runs of which some holders say that they take no part, played by hand and whole, in memory and over real servers."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets import participation
from pets.approve.envelope import claimed, sign, statement
from pets.approve.policy import Policy
from pets.errors import LinkError, PetsError, ReceiptError, RunError, SourceError
from pets.ids import PartyId, RunHandle
from pets.party import contribute, hello
from pets.party.joining import to_agree
from pets.party.receipts import RECEIPT
from pets.result import Result
from tests.party.by_hand import HandRun
from tests.party.loopback import LoopbackRun, LoopbackWorld
from tests.party.pool_world import PoolWorld, hasten, parts, toml_of, worlds
from tests.party.test_pooled_runs import broken, exact, same, verified, without  # noqa: F401
from tests.party.test_pooling import NORTH, ONE, SOUTH, SQL, SURE, THREE, TWO, left, refused, vector
from tests.party.world import ANALYST, STRANGER, reviewed_of

WEST = PartyId("west")
OPEN_S = 40.0
"""How long uploads are taken here: nobody may wait for their end."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch, minute_s=OPEN_S)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PoolWorld]]:
    with worlds(tmp_path) as made:
        yield made


@pytest.fixture
def by_hand(make: Callable[..., PoolWorld]) -> Callable[..., HandRun]:
    def of(holders: int = 3, computing: int = 2, **spec: Any) -> HandRun:
        toml = toml_of(holders, computing, sql=SQL, **{"protection": SURE, "minimum": 2} | spec)
        world = make(parts(holders), toml)
        world.prepared()
        return HandRun(world, reviewed_of(toml))

    return of


def reasons(found: Result) -> dict[str, str]:
    assert found.participation is not None
    return dict(found.participation.missing)


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_as_soon_as_each_has_uploaded_or_declined(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.announced(ONE)
    run.decline(TWO)
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, 0] == 5 and found.holders == (ONE, THREE)
    for party in (NORTH, SOUTH):
        assert run.ended(party) == "finished"
        receipt = claimed(run.world.states[party].run(run.handle).receipt or b"")["predicate"]
        assert receipt["contributors"] == [ONE, THREE] and receipt["declined"] == [TWO]
        assert [body["caller"] for kind, body in run.world.log(party) if kind == "holder.declined"] == [
            run.world.caller(TWO).san
        ]


def test_too_few_are_left_and_the_run_ends_at_once_everywhere(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.upload(ONE, vector(run, 1))
    began = time.monotonic()
    run.decline(TWO)
    assert not run.world.nodes[NORTH].runs._runs[run.handle].events.ended
    run.decline(THREE, to=(NORTH,))
    assert run.ended(NORTH) == "run.contributors" and run.ended(SOUTH) == "peer.aborted"
    assert time.monotonic() - began < 10
    assert not run.world.opened() and left(run, NORTH) == left(run, SOUTH) == []


def test_only_a_holder_declines_and_only_for_itself_in_this_run(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.announced(ONE)
    digest = run.reviewed.digest
    refused(lambda: run.server(NORTH, SOUTH).decline(run.handle, digest), "peer.upload-holder")
    refused(lambda: run.server(NORTH, ANALYST).decline(run.handle, digest), "peer.upload-holder")
    refused(lambda: run.server(NORTH, STRANGER).decline(run.handle, digest), "run.unknown")
    refused(lambda: run.server(NORTH, TWO).decline(RunHandle("0f" * 16), digest), "run.unknown")
    refused(lambda: run.server(NORTH, TWO).decline(run.handle, type(digest)("0f" * 32)), "run.unknown")
    for number, board in enumerate((ONE, TWO, THREE), 1):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 6


@pytest.mark.long
def test_who_has_uploaded_cannot_take_it_back_by_declining(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.upload(TWO, vector(run, 2))
    refused(lambda: run.decline(TWO), "peer.uploaded")
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 7
    run.ended(NORTH)
    refused(lambda: run.decline(TWO, to=(NORTH,)), "peer.upload-late")


@pytest.mark.long
def test_who_declines_here_and_uploads_there_does_not_count_and_holds_nobody_up(
    by_hand: Callable[..., HandRun],
) -> None:
    run = by_hand()
    run.announced(ONE)
    run.decline(TWO, to=(NORTH,))
    run.upload(TWO, vector(run, 1000), to=(SOUTH,))
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, 0] == 5 and found.holders == (ONE, THREE)
    assert [run.ended(party) for party in (NORTH, SOUTH)] == ["finished"] * 2


@pytest.mark.long
def test_who_declines_is_held_against_the_lists_where_all_have_to_be_equal(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand(partial="end the run")
    run.announced(ONE)
    run.decline(TWO)
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 5, "all have uploads of the same two"


@pytest.mark.long
def test_a_decline_that_reaches_one_computing_party_lets_the_other_wait_for_its_end(
    by_hand: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contribute, "MINUTE_S", 1.5)
    run = by_hand()
    run.announced(ONE)
    run.decline(TWO, to=(NORTH,))
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).holders == (ONE, THREE)
    receipts = [
        claimed(run.world.states[p].run(run.handle).receipt or b"")["predicate"] for p in (NORTH, SOUTH) if run.ended(p)
    ]
    assert [receipt["declined"] for receipt in receipts] == [[TWO], []]


@pytest.mark.long
def test_polynomials_wait_for_nobody_who_declined(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand(3, 3, protocol="secure_sum_shamir")
    run.announced(ONE)
    run.decline(TWO)
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).holders == (ONE, THREE)


@pytest.mark.long
def test_the_third_under_disclosure_control_is_told_nothing_and_ends_with_the_others(
    by_hand: Callable[..., HandRun],
) -> None:
    run = by_hand(3, 3, protection="[release.disclosure_control]\nmin_count = 10\n", minimum=3)
    run.announced(ONE)
    refused(lambda: run.decline(TWO, to=(WEST,)), "run.no-uploads")
    run.decline(TWO)
    assert {run.ended(NORTH), run.ended(SOUTH)} <= {"run.contributors", "peer.aborted"}
    assert run.ended(WEST) == "peer.aborted"


@pytest.mark.long
def test_before_agreement_a_decline_is_to_come_again(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.announced(ONE)
    session: Any = run.world.nodes[NORTH].runs._runs[run.handle].session
    taking, until = session._play.uploads, session._play._until
    session._play.uploads = session._play._until = None
    refused(lambda: run.decline(TWO, to=(NORTH,)), "run.unknown")
    session._play.uploads, session._play._until = taking, until
    run.decline(TWO)


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("exact")
def test_a_holder_whose_approvers_have_not_signed_holds_nobody_up(
    make: Callable[..., PoolWorld], tmp_path: Path
) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared(without=world.boards[1:2])
    one = world.boards[1]
    found = world.run(world.toml)
    same_counts(found, without(frames, one))
    assert reasons(found) == {one: "declined: its approvers have not signed"}
    assert found.participation is not None and "declined: its approvers" in found.participation.note()
    assert f"{one}: no receipt is here; it declined" in verified(world, found, tmp_path)
    assert [body["told"] for kind, body in world.log(one) if kind == "run.declined"] == [[NORTH, SOUTH]]


def same_counts(found: Result, frames: Mapping[PartyId, pd.DataFrame]) -> None:
    rows = pd.concat(list(frames.values()))
    counts = rows.groupby("ward").size()
    table = found.to_pandas().set_index("ward")["n"]
    assert {ward: round(number) for ward, number in table.items()} == {
        ward: counts.get(ward, 0) for ward in table.index
    }


@pytest.mark.usefixtures("exact")
def test_faulty_records_and_a_sum_out_of_range_tell_computing_parties_the_same(
    make: Callable[..., PoolWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = parts(4)
    one, other = sorted(frames)[:2]
    frames[one] = broken(frames[one], ward="nowhere")
    world = make(frames, toml_of(4, 2, sql=SQL, minimum=2))
    said: list[tuple[PartyId, PartyId]] = []
    world.hooks.decline = lambda sender, to: said.append((sender, to))
    honest = contribute.vector

    def outside(plan: Any, table: Any, own: Any) -> Any:
        if threading.current_thread().name.startswith("run ") and len(table.cell) == len(frames[other]):
            raise SourceError("source.sum", dataset="visits", local=("a cell",))
        return honest(plan, table, own)

    monkeypatch.setattr(contribute, "vector", outside)
    world.prepared()
    found = world.run(world.toml)
    assert reasons(found) == {one: "declined: its records are not ready", other: "declined: its records are not ready"}
    assert sorted(said) == sorted((board, party) for board in (one, other) for party in (NORTH, SOUTH))
    for party in (NORTH, SOUTH):
        entries = [body for kind, body in world.log(party) if kind == "holder.declined"]
        assert len(entries) == 2 and all(set(body) == {"handle", "caller"} for body in entries)


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_holder_that_refused_the_specification_declines_its_run(
    make: Callable[..., PoolWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no text of it, and knows still who would have computed."""
    toml, one, honest = toml_of(3, 2, sql=SQL, minimum=2), ONE, PoolWorld.policy

    def strict(world: PoolWorld, party: PartyId) -> Policy:
        made = honest(world, party)
        changed = made.limits.model_copy(update={"least_contributors": 3})
        return made.model_copy(update={"limits": changed}) if party == one else made

    monkeypatch.setattr(PoolWorld, "policy", strict)
    world = make(parts(3), toml)
    with pytest.warns(UserWarning, match="did not take the specification"):
        reviewed = world.submit(toml)
    world.approve(reviewed, *(party for party in world.servers if party != one))
    found = world.run(toml)
    assert reasons(found) == {one: "declined: run.no-spec"}


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_holder_whose_people_stop_it_before_its_upload_declines(make: Callable[..., PoolWorld]) -> None:
    frames = parts(3)
    world = make(frames, toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared()
    one, handle = world.boards[2], RunHandle("5d" * 16)

    def stops(sender: PartyId, to: PartyId) -> None:
        if sender == one and not world.nodes[one].runs._runs[handle].session._stopped:  # type: ignore[union-attr]
            world.nodes[one].stop(world.caller(one), handle)

    world.hooks.announcement = stops
    found = world.run(world.toml, handle=handle)
    assert reasons(found) == {one: "declined: run.stopped"}
    assert world.ends(one) == ["run.stopped"]


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_run_that_is_started_twice_is_not_declined(make: Callable[..., PoolWorld]) -> None:
    """The second start is refused because the first one has used up the last run: its upload is on the way."""
    world = make(parts(3), toml_of(3, 2, sql=SQL, minimum=2, runs=1))
    reviewed = world.prepared()
    codes: list[str] = []

    def again(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        node, live = world.nodes[sender], next(iter(world.nodes[sender].runs._runs.values()))
        request = world.request(reviewed, hello.make(to_agree(reviewed, None), bytes(16), {}).body, live.handle)
        with pytest.raises(PetsError) as caught:
            node.start(world.caller(ANALYST), request)
        codes.append(caught.value.code)
        return part

    world.hooks.upload = again
    found = world.run(world.toml)
    assert reasons(found) == {} and set(codes) == {"budget.runs"}
    assert not any("run.declined" in world.kinds(board) for board in world.boards)


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_too_many_decline_and_the_client_hears_at_once_of_whom(make: Callable[..., PoolWorld]) -> None:
    world = make(parts(3), toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared(without=world.boards[1:])
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        world.run(world.toml)
    assert caught.value.code == "run.contributors" and time.monotonic() - began < 20
    assert any("its approvers have not signed" in note for note in caught.value.__notes__)
    world.wait_for(lambda: bool(world.ends(ONE)))


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_decline_is_told_again_where_the_connection_breaks(make: Callable[..., PoolWorld]) -> None:
    world = make(parts(3), toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared(without=world.boards[:1])
    tries: list[PartyId] = []

    def breaks(sender: PartyId, to: PartyId) -> None:
        tries.append(to)
        if tries.count(SOUTH) < 3 and to == SOUTH:
            raise LinkError("link.cut", peer=to)

    world.hooks.decline = breaks
    assert list(reasons(world.run(world.toml))) == [world.boards[0]]
    assert tries.count(SOUTH) >= 3 and NORTH in tries


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_receipt_that_says_of_who_counts_that_it_declined_is_refused(
    make: Callable[..., PoolWorld], tmp_path: Path
) -> None:
    world = make(parts(3), toml_of(3, 2, sql=SQL, minimum=2))
    world.prepared(without=world.boards[:1])
    found = world.run(world.toml)
    assert verified(world, found, tmp_path / "good")
    for problem, declined in (("one who counts", [world.boards[1]]), ("no holder", ["north"])):
        body = found.receipts[NORTH]
        said = {**claimed(body)["predicate"], "declined": declined}
        subject = {"specification": said["spec"], "run": said["run"]}
        receipts = {**found.receipts, NORTH: sign(statement(RECEIPT, subject, said), world.signing[NORTH])}
        object.__setattr__(found, "receipts", receipts)
        with pytest.raises(ReceiptError, match=r"receipt\.contributors"):
            verified(world, found, tmp_path / problem)
        object.__setattr__(found, "receipts", {**receipts, NORTH: body})


def test_what_is_said_of_who_declined() -> None:
    one, two, three = (PartyId(f"board-{number}") for number in (1, 2, 3))
    declined = dict.fromkeys((one, two, three), participation.DECLINED)
    found = participation.Participation(
        (one, two, three), (), {two: "link.unreachable", three: "budget.runs"}, 2, said=declined
    )
    assert found.missing == {one: "declined", two: "declined", three: "declined: it has used up its runs"}


# -- over real servers ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackWorld]:
    toml = toml_of(3, 2, sql=SQL, protection=SURE, minimum=2, runs=20)
    made = LoopbackWorld(tmp_path_factory.mktemp("declining") / "world", toml, parts(3))
    yield made
    made.close()


@pytest.mark.long
def test_a_decline_over_the_network(loopback: LoopbackWorld) -> None:
    run = LoopbackRun(loopback, loopback.prepared())
    run.announced(ONE)
    digest = run.reviewed.digest
    refused(lambda: run.server(NORTH, STRANGER).decline(run.handle, digest), "link.stranger")
    refused(lambda: run.server(NORTH, ANALYST).decline(run.handle, digest), "peer.upload-holder")
    refused(lambda: run.server(NORTH, TWO).decline(RunHandle("0f" * 16), digest), "run.unknown")
    refused(lambda: run.server(NORTH, TWO).decline(RunHandle("none"), digest), "link.request")
    run.decline(TWO)
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    refused(lambda: run.decline(ONE), "peer.uploaded")
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, 0] == 5 and found.holders == (ONE, THREE)
    assert [run.ended(party) for party in (NORTH, SOUTH)] == ["finished"] * 2
