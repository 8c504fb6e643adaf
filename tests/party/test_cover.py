"""Approvals of one specification let an equal or narrower one run, and no other: real nodes, sessions and client."""

import datetime as dt
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pets.approve import approvals
from pets.approve.envelope import claimed, keygen, sign, statement
from pets.errors import ApprovalError, BudgetError, PetsError, ReceiptError, RunError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party.config import Directory
from pets.party.evidence import PartyKeys, verify_evidence
from pets.party.receipts import RECEIPT, verify_receipt
from pets.party.state import Boundary
from pets.plan.review import Reviewed
from pets.result import Result, recompute
from pets.transport.calls import StartRequest
from pets.transport.memory import Passing
from tests.party.world import (
    ANALYST,
    BOARD,
    COMPUTING,
    COUNCIL,
    HELPER,
    MONTHLY,
    NUMBER,
    SPEC,
    World,
    altered,
    reviewed_of,
    stays,
    without_noise,
)

Make = Callable[..., World]

NARROWER = altered(('epsilon = "1"', 'epsilon = "0.5"'))
MONTHLY_NARROWER = altered(('epsilon = "1"', 'epsilon = "0.5"'), base=MONTHLY)
SHORTER = altered(("max_runs = 3", "max_runs = 2"), ("not_after = 2027-10-31", "not_after = 2027-06-30"))
ONE_COLUMN = altered((", SUM(s.minutes) AS minutes", ""), ('epsilon = "1"', 'epsilon = "0.5"'))
UNDECLARED = altered(('minutes = { role = "measure", type = "integer", min = 0, max = 100 }\n', ""), base=ONE_COLUMN)
EQUAL = altered(
    (
        SPEC[SPEC.index("SELECT") : SPEC.index('"""\n[release]')],
        "SELECT u.tenure, t.band, SUM(t.minutes) AS minutes, COUNT(*) AS n\n"
        "FROM stays AS t INNER JOIN homes AS u ON u.pid = t.pid\n"
        "WHERE NOT (t.arrival < DATE '2020-01-01') GROUP BY u.tenure, t.band\n",
    ),
)
WIDER = altered(('epsilon = "1"', 'epsilon = "2"'))
MORE_RUNS = altered(("max_runs = 3", "max_runs = 4"))
ANOTHER = altered(("DATE '2020-01-01'", "DATE '2021-01-01'"))
HEADED = altered(("COUNT(*) AS n, SUM(s.minutes) AS minutes", "COUNT(*) AS minutes, SUM(s.minutes) AS n"))
RETITLED = altered(('title = "A title"', 'title = "Another title"'))


def used(world: World, reviewed: Reviewed) -> list[int]:
    return [world.states[party].runs_used(reviewed.digest) for party in COMPUTING]


def start(world: World, reviewed: Reviewed, cover: SpecDigest | None, bodies: Iterable[bytes], party: PartyId) -> bytes:
    """Start at one party with a hello that names this cover, as a caller may who is free to say anything."""
    request = StartRequest(
        RunHandle(os.urandom(16).hex()), reviewed.digest, world.hello(reviewed, cover), tuple(bodies)
    )
    return world.nodes[party].start(world.caller(ANALYST), request)


# -- what is covered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "toml",
    [NARROWER, SHORTER, ONE_COLUMN, UNDECLARED, EQUAL],
    ids=["epsilon", "dates", "column", "undeclared", "equal"],
)
def test_an_equal_or_narrower_specification_runs_under_the_approvals_of_the_old_one(world: World, toml: str) -> None:
    old = world.ready()
    new = world.submit(toml)
    assert [world.nodes[party].pending(world.caller(party))[0].state for party in COMPUTING] == [
        f"covered by {old.digest[:16]}"
    ] * 3
    result = world.run(toml)
    assert result.covering == SPEC
    assert used(world, old) == used(world, new) == [1, 1, 1]
    for party in COMPUTING:
        receipt = verify_receipt(result.receipts[party], {party: world.signing[party].public})
        assert receipt.spec == new.digest and receipt.plan == new.plan_digest
        assert receipt.cover is not None and receipt.cover.spec == old.digest and receipt.cover.plan == old.plan_digest
        [envelope] = world.states[party].envelopes(old.digest)
        assert [approval.sha256 for approval in receipt.approvals] == [approvals.envelope_digest(envelope)]
        log = world.log(party)
        assert [body["cover"] for kind, body in log if kind in ("spec.covered", "run.started", "run.agreed")] == [
            old.digest
        ] * 3
        [begun] = [body for kind, body in log if kind == "run.started"]
        assert begun["envelopes"] == [approvals.envelope_digest(envelope)]


