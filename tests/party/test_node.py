"""What a node refuses, and what it leaves behind: nothing sent, nothing counted, one code for those outside."""

import datetime as dt
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pets.approve import approvals
from pets.approve.envelope import keygen
from pets.approve.policy import Policy
from pets.errors import (
    ApprovalError,
    BudgetError,
    LeakError,
    LinkError,
    PeerError,
    PetsError,
    RunError,
    SourceError,
    SpecError,
)
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import sources
from pets.party.files import FileSource
from pets.party.receipts import verify_receipt
from pets.party.state import RunState, State
from pets.plan.review import Reviewed, review
from pets.spec.parse import parse_toml
from pets.transport.calls import StartRequest
from pets.transport.memory import Passing
from tests.party.world import (
    ANALYST,
    BOARD,
    COMPUTING,
    COUNCIL,
    HELPER,
    HOMES,
    NUMBER,
    SPEC,
    STAYS,
    STRANGER,
    World,
    altered,
    homes,
    reviewed_of,
    stays,
)

Make = Callable[..., World]


def nothing_happened(world: World, reviewed: Reviewed) -> None:
    """No message left anyone, no run is counted, no budget is spent, and nothing was agreed."""
    assert world.transcript == []
    for party in COMPUTING:
        assert world.states[party].runs_used(reviewed.digest) == 0
        assert "run.agreed" not in world.kinds(party)
    assert world.spent(BOARD, "stays") == world.spent(COUNCIL, "homes") == "0"


# -- specifications ---------------------------------------------------------------------------------------------------


def hand_in(world: World, party: PartyId, toml: str, *, digest: SpecDigest | None = None) -> None:
    envelope = approvals.submit(
        digest=digest or SpecDigest("ab" * 32), author="analyst@statistics.example", key=world.signing[ANALYST]
    )
    world.nodes[party].submit(world.caller(ANALYST), toml.encode(), envelope)


@pytest.mark.parametrize("party", COMPUTING)
@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT s.band, MODE(s.minutes) AS n FROM stays s JOIN homes h ON s.pid = h.pid GROUP BY s.band", "sql."),
        ("SELECT s.colour, COUNT(*) AS n FROM stays s JOIN homes h ON s.pid = h.pid GROUP BY s.colour", "sql.column"),
        ("SELECT s.band FROM stays s; DROP TABLE stays", "sql."),
    ],
    ids=["unknown statistic", "unknown column", "two statements"],
)
def test_unknown_sql_or_column_is_refused_by_every_party(world: World, party: PartyId, sql: str, rule: str) -> None:
    start, end = SPEC.index("SELECT s.band"), SPEC.index('"""\n[release]')
    with pytest.raises((LeakError, SpecError)) as caught:
        hand_in(world, party, SPEC[:start] + sql + "\n" + SPEC[end:])
    assert str(caught.value.fields.get("rule", caught.value.code)).startswith(rule)
    assert world.states[party].specs() == ()
    assert world.kinds(party)[-1] == "spec.refused"


@pytest.mark.parametrize("toml", [b"\xff\xfe", b"", b"pets = 1", b"[" * 5000, b"pets = 1\x00"])
def test_what_is_no_specification_is_refused(world: World, toml: bytes) -> None:
    with pytest.raises(SpecError):
        world.nodes[BOARD].submit(world.caller(ANALYST), toml, b"{}")
    assert world.states[BOARD].specs() == ()


def test_a_draft_with_placeholders_is_refused_by_a_server(world: World) -> None:
    with pytest.raises(LeakError) as caught:
        world.submit(altered(('statement = "How long do people stay, by tenure?"', 'statement = "design"')))
    assert caught.value.fields["rule"] == "policy.design"


