"""Snapshots of single runs: kept with a run that was counted, gone with one that was not, wherever a process dies."""

import datetime as dt
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pets.approve.approvals import Count
from pets.errors import RunError, SourceError
from pets.party.state import Boundary
from tests.party.world import BOARD, COMPUTING, World, altered, reviewed_of

Make = Callable[..., World]
EACH_RUN = altered(("max_rows = 40\n", 'max_rows = 40\nrefresh = "each run"\n'))
MOMENT = dt.timedelta(seconds=1)


class Killed(BaseException):
    """The process is gone at this point."""


def files(world: World) -> list[str]:
    return sorted(path.name for path in (world.folder / BOARD).glob("*"))


def rows(world: World) -> list[str]:
    return sorted(stored.file for stored in world.states[BOARD].snapshots())


def restarted(world: World) -> None:
    world.nodes[BOARD].close()
    world.open(BOARD)


def test_starts_at_one_party_alone_leave_no_records_behind(make_world: Make) -> None:
    """The others never hear of them: nothing is counted and nothing spent, so nothing else would ever refuse one."""
    world = make_world(deadline_s=0.3)
    reviewed = world.ready(EACH_RUN)
    for _ in range(4):
        world.server(BOARD).start(world.request(reviewed, world.hello(reviewed)))
        assert len(files(world)) == 1
        world.settle()
    assert world.kinds(BOARD).count("snapshot.taken") == world.kinds(BOARD).count("snapshot.dropped") == 4
    assert files(world) == rows(world) == []
    assert world.states[BOARD].runs_used(reviewed.digest) == 0


def test_what_a_counted_run_read_stays(make_world: Make) -> None:
    world = make_world(durable=True)
    world.ready(EACH_RUN)
    for number in (1, 2):
        world.now += MOMENT
        world.run(EACH_RUN)
        assert len(files(world)) == number and files(world) == rows(world)
    restarted(world)
    assert len(files(world)) == 2 and files(world) == rows(world)
    assert all("snapshot.dropped" not in world.kinds(party) for party in COMPUTING)


def test_what_its_own_people_froze_or_any_run_may_read_stays(make_world: Make) -> None:
    world = make_world(deadline_s=0.3)
    for toml, asked in ((EACH_RUN, True), (EACH_RUN.replace("each run", "monthly"), False)):
        reviewed = world.ready(toml)
        if asked:
            world.nodes[BOARD].snapshot(world.caller(BOARD), reviewed.digest)
        before = len(files(world))
        for _ in range(2):
            world.now += MOMENT
            world.server(BOARD).start(world.request(reviewed, world.hello(reviewed)))
            world.settle()
        assert len(files(world)) == before + (not asked) and files(world) == rows(world)


def test_a_start_that_is_refused_after_freezing_takes_nothing_from_another_run(make_world: Make) -> None:
    world = make_world(deadline_s=2.0)
    reviewed = world.ready(EACH_RUN)
    request = world.request(reviewed, world.hello(reviewed))
    world.server(BOARD).start(request)
    (own,) = files(world)
    world.now += MOMENT
    with pytest.raises(RunError, match="handle-used"):
        world.server(BOARD).start(request)
    assert world.kinds(BOARD).count("snapshot.taken") == 2
    assert files(world) == rows(world) == [own]
    world.nodes[BOARD].stop(world.caller(BOARD), request.handle)
    world.settle()
    assert files(world) == rows(world) == []


def test_a_second_table_that_does_not_fit_leaves_nothing_of_the_first(world: World) -> None:
    reviewed = reviewed_of(EACH_RUN)
    world.ready(EACH_RUN)
    stays = reviewed.spec.dataset("stays")
    both = reviewed.spec.model_copy(update={"datasets": (stays, stays.model_copy(update={"name": "moves"}))})
    asked: Any = SimpleNamespace(spec=both, digest=reviewed.digest, plan=reviewed.plan)
    with pytest.raises(SourceError, match=r"source\.none"):
        world.nodes[BOARD]._freezer.freeze_all(asked, again=False)
    assert "snapshot.taken" in world.kinds(BOARD) and files(world) == rows(world) == []


@pytest.mark.parametrize(
    ("boundary", "left"),
    [
        (Boundary.SNAPSHOT_TAKEN, 0),
        (Boundary.SNAPSHOT_RECORDED, 0),
        (Boundary.SNAPSHOT_UNWANTED, 0),
        (Boundary.SNAPSHOT_DROPPED, 0),
        (Boundary.RUN_COUNT_RAISED, 0),
        (Boundary.RUN_COUNT_FLUSHED, 1),
    ],
)
def test_killed_at_any_step_no_row_names_a_missing_file_and_no_file_stays_without_a_row(
    make_world: Make, boundary: Boundary, left: int
) -> None:
    world = make_world(durable=True)
    reviewed = world.ready(EACH_RUN)
    freezer, state = world.nodes[BOARD]._freezer, world.states[BOARD]

    def stop(_: object, at: Boundary) -> None:
        if at is boundary:
            raise Killed

    world.hooks.at = stop
    with pytest.raises(Killed):
        frozen = freezer.freeze_all(reviewed, again=False)
        if boundary in (Boundary.RUN_COUNT_RAISED, Boundary.RUN_COUNT_FLUSHED):
            state.count_run(Count(reviewed.digest, 3), keep=frozen.values())
        freezer.drop(frozen)
    assert len(files(world)) == 1 and set(rows(world)) <= set(files(world))
    world.hooks.at = lambda party, at: None
    restarted(world)
    assert len(files(world)) == left and files(world) == rows(world)


def test_what_a_killed_process_left_half_written_is_deleted_at_the_next_start(make_world: Make) -> None:
    world = make_world(durable=True)
    reviewed = world.ready()
    world.nodes[BOARD].snapshot(world.caller(BOARD), reviewed.digest)
    (frozen,), folder = files(world), world.folder / BOARD
    for name in (f".{'0a' * 8}.parquet", f"stays-{'0b' * 8}.parquet", "notes.parquet"):
        (folder / name).write_bytes(b"IDENTITY-ann")
    (folder / ".scratch-x1").mkdir()
    (folder / ".scratch-x1" / "spilled").write_bytes(b"IDENTITY-ann")
    restarted(world)
    assert files(world) == ["notes.parquet", frozen]
