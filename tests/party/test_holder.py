"""One holder's part of a run, against computing parties that announce, take, refuse, break off and lie."""

import datetime as dt
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pets.errors import BudgetError, LinkError, PeerError, PetsError, RunError, SourceError
from pets.ids import PartyId, RunHandle
from pets.kernels import prf
from pets.party import announcement, contribute, gate, hello, holder
from pets.party.announcement import Announcement
from pets.party.holder import UPLOAD, HolderSession
from pets.party.joining import to_agree
from pets.party.session import Outcome
from pets.secret import Secret
from pets.transport.calls import Uploaded
from tests.party import pooled

HANDLE = RunHandle("1" * 32)
ME = pooled.holders(4)[2]
NORTH, SOUTH = pooled.servers(2)
ROWS = pooled.table([1, 2], [0, 2], [7, 9])
DEADLINE = dt.datetime(2027, 1, 15, 10, tzinfo=dt.UTC)


@dataclass
class Offices:
    """Computing parties. ``announces``, ``takes``: what a test does to an answer; each may raise or change it."""

    plan: Any
    announces: Callable[[PartyId, Announcement], Announcement] = lambda peer, said: said
    takes: Callable[[PartyId, bytes], None] = lambda peer, part: None
    arrived: dict[PartyId, list[bytes]] = field(default_factory=dict)
    asked: int = 0

    def __post_init__(self) -> None:
        self.reviewed = pooled.reviewed(self.plan)
        self.computing = self.reviewed.spec.computing
        self.private = {party: Secret(os.urandom(32)) for party in self.computing}
        agreed = to_agree(self.reviewed, None)
        self.agreed = agreed
        self.hellos = {
            party: hello.make(
                agreed,
                os.urandom(16),
                {peer: prf.public_key(Secret(os.urandom(32))) for peer in self.computing if peer != party},
                upload=prf.public_key(self.private[party]),
            ).body
            for party in self.computing
        }
        self.result = hello.make(agreed, os.urandom(16), {}).body

    @property
    def run_id(self) -> bytes:
        return hello.run_id([*self.hellos.values(), self.result])

    def announcement(self, peer: PartyId, handle: RunHandle) -> bytes:
        self.asked += 1
        said = Announcement(
            run_id=self.run_id,
            digest=pooled.DIGEST,
            hellos=self.hellos,
            result=self.result,
            deadline=DEADLINE,
            open=True,
        )
        return announcement.encode(self.announces(peer, said))

    def upload(self, peer: PartyId, handle: RunHandle, run_id: bytes, part: bytes) -> Uploaded:
        assert run_id == self.run_id and handle == HANDLE
        self.arrived.setdefault(peer, []).append(part)
        self.takes(peer, part)
        return Uploaded(hashlib.sha256(part).hexdigest())


@dataclass
class Made:
    """A session, and what it did."""

    session: HolderSession
    agreed: list[bytes] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


def made(offices: Offices, **changes: Any) -> Made:
    found = Made.__new__(Made)
    given: dict[str, Any] = {
        "collector": offices,
        "bring": lambda read: ROWS,
        "result_hello": offices.result,
        "entropy": os.urandom,
        "run_s": 5.0,
        "tick": lambda label, size, seconds: found.steps.append(label),
        "agreed": lambda run_id: found.agreed.append(run_id),
    }
    session = HolderSession(offices.reviewed, ME, HANDLE, **{**given, **changes})
    found.__init__(session)  # type: ignore[misc]
    return found


def ends(offices: Offices, code: str, **changes: Any) -> Made:
    """A session that ends with this error."""
    found = made(offices, **changes)
    with pytest.raises(PetsError) as caught:
        found.session.run()
    assert caught.value.code == code, caught.value
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(holder, "LONGEST_PAUSE_S", 0.02)