def test_a_party_lowers_a_legal_rule_for_itself_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreviewed error refuses everywhere, but at the server whose own policy lowers it; there it stays visible."""
    toml = altered(('statement = "How long do people stay, by tenure?"', 'statement = "Waiting"'))
    digest = review(parse_toml(toml)).settled().digest
    envelope = approvals.submit(digest=digest, author="analyst@statistics.example", key=world.signing[ANALYST])
    for party in COMPUTING:
        with pytest.raises(LeakError) as caught:
            world.nodes[party].submit(world.caller(ANALYST), toml.encode(), envelope)
        assert caught.value.fields["rule"] == "LL-23"
    usual = world.policy
    milder = {"LL-23": "warning"}
    monkeypatch.setattr(
        world, "policy", lambda party: usual(party).model_copy(update={"lint": milder} if party == BOARD else {})
    )
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    taken = world.nodes[BOARD].submit(world.caller(ANALYST), toml.encode(), envelope)
    found = next(each for each in json.loads(taken.report)["findings"] if each["rule"] == "LL-23")
    assert found["severity"] == "warning"
    assert found["standing"] == "unreviewed; lowered from error by the policy of board"
    for party in set(COMPUTING) - {BOARD}:
        with pytest.raises(LeakError):
            world.nodes[party].submit(world.caller(ANALYST), toml.encode(), envelope)


def test_what_every_party_lowers_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = altered(('statement = "How long do people stay, by tenure?"', 'statement = "Waiting"'))
    usual = world.policy
    milder = {"lint": {"LL-23": "note"}}
    monkeypatch.setattr(world, "policy", lambda party: usual(party).model_copy(update=milder))
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    world.ready(toml)
    assert len(world.run(toml).to_pandas()) > 0


def test_a_party_under_another_certificate_name_than_in_the_directory_is_refused(world: World) -> None:
    with pytest.raises(LeakError) as caught:
        world.submit(altered(("spiffe://helper.example/pets", "spiffe://helper.example/other")))
    assert caught.value.fields["rule"] == "policy.directory"


@pytest.mark.parametrize("who", [STRANGER, BOARD])
def test_a_submission_of_somebody_else_is_refused(world: World, who: PartyId) -> None:
    reviewed = reviewed_of(SPEC)
    envelope = approvals.submit(digest=reviewed.digest, author="analyst@statistics.example", key=world.signing[who])
    with pytest.raises(ApprovalError):
        world.nodes[BOARD].submit(world.caller(who), SPEC.encode(), envelope)
    assert world.states[BOARD].specs() == ()


def test_a_submission_of_another_specification_is_refused(world: World) -> None:
    with pytest.raises(ApprovalError, match=r"approval\.submission"):
        hand_in(world, BOARD, SPEC)
    assert world.states[BOARD].specs() == ()


def test_submitting_twice_keeps_the_first(world: World) -> None:
    first, again = world.submit(), world.submit()
    assert first.digest == again.digest
    assert world.kinds(BOARD).count("spec.received") == 1


# -- approvals --------------------------------------------------------------------------------------------------------


def before(world: World) -> dict[str, Any]:
    return {"not_before": dt.date(2026, 11, 1), "not_after": world.now.date() - dt.timedelta(days=1)}


def after(world: World) -> dict[str, Any]:
    return {"not_before": world.now.date() + dt.timedelta(days=1), "not_after": dt.date(2027, 10, 31)}


def test_a_run_without_any_approval_is_refused(world: World) -> None:
    reviewed = world.submit()
    with pytest.raises(ApprovalError, match=r"approval\.too-few"):
        world.run()
    nothing_happened(world, reviewed)
    assert world.codes(BOARD, "run.refused") == ["approval.too-few"]


@pytest.mark.parametrize("party", COMPUTING)
def test_a_run_that_one_party_has_not_approved_is_refused(world: World, party: PartyId) -> None:
    reviewed = world.submit()
    world.approve(reviewed, *(other for other in COMPUTING if other != party))
    with pytest.raises(ApprovalError):
        world.run()
    nothing_happened(world, reviewed)


@pytest.mark.parametrize("party", COMPUTING)
@pytest.mark.parametrize(("terms", "code"), [(before, "approval.expired"), (after, "approval.not-yet-valid")])
def test_an_approval_outside_its_dates_starts_nothing(
    world: World, party: PartyId, terms: Callable[[World], dict[str, Any]], code: str
) -> None:
    reviewed = world.submit()
    world.approve(reviewed, *(other for other in COMPUTING if other != party))
    world.approve(reviewed, party, **terms(world))
    with pytest.raises(ApprovalError) as caught:
        world.run()
    assert caught.value.code == code
    nothing_happened(world, reviewed)


def test_an_expired_specification_starts_nothing(world: World) -> None:
    reviewed = world.ready()
    world.now = dt.datetime(2027, 11, 1, tzinfo=dt.UTC)
    with pytest.raises(ApprovalError, match=r"approval\.spec-expired"):
        world.run()
    nothing_happened(world, reviewed)


def spoilt(envelope: bytes) -> bytes:
    """The envelope with one letter of its payload changed."""
    at = envelope.index(b'"payload"') + 40
    return envelope[:at] + (b"A" if envelope[at : at + 1] != b"A" else b"B") + envelope[at + 1 :]


def test_a_forged_approval_is_not_kept(world: World) -> None:
    reviewed = world.submit()
    with pytest.raises(ApprovalError):
        world.nodes[BOARD].approve(world.caller(BOARD), spoilt(world.approval(reviewed, BOARD)))
    assert world.states[BOARD].envelopes(reviewed.digest) == ()


def test_an_approval_under_the_name_of_another_approver_is_not_kept(world: World) -> None:
    reviewed = world.submit()
    envelope = world.approval(reviewed, BOARD, approver="Bob of board")
    with pytest.raises(ApprovalError, match=r"approval\.other-name"):
        world.nodes[BOARD].approve(world.caller(BOARD), envelope)
    assert world.codes(BOARD, "approval.refused") == ["approval.other-name"]


def test_an_approval_of_a_non_approver_is_not_kept(world: World) -> None:
    reviewed = world.submit()
    envelope = world.approval(reviewed, BOARD, key=keygen())
    with pytest.raises(ApprovalError, match=r"approval\.not-an-approver"):
        world.nodes[BOARD].approve(world.caller(BOARD), envelope)
    assert world.states[BOARD].envelopes(reviewed.digest) == ()


def test_an_approval_of_another_partys_approver_is_not_kept(world: World) -> None:
    reviewed = world.submit()
    with pytest.raises(ApprovalError):
        world.nodes[BOARD].approve(world.caller(BOARD), world.approval(reviewed, COUNCIL))
    assert world.states[BOARD].envelopes(reviewed.digest) == ()


def test_an_approval_for_another_digest_is_no_approval_of_this_one(world: World) -> None:
    reviewed, other = world.submit(), world.submit(altered(("A title", "Another title")))
    world.approve(reviewed, COUNCIL, HELPER)
    world.approve(other)
    with pytest.raises(ApprovalError, match=r"approval\.too-few"):
        world.run()
    with pytest.raises(RunError, match=r"run\.no-spec"):
        world.nodes[BOARD].approve(world.caller(BOARD), world.approval(reviewed, BOARD, digest=SpecDigest("ab" * 32)))
    nothing_happened(world, reviewed)


def test_an_approval_of_another_plan_starts_nothing(world: World) -> None:
    reviewed = world.submit()
    world.approve(reviewed, COUNCIL, HELPER)
    world.approve(reviewed, BOARD, plan_digest="cd" * 32)
    with pytest.raises(ApprovalError, match=r"approval\.other-plan"):
        world.run()
    nothing_happened(world, reviewed)


def test_an_approval_handed_in_twice_counts_once(make_world: Make) -> None:
    world = make_world(k=2)
    reviewed = world.submit()
    world.approve(reviewed, COUNCIL, HELPER, who="Ann")
    world.approve(reviewed, COUNCIL, HELPER, who="Bob")
    envelope = world.approval(reviewed, BOARD)
    for _ in range(2):
        standing = world.nodes[BOARD].approve(world.caller(BOARD), envelope)
    assert (standing.state, standing.have, standing.need) == ("pending", 1, 2)
    world.approve(reviewed, BOARD, max_runs=2)  # the same person, signed anew
    with pytest.raises(ApprovalError, match=r"approval\.duplicate"):
        world.run()
    nothing_happened(world, reviewed)
    world.approve(reviewed, BOARD, who="Bob")
    assert world.run().receipts.keys() == set(COMPUTING)


@pytest.mark.parametrize("party", [COUNCIL, HELPER])
@pytest.mark.parametrize("how", ["missing", "forged", "expired", "by a stranger", "for another digest"])
def test_each_party_verifies_an_approval_of_every_other_party_itself(world: World, party: PartyId, how: str) -> None:
    reviewed = world.ready()
    good = world.approval(reviewed, party)
    bad = {
        "missing": (),
        "forged": (spoilt_signature(good),),
        "expired": (world.approval(reviewed, party, **before(world)),),
        "by a stranger": (world.approval(reviewed, party, key=keygen()),),
        "for another digest": (world.approval(reviewed, party, digest=SpecDigest("ab" * 32)),),
    }[how]
    request = world.request(reviewed, world.hello(reviewed))
    brought = tuple(body for body in request.approvals if approvals.claim_of(body).party != party) + bad
    with pytest.raises(ApprovalError):
        world.nodes[BOARD].start(
            world.caller(ANALYST), StartRequest(request.handle, reviewed.digest, request.hello, brought)
        )
    nothing_happened(world, reviewed)


def test_an_approval_that_comes_with_a_start_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parties there are: with dozens of holders each would else be read as often as there are parties."""
    reviewed, read, claim_of = world.ready(), Counter[bytes](), approvals.claim_of
    monkeypatch.setattr(approvals, "claim_of", lambda body: read.update([body]) or claim_of(body))
    request = world.request(reviewed, world.hello(reviewed))
    world.nodes[BOARD].start(world.caller(ANALYST), request)
    world.nodes[BOARD].stop(world.caller(ANALYST), request.handle)
    assert read == Counter(request.approvals)