@pytest.mark.parametrize(
    "toml", [WIDER, MORE_RUNS, ANOTHER, RETITLED, HEADED], ids=["epsilon", "runs", "rows", "title", "headings"]
)
def test_a_wider_or_incomparable_specification_needs_approvals_of_its_own(world: World, toml: str) -> None:
    old = world.ready()
    new = world.submit(toml)
    assert [world.nodes[party].pending(world.caller(party))[0].state for party in COMPUTING] == ["pending"] * 3
    with pytest.raises(ApprovalError, match=r"approval\.too-few"):
        world.run(toml)
    bodies = [world.approval(old, party) for party in COMPUTING]
    for party in COMPUTING:
        with pytest.raises(ApprovalError, match=r"approval\.not-covered"):
            start(world, new, old.digest, bodies, party)
        assert world.codes(party, "run.refused")[-1] == "approval.not-covered"
        assert "spec.covered" not in world.kinds(party)
    assert used(world, old) == used(world, new) == [0, 0, 0]
    assert world.transcript == []


def test_the_table_is_that_of_the_new_specification(make_world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    world = make_world()
    world.ready()
    world.submit(ONE_COLUMN)
    table, own = (world.run(toml).to_pandas() for toml in (ONE_COLUMN, SPEC))
    assert list(table["n"]) == list(own["n"])
    assert "minutes" in own and "minutes" not in table


def test_a_caller_who_lies_about_which_specification_covers_is_refused(world: World) -> None:
    """Named: one that is wider, one that nobody signed, the new one itself, one that no party holds."""
    wider, unsigned = world.ready(NARROWER), world.submit(SHORTER)
    new = world.submit(SPEC)
    for cover, bodies, code in (
        (wider.digest, [world.approval(wider, party) for party in COMPUTING], "approval.not-covered"),
        (unsigned.digest, [world.approval(unsigned, party) for party in COMPUTING], "approval.not-covered"),
        (new.digest, [world.approval(new, party) for party in COMPUTING], "approval.not-covered"),
        (SpecDigest("ab" * 32), [], "run.no-spec"),
    ):
        for party in COMPUTING:
            with pytest.raises(PetsError) as caught:
                start(world, new, cover, bodies, party)
            assert caught.value.code == code
    assert used(world, new) == [0, 0, 0]
    assert world.transcript == []


def test_one_that_is_only_covered_covers_nothing(world: World) -> None:
    """No chains: signatures are under the first, so the first is what each of the others is held against."""
    first, second = world.ready(), world.submit(NARROWER)
    third = world.submit(altered(('epsilon = "1"', 'epsilon = "0.25"')))
    bodies = [world.approval(first, party) for party in COMPUTING]
    for party in COMPUTING:
        with pytest.raises(ApprovalError, match=r"approval\.too-few"):
            start(world, third, second.digest, bodies, party)
        [entry] = [body for kind, body in world.log(party) if kind == "spec.covered" and body["digest"] == third.digest]
        assert entry["cover"] == first.digest


def test_each_party_verifies_an_approval_of_the_old_specification_by_every_other_party(world: World) -> None:
    old, new = world.ready(), world.submit(NARROWER)
    for bodies in (
        [world.approval(old, party) for party in (BOARD, HELPER)],
        [world.approval(old, BOARD), world.approval(new, COUNCIL), world.approval(old, HELPER)],
        [
            world.approval(old, BOARD),
            world.approval(old, COUNCIL, key=world.signing[ANALYST]),
            world.approval(old, HELPER),
        ],
    ):
        with pytest.raises(ApprovalError):
            start(world, new, old.digest, bodies, BOARD)
    assert used(world, old) == [0, 0, 0]


def test_parties_that_do_not_agree_on_the_cover_do_not_run(world: World) -> None:
    """The council has approved one specification that would cover it, the others another one."""
    first, second = world.submit(SPEC), world.submit(MORE_RUNS)
    world.approve(first, BOARD, HELPER)
    world.approve(second, COUNCIL)
    world.submit(NARROWER)
    with pytest.raises(ApprovalError, match=r"approval\.no-cover"):
        world.run(NARROWER)
    assert world.transcript == []


def test_parties_that_would_count_against_different_approvals_find_it_at_the_hello(world: World) -> None:
    first, second, new = world.ready(SPEC), world.ready(MORE_RUNS), world.submit(NARROWER)

    def lie(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        return body.replace(first.digest.encode(), second.digest.encode()) if sender == COUNCIL else body

    world.hooks.hello = lie
    with pytest.raises(RunError, match=r"run\.other-cover"):
        world.run(NARROWER)
    assert used(world, first) == used(world, second) == used(world, new) == [0, 0, 0]
    assert not world.opened()


def test_with_approvals_of_its_own_it_runs_under_them(world: World) -> None:
    old, new = world.ready(), world.ready(NARROWER)
    assert world.run(NARROWER).covering == ""
    assert (used(world, old), used(world, new)) == ([0, 0, 0], [1, 1, 1])


def test_one_that_is_approved_at_some_parties_runs_under_the_cover_at_all(world: World) -> None:
    old, new = world.ready(), world.submit(NARROWER)
    world.approve(new, BOARD)
    assert world.run(NARROWER).covering == SPEC
    assert used(world, old) == used(world, new) == [1, 1, 1]


# -- until when, how often --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", COMPUTING)
def test_a_revoked_cover_covers_nothing(world: World, party: PartyId) -> None:
    old, new = world.ready(), world.submit(NARROWER)
    world.nodes[party].revoke(world.caller(party), world.revocation(old, party))
    with pytest.raises(ApprovalError):
        world.run(NARROWER)
    bodies = [world.approval(old, each) for each in COMPUTING]
    with pytest.raises(ApprovalError, match=r"approval\.revoked"):
        start(world, new, old.digest, bodies, party)
    assert used(world, new) == [0, 0, 0]


@pytest.mark.parametrize("party", COMPUTING)
def test_one_that_was_itself_revoked_is_not_covered(world: World, party: PartyId) -> None:
    old, new = world.ready(), world.submit(NARROWER)
    world.nodes[party].revoke(world.caller(party), world.revocation(new, party))
    with pytest.raises(ApprovalError, match=r"approval\.(no-cover|revoked)"):
        world.run(NARROWER)
    with pytest.raises(ApprovalError, match=r"approval\.revoked"):
        start(world, new, old.digest, [world.approval(old, each) for each in COMPUTING], party)
    world.run(SPEC)


@pytest.mark.parametrize("which", [SPEC, NARROWER], ids=["the cover", "the covered"])
def test_a_revocation_during_a_covered_run_ends_it(world: World, which: str) -> None:
    world.ready()
    world.submit(NARROWER)

    def revoke(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == NUMBER["M4"]:
            world.nodes[COUNCIL].revoke(world.caller(COUNCIL), world.revocation(reviewed_of(which), COUNCIL))
        return (passing.data,)

    world.hooks.taps.append(revoke)
    with pytest.raises(RunError, match=r"approval\.revoked"):
        world.run(NARROWER)
    assert not world.opened()


def test_a_revocation_of_the_cover_between_start_and_agreement_is_seen(world: World) -> None:
    old, new = world.ready(), world.submit(NARROWER)

    def store(party: PartyId) -> None:
        if party == COUNCIL:
            body = world.revocation(old, COUNCIL)
            world.states[COUNCIL].add_envelope(old.digest, approvals.REVOCATION, "Bob of council", body)

    world.hooks.link = store
    with pytest.raises(RunError, match=r"approval\.revoked"):
        world.run(NARROWER)
    assert world.states[COUNCIL].runs_used(old.digest) == world.states[COUNCIL].runs_used(new.digest) == 0
    assert not world.opened()


def test_the_dates_are_those_that_both_allow(world: World) -> None:
    """Approvals of the old one until March; the new one from February to June."""
    old = world.submit()
    world.approve(old, not_after=dt.date(2027, 3, 31))
    toml = altered(("2026-11-01", "2027-02-01"), ("2027-10-31", "2027-06-30"))
    world.submit(toml)
    for day, code in ((dt.date(2027, 1, 31), "approval."), (dt.date(2027, 4, 1), "approval.")):
        world.now = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        with pytest.raises(ApprovalError, match=code):
            world.run(toml)
        with pytest.raises(ApprovalError, match=r"spec-not-yet-valid|approval\.expired"):
            start(world, reviewed_of(toml), old.digest, [world.approval(old, each) for each in COMPUTING], BOARD)
    world.now = dt.datetime(2027, 3, 31, tzinfo=dt.UTC)
    world.run(toml)


def test_a_cover_that_runs_out_during_a_run_ends_it(world: World) -> None:
    old = world.submit()
    world.approve(old, not_after=dt.date(2027, 3, 31))
    world.submit(NARROWER)

    def midnight(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message == NUMBER["M4"]:
            world.now = dt.datetime(2027, 4, 1, tzinfo=dt.UTC)
        return (passing.data,)

    world.hooks.taps.append(midnight)
    with pytest.raises(RunError, match=r"approval\.spec-expired"):
        world.run(NARROWER)
    assert not world.opened()


def test_all_variants_share_the_runs_of_the_cover(world: World) -> None:
    old, narrower, shorter = world.ready(), world.submit(NARROWER), world.submit(SHORTER)
    for toml in (NARROWER, SPEC, SHORTER):
        world.run(toml)
    for toml in (SPEC, NARROWER, SHORTER):
        with pytest.raises(BudgetError, match=r"budget\.runs"):
            world.run(toml)
    assert (used(world, old), used(world, narrower), used(world, shorter)) == ([3] * 3, [1] * 3, [1] * 3)


def test_no_variant_runs_ahead_of_either_schedule(world: World) -> None:
    """What was signed as monthly runs once in a month, not even under another name twice."""
    world.now = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
    old, narrower = world.ready(MONTHLY), world.submit(MONTHLY_NARROWER)
    world.run(MONTHLY_NARROWER)
    world.now = dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC)
    for toml in (MONTHLY, MONTHLY_NARROWER):
        with pytest.raises(BudgetError, match=r"runs monthly and last ran on 2026-11-20; its next run is due on 2026"):
            world.run(toml)
    (covered, signed) = world.nodes[BOARD].pending(world.caller(BOARD))
    assert covered.state == f"covered by {old.digest[:16]}" and signed.state == "approved", "it is not over"
    world.now = dt.datetime(2026, 12, 1, 0, 0, tzinfo=dt.UTC)
    world.run(MONTHLY)
    with pytest.raises(BudgetError, match=r"budget\.not-due"):
        world.run(MONTHLY_NARROWER)
    world.now = dt.datetime(2027, 2, 27, 9, 0, tzinfo=dt.UTC)
    world.run(MONTHLY_NARROWER)
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run(MONTHLY)
    assert (used(world, old), used(world, narrower)) == ([3] * 3, [2] * 3)


def test_a_slower_schedule_of_a_variant_holds_for_it(world: World) -> None:
    slower = altered(('schedule = "monthly"', 'schedule = "yearly"'), base=MONTHLY)
    world.ready(MONTHLY)
    world.submit(slower)
    world.run(slower)
    world.now = dt.datetime(2027, 3, 1, 9, 0, tzinfo=dt.UTC)
    with pytest.raises(BudgetError, match=r"runs yearly and last ran on 2027-01-15; its next run is due never"):
        world.run(slower)
    world.run(MONTHLY)


def test_the_runs_of_the_new_specification_are_its_own_limit_too(world: World) -> None:
    toml = altered(("max_runs = 3", "max_runs = 1"))
    old, new = world.ready(), world.submit(toml)
    world.run(toml)
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run(toml)
    world.run(SPEC)
    assert (used(world, old), used(world, new)) == ([2] * 3, [1] * 3)


def test_the_strictest_approval_of_the_cover_counts(world: World) -> None:
    old = world.submit()
    world.approve(old, COUNCIL, HELPER)
    world.approve(old, BOARD, max_runs=1)
    world.submit(NARROWER)
    world.run(NARROWER)
    for toml in (NARROWER, SPEC):
        with pytest.raises(BudgetError, match=r"budget\.runs"):
            world.run(toml)


def test_two_variants_that_start_at_once_do_not_both_get_the_last_run(world: World) -> None:
    """The first is held at its hello, where it is not yet counted; the second must not be let in beside it."""
    toml = altered(("max_runs = 3", "max_runs = 1"))
    old = world.submit()
    world.approve(old, max_runs=1)
    world.submit(NARROWER)
    world.submit(toml)
    refused: list[str] = []

    def second(party: PartyId) -> None:
        if party == BOARD:
            with pytest.raises(PetsError) as caught:
                start(world, reviewed_of(toml), old.digest, [world.approval(old, each) for each in COMPUTING], BOARD)
            refused.append(caught.value.code)

    world.hooks.link = second
    world.run(NARROWER)
    assert refused == ["run.busy"]
    assert used(world, old) == [1, 1, 1]


def test_the_budget_is_one(make_world: Make) -> None:
    world = make_world(cap="2.6")
    world.ready()
    world.submit(NARROWER)
    world.run()
    world.run(NARROWER)
    with pytest.raises(BudgetError, match=r"budget\.epsilon"):
        world.run(NARROWER)
    assert world.spent(BOARD, "stays") == world.spent(COUNCIL, "homes") == "5/2"


def test_the_shared_count_survives_a_restart(make_world: Make) -> None:
    world = make_world(durable=True)
    old = world.submit()
    world.approve(old, max_runs=1)
    world.submit(NARROWER)
    world.run(NARROWER)
    for party in COMPUTING:
        world.open(party)  # beside the old one, which is simply gone, as after kill -9
    for toml in (NARROWER, SPEC):
        with pytest.raises(BudgetError, match=r"budget\.runs"):
            world.run(toml)
    assert used(world, old) == [1, 1, 1]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_while_counting_counts_both_or_neither(make_world: Make, nth: int) -> None:
    """The process dies after the first count is written, or after the second, before either is committed."""
    world = make_world(durable=True)
    old, new = world.ready(), world.submit(NARROWER)
    seen: list[Boundary] = []

    def die(boundary: Boundary) -> None:
        if boundary is Boundary.RUN_COUNT_RAISED:
            seen.append(boundary)
            if len(seen) == nth:
                raise RuntimeError("the process is gone")

    world.states[BOARD].at = die  # type: ignore[method-assign]
    with pytest.raises(PetsError):
        world.run(NARROWER)
    world.settle()
    world.open(BOARD)
    counts = [world.states[BOARD].runs_used(each.digest) for each in (old, new)]
    assert counts == [0, 0]
    assert not world.opened()
    world.run(NARROWER)
    assert [world.states[BOARD].runs_used(each.digest) for each in (old, new)] == [1, 1]


@pytest.mark.parametrize("which", [SPEC, NARROWER], ids=["of the cover", "of the covered"])
def test_the_key_of_neither_submission_approves_for_a_peer(make_world: Make, which: str) -> None:
    """The analysts' key has changed; one of the two is also held by somebody who approves for the council."""
    world = make_world(durable=True)
    old = world.ready()
    first = world.signing[ANALYST]
    world.signing[ANALYST] = keygen()
    world.people[COUNCIL]["Cat of council"] = first if which == SPEC else world.signing[ANALYST]
    world.directory = Directory(tuple(world._entry(party) for party in world.signing))
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    new = world.submit(NARROWER)
    bodies = [world.approval(old, BOARD), world.approval(old, COUNCIL, who="Cat"), world.approval(old, HELPER)]
    with pytest.raises(ApprovalError, match=r"approval\.by-submission-key"):
        start(world, new, old.digest, bodies, BOARD)
    world.run(NARROWER)


# -- own work, policy, records ----------------------------------------------------------------------------------------


def test_a_covered_run_reads_the_rows_that_were_frozen_for_the_cover(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records have changed since; the tables of the specification are frozen, so nobody approved the new ones."""
    without_noise(monkeypatch)
    world = make_world(durable=True)
    world.ready()
    first = world.run(SPEC)
    world.tables["stays"] = stays(("IDENTITY-ann", "young", 99))
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    world.submit(ONE_COLUMN)
    covered = world.run(ONE_COLUMN)
    assert list(covered.to_pandas()["n"]) == list(first.to_pandas()["n"])
    assert commitments(world, covered) == commitments(world, first)
    assert world.states[BOARD].snapshot(reviewed_of(ONE_COLUMN).digest, "stays") is None


def test_a_refresh_under_the_cover_is_what_covered_runs_read(make_world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    monthly = altered(("max_rows = 40\n", 'max_rows = 40\nrefresh = "monthly"\n'))
    narrower = altered(('epsilon = "1"', 'epsilon = "0.5"'), base=monthly)
    world = make_world(durable=True)
    old = world.ready(monthly)
    world.submit(narrower)
    before = world.run(narrower)
    world.tables["stays"] = stays(("IDENTITY-ann", "young", 99))
    for party in COMPUTING:
        world.nodes[party].close()
        world.open(party)
    assert commitments(world, world.run(narrower)) == commitments(world, before)
    world.now += dt.timedelta(days=28)
    world.nodes[BOARD].snapshot(world.caller(BOARD), old.digest)
    after = world.run(narrower)
    assert sum(before.to_pandas()["n"]) == 3 and sum(after.to_pandas()["n"]) == 1
    assert commitments(world, after) != commitments(world, before)
    assert used(world, old) == [3, 3, 3]


def commitments(world: World, result: Result) -> dict[str, str]:
    return verify_receipt(result.receipts[BOARD], {BOARD: world.signing[BOARD].public}).commitments


def test_a_cover_that_this_party_s_policy_would_refuse_today_covers_nothing(make_world: Make) -> None:
    """The policy was tightened since: what the old specification may no longer do, it may no longer lend."""
    world = make_world(durable=True)
    wide = altered(('epsilon = "1"', 'epsilon = "11/2"'))
    old = world.ready(wide)
    new = world.submit(NARROWER)
    original = world.policy

    def tightened(party: PartyId):  # type: ignore[no-untyped-def]
        policy = original(party)
        return policy.model_copy(update={"limits": policy.limits.model_copy(update={"max_epsilon_per_run": "2"})})

    world.policy = tightened  # type: ignore[method-assign]
    world.nodes[BOARD].close()
    world.open(BOARD)
    with pytest.raises(PetsError) as caught:
        start(world, new, old.digest, [world.approval(old, each) for each in COMPUTING], BOARD)
    assert caught.value.code == "leak.refused"
    with pytest.raises(ApprovalError, match=r"approval\.no-cover"):
        world.run(NARROWER)


def test_where_one_party_has_every_text_signed_nothing_is_covered(make_world: Make) -> None:
    world = make_world(durable=True)
    old, new = world.ready(), world.submit(NARROWER)
    original = world.policy

    def strict(party: PartyId):  # type: ignore[no-untyped-def]
        policy = original(party)
        return policy.model_copy(update={"approval": policy.approval.model_copy(update={"reuse": False})})

    world.policy = strict  # type: ignore[method-assign]
    world.nodes[COUNCIL].close()
    world.open(COUNCIL)
    with pytest.raises(ApprovalError, match=r"approval\.no-cover"):
        world.run(NARROWER)
    with pytest.raises(ApprovalError, match=r"approval\.no-reuse"):
        start(world, new, old.digest, [world.approval(old, each) for each in COMPUTING], COUNCIL)
    world.run(SPEC)


# -- evidence ---------------------------------------------------------------------------------------------------------


def evidence_of(world: World, tmp_path: Path) -> tuple[Path, dict[str, PartyKeys]]:
    world.ready()
    world.submit(NARROWER)
    folder = world.run(NARROWER).save(tmp_path / "out" / "result.csv")
    people = {
        party: PartyKeys(world.signing[party].public, {name: key.public for name, key in world.people[party].items()})
        for party in COMPUTING
    }
    return folder, people


def test_the_evidence_of_a_covered_run_verifies_offline_and_names_the_cover(world: World, tmp_path: Path) -> None:
    folder, keys = evidence_of(world, tmp_path)
    lines = verify_evidence(folder, keys=keys, recompute=recompute(NARROWER))
    old, new = reviewed_of(SPEC).digest, reviewed_of(NARROWER).digest
    assert f"specification {new} is narrower, compared with {old}, whose approvals cover it" in lines
    assert (folder / "covering" / "spec.toml").read_text() == SPEC


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot read"),
        ("not a specification", "not TOML"),
        (SHORTER, "has digest"),
        (WIDER, "has digest"),
        (ANOTHER, "has digest"),
    ],
    ids=["gone", "rubbish", "another narrower", "wider", "other rows"],
)
def test_another_text_of_the_cover_is_found(world: World, tmp_path: Path, text: str | None, problem: str) -> None:
    folder, keys = evidence_of(world, tmp_path)
    file = folder / "covering" / "spec.toml"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(ReceiptError, match=problem) as caught:
        verify_evidence(folder, keys=keys, recompute=recompute(NARROWER))
    assert caught.value.code == "receipt.cover"


@pytest.mark.parametrize(
    ("toml", "problem"),
    [(SPEC, ""), (SHORTER, "incomparable"), (ANOTHER, "incomparable"), (NARROWER, "equal")],
    ids=["the true one", "not within it", "other rows", "itself"],
)
def test_servers_that_all_sign_a_cover_that_is_none_are_found_out(
    world: World, tmp_path: Path, toml: str, problem: str
) -> None:
    """Receipts, approvals and text agree with each other; only the comparison, made again, says that it is no cover."""
    folder, keys = evidence_of(world, tmp_path)
    claim = reviewed_of(toml)
    for file in (folder / "approvals").iterdir():
        file.unlink()
    for party in COMPUTING:
        body = world.approval(claim, party)
        (folder / "approvals" / f"{party}.json").write_bytes(body)
        path = folder / "receipts" / f"{party}.json"
        told = claimed(path.read_bytes())["predicate"]
        told["cover"] |= {"spec": claim.digest, "plan": claim.plan_digest}
        told["approvals"] = [{"approver": f"Ann of {party}", "sha256": approvals.envelope_digest(body)}]
        about = {"specification": told["spec"], "run": told["run"]}
        path.write_bytes(sign(statement(RECEIPT, about, told), world.signing[party]))
    (folder / "covering" / "spec.toml").write_text(toml)
    if not problem:
        verify_evidence(folder, keys=keys, recompute=recompute(NARROWER))
        return
    with pytest.raises(ReceiptError, match=f"spec.toml is {problem}") as caught:
        verify_evidence(folder, keys=keys, recompute=recompute(NARROWER))
    assert caught.value.code == "receipt.cover"


def test_a_stray_cover_is_found(world: World, tmp_path: Path) -> None:
    world.ready()
    folder = world.run(SPEC).save(tmp_path / "out" / "result.csv")
    (folder / "covering").mkdir()
    (folder / "covering" / "spec.toml").write_text(SPEC)
    with pytest.raises(ReceiptError, match=r"receipt\.stray"):
        verify_evidence(
            folder,
            keys={party: PartyKeys(world.signing[party].public, {}) for party in COMPUTING},
            recompute=recompute(SPEC),
        )


@pytest.mark.parametrize(("text", "code"), [(WIDER.encode(), r"run\.other-spec"), (b"\xff", r"spec\.")])
def test_a_server_that_names_a_cover_and_hands_over_another_text_is_not_believed(
    world: World, text: bytes, code: str
) -> None:
    world.ready()
    world.submit(NARROWER)
    original = world.nodes[BOARD].evidence

    def lying(caller, digest):  # type: ignore[no-untyped-def]
        found = original(caller, digest)
        swapped = tuple(
            (name, text if name.startswith("covering/") and name.endswith(".toml") else body)
            for name, body in found.files
        )
        return type(found)(swapped)

    world.nodes[BOARD].evidence = lying  # type: ignore[method-assign]
    with pytest.raises(PetsError, match=code):
        world.run(NARROWER)
    assert world.transcript == []