@pytest.mark.parametrize(("computing", "shamir"), [(2, False), (4, False), (3, True)])
def test_a_holder_uploads_a_part_to_everybody_and_says_what(computing: int, shamir: bool) -> None:
    offices = Offices(pooled.plan(computing=computing, shamir=shamir))
    run = made(offices)
    outcome = run.session.run()
    assert outcome.run_id == offices.run_id and run.agreed == [offices.run_id]
    assert run.steps == ["records", "announcement", *[UPLOAD] * computing]
    assert set(offices.arrived) == set(offices.computing)
    for column, (party, sent) in enumerate(zip(offices.computing, outcome.sent, strict=True)):
        (part,) = offices.arrived[party]
        hidden = gate.opened_by(outcome.opening, UPLOAD, column)
        assert (sent.to, sent.column, sent.size) == (party, column, len(part))
        assert sent.sha256 == gate.told_of(hidden, memoryview(part)), "the receipt can be proved, and tells nothing"
    assert run.session.told and run.session.hello_body == b"" and run.session.peers == ()


def test_no_part_leaves_before_the_run_is_counted() -> None:
    offices, seen = Offices(pooled.plan()), []
    run = made(offices, agreed=lambda run_id: seen.append(dict(offices.arrived)))
    run.session.run()
    assert seen == [{}]


def test_before_a_run_has_agreed_a_holder_asks_again() -> None:
    def late(peer: PartyId, said: Announcement) -> Announcement:
        if offices.asked < 6:
            raise RunError("run.unknown", handle=HANDLE) if offices.asked % 2 else LinkError("link.cut", peer=peer)
        return said

    offices = Offices(pooled.plan(), late)
    made(offices).session.run()
    assert offices.asked >= 7 and all(len(parts) == 1 for parts in offices.arrived.values())


def changed(**changes: Any) -> Callable[[PartyId, Announcement], Announcement]:
    """Only the second computing party says something else."""
    return lambda peer, said: replace(said, **changes) if peer == SOUTH else said


def lies() -> list[Any]:
    plain = Offices(pooled.plan())

    def other(**fields: Any) -> dict[PartyId, bytes]:
        agreed = replace(plain.agreed, **fields)
        read = hello.read(plain.hellos[SOUTH], peer=SOUTH)
        return {**plain.hellos, SOUTH: hello.make(agreed, b"r" * 16, read.keys, upload=read.upload).body}

    keyless = hello.make(plain.agreed, b"r" * 16, hello.read(plain.hellos[SOUTH], peer=SOUTH).keys).body
    return [
        pytest.param(changed(run_id=b"x" * 32), "peer.announcement", id="another run id"),
        pytest.param(changed(digest="d" * 64), "peer.announcement", id="another specification"),
        pytest.param(changed(hellos=other(plan="e" * 64)), "run.other-plan", id="another plan"),
        pytest.param(changed(hellos=other(cards="e" * 64)), "run.other-cards", id="other cards"),
        pytest.param(changed(hellos=other(software="0.0")), "run.other-software", id="other software"),
        pytest.param(changed(hellos=other(cover="e" * 64)), "run.other-cover", id="other approvals"),
        pytest.param(changed(hellos={**plain.hellos, SOUTH: keyless}), "peer.hello", id="no key for uploads"),
        pytest.param(changed(hellos={NORTH: plain.hellos[NORTH]}), "peer.announcement", id="a party less"),
    ]


@pytest.mark.parametrize(("lie", "code"), lies())
def test_what_one_computing_party_announces_otherwise_is_refused_before_anything_is_counted(
    lie: Callable[[PartyId, Announcement], Announcement], code: str
) -> None:
    offices = Offices(pooled.plan(), lie)
    assert ends(offices, code).agreed == [] and not offices.arrived


def test_another_start_of_the_same_computing_parties_is_refused() -> None:
    """A result party that starts a holder under one hello and computing parties under another."""
    offices = Offices(pooled.plan())
    another = hello.make(offices.agreed, b"r" * 16, {}).body
    run = ends(offices, "peer.announcement", result_hello=another)
    assert not run.agreed and not offices.arrived