def spoilt_signature(envelope: bytes) -> bytes:
    at = envelope.index(b'"sig"') + 12
    return envelope[:at] + (b"A" if envelope[at : at + 1] != b"A" else b"B") + envelope[at + 1 :]


def test_one_letter_of_a_payload_is_enough_to_spoil_it(world: World) -> None:
    reviewed = world.submit()
    good = world.approval(reviewed, BOARD)
    for bad in (spoilt(good), spoilt_signature(good)):
        assert bad != good
        with pytest.raises(ApprovalError):
            world.nodes[BOARD].approve(world.caller(BOARD), bad)


# -- revocation -------------------------------------------------------------------------------------------------------


def test_a_revoked_specification_starts_nothing_at_any_party(world: World) -> None:
    reviewed = world.ready()
    standing = world.nodes[COUNCIL].revoke(world.caller(COUNCIL), world.revocation(reviewed, COUNCIL))
    assert standing.state == "revoked"
    with pytest.raises(ApprovalError, match=r"approval\.revoked"):
        world.run()
    nothing_happened(world, reviewed)


@pytest.mark.parametrize("old", [True, False])
def test_a_revocation_holds_when_its_approver_has_left(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    """A server is started again under a policy without the one who withdrew; what it would cover stays refused, too."""
    world = make_world(durable=True)
    reviewed = world.ready()
    shorter = altered(("not_after = 2027-10-31", "not_after = 2027-08-31"))
    covered = world.submit(shorter)
    revoked = reviewed if old else covered
    world.nodes[BOARD].revoke(world.caller(BOARD), world.revocation(revoked, BOARD))
    usual = World.policy

    def policy(self: World, party: PartyId) -> Policy:
        asked = usual(self, party)
        there = tuple(each for each in asked.approval.approvers if not each.name.startswith("Bob"))
        return asked.model_copy(update={"approval": asked.approval.model_copy(update={"approvers": there})})

    monkeypatch.setattr(World, "policy", policy)
    world.nodes[BOARD].close()
    world.open(BOARD)
    states = {each.digest: each.state for each in world.nodes[BOARD].pending(world.caller(BOARD))}
    assert states[revoked.digest] == "revoked"
    for toml in (SPEC, shorter) if old else (shorter,):
        with pytest.raises(ApprovalError):
            world.run(toml)
    assert world.transcript == []
    if not old:
        assert world.run().receipts


def test_a_revocation_by_a_stranger_does_nothing(world: World) -> None:
    reviewed = world.ready()
    with pytest.raises(ApprovalError):
        world.nodes[COUNCIL].revoke(world.caller(COUNCIL), world.revocation(reviewed, COUNCIL, keygen()))
    assert world.run().receipts


@pytest.mark.parametrize("party", COMPUTING)
@pytest.mark.parametrize("message", [NUMBER["M1"], NUMBER["M4"]])
def test_a_revocation_during_a_run_ends_it(world: World, party: PartyId, message: int) -> None:
    reviewed = world.ready()

    def revoke(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == message and passing.head.slot.column == 0:
            world.nodes[party].revoke(world.caller(party), world.revocation(reviewed, party))
        return (passing.data,)

    world.hooks.taps.append(revoke)
    with pytest.raises(RunError, match=r"approval\.revoked") as caught:
        world.run()
    assert caught.value.fields["party"] == party
    assert not world.opened()
    assert world.codes(party) == ["approval.revoked"]


def test_a_revocation_by_a_party_whose_part_is_over_keeps_the_table_closed(world: World) -> None:
    """Role a sends its final share before the helper has what it needs for the other: its run is not over by that."""
    reviewed = world.ready()

    def revoke(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == NUMBER["M6"] and passing.head.slot.column == 0:
            world.wait_for(lambda: world.nodes[BOARD].runs._runs[handle].session._played)
            world.nodes[BOARD].revoke(world.caller(BOARD), world.revocation(reviewed, BOARD))
        return (passing.data,)

    handle = RunHandle("ab" * 16)
    world.hooks.taps.append(revoke)
    with pytest.raises(PetsError, match=r"approval\.revoked"):
        world.run(handle=handle)
    world.settle()
    assert not world.opened()
    for party in COMPUTING:
        assert world.states[party].run(handle).state == RunState.ABORTED
        assert "approval.revoked" in "\n".join(world.consoles[party])


def test_a_revocation_between_start_and_agreement_is_seen(world: World) -> None:
    """It may be stored after the start verified the approvals and before the run could be found and stopped."""
    reviewed = world.ready()

    def store(party: PartyId) -> None:
        if party == COUNCIL:
            body = world.revocation(reviewed, COUNCIL)
            world.states[COUNCIL].add_envelope(reviewed.digest, approvals.REVOCATION, "Bob of council", body)

    world.hooks.link = store
    with pytest.raises(RunError, match=r"approval\.revoked"):
        world.run()
    assert [sent for sent in world.transcript if sent.sender == COUNCIL] == []
    assert world.states[COUNCIL].runs_used(reviewed.digest) == 0
    assert not world.opened()


def test_an_approval_that_runs_out_during_a_run_ends_it(world: World) -> None:
    world.ready()

    def midnight(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == NUMBER["M4"]:
            world.now = dt.datetime(2027, 11, 1, tzinfo=dt.UTC)
        return (passing.data,)

    world.hooks.taps.append(midnight)
    with pytest.raises(RunError, match=r"approval\.spec-expired"):
        world.run()
    assert not world.opened()


# -- runs and budget --------------------------------------------------------------------------------------------------


def test_the_run_count_is_used_up(world: World) -> None:
    reviewed = world.ready()
    for _ in range(3):
        world.run()
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run()
    assert [world.states[party].runs_used(reviewed.digest) for party in COMPUTING] == [3, 3, 3]
    assert len(world.networks) == 3


def test_the_strictest_number_of_runs_counts(world: World) -> None:
    reviewed = world.submit()
    world.approve(reviewed, COUNCIL, HELPER)
    world.approve(reviewed, BOARD, max_runs=1)
    world.run()
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run()


def test_the_run_count_and_the_budget_survive_a_restart(make_world: Make) -> None:
    world = make_world(durable=True, cap="4.5")
    reviewed = world.ready(altered(("max_runs = 3", "max_runs = 1")))
    world.run(altered(("max_runs = 3", "max_runs = 1")))
    spent = world.spent(BOARD, "stays")
    for party in COMPUTING:
        world.open(party)  # beside the old one, which is simply gone, as after kill -9
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run(altered(("max_runs = 3", "max_runs = 1")))
    assert world.spent(BOARD, "stays") == spent == "3/2"
    assert world.states[HELPER].runs_used(reviewed.digest) == 1


def test_a_party_that_restarts_between_approval_and_run_runs(make_world: Make) -> None:
    world = make_world(durable=True)
    world.ready()
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    assert world.run().receipts.keys() == set(COMPUTING)


def test_the_budget_is_exceeded(make_world: Make) -> None:
    world = make_world(cap="3.1")
    reviewed = world.ready()
    world.run()
    world.run()
    with pytest.raises(BudgetError) as caught:
        world.run()
    fields = caught.value.fields
    assert caught.value.code == "budget.epsilon"
    assert (fields["spent"], fields["requested"], fields["remaining"]) == ("3", "1.5", "0.1")
    assert world.spent(BOARD, "stays") == "3"
    assert world.states[BOARD].runs_used(reviewed.digest) == 2
    assert len(world.networks) == 2


def test_the_helper_spends_nothing_and_still_counts(world: World) -> None:
    reviewed = world.ready()
    world.run()
    assert world.states[HELPER].runs_used(reviewed.digest) == 1
    assert not {"budget.reserved", "budget.settled"} & set(world.kinds(HELPER))
    assert {"budget.reserved", "budget.settled"} <= set(world.kinds(BOARD))


def test_budget_and_run_are_on_disk_before_the_first_message_leaves(make_world: Make) -> None:
    world = make_world(durable=True)
    reviewed = world.ready()
    seen: dict[PartyId, tuple[int, str]] = {}

    def look(passing: Passing) -> Iterable[bytes]:
        if passing.sender not in seen:
            with State(world.folder / f"{passing.sender}.sqlite") as other:  # what another process would find
                used = other.runs_used(reviewed.digest)
                with other.reading() as db:
                    found = [state for (state,) in db.execute("SELECT state FROM charges")]
            seen[passing.sender] = (used, ",".join(found))
        return (passing.data,)

    world.hooks.taps.append(look)
    world.run()
    assert seen == {BOARD: (1, "reserved"), COUNCIL: (1, "reserved"), HELPER: (1, "")}


def test_what_was_reserved_stays_spent_when_the_run_fails(world: World) -> None:
    reviewed = world.ready()

    def fail(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == NUMBER["M4"]:
            world.nodes[HELPER].stop(world.caller(HELPER), handle)
        return (passing.data,)

    handle = RunHandle(os.urandom(16).hex())
    world.hooks.taps.append(fail)
    with pytest.raises(RunError):
        world.run(handle=handle)
    assert world.spent(BOARD, "stays") == world.spent(COUNCIL, "homes") == "3/2"
    assert world.states[BOARD].runs_used(reviewed.digest) == 1
    with world.states[BOARD].reading() as db:
        assert db.execute("SELECT state FROM charges").fetchall() == [("reserved",)]


def test_a_run_handle_is_used_once(world: World) -> None:
    world.ready()
    handle = RunHandle("ab" * 16)
    world.run(handle=handle)
    with pytest.raises(RunError, match=r"run\.handle-used"):
        world.run(handle=handle)
    assert len(world.networks) == 1


def test_a_run_handle_is_used_once_in_all_lives_of_a_server(make_world: Make) -> None:
    world = make_world(durable=True)
    world.ready()
    handle = RunHandle("ab" * 16)
    world.run(handle=handle)
    for party in COMPUTING:
        world.open(party)
    with pytest.raises(RunError, match=r"run\.handle-used"):
        world.run(handle=handle)


def test_two_runs_at_once(world: World) -> None:
    world.ready()
    other = altered(("A title", "Another title"))
    world.ready(other)
    meet = threading.Barrier(2, timeout=20)

    def together(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (BOARD, COUNCIL):
            meet.wait()
        return body

    world.hooks.hello = together
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(world.run, (SPEC, other)))
    assert [result.receipts.keys() for result in results] == [set(COMPUTING)] * 2
    assert results[0].review.digest != results[1].review.digest


def test_a_server_takes_no_more_runs_at_once_than_it_is_told_to(make_world: Make) -> None:
    world = make_world(max_live=1)
    world.ready()
    with held(world) as first:
        with pytest.raises(RunError, match=r"run\.busy"):
            world.run()
        first.release()
        assert first.result().receipts
    world.settle()
    assert world.run().receipts


class held:  # noqa: N801
    """A run that is under way in another thread and waits at the hello of the council to the board."""

    def __init__(self, world: World, toml: str = SPEC) -> None:
        self.world, self.toml = world, toml
        self._go, self._there, self._pool = threading.Event(), threading.Event(), ThreadPoolExecutor(1)

    def __enter__(self) -> "held":
        def hold(sender: PartyId, to: PartyId, body: bytes) -> bytes:
            if (sender, to) == (COUNCIL, BOARD) and not self._there.is_set():
                self._there.set()
                assert self._go.wait(30)
            return body

        self.world.hooks.hello = hold
        self._future = self._pool.submit(self.world.run, self.toml)
        assert self._there.wait(30)
        for party in COMPUTING:
            self.world.wait_for(lambda party=party: bool(self.world.nodes[party].runs.live()))
        return self

    def release(self) -> None:
        self._go.set()

    def result(self) -> Any:
        return self._future.result(30)

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._pool.shutdown()


def test_of_two_clients_who_start_the_last_approved_run_one_is_told_to_wait(world: World) -> None:
    toml = altered(("max_runs = 3", "max_runs = 1"))
    reviewed = world.ready(toml)
    with held(world, toml) as first:
        with pytest.raises(RunError, match=r"run\.busy"):
            world.run(toml)
        first.release()
        assert first.result().receipts
    assert [world.states[party].runs_used(reviewed.digest) for party in COMPUTING] == [1, 1, 1]
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run(toml)


def test_of_two_runs_with_budget_for_one_the_second_is_told_to_wait(make_world: Make) -> None:
    world = make_world(cap="2")
    world.ready()
    with held(world) as first:
        with pytest.raises(RunError, match=r"run\.busy"):
            world.run()
        first.release()
        assert first.result().receipts
    assert world.spent(BOARD, "stays") == "3/2"
    with pytest.raises(BudgetError, match=r"budget\.epsilon"):
        world.run()


def test_of_two_runs_with_a_cap_in_rho_that_holds_both_neither_waits(make_world: Make) -> None:
    """Each costs epsilon 1.5, which is rho 1.125. One of epsilon 3 would be rho 4.5, but that is not what is asked."""
    world = make_world(
        limits={"max_epsilon_per_dataset": None, "max_rho_per_dataset": "2.5", "rho_at_delta": "2^-30"},
    )
    world.ready()
    with held(world) as first:
        assert world.run().receipts
        first.release()
        assert first.result().receipts


def test_clients_who_race_for_the_last_run_never_get_two_and_never_lose_it(world: World) -> None:
    toml = altered(("max_runs = 3", "max_runs = 1"))
    reviewed = world.ready(toml)
    meet = threading.Barrier(4)

    def race(_: int) -> bool:
        meet.wait(20)
        try:
            return bool(world.run(toml).receipts)
        except (RunError, BudgetError, PeerError):
            return False

    with ThreadPoolExecutor(4) as pool:
        won = sum(pool.map(race, range(4)))
    used = {world.states[party].runs_used(reviewed.digest) for party in COMPUTING}
    assert won <= 1
    assert used == {won}
    if not won:  # they stood in each other's way, and used nothing up
        world.settle()
        assert world.run(toml).receipts


# -- who may call -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [COUNCIL, HELPER, ANALYST, STRANGER])
def test_what_is_for_its_own_people_is_refused_to_others(world: World, caller: PartyId) -> None:
    reviewed = world.ready()
    who = world.caller(caller)
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.nodes[BOARD].pending(who)
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.nodes[BOARD].snapshot(who, reviewed.digest)
    assert "snapshot.taken" not in world.kinds(BOARD)


def test_evidence_is_for_the_parties_of_the_specification(world: World) -> None:
    reviewed = world.ready()
    for caller in (*COMPUTING, ANALYST):
        assert dict(world.nodes[BOARD].evidence(world.caller(caller), reviewed.digest).files)["spec.toml"]
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.nodes[BOARD].evidence(world.caller(STRANGER), reviewed.digest)


@pytest.mark.parametrize("caller", [BOARD, COUNCIL, HELPER, STRANGER])
def test_a_client_that_is_not_the_result_party_starts_nothing(world: World, caller: PartyId) -> None:
    reviewed = world.ready()
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.nodes[BOARD].start(world.caller(caller), world.request(reviewed, b"{}"))
    nothing_happened(world, reviewed)


def test_the_result_partys_name_on_another_network_end_receives_nothing(world: World) -> None:
    """The whole client of a stranger: it fails at the first start, and nothing is sent."""
    reviewed = world.ready()
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.client(STRANGER).run(SPEC)
    nothing_happened(world, reviewed)


def test_watching_stopping_and_the_receipt_of_a_run_are_not_for_strangers(world: World) -> None:
    world.ready()
    handle = RunHandle("cd" * 16)
    world.run(handle=handle)
    who = world.caller(STRANGER)
    for call in (world.nodes[BOARD].watch, world.nodes[BOARD].stop, world.nodes[BOARD].receipt):
        with pytest.raises(RunError, match=r"run\.(unknown|not-yours)"):
            call(who, handle)


def test_receipts_are_signed_by_their_party_and_name_run_and_spend(world: World) -> None:
    reviewed = world.ready()
    result = world.run()
    for party, envelope in result.receipts.items():
        receipt = verify_receipt(envelope, {party: world.signing[party].public})
        assert (receipt.party, receipt.spec, receipt.plan) == (party, reviewed.digest, reviewed.plan_digest)
        spend = {"board": {"stays"}, "council": {"homes"}, "helper": set()}[party]
        assert {each.dataset for each in receipt.spend} == spend


def test_a_party_that_computes_nothing_starts_nothing(world: World) -> None:
    """Somebody submits to a server a specification in which that server's party has no part."""
    toml = altered(('= "helper"', '= "stranger"'), ("spiffe://helper.example", "spiffe://stranger.example"))
    reviewed = reviewed_of(toml)
    envelope = approvals.submit(digest=reviewed.digest, author=reviewed.spec.purpose.author, key=world.signing[ANALYST])
    world.nodes[HELPER].submit(world.caller(ANALYST), toml.encode(), envelope)
    request = StartRequest(RunHandle("ab" * 16), reviewed.digest, b"{}", ())
    with pytest.raises(RunError, match=r"run\.not-yours"):
        world.nodes[HELPER].start(world.caller(ANALYST), request)


# -- records ----------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, pd.DataFrame, str, str]] = {
    "an empty id": ("stays", stays(("", "old", 1)), "source.id", "1 row"),
    "an id of 65 bytes": ("stays", stays(("IDENTITY-" + "x" * 56, "old", 1)), "source.id", "1 row"),
    "an id with a zero byte": ("stays", stays(("IDENTITY-\x00", "old", 1)), "source.id", "1 row"),
    "ids that are not unique": (
        "homes",
        homes(("IDENTITY-a", "own"), ("IDENTITY-b", "own"), ("IDENTITY-a", "rent")),
        "source.rows-per-person",
        "1 person",
    ),
    "more rows a person than declared": (
        "stays",
        stays(*(("IDENTITY-a", "old", 1) for _ in range(3))),
        "source.rows-per-person",
        "1 person",
    ),
    "a level outside the domain": ("stays", stays(("IDENTITY-a", "SECRET-level", 1)), "source.level", "1 row"),
    "a measure above its range": ("stays", stays(("IDENTITY-a", "old", 864201357)), "source.range", "1 row"),
    "a measure below its range": ("stays", stays(("IDENTITY-a", "old", -864201357)), "source.range", "1 row"),
    "more rows than declared": (
        "stays",
        stays(*((f"IDENTITY-{i}", "old", 1) for i in range(41))),
        "source.max-rows",
        "41 rows",
    ),
    "a column that is not there": ("stays", STAYS.drop(columns="minutes"), "source.column", ""),
    "text where a number is declared": (
        "stays",
        STAYS.assign(minutes=pd.Series(["SECRET-text"] * len(STAYS))),
        "source.type",
        "4 rows",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records_end_a_start_with_one_code_and_rows_go_to_the_holder_alone(make_world: Make, name: str) -> None:
    dataset, frame, code, said = BAD[name]
    holder = BOARD if dataset == "stays" else COUNCIL
    world = make_world({dataset: frame})
    reviewed = world.ready()
    with pytest.raises(SourceError) as caught:
        world.run()
    error = caught.value
    assert error.code == "source.not-ready"
    assert dict(error.fields) == {"party": holder}
    assert error.local == ()
    nothing_happened(world, reviewed)
    console = "\n".join(world.consoles[holder])
    assert code in console
    assert said in console
    assert world.codes(holder, "snapshot.refused") == [code]
    for party in COMPUTING:
        everything = str(world.log(party)) + "\n".join(world.consoles[party])
        assert "SECRET" not in everything
        assert "864201357" not in everything
        if party != holder:
            assert code not in everything


@pytest.mark.parametrize("name", ["ids that are not unique", "a level outside the domain"])
def test_its_own_people_get_the_code_of_a_snapshot_and_the_console_has_the_rows(make_world: Make, name: str) -> None:
    dataset, frame, code, said = BAD[name]
    holder = BOARD if dataset == "stays" else COUNCIL
    world = make_world({dataset: frame})
    reviewed = world.ready()
    with pytest.raises(SourceError) as caught:
        world.nodes[holder].snapshot(world.caller(holder), reviewed.digest)
    assert caught.value.code == code
    assert said in "\n".join(world.consoles[holder])


def test_a_required_measure_with_nulls_is_refused(make_world: Make) -> None:
    world = make_world({"stays": stays(("IDENTITY-a", "old", None))})
    toml = altered(("max = 100 }", "max = 100, required = true }"))
    reviewed = world.ready(toml)
    with pytest.raises(SourceError, match=r"source\.not-ready"):
        world.run(toml)
    nothing_happened(world, reviewed)
    assert "source.null" in "\n".join(world.consoles[BOARD])


def test_a_file_that_is_gone_is_refused(make_world: Make, tmp_path: Path) -> None:
    world = make_world({"stays": FileSource(tmp_path / "no-such.csv")})
    reviewed = world.ready()
    with pytest.raises(SourceError, match=r"source\.not-ready"):
        world.run()
    nothing_happened(world, reviewed)
    assert "no-such.csv" in "\n".join(world.consoles[BOARD])


def test_records_that_change_after_the_snapshot_change_nothing(make_world: Make, tmp_path: Path) -> None:
    file = tmp_path / "stays.csv"
    STAYS.to_csv(file, index=False)
    world = make_world({"stays": FileSource(file)})
    reviewed = world.ready()
    world.nodes[BOARD].snapshot(world.caller(BOARD), reviewed.digest)
    file.write_text("pid,band,minutes,arrival\n,,,\nrubbish\n")
    assert world.run().receipts


def test_a_snapshot_that_was_altered_on_disk_ends_the_run_at_all_parties(make_world: Make) -> None:
    world = make_world(deadline_s=60.0)
    reviewed = world.ready()
    world.nodes[BOARD].snapshot(world.caller(BOARD), reviewed.digest)
    (file,) = (world.folder / BOARD).glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(RunError) as caught:
        world.run()
    assert dict(caught.value.fields) == {"party": BOARD, "reason": "source.not-ready"}
    assert "source.snapshot" in "\n".join(world.consoles[BOARD])
    assert world.codes(BOARD) == ["source.not-ready"]
    assert world.transcript == []
    assert world.states[BOARD].runs_used(reviewed.digest) == 0
    assert all("source.snapshot" not in str(world.log(party)) for party in (COUNCIL, HELPER))


# -- what goes wrong inside -------------------------------------------------------------------------------------------


def test_a_bug_in_a_run_ends_it_everywhere_and_says_nothing_of_the_records(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(deadline_s=60.0)
    world.ready()

    def broken(*_: object) -> sources.Table:
        raise KeyError("IDENTITY-ann")

    monkeypatch.setattr(sources, "read", broken)
    with pytest.raises(RunError) as caught:
        world.run()
    assert caught.value.fields["reason"] == "internal.bug"
    for party in (BOARD, COUNCIL):
        (run,) = world.states[party].runs()
        assert (run.state, run.code) == (RunState.ABORTED, "internal.bug")
    assert world.transcript == []


def test_a_log_that_cannot_be_written_stops_the_run_before_anything_is_sent(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(deadline_s=60.0)
    world.ready()
    append = world.nodes[BOARD]._log.append

    def full(kind: str, **body: object) -> Any:
        if kind == "run.agreed":
            raise OSError("disk full")
        return append(kind, **body)

    monkeypatch.setattr(world.nodes[BOARD]._log, "append", full)
    with pytest.raises(RunError, match="internal"):
        world.run()
    assert not [sent for sent in world.transcript if sent.sender == BOARD]
    assert not world.opened()
    assert world.spent(BOARD, "stays") == "3/2"


def test_a_log_that_cannot_be_written_refuses_a_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ready()
    append = world.nodes[BOARD]._log.append

    def full(kind: str, **body: object) -> Any:
        if kind == "run.started":
            raise OSError("disk full")
        return append(kind, **body)

    monkeypatch.setattr(world.nodes[BOARD]._log, "append", full)
    with pytest.raises(OSError, match="disk full"):
        world.run()
    assert world.transcript == []
    (run,) = world.states[BOARD].runs()
    assert run.state == RunState.ABORTED
    monkeypatch.undo()
    assert world.run().receipts


def test_a_server_that_closes_ends_its_runs_and_takes_no_more(world: World) -> None:
    world.ready()
    with held(world) as first:
        world.nodes[HELPER].close()
        first.release()
        with pytest.raises(PetsError):
            first.result()
    world.open(HELPER)
    assert not world.opened()


def test_a_run_that_was_under_way_when_the_process_died_is_ended_at_the_next_start(make_world: Make) -> None:
    world = make_world(durable=True, deadline_s=1.0)
    reviewed = world.ready()
    handle = RunHandle("ef" * 16)
    dead, over = threading.Event(), threading.Event()

    def die(passing: Passing) -> Iterable[bytes]:
        if passing.sender == BOARD and passing.head.slot.message == 1:
            dead.set()
            over.wait(30)  # this thread does nothing more while the next life of the server begins
            raise LinkError("link.cut", peer=passing.to)
        return (passing.data,)

    world.hooks.taps.append(die)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(world.run, handle=handle)
        assert dead.wait(30)
        world.open(BOARD)
        assert world.states[BOARD].run(handle).state == RunState.ABORTED
        assert world.codes(BOARD) == ["run.crashed"]
        assert world.states[BOARD].runs_used(reviewed.digest) == 1
        assert world.spent(BOARD, "stays") == "3/2"
        with pytest.raises(RunError, match=r"run\.no-receipt"):
            world.nodes[BOARD].receipt(world.caller(ANALYST), handle)
        over.set()
        with pytest.raises(PetsError):
            running.result(30)
    assert not world.opened()


def test_the_catalogue_tells_names_and_no_number_of_rows(world: World) -> None:
    described = world.nodes[BOARD].describe(world.caller(STRANGER))
    assert [entry.name for entry in described.datasets] == ["stays"]
    assert str(len(STAYS)) not in str(described).replace(described.version, "")
    assert HOMES.shape
