"""The history of releases at a server: kept with every run that may have released, consulted before every run."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pets.approve.policy import Differencing, Policy
from pets.check.releases import Entry, release_of
from pets.errors import ApprovalError, LeakError, PetsError
from pets.ids import PartyId, RunHandle
from pets.party import freezer
from pets.party.files import FileSource, FrameSource
from pets.party.history import History
from pets.party.state import State
from pets.plan.review import Reviewed
from tests.party.world import (
    ANALYST,
    BOARD,
    COMPUTING,
    COUNCIL,
    HELPER,
    NUMBER,
    SPEC,
    STAYS,
    World,
    altered,
    reviewed_of,
)

Make = Callable[..., World]
SHOWN = "an exact release and one with noise are about almost the same rows"


def exact_of(reviewed: Reviewed, where: str = "2020-01-02") -> Entry:
    """An earlier exact release about almost the same rows, as there will be once they can be made."""
    other = reviewed_of(altered(("2020-01-01", where)))
    release = release_of(other.spec, other.query).model_copy(update={"exact": True, "min_count": 10})
    return Entry("e" * 64, release, {}, dt.date(2027, 1, 1))


def plant(world: World, reviewed: Reviewed, party: PartyId = BOARD) -> None:
    History(world.states[party]).remember(RunHandle("planted"), exact_of(reviewed))


def entries(world: World, party: PartyId) -> tuple[Entry, ...]:
    return History(world.states[party]).entries()


def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = World.policy

    def policy(self: World, party: PartyId) -> Policy:
        return usual(self, party).model_copy(update={"differencing": Differencing(on_suspicion="refuse")})

    monkeypatch.setattr(World, "policy", policy)


def test_every_run_that_released_is_in_the_history_of_those_who_brought_records(make_world: Make) -> None:
    world = make_world(durable=True)
    reviewed = world.ready()
    world.run()
    world.run()
    world.settle()
    for party in (BOARD, COUNCIL):
        (entry,) = entries(world, party)
        assert entry == Entry(reviewed.digest, release_of(reviewed.spec, reviewed.query), {}, world.now.date())
    assert entries(world, HELPER) == ()
    world.nodes[BOARD].close()
    world.open(BOARD)
    assert len(entries(world, BOARD)) == 1


def test_an_entry_in_the_place_of_one_that_was_forgotten_is_seen() -> None:
    """Another run is remembered in the moment in which the last one is forgotten: as many entries, another one."""
    first = exact_of(reviewed_of(SPEC))
    with State(":memory:") as state:
        history = History(state)
        history.remember(RunHandle("first"), first)
        assert [each.digest for each in history.entries()] == [first.digest]
        history.forget(RunHandle("first"))
        history.remember(RunHandle("second"), replace(first, digest="f" * 64))
        assert [each.digest for each in history.entries()] == ["f" * 64]


@pytest.mark.parametrize("lost", ["M4", "M7a", pytest.param("M7c", marks=pytest.mark.long)])
def test_a_run_that_ended_while_a_party_was_needed_is_forgotten_and_one_after_is_not(
    make_world: Make, lost: str
) -> None:
    """M4 is lost in the middle; when the last shares are lost (M7a, M7c), both holders have done their part."""
    world = make_world(deadline_s=1.0)
    reviewed = world.ready()
    world.hooks.taps.append(lambda passing: [] if passing.head.slot.message == NUMBER[lost] else [passing.data])
    with pytest.raises(PetsError):
        world.run()
    world.settle()
    assert world.states[BOARD].runs_used(reviewed.digest) == 1, "it had begun"
    for party in (BOARD, COUNCIL):
        assert len(entries(world, party)) == (lost != "M4"), party


def test_a_suspicious_run_waits_until_approvers_overrule_it_by_name(make_world: Make) -> None:
    world = make_world(k=2)
    reviewed = world.submit()
    for who in ("Ann", "Bob"):
        world.approve(reviewed, who=who)
    plant(world, reviewed)
    with pytest.raises(ApprovalError) as caught:
        world.run()
    assert caught.value.code == "approval.differencing"
    assert SHOWN in caught.value.text and "e" * 12 not in caught.value.text, "nothing of the earlier release"
    (standing,) = world.nodes[BOARD].pending(world.caller(BOARD))
    (suspicion,) = standing.suspicions
    assert standing.state == "held" and suspicion.id == caught.value.fields["suspicion"]
    assert "together with eeeeeeeeeeee" in suspicion.problem and not suspicion.overruled
    assert world.states[BOARD].runs_used(reviewed.digest) == 0 and world.spent(BOARD, "stays") == "0"
    world.approve(reviewed, BOARD, who="Ann", overrules=[suspicion.id])
    with pytest.raises(ApprovalError):
        world.run()
    world.approve(reviewed, BOARD, who="Bob", overrules=[suspicion.id])
    (standing,) = world.nodes[BOARD].pending(world.caller(BOARD))
    assert standing.state == "approved" and standing.suspicions[0].overruled
    world.run()


@pytest.mark.parametrize("who", [ANALYST, COUNCIL])
def test_what_the_history_holds_is_told_to_nobody_who_brings_an_envelope(make_world: Make, who: PartyId) -> None:
    """Anybody may bring an approval, and has one: it is in the evidence. The answer names no earlier release."""
    world = make_world()
    reviewed = world.ready()
    plant(world, reviewed)
    node, outsider = world.nodes[BOARD], world.caller(who)
    approval = dict(node.evidence(outsider, reviewed.digest).files)["approvals/01.json"]
    told = node.approve(outsider, approval)
    assert told.state == "held" and told.suspicions == ()
    assert node.approve(world.caller(BOARD), approval).suspicions, "the party's own people see it"
    assert node.revoke(outsider, world.revocation(reviewed, BOARD)).suspicions == ()


def test_a_policy_that_refuses_is_overruled_by_nobody(make_world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch)
    world = make_world()
    reviewed = world.ready()
    plant(world, reviewed)
    (standing,) = world.nodes[BOARD].pending(world.caller(BOARD))
    world.approve(reviewed, BOARD, overrules=[standing.suspicions[0].id])
    with pytest.raises(LeakError) as caught:
        world.run()
    assert caught.value.code == "leak.differencing" and SHOWN in caught.value.text
    with pytest.raises(LeakError) as submitted:
        world.client().submit(altered(("max_runs = 3", "max_runs = 2")))
    assert submitted.value.fields["rule"] == "differencing.mixed"
    assert "leak.differencing" in world.codes(BOARD, "run.refused")


def test_a_release_in_between_start_and_first_message_is_seen(make_world: Make) -> None:
    world = make_world()
    reviewed = world.ready()

    def late(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (BOARD, COUNCIL):
            plant(world, reviewed)
        return body

    world.hooks.hello = late
    with pytest.raises(PetsError):
        world.run()
    world.settle()
    assert world.codes(BOARD) == ["approval.differencing"]
    assert not world.opened() and world.states[BOARD].runs_used(reviewed.digest) == 0
    assert [entry.digest for entry in entries(world, BOARD)] == ["e" * 64]


def test_the_same_verdict_after_a_restart(make_world: Make) -> None:
    world = make_world(durable=True)
    reviewed = world.ready()
    plant(world, reviewed)
    before = world.nodes[BOARD].pending(world.caller(BOARD))
    world.nodes[BOARD].close()
    world.open(BOARD)
    assert world.nodes[BOARD].pending(world.caller(BOARD)) == before and before[0].state == "held"
    with pytest.raises(ApprovalError) as caught:
        world.run()
    assert caught.value.fields["suspicion"] == before[0].suspicions[0].id


def test_a_history_is_in_order_and_says_each_thing_once() -> None:
    with State(":memory:") as state:
        history, entry = History(state), exact_of(reviewed_of(SPEC))
        for number in range(3):
            history.remember(RunHandle(f"{number}"), entry)
        assert history.entries() == (entry,)
        history.remember(RunHandle("9"), replace(entry, digest="f" * 64))
        assert [each.digest[0] for each in history.entries()] == ["e", "f"]
        for number in range(3):
            history.forget(RunHandle(f"{number}"))
        assert [each.digest[0] for each in history.entries()] == ["f"]


def test_a_version_changes_with_the_file_and_is_not_known_of_a_frame(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "stays.csv")
    assert freezer._version(source) == ""
    source.path.write_text("pid,band\n1,old\n")
    first = freezer._version(source)
    source.path.write_text("pid,band\n1,old\n2,old\n")
    assert first and freezer._version(source) not in ("", first)
    assert freezer._version(FrameSource(STAYS)) == ""
    assert len(COMPUTING) == 3