def test_two_worlds_are_found_out() -> None:
    """Each of two computing parties announces a run of its own, right in itself, with keys that it chose for both."""
    one, other = Offices(pooled.plan()), Offices(pooled.plan())
    other.result = one.result

    def split(peer: PartyId, said: Announcement) -> Announcement:
        return said if peer == NORTH else replace(said, hellos=other.hellos, run_id=other.run_id)

    one.announces = split
    assert not ends(one, "peer.announcement").agreed


def test_when_uploads_are_over_a_holder_loses_nothing() -> None:
    offices = Offices(pooled.plan(), changed(open=False))
    assert ends(offices, "peer.upload-late").agreed == [] and not offices.arrived


def test_a_broken_connection_is_tried_again_with_the_same_bytes() -> None:
    def breaks(peer: PartyId, part: bytes) -> None:
        if len(offices.arrived[peer]) < 3:
            raise LinkError("link.cut" if peer == NORTH else "link.unreachable", peer=peer)

    offices = Offices(pooled.plan(), takes=breaks)
    made(offices).session.run()
    for parts in offices.arrived.values():
        assert len(parts) == 3 and len(set(parts)) == 1


def test_an_answer_that_was_lost_shows_as_a_part_that_repeats() -> None:
    def lost(peer: PartyId, part: bytes) -> None:
        if len(offices.arrived[peer]) == 1:
            raise LinkError("link.cut", peer=peer)
        raise PeerError("peer.repeated", peer=ME, message="its upload")

    offices = Offices(pooled.plan(), takes=lost)
    assert len(made(offices).session.run().sent) == 2


def test_a_part_that_repeats_at_once_is_somebody_else_s() -> None:
    def taken(peer: PartyId, part: bytes) -> None:
        raise PeerError("peer.repeated", peer=ME, message="its upload")

    ends(Offices(pooled.plan(), takes=taken), "peer.repeated")


@pytest.mark.parametrize("code", ["peer.upload-late", "peer.upload-sealed", "peer.upload-run"])
def test_a_refusal_of_a_part_ends_the_holder_s_part(code: str) -> None:
    def refuses(peer: PartyId, part: bytes) -> None:
        if peer == SOUTH:
            raise PeerError(code, peer=ME)

    offices = Offices(pooled.plan(), takes=refuses)
    run = ends(offices, code)
    assert run.agreed and run.session.told, "what may have left counts as released"
    assert len(offices.arrived[SOUTH]) == 1


def test_another_digest_than_that_of_the_part_is_an_error() -> None:
    offices = Offices(pooled.plan())
    offices.upload = lambda peer, handle, run_id, part: Uploaded("0" * 64)  # type: ignore[method-assign]
    ends(offices, "peer.answer")


def test_who_cannot_be_reached_until_the_time_is_up_is_named() -> None:
    def away(peer: PartyId, said: Announcement) -> Announcement:
        raise LinkError("link.unreachable", peer=peer) if peer == SOUTH else RunError("run.unknown", handle=HANDLE)

    run = made(Offices(pooled.plan(), away), run_s=0.1)
    with pytest.raises(PetsError) as caught:
        run.session.run()
    assert caught.value.code in ("link.unreachable", "run.unknown", "link.deadline")
    assert not run.agreed and not run.session.told


def test_an_error_in_the_records_is_found_before_anybody_is_asked() -> None:
    offices = Offices(pooled.plan(rows=1))
    run = ends(offices, "source.sum", bring=lambda read: pooled.table([1], [0], [101]))
    assert offices.asked == 0 and not run.agreed


def test_a_run_that_cannot_be_paid_for_uploads_nothing() -> None:
    def refuse(run_id: bytes) -> None:
        raise BudgetError("budget.runs", allowed=1, digest=pooled.DIGEST)

    offices = Offices(pooled.plan())
    run = ends(offices, "budget.runs", agreed=refuse)
    assert not offices.arrived and not run.session.told


def test_a_revocation_on_the_way_keeps_every_part_that_has_not_left() -> None:
    offices = Offices(pooled.plan())
    revoked = RunError("run.stopped", by="an approver")
    run_of: list[Made] = []
    found = made(offices, agreed=lambda run_id: run_of[0].session.withdraw(revoked))
    run_of.append(found)
    with pytest.raises(RunError, match=r"run\.stopped"):
        found.session.run()
    assert not offices.arrived and not found.session.told


def test_an_approval_that_runs_out_on_the_way_keeps_every_part() -> None:
    offices, days = Offices(pooled.plan()), [0]

    def still() -> None:
        if days[0]:
            raise SourceError("source.not-ready", party=ME)

    ends(offices, "source.not-ready", check=still, agreed=lambda run_id: days.append(days.pop() + 1))
    assert not offices.arrived


def test_stopping_while_a_part_is_on_its_way_sends_no_other_attempt() -> None:
    there, go_on = threading.Event(), threading.Event()

    def holds(peer: PartyId, part: bytes) -> None:
        there.set()
        go_on.wait(5)
        raise LinkError("link.cut", peer=peer)

    offices = Offices(pooled.plan(), takes=holds)
    run = made(offices)
    errors: list[PetsError] = []

    def play() -> None:
        try:
            run.session.run()
        except PetsError as error:
            errors.append(error)

    playing = threading.Thread(target=play)
    playing.start()
    assert there.wait(5)
    run.session.withdraw(RunError("run.stopped", by=ME))
    go_on.set()
    playing.join(5)
    assert [error.code for error in errors] == ["run.stopped"]
    assert all(len(parts) == 1 for parts in offices.arrived.values())


def test_a_revocation_while_the_last_parts_are_on_their_way_is_not_forgotten() -> None:
    """All arrive, and none of them is refused: the holder hears that its part has ended, so that it takes them back."""
    both = threading.Barrier(2, timeout=5)

    def revokes(peer: PartyId, part: bytes) -> None:
        both.wait()
        found.session.withdraw(RunError("run.stopped", by="an approver"))

    offices = Offices(pooled.plan(), takes=revokes)
    found = made(offices)
    with pytest.raises(RunError, match=r"run\.stopped"):
        found.session.run()
    assert set(offices.arrived) == {NORTH, SOUTH} and found.session.told and not found.session.sent


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (PeerError("peer.aborted", peer=NORTH, reason="run.stopped"), True),
        (RunError("run.stopped", by=ME), False),
    ],
)
def test_a_part_whose_end_nobody_is_told_of_may_be_left(said: PetsError, left: bool) -> None:
    """As soon as the session has failed: what it has left is seen before its run is over for those who watch."""
    offices = Offices(pooled.plan(), takes=lambda peer, part: found.session.stop(said))
    found = made(offices)
    with pytest.raises(PetsError):
        found.session.run()
    assert found.session.withdraw(RunError("run.stopped", by=ME)) is left


def test_two_runs_of_the_same_rows_share_no_byte_of_words() -> None:
    found = []
    for _ in range(2):
        offices = Offices(pooled.plan(cells=400))
        made(offices).session.run()
        found.append(offices.arrived[SOUTH][0][-contribute.layout_of(offices.plan).words * 8 :])
    assert sum(a == b for a, b in zip(*found, strict=True)) < len(found[0]) / 50


def test_what_a_holder_uploads_has_one_size_whatever_its_rows() -> None:
    sizes = set()
    for rows in (pooled.table([], [], []), ROWS, pooled.table(list(range(50)), [2] * 50, [100] * 50)):
        offices = Offices(pooled.plan())
        outcome = made(offices, bring=lambda read, rows=rows: rows).session.run()
        sizes.add(tuple(sent.size for sent in outcome.sent))
    assert len(sizes) == 1
